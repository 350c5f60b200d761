"""Reweighter calibrated on verified rows."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from skrobust.base import LabelledData
from skrobust.base._labelled_data import with_mean_weight_one
from skrobust.detection._verified_label_model import MIN_VERIFIED
from skrobust.noise._confident_joint import class_weights
from skrobust.noise._noise_model import shrink_counts, verified_counts
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval
from skrobust.utils._typing import CrossValidation
from skrobust.utils._warnings import warn_user
from skrobust.weighting._detector_reweighter import (
    DOCUMENTATION,
    DetectorReweighter,
    quality_of_used_labels,
    scale_by_class,
)


@fill_docstring(**DOCUMENTATION)
class TrustedReweighter(DetectorReweighter):
    """Reweighter by a density ratio that is estimated from verified rows.

    The probability that a label is right is calibrated on verified rows, and the shares of the
    true classes are estimated from them. The weighted distribution of given labels then has the
    conditional and the marginal distribution of true labels. ``fit`` requires `verified_labels`.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(detector)s
    power : float, default=4.0
        Exponent of the probability that a label is right, at least 0. 1 yields the density ratio;
        higher powers reduce the weight of doubtful labels, which costs less than training on wrong
        ones.
    %(detector_params)s

    Attributes
    ----------
    %(sample_weight_)s
    class_prior_ : ndarray of shape (n_classes,)
        Estimated shares of the true classes, and of the weights.
    detector_ : label-error detector
        The fitted detector, whose ``label_quality_`` is the probability of being right.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    QualityReweighter : Needs no verified rows, and keeps the shares of the given labels.
    skrobust.detection.TrustedThreshold : Calibrates a quality on verified rows.
    skrobust.noise.TrustedTransition : Estimates the transition matrix from verified rows.

    Notes
    -----
    Let r be the probability that the label k of a row is right. Of the rows labelled k, a share r
    are of class k, and a share P(true class is k) of all rows is. So r, scaled such that each
    class has its true share, is the density of rows and true labels over that of rows and given
    labels.

    The shares of true classes are estimated from the given labels and from the counts of true
    classes among verified rows with each given label. For a label with few verified rows, the
    counts are shrunk towards equal error rates of all labels and true classes as frequent as the
    labels. Verified rows should be drawn at random, at least within given classes.

    Fewer than ten verified rows, or rows none of which is wrong, do not suffice to calibrate the
    quality, which is then that of the detector alone; fewer than ten issue a
    :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>`.

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

    def __init__(
        self,
        detector: BaseEstimator | None = None,
        *,
        power: float = 4.0,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.detector = detector
        self.power = power
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _weigh(self, data: LabelledData) -> np.ndarray:
        counts = with_mean_weight_one(data)
        n_verified = counts.total_weight(data.used & data.checked & data.given)
        if not n_verified:
            raise ValueError(
                f"{type(self).__name__} needs verified_labels: labels as verified by a reviewer for"
                " some of the rows that have one, and None or NaN for all others. Without any, use"
                " QualityReweighter."
            )
        if n_verified < MIN_VERIFIED:
            warn_user(
                f"Only {n_verified:g} labels are verified, and at least {MIN_VERIFIED} are needed"
                f" to calibrate the quality of others: {type(self).__name__} uses that of the"
                " detector alone. Verify more rows, drawn at random."
            )
        detector = self._fit_detector(data)
        weight = quality_of_used_labels(data, detector) ** self.power
        self.class_prior_: np.ndarray = _estimate_prior(counts)
        prior = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        return scale_by_class(weight, data, self.class_prior_ * prior[data.used].sum())


def _estimate_prior(data: LabelledData) -> np.ndarray:
    """Estimate the shares of true classes from given and verified labels."""
    n_classes = len(data.classes)
    counts = verified_counts(data).T
    unverified = np.where(data.used & ~data.checked, data.y, -1)
    given = class_weights(unverified, n_classes, data.sample_weight)
    shares = given @ shrink_counts(counts, [_prior_matrix(counts, given + counts.sum(axis=1))])
    verified = np.where(data.used & data.checked, data.verified, -1)
    shares += class_weights(verified, n_classes, data.sample_weight)
    # No class that occurs may have the share 0.
    present = np.bincount(data.y_train[data.used], minlength=n_classes) > 0
    shares = np.where(present, np.maximum(shares, 1e-6 * shares.sum()), 0.0)
    return shares / shares.sum()


def _prior_matrix(counts: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return true classes by given label with equal error rates, in proportion to the labels."""
    rate = 1 - np.trace(counts) / counts.sum()
    wrong = np.tile(given, (len(given), 1))
    np.fill_diagonal(wrong, 0.0)
    matrix = rate * wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1e-300)
    matrix[np.diag_indices_from(matrix)] += 1 - matrix.sum(axis=1)
    return matrix
