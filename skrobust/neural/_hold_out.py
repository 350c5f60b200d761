"""Rows that are held out from a training, by weight."""

import numpy as np

from skrobust.neural._dataset import DatasetRows
from skrobust.utils._rows import row_hashes

# X of more numbers is not searched for equal rows.
_MANY_NUMBERS = 2**26
# Rows of a data set that are read at a time.
_PIECE = 512
_ROUNDING = 1e-9


def hold_out(X, labels, strata, weight, used, *, fraction: float, seed: int) -> np.ndarray:
    """Choose rows to hold out, such that a weight has the effect of as many equal rows.

    Equal rows are held out together, and what is drawn depends neither on the order of rows nor
    on how often a row is repeated. Of rows that are repeated ``1 / fraction`` times or more,
    their share of the copies is held out instead, as such a row must be seen in training.

    Parameters
    ----------
    X : {ndarray, sparse matrix, DatasetRows} of length n_samples
        Numbers. Rows of X of more than 67 million numbers are not compared.
    labels : ndarray of shape (n_samples,)
        Labels or targets; rows are equal if these are as well.
    strata : ndarray of shape (n_samples,), dtype int
        Classes, of each of which about the same share is held out.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    used : ndarray of shape (n_rows,)
        Rows to choose from.
    fraction : float
        Share of the weight to hold out, in (0, 1).
    seed : int
        Seed.

    Returns
    -------
    held : ndarray of shape (n_rows,) of bool
        Those of `used` to hold out; of each class not all. None at all where each class has only
        one distinct row.
    """
    unit, first = _units(X, labels, used)
    counts = np.bincount(unit)
    mass = counts if weight is None else np.bincount(unit, weights=weight[used])
    many = counts * fraction >= 1
    stratum = strata[used][first]
    drawn = np.random.RandomState(seed).permutation(len(mass))
    order = np.lexsort((drawn, stratum))
    starts = np.r_[0, np.flatnonzero(np.diff(stratum[order])) + 1]
    last = np.zeros(len(mass), dtype=bool)
    last[np.r_[order[starts[1:] - 1], order[-1]]] = True
    # Units in a drawn order, each at the middle of its part of the weight of its class.
    place = _places(mass, order, starts)
    few = np.flatnonzero(~many & ~last)
    few = few[np.lexsort((drawn[few], np.round(place[few], 12)))]
    wanted = fraction * mass[~many].sum()
    reached = np.cumsum(mass[few]) - mass[few] < wanted * (1 - _ROUNDING)
    held = np.zeros(len(mass), dtype=bool)
    held[few[reached]] = True
    return held[unit] | (many[unit] & (_copy_numbers(unit) < np.round(fraction * counts)[unit]))


def _units(X, labels, used) -> tuple[np.ndarray, np.ndarray]:
    """Number equal rows with equal labels in an order of their own, and find the first of each."""
    if np.prod(X.shape, dtype=float) > _MANY_NUMBERS:
        return np.arange(len(used)), np.arange(len(used))
    keys = np.empty(len(used), dtype=[("row", np.uint64), ("label", np.float64)])
    keys["row"] = _hashes(X)[used]
    keys["label"] = labels[used]
    _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
    return unit.ravel(), first


def _hashes(X) -> np.ndarray:
    """Hash rows, those of a data set as they are read."""
    if not isinstance(X, DatasetRows):
        return row_hashes(X)
    pieces = [row_hashes(X[start : start + _PIECE]) for start in range(0, len(X), _PIECE)]
    return np.concatenate(pieces)


def _places(mass, order, starts) -> np.ndarray:
    """Where in its class each unit lies, as a share of the weight of the class."""
    sizes = np.diff(np.r_[starts, len(order)])
    before = np.cumsum(mass[order]) - mass[order]
    before = before - np.repeat(before[starts], sizes)
    totals = np.repeat(np.add.reduceat(mass[order], starts), sizes)
    place = np.empty(len(mass))
    place[order] = (before + mass[order] / 2) / totals
    return place


def _copy_numbers(unit) -> np.ndarray:
    """Number the rows of each unit from 0, in their order."""
    order = np.argsort(unit, kind="stable")
    sizes = np.bincount(unit)
    numbers = np.empty(len(unit), dtype=np.intp)
    numbers[order] = np.arange(len(unit)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return numbers
