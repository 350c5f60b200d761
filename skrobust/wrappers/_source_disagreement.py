"""Sources that disagree with the aggregated predictions, by more than chance explains."""

import dataclasses

import numpy as np
from scipy import special

from skrobust.base._labels import encode_labels_like
from skrobust.utils._sklearn import safe_indexing

# A source is faulty if chance explains its losses as rarely as three standard errors.
_N_ERRORS = 3.0
_SMALLEST_P = special.ndtr(-_N_ERRORS)
# Losses that differ by less than this share of the compared values differ by rounding.
_ROUNDING = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class SourceLosses:
    """Losses of the labels of each source, by the aggregated predictions.

    Strata are kinds of rows, such as those predicted to be of one class: a source whose errors are
    about a small class stands out there only. Arrays have the shape (n_strata, n_sources).
    """

    weight: np.ndarray  # total weight of the rows that were compared; may be 0
    total: np.ndarray  # weighted sums of losses
    squares: np.ndarray  # weighted sums of squared losses
    is_count: bool  # whether losses are 0 or 1
    scale: float = 0.0  # mean size of the compared values, for the limit of rounding

    @classmethod
    def gather(cls, loss, stratum, source, weight, shape, *, is_count, scale=0.0) -> "SourceLosses":
        """Sum the losses of rows by stratum and source, `shape` of them."""
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
        weight = self.weight.sum(axis=0)
        mean = np.full(len(weight), np.nan)
        return np.divide(self.total.sum(axis=0), weight, out=mean, where=weight > 0)


def find_faulty_sources(data, rows_of, committee, n_faulty) -> tuple[np.ndarray, np.ndarray]:
    """Compare the labels of each source with the aggregated predictions of all.

    Returns the mean loss of each source, NaN where nothing was compared, and which are faulty.
    """
    n_sources = len(rows_of)
    if n_sources == 1:
        return np.full(1, np.nan), np.zeros(1, dtype=bool)
    predicted = [committee.aggregate(safe_indexing(data.X, rows)) for rows in rows_of]
    source = np.repeat(np.arange(n_sources), [len(rows) for rows in rows_of])
    predicted, rows = np.concatenate(predicted), np.concatenate(rows_of)
    weight = np.ones(len(rows)) if data.sample_weight is None else data.sample_weight[rows]
    given = data.given[rows]  # verified rows may have no other label
    if data.kind == "numbers":
        loss = np.abs(data.y[rows] - predicted[:, 0])
        stratum, scale = np.zeros(len(rows), dtype=np.intp), float(np.abs(predicted).mean())
    else:
        known = encode_labels_like(committee.classes, data.classes, name="classes_")
        stratum, scale = known[predicted.argmax(axis=1)], 0.0
        loss = (stratum != data.y[rows]).astype(np.float64)
    losses = SourceLosses.gather(
        loss[given],
        stratum[given],
        source[given],
        weight[given],
        (int(stratum.max()) + 1, n_sources),
        is_count=data.kind == "classes",
        scale=scale,
    )
    return losses.mean, faulty_sources(losses, n_faulty)


def faulty_sources(losses: SourceLosses, n_faulty: int) -> np.ndarray:
    """Find at most `n_faulty` sources whose loss is clearly higher than that of the best ones.

    The best ones are all but `n_faulty`. A source is faulty if its loss, over all rows or over
    those of one stratum, is higher than chance explains, and higher than the best ones
    differ from one another, as they do where sources have different rows.
    """
    n_sources = losses.weight.shape[1]
    faulty = np.zeros(n_sources, dtype=bool)
    if n_faulty == 0:
        return faulty
    sums = (losses.weight, losses.total, losses.squares)
    parts = [part for part in zip(*sums, strict=True) if part[0].any()]
    if len(parts) > 1:
        parts.append(tuple(values.sum(axis=0) for values in sums))
    excess = np.full(n_sources, -np.inf)
    for part in parts:
        found, p_values = _compare(*part, losses, n_faulty)
        # Each stratum is one more comparison that may look bad by chance.
        clear = np.flatnonzero(p_values < _SMALLEST_P / len(parts))
        np.maximum.at(excess, clear, found[clear])
    worst = np.argsort(-excess, kind="stable")[:n_faulty]
    faulty[worst] = excess[worst] > -np.inf
    return faulty


def _compare(weight, total, squares, losses, n_faulty) -> tuple[np.ndarray, np.ndarray]:
    """Compare each source with the best ones.

    Returns by how many of the largest expected differences its loss is too high, and the p-value
    of such a loss for a source like the best ones; 1 where it is not higher than they differ.
    """
    excess, p_values = np.zeros(len(weight)), np.ones(len(weight))
    compared = np.flatnonzero(weight > 0)
    n_best = len(compared) - n_faulty
    if n_best < 1:
        return excess, p_values
    mean = np.zeros(len(weight))
    mean[compared] = total[compared] / weight[compared]
    # Stable, so that among equal sources always the same ones are the best.
    order = compared[np.argsort(mean[compared], kind="stable")]
    best, rest = order[:n_best], order[n_best:]
    best_weight = weight[best].sum()
    centre = total[best].sum() / best_weight
    if losses.is_count:
        # One wrong label where none is usual is not infinitely many standard errors.
        centre = (total[best].sum() + 1) / (best_weight + 2)
        variance = centre * (1 - centre)
    else:
        variance = max(squares[best].sum() / best_weight - centre**2, 0.0)
    chance = np.sqrt(variance / weight[rest] + variance / best_weight)
    deviation = np.std(mean[best], ddof=1) if n_best > 1 else 0.0
    gap = mean[rest] - centre
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.where(gap > 0, gap / chance, 0.0)
        excess[rest] = np.where(gap > 0, gap / np.maximum(chance, deviation), 0.0)
    if losses.is_count:
        # The binomial distribution, of counts that need not be whole where rows are weighted.
        count = total[rest]
        p_values[rest] = special.betainc(count, np.maximum(weight[rest] - count, 0) + 1, centre)
    else:
        p_values[rest] = special.ndtr(-errors)
    # The best sources differ less than all right ones do. To leave out a right one too many costs
    # a few rows; to keep a faulty one costs more, so that this is not corrected for.
    usual = _N_ERRORS * deviation + _ROUNDING * losses.scale
    p_values[rest[gap <= usual]] = 1.0
    return excess, p_values
