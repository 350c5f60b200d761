"""Transition estimator from the agreement of the labels of nearest neighbours (HOC)."""

import dataclasses
from numbers import Integral
from typing import Any

import numpy as np

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.base._fitted_attributes import labels_overwritten, warn_of_overwritten
from skrobust.base._labelled_data import set_fitted
from skrobust.evidence import Neighbors
from skrobust.evidence._neighbor_evidence import (
    METRIC_OPTIONS,
    SCALE_OPTIONS,
    Neighborhood,
    UniqueRows,
)
from skrobust.evidence._neighbors import ALGORITHMS
from skrobust.noise._consensus_moments import (
    MAX_CLASSES,
    align_classes,
    count_consensus,
    refine_consensus,
    solve_consensus,
)
from skrobust.noise._label_triples import LabelTriples, label_triples
from skrobust.noise._noise_model import check_counted, verified_counts
from skrobust.noise._proba_transition import CONFIDENCE, DOCUMENTATION
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions, Tags
from skrobust.utils._typing import CSRMatrix
from skrobust.utils._warnings import warn_user

N_TRIED = 30
"""Number of neighbours by which distances are compared: two are too few."""


@fill_docstring(**DOCUMENTATION)
class NeighborTransition(TransitionEstimator):
    """High-order consensus (HOC) transition estimator, from the labels of nearest neighbours.

    A row and its two nearest neighbours are assumed to be of one true class, and their labels to
    be wrong independently. The shares of single labels, pairs and triples of labels then determine
    the transition matrix and the class prior, without any trained model or verified rows.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_neighbors : int, default=2
        Number of neighbours, at least 2. With more than the two of the published method, each
        pair is counted: the variance falls, but neighbours are further away.
    metric : {"auto", "cosine", "euclidean", "manhattan", "precomputed"}, default="auto"
        Distance between rows. With "precomputed", X is a sparse matrix of distances between all
        rows and their neighbours, as :class:`sklearn.neighbors.KNeighborsTransformer` computes it;
        rows at distance zero are replicates. For "auto" see `scale`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        Transformation of the columns: "rank" replaces values by the share of rows with lower
        ones, "standard" yields mean 0 and standard deviation 1, None keeps columns as they are.
        If `metric` is "auto" too: Euclidean distances of ranks, or cosine or Euclidean distances
        of the untransformed columns, whichever neighbours predict the given labels best; for
        sparse matrices of more than 100 columns, cosine distances. Otherwise None goes with the
        cosine distance and "rank" with the others.
    %(algorithm)s
    n_starts : int, default=5
        Number of starts of the solver; the solution of lowest loss is kept.
    %(n_bootstrap)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(transition_matrix_)s
    transition_interval_ : ndarray of shape (2, n_classes, n_classes)
        Lower and upper ends of 95 % bootstrap intervals of the entries, if `n_bootstrap` is above
        0. They do not include the error due to neighbours of another class.
    %(class_prior_)s
    %(noise_rate_)s
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters with "auto" resolved.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    skrobust.detection.NeighborVote : Flags wrong labels by neighbours.
    AnchorTransition : Counts labels of rows that a classifier is confident about.
    confident_joint : Counts confusions from the probabilities of a classifier.

    Notes
    -----
    Shares of single labels, pairs and triples are fitted by least squares. They determine true
    classes up to their names, which are chosen such that the mean diagonal is largest: the
    estimate is valid only where most labels of each class are right, and a
    :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>` is issued where it is not so.

    Replicated rows are one unit, with their total weight and the share of each of their labels, so
    that no row is a neighbour of its replicates.

    The counted labels are the given ones, verified or not. Verified rows add squared differences
    between the transition matrix and the shares of given labels by verified label, weighted by the
    share of verified rows. They should therefore not be chosen because their labels look wrong.

    Bootstrap samples are of units, and a label counts in all of its triples, so that their
    dependence is kept. The intervals tend to be somewhat wide. Verified rows are the same in all
    samples.

    Neighbours of another class look like label noise: where they are frequent, the estimated noise
    is too high. There is no parameter `noise_rate` as in the other estimators. With the noise rate
    extrapolated from the votes of 30 neighbours, the mean share of the labels of a class that its
    row of the matrix misplaces would be .090 instead of .108, on six data sets of 3 000 rows with
    20 and 35 % of symmetric, pair and random noise; but .044 instead of .026 on the one of them
    where neighbours suit best, and :class:`AnchorTransition` with .046 is better on all others.

    References
    ----------
    Zhu, Song and Liu (2021). Clusterability as an alternative to anchor points when learning with
    noisy labels. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import NeighborTransition, flip_labels
    >>> X, y = make_blobs(2000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = NeighborTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 2, None, closed="left")],
        "metric": [StrOptions(set(METRIC_OPTIONS))],
        "scale": [None, StrOptions(set(SCALE_OPTIONS))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_bootstrap": [Interval(Integral, 0, None, closed="left")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_neighbors: int = 2,
        metric: str = "auto",
        scale: str | None = "auto",
        algorithm: str = "auto",
        n_starts: int = 5,
        n_bootstrap: int = 0,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.scale = scale
        self.algorithm = algorithm
        self.n_starts = n_starts
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags

    def _estimate(self, data: LabelledData) -> np.ndarray:
        """Estimate the joint weight of true and given classes."""
        n_classes = len(data.classes)
        if n_classes > MAX_CLASSES:
            raise ValueError(
                f"y has {n_classes} classes, and all triples of more than {MAX_CLASSES} are too"
                " many to count: estimate transitions by probabilities of a classifier instead, as"
                " skrobust.noise.AnchorTransition does."
            )
        random_state = private_random_state(self.random_state)
        # Verified labels do not have the noise of given ones.
        given = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
        counted = np.bincount(given.y[given.used], minlength=n_classes) > 0
        check_counted(counted, data.classes, "counts")
        neighborhood = neighbors_of(self, random_state).search(given, n_tried=N_TRIED)
        set_neighbor_parameters(self, neighborhood)
        unique = neighborhood.unique
        class_weight = unique.class_weight(given)
        triples = label_triples(neighborhood.graph, class_weight, self.n_neighbors_)
        counts = triples.count()
        check_counted(counts.sum(axis=(1, 2)) > 0, data.classes, "has enough neighbours")
        consensus = count_consensus(counts)
        prior, transition, _ = solve_consensus(
            consensus, n_starts=self.n_starts, random_state=random_state
        )
        known = verified_counts(data)
        disagreement = neighbor_disagreement(given, unique, neighborhood.graph)
        if labels_overwritten(data, disagreement, 1 - prior @ transition.diagonal()):
            warn_of_overwritten(data)
            known = np.zeros_like(known)
        if known.any():
            known /= data.total_weight(given.used)
            prior, transition = refine_consensus(consensus, prior, transition, known)
        warn_of_ambiguity(transition, data.classes)
        interval = None
        if self.n_bootstrap:
            interval = self._bootstrap(triples, prior, transition, known, random_state)
        set_fitted(self, transition_interval_=interval)
        return np.maximum(prior, 1e-12)[:, None] * transition

    def _bootstrap(
        self,
        triples: LabelTriples,
        prior: np.ndarray,
        transition: np.ndarray,
        known: np.ndarray,
        random_state: np.random.RandomState,
    ) -> np.ndarray:
        """Return the interval of each entry over bootstrap samples of the units."""
        units = np.flatnonzero(triples.weight)
        even = np.full(len(units), 1 / len(units))
        repeats = np.ones(len(triples.weight))
        samples = []
        for _ in range(self.n_bootstrap):
            repeats[units] = random_state.multinomial(len(units), even)
            drawn = count_consensus(triples.count(repeats))
            sample = refine_consensus(drawn, prior, transition, known)
            samples.append(align_classes(*sample, transition)[1])
        tail = (1 - CONFIDENCE) / 2
        return np.quantile(samples, [tail, 1 - tail], axis=0)


def neighbors_of(estimator: Any, random_state: Any) -> Neighbors:
    """Producer of neighbours with the parameters of an estimator."""
    return Neighbors(
        estimator.n_neighbors,
        estimator.metric,
        estimator.scale,
        estimator.algorithm,
        n_jobs=estimator.n_jobs,
        random_state=random_state,
    )


def set_neighbor_parameters(estimator: Any, neighborhood: Neighborhood) -> None:
    """Set the parameters of the search, with defaults resolved."""
    estimator.n_neighbors_ = neighborhood.n_neighbors
    estimator.metric_, estimator.scale_ = neighborhood.metric, neighborhood.scale


def neighbor_disagreement(data: LabelledData, unique: UniqueRows, graph: CSRMatrix) -> np.ndarray:
    """Whether the nearest other row has another given label; NaN where there is none."""
    label = np.asarray(unique.class_weight(data).argmax(axis=1)).ravel()
    some = np.flatnonzero(np.diff(graph.indptr))
    nearest = np.full(graph.shape[0], -1)
    nearest[some] = label[graph.indices[graph.indptr[some]]]
    nearest = nearest[unique.of_row]
    return np.where((nearest < 0) | (data.y < 0), np.nan, nearest != data.y)


def warn_of_ambiguity(transition: np.ndarray, classes: np.ndarray) -> None:
    """Warn where another label is more frequent in a true class than its own."""
    unclear = np.flatnonzero(transition.max(axis=1) > transition.diagonal())
    names = classes.tolist()
    for k in unclear[:3]:
        other = names[transition[k].argmax()]
        warn_user(
            f"The estimated class {names[k]!r} is given the label {other!r} more often than"
            f" {names[k]!r}: either most of its labels are wrong, or neighbours are not of one"
            " class. Which true class is which is then uncertain."
        )
