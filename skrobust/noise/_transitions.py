"""Transition matrices of synthetic label noise, and the validation of given ones."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, validate_params

_N_CLASSES = [Interval(Integral, 2, None, closed="left")]
_RATE = [Interval(Real, 0, 1, closed="both")]


@validate_params(
    {"n_classes": _N_CLASSES, "rate": _RATE, "include_self": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def symmetric_transition(n_classes: int, rate: float, *, include_self: bool = False) -> np.ndarray:
    """Return the transition matrix of symmetric noise: all wrong labels are equally likely.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2.
    rate : float
        Share of labels that are replaced, in [0, 1].
    include_self : bool, default=False
        Whether the new label is drawn from all classes, the true one included. The share of
        labels that end up wrong is then ``rate * (1 - 1 / n_classes)``. Papers differ in this.

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes, columns given labels; rows sum to 1.

    See Also
    --------
    flip_labels : Draws labels by a transition matrix.

    Examples
    --------
    >>> from skrobust.noise import symmetric_transition
    >>> symmetric_transition(3, 0.2)
    array([[0.8, 0.1, 0.1],
           [0.1, 0.8, 0.1],
           [0.1, 0.1, 0.8]])
    >>> symmetric_transition(2, 0.2, include_self=True)
    array([[0.9, 0.1],
           [0.1, 0.9]])
    """
    if include_self:
        rate = rate * (1 - 1 / n_classes)
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


@validate_params({"n_classes": _N_CLASSES, "rate": _RATE}, prefer_skip_nested_validation=True)
def pair_transition(n_classes: int, rate: float) -> np.ndarray:
    """Return the transition matrix of pair noise: each class is mistaken for the next one only.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2. The last class is mistaken for the first.
    rate : float
        Share of labels that are wrong, in [0, 1].

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes, columns given labels; rows sum to 1.

    See Also
    --------
    flip_labels : Draws labels by a transition matrix.

    Examples
    --------
    >>> from skrobust.noise import pair_transition
    >>> pair_transition(3, 0.25)
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.75, 0.25],
           [0.25, 0.  , 0.75]])
    """
    identity = np.eye(n_classes)
    return (1 - rate) * identity + rate * np.roll(identity, 1, axis=1)


@validate_params(
    {"n_classes": _N_CLASSES, "noise_rate": _RATE, "random_state": ["random_state"]},
    prefer_skip_nested_validation=True,
)
def random_transition(
    n_classes: int, noise_rate: float, *, random_state: int | np.random.RandomState | None = None
) -> np.ndarray:
    """Draw a transition matrix with a given noise rate.

    Some classes are noisier than others, by up to half of `noise_rate`, and the wrong labels of
    each class have shares that are uniform on the simplex of the other classes.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2.
    noise_rate : float
        Share of labels that are wrong where all classes are equally frequent, in [0, 1]: the
        mean of one minus the diagonal, met exactly.
    random_state : int, RandomState instance or None, default=None
        Seed. None draws fresh entropy.

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes, columns given labels; rows sum to 1. The diagonal entry is the
        largest of its row wherever the noise of the class is below one half.

    See Also
    --------
    flip_labels : Draws labels by a transition matrix.

    Examples
    --------
    >>> from skrobust.noise import random_transition
    >>> transition = random_transition(4, 0.3, random_state=0)
    >>> float(round(1 - transition.trace() / 4, 10))
    0.3
    """
    rng = private_random_state(random_state)
    offsets = rng.uniform(-1, 1, size=n_classes)
    offsets -= offsets.mean()
    # Every class has at least half and at most one and a half times the mean rate, is on the same
    # side of one half, and within [0, 1].
    width = min(0.5 * noise_rate, abs(0.5 - noise_rate), 1 - noise_rate)
    rates = noise_rate + offsets * (width / max(np.abs(offsets).max(), 1e-12))
    others = rng.dirichlet(np.ones(n_classes - 1), size=n_classes)
    transition = np.zeros((n_classes, n_classes))
    transition[~np.eye(n_classes, dtype=bool)] = (others * rates[:, None]).ravel()
    np.fill_diagonal(transition, 1 - rates)
    return transition


def check_transition(transition: ArrayLike, n_classes: int | None = None) -> np.ndarray:
    """Validate a transition matrix; the error names the first wrong row."""
    try:
        matrix = np.asarray(transition, dtype=np.float64)
    except (TypeError, ValueError) as error:
        what = f"{transition!r}{_odd_row(transition)}"
        raise ValueError(f"transition must be a square matrix of numbers, got {what}.") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        what = f"shape {matrix.shape}{_odd_row(matrix)}"
        raise ValueError(f"transition must be a square matrix, got {what}.")
    if n_classes is not None and len(matrix) != n_classes:
        excess = len(matrix) > n_classes
        what = f"row {n_classes} is of none" if excess else f"row {len(matrix)} is missing"
        raise ValueError(
            f"transition has {len(matrix)} classes, but there are {n_classes} classes of labels:"
            f" {what}."
        )
    wrong = ~np.isfinite(matrix) | (matrix < 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            f"transition has NaN, infinite or negative entries: row {row} has"
            f" {matrix[row, column]:.6g} in column {column}, which is no probability."
        )
    sums = matrix.sum(axis=1)
    if not np.allclose(sums, 1, atol=1e-6):
        row = int(np.argmax(np.abs(sums - 1)))
        advice = "Rows are true classes; a matrix with given labels in rows must be transposed."
        if np.allclose(matrix.sum(axis=0), 1, atol=1e-6):
            advice = "Rows are true classes. Its columns sum to 1: is the transpose meant?"
        raise ValueError(
            f"The rows of transition must sum to 1, but row {row} sums to {sums[row]:.6g}. {advice}"
        )
    return matrix


def _odd_row(transition: Any) -> str:
    """Describe the first row that is not a list of as many numbers as there are rows."""
    array = isinstance(transition, np.ndarray) and transition.ndim
    rows = transition if array or isinstance(transition, (list, tuple)) else []
    for number, row in enumerate(rows):
        try:
            shape = np.shape(np.asarray(row, dtype=np.float64))
        except (TypeError, ValueError):
            shape = ()
        if len(shape) != 1:
            return f": row {number} is no list of numbers"
        if shape[0] != len(rows):
            return f": row {number} has length {shape[0]}, not {len(rows)}"
    return ""
