"""The noise channel estimated from labels and out-of-sample probabilities."""

import numpy as np

from skrobust._noise_level import NoiseLevel
from skrobust.noise._channel import (
    CONFIDENT_SHARE,
    NoiseChannel,
    best_exponent,
    confident_counts,
    predicted_classes,
)
from skrobust.noise._confident_joint import class_mass
from skrobust.noise._level import estimate_level
from skrobust.utils._weights import as_counts

# Rows of symmetric noise that are added to the counts of each class, so that a few rows of a
# rare class do not say that it is never, or always, mistaken.
_PRIOR_MASS = 50
# No channel is without noise: with none at all every label would be right by definition.
LEAST_RATE = 1e-3
_HIGHEST_RATE = 0.6
_MOST_NOISE = 0.8


def fit_channel(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    level: NoiseLevel | None = None,
    confident_share: float = CONFIDENT_SHARE,
    prior_share: float = 0.0,
    known: np.ndarray | None = None,
    exponent: float | None = None,
) -> NoiseChannel:
    """Estimate the channel from labels and out-of-sample probabilities.

    Which labels are confused with which is counted among the rows that are surest of each
    predicted class; how many are, :func:`~skrobust.noise._level.estimate_level` tells, which also
    looks at how the disagreement grows as rows get less sure.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Given labels; rows with -1 take no part.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities.
    weight : ndarray of shape (n_samples,), default=None
        Weights. An integer weight counts as so many equal rows.
    level : NoiseLevel, default=None
        Share of wrong labels; None estimates it.
    confident_share : float, default=0.5
        Share of the rows of each predicted class that is counted, in (0, 1].
    prior_share : float, default=0.0
        More symmetric noise than the little that is added to the counts of each class anyway, as
        a share of what is counted of a class in the mean.
    known : ndarray of shape (n_classes, n_classes), default=None
        Mass of other rows, of which the true class (rows) is known, by given label (columns).
    exponent : float, default=None
        That of the channel, where it is known already.

    Returns
    -------
    channel : NoiseChannel
        The estimate.
    """
    weight = as_counts(weight, codes >= 0)
    if level is None:
        level = estimate_level(codes, pred_proba, weight)
    counts = confident_counts(codes, pred_proba, weight, confident_share=confident_share)
    n_classes, total = len(counts), counts.sum()
    wrong, n_rows = level.rate * level.n_rows, level.n_rows
    if known is not None and n_rows == 0:
        wrong, n_rows = wrong + known.sum() - np.trace(known), n_rows + known.sum()
    rate = float(np.clip(wrong / max(n_rows, 1e-300), LEAST_RATE, _HIGHEST_RATE))
    prior = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(prior, 1 - rate)
    counts += (_PRIOR_MASS + prior_share * total / n_classes) * prior
    if known is not None:
        counts += known
    if total > 0:
        # Verified rows tell which labels are confused; how many are wrong, they need not tell, as
        # they may have been chosen because they are suspicious.
        mass = class_mass(predicted_classes(codes, pred_proba)[0], n_classes, weight)
        transition = scale_noise(
            counts / counts.sum(axis=1, keepdims=True), mass / mass.sum(), rate
        )
    else:
        transition = counts / counts.sum(axis=1, keepdims=True)
    if exponent is None:
        exponent = best_exponent(codes, pred_proba, weight)
    return NoiseChannel(transition, exponent)


def scale_noise(transition: np.ndarray, prior: np.ndarray, rate: float) -> np.ndarray:
    """Multiply the probabilities of wrong labels, so that their share is as wanted.

    Parameters
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes and sum to 1.
    prior : ndarray of shape (n_classes,)
        Shares of true classes.
    rate : float
        Share of wrong labels. It is not reached where a class would be more than 80 % wrong, nor
        where `transition` has no noise at all.

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows sum to 1.
    """
    before = 1 - transition.diagonal()
    noise = before
    for _ in range(5):  # few, as only shares that reach the bound make a difference
        noise = np.minimum(noise * rate / max(prior @ noise, 1e-12), _MOST_NOISE)
    scaled = transition * (noise / np.maximum(before, 1e-300))[:, None]
    np.fill_diagonal(scaled, 1 - noise)
    return scaled
