"""Rows that are held out from a training, by weight."""

import numpy as np

from skrobust.neural._rows import DatasetRows, Numbers
from skrobust.utils._input import row_hashes

# X of more numbers is not searched for equal rows.
_MANY_NUMBERS = 2**26
# Rows of a data set that are read at a time.
_BLOCK = 512
_ROUNDING = 1e-9


def hold_out(
    X: Numbers,
    labels: np.ndarray,
    strata: np.ndarray,
    weight: np.ndarray | None,
    used: np.ndarray,
    *,
    fraction: float,
    seed: int,
) -> np.ndarray:
    """Choose rows to hold out, such that a weight has the effect of as many equal rows.

    Equal rows are held out together, and what is drawn depends neither on the order of rows nor
    on how often a row is repeated. Of rows that are repeated ``1 / fraction`` times or more, that
    share of the repetitions is held out instead, as such a row must be seen in training. The mask
    is over the rows `used`; of each stratum not all are held out, and none where each stratum has
    only one distinct row.
    """
    unique, first = _unique_rows(X, labels, used)
    counts = np.bincount(unique)
    total = counts if weight is None else np.bincount(unique, weights=weight[used])
    many = counts * fraction >= 1
    stratum = strata[used][first]
    drawn = np.random.RandomState(seed).permutation(len(total))
    order = np.lexsort((drawn, stratum))
    starts = np.r_[0, np.flatnonzero(np.diff(stratum[order])) + 1]
    last = np.zeros(len(total), dtype=bool)
    last[np.r_[order[starts[1:] - 1], order[-1]]] = True
    # Unique rows in a drawn order, each at the middle of its part of the weight of its class.
    place = _places(total, order, starts)
    few = np.flatnonzero(~many & ~last)
    few = few[np.lexsort((drawn[few], np.round(place[few], 12)))]
    wanted = fraction * total[~many].sum()
    reached = np.cumsum(total[few]) - total[few] < wanted * (1 - _ROUNDING)
    held = np.zeros(len(total), dtype=bool)
    held[few[reached]] = True
    repeats = many[unique] & (_repeat_numbers(unique) < np.round(fraction * counts)[unique])
    return held[unique] | repeats


def _unique_rows(X: Numbers, labels: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number equal rows with equal labels in sorted order, and find the first of each."""
    if np.prod(X.shape, dtype=float) > _MANY_NUMBERS:
        return np.arange(len(used)), np.arange(len(used))
    keys = np.empty(len(used), dtype=[("row", np.uint64), ("label", np.float64)])
    keys["row"] = _hashes(X)[used]
    keys["label"] = labels[used]
    _, first, unique = np.unique(keys, return_index=True, return_inverse=True)
    return unique.ravel(), first


def _hashes(X: Numbers) -> np.ndarray:
    """Hash rows, those of a data set block by block."""
    if not isinstance(X, DatasetRows):
        return row_hashes(X)
    blocks = [row_hashes(X[start : start + _BLOCK]) for start in range(0, len(X), _BLOCK)]
    return np.concatenate(blocks)


def _places(total: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Midpoint of each unique row in the cumulated weight of its class, as a share of it."""
    sizes = np.diff(np.r_[starts, len(order)])
    before = np.cumsum(total[order]) - total[order]
    before = before - np.repeat(before[starts], sizes)
    totals = np.repeat(np.add.reduceat(total[order], starts), sizes)
    place = np.empty(len(total))
    place[order] = (before + total[order] / 2) / totals
    return place


def _repeat_numbers(unique: np.ndarray) -> np.ndarray:
    """Number the repetitions of each unique row from 0, in their order."""
    order = np.argsort(unique, kind="stable")
    sizes = np.bincount(unique)
    numbers = np.empty(len(unique), dtype=np.intp)
    numbers[order] = np.arange(len(unique)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return numbers
