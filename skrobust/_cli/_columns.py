"""How each column of a table is read: number, category, text, date, or not a feature."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np
import pandas as pd

from skrobust._cli._common import CommandError, one_line
from skrobust._cli._dates import parse_dates
from skrobust._cli._identifiers import UNIQUE_CODES, number_is_identifier, text_is_identifier
from skrobust._cli._numbers import (
    COMMA,
    SAMPLE,
    Marks,
    Parsed,
    convert_units,
    find_marks,
    parse_numbers,
    vote,
)
from skrobust._cli._units import CLOCK
from skrobust._cli._words import MISSING_VALUES, is_total

# A column is numbers if so large a share of its filled cells are; or if half of them are, with so
# many different numbers, and the rest are so few different words.
NUMBER_SHARE = 0.9
WORDS_SHARE = 0.5
MIN_DISTINCT_NUMBERS = 20
MAX_OTHER_WORDS = 3
MAX_CATEGORIES = 40
MAX_NAMED = 6
LARGEST_NUMBER = 1e18
# Models compute in float32, which holds whole numbers up to here.
EXACT_IN_FLOAT32 = 2.0**24
USED = ("number", "category", "text", "date")


@dataclasses.dataclass
class Column:
    """One column as it was read.

    Attributes
    ----------
    name : str
        Its name.
    role : str
        "number", "category", "text" or "date" for features; "identifier", "constant", "empty",
        "unusable" and others for columns that are left out.
    detail : str
        Unit, rule, or other remark.
    values : ndarray of shape (n_rows,) or None
        The feature.
    odd : dict of str to int
        Cells of a column of numbers or dates that are none, made missing, and their counts.
    forced : bool
        Whether the user named the role.
    """

    name: str
    role: str
    detail: str = ""
    values: np.ndarray | None = None
    odd: dict = dataclasses.field(default_factory=dict)
    forced: bool = False

    @property
    def used(self) -> bool:
        """Whether the column is a feature."""
        return self.role in USED


@dataclasses.dataclass
class Reading:
    """How all columns were read.

    Attributes
    ----------
    columns : list of Column
        In the order of the table, without the labels.
    notes : list of str
        Notes for the report.
    """

    columns: list
    notes: list

    def of_role(self, *roles: str) -> list[str]:
        """Return the names of the columns of these roles."""
        return [column.name for column in self.columns if column.role in roles]

    @property
    def features(self) -> list[Column]:
        """The columns that are used."""
        return [column for column in self.columns if column.used]


@dataclasses.dataclass
class _Words:
    """A column of text as its distinct words."""

    numbers: np.ndarray
    words: np.ndarray
    counts: np.ndarray
    filled: np.ndarray
    skipped: np.ndarray

    @classmethod
    def of(cls, cells: np.ndarray, skipped: np.ndarray) -> _Words:
        """Count the words of a column; some rows are not counted."""
        numbers, words = pd.factorize(pd.Series(cells, dtype=object), use_na_sentinel=True)
        words = np.asarray(words, dtype=object)
        counted = numbers.copy()
        counted[skipped] = -1
        counts = np.bincount(counted[counted >= 0], minlength=len(words))
        filled = np.array([word.strip().casefold() not in MISSING_VALUES for word in words], bool)
        return cls(numbers, words, counts, filled & (counts > 0), skipped)

    @property
    def has_gaps(self) -> bool:
        """Whether some of the rows that count have no value."""
        return self.counts[self.filled].sum() < len(self.numbers) - len(self.skipped)

    def expand(self, values: np.ndarray, missing) -> np.ndarray:
        """Return a value for each row, from one for each filled word."""
        full = np.full(len(self.words) + 1, missing, dtype=values.dtype)
        full[:-1][self.filled] = values
        return full[self.numbers]


def read_columns(table, names: list, forced: dict, *, decimal=None, thousands=None, skipped=()):
    """Decide how each column is read.

    Parameters
    ----------
    table : TextTable or ParquetTable
        The table.
    names : list of str
        The columns that may be features.
    forced : dict of str to str
        Roles that the user named: "number", "text", "category", or "keep" for a feature of
        whatever kind.
    decimal, thousands : str, default=None
        Marks that the user named.
    skipped : array of int, default=()
        Rows that are no data.

    Returns
    -------
    reading : Reading
        The columns.
    """
    skipped = np.asarray(skipped, dtype=int)
    cells = {name: table.cells(name) for name in names}
    words = {
        name: _Words.of(found.values, skipped)
        for name, found in cells.items()
        if found.kind in ("text", "bool")
    }
    votes = {}
    for name, column in words.items():
        if forced.get(name) not in ("text", "category"):
            filled, counts = column.words[column.filled], column.counts[column.filled]
            step = max(1, len(filled) // SAMPLE)
            votes[name] = vote(filled[::step][:SAMPLE], counts[::step][:SAMPLE])
    sep = None if table.source.layout is None else table.source.layout.sep
    marks = find_marks(votes.values(), decimal=decimal, thousands=thousands, sep=sep)
    with_commas = [
        one_line(name)
        for name, found in votes.items()
        if found[COMMA] > found["."] and sum(found.values()) > 2 * found["other"]
    ]
    reading = Reading([], [])
    doubtful = []
    for name in names:
        role = forced.get(name)
        if name in words:
            column, ambiguous = _read_words(name, words[name], marks, role, table)
            if ambiguous is not None and column.role == "number":
                doubtful.append((name, ambiguous))
        else:
            column = _read_typed(name, cells[name], role, table, skipped)
        column.forced = role in ("number", "text", "category")
        reading.columns.append(column)
    if doubtful and not any(found["."] != found[COMMA] for found in votes.values()):
        name, example = doubtful[0]
        kind = "a decimal" if marks.default in example else "a thousands"
        reading.notes.append(
            f"{one_line(example)!r} in {one_line(name)!r} was read with {kind} mark, which no"
            " other cell of the table decides (see --decimal and --thousands)"
        )
    if with_commas and not marks.is_given:
        shown = ", ".join(map(repr, with_commas[:MAX_NAMED]))
        more = f" and {len(with_commas) - MAX_NAMED} more" if len(with_commas) > MAX_NAMED else ""
        reading.notes.append(f"decimal commas in {shown}{more} (see --decimal)")
    return reading


def _read_words(name, column: _Words, marks: Marks, role: str | None, table):
    """Read a column of text; also return a cell whose mark is ambiguous."""
    words, counts = column.words[column.filled], column.counts[column.filled]
    n_filled = int(counts.sum())
    if not n_filled:
        return Column(name, "empty"), None
    stripped = np.array([word.strip() for word in words], dtype=object)
    if len(set(stripped)) == 1 and not column.has_gaps:
        return Column(name, "constant", f"always {one_line(stripped[0])!r}"), None
    is_index = name in table.index_names
    if role in (None, "keep", "number"):
        parsed = parse_numbers(stripped, counts, marks, thorough=role == "number")
        column_read = _as_number(name, column, parsed, counts, role, is_index)
        if column_read is not None:
            return column_read, parsed.ambiguous
        why = _mixed_units(parsed, counts) or _partly_numbers(parsed, counts)
        dates = parse_dates(stripped, day_first=marks.default == COMMA)
        if dates is not None:
            odd = {word: int(n) for word, n, day in zip(words, counts, dates) if np.isnat(day)}
            values = column.expand(dates, np.datetime64("NaT", "us"))
            return Column(name, "date", "", values, {**odd, **_gap_words(column)}), None
    else:
        why = ""
    if role is None:
        rule = text_is_identifier(name, stripped, n_filled, is_index=is_index)
        if rule and (not why or rule != UNIQUE_CODES):
            return Column(name, "identifier", rule), None
    few = len(set(stripped)) <= MAX_CATEGORIES
    kind = role if role in ("text", "category") else ("category" if few else "text")
    detail = why or (f"{len(set(stripped))} values" if kind == "category" else "")
    return Column(name, kind, detail, column.expand(stripped, None)), None


def _gap_words(column: _Words) -> dict:
    """Return the words that were read as missing, blank cells aside."""
    return {
        word: int(count)
        for word, count, filled in zip(column.words, column.counts, column.filled)
        if not filled and count and word.strip()
    }


def _as_number(name, column, parsed: Parsed, counts, role, is_index) -> Column | None:
    """Return the column as numbers, None if it is not numbers."""
    words = column.words[column.filled]
    n_filled = int(counts.sum())
    before = ~np.isnan(parsed.values)
    if not before.any():
        if role == "number":
            raise CommandError(
                f"--as-number {name!r} holds no number; its cells are like {one_line(words[0])!r}"
            )
        return None
    raw = dataclasses.replace(parsed, values=parsed.values.copy())
    unit, converted = convert_units(raw, counts)
    if unit is None:
        if role != "number":
            return None
        weights = collections.Counter()
        for name_of_unit, count in zip(parsed.units, np.where(before, counts, 0)):
            weights[name_of_unit] += int(count)
        unit = max(weights, key=weights.__getitem__)
        same = np.array([found in (unit, "") for found in parsed.units])
        raw.values = np.where(same, parsed.values, np.nan)
    is_number = ~np.isnan(raw.values)
    n_numbers = int(counts[is_number].sum())
    others = [word for word, found in zip(words, is_number) if not found]
    mostly = n_numbers >= NUMBER_SHARE * n_filled
    few_words = (
        n_numbers >= WORDS_SHARE * n_filled
        and is_number.sum() >= MIN_DISTINCT_NUMBERS
        and len(others) <= MAX_OTHER_WORDS
    )
    # One row of totals must not turn a short column into text.
    headed = sum(count for word, count in zip(words, counts) if is_total(word))
    mostly = mostly or n_numbers >= NUMBER_SHARE * (n_filled - headed) > 0
    usual = (mostly or few_words) and not _are_codes(words[is_number], counts[is_number])
    if not usual and role != "number":
        return None
    odd = {word: int(n) for word, n, good in zip(words, counts, is_number) if not good}
    odd |= _gap_words(column)
    values = np.clip(raw.values, -LARGEST_NUMBER, LARGEST_NUMBER)
    expanded = column.expand(values, np.nan)
    present = values[is_number]
    if len(set(present.tolist())) == 1 and not (column.has_gaps or others):
        return Column(name, "constant", f"always {one_line(words[0])!r}")
    if role is None and not unit:
        counted = np.delete(expanded, column.skipped)
        rule = number_is_identifier(name, counted, is_index=is_index)
        if rule:
            return Column(name, "identifier", rule)
    details = []
    if unit:
        details.append("time of day or duration, in seconds" if unit == CLOCK else f"in {unit}")
        if converted:
            details.append(f"{', '.join(map(repr, sorted(converted)))} converted")
        bare = sum(int(n) for u, n, good in zip(parsed.units, counts, is_number) if good and not u)
        if bare and unit != CLOCK:
            details.append(f"{bare} without a unit, read as {unit}")
    return Column(name, "number", "; ".join(details), expanded, odd)


def _are_codes(words, counts) -> bool:
    """Whether numbers are written with leading zeros, as postal codes and keys are."""
    if not all(word.strip().isdigit() for word in words):
        return False
    lengths = collections.Counter()
    zeros = 0
    for word, count in zip(words, counts):
        text = word.strip()
        lengths[len(text)] += int(count)
        zeros += int(count) * (len(text) > 1 and text[0] == "0")
    length, most = lengths.most_common(1)[0]
    return zeros > 0 and length >= 3 and most >= NUMBER_SHARE * sum(lengths.values())


def _mixed_units(parsed: Parsed, counts) -> str:
    """Return why numbers with units are read as text, "" if the column holds none."""
    is_number = ~np.isnan(parsed.values)
    if counts[is_number].sum() < NUMBER_SHARE * counts.sum():
        return ""
    units = collections.Counter()
    for unit, count, good in zip(parsed.units, counts, is_number):
        if good:
            units[unit] += int(count)
    if len(units) < 2 or len(units) > MAX_OTHER_WORDS + 2:
        return ""
    shown = ", ".join(unit or "none" for unit, _ in units.most_common(4))
    return f"numbers of units that cannot be compared ({shown}); see --as-number"


def _partly_numbers(parsed: Parsed, counts) -> str:
    """Note that at least half of the cells of a column are numbers, though it is read as text."""
    is_number = ~np.isnan(parsed.values)
    bare = np.array([not unit for unit in parsed.units]) & is_number
    if counts[bare].sum() < WORDS_SHARE * counts.sum() or is_number.all():
        return ""
    share = counts[bare].sum() / counts.sum()
    return f"{share:.0%} of the cells are numbers; see --as-number"


def _read_typed(name, cells, role, table, skipped) -> Column:
    """Read a column whose values have a type."""
    if cells.kind == "empty":
        return Column(name, "empty")
    if cells.kind == "unusable":
        if role is not None:
            raise CommandError(
                f"{name!r} holds {cells.detail} values, which cannot be a feature; leave it out of"
                " --keep, --as-number, --as-text and --as-category"
            )
        return Column(name, "unusable", cells.detail)
    if cells.kind == "date":
        if role == "number":
            seconds = cells.values.astype("datetime64[us]").astype(np.int64) / 1e6
            seconds = np.where(np.isnat(cells.values), np.nan, seconds)
            return Column(name, "number", "in seconds", seconds)
        if role in ("text", "category"):
            text = np.array([None if np.isnat(day) else str(day) for day in cells.values], object)
            return Column(name, role, "", text)
        present = cells.values[~np.isnat(cells.values)]
        if not len(present):
            return Column(name, "empty")
        if len(np.unique(present)) == 1 and len(present) == len(cells.values):
            return Column(name, "constant", f"always {present[0]}")
        return Column(name, "date", "", cells.values)
    values = np.clip(cells.values, -LARGEST_NUMBER, LARGEST_NUMBER)
    counted = np.delete(values, skipped)
    present = counted[~np.isnan(counted)]
    if not len(present):
        return Column(name, "empty")
    if (present == present[0]).all() and len(present) == len(counted):
        return Column(name, "constant", f"always {present[0]:g}")
    if role in ("text", "category"):
        text = [None if np.isnan(value) else f"{value:.15g}" for value in values]
        return Column(name, role, "", np.array(text, dtype=object))
    if role is None and cells.kind == "number":
        rule = number_is_identifier(name, counted, is_index=name in table.index_names)
        if rule:
            return Column(name, "identifier", rule)
    detail = "time of day or duration, in seconds" if cells.kind == "time" else ""
    return Column(name, "number", detail, values)


def feature_frame(columns: list[Column], rows: np.ndarray | None = None) -> pd.DataFrame:
    """Return features as types that skrub understands, for some rows or all."""
    frame = {}
    for column in columns:
        values = column.values if rows is None else column.values[rows]
        if column.role == "number":
            finite = values[~np.isnan(values)]
            if finite.size and np.abs(finite).max() > EXACT_IN_FLOAT32:
                values = values - np.median(finite)
            frame[column.name] = values
        elif column.role == "category":
            # skrub would convert text such as "00100" to numbers, but no categories.
            frame[column.name] = pd.Categorical(pd.Series(values, dtype=object))
        else:
            frame[column.name] = values
    return pd.DataFrame(frame)
