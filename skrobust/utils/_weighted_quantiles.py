"""Weighted quantiles: thresholds beyond which values have a given total weight, and medians."""

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


def threshold_above_lowest(
    values: np.ndarray, total: float, weight: np.ndarray | None = None
) -> float:
    """Value below which the lowest values of [0, 1] have the total weight; 0 if none has."""
    highest = lower_threshold(values, total, weight)
    return 0.0 if highest == -np.inf else float(np.nextafter(highest, np.inf))


def weighted_median(values: np.ndarray, weight: np.ndarray | None = None):
    """Median along the first axis; for integer weights, that of the repeated values."""
    if weight is None:
        return np.median(values, axis=0)
    order = np.argsort(values, axis=0, kind="stable")
    total = np.cumsum(weight[order], axis=0)
    half = weight.sum() / 2
    slack = WEIGHT_SLACK * half
    low = np.argmax(total >= half - slack, axis=0)
    high = np.argmax(total > half + slack, axis=0)
    ends = [
        np.take_along_axis(values, np.take_along_axis(order, place[None], axis=0), axis=0)[0]
        for place in (low, high)
    ]
    return (ends[0] + ends[1]) / 2
