"""Weigh rows by what a person who looked at some of them found."""

import warnings
from numbers import Real

import numpy as np

from skrobust.detection._verified_label_model import MIN_VERIFIED
from skrobust.noise._confident_joint import class_weights
from skrobust.noise._label_counts import shrink_counts, verified_counts
from skrobust.utils._sklearn import Interval
from skrobust.utils._warnings import LabelNoiseWarning
from skrobust.weighting._detector_reweighter import (
    DetectorReweighter,
    scale_classes,
    settled_quality,
)


class TrustedReweighter(DetectorReweighter):
    """Weigh rows by how likely their labels are right, as learned from verified rows.

    Verified rows teach two things: which labels are right, by their quality, their class and
    the likeness of rows; and how frequent the true classes are. Weights make the given labels
    look like the true ones in both. ``fit`` needs `verified_labels`.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : label-error detector, default=None
        What judges the labels and learns from the verified ones, cloned. None is
        :class:`~skrobust.detection.EnsembleDetector`, which needs a table of numbers.
    power : float, default=4.0
        The probability that a label is right is raised to this power. 1 makes the weights a ratio
        of densities; higher powers leave less weight to doubtful labels, which costs less than
        learning wrong ones.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the detector.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the detector.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the detector.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
        Weights, with mean 1; 0 where there is no label. They go with the verified label where
        there is one, and with the given one elsewhere.
    class_prior_ : ndarray of shape (n_classes,)
        Estimated shares of the true classes, which are those of the weights as well.
    detector_ : label-error detector
        The fitted detector, whose ``label_quality_`` is the probability of being right.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    QualityReweighter : Needs no verified rows, and keeps the shares of the given labels.
    skrobust.detection.TrustedThreshold : Calibrates a quality by verified rows.
    skrobust.noise.TrustedTransition : Learns from verified rows how labels go wrong.

    Notes
    -----
    Let r be the probability that the label k of a row is right. Of the rows with label k, r times
    as many would have it if no label were wrong, and in all P(true class is k) of the rows would.
    So r, scaled such that each class weighs what it should, is the density of rows and true
    labels over that of rows and given labels.

    The shares of true classes come from the given labels and from how often each was found to
    stand for which true class. Where a label was verified a few times only, this is drawn towards
    what it would be if all labels were as often wrong, for classes as frequent as labels are.
    Verified rows should be drawn at random for that, or at least at random within the given
    classes.

    Fewer than ten verified rows teach too little about which labels are right, and a
    :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>` says so; neither do more, if
    none of them was found wrong. The quality is that of the detector alone then.

    References
    ----------
    Sugiyama, Suzuki and Kanamori (2012). Density ratio estimation in machine learning. Cambridge
    University Press.

    Liu and Tao (2016). Classification with noisy labels by importance reweighting. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 38.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.weighting import TrustedReweighter
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> verified = np.where(np.arange(150) % 3 == 0, y.astype(float), np.nan)
    >>> reweighter = TrustedReweighter(random_state=0)
    >>> weight = reweighter.fit(X, y_noisy, verified_labels=verified).sample_weight_
    >>> unseen = np.isnan(verified)
    >>> bool(weight[flipped & unseen].mean() < 0.2 < 0.9 < weight[~flipped & unseen].mean())
    True
    """

    _parameter_constraints: dict = {
        **DetectorReweighter._parameter_constraints,
        "power": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, detector=None, *, power=4.0, cv=None, n_jobs=None, random_state=None):
        self.detector = detector
        self.power = power
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _weigh(self, data) -> np.ndarray:
        n_verified = data.total_weight(data.used & data.checked & data.given)
        if not n_verified:
            raise ValueError(
                f"{type(self).__name__} needs verified_labels: labels as checked by a person for"
                " some of the rows that have one, and None or NaN for all others. Without any, use"
                " QualityReweighter."
            )
        if n_verified < MIN_VERIFIED:
            warnings.warn(
                f"Only {n_verified:g} labels are verified, and at least {MIN_VERIFIED} are needed"
                f" to learn which others are right: {type(self).__name__} takes the quality of"
                f" labels as the detector alone sees it. Verify more rows, drawn at random.",
                LabelNoiseWarning,
                stacklevel=4,
            )
        detector = self._fit_detector(data)
        weight = settled_quality(data, detector) ** self.power
        self.class_prior_ = _true_shares(data)
        prior = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        return scale_classes(weight, data, self.class_prior_ * prior[data.used].sum())


def _true_shares(data) -> np.ndarray:
    """Estimate how frequent the true classes are, from given and verified labels."""
    n_classes = len(data.classes)
    found = verified_counts(data).T
    rest = np.where(data.used & ~data.checked, data.y, -1)
    given = class_weights(rest, n_classes, data.sample_weight)
    shares = given @ shrink_counts(found, [_guess(found, given + found.sum(axis=1))])
    known = np.where(data.used & data.checked, data.verified, -1)
    shares += class_weights(known, n_classes, data.sample_weight)
    # A class that occurs must not vanish because nobody found a row of it.
    present = np.bincount(data.y_train[data.used], minlength=n_classes) > 0
    shares = np.where(present, np.maximum(shares, 1e-6 * shares.sum()), 0.0)
    return shares / shares.sum()


def _guess(found, given) -> np.ndarray:
    """Guess true classes by given label: all labels are as often wrong, for frequent classes."""
    rate = 1 - np.trace(found) / found.sum()
    wrong = np.tile(given, (len(given), 1))
    np.fill_diagonal(wrong, 0.0)
    guess = rate * wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1e-300)
    guess[np.diag_indices_from(guess)] += 1 - guess.sum(axis=1)
    return guess
