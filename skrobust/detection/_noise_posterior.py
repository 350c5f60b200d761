"""Posterior of true classes under a fitted noise model, and the threshold by target decoys."""

import dataclasses

import numpy as np

from skrobust.base import NoiseLevel
from skrobust.detection._decoys import DecoyCurve, decoy_curve
from skrobust.noise._confident_joint import label_proba
from skrobust.noise._noise_model import (
    NoiseModel,
    estimate_noise_rate,
    fit_exponent,
    fit_noise_models,
)

# Labels are ranked half way to symmetric noise: what looks like noise in one direction is often a
# class that is hard to distinguish from another.
_RANKING_PRIOR = 1.0
# No class has more wrong labels than this share.
_MOST_NOISE = 0.9
# No prediction rules out a class.
_SMALLEST = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class NoisePosterior:
    """Noise model of a data set, and the threshold of the quality that it implies."""

    level: NoiseLevel
    model: NoiseModel
    ranking_model: NoiseModel  # nearer to symmetric noise: what the quality is computed with
    threshold: float = -np.inf  # rows of at most this quality may be flagged

    def true_proba(self, pred_proba: np.ndarray, later=(), *, n_jobs: int | None = None):
        """Probabilities of true classes without the row's own label, and P(label k is right)."""
        # `later` are predictions of models that learned without flagged labels, and so are taken
        # to predict the true class.
        true_proba = _geometric_mean(self.model.invert(pred_proba, n_jobs=n_jobs), later)
        ranking = _geometric_mean(self.ranking_model.invert(pred_proba, n_jobs=n_jobs), later)
        return true_proba, self.ranking_model.right_proba(ranking)

    def conservative(self, pred_proba, later, codes, *, n_jobs=None) -> np.ndarray:
        """Posterior given the labels as well, if there is less noise than estimated."""
        factor = self.level.correction_rate / max(self.level.rate, 1e-12)
        return self._posterior(factor, pred_proba, later, codes, n_jobs)

    def liberal(self, pred_proba, later, codes, *, n_jobs=None) -> np.ndarray:
        """Posterior given the labels as well, at a higher noise rate than estimated."""
        # Where labels are wrong, classifiers gain from labels that are corrected half way between
        # the estimate and the rate if every disagreement is an error; where nearly none is wrong,
        # they lose by it.
        rate, high = max(self.level.rate, 1e-3), max(self.level.high, 1e-3)
        share = min(0.5, self.level.rate / high)
        factor = 1.0 if self.level.explained else max(1 + share * (high - rate) / rate, 1.0)
        most = (1 - self.model.transition.diagonal()).max()
        factor = max(min(factor, _MOST_NOISE / most), 1.0)
        return self._posterior(factor, pred_proba, later, codes, n_jobs)

    def _posterior(self, factor, pred_proba, later, codes, n_jobs) -> np.ndarray:
        """Posterior given the labels as well, at a multiple of the noise."""
        model = self.model.scaled(factor)
        true_proba = _geometric_mean(model.invert(pred_proba, n_jobs=n_jobs), later)
        return model.posterior(true_proba, codes)

    def flag(self, true_proba, codes, quality) -> np.ndarray:
        """Flag rows up to the threshold, unless their label is the most probable class."""
        own = label_proba(np.maximum(codes, 0), true_proba)
        return (codes >= 0) & (quality <= self.threshold) & (own < true_proba.max(axis=1))


def fit_noise_posterior(
    data, given: np.ndarray, pred_proba: np.ndarray, later=(), *, n_jobs: int | None = None
) -> tuple[NoisePosterior, np.ndarray, np.ndarray]:
    """Fit the noise models and the threshold; also return what `true_proba` returns."""
    # Given labels of verified rows count like all others: without them, the labels would no longer
    # be a random sample where the most suspicious ones are verified.
    codes, weight = np.where(data.used, given, -1), data.sample_weight
    mean = _geometric_mean(pred_proba, later)
    level = estimate_noise_rate(codes, mean, weight, given_proba=pred_proba)
    models = fit_noise_models(
        codes,
        mean,
        weight,
        level=level,
        prior_shares=(0.0, _RANKING_PRIOR),
        verified=data.verified,
        exponent=fit_exponent(codes, pred_proba, weight),
    )
    posterior = NoisePosterior(level, *models)
    true_proba, right = posterior.true_proba(pred_proba, later, n_jobs=n_jobs)
    rows = np.flatnonzero(codes >= 0)
    if len(rows) > 0:
        row_weight = None if weight is None else weight[rows]
        parts = true_proba[rows], right[rows], given[rows]
        curve, rate = noise_decoys(posterior.model, *parts, row_weight)
        place = curve.best(rate)
        if place is not None:
            posterior = dataclasses.replace(posterior, threshold=float(curve.thresholds[place]))
    return posterior, true_proba, right


def noise_decoys(
    model: NoiseModel,
    true_proba: np.ndarray,
    quality: np.ndarray,
    codes: np.ndarray,
    weight: np.ndarray | None,
) -> tuple[DecoyCurve, float]:
    """Compare rows with every error that the noise model could have made of them."""
    # `quality` is that of each label; also returned is the share of errors under the model.
    decoy_weight = model.error_proba(true_proba)
    if weight is not None:
        decoy_weight *= weight[:, None]
    total = len(codes) if weight is None else weight.sum()
    own = label_proba(codes, quality)
    return decoy_curve(own, quality, decoy_weight, weight), float(decoy_weight.sum() / total)


def _geometric_mean(true_proba: np.ndarray, later) -> np.ndarray:
    """Geometric mean of all predictions of each row; confident models count most."""
    logs, n_known = None, 1
    for proba in later:
        known = ~np.isnan(proba[:, 0])
        if logs is None:
            logs = np.log(np.maximum(true_proba, _SMALLEST))
        logs[known] += np.log(np.maximum(proba[known], _SMALLEST))
        n_known = n_known + known
    if logs is None:
        return true_proba
    logs /= n_known[:, None]
    mean = np.exp(logs, out=logs)
    return mean / mean.sum(axis=1, keepdims=True)
