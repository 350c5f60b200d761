"""The noise model: given labels by true class, fitted to and inverted on predicted probabilities.

A classifier that is trained on noisy labels predicts the *given* label of a new row. Its
probabilities are those of the true class times the transition matrix, which is inverted here.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from skrobust.base import LabelledData, NoiseLevel
from skrobust.noise._confident_joint import class_weights
from skrobust.utils._blocks import for_each_block, row_blocks
from skrobust.utils._weights import as_counts, upper_threshold

CONFIDENT_SHARE = 0.5
"""Of the rows predicted to be of a class, the share, the most confident first, that is counted."""
# At least so many rows of each predicted class are counted, if there are as many.
_LEAST_ROWS = 30
# Weights of the prior matrices, in rows: powers of two, whose exponent is normal with this mean
# and standard deviation a priori.
_EXPONENTS = np.arange(15)
_MEAN_EXPONENT, _EXPONENT_DEVIATION = 7.0, 2.0
# No label is impossible, and none certain, before all rows have been seen.
_LEAST_PROBABILITY = 1e-4
LEAST_RATE = 1e-3
"""Least noise rate of a noise model: without any noise, all labels would be right by definition."""
HIGHEST_RATE = 0.6
"""Highest noise rate of a noise model."""
_MAX_PRIOR_STEPS = 1000
_SMALLEST_PROBABILITY = 1e-4
# Where classes are many, the sum of the smallest probabilities of a row is at most this.
_SMALLEST_SUM = 1e-2
# The inversion is iterative. More steps fit the predicted probabilities more closely than these
# are known.
_N_STEPS = 10
# Rows of symmetric noise that are added to the counts of each class.
_PRIOR_ROWS = 50
_HIGHEST_CLASS_RATE = 0.8


def predicted_classes(codes: np.ndarray, pred_proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each row (-1: no label, or a tie) and its probability."""
    best = np.empty(len(codes), dtype=np.intp)
    top = np.empty(len(codes), dtype=pred_proba.dtype)
    for block in row_blocks(len(codes), 2 * pred_proba.shape[1] * pred_proba.itemsize):
        proba = pred_proba[block]
        best[block] = proba.argmax(axis=1)
        top[block] = proba.max(axis=1)
        # A tie must not be broken by the order of the class names.
        tied = (proba == top[block, None]).sum(axis=1) > 1
        best[block][tied | (codes[block] < 0)] = -1
    return best, top


def confident_rows(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    confident_share: float = CONFIDENT_SHARE,
) -> np.ndarray:
    """Return the predicted class of the most confident rows of each class, -1 for all others."""
    best, top = predicted_classes(codes, pred_proba)
    return _most_confident(best, top, pred_proba.shape[1], weight, confident_share)


def _most_confident(
    best: np.ndarray,
    top: np.ndarray,
    n_classes: int,
    weight: np.ndarray | None,
    confident_share: float = CONFIDENT_SHARE,
) -> np.ndarray:
    """Return the predicted class of the rows with the highest probabilities of each class."""
    totals = class_weights(best, n_classes, weight)
    confident = np.full(len(best), -1, dtype=np.intp)
    used = best >= 0
    rows_by_class = np.argsort(np.where(used, best, n_classes), kind="stable")
    ends = np.searchsorted(best[rows_by_class][: used.sum()], np.arange(n_classes + 1))
    for k in np.flatnonzero(totals > 0):
        rows = rows_by_class[ends[k] : ends[k + 1]]
        wanted = max(confident_share * totals[k], min(_LEAST_ROWS, totals[k]))
        threshold = upper_threshold(top[rows], wanted, None if weight is None else weight[rows])
        confident[rows[top[rows] >= threshold]] = k
    return confident


