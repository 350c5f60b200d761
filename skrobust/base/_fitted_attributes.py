"""What the method of a detector finds out, and the fitted attributes that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone

from skrobust.base._labelled_data import (
    LabelledData,
    apply_verified_labels,
    decode_all,
    total_weights,
)
from skrobust.base._labels import encode_labels_like
from skrobust.base._threshold import LabelQualityThreshold, ThresholdResult
from skrobust.utils._warnings import warn_user
from skrobust.utils._weights import threshold_above_lowest

_LABELS = ("predictions", "alternatives", "posterior_labels", "corrections")
# With verified rows of which some are wrong, a label is corrected whose replacement is at least so
# probable: a few dozen of them show that labels are wrong sooner than what they should be.
_SURE = 0.7
_NO_SUGGESTIONS = dict.fromkeys(
    ("suggested_labels_", "corrected_labels_", "posterior_labels_", "posterior_proba_")
)

# So improbable must it be that no verified label is wrong, if as many are as among the others.
_IMPROBABLE = 0.01
# By so many standard errors must models be less surprised by verified labels: 2.3 %, one-sided.
_N_ERRORS = 2.0
_SMALLEST_PROBA = 0.02
NARROW_INTERVAL = 0.15
"""Largest width of an interval of the noise rate that counts as reliable."""
# Where corrections stand between the lower end of the interval and the estimate.
_CORRECTION_SHARE = 2 / 3


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionResult:
    """Label quality, flags and suggestions of a detector's method, validated where they are made.

    This is what ``_detect(data)`` of a detector returns, before verified labels and the threshold
    of the user are applied. Only `quality` and `errors` are required.

    .. versionadded:: 0.1

    Parameters
    ----------
    quality : ndarray of shape (n_samples,) or (n_samples, n_labels)
        How likely each label is right, in [0, 1]; NaN where the method cannot score it. It
        has the shape of the labels, as do all arrays of shape (n_samples,) below.
    errors : ndarray of shape (n_samples,) of bool
        Rows that the method's own rule flags.
    predictions : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class of each row, as a position in `classes`; -1 where none is known.
    alternatives : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class that is not the given one; -1 where none is known. Required with
        `predictions`.
    joint : ndarray of shape (n_classes, n_classes), default=None
        Estimated weight of rows per given (rows) and true (columns) class.
    threshold : float, default=None
        The threshold of `quality` that made `errors`, if there is just one.
    quality_of : callable, default=None
        Takes encoded labels of shape (n_samples,) and returns the quality that the rows would have
        with them. None where that needs another fit, because the label of a row takes part in its
        own score.
    features : ndarray of shape (n_samples, n_features), default=None
        Further finite statistics that may separate wrong labels from right ones, for calibration on
        verified labels. Columns must not depend on the names of classes.
    pred_proba : ndarray of shape (n_samples, n_classes), default=None
        Out-of-sample probabilities that the method used, none NaN.
    posterior_labels : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class of each row given its label, and so often the given one in spite of
        a flag.
    posterior_proba : ndarray of shape (n_samples,), default=None
        Probability of each of these.
    corrections : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class of each row given its label, at a noise rate below the estimate:
        the `correction_rate` of `level`.
    alternative_proba : ndarray of shape (n_samples,), default=None
        Probability of each of `alternatives` if the given label is wrong.
    level : NoiseLevel, default=None
        Noise rate and its interval: of classes and indicators among all given labels, as if none
        was verified, because verified rows may have been chosen for being suspicious; of numbers
        among those that are not verified.
    right_proba : ndarray of shape (n_samples,), default=None
        Probability of each given label to be right under the estimated noise, where `quality` is
        no probability.
    doubtful_below : float, default=0.5
        Quality below which a label is more likely wrong than right.

    Raises
    ------
    TypeError
        If `quality` is not numeric or `errors` is no boolean mask.
    ValueError
        If an array has another shape, or `quality` is outside of [0, 1].

    See Also
    --------
    LabelErrorDetector : Its subclasses return this from ``_detect``.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import DetectionResult
    >>> quality = np.array([0.9, 0.2])
    >>> DetectionResult(quality, quality < 0.5).errors
    array([False,  True])
    """

    quality: np.ndarray
    errors: np.ndarray
    predictions: np.ndarray | None = None
    alternatives: np.ndarray | None = None
    joint: np.ndarray | None = None
    threshold: float | None = None
    quality_of: Callable[[np.ndarray], np.ndarray] | None = None
    features: np.ndarray | None = None
    pred_proba: np.ndarray | None = None
    posterior_labels: np.ndarray | None = None
    posterior_proba: np.ndarray | None = None
    corrections: np.ndarray | None = None
    alternative_proba: np.ndarray | None = None
    level: NoiseLevel | None = None
    right_proba: np.ndarray | None = None
    doubtful_below: float = 0.5

    def __post_init__(self) -> None:
        quality, errors = np.asarray(self.quality), np.asarray(self.errors)
        if quality.dtype.kind not in "fiub":
            raise TypeError(f"quality has the type {quality.dtype}: it must be numbers.")
        with np.errstate(invalid="ignore"):
            bad = quality[(quality < 0) | (quality > 1)]
        if len(bad):
            raise ValueError(
                f"quality holds {bad[0]:.6g}: it must be a number from 0 to 1, or NaN where the"
                " method cannot score the label."
            )
        self._check_shape("errors", quality.shape)
        if errors.dtype != bool:
            raise TypeError(
                f"errors has the type {errors.dtype}: it must be a mask of bools, True where the"
                " label is flagged, not row numbers or counts."
            )
        for name in (*_LABELS, "posterior_proba", "right_proba", "alternative_proba"):
            self._check_shape(name, quality.shape)
        if self.predictions is not None and self.alternatives is None:
            raise ValueError("predictions are given without alternatives.")

    def _check_shape(self, name: str, shape: tuple) -> None:
        """Refuse an array of another shape."""
        value = getattr(self, name)
        if value is not None and np.shape(value) != shape:
            raise ValueError(f"{name} has shape {np.shape(value)}, expected {shape}.")

    def check_fits(self, data: LabelledData) -> None:
        """Refuse a result that does not belong to the data.

        Parameters
        ----------
        data : LabelledData
            The data that were given to the detector.

        Raises
        ------
        ValueError
            If shapes or positions of classes do not fit.
        """
        self._check_shape("quality", data.y.shape)
        if data.kind != "classes":
            return
        n_classes = len(data.classes)
        self._check_shape("pred_proba", (data.n_samples, n_classes))
        self._check_shape("joint", (n_classes, n_classes))
        for name in _LABELS:
            value = getattr(self, name)
            if value is None:
                continue
            if np.asarray(value).dtype.kind not in "iu":
                raise TypeError(
                    f"{name} has the type {np.asarray(value).dtype}: it must be positions in"
                    " classes."
                )
            if not -1 <= np.min(value) <= np.max(value) < n_classes:
                raise ValueError(
                    f"{name} must be positions in classes, from 0 to {n_classes - 1}, or -1 where"
                    f" there is none, but holds {np.min(value)} to {np.max(value)}."
                )


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseLevel:
    """Estimated noise rate, its interval, and what it was estimated from.

    .. versionadded:: 0.1

    Parameters
    ----------
    rate : float
        Share of wrong labels.
    low : float
        Lower end of the interval of the share.
    high : float
        Upper end: the share if every disagreement with the prediction is an error.
    certain : float
        Disagreement of labels and predictions, extrapolated to rows whose class is clear.
    disagreement : float
        Share of all rows whose label is not the predicted one.
    explained : bool
        Whether the labels of even the most certain rows depend on more than their class, so that
        their disagreement cannot be distinguished from overlap.
    n_rows : float
        Number of rows that were counted.

    Examples
    --------
    >>> from skrobust.base import NoiseLevel
    >>> level = NoiseLevel(0.1, 0.08, 0.13, 0.09, 0.2, explained=False, n_rows=500.0)
    >>> level.reliability
    'good'
    """

    rate: float
    low: float
    high: float
    certain: float = float("nan")
    disagreement: float = float("nan")
    explained: bool = False
    n_rows: float = float("nan")

    @property
    def has_reason(self) -> bool:
        """Whether the level was estimated from a disagreement, which `reason` states."""
        return self.disagreement == self.disagreement

    def without(self, share: float, wrong: float) -> NoiseLevel:
        """Return the noise rate of the other rows, where some are verified.

        The verified rows may have been chosen because they are suspicious: the others are wrong as
        often as the verified errors leave room for, and not more often than all rows.

        Parameters
        ----------
        share : float
            Share of the rows that are verified, in [0, 1].
        wrong : float
            Share of all rows that are verified and wrong.

        Returns
        -------
        level : NoiseLevel
            Noise rate of the other rows, and its interval.
        """
        others = max(1 - share, 1e-12)
        rate, low, high = (
            min(max(end - wrong, 0.0) / others, end) for end in (self.rate, self.low, self.high)
        )
        n_rows = self.n_rows * (1 - share)
        return dataclasses.replace(self, rate=rate, low=low, high=high, n_rows=n_rows)

    @property
    def correction_rate(self) -> float:
        """Noise rate that corrections assume: below `rate`, and 0 where none is plausible."""
        if self.low <= 0:
            return 0.0
        share = 0.0 if self.explained else _CORRECTION_SHARE
        return min(self.low + share * (self.rate - self.low), self.rate)

    @property
    def reliability(self) -> str:
        """Whether noise can be told apart from overlap: "good", "limited" or "cannot tell"."""
        if self.explained or self.n_rows == 0:
            return "cannot tell"
        return "good" if self.high - self.low <= NARROW_INTERVAL else "limited"

    @property
    def reason(self) -> str:
        """What `reliability` rests on, in words and numbers."""
        if self.n_rows == 0:
            return "no row has a label and a prediction of which one class is the most probable"
        counted = (
            f"the label differs from the prediction in {100 * self.disagreement:.1f} % of the"
            f" rows, and in an estimated {100 * self.certain:.1f} % of rows whose class is clear"
        )
        if self.explained:
            return (
                f"{counted}, but even there it depends on more than the class: overlap of the"
                " classes cannot be told apart from wrong labels"
            )
        return f"{counted}, where overlap of the classes does not explain it"


@dataclasses.dataclass(frozen=True, eq=False)
class FittedLabels:
    """Quality and flags of the labels, and other attributes of a fitted detector."""

    quality: np.ndarray
    errors: np.ndarray
    unverified: np.ndarray
    threshold: float | None
    quality_model: Any
    attributes: dict[str, Any]
    overwritten: bool


def fitted_attributes(detector, data: LabelledData, result: DetectionResult) -> FittedLabels:
    """Apply verified labels and the threshold to the result of a detector's method."""
    result.check_fits(data)
    quality = np.where(data.given, result.quality, np.nan)
    if data.kind == "classes" and np.isnan(quality).all():
        raise ValueError(
            f"{type(detector).__name__} scored no label: at least one class needs two rows with"
            " labels and positive weights."
        )
    unverified = ~np.isnan(quality) & ~data.checked
    overwritten = data.kind == "classes" and _labels_overwritten_in(data, result)
    calibrated = None
    if not overwritten and detector._calibrate is not None:
        threshold = detector.threshold
        uncalibrated = isinstance(threshold, LabelQualityThreshold) and (
            not threshold.uses_calibrated_quality
        )
        calibrated = None if uncalibrated else detector._calibrate(data, result, quality)
    if calibrated is not None:
        quality = calibrated.quality
    flagged, fitted = _flag_labels(detector, data, result, quality, unverified, calibrated)
    if flagged.quality is not None:
        quality = np.where(np.isnan(quality), np.nan, flagged.quality)
    quality, errors = apply_verified_labels(data, quality.copy(), flagged.errors.copy())
    _keep_every_class(data, quality, errors)
    attributes = {
        "classes_": data.classes,
        **fitted,
        **_suggested_labels(data, result, quality, errors, calibrated),
        **_noise_estimates(
            detector, data, result, flagged, errors, unverified, calibrated, overwritten
        ),
        **data.features,
    }
    model = None if calibrated is None else calibrated.model
    return FittedLabels(
        quality, errors, unverified, flagged.threshold, model, attributes, overwritten
    )


