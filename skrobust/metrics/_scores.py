"""Scores for classes of unequal size."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import f1_score

from skrobust.metrics._confusion import count_pairs, encode_pairs, resolve_metric
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._weights import check_sample_weight


@fill_docstring
def geometric_mean_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Geometric mean of the recalls of all classes.

    It is 0 as soon as one class is never predicted, however rare, so that a model cannot buy it by
    predicting the frequent classes only.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    y_pred : array-like of shape (n_samples,)
        Predictions.
    labels : array-like of shape (n_classes,), default=None
        All classes; those of which no row is take no part. None: those that occur.
    %(sample_weight)s

    Returns
    -------
    score : float
        In [0, 1].

    Raises
    ------
    ValueError
        If labels or predictions are missing, of unequal number, or none of `labels`.

    See Also
    --------
    f1_gmean_score : Together with the F1 score.
    sklearn.metrics.balanced_accuracy_score : Arithmetic mean of the recalls.

    References
    ----------
    Kubat and Matwin (1997). Addressing the curse of imbalanced training sets: one-sided selection.
    ICML.

    Examples
    --------
    >>> from skrobust.metrics import geometric_mean_score
    >>> geometric_mean_score([0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1])
    0.7071...
    """
    true, pred, classes = encode_pairs(y_true, y_pred, labels)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, true)
    counts = count_pairs(true, pred, len(classes), weight)
    return resolve_metric("geometric_mean", len(classes))(counts)


@fill_docstring
def f1_gmean_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> tuple[float, float]:
    """F1 score and geometric mean of the recalls, for choices by the first and then the second.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Labels.
    y_pred : array-like of shape (n_samples,)
        Predictions.
    %(sample_weight)s

    Returns
    -------
    f1 : float
        F1 score of the second of two classes, in sorted order; macro average for more classes.
    geometric_mean : float
        Geometric mean of the recalls; for two classes, the root of the product of the true
        positive rate and the true negative rate.

    Raises
    ------
    ValueError
        If labels or predictions are missing or of unequal number.

    See Also
    --------
    skrobust.model_selection.lexicographic_refit : Chooses a model by both, in this order.

    Examples
    --------
    >>> from skrobust.metrics import f1_gmean_score
    >>> f1, geometric_mean = f1_gmean_score([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 0, 1])
    >>> round(f1, 3), round(geometric_mean, 3)
    (0.5, 0.612)
    """
    true, pred, classes = encode_pairs(y_true, y_pred)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, true)
    average = "binary" if len(classes) <= 2 else "macro"
    f1 = f1_score(true, pred, average=average, sample_weight=weight, zero_division=0)
    counts = count_pairs(true, pred, len(classes), weight)
    return float(f1), float(resolve_metric("geometric_mean", len(classes))(counts))


def _binary_counts(tpr: float, tnr: float, prevalence: float) -> np.ndarray:
    """Confusion matrix of sum 1, rows true classes."""
    return np.array(
        [
            [(1 - prevalence) * tnr, (1 - prevalence) * (1 - tnr)],
            [prevalence * (1 - tpr), prevalence * tpr],
        ]
    )


def expected_noisy_score(
    metric: str | Callable[..., Any] | ArrayLike,
    *,
    tpr: float,
    tnr: float,
    prevalence: float,
    fpr_labels: float,
    fnr_labels: float,
) -> float:
    """Value that a metric shows when the labels it is computed from are partly wrong.

    In closed form, for two classes and a large number of rows: a way to see how much of a score
    is due to the annotators, which under a rare class can be most of it.

    .. versionadded:: 0.1

    Parameters
    ----------
    metric : str, callable or array-like of shape (2, 2)
        As of :func:`noise_corrected_score`, except "roc_auc" and "average_precision".
    tpr : float
        True positive rate of the model against true labels, in [0, 1].
    tnr : float
        True negative rate of the model against true labels, in [0, 1].
    prevalence : float
        Share of the positive class among the true labels, in (0, 1).
    fpr_labels : float
        Probability that a negative row is labelled positive, in [0, 1].
    fnr_labels : float
        Probability that a positive row is labelled negative, in [0, 1].

    Returns
    -------
    score : float
        The metric against the noisy labels; with `fpr_labels` and `fnr_labels` of 0, against the
        true ones.

    Raises
    ------
    ValueError
        If a rate is not in its range, or the metric is unknown.

    See Also
    --------
    noise_corrected_score : The way back, from noisy labels to the true score.

    Notes
    -----
    Errors of the labels and of the model must be independent given the true class.

    Examples
    --------
    A nearly perfect model for a class of 1 %, where annotators mislabel 2 % of the negatives:

    >>> from skrobust.metrics import expected_noisy_score
    >>> model = {"tpr": 0.95, "tnr": 0.995, "prevalence": 0.01}
    >>> round(expected_noisy_score("f1", **model, fpr_labels=0, fnr_labels=0), 3)
    0.777
    >>> round(expected_noisy_score("f1", **model, fpr_labels=0.02, fnr_labels=0), 3)
    0.434
    """
    rates = {
        "tpr": tpr,
        "tnr": tnr,
        "prevalence": prevalence,
        "fpr_labels": fpr_labels,
        "fnr_labels": fnr_labels,
    }
    for name, value in rates.items():
        if not np.isscalar(value) or not 0 <= value <= 1:
            raise ValueError(f"{name} must be a number in [0, 1], got {value!r}.")
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be in (0, 1), got {prevalence!r}.")
    transition = np.array([[1 - fpr_labels, fpr_labels], [fnr_labels, 1 - fnr_labels]])
    return resolve_metric(metric, 2)(transition.T @ _binary_counts(tpr, tnr, prevalence))
