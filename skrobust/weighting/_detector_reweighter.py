"""Base class of reweighters that use a label-error detector."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from skrobust.base import LabelledData, Reweighter
from skrobust.base._label_estimator import LabelTags, label_tags
from skrobust.base._labelled_data import propagate_params
from skrobust.detection import EnsembleDetector
from skrobust.utils._sklearn import HasMethods

DOCUMENTATION = {
    "detector": """
detector : label-error detector, default=None
    Detector whose scores are used, cloned. None is :class:`~skrobust.detection.EnsembleDetector`,
    which needs a numeric feature matrix.""",
    "detector_params": """
cv : int, splitter or iterable of (train, test), default=None
    If not None, set as `cv` of the detector.
n_jobs : int, default=None
    If not None, set as `n_jobs` of the detector.
random_state : int, RandomState instance or None, default=None
    If not None, set as `random_state` of the detector.""",
    "sample_weight_": """
sample_weight_ : ndarray of shape (n_samples,)
    Weights, with mean 1; 0 where the label is missing. They belong to the verified label where
    there is one, and to the given label elsewhere.""",
    "detector_": """
detector_ : label-error detector
    The fitted detector.""",
}
"""Docstring entries that reweighters share."""


class DetectorReweighter(Reweighter):
    """Base class of reweighters that use a label-error detector.

    The constructor of a subclass has the parameters `detector`, `cv`, `n_jobs` and
    `random_state`, and ``_weigh(data)`` begins with ``self._fit_detector(data)``.
    """

    _parameter_constraints: dict = {
        "detector": [HasMethods(["fit"]), None],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def _get_detector(self) -> Any:
        """Return the detector, not fitted."""
        return EnsembleDetector() if self.detector is None else self.detector

    def __sklearn_tags__(self) -> LabelTags:
        tags = super().__sklearn_tags__()
        inner = label_tags(self._get_detector())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.pairwise = inner.input_tags.pairwise
        tags.non_deterministic = inner.non_deterministic
        tags.exact_outputs = inner.exact_outputs
        return tags

    def _make_detector(self) -> Any:
        """Clone the detector and set the parameters of this reweighter."""
        detector = self._get_detector()
        if not has_fit_parameter(detector, "verified_labels"):
            raise TypeError(
                f"detector={detector!r} is no label-error detector: use one of"
                " skrobust.detection, such as ConfidentLearning(model) around a classifier."
            )
        return propagate_params(
            clone(detector), cv=self.cv, n_jobs=self.n_jobs, random_state=self.random_state
        )

    def _fit_detector(self, data: LabelledData) -> Any:
        """Fit a clone of the detector, and keep it as ``detector_``."""
        self.detector_: Any = fit_detector(self._make_detector(), data)
        return self.detector_


def fit_detector(detector: Any, data: LabelledData) -> Any:
    """Fit a detector to given labels, verified labels, weights and groups."""
    y, metadata = data.fit_arguments(detector)
    return detector.fit(data.X, y, **metadata)


def quality_of_used_labels(data: LabelledData, detector: Any) -> np.ndarray:
    """Return the quality of verified or given labels: 1 where verified or not scored."""
    quality = np.array(detector.label_quality_, dtype=np.float64)
    quality[np.isnan(quality) | data.checked] = 1.0
    return quality


def scale_by_class(
    weight: np.ndarray, data: LabelledData, class_totals: np.ndarray | None = None
) -> np.ndarray:
    """Scale weights class by class to the given totals, or to mean 1 in each class.

    In a class where all weights are 0 they become equal.
    """
    n_classes = len(data.classes)
    labels = data.y_train[data.used]
    prior = np.ones(len(labels)) if data.sample_weight is None else data.sample_weight[data.used]
    own = np.bincount(labels, weights=prior, minlength=n_classes)
    used_weight = weight[data.used]
    total = np.bincount(labels, weights=used_weight * prior, minlength=n_classes)
    used_weight = np.where(total[labels] > 0, used_weight, 1.0)
    total = np.where(total > 0, total, own)
    wanted = own if class_totals is None else class_totals
    scaled = np.zeros(data.n_samples)
    scaled[data.used] = used_weight * (wanted / np.maximum(total, 1e-300))[labels]
    return scaled
