"""Scores against true labels by way of verified rows (prediction-powered inference)."""

import dataclasses
import warnings

import numpy as np
from scipy.optimize import lsq_linear
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
    designed : bool
        Whether rows were drawn by unequal probabilities.
    """

    given: np.ndarray
    pred: np.ndarray
    verified: np.ndarray
    n_classes: int
    weight: np.ndarray
    audit_weight: np.ndarray
    quality: np.ndarray | None = None
    designed: bool = False

    @property
    def checked(self) -> np.ndarray:
        """Verified rows that count."""
        return np.flatnonzero(self.audit_weight > 0)

    @property
    def others(self) -> np.ndarray:
        """Rows whose proxies those of verified rows are compared with.

        They are the rows that are not verified. If verified rows were drawn by unequal
        probabilities, the rest of them is no random sample either, and all rows are taken.
        """
        if self.designed:
            return np.arange(len(self.verified))
        return np.flatnonzero(self.verified < 0)

    @property
    def n_proxies(self) -> int:
        """One for the given labels, and one for how likely they are right, if that is known."""
        return 1 if self.quality is None else 2

    def proxy_values(self, values: np.ndarray) -> np.ndarray:
        """Value of each row by the given label, and expected by its quality, in columns."""
        given, pred = self.given, self.pred
        at_given = values[given, pred]
        if self.quality is None:
            return at_given[:, None]
        # If the given label is wrong, the truth is probably the prediction, unless that agrees
        # with it.
        rest = values.sum(axis=0)[pred] - at_given
        elsewhere = np.where(given == pred, rest / max(self.n_classes - 1, 1), values[pred, pred])
        expected = self.quality * at_given + (1 - self.quality) * elsewhere
        return np.column_stack([at_given, expected])

    def proxy_counts(self, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Confusion matrices of some rows, of sum 1, by each proxy (first axis)."""
        weight = weight / weight.sum()
        given, pred, n_classes = self.given[rows], self.pred[rows], self.n_classes
        by_given = count_pairs(given, pred, n_classes, weight)
        if self.quality is None:
            return by_given[None]
        quality = self.quality[rows]
        counts = count_pairs(given, pred, n_classes, weight * quality)
        doubt = weight * (1 - quality)
        agree = given == pred
        counts += count_pairs(pred, pred, n_classes, doubt * ~agree)
        # Of rows where both agree, the doubt is shared among all other classes.
        doubts = count_pairs(pred, pred, n_classes, doubt * agree).diagonal()
        doubts = np.tile(doubts / max(n_classes - 1, 1), (n_classes, 1))
        np.fill_diagonal(doubts, 0)
        return np.stack([by_given, counts + doubts])


def check_audit(rows: AuditedRows, proxy: np.ndarray) -> None:
    """Warn if verified rows were probably chosen because their labels are suspicious."""
    checked, others = rows.checked, np.flatnonzero(rows.verified < 0)
    if not len(others):
        return
    found, rest = proxy[checked], proxy[others]
    apart = found.max() < rest.min() or found.min() > rest.max()
    deviation = proxy.std()
    if not rows.designed and deviation > 0:
        error = deviation * np.sqrt(1 / len(checked) + 1 / len(others))
        apart = apart or abs(found.mean() - rest.mean()) > _SUSPICIOUS * error
    if apart:
        warnings.warn(
            f"The {len(checked)} verified rows differ from the others in what their given labels"
            " and predictions are, as no random draw would: were they chosen because they appear"
            " wrong? Draw rows at random, or pass verified_weight, the inverse of the probability"
            " by which each was drawn.",
            LabelNoiseWarning,
            stacklevel=4,
        )


def confusion_by_audit(
    metric: ConfusionMetric, rows: AuditedRows, confidence_level: float
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
    gaps = np.zeros_like(counts)
    if len(others):
        gaps = rows.proxy_counts(others, rows.weight[others]) - counts
    agreement = (rows.given == rows.pred).astype(np.float64)
    check_audit(rows, agreement if rows.quality is None else rows.quality)
    weights = np.zeros(rows.n_proxies)
    for _ in range(3):  # the gradient is needed where the estimate is
        estimate = np.maximum(truth + np.tensordot(weights, gaps, 1), 0)
        slopes = metric.gradient(estimate / estimate.sum())
        values = slopes[rows.verified[checked], rows.pred[checked]]
        proxy = rows.proxy_values(slopes)
        weights, error = best_weights(
            values,
            proxy[checked],
            proxy[others],
            audit_weight,
            rows.weight[others],
            _surprise(slopes, truth.sum(axis=1), values, rows.pred[checked]),
        )
    raw = truth + np.tensordot(weights, gaps, 1)
    estimate = np.maximum(raw, 0)
    estimate /= estimate.sum()
    score = metric(estimate)
    if metric.name in ("accuracy", "cost"):
        # Linear, so that there is no need to clip negative entries.
        score += float((slopes * (raw - estimate)).sum())
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
        weight=float(weights.sum()),
    )


