"""Neighbour votes: labels that the nearest rows contradict."""

import dataclasses
from numbers import Integral
from typing import Any

import numpy as np

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.detection._detect_from import (
    EvidenceDetector,
    complete_result,
    flag_by_rule,
    quality_by,
)
from skrobust.detection._knn_shapley import MAX_NEIGHBORS, ShapleyValues
from skrobust.detection._scores import score_labels
from skrobust.evidence import Neighbors
from skrobust.evidence._neighbor_evidence import METRIC_OPTIONS, SCALE_OPTIONS
from skrobust.evidence._neighbors import ALGORITHMS, EXACT_ROWS
from skrobust.noise._consensus_moments import count_consensus, solve_consensus
from skrobust.noise._label_triples import label_triples
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, Tags

# Rule for the shares of the votes; see find_label_errors.
_RULES = {"vote": "predicted_neq_given", "rank": "prune_by_class", "shapley": "predicted_neq_given"}

# Neighbours whose agreement tells the noise rate. Of 2, 5 and 10, five have the best F1 on four
# tables with synthetic errors.
_N_AGREEING = 5
# The time grows with the fourth power of the number of classes.
_MAX_AGREEING_CLASSES = 50
# A class is not flagged whole.
_LEAST_RIGHT = 0.05


@fill_docstring
class NeighborVote(EvidenceDetector):
    """Nearest-neighbour vote, a detector of label errors without a trained model.

    The label of a row is doubted where its neighbours have other labels.
    This performs best on embeddings, and on tabular data where classes are not split by a few
    columns only. The label of a row takes no part in the vote about it, nor do those of its
    replicates and of its group.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_neighbors : int, default=None
        Number of distinct rows that vote. None is 30, or 10 for "shapley", or as many as there
        are.
    metric : {"auto", "cosine", "euclidean", "manhattan", "precomputed"}, default="auto"
        Distance between rows. With "precomputed", X is a sparse matrix of distances between all
        rows and their neighbours, as :class:`sklearn.neighbors.KNeighborsTransformer` makes it;
        rows at distance zero are replicates. For "auto" see `scale`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        How columns are scaled first: "rank" replaces values by the share of rows with lower
        ones, "standard" makes mean 0 and standard deviation 1, None takes columns as they are.
        If `metric` is "auto" too, Euclidean distances of ranks, or cosine or Euclidean distances
        of the columns as they are, whichever neighbours predict the given labels best; for sparse
        matrices of more than 100 columns, cosine distances. Otherwise None goes with the cosine
        distance and "rank" with the others.
    method : {"vote", "rank", "shapley"}, default="vote"
        Rule and quality:

        - "vote": flags rows whose neighbours vote for another class. Quality is the share of the
          given label in the votes for it and for the strongest other one.
        - "rank": flags in each class as many rows as are wrong by the agreement of near
          neighbours (see :class:`~skrobust.noise.NeighborTransition`), those with the smallest
          share of all votes, where another class has a larger one. The confident joint of the
          votes counts instead where there are more than 50 classes, or fewer than two neighbours.
        - "shapley": flags rows whose label makes the predictions of other rows worse, by their
          KNN-Shapley value; see :func:`knn_shapley_scores`. Ranks errors better, above all where
          one class is mistaken for another, and takes more time and memory. New rows are scored
          by votes.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search for neighbours. "approximate" needs pynndescent, which
        ``pip install "skrobust[ann]"`` brings. "auto" is exact up to 100 000 distinct rows.
    n_rounds : int, default=0
        If not 0, the votes of so many rounds are averaged, in each of which nine tenths of the
        rows, drawn at random, have a vote. Hardly changes results.
    %(how_many)s
    store_estimators : bool, default=False
        Whether to keep the rows and the search, which ``detect`` and ``score_labels`` need.
    %(n_jobs)s
    random_state : int, RandomState instance or None, default=None
        Seed of rounds and of approximate searches. None draws fresh entropy.

    Attributes
    ----------
    %(label_quality_)s
    %(label_errors_)s
    suggested_labels_ : ndarray of shape (n_samples,)
        The class with most votes; in flagged rows, of the others. The verified label where there
        is one.
    %(detected)s
    %(transition_matrix_)s
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters, with defaults resolved.

    See Also
    --------
    skrobust.evidence.neighbor_graph : The neighbours alone.
    ConfidentLearning : Scores by any classifier.

    Notes
    -----
    The weight of a vote falls linearly with the distance, to a tenth at the last neighbour. One
    vote, shared equally between the classes, is added.

    References
    ----------
    Zhu, Dong and Liu (2022). Detecting corrupted labels without training a model to predict.
    ICML.

    Jia, Dao, Wang, Hubis, Gurel, Li, Zhang, Spanos and Song (2019). Efficient task-specific data
    valuation for nearest neighbor algorithms. VLDB.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import NeighborVote
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = NeighborVote().fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.8 * flipped.sum())
    True
    """

    _parameter_constraints: dict = {
        **EvidenceDetector._parameter_constraints,
        "n_neighbors": [None, Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(METRIC_OPTIONS))],
        "scale": [None, StrOptions(set(SCALE_OPTIONS))],
        "method": [StrOptions(set(_RULES))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_rounds": [Interval(Integral, 0, None, closed="left")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_neighbors: int | None = None,
        metric: str = "auto",
        scale: str | None = "auto",
        method: str = "vote",
        algorithm: str = "auto",
        n_rounds: int = 0,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.scale = scale
        self.method = method
        self.algorithm = algorithm
        self.n_rounds = n_rounds
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags

    def _detect(self, data) -> DetectionResult:
        random_state = private_random_state(self.random_state)
        shapley = self.method == "shapley"
        source = Neighbors(
            self.n_neighbors,
            self.metric,
            self.scale,
            self.algorithm,
            n_rounds=self.n_rounds,
            n_jobs=self.n_jobs,
            random_state=random_state,
        )
        n_ranked = _n_ranked(data.n_samples) if shapley else 0
        neighborhood = source.search(data, default=10 if shapley else 30, at_least=n_ranked)
        evidence = source.collect(data, neighborhood)
        self._store(evidence)
        self.n_neighbors_: int = neighborhood.n_neighbors
        self.metric_: str = neighborhood.metric
        self.scale_: str | None = neighborhood.scale
        joint = None
        if self.method == "rank":
            joint = _agreement_joint(data, neighborhood, random_state)
        self._rule, errors = flag_by_rule(data, evidence, _RULES[self.method], joint=joint)
        quality_of = vote_quality = quality_by(evidence, "contrast")
        if shapley:
            values = ShapleyValues(neighborhood, data)

            def quality_of(codes):
                value = values.quality(codes)
                quality = np.where(np.isnan(value), vote_quality(codes), value)
                return np.where(evidence.mask, quality, np.nan)

        threshold = None
        if self.method != "rank":
            threshold = 0.5
            errors = evidence.mask & (quality_of(data.y) < threshold)
        return complete_result(
            data,
            evidence,
            self._rule.order,
            quality_of,
            errors,
            joint=self._rule.weighted_joint,
            threshold=threshold,
        )

    def _detect_new(self, X, codes):
        shares = self._stored_evidence()[0].predict(X)
        quality = score_labels("contrast", np.maximum(codes, 0), shares)
        return quality, self._rule.flag(codes, shares)


def _n_ranked(n_samples: int) -> int:
    """Neighbours among which a prediction is divided, such that memory suffices."""
    return MAX_NEIGHBORS if n_samples <= EXACT_ROWS else MAX_NEIGHBORS // 4


def _agreement_joint(data, neighborhood, random_state) -> np.ndarray | None:
    """Weight of given (rows) and true (columns) classes by the agreement of near neighbours."""
    graph = neighborhood.graph
    n_neighbors = min(_N_AGREEING, int(np.diff(graph.indptr).max(initial=0)))
    as_given = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
    seen = np.unique(as_given.y[as_given.used])
    if n_neighbors < 2 or not 2 <= len(seen) <= _MAX_AGREEING_CLASSES:
        return None
    class_weight = neighborhood.unique.class_weight(as_given)
    triples = label_triples(graph, class_weight[:, seen], n_neighbors)
    prior, transition, _ = solve_consensus(
        count_consensus(triples.count()), n_starts=3, random_state=random_state
    )
    joint = np.eye(len(data.classes))
    found = (prior[:, None] * transition).T
    least = _LEAST_RIGHT * found.sum(axis=1)
    np.fill_diagonal(found, np.maximum(found.diagonal(), least))
    joint[np.ix_(seen, seen)] = found
    return joint
