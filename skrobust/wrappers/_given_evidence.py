"""Label errors or probabilities that were computed elsewhere, in the place of a detector."""

import dataclasses

import numpy as np

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.base._pred_proba import as_proba, check_all, column_names, order_of_columns
from skrobust.detection import ConfidentLearning
from skrobust.evidence._evidence import Evidence
from skrobust.utils._columns import check_index, complete_column


class GivenProba(ConfidentLearning):
    """Confident learning from probabilities that are given, and perhaps flags as well."""

    def use(self, pred_proba, label_errors=None) -> "GivenProba":
        """Take validated probabilities and flags for the next fit."""
        self._given = pred_proba, label_errors
        if label_errors is not None:
            self._calibrate = None
        return self

    def _gather(self, data) -> Evidence:
        return Evidence(self._given[0].copy(), [], data.classes)

    def _detect(self, data) -> DetectionResult:
        result = super()._detect(data)
        flags = self._given[1]
        del self._given
        if flags is None:
            return result
        return _with_flags(result, flags)


class GivenErrors(LabelErrorDetector):
    """Flags that are given."""

    def __init__(self, *, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate

    def use(self, label_errors) -> "GivenErrors":
        """Take validated flags for the next fit."""
        self._given = label_errors
        return self

    def _detect(self, data) -> DetectionResult:
        flags = self._given
        del self._given
        return DetectionResult(np.where(flags, 0.0, 1.0), flags, threshold=0.5)


def _with_flags(result, flags) -> DetectionResult:
    """The same evidence with other flags."""
    return dataclasses.replace(result, errors=flags.copy(), threshold=None)


def given_detector(detector, data, y, label_errors, pred_proba, action):
    """Make the detector that knows already what was computed elsewhere.

    Parameters
    ----------
    detector : detector or None
        That of the wrapper; how :class:`ConfidentLearning` is set counts, nothing else does.
    data : LabelledData
        Rows.
    y : array-like of shape (n_samples,)
        Given labels, as they came.
    label_errors : array-like of shape (n_samples,) of bool, or None
        Rows whose label is wrong.
    pred_proba : array-like of shape (n_samples, n_classes), or None
        Out-of-sample probabilities.
    action : {"drop", "relabel", "reweight"}
        What is to be done about the errors.

    Returns
    -------
    detector : LabelErrorDetector
        Not fitted.
    """
    flags = None if label_errors is None else _check_flags(label_errors, data, y)
    if pred_proba is not None:
        params = {"max_flag_rate": None}
        if isinstance(detector, ConfidentLearning):
            params = detector.get_params(deep=False)
        if flags is not None:  # the mask decides, nothing else
            params.update(threshold=None, flag_fraction=None)
        return GivenProba(**params).use(_check_proba(pred_proba, data, y), flags)
    if action == "reweight":
        raise ValueError(
            f"action={action!r} needs to know more than label_errors: pass pred_proba as well, the"
            " out-of-sample probabilities of the classes, or use action='drop'."
        )
    return GivenErrors().use(flags)


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
