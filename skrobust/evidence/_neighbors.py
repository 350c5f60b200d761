"""Nearest neighbours of rows."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import assert_all_finite, indexable

from skrobust.base._labelled_data import check_groups
from skrobust.utils._input import as_numbers, check_numeric, row_hashes
from skrobust.utils._parallel import row_blocks
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import num_samples
from skrobust.utils._typing import CSRMatrix, MatrixLike

METRICS = ("cosine", "euclidean", "manhattan")
ALGORITHMS = ("auto", "exact", "approximate")

SCALES = ("rank", "standard")

EXACT_ROWS = 100_000
"""Up to so many rows the exact neighbours are found by default."""

# Neighbours that an approximate search keeps at least: with fewer, its recall is low.
_MIN_KEPT = 15
# Rows that lack neighbours are compared with all, if they are no more: that needs no preparation.
_FEW_QUERIES = 2000
# Quantiles that represent the distribution of a column.
_MAX_LANDMARKS = 1000


def choose_algorithm(algorithm: str, n_rows: int) -> str:
    """Resolve "auto" by the number of rows, and refuse a search that is not installed."""
    if algorithm == "auto":
        algorithm = "exact" if n_rows <= EXACT_ROWS else "approximate"
    if algorithm == "approximate":
        _import_pynndescent(n_rows)
    return algorithm


def _import_pynndescent(n_rows):
    try:
        import pynndescent
    except ImportError as error:
        raise ImportError(
            f"Approximate neighbours of {n_rows} rows need pynndescent, which is not installed:"
            ' pip install "skrobust[ann]". With algorithm="exact" all pairs of rows are'
            " compared instead."
        ) from error
    return pynndescent


class NeighborIndex:
    """Index of rows for nearest-neighbour queries."""

    # Cosine distances are half of the squared Euclidean distances of rows of length one, so that
    # trees and fast pairwise distances serve them as well.

    def __init__(
        self,
        X: MatrixLike,
        *,
        metric: str,
        algorithm: str,
        n_neighbors: int,
        n_jobs: int | None = None,
        random_state: np.random.RandomState | None = None,
    ):
        self.metric = metric
        self.n_rows: int = X.shape[0]
        n_columns = X.shape[1]
        if metric == "cosine":
            X = _normalize(X)
        self.extra: bool = X.shape[1] > n_columns
        self.rows: MatrixLike = X
        self.exact: bool = algorithm == "exact"
        self.n_jobs = n_jobs
        self.n_neighbors = n_neighbors
        self.random_state = random_state
        self._prepare()

    def _prepare(self) -> None:
        """Prepare the search for neighbours among the rows."""
        plain = "manhattan" if self.metric == "manhattan" else "euclidean"
        if self.exact:
            self.search: Any = NearestNeighbors(metric=plain, n_jobs=self.n_jobs).fit(self.rows)
        else:
            n_rows = self.rows.shape[0]
            # Warnings that rows have too few neighbours: those are searched again, exactly.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.search = _import_pynndescent(n_rows).NNDescent(
                    self.rows,
                    metric=plain,
                    n_neighbors=min(max(self.n_neighbors, _MIN_KEPT), n_rows),
                    random_state=draw_seed(self.random_state),
                    low_memory=True,
                    n_jobs=effective_n_jobs(self.n_jobs),
                )

    def own_neighbors(
        self, rows: np.ndarray, n_neighbors: int, left_out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest neighbours of indexed rows, themselves included: distances and positions."""
        if left_out is not None:
            return self._search_without(left_out, self.rows[rows], n_neighbors)
        if self.exact:
            return self._search(self.rows[rows], n_neighbors)
        kept, distances = self.search.neighbor_graph
        if kept.shape[1] >= n_neighbors:
            found = kept[rows, :n_neighbors], distances[rows, :n_neighbors]
            return self._finish(found[1].copy(), found[0].copy())
        some = self.rows[rows]
        if some.shape[0] <= _FEW_QUERIES:
            plain = "manhattan" if self.metric == "manhattan" else "euclidean"
            exact = NearestNeighbors(metric=plain, algorithm="brute").fit(self.rows)
            return self._finish(*exact.kneighbors(some, n_neighbors))
        return self._search(some, n_neighbors)

    def neighbors(
        self, X: MatrixLike, n_neighbors: int, left_out: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest neighbours of other rows: distances and positions."""
        if self.metric == "cosine":
            X = _normalize(X, self.extra)
        if left_out is not None:
            return self._search_without(left_out, X, n_neighbors)
        return self._search(X, n_neighbors)

    def _search_without(self, left_out, X, n_neighbors):
        """Search among all rows but some, whose positions remain counted."""
        kept = np.flatnonzero(~left_out)
        others = copy.copy(self)
        others.rows = self.rows[kept]
        others._prepare()
        distances, neighbors = others._search(X, n_neighbors)
        lost = neighbors < 0
        neighbors = kept.astype(np.int32)[neighbors]
        neighbors[lost] = -1
        return distances, neighbors

    def _search(self, X, n_neighbors):
        distances = np.empty((X.shape[0], n_neighbors), dtype=np.float32)
        neighbors = np.empty((X.shape[0], n_neighbors), dtype=np.int32)
        if X.shape[0] == 0:
            return distances, neighbors

        # A result is two words per neighbour: a block is many rows.
        for rows in row_blocks(X.shape[0], 16 * n_neighbors, block_bytes=1 << 26):
            if not self.exact:
                found, near = self.search.query(X[rows], k=n_neighbors)
            else:
                near, found = self.search.kneighbors(X[rows], n_neighbors)
            distances[rows], neighbors[rows] = near, found
        return self._finish(distances, neighbors)

    def _finish(self, distances, neighbors):
        """Convert Euclidean to cosine distances, and sort equal distances by position."""
        lost = neighbors < 0
        distances = distances.astype(np.float32, copy=False)
        if self.metric == "cosine":
            np.square(distances, out=distances)
            distances *= 0.5
        if lost.any():
            distances[lost] = np.inf
        neighbors = neighbors.astype(np.int32, copy=False)

        for rows in row_blocks(len(neighbors), 24 * neighbors.shape[1], block_bytes=1 << 22):
            order = np.lexsort((neighbors[rows], distances[rows]), axis=1)
            for array in (distances, neighbors):
                array[rows] = np.take_along_axis(array[rows], order, axis=1)
        return distances, neighbors


def find_others(
    search: Callable,
    group: np.ndarray,
    other_group: np.ndarray,
    n_neighbors: int,
    *,
    spare: int,
) -> tuple:
    """Search for more neighbours until each row has enough outside of its own group."""
    # Twice as many neighbours of a row of a large group are mostly of that group again. Where they
    # cost more than a pass over all candidates, those outside of the group are searched alone.
    n_queries, n_candidates = len(group), len(other_group)
    distances = np.full((n_queries, n_neighbors), np.inf, dtype=np.float32)
    neighbors = np.full((n_queries, n_neighbors), -1, dtype=np.int32)

    def keep_others(rows, found, near) -> np.ndarray:
        """Keep the nearest outside of the row's group; return the rows that have too few."""
        short = np.zeros(len(rows), dtype=bool)
        for some in row_blocks(len(rows), 32 * found.shape[1], block_bytes=1 << 22):
            good = np.isfinite(found[some])
            good &= other_group[near[some]] != group[rows[some]][:, None]
            place = np.cumsum(good, axis=1)
            short[some] = place[:, -1] < n_neighbors
            good &= place <= n_neighbors
            row, column = np.nonzero(good)
            target = rows[some][row], place[row, column] - 1
            distances[target] = found[some][row, column]
            neighbors[target] = near[some][row, column]
        return rows[short]

    wanted, rows = n_neighbors + spare, np.arange(n_queries)
    while len(rows):
        wanted = min(wanted, n_candidates)
        found = search(slice(None) if len(rows) == n_queries else rows, wanted)
        rows = keep_others(rows, *found)
        if wanted == n_candidates:
            break
        wanted *= 2
        groups, n_members = np.unique(group[rows], return_counts=True)
        large = groups[(n_members * wanted > n_candidates) & np.isin(groups, other_group)]
        for number in large:
            own = other_group == number
            n_others = n_candidates - np.count_nonzero(own)
            if n_others:
                members = rows[group[rows] == number]
                keep_others(members, *search(members, min(n_neighbors, n_others), own))
        rows = rows[~np.isin(group[rows], large)]
    return distances, neighbors


def _normalize(X, extra: bool | None = None):
    """Scale rows to length one."""
    # A row of zeros has no direction, and is orthogonal to all others: it gets the direction of a
    # column of its own, which is appended if `extra`, or if there is such a row.
    n_rows = X.shape[0]
    tiny = np.finfo(np.float32).tiny
    if sparse.issparse(X):
        row = np.repeat(np.arange(n_rows), np.diff(X.indptr))
        norms = np.sqrt(np.bincount(row, np.square(X.data, dtype=np.float64), minlength=n_rows))
        X = X.copy()
        X.data /= np.maximum(norms, tiny)[row].astype(np.float32)
    else:
        norms = np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))
        X = X / np.maximum(norms, tiny).astype(np.float32)[:, None]
    zero = norms == 0
    if not (zero.any() if extra is None else extra):
        return X
    column = zero.astype(np.float32)[:, None]
    if sparse.issparse(X):
        X = sparse.hstack([X, sparse.csr_matrix(column)], format="csr")
        X.indices, X.indptr = X.indices.astype(np.intc), X.indptr.astype(np.intc)
        return X
    return np.ascontiguousarray(np.hstack([X, column]))


