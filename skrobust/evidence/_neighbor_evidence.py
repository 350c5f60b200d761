"""Votes of nearest neighbours as out-of-sample probabilities."""

import dataclasses

import numpy as np
from scipy import sparse

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._folds import (
    RowParts,
    divide_rows,
    frequent_rows,
    lone_class_rows,
    row_blocks,
)
from skrobust.evidence._neighbors import (
    ADVICE,
    ColumnScaler,
    NeighborIndex,
    as_graph,
    check_enough_rows,
    check_square,
    choose_algorithm,
    index_voters,
    join_replicates,
    make_csr,
    others_stored,
    read_numbers,
    search_graph,
    select_neighbors,
    take_precomputed,
)
from skrobust.utils._input import check_numeric, salted_hashes
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._typing import CSRMatrix, MatrixLike

METRIC_OPTIONS = ("auto", "cosine", "euclidean", "manhattan", "precomputed")
SCALE_OPTIONS = ("auto", "rank", "standard")

# The weight of a vote falls linearly with the distance, and would be zero at this many times the
# distance of the last neighbour.
_REACH = 1.1
# Share of the unique rows that vote in each of several rounds.
ROUND_SHARE = 0.9
# Unique rows of a frequent value, at most: more than there are neighbours.
_MOST_PARTS = 50
# Unique rows by which ways to measure distance are compared: those that are worse among the first
# ones, by more than so many standard errors, are not tried on more.
_TRIAL_ROWS = (1250, 5000)
_CLEARLY_WORSE = 2.0
# For columns of many kinds, for embeddings, and for columns of one kind, such as coordinates.
_CANDIDATES = (("euclidean", "rank"), ("cosine", None), ("euclidean", None))
# Of 10, 20, 30, 50, 75 and 100 neighbours, 30 to 50 rank errors best, on eleven tables with
# synthetic errors and on image features with real ones.
DEFAULT_NEIGHBORS = 30
# Neighbours that are found in the first of several rounds, relative to those that vote.
_ROUNDS_SPARE = 1.6


@dataclasses.dataclass(frozen=True, eq=False)
class UniqueRows:
    """Distinct rows in the order of their content; a frequent value is several of them."""

    of_row: np.ndarray  # (n_samples,) unique row of each row, or one of them
    first: np.ndarray  # (n_unique,) a row of each
    group: np.ndarray  # (n_unique,) members of one group never vote for one another
    weight: np.ndarray  # (n_unique,) weight to learn from, 1 on average where there is any
    parts: RowParts | None = None  # parts of rows, where equal rows are merged

    @property
    def voters(self) -> np.ndarray:
        """Unique rows that are learned from."""
        return np.flatnonzero(self.weight > 0)

    def class_weight(self, data: LabelledData) -> CSRMatrix:
        """Weight of each class in each unique row."""
        rows = np.flatnonzero(data.used)
        weight = np.ones(len(rows)) if data.sample_weight is None else data.sample_weight[rows]
        place = self.of_row if self.parts is None else self.parts.pair_of_row
        n_places = len(self.first) if self.parts is None else len(self.parts.label)
        shape = n_places, len(data.classes)
        table = sparse.csr_matrix((weight, (place[rows], data.y_train[rows])), shape=shape)
        table.sum_duplicates()
        if self.parts is not None:
            table = (self.parts.share.T @ table).tocsr()
            table.sort_indices()
        total = np.asarray(table.sum(axis=1)).ravel()
        table.data /= total[total > 0].mean()
        return table

    def per_row(self, values: np.ndarray) -> np.ndarray:
        """Map one value, or row of values, per unique row to rows."""
        return values[self.of_row] if self.parts is None else self.parts.per_row(values)


def find_unique_rows(data, *, merge: bool = True) -> UniqueRows:
    """Merge equal rows, unless they are those of a precomputed graph."""
    weight = data.used if data.sample_weight is None else data.sample_weight * data.used
    if not merge:
        rows = np.arange(data.n_samples)
        group = rows if data.groups is None else data.groups
        return UniqueRows(rows, rows, group, weight / weight[weight > 0].mean())
    labels = np.where(data.used, data.y_train, -1)
    hashes = data.row_hashes
    if data.groups is None:
        parts = divide_rows(hashes, labels, data.sample_weight, n_parts=_MOST_PARTS)
        group = np.arange(len(parts.first))
    else:
        # The rows of a frequent value are divided by their groups.
        frequent = frequent_rows(hashes, labels, data.sample_weight)
        of_group = salted_hashes(hashes, data.groups)
        hashes = np.where(frequent, of_group, hashes)
        parts = divide_rows(hashes, labels, data.sample_weight, n_parts=1)
        group = row_blocks(data.row_hashes, labels, data.groups, data.sample_weight)[parts.first]
    total = parts.share.T @ np.bincount(parts.pair_of_row, weights=weight)
    return UniqueRows(parts.of_row, parts.first, group, total / total[total > 0].mean(), parts)


