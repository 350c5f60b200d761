"""Target-decoy estimates: how labels that are wrong for sure score, and how good a list is.

Proteomics estimates its false discovery rate by searching for decoys that cannot be true. Likewise,
rows are scored with labels that are wrong for sure. If the model of a row was not trained on its
label, no further fit is needed: every row with every wrong label is a decoy, weighted by its
probability.
"""

import dataclasses

import numpy as np

from skrobust.utils._parallel import row_blocks


@dataclasses.dataclass(frozen=True, eq=False)
class DecoyCurve:
    """Shares of rows and of errors up to each threshold of the quality."""

    thresholds: np.ndarray  # distinct qualities, ascending; each flags what is at most it
    flagged: np.ndarray  # share of the rows that each flags
    recall: np.ndarray  # share of the decoys, and so of the errors

    def precision(self, rate: float) -> np.ndarray:
        """Share of errors among the rows that each threshold flags, at a noise rate."""
        return np.minimum(1.0, rate * self.recall / np.maximum(self.flagged, 1e-300))

    def best(self, rate: float, precision: float | None = None) -> int | None:
        """Position of the threshold with the best F1, or of the last with a precision, or None."""
        if len(self.thresholds) == 0 or rate <= 0:
            return None
        estimate = self.precision(rate)
        if precision is not None:
            enough = np.flatnonzero(estimate >= precision)
            return int(enough[-1]) if len(enough) else None
        found = estimate * self.flagged
        f1 = 2 * found / (self.flagged + rate)
        place = int(f1.argmax())
        return place if f1[place] > 0 else None


def decoy_curve(
    quality: np.ndarray,
    decoy_quality: np.ndarray,
    decoy_weight: np.ndarray,
    weight: np.ndarray | None = None,
) -> DecoyCurve:
    """Compare the qualities of rows with those of decoys."""
    thresholds, place = np.unique(quality, return_inverse=True)
    weights = np.bincount(place, weights=weight, minlength=len(thresholds)).astype(np.float64)
    flagged = np.cumsum(weights) / max(weights.sum(), 1e-300)
    return DecoyCurve(thresholds, flagged, decoy_shares(thresholds, decoy_quality, decoy_weight))


def decoy_shares(thresholds: np.ndarray, quality: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the total weight up to each threshold."""
    below = np.zeros(len(thresholds) + 1)

    row_bytes = 32 * int(np.prod(quality.shape[1:], dtype=np.intp))
    for rows in row_blocks(len(quality), row_bytes, block_bytes=1 << 23):
        places = np.searchsorted(thresholds, quality[rows].ravel())
        below += np.bincount(places, weights=weights[rows].ravel(), minlength=len(below))
    total = below.sum()
    return np.cumsum(below[:-1]) / total if total > 0 else np.zeros(len(thresholds))