def count_labels(
    true: np.ndarray, codes: np.ndarray, n_classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Sum weights by true class (rows) and given label (columns), where neither is missing."""
    rows = np.flatnonzero((true >= 0) & (codes >= 0))
    pairs = true[rows] * n_classes + codes[rows]
    weight = None if weight is None else weight[rows]
    counts = np.bincount(pairs, weights=weight, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.float64)


def verified_counts(data: LabelledData) -> np.ndarray:
    """Sum weights of verified rows by verified label (rows) and given label (columns)."""
    verified = np.where(data.used, data.verified, -1)
    return count_labels(verified, data.y, len(data.classes), data.sample_weight)


def check_counted(counted: np.ndarray, classes: np.ndarray, condition: str) -> None:
    """Raise an error that names the first class that no row with this condition is labelled."""
    if not counted.all():
        label = classes.tolist()[int(np.argmin(counted))]
        raise ValueError(
            f"The class {label!r} was given to no row that {condition}: its error rate cannot be"
            " estimated."
        )


def symmetric_prior(counts: np.ndarray) -> np.ndarray:
    """Return the symmetric transition matrix with the mean noise rate of the counts."""
    n_classes, total = len(counts), counts.sum()
    rate = 1 - np.trace(counts) / total if total > 0 else 0.0
    return symmetric_matrix(n_classes, float(np.clip(rate, LEAST_RATE, HIGHEST_RATE)))


def symmetric_matrix(n_classes: int, rate: float) -> np.ndarray:
    """Return the transition matrix in which all wrong labels are equally likely."""
    matrix = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def shrink_counts(
    counts: np.ndarray,
    priors: Sequence[np.ndarray],
    *,
    shares: Sequence[float] | None = None,
    random_state: np.random.RandomState | None = None,
) -> np.ndarray:
    """Estimate a transition matrix from counts, shrunk towards prior matrices.

    Given labels of each true class are multinomial, with a Dirichlet prior whose mean is one of
    `priors` (with probability `shares`) and whose weight in rows is the same for all classes. The
    estimate is the posterior mean over means and weights. With `random_state`, one mean, one
    weight and rows by them are drawn instead, so that bootstrap samples vary as much as the
    transition matrix is uncertain.
    """
    totals = counts.sum(axis=1)
    shares = np.ones(len(priors)) if shares is None else np.asarray(shares)
    deviations = (_EXPONENTS - _MEAN_EXPONENT) / _EXPONENT_DEVIATION
    logs, components = [], []
    for mean, share in zip(priors, shares, strict=True):
        mean = np.maximum(mean, _LEAST_PROBABILITY)
        mean /= mean.sum(axis=1, keepdims=True)
        for exponent, deviation in zip(_EXPONENTS, deviations, strict=True):
            weight = 2.0**exponent
            prior = weight * mean
            likelihood = np.sum(gammaln(counts + prior) - gammaln(prior))
            likelihood += np.sum(gammaln(weight) - gammaln(weight + totals))
            logs.append(likelihood - deviation**2 / 2 + np.log(share))
            components.append((weight, mean))
    parts = np.exp(np.array(logs) - max(logs))
    parts /= parts.sum()
    if random_state is not None:
        weight, mean = components[random_state.choice(len(parts), p=parts)]
        found = counts + [random_state.multinomial(int(weight), row) for row in mean]
    else:
        found = sum(
            part * (counts + weight * mean) / (totals + weight)[:, None]
            for part, (weight, mean) in zip(parts, components, strict=True)
        )
    return found / found.sum(axis=1, keepdims=True)


def solve_prior(transition: np.ndarray, class_weight: np.ndarray) -> np.ndarray:
    """Return the most likely shares of true classes, from the total weight of each given label."""
    shares = class_weight / class_weight.sum()
    prior = np.full(len(transition), 1 / len(transition))
    for _ in range(_MAX_PRIOR_STEPS):
        ratio = shares / np.maximum(prior @ transition, 1e-300)
        step = prior * (transition @ ratio)
        step /= step.sum()
        if np.abs(step - prior).max() < 1e-9:
            return step
        prior = step
    return prior


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseModel:
    """A transition matrix, and the exponent that calibrates the probabilities it is used on.

    Attributes
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    exponent : float
        Inverse temperature, at least 1: predicted probabilities, raised to this power and
        normalised, have the highest likelihood of given labels.
    """

    transition: np.ndarray
    exponent: float = 1.0

    def invert(
        self, pred_proba: np.ndarray, *, n_steps: int = _N_STEPS, n_jobs: int | None = None
    ) -> np.ndarray:
        """Turn probabilities of given labels into those of true classes, none of them negative."""
        true_proba = np.empty(pred_proba.shape, dtype=np.float64)
        back = self.transition.T

        def step(start: int, stop: int) -> None:
            given = sharpen(pred_proba[start:stop], self.exponent)
            block = given.copy()
            # Expectation-maximisation: each step raises the likelihood of the given labels.
            for _ in range(n_steps):
                ratio = given / np.maximum(block @ self.transition, 1e-12)
                block *= ratio @ back
            true_proba[start:stop] = block / block.sum(axis=1, keepdims=True)

        for_each_block(step, len(pred_proba), 32 * pred_proba.shape[1], n_jobs=n_jobs)
        return true_proba

    def right_proba(self, true_proba: np.ndarray) -> np.ndarray:
        """Return P(true class is k | row, given label is k) for each row and class k."""
        right = true_proba * self.transition.diagonal()
        right /= np.maximum(true_proba @ self.transition, 1e-12)
        return np.clip(right, 0, 1, out=right)

    def error_proba(self, true_proba: np.ndarray) -> np.ndarray:
        """Return P(given label is k, true class is another | row) for each row and class k."""
        noise = self.transition.copy()
        np.fill_diagonal(noise, 0)
        return true_proba @ noise

    def posterior(self, true_proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the probabilities of true classes given the label as well (-1: missing)."""
        proba = np.empty(true_proba.shape, dtype=np.float64)
        # Index -1: a missing label has the same likelihood in all classes.
        likelihood = np.vstack([self.transition.T, np.ones(len(self.transition))])
        for block in row_blocks(len(proba), 16 * proba.shape[1]):
            own = np.multiply(true_proba[block], likelihood[codes[block]], out=proba[block])
            own /= np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
        return proba

    def scaled(self, factor: float) -> "NoiseModel":
        """Multiply the probability of each wrong label by a factor."""
        transition = factor * self.transition
        np.fill_diagonal(transition, 0)
        np.fill_diagonal(transition, 1 - transition.sum(axis=1))
        return dataclasses.replace(self, transition=transition)


def fit_noise_model(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    level: NoiseLevel,
    prior_share: float = 0.0,
    verified: np.ndarray | None = None,
    exponent: float | None = None,
) -> NoiseModel:
    """Fit the noise model to labels and out-of-sample probabilities.

    Which labels are confused is counted among the most confident rows of each predicted class,
    and among the verified rows of each verified class (`verified`, -1 elsewhere); the share of
    wrong labels is that of `level`. `prior_share` adds symmetric noise, as a share of the mean
    count of a class.
    """
    weight = as_counts(weight, codes >= 0)
    n_classes = pred_proba.shape[1]
    best, top = predicted_classes(codes, pred_proba)
    true = _most_confident(best, top, n_classes, weight)
    if verified is not None:
        true = np.where(verified >= 0, verified, true)
    counts = count_labels(true, codes, n_classes, weight)
    total = counts.sum()
    predicts = level.n_rows > 0
    rate = level.rate if predicts or total == 0 else 1 - np.trace(counts) / total
    rate = float(np.clip(rate, LEAST_RATE, HIGHEST_RATE))
    counts += (_PRIOR_ROWS + prior_share * total / n_classes) * symmetric_matrix(n_classes, rate)
    transition = counts / counts.sum(axis=1, keepdims=True)
    if predicts:
        # Verified rows may have been chosen because they are suspicious: they determine which
        # labels are confused, but not how many are wrong.
        predicted = class_weights(best, n_classes, weight)
        transition = scale_noise(transition, predicted / predicted.sum(), rate)
    if exponent is None:
        exponent = fit_exponent(codes, pred_proba, weight)
    return NoiseModel(transition, exponent)


def scale_noise(transition: np.ndarray, prior: np.ndarray, rate: float) -> np.ndarray:
    """Multiply the probabilities of wrong labels such that the noise rate is `rate`.

    With at most 80 % of wrong labels in a class, `rate` may not be reached.
    """
    before = 1 - transition.diagonal()
    noise = before
    for _ in range(5):  # few, as only shares that reach the bound make a difference
        noise = np.minimum(noise * rate / max(prior @ noise, 1e-12), _HIGHEST_CLASS_RATE)
    scaled = transition * (noise / np.maximum(before, 1e-300))[:, None]
    np.fill_diagonal(scaled, 1 - noise)
    return scaled


def sharpen(pred_proba: np.ndarray, exponent: float) -> np.ndarray:
    """Raise probabilities to a power and normalise the rows."""
    logs = np.log(np.maximum(pred_proba, _smallest(pred_proba), dtype=np.float64))
    logs *= exponent
    logs -= logs.max(axis=1, keepdims=True)
    np.exp(logs, out=logs)
    logs /= logs.sum(axis=1, keepdims=True)
    return logs


def fit_exponent(codes: np.ndarray, pred_proba: np.ndarray, weight: np.ndarray | None) -> float:
    """Fit the inverse temperature, at least 1, by the likelihood of the given labels."""
    rows = np.flatnonzero(codes >= 0)
    labels = codes[rows]
    weight = np.ones(len(rows)) if weight is None else weight[rows]
    weight = weight / weight.sum()
    logs = pred_proba[rows]
    np.log(np.maximum(logs, _smallest(logs), out=logs), out=logs)
    logs -= logs.max(axis=1, keepdims=True)
    own = logs[np.arange(len(rows)), labels].astype(np.float64)
    blocks = row_blocks(len(rows), 16 * logs.shape[1])

    def loss(log_exponent: float) -> float:
        exponent = np.exp(log_exponent)
        total = np.empty(len(rows))
        for block in blocks:
            total[block] = np.exp(exponent * logs[block]).sum(axis=1)
        return float(weight @ (np.log(total) - exponent * own))

    best = minimize_scalar(loss, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0


def _smallest(pred_proba: np.ndarray) -> float:
    """Return the probability that smaller ones are raised to."""
    return min(_SMALLEST_PROBABILITY, _SMALLEST_SUM / pred_proba.shape[1])
