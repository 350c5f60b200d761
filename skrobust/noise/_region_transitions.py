"""Regions of the feature space, and the transition matrix of each, shrunk towards their mean.

Triples of labels that belong to one true class are observed, as in
:mod:`skrobust.noise._consensus_moments`. Here their likelihood is maximised by
expectation-maximisation, with a Dirichlet prior around the mean of all regions.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skrobust.noise._label_triples import LabelTriples
from skrobust.utils._typing import CSRMatrix

REGIONS = ("tree", "clusters")

# Entries of the largest array of a pass over triples.
_BLOCK = 1 << 21
# Rows with the mean class prior of all regions that are added to those of each region.
_PRIOR_ROWS = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """A partition of the feature space.

    Attributes
    ----------
    model : estimator object or None
        A tree, of which leaves are regions, or clusters; None is one region.
    names : ndarray of shape (n_regions,)
        Identifiers of the regions in the model.
    scaler : transformer or None
        Scaler of the features.
    """

    model: object
    names: np.ndarray
    scaler: object = None

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.names)

    def find(self, X: Any) -> np.ndarray:
        """Return the region of each row, from 0 to ``n_regions - 1``."""
        if self.model is None:
            return np.zeros(X.shape[0], dtype=np.intp)
        if self.scaler is None:
            found = self.model.apply(X)
        else:
            found = self.model.predict(self.scaler.transform(X))
        return np.searchsorted(self.names, found)


def find_regions(
    kind: str,
    X: Any,
    surprise: np.ndarray,
    weight: np.ndarray,
    n_regions: int,
    *,
    min_size: int,
    seed: int,
) -> Regions:
    """Partition units into leaves of a regression tree for `surprise`, or clusters of X.

    There may be fewer than `n_regions`. `min_size` is the least number of units of a leaf;
    units of weight 0 are left out.
    """
    some = np.flatnonzero(weight > 0)
    X, surprise, weight = X[some], surprise[some], weight[some]
    if n_regions > 1 and kind == "tree":
        tree = DecisionTreeRegressor(
            max_leaf_nodes=n_regions, min_samples_leaf=min_size, random_state=seed
        )
        tree.fit(X, surprise, sample_weight=weight)
        names = np.unique(tree.apply(X))
        if len(names) > 1:
            return Regions(tree, names)
    elif n_regions > 1 and X.shape[0] >= n_regions:
        scaler = Normalizer() if sparse.issparse(X) else StandardScaler()
        scaled = scaler.fit_transform(X)
        clusters = KMeans(n_clusters=n_regions, n_init=3, random_state=seed)
        clusters.fit(scaled, sample_weight=weight)
        return Regions(clusters, np.arange(n_regions), scaler)
    return Regions(None, np.arange(1))


@dataclasses.dataclass(frozen=True, eq=False)
class TripleTable:
    """Weight of each kind of triple in each unit, whatever the order of its labels.

    Attributes
    ----------
    labels : ndarray of shape (3, n_kinds), dtype intp
        The labels of each kind of triple, in rising order.
    weight : sparse matrix of shape (n_units, n_kinds)
        Weight of each kind in each unit.
    n_classes : int
        Number of classes.
    """

    labels: np.ndarray
    weight: CSRMatrix
    n_classes: int

    def by_region(self, region: np.ndarray, n_regions: int) -> np.ndarray:
        """Sum the weights of the units of each region, (n_regions, n_kinds)."""
        n_units = len(region)
        member = sparse.csr_matrix(
            (np.ones(n_units), (region, np.arange(n_units))), shape=(n_regions, n_units)
        )
        return (member @ self.weight).toarray()


def tabulate_triples(triples: LabelTriples, unit_of: np.ndarray, n_units: int) -> TripleTable:
    """Sum triples by the unit of their first member and by kind."""
    labels = np.sort(triples.labels(), axis=0)
    shape = (triples.n_classes,) * 3
    kinds, kind = np.unique(np.ravel_multi_index(labels, shape), return_inverse=True)
    first = triples.members[0]
    weight = triples.share * triples.weight[first]
    by_unit = sparse.csr_matrix((weight, (unit_of[first], kind)), shape=(n_units, len(kinds)))
    return TripleTable(np.stack(np.unravel_index(kinds, shape)), by_unit, triples.n_classes)


def transition_residuals(
    triples: LabelTriples,
    unit_of: np.ndarray,
    n_units: int,
    prior: np.ndarray,
    transition: np.ndarray,
) -> np.ndarray:
    """Return the mean difference of observed and expected right labels, (n_units, n_classes).

    The true class of a label is predicted from the two other labels of its triple, so that the
    expectation is zero wherever `transition` holds, for any class prior: it is the gradient of a
    squared error by the diagonal of the matrix.
    """
    own, second, third = triples.labels()
    first, n_classes = triples.members[0], triples.n_classes
    owner, weight = unit_of[first], triples.share * triples.weight[first]
    weight = weight / np.maximum(np.bincount(owner, weight, minlength=n_units), 1e-300)[owner]
    total = np.zeros((n_units, n_classes))
    length = max(1, _BLOCK // n_classes)
    for start in range(0, len(own), length):
        some = slice(start, start + length)
        proba = prior * (transition[:, second[some]] * transition[:, third[some]]).T
        proba /= np.maximum(proba.sum(axis=1, keepdims=True), 1e-300)
        gap = -(proba @ transition)
        gap[np.arange(len(gap)), own[some]] += 1
        members = (weight[some], (owner[some], np.arange(len(gap))))
        total += sparse.csr_matrix(members, shape=(n_units, len(gap))) @ (proba * gap)
    return total


@dataclasses.dataclass(frozen=True, eq=False)
class RegionTransitions:
    """Class priors and transition matrices of regions.

    Attributes
    ----------
    priors : ndarray of shape (n_regions, n_classes)
        Shares of the true classes in each region.
    transitions : ndarray of shape (n_regions, n_classes, n_classes)
        Transition matrix of each region.
    mean : ndarray of shape (n_classes, n_classes)
        Transition matrix of all rows, towards which those of regions are shrunk.
    """

    priors: np.ndarray
    transitions: np.ndarray
    mean: np.ndarray

    @classmethod
    def constant(
        cls, prior: np.ndarray, transition: np.ndarray, n_regions: int
    ) -> "RegionTransitions":
        """Assume the same class prior and transition matrix in all regions."""
        return cls(
            np.tile(prior, (n_regions, 1)), np.tile(transition, (n_regions, 1, 1)), transition
        )

    def log_likelihood(self, table: TripleTable, counts: np.ndarray) -> float:
        """Compute the log likelihood of triples by region, of these or of other units."""
        total = 0.0
        for kinds in _blocks(table, counts):
            likelihood = self._joint(table.labels[:, kinds]).sum(axis=1)
            total += np.sum(counts[:, kinds] * np.log(np.maximum(likelihood, 1e-12)))
        return float(total)

    def objective(
        self,
        table: TripleTable,
        counts: np.ndarray,
        shrinkage: float,
        known: np.ndarray | None = None,
    ) -> float:
        """Compute the objective of :func:`fit_regions`.

        The three labels of a triple count as one row, and so do a verified label and one row of
        the prior: the logarithm of each is multiplied by three.
        """
        total = self.log_likelihood(table, counts)
        logs = 3 * np.log(np.maximum(self.transitions, 1e-300))
        if known is not None:
            total += np.sum(known * (np.log(self.priors)[:, :, None] + logs))
        if np.isfinite(shrinkage):
            gap = 3 * np.log(np.maximum(self.mean, 1e-300)) - logs
            total -= shrinkage * np.sum(np.where(self.mean > 0, self.mean * gap, 0.0))
        return float(total)

    def expected_labels(
        self, table: TripleTable, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected weight of triples by true class, and by true class and label."""
        n_classes = table.n_classes
        class_weight = np.zeros(self.priors.shape)
        label_weight = np.zeros(self.transitions.shape)
        for kinds in _blocks(table, counts):
            labels = table.labels[:, kinds]
            joint = self._joint(labels)
            joint *= (counts[:, kinds] / np.maximum(joint.sum(axis=1), 1e-300))[:, None, :]
            class_weight += joint.sum(axis=2)
            thirds = np.zeros((labels.shape[1], n_classes))
            for label in labels:
                thirds[np.arange(len(label)), label] += 1 / 3
            label_weight += joint @ thirds
        return class_weight, label_weight

    def _joint(self, labels: np.ndarray) -> np.ndarray:
        """Probability of each true class and kind of triple, (n_regions, n_classes, n_kinds)."""
        joint = self.priors[:, :, None] * self.transitions[:, :, labels[0]]
        joint *= self.transitions[:, :, labels[1]]
        joint *= self.transitions[:, :, labels[2]]
        return joint


