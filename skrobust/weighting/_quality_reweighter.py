"""Reweighter by label quality."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from skrobust.base import LabelledData
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval
from skrobust.utils._typing import CrossValidation
from skrobust.weighting._detector_reweighter import (
    DOCUMENTATION,
    DetectorReweighter,
    quality_of_used_labels,
    scale_by_class,
)


@fill_docstring(**DOCUMENTATION)
class QualityReweighter(DetectorReweighter):
    """Reweighter by a power of the label quality of any detector.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(detector)s
    power : float, default=4.0
        Exponent of the quality, at least 0. Higher powers reduce the weight of doubtful labels; 0
        gives all rows weight 1.
    per_class : bool, default=True
        Whether weights are scaled to mean 1 in each class. Otherwise, a class of low label
        quality loses weight, whether its labels are wrong or only hard to predict.
    %(detector_params)s

    Attributes
    ----------
    %(sample_weight_)s
    %(detector_)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    ImportanceReweighter : Weights by which the noise cancels out in expectation.
    TrustedReweighter : Weights calibrated on verified rows.
    skrobust.wrappers.CleaningClassifier : Corrects or drops doubtful labels instead.

    Notes
    -----
    The quality is the probability that a label is right. Of two classes, a label that is right
    with probability one half is uninformative, yet its quality is half that of a certain one:
    weights should fall faster than the quality. On four data sets with 30 or 40 % of wrong labels,
    the fourth power came closer to leaving out exactly these than the first two did, with every
    quality that was tried; with 10 % or none there was little difference. The eighth power is
    better still with the default detector, but not with qualities that are not calibrated.

    Rows with a verified label, and rows that the detector does not score, have the quality 1.

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
        detector: BaseEstimator | None = None,
        *,
        power: float = 4.0,
        per_class: bool = True,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.detector = detector
        self.power = power
        self.per_class = per_class
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _weigh(self, data: LabelledData) -> np.ndarray:
        detector = self._fit_detector(data)
        weight = quality_of_used_labels(data, detector) ** self.power
        return scale_by_class(weight, data) if self.per_class else weight
