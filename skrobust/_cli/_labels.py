"""The column of labels, and columns of labels that a reviewer checked."""

from __future__ import annotations

import collections
import dataclasses
import re

import numpy as np
import pandas as pd

from skrobust._cli._common import CommandError, one_line
from skrobust._cli._words import LIKELY_MARKERS, MISSING_LABELS, is_total, normal_form

# A word that was read as "no label" is pointed out from this share of the rows on.
FREQUENT = 0.01
MAX_NAMED = 5
_DECIMAL = re.compile(r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?")
_WHOLE = re.compile(r"[-+]?\d{1,40}")


@dataclasses.dataclass
class Labels:
    """Given labels as numbers of classes.

    Attributes
    ----------
    name : str
        The column.
    codes : ndarray of shape (n_rows,), int
        Class of each row, -1 where there is no label.
    classes : list of str
        The classes as the file writes them, in natural order.
    first_rows : ndarray of shape (n_classes,), int
        A row of each class, which spells it as `classes` does.
    respelled : ndarray of shape (n_rows,), bool
        Rows that spell their class in another way, where spellings are merged.
    read_as_missing : dict of str to int
        Words that were read as "no label", such as "NA", and how often they occur.
    total_rows : ndarray of int
        Rows at the end that hold totals, not data.
    notes : list of str
        Notes for the report.
    """

    name: str
    codes: np.ndarray
    classes: list
    first_rows: np.ndarray
    respelled: np.ndarray
    read_as_missing: dict
    total_rows: np.ndarray
    notes: list

    def spelled(self, codes: np.ndarray) -> np.ndarray:
        """Return classes as the file writes them, None for -1."""
        return np.array([*self.classes, None], dtype=object)[codes]


class Spelling:
    """Which cells of a column of labels mean that there is no label, or the same one.

    Parameters
    ----------
    keep_na : bool
        Whether words such as "NA" and "None" are classes.
    markers : list of str
        Further spellings that mean "no label".
    merge : bool
        Whether words that differ only by case, blanks or leading zeros are one class.
    """

    def __init__(self, *, keep_na: bool = False, markers: list = (), merge: bool = False):
        self.keep_na = keep_na
        self.merge = merge
        self.markers = {marker.strip(): marker for marker in markers}
        self._numbers = {_number(marker) for marker in self.markers} - {None}
        self.seen: set = set()

    @classmethod
    def of(cls, options) -> Spelling:
        """As the options of the command line have it."""
        return cls(
            keep_na=options.keep_na,
            markers=options.missing_label,
            merge=options.merge_spellings,
        )

    def is_missing(self, cell: str) -> bool:
        """Whether a cell means that there is no label."""
        text = cell.strip()
        if text in self.markers:
            self.seen.add(text)
            return True
        number = _number(text) if self._numbers else None
        if number is not None and number in self._numbers:
            self.seen.update(m for m in self.markers if _number(m) == number)
            return True
        return not text or (not self.keep_na and text in MISSING_LABELS)


def _number(text: str) -> float | None:
    """Return the number that a marker such as "-1" or "-1.0" is."""
    return float(text.replace(",", ".")) if _DECIMAL.fullmatch(text) else None


def _natural_key(word: str) -> tuple:
    """Order whole numbers by size, before words."""
    return (0, int(word), word) if _WHOLE.fullmatch(word) else (1, 0, word)


def read_labels(name: str, table, spelling: Spelling, option: str = "--label") -> Labels:
    """Read the column of labels; raise a CommandError if it holds no classes."""
    cells = table.label_cells(name, option)
    total_rows = _total_rows(table, cells)
    numbers, words = pd.factorize(pd.Series(cells, dtype=object), use_na_sentinel=True)
    counts = np.bincount(numbers[numbers >= 0], minlength=len(words))
    # The word of a row of totals is no class.
    counts_of_data = counts - np.bincount(
        numbers[total_rows][numbers[total_rows] >= 0], minlength=len(words)
    )
    number_of, read_as_missing = {}, {}
    for number, word in enumerate(words):
        if spelling.is_missing(word):
            if word.strip():
                read_as_missing[word] = int(counts[number])
        elif counts_of_data[number]:
            number_of[word] = number
    groups = _group_words({word: int(counts_of_data[n]) for word, n in number_of.items()}, spelling)
    classes = sorted(groups, key=_natural_key)
    code_of_word = np.full(len(words) + 1, -1)
    for code, word in enumerate(classes):
        code_of_word[[number_of[other] for other in groups[word]]] = code
    codes = code_of_word[numbers]
    codes[total_rows] = -1
    hint = ""
    if read_as_missing and not spelling.keep_na:
        word, count = max(read_as_missing.items(), key=lambda item: item[1])
        if word.strip() not in spelling.markers:
            hint = (
                f"; {one_line(word)!r} ({count} rows) was read as no label: if it is a class, use"
                " --keep-na"
            )
    _check_classes(name, classes, codes, option, hint)
    number_of_class = np.array([number_of[word] for word in classes])
    respelled = (codes >= 0) & (numbers != np.append(number_of_class, -1)[codes])
    _, first_rows = np.unique(np.where(respelled, -1, codes), return_index=True)
    first_rows = first_rows[-len(classes) :]
    labels = Labels(name, codes, classes, first_rows, respelled, read_as_missing, total_rows, [])
    _note_words(labels, spelling, table)
    _note_spellings(labels, groups, spelling)
    return labels


def _group_words(counts: dict, spelling: Spelling) -> dict:
    """Map classes to their spellings, with counts; a class is spelled as it mostly is."""
    if not spelling.merge:
        return {word: {word: count} for word, count in counts.items()}
    groups: dict = collections.defaultdict(dict)
    for word in sorted(counts, key=lambda word: (-counts[word], _natural_key(word))):
        groups[normal_form(word)][word] = counts[word]
    return {next(iter(group)): group for group in groups.values()}


def _note_spellings(labels: Labels, groups: dict, spelling: Spelling) -> None:
    """Note labels that are nearly equal, and whether they are one class."""
    similar = collections.defaultdict(list)
    for word in labels.classes:
        for other, count in groups[word].items():
            similar[normal_form(word)].append(f"{one_line(other)!r} ({count})")
    shown = [", ".join(spellings) for spellings in similar.values() if len(spellings) > 1]
    if not shown:
        return
    more = len(shown) - MAX_NAMED
    text = "; ".join([*shown[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])])
    labels.notes.append(
        f"labels read as one class, spelled as the first of each: {text}"
        if spelling.merge
        else "labels that differ only by case, blanks or leading zeros, each a class of its own:"
        f" {text} (--merge-spellings makes them one)"
    )


