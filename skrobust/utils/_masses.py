"""Cuts: from which value on do the largest, or lowest, values weigh so much?"""

import numpy as np


def top_mass_cut(values: np.ndarray, mass: float, weight: np.ndarray | None = None):
    """Find the value from which on the largest values weigh `mass`.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values.
    mass : float
        Mass wanted.
    weight : ndarray of shape (n_values,), default=None
        Mass of each value; None is 1 each.

    Returns
    -------
    cut : float
        Values of at least this are selected; infinite if none is. Equal values share one fate:
        they are selected if at least half of their mass is wanted.
    """
    if weight is None:
        return _top_count_cut(values, mass)
    if len(values) == 0 or mass <= 0:
        return np.inf
    distinct, group = np.unique(values, return_inverse=True)
    group_mass = np.bincount(group, weights=weight)[::-1]
    distinct = distinct[::-1]
    # The slack is for sums of fractional weights.
    chosen = np.cumsum(group_mass) - group_mass / 2 <= mass * (1 + 1e-12)
    chosen &= np.cumsum(~chosen) == 0
    n_chosen = int(chosen.sum())
    return distinct[n_chosen - 1] if n_chosen else np.inf


def _top_count_cut(values: np.ndarray, count: float):
    count = min(int(np.floor(count + 0.5)), len(values))
    if count <= 0:
        return np.inf
    place = len(values) - count
    cut = np.partition(values, place)[place]
    above, tied = np.count_nonzero(values > cut), np.count_nonzero(values == cut)
    if above + tied / 2 <= count:
        return cut
    return np.nextafter(cut, np.inf, dtype=cut.dtype) if above else np.inf


def lowest_mass_cut(values: np.ndarray, mass: float, weight: np.ndarray | None = None):
    """Find the value up to which the lowest values weigh `mass`; see :func:`top_mass_cut`.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values.
    mass : float
        Mass wanted.
    weight : ndarray of shape (n_values,), default=None
        Mass of each value; None is 1 each.

    Returns
    -------
    cut : float
        Values of at most this are selected; minus infinity if none is.
    """
    return -top_mass_cut(-values, mass, weight)