def _blocks(table: TripleTable, counts: np.ndarray) -> Iterator[slice]:
    """Yield slices of the kinds of triples."""
    length = max(1, _BLOCK // (len(counts) * table.n_classes))
    for start in range(0, table.labels.shape[1], length):
        yield slice(start, start + length)


def fit_regions(
    table: TripleTable,
    counts: np.ndarray,
    start: RegionTransitions,
    *,
    shrinkage: float,
    known: np.ndarray | None = None,
    dominant: bool = True,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> RegionTransitions:
    """Fit the transition matrices of regions by expectation-maximisation.

    `counts` has the weight of each kind of triple by region, `known` that of verified rows by
    region, true class and label. `shrinkage` is the weight, in rows of each class, of the
    Dirichlet prior around the mean; infinite, all regions have one matrix. With `dominant`, no
    wrong label is more frequent in a class than the right one: where noise differs, exchanging
    the names of two classes in one region may otherwise fit as well.
    """
    regions = start
    for _ in range(max_iterations):
        class_weight, label_weight = regions.expected_labels(table, counts)
        if known is not None:
            class_weight += known.sum(axis=2)
            label_weight += known
        total = class_weight.sum(axis=0)
        priors = class_weight + _PRIOR_ROWS * total / total.sum()
        priors /= priors.sum(axis=1, keepdims=True)
        # A class of weight 0 keeps its row.
        mean = label_weight.sum(axis=0) + 1e-9 * regions.mean
        mean = raise_right_labels(mean) if dominant else mean
        mean = mean / mean.sum(axis=1, keepdims=True)
        if np.isinf(shrinkage):
            transitions = np.broadcast_to(mean, label_weight.shape)
        else:
            transitions = label_weight + (shrinkage + 1e-9) * mean
            transitions = raise_right_labels(transitions) if dominant else transitions
            transitions = transitions / transitions.sum(axis=2, keepdims=True)
        change = max(
            np.abs(transitions - regions.transitions).max(), np.abs(priors - regions.priors).max()
        )
        regions = RegionTransitions(priors, transitions, mean)
        if change <= tolerance:
            break
    return regions


def fit_path(
    table: TripleTable,
    counts: np.ndarray,
    overall: RegionTransitions,
    shrinkages: Sequence[float],
    **options,
) -> list[RegionTransitions]:
    """Fit the transition matrices of regions for falling shrinkages, each from two starts.

    One start is the matrix of all rows. Where noise differs between regions, that may be far off:
    a frequent class then fits better as two, one for each kind of region, at the cost of the name
    of a rare one. The other start is symmetric noise in each region; see :func:`_symmetric_start`.
    """
    start = RegionTransitions.constant(overall.priors[0], overall.mean, len(counts))
    falling = []
    for shrinkage in shrinkages:
        start = fit_regions(table, counts, start, shrinkage=shrinkage, **options)
        falling.append(start)
    start = _symmetric_start(table, counts)
    rising = []
    for shrinkage in shrinkages[::-1]:
        start = fit_regions(table, counts, start, shrinkage=shrinkage, **options)
        rising.append(start)
    known = options.get("known")
    return [
        max(pair, key=lambda fitted, s=s: fitted.objective(table, counts, s, known))
        for s, *pair in zip(shrinkages, falling, rising[::-1], strict=True)
    ]


def raise_right_labels(label_weight: np.ndarray) -> np.ndarray:
    """Constrain right labels to be the most frequent ones, at the highest likelihood.

    The right label of each class (second last axis) and those that were more frequent get equal
    weights.
    """
    n_classes = label_weight.shape[-1]
    own = np.arange(n_classes)
    right = label_weight[..., own, own]
    if (label_weight.max(axis=-1) <= right).all():
        return label_weight
    others = label_weight.copy()
    others[..., own, own] = 0
    others = -np.sort(-others, axis=-1)[..., :-1]
    shared = right[..., None] + np.cumsum(others, axis=-1)
    level = np.maximum(right, (shared / np.arange(2, n_classes + 1)).max(axis=-1))
    label_weight = np.minimum(label_weight, level[..., None])
    label_weight[..., own, own] = level
    return label_weight


def _symmetric_start(table: TripleTable, counts: np.ndarray) -> RegionTransitions:
    """Return symmetric noise in each region, whose rate follows from the agreement of labels."""
    k = table.n_classes
    a, b, c = table.labels
    total = np.maximum(counts.sum(axis=1), 1e-300)
    agreement = counts @ ((a == b) * 1.0 + (a == c) + (b == c)) / 3 / total
    # Two labels agree if both are right, or wrong in the same way.
    root = np.sqrt(np.maximum(1 - (1 - agreement) * k / (k - 1), 0))
    rate = np.clip((1 - root) * (k - 1) / k, 0.02, 0.8 * (k - 1) / k)
    wrong = rate / (k - 1)
    transitions = np.tile(wrong[:, None, None], (1, k, k))
    transitions[:, np.arange(k), np.arange(k)] = (1 - rate)[:, None]
    shares = sum(counts @ np.eye(k)[labels] for labels in table.labels) / 3 / total[:, None]
    priors = np.maximum(shares - wrong[:, None], 1e-3)
    priors /= priors.sum(axis=1, keepdims=True)
    mean = np.average(transitions, axis=0, weights=total)
    return RegionTransitions(priors, transitions, mean)
