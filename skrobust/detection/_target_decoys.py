"""Target-decoy estimates for numeric targets, whose decoys are the targets of other rows.

Where wrong targets evidently lie further off, as shifted decimal points do, decoys are moved away
by powers of two.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from skrobust.detection._decoys import DecoyCurve, decoy_curve, decoy_shares
from skrobust.utils._weights import as_counts

# Targets that each row is scored with.
_N_TARGETS = 64
# How many times further off than the targets of other rows the wrong ones may lie.
_STRETCHES = (0, 2, 4, 6, 8)  # in steps of the logarithmic scale below: 1, 2, 4, 8, 16
_STEPS_PER_OCTAVE = 2
# Residuals, as multiples of their median, are counted between these.
_EDGES = np.concatenate([[0.0], 2.0 ** np.arange(-4, 9 + 1e-9, 1 / _STEPS_PER_OCTAVE), [np.inf]])
# Those of right targets follow Student's distribution, with a median near that of all.
_DEGREES_OF_FREEDOM = (3.0, 5.0, 10.0, np.inf)
_MEDIANS = np.geomspace(0.5, 1.4, 25)
_N_ITERATIONS = 150
# Models of right and wrong targets that are less probable than this are dropped.
_LEAST_PROBABILITY = 0.01
# Typical error of the logarithm of the estimated share, on tables with synthetic errors, whatever
# the number of rows: labels that are hard to predict look like wrong ones.
_LOG_ERROR = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class TargetShares:
    """Noise rate of targets, and how far off wrong ones are."""

    rate: float
    candidates: tuple[float, ...]  # by all models that are not improbable
    stretches: dict[int, float]  # multiples of the decoys' distance, and their probability


def exchange_targets(
    data,
    quality: np.ndarray,
    quality_of: Callable,
    counted: np.ndarray,
    errors: np.ndarray,
    confidence_level: float = 0.9,
) -> tuple[DecoyCurve, float, float, float]:
    """Compare rows with the same rows, given the targets of others."""
    sound = counted & ~errors
    sound = sound if sound.any() else counted
    weight = as_counts(data.sample_weight, counted)
    curve, shares = exchanged_curve(
        quality[counted],
        data.y[counted],
        lambda target: quality_of(np.full(data.n_samples, target))[counted],
        typical_targets(data.y[sound], None if weight is None else weight[sound]),
        None if weight is None else weight[counted],
    )
    total = np.count_nonzero(counted) if weight is None else weight[counted].sum()
    error = np.sqrt(max(shares.rate, 1 / total) / total)
    bounds = share_bounds(shares.candidates, shares.rate, error, confidence_level)
    return curve, shares.rate, *bounds


def share_bounds(candidates, rate: float, error: float, confidence_level: float = 0.9):
    """Interval of a noise rate: between the candidates, extended for bias and chance."""
    z = norm.ppf((1 + confidence_level) / 2)
    bias = np.exp(z * _LOG_ERROR)
    low = max(min(candidates) / bias - z * error, 0.0)
    return float(low), float(min(max(max(candidates), rate * bias) + z * error, 1.0))


def typical_targets(y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Quantiles that represent all targets."""
    order = np.argsort(y, kind="stable")
    weights = np.cumsum(np.ones(len(y)) if weight is None else weight[order])
    places = (np.arange(_N_TARGETS) + 0.5) / _N_TARGETS * weights[-1]
    # Rounding must not distinguish weights from repeated rows.
    return y[order][np.searchsorted(weights, places * (1 - 1e-12)).clip(0, len(y) - 1)]