def _flag_labels(
    detector, data, result, quality, unverified, calibrated
) -> tuple[ThresholdResult, dict]:
    """Flag labels by the threshold of the user, or else by the calibration or the method."""
    threshold = detector.threshold
    fitted = {"fitted_threshold_": None, "class_thresholds_": None}
    if isinstance(threshold, LabelQualityThreshold):
        fitted["fitted_threshold_"] = clone(threshold)
        inputs = detector._threshold_input(data, result, quality, unverified, calibrated)
        flagged = fitted["fitted_threshold_"].select(inputs)
        # The entries of indicators are rows of the input, one label after the other.
        errors, better = (
            None if values is None else values.reshape(quality.shape, order="F")
            for values in (flagged.errors, flagged.quality)
        )
        return dataclasses.replace(flagged, errors=errors & unverified, quality=better), fitted
    if threshold is None and isinstance(detector.flag_fraction, dict):
        thresholds = _class_thresholds(detector.flag_fraction, data, quality, unverified)
        fitted["class_thresholds_"] = thresholds
        return ThresholdResult(unverified & (quality < thresholds[np.maximum(data.y, 0)])), fitted
    if threshold is not None:
        lowest_kept = float(threshold)
    elif detector.flag_fraction is not None:
        lowest_kept = _fraction_threshold(
            detector.flag_fraction, *_counted(data, quality, unverified)
        )
    elif calibrated is not None:
        lowest_kept = calibrated.threshold
    else:
        return ThresholdResult(result.errors & unverified, result.threshold), fitted
    return ThresholdResult(unverified & (quality < lowest_kept), lowest_kept), fitted


