"""The noise model: given labels by true class, fitted to and inverted on predicted probabilities.

A classifier that is trained on noisy labels predicts the *given* label of a new row. Its
probabilities are those of the true class times the transition matrix, which is inverted here.
"""

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar

from skrobust.base import NoiseLevel
from skrobust.noise._confident_joint import class_weights
from skrobust.noise._label_counts import (
    HIGHEST_RATE,
    LEAST_RATE,
    confident_rows,
    count_labels,
    predicted_classes,
    symmetric_matrix,
)
from skrobust.utils._blocks import for_each_block, row_blocks
from skrobust.utils._weights import as_counts

_SMALLEST_PROBABILITY = 1e-4
# Where classes are many, the sum of the smallest probabilities of a row is at most this.
_SMALLEST_SUM = 1e-2
# The inversion is iterative. More steps fit the predicted probabilities more closely than these
# are known.
_N_STEPS = 10
# Rows of symmetric noise that are added to the counts of each class.
_PRIOR_ROWS = 50
_HIGHEST_CLASS_RATE = 0.8


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
    known: np.ndarray | None = None,
    exponent: float | None = None,
) -> NoiseModel:
    """Fit the noise model to labels and out-of-sample probabilities.

    Which labels are confused is counted among the most confident rows of each predicted class,
    and in the counts of verified rows (`known`, true class by given label); the share of wrong
    labels is that of `level`. `prior_share` adds symmetric noise, as a share of the mean count of
    a class.
    """
    weight = as_counts(weight, codes >= 0)
    n_classes = pred_proba.shape[1]
    confident = confident_rows(codes, pred_proba, weight)
    counts = count_labels(confident, codes, n_classes, weight)
    total = counts.sum()
    wrong, n_rows = level.rate * level.n_rows, level.n_rows
    if known is not None and n_rows == 0:
        wrong, n_rows = wrong + known.sum() - np.trace(known), n_rows + known.sum()
    rate = float(np.clip(wrong / max(n_rows, 1e-300), LEAST_RATE, HIGHEST_RATE))
    prior = symmetric_matrix(n_classes, rate)
    counts += (_PRIOR_ROWS + prior_share * total / n_classes) * prior
    if known is not None:
        counts += known
    transition = counts / counts.sum(axis=1, keepdims=True)
    if total > 0:
        # Verified rows may have been chosen because they are suspicious: they determine which
        # labels are confused, but not how many are wrong.
        predicted = class_weights(predicted_classes(codes, pred_proba)[0], n_classes, weight)
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
