"""Counts of given labels by true class, and transition matrices estimated from such counts."""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

from skrobust.base import LabelledData
from skrobust.noise._confident_joint import class_weights
from skrobust.utils._blocks import row_blocks
from skrobust.utils._weighted_quantiles import upper_threshold

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
_N_STEPS = 1000


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
    n_classes = pred_proba.shape[1]
    best, top = predicted_classes(codes, pred_proba)
    totals = class_weights(best, n_classes, weight)
    confident = np.full(len(codes), -1, dtype=np.intp)
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
    for _ in range(_N_STEPS):
        ratio = shares / np.maximum(prior @ transition, 1e-300)
        step = prior * (transition @ ratio)
        step /= step.sum()
        if np.abs(step - prior).max() < 1e-9:
            return step
        prior = step
    return prior
