"""Base class of detectors, and their data frame and score."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils import indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base._fitted_attributes import (
    DetectionResult,
    class_fractions,
    fitted_attributes,
    warn_of_overwritten,
)
from skrobust.base._label_estimator import LabelEstimator
from skrobust.base._labelled_data import LabelledData, decode_labels, set_fitted
from skrobust.base._labels import check_indicators, check_targets, encode_labels_like
from skrobust.base._threshold import LabelQualityThreshold, ThresholdInput, score_new_labels
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_features
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, fit_context, safe_indexing
from skrobust.utils._typing import LabelsLike
from skrobust.utils._warnings import warn_user


def scores_new_rows(detector) -> bool:
    """Whether a detector scores rows that were not in ``fit``."""
    name = type(detector).__name__
    if not hasattr(detector, "_detect_new"):
        raise AttributeError(f"{name} does not score rows that were not in fit.")
    if not getattr(detector, "store_estimators", True):
        raise AttributeError(
            f"{name} scores rows that were not in fit by the models of fit: set"
            " store_estimators=True."
        )
    return True


class DetectorReport:
    """Mixin of detectors: ``to_frame``, ``score``, and the encoding of labels of new rows."""

    def _encode_new(self, y, name: str = "y") -> np.ndarray:
        """Encode labels of new rows like those of ``fit``."""
        if self.label_kind == "classes":
            return encode_labels_like(y, self.classes_, name=name)
        if self.label_kind == "numbers":
            return check_targets(y, name=name)
        y, n_labels = check_indicators(y, name=name), self._given_labels.shape[1]
        if y.shape[1] != n_labels:
            raise ValueError(f"{name} has {y.shape[1]} labels, but {n_labels} are known from fit.")
        return y

    def _threshold_classes(self, y) -> np.ndarray:
        """Class of each encoded label, as thresholds are given it; -1 where it is missing."""
        if self.label_kind == "numbers":
            return np.where(np.isnan(y), -1, 0)
        if self.label_kind == "indicators":  # 2k and 2k + 1 of label k, one label after the other
            return np.where(y >= 0, y + 2 * np.arange(y.shape[1]), -1).ravel(order="F")
        return y

    def _other_labels(self, y) -> np.ndarray:
        """Other labels than the given ones, that are wrong for sure or nearly so."""
        y = self._encode_new(y)
        if self.label_kind == "classes":  # all other classes in turn
            n_classes = len(self.classes_)
            other = (y + 1 + np.arange(len(y)) % (n_classes - 1)) % n_classes
            return decode_labels(np.where(y >= 0, other, -1), self.classes_)
        if self.label_kind == "indicators":
            return np.where(y < 0, np.nan, 1 - y)
        known = np.flatnonzero(~np.isnan(y))
        other = y.copy()
        other[known] = y[np.random.default_rng(0).permutation(known)]
        return other

    def _is_wrong(self, y, true_labels) -> tuple[np.ndarray, np.ndarray]:
        """Masks of rows with a wrong label, and of rows of which that is known."""
        y, truth = self._encode_new(y), self._encode_new(true_labels, "true_labels")
        if y.shape != truth.shape:
            raise ValueError(f"true_labels must have the shape {y.shape} of y, got {truth.shape}.")
        if self.label_kind == "numbers":
            return ~np.isclose(y, truth), ~np.isnan(y) & ~np.isnan(truth)
        wrong, both = y != truth, (y >= 0) & (truth >= 0)
        return (wrong, both) if y.ndim == 1 else ((both & wrong).any(axis=1), both.any(axis=1))

    def to_frame(self) -> Any:
        """Summarise the rows of ``fit`` in a pandas data frame.

        Returns
        -------
        frame : pandas.DataFrame
            One row per row of ``fit``, with the index of `y` if that has one, and the columns
            "given_label", "label_quality", "is_flagged", and "suggested_label" and
            "corrected_label" where the detector has them. Where rows have several labels, these
            are columns for each of them, such as "given_label_0".
        """
        check_is_fitted(self, "label_quality_")
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                'to_frame needs pandas, which pip install "skrobust[report]" brings.'
            ) from error
        columns = {
            **self._label_columns("given_label", self._given_labels),
            "label_quality": self.label_quality_,
            "is_flagged": self.label_errors_,
        }
        for name in ("suggested_label", "corrected_label"):
            if hasattr(self, f"{name}s_"):
                columns.update(self._label_columns(name, getattr(self, f"{name}s_")))
        return pd.DataFrame(columns, index=self._row_index)

    def _label_columns(self, name: str, labels: np.ndarray) -> dict:
        if labels.ndim == 1:
            return {name: labels}
        names = self._label_names or range(labels.shape[1])
        return {f"{name}_{label}": labels[:, j] for j, label in enumerate(names)}

    @available_if(scores_new_rows)
    def score(self, X: Any, y: LabelsLike, true_labels: ArrayLike | None = None) -> float:
        """Score how well wrong labels of rows that were not in ``fit`` are ranked.

        Only there with ``store_estimators=True``, which a detector needs before it is passed to
        :class:`~sklearn.model_selection.GridSearchCV`. Parameters that change which rows are
        flagged but not their quality, such as `threshold`, do not change the score.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels.
        true_labels : array-like of shape (n_samples,), default=None
            True labels, missing where they are not known.

        Returns
        -------
        score : float
            The average precision of the ranking by ``score_labels``, of the rows whose true label
            is known. Without true labels, the probability that a given label has a higher quality
            than a label drawn from the others: the area under the ROC curve, which is the lower
            the more given labels are wrong, but the higher the better the ranking.

        Raises
        ------
        AttributeError
            If ``store_estimators=False``.
        ValueError
            If no row has a label, or none of the known labels is wrong.
        """
        quality = self.score_labels(X, y)
        if true_labels is None:
            others = self.score_labels(X, self._other_labels(y))
            both = ~np.isnan(quality) & ~np.isnan(others)
            if not both.any():
                raise ValueError("No row of y has a label: there is nothing to score.")
            values = np.concatenate([quality[both], others[both]])
            return float(roc_auc_score(np.repeat([1, 0], both.sum()), values))
        wrong, known = self._is_wrong(y, true_labels)
        known = known & ~np.isnan(quality)
        if not wrong[known].any():
            raise ValueError(
                "true_labels and y are equal in all rows: there are no wrong labels to find."
            )
        return float(average_precision_score(wrong[known], 1 - quality[known]))


def _has_classes(detector) -> bool:
    """Whether the labels of a detector are classes."""
    return detector.label_kind == "classes"


@fill_docstring
class LabelErrorDetector(DetectorReport, LabelEstimator):
    """Base class of all detectors of label errors.

    A subclass implements ``_detect(data)``, which takes :class:`LabelledData` and returns a
    :class:`DetectionResult`, and, to score rows that were not in ``fit``,
    ``_detect_new(X, codes)``, which returns the quality and the flags of labelled rows. Its
    constructor has the parameters `threshold`, `flag_fraction` and `max_flag_rate`, which this
    class reads. Verified labels, thresholds and missing labels are handled here. ``detect``,
    ``score_labels`` and ``score`` exist where ``_detect_new`` does, and `store_estimators` is not
    False.

    .. versionadded:: 0.1

    Attributes
    ----------
    label_kind : {"classes", "numbers", "indicators"}
        What labels are; see :class:`LabelledData`.

    See Also
    --------
    DetectionResult : What ``_detect`` returns.
    skrobust.detection.ConfidentLearning : A detector by the probabilities of one classifier.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import DetectionResult, LabelErrorDetector
    >>> class ClassMeanDetector(LabelErrorDetector):
    ...     def __init__(self, *, threshold=None, flag_fraction=None, max_flag_rate=0.5):
    ...         self.threshold = threshold
    ...         self.flag_fraction = flag_fraction
    ...         self.max_flag_rate = max_flag_rate
    ...
    ...     def _detect(self, data):
    ...         means = [data.X[data.y_train == k].mean(axis=0) for k in range(len(data.classes))]
    ...         distance = np.linalg.norm(data.X[:, None] - np.array(means), axis=2)
    ...         own = distance[np.arange(data.n_samples), data.y]
    ...         quality = 1 - own / distance.sum(axis=1)
    ...         return DetectionResult(quality, quality < 0.5, threshold=0.5)
    >>> X = np.r_[np.zeros((9, 2)), np.ones((9, 2))]
    >>> y = np.repeat([0, 1], 9)
    >>> y[0] = 1
    >>> np.flatnonzero(ClassMeanDetector().fit(X, y).label_errors_)
    array([0])
    """

    label_kind = "classes"

    # Calibrates the quality on verified labels, such as `calibrate_on_verified` of the detection
    # package. None leaves the quality as it is.
    _calibrate: Callable | None = None
    # What that fitted, where there were verified labels to calibrate on.
    _quality_model: Any = None

    # Set by ``set_fitted``, some of them by some methods only.
    classes_: np.ndarray
    suggested_labels_: np.ndarray
    corrected_labels_: np.ndarray
    posterior_labels_: np.ndarray
    posterior_proba_: np.ndarray
    transition_matrix_: np.ndarray
    noise_rate_: float
    noise_rate_interval_: tuple[float, float]
    reliability_: str
    reliability_reason_: str
    fitted_threshold_: LabelQualityThreshold
    class_thresholds_: np.ndarray

    _parameter_constraints: dict = {
        "threshold": [None, Interval(Real, 0, 1, closed="both"), LabelQualityThreshold],
        "flag_fraction": [None, Interval(Real, 0, 1, closed="left"), dict],
        "max_flag_rate": [None, Interval(Real, 0, 1, closed="both")],
    }

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Score and flag the labels of a data set.

        Parameters
        ----------
        %(X)s
        y : array-like of shape (n_samples,)
            Given (observed) labels: text, integers, bools, whole floats. None, NaN and blank text
            are missing labels, which are not trained on and get a suggestion.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as verified by a reviewer, missing where a row was not reviewed. `y` holds the
            given labels, not overwritten by these. Where they agree with `y`, the row is trusted:
            never flagged, quality 1. Where they do not, it is a known error: flagged, quality 0,
            with the verified label as the suggestion. Models are trained on verified labels.
        %(sample_weight)s
        %(groups)s

        Returns
        -------
        self : object
            Fitted detector.
        """
        self._check_thresholds()
        data = LabelledData.from_arrays(
            X,
            y,
            kind=self.label_kind,
            verified_labels=verified_labels,
            sample_weight=sample_weight,
            groups=groups,
        )
        return self._fit_by(self._detect, data)

    def _fit_by(
        self, detect: Callable[[LabelledData], DetectionResult], data: LabelledData
    ) -> Self:
        """Set the fitted attributes by a method of detection, `_detect` or another."""
        if isinstance(self.flag_fraction, dict):
            class_fractions(self.flag_fraction, data.classes)  # raises before any work
        _ = data.features  # raises before any work
        self._set_fitted_attributes(data, detect(data))
        return self

    def _check_thresholds(self) -> None:
        """Refuse thresholds that exclude one another, or do not suit the labels."""
        threshold = self.threshold
        if threshold is not None and self.flag_fraction is not None:
            raise ValueError(
                f"threshold={threshold!r} and flag_fraction={self.flag_fraction!r} both set"
                " how many rows to flag: give one of them."
            )
        if not isinstance(threshold, LabelQualityThreshold):
            return
        threshold.validate()
        if threshold.needs_classes and self.label_kind == "numbers":
            raise TypeError(
                f"threshold={threshold!r} needs labels that are classes, and the targets of"
                f" {type(self).__name__} are numbers: use MixtureThreshold() with per_class=False,"
                " DecoyThreshold() or, where some rows are verified, TrustedThreshold()."
            )

    def _detect(self, data: LabelledData) -> DetectionResult:
        """Score and flag labelled data by the method of the detector."""
        raise TypeError(f"{type(self).__name__} must implement _detect(data).")

    def _set_fitted_attributes(self, data: LabelledData, result: DetectionResult) -> None:
        """Apply verified labels and the threshold to the result, and set the fitted attributes."""
        fitted = fitted_attributes(self, data, result)
        self._warn_of_rates(data, fitted.errors)
        if fitted.overwritten:
            warn_of_overwritten(data)
        set_fitted(self, **fitted.attributes)
        self._quality_model = fitted.quality_model
        self.threshold_: float | None = fitted.threshold
        self._set_quality(fitted.quality, fitted.errors)
        given = data.given if data.y.ndim == 1 else data.given.any(axis=1)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        kept = given & ~self.label_errors_
        self.keep_weight_: np.ndarray = np.where(kept, weight, 0.0)
        self.sample_indices_: np.ndarray = np.flatnonzero(kept)
        self._unverified = fitted.unverified
        # For the data frame.
        self._row_index = data.index
        self._label_names = None if data.columns is None else list(data.columns)
        if data.kind == "classes":
            self._given_labels = data.decode(data.y)
        else:
            self._given_labels = np.where(data.given, data.y, np.nan)

    def _set_quality(self, quality: np.ndarray, errors: np.ndarray) -> None:
        """Set quality and flags of the rows."""
        self.label_quality_: np.ndarray = quality
        self.label_errors_: np.ndarray = errors

    def _threshold_input(self, data, result, quality, unverified, calibrated) -> ThresholdInput:
        """Input of a threshold object."""
        rate = None if calibrated is None else calibrated.noise_rate
        doubtful = result.doubtful_below
        return ThresholdInput(self, data, result, quality, unverified, doubtful, noise_rate=rate)

    def _warn_of_rates(self, data, errors) -> None:
        """Warn of classes of which too many rows are flagged."""
        if data.kind != "classes" or self.max_flag_rate is None:
            return
        totals, flagged = (
            np.bincount(
                data.y[rows],
                weights=None if data.sample_weight is None else data.sample_weight[rows],
                minlength=len(data.classes),
            )
            for rows in (data.given, errors)
        )
        rates = flagged / np.maximum(totals, 1e-300)
        for k in np.flatnonzero(rates > self.max_flag_rate):
            warn_user(
                f"{rates[k]:.0%} of the rows given {data.classes.tolist()[k]!r} are flagged, more"
                f" than max_flag_rate={self.max_flag_rate}. A class may look wrong because it is"
                " rare: review some of them, or verify some labels, before dropping them."
            )

    @property
    def is_calibrated(self) -> bool:
        """Whether the quality was calibrated on verified labels."""
        return self._quality_model is not None

    def fit_resample(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> tuple[Any, Any]:
        """Score the labels of a data set and return the rows that are kept.

        Parameters
        ----------
        %(X)s
        %(y)s
        %(verified_labels)s
        %(sample_weight)s
        %(groups)s

        Returns
        -------
        X_resampled : array-like of length n_kept
            Rows whose label is there and not flagged, of the type of `X`.
        y_resampled : array-like of length n_kept
            Their labels.
        """
        self.fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups)
        X, y = indexable(X, y)
        return safe_indexing(X, self.sample_indices_), safe_indexing(y, self.sample_indices_)

    @available_if(_has_classes)
    def suggest_verification(
        self, n_rows: int = 30, *, random_state: int | np.random.RandomState | None = None
    ) -> np.ndarray:
        """Suggest rows to verify, from which the noise rate is estimated best.

        Rows are drawn at random, each with a probability that is proportional to the standard
        deviation of its label being right, by `label_quality_`, and a tenth of that of the most
        doubtful rows at least (Neyman allocation).

        Parameters
        ----------
        n_rows : int, default=30
            Number of rows; fewer are returned if there are not so many.
        random_state : int, RandomState instance or None, default=None
            Seed of the draw. None draws fresh entropy.

        Returns
        -------
        rows : ndarray of shape (n_suggested,)
            Positions of labelled rows that have a quality and are not verified, in rising order.

        Raises
        ------
        ValueError
            If `n_rows` is no positive integer.
        """
        check_is_fitted(self)
        if not isinstance(n_rows, Integral) or isinstance(n_rows, bool) or n_rows < 1:
            raise ValueError(f"n_rows must be a positive integer, got {n_rows!r}.")
        rows = np.flatnonzero(self._unverified)
        if len(rows) <= n_rows:
            return rows
        quality = self.label_quality_[rows]
        weight = np.maximum(np.sqrt(quality * (1 - quality)), 0.05)
        rng = private_random_state(random_state)
        return np.sort(rng.choice(rows, n_rows, replace=False, p=weight / weight.sum()))

    @available_if(scores_new_rows)
    def detect(self, X: Any, y: LabelsLike) -> np.ndarray:
        """Flag labelled rows that were not in ``fit``.

        Parameters
        ----------
        %(X)s
        %(y_detect)s

        Returns
        -------
        label_errors : ndarray of shape (n_samples,) of bool
            True where the label is probably wrong.
        """
        return self._score_new(X, y)[1]

    @available_if(scores_new_rows)
    def score_labels(self, X: Any, y: LabelsLike) -> np.ndarray:
        """Score how likely labels are right, of rows that were not in ``fit``.

        Parameters
        ----------
        %(X)s
        %(y_detect)s

        Returns
        -------
        label_quality : ndarray of shape (n_samples,)
            In [0, 1]; NaN where the label is missing.
        """
        return self._score_new(X, y)[0]

    def _score_new(self, X, y) -> tuple[np.ndarray, np.ndarray]:
        """Quality and flags of labels of new rows."""
        check_is_fitted(self)
        y = self._encode_new(y)
        (X, y) = indexable(X, y)
        check_features(self, X)
        quality, errors = self._detect_new(X, y)
        quality, codes = np.array(quality, dtype=np.float64), self._threshold_classes(y)
        if self._quality_model is not None:
            quality = self._quality_model.calibrate_new(X, quality, codes)
        if hasattr(self, "class_thresholds_"):
            flagged = quality < self.class_thresholds_[np.maximum(codes, 0)]
            return np.where(codes < 0, np.nan, quality), flagged & (codes >= 0)
        threshold = getattr(self, "fitted_threshold_", None)
        flat = quality.ravel(order="F"), codes, errors.ravel(order="F")
        scored = score_new_labels(threshold, self.threshold_, *flat)
        return tuple(values.reshape(quality.shape, order="F") for values in scored)
