"""Weighted quantiles: thresholds above or below which values have a given total weight."""

import numpy as np

WEIGHT_SLACK = 1e-9
"""By how much, as a share, sums of fractional weights may be off."""


def upper_threshold(values: np.ndarray, total: float, weight: np.ndarray | None = None):
    """Value from which on the largest values have the total weight; infinite if none has."""
    if weight is None:
        return _upper_count_threshold(values, total)
    weighs = weight > 0
    if not weighs.all():
        values, weight = values[weighs], weight[weighs]
    if len(values) == 0 or total <= 0:
        return np.inf
    distinct, group = np.unique(values, return_inverse=True)
    group_weight = np.bincount(group, weights=weight)[::-1]
    chosen = np.cumsum(group_weight) - group_weight / 2 <= total * (1 + WEIGHT_SLACK)
    n_chosen = int(chosen.sum())
    return distinct[-n_chosen] if n_chosen else np.inf


def _upper_count_threshold(values: np.ndarray, total: float):
    count = min(int(np.floor(total + 0.5)), len(values))
    if count <= 0:
        return np.inf
    place = len(values) - count
    parted = np.partition(values, place)
    threshold = parted[place]
    n_above, n_tied = np.count_nonzero(values > threshold), np.count_nonzero(values == threshold)
    if n_above + n_tied / 2 <= total * (1 + WEIGHT_SLACK):
        return threshold
    return parted[parted > threshold].min() if n_above else np.inf


def lower_threshold(values: np.ndarray, total: float, weight: np.ndarray | None = None):
    """Value up to which the lowest values have the total weight; minus infinity if none has."""
    return -upper_threshold(-values, total, weight)
