"""Mixtures of normal distributions of weighted numbers."""

import dataclasses

import numpy as np

from skrobust.utils._weights import as_counts

_N_ITERATIONS = 300
_TOLERANCE = 1e-7
# Shares of the highest component that the search starts from.
_STARTS = (0.5, 0.25, 0.1, 0.03)
# Width of a component in standard deviations of all values: narrower ones fit rounding errors.
_MIN_WIDTH = 0.2
_GRID = np.linspace(0, 1, 257)
# The density in a valley, as a share of the lower of the two modes.
_VALLEY = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of normal distributions, in the order of their means."""

    shares: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    bic_gain: float
    is_bimodal: bool

    def upper(self, values: np.ndarray) -> np.ndarray:
        """Compute how likely values are of the highest component."""
        values = np.asarray(values, dtype=np.float64)
        precision = 1 / self.deviations**2
        against = np.zeros_like(values)
        for k in range(len(self.means) - 1):
            place = values
            bend = precision[k] - precision[-1]
            if bend != 0:
                turn = (precision[k] * self.means[k] - precision[-1] * self.means[-1]) / bend
                # Odds fall up to the turn and rise from it, or the other way round.
                place = np.maximum(place, turn) if bend > 0 else np.minimum(place, turn)
            logs = [
                np.log(self.shares[j] / self.deviations[j])
                - ((place - self.means[j]) / self.deviations[j]) ** 2 / 2
                for j in (k, -1)
            ]
            against = against + np.exp(np.clip(logs[0] - logs[1], -700, 700))
        return 1 / (1 + against)

    def threshold(self, posterior: float = 0.5) -> float:
        """Find the value from which on the highest component has this posterior."""
        reach = 10 * self.deviations
        low = float((self.means - reach).min())
        high = float((self.means + reach).max())
        if self.upper(low) >= posterior:
            return -np.inf
        if self.upper(high) < posterior:
            return np.inf
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (low, middle) if self.upper(middle) >= posterior else (middle, high)
        return high


def fit_mixture(
    values: np.ndarray, weight: np.ndarray | None = None, *, n_components=2
) -> Mixture | None:
    """Fit a mixture of normal distributions by maximum likelihood."""
    weight = as_counts(weight, slice(None))
    values, group = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
    value_weight = np.bincount(group, weights=weight, minlength=len(values)).astype(np.float64)
    values, value_weight = values[value_weight > 0], value_weight[value_weight > 0]
    if len(values) <= n_components:
        return None
    total = value_weight.sum()
    center = value_weight @ values / total
    width = np.sqrt(value_weight @ (values - center) ** 2 / total)
    unit = (values - center) / width
    rank = (np.cumsum(value_weight) - value_weight / 2) / total
    best = None
    for share in _STARTS:
        # The others share what is left in equal parts.
        edges = np.linspace(0, 1 - share, n_components)[1:]
        member = np.eye(n_components)[:, np.searchsorted(edges, rank)]
        found = _maximise(unit, value_weight, member)
        if found is not None and (best is None or found[0] > best[0] + 1e-9 * total):
            best = found
    if best is None:
        return None
    likelihood, shares, means, deviations = best
    one = -total / 2 * (1 + np.log(2 * np.pi))
    # Each component more has three parameters more.
    gain = 2 * (likelihood - one) - 3 * (n_components - 1) * np.log(total)
    order = np.argsort(means, kind="stable")
    shares, means, deviations = shares[order], means[order], deviations[order]
    bimodal = bool(gain > 0 and _has_valley(unit, value_weight, shares, means, deviations))
    return Mixture(shares, center + width * means, width * deviations, float(gain), bimodal)


def _maximise(values, value_weight, member):
    """Alternate between memberships and parameters; None if a component dies."""
    total, last = value_weight.sum(), -np.inf
    for _ in range(_N_ITERATIONS):
        sizes = member @ value_weight
        if sizes.min() <= 1e-6 * total:
            return None
        means = member @ (value_weight * values) / sizes
        spread = ((member * value_weight) * (values - means[:, None]) ** 2).sum(axis=1) / sizes
        deviations = np.sqrt(spread + _MIN_WIDTH**2)
        shares = sizes / total
        z = (values - means[:, None]) / deviations[:, None]
        logs = np.log(shares / deviations / np.sqrt(2 * np.pi))[:, None] - z**2 / 2
        whole = np.logaddexp.reduce(logs, axis=0)
        likelihood = value_weight @ whole
        member = np.exp(logs - whole)
        if likelihood - last < _TOLERANCE * total:
            break
        last = likelihood
    return likelihood, shares, means, deviations


def _has_valley(values, value_weight, shares, means, deviations) -> bool:
    """Whether there is a valley below the highest mode, in the mixture and in the values."""
    grid = means[0] + (means[-1] - means[0]) * _GRID
    z = (grid[:, None] - means) / deviations
    density = (shares / deviations * np.exp(-(z**2) / 2)).sum(axis=1)
    # The lower of the highest densities on either side of each place.
    sides = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    lowest = int(np.argmin(density / sides))
    if not density[lowest] < _VALLEY * sides[lowest]:
        return False
    modes = density[: lowest + 1].argmax(), lowest + density[lowest:].argmax()
    # Two modes fit a plateau as well: test the values themselves, which are few and uneven.
    places = grid[[modes[0], lowest, modes[1]]]
    reach = (places[2] - places[0]) / 6
    before, valley, after = (
        value_weight[np.abs(values - place) <= reach].sum() for place in places
    )
    return bool(valley < _VALLEY**2 * min(before, after))


def weighted_quantile(values: np.ndarray, share: float, weight: np.ndarray | None = None) -> float:
    """Find the smallest value up to which the values have this share of the total weight."""
    if weight is not None:
        weight = as_counts(weight, np.ones(len(weight), dtype=bool))
    values, group = np.unique(values, return_inverse=True)
    below = np.cumsum(np.bincount(group, weights=weight, minlength=len(values)))
    place = np.searchsorted(below, share * below[-1] * (1 - 1e-12))
    return float(values[min(place, len(values) - 1)])
