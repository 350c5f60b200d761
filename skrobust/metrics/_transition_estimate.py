"""Scores against true labels by way of a transition matrix."""

import warnings

import numpy as np
from scipy.special import ndtri

from skrobust.metrics._confusion import ConfusionMetric, count_pairs
from skrobust.metrics._corrected_confusion import solve_confusion
from skrobust.metrics._fitted_transition import FittedTransition
from skrobust.metrics._score_estimate import ScoreEstimate, make_estimate
from skrobust.utils._warnings import LabelNoiseWarning

# Standard error of a score, per loss of it if rows where classes overlap passed for noise, for
# estimators that have no interval of the noise rate.
_OVERLAP_ERROR = 0.4
# An estimated transition by which more labels are wrong, as the mean of classes, is not used: where
# classes overlap as much as that, it is confounded with noise.
_HIGHEST_NOISE = 0.5


class UndefinedScoreError(ValueError):
    """Raised where a score has no value for these rows."""


def confusion_by_transition(
    metric: ConfusionMetric,
    true_codes,
    pred_codes,
    transition: FittedTransition,
    sample_weight,
    confidence_level: float,
) -> ScoreEstimate:
    """Estimate a function of the confusion matrix, with errors by the delta method."""
    matrix = transition.matrix
    n_classes = len(matrix)
    weight, n_rows = _normalise(sample_weight, len(true_codes))
    counts = count_pairs(true_codes, pred_codes, n_classes, weight)
    confusion = solve_confusion(counts, matrix, transition.penalty)
    noisy, corrected = metric(counts), metric(confusion)

    # To first order, given labels and the transition enter by the same matrix of influences.
    influence = np.linalg.solve(matrix, metric.gradient(confusion))
    row_variance = _weighted_variance(influence[true_codes, pred_codes], weight) / n_rows
    if not transition.estimated:
        return _combine(metric, noisy, corrected, row_variance, confidence_level)
    slope = confusion @ influence.T
    slope -= (matrix * slope).sum(axis=1, keepdims=True)  # rows of the transition sum to 1
    variance = 0.0
    if transition.variance is not None:
        variance = float((transition.variance * slope**2).sum())
    if transition.rate_error is None:
        variance += (_OVERLAP_ERROR * (corrected - metric(_overlapped(confusion)))) ** 2
    else:
        by_rate = ((matrix - np.eye(n_classes)) * slope).sum(axis=1)  # of each class
        variance += float(((transition.rate_error * by_rate) ** 2).sum())
    return _combine_estimated(
        metric, noisy, corrected, row_variance, confidence_level, matrix, variance
    )


def _normalise(sample_weight, n_samples: int) -> tuple[np.ndarray, float]:
    """Weights that sum to 1, and the number of equal rows of the same information."""
    if sample_weight is None:
        return np.full(n_samples, 1 / n_samples), float(n_samples)
    weight = sample_weight / sample_weight.sum()
    return weight, 1 / float(weight @ weight)


def _weighted_variance(values, weight) -> float:
    return float(weight @ (values - weight @ values) ** 2)


def _overlapped(confusion: np.ndarray) -> np.ndarray:
    """The confusion matrix, if the model confuses classes as much where the noise was estimated."""
    sums = confusion.sum(axis=0)
    shares = np.eye(len(confusion))
    seen = sums > 0
    shares[:, seen] = confusion[:, seen] / sums[seen]
    return shares @ confusion


def _combine(
    metric, noisy, corrected, row_variance, confidence_level, *, error=0.0, center=None, weight=1.0
) -> ScoreEstimate:
    return make_estimate(
        noisy + weight * (corrected - noisy) if weight else noisy,
        noisy,
        "transition",
        center=corrected if center is None else center,
        errors=(np.sqrt(row_variance), error),
        quantile=ndtri((1 + confidence_level) / 2),
        bounds=metric.bounds,
        weight=weight,
    )


