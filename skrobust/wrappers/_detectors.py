"""Detectors of wrappers: the default one, and those of results computed elsewhere."""

import dataclasses
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from skrobust.base import DetectionResult, LabelErrorDetector, LabelledData
from skrobust.base._pred_proba import as_proba, check_all, column_names, order_of_columns
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.detection._ensemble_models import AUTO, has_preprocessing
from skrobust.evidence import Evidence
from skrobust.utils._input import check_index, complete_column, is_plain_numeric
from skrobust.utils._sklearn import fit_context
from skrobust.utils._typing import LabelsLike


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
    """Confident learning from precomputed probabilities."""

    @fit_context(prefer_skip_nested_validation=False)
    def fit_proba(self, data: LabelledData, pred_proba: np.ndarray) -> Self:
        """Score and flag labels by validated probabilities."""
        self._check_thresholds()
        return self._fit_by(lambda data: self._detect_by(data, pred_proba), data)

    def _detect_by(self, data: LabelledData, pred_proba: np.ndarray) -> DetectionResult:
        evidence = Evidence(pred_proba, data.classes)
        return self._detect_from(data, evidence, self._check_limits(data))


class PrecomputedFlags(PrecomputedProba):
    """Precomputed flags, and the scores of confident learning from precomputed probabilities."""

    _calibrate = None  # the flags decide, nothing else

    @fit_context(prefer_skip_nested_validation=False)
    def fit_flags(self, data: LabelledData, pred_proba: np.ndarray, flags: np.ndarray) -> Self:
        """Score labels by validated probabilities."""

        def detect(data: LabelledData) -> DetectionResult:
            result = self._detect_by(data, pred_proba)
            return dataclasses.replace(result, errors=flags.copy(), threshold=None)

        return self._fit_by(detect, data)


class PrecomputedErrors(LabelErrorDetector):
    """Precomputed flags, without any scores."""

    threshold = None
    flag_fraction = None
    max_flag_rate = None

    def fit_flags(self, data: LabelledData, flags: np.ndarray) -> Self:
        """Take validated flags."""
        result = DetectionResult(np.where(flags, 0.0, 1.0), flags, threshold=0.5)
        return self._fit_by(lambda _: result, data)


def fit_precomputed(
    detector: Any,
    data: LabelledData,
    y: LabelsLike,
    label_errors: ArrayLike | None,
    pred_proba: ArrayLike | None,
    action: str,
) -> LabelErrorDetector:
    """Fit a detector to flags or probabilities that were computed elsewhere.

    Of the wrapper's own detector, the parameters of :class:`ConfidentLearning` count.
    """
    flags = None if label_errors is None else _check_flags(label_errors, data, y)
    if pred_proba is None:
        if action == "reweight":
            raise ValueError(
                f"action={action!r} needs more than label_errors: pass pred_proba as well, the"
                " out-of-sample probabilities of the classes, or use action='drop'."
            )
        return PrecomputedErrors().fit_flags(data, flags)
    params = {"max_flag_rate": None}
    if isinstance(detector, ConfidentLearning):
        params = detector.get_params(deep=False)
    proba = _check_proba(pred_proba, data, y)
    if flags is None:
        return PrecomputedProba(**params).fit_proba(data, proba)
    params.update(threshold=None, flag_fraction=None)
    return PrecomputedFlags(**params).fit_flags(data, proba, flags)


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