class ColumnScaler:
    """Scaler of columns by ranks ("rank"), by mean and standard deviation ("standard"), or not."""

    def __init__(self, scale: str | None):
        self.scale = scale

    def fit(self, X: np.ndarray, weight: np.ndarray) -> "ColumnScaler":
        """Learn from the rows of positive weight."""
        if self.scale is None:
            return self
        counts = weight > 0
        X, weight = (X, weight) if counts.all() else (X[counts], weight[counts])
        weight = weight / weight.sum()
        if self.scale == "standard":
            mean = np.array([weight @ column for column in X.T])
            deviation = np.sqrt([weight @ (column - m) ** 2 for column, m in zip(X.T, mean)])
            # The deviations of a constant column are rounding errors.
            flat = deviation <= 10 * np.finfo(X.dtype).eps * np.abs(mean)
            self.mean_: np.ndarray = mean
            self.deviation_: np.ndarray = np.where(flat, np.inf, deviation)
        else:
            self.landmarks_: list[tuple[np.ndarray, np.ndarray]] = [
                _rank_landmarks(column, weight) for column in X.T
            ]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Scale rows."""
        if self.scale is None:
            return X.astype(np.float32, copy=False)
        scaled = np.empty(X.shape, dtype=np.float32)
        for j, column in enumerate(X.T):
            if self.scale == "standard":
                scaled[:, j] = (column - self.mean_[j]) / self.deviation_[j]
            else:
                scaled[:, j] = np.interp(column, *self.landmarks_[j])
        return scaled


def index_voters(
    X, weight: np.ndarray, scale: str | None, *, metric: str, algorithm: str, **options
) -> tuple[ColumnScaler, Any, NeighborIndex]:
    """Scale rows, and index those of positive weight; return scaler, scaled rows and index."""
    scaler = ColumnScaler(scale).fit(X, weight)
    scaled, voters = scaler.transform(X), np.flatnonzero(weight > 0)
    algorithm = choose_algorithm(algorithm, len(voters))
    indexed = scaled if len(voters) == len(weight) else scaled[voters]
    return scaler, scaled, NeighborIndex(indexed, metric=metric, algorithm=algorithm, **options)


def _rank_landmarks(column, weight) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values of a column, or some of them, with their ranks."""
    values, group = np.unique(column, return_inverse=True)
    share = np.bincount(group, weights=weight)
    rank = np.cumsum(share) - share / 2
    if len(values) > _MAX_LANDMARKS:
        wanted = np.linspace(rank[0], rank[-1], _MAX_LANDMARKS)
        kept = np.unique(np.searchsorted(rank, wanted).clip(max=len(rank) - 1))
        values, rank = values[kept], rank[kept]
    return values, rank


