"""Confusion matrices against true labels, from given labels and a transition matrix."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from skrobust.metrics._confusion import count_pairs, encode_pairs
from skrobust.noise._resolve import check_usable
from skrobust.noise._transitions import check_transition
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._weights import check_sample_weight

# Up to so many classes, columns are solved exactly, one by one; beyond, all at once, step by step.
_EXACT_CLASSES = 64
_N_STEPS = 3
_NEWTON_STEPS = 3
# How much heavier than a count the column sum weighs in exact solutions.
_SUM_WEIGHT = 1e4


@fill_docstring
def noise_corrected_confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    transition: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    transition_covariance: Any = None,
) -> np.ndarray:
    """Confusion matrix against the true labels, estimated from given (noisy) labels.

    The confusion matrix of the given labels equals, in expectation, the transposed transition
    matrix times the confusion matrix of the true labels. It is solved for the latter by
    non-negative least squares; the number of predictions of each class is kept.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Given labels, some of them wrong.
    y_pred : array-like of shape (n_samples,)
        Predictions by a model that was not trained on these rows.
    transition : array-like of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    labels : array-like of shape (n_classes,), default=None
        The labels that rows and columns of `transition`, and of the result, denote. None: all
        labels that occur, sorted.
    %(sample_weight)s
    transition_covariance : array-like of shape (n_classes, n_classes) or \
            (n_classes**2, n_classes**2), default=None
        Variances of the entries of an estimated `transition`, or the covariances of all entries,
        row by row. The expected squared residual is then minimised, which draws the solution
        towards equal true classes where the transition is uncertain. None: `transition` is exact.

    Returns
    -------
    confusion : ndarray of shape (n_classes, n_classes)
        Estimated counts of true classes (rows) and predictions (columns), not rounded.

    Raises
    ------
    ValueError
        If `transition` is not stochastic, is singular or nearly so, or is for another number of
        classes; if labels or predictions are missing or unknown.

    See Also
    --------
    noise_corrected_score : Metrics of this matrix, with their standard error.
    sklearn.metrics.confusion_matrix : The result for an identity matrix.

    Notes
    -----
    Given label and prediction must be independent given the true class. They are not where the
    model was trained on the row, or where hard rows are mislabelled more often.

    For more than 64 classes, the least-squares problem is solved by a fixed number of accelerated
    projected gradient steps.

    References
    ----------
    Natarajan, Dhillon, Ravikumar and Tewari (2013). Learning with noisy labels. Advances in Neural
    Information Processing Systems 26.

    Examples
    --------
    >>> from skrobust.metrics import noise_corrected_confusion_matrix
    >>> y_true = [0] * 75 + [1] * 25 + [0] * 30 + [1] * 70
    >>> y_pred = [0] * 100 + [1] * 100
    >>> transition = [[0.8, 0.2], [0.3, 0.7]]
    >>> noise_corrected_confusion_matrix(y_true, y_pred, transition).round(6)
    array([[ 90.,   0.],
           [ 10., 100.]])
    """
    true_codes, pred_codes, classes = encode_pairs(y_true, y_pred, labels)
    matrix = check_transition(transition, len(classes))
    check_usable(matrix, classes, "invertible")
    weight = None if sample_weight is None else check_sample_weight(sample_weight, true_codes)
    penalty = _penalty(transition_covariance, len(classes))
    counts = count_pairs(true_codes, pred_codes, len(classes), weight)
    return solve_confusion(counts, matrix, penalty)


def _penalty(covariance, n_classes: int) -> np.ndarray | None:
    """Sum over labels of the covariances of a column of the transition."""
    if covariance is None:
        return None
    covariance = np.asarray(covariance, dtype=np.float64)
    n = n_classes
    if covariance.shape not in ((n, n), (n * n, n * n)) or not np.isfinite(covariance).all():
        raise ValueError(
            f"transition_covariance must be finite, of shape {(n, n)} or {(n * n, n * n)}, got"
            f" shape {covariance.shape}."
        )
    if n > 1 and covariance.shape == (n, n):
        if covariance.min() < 0:
            raise ValueError(
                f"transition_covariance holds the negative variance {covariance.min():.3g}."
            )
        return np.diag(covariance.sum(axis=1))
    return np.einsum("ikjk->ij", covariance.reshape(n, n, n, n))


def solve_confusion(counts, transition, penalty=None) -> np.ndarray:
    """Solve for the true confusion matrix by non-negative least squares.

    Parameters
    ----------
    counts : ndarray of shape (n_classes, n_predicted)
        Counts of given labels (rows) and predictions (columns).
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes.
    penalty : ndarray of shape (n_classes, n_classes), default=None
        Matrix of a quadratic penalty.

    Returns
    -------
    confusion : ndarray of shape (n_classes, n_predicted)
        Non-negative, with the column sums of `counts`.
    """
    sums = counts.sum(axis=0)
    if penalty is None:
        solution = np.linalg.solve(transition.T, counts)
        todo = np.flatnonzero((solution < 0).any(axis=0))
    else:
        solution = np.empty(counts.shape)
        todo = np.arange(counts.shape[1])
    if len(todo) and len(transition) <= _EXACT_CLASSES:
        solution[:, todo] = _solve_exactly(counts[:, todo], transition, penalty)
    elif len(todo):
        start = counts if penalty is not None else solution
        solution[:, todo] = _solve_stepwise(start[:, todo], counts[:, todo], transition, penalty)
    totals = solution.sum(axis=0)
    return solution * np.divide(sums, totals, out=np.zeros_like(sums), where=totals > 0)


def _solve_exactly(counts, transition, penalty) -> np.ndarray:
    """One active-set solution per column."""
    n_classes = len(transition)
    rows = [transition.T, np.full((1, n_classes), _SUM_WEIGHT)]
    if penalty is not None:
        values, vectors = np.linalg.eigh((penalty + penalty.T) / 2)
        rows.append(np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)
    design = np.vstack(rows)
    solution = np.zeros(counts.shape)
    for k, column in enumerate(counts.T):
        total = column.sum()
        if total > 0:
            target = np.zeros(len(design))
            target[:n_classes] = column / total
            target[n_classes] = _SUM_WEIGHT
            solution[:, k] = total * nnls(design, target)[0]
    return solution


def _solve_stepwise(start, counts, transition, penalty) -> np.ndarray:
    """Accelerated projected gradient for all columns at once."""
    gram = transition @ transition.T
    if penalty is not None:
        gram = gram + penalty
    step = 1 / np.linalg.norm(gram, 1)
    target = transition @ counts
    sums = counts.sum(axis=0)
    solution, shift = _project(start, sums, np.zeros(len(sums)))
    ahead, momentum = solution, 1.0
    for _ in range(_N_STEPS):
        ahead -= step * (gram @ ahead - target)
        moved, shift = _project(ahead, sums, shift)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = moved + (momentum - 1) / following * (moved - solution)
        solution, momentum = moved, following
    return solution


def _project(columns, sums, shift) -> tuple[np.ndarray, np.ndarray]:
    """Nearest non-negative columns with about these sums, by Newton steps of their shifts."""
    top = columns.max(axis=0) - 1e-9
    for _ in range(_NEWTON_STEPS):
        above = columns - np.minimum(shift, top)
        n_positive = np.count_nonzero(above > 0, axis=0)
        np.maximum(above, 0, out=above)
        shift = np.minimum(shift, top) + (above.sum(axis=0) - sums) / n_positive
    return np.maximum(columns - shift, 0), shift
