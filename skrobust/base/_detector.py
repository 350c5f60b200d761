"""Base class of detectors of label errors."""

import dataclasses
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_consistent_length, indexable
from sklearn.utils.validation import check_is_fitted

from skrobust.base._class_thresholds import class_fractions, class_thresholds
from skrobust.base._detection_result import DetectionResult
from skrobust.base._detector_report import DetectorReport
from skrobust.base._label_estimator import LabelEstimator
from skrobust.base._labelled_data import LabelledData, apply_verified_labels
from skrobust.base._labels import decode_labels, encode_labels_like
from skrobust.base._noise_level import NARROW_INTERVAL
from skrobust.base._overwritten import labels_look_overwritten, warn_of_overwritten
from skrobust.base._threshold import (
    LabelQualityThreshold,
    ThresholdInput,
    ThresholdResult,
    overall_noise_rate,
    score_new_labels,
)
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import (
    Features,
    Interval,
    check_features,
    fit_context,
    safe_indexing,
)
from skrobust.utils._warnings import LabelNoiseWarning
from skrobust.utils._weighted_quantiles import lower_threshold

# With verified rows of which some are wrong, a label is corrected whose replacement is at least so
# probable: a few dozen of them tell that labels are wrong sooner than what they should be.
_SURE = 0.7
_SUGGESTIONS = ("suggested_labels_", "corrected_labels_", "posterior_labels_", "posterior_proba_")


