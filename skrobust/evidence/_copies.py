"""Equal rows: rare copies, which stay together, and common values, whose rows are split."""

import dataclasses

import numpy as np
from scipy import sparse

from skrobust.utils._rows import mix_words

# So many equal rows may be a common value; fewer are copies.
_LEAST_COMMON = 5
# A table is one of categories if so much of it are values that many rows share, and
_LEAST_SHARED = 0.5
# if so much of that has several labels, as noise brings about, or there are few values at all.
_LEAST_MIXED = 0.02
_FEW_VALUES = 10
# Of so many pairs of a value and a label, a common factor of all counts is no chance.
_MANY_PAIRS = 100


def row_counts(hashes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Count how many equal rows each row stands for; whole weights are such counts."""
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


def common_rows(
    hashes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Find the rows whose value is a category that many rows share, not one that was copied."""
    value_of, value = np.unique(hashes, return_inverse=True)
    if len(value_of) == len(hashes) and not _are_counts(weight):
        return np.zeros(len(hashes), dtype=bool)
    counts = row_counts(hashes, labels, weight)
    n_rows = np.bincount(value, weights=counts)
    shared = n_rows >= _LEAST_COMMON
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
    """Return numbers that are equal for rows which must stay together."""
    common = np.flatnonzero(common_rows(hashes, labels, weight))
    if len(common) == 0:
        return hashes
    ids = hashes.copy()
    if groups is not None:
        ids[common] = _salted(hashes[common], groups[common])
        return ids
    salt = np.append(label_salts(hashes, labels, weight), np.uint64(0))[labels[common]]
    # Rows that differ in nothing else are numbered by weight, and not by their places.
    least = np.zeros(len(common)) if weight is None else weight[common]
    order = np.lexsort((least, labels[common], salt, hashes[common]))
    ids[common[order]] = _numbered(hashes[common[order]], np.arange(len(order)))
    return ids


def label_salts(
    hashes: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Tell labels apart by the rows that have them, not by their names or order."""
    salts = np.zeros(int(labels.max(initial=-1)) + 1, dtype=np.uint64)
    used = np.flatnonzero(labels >= 0)
    counts = np.round(row_counts(hashes, labels, weight)[used]).astype(np.uint64)
    np.add.at(salts, labels[used], mix_words(hashes[used]) * counts)
    return salts


def average_common(
    values: np.ndarray,
    hashes: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
) -> None:
    """Give rows of a common value that have the same label the mean of their values, in place."""
    common = common_rows(hashes, labels, weight)
    if not common.any():
        return
    table = values.reshape(len(values), -1)
    rows = np.flatnonzero(common & ~np.isnan(table[:, 0]))
    if len(rows) == 0:
        return
    _, pair = np.unique(_pair_keys(hashes[rows], labels[rows]), return_inverse=True)
    members = sparse.csr_matrix((np.ones(len(rows)), (pair, np.arange(len(rows)))))
    means = members @ table[rows] / np.bincount(pair)[:, None]
    values[rows] = means[pair].reshape(-1, *values.shape[1:])


def _numbered(hashes, position) -> np.ndarray:
    """Make ids of sorted hashes and of how far each position is from the first of its hash."""
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = hashes[1:] != hashes[:-1]
    number = position - position[first][np.cumsum(first) - 1]
    return _salted(hashes, number)


def _salted(hashes, number) -> np.ndarray:
    return mix_words(hashes ^ mix_words(np.asarray(number).astype(np.uint64) + np.uint64(1)))


@dataclasses.dataclass(frozen=True, eq=False)
class RowParts:
    """Rows merged where they are copies, and divided into parts where their value is common."""

    pair_of_row: np.ndarray
    label: np.ndarray
    share: sparse.csr_matrix
    first: np.ndarray
    common: np.ndarray

    @property
    def of_row(self) -> np.ndarray:
        """A part of each row, shape (n_samples,): the only one, unless its value is common."""
        return self.share.indices[self.share.indptr[:-1]].astype(np.intp)[self.pair_of_row]

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Turn one value, or row of values, per part into one per row: the mean of known ones."""
        if not self.common.any():
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
    """Merge copies, and divide the rows of common values into parts of about equal weight."""
    common = common_rows(hashes, labels, weight)
    _, first, pair_of_row = np.unique(
        _pair_keys(hashes, labels), return_index=True, return_inverse=True
    )
    salt = np.append(label_salts(hashes, labels, weight), np.uint64(0))[labels[first]]
    order = np.lexsort((labels[first], salt, hashes[first]))
    first, place = first[order], np.argsort(order)
    pair_of_row = place[pair_of_row]
    pair_hash, label, divided = hashes[first], labels[first], common[first]
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
        # The rows of one label begin at the part after the last row of the label before.
        before = np.cumsum(counts[split]) - counts[split]
        start = np.zeros(len(first), dtype=np.int64)
        start[split] = before - before[np.searchsorted(value, np.arange(len(total)))][value]
        pair = piece_pair[at]
        piece_id[at] = _salted(piece_id[at], (start[pair] + number[at]) % most[pair])
    # Rows of a common value that are not counted are none of its parts.
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
