"""What detectors have in common whose labels are no classes: numbers, or indicators."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelQualityThreshold, ThresholdResult
from skrobust.base._detector_report import DetectorReport
from skrobust.base._noise_level import NARROW_INTERVAL
from skrobust.base._threshold import overall_noise_rate
from skrobust.utils._sklearn import (
    HasMethods,
    Interval,
    check_features,
    routing_enabled,
    safe_indexing,
)
from skrobust.utils._weighted_quantiles import lower_threshold
from skrobust.utils._weights import weight_fit_params


class TargetDetector(DetectorReport, BaseEstimator):
    """Base class of detectors of wrong targets that are no classes.

    A subclass writes ``fit``, ``_get_estimator()``, ``_check_new_targets(y)`` and
    ``_detect_new(X, y)``, which returns the quality and the flags of rows that were not in
    ``fit``. Where its targets are numbers, `_has_classes` is False.
    """

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
        """Say which metadata this detector and its parts take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self._get_estimator(), method_mapping=mapping)
        )

    def _check_cuts(self) -> None:
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

    def _route(self, estimator, data):
        """Work out what the fits of the evidence get.

        Parameters
        ----------
        estimator : estimator object
            Model to be fitted.
        data : object with `sample_weight` and `groups`
            What ``fit`` was given.

        Returns
        -------
        fit_params : dict or None
            Keywords for ``fit`` beside the weights.
        weight : ndarray of shape (n_samples,) or None
            Weights for ``fit``.
        """
        weight = data.sample_weight
        if not routing_enabled() or self.estimator is None:
            return None, weight
        weight_fit_params(estimator, weight)  # to decline weights is fine, to take none is not
        metadata = {"sample_weight": weight, "groups": data.groups}
        metadata = {key: value for key, value in metadata.items() if value is not None}
        fit_params = dict(process_routing(self, "fit", **metadata)["estimator"]["fit"])
        return fit_params, fit_params.pop("sample_weight", None)

    def _flag(self, quality, unverified, weight, own, ask) -> ThresholdResult:
        """Flag what the user asked for, or else what the method's own rule says.

        Parameters
        ----------
        quality : ndarray
            Of any shape; NaN is never flagged.
        unverified : ndarray of bool
            What may be flagged.
        weight : ndarray or None
            Of the same shape.
        own : ThresholdResult
            What the method's own rule says.
        ask : callable
            Takes nothing and returns the :class:`ThresholdInput`, columns one after the other.

        Returns
        -------
        answer : ThresholdResult
            In the shape of the quality, with the noise rate among all that is judged or verified.
        """
        vars(self).pop("fitted_threshold_", None)
        if isinstance(self.threshold, LabelQualityThreshold):
            self.fitted_threshold_ = clone(self.threshold)
            inputs = ask()
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
            cut = float(self.threshold)
        elif self.flag_fraction is not None:
            counted = unverified if weight is None else unverified & (weight > 0)
            weight = None if weight is None else weight[counted]
            mass = self.flag_fraction * (counted.sum() if weight is None else weight.sum())
            cut = just_above(lower_threshold(quality[counted], mass, weight))
        else:
            return ThresholdResult(own.errors & unverified, own.threshold, quality)
        with np.errstate(invalid="ignore"):
            return ThresholdResult(unverified & (quality < cut), cut, quality)

    def _set_noise_rate(self, rate, interval, reliability=None, reason=None) -> None:
        """Set the share of wrong targets, its interval, and how far it is to be relied on."""
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
        """Judge the targets of a data set and return the rows that are kept.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of length n_samples
            Given targets.
        verified_labels : array-like of length n_samples, default=None
            As of ``fit``.
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
        check_is_fitted(self)
        y = self._check_new_targets(y)
        (X, y) = indexable(X, y)
        check_features(self, X)
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that judge new rows were not kept: fit with store_estimators=True."
            )
        return self._detect_new(X, y)


def just_above(cut: float) -> float:
    """The threshold below which a cut lies; 0 where nothing is to be cut."""
    return 0.0 if cut == -np.inf else float(np.nextafter(cut, np.inf))


def weighted_median(values: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Median of values that count as often as they weigh.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        At least one.
    weight : ndarray of shape (n_values,), default=None
        Positive weights; None is 1 each.

    Returns
    -------
    median : float
        For integer weights, that of the repeated values.
    """
    if weight is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weight[order])
    half = mass[-1] / 2
    slack = 1e-12 * mass[-1]
    low = np.searchsorted(mass, half - slack)
    high = np.searchsorted(mass, half + slack, side="right")
    return float(values[order][[low, min(high, len(values) - 1)]].mean())
