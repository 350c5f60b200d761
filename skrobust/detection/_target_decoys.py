"""Decoys among numbers: how would a target score that belongs to another row?

A wrong number may be off by any amount, so that there is no list of all errors that could have been
made, as there is of classes. What is there is the targets of other rows: each row is judged with
many of them, which takes no fit, as the models of a row have not seen its target. Where the wrong
targets of a data set evidently lie further off than those of other rows, as slips of the decimal
point do, decoys are moved away by powers of two until they are like them.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from skrobust.detection._decoys import DecoyCurve, decoy_curve, decoy_shares

# Each row is judged with so many targets.
_N_TARGETS = 64
# How many times further off than the targets of other rows the wrong ones may lie.
_STRETCHES = (0, 2, 4, 6, 8)  # in steps of the logarithmic scale below: 1, 2, 4, 8, 16
_STEPS_PER_OCTAVE = 2
# Residuals, as multiples of their median, are counted between these.
_EDGES = np.concatenate([[0.0], 2.0 ** np.arange(-4, 9 + 1e-9, 1 / _STEPS_PER_OCTAVE), [np.inf]])
# Those of right targets follow Student's distribution, with a median that is near that of all.
_DEGREES_OF_FREEDOM = (3.0, 5.0, 10.0, np.inf)
_MEDIANS = np.geomspace(0.5, 1.4, 25)
_N_ITERATIONS = 150
# Ways to tell wrong targets from right ones that are less probable than this are forgotten.
_LEAST_PROBABILITY = 0.01
# Typical error of the logarithm of the estimated share, on tables with synthetic errors, whatever
# the number of rows: labels that are hard to predict look like wrong ones.
_LOG_ERROR = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class TargetShares:
    """How many targets are wrong, and how far off these are.

    Attributes
    ----------
    rate : float
        Share of wrong targets.
    candidates : tuple of float
        What it is by all the ways to tell right and wrong targets apart that are not improbable.
    stretches : dict of int to float
        How many times further off than decoys the wrong targets are, and how probable that is.
    """

    rate: float
    candidates: tuple[float, ...]
    stretches: dict[int, float]


def exchange_targets(
    data, quality, quality_of, counted, errors, confidence_level: float = 0.9
) -> tuple[DecoyCurve, float, float, float]:
    """Compare rows with the same rows, given the targets of others.

    Parameters
    ----------
    data : LabelledData
        All rows.
    quality : ndarray of shape (n_samples,)
        Quality of the given targets.
    quality_of : callable
        Takes targets of shape (n_samples,), and returns the quality that rows would have with them.
    counted : ndarray of shape (n_samples,) of bool
        Rows that are compared, at least one.
    errors : ndarray of shape (n_samples,) of bool
        Targets that look wrong: those that lie far off would make decoys of a kind of their own.
    confidence_level : float, default=0.9
        Of the interval.

    Returns
    -------
    curve : DecoyCurve
        Shares of rows and of errors by cut.
    rate, low, high : float
        Share of wrong targets, and the ends of its interval.
    """
    sound = counted & ~errors
    sound = sound if sound.any() else counted
    weight = data.sample_weight
    curve, shares = exchanged_curve(
        quality[counted],
        data.y[counted],
        lambda target: quality_of(np.full(data.n_samples, target))[counted],
        typical_targets(data.y[sound], None if weight is None else weight[sound]),
        None if weight is None else weight[counted],
    )
    total = data.total_weight(counted)
    error = np.sqrt(max(shares.rate, 1 / total) / total)
    bounds = share_bounds(shares.candidates, shares.rate, error, confidence_level)
    return curve, shares.rate, *bounds


def share_bounds(candidates, rate: float, error: float, confidence_level: float = 0.9):
    """Find where a share of errors may lie: between the candidates, but for bias and chance.

    Parameters
    ----------
    candidates : sequence of float
        The share by several ways to tell errors apart.
    rate : float
        The estimate.
    error : float
        Its standard error.
    confidence_level : float, default=0.9
        Of the interval.

    Returns
    -------
    low, high : float
        In [0, 1].
    """
    z = norm.ppf((1 + confidence_level) / 2)
    bias = np.exp(z * _LOG_ERROR)
    low = max(min(candidates) / bias - z * error, 0.0)
    return float(low), float(min(max(max(candidates), rate * bias) + z * error, 1.0))


def typical_targets(y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Choose a few targets that stand for all.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Targets.
    weight : ndarray of shape (n_samples,), default=None
        Positive weights.

    Returns
    -------
    targets : ndarray of shape (n_targets,)
        Quantiles, each standing for an equal share of the mass.
    """
    order = np.argsort(y, kind="stable")
    mass = np.cumsum(np.ones(len(y)) if weight is None else weight[order])
    places = (np.arange(_N_TARGETS) + 0.5) / _N_TARGETS * mass[-1]
    # Whether mass comes as weights or as repeated rows, rounding must not decide.
    return y[order][np.searchsorted(mass, places * (1 - 1e-12)).clip(0, len(y) - 1)]