def _surprise(slopes, shares, values, pred) -> float:
    """Mean squared change of the verified rows' values, were their labels drawn from all labels."""
    by_prediction = slopes[:, pred] - values
    return float(np.mean(shares @ by_prediction**2))


def best_weights(
    values, proxy, other_proxy, audit_weight, other_weight, surprise
) -> tuple[np.ndarray, float]:
    """Weights of proxies that minimise the variance, and the standard error that they leave.

    Where errors are rare, a small audit may hold none, and the variance of its rows would be none
    either: half a row of mean squared residual `surprise` is added.

    Parameters
    ----------
    values : ndarray of shape (n_verified,)
        Values of verified rows by their true labels.
    proxy, other_proxy : ndarray of shape (n_verified, n_proxies), (n_others, n_proxies)
        Proxies of verified rows, and of all others.
    audit_weight, other_weight : ndarray of shape (n_verified,), (n_others,)
        Weights.
    surprise : float
        Mean squared change of a value, were its label drawn from all labels.

    Returns
    -------
    weights : ndarray of shape (n_proxies,)
        Weights in [0, 1].
    error : float
        Standard error.
    """
    n_rows, n_proxies = proxy.shape
    share = audit_weight / audit_weight.sum()
    concentration = float(share @ share)  # 1 / n for equal weights

    def error(weights, other_variance=0.0) -> float:
        rest = values - proxy @ weights
        found = float(share**2 @ (rest - share @ rest) ** 2) * n_rows / (n_rows - 1)
        found += 0.5 * surprise * concentration / (n_rows - 1)
        return float(np.sqrt(found + other_variance))

    nothing = np.zeros(n_proxies)
    if not len(other_proxy):
        return nothing, error(nothing)
    other_share = other_weight / other_weight.sum()
    other_concentration = float(other_share @ other_share)
    covariance = np.cov(np.vstack([proxy, other_proxy]).T).reshape(n_proxies, n_proxies)
    if not covariance.any():
        return nothing, error(nothing)
    centred = proxy - share @ proxy
    row_weight = share * concentration
    of_proxy = covariance * concentration
    if np.ptp(share) > 0:  # rows drawn by unequal probabilities, which follow the proxy
        row_weight = share**2
        of_proxy = (row_weight * centred.T) @ centred
    common = (row_weight * centred.T) @ (values - share @ values)
    # Minimise the variance, a quadratic form, within bounds.
    form = of_proxy + covariance * other_concentration
    root = np.linalg.cholesky(form + 1e-9 * form.trace() * np.eye(n_proxies))
    target = np.linalg.solve(root, common)
    weights = lsq_linear(root.T, target, bounds=(0, 1)).x if n_proxies > 1 else common / form[0]
    weights = np.clip(weights, 0, 1)
    return weights, error(weights, float(weights @ covariance @ weights) * other_concentration)


def ranking_by_audit(
    name: str,
    rows: AuditedRows,
    scores,
    confidence_level: float,
    n_bootstrap: int,
    rng: np.random.RandomState,
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
    check_audit(rows, proxy)
    matrix = np.eye(2)

    def evaluate(target, where, weight) -> float:
        # A row that is of both classes, each with a probability, counts as two.
        both = np.concatenate([np.ones(len(where), bool), np.zeros(len(where), bool)])
        totals = np.concatenate([target[where], 1 - target[where]]) * np.tile(weight, 2)
        used = totals > 0
        both, totals = both[used], totals[used] / totals.sum()
        if both.all() or not both.any():
            return np.nan
        values = np.tile(scores[where], 2)[used]
        if name == "roc_auc":
            return auc_influence(both, values, totals)[0]
        return corrected_average_precision(both, values, matrix, totals)

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
