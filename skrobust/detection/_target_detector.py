"""Base class of detectors of wrong labels that are no classes: numbers, or indicators."""

from collections.abc import Callable
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags, indexable
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelQualityThreshold, ThresholdResult
from skrobust.base._detector_report import DetectorReport, scores_new_rows
from skrobust.base._noise_level import NARROW_INTERVAL
from skrobust.base._threshold import overall_noise_rate
from skrobust.evidence._proba_source import estimator_router, route_fit
from skrobust.utils._sklearn import HasMethods, Interval, check_features, safe_indexing
from skrobust.utils._weighted_quantiles import lower_threshold


class TargetDetector(DetectorReport, BaseEstimator):
    """Base class of detectors of wrong targets that are no classes."""

    # A subclass implements ``fit``, ``_get_estimator()``, ``_check_new_targets(y)`` and
    # ``_detect_new(X, y)``, which returns quality and flags of rows that were not in ``fit``.

    _has_classes = True

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "threshold": [None, Interval(Real, 0, 1, closed="both"), LabelQualityThreshold],
        "flag_fraction": [None, Interval(Real, 0, 1, closed="left")],
        "store_estimators": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        inner = get_tags(self._get_estimator())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def get_metadata_routing(self):
        """Get the metadata that this detector and its estimator take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        return estimator_router(self, self._get_estimator())

    def _check_thresholds(self) -> None:
        """Refuse thresholds that exclude one another, or do not suit the labels."""
        if self.threshold is not None and self.flag_fraction is not None:
            raise ValueError(
                f"threshold={self.threshold!r} and flag_fraction={self.flag_fraction!r} both set"
                " how many rows to flag: give one of them."
            )
        if not isinstance(self.threshold, LabelQualityThreshold):
            return
        self.threshold.validate()
        if self.threshold.needs_classes and self.label_kind == "numbers":
            raise TypeError(
                f"threshold={self.threshold!r} needs labels that are classes, and the targets of"
                f" {type(self).__name__} are numbers: use MixtureThreshold() with per_class=False,"
                " DecoyThreshold() or, where some rows are verified, TrustedThreshold()."
            )

    def _route(self, estimator, data) -> dict:
        """Arguments `weighted` and `fit_params` of a producer, by the metadata that are routed."""
        return {} if self.estimator is None else route_fit(self, estimator, data)

    def _flag(
        self, quality: np.ndarray, unverified, weight: np.ndarray | None, own, make_input: Callable
    ) -> ThresholdResult:
        """Flag by what the user asked for, or else by the own rule; NaN is never flagged."""
        # `make_input` returns the input of a threshold object, with columns one after the other.
        vars(self).pop("fitted_threshold_", None)
        if isinstance(self.threshold, LabelQualityThreshold):
            self.fitted_threshold_ = clone(self.threshold)
            inputs = make_input()
            answer = self.fitted_threshold_.select(inputs)
            errors = answer.errors.reshape(quality.shape, order="F") & unverified
            better, rate = answer.quality, answer.noise_rate
            if better is not None:
                better = better.reshape(quality.shape, order="F")
                quality = np.where(np.isnan(quality), np.nan, better)
            interval = answer.noise_rate_interval
            if rate is not None:
                rate = overall_noise_rate(inputs.data, inputs.rows, rate)
            if interval is not None:
                interval = tuple(
                    overall_noise_rate(inputs.data, inputs.rows, end) for end in interval
                )
            return ThresholdResult(errors, answer.threshold, quality, rate, interval)
        if self.threshold is not None:
            threshold = float(self.threshold)
        elif self.flag_fraction is not None:
            counted = unverified if weight is None else unverified & (weight > 0)
            weight = None if weight is None else weight[counted]
            total = self.flag_fraction * (counted.sum() if weight is None else weight.sum())
            threshold = just_above(lower_threshold(quality[counted], total, weight))
        else:
            return ThresholdResult(own.errors & unverified, own.threshold, quality)
        with np.errstate(invalid="ignore"):
            return ThresholdResult(unverified & (quality < threshold), threshold, quality)

    def _set_noise_rate(self, rate, interval, reliability=None, reason=None) -> None:
        """Set the noise rate, its interval, and how reliable it is."""
        vars(self).pop("noise_rate_interval_", None)
        self.noise_rate_ = float(rate)
        if interval is None:
            self.reliability_ = "limited"
            self.reliability_reason_ = (
                f"{type(self).__name__} with threshold={self.threshold!r} estimates no interval of"
                " the share of wrong labels"
            )
            return
        low, high = (float(end) for end in interval)
        self.noise_rate_interval_ = low, high
        narrow = "good" if high - low <= NARROW_INTERVAL else "limited"
        self.reliability_ = narrow if reliability is None else reliability
        self.reliability_reason_ = (
            f"between {low:.1%} and {high:.1%} of the labels are wrong"
            if reason is None
            else reason
        )

    def fit_resample(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Fit the detector and return the rows that are kept.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of length n_samples
            Given targets.
        verified_labels : array-like of length n_samples, default=None
            As in ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            As of ``fit``.
        groups : array-like of shape (n_samples,), default=None
            As of ``fit``.

        Returns
        -------
        X_resampled : array-like of length n_kept
            Rows whose target is there and not flagged, of the type of `X`.
        y_resampled : array-like of length n_kept
            Their targets.
        """
        self.fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups)
        X, y = indexable(X, y)
        kept = self.sample_indices_
        return safe_indexing(X, kept), safe_indexing(y, kept)

    @available_if(scores_new_rows)
    def detect(self, X, y) -> np.ndarray:
        """Flag rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of length n_samples
            Given targets. Missing ones are not flagged.

        Returns
        -------
        label_errors : ndarray of shape (n_samples,) of bool
            True where a target is probably wrong.
        """
        return self._score_new(X, y)[1]

    @available_if(scores_new_rows)
    def score_labels(self, X, y) -> np.ndarray:
        """Score how likely targets are right, of rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of length n_samples
            Given targets.

        Returns
        -------
        label_quality : ndarray of shape (n_samples,)
            In [0, 1]; NaN where nothing is given.
        """
        return self._score_new(X, y)[0]

    def _other_labels(self, y) -> np.ndarray:
        """The target of another row for each row."""
        y = np.array(self._check_new_targets(y), dtype=np.float64)
        if y.ndim > 1:
            return np.where(np.isnan(y) | (y < 0), np.nan, 1 - y)
        known = np.flatnonzero(~np.isnan(y))
        y[known] = y[np.random.default_rng(0).permutation(known)]
        return y

    def _is_wrong(self, y, true_labels) -> tuple[np.ndarray, np.ndarray]:
        """Rows with a wrong target, and rows of which that is known."""
        y, truth = (
            np.array(self._check_new_targets(v), dtype=np.float64) for v in (y, true_labels)
        )
        if y.shape != truth.shape:
            raise ValueError(f"true_labels must have the shape {y.shape} of y, got {truth.shape}.")
        if y.ndim > 1:
            both = (y >= 0) & (truth >= 0)
            return (both & (y != truth)).any(axis=1), both.any(axis=1)
        return ~np.isclose(y, truth), ~np.isnan(y) & ~np.isnan(truth)

    def _score_new(self, X, y):
        """Quality and flags of labels of rows that were not in ``fit``."""
        check_is_fitted(self)
        y = self._check_new_targets(y)
        (X, y) = indexable(X, y)
        check_features(self, X)
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that score new rows were not kept: fit with store_estimators=True."
            )
        return self._detect_new(X, y)


def just_above(value: float) -> float:
    """Threshold that flags what is at most a value; 0 where nothing is flagged."""
    return 0.0 if value == -np.inf else float(np.nextafter(value, np.inf))


def weighted_median(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Median of weighted values; for integer weights, that of the repeated values."""
    if weight is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    half = total[-1] / 2
    slack = 1e-12 * total[-1]
    low = np.searchsorted(total, half - slack)
    high = np.searchsorted(total, half + slack, side="right")
    return float(values[order][[low, min(high, len(values) - 1)]].mean())
