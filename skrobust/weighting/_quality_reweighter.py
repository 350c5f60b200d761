"""Weigh rows by how likely their labels are right."""

from numbers import Real

import numpy as np

from skrobust.utils._sklearn import Interval
from skrobust.weighting._detector_reweighter import (
    DetectorReweighter,
    scale_classes,
    settled_quality,
)


class QualityReweighter(DetectorReweighter):
    """Weigh rows by the quality of their labels, as any detector sees it.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : label-error detector, default=None
        What judges the labels, cloned. None is
        :class:`~skrobust.detection.EnsembleDetector`, which needs a table of numbers.
    power : float, default=4.0
        The quality is raised to this power. 1 takes it as it is, higher powers leave less weight
        to doubtful labels, and 0 weighs all rows alike.
    per_class : bool, default=True
        Scale the weights to mean 1 in each class. Otherwise a class fades if its labels are
        doubted more than those of others, be they wrong or only hard.
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
    detector_ : label-error detector
        The fitted detector.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    ImportanceReweighter : Weights by which the noise cancels out on average.
    TrustedReweighter : Weights that verified rows teach.
    skrobust.wrappers.CleaningClassifier : Leaves out doubtful rows instead.

    Notes
    -----
    Quality is the probability that a label is right, and of two classes a label that is right with
    probability one half says nothing, yet it would get half of the weight of a sure one. So the
    weights should fall faster than the quality. On four tables with 30 or 40 % of wrong labels,
    the fourth power came closer to leaving out exactly these than the first two did, with every
    quality that was tried; with 10 % or none there was little between them. The eighth power is
    better still with the default detector, but not with qualities that are no calibrated
    probabilities.

    Rows whose label a person verified have the quality 1, and so have those that the detector
    cannot judge.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.weighting import QualityReweighter
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> reweighter = QualityReweighter(random_state=0).fit(X, y_noisy)
    >>> weight = reweighter.sample_weight_
    >>> bool(weight[flipped].mean() < 0.2 < 1 < weight[~flipped].mean())
    True
    """

    _parameter_constraints: dict = {
        **DetectorReweighter._parameter_constraints,
        "power": [Interval(Real, 0, None, closed="left")],
        "per_class": ["boolean"],
    }

    def __init__(
        self,
        detector=None,
        *,
        power=4.0,
        per_class=True,
        cv=None,
        n_jobs=None,
        random_state=None,
    ):
        self.detector = detector
        self.power = power
        self.per_class = per_class
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _weigh(self, data) -> np.ndarray:
        detector = self._fit_detector(data)
        weight = settled_quality(data, detector) ** self.power
        return scale_classes(weight, data) if self.per_class else weight
