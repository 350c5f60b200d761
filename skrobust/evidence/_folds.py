"""Equal rows, replicates and frequent values, and folds that do not separate replicates."""

import dataclasses
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

from skrobust.utils._input import mix_words, row_hashes, salted_hashes
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._typing import CSRMatrix

# So many equal rows may be a frequent value; fewer are replicates.
_LEAST_FREQUENT = 5
# A table is categorical if at least this share of it are values that many rows have, and
_LEAST_SHARED = 0.5
# this share of those has several labels, as noise causes, or there are few values at all.
_LEAST_MIXED = 0.02
_FEW_VALUES = 10
# With more pairs of a value and a label than this, a common factor of all counts is no chance.
_MANY_PAIRS = 100
# Blocks this many times smaller than a fold are assigned without regard to their sizes.
_MANY_BLOCKS = 100


def row_counts(
    hashes: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    pairs: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Number of equal rows that each row represents, without a factor common to all rows."""
    counts = (labels >= 0).astype(np.float64)
    if _are_counts(weight):
        counts *= weight
    first, pair = _pairs(hashes, labels) if pairs is None else pairs
    totals = np.bincount(pair, weights=counts)
    held = first[totals > 0]
    n_values = len(np.unique(hashes[held]))
    if n_values <= _FEW_VALUES or (len(held) <= _MANY_PAIRS and n_values < len(held)):
        return counts
    divisor = np.gcd.reduce(np.minimum(totals, 2**53).astype(np.int64))
    return counts / max(divisor, 1)


def _are_counts(weight) -> bool:
    return weight is not None and np.array_equal(weight, np.round(weight))


def _pairs(hashes, labels) -> tuple[np.ndarray, np.ndarray]:
    """A row of each pair of a value and a label, and the pair of each row."""
    keys = salted_hashes(hashes, labels + 1)
    return np.unique(keys, return_index=True, return_inverse=True)[1:]


def frequent_rows(
    hashes: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
    counts: np.ndarray | None = None,
) -> np.ndarray:
    """Rows whose value is a category that many rows share, as opposed to a replicated row."""
    # Replicates share a fold, or a replicated error would confirm itself; but a model must have
    # seen a frequent value to predict its label.
    value_of, value = np.unique(hashes, return_inverse=True)
    if len(value_of) == len(hashes) and not _are_counts(weight):
        return np.zeros(len(hashes), dtype=bool)
    counts = row_counts(hashes, labels, weight) if counts is None else counts
    n_rows = np.bincount(value, weights=counts)
    shared = n_rows >= _LEAST_FREQUENT
    if not shared.any():
        return np.zeros(len(hashes), dtype=bool)
    counted = np.flatnonzero(counts > 0)
    first = np.full(len(value_of), -1, dtype=labels.dtype)
    first[value[counted]] = labels[counted]
    mixed = np.zeros(len(value_of), dtype=bool)
    mixed[value[counted[labels[counted] != first[value[counted]]]]] = True
    mixed &= shared
    in_shared, in_mixed = n_rows[shared].sum(), n_rows[mixed].sum()
    few = np.count_nonzero(n_rows) <= _FEW_VALUES
    categories = in_shared >= _LEAST_SHARED * n_rows.sum() and (
        few or in_mixed >= _LEAST_MIXED * in_shared
    )
    return (shared if categories else mixed)[value]


def row_ids(
    hashes: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Numbers that are equal for rows which must not be separated."""
    frequent = np.flatnonzero(frequent_rows(hashes, labels, weight))
    if len(frequent) == 0:
        return hashes
    ids = hashes.copy()
    if groups is not None:
        ids[frequent] = salted_hashes(hashes[frequent], groups[frequent])
        return ids
    salts = label_salts(hashes, labels, row_counts(hashes, labels, weight))
    salt = np.append(salts, np.uint64(0))[labels[frequent]]
    # Rows that differ in nothing else are numbered by weight, not by position.
    least = np.zeros(len(frequent)) if weight is None else weight[frequent]
    order = np.lexsort((least, labels[frequent], salt, hashes[frequent]))
    ids[frequent[order]] = _numbered(hashes[frequent[order]], np.arange(len(order)))
    return ids


def label_salts(hashes: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Hash each label by the rows that have it, independent of its name and order."""
    salts = np.zeros(int(labels.max(initial=-1)) + 1, dtype=np.uint64)
    used = np.flatnonzero(labels >= 0)
    counts = np.round(counts[used]).astype(np.uint64)
    np.add.at(salts, labels[used], mix_words(hashes[used]) * counts)
    return salts


def average_frequent(
    values: np.ndarray,
    hashes: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
) -> None:
    """Replace values of rows with a frequent value and the same label by their mean, in place."""
    frequent = frequent_rows(hashes, labels, weight)
    if not frequent.any():
        return
    table = values.reshape(len(values), -1)
    rows = np.flatnonzero(frequent & ~np.isnan(table[:, 0]))
    if len(rows) == 0:
        return
    pair = _pairs(hashes[rows], labels[rows])[1]
    members = sparse.csr_matrix((np.ones(len(rows)), (pair, np.arange(len(rows)))))
    means = members @ table[rows] / np.bincount(pair)[:, None]
    values[rows] = means[pair].reshape(-1, *values.shape[1:])


def _numbered(hashes, position) -> np.ndarray:
    """Hash sorted hashes together with the distance from the first position of each."""
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = hashes[1:] != hashes[:-1]
    number = position - position[first][np.cumsum(first) - 1]
    return salted_hashes(hashes, number)


@dataclasses.dataclass(frozen=True, eq=False)
class RowParts:
    """Replicated rows merged, and rows of frequent values divided into parts."""

    pair_of_row: np.ndarray  # (n_samples,) pair of a value and a label
    label: np.ndarray  # (n_pairs,) label of each pair; -1 for none
    share: CSRMatrix  # (n_pairs, n_parts) share of each pair in each part
    first: np.ndarray  # (n_parts,) a row of each part; the order depends on content alone
    frequent: np.ndarray  # (n_parts,) parts of frequent values

    @property
    def of_row(self) -> np.ndarray:
        """A part of each row: the only one, unless its value is frequent."""
        return self.share.indices[self.share.indptr[:-1]].astype(np.intp)[self.pair_of_row]

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Map one value, or row of values, per part to rows, as the mean of known ones."""
        if not self.frequent.any():
            return values[self.of_row]
        known = self.share @ (~np.isnan(values)).astype(np.float64)
        means = np.full(known.shape, np.nan)
        sums = self.share @ np.where(np.isnan(values), 0.0, values)
        np.divide(sums, known, out=means, where=known > 0)
        return means.astype(values.dtype, copy=False)[self.pair_of_row]


def divide_rows(
    hashes: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    n_parts: int,
    by_label: bool = False,
) -> RowParts:
    """Merge replicated rows, and divide rows of frequent values into parts of equal weight."""
    first, pair_of_row = _pairs(hashes, labels)
    rows_counted = row_counts(hashes, labels, weight, (first, pair_of_row))
    frequent = frequent_rows(hashes, labels, weight, rows_counted)
    salts = label_salts(hashes, labels, rows_counted)
    salt = np.append(salts, np.uint64(0))[labels[first]]
    order = np.lexsort((labels[first], salt, hashes[first]))
    first, place = first[order], np.argsort(order)
    pair_of_row = place[pair_of_row]
    pair_hash, label, divided = hashes[first], labels[first], frequent[first]
    counts, most, n_pieces = (np.ones(len(first), dtype=np.int64) for _ in range(3))
    split = np.flatnonzero(divided & (label >= 0))
    if len(split):
        n_rows = np.bincount(pair_of_row, weights=rows_counted)
        counts[split] = np.maximum(np.round(n_rows[split]), 1)
        value = np.unique(pair_hash[split], return_inverse=True)[1]
        total = np.bincount(value, weights=counts[split]).astype(np.int64)
        most[split] = n_parts if by_label else np.minimum(total, n_parts)[value]
        n_pieces[split] = np.minimum(counts[split], most[split])
    piece_pair = np.repeat(np.arange(len(first)), n_pieces)
    number = np.arange(len(piece_pair)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    items = counts // n_pieces
    items = items[piece_pair] + (number < (counts % n_pieces)[piece_pair])
    share = items / counts[piece_pair]
    piece_id = pair_hash[piece_pair]
    at = np.flatnonzero(divided[piece_pair] & (label[piece_pair] >= 0))
    if by_label:
        piece_id[at] = _numbered(piece_id[at], at)
    elif len(at):
        # The rows of one label begin at the part after the last row of the previous label.
        before = np.cumsum(counts[split]) - counts[split]
        start = np.zeros(len(first), dtype=np.int64)
        start[split] = before - before[np.searchsorted(value, np.arange(len(total)))][value]
        pair = piece_pair[at]
        piece_id[at] = salted_hashes(piece_id[at], (start[pair] + number[at]) % most[pair])
    # Rows of a frequent value that are not counted form a part of their own.
    apart = np.flatnonzero(divided[piece_pair] & (label[piece_pair] < 0))
    piece_id[apart] = salted_hashes(piece_id[apart], np.full(len(apart), 2**40))
    ids, part_first, part = np.unique(piece_id, return_index=True, return_inverse=True)
    matrix = sparse.csr_matrix((share, (piece_pair, part)), shape=(len(first), len(ids)))
    matrix.sort_indices()
    return RowParts(
        pair_of_row,
        label.astype(np.intp),
        matrix,
        first[piece_pair[part_first]],
        divided[piece_pair[part_first]],
    )


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
    hashes: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Number blocks of rows that must not be split between training and test rows."""
    return _join_groups(row_ids(hashes, labels, sample_weight, groups), groups)


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
        counts = row_counts(hashes, codes, weight)
        salt = label_salts(hashes, codes, counts)[codes[rows]]
        # Label by label and value by value, so that each fold has its share of every one; rows that
        # differ in weight alone are ordered by weight, not by position.
        least = np.zeros(len(rows)) if weight is None else weight[rows]
        order = np.lexsort((least, hashes[rows], salt))
        first = 0 if by_content is None else by_content.shuffle
        fold[rows[order]] = (first + np.arange(len(rows))) % n_splits
        in_all = frequent & testable & (counts >= n_splits)
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
            numbers = blocks.astype(np.uint64)
            order = np.lexsort(
                (label_salts(numbers, codes, row_counts(numbers, codes, None))[codes], inverse)
            )
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
    groups_used = None if groups is None else groups[rows]
    blocks = row_blocks(row_hashes(X_used), targets, groups_used, weight)
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
