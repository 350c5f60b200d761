"""KNN-Shapley values: the contribution of each label to predictions of nearest neighbours."""

from numbers import Integral

import numpy as np
from sklearn.utils import indexable

from skrobust.base import LabelledData
from skrobust.evidence._neighbor_evidence import (
    find_unique_rows,
    search_neighborhood,
    unique_numbers,
)
from skrobust.evidence._neighbors import METRICS, check_enough_rows
from skrobust.utils._random import private_random_state
from skrobust.utils._typing import LabelsLike, MatrixLike

MAX_NEIGHBORS = 400
"""Neighbours of a row among which its prediction is divided."""


def knn_shapley_scores(
    X: MatrixLike,
    y: LabelsLike,
    *,
    n_neighbors: int = 10,
    metric: str = "euclidean",
    max_neighbors: int = MAX_NEIGHBORS,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """KNN-Shapley scores of labels, by their contribution to predictions of other rows.

    The Shapley value of a row is its fair share in the success of a classifier by nearest
    neighbours. Each row is predicted by all others, and what the label of a row adds to the
    predictions of others is compared with what it takes from them.

    .. versionadded:: 0.1

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        Numbers, none missing. Scale the columns first.
    y : array-like of shape (n_samples,)
        Given labels. Rows without a label take no part.
    n_neighbors : int, default=10
        Number of neighbours of the classifier whose success is shared out.
    metric : {"euclidean", "cosine", "manhattan"}, default="euclidean"
        Distance.
    max_neighbors : int, default=400
        Number of neighbours among which each prediction is shared out. Values are exact if it
        is no less than the number of distinct rows.
    n_jobs : int, default=None
        Number of threads.
    random_state : int, RandomState instance or None, default=None
        Seed of the approximate search for neighbours among more than 100 000 rows.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        The positive part of what a label adds, as a share of positive and negative parts; half
        of a prediction is added to both. Below .5, a label does more harm than good. NaN where
        the label is missing.

    Raises
    ------
    ValueError
        If there are fewer than two classes, too few rows, or a parameter is out of range.

    See Also
    --------
    NeighborVote : The detector that offers these scores as a method.

    References
    ----------
    Jia, Dao, Wang, Hubis, Gurel, Li, Zhang, Spanos and Song (2019). Efficient task-specific data
    valuation for nearest neighbor algorithms. VLDB.

    Examples
    --------
    >>> from skrobust.detection import knn_shapley_scores
    >>> X = [[0.0], [0.1], [0.2], [0.3], [0.4], [5.0], [5.1], [5.2], [5.3], [5.4]]
    >>> y = [0, 0, 1, 0, 0, 1, 1, 1, 1, 1]
    >>> int(knn_shapley_scores(X, y, n_neighbors=2).argmin())
    2
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}.")
    for name, value in (("n_neighbors", n_neighbors), ("max_neighbors", max_neighbors)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
    (X,) = indexable(X)
    data = LabelledData.from_arrays(X, y)
    unique = find_unique_rows(data)
    n_voters = len(unique.voters)
    check_enough_rows(n_neighbors, n_voters, "distinct rows with a label")
    neighborhood = search_neighborhood(
        unique,
        unique_numbers(X, unique),
        min(max(max_neighbors, n_neighbors), n_voters - 1),
        metric=metric,
        n_wanted=n_neighbors,
        n_jobs=n_jobs,
        random_state=private_random_state(random_state),
    )
    quality = ShapleyValues(neighborhood, data).quality(data.y)
    return np.where(data.y < 0, np.nan, quality)


def shapley_coefficients(ranks: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Difference of the values of the neighbours at a rank, from 1, and at the next."""
    return np.minimum(n_neighbors, ranks) / (n_neighbors * ranks)


class ShapleyValues:
    """Values of unique rows to each prediction of another, whatever label they have."""

    # The recursion of Jia et al. goes from the furthest neighbour to the nearest. The label of a
    # neighbour enters its own value in one place only, so that the values it would have with
    # other labels need no further pass.

    def __init__(self, neighborhood, data):
        self.unique = unique = neighborhood.unique
        graph = neighborhood.graph[unique.voters]
        counts = np.diff(graph.indptr)
        self.n_classes = len(data.classes)
        class_weight = unique.class_weight(data)
        self.test = np.repeat(unique.voters, counts)
        self.neighbor = graph.indices
        rank = np.arange(1, len(self.test) + 1) - np.repeat(graph.indptr[:-1], counts)
        self.coefficient = shapley_coefficients(rank, neighborhood.n_neighbors)
        total = np.asarray(class_weight.sum(axis=1)).ravel()
        self.shares = class_weight.multiply(1 / np.where(total > 0, total, 1)[:, None]).tocsr()
        match = self._match()
        # The match of the next neighbour; after the last there is none, which counts as wrong if
        # all are there, and as the last itself if others are left out.
        following = np.append(match[1:], 0.0)
        last = graph.indptr[1:][counts > 0] - 1
        truncated = (counts == neighborhood.n_found) & (counts < len(unique.voters) - 1)
        following[last] = np.where(truncated[counts > 0], match[last], 0.0)
        sums = np.cumsum(self.coefficient * (match - following))
        ends = np.repeat(sums[np.maximum(graph.indptr[1:] - 1, 0)], counts)
        self.rest = (ends - sums) - self.coefficient * following

    def _match(self) -> np.ndarray:
        """Share of rows of a unique row and of its neighbour that have the same label."""
        pure = np.diff(self.shares.indptr) == 1
        code = np.full(self.shares.shape[0], -1)
        code[pure] = self.shares.indices[self.shares.indptr[:-1][pure]]
        match = (code[self.test] == code[self.neighbor]).astype(np.float64)
        mixed = np.flatnonzero(~pure[self.test] | ~pure[self.neighbor])
        if len(mixed):
            both = self.shares[self.test[mixed]].multiply(self.shares[self.neighbor[mixed]])
            match[mixed] = np.asarray(both.sum(axis=1)).ravel()
        return match

    def of_label(self, label: int, entries: np.ndarray) -> np.ndarray:
        """Values of neighbours to the prediction of one other unique row, if all have a label."""
        share = np.asarray(self.shares[:, [label]].todense()).ravel()
        return self.coefficient[entries] * share[self.test[entries]] + self.rest[entries]

    def quality(self, codes: np.ndarray) -> np.ndarray:
        """Score labels; NaN for missing ones, and for rows that are not learned from."""
        unique, n_unique = self.unique, len(self.unique.first)
        quality = np.full(len(codes), np.nan)
        known = (codes >= 0) & (unique.weight > 0)[unique.of_row]
        for label in np.unique(codes[known]):
            rows = np.flatnonzero(known & (codes == label))
            wanted = np.zeros(n_unique, dtype=bool)
            wanted[unique.of_row[rows]] = True
            entries = np.flatnonzero(wanted[self.neighbor])
            values = self.of_label(label, entries) * unique.weight[self.test[entries]]
            neighbor = self.neighbor[entries]
            gain, loss = (
                np.bincount(neighbor, np.maximum(sign * values, 0), minlength=n_unique)
                for sign in (1, -1)
            )
            place = unique.of_row[rows]
            quality[rows] = (gain[place] + 0.5) / (gain[place] + loss[place] + 1)
        return quality
