"""Which sources disagree with the others, clearly more than chance would have it?"""

import dataclasses

import numpy as np
from scipy import special

# A source is doubtful if chance explains what it does as rarely as three standard errors.
_N_ERRORS = 3.0
_SMALLEST_P = special.ndtr(-_N_ERRORS)
# Losses that differ by less than this share of the values compared differ by rounding.
_ROUNDING = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class SourceLosses:
    """How far the labels of each source are from what all sources together predict.

    Strata are kinds of rows, such as those that are predicted to be of one class: a source that
    is wrong about a small class only stands out there and nowhere else.

    Attributes
    ----------
    mass : ndarray of shape (n_strata, n_sources)
        Weights of the rows that were compared, as sums; may be 0.
    total : ndarray of shape (n_strata, n_sources)
        Weighted sums of losses.
    squares : ndarray of shape (n_strata, n_sources)
        Weighted sums of squared losses.
    is_count : bool
        Whether losses are 0 or 1.
    scale : float
        Size of the values that were compared, for what counts as rounding.
    """

    mass: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    is_count: bool
    scale: float = 0.0

    @classmethod
    def gather(cls, loss, stratum, source, weight, shape, *, is_count, scale=0.0):
        """Sum up losses of rows.

        Parameters
        ----------
        loss : ndarray of shape (n_rows,)
            Losses, at least 0.
        stratum, source : ndarray of shape (n_rows,), dtype intp
            Numbers of strata and sources.
        weight : ndarray of shape (n_rows,)
            Weights.
        shape : tuple
            ``(n_strata, n_sources)``.
        is_count : bool
            Whether losses are 0 or 1.
        scale : float
            Size of the values that were compared.
        """
        place = stratum * shape[1] + source
        with np.errstate(over="ignore"):  # an infinite loss is as bad as can be
            sums = [
                np.bincount(place, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
                for values in (weight, weight * loss, weight * loss**2)
            ]
        return cls(*sums, is_count, scale)

    @property
    def mean(self) -> np.ndarray:
        """Mean loss of each source; NaN where nothing was compared."""
        mass = self.mass.sum(axis=0)
        mean = np.full(len(mass), np.nan)
        return np.divide(self.total.sum(axis=0), mass, out=mean, where=mass > 0)


def doubtful_sources(losses: SourceLosses, n_faulty: int) -> np.ndarray:
    """Find the sources whose loss is clearly higher than that of the best ones.

    The best ones are all but so many as may be faulty. A source is doubtful if its loss, of all
    rows or of those of one stratum, is higher than chance explains, and higher than the best ones
    differ from one another, as they do where sources have unlike rows.

    Parameters
    ----------
    losses : SourceLosses
        What to go by.
    n_faulty : int
        How many sources may be faulty: no more than that are doubtful.

    Returns
    -------
    doubtful : ndarray of shape (n_sources,) of bool
        True for sources that are probably faulty.
    """
    n_sources = losses.mass.shape[1]
    doubtful = np.zeros(n_sources, dtype=bool)
    if n_faulty == 0:
        return doubtful
    sums = (losses.mass, losses.total, losses.squares)
    parts = [part for part in zip(*sums, strict=True) if part[0].any()]
    if len(parts) > 1:
        parts.append(tuple(values.sum(axis=0) for values in sums))
    excess = np.full(n_sources, -np.inf)
    for part in parts:
        found, p_values = _compare(*part, losses, n_faulty)
        # As many comparisons as there are strata have as many chances to look bad.
        clear = np.flatnonzero(p_values < _SMALLEST_P / len(parts))
        np.maximum.at(excess, clear, found[clear])
    worst = np.argsort(-excess, kind="stable")[:n_faulty]
    doubtful[worst] = excess[worst] > -np.inf
    return doubtful


def _compare(mass, total, squares, losses, n_faulty) -> tuple[np.ndarray, np.ndarray]:
    """Compare each source with the best ones.

    Returns
    -------
    excess : ndarray of shape (n_sources,)
        By how many of the largest differences to be expected a loss is too high.
    p_values : ndarray of shape (n_sources,)
        How probable such a loss is for a source like the best ones; 1 where it is not higher
        than the best ones differ from one another.
    """
    excess, p_values = np.zeros(len(mass)), np.ones(len(mass))
    compared = np.flatnonzero(mass > 0)
    n_best = len(compared) - n_faulty
    if n_best < 1:
        return excess, p_values
    mean = np.zeros(len(mass))
    mean[compared] = total[compared] / mass[compared]
    # Stable, so that of equal sources always the same ones are the best.
    order = compared[np.argsort(mean[compared], kind="stable")]
    best, rest = order[:n_best], order[n_best:]
    best_mass = mass[best].sum()
    centre = total[best].sum() / best_mass
    if losses.is_count:
        # One wrong label among none is not a matter of infinitely many standard errors.
        centre = (total[best].sum() + 1) / (best_mass + 2)
        variance = centre * (1 - centre)
    else:
        variance = max(squares[best].sum() / best_mass - centre**2, 0.0)
    chance = np.sqrt(variance / mass[rest] + variance / best_mass)
    spread = np.std(mean[best], ddof=1) if n_best > 1 else 0.0
    gap = mean[rest] - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(gap > 0, gap / chance, 0.0)
        excess[rest] = np.where(gap > 0, gap / np.maximum(chance, spread), 0.0)
    if losses.is_count:
        # The binomial distribution, of counts that need not be whole where rows are weighed.
        count = total[rest]
        p_values[rest] = special.betainc(count, np.maximum(mass[rest] - count, 0) + 1, centre)
    else:
        p_values[rest] = special.ndtr(-errors)
    # The best are more alike than all honest sources are. To leave out an honest one too many
    # costs a few rows; to keep a faulty one costs more, so that this is not corrected for.
    usual = _N_ERRORS * spread + _ROUNDING * losses.scale
    p_values[rest[gap <= usual]] = 1.0
    return excess, p_values
