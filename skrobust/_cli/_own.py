"""Columns that an earlier audit or review wrote, and columns that resemble verified labels."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from skrobust._cli._labels import Labels, Spelling, is_unchecked, match_classes
from skrobust._cli._words import MISSING_VALUES, TO_VERIFY, WHY

ADDED = ("label_quality", "is_flagged", "corrected_label")
VERIFIED = "verified_label"
# Share of the filled cells that must be what the name promises.
NEARLY_ALL = 0.95
# So many cells are compared first, which settles most columns.
FIRST = 100
_OWN = re.compile(
    r"(label_quality|is_flagged|suggested_label|corrected_label|verified_label|to_verify)"
    r"(?:[^a-z].*)?",
    re.IGNORECASE | re.DOTALL,
)
_FLAGS = frozenset(
    "true false 0 1 0.0 1.0 yes no t f wahr falsch vrai faux verdadero falso vero".split()
)
_CHECKED_WORDS = frozenset(
    "checked check verified verify reviewed review corrected correction confirmed audited relabel"
    " relabeled relabelled gold truth true fixed fix validated adjudicated geprüft".split()
)


def own_kind(name: str) -> str | None:
    """Return which of our columns a name belongs to, with or without a suffix; None if to none."""
    match = _OWN.fullmatch(name.strip())
    return match.group(1).lower() if match else None


def _filled_words(cells: np.ndarray) -> tuple[list, np.ndarray]:
    """Return the distinct cells that are filled, and their counts."""
    counts = pd.Series(cells, dtype=object).value_counts()
    filled = [word.strip().casefold() not in MISSING_VALUES for word in counts.index]
    return counts.index[filled].tolist(), counts.to_numpy()[filled]


def fits(kind: str, table, name: str, labels: Labels) -> bool:
    """Whether a column holds what an audit would have written under its name."""
    words, counts = _filled_words(table.strings(name))
    n_filled = counts.sum()
    if not n_filled:
        return True
    if kind == "label_quality":
        text = pd.Series(words, dtype=object).str.strip().str.replace(",", ".", regex=False)
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        good = (values >= 0) & (values <= 1)
    elif kind == "is_flagged":
        good = np.array([word.strip().casefold() in _FLAGS for word in words])
    elif kind == TO_VERIFY:
        good = np.array([word.strip().casefold() in WHY for word in words])
    else:
        known = match_classes(words, labels.classes)
        good = np.array([word in known for word in words])
    return bool(counts[good].sum() >= NEARLY_ALL * n_filled)


def find_own(table, labels: Labels, excluded: set) -> tuple[dict, list]:
    """Find the columns that an earlier audit wrote.

    Parameters
    ----------
    table : TextTable or ParquetTable
        The table.
    labels : Labels
        Its labels.
    excluded : set of str
        Columns with a role that the user gave them.

    Returns
    -------
    own : dict of str to str
        Columns, and which of ours each is.
    doubtful : list of str
        Columns whose name is ours and whose content is not.
    """
    own, doubtful = {}, []
    for name in table.names:
        kind = own_kind(name)
        if kind is None or name in excluded:
            continue
        if fits(kind, table, name, labels):
            own[name] = kind
        else:
            doubtful.append(name)
    return own, doubtful


def relation_to_labels(name: str, table, labels: Labels, spelling: Spelling) -> str:
    """Return what a column of classes is to the labels.

    Parameters
    ----------
    name : str
        The column.
    table : TextTable or ParquetTable
        The table.
    labels : Labels
        Its labels.
    spelling : Spelling
        Which cells mean that there is no label.

    Returns
    -------
    relation : {"verified", "copy", ""}
        "verified" for a column that resembles verified labels: all its cells are classes, it is
        mostly empty, and its name contains a word such as "checked"; one of the latter two is
        enough if the classes are words, which no measurement shares. "copy" for another column
        of classes that nearly always agree with the labels.
    """
    if not table.may_hold_labels(name):
        return ""
    cells = table.strings(name)
    for word in dict.fromkeys(cells[:FIRST].tolist()):
        if not is_unchecked(word, spelling) and not match_classes([word], labels.classes):
            return ""
    numbers, words = pd.factorize(pd.Series(cells, dtype=object))
    filled = [word for word in words if not is_unchecked(word, spelling)]
    found = match_classes(filled, labels.classes)
    if not filled or len(found) < len(filled):
        return ""
    codes = np.array([found.get(word, -1) for word in words] + [-1])[numbers]
    n_filled = int((codes >= 0).sum())
    is_sparse = n_filled <= len(cells) / 2
    is_named = bool(set(re.split(r"[^\w]+|_", name.casefold())) & _CHECKED_WORDS)
    simple = {"true", "false", "yes", "no", "y", "n", "t", "f", "ja", "nein"}
    are_words = all(word[:1].isalpha() and word.casefold() not in simple for word in labels.classes)
    if (is_sparse and is_named) or (are_words and (is_sparse or is_named)):
        return "verified"
    compared = (codes >= 0) & (labels.codes >= 0)
    agree = (codes == labels.codes)[compared]
    is_copy = (
        not is_sparse and len(set(codes[compared].tolist())) > 1 and agree.mean() >= NEARLY_ALL
    )
    return "copy" if is_copy else ""


def free_names(columns: list, names: tuple = ADDED) -> tuple:
    """Return the names to write, with one suffix for all if any is taken."""
    suffix, number = "", 1
    while any(name + suffix in columns for name in names):
        number += 1
        suffix = f"_{number}"
    return tuple(name + suffix for name in names)
