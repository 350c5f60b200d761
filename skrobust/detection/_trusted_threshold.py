"""Threshold with a known precision, by calibration of the quality on verified rows."""

from collections.abc import Sequence
from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize
from scipy.special import expit, logit
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression

from skrobust.base import LabelQualityThreshold, ThresholdInput, ThresholdResult
from skrobust.detection._verified_label_model import best_f1_threshold
from skrobust.utils._sklearn import Interval
from skrobust.utils._weights import as_counts, check_sample_weight

_SMALLEST = 1e-6
# Total weight of verified rows in a band of the quality, and of the prior rows in each band that
# follow a logistic curve.
_BAND_WEIGHT, _PRIOR_WEIGHT = 10.0, 2.0
# Share of the logistic curve that is kept, so that no two qualities become one.
_TILT = 0.05


class TrustedThreshold(LabelQualityThreshold):
    """Threshold of the quality after calibration on verified labels.

    Verified rows are counted in bands of the quality, and isotonic regression is fitted to the
    shares of right labels. Its predictions become ``label_quality_``, from which the threshold
    for a wanted precision, or for the best F1, follows. In a detector, the quality is already
    calibrated on the verified rows, each of them without its own verified label, if there are
    enough of them. Of numeric targets and of entries of an indicator matrix, it is the
    quality by the detector's method.

    .. versionadded:: 0.1

    Parameters
    ----------
    precision : float, default=None
        Flag as many rows as possible while so large a share of them is expected to be wrong.
        None flags such that the expected F1 of the flags is highest.
    confidence_level : float, default=0.9
        Probability with which the interval contains the precision.

    Attributes
    ----------
    threshold_ : float
        Threshold of the calibrated quality, 0 where nothing is flagged.
    estimated_precision_ : float
        Expected share of wrong labels among the flagged ones; NaN where none is flagged.
    estimated_precision_interval_ : tuple of two floats
        Interval of Clopper and Pearson by the verified rows below the threshold, extended to the
        estimate where it must be; (0, 1) where there are none.
    estimated_recall_ : float
        Expected share of flagged labels among the wrong ones; NaN where none is expected.
    noise_rate_ : float
        Expected share of wrong labels among the rows that are not verified. In a detector that
        learned it from ten verified rows or more, it is what the detector expects, and the
        calibrated quality agrees with it.
    noise_rate_interval_ : tuple of two floats
        Interval of that share, in such a detector.
    n_verified_ : int
        Number of verified rows that were learned from.

    See Also
    --------
    DecoyThreshold : Estimates precision where no rows are verified.
    MixtureThreshold : Looks for a mode of wrong labels.

    Notes
    -----
    The verified rows must be drawn at random, or at least by nothing that knows more about their
    labels than the quality does. In ``fit``, verifying the worst rows only makes all others look
    worse than they are. In a detector, the noise rate of the others is estimated by the detector,
    which allows for such a choice.

    References
    ----------
    Zadrozny and Elkan (2002). Transforming classifier scores into accurate multiclass probability
    estimates. KDD.

    Clopper and Pearson (1934). The use of confidence or fiducial limits illustrated in the case
    of the binomial. Biometrika 26.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.detection import TrustedThreshold
    >>> rng = np.random.default_rng(0)
    >>> quality = rng.uniform(size=2000)
    >>> is_right = rng.uniform(size=2000) < np.sqrt(quality)
    >>> is_right = np.where(np.arange(2000) < 300, is_right, np.nan)
    >>> threshold = TrustedThreshold(precision=0.7).fit(quality, is_right)
    >>> np.round(threshold.recalibrate([0.1, 0.5, 0.9]), 1)
    array([0.3, 0.7, 1. ])
    >>> round(threshold.estimated_precision_, 1)
    0.7
    """

    _parameter_constraints: dict = {
        "precision": [None, Interval(Real, 0, 1, closed="neither")],
        "confidence_level": [Interval(Real, 0, 1, closed="neither")],
    }

    uses_calibrated_quality = True

    threshold_: float
    noise_rate_: float
    noise_rate_interval_: tuple[float, float]
    estimated_precision_: float
    estimated_precision_interval_: tuple[float, float]
    estimated_recall_: float
    n_verified_: int

    def __init__(self, *, precision: float | None = None, confidence_level: float = 0.9):
        self.precision = precision
        self.confidence_level = confidence_level

    def fit(
        self,
        quality: ArrayLike,
        is_right: ArrayLike | Sequence[bool | None],
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Calibrate qualities of any origin.

        Parameters
        ----------
        quality : array-like of shape (n_samples,)
            Quality of labels, in [0, 1], independent of what was verified. NaN takes no part.
        is_right : array-like of shape (n_samples,)
            Whether a label was found right: True or 1, False or 0; None or NaN where it was not
            verified. The threshold is for those, or for all rows where there are none.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            This threshold, fitted.
        """
        self.validate()
        quality = _check_quality(quality)
        verified = np.asarray(is_right, dtype=np.float64)
        if verified.shape != quality.shape:
            raise ValueError(
                f"is_right must have one entry per quality, {len(quality)}, got shape"
                f" {verified.shape}."
            )
        checked = ~np.isnan(verified)
        if not np.isin(verified[checked], (0, 1)).all():
            raise ValueError(
                "is_right must hold True, False and, where a label was not verified, NaN only."
            )
        weight = None if sample_weight is None else check_sample_weight(sample_weight, quality)
        rows = ~checked if (~checked).any() else checked
        self._fit(quality, checked, verified == 1, rows, weight, "is_right")
        return self

    def select(self, inputs: ThresholdInput) -> ThresholdResult:
        """Choose the rows to flag.

        Parameters
        ----------
        inputs : ThresholdInput
            The labels and their quality.

        Returns
        -------
        result : ThresholdResult
            The rows to flag, and the calibrated quality.
        """
        data = inputs.data
        right = self._fit(
            inputs.quality,
            data.checked & data.given,
            data.trusted,
            inputs.rows,
            data.sample_weight,
            "verified_labels",
            inputs.noise_rate,
        )
        errors = inputs.rows & (np.where(np.isnan(right), np.inf, right) < self.threshold_)
        interval = getattr(self, "noise_rate_interval_", None)
        return ThresholdResult(errors, self.threshold_, right, self.noise_rate_, interval)

    def recalibrate(self, quality: np.ndarray, codes: np.ndarray = None) -> np.ndarray:
        """Turn qualities into probabilities of being right.

        Parameters
        ----------
        quality : array-like of shape (n_samples,)
            Quality of labels.
        codes : ndarray of shape (n_samples,), default=None
            Given labels; ignored.

        Returns
        -------
        right : ndarray of shape (n_samples,)
            Probability of each label to be right.
        """
        score = _score(quality)
        curve = expit(self._intercept + self._slope * score)
        # Outside of all bands, it continues like the logistic curve.
        beyond = score - np.clip(score, self._bands[0], self._bands[-1])
        shares = np.interp(score, self._bands, self._shares)
        shares = expit(_score(shares) + self._slope * beyond)
        right = (1 - _TILT) * shares + _TILT * curve
        return right if self._shift == 0 else expit(_score(right) + self._shift)

    def _fit(self, quality, checked, right, rows, weight, source, rates=None) -> np.ndarray:
        """Fit the curve, set the estimates, and return the calibrated quality."""
        weights = as_counts(weight, ~np.isnan(quality))
        weights = np.ones(len(quality)) if weights is None else weights
        known = ~np.isnan(quality) & (weights > 0)
        learned = np.flatnonzero(checked & known)
        _check_verified(right[learned], source)
        self.n_verified_ = len(learned)
        score, target, amount = _score(quality[learned]), right[learned], weights[learned]
        self._intercept, self._slope = _logistic(score, target, amount)
        self._fit_curve(score, target, amount)
        self._shift = 0.0
        vars(self).pop("noise_rate_interval_", None)
        calibrated = self.recalibrate(quality)
        open_rows = rows & known
        if rates is not None and open_rows.any():
            self._shift = _log_odds_shift(calibrated[open_rows], weights[open_rows], rates[0])
            calibrated = self.recalibrate(quality)
            self.noise_rate_interval_ = rates[1:]
        self._choose(calibrated[open_rows], weights[open_rows])
        flagged = calibrated[learned] < self.threshold_
        self._bound(amount[flagged], ~target[flagged])
        return calibrated

    def _fit_curve(self, score, right, amount) -> None:
        """Fit the curve through bands of verified rows."""
        values, place = np.unique(score, return_inverse=True)
        total = np.bincount(place, weights=amount)
        right_weight = np.bincount(place, weights=amount * right)
        middle = np.cumsum(total) - total / 2
        n_bands = max(1, int(total.sum() / _BAND_WEIGHT))
        band = (middle * (n_bands / total.sum())).astype(np.intp)
        band = np.unique(band, return_inverse=True)[1]
        sums = np.bincount(band, weights=total)
        centre = np.bincount(band, weights=total * values) / sums
        curve = np.bincount(band, weights=total * expit(self._intercept + self._slope * values))
        share = np.bincount(band, weights=right_weight) + _PRIOR_WEIGHT * curve / sums
        share /= sums + _PRIOR_WEIGHT
        fall = IsotonicRegression().fit(centre, share, sample_weight=sums)
        self._bands, self._shares = centre, np.clip(fall.predict(centre), 0, 1)

    def _choose(self, right, weights) -> None:
        """Choose the threshold of the calibrated quality, and estimate its effect."""
        if not len(right):
            self.threshold_, self.noise_rate_ = 0.0, 0.0
            self.estimated_precision_ = self.estimated_recall_ = np.nan
            return
        wrong = 1 - right
        self.noise_rate_ = float(np.average(wrong, weights=weights))
        if self.precision is None:
            self.threshold_ = best_f1_threshold(right, weights)
        else:
            values, place = np.unique(right, return_inverse=True)
            total = np.bincount(place, weights=weights)
            share = np.cumsum(total * (1 - values)) / np.cumsum(total)
            enough = np.flatnonzero(share >= self.precision)
            self.threshold_ = (
                float(np.nextafter(values[enough[-1]], np.inf)) if len(enough) else 0.0
            )
        flagged = right < self.threshold_
        found, total = weights[flagged] @ wrong[flagged], weights @ wrong
        self.estimated_precision_ = (
            float(found / weights[flagged].sum()) if flagged.any() else np.nan
        )
        self.estimated_recall_ = float(found / total) if total > 0 else np.nan

    def _bound(self, amount, wrong) -> None:
        """Set the interval of the precision, by the verified rows below the threshold."""
        n_wrong, total = float(amount @ wrong), float(amount.sum())
        tail = (1 - self.confidence_level) / 2
        low = float(beta.ppf(tail, n_wrong, total - n_wrong + 1)) if n_wrong > 0 else 0.0
        high = float(beta.ppf(1 - tail, n_wrong + 1, total - n_wrong)) if n_wrong < total else 1.0
        estimate = self.estimated_precision_
        if not np.isnan(estimate):
            low, high = min(low, estimate), max(high, estimate)
        self.estimated_precision_interval_ = (low, high)


def _check_quality(quality) -> np.ndarray:
    """Validate qualities."""
    quality = np.asarray(quality, dtype=np.float64)
    if quality.ndim != 1:
        raise ValueError(f"quality must be one-dimensional, got shape {quality.shape}.")
    known = quality[~np.isnan(quality)]
    if len(known) and (known.min() < 0 or known.max() > 1):
        raise ValueError("quality must lie in [0, 1].")
    return quality


def _check_verified(right, source) -> None:
    """Refuse verified labels that are all right or all wrong."""
    if not len(right):
        raise ValueError(
            f"TrustedThreshold learns from verified rows, and {source} has none that has a"
            " quality: verify some rows drawn at random, or use DecoyThreshold, which needs none."
        )
    if right.all() or not right.any():
        kind = "right" if right.all() else "wrong"
        raise ValueError(
            f"TrustedThreshold learns from labels found right and found wrong, and by {source} all"
            f" {len(right)} verified labels are {kind}: verify more rows drawn at random, and pass"
            " y as it was given, not overwritten by the verified labels."
        )


def _score(quality) -> np.ndarray:
    """Log-odds of a quality."""
    return logit(np.clip(np.asarray(quality, dtype=np.float64), _SMALLEST, 1 - _SMALLEST))


def _log_odds_shift(right, weights, rate: float) -> float:
    """Shift of log-odds of labels to be right, at which a share is expected to be wrong."""
    odds = _score(right)
    rate = float(np.clip(rate, _SMALLEST, 1 - _SMALLEST))
    share = weights / weights.sum()
    return float(brentq(lambda shift: share @ expit(-odds - shift) - rate, -40, 40))


def _logistic(score, right, amount) -> tuple[float, float]:
    """Fit a rising logistic curve, which without data is the identity."""
    sign = np.where(right, 1.0, -1.0)

    def loss(params):
        margin = sign * (params[0] + params[1] * score)
        slope = -sign * amount * expit(-margin)
        value = amount @ np.logaddexp(0, -margin) + params[0] ** 2 / 8 + (params[1] - 1) ** 2 / 2
        return value, np.array(
            [slope.sum() + params[0] / 4, slope @ score + params[1] - 1.0], dtype=np.float64
        )

    found = minimize(
        loss, [0.0, 1.0], jac=True, method="L-BFGS-B", bounds=[(None, None), (0.01, 10)]
    )
    return float(found.x[0]), float(found.x[1])
