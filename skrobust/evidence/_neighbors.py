"""Which rows are nearest to each row? One neighbour graph for every method that looks at them."""

import dataclasses

import numpy as np
from scipy import sparse
from sklearn.utils import assert_all_finite, indexable

from skrobust.base._labelled_data import check_groups
from skrobust.evidence._copies import RowParts, common_rows, divide_rows
from skrobust.evidence._folds import row_units
from skrobust.evidence._neighbor_index import (
    ALGORITHMS,
    METRICS,
    NeighborIndex,
    choose_algorithm,
    find_others,
)
from skrobust.evidence._scaling import ColumnScaler
from skrobust.utils._random import private_random_state
from skrobust.utils._rows import as_numbers, check_numeric, mix_words, row_hashes
from skrobust.utils._sklearn import num_samples, safe_indexing

ADVICE = (
    "Neighbours are found among numbers: encode text and categories first, or use a detector that"
    " hands X on to a classifier, such as ConfidentLearning(estimator=a Pipeline that encodes X)."
)

# Units of a common value, at most: more than there are neighbours.
_MOST_PARTS = 50
# A sparse table of so few columns is made dense, like one that came so.
_FEW_COLUMNS = 100


def neighbor_graph(
    X,
    *,
    n_neighbors,
    metric="euclidean",
    algorithm="auto",
    groups=None,
    n_jobs=None,
    random_state=None,
) -> sparse.csr_matrix:
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
    owner = np.arange(n_rows) if groups is None else groups
    if metric == "precomputed":
        graph = _take_precomputed(X, n_neighbors, every, owner)
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
        graph = _search(index.own_neighbors, owner, owner, n_neighbors)
        # Rounding must not put equal rows at a distance.
        hashes = row_hashes(X)
        if len(np.unique(hashes)) < n_rows:
            row = np.repeat(np.arange(n_rows), np.diff(graph.indptr))
            graph.data[hashes[row] == hashes[graph.indices]] = 0
            graph = _sort_rows(graph)
    short = np.flatnonzero(np.diff(graph.indptr) < n_neighbors)
    if len(short):
        raise ValueError(
            f"Row {short[0]} has {graph.indptr[short[0] + 1] - graph.indptr[short[0]]} neighbours"
            f" outside its group, fewer than n_neighbors={n_neighbors}."
        )
    return graph


def _check_option(name, value, options) -> None:
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}.")


def check_enough_rows(n_neighbors: int, n_rows: int, what: str) -> None:
    """Refuse to look for as many neighbours as there are rows."""
    if n_neighbors >= n_rows:
        raise ValueError(
            f"n_neighbors={n_neighbors} needs at least {n_neighbors + 1} {what}, found {n_rows}"
            f" {what}: found array with {n_rows} sample(s)."
        )


