"""Neighbour votes: which labels do the rows nearby contradict?"""

import dataclasses
from numbers import Integral

import numpy as np

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.detection._corrections import add_corrections
from skrobust.detection._knn_shapley import MAX_NEIGHBORS, ShapleyValues
from skrobust.detection._neighbor_detector import (
    DETECTOR_METRICS,
    DETECTOR_SCALES,
    find_neighborhood,
    judged_rows,
)
from skrobust.detection._proba_detector import most_probable
from skrobust.detection._rules import fit_rule
from skrobust.detection._verified_label_model import calibrate_on_verified
from skrobust.evidence._neighbor_index import ALGORITHMS, EXACT_ROWS
from skrobust.evidence._neighbor_votes import mean_shares, vote_shares
from skrobust.noise._confident_joint import given_proba, mean_self_confidence
from skrobust.noise._consensus_moments import count_consensus, solve_consensus
from skrobust.noise._label_triples import label_triples
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions

# What becomes of the vote shares; see find_label_errors.
_RULES = {"vote": "predicted_neq_given", "rank": "prune_by_class", "shapley": "predicted_neq_given"}

# So many neighbours tell by their agreement how many labels are wrong. Of 2, 5 and 10, five flag
# best, by F1, on four tables with planted errors.
_N_AGREEING = 5
# The time that takes grows with the fourth power of the number of classes.
_MAX_AGREEING_CLASSES = 50
# A class is not flagged whole.
_LEAST_RIGHT = 0.05


