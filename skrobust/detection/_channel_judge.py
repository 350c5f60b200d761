"""From probabilities to a result, by way of the noise channel and decoys."""

import dataclasses
import functools

import numpy as np

from skrobust.base import NoiseLevel
from skrobust.detection._decoys import DecoyCurve, decoy_curve
from skrobust.noise._confident_joint import given_proba
from skrobust.noise._label_counts import verified_counts
from skrobust.noise._noise_model import NoiseModel, fit_exponent, fit_noise_model
from skrobust.noise._noise_rate import estimate_given_noise_rate, estimate_noise_rate

# Labels are ranked half way to symmetric noise: what looks like noise in one direction is often a
# class that is hard to tell from another.
_RANKING = {"prior_share": 1.0}
# No class is given other labels more often than this.
_MOST_NOISE = 0.9
# No class is ruled out by one opinion.
_SMALLEST = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class ChannelJudge:
    """What the rows of a data set say about the channel, and about where to cut.

    Attributes
    ----------
    level : NoiseLevel
        How many labels are wrong, of those that nobody verified.
    given_level : NoiseLevel
        The same of all labels.
    channel : NoiseModel
        How labels go wrong: what decides how many are flagged.
    ranking : NoiseModel
        The same, nearer to symmetric noise: what the quality is computed with.
    cut : float
        Rows whose quality is at most this may be flagged.
    """

    level: NoiseLevel
    given_level: NoiseLevel
    channel: NoiseModel
    ranking: NoiseModel
    cut: float

    def look(self, pred_proba, again=(), *, n_jobs=None) -> tuple[np.ndarray, np.ndarray]:
        """See through the noise.

        Parameters
        ----------
        pred_proba : ndarray of shape (n_samples, n_classes)
            Out-of-sample probabilities of given labels, none NaN.
        again : sequence of ndarray of shape (n_samples, n_classes), default=()
            The same, by models that have learned without flagged labels, and so are taken to
            tell the true class. A row of NaN is left to the others.
        n_jobs : int, default=None
            Number of threads.

        Returns
        -------
        true_proba : ndarray of shape (n_samples, n_classes)
            Probabilities of true classes, without looking at a row's own label.
        right : ndarray of shape (n_samples, n_classes)
            Probability of each label to be right, were it the given one.
        """
        true_proba = _pool(self.channel.invert(pred_proba, n_jobs=n_jobs), again)
        by_ranking = _pool(self.ranking.invert(pred_proba, n_jobs=n_jobs), again)
        return true_proba, self.ranking.right_proba(by_ranking)

    def careful_proba(self, pred_proba, again, codes, *, n_jobs=None) -> np.ndarray:
        """Compute the probabilities of true classes if there is less noise than estimated.

        Parameters
        ----------
        pred_proba, again
            As of :meth:`look`.
        codes : ndarray of shape (n_samples,)
            Given labels; -1 where missing.
        n_jobs : int, default=None
            Number of threads.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """
        channel = self.channel.scaled(self.level.correction_rate / max(self.level.rate, 1e-12))
        true_proba = _pool(channel.invert(pred_proba, n_jobs=n_jobs), again)
        return channel.posterior(true_proba, codes)

    def bold_proba(self, pred_proba, again, codes, *, n_jobs=None) -> np.ndarray:
        """Compute the probabilities of true classes if there is more noise than estimated.

        Where labels are wrong, classifiers gain from labels that are corrected half way between
        the estimate and what the noise is if every disagreement is an error; where nearly none
        is, they lose by it.

        Parameters
        ----------
        pred_proba, again, codes, n_jobs
            As of :meth:`careful_proba`.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """
        rate, high = max(self.level.rate, 1e-3), max(self.level.high, 1e-3)
        share = min(0.5, self.level.rate / high)
        factor = 1.0 if self.level.explained else max(1 + share * (high - rate) / rate, 1.0)
        most = (1 - self.channel.transition.diagonal()).max()
        channel = self.channel.scaled(max(min(factor, _MOST_NOISE / most), 1.0))
        true_proba = _pool(channel.invert(pred_proba, n_jobs=n_jobs), again)
        return channel.posterior(true_proba, codes)

    def flag(self, true_proba, codes, quality) -> np.ndarray:
        """Flag rows below the cut, unless the label is the most probable class all the same."""
        own = given_proba(np.maximum(codes, 0), true_proba)
        return (codes >= 0) & (quality <= self.cut) & (own < true_proba.max(axis=1))


