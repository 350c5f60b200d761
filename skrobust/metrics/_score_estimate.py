"""The estimate of a score: its value, its standard error and where they come from."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class ScoreEstimate:
    """A score against true labels, as :func:`noise_corrected_score` estimates it.

    Attributes
    ----------
    score : float
        Estimate. Where an estimated transition is uncertain, it is drawn towards `noisy_score`.
    standard_error : float
        Standard error of the unshrunk estimate, of rows and transition together.
    interval : tuple of float
        Confidence interval, within the range of the metric.
    noisy_score : float
        The metric of the given labels.
    method : {"transition", "verified"}
        How it was estimated.
    rows_error : float
        The part of the standard error that is due to the finite number of rows.
    transition_error : float
        The part that is due to the estimated transition; 0 if that is exact or not used.
    weight : float
        With ``method="transition"``, the share of the correction that is applied, in [0, 1]. With
        ``method="verified"``, the weight of the proxy, or the sum of the weights of both.
    """

    score: float
    standard_error: float
    interval: tuple[float, float]
    noisy_score: float
    method: str
    rows_error: float
    transition_error: float
    weight: float

    def __float__(self) -> float:
        return self.score


def make_estimate(
    score, noisy_score, method, *, center, errors, quantile, bounds, weight
) -> ScoreEstimate:
    """Combine the parts of an estimate.

    Parameters
    ----------
    score, noisy_score : float
        Values.
    method : str
        Method.
    center : float
        Middle of the interval.
    errors : tuple of float
        Standard errors due to rows and to the transition.
    quantile : float
        How many standard errors the interval reaches to either side.
    bounds : tuple of float
        Range of the metric.
    weight : float
        As of :class:`ScoreEstimate`.

    Returns
    -------
    estimate : ScoreEstimate
        The whole.
    """
    low, high = bounds
    error = math.hypot(*errors)
    reach = quantile * error
    interval = min(max(center - reach, low), high), max(min(center + reach, high), low)
    return ScoreEstimate(
        float(min(max(score, low), high)),
        error,
        tuple(map(float, interval)),
        float(noisy_score),
        method,
        float(errors[0]),
        float(errors[1]),
        float(weight),
    )