ADVICE = (
    "Neighbours are found among numbers: encode text and categories first, or use a detector that"
    " passes X to a classifier, such as ConfidentLearning(estimator=a Pipeline that encodes X)."
)

# A sparse matrix of no more columns is made dense.
_FEW_COLUMNS = 100


def neighbor_graph(
    X: MatrixLike,
    *,
    n_neighbors: int,
    metric: str = "euclidean",
    algorithm: str = "auto",
    groups: ArrayLike | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> CSRMatrix:
    """Find the nearest other rows of each row.

    .. versionadded:: 0.1

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        Numbers, none missing. With ``metric="precomputed"``, a sparse matrix of shape
        (n_samples, n_samples) of distances to at least `n_neighbors` others in each row, as
        :class:`sklearn.neighbors.KNeighborsTransformer` makes it.
    n_neighbors : int
        Number of neighbours of each row, itself not counted.
    metric : {"euclidean", "cosine", "manhattan", "precomputed"}, default="euclidean"
        Distance. Columns are taken as they are: scale them first.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search. "approximate" needs pynndescent, which ``pip install "skrobust[ann]"``
        brings. "auto" is exact up to 100 000 rows and approximate above.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group are no neighbours of one another.
    n_jobs : int, default=None
        Number of threads.
    random_state : int, RandomState instance or None, default=None
        Seed of an approximate search. None draws fresh entropy.

    Returns
    -------
    graph : sparse matrix of shape (n_samples, n_samples)
        Distances in CSR format, as float32. The neighbours of each row are in the order of
        their distances; those at distance zero, such as equal rows, are stored too.

    Raises
    ------
    ValueError
        If there are too few rows, or X is not finite.
    ImportError
        If an approximate search is needed and pynndescent is not installed.

    See Also
    --------
    sklearn.neighbors.KNeighborsTransformer : Makes such graphs, one step of a Pipeline.

    References
    ----------
    Dong, Moses and Li (2011). Efficient k-nearest neighbor graph construction for generic
    similarity measures. WWW.

    Examples
    --------
    >>> from skrobust.evidence import neighbor_graph
    >>> graph = neighbor_graph([[0.0], [1.0], [1.0], [5.0]], n_neighbors=2)
    >>> graph.indices.reshape(4, 2)
    array([[1, 2],
           [2, 0],
           [1, 0],
           [1, 2]], dtype=int32)
    >>> graph.data.reshape(4, 2).tolist()
    [[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [4.0, 4.0]]
    """
    _check_option("metric", metric, (*METRICS, "precomputed"))
    _check_option("algorithm", algorithm, ALGORITHMS)
    if not isinstance(n_neighbors, (int, np.integer)) or isinstance(n_neighbors, bool):
        raise TypeError(f"n_neighbors must be an integer, got {n_neighbors!r}.")
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors must be at least 1, got {n_neighbors!r}.")
    (X,) = indexable(X)
    n_rows = num_samples(X)
    check_enough_rows(n_neighbors, n_rows, "rows")
    groups = check_groups(groups, n_rows)
    every = np.ones(n_rows, dtype=bool)
    group = np.arange(n_rows) if groups is None else groups
    if metric == "precomputed":
        graph = take_precomputed(X, n_neighbors, every, group)
    else:
        numbers = read_numbers(X)
        index = NeighborIndex(
            ColumnScaler(None).transform(numbers),
            metric=metric,
            algorithm=choose_algorithm(algorithm, n_rows),
            n_neighbors=n_neighbors + 1,
            n_jobs=n_jobs,
            random_state=private_random_state(random_state),
        )
        graph = search_graph(index.own_neighbors, group, group, n_neighbors)
        # Rounding must not separate equal rows.
        hashes = row_hashes(X)
        if len(np.unique(hashes)) < n_rows:
            row = np.repeat(np.arange(n_rows), np.diff(graph.indptr))
            graph.data[hashes[row] == hashes[graph.indices]] = 0
            graph = sort_rows(graph)
    short = np.flatnonzero(np.diff(graph.indptr) < n_neighbors)
    if len(short):
        raise ValueError(
            f"Row {short[0]} has {graph.indptr[short[0] + 1] - graph.indptr[short[0]]} neighbours"
            f" outside its group, fewer than n_neighbors={n_neighbors}."
        )
    return graph


def _check_option(name, value, options) -> None:
    """Refuse an unknown option."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.")


def check_enough_rows(n_neighbors: int, n_rows: int, what: str) -> None:
    """Refuse to search for as many neighbours as there are rows."""
    if n_neighbors >= n_rows:
        raise ValueError(
            f"n_neighbors={n_neighbors} needs at least {n_neighbors + 1} {what}, found {n_rows}"
            f" {what}: found array with {n_rows} sample(s)."
        )


def read_numbers(X, dtype=(np.float64, np.float32)):
    """Convert a numeric array of finite entries, of few columns to a dense one."""
    check_numeric(X, ADVICE)
    X = as_numbers(X, list(dtype))
    if sparse.issparse(X) and X.shape[1] <= _FEW_COLUMNS:
        X = X.toarray()
    assert_all_finite(X.data if sparse.issparse(X) else X, input_name="X")
    return X


def search_graph(search, group, candidate_group, n_neighbors, *, spare=1) -> CSRMatrix:
    """Nearest candidates of each row outside of its group, as a matrix of distances."""
    distances, neighbors = find_others(search, group, candidate_group, n_neighbors, spare=spare)
    held = neighbors >= 0
    indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    full = held.all()
    data = distances.ravel() if full else distances[held]
    indices = neighbors.ravel() if full else neighbors[held]
    return make_csr(data, indices, indptr, (len(group), len(candidate_group)))


def make_csr(data, indices, indptr, shape) -> CSRMatrix:
    """Make a matrix whose entries stay in their order."""
    small = len(data) < np.iinfo(np.int32).max
    dtype = np.int32 if small else np.int64
    matrix = sparse.csr_matrix(shape, dtype=np.float32)
    matrix.data = data
    matrix.indices, matrix.indptr = indices.astype(dtype), indptr.astype(dtype)
    return matrix


def as_graph(X) -> CSRMatrix:
    """Copy a sparse matrix of distances with sorted rows."""
    if not sparse.issparse(X):
        raise TypeError(
            'metric="precomputed" needs a sparse matrix of distances, as KNeighborsTransformer'
            f" makes it, got {type(X).__name__}."
        )
    X = sparse.csr_matrix(X)
    assert_all_finite(X.data, input_name="X")
    if len(X.data) and X.data.min() < 0:
        raise ValueError("X has negative entries, which are no distances.")
    return sort_rows(make_csr(X.data.astype(np.float32), X.indices, X.indptr, X.shape))


def sort_rows(graph) -> CSRMatrix:
    """Sort the neighbours of each row by distance, and at equal distance by number."""
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    order = np.lexsort((graph.indices, graph.data, row))
    return make_csr(graph.data[order], graph.indices[order], graph.indptr, graph.shape)


def join_replicates(X, group) -> np.ndarray:
    """Put rows at distance zero of one another, which are replicates, into one group."""
    X = sparse.csr_matrix(X)
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    zero = X.data == 0
    n_rows = len(group)
    links = sparse.coo_matrix(
        (
            np.ones(zero.sum() + n_rows, dtype=np.int8),
            (
                np.concatenate([row[zero], np.arange(n_rows)]),
                np.concatenate([X.indices[zero], n_rows + group]),
            ),
        ),
        shape=(2 * n_rows, 2 * n_rows),
    )
    return sparse.csgraph.connected_components(links, directed=False)[1][:n_rows]


def check_square(X, n_neighbors: int | None) -> None:
    """Refuse a graph that is not square, or has too few neighbours in a row."""
    if not sparse.issparse(X):
        as_graph(X)
    if X.shape[0] != X.shape[1]:
        raise ValueError(
            f'metric="precomputed" needs distances between all rows, got X of shape {X.shape}.'
        )
    held = others_stored(X)
    wanted = 1 if n_neighbors is None else n_neighbors
    short = np.flatnonzero(held < wanted)
    if len(short):
        raise ValueError(
            f"n_neighbors={wanted} needs a graph with as many neighbours in each row, but row"
            f" {short[0]} of X has {held[short[0]]} neighbours besides itself."
        )


def others_stored(X) -> np.ndarray:
    """Count the entries of each row of a graph besides the one on the diagonal."""
    X = sparse.csr_matrix(X)
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    return np.bincount(row[X.indices != row], minlength=X.shape[0])


def take_precomputed(X, n_neighbors, used, group) -> CSRMatrix:
    """Select the nearest neighbours from a precomputed graph."""
    check_square(X, n_neighbors)
    graph = as_graph(X)
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    others = (group[row] != group[graph.indices]) & (graph.indices != row)
    return select_neighbors(graph, used, n_neighbors, others)


def select_neighbors(
    graph, used: np.ndarray, n_neighbors: int, entries: np.ndarray | None = None
) -> CSRMatrix:
    """Select the nearest of some neighbours from a graph of more of them."""
    good = used[graph.indices]
    if entries is not None:
        good &= entries
    before = np.concatenate([[0], np.cumsum(good)])
    before_row = np.repeat(before[graph.indptr[:-1]], np.diff(graph.indptr))
    good &= before[1:] - before_row <= n_neighbors
    indptr = np.concatenate([[0], np.cumsum(good)])[graph.indptr]
    return make_csr(graph.data[good], graph.indices[good], indptr, graph.shape)
