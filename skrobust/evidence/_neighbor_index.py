"""Rows that can be asked which of them are nearest: exactly, or nearly and much faster."""

import copy
import warnings

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from skrobust.utils._blocks import for_each_block
from skrobust.utils._random import draw_seed

METRICS = ("cosine", "euclidean", "manhattan")
ALGORITHMS = ("auto", "exact", "approximate")

EXACT_ROWS = 100_000
"""Up to here the exact neighbours are found by default."""

# What an approximate search keeps at least: with fewer, it finds too few of the right ones.
_MIN_KEPT = 15
# Rows that lack neighbours are compared with all, if there are so few: that needs no preparation.
_FEW_QUERIES = 2000


def choose_algorithm(algorithm: str, n_rows: int) -> str:
    """Say whether neighbours are found exactly, and refuse what is not installed.

    Parameters
    ----------
    algorithm : {"auto", "exact", "approximate"}
        What was asked for.
    n_rows : int
        Number of rows to search.

    Returns
    -------
    algorithm : {"exact", "approximate"}
        What is done.
    """
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
    """Rows, and the search for those of them that are nearest to others.

    Cosine distances are half of the squared Euclidean distances of rows of length one, so that
    trees and fast pairwise distances serve them as well.

    Parameters
    ----------
    X : {ndarray, CSR matrix} of shape (n_samples, n_features)
        Finite numbers, as float32.
    metric : {"cosine", "euclidean", "manhattan"}
        Distance.
    algorithm : {"exact", "approximate"}
        How to search.
    n_neighbors : int
        How many neighbours each row is going to be asked for, itself included.
    n_jobs : int, default=None
        Number of threads.
    random_state : RandomState instance, default=None
        Where the seed of an approximate search comes from.
    """

    def __init__(self, X, *, metric, algorithm, n_neighbors, n_jobs=None, random_state=None):
        self.metric = metric
        self.n_rows = X.shape[0]
        n_columns = X.shape[1]
        if metric == "cosine":
            X = _normalize(X)
        self.extra = X.shape[1] > n_columns
        self.rows, self.exact, self.n_jobs = X, algorithm == "exact", n_jobs
        self.n_neighbors, self.random_state = n_neighbors, random_state
        self._prepare()

    def _prepare(self) -> None:
        """Prepare the search for neighbours among the rows."""
        plain = "manhattan" if self.metric == "manhattan" else "euclidean"
        if self.exact:
            self.search = NearestNeighbors(metric=plain, n_jobs=self.n_jobs).fit(self.rows)
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

    def own_neighbors(self, rows, n_neighbors, left_out=None) -> tuple[np.ndarray, np.ndarray]:
        """Find what is nearest to some of the rows, mostly themselves.

        Parameters
        ----------
        rows : ndarray of shape (n_queries,) or slice
            Row numbers; a slice for all.
        n_neighbors : int
            How many.
        left_out : ndarray of shape (n_samples,) of bool, default=None
            Rows that are no neighbours of others. The search for others is prepared anew.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            As float32, in rising order; infinite where nothing was found.
        neighbors : ndarray of shape (n_queries, n_neighbors)
            Row numbers, as int32.
        """
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

    def neighbors(self, X, n_neighbors, left_out=None) -> tuple[np.ndarray, np.ndarray]:
        """Find what is nearest to other rows; see :meth:`own_neighbors`.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_queries, n_features)
            Rows, as float32.
        n_neighbors : int
            How many.
        left_out : ndarray of shape (n_samples,) of bool, default=None
            Rows that are no neighbours of others.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Distances.
        neighbors : ndarray of shape (n_queries, n_neighbors)
            Row numbers.
        """
        if self.metric == "cosine":
            X = _normalize(X, self.extra)
        if left_out is not None:
            return self._search_without(left_out, X, n_neighbors)
        return self._search(X, n_neighbors)

    def _search_without(self, left_out, X, n_neighbors):
        """Search among all rows but some, which are counted all the same."""
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

        def find(start: int, stop: int) -> None:
            some = X[start:stop]
            if not self.exact:
                found, near = self.search.query(some, k=n_neighbors)
            else:
                near, found = self.search.kneighbors(some, n_neighbors)
            distances[start:stop], neighbors[start:stop] = near, found

        # What comes back are two words per neighbour: a block is many rows.
        for_each_block(find, X.shape[0], 16 * n_neighbors, block_bytes=1 << 26)
        return self._finish(distances, neighbors)

    def _finish(self, distances, neighbors):
        """Turn Euclidean into cosine distances, and sort equal distances by row number."""
        lost = neighbors < 0
        distances = distances.astype(np.float32, copy=False)
        if self.metric == "cosine":
            np.square(distances, out=distances)
            distances *= 0.5
        if lost.any():
            distances[lost] = np.inf
        neighbors = neighbors.astype(np.int32, copy=False)

        def sort(start: int, stop: int) -> None:
            order = np.lexsort((neighbors[start:stop], distances[start:stop]), axis=1)
            for array in (distances, neighbors):
                array[start:stop] = np.take_along_axis(array[start:stop], order, axis=1)

        for_each_block(sort, len(neighbors), 24 * neighbors.shape[1], block_bytes=1 << 22)
        return distances, neighbors