def _check_classes(name: str, classes: list, codes: np.ndarray, option: str, hint: str) -> None:
    """Raise if the labels are no classes."""
    n_labelled = int((codes >= 0).sum())
    if not classes:
        raise CommandError(f"{option} {name!r}: no row has a label{hint}")
    if all(_DECIMAL.fullmatch(word.strip()) for word in classes):
        broken = [word for word in classes if not _is_whole(word)]
        if broken:
            raise CommandError(
                f"{option} {name!r} holds decimal numbers such as {one_line(broken[0].strip())}, a"
                " measurement and not a class; expected classes: words or whole numbers (in Python,"
                " skrobust.wrappers.CleaningRegressor takes numeric targets)"
            )
    if len(classes) == 1:
        raise CommandError(
            f"{option} {name!r} has one class only, {one_line(classes[0])!r}; expected at least two"
            + hint
        )
    counts = np.bincount(codes[codes >= 0])
    if counts.max() < 2 or len(classes) > max(2, n_labelled / 2):
        raise CommandError(
            f"{option} {name!r} has {len(classes)} different labels on {n_labelled} rows: an"
            " identifier, a measurement or free text; expected classes that repeat"
        )


def _is_whole(word: str) -> bool:
    """Whether a number has no fraction."""
    if word.strip().lstrip("+-").isdigit():
        return True
    number = _number(word.strip())
    return abs(number) != float("inf") and number == int(number)


def _total_rows(table, cells: np.ndarray) -> np.ndarray:
    """Return the last row if it is headed "Total" and its label is blank or that word."""
    last = table.n_rows - 1
    label = cells[last]
    blank = label is None or not label.strip()
    if last < 2 or not (blank or is_total(label)):
        return np.array([], dtype=int)
    heads = [cell for cell in table.row(last) if cell.strip()]
    if not any(is_total(cell) for cell in heads):
        return np.array([], dtype=int)
    if not blank and sum(cell == label for cell in cells if cell is not None) > 1:
        return np.array([], dtype=int)  # a class of that name
    return np.array([last])


def _note_words(labels: Labels, spelling: Spelling, table) -> None:
    """Note what was read as missing, and what may mark no label."""
    n_rows, classes = len(labels.codes), labels.classes
    is_text = not all(_DECIMAL.fullmatch(word.strip()) for word in classes)
    if not spelling.keep_na:
        for word, count in labels.read_as_missing.items():
            if word.strip() in spelling.markers:
                continue
            if is_text and count >= max(2, FREQUENT * n_rows) and not word.startswith("#"):
                labels.notes.append(
                    f"{one_line(word)!r} in {labels.name!r} ({count} rows) was read as no label;"
                    " if it is a class, use --keep-na"
                )
    for marker in sorted(set(spelling.markers) - spelling.seen):
        labels.notes.append(f"--missing-label {one_line(spelling.markers[marker])!r} never occurs")
    counts = np.bincount(labels.codes[labels.codes >= 0], minlength=len(classes))
    for code, word in enumerate(classes):
        if may_mark_absence(word, classes) and not (spelling.keep_na and word in MISSING_LABELS):
            labels.notes.append(
                f"{one_line(word)!r} in {labels.name!r} ({counts[code]} rows) is read as a class;"
                f" if it means that there is no label, use --missing-label {one_line(word)}"
            )
    if len(labels.total_rows):
        kind, (row,) = table.row_names(labels.total_rows)
        labels.notes.append(f"{kind} {row} holds totals and is left out")