def fit_judge(
    data, given, pred_proba, again=(), *, n_jobs=None
) -> tuple[ChannelJudge, np.ndarray, np.ndarray]:
    """Learn channel and cut from the rows that count and that nobody verified.

    Parameters
    ----------
    data : LabelledData
        Rows.
    given : ndarray of shape (n_samples,)
        Given labels; -1 for rows that cannot be judged.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities, none NaN.
    again : sequence of ndarray of shape (n_samples, n_classes), default=()
        Those of later rounds; see :meth:`ChannelJudge.look`.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    judge : ChannelJudge
        What was learned.
    true_proba : ndarray of shape (n_samples, n_classes)
        Probabilities of true classes, without looking at a row's own label.
    right : ndarray of shape (n_samples, n_classes)
        Probability of each label to be right, were it the given one.
    """
    unverified = np.where(data.used & (data.verified < 0), given, -1)
    known, weight = verified_counts(data), data.sample_weight
    pooled = _pool(pred_proba, again)
    level = estimate_noise_rate(unverified, pooled, weight, given_proba=pred_proba)
    given_level = estimate_given_noise_rate(level, data, given, pooled, given_proba=pred_proba)
    exponent = fit_exponent(unverified, pred_proba, weight)
    fit = functools.partial(
        fit_noise_model, unverified, pooled, weight, level=level, known=known, exponent=exponent
    )
    judge = ChannelJudge(level, given_level, fit(), fit(**_RANKING), -np.inf)
    true_proba, right = judge.look(pred_proba, again, n_jobs=n_jobs)
    return place_cut(judge, data, given, true_proba, right), true_proba, right


def place_cut(judge, data, given, true_proba, right) -> ChannelJudge:
    """Choose the cut by decoys.

    Parameters
    ----------
    judge : ChannelJudge
        Of which the channels are known.
    data, given
        As of :func:`fit_judge`.
    true_proba, right : ndarray of shape (n_samples, n_classes)
        As of :meth:`ChannelJudge.look`.

    Returns
    -------
    judge : ChannelJudge
        The same with the cut; minus infinity flags nothing.
    """
    rows = np.flatnonzero(data.used & (data.verified < 0) & (given >= 0))
    place = None
    if len(rows) > 0:
        weight = None if data.sample_weight is None else data.sample_weight[rows]
        parts = true_proba[rows], right[rows], given[rows]
        curve, rate = channel_curve(judge.channel, *parts, weight)
        place = curve.best(rate)
    cut = -np.inf if place is None else float(curve.cuts[place])
    return dataclasses.replace(judge, cut=cut)


def _pool(true_proba: np.ndarray, again) -> np.ndarray:
    """Geometric mean of what has been said of each row; models that are sure count most."""
    logs, n_said = None, 1
    for proba in again:
        said = ~np.isnan(proba[:, 0])
        if logs is None:
            logs = np.log(np.maximum(true_proba, _SMALLEST))
        logs[said] += np.log(np.maximum(proba[said], _SMALLEST))
        n_said = n_said + said
    if logs is None:
        return true_proba
    logs /= n_said[:, None]
    pooled = np.exp(logs, out=logs)
    return pooled / pooled.sum(axis=1, keepdims=True)


def channel_curve(channel, true_proba, decoy_quality, codes, weight) -> tuple[DecoyCurve, float]:
    """Compare rows with every error that the channel could have made of them.

    Parameters
    ----------
    channel : NoiseModel
        How labels go wrong.
    true_proba : ndarray of shape (n_rows, n_classes)
        Probabilities of true classes.
    decoy_quality : ndarray of shape (n_rows, n_classes)
        Quality that each row would have with each label.
    codes : ndarray of shape (n_rows,)
        Given labels.
    weight : ndarray of shape (n_rows,) or None
        Weights.

    Returns
    -------
    curve : DecoyCurve
        Shares of rows and of decoys by cut.
    rate : float
        Share of errors that the channel makes.
    """
    decoy_mass = channel.error_proba(true_proba)
    if weight is not None:
        decoy_mass *= weight[:, None]
    total = len(codes) if weight is None else weight.sum()
    own = given_proba(codes, decoy_quality)
    return decoy_curve(own, decoy_quality, decoy_mass, weight), float(decoy_mass.sum() / total)
