"""Cuts: from which value on do the largest, or lowest, values weigh so much?"""

import numpy as np

WEIGHT_SLACK = 1e-9
"""By how much, as a share, sums of fractional weights may be off."""


def upper_threshold(values: np.ndarray, mass: float, weight: np.ndarray | None = None):
    """Find the value from which on the largest values weigh `mass`."""
    if weight is None:
        return _top_count_cut(values, mass)
    weighs = weight > 0
    if not weighs.all():
        values, weight = values[weighs], weight[weighs]
    if len(values) == 0 or mass <= 0:
        return np.inf
    distinct, group = np.unique(values, return_inverse=True)
    group_mass = np.bincount(group, weights=weight)[::-1]
    chosen = np.cumsum(group_mass) - group_mass / 2 <= mass * (1 + WEIGHT_SLACK)
    n_chosen = int(chosen.sum())
    return distinct[-n_chosen] if n_chosen else np.inf


def _top_count_cut(values: np.ndarray, mass: float):
    count = min(int(np.floor(mass + 0.5)), len(values))
    if count <= 0:
        return np.inf
    place = len(values) - count
    parted = np.partition(values, place)
    cut = parted[place]
    n_above, n_tied = np.count_nonzero(values > cut), np.count_nonzero(values == cut)
    if n_above + n_tied / 2 <= mass * (1 + WEIGHT_SLACK):
        return cut
    return parted[parted > cut].min() if n_above else np.inf


def lower_threshold(values: np.ndarray, mass: float, weight: np.ndarray | None = None):
    """Find the value up to which the lowest values weigh `mass`; see :func:`upper_threshold`."""
    return -upper_threshold(-values, mass, weight)