def _combine_estimated(
    metric, noisy, corrected, row_variance, confidence_level, matrix, variance
) -> ScoreEstimate:
    """Shrink the correction by its error, or refuse it, where the transition is an estimate."""
    common = (metric, noisy, corrected, row_variance, confidence_level)
    noise = 1 - matrix.trace() / len(matrix)
    if noise > _HIGHEST_NOISE:
        warnings.warn(
            f"The estimated transition makes {noise:.0%} of the labels wrong. Classes that overlap"
            " give the same estimate, so the score is not corrected; its interval holds both."
            " Verify rows drawn at random instead.",
            LabelNoiseWarning,
            stacklevel=5,
        )
        return _combine(*common, error=abs(corrected - noisy), center=noisy, weight=0.0)
    gain = (corrected - noisy) ** 2
    weight = gain / (gain + variance) if np.isfinite(variance) and gain + variance > 0 else 0.0
    return _combine(*common, error=np.sqrt(variance), weight=weight)


def auc_by_transition(
    is_second, scores, transition: FittedTransition, sample_weight, confidence_level: float
) -> ScoreEstimate:
    """Estimate the area under the ROC curve, which is affine in that of the given labels."""
    weight, n_rows = _normalise(sample_weight, len(scores))
    noisy, influence = auc_influence(is_second, scores, weight)
    share = float(weight @ is_second)

    def correct(matrix, share, noisy) -> float:
        return 0.5 + (noisy - 0.5) / _separation(matrix, share)

    metric = ConfusionMetric("roc_auc")
    if not 0 < _prior(transition.matrix, share) < 1:
        variance = _weighted_variance(influence, weight) / n_rows
        return _without_class(metric, noisy, transition, variance, confidence_level)
    corrected = correct(transition.matrix, share, noisy)
    step = 1e-5
    by_share = (
        correct(transition.matrix, share + step, noisy)
        - correct(transition.matrix, share - step, noisy)
    ) / (2 * step)
    rows = influence / _separation(transition.matrix, share) + by_share * (is_second - share)
    row_variance = _weighted_variance(rows, weight) / n_rows
    if not transition.estimated:
        return _combine(metric, noisy, corrected, row_variance, confidence_level)
    variance = _variance_by_steps(lambda m: correct(m, share, noisy), transition)
    if transition.rate_error is None:
        clipped = min(max(corrected, 0.0), 1.0)
        variance += (_OVERLAP_ERROR * 2 * (1 - clipped) * (clipped - 0.5)) ** 2
    return _combine_estimated(
        metric, noisy, corrected, row_variance, confidence_level, transition.matrix, variance
    )


def _prior(matrix, share: float) -> float:
    """Share of the second class, as it follows from that of its label; not clipped to [0, 1]."""
    return (share - matrix[0, 1]) / (1 - matrix[0, 1] - matrix[1, 0])


def _separation(matrix, share: float) -> float:
    """One minus both contamination rates: of rows given either label, how many are of the other."""
    prior = _prior(matrix, share)
    return 1 - matrix[1, 0] * prior / (1 - share) - matrix[0, 1] * (1 - prior) / share


def _without_class(metric, noisy, transition, row_variance, confidence_level) -> ScoreEstimate:
    """Refuse to correct where, by the transition, no row is of one of the two classes."""
    reason = "By the transition, all rows are of one class, so that no ranking can be scored."
    if not transition.estimated:
        raise UndefinedScoreError(reason)
    warnings.warn(
        f"{reason} The transition is an estimate: the score is that of the given labels.",
        LabelNoiseWarning,
        stacklevel=5,
    )
    return _combine(metric, noisy, noisy, row_variance, confidence_level, error=np.inf, weight=0.0)


def _variance_by_steps(function, transition: FittedTransition) -> float:
    """Variance that two error rates bring into a function of a 2 x 2 transition."""
    matrix = transition.matrix
    variance = np.zeros(2) if transition.variance is None else transition.variance.mean(axis=1)
    if transition.rate_error is not None:
        variance = variance + (transition.rate_error * (1 - matrix.diagonal())) ** 2
    total, step = 0.0, 1e-4
    for k in np.flatnonzero(variance):
        move = np.zeros((2, 2))
        move[k] = np.where(matrix[k] < 0.5, step, -step)  # away from 0
        back = move * (matrix[k].min() > step)
        change = function(matrix + move) - function(matrix - back)
        span = np.abs(move + back)[k, 0]
        total += variance[k] * (change / span) ** 2
    return float(total)


