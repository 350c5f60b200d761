"""Which sources disagree with the others, clearly more than chance would have it?"""

import dataclasses

import numpy as np

# How many standard errors make a source doubtful.
_N_ERRORS = 3.0
# Losses that differ by less than this share of the values compared differ by rounding.
_ROUNDING = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class SourceLosses:
    """How far the labels of each source are from what all sources together predict.

    Attributes
    ----------
    mass : ndarray of shape (n_sources,)
        Weights of the rows that were compared, as sums; may be 0.
    total : ndarray of shape (n_sources,)
        Weighted sums of losses.
    squares : ndarray of shape (n_sources,)
        Weighted sums of squared losses.
    scale : float
        Size of the values that were compared, for what counts as rounding.
    prior_mass : float
        Mass of made-up rows of loss 1 that count together with the rest, so that one wrong label
        among none is not a matter of infinitely many standard errors.
    """

    mass: np.ndarray
    total: np.ndarray
    squares: np.ndarray
    scale: float = 0.0
    prior_mass: float = 0.0

    @property
    def mean(self) -> np.ndarray:
        """Mean loss of each source; NaN where nothing was compared."""
        mean = np.full(len(self.mass), np.nan)
        return np.divide(self.total, self.mass, out=mean, where=self.mass > 0)


def doubtful_sources(losses: SourceLosses, n_faulty: int) -> np.ndarray:
    """Find the sources whose loss is clearly higher than that of the best ones.

    The best ones are all but so many as may be faulty. A source is doubtful if its mean loss is
    above theirs by three times what chance explains, or by three times of how much the means of
    the best ones differ from one another, as they do where sources have unlike rows.

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
    doubtful = np.zeros(len(losses.mass), dtype=bool)
    compared = np.flatnonzero(losses.mass > 0)
    n_best = len(compared) - n_faulty
    if n_faulty == 0 or n_best < 1:
        return doubtful
    mean = losses.mean
    # Stable, so that of equal sources always the same ones are the best.
    order = compared[np.argsort(mean[compared], kind="stable")]
    best, rest = order[:n_best], order[n_best:]
    mass = losses.mass[best].sum()
    centre = losses.total[best].sum() / mass
    with_prior = mass + losses.prior_mass
    first = (losses.total[best].sum() + losses.prior_mass) / with_prior
    second = (losses.squares[best].sum() + losses.prior_mass) / with_prior
    variance = max(second - first**2, 0.0)
    chance = np.sqrt(variance / losses.mass[rest] + variance / mass)
    spread = np.std(mean[best], ddof=1) if n_best > 1 else 0.0
    allowed = _N_ERRORS * np.maximum(chance, spread) + _ROUNDING * losses.scale
    doubtful[rest] = mean[rest] - centre > allowed
    return doubtful