class LabelErrorDetector(DetectorReport, LabelEstimator):
    """Base class of all detectors of label errors.

    A subclass implements ``_detect(data)``, which takes :class:`LabelledData` and returns a
    :class:`DetectionResult`, and, to score rows that were not in ``fit``,
    ``_detect_new(X, codes)``, which returns the quality and the flags of labelled rows. Its
    constructor has the parameters `threshold`, `flag_fraction` and `max_flag_rate`, which this
    class reads. Verified labels, thresholds and missing labels are handled here.

    .. versionadded:: 0.1

    See Also
    --------
    DetectionResult : What ``_detect`` returns.
    ConfidentLearning : A detector by the probabilities of one classifier.

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

    # A function that calibrates the quality on verified labels, such as `calibrate_on_verified` of
    # the detection package. None leaves the quality as it is.
    _calibrate = None

    _parameter_constraints: dict = {
        "threshold": [None, Interval(Real, 0, 1, closed="both"), LabelQualityThreshold],
        "flag_fraction": [None, Interval(Real, 0, 1, closed="left"), dict],
        "max_flag_rate": [None, Interval(Real, 0, 1, closed="both")],
    }

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Judge the labels of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input. Whether it must be numbers depends on the evidence.
        y : array-like of shape (n_samples,)
            Given labels: text, integers, bools, whole floats. None, NaN and blank text are
            missing labels, which are never fitted on and get a suggestion.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. Where they agree with `y`, the row is trusted: never flagged,
            quality 1. Where they do not, it is a known error: flagged, quality 0, with the verified
            label as the suggestion. Models learn from verified labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, used in every fit and count. An integer weight counts as so many equal
            rows; rows of weight zero are not learned from.
        groups : array-like of shape (n_samples,), default=None
            Rows of one group never judge one another.

        Returns
        -------
        self : object
            Fitted detector.
        """
        if self.threshold is not None and self.flag_fraction is not None:
            raise ValueError(
                f"threshold={self.threshold!r} and flag_fraction={self.flag_fraction!r} both say"
                " how many rows to flag: give one of them."
            )
        if isinstance(self.threshold, LabelQualityThreshold):
            self.threshold.validate()
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        if isinstance(self.flag_fraction, dict):
            class_fractions(self.flag_fraction, data.classes)  # may say no, before any work
        features = Features(data.X)
        result = self._detect(data)
        result.check_fits(data.n_samples, len(data.classes))
        features.record(self)
        self._conclude(data, result)
        self._remember_rows(y, decode_labels(data.y, data.classes))
        return self

    def _detect(self, data: LabelledData) -> DetectionResult:
        raise TypeError(f"{type(self).__name__} must implement _detect(data).")

    def _conclude(self, data: LabelledData, result: DetectionResult) -> None:
        """Apply what all detectors share and set the fitted attributes."""
        quality = np.array(result.quality, dtype=np.float64)
        quality[data.y < 0] = np.nan
        unverified = ~np.isnan(quality) & (data.verified < 0)
        calibrated = self._calibrate_quality(data, result, quality)
        self._quality_model = None if calibrated is None else calibrated.model
        quality = quality if calibrated is None else calibrated.quality
        answer = self._flag(data, result, quality, unverified, calibrated)
        if answer.quality is not None:
            quality = np.where(np.isnan(quality), np.nan, answer.quality)
        quality, errors = apply_verified_labels(data, quality, answer.errors.copy())
        _keep_every_class(data, quality, errors)
        self._warn_of_rates(data, errors)

        self._set_suggestions(data, result, quality, errors, calibrated)
        self.classes_ = data.classes
        self.label_quality_ = quality
        self.label_errors_ = errors
        self._unverified = ~np.isnan(quality) & (data.verified < 0)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        self.keep_weight_ = np.where(errors | (data.y < 0), 0.0, weight)
        self.threshold_ = answer.threshold
        self.sample_indices_ = np.flatnonzero(~errors & (data.y >= 0))
        self._set_noise(data, result, errors)
        self._set_noise_rate(data, result.level, answer, unverified, calibrated)

    def _set_suggestions(self, data, result, quality, errors, calibrated) -> None:
        """Name likely labels, as far as the method has any idea; a person knows best."""
        for name in _SUGGESTIONS:
            vars(self).pop(name, None)
        if result.predictions is None:
            return
        missing = data.y < 0
        suggested = np.where(errors, result.alternatives, result.predictions)
        self._set_labels("suggested_labels_", data, suggested)
        corrected = result.corrections
        if corrected is None:  # nothing is known about how safe the suggestions are
            corrected = np.where(missing, result.predictions, data.y)
        if result.posterior_labels is not None:
            best, proba = result.posterior_labels, result.posterior_proba
            if calibrated is not None:  # the quality knows more than the method did
                other = (1 - quality) * calibrated.alternative_proba
                unknown = np.isnan(other)
                best = np.where(
                    unknown, best, np.where(other > quality, result.alternatives, data.y)
                )
                proba = np.where(unknown, proba, np.fmax(other, quality))
                if calibrated.found_errors:
                    corrected = np.where(unknown | (other > _SURE), best, data.y)
            self._set_labels("posterior_labels_", data, best)
            self.posterior_proba_ = np.where(data.checked, 1.0, proba)
        # Of labels that are not flagged, none is corrected.
        self._set_labels("corrected_labels_", data, np.where(errors | missing, corrected, data.y))

    def _set_labels(self, name: str, data: LabelledData, codes: np.ndarray) -> None:
        """Set an attribute of one label per row, the verified one where there is one."""
        codes = np.where(data.checked, data.verified, codes)
        setattr(self, name, decode_labels(codes, data.classes))

    def _set_noise_rate(self, data, level, answer, unverified, calibrated) -> None:
        """Set the share of wrong labels, its interval, and how far it is to be relied on."""
        rate, interval = answer.noise_rate, answer.noise_rate_interval
        for name in ("noise_rate_interval_", "reliability_", "reliability_reason_"):
            vars(self).pop(name, None)
        if rate is None and calibrated is not None:
            rate, *interval = calibrated.noise_rate
        elif rate is None and level is not None:
            rate, interval = level.rate, (level.low, level.high)
        if rate is not None:
            self.noise_rate_ = overall_noise_rate(data, unverified, rate)
        if interval is None:
            self.reliability_ = "limited"
            self.reliability_reason_ = (
                f"{type(self).__name__} estimates no interval of the share of wrong labels"
            )
            return
        self.noise_rate_interval_ = tuple(
            overall_noise_rate(data, unverified, end) for end in interval
        )
        if level is not None and calibrated is None:
            self.reliability_, self.reliability_reason_ = level.reliability, level.reason
            return
        low, high = self.noise_rate_interval_
        self.reliability_ = "good" if high - low <= NARROW_INTERVAL else "limited"
        self.reliability_reason_ = (
            f"of {np.count_nonzero(data.checked)} verified rows, the label is wrong in"
            f" {np.count_nonzero(data.known_errors)}; between {low:.1%} and {high:.1%} of the"
            " labels are wrong"
        )

    def _calibrate_quality(self, data, result, quality):
        """Calibrate the quality on verified labels, or return None where that cannot be done."""
        threshold = self.threshold
        if isinstance(threshold, LabelQualityThreshold) and not threshold.uses_calibrated_quality:
            return None
        if self._calibrate is None:
            return None
        if not data.known_errors.any() and _look_overwritten(data, result):
            return None
        return self._calibrate(data, result, quality)

    def _flag(self, data, result, quality, unverified, calibrated) -> ThresholdResult:
        """Flag rows by the method's own rule or by what the user asked for instead."""
        for name in ("fitted_threshold_", "class_thresholds_"):
            vars(self).pop(name, None)
        if isinstance(self.threshold, LabelQualityThreshold):
            self.fitted_threshold_ = clone(self.threshold)
            answer = self.fitted_threshold_.select(
                ThresholdInput(
                    self,
                    data,
                    result,
                    quality,
                    unverified,
                    noise_rate=None if calibrated is None else calibrated.noise_rate,
                )
            )
            return dataclasses.replace(answer, errors=answer.errors & unverified)
        if self.threshold is not None:
            return ThresholdResult(unverified & (quality < self.threshold), float(self.threshold))
        if self.flag_fraction is not None:
            counted = unverified if data.sample_weight is None else unverified & data.used
            weight = None if data.sample_weight is None else data.sample_weight[counted]
            if isinstance(self.flag_fraction, dict):
                fractions = class_fractions(self.flag_fraction, data.classes)
                self.class_thresholds_ = class_thresholds(
                    fractions, quality[counted], data.y[counted], weight
                )
                cuts = self.class_thresholds_[np.maximum(data.y, 0)]
                return ThresholdResult(unverified & (quality < cuts), None)
            mass = self.flag_fraction * data.total_weight(counted)
            cut = lower_threshold(quality[counted], mass, weight)
            # The cut itself is flagged, so that the threshold lies just above it.
            cut = 0.0 if cut == -np.inf else float(np.nextafter(cut, np.inf))
            return ThresholdResult(unverified & (quality < cut), cut)
        if calibrated is not None:
            cut = calibrated.threshold
            return ThresholdResult(unverified & (quality < cut), cut)
        return ThresholdResult(result.errors & unverified, result.threshold)

    def _warn_of_rates(self, data, errors) -> None:
        if self.max_flag_rate is None:
            return
        totals, flagged = (
            np.bincount(
                data.y[rows],
                weights=None if data.sample_weight is None else data.sample_weight[rows],
                minlength=len(data.classes),
            )
            for rows in (data.y >= 0, errors)
        )
        rates = flagged / np.maximum(totals, 1e-300)
        for k in np.flatnonzero(rates > self.max_flag_rate):
            warnings.warn(
                f"{rates[k]:.0%} of the rows given {data.classes.tolist()[k]!r} are flagged, more"
                f" than max_flag_rate={self.max_flag_rate}. A class may look wrong because it is"
                " rare: review some of them, or verify some labels, before dropping them.",
                LabelNoiseWarning,
                stacklevel=5,
            )

    def _set_noise(self, data, result, errors) -> None:
        """Estimate how much is wrong, counting what is known exactly."""
        joint, labelled = result.joint, data.y >= 0
        overwritten = _look_overwritten(data, result)
        if overwritten:
            warn_of_overwritten(data)
        vars(self).pop("transition_matrix_", None)
        if joint is None:
            self.noise_rate_ = data.total_weight(errors) / max(data.total_weight(labelled), 1e-300)
            return
        joint = np.array(joint, dtype=np.float64)
        checked = labelled & (data.verified >= 0)
        weight = None if data.sample_weight is None else data.sample_weight[checked]
        n_classes = len(data.classes)
        pairs = data.y[checked] * n_classes + data.verified[checked]
        known = np.bincount(pairs, weights=weight, minlength=n_classes**2).reshape(joint.shape)
        total = joint.sum() + known.sum()
        right = np.trace(joint) + np.trace(known)
        self.noise_rate_ = float(1 - right / total) if total > 0 else 0.0
        joint += 0 if overwritten else known
        true_mass = joint.sum(axis=0)
        transition = np.eye(n_classes)
        seen = true_mass > 0
        transition[seen] = (joint[:, seen] / true_mass[seen]).T
        self.transition_matrix_ = transition

    @property
    def is_calibrated(self) -> bool:
        """Whether the quality was calibrated on verified labels."""
        return getattr(self, "_quality_model", None) is not None

    def fit_resample(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Judge the labels of a data set and return the rows that are kept.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels.
        verified_labels : array-like of shape (n_samples,), default=None
            As of ``fit``.
        sample_weight : array-like of shape (n_samples,), default=None
            As of ``fit``.
        groups : array-like of shape (n_samples,), default=None
            As of ``fit``.

        Returns
        -------
        X_resampled : array-like of length n_kept
            Rows whose label is there and not flagged, of the type of `X`.
        y_resampled : array-like of shape (n_kept,)
            Their labels.
        """
        self.fit(X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups)
        X, y = indexable(X, y)
        return safe_indexing(X, self.sample_indices_), safe_indexing(y, self.sample_indices_)

    def suggest_verification(self, n_rows=30, *, random_state=None) -> np.ndarray:
        """Suggest rows to verify, such that the share of wrong labels is known best afterwards.

        Rows are drawn at random, each with a probability that is proportional to the standard
        deviation of its label being right, by `label_quality_`, and a tenth of that of the most
        doubtful rows at least (Neyman allocation). The most suspicious rows alone tell little
        about all others.

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

    def detect(self, X, y) -> np.ndarray:
        """Flag labelled rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, of classes known from ``fit``. Missing ones are not flagged.

        Returns
        -------
        label_errors : ndarray of shape (n_samples,) of bool
            True where the label is probably wrong.
        """
        return self._score_new(X, y)[1]

    def score_labels(self, X, y) -> np.ndarray:
        """Score how likely labels are right, of rows that were not in ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, of classes known from ``fit``.

        Returns
        -------
        label_quality : ndarray of shape (n_samples,)
            In [0, 1]; NaN where the label is missing.
        """
        return self._score_new(X, y)[0]

    def _score_new(self, X, y):
        check_is_fitted(self)
        codes = encode_labels_like(y, self.classes_, name="y")
        (X, codes) = indexable(X, codes)
        check_features(self, X)
        quality, errors = self._detect_new(X, codes)
        quality = np.array(quality, dtype=np.float64)
        if self._quality_model is not None:
            quality = self._quality_model.calibrate_new(X, quality, codes)
        if hasattr(self, "class_thresholds_"):
            flagged = quality < self.class_thresholds_[np.maximum(codes, 0)]
            return np.where(codes < 0, np.nan, quality), flagged & (codes >= 0)
        threshold = getattr(self, "fitted_threshold_", None)
        return score_new_labels(threshold, self.threshold_, quality, codes, errors)

    def _other_labels(self, y) -> np.ndarray:
        """Another label than the given one for each row, of all others in turn."""
        codes, n_classes = encode_labels_like(y, self.classes_, name="y"), len(self.classes_)
        other = (codes + 1 + np.arange(len(codes)) % (n_classes - 1)) % n_classes
        return decode_labels(np.where(codes >= 0, other, -1), self.classes_)

    def _is_wrong(self, y, true_labels) -> tuple[np.ndarray, np.ndarray]:
        """Rows whose label is wrong, and rows of which that is known."""
        codes = encode_labels_like(y, self.classes_, name="y")
        truth = encode_labels_like(true_labels, self.classes_, name="true_labels")
        check_consistent_length(codes, truth)
        return codes != truth, (codes >= 0) & (truth >= 0)

    def _detect_new(self, X, codes):
        raise TypeError(f"{type(self).__name__} cannot judge rows that were not in fit.")


def _look_overwritten(data: LabelledData, result: DetectionResult) -> bool:
    """Whether labels of verified rows were overwritten, by the method's own flags and quality."""
    others = data.used & data.given & ~data.checked
    rate = data.total_weight(others & result.errors) / max(data.total_weight(others), 1e-300)
    quality = np.asarray(result.quality, dtype=np.float64)
    return labels_look_overwritten(data, -quality, rate)


def _keep_every_class(data: LabelledData, quality: np.ndarray, errors: np.ndarray) -> None:
    """Unflag the best rows of a class that would have none left."""
    counted = data.used & (data.y >= 0)
    n_kept = np.bincount(data.y[counted & ~errors], minlength=len(data.classes))
    for k in np.flatnonzero(n_kept == 0):
        doubtful = counted & (data.y == k) & ~data.known_errors
        if doubtful.any():
            best = quality[doubtful].max()
            errors[doubtful & (quality == best)] = False