def _counted(data, quality, mask) -> tuple[np.ndarray, np.ndarray | None]:
    """Qualities of labels that count, and their weights."""
    if data.label_weight is None:
        return quality[mask], None
    mask = mask & data.used
    return quality[mask], data.label_weight[mask]


def _fraction_threshold(fraction: float, quality, weight) -> float:
    """Threshold of the quality below which a share of the weight lies."""
    total = len(quality) if weight is None else weight.sum()
    return threshold_above_lowest(quality, fraction * total, weight)


def _class_thresholds(flag_fraction: dict, data, quality, unverified) -> np.ndarray:
    """Threshold of each class, 0 where nothing is to be flagged."""
    fractions = class_fractions(flag_fraction, data.classes)
    thresholds = np.zeros(len(fractions))
    for k in np.flatnonzero(fractions):
        counted = _counted(data, quality, unverified & (data.y == k))
        thresholds[k] = _fraction_threshold(fractions[k], *counted)
    return thresholds


def class_fractions(flag_fraction: dict, classes: np.ndarray) -> np.ndarray:
    """Shares to flag of each class, 0 for those that are not named."""
    fractions = np.zeros(len(classes))
    if not flag_fraction:
        raise ValueError("flag_fraction={} names no class: pass None or shares by label.")
    codes = encode_labels_like(list(flag_fraction), classes, name="flag_fraction")
    for code, (label, share) in zip(codes, flag_fraction.items(), strict=True):
        number = isinstance(share, (int, float, np.number)) and not isinstance(share, bool)
        if not number or not 0 <= share < 1:
            raise ValueError(f"flag_fraction[{label!r}] must be in [0, 1), got {share!r}.")
        fractions[code] = share
    return fractions