def may_mark_absence(word: str, classes: list) -> bool:
    """Whether a class may be a marker: "?", "unknown", -1 or 99 among small whole numbers."""
    if word.strip().casefold() not in LIKELY_MARKERS:
        return False
    if not _WHOLE.fullmatch(word.strip()):
        return True
    others = [other for other in classes if other != word]
    if not all(_WHOLE.fullmatch(other) for other in others):
        return False
    # -1 and 1 are the two classes of many data sets; 99 is odd beside numbers of one digit.
    numbers = [int(other) for other in others]
    return min(numbers) >= 0 and numbers != [1] and (int(word) < 0 or max(numbers) < 20)


def match_classes(words: list, classes: list) -> dict:
    """Map words to classes: as written or, where that leaves one class, up to spelling."""
    exact = {word: code for code, word in enumerate(classes)}
    similar = collections.defaultdict(set)
    for code, word in enumerate(classes):
        similar[word.strip()].add(code)
        similar["", normal_form(word)].add(code)
    found = {}
    for word in words:
        for codes in ({exact.get(word)} - {None}, similar.get(word.strip(), ()),
                      similar.get(("", normal_form(word)), ())):  # fmt: skip
            if len(codes) == 1:
                (found[word],) = codes
                break
    return found


@dataclasses.dataclass
class Verified:
    """Labels that a reviewer checked.

    Attributes
    ----------
    codes : ndarray of shape (n_rows,), int
        Class of each row, -1 where a row was not checked.
    names : list of str
        The columns it was read from; the last one counts where they differ.
    notes : list of str
        Notes for the report.
    """

    codes: np.ndarray
    names: list
    notes: list


def read_verified(names: list, table, labels: Labels, spelling: Spelling) -> Verified | None:
    """Read and merge columns of verified labels; a later column takes precedence."""
    if not names:
        return None
    merged, notes = np.full(table.n_rows, -1), []
    for name in names:
        codes, respelled = _verified_codes(name, table, labels, spelling)
        notes += respelled
        differ = int(((merged >= 0) & (codes >= 0) & (merged != codes)).sum())
        if differ:
            notes.append(
                f"{one_line(name)!r} differs in {differ} rows from verified labels of earlier"
                " columns and takes precedence"
            )
        merged = np.where(codes >= 0, codes, merged)
    merged[labels.total_rows] = -1
    if (merged < 0).all():
        notes.append(f"no row is verified in {', '.join(repr(one_line(name)) for name in names)}")
    return Verified(merged, list(names), notes)


def _verified_codes(name, table, labels: Labels, spelling: Spelling) -> tuple:
    """Read one column of verified labels."""
    cells = table.label_cells(name, "--verified")
    numbers, words = pd.factorize(pd.Series(cells, dtype=object), use_na_sentinel=True)
    found = match_classes([word for word in words if word.strip()], labels.classes)
    codes, unknown, respelled = np.full(len(words) + 1, -1), [], []
    for number, word in enumerate(words):
        code = found.get(word)
        # A word such as "NA" is a class where the labels have it, and means "not checked" if not.
        exact = code is not None and labels.classes[code] == word
        if not exact and is_unchecked(word, spelling):
            continue
        if code is None:
            unknown.append(word)
            continue
        codes[number] = code
        if not exact:
            respelled.append(f"{one_line(word)!r} as {one_line(labels.classes[code])!r}")
    if unknown:
        shown = ", ".join(repr(one_line(word)) for word in sorted(unknown)[:MAX_NAMED])
        more = ", ..." if len(unknown) > MAX_NAMED else ""
        from skrobust.inspection._apply_corrections import name_classes

        raise CommandError(
            f"--verified {name!r} holds labels that are none of the {len(labels.classes)} classes"
            f" given: {shown}{more}; the classes are {name_classes(unknown[0], labels.classes)}"
        )
    notes = []
    if respelled:
        more = ", ..." if len(respelled) > MAX_NAMED else ""
        notes.append(
            f"--verified {one_line(name)!r}: read {', '.join(respelled[:MAX_NAMED])}{more}"
        )
    return codes[numbers], notes


def is_unchecked(word: str, spelling: Spelling) -> bool:
    """Whether a cell of a column of verified labels means that the row was not checked."""
    text = word.strip()
    return spelling.is_missing(word) or text in MISSING_LABELS or text in {"-", "--", "?", "."}
