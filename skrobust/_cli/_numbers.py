"""Numbers as they are written: signs, currencies, units, grouping and decimal marks."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import pandas as pd

from skrobust._cli._units import CLOCK, common_unit, currency_symbol

# Distinct cells of a column that take part in the decision on the decimal mark.
SAMPLE = 2000
# No number with its unit is longer than this; it bounds the time that a cell can take.
LONGEST = 60
POINT, COMMA = ".", ","
GROUPING_MARKS = (",", ".", "'", " ")

_MINUS = "-\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"
_BLANKS = " \t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000"
_TRANSLATION = str.maketrans(
    {
        **dict.fromkeys(_MINUS, "-"),
        **dict.fromkeys(_BLANKS, " "),
        **dict.fromkeys("\u2019\u02bc\uff07\u00b4", "'"),
        **dict.fromkeys("\u200b\u200e\u200f\ufeff\u2060", ""),
        "\u066b": ".",
        "\u066c": "'",
        "\uff0c": ",",
        "\uff0e": ".",
        "\uff05": "%",
        "\u066a": "%",
        "\uff0b": "+",
        "\u2103": "°C",
        "\u2109": "°F",
        "\u00ba": "°",
        "\u03bc": "\u00b5",
    }
)
_SYMBOLS = "$¢£¤¥֏؋৳฿៛₠-\u20cf﷼﹩＄￠￡￥￦"
_CODES = (
    "US\\$|AU?\\$|CA?\\$|NZ\\$|R\\$|HK\\$|S\\$|USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|NZD|SEK|NOK"
    "|DKK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|BRL|MXN|ARS|CLP|COP|ZAR|KRW|SGD|HKD|TWD|THB|IDR|MYR|PHP"
    "|VND|ILS|AED|SAR|EGP|NGN|KES|Rs\\.?|Rp\\.?|RM|SFr\\.?|Fr\\.|kr\\.?|zł|Kč|Ft"
)
_CELL = re.compile(
    rf"""
    (?:<=|>=|[<>~≈≤≥]|ca\.)?\s*
    (?P<open>\()?\s*
    (?P<sign>[-+])?\s*
    (?P<before>[{_SYMBOLS}]|(?:{_CODES})(?![^\W\d_]))?\s*
    (?P<inner>[-+])?\s*
    (?:
      (?P<clock>\d{{1,3}}:[0-5]\d(?::[0-5]\d(?:[.,]\d+)?)?)
      |
      (?P<body>\d(?:[\d.,' ]*[\d.,])?|[.,]\d+)
      (?P<exponent>[eE][-+]?\d{{1,3}}(?!\w)|\ ?[x×·*]\ ?10\^[-+]?\d{{1,3}})?
    )
    \s*(?P<after>(?:[%‰°"″{_SYMBOLS}\u00b5Ω]|(?!x\d)[^\W\d_])[^\n;|()]{{0,14}})?
    \s*(?P<close>\))?
    (?P<trailing>-)?
    """,
    re.VERBOSE,
)
_CLOCK_HINT = re.compile(r"\d:\d\d")
_PRICE_DASH = re.compile(r"(?<=\d)[.,]-{1,2}(?=\D*$)")


def _grouped(mark: str) -> str:
    """Return the pattern of a whole number in groups of three; telephone numbers begin with 0."""
    mark = re.escape(mark)
    return rf"[1-9]\d{{0,2}}(?:{mark}\d{{3}})+"


_GROUPS = {mark: _grouped(mark) for mark in GROUPING_MARKS}
# Lakh and crore: 12,34,567.
_GROUPS[COMMA] += r"|[1-9]\d?(?:,\d{2})+,\d{3}"
_WITH_DECIMALS = {
    (group, mark): re.compile(rf"(?:{pattern}){re.escape(mark)}\d*")
    for group, pattern in _GROUPS.items()
    for mark in (POINT, COMMA)
    if group != mark
}
_GROUPED = {mark: re.compile(pattern) for mark, pattern in _GROUPS.items()}
_AMBIGUOUS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")
_BARE = re.compile(r"\d*[.,]?\d*")


@dataclasses.dataclass(frozen=True)
class Marks:
    """How numbers are written.

    Attributes
    ----------
    decimal : {".", ",", None}
        Decimal mark; None where each column decides.
    thousands : str or None
        The only grouping mark that is accepted; None for any.
    is_given : bool
        Whether the user named one of them, in which case no cell is read otherwise.
    default : {".", ","}
        Decimal mark of a cell such as "1,234" in a column without other indication.
    """

    decimal: str | None = None
    thousands: str | None = None
    is_given: bool = False
    default: str = POINT


@dataclasses.dataclass
class Parsed:
    """Distinct cells of a column read as numbers.

    Attributes
    ----------
    values : ndarray of shape (n_distinct,)
        NaN where a cell is no number.
    units : list of str
        Unit of each cell, "" for a bare number.
    ambiguous : str or None
        The first cell whose mark may be a decimal or a grouping mark, if the column itself does
        not decide it.
    """

    values: np.ndarray
    units: list
    ambiguous: str | None = None


def split_cell(text: str) -> tuple[str, str, float, str] | None:
    """Split a cell into digits with marks, exponent, sign and unit; None if it is no number."""
    text = text.translate(_TRANSLATION).strip()
    if len(text) > LONGEST:
        return None
    if not text.isascii():
        text = "".join(_plain_digit(char) for char in text)
    text = text.removeprefix("'")
    if "-" in text:
        text = _PRICE_DASH.sub("", text)
    match = _CELL.fullmatch(text)
    if match is None:
        return None
    part = match.groupdict()
    if (part["open"] is None) != (part["close"] is None):
        return None
    signs = [mark for mark in (part["sign"], part["inner"], part["trailing"]) if mark]
    if len(signs) > 1 or (signs and part["open"]):
        return None
    sign = -1.0 if signs == ["-"] or part["open"] else 1.0
    after = (part["after"] or "").strip()
    if part["clock"]:
        return (part["clock"], "", sign, CLOCK) if not (after or part["before"]) else None
    unit = currency_symbol(after)
    if part["before"]:
        unit = currency_symbol(part["before"]) + unit
    exponent = re.sub(r"^.*(?:10\^|[eE])", "", part["exponent"] or "")
    return part["body"].strip(), exponent, sign, unit


def _plain_digit(char: str) -> str:
    """Return a decimal digit of any script as an ASCII digit, anything else unchanged."""
    digit = None if char.isascii() else unicodedata.decimal(char, None)
    return char if digit is None else str(digit)


def decimal_mark_of(body: str) -> str | None:
    """Return the decimal mark that digits with marks must have, "?" if either, None if none."""
    n_points, n_commas = body.count(POINT), body.count(COMMA)
    if n_points and n_commas:
        return POINT if body.rindex(POINT) > body.rindex(COMMA) else COMMA
    if not n_points and not n_commas:
        return None
    mark, other, count = (POINT, COMMA, n_points) if n_points else (COMMA, POINT, n_commas)
    if count > 1:
        return other
    return "?" if _AMBIGUOUS.fullmatch(body) else mark


def body_value(body: str, decimal: str, thousands: str | None) -> str | None:
    """Return digits with marks as Python writes a number; None if they are not well formed."""
    if body.isdigit():
        return body
    groups = GROUPING_MARKS if thousands is None else (thousands,)
    groups = [mark for mark in groups if mark != decimal]
    if _BARE.fullmatch(body) and (decimal in body):
        return body.replace(decimal, ".")
    for mark in groups:
        if mark in body and (
            _GROUPED[mark].fullmatch(body) or _WITH_DECIMALS[mark, decimal].fullmatch(body)
        ):
            return body.replace(mark, "").replace(decimal, ".")
    return None


def _clock_seconds(text: str) -> float:
    """Return hours and minutes, with or without seconds, in seconds."""
    parts = [float(part.replace(",", ".")) for part in text.split(":")]
    return sum(part * scale for part, scale in zip(parts, (3600, 60, 1)))


def _cell_value(split: tuple | None, decimal: str, marks: Marks) -> float:
    """Return the number of a split cell, NaN if none."""
    if split is None:
        return np.nan
    body, exponent, sign, unit = split
    if unit is CLOCK:
        return sign * _clock_seconds(body)
    own = decimal_mark_of(body)
    if not marks.is_given and own in (POINT, COMMA):
        decimal = own
    digits = body_value(body, decimal, marks.thousands)
    if digits is None:
        return np.nan
    try:
        return sign * float(f"{digits}e{exponent}" if exponent else digits)
    except ValueError:
        return np.nan


def vote(cells: Iterable[str], counts: Iterable[int]) -> dict[str, int]:
    """Count the cells that need a decimal point, a comma, either ("?") or none (""), of a sample.

    Key "other" counts those that are no numbers.
    """
    found = {POINT: 0, COMMA: 0, "?": 0, "": 0, "other": 0}
    for cell, count in zip(cells, counts):
        split = split_cell(cell)
        mark = "other"
        if split is not None and split[3] is not CLOCK:
            mark = decimal_mark_of(split[0])
            if mark in (POINT, COMMA) and body_value(split[0], mark, None) is None:
                mark = "other"
        found[mark or ""] += int(count)
    return found


def find_marks(votes: Iterable[dict], *, decimal=None, thousands=None, sep=None) -> Marks:
    """Decide how the numbers of a file are written; each column has one vote.

    Parameters
    ----------
    votes : iterable of dict
        What `vote` counted in each column.
    decimal, thousands : str, default=None
        What the user named.
    sep : str, default=None
        Separator of the columns. A semicolon is used where numbers have decimal commas.
    """
    if decimal is None and thousands in (POINT, COMMA):
        decimal = COMMA if thousands == POINT else POINT
    if decimal is not None:
        return Marks(decimal, thousands, True, decimal)
    balance, decided = 0, 0
    for found in votes:
        numbers = found[POINT] + found[COMMA] + found["?"] + found[""]
        if numbers < found["other"] or found[POINT] == found[COMMA]:
            continue
        decided += 1
        balance += 1 if found[POINT] > found[COMMA] else -1
    comma = balance < 0 or (not decided and sep == ";")
    default = COMMA if comma else POINT
    if thousands is not None:
        return Marks(None, thousands, False, default)
    return Marks(None, None, False, default)


def parse_numbers(
    cells: np.ndarray, counts: np.ndarray, marks: Marks, *, thorough: bool = False
) -> Parsed:
    """Read the distinct cells of a column as numbers with units.

    Parameters
    ----------
    cells : ndarray of shape (n_distinct,), object
        Strings.
    counts : ndarray of shape (n_distinct,)
        How often each occurs.
    marks : Marks
        How numbers are written.
    thorough : bool, default=False
        Whether to read all cells even if hardly a number is among the first ones.
    """
    step = max(1, len(cells) // SAMPLE)
    found = vote(cells[::step][:SAMPLE], counts[::step][:SAMPLE])
    decimal, ambiguous = marks.decimal, None
    if decimal is None:
        decimal = marks.default
        if found[POINT] != found[COMMA]:
            decimal = POINT if found[POINT] > found[COMMA] else COMMA
        elif found["?"]:
            bodies = ((cell, split_cell(cell)) for cell in cells)
            ambiguous = next(
                (cell for cell, split in bodies if split and decimal_mark_of(split[0]) == "?"),
                None,
            )
    values = np.full(len(cells), np.nan)
    units = [""] * len(cells)
    n_numbers = sum(found[key] for key in (POINT, COMMA, "?", ""))
    has_clocks = any(_CLOCK_HINT.search(cell) for cell in cells[:5])
    if found["other"] > 4 * n_numbers and not (has_clocks or thorough):
        return Parsed(values, units)
    values, plain = _parse_plain(cells, decimal)
    for number in np.flatnonzero(~plain):
        split = split_cell(cells[number])
        values[number] = _cell_value(split, decimal, marks)
        if split is not None:
            units[number] = split[3]
    return Parsed(values, units, ambiguous)


def _parse_plain(cells: np.ndarray, decimal: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the cells that are plain numbers all at once."""
    text = pd.Series(cells, dtype=object)
    if decimal == COMMA:
        has_point = text.str.contains(POINT, regex=False).to_numpy(dtype=bool)
        text = text.str.replace(COMMA, POINT, regex=False).mask(has_point, "")
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return values.copy(), ~np.isnan(values)


def convert_units(parsed: Parsed, counts: np.ndarray):
    """Bring the numbers of a column to one unit; cells of another kind become NaN.

    Returns
    -------
    unit : str or None
        The unit, None if the column holds numbers of several kinds.
    converted : list of str
        The other units that were converted.
    """
    is_number = ~np.isnan(parsed.values)
    by_unit: dict[str, int] = {}
    for unit, count, number in zip(parsed.units, counts, is_number):
        if number:
            by_unit[unit] = by_unit.get(unit, 0) + int(count)
    unit, factors = common_unit(by_unit)
    if unit is None:
        return None, []
    if any(factors.get(name) != (1.0, 0.0) for name in by_unit):
        lost = (np.nan, 0.0)
        scale = np.array([factors.get(name, lost) for name in parsed.units])
        parsed.values = parsed.values * scale[:, 0] + scale[:, 1]
    others = (name for name in by_unit if name not in (unit, ""))
    return unit, [name for name in others if factors.get(name, (1.0, 0.0)) != (1.0, 0.0)]