class NeighborVote(LabelErrorDetector):
    """Detect label errors by the labels of the nearest rows.

    No model is trained: the label of a row is doubted where its neighbours have other labels.
    This is at its best on embeddings, and on tables where classes are not split by a few columns
    only. The label of a row takes no part in the vote about it, nor do those of its copies and of
    its group.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_neighbors : int, default=None
        Number of distinct rows that vote. None is 30, or 10 for "shapley", or as many as there
        are.
    metric : {"auto", "cosine", "euclidean", "manhattan", "precomputed"}, default="auto"
        Distance between rows. With "precomputed", X is a sparse matrix of distances between all
        rows and their neighbours, as :class:`sklearn.neighbors.KNeighborsTransformer` makes it;
        rows at distance zero are copies. For "auto" see `scale`.
    scale : {"auto", "rank", "standard"} or None, default="auto"
        What becomes of the columns first: "rank" replaces values by the share of rows with lower
        ones, "standard" makes mean 0 and standard deviation 1, None takes columns as they are.
        If `metric` is "auto" too, Euclidean distances of ranks, or cosine or Euclidean distances
        of the columns as they are, whichever neighbours predict the given labels best; for sparse
        matrices of more than 100 columns, cosine distances. Otherwise None goes with the cosine
        distance and "rank" with the others.
    method : {"vote", "rank", "shapley"}, default="vote"
        What is flagged, and by which quality:

        - "vote": rows whose neighbours vote for another class. Quality is the share of the given
          label in the votes for it and for the strongest other one.
        - "rank": in each class, as many rows as are wrong by the agreement of near neighbours, of
          which :class:`~skrobust.noise.NeighborTransition` tells more, those with the smallest
          share of all votes, where another class has a larger one. The confident joint of the
          votes counts instead where there are more than 50 classes, or fewer than two neighbours.
        - "shapley": rows whose label makes the predictions of other rows worse, by their
          KNN-Shapley value; see :func:`knn_shapley_scores`. Ranks errors better, above all where
          one class is mistaken for another, and takes more time and memory. New rows are judged
          by votes.
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search for neighbours. "approximate" needs pynndescent, which
        ``pip install "skrobust[ann]"`` brings. "auto" is exact up to 100 000 distinct rows.
    n_rounds : int, default=0
        If not 0, average the votes of so many rounds, in each of which nine tenths of the rows,
        drawn at random, have a vote. Found to change next to nothing.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by `method`; or let an object
        choose, such as :class:`DecoyThreshold`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead of by `method`. A dict has
        such shares by label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep the rows and the search, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of threads.
    random_state : int, RandomState instance or None, default=None
        Seed of rounds and of approximate searches. None draws fresh entropy.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]. NaN where the label is missing, or is the only
        one of its class.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label is probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The class with most votes; in flagged rows, of the others. The verified label where there
        is one.
    corrected_labels_ : ndarray of shape (n_samples,)
        The labels after correction. A flagged label is replaced only if another one is more
        probable even if there is as little noise as the data leave plausible, the lower end of
        `noise_rate_interval_`. The given label of all other rows, and the prediction for rows
        without a label.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged and unlabelled rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        Interval of that share: from what the disagreement among certain rows leaves plausible to
        what it is if every disagreement with the prediction is an error.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be told apart from overlap of the classes.
    reliability_reason_ : str
        What that rests on, in words and numbers.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated probability of each given label (columns) for each true class (rows).
    threshold_ : float or None
        The cut of ``label_quality_``; None for rules without a scalar cut.
    n_neighbors_, metric_, scale_ : int, str, str or None
        The parameters as they were settled.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    skrobust.evidence.neighbor_graph : The neighbours alone.
    ConfidentLearning : Judges by any classifier.

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

    _calibrate = staticmethod(calibrate_on_verified)

    _parameter_constraints: dict = {
        **LabelErrorDetector._parameter_constraints,
        "n_neighbors": [None, Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(set(DETECTOR_METRICS))],
        "scale": [None, StrOptions(set(DETECTOR_SCALES))],
        "method": [StrOptions(set(_RULES))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_rounds": [Interval(Integral, 0, None, closed="left")],
        "store_estimators": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_neighbors=None,
        metric="auto",
        scale="auto",
        method="vote",
        algorithm="auto",
        n_rounds=0,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags

    def _detect(self, data) -> DetectionResult:
        random_state = private_random_state(self.random_state)
        shapley = self.method == "shapley"
        units, neighborhood = find_neighborhood(
            self,
            data,
            default=10 if shapley else 30,
            at_least=_looked_at(data.n_samples) if shapley else 0,
            n_rounds=self.n_rounds,
            random_state=random_state,
        )
        graph, class_mass = neighborhood.graph, units.class_mass(data)
        judged = judged_rows(data, units, graph)
        unit_shares = mean_shares(
            graph, class_mass, self.n_neighbors_, n_rounds=self.n_rounds, random_state=random_state
        )
        shares = units.per_row(unit_shares)
        given = np.where(judged, data.y, -1)
        joint = None
        if self.method == "rank":
            joint = _agreement_joint(data, units, graph, random_state)
        errors = self._apply_rule(data, given, shares, joint)
        values = ShapleyValues(neighborhood, units, data, self.n_neighbors_) if shapley else None
        self._keep(neighborhood, class_mass)

        def quality_of(codes):
            quality = contrast_rows(np.maximum(codes, 0), shares)
            if shapley:
                worth = values.quality(codes)
                quality = np.where(np.isnan(worth), quality, worth)
            return np.where(judged, quality, np.nan)

        quality, cut = quality_of(data.y), None
        if self.method != "rank":
            cut = 0.5
            errors = judged & (quality < cut)
        order = self._order
        result = DetectionResult(
            quality,
            errors,
            np.where(judged, most_probable(shares, order), data.y_train),
            np.where(judged, most_probable(shares, order, without=given), data.y_train),
            self._cuts.joint,
            cut,
            quality_of,
        )
        return add_corrections(result, data, given, shares, order)

    def gather_proba(self, data) -> np.ndarray:
        """Gather shares of votes only, for a detector that looks at several opinions."""
        random_state = private_random_state(self.random_state)
        units, neighborhood = find_neighborhood(
            self, data, n_rounds=self.n_rounds, random_state=random_state
        )
        class_mass = units.class_mass(data)
        unit_shares = mean_shares(
            neighborhood.graph,
            class_mass,
            self.n_neighbors_,
            n_rounds=self.n_rounds,
            random_state=random_state,
        )
        shares = units.per_row(unit_shares)
        shares[~judged_rows(data, units, neighborhood.graph)] = np.nan
        self._keep(neighborhood, class_mass)
        return shares

    def predict_proba_of(self, X, classes) -> np.ndarray:
        """Let the rows that were kept vote on new ones; classes are those of the votes."""
        return vote_shares(self._neighborhood.query(X), self._class_mass)

    def _keep(self, neighborhood, class_mass) -> None:
        vars(self).pop("_neighborhood", None)
        vars(self).pop("_class_mass", None)
        if self.store_estimators:
            neighborhood.graph = None
            self._neighborhood, self._class_mass = neighborhood, class_mass

    def _apply_rule(self, data, given, shares, joint) -> np.ndarray:
        """Fit the rule to the rows that count and that nobody verified, and flag all rows."""
        best = np.where(data.used & (given >= 0), data.y_train, -1)
        thresholds = mean_self_confidence(best, shares, data.sample_weight)
        # Classes go by their thresholds wherever a tie must be broken: not by their names.
        self._order = np.argsort(thresholds, kind="stable")
        unverified = np.where(data.used & (data.verified < 0), given, -1)
        self._cuts, errors = fit_rule(
            _RULES[self.method],
            unverified,
            shares,
            weight=data.sample_weight,
            thresholds=thresholds,
            order=self._order,
            joint=joint,
        )
        others = np.flatnonzero((given >= 0) & (unverified < 0))
        if len(others):
            errors[others] = self._cuts.flag(given[others], shares[others])
        return errors

    def _detect_new(self, X, codes):
        if not hasattr(self, "_neighborhood"):
            raise AttributeError(
                "The rows that judge new ones were not kept: fit with store_estimators=True."
            )
        graph = self._neighborhood.query(X)
        shares = vote_shares(graph, self._class_mass)
        return contrast_rows(np.maximum(codes, 0), shares), self._cuts.flag(codes, shares)


def _looked_at(n_samples: int) -> int:
    """Say among how many neighbours a prediction is shared out, such that memory suffices."""
    return MAX_NEIGHBORS if n_samples <= EXACT_ROWS else MAX_NEIGHBORS // 4


def _agreement_joint(data, units, graph, random_state) -> np.ndarray | None:
    """Estimate the mass of given (rows) and true (columns) classes, if there is enough to see."""
    n_neighbors = min(_N_AGREEING, int(np.diff(graph.indptr).max(initial=0)))
    as_given = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
    seen = np.unique(as_given.y[as_given.used])
    if n_neighbors < 2 or not 2 <= len(seen) <= _MAX_AGREEING_CLASSES:
        return None
    triples = label_triples(graph, units.class_mass(as_given)[:, seen], n_neighbors)
    prior, transition, _ = solve_consensus(
        count_consensus(triples.count()), n_starts=3, random_state=random_state
    )
    joint = np.eye(len(data.classes))
    found = (prior[:, None] * transition).T
    least = _LEAST_RIGHT * found.sum(axis=1)
    np.fill_diagonal(found, np.maximum(found.diagonal(), least))
    joint[np.ix_(seen, seen)] = found
    return joint


def contrast_rows(codes, shares) -> np.ndarray:
    """Compare the votes for a label with those for the strongest other one.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Labels.
    shares : ndarray of shape (n_samples, n_classes)
        Votes, all positive.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        Share of the label in the votes for both, in [0, 1].
    """
    own = given_proba(codes, shares)
    best_other = given_proba(most_probable(shares, without=codes), shares)
    return own / (own + best_other)