def auc_influence(is_second, scores, weight) -> tuple[float, np.ndarray]:
    """Area under the ROC curve, and the influence of each row on it.

    Parameters
    ----------
    is_second : ndarray of shape (n_samples,) of bool
        Rows of the second class.
    scores : ndarray of shape (n_samples,)
        Scores of that class.
    weight : ndarray of shape (n_samples,)
        Weights that sum to 1.

    Returns
    -------
    auc : float
        Area.
    influence : ndarray of shape (n_samples,)
        Of mean 0.
    """
    values, place = np.unique(scores, return_inverse=True)
    share = float(weight @ is_second)
    below = []
    for rows in (~is_second, is_second):
        totals = np.bincount(place, weights=weight * rows, minlength=len(values))
        below.append(((np.cumsum(totals) - totals / 2) / totals.sum())[place])
    auc = min(float((weight * is_second) @ below[0] / share), 1.0)  # but for rounding
    part = np.where(is_second, (below[0] - auc) / share, (1 - below[1] - auc) / (1 - share))
    return auc, part


def corrected_average_precision(is_second, scores, matrix, weight) -> float:
    """Average precision with the precision corrected at each threshold.

    Parameters
    ----------
    is_second : ndarray of shape (n_samples,) of bool
        Rows given the second class.
    scores : ndarray of shape (n_samples,)
        Scores of that class.
    matrix : ndarray of shape (2, 2)
        Transition; rows are true classes.
    weight : ndarray of shape (n_samples,)
        Weights.

    Returns
    -------
    average_precision : float
        Estimate, near [0, 1]; NaN if no row seems to be of the class.
    """
    corrected = (is_second - matrix[0, 1]) / (1 - matrix[0, 1] - matrix[1, 0])
    values, place = np.unique(-scores, return_inverse=True)

    def total(of_rows) -> np.ndarray:
        return np.bincount(place, weights=of_rows, minlength=len(values))

    true = total(weight * corrected)
    above, n_above = np.cumsum(true), np.cumsum(total(weight))
    if not above[-1] > 0:
        return np.nan
    # In expectation, corrected labels of two rows multiply as true ones do, but that of a row with
    # itself does not: its square is replaced by what that of the true label is, the label itself.
    pairs = true * above + total(weight**2 * (corrected - corrected**2))
    return float(
        np.divide(pairs, n_above, where=n_above > 0, out=np.zeros_like(pairs)).sum() / above[-1]
    )


def average_precision_by_transition(
    is_second,
    scores,
    transition: FittedTransition,
    sample_weight,
    confidence_level: float,
    n_bootstrap: int,
    rng: np.random.RandomState,
) -> ScoreEstimate:
    """Estimate the average precision, with the error of rows by the bootstrap."""
    weight, n_rows = _normalise(sample_weight, len(scores))
    noisy = corrected_average_precision(is_second, scores, np.eye(2), weight)
    corrected = corrected_average_precision(is_second, scores, transition.matrix, weight)
    metric = ConfusionMetric("average_precision")
    if np.isnan(corrected):
        return _without_class(metric, noisy, transition, 0.0, confidence_level)
    draws = []
    for _ in range(n_bootstrap):
        repeats = rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores)))
        drawn = weight * repeats
        draws.append(corrected_average_precision(is_second, scores, transition.matrix, drawn))
    draws = np.array(draws)[np.isfinite(draws)]
    row_variance = draws.var(ddof=1) * (len(scores) / n_rows) if len(draws) > 1 else np.inf
    if not transition.estimated:
        return _combine(metric, noisy, corrected, row_variance, confidence_level)
    variance = _variance_by_steps(
        lambda m: corrected_average_precision(is_second, scores, m, weight), transition
    )
    if transition.rate_error is None:
        variance += (_OVERLAP_ERROR * corrected * (1 - corrected)) ** 2
    return _combine_estimated(
        metric, noisy, corrected, row_variance, confidence_level, transition.matrix, variance
    )