def find_others(search, owner, voter_owner, n_neighbors, *, spare) -> tuple:
    """Search for more and more neighbours until each row has enough that are not its own.

    Twice as many neighbours of a row of a large group are mostly of that group again. Where they
    take longer than a look at all voters, those outside of the group are searched alone.

    Parameters
    ----------
    search : callable
        As :meth:`NeighborIndex.own_neighbors`.
    owner : ndarray of shape (n_queries,)
        Group of each row.
    voter_owner : ndarray of shape (n_voters,)
        Group of each row that may be a neighbour of rows of other groups.
    n_neighbors : int
        How many.
    spare : int
        How many more to search for at first.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors)
        As float32, in rising order; infinite where there are no more others.
    neighbors : ndarray of shape (n_queries, n_neighbors)
        Numbers of voters, as int32; -1 where there are no more others.
    """
    n_queries, n_voters = len(owner), len(voter_owner)
    distances = np.full((n_queries, n_neighbors), np.inf, dtype=np.float32)
    neighbors = np.full((n_queries, n_neighbors), -1, dtype=np.int32)

    def keep_others(rows, found, near) -> np.ndarray:
        """Keep the nearest that are not the row's own; return the rows that have too few."""
        short = np.zeros(len(rows), dtype=bool)

        def keep(start: int, stop: int) -> None:
            some = rows[start:stop]
            good = np.isfinite(found[start:stop])
            good &= voter_owner[near[start:stop]] != owner[some][:, None]
            place = np.cumsum(good, axis=1)
            short[start:stop] = place[:, -1] < n_neighbors
            good &= place <= n_neighbors
            row, column = np.nonzero(good)
            target = some[row], place[row, column] - 1
            distances[target] = found[start:stop][row, column]
            neighbors[target] = near[start:stop][row, column]

        for_each_block(keep, len(rows), 32 * found.shape[1], block_bytes=1 << 22)
        return rows[short]

    wanted, rows = n_neighbors + spare, np.arange(n_queries)
    while len(rows):
        wanted = min(wanted, n_voters)
        found = search(slice(None) if len(rows) == n_queries else rows, wanted)
        rows = keep_others(rows, *found)
        if wanted == n_voters:
            break
        wanted *= 2
        groups, n_members = np.unique(owner[rows], return_counts=True)
        large = groups[(n_members * wanted > n_voters) & np.isin(groups, voter_owner)]
        for group in large:
            own = voter_owner == group
            n_others = n_voters - np.count_nonzero(own)
            if n_others:
                members = rows[owner[rows] == group]
                keep_others(members, *search(members, min(n_neighbors, n_others), own))
        rows = rows[~np.isin(owner[rows], large)]
    return distances, neighbors


def _normalize(X, extra: bool | None = None):
    """Scale rows to length one.

    A row of zeros has no direction, and is a quarter turn away from all others: it gets the
    direction of a column of its own, which is appended if `extra`, or if there is such a row.
    """
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