def exchanged_curve(
    quality: np.ndarray,
    y: np.ndarray,
    quality_with: Callable[[float], np.ndarray],
    targets: np.ndarray,
    weight: np.ndarray | None = None,
) -> tuple[DecoyCurve, TargetShares]:
    """Compare rows with the same rows, given the targets of others.

    Parameters
    ----------
    quality : ndarray of shape (n_samples,)
        Quality of the given targets, none NaN: exp(-z), where z is the size of the residual as a
        multiple of its median.
    y : ndarray of shape (n_samples,)
        Given targets. A decoy that equals it is none.
    quality_with : callable
        Takes a target, and returns the quality that each row would have with it.
    targets : ndarray of shape (n_targets,)
        Targets of other rows.
    weight : ndarray of shape (n_samples,), default=None
        Positive weights.

    Returns
    -------
    curve : DecoyCurve
        Shares of rows and of errors by cut.
    shares : TargetShares
        How many errors there are.
    """
    mass = np.ones(len(y)) if weight is None else weight

    def decoys():
        for target in targets:
            yield quality_with(target), np.where(np.isclose(target, y), 0.0, mass)

    counts = np.zeros(len(_EDGES) - 1)
    for decoy_quality, decoy_mass in decoys():
        counts += _count(decoy_quality, decoy_mass)
    curve = decoy_curve(quality, np.empty(0), np.empty(0), weight)
    if not counts.any():  # all targets are equal
        return curve, TargetShares(0.0, (0.0, 1.0), {})
    shares = fit_shares(_count(quality, mass), counts)
    recall = np.zeros(len(curve.cuts))
    for stretch, probability in shares.stretches.items():
        # Moved away k times as far, the quality is the k-th power of what it was.
        cuts = curve.cuts ** (1 / stretch)
        found, total = np.zeros(len(cuts)), 0.0
        for decoy_quality, decoy_mass in decoys():
            part = decoy_mass.sum()
            found += part * decoy_shares(cuts, decoy_quality, decoy_mass)
            total += part
        recall += probability * found / total
    return dataclasses.replace(curve, recall=recall), shares


def fit_shares(counts: np.ndarray, decoy_counts: np.ndarray) -> TargetShares:
    """Take residuals for a mixture of those of decoys and those of right targets.

    Right targets have residuals of Student's distribution, of unknown width and tails, and wrong
    ones those of decoys, perhaps moved away. For each of these ways, the share of wrong targets
    is found by expectation maximisation; how well each fits says how probable it is.

    Parameters
    ----------
    counts : ndarray of shape (n_bins,)
        Mass of rows by size of the residual.
    decoy_counts : ndarray of shape (n_bins,)
        Mass of decoys.

    Returns
    -------
    shares : TargetShares
        The share of wrong targets, averaged over all ways.
    """
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
    # That decoys must be moved has to be worth one more parameter, as Schwarz counts.
    fit[1:] -= np.log(max(total, 1.0)) / 2
    place = fit.argmax(axis=2)[..., None]
    fit = np.take_along_axis(fit, place, axis=2)[..., 0]
    rates = np.take_along_axis(rates, place, axis=2)[..., 0]
    probability = np.exp(fit - fit.max())
    probability /= probability.sum()
    rate = float((probability * rates).sum())
    # Which decoys are like the errors is a question about errors.
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


def _count(quality, mass) -> np.ndarray:
    """Count mass by the size of the residual, which the quality falls with exponentially."""
    with np.errstate(divide="ignore"):
        size = -np.log(quality)
    bins = np.searchsorted(_EDGES, size, side="right").clip(1, len(_EDGES) - 1) - 1
    return np.bincount(bins, weights=mass, minlength=len(_EDGES) - 1)


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
