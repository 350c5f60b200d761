"""Reweighters that ask a detector which labels are right."""

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from skrobust.base import Reweighter
from skrobust.base._labels import decode_labels
from skrobust.detection import EnsembleDetector
from skrobust.utils._propagate import propagate_params
from skrobust.utils._sklearn import HasMethods


class DetectorReweighter(Reweighter):
    """Base class of reweighters that look at what a detector says.

    The constructor of a subclass has the parameters `detector`, `cv`, `n_jobs` and
    `random_state`, and ``_weigh(data)`` begins with ``self._fit_detector(data)``.
    """

    _parameter_constraints: dict = {
        "detector": [HasMethods(["fit"]), None],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def _get_detector(self):
        """The detector, not fitted."""
        return EnsembleDetector() if self.detector is None else self.detector

    @property
    def _exact_evidence(self) -> bool:
        """Whether permuted rows, and repeated rows instead of weights, give the same weights."""
        detector = self._get_detector()
        return getattr(detector, "_exact_evidence", not get_tags(detector).non_deterministic)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_detector())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        tags.input_tags.pairwise = inner.input_tags.pairwise
        tags.non_deterministic = inner.non_deterministic
        return tags

    def _fit_detector(self, data):
        """Fit a clone of the detector to all that is known, and keep it as ``detector_``."""
        self.detector_ = fit_detector(self._make_detector(), data)
        return self.detector_

    def _make_detector(self):
        """Make the detector to fit, with the parameters that were given to this reweighter."""
        detector = self._get_detector()
        if not has_fit_parameter(detector, "verified_labels"):
            raise TypeError(
                f"detector={detector!r} is no label-error detector: use one of"
                " skrobust.detection, such as ConfidentLearning(model) around a classifier."
            )
        return propagate_params(
            clone(detector),
            cv=self.cv,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        )


def fit_detector(detector, data):
    """Fit a detector to all that is known of some rows.

    Parameters
    ----------
    detector : label-error detector
        Fitted in place.
    data : LabelledData
        Rows.

    Returns
    -------
    detector : label-error detector
        The same.
    """
    verified = None
    if (data.verified >= 0).any():
        verified = decode_labels(data.verified, data.classes)
    return detector.fit(
        data.X,
        decode_labels(data.y, data.classes),
        verified_labels=verified,
        sample_weight=data.sample_weight,
    )


def settled_quality(data, detector) -> np.ndarray:
    """Take the quality of labels from a fitted detector, 1 where nothing speaks against a row.

    Parameters
    ----------
    data : LabelledData
        The rows that the detector was fitted to.
    detector : fitted detector
        With ``label_quality_``.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        In [0, 1]. It is 1 where a person has checked the label, since the label that is learned
        from is right then, and where the detector cannot say.
    """
    quality = np.array(detector.label_quality_, dtype=np.float64)
    quality[np.isnan(quality) | (data.verified >= 0)] = 1.0
    return quality


def scale_classes(weight, data, wanted=None) -> np.ndarray:
    """Scale weights class by class.

    Parameters
    ----------
    weight : ndarray of shape (n_samples,)
        Weights, none negative.
    data : LabelledData
        Rows; classes are those of the labels that are learned from.
    wanted : ndarray of shape (n_classes,), default=None
        What each class is to weigh in all. None is what it weighs already, so that the mean
        weight in each class is 1.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
        Scaled weights; equal ones in a class of which no row has any.
    """
    n_classes = len(data.classes)
    labels = data.y_train[data.used]
    prior = np.ones(len(labels)) if data.sample_weight is None else data.sample_weight[data.used]
    own = np.bincount(labels, weights=prior, minlength=n_classes)
    given = weight[data.used]
    total = np.bincount(labels, weights=given * prior, minlength=n_classes)
    given = np.where(total[labels] > 0, given, 1.0)
    total = np.where(total > 0, total, own)
    goal = own if wanted is None else wanted
    scaled = np.zeros(data.n_samples)
    scaled[data.used] = given * (goal / np.maximum(total, 1e-300))[labels]
    return scaled
