"""Estimated precision of the flags of a fitted detector, with an interval."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import beta

from skrobust.base._fitted_attributes import NARROW_INTERVAL

# Two-sided, as of the intervals of the detectors.
_LEVEL = 0.9
# With a wider interval an estimate would mislead.
_WIDE = 0.9


@dataclasses.dataclass(frozen=True)
class FlagPrecision:
    """Share of flagged labels that are wrong, as far as it can be estimated.

    Attributes
    ----------
    estimate : float or None
        The estimate; None where it cannot be estimated.
    low, high : float
        Ends of the interval.
    reason : str
        What the estimate rests on, or why there is none.
    """

    estimate: float | None
    low: float
    high: float
    reason: str

    @property
    def reliability(self) -> str:
        """ "good" for a narrow interval, "limited" for a wider one, or "cannot tell"."""
        if self.estimate is None:
            return "cannot tell"
        return "good" if self.high - self.low <= NARROW_INTERVAL else "limited"

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


def error_proba(detector) -> np.ndarray | None:
    """Return the probability of each label to be wrong, None if the quality is no probability."""
    quality = np.asarray(detector.label_quality_, dtype=float)
    calibrated = getattr(detector, "quality_method", None) == "right_proba"
    learned = getattr(detector, "is_calibrated", False)
    threshold = getattr(detector, "fitted_threshold_", None)
    if quality.ndim != 1:
        return None
    if calibrated or learned or type(threshold).__name__ == "TrustedThreshold":
        return 1 - quality
    return None


def flag_precision(detector, verified=None) -> FlagPrecision:
    """Estimate which share of the flagged labels are wrong.

    Parameters
    ----------
    detector : LabelErrorDetector
        Fitted.
    verified : ndarray of shape (n_samples,) of bool, default=None
        Rows that a reviewer checked, which are not counted.

    Returns
    -------
    precision : FlagPrecision
        The estimate.
    """
    errors = np.asarray(detector.label_errors_, dtype=bool)
    flagged = errors if verified is None else errors & ~verified
    n_flagged = int(flagged.sum())
    if not n_flagged:
        return FlagPrecision(None, 0.0, 1.0, "no label is flagged that was not verified")
    threshold = getattr(detector, "fitted_threshold_", None)
    if hasattr(threshold, "estimated_precision_interval_"):
        estimate = float(threshold.estimated_precision_)
        low, high = map(float, threshold.estimated_precision_interval_)
        if np.isfinite(estimate):
            name = type(threshold).__name__
            return FlagPrecision(estimate, min(low, estimate), max(high, estimate), f"by {name}")
    wrong = error_proba(detector)
    rate = getattr(detector, "noise_rate_", None)
    interval = getattr(detector, "noise_rate_interval_", None)
    most = 1.0
    if interval is not None:
        n_labelled = np.count_nonzero(~np.isnan(np.asarray(detector.label_quality_, dtype=float)))
        most = min(1.0, float(interval[1]) * n_labelled / n_flagged)
    if wrong is None or interval is None or not rate:
        why = "the label quality is no probability, so that only verified rows show it"
        return FlagPrecision(None, 0.0, most, why)
    if getattr(detector, "reliability_", "") == "cannot tell":
        why = "wrong labels cannot be told apart from overlap of the classes"
        return FlagPrecision(None, 0.0, most, why)
    low, high = float(interval[0]), float(interval[1])
    estimate = float(np.clip(wrong[flagged].mean(), 0, 1))
    mean = float(np.nanmean(wrong))
    # If all labels are wrong less or more often than expected, so are the flagged ones.
    least = estimate * low / max(rate, mean, low)
    most = min(most, estimate * high / max(min(rate, mean), 1e-12), 1.0)
    least = clopper_pearson(least * n_flagged, n_flagged)[0]
    most = clopper_pearson(most * n_flagged, n_flagged)[1]
    least, most = min(least, estimate), max(most, estimate)
    if most - least > _WIDE:
        why = "nearly any value would fit the interval of the share of wrong labels"
        return FlagPrecision(None, least, most, why)
    return FlagPrecision(
        estimate,
        least,
        most,
        "by the label quality and the interval of the share of wrong labels",
    )


def clopper_pearson(n_wrong: float, n_rows: float, level: float = _LEVEL) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson of a share."""
    if n_rows <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = beta.ppf(tail, n_wrong, n_rows - n_wrong + 1) if n_wrong > 0 else 0.0
    high = beta.ppf(1 - tail, n_wrong + 1, n_rows - n_wrong) if n_wrong < n_rows else 1.0
    return float(low), float(high)
