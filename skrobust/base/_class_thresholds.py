"""Shares of flags per class."""

import numpy as np

from skrobust.base._labels import encode_labels_like
from skrobust.utils._weighted_quantiles import lower_threshold


def class_fractions(flag_fraction: dict, classes: np.ndarray) -> np.ndarray:
    """Shares to flag of each class, 0 for those that are not named."""
    fractions = np.zeros(len(classes))
    if not flag_fraction:
        raise ValueError("flag_fraction={} names no class: pass None or shares by label.")
    codes = encode_labels_like(list(flag_fraction), classes, name="flag_fraction")
    for code, (label, share) in zip(codes, flag_fraction.items(), strict=True):
        number = isinstance(share, (int, float, np.number)) and not isinstance(share, bool)
        if not number or not 0 <= share < 1:
            raise ValueError(f"flag_fraction[{label!r}] must be in [0, 1), got {share!r}.")
        fractions[code] = share
    return fractions


def class_thresholds(fractions, quality, codes, weight) -> np.ndarray:
    """Find the cut of the quality below which a share of each class lies."""
    cuts = np.zeros(len(fractions))
    for k in np.flatnonzero(fractions):
        rows = codes == k
        mass = None if weight is None else weight[rows]
        total = rows.sum() if mass is None else mass.sum()
        cut = lower_threshold(quality[rows], fractions[k] * total, mass)
        cuts[k] = 0.0 if cut == -np.inf else np.nextafter(cut, np.inf)
    return cuts