def _keep_every_class(data: LabelledData, quality: np.ndarray, errors: np.ndarray) -> None:
    """Unflag the best rows of a class that would have none left; numbers are one class."""
    if data.kind == "indicators":
        return
    counted = data.used & data.given
    group = data.y if data.kind == "classes" else np.zeros(data.n_samples, dtype=np.intp)
    n_classes = len(data.classes) if data.kind == "classes" else 1
    n_kept = np.bincount(group[counted & ~errors], minlength=n_classes)
    for k in np.flatnonzero(n_kept == 0):
        doubtful = counted & (group == k) & ~data.known_errors
        if doubtful.any():
            errors[doubtful & (quality == quality[doubtful].max())] = False


def _suggested_labels(data, result, quality, errors, calibrated) -> dict:
    """Suggested, corrected and most probable labels, as far as the method has predictions."""
    found = dict(_NO_SUGGESTIONS)
    if result.predictions is None:
        return found
    missing = ~data.given
    found["suggested_labels_"] = np.where(errors, result.alternatives, result.predictions)
    corrected = result.corrections
    if corrected is None:  # without an estimate of how certain suggestions are, none is taken
        corrected = np.where(missing, result.predictions, data.y)
    if result.posterior_labels is not None:
        best, proba = result.posterior_labels, result.posterior_proba
        if calibrated is not None:
            other = (1 - quality) * calibrated.alternative_proba
            unknown = np.isnan(other)
            likely = np.where(other > quality, result.alternatives, data.y)
            best = np.where(unknown, best, likely)
            proba = np.where(unknown, proba, np.fmax(other, quality))
            if calibrated.found_errors:
                corrected = np.where(unknown | (other > _SURE), best, data.y)
        found["posterior_labels_"] = best
        found["posterior_proba_"] = np.where(data.checked, 1.0, proba)
    # Only flagged and missing labels are corrected.
    found["corrected_labels_"] = np.where(errors | missing, corrected, data.y)
    labels = {
        name: np.where(data.checked, data.verified, values)
        for name, values in found.items()
        if name != "posterior_proba_" and values is not None
    }
    return found | decode_all(data, labels)


