"""How labels go wrong, from how often the labels of nearest neighbours agree."""

import dataclasses
import warnings
from numbers import Integral

import numpy as np

from skrobust._base import TransitionEstimator
from skrobust.evidence._neighbor_index import ALGORITHMS
from skrobust.evidence._neighborhood_choice import (
    DETECTOR_METRICS,
    DETECTOR_SCALES,
    find_neighborhood,
)
from skrobust.noise._consensus_moments import (
    MAX_CLASSES,
    ConsensusLoss,
    align_classes,
    count_consensus,
    solve_consensus,
)
from skrobust.noise._label_counts import check_counted, verified_counts
from skrobust.utils._overwritten import labels_look_overwritten, warn_of_overwritten
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, StrOptions
from skrobust.utils._warnings import LabelNoiseWarning

# Two neighbours are too few to compare ways to measure distance by.
_N_TRIED = 30
_CONFIDENCE = 0.95


class NeighborTransition(TransitionEstimator):
    """Estimate how labels go wrong from how often neighbours agree.

    A row and its two nearest neighbours are taken to be of one true class, and their labels to be
    wrong independently of one another. How often single labels, pairs and triples of labels occur
    then tells the transition and the prior of the true classes, without any model being trained
    and without rows that are known to be right.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_neighbors : int, default=2
        Number of neighbours. Of more than the two of the method, each pair is counted: with more
        of them the estimate depends less on chance, and neighbours are further away.
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
    algorithm : {"auto", "exact", "approximate"}, default="auto"
        How to search for neighbours. "approximate" needs pynndescent, which
        ``pip install "skrobust[ann]"`` brings. "auto" is exact up to 100 000 distinct rows.
    n_starts : int, default=5
        Number of places that the solver starts from; the best end is taken.
    n_bootstrap : int, default=0
        If not 0, so many samples of the rows are drawn with replacement, for
        ``transition_interval_``; hundreds are in order.
    n_jobs : int, default=None
        Number of threads of the search for neighbours.
    random_state : int, RandomState instance or None, default=None
        Seed of starts, samples and approximate searches. None draws fresh entropy.

    Attributes
    ----------
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    transition_interval_ : ndarray of shape (2, n_classes, n_classes)
        Lower and upper ends of intervals of 95 % for the entries, if `n_bootstrap` is not 0. They
        are about chance only: not about neighbours that are of another class.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the true classes.
    noise_rate_ : float
        Estimated share of wrong labels.
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
    skrobust.detection.NeighborVote : Finds the wrong labels by neighbours.
    AnchorTransition : Looks at the labels of rows that a classifier is sure about.
    confident_joint : Counts how labels go wrong by probabilities of a classifier.

    Notes
    -----
    Shares of single labels, pairs and triples are fitted by least squares. They leave the true
    classes without names, which are given such that the mean diagonal is largest: the estimate
    is of use only where most labels of each class are right, and a :class:`LabelNoiseWarning
    <skrobust.utils.LabelNoiseWarning>` says where it is not so.

    Equal rows are one row, with as much weight as all of them and each of their labels in its
    share, so that no row is a neighbour of its copies.

    The labels that are counted are the given ones, verified or not. Verified rows add how often
    each true class among them was given each label, with a weight in the squares that is their
    share of all rows. For that, they should not have been chosen because their labels look wrong.

    Intervals come from samples of rows in which a label counts in all the triples that it is in,
    so that what these have in common is not forgotten. They tend to be somewhat wide. Verified
    rows are the same in all samples.

    Where neighbours are often of another class, that looks like label noise, and the estimated
    noise is too high.

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
        "metric": [StrOptions(set(DETECTOR_METRICS))],
        "scale": [None, StrOptions(set(DETECTOR_SCALES))],
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "n_starts": [Interval(Integral, 1, None, closed="left")],
        "n_bootstrap": [Interval(Integral, 0, None, closed="left")],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_neighbors=2,
        metric="auto",
        scale="auto",
        algorithm="auto",
        n_starts=5,
        n_bootstrap=0,
        n_jobs=None,
        random_state=None,
    ):
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.scale = scale
        self.algorithm = algorithm
        self.n_starts = n_starts
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags

    def _estimate(self, data) -> np.ndarray:
        n_classes = len(data.classes)
        if n_classes > MAX_CLASSES:
            raise ValueError(
                f"y has {n_classes} classes, and all triples of more than {MAX_CLASSES} are too"
                " many to count: estimate transitions by probabilities of a classifier instead, as"
                " skrobust.noise.AnchorTransition does."
            )
        random_state = private_random_state(self.random_state)
        # Verified labels do not go wrong as given ones do.
        given = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
        seen = np.bincount(given.codes[given.used], minlength=n_classes) > 0
        check_counted(seen, data.classes, "counts")
        units, neighborhood = find_neighborhood(
            self, given, n_tried=_N_TRIED, random_state=random_state
        )
        triples = label_triples(neighborhood.graph, units.class_mass(given), self.n_neighbors_)
        counts = triples.count()
        check_counted(counts.sum(axis=(1, 2)) > 0, data.classes, "has enough neighbours")
        consensus = count_consensus(counts)
        prior, transition, _ = solve_consensus(
            consensus, n_starts=self.n_starts, random_state=random_state
        )
        known = verified_counts(data)
        surprise = neighbor_disagreement(given, units, neighborhood.graph)
        if labels_look_overwritten(data, surprise, 1 - prior @ transition.diagonal()):
            warn_of_overwritten(data)
            known = np.zeros_like(known)
        if known.any():
            known /= data.mass(given.used)
            _, prior, transition = _refine(consensus, prior, transition, known)
        warn_of_ambiguity(transition, data.classes)
        vars(self).pop("transition_interval_", None)
        if self.n_bootstrap:
            self.transition_interval_ = self._interval(
                triples, prior, transition, known, random_state
            )
        return np.maximum(prior, 1e-12)[:, None] * transition

    def _interval(self, triples, prior, transition, known, random_state) -> np.ndarray:
        """Draw units again and again, and see how much the transition varies."""
        units = np.flatnonzero(triples.mass)
        even = np.full(len(units), 1 / len(units))
        repeats = np.ones(len(triples.mass))
        samples = []
        for _ in range(self.n_bootstrap):
            repeats[units] = random_state.multinomial(len(units), even)
            drawn = count_consensus(triples.count(repeats))
            _, *sample = _refine(drawn, prior, transition, known)
            samples.append(align_classes(*sample, transition)[1])
        tail = (1 - _CONFIDENCE) / 2
        return np.quantile(samples, [tail, 1 - tail], axis=0)


def neighbor_disagreement(data, units, graph) -> np.ndarray:
    """Whether the nearest other row has another given label; NaN where there is none."""
    label = np.asarray(units.class_mass(data).argmax(axis=1)).ravel()
    some = np.flatnonzero(np.diff(graph.indptr))
    nearest = np.full(graph.shape[0], -1)
    nearest[some] = label[graph.indices[graph.indptr[some]]]
    nearest = nearest[units.of_row]
    return np.where((nearest < 0) | (data.codes < 0), np.nan, nearest != data.codes)


def _refine(consensus, prior, transition, known):
    """Go on from a solution, where something has changed a little."""
    loss = ConsensusLoss(consensus, known if known.any() else None)
    # An entry of zero would stay there.
    return loss.minimize(np.maximum(prior, 1e-6), np.maximum(transition, 1e-4))


def warn_of_ambiguity(transition, classes, *, stacklevel=5) -> None:
    """Warn where the name of a true class is a guess.

    Parameters
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes.
    classes : ndarray of shape (n_classes,)
        Labels.
    stacklevel : int, default=5
        How far up the caller is whom the warning concerns.
    """
    unclear = np.flatnonzero(transition.max(axis=1) > transition.diagonal())
    for k in unclear[:3]:
        names = classes.tolist()
        other = names[transition[k].argmax()]
        warnings.warn(
            f"What seems to be the class {names[k]!r} is given {other!r} more often than"
            f" {names[k]!r}: either most of its labels are wrong, or neighbours are not of one"
            " class. Which true class is which is uncertain then.",
            LabelNoiseWarning,
            stacklevel=stacklevel,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class LabelTriples:
    """Labels of rows and of two neighbours; a unit with several labels has several triples.

    Attributes
    ----------
    mass : ndarray of shape (n_units,)
        Mass of each unit; 0 for those that are in no triple.
    members : ndarray of shape (3, n_entries), dtype intp
        A unit, the nearer neighbour and the other.
    key : ndarray of shape (n_entries,), dtype intp
        The labels of the three, as the position in a table of them.
    share : ndarray of shape (n_entries,)
        Share of the triple in those of its first unit.
    n_classes : int
        Number of classes.
    """

    mass: np.ndarray
    members: np.ndarray
    key: np.ndarray
    share: np.ndarray
    n_classes: int

    def count(self, repeats=None) -> np.ndarray:
        """Sum up the mass of each triple of labels.

        Parameters
        ----------
        repeats : ndarray of shape (n_units,), default=None
            How often each unit counts; None is once.

        Returns
        -------
        counts : ndarray of shape (n_classes, n_classes, n_classes)
            Mass by label, that of the nearer neighbour and that of the other.
        """
        weights = self.share * self.mass[self.members[0]]
        if repeats is not None:
            # To first order, as often as all three of them do: a label counts in all its triples.
            weights *= 1 + (repeats - 1)[self.members].sum(axis=0)
        shape = (self.n_classes,) * 3
        return np.bincount(self.key, weights, minlength=np.prod(shape)).reshape(shape)


def label_triples(graph, class_mass, n_neighbors) -> LabelTriples:
    """Gather the labels of units and of each two of their neighbours.

    Parameters
    ----------
    graph : sparse matrix of shape (n_units, n_units)
        Distances in CSR format, in rising order in each row.
    class_mass : sparse matrix of shape (n_units, n_classes)
        Mass of each unit by class, in CSR format.
    n_neighbors : int
        Number of neighbours, at least two.

    Returns
    -------
    triples : LabelTriples
        Of the units that have some mass and so many neighbours.
    """
    mass = np.asarray(class_mass.sum(axis=1)).ravel()
    some = np.flatnonzero((mass > 0) & (np.diff(graph.indptr) >= n_neighbors))
    n_classes = class_mass.shape[1]
    n_pairs = n_neighbors * (n_neighbors - 1) // 2
    parts = []
    for b in range(1, n_neighbors):
        for a in range(b):
            near, far = (graph.indices[graph.indptr[some] + rank] for rank in (a, b))
            members = np.stack([some, near, far])
            key = np.zeros(len(some), dtype=np.intp)
            share = np.full(len(some), 1 / n_pairs)
            for position in range(3):
                # Each label of a member makes triples with all those that are there already.
                unit = members[position]
                first, n_labels = class_mass.indptr[unit], np.diff(class_mass.indptr)[unit]
                old = np.repeat(np.arange(len(unit)), n_labels)
                entry = np.arange(len(old)) + np.repeat(
                    first - np.cumsum(n_labels) + n_labels, n_labels
                )
                share = share[old] * class_mass.data[entry] / mass[unit[old]]
                key = key[old] * n_classes + class_mass.indices[entry]
                members = members[:, old]
            parts.append((members, key, share))
    members, key, share = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    used = np.zeros(len(mass))
    used[some] = mass[some]
    return LabelTriples(used, members, key, share, n_classes)
