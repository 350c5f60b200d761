"""Scores of a model where the labels to compare with are wrong too."""

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labels import encode_verified, missing_labels
from skrobust.metrics._confusion import METRIC_NAMES, RANKING, encode_pairs, resolve_metric
from skrobust.metrics._fitted_transition import (
    FittedTransition,
    read_transition,
    warn_of_own_rows,
)
from skrobust.metrics._score_estimate import ScoreEstimate
from skrobust.metrics._transition_estimate import (
    auc_by_transition,
    average_precision_by_transition,
    confusion_by_transition,
)
from skrobust.metrics._verified_estimate import AuditedRows, confusion_by_audit, ranking_by_audit
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import float_column
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, validate_params
from skrobust.utils._typing import LabelsLike
from skrobust.utils._warnings import LabelNoiseWarning
from skrobust.utils._weights import check_sample_weight


@fill_docstring
@validate_params(
    {
        "metric": [StrOptions(set(METRIC_NAMES)), callable, "array-like"],
        "method": [StrOptions({"auto", "transition", "verified"})],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
        "n_bootstrap": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def noise_corrected_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    metric: str | Callable[..., Any] | ArrayLike = "accuracy",
    transition: Any = None,
    verified_labels: LabelsLike | None = None,
    verified_weight: ArrayLike | None = None,
    label_quality: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    method: str = "auto",
    confidence_level: float = 0.95,
    n_bootstrap: int = 200,
    random_state: int | np.random.RandomState | None = None,
) -> ScoreEstimate:
    """Score of predictions against the true labels, where the given labels are partly wrong.

    With verified rows, the score of the given labels is corrected by its error on these rows,
    which is unbiased whatever the noise is. With a transition matrix, the confusion matrix is
    corrected, which holds as far as the matrix does.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Given labels, some of them wrong.
    y_pred : array-like of shape (n_samples,)
        Predictions by a model that was not trained on these rows; for ``metric="roc_auc"`` and
        ``"average_precision"``, scores of the second class.
    metric : str, callable or array-like of shape (n_classes, n_classes), default="accuracy"
        What to estimate:

        - "accuracy", "balanced_accuracy", "geometric_mean" (of the recalls), "matthews_corrcoef",
          "cohen_kappa";
        - "f1", "precision", "recall" of the second of two classes, or followed by "_macro",
          "_micro" or "_weighted";
        - "roc_auc", "average_precision" of the second of two classes;
        - costs of each prediction (columns) by true class (rows): the mean cost of a row;
        - a function that takes a confusion matrix of shape (n_classes, n_classes), rows true
          classes, scaled to sum 1, and returns a float.
    transition : array-like of shape (n_classes, n_classes) or fitted estimator, default=None
        Probability of each given label (columns) for each true class (rows). A matrix is taken to
        be exact. A fitted estimator has `transition_matrix_`, or a `detector_` that has it; if it
        also has `transition_interval_` and `noise_rate_interval_`, the errors of the matrix are
        part of the standard error.
    verified_labels : array-like of shape (n_samples,), default=None
        Labels as checked by a reviewer, missing where not verified; `y_true` stays as given. The
        rows must have been drawn at random, or by known probabilities.
    verified_weight : array-like of shape (n_samples,), default=None
        Inverse of the probability by which each verified row was drawn, up to a factor. None:
        equal probabilities. Entries of rows that are not verified are ignored.
    label_quality : array-like of shape (n_samples,), default=None
        Probability in [0, 1] of each given label to be right, such as `label_quality_` of a
        detector, for a better proxy where verified rows are used. NaN counts as 1.
    labels : array-like of shape (n_classes,), default=None
        The classes, in the order of `transition`. None: the classes of the fitted estimator, or
        all labels that occur, sorted.
    %(sample_weight)s
    method : {"auto", "transition", "verified"}, default="auto"
        "auto" is "verified" where there are verified rows. The result names the one used.
    confidence_level : float, default=0.95
        How often the interval is meant to hold the true score, in (0, 1).
    n_bootstrap : int, default=200
        Samples for the standard error of "average_precision", and of "roc_auc" with verified
        rows, at least 2. All other standard errors are by the delta method.
    %(random_state)s

    Returns
    -------
    estimate : ScoreEstimate
        With the attributes `score`, `standard_error`, `interval` (low, high), `noisy_score`,
        `method`, `rows_error` and `transition_error` (the two parts of the standard error), and
        `weight` (of the correction, or of the proxy). ``float(estimate)`` is the score.

    Raises
    ------
    ValueError
        If there is neither a transition nor a verified row; if fewer than two rows are verified;
        if the transition is singular or nearly so, or is for other classes; if the metric is
        unknown or not for this number of classes; if labels are missing or unknown.

    Warns
    -----
    LabelNoiseWarning
        If verified rows appear to have been chosen because their labels are suspicious, or have a
        `verified_weight` of zero; if the transition was estimated from the scored rows, its error
        is not known, or it makes more than half of the labels wrong.

    See Also
    --------
    skrobust.model_selection.make_noise_corrected_scorer : The same inside a search.
    noise_corrected_confusion_matrix : The corrected confusion matrix itself.

    Notes
    -----
    *Verified rows.* Let the proxy of a row be the influence that it would have on the metric if
    the given label were right; for accuracy, whether label and prediction agree. With
    `label_quality`, the expectation is a second proxy. The estimate is the metric of the verified
    rows, plus a weight times the difference of the mean proxy of all other rows (of all rows, with
    `verified_weight`) from that of the verified rows. The weight, in [0, 1], minimises the
    variance (prediction-powered inference). For metrics other than accuracy and costs it is
    applied to the confusion matrix, and the standard error is that of the linearised metric; where
    a class has few verified rows, intervals of macro averages are too narrow. They use Student's
    t.

    *Transition.* A singular value of the matrix near zero magnifies errors. For an
    estimated matrix, the least squares are therefore regularised by the variances of its entries,
    and the correction is multiplied by ``d**2 / (d**2 + v)``, where d is the correction and v the
    variance of the matrix as it enters the score. Bootstrap samples show no systematic errors. If
    the estimator has `noise_rate_interval_`, the noise rate of each class has a standard error of
    its own: three tenths of the width of that interval, for a class of mean noise rate, and for
    others in proportion to their rate. Otherwise the estimator is assumed to take overlap of
    classes for noise, and four tenths of what that would change in the score is the standard
    error. Where an estimated transition makes more than half of the labels wrong, nothing is
    corrected.

    Given label and prediction must be independent given the true class, as they are not where
    hard rows are mislabelled more often, or a rule made the labels that the model learned.
    Verified rows need no such assumption.

    References
    ----------
    Angelopoulos, Duchi and Zrnic (2023). PPI++: Efficient prediction-powered inference.
    arXiv:2311.01453.

    Menon, van Rooyen, Ong and Williamson (2015). Learning from corrupted binary labels via
    class-probability estimation. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.metrics import noise_corrected_score
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(2, size=2000)
    >>> y_pred = np.where(rng.random(2000) < 0.9, truth, 1 - truth)
    >>> transition = symmetric_transition(2, 0.2)
    >>> y_given, _ = flip_labels(truth, transition, random_state=0)
    >>> estimate = noise_corrected_score(y_given, y_pred, transition=transition)
    >>> round(estimate.noisy_score, 2), round(estimate.score, 2)
    (0.73, 0.88)
    >>> verified = np.full(2000, np.nan)
    >>> verified[:200] = truth[:200]
    >>> estimate = noise_corrected_score(y_given, y_pred, verified_labels=verified)
    >>> estimate.method
    'verified'
    >>> low, high = estimate.interval
    >>> low < 0.9 < high
    True
    """
    return estimate_score(
        y_true,
        y_pred,
        metric=metric,
        transition=None if transition is None else read_transition(transition),
        verified_labels=verified_labels,
        verified_weight=verified_weight,
        label_quality=label_quality,
        labels=labels,
        sample_weight=sample_weight,
        method=method,
        confidence_level=confidence_level,
        n_bootstrap=n_bootstrap,
        random_state=random_state,
    )


def estimate_score(
    y_true,
    y_pred,
    *,
    metric,
    transition: FittedTransition | None,
    verified_labels=None,
    verified_weight=None,
    label_quality=None,
    labels=None,
    sample_weight=None,
    method="auto",
    confidence_level=0.95,
    n_bootstrap,
    random_state=0,
    needs_error=True,
) -> ScoreEstimate:
    """Do what :func:`noise_corrected_score` does, with a transition that was read.

    Without `needs_error`, a standard error that lacks a part is not warned about.
    """
    is_ranking = isinstance(metric, str) and metric in RANKING
    verified_labels = check_any_verified(verified_labels)
    if method == "auto":
        method = "transition" if verified_labels is None else "verified"
    fitted = None
    if method == "transition":
        if transition is None:
            raise ValueError(
                "A score can only be corrected with a transition or with verified_labels, but both"
                " are missing: fit skrobust.noise.AnchorTransition to other rows, or verify rows"
                " drawn at random."
            )
        fitted = transition
        if labels is None:
            labels = fitted.classes
    elif verified_labels is None:
        raise ValueError("method='verified' needs verified_labels, but no row is verified.")
    scores = None
    if is_ranking:
        scores = _check_scores(y_pred)
        y_pred = y_true if len(scores) == len(y_true) else y_pred
    more = () if verified_labels is None else (verified_labels,)
    given, pred, classes = encode_pairs(y_true, y_pred, labels, more=more)
    resolved = None
    if is_ranking:
        _check_two_classes(metric, given, classes)
    else:
        resolved = resolve_metric(metric, len(classes))
    weight = None if sample_weight is None else check_sample_weight(sample_weight, given)
    rng = private_random_state(random_state)
    if method == "transition":
        return _by_transition(
            metric, resolved, fitted, given, pred, scores, classes, weight, confidence_level,
            n_bootstrap, rng, needs_error,
        )  # fmt: skip
    rows = audited_rows(
        given, pred, classes, verified_labels, verified_weight, label_quality, weight
    )
    if is_ranking:
        return ranking_by_audit(metric, rows, scores, confidence_level, n_bootstrap, rng)
    return confusion_by_audit(resolved, rows, confidence_level)


def check_any_verified(verified_labels):
    """The verified labels, or None if there are none."""
    if verified_labels is None or missing_labels(verified_labels, name="verified_labels")[1].all():
        return None
    return verified_labels


def _check_scores(y_pred) -> np.ndarray:
    if np.ndim(y_pred) == 2 and np.shape(y_pred)[1] == 2:
        raise ValueError(
            "y_pred must hold the scores of the second class, got an array of shape"
            f" {np.shape(y_pred)}: pass y_pred[:, 1]."
        )
    scores = float_column(y_pred, "y_pred")
    if not np.isfinite(scores).all():
        raise ValueError("y_pred holds NaN or infinite scores.")
    return scores


def _check_two_classes(metric, given, classes) -> None:
    if len(classes) != 2:
        raise ValueError(f"metric={metric!r} is for two classes, but there are {len(classes)}.")
    for k, label in enumerate(classes.tolist()):
        if not (given == k).any():
            raise ValueError(
                f"metric={metric!r} needs both classes, but no row is given {label!r}."
            )


def _by_transition(
    metric, resolved, fitted: FittedTransition, given, pred, scores, classes, weight,
    confidence_level, n_bootstrap, rng, needs_error,
) -> ScoreEstimate:  # fmt: skip
    warn_of_own_rows(fitted.source, given)
    transition = fitted.take(classes)
    if needs_error and transition.estimated and transition.variance is None:
        warnings.warn(
            f"{type(transition.source).__name__} has no transition_interval_, so that the standard"
            " error leaves out the error of the transition: set n_bootstrap=200 in the estimator.",
            LabelNoiseWarning,
            stacklevel=3,
        )
    if resolved is not None:
        return confusion_by_transition(resolved, given, pred, transition, weight, confidence_level)
    if metric == "roc_auc":
        return auc_by_transition(given == 1, scores, transition, weight, confidence_level)
    return average_precision_by_transition(
        given == 1, scores, transition, weight, confidence_level, n_bootstrap, rng
    )


def audited_rows(
    given, pred, classes, verified_labels, verified_weight, label_quality, weight
) -> AuditedRows:
    """Validate what is known of verified rows."""
    n_samples = len(given)
    verified = encode_verified(verified_labels, classes)
    if len(verified) != n_samples:
        raise ValueError(
            f"verified_labels has {len(verified)} entries, but there are {n_samples} rows."
        )
    weight = np.ones(n_samples) if weight is None else weight
    audit_weight = np.where(verified >= 0, weight, 0.0)
    if verified_weight is not None:
        drawn = float_column(verified_weight, "verified_weight")
        if len(drawn) != n_samples:
            raise ValueError(
                f"verified_weight has {len(drawn)} entries, but there are {n_samples} rows."
            )
        drawn = np.where(verified >= 0, drawn, 0.0)
        if not np.isfinite(drawn).all() or drawn.min() < 0:
            raise ValueError("verified_weight must be finite and non-negative in verified rows.")
        n_zero = np.count_nonzero(drawn[verified >= 0] == 0)
        if n_zero:
            warnings.warn(
                f"{n_zero} verified rows have a verified_weight of zero and do not count: rows that"
                " were chosen because they appear wrong are no random audit.",
                LabelNoiseWarning,
                stacklevel=3,
            )
        audit_weight = audit_weight * drawn
    n_verified = np.count_nonzero(audit_weight)
    if n_verified < 2:
        raise ValueError(
            f"At least two verified rows are needed for a standard error, got {n_verified}."
        )
    quality = None
    if label_quality is not None:
        quality = float_column(label_quality, "label_quality").copy()
        if len(quality) != n_samples:
            raise ValueError(
                f"label_quality has {len(quality)} entries, but there are {n_samples} rows."
            )
        quality[np.isnan(quality)] = 1.0
        if quality.min() < 0 or quality.max() > 1:
            raise ValueError("label_quality must be in [0, 1].")
    return AuditedRows(
        given,
        pred,
        verified,
        len(classes),
        weight,
        audit_weight,
        quality,
        verified_weight is not None,
    )