def _labels_overwritten_in(data: LabelledData, result: DetectionResult) -> bool:
    """Whether labels of verified rows were overwritten, by the flags and quality of the method."""
    if not data.checked.any():
        return False
    others = data.used & data.given & ~data.checked
    flagged, total = total_weights(data, others & result.errors, others)
    rate = flagged / max(total, 1e-300)
    quality = np.asarray(result.quality, dtype=np.float64)
    return labels_overwritten(data, -quality, rate)


def _noise_estimates(
    detector, data, result, flagged, errors, unverified, calibrated, overwritten
) -> dict:
    """Noise rate with interval and reliability, and the transition matrix."""
    found = {"transition_matrix_": None, "noise_rate_interval_": None}
    rate, interval, level = flagged.noise_rate, flagged.noise_rate_interval, result.level
    left, wrong, verified, given, all_flagged = total_weights(
        data, unverified, data.known_errors, data.given & data.checked, data.given, errors
    )
    total = max(verified + left, 1e-300)
    if rate is None and calibrated is not None:
        rate, *interval = calibrated.noise_rate
    elif rate is None and level is not None:
        rest = level if data.kind == "numbers" else level.without(1 - left / total, wrong / total)
        rate, interval = rest.rate, (rest.low, rest.high)

    def overall(rate: float) -> float:
        return float((rate * left + wrong) / total)

    if result.joint is not None:
        found["noise_rate_"], found["transition_matrix_"] = _transition(data, result, overwritten)
    else:
        found["noise_rate_"] = all_flagged / max(given, 1e-300)
    if rate is not None:
        found["noise_rate_"] = overall(rate)
    if interval is None:
        found["reliability_"] = "limited"
        found["reliability_reason_"] = (
            f"{type(detector).__name__} estimates no interval of the share of wrong labels"
        )
        return found
    low, high = found["noise_rate_interval_"] = tuple(overall(end) for end in interval)
    of_threshold = flagged.noise_rate is not None and data.kind != "classes"
    n_checked = np.count_nonzero(data.checked)
    of_verified = (
        f"of {n_checked} verified rows, the label is wrong in {np.count_nonzero(data.known_errors)}"
    )
    if level is not None and level.has_reason and calibrated is None and not of_threshold:
        found["reliability_"], found["reliability_reason_"] = level.reliability, level.reason
        if n_checked:
            found["reliability_reason_"] = f"{of_verified}; among the others, {level.reason}"
        return found
    found["reliability_"] = "good" if high - low <= NARROW_INTERVAL else "limited"
    width = f"the interval of the share of wrong labels is {100 * (high - low):.1f} points wide"
    found["reliability_reason_"] = f"{of_verified}; {width}" if data.kind == "classes" else width
    return found


