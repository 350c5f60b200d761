"""Folds for label-error detection: copies stay together, rare classes are not tested."""

from collections.abc import Iterable

import numpy as np
from scipy import sparse
from sklearn.model_selection import (
    PredefinedSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import indexable

from skrobust.evidence._copies import common_rows, label_salts, row_counts, row_ids
from skrobust.utils._rows import row_hashes
from skrobust.utils._sklearn import safe_indexing

# Units this many times smaller than a fold are dealt without regard to their sizes.
_MANY_UNITS = 100


class FoldsByContent(int):
    """A number of folds that are dealt by the content of rows, not by their place."""

    def __new__(cls, n_splits, deal=0):
        folds = super().__new__(cls, n_splits)
        folds.deal = deal
        return folds

    def place(self, n_units: int) -> np.ndarray:
        """Shuffle the places of units that are numbered by their content."""
        return np.random.RandomState(self.deal).permutation(n_units)


def row_units(
    X, labels: np.ndarray, groups: np.ndarray | None = None, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Number the units that must not be split between training and test rows."""
    return _join_groups(row_ids(row_hashes(X), labels, sample_weight, groups), groups)


def _join_groups(ids, groups) -> np.ndarray:
    """Number the connected components of rows with equal ids or in one group."""
    units = np.unique(ids, return_inverse=True)[1]
    if groups is None:
        return units
    n_units, n_groups = units.max() + 1, groups.max() + 1
    # Groups that share a row hash are one: the connected parts of the graph of both.
    links = sparse.coo_matrix(
        (np.ones(len(units), dtype=np.int8), (units, groups + n_units)),
        shape=(n_units + n_groups, n_units + n_groups),
    )
    _, part = sparse.csgraph.connected_components(links, directed=False)
    return np.unique(part[units], return_inverse=True)[1]


def lone_class_rows(units: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Find the rows whose class occurs in one unit only, so that no model learns it elsewhere."""
    used = codes >= 0
    # Whether any row of a class belongs to another unit than one of them that stands for all.
    one = np.zeros(codes.max(initial=0) + 1, dtype=units.dtype)
    one[codes[used]] = units[used]
    several = np.zeros(len(one), dtype=bool)
    several[codes[used & (units != one[codes])]] = True
    if not several.any():
        raise ValueError(
            "Every class has only one distinct row (or group of rows): to judge a label, some"
            " other row of its class is needed."
        )
    return used & ~several[codes]


def _count_units(units: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Count the units in which each class occurs."""
    n_classes = codes.max() + 1
    return np.bincount(np.unique(units * n_classes + codes) % n_classes, minlength=n_classes)


def make_folds(
    cv,
    X,
    y: np.ndarray,
    codes: np.ndarray,
    used: np.ndarray,
    groups=None,
    sample_weight: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split rows into training and test rows."""
    rows = np.flatnonzero(used)
    by_row_number = isinstance(cv, Iterable) and not hasattr(cv, "split")
    if by_row_number or isinstance(cv, PredefinedSplit):
        folds = []
        for train, test in check_cv(cv).split():
            train, test = _as_row_numbers(train), _as_row_numbers(test)
            folds.append((train[used[train]], test[used[test]]))
        return _refuse_empty(folds, cv)
    (X_used,) = indexable(X)
    X_used = X_used if used.all() else safe_indexing(X_used, rows)
    groups_used = None if groups is None else groups[rows]
    if cv is None or isinstance(cv, (int, np.integer)):
        if cv is not None and cv < 2:
            raise ValueError(f"cv={cv!r} must be at least 2 folds.")
        n_splits = 5 if cv is None else int(cv)
        weight = None if sample_weight is None else sample_weight[rows]
        by_content = cv if isinstance(cv, FoldsByContent) else None
        splits = _split_units(n_splits, X_used, codes[rows], groups_used, weight, by_content)
    else:
        splitter = check_cv(cv, y[rows], classifier=True)
        splits = list(splitter.split(X_used, y[rows], groups_used))
        highest = max((np.max(part) for split in splits for part in split if len(part)), default=0)
        if highest >= len(rows):
            raise ValueError(
                f"cv={cv!r} names rows beyond the {len(rows)} that have a label and a positive"
                " weight. Pass its folds as a list of (train, test) row numbers instead."
            )
    return _refuse_empty([(rows[train], rows[test]) for train, test in splits], cv)


def _as_row_numbers(rows) -> np.ndarray:
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)


def _refuse_empty(folds, cv):
    folds = [(train, test) for train, test in folds if len(train) and len(test)]
    if not folds:
        raise ValueError(f"cv={cv!r} gave no fold with both training and test rows.")
    return folds


def _split_units(n_splits, X, codes, groups, weight, by_content):
    """Split rows into stratified folds that keep units whole."""
    hashes = row_hashes(X)
    common = common_rows(hashes, codes, weight)
    ids = row_ids(hashes, codes, weight, groups) if common.any() else hashes
    units = _join_groups(ids, groups)
    lone = lone_class_rows(units, codes)
    testable = ~lone
    per_class = _count_units(units[testable], codes[testable])
    n_splits = max(2, min(n_splits, per_class[per_class > 1].min()))
    fold = np.full(len(codes), -1, dtype=np.intp)
    whole = np.flatnonzero(testable & ~common if groups is None else testable)
    if len(whole):
        alike = groups is None
        fold[whole] = _place_units(units[whole], codes[whole], n_splits, alike, by_content)
    heavy = np.zeros(len(codes), dtype=bool)
    if groups is None and common.any():
        rows = np.flatnonzero(testable & common)
        salt = label_salts(hashes, codes, weight)[codes[rows]]
        # Label by label and value by value, so that each fold gets its part of every one; rows that
        # differ in weight alone in the order of their weights, and not of their places.
        least = np.zeros(len(rows)) if weight is None else weight[rows]
        order = np.lexsort((least, hashes[rows], salt))
        first = 0 if by_content is None else by_content.deal
        fold[rows[order]] = (first + np.arange(len(rows))) % n_splits
        heavy = common & testable & (row_counts(hashes, codes, weight) >= n_splits)
    for k in range(n_splits):
        test = np.flatnonzero((fold == k) | heavy)
        if len(test):
            yield np.flatnonzero((testable & (fold != k)) | lone | heavy), test


def _place_units(units, codes, n_splits, alike, by_content) -> np.ndarray:
    """Return the fold of each row, equal for rows of one unit."""
    _, first, inverse = np.unique(units, return_index=True, return_inverse=True)
    largest = np.bincount(inverse).max()
    if alike or largest * n_splits * _MANY_UNITS <= len(units):
        # Where every unit is a small part of a fold, stratify by the first row of each and let
        # the others follow: balancing units of different sizes takes long and gains little.
        # Units are numbered in the order of their hashes.
        position = first if by_content is None else by_content.place(len(first))
        if by_content is not None:
            # Of a unit with several labels, the same one stands for it in whatever order of rows.
            order = np.lexsort((label_salts(units.astype(np.uint64), codes)[codes], inverse))
            first = order[np.searchsorted(inverse[order], np.arange(len(first)))]
        return _deal(codes[first], position, n_splits)[inverse]
    fold = np.empty(len(units), dtype=np.intp)
    splitter = StratifiedGroupKFold(n_splits)
    for k, (_, test) in enumerate(splitter.split(units, codes, inverse)):
        fold[test] = k
    return fold


def _deal(labels: np.ndarray, position: np.ndarray, n_splits: int) -> np.ndarray:
    """Deal units to stratified folds, in the order of their positions."""
    order = np.argsort(position)
    labels = labels[order]
    folds = np.empty(len(labels), dtype=np.intp)
    counts = np.bincount(labels)
    if counts[counts > 0].min() >= n_splits:
        for k, (_, test) in enumerate(StratifiedKFold(n_splits).split(labels, labels)):
            folds[order[test]] = k
        return folds
    # Copies with other labels left a class the first of its unit fewer times than there are
    # folds, which StratifiedKFold warns about. Classes go by first appearance, not by name.
    appearance = np.unique(labels, return_index=True)
    rank = appearance[1][np.searchsorted(appearance[0], labels)]
    folds[order[np.argsort(rank, kind="stable")]] = np.arange(len(labels)) % n_splits
    return folds
