"""Decoys: how would errors score, and so, how good is a list of the worst?

Proteomics finds out how many of its discoveries are false by looking for some that cannot be
true. Likewise here: give rows labels that are wrong on purpose, and look where they end up among
the others. If the model of a row has not seen its label, nothing need be fitted anew, and every
row with every wrong label is a decoy, weighed by how likely the error is.
"""

import dataclasses

import numpy as np

from skrobust.utils._blocks import for_each_block


@dataclasses.dataclass(frozen=True, eq=False)
class DecoyCurve:
    """Shares of rows and of errors up to each cut of the quality.

    Attributes
    ----------
    cuts : ndarray of shape (n_cuts,)
        Distinct qualities in rising order; a cut flags what is at most it.
    flagged : ndarray of shape (n_cuts,)
        Share of all rows that each flags.
    recall : ndarray of shape (n_cuts,)
        Share of the decoys, and so of the errors.
    """

    cuts: np.ndarray
    flagged: np.ndarray
    recall: np.ndarray

    def precision(self, rate: float) -> np.ndarray:
        """Estimate the share of errors among the rows that each cut flags.

        Parameters
        ----------
        rate : float
            Share of errors among all rows.

        Returns
        -------
        precision : ndarray of shape (n_cuts,)
            In [0, 1].
        """
        return np.minimum(1.0, rate * self.recall / np.maximum(self.flagged, 1e-300))

    def best(self, rate: float, precision: float | None = None) -> int | None:
        """Choose a cut.

        Parameters
        ----------
        rate : float
            Share of errors among all rows.
        precision : float, default=None
            Wanted share of errors among the flagged rows. None wants the highest F1.

        Returns
        -------
        place : int or None
            Of the cut; None flags nothing.
        """
        if len(self.cuts) == 0 or rate <= 0:
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
    decoy_mass: np.ndarray,
    weight: np.ndarray | None = None,
) -> DecoyCurve:
    """Compare the qualities of rows with those of decoys.

    Parameters
    ----------
    quality : ndarray of shape (n_samples,)
        Quality of the given labels, none NaN.
    decoy_quality : ndarray of shape (n_decoys,) or (n_samples, n_classes)
        Quality of labels that are wrong.
    decoy_mass : ndarray of the same shape
        Mass of each.
    weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    curve : DecoyCurve
        Shares of both.
    """
    cuts, place = np.unique(quality, return_inverse=True)
    mass = np.bincount(place, weights=weight, minlength=len(cuts)).astype(np.float64)
    flagged = np.cumsum(mass) / max(mass.sum(), 1e-300)
    return DecoyCurve(cuts, flagged, decoy_shares(cuts, decoy_quality, decoy_mass))


def decoy_shares(cuts: np.ndarray, quality: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Compute the share of mass up to each cut.

    Parameters
    ----------
    cuts : ndarray of shape (n_cuts,)
        In rising order.
    quality : ndarray
        Of any shape whose first axis are rows.
    mass : ndarray of the same shape
        Mass of each quality.

    Returns
    -------
    shares : ndarray of shape (n_cuts,)
        In [0, 1], rising.
    """
    below = np.zeros(len(cuts) + 1)

    def add(start: int, stop: int) -> None:
        places = np.searchsorted(cuts, quality[start:stop].ravel())
        below[:] += np.bincount(places, weights=mass[start:stop].ravel(), minlength=len(below))

    row_bytes = 32 * int(np.prod(quality.shape[1:], dtype=np.intp))
    for_each_block(add, len(quality), row_bytes, block_bytes=1 << 23)
    total = below.sum()
    return np.cumsum(below[:-1]) / total if total > 0 else np.zeros(len(cuts))
