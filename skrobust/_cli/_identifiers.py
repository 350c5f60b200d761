"""Columns that name their rows rather than describe them."""

from __future__ import annotations

import re

import numpy as np

# Below this many rows, values that all differ prove nothing.
MIN_ROWS = 20
NEARLY_UNIQUE = 0.95
UNIQUE_CODES = "codes without blanks, nearly all different"
SURE_NAMES = frozenset({"id", "ids", "uuid", "guid", "rowid", "pk", "oid"})
# Only as the last word of a name: "order no", but not "no of orders".
LIKELY_NAMES = frozenset(
    "key index idx hash no nr num number ref reference code serial row record md5 sha1 sha256"
    " token barcode isbn sku".split()
)
TIME_NAMES = frozenset(
    ("time", "date", "day", "stamp", "timestamp", "epoch", "at", "ts", "year", "month", "week")
)
_UNNAMED = re.compile(r"column \d+'*|unnamed: ?\d+|index|__index_level_\d+__", re.IGNORECASE)


def name_words(name: str) -> list[str]:
    """Split a column name: customerId, customer_id and "Customer ID" give the same words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(name))
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def _kinds_of_name(name: str) -> tuple[bool, bool, bool]:
    """Return whether a name is that of an identifier for sure, likely, or of a time."""
    words = name_words(name)
    sure = bool(SURE_NAMES & set(words))
    likely = sure or bool(words and words[-1] in LIKELY_NAMES)
    return sure, likely, bool(TIME_NAMES & set(words))


def number_is_identifier(name: str, values: np.ndarray, *, is_index: bool = False) -> str:
    """Return the rule by which whole numbers are an identifier, "" if they are none.

    Whole numbers of one length, and numbers that rise from row to row, are none merely for that.
    """
    present = values[~np.isnan(values)]
    if not len(present) or (present != np.round(present)).any():
        return ""
    sure, likely, is_time = _kinds_of_name(name)
    distinct = np.unique(present)
    ratio = len(distinct) / len(present)
    if is_time or _are_day_numbers(present):
        return ""
    if sure and ratio >= 0.5 and len(distinct) > 2:
        return "its name, and most values differ"
    if len(present) < MIN_ROWS or ratio < NEARLY_UNIQUE:
        return ""
    if likely:
        return "its name, and nearly all values differ"
    if ratio < 1:
        return ""
    if is_index or _UNNAMED.fullmatch(name.strip()):
        return "a column without a name in which all values differ"
    is_count = distinct[0] in (0, 1) and distinct[-1] - distinct[0] == len(values) - 1
    return f"counts the rows from {distinct[0]:.0f}" if is_count else ""


def _are_day_numbers(values: np.ndarray) -> bool:
    """Whether values are dates written as 20240131."""
    if values.min() < 19000101 or values.max() > 21001231:
        return False
    month, day = values // 100 % 100, values % 100
    return bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def text_is_identifier(name: str, words: np.ndarray, n_filled: int, *, is_index=False) -> str:
    """Return the rule by which text is an identifier, "" if it is none.

    Parameters
    ----------
    name : str
        Name of the column.
    words : ndarray of shape (n_distinct,), object
        Its distinct values.
    n_filled : int
        Number of rows that have one.
    is_index : bool, default=False
        Whether the column was the index of a frame.
    """
    sure, likely, _ = _kinds_of_name(name)
    ratio = len(words) / n_filled
    if n_filled < MIN_ROWS and not sure:
        return ""
    if np.mean([bool(re.search(r"\s", word)) for word in words]) > 0.05:
        return ""
    if sure and ratio >= 0.5 and len(words) > 2:
        return "its name, and most values differ"
    if ratio < NEARLY_UNIQUE:
        return ""
    if likely:
        return "its name, and nearly all values differ"
    if is_index:
        return "the index of a data frame, in which nearly all values differ"
    codes = [bool(re.search(r"\d|@", word)) and "://" not in word for word in words]
    if np.mean(codes) > 0.9:
        return UNIQUE_CODES
    return ""
