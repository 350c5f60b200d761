"""Rules for standardised residuals: how many targets are flagged."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm

from skrobust.utils._weights import lower_threshold, weighted_median

RESIDUAL_RULES = ("mixture", "refit")
_N_STEPS = 200
# A normal distribution has so many standard deviations between its centre and its quartiles.
_QUARTILE = 0.6744897501960817
# Standardised residuals of right targets are of the order of 1; most of them may be zero.
_LEAST_SCALE = 0.2
# How much wider the residuals of wrong targets spread, at least.
_LEAST_RATIO = 3.0
LEAST_THRESHOLD = 1.5
"""Residuals up to this are within the uncertainty, whatever the others are like."""
# Probability of being wrong from which on a target is flagged, whatever the others are like.
_LEAST_WRONG = 0.25
# Share of right targets among the flagged ones that is accepted. The lower threshold counts:
# where errors are far off, few right targets lie at a probability of a quarter, and more errors
# are found below it. On the linear data of 200 rows by which cleanlab is tested (50 seeds), a
# quarter alone finds .88 of the errors at F1 .92, with this share .92 at .93. Where errors are not
# the largest residuals, which they are there by definition, recall rises from .87 to .88 and F1
# falls from .90 to .88; a share of .05 changes neither, and finds .89 of the errors above.
_FALSE_SHARE = 0.1
# Standard deviations of right targets up to which the threshold is searched.
_FARTHEST = 20
_COARSE = (0.01, 0.05, 0.1, 0.15, 0.2)
_N_FINE = 3


def mixture_threshold(scores: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Residual above which targets are flagged, by a narrow and a wide normal distribution."""
    # Flagged are targets that are wrong with a probability of a quarter, and more as long as at
    # most a tenth of them are right: a missed error costs a model more than a right target.
    if not len(scores):
        return np.inf
    total = np.ones(len(scores)) if weight is None else weight / weight.mean()
    squares = scores**2
    narrow = max(weighted_median(scores, weight) / _QUARTILE, _LEAST_SCALE)
    least = narrow / 2
    wide, share = 5 * narrow, 0.1
    for _ in range(_N_STEPS):
        before = narrow, wide, share
        gap = np.log((1 - share) / share * wide / narrow)
        wrong = expit(squares * (0.5 / narrow**2 - 0.5 / wide**2) - gap) * total
        right = total - wrong
        share = wrong.sum() / total.sum()
        if not 1e-9 < share < 1 - 1e-9:
            return np.inf
        narrow = max(np.sqrt((right * squares).sum() / right.sum()), least)
        wide = max(np.sqrt((wrong * squares).sum() / wrong.sum()), _LEAST_RATIO * narrow)
        if np.allclose(before, (narrow, wide, share), rtol=1e-7, atol=0):
            break
    gap = np.log((1 - share) / share * wide / narrow)
    gap += np.log(_LEAST_WRONG / (1 - _LEAST_WRONG))
    threshold = np.sqrt(max(gap, 0) / (0.5 / narrow**2 - 0.5 / wide**2))
    return float(max(min(threshold, _false_share_threshold(narrow, wide, share)), LEAST_THRESHOLD))


def _false_share_threshold(narrow: float, wide: float, share: float) -> float:
    """Threshold above which the accepted share of targets is of the narrow distribution."""

    def excess(threshold: float) -> float:
        right = (1 - share) * norm.sf(threshold / narrow)
        return right / (right + share * norm.sf(threshold / wide)) - _FALSE_SHARE

    return brentq(excess, 0, _FARTHEST * narrow) if excess(0) > 0 else 0.0


def best_share(score_without: Callable[[float], float]) -> float:
    """Choose the share of rows whose removal improves a model most."""
    scores = {share: score_without(share) for share in (0.0, *_COARSE)}
    best = max(_COARSE, key=scores.get)
    place = _COARSE.index(best)
    steps = np.arange(1, _N_FINE + 1) / (_N_FINE + 1)
    for other in _COARSE[max(place - 1, 0) : place + 2]:
        if other != best:
            for share in (best + (other - best) * steps).tolist():
                scores[share] = score_without(share)
    best = max(scores, key=scores.get)
    return best if scores[best] > scores[0.0] else 0.0


def share_threshold(scores: np.ndarray, share: float, weight: np.ndarray | None = None) -> float:
    """Score from which on the largest scores make up a share of the total weight."""
    total = share * (len(scores) if weight is None else weight.sum())
    return -lower_threshold(-scores, total, weight)


def r2(y: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Share of the variance explained, over all rows given, wrong targets included."""
    mean = np.average(y, weights=weight)
    total = np.average((y - mean) ** 2, weights=weight)
    left = np.average((y - predictions) ** 2, weights=weight)
    return 1 - left / total if total > 0 else float(left == 0)
