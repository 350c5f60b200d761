"""Labels as read with luck: numbers in [0, 1) decide which rows are wrong, and what they become.

Rows that share a number are wrong together, whatever the probability of it is; and ranks in place
of numbers make counts exact.
"""

import numpy as np

from skrobust.noise._confident_joint import round_keeping_row_totals


def whole_shares(shares, own) -> np.ndarray:
    """Round shares such that they are whole numbers of rows.

    Parameters
    ----------
    shares : ndarray of shape (n_classes, n_classes)
        Share of each label (columns) in each true class (rows).
    own : ndarray of shape (n_rows,)
        True classes.

    Returns
    -------
    shares : ndarray of shape (n_classes, n_classes)
        Near to what they were; zero for classes without rows.
    """
    n_rows = np.bincount(own, minlength=len(shares))[:, None]
    return round_keeping_row_totals(shares * n_rows) / np.maximum(n_rows, 1)


def spread_evenly(luck, own, stretch=None, *, whole=False) -> np.ndarray:
    """Replace numbers by their ranks in each class, so that shares of rows are as wanted.

    Parameters
    ----------
    luck : ndarray of shape (n_rows,)
        Numbers in [0, 1), equal in each stretch.
    own : ndarray of shape (n_rows,)
        True classes.
    stretch : ndarray of shape (n_rows,), default=None
        Number of the stretch of each row. None is each its own.
    whole : bool, default=False
        Whether the rows of a class in a stretch stay together.

    Returns
    -------
    luck : ndarray of shape (n_rows,)
        In (0, 1).
    """
    stretch = np.arange(len(own)) if stretch is None else stretch
    order = np.lexsort((stretch, luck, own))
    totals = np.bincount(own)
    before = np.cumsum(totals) - totals
    place = np.empty(len(own))
    place[order] = np.arange(len(own)) + 0.5
    place = (place - before[own]) / totals[own]
    if whole and len(own):
        _, together = np.unique(stretch * len(totals) + own, return_inverse=True)
        place = (np.bincount(together, place) / np.bincount(together))[together]
    return place


def wrong_labels(luck, own, shares) -> np.ndarray:
    """Choose wrong labels by numbers in [0, 1).

    Parameters
    ----------
    luck : ndarray of shape (n_rows,)
        Numbers in [0, 1); the same number means the same wrong label, as far as it is one.
    own : ndarray of shape (n_rows,)
        True classes.
    shares : ndarray of shape (n_classes, n_classes)
        Share of each label (columns) in each true class (rows).

    Returns
    -------
    labels : ndarray of shape (n_rows,), dtype intp
        None is the true one; the others in proportion to their shares.
    """
    others = shares.copy()
    np.fill_diagonal(others, 0)
    labels = np.empty(len(own), dtype=np.intp)
    for k in np.unique(own):
        ends = np.cumsum(others[k])
        mine = own == k
        labels[mine] = np.searchsorted(ends / ends[-1], luck[mine], side="right")
    return labels