def unique_numbers(X, unique: UniqueRows):
    """Read the unique rows of a numeric array."""
    check_numeric(X, ADVICE)
    return read_numbers(safe_indexing(X, unique.first))


@dataclasses.dataclass(frozen=True, eq=False)
class Neighborhood:
    """Neighbours of unique rows among those that are learned from, and the search for new rows."""

    unique: UniqueRows
    graph: CSRMatrix | None  # (n_unique, n_unique) distances, ascending in each row
    n_neighbors: int  # neighbours that were wanted
    n_found: int  # neighbours that were searched for
    metric: str
    scale: str | None
    scaler: ColumnScaler | None = None
    index: NeighborIndex | None = None

    def query(self, X: MatrixLike) -> CSRMatrix:
        """Find the neighbours of new rows, or select those in a matrix of distances."""
        if self.metric == "precomputed":
            return select_neighbors(as_graph(X), self.unique.weight > 0, self.n_found)
        scaled = self.scaler.transform(read_numbers(X))
        graph = search_graph(
            lambda rows, k: self.index.neighbors(scaled[rows], k),
            np.full(scaled.shape[0], -1),
            np.zeros(len(self.unique.voters), dtype=np.intp),
            self.n_found,
            spare=0,
        )
        return _among_unique(graph, self.unique)


