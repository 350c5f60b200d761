"""Robust aggregation of vectors from several sources, a minority of which may be faulty."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike

from skrobust.utils._parallel import for_each_block
from skrobust.utils._sklearn import Interval, StrOptions, validate_params

AGGREGATIONS = ("nna_median", "mean", "trimmed_mean", "median", "geometric_median")
N_FAULTY_CONSTRAINTS = [
    None,
    Interval(Integral, 0, None, closed="left"),
    Interval(Real, 0, 0.5, closed="left"),
]
# As shares of their multiples, so that 0.3 of 10 sources are 3 and not 2.999...
_SLACK = 1e-9
_N_STEPS = 3
_SMOOTHING = 0.1


def count_faulty(n_faulty, n_sources: int, kind: str = "sources") -> int:
    """Resolve `n_faulty` to a number of sources, less than half of them."""
    if n_faulty is None:
        return max(n_sources - 1, 0) // 2
    is_share = not isinstance(n_faulty, Integral)
    count = int(n_faulty * n_sources + _SLACK) if is_share else int(n_faulty)
    if 2 * count >= n_sources and count > 0:
        raise ValueError(
            f"n_faulty={n_faulty!r} of {n_sources} {kind}: most of them must be right, so that at"
            f" most {max(n_sources - 1, 0) // 2} may be faulty."
        )
    return count


@validate_params(
    {
        "vectors": ["array-like"],
        "n_faulty": N_FAULTY_CONSTRAINTS,
        "aggregation": [StrOptions(set(AGGREGATIONS))],
        "n_jobs": [None, Integral],
    },
    prefer_skip_nested_validation=True,
)
def aggregate_sources(
    vectors: ArrayLike,
    *,
    n_faulty: float | None = None,
    aggregation: str = "nna_median",
    n_jobs: int | None = None,
) -> np.ndarray:
    """Aggregate vectors of several sources, a minority of which may be arbitrarily wrong.

    .. versionadded:: 0.1

    Parameters
    ----------
    vectors : array-like of shape (n_sources, n_features) or (n_sources, n_samples, n_features)
        One vector per source, such as coefficients; or one per source and row, such as predicted
        probabilities, in which case each row is aggregated on its own. A vector with NaN or
        infinite entries counts as faulty and is replaced by the median of the finite ones.
    n_faulty : int or float, default=None
        Maximum number of faulty sources, or their share, rounded down; less than half. None is
        the largest number that the aggregation tolerates, ``(n_sources - 1) // 2``.
    aggregation : {"nna_median", "mean", "trimmed_mean", "median", "geometric_median"}, \
