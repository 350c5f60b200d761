"""The estimate of a score: its value, its standard error and where they come from."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class ScoreEstimate:
    """A score against true labels, as :func:`noise_corrected_score` estimates it."""

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
    score: float,
    noisy_score: float,
    method: str,
    *,
    center: float,
    errors: tuple[float, ...],
    quantile: float,
    bounds: tuple[float, ...],
    weight: float,
) -> ScoreEstimate:
    """Combine the parts of an estimate."""
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