def read_numbers(X, dtype=(np.float64, np.float32)):
    """Read a table of finite numbers."""
    check_numeric(X, ADVICE)
    X = as_numbers(X, list(dtype))
    if sparse.issparse(X) and X.shape[1] <= _FEW_COLUMNS:
        X = X.toarray()
    assert_all_finite(X.data if sparse.issparse(X) else X, input_name="X")
    return X


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """Distinct rows, in an order that depends on their content alone."""

    of_row: np.ndarray
    first: np.ndarray
    owner: np.ndarray
    mass: np.ndarray
    parts: RowParts | None = None

    @property
    def voters(self) -> np.ndarray:
        """Units that are learned from."""
        return np.flatnonzero(self.mass > 0)

    def class_mass(self, data) -> sparse.csr_matrix:
        """Weigh the classes of each unit."""
        rows = np.flatnonzero(data.used)
        weight = np.ones(len(rows)) if data.sample_weight is None else data.sample_weight[rows]
        unit = self.of_row if self.parts is None else self.parts.pair_of_row
        n_units, n_classes = len(self.first), len(data.classes)
        shape = n_units if self.parts is None else len(self.parts.label), n_classes
        mass = sparse.csr_matrix((weight, (unit[rows], data.y_train[rows])), shape=shape)
        mass.sum_duplicates()
        if self.parts is not None:
            mass = (self.parts.share.T @ mass).tocsr()
            mass.sort_indices()
        total = np.asarray(mass.sum(axis=1)).ravel()
        mass.data /= total[total > 0].mean()
        return mass

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Turn one value, or row of values, per unit into one per row."""
        return values[self.of_row] if self.parts is None else self.parts.per_row(values)


def make_units(data, *, merge: bool = True) -> Units:
    """Merge equal rows."""
    weight = data.used if data.sample_weight is None else data.sample_weight * data.used
    if not merge:
        rows = np.arange(data.n_samples)
        owner = rows if data.groups is None else data.groups
        return Units(rows, rows, owner, weight / weight[weight > 0].mean())
    labels = np.where(data.used, data.y_train, -1)
    hashes = row_hashes(data.X)
    if data.groups is None:
        parts = divide_rows(hashes, labels, data.sample_weight, n_parts=_MOST_PARTS)
        owner = np.arange(len(parts.first))
    else:
        # The rows of a common value are divided by their groups.
        common = common_rows(hashes, labels, data.sample_weight)
        of_group = mix_words(hashes ^ mix_words(data.groups.astype(np.uint64) + np.uint64(1)))
        hashes = np.where(common, of_group, hashes)
        parts = divide_rows(hashes, labels, data.sample_weight, n_parts=1)
        owner = row_units(data.X, labels, data.groups, data.sample_weight)[parts.first]
    pair_mass = np.bincount(parts.pair_of_row, weights=weight)
    mass = parts.share.T @ pair_mass
    return Units(parts.of_row, parts.first, owner, mass / mass[mass > 0].mean(), parts)


class Neighborhood:
    """The neighbours of all units of a data set among those that are learned from."""

    def __init__(
        self,
        units,
        X,
        n_neighbors: int,
        *,
        metric: str,
        scale: str | None = None,
        algorithm: str = "auto",
        n_jobs: int | None = None,
        random_state=None,
    ):
        self.n_units, self.n_neighbors = len(units.first), n_neighbors
        self.voters, self.precomputed = units.voters, metric == "precomputed"
        if self.precomputed:
            used = units.mass > 0
            self.graph = _take_precomputed(X, n_neighbors, used, _joined(X, units.owner))
            return
        self.scaler = ColumnScaler(scale).fit(X, units.mass)
        scaled = self.scaler.transform(X)
        voters = units.voters
        every = len(voters) == len(units.first)
        self.index = NeighborIndex(
            scaled if every else scaled[voters],
            metric=metric,
            algorithm=choose_algorithm(algorithm, len(voters)),
            n_neighbors=n_neighbors + 1,
            n_jobs=n_jobs,
            random_state=random_state,
        )
        graph = _search(
            self.index.own_neighbors, units.owner[voters], units.owner[voters], n_neighbors
        )
        if every:
            self.graph = graph
            return
        others = np.flatnonzero(units.mass <= 0)
        rest = scaled[others]
        more = _search(
            lambda rows, k, left_out=None: self.index.neighbors(rest[rows], k, left_out),
            units.owner[others],
            units.owner[voters],
            n_neighbors,
        )
        place = np.empty(self.n_units, dtype=np.intp)
        place[voters], place[others] = np.arange(len(voters)), len(voters) + np.arange(len(others))
        both = sparse.vstack([graph, more], format="csr")[place]
        self.graph = self._to_units(both)

    def _to_units(self, graph) -> sparse.csr_matrix:
        """Turn columns that count voters into columns that count units."""
        if len(self.voters) == self.n_units:
            return graph
        return _csr(
            graph.data, self.voters[graph.indices], graph.indptr, (graph.shape[0], self.n_units)
        )

    def query(self, X) -> sparse.csr_matrix:
        """Find the neighbours of rows that were not in the fit."""
        if self.precomputed:
            used = np.zeros(self.n_units, dtype=bool)
            used[self.voters] = True
            return select_neighbors(_as_graph(X), used, self.n_neighbors)
        scaled = self.scaler.transform(read_numbers(X))
        n_queries = scaled.shape[0]
        graph = _search(
            lambda rows, k: self.index.neighbors(scaled[rows], k),
            np.full(n_queries, -1),
            np.zeros(len(self.voters), dtype=np.intp),
            self.n_neighbors,
            spare=0,
        )
        return self._to_units(graph)


def unit_rows(X, units):
    """Read the rows that stand for units."""
    check_numeric(X, ADVICE)
    return read_numbers(safe_indexing(X, units.first))


def _search(search, owner, voter_owner, n_neighbors, *, spare=1) -> sparse.csr_matrix:
    """Find the nearest voters of each row that are not its own, as a matrix of distances."""
    distances, neighbors = find_others(search, owner, voter_owner, n_neighbors, spare=spare)
    held = neighbors >= 0
    indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    full = held.all()
    data = distances.ravel() if full else distances[held]
    indices = neighbors.ravel() if full else neighbors[held]
    return _csr(data, indices, indptr, (len(owner), len(voter_owner)))


def _csr(data, indices, indptr, shape) -> sparse.csr_matrix:
    """Make a matrix whose entries stay in their order."""
    small = len(data) < np.iinfo(np.int32).max
    dtype = np.int32 if small else np.int64
    matrix = sparse.csr_matrix(shape, dtype=np.float32)
    matrix.data = data
    matrix.indices, matrix.indptr = indices.astype(dtype), indptr.astype(dtype)
    return matrix


def _as_graph(X) -> sparse.csr_matrix:
    """Take a matrix of distances, without a change to it."""
    if not sparse.issparse(X):
        raise TypeError(
            'metric="precomputed" needs a sparse matrix of distances, as KNeighborsTransformer'
            f" makes it, got {type(X).__name__}."
        )
    X = sparse.csr_matrix(X)
    assert_all_finite(X.data, input_name="X")
    if len(X.data) and X.data.min() < 0:
        raise ValueError("X has negative entries, which are no distances.")
    return _sort_rows(_csr(X.data.astype(np.float32), X.indices, X.indptr, X.shape))


def _sort_rows(graph) -> sparse.csr_matrix:
    """Sort the neighbours of each row by distance, and at equal distance by number."""
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    order = np.lexsort((graph.indices, graph.data, row))
    return _csr(graph.data[order], graph.indices[order], graph.indptr, graph.shape)


def _joined(X, owner) -> np.ndarray:
    """Give rows at distance zero of one another, which are copies, the same owner."""
    X = sparse.csr_matrix(X)
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    zero = X.data == 0
    n_rows = len(owner)
    links = sparse.coo_matrix(
        (
            np.ones(zero.sum() + n_rows, dtype=np.int8),
            (
                np.concatenate([row[zero], np.arange(n_rows)]),
                np.concatenate([X.indices[zero], n_rows + owner]),
            ),
        ),
        shape=(2 * n_rows, 2 * n_rows),
    )
    return sparse.csgraph.connected_components(links, directed=False)[1][:n_rows]


def check_square(X, n_neighbors: int | None) -> None:
    """Refuse a graph that is not one, or has too few neighbours in a row."""
    if not sparse.issparse(X):
        _as_graph(X)
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


def _take_precomputed(X, n_neighbors, used, owner) -> sparse.csr_matrix:
    """Choose the nearest neighbours in a graph of more of them."""
    check_square(X, n_neighbors)
    graph = _as_graph(X)
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    others = (owner[row] != owner[graph.indices]) & (graph.indices != row)
    return select_neighbors(graph, used, n_neighbors, others)


def select_neighbors(
    graph, used: np.ndarray, n_neighbors: int, entries: np.ndarray | None = None
) -> sparse.csr_matrix:
    """Choose the nearest neighbours from a graph of more of them."""
    good = used[graph.indices]
    if entries is not None:
        good &= entries
    before = np.concatenate([[0], np.cumsum(good)])
    before_row = np.repeat(before[graph.indptr[:-1]], np.diff(graph.indptr))
    good &= before[1:] - before_row <= n_neighbors
    indptr = np.concatenate([[0], np.cumsum(good)])[graph.indptr]
    return _csr(graph.data[good], graph.indices[good], indptr, graph.shape)
