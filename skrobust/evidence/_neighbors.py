"""Nearest neighbours of rows: graphs of distances, their selection and their search."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.utils import assert_all_finite, indexable

from skrobust.base._labelled_data import check_groups
from skrobust.evidence._neighbor_index import (
    ALGORITHMS,
    METRICS,
    ColumnScaler,
    NeighborIndex,
    choose_algorithm,
    find_others,
)
from skrobust.utils._random import private_random_state
from skrobust.utils._rows import as_numbers, check_numeric, row_hashes
from skrobust.utils._sklearn import num_samples
from skrobust.utils._typing import CSRMatrix, MatrixLike

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