def _transition(data, result, overwritten) -> tuple[float, np.ndarray]:
    """Noise rate and transition matrix, by the joint of the method and the verified labels."""
    joint, n_classes = np.array(result.joint, dtype=np.float64), len(data.classes)
    checked = data.given & data.checked
    weight = None if data.sample_weight is None else data.sample_weight[checked]
    pairs = data.y[checked] * n_classes + data.verified[checked]
    known = np.bincount(pairs, weights=weight, minlength=n_classes**2).reshape(joint.shape)
    total = joint.sum() + known.sum()
    right = np.trace(joint) + np.trace(known)
    noise_rate = float(1 - right / total) if total > 0 else 0.0
    joint += 0 if overwritten else known
    true_weight = joint.sum(axis=0)
    transition = np.eye(n_classes)
    seen = true_weight > 0
    transition[seen] = (joint[:, seen] / true_weight[seen]).T
    return noise_rate, transition


def label_surprise(codes: np.ndarray, pred_proba: np.ndarray) -> np.ndarray:
    """Negative logarithm of the probability of each given label; NaN where there is neither."""
    own = pred_proba[np.arange(len(codes)), codes]
    return np.where(codes >= 0, -np.log(own + _SMALLEST_PROBA), np.nan)


def labels_overwritten(data, surprise: np.ndarray, noise_rate: float) -> bool:
    """Whether given labels of verified rows were replaced by the verified ones."""
    if not data.checked.any():
        return False
    counted = data.used & data.given & ~np.isnan(surprise)
    checked, others = counted & data.checked, counted & ~data.checked
    if data.known_errors.any() or not checked.any() or not others.any():
        return False
    totals = total_weights(data, checked, others)
    if (1 - noise_rate) ** totals[0] > _IMPROBABLE:
        return False
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    means = [np.average(surprise[rows], weights=weight[rows]) for rows in (checked, others)]
    centre = np.average(surprise[counted], weights=weight[counted])
    variance = np.average((surprise[counted] - centre) ** 2, weights=weight[counted])
    error = np.sqrt(variance * sum(1 / total for total in totals))
    return bool(means[1] - means[0] > max(_N_ERRORS * error, 1e-12))


def warn_of_overwritten(data) -> None:
    """Warn the caller of the package that verified rows carry no information about the noise."""
    warn_user(
        f"All {int((data.checked & data.given).sum())} verified_labels are equal to y, while models"
        " disagree with other labels far more often than with these: the labels in y seem to have"
        " been overwritten by the verified ones. Nothing can be learned about wrong labels from"
        " such rows, and they are left out of the estimates of noise. Pass y as it was given"
        " before the check, and the checked labels in verified_labels only."
    )
