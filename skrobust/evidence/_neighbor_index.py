"""Rows that can be asked which of them are nearest: exactly, or nearly and much faster."""

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
        self.rows, self.exact = X, algorithm == "exact"
        plain = "manhattan" if metric == "manhattan" else "euclidean"
        if algorithm == "exact":
            self.search = NearestNeighbors(metric=plain, n_jobs=n_jobs).fit(X)
        else:
            kept = min(max(n_neighbors, _MIN_KEPT), self.n_rows)
            # Warnings that rows have too few neighbours: those are searched again, exactly.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.search = _import_pynndescent(self.n_rows).NNDescent(
                    X,
                    metric=plain,
                    n_neighbors=kept,
                    random_state=draw_seed(random_state),
                    low_memory=True,
                    n_jobs=effective_n_jobs(n_jobs),
                )

    def own_neighbors(self, rows, n_neighbors) -> tuple[np.ndarray, np.ndarray]:
        """Find what is nearest to some of the rows, mostly themselves.

        Parameters
        ----------
        rows : ndarray of shape (n_queries,) or slice
            Row numbers; a slice for all.
        n_neighbors : int
            How many.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            As float32, in rising order; infinite where nothing was found.
        neighbors : ndarray of shape (n_queries, n_neighbors)
            Row numbers, as int32.
        """
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

    def neighbors(self, X, n_neighbors) -> tuple[np.ndarray, np.ndarray]:
        """Find what is nearest to other rows; see :meth:`own_neighbors`.

        Parameters
        ----------
        X : {ndarray, CSR matrix} of shape (n_queries, n_features)
            Rows, as float32.
        n_neighbors : int
            How many.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Distances.
        neighbors : ndarray of shape (n_queries, n_neighbors)
            Row numbers.
        """
        if self.metric == "cosine":
            X = _normalize(X, self.extra)
        return self._search(X, n_neighbors)

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