def search_neighborhood(
    unique: UniqueRows,
    X,
    n_found: int,
    *,
    metric: str,
    scale: str | None = None,
    algorithm: str = "auto",
    n_wanted: int | None = None,
    n_jobs: int | None = None,
    random_state=None,
) -> Neighborhood:
    """Find the neighbours of all unique rows."""
    n_wanted = n_found if n_wanted is None else n_wanted
    if metric == "precomputed":
        graph = take_precomputed(X, n_found, unique.weight > 0, join_replicates(X, unique.group))
        return Neighborhood(unique, graph, n_wanted, n_found, metric, scale)
    voters, group = unique.voters, unique.group
    scaler, scaled, index = index_voters(
        X,
        unique.weight,
        scale,
        metric=metric,
        algorithm=algorithm,
        n_neighbors=n_found + 1,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    graph = search_graph(index.own_neighbors, group[voters], group[voters], n_found)
    if len(voters) < len(unique.first):
        others = np.flatnonzero(unique.weight <= 0)
        rest = scaled[others]
        more = search_graph(
            lambda rows, k, left_out=None: index.neighbors(rest[rows], k, left_out),
            group[others],
            group[voters],
            n_found,
        )
        place = np.empty(len(unique.first), dtype=np.intp)
        place[voters], place[others] = np.arange(len(voters)), len(voters) + np.arange(len(others))
        both = sparse.vstack([graph, more], format="csr")[place]
        graph = _among_unique(both, unique)
    return Neighborhood(unique, graph, n_wanted, n_found, metric, scale, scaler, index)


def search_without_labels(
    earlier: Neighborhood, unique: UniqueRows, X, n_found: int, n_jobs: int | None = None
) -> Neighborhood:
    """Find the neighbours of rows that were searched before, now that fewer have a label."""
    # Labels do not move rows: neighbours that still have one keep their order and distance, and
    # only rows with too few of them are searched for again.
    scaled, voters = earlier.scaler.transform(X), unique.voters
    index = NeighborIndex(
        scaled[voters],
        metric=earlier.metric,
        algorithm="exact",
        n_neighbors=n_found + 1,
        n_jobs=n_jobs,
    )
    graph = select_neighbors(earlier.graph, unique.weight > 0, n_found)
    short = np.flatnonzero(np.diff(graph.indptr) < n_found)
    if len(short):
        rest = scaled[short]
        more = search_graph(
            lambda rows, k, left_out=None: index.neighbors(rest[rows], k, left_out),
            unique.group[short],
            unique.group[voters],
            n_found,
        )
        place = np.arange(graph.shape[0])
        place[short] = len(place) + np.arange(len(short))
        graph = sparse.vstack([graph, _among_unique(more, unique)], format="csr")[place]
    return dataclasses.replace(
        earlier, unique=unique, graph=graph, n_neighbors=n_found, n_found=n_found, index=index
    )


def _among_unique(graph, unique) -> CSRMatrix:
    """Number the columns of a graph, which are voters, among all unique rows."""
    n_unique, voters = len(unique.first), unique.voters
    if len(voters) == n_unique:
        return graph
    return make_csr(graph.data, voters[graph.indices], graph.indptr, (graph.shape[0], n_unique))


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbors:
    """Producer of votes of the nearest neighbours.

    The label of a row takes no part in the vote about it, nor do those of its replicates and of
    its group.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_neighbors : int, default=None
        Number of distinct rows that vote. None is 30, or as many as there are.
    metric : {"auto", "cosine", "euclidean", "manhattan", "precomputed"}, default="auto"
        Distance between rows. With "precomputed", X is a sparse matrix of distances.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        How columns are scaled first. If `metric` is "auto" too, the pair of both whose neighbours
        predict the given labels best is used.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search. "auto" is exact up to 100 000 distinct rows.
    n_rounds : int, default=0
        If not 0, the votes of so many rounds are averaged, in each of which nine tenths of the
        rows, drawn at random, have a vote.
    n_jobs : int, default=None
        Number of threads.
    random_state : int, RandomState instance or None, default=None
        Seed of rounds and of approximate searches. None draws fresh entropy.

    See Also
    --------
    neighbor_graph : The neighbours alone.
    skrobust.detection.NeighborVote : Detector by these votes.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.base import LabelledData
    >>> from skrobust.evidence import Neighbors
    >>> X, y = load_iris(return_X_y=True)
    >>> evidence = Neighbors(5).collect(LabelledData.from_arrays(X, y))
    >>> evidence.pred_proba.shape
    (150, 3)
    """

    n_neighbors: int | None = None
    metric: str = "auto"
    scale: str | None = "auto"
    algorithm: str = "auto"
    _: dataclasses.KW_ONLY
    n_rounds: int = 0
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None

    def collect(self, data: LabelledData, neighborhood: Neighborhood | None = None) -> Evidence:
        """Search the neighbours of all rows, and count their votes.

        Parameters
        ----------
        data : LabelledData
            Rows of numbers. Neighbours vote with verified labels where there are any, else with
            given ones.
        neighborhood : Neighborhood, default=None
            Neighbours, if they were searched already.

        Returns
        -------
        evidence : Evidence
            Shares of the votes, and the neighbours as `graph`.
        """
        random_state = private_random_state(self.random_state)
        if neighborhood is None:
            source = dataclasses.replace(self, random_state=random_state)
            neighborhood = source.search(data)
        unique, graph = neighborhood.unique, neighborhood.graph
        class_weight = unique.class_weight(data)
        shares = mean_shares(
            graph,
            class_weight,
            neighborhood.n_neighbors,
            n_rounds=self.n_rounds,
            random_state=random_state,
        )
        shares = unique.per_row(shares)
        shares[~_has_votes(data, unique, graph)] = np.nan
        model = VotingModel(
            dataclasses.replace(neighborhood, graph=None), class_weight, data.classes
        )
        return Evidence(shares, data.classes, [model], graph=neighborhood)

    def search(
        self,
        data: LabelledData,
        *,
        default: int = DEFAULT_NEIGHBORS,
        at_least: int = 0,
        n_tried: int = 0,
        embedded: np.ndarray | None = None,
        voters: np.ndarray | None = None,
    ) -> Neighborhood:
        """Find the neighbours of all rows."""
        # `at_least` so many are found, if there are, and `n_tried` compare ways to measure
        # distance; in `embedded` instead of X, among the rows `voters` instead of all.
        precomputed = self.metric == "precomputed"
        if precomputed:
            if self.scale not in ("auto", None):
                raise ValueError(f'scale={self.scale!r} is of no use with metric="precomputed".')
            check_square(data.X, self.n_neighbors)
        unique = find_unique_rows(data, merge=not precomputed)
        if voters is not None:
            has_vote = np.bincount(unique.of_row, weights=voters) > 0
            unique = dataclasses.replace(unique, weight=np.where(has_vote, unique.weight, 0.0))
        n_voters, n_neighbors = len(unique.voters), self.n_neighbors
        if n_neighbors is None:
            n_neighbors = max(min(default, n_voters - 1), 1)
            if precomputed:
                n_neighbors = min(n_neighbors, int(others_stored(data.X).max()))
        elif n_voters <= n_neighbors:
            check_enough_rows(
                n_neighbors, n_voters, "distinct rows with a label and a positive weight"
            )
        metric, scale, n_found = self.metric, self.scale, n_neighbors
        if precomputed:
            X = data.X
        else:
            X = unique_numbers(data.X if embedded is None else embedded, unique)
            choose_algorithm(self.algorithm, n_voters)  # raises before any work
            metric, scale = self._choose(data, unique, X, max(n_neighbors, n_tried))
            if self.n_rounds:  # somewhat more, so that some can be left out
                n_found = int(np.ceil(n_neighbors / ROUND_SHARE)) + 4
            n_found = max(min(max(n_found, at_least), n_voters - 1), n_neighbors)
        return search_neighborhood(
            unique,
            X,
            n_found,
            metric=metric,
            scale=scale,
            algorithm=self.algorithm,
            n_wanted=n_neighbors,
            n_jobs=self.n_jobs,
            random_state=private_random_state(self.random_state),
        )

    def _choose(self, data, unique, X, n_neighbors) -> tuple[str, str | None]:
        """Resolve "auto" of metric and scale."""
        metric, scale = self.metric, self.scale
        dense = isinstance(X, np.ndarray)
        if not dense and scale not in ("auto", None):
            raise ValueError(
                f"scale={scale!r} needs a dense array, and X is sparse and has {X.shape[1]}"
                ' columns: pass scale="auto" or None.'
            )
        if metric == "auto" and scale == "auto":
            return self._compare(data, unique, X, n_neighbors) if dense else ("cosine", None)
        if metric == "auto":
            return ("cosine" if scale is None else "euclidean"), scale
        if scale == "auto":
            scale = "rank" if dense and metric != "cosine" else None
        return metric, scale

    def _compare(self, data, unique, X, n_neighbors) -> tuple[str, str | None]:
        """Metric and scale whose neighbours predict the given labels best."""
        candidates = _CANDIDATES
        for n_rows in _TRIAL_ROWS:
            # Unique rows are in the order of hashes: the first are as good as drawn at random.
            some = unique.voters[:n_rows]
            trial = UniqueRows(some, some, unique.group[some], unique.weight[some])
            class_weight = unique.class_weight(data)[some]
            losses = [
                self._trial_losses(trial, X[some], class_weight, n_neighbors, *candidate)
                for candidate in candidates
            ]
            weight = class_weight.data
            means = np.array([np.average(loss, weights=weight) for loss in losses])
            # Equal up to rounding, as where no row has a neighbour, is equal.
            best = int(np.flatnonzero(means <= means.min() + 1e-9)[0])
            chosen = candidates[best]
            errors = [_standard_error(loss - losses[best], weight) for loss in losses]
            near = means - means[best] <= _CLEARLY_WORSE * np.array(errors)
            if len(some) == len(unique.voters) or np.count_nonzero(near) == 1:
                break
            candidates = [c for c, kept in zip(candidates, near, strict=True) if kept]
        return chosen

    def _trial_losses(self, trial, X, class_weight, n_neighbors, metric, scale) -> np.ndarray:
        """Log loss of the votes of other rows, by the given labels of each row."""
        found = search_neighborhood(
            trial,
            X,
            min(n_neighbors, max(X.shape[0] - 1, 1)),
            metric=metric,
            scale=scale,
            algorithm="exact",
            n_jobs=self.n_jobs,
        )
        return log_losses(vote_shares(found.graph, class_weight), class_weight)


@dataclasses.dataclass(frozen=True, eq=False)
class NeighborsOfRounds:
    """Producer of the votes of a round, of rows some of which had a label in the round before."""

    source: Neighbors
    earlier: Neighborhood | None = None

    def collect(self, data) -> Evidence:
        """Search all rows in the first round, and later those that lack neighbours."""
        if self.earlier is None:
            # Somewhat more neighbours than vote, so that there are enough when labels are hidden.
            found = self.source.search(data, at_least=round(_ROUNDS_SPARE * DEFAULT_NEIGHBORS))
            n_found = found.n_neighbors
            nearest = select_neighbors(found.graph, found.unique.weight > 0, n_found)
            voting = dataclasses.replace(found, graph=nearest, n_found=n_found)
            return dataclasses.replace(self.source.collect(data, voting), graph=found)
        unique = find_unique_rows(data)
        known = self.earlier.unique
        same = np.array_equal(unique.of_row, known.of_row) and np.array_equal(
            unique.group, known.group
        )
        if not same or not self.earlier.index.exact:
            return self.source.collect(data)
        n_found = max(min(self.earlier.n_neighbors, len(unique.voters) - 1), 1)
        X = unique_numbers(data.X, unique)
        again = search_without_labels(self.earlier, unique, X, n_found, self.source.n_jobs)
        return self.source.collect(data, again)


class VotingModel:
    """Votes of the neighbours of new rows."""

    def __init__(self, neighborhood: Neighborhood, class_weight, classes: np.ndarray):
        self.neighborhood, self.class_weight = neighborhood, class_weight
        self.classes_ = classes

    def predict_proba(self, X) -> np.ndarray:
        """Shares of the votes."""
        return vote_shares(self.neighborhood.query(X), self.class_weight)


def _has_votes(data, unique, graph) -> np.ndarray:
    """Rows that have neighbours, and whose class occurs in another unique row."""
    known = (np.diff(graph.indptr) > 0)[unique.of_row]
    used = np.flatnonzero(data.used)
    place, label = unique.of_row[used], data.y_train[used]
    if unique.parts is not None:
        entries = unique.parts.share.tocoo()
        held = unique.parts.label[entries.row] >= 0
        place, label = entries.col[held], unique.parts.label[entries.row[held]]
    lone = label[lone_class_rows(unique.group[place], label)]
    known[used[np.isin(data.y_train[used], lone)]] = False
    return known


def vote_shares(graph, class_weight, prior: np.ndarray | None = None) -> np.ndarray:
    """Shares of the votes, weighted by distance, with one vote of the prior added."""
    votes = sparse.csr_matrix(
        (_vote_weights(graph), graph.indices, graph.indptr), shape=graph.shape
    )
    shares = (votes @ class_weight).toarray()
    shares += 1 / class_weight.shape[1] if prior is None else prior
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _vote_weights(graph) -> np.ndarray:
    """Weights of the entries of a graph by distance, at most 1."""
    counts = np.diff(graph.indptr)
    reach = np.zeros(graph.shape[0])
    held = counts > 0
    reach[held] = _REACH * graph.data[graph.indptr[1:][held] - 1]
    # Where all neighbours are replicates of the row, at a distance of zero, all count.
    reach[reach == 0] = 1.0
    return 1 - graph.data / np.repeat(reach, counts)


def mean_shares(graph, class_weight, n_neighbors: int, *, n_rounds: int, random_state):
    """Shares of the votes, as the mean of rounds in each of which nine tenths of all vote."""
    n_unique = graph.shape[1]
    if n_rounds == 0:
        if np.diff(graph.indptr).max(initial=0) > n_neighbors:
            graph = select_neighbors(graph, np.ones(n_unique, dtype=bool), n_neighbors)
        return vote_shares(graph, class_weight)
    voters = np.flatnonzero(np.diff(class_weight.indptr))
    total = 0.0
    for _ in range(n_rounds):
        votes = np.zeros(n_unique, dtype=bool)
        votes[random_state.permutation(voters)[: round(ROUND_SHARE * len(voters))]] = True
        total = total + vote_shares(select_neighbors(graph, votes, n_neighbors), class_weight)
    return total / n_rounds


def log_losses(shares: np.ndarray, class_weight) -> np.ndarray:
    """Log losses of votes about unique rows, by their labels: one for each stored weight."""
    weight = class_weight.tocoo()
    return -np.log(shares[weight.row, weight.col])


def _standard_error(values: np.ndarray, weight: np.ndarray) -> float:
    """Standard error of a weighted mean."""
    off = values - np.average(values, weights=weight)
    return float(np.sqrt(((weight * off) ** 2).sum()) / weight.sum())