def exchanged_curve(
    quality: np.ndarray,
    y: np.ndarray,
    quality_with: Callable[[float], np.ndarray],
    targets: np.ndarray,
    weight: np.ndarray | None = None,
) -> tuple[DecoyCurve, TargetShares]:
    """Compare rows with the same rows, given the targets of others."""
    weights = np.ones(len(y)) if weight is None else weight

    def decoys():
        for target in targets:
            yield quality_with(target), np.where(np.isclose(target, y), 0.0, weights)

    counts = np.zeros(len(_EDGES) - 1)
    for decoy_quality, decoy_weight in decoys():
        counts += _count(decoy_quality, decoy_weight)
    curve = decoy_curve(quality, np.empty(0), np.empty(0), weight)
    if not counts.any():  # all targets are equal
        return curve, TargetShares(0.0, (0.0, 1.0), {})
    shares = fit_shares(_count(quality, weights), counts)
    recall = np.zeros(len(curve.thresholds))
    for stretch, probability in shares.stretches.items():
        # At k times the distance, the quality is raised to the k-th power.
        thresholds = curve.thresholds ** (1 / stretch)
        found, total = np.zeros(len(thresholds)), 0.0
        for decoy_quality, decoy_weight in decoys():
            part = decoy_weight.sum()
            found += part * decoy_shares(thresholds, decoy_quality, decoy_weight)
            total += part
        recall += probability * found / total
    return dataclasses.replace(curve, recall=recall), shares


def fit_shares(counts: np.ndarray, decoy_counts: np.ndarray) -> TargetShares:
    """Fit mixtures of residuals of decoys and of right targets, by expectation maximisation."""
    right = _right_shares()
    wrong = np.stack([_moved(decoy_counts, steps) for steps in _STRETCHES])[:, None, None, :]
    rates = np.full((len(_STRETCHES), *right.shape[:2]), 0.1)
    total = counts.sum()
    for _ in range(_N_ITERATIONS):
        part = rates[..., None] * wrong
        part /= np.maximum(part + (1 - rates[..., None]) * right, 1e-300)
        rates = part @ counts / total
    likely = np.maximum(rates[..., None] * wrong + (1 - rates[..., None]) * right, 1e-300)
    fit = np.log(likely) @ counts
    # Moving decoys costs one more parameter (Schwarz criterion).
    fit[1:] -= np.log(max(total, 1.0)) / 2
    place = fit.argmax(axis=2)[..., None]
    fit = np.take_along_axis(fit, place, axis=2)[..., 0]
    rates = np.take_along_axis(rates, place, axis=2)[..., 0]
    probability = np.exp(fit - fit.max())
    probability /= probability.sum()
    rate = float((probability * rates).sum())
    # Probability of each distance, among errors.
    of_errors = (probability * np.maximum(rates, 1e-12)).sum(axis=1)
    of_errors[of_errors < _LEAST_PROBABILITY * of_errors.sum()] = 0.0
    of_errors /= of_errors.sum()
    return TargetShares(
        rate,
        (rate, *rates[probability > _LEAST_PROBABILITY].tolist()),
        {
            2 ** (steps // _STEPS_PER_OCTAVE): float(share)
            for steps, share in zip(_STRETCHES, of_errors, strict=True)
            if share > 0
        },
    )


def _count(quality, weights) -> np.ndarray:
    """Weight by size of the residual, in which the quality falls exponentially."""
    with np.errstate(divide="ignore"):
        size = -np.log(quality)
    bins = np.searchsorted(_EDGES, size, side="right").clip(1, len(_EDGES) - 1) - 1
    return np.bincount(bins, weights=weights, minlength=len(_EDGES) - 1)


def _moved(counts, steps) -> np.ndarray:
    """Shares of decoys by bin, after they are moved away by so many bins."""
    moved = np.zeros(len(counts))
    np.add.at(moved, np.minimum(np.arange(len(counts)) + steps, len(counts) - 1), counts)
    return moved / moved.sum()


@functools.cache
def _right_shares() -> np.ndarray:
    """Shares of right targets by degrees of freedom, median and bin."""
    shares = []
    for freedom in _DEGREES_OF_FREEDOM:
        width = _MEDIANS[:, None] / student_t.ppf(0.75, freedom)
        shares.append(2 * np.diff(student_t.cdf(_EDGES / width, freedom), axis=1))
    return np.maximum(np.stack(shares), 1e-300)
