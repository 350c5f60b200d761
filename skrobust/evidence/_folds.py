"""Cross-validation folds that keep replicated rows together and do not test lone rows."""

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

from skrobust.evidence._replicates import frequent_rows, label_salts, row_counts, row_ids
from skrobust.utils._rows import row_hashes
from skrobust.utils._sklearn import safe_indexing

# Blocks this many times smaller than a fold are assigned without regard to their sizes.
_MANY_BLOCKS = 100


class FoldsByContent(int):
    """A number of folds that are assigned by the content of rows, not by their position."""

    def __new__(cls, n_splits, shuffle=0):
        folds = super().__new__(cls, n_splits)
        folds.shuffle = shuffle
        return folds

    def positions(self, n_blocks: int) -> np.ndarray:
        """Shuffle blocks that are numbered by their content."""
        return np.random.RandomState(self.shuffle).permutation(n_blocks)


def row_blocks(
    X, labels: np.ndarray, groups: np.ndarray | None = None, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Number blocks of rows that must not be split between training and test rows."""
    return _join_groups(row_ids(row_hashes(X), labels, sample_weight, groups), groups)


def _join_groups(ids, groups) -> np.ndarray:
    """Number the connected components of rows with equal ids or in one group."""
    blocks = np.unique(ids, return_inverse=True)[1]
    if groups is None:
        return blocks
    n_blocks, n_groups = blocks.max() + 1, groups.max() + 1
    # Groups that share a row hash are one: the connected parts of the graph of both.
    links = sparse.coo_matrix(
        (np.ones(len(blocks), dtype=np.int8), (blocks, groups + n_blocks)),
        shape=(n_blocks + n_groups, n_blocks + n_groups),
    )
    _, part = sparse.csgraph.connected_components(links, directed=False)
    return np.unique(part[blocks], return_inverse=True)[1]


def lone_class_rows(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Rows whose class occurs in one block only, so that no model learns it elsewhere."""
    used = codes >= 0
    # Whether any row of a class belongs to another block than a representative of the class.
    one = np.zeros(codes.max(initial=0) + 1, dtype=blocks.dtype)
    one[codes[used]] = blocks[used]
    several = np.zeros(len(one), dtype=bool)
    several[codes[used & (blocks != one[codes])]] = True
    if not several.any():
        raise ValueError(
            "Every class has only one distinct row (or group of rows): to score a label,"
            " some other row of its class is needed."
        )
    return used & ~several[codes]


def _count_blocks(blocks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Number of blocks in which each class occurs."""
    n_classes = codes.max() + 1
    return np.bincount(np.unique(blocks * n_classes + codes) % n_classes, minlength=n_classes)


def make_folds(
    cv,
    X,
    y: np.ndarray,
    codes: np.ndarray,
    used: np.ndarray,
    groups=None,
    sample_weight: np.ndarray | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split the used rows into training and test rows, numbered among all rows."""
    # For a number, folds are stratified, keep blocks whole and become fewer where a class is small;
    # rows of a class with one block are in every training fold.
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
        splits = _split_blocks(n_splits, X_used, codes[rows], groups_used, weight, by_content)
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


def _split_blocks(n_splits, X, codes, groups, weight, by_content):
    """Split rows into stratified folds that keep blocks whole."""
    hashes = row_hashes(X)
    frequent = frequent_rows(hashes, codes, weight)
    ids = row_ids(hashes, codes, weight, groups) if frequent.any() else hashes
    blocks = _join_groups(ids, groups)
    lone = lone_class_rows(blocks, codes)
    testable = ~lone
    per_class = _count_blocks(blocks[testable], codes[testable])
    n_splits = max(2, min(n_splits, per_class[per_class > 1].min()))
    fold = np.full(len(codes), -1, dtype=np.intp)
    whole = np.flatnonzero(testable & ~frequent if groups is None else testable)
    if len(whole):
        small = groups is None
        fold[whole] = _assign_blocks(blocks[whole], codes[whole], n_splits, small, by_content)
    in_all = np.zeros(len(codes), dtype=bool)
    if groups is None and frequent.any():
        rows = np.flatnonzero(testable & frequent)
        salt = label_salts(hashes, codes, weight)[codes[rows]]
        # Label by label and value by value, so that each fold has its share of every one; rows that
        # differ in weight alone are ordered by weight, not by position.
        least = np.zeros(len(rows)) if weight is None else weight[rows]
        order = np.lexsort((least, hashes[rows], salt))
        first = 0 if by_content is None else by_content.shuffle
        fold[rows[order]] = (first + np.arange(len(rows))) % n_splits
        in_all = frequent & testable & (row_counts(hashes, codes, weight) >= n_splits)
    for k in range(n_splits):
        test = np.flatnonzero((fold == k) | in_all)
        if len(test):
            yield np.flatnonzero((testable & (fold != k)) | lone | in_all), test


def _assign_blocks(blocks, codes, n_splits, small, by_content) -> np.ndarray:
    """Fold of each row, equal for rows of one block."""
    _, first, inverse = np.unique(blocks, return_index=True, return_inverse=True)
    largest = np.bincount(inverse).max()
    if small or largest * n_splits * _MANY_BLOCKS <= len(blocks):
        # Where every block is a small part of a fold, stratify by the first row of each: balancing
        # blocks of different sizes takes long and gains little. Blocks are numbered in the order
        # of their hashes.
        position = first if by_content is None else by_content.positions(len(first))
        if by_content is not None:
            # The representative of a block with several labels must not depend on the row order.
            order = np.lexsort((label_salts(blocks.astype(np.uint64), codes)[codes], inverse))
            first = order[np.searchsorted(inverse[order], np.arange(len(first)))]
        return _assign(codes[first], position, n_splits)[inverse]
    fold = np.empty(len(blocks), dtype=np.intp)
    splitter = StratifiedGroupKFold(n_splits)
    for k, (_, test) in enumerate(splitter.split(blocks, codes, inverse)):
        fold[test] = k
    return fold


def _assign(labels: np.ndarray, position: np.ndarray, n_splits: int) -> np.ndarray:
    """Assign blocks to stratified folds, in the order of their positions."""
    order = np.argsort(position)
    labels = labels[order]
    folds = np.empty(len(labels), dtype=np.intp)
    counts = np.bincount(labels)
    if counts[counts > 0].min() >= n_splits:
        for k, (_, test) in enumerate(StratifiedKFold(n_splits).split(labels, labels)):
            folds[order[test]] = k
        return folds
    # A class may represent fewer blocks than there are folds, which StratifiedKFold warns about.
    # Classes are ordered by first appearance, not by name.
    appearance = np.unique(labels, return_index=True)
    rank = appearance[1][np.searchsorted(appearance[0], labels)]
    folds[order[np.argsort(rank, kind="stable")]] = np.arange(len(labels)) % n_splits
    return folds


def make_value_folds(
    cv,
    X,
    y: np.ndarray,
    used: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    sample_weight: np.ndarray | None = None,
    random_state=None,
):
    """Split rows for targets that are no classes, in an order that depends on their content."""
    # Sorted arrays need no shuffling, and permuting rows permutes the folds.
    if cv is not None and not isinstance(cv, (int, np.integer)):
        return make_folds(cv, X, y, np.where(used, 0, -1), used, groups)
    if cv is not None and cv < 2:
        raise ValueError(f"cv={cv!r} must be at least 2 folds.")
    rows = np.flatnonzero(used)
    X_used = X if used.all() else safe_indexing(X, rows)
    weight = None if sample_weight is None else sample_weight[rows]
    # An indicator matrix has a row of targets.
    axis = None if y.ndim == 1 else 0
    targets = np.unique(y[rows], axis=axis, return_inverse=True)[1].ravel()
    blocks = row_blocks(X_used, targets, None if groups is None else groups[rows], weight)
    sizes = np.bincount(blocks, weights=weight).astype(np.float64)
    check_two_blocks(len(sizes))
    n_folds = min(5 if cv is None else int(cv), len(sizes))
    order = np.arange(len(sizes)) if random_state is None else random_state.permutation(len(sizes))
    fold = np.empty(len(sizes), dtype=np.intp)
    if sizes.max() * n_folds * _MANY_BLOCKS <= sizes.sum() or np.ptp(sizes) == 0:
        fold[order] = np.arange(len(sizes)) % n_folds
    else:
        filled = np.zeros(n_folds)
        for block in order[np.argsort(-sizes[order], kind="stable")]:
            fold[block] = filled.argmin()
            filled[fold[block]] += sizes[block]
    fold = fold[blocks]
    return [(rows[fold != k], rows[fold == k]) for k in range(n_folds)]


def check_two_blocks(n_blocks: int) -> None:
    """Refuse rows of which none can be predicted from another."""
    if n_blocks < 2:
        raise ValueError(
            "At least two distinct rows (or groups of rows) with a target and a positive weight"
            f" are needed to predict one by another, found {n_blocks}: a minimum of 2 is required,"
            " 1 sample does not do."
        )
