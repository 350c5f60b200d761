"""Equal rows: replicates, which share a fold, and frequent values, whose rows are split."""

import dataclasses

import numpy as np
from scipy import sparse

from skrobust.utils._rows import mix_words
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


def row_counts(hashes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Number of equal rows that each row represents, without a factor common to all rows."""
    counts = (labels >= 0).astype(np.float64)
    if _are_counts(weight):
        counts *= weight
    _, first, pair = np.unique(_pair_keys(hashes, labels), return_index=True, return_inverse=True)
    totals = np.bincount(pair, weights=counts)
    held = first[totals > 0]
    n_values = len(np.unique(hashes[held]))
    if n_values <= _FEW_VALUES or (len(held) <= _MANY_PAIRS and n_values < len(held)):
        return counts
    divisor = np.gcd.reduce(np.minimum(totals, 2**53).astype(np.int64))
    return counts / max(divisor, 1)


def _are_counts(weight) -> bool:
    return weight is not None and np.array_equal(weight, np.round(weight))


def _pair_keys(hashes, labels) -> np.ndarray:
    """Hash pairs of a value and a label."""
    return mix_words(hashes ^ mix_words((labels + 2).astype(np.uint64)))


def frequent_rows(
    hashes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Rows whose value is a category that many rows share, as opposed to a replicated row."""
    # Replicates share a fold, or a replicated error would confirm itself; but a model must have
    # seen a frequent value to predict its label.
    value_of, value = np.unique(hashes, return_inverse=True)
    if len(value_of) == len(hashes) and not _are_counts(weight):
        return np.zeros(len(hashes), dtype=bool)
    counts = row_counts(hashes, labels, weight)
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
        ids[frequent] = _salted(hashes[frequent], groups[frequent])
        return ids
    salt = np.append(label_salts(hashes, labels, weight), np.uint64(0))[labels[frequent]]
    # Rows that differ in nothing else are numbered by weight, not by position.
    least = np.zeros(len(frequent)) if weight is None else weight[frequent]
    order = np.lexsort((least, labels[frequent], salt, hashes[frequent]))
    ids[frequent[order]] = _numbered(hashes[frequent[order]], np.arange(len(order)))
    return ids


def label_salts(
    hashes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Hash each label by the rows that have it, independent of its name and order."""
    salts = np.zeros(int(labels.max(initial=-1)) + 1, dtype=np.uint64)
    used = np.flatnonzero(labels >= 0)
    counts = np.round(row_counts(hashes, labels, weight)[used]).astype(np.uint64)
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
    _, pair = np.unique(_pair_keys(hashes[rows], labels[rows]), return_inverse=True)
    members = sparse.csr_matrix((np.ones(len(rows)), (pair, np.arange(len(rows)))))
    means = members @ table[rows] / np.bincount(pair)[:, None]
    values[rows] = means[pair].reshape(-1, *values.shape[1:])


def _numbered(hashes, position) -> np.ndarray:
    """Hash sorted hashes together with the distance from the first position of each."""
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = hashes[1:] != hashes[:-1]
    number = position - position[first][np.cumsum(first) - 1]
    return _salted(hashes, number)


def _salted(hashes, number) -> np.ndarray:
    return mix_words(hashes ^ mix_words(np.asarray(number).astype(np.uint64) + np.uint64(1)))


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
    frequent = frequent_rows(hashes, labels, weight)
    _, first, pair_of_row = np.unique(
        _pair_keys(hashes, labels), return_index=True, return_inverse=True
    )
    salt = np.append(label_salts(hashes, labels, weight), np.uint64(0))[labels[first]]
    order = np.lexsort((labels[first], salt, hashes[first]))
    first, place = first[order], np.argsort(order)
    pair_of_row = place[pair_of_row]
    pair_hash, label, divided = hashes[first], labels[first], frequent[first]
    counts, most, n_pieces = (np.ones(len(first), dtype=np.int64) for _ in range(3))
    split = np.flatnonzero(divided & (label >= 0))
    if len(split):
        n_rows = np.bincount(pair_of_row, weights=row_counts(hashes, labels, weight))
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
        piece_id[at] = _salted(piece_id[at], (start[pair] + number[at]) % most[pair])
    # Rows of a frequent value that are not counted form a part of their own.
    apart = np.flatnonzero(divided[piece_pair] & (label[piece_pair] < 0))
    piece_id[apart] = _salted(piece_id[apart], np.full(len(apart), 2**40))
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
