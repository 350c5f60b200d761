"""Scores against true labels by way of verified rows (prediction-powered inference)."""

import dataclasses
import warnings

import numpy as np
from scipy.stats import t as student_t

from skrobust.metrics._confusion import ConfusionMetric, count_pairs
from skrobust.metrics._score_estimate import ScoreEstimate, make_estimate
from skrobust.metrics._transition_estimate import auc_influence, corrected_average_precision
from skrobust.utils._warnings import LabelNoiseWarning

# Verified rows whose proxies are so many standard errors off those of the others are no random
# sample.
_SUSPICIOUS = 5.0
_LEAST_ROWS = 2


@dataclasses.dataclass(frozen=True, eq=False)
class AuditedRows:
    """Rows with given labels and predictions, some of them verified.

    Attributes
    ----------
    given, pred : ndarray of shape (n_samples,)
        Codes of given labels and, unless the metric is of scores, of predictions.
    verified : ndarray of shape (n_samples,)
        Codes of verified labels; -1 where not verified.
    n_classes : int
        Number of classes.
    weight : ndarray of shape (n_samples,)
        Sample weights.
    audit_weight : ndarray of shape (n_samples,)
        Sample weights over drawing probabilities; 0 where not verified.
    quality : ndarray of shape (n_samples,) or None
        Probability of each given label to be right.
    """

    given: np.ndarray
    pred: np.ndarray
    verified: np.ndarray
    n_classes: int
    weight: np.ndarray
    audit_weight: np.ndarray
    quality: np.ndarray | None = None

    @property
    def checked(self) -> np.ndarray:
        """Verified rows that count."""
        return np.flatnonzero(self.audit_weight > 0)

    @property
    def others(self) -> np.ndarray:
        """Rows that are not verified."""
        return np.flatnonzero(self.verified < 0)

    def proxy_values(self, values: np.ndarray) -> np.ndarray:
        """Expected value of each row, by the given label and how likely it is right."""
        given, pred = self.given, self.pred
        at_given = values[given, pred]
        if self.quality is None:
            return at_given
        # If the given label is wrong, the truth is probably the prediction, unless that agrees
        # with it.
        rest = values.sum(axis=0)[pred] - at_given
        elsewhere = np.where(given == pred, rest / max(self.n_classes - 1, 1), values[pred, pred])
        return self.quality * at_given + (1 - self.quality) * elsewhere

    def proxy_counts(self, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Confusion matrix of some rows by the proxy, of sum 1."""
        weight = weight / weight.sum()
        given, pred, n_classes = self.given[rows], self.pred[rows], self.n_classes
        if self.quality is None:
            return count_pairs(given, pred, n_classes, weight)
        quality = self.quality[rows]
        counts = count_pairs(given, pred, n_classes, weight * quality)
        doubt = weight * (1 - quality)
        agree = given == pred
        counts += count_pairs(pred, pred, n_classes, doubt * ~agree)
        spread = np.bincount(pred, weights=doubt * agree, minlength=n_classes)
        spread = np.repeat(spread[None] / max(n_classes - 1, 1), n_classes, axis=0)
        np.fill_diagonal(spread, 0)
        return counts + spread


def check_audit(rows: AuditedRows, proxy: np.ndarray, designed: bool) -> None:
    """Warn if verified rows were probably chosen because they looked wrong."""
    checked, others = rows.checked, rows.others
    if not len(others):
        return
    found, rest = proxy[checked], proxy[others]
    apart = found.max() < rest.min() or found.min() > rest.max()
    spread = proxy.std()
    if not designed and spread > 0:
        error = spread * np.sqrt(1 / len(checked) + 1 / len(others))
        apart = apart or abs(found.mean() - rest.mean()) > _SUSPICIOUS * error
    if apart:
        warnings.warn(
            f"The {len(checked)} verified rows differ from the others in what their given labels"
            " and predictions are, as no random draw would: were they chosen because they looked"
            " wrong? Draw rows at random, or pass verified_weight, the inverse of the probability"
            " by which each was drawn.",
            LabelNoiseWarning,
            stacklevel=4,
        )


def confusion_by_audit(
    metric: ConfusionMetric, rows: AuditedRows, confidence_level: float, designed: bool
) -> ScoreEstimate:
    """Estimate a function of the confusion matrix by the difference estimator.

    The confusion matrix of the verified rows is corrected by how far that of their proxies is off
    the one of all other rows. The weight of the correction minimises the variance of the metric.
    """
    checked, others = rows.checked, rows.others
    audit_weight = rows.audit_weight[checked]
    counts = rows.proxy_counts(checked, audit_weight)
    truth = count_pairs(rows.verified[checked], rows.pred[checked], rows.n_classes, audit_weight)
    truth /= truth.sum()
    gap = np.zeros_like(truth)
    if len(others):
        gap = rows.proxy_counts(others, rows.weight[others]) - counts
    check_audit(rows, rows.proxy_values(np.eye(rows.n_classes)), designed)
    weight = 1.0 if len(others) else 0.0
    for _ in range(3):  # the gradient is needed where the estimate is
        estimate = np.maximum(truth + weight * gap, 0)
        slopes = metric.gradient(estimate / estimate.sum())
        values = slopes[rows.verified[checked], rows.pred[checked]]
        proxy = rows.proxy_values(slopes)
        weight, error = best_weight(
            values,
            proxy[checked],
            proxy[others],
            audit_weight,
            rows.weight[others],
            _surprise(slopes, truth.sum(axis=1), values, rows.pred[checked]),
        )
    estimate = np.maximum(truth + weight * gap, 0)
    score = metric(estimate / estimate.sum())
    if metric.name in ("accuracy", "cost"):
        # Linear, so that there is no need to cut off negative entries.
        score = float((slopes * (truth + weight * gap)).sum()) + _offset(metric, slopes, estimate)
    given = count_pairs(rows.given, rows.pred, rows.n_classes, rows.weight)
    quantile = student_t.ppf((1 + confidence_level) / 2, len(checked) - 1)
    return make_estimate(
        score,
        metric(given),
        "verified",
        center=score,
        errors=(error, 0.0),
        quantile=quantile,
        bounds=metric.bounds,
        weight=weight,
    )


def _offset(metric, slopes, estimate) -> float:
    """What a linear metric has beyond its slopes, on matrices of sum 1."""
    estimate = estimate / estimate.sum()
    return metric(estimate) - float((slopes * estimate).sum())


def _surprise(slopes, shares, values, pred) -> float:
    """Mean squared change of the verified rows' values, were their labels drawn from all labels."""
    by_prediction = slopes[:, pred] - values
    return float(np.mean(shares @ by_prediction**2))


def best_weight(
    values, proxy, other_proxy, audit_weight, other_weight, surprise
) -> tuple[float, float]:
    """Weight of the proxy that minimises the variance, and the standard error that it leaves.

    Where errors are rare, a small audit may hold none, and the variance of its rows would be none
    either: half a row of mean squared residual `surprise` is added.
    """
    n_rows = len(values)
    share = audit_weight / audit_weight.sum()
    concentration = float(share @ share)  # 1 / n for equal weights
    correction = n_rows / (n_rows - 1)

    def variance(rest) -> float:
        found = correction * float(share**2 @ (rest - share @ rest) ** 2)
        return found + 0.5 * surprise * concentration / (n_rows - 1)

    if not len(other_proxy):
        return 0.0, np.sqrt(variance(values))
    other_share = other_weight / other_weight.sum()
    other_concentration = float(other_share @ other_share)
    spread = float(np.var(np.concatenate([proxy, other_proxy]), ddof=1))
    if spread <= 0:
        return 0.0, np.sqrt(variance(values))
    common = share @ ((values - share @ values) * (proxy - share @ proxy))
    of_proxy = spread * concentration
    if np.ptp(share) > 0:  # rows drawn by unequal probabilities, which follow the proxy
        common = share**2 @ ((values - share @ values) * (proxy - share @ proxy)) / concentration
        of_proxy = variance(proxy) - variance(np.zeros(n_rows))
    weight = float(common * concentration / (of_proxy + spread * other_concentration))
    weight = min(max(weight, 0.0), 1.0)
    other_variance = weight**2 * spread * other_concentration
    return weight, float(np.sqrt(variance(values - weight * proxy) + other_variance))


def ranking_by_audit(
    name: str,
    rows: AuditedRows,
    scores,
    confidence_level: float,
    n_bootstrap: int,
    rng: np.random.RandomState,
    designed: bool,
) -> ScoreEstimate:
    """Estimate the area under the ROC curve, or average precision, by the difference estimator."""
    checked, others = rows.checked, rows.others
    truth, proxy = rows.verified == 1, (rows.given == 1).astype(np.float64)
    if rows.quality is not None:
        proxy = np.where(rows.given == 1, rows.quality, 1 - rows.quality)
    if not 0 < np.count_nonzero(truth[checked]) < len(checked):
        raise ValueError(
            f"metric={name!r} needs verified rows of both classes, but all {len(checked)} are of"
            " one: verify more."
        )
    check_audit(rows, proxy, designed)
    matrix = np.eye(2)

    def evaluate(target, where, weight) -> float:
        # A row that is of both classes, each with a probability, counts as two.
        both = np.concatenate([np.ones(len(where), bool), np.zeros(len(where), bool)])
        mass = np.concatenate([target[where], 1 - target[where]]) * np.tile(weight, 2)
        used = mass > 0
        both, mass = both[used], mass[used] / mass.sum()
        if both.all() or not both.any():
            return np.nan
        values = np.tile(scores[where], 2)[used]
        if name == "roc_auc":
            return auc_influence(both, values, mass)[0]
        return corrected_average_precision(both, values, matrix, mass)

    audit_weight, other_weight = rows.audit_weight[checked], rows.weight[others]

    def parts(repeats, other_repeats) -> tuple[float, float]:
        weight = audit_weight * repeats
        value = evaluate(truth.astype(float), checked, weight)
        if not len(others):
            return value, 0.0
        gap = evaluate(proxy, others, other_weight * other_repeats)
        return value, gap - evaluate(proxy, checked, weight)

    value, gap = parts(np.ones(len(checked)), np.ones(len(others)))
    draws = np.array(
        [
            parts(
                rng.multinomial(len(checked), np.full(len(checked), 1 / len(checked))),
                rng.multinomial(len(others), np.full(len(others), 1 / max(len(others), 1))),
            )
            for _ in range(n_bootstrap)
        ]
    )
    draws = draws[np.isfinite(draws).all(axis=1)]
    covariance = np.cov(draws.T)
    weight = 0.0
    if covariance[1, 1] > 0 and np.isfinite(gap):
        weight = min(max(-covariance[0, 1] / covariance[1, 1], 0.0), 1.0)
    error = np.sqrt((draws @ [1.0, weight]).var(ddof=1))
    score = value + weight * gap if weight else value
    everywhere = np.arange(len(rows.given))
    quantile = student_t.ppf((1 + confidence_level) / 2, len(checked) - 1)
    return make_estimate(
        score,
        evaluate((rows.given == 1).astype(float), everywhere, rows.weight),
        "verified",
        center=score,
        errors=(float(error), 0.0),
        quantile=quantile,
        bounds=(0.0, 1.0),
        weight=weight,
    )
