"""Matrices of predicted probabilities: how they come in, and what is refused."""

import numpy as np

SUM_TOLERANCE = 1e-3
"""How far the sum of a row may be from 1; float16 scores are rounded to about this."""


def as_proba(pred_proba, n_samples: int | None = None) -> np.ndarray:
    """Take a matrix of probabilities as it is, or nearly.

    Floating-point arrays, memory maps included, are neither copied nor converted; CPU tensors
    are viewed. The entries are checked by whoever passes over them, see :func:`check_block`.

    Parameters
    ----------
    pred_proba : array-like of shape (n_samples, n_classes)
        Probabilities, one column per class.
    n_samples : int, default=None
        How many rows there must be.

    Returns
    -------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Of the floating-point type that came in; anything else becomes float64.
    """
    array = pred_proba if isinstance(pred_proba, np.ndarray) else np.asarray(pred_proba)
    if array.dtype == np.float16 or array.dtype.kind != "f":
        if array.dtype.kind not in "fiub":
            raise ValueError(f"pred_proba must be numbers, got an array of {array.dtype}.")
        array = array.astype(np.float64 if array.dtype.kind != "f" else np.float32)
    if array.ndim != 2:
        raise ValueError(
            "pred_proba must have shape (n_samples, n_classes), got an array of shape"
            f" {array.shape}."
        )
    if array.shape[1] < 2:
        raise ValueError(
            "pred_proba must have a column for each of at least two classes, got"
            f" {array.shape[1]} column."
        )
    if array.shape[0] == 0:
        raise ValueError("pred_proba has no row.")
    if n_samples is not None and len(array) != n_samples:
        raise ValueError(
            f"y and pred_proba must have the same number of rows, got {n_samples} and {len(array)}."
        )
    return array


def check_block(row_sums: np.ndarray, smallest: float, start: int) -> None:
    """Refuse a block of probabilities by its row sums and its smallest entry.

    NaN and infinities show in the sums, so that these two figures are enough to look at.

    Parameters
    ----------
    row_sums : ndarray of shape (n_rows,)
        Sums of the rows.
    smallest : float
        Smallest entry of the block.
    start : int
        Number of the first row, for the message.
    """
    # Written so that NaN fails both comparisons.
    if smallest >= 0 and bool((np.abs(row_sums - 1) <= SUM_TOLERANCE).all()):
        return
    finite = np.isfinite(row_sums)
    if not finite.all():
        row = start + int(np.flatnonzero(~finite)[0])
        raise ValueError(f"pred_proba has a NaN or infinite entry in row {row}.")
    if not smallest >= 0:
        raise ValueError(
            f"pred_proba has a negative entry ({smallest:.6g}) in the rows from {start} on."
        )
    wrong = int(np.flatnonzero(~(np.abs(row_sums - 1) <= SUM_TOLERANCE))[0])
    raise ValueError(
        f"The rows of pred_proba must sum to 1, but row {start + wrong} sums to"
        f" {row_sums[wrong]:.6g}. Normalise the rows first."
    )
