"""Dates and times in columns of text."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd

SAMPLE = 200
# Share of the filled cells that must be dates of one format.
MOST = 0.9

_DATE_SHAPE = re.compile(r"\d.*[-/.:\s,].*\d|\d.*[A-Za-z]{3}.*\d")
_TIME = re.compile(r"[ T]+(\d{1,2}):(\d{2})(:\d{2}([.,]\d+)?)?\s*([AaPp]\.?[Mm]\.?)?\s*$")
# Ambiguous pairs are next to each other: which of the two it is, the whole column decides.
_FORMATS = (
    "ISO8601",
    *("%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y"),
    *("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y", "%m/%d/%y"),
    *("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d %Y"),
    *("%B %d %Y", "%b %Y", "%B %Y", "%d. %B %Y"),
)
CTIME = "%a %b %d %H:%M:%S %Y"
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")


def parse_dates(cells: np.ndarray, *, day_first: bool = False) -> np.ndarray | None:
    """Read distinct cells as dates, or return None if most of them are none.

    Parameters
    ----------
    cells : ndarray of shape (n_distinct,), object
        Strings.
    day_first : bool, default=False
        How to read 3/4/2024 in a column of which every date can be read either way.

    Returns
    -------
    dates : ndarray of shape (n_distinct,), datetime64, or None
        Without time zone (UTC where cells name one); NaT where a cell is no date.
    """
    step = max(1, len(cells) // SAMPLE)
    sample = cells[::step][:SAMPLE]
    likely = [cell for cell in sample if _DATE_SHAPE.search(cell)]
    if len(likely) < MOST * len(sample) or not likely:
        return None
    best, share = None, 0.0
    for date_format in _candidates(likely, day_first):
        found = float(np.mean(~np.isnat(_parse(np.array(sample, dtype=object), date_format))))
        if found > share:
            best, share = date_format, found
        if share == 1.0:
            break
    if best is None or share < MOST:
        return None
    if share == 1.0 and best in _PAIRS:
        # The sample may hold no day above the 12th.
        full, other = _parse(cells, best), _parse(cells, _PAIRS[best])
        return other if np.isnat(full).sum() > np.isnat(other).sum() else full
    dates = _parse(cells, best)
    return dates if np.mean(~np.isnat(dates)) >= MOST else None


def _candidates(cells: list[str], day_first: bool) -> list[str]:
    """Return the formats to try, with the times of day that the cells have."""
    times = _TIMES if any(_TIME.search(cell) for cell in cells[:20]) else ("",)
    formats = list(_FORMATS)
    if not day_first:
        for first, second in (("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y")):
            one, two = formats.index(first), formats.index(second)
            formats[one], formats[two] = second, first
        one, two = formats.index("%d/%m/%y"), formats.index("%m/%d/%y")
        formats[one], formats[two] = "%m/%d/%y", "%d/%m/%y"
    return [formats[0], CTIME] + [name + time for name in formats[1:] for time in times]


_PAIRS = {
    name.format("%d", "%m") + time: name.format("%m", "%d") + time
    for name in ("{}/{}/%Y", "{}-{}-%Y", "{}/{}/%y")
    for time in _TIMES
}
_PAIRS |= {other: one for one, other in _PAIRS.items()}


def _parse(cells: np.ndarray, date_format: str) -> np.ndarray:
    """Read cells in one format; NaT where a cell has another."""
    texts = pd.Series(cells, dtype=object).str.strip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dates = pd.to_datetime(texts, format=date_format, errors="coerce", utc=True)
        except (ValueError, TypeError, OverflowError):
            return np.full(len(cells), np.datetime64("NaT", "us"))
    return dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
