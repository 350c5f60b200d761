"""Detectors of wrappers: the default one, and those of results computed elsewhere."""

import dataclasses

import numpy as np
from sklearn.base import clone

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.base._pred_proba import as_proba, check_all, column_names, order_of_columns
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.detection._diverse_models import AUTO, has_preprocessing
from skrobust.evidence import Evidence
from skrobust.utils._columns import check_index, complete_column
from skrobust.utils._rows import is_plain_numeric


def default_detector(X, estimator) -> EnsembleDetector:
    """Make the detector that suits the input.

    Where X is a numeric feature matrix, it has models of its own, and otherwise `estimator` and,
    if that is a pipeline, diverse models behind its first steps.
    """
    if is_plain_numeric(X):
        return EnsembleDetector()
    diverse = [AUTO] if has_preprocessing(estimator) else []
    return EnsembleDetector([clone(estimator), *diverse])


class PrecomputedProba(ConfidentLearning):
    """Confident learning from precomputed probabilities, and perhaps precomputed flags."""

    def use(self, pred_proba, label_errors=None) -> "PrecomputedProba":
        """Take validated probabilities and flags for the next fit."""
        self._precomputed = pred_proba, label_errors
        if label_errors is not None:
            self._calibrate = None
        return self

    def collect_evidence(self, data) -> Evidence:
        return Evidence(self._precomputed[0], data.classes)

    def _detect(self, data) -> DetectionResult:
        result = super()._detect(data)
        flags = self._precomputed[1]
        del self._precomputed
        if flags is None:
            return result
        return dataclasses.replace(result, errors=flags.copy(), threshold=None)


class PrecomputedErrors(LabelErrorDetector):
    """Precomputed flags."""

    def __init__(self, *, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate

    def use(self, label_errors) -> "PrecomputedErrors":
        """Take validated flags for the next fit."""
        self._precomputed = label_errors
        return self

    def _detect(self, data) -> DetectionResult:
        flags = self._precomputed
        del self._precomputed
        return DetectionResult(np.where(flags, 0.0, 1.0), flags, threshold=0.5)


def precomputed_detector(detector, data, y, label_errors, pred_proba, action) -> LabelErrorDetector:
    """Make the detector of flags or probabilities that were computed elsewhere.

    Of the wrapper's own detector, the parameters of :class:`ConfidentLearning` count.
    """
    flags = None if label_errors is None else _check_flags(label_errors, data, y)
    if pred_proba is not None:
        params = {"max_flag_rate": None}
        if isinstance(detector, ConfidentLearning):
            params = detector.get_params(deep=False)
        if flags is not None:  # the mask decides, nothing else
            params.update(threshold=None, flag_fraction=None)
        return PrecomputedProba(**params).use(_check_proba(pred_proba, data, y), flags)
    if action == "reweight":
        raise ValueError(
            f"action={action!r} needs more than label_errors: pass pred_proba as well, the"
            " out-of-sample probabilities of the classes, or use action='drop'."
        )
    return PrecomputedErrors().use(flags)


def _check_flags(label_errors, data, y) -> np.ndarray:
    check_index(y, label_errors, "label_errors")
    flags = np.asarray(complete_column(label_errors, "label_errors"))
    if flags.dtype == object and all(isinstance(flag, (bool, np.bool_)) for flag in flags.ravel()):
        flags = flags.astype(bool)
    if flags.dtype != bool or flags.shape != (data.n_samples,):
        raise ValueError(
            f"label_errors must be a mask of {data.n_samples} bools, one for each row, got"
            f" {flags.dtype} of shape {flags.shape}. Where `rows` are row numbers, that is"
            " numpy.isin(numpy.arange(len(y)), rows)."
        )
    return flags


def _check_proba(pred_proba, data, y) -> np.ndarray:
    check_index(y, pred_proba, "pred_proba")
    names, proba = column_names(pred_proba), as_proba(pred_proba)
    if proba.shape != (data.n_samples, len(data.classes)):
        raise ValueError(
            f"pred_proba must have shape {(data.n_samples, len(data.classes))}, a row for each"
            f" label and a column for each class in sorted order, got {proba.shape}."
        )
    if names is not None:
        proba = proba[:, order_of_columns(names, data.classes)]
    check_all(proba)
    return np.asarray(proba)