default="nna_median"
        How to aggregate:

        - "nna_median": replace each vector by the average of the ``n_sources - n_faulty`` that
          are nearest to it, itself included, then take the median of each coordinate. The
          averages make it nearly as accurate as the mean where no source is wrong;
        - "mean": the mean, which a single source can move anywhere;
        - "trimmed_mean": of each coordinate, the mean without the `n_faulty` lowest and highest;
        - "median": of each coordinate, the median;
        - "geometric_median": the point with the smallest sum of distances, nearly: three steps
          from the median of each coordinate, in which distances are smoothed at a tenth of their
          median.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    aggregate : ndarray of shape (n_features,) or (n_samples, n_features)
        One vector, or one per row.

    Raises
    ------
    ValueError
        If half of the sources or more may be faulty, or more than `n_faulty` have vectors that
        are not finite.

    See Also
    --------
    SourceRobustClassifier : Trains one classifier per source and aggregates their predictions.

    Notes
    -----
    An average of nearest vectors alone is not robust: the one around an outlier contains it. So
    every vector is replaced by such an average first, and the median is taken of these.

    Vectors at equal distance share the remaining places among the nearest, so that
    the order of sources does not matter.

    References
    ----------
    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan (2023). Fixing by mixing: a recipe
    for optimal Byzantine ML under heterogeneity. AISTATS.

    Farhadkhani, Guerraoui, Gupta, Hoang, Pinot and Stephan (2023). Robust collaborative learning
    with linear gradient overhead. ICML.

    Pillutla, Kakade and Harchaoui (2022). Robust aggregation for federated learning. IEEE
    Transactions on Signal Processing 70.

    Examples
    --------
    >>> from skrobust.wrappers import aggregate_sources
    >>> vectors = [[0, 0], [1, 0], [0, 1], [1, 1], [100, 100]]
    >>> aggregate_sources(vectors, n_faulty=1).tolist()
    [0.5, 0.5]
    >>> aggregate_sources(vectors, aggregation="mean").tolist()
    [20.4, 20.4]
    """
    vectors = np.asarray(vectors)
    if vectors.dtype.kind not in "fiub":
        raise ValueError(f"vectors must be numbers, got an array of {vectors.dtype}.")
    if vectors.dtype.kind != "f" or vectors.dtype == np.float16:
        vectors = vectors.astype(np.float64 if vectors.dtype.kind != "f" else np.float32)
    if vectors.ndim not in (2, 3) or len(vectors) == 0:
        raise ValueError(
            "vectors must have shape (n_sources, n_features) or (n_sources, n_samples, n_features)"
            f" with at least one source, got an array of shape {vectors.shape}."
        )
    count = count_faulty(n_faulty, len(vectors))
    single = vectors.ndim == 2
    by_row = np.swapaxes(vectors[:, None] if single else vectors, 0, 1)
    n_samples, n_sources, n_features = by_row.shape
    out = np.empty((n_samples, n_features), dtype=vectors.dtype)

    def run(start: int, stop: int) -> None:
        rows = _without_infinite(by_row[start:stop], count, start)
        out[start:stop] = _aggregate_rows(rows, count, aggregation)

    for_each_block(run, n_samples, 8 * n_sources * (n_sources + 2 * n_features), n_jobs=n_jobs)
    return out[0] if single else out


def _aggregate_rows(rows: np.ndarray, n_faulty: int, aggregation: str) -> np.ndarray:
    """Aggregate finite vectors of shape (n_samples, n_sources, n_features) over the sources."""
    if aggregation == "mean":
        return rows.mean(axis=1)
    if aggregation == "median":
        return np.median(rows, axis=1)
    if aggregation == "trimmed_mean":
        kept = slice(n_faulty, rows.shape[1] - n_faulty)
        return np.sort(rows, axis=1)[:, kept].mean(axis=1)
    if aggregation == "geometric_median":
        return _geometric_median(rows)
    return np.median(mix_nearest(rows, n_faulty), axis=1)


def mix_nearest(rows: np.ndarray, n_faulty: int) -> np.ndarray:
    """Replace each vector by the average of the ``n_sources - n_faulty`` nearest to it."""
    n_nearest = rows.shape[1] - n_faulty
    distances = _distances(rows)
    farthest = np.partition(distances, n_nearest - 1, axis=2)[:, :, n_nearest - 1, None]
    nearer, tied = distances < farthest, distances == farthest
    left = n_nearest - nearer.sum(axis=2, keepdims=True)
    weight = (nearer + tied * (left / tied.sum(axis=2, keepdims=True))) / n_nearest
    return weight.astype(rows.dtype) @ rows


def _distances(rows: np.ndarray) -> np.ndarray:
    """Squared distances between the vectors of each row, shape (n_samples, n_sources, n_sources).

    Differences are squared one by one: inner products lose small distances beside an outlier.
    """
    distances = np.empty((*rows.shape[:2], rows.shape[1]), dtype=np.float64)
    with np.errstate(over="ignore"):  # an infinite distance is valid
        for source in range(rows.shape[1]):
            gap = (rows - rows[:, source, None]).astype(np.float64, copy=False)
            np.einsum("isj,isj->is", gap, gap, out=distances[:, source])
    return distances


def _geometric_median(rows: np.ndarray) -> np.ndarray:
    """Take Weiszfeld steps from the median of each coordinate; the mean is no robust start."""
    centre = np.median(rows, axis=1)
    smoothing = None
    for _ in range(_N_STEPS):
        with np.errstate(over="ignore"):
            gap = (rows - centre[:, None]).astype(np.float64, copy=False)
            distance = np.sqrt(np.einsum("isj,isj->is", gap, gap))
        if smoothing is None:
            smoothing = _SMOOTHING * np.median(distance, axis=1, keepdims=True)
            smoothing = np.maximum(smoothing, np.finfo(np.float64).tiny)
        weight = smoothing / np.maximum(distance, smoothing)
        weight /= weight.sum(axis=1, keepdims=True)
        centre = np.einsum("is,isj->ij", weight, rows).astype(rows.dtype)
    return centre


def _without_infinite(rows: np.ndarray, n_faulty: int, start: int) -> np.ndarray:
    """Replace vectors that are not finite by the median of those that are."""
    bad = ~np.isfinite(rows).all(axis=2)
    if not bad.any():
        return rows
    n_bad = bad.sum(axis=1)
    worst = int(n_bad.argmax())
    if n_bad[worst] > n_faulty:
        raise ValueError(
            f"{n_bad[worst]} of {rows.shape[1]} sources have NaN or infinite entries in row"
            f" {start + worst}, more than the {n_faulty} that may be faulty."
        )
    masked = np.where(bad[:, :, None], np.nan, rows)
    return np.where(bad[:, :, None], np.nanmedian(masked, axis=1)[:, None], rows)
