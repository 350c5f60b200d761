"""Are there two kinds of rows? Mixtures of normal distributions of weighted numbers."""

import dataclasses

import numpy as np

_N_ITERATIONS = 300
_TOLERANCE = 1e-7
# Shares of the highest component that the search starts from.
_STARTS = (0.5, 0.25, 0.1, 0.03)
# Of a component, in standard deviations of all values: narrower ones fit rounding and little else.
_MIN_WIDTH = 0.2
_GRID = np.linspace(0, 1, 257)
# The density in a valley, as a share of the lower of the two humps.
_VALLEY = 0.9


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of normal distributions, in the order of their means.

    Attributes
    ----------
    shares, means, deviations : ndarray of shape (n_components,)
        Of the components.
    bic_gain : float
        By how much the Bayesian information criterion prefers the mixture to one component.
    is_bimodal : bool
        Whether it does, and the density has a valley below its highest hump. Otherwise there is
        no telling two kinds of rows apart: a skewed distribution is fitted better by several
        components as well.
    """

    shares: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    bic_gain: float
    is_bimodal: bool

    def upper(self, values) -> np.ndarray:
        """Compute how likely values are of the highest component.

        The ratio of two normal densities of unlike width turns around far out, where the wider
        one wins on both sides. Beyond that point its value there is kept, so that a larger value
        is never less likely to be of the highest component.

        Parameters
        ----------
        values : ndarray
            Values.

        Returns
        -------
        posterior : ndarray
            In [0, 1], of the same shape.
        """
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

    def cut(self, posterior: float = 0.5) -> float:
        """Find the value from which on the highest component has this posterior.

        Parameters
        ----------
        posterior : float, default=0.5
            Posterior wanted.

        Returns
        -------
        cut : float
            Infinite where it is not reached, minus infinity where it is everywhere.
        """
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


def fit_mixture(values, weight=None, *, n_components=2) -> Mixture | None:
    """Fit a mixture of normal distributions by maximum likelihood.

    The start is by quantiles, and equal values are one value of their summed weight: neither
    chance, nor the order of rows, nor writing a row twice instead of giving it weight two
    changes the result.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Finite numbers.
    weight : ndarray of shape (n_samples,), default=None
        Weights.
    n_components : {2, 3}, default=2
        Number of components.

    Returns
    -------
    mixture : Mixture or None
        None if there are too few distinct values.
    """
    values, group = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
    mass = np.bincount(group, weights=weight, minlength=len(values)).astype(np.float64)
    values, mass = values[mass > 0], mass[mass > 0]
    if len(values) <= n_components:
        return None
    total = mass.sum()
    center = mass @ values / total
    width = np.sqrt(mass @ (values - center) ** 2 / total)
    unit = (values - center) / width
    rank = (np.cumsum(mass) - mass / 2) / total
    best = None
    for share in _STARTS:
        # The others share what is left in equal parts.
        edges = np.linspace(0, 1 - share, n_components)[1:]
        member = np.eye(n_components)[:, np.searchsorted(edges, rank)]
        found = _maximise(unit, mass, member)
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
    bimodal = bool(gain > 0 and _has_valley(unit, mass, shares, means, deviations))
    return Mixture(shares, center + width * means, width * deviations, float(gain), bimodal)


def _maximise(values, mass, member):
    """Alternate between memberships and parameters; None if a component dies."""
    total, last = mass.sum(), -np.inf
    for _ in range(_N_ITERATIONS):
        sizes = member @ mass
        if sizes.min() <= 1e-6 * total:
            return None
        means = member @ (mass * values) / sizes
        spread = ((member * mass) * (values - means[:, None]) ** 2).sum(axis=1) / sizes
        deviations = np.sqrt(spread + _MIN_WIDTH**2)
        shares = sizes / total
        z = (values - means[:, None]) / deviations[:, None]
        logs = np.log(shares / deviations / np.sqrt(2 * np.pi))[:, None] - z**2 / 2
        whole = np.logaddexp.reduce(logs, axis=0)
        likelihood = mass @ whole
        member = np.exp(logs - whole)
        if likelihood - last < _TOLERANCE * total:
            break
        last = likelihood
    return likelihood, shares, means, deviations


def _has_valley(values, mass, shares, means, deviations) -> bool:
    """Whether there is a valley below the highest hump, in the mixture and in the values."""
    grid = means[0] + (means[-1] - means[0]) * _GRID
    z = (grid[:, None] - means) / deviations
    density = (shares / deviations * np.exp(-(z**2) / 2)).sum(axis=1)
    # How much lower each place is than the highest ones on either side of it.
    sides = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    lowest = int(np.argmin(density / sides))
    if not density[lowest] < _VALLEY * sides[lowest]:
        return False
    humps = density[: lowest + 1].argmax(), lowest + density[lowest:].argmax()
    # Two humps fit a plateau as well: look at the values themselves, which are few and uneven.
    places = grid[[humps[0], lowest, humps[1]]]
    reach = (places[2] - places[0]) / 6
    before, valley, after = (mass[np.abs(values - place) <= reach].sum() for place in places)
    return bool(valley < _VALLEY**2 * min(before, after))


def weighted_quantile(values, share, weight=None) -> float:
    """Find the smallest value up to which the values have this share of the mass.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Values.
    share : float
        In [0, 1].
    weight : ndarray of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    quantile : float
        One of the values.
    """
    values, group = np.unique(values, return_inverse=True)
    mass = np.cumsum(np.bincount(group, weights=weight, minlength=len(values)))
    place = np.searchsorted(mass, share * mass[-1] * (1 - 1e-12))
    return float(values[min(place, len(values) - 1)])
