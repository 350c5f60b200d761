"""Transition matrices of several regions at once, each drawn towards what they have in common.

What is observed are triples of labels that belong to one true class, as in
:mod:`skrobust.noise._consensus_moments`. Here their likelihood is maximised, in which it is easy
to say how far the matrix of a region may depart from the mean of all regions.
"""

import dataclasses

import numpy as np
from scipy import sparse

# Numbers in the largest array of a pass over triples.
_BLOCK = 1 << 21
# Of the true classes of a region, rows of the mean of all regions that are added to its own.
_PRIOR_ROWS = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class TripleTable:
    """Which triples of labels each unit has, in whatever order.

    Attributes
    ----------
    labels : ndarray of shape (3, n_kinds), dtype intp
        The labels of each kind of triple, in rising order.
    mass : sparse matrix of shape (n_units, n_kinds)
        Mass of each kind in each unit.
    n_classes : int
        Number of classes.
    """

    labels: np.ndarray
    mass: sparse.csr_matrix
    n_classes: int

    def by_region(self, region, n_regions: int) -> np.ndarray:
        """Sum up the mass of the units of each region.

        Parameters
        ----------
        region : ndarray of shape (n_units,), dtype intp
            Region of each unit.
        n_regions : int
            Number of regions.

        Returns
        -------
        counts : ndarray of shape (n_regions, n_kinds)
            Mass of each kind of triple.
        """
        n_units = len(region)
        member = sparse.csr_matrix(
            (np.ones(n_units), (region, np.arange(n_units))), shape=(n_regions, n_units)
        )
        return (member @ self.mass).toarray()


def _labels_of(triples) -> np.ndarray:
    """The three labels of each entry, that of the first member first."""
    return np.stack(np.unravel_index(triples.key, (triples.n_classes,) * 3))


def tabulate_triples(triples, unit_of, n_units: int) -> TripleTable:
    """Sum up triples by unit.

    Parameters
    ----------
    triples : LabelTriples
        Triples.
    unit_of : ndarray of shape (n_members,), dtype intp
        Unit of each of their members.
    n_units : int
        Number of units.

    Returns
    -------
    table : TripleTable
        Each triple counts for the unit of its first member.
    """
    labels = np.sort(_labels_of(triples), axis=0)
    shape = (triples.n_classes,) * 3
    kinds, kind = np.unique(np.ravel_multi_index(labels, shape), return_inverse=True)
    first = triples.members[0]
    weight = triples.share * triples.mass[first]
    mass = sparse.csr_matrix((weight, (unit_of[first], kind)), shape=(n_units, len(kinds)))
    return TripleTable(np.stack(np.unravel_index(kinds, shape)), mass, triples.n_classes)


def label_surprise(triples, unit_of, n_units: int, prior, transition) -> np.ndarray:
    """Compare labels with what a transition foretells, by true class.

    The true class of a label is judged by the two other labels of its triple, so that on average
    surprise is zero wherever `transition` holds, in whatever mixture of classes. It is the
    gradient of a squared error by the diagonal of the matrix.

    Parameters
    ----------
    triples, unit_of, n_units
        As of :func:`tabulate_triples`.
    prior : ndarray of shape (n_classes,)
        Shares of true classes.
    transition : ndarray of shape (n_classes, n_classes)
        What holds for all units together.

    Returns
    -------
    surprise : ndarray of shape (n_units, n_classes)
        For each class: is the label given more often, or less, to rows of the class? It is the
        mean of the triples of a unit, by mass; 0 for units without any.
    """
    own, second, third = _labels_of(triples)
    first, n_classes = triples.members[0], triples.n_classes
    owner, weight = unit_of[first], triples.share * triples.mass[first]
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
    """What is estimated for regions.

    Attributes
    ----------
    priors : ndarray of shape (n_regions, n_classes)
        Shares of the true classes in each region.
    transitions : ndarray of shape (n_regions, n_classes, n_classes)
        Transition of each region.
    mean : ndarray of shape (n_classes, n_classes)
        Transition of all rows, that those of regions are drawn towards.
    """

    priors: np.ndarray
    transitions: np.ndarray
    mean: np.ndarray

    def log_likelihood(self, table: TripleTable, counts) -> float:
        """Compute the log-likelihood of triples by region, of these or of other units."""
        total = 0.0
        for kinds in _blocks(table, counts):
            likelihood = self._joint(table.labels[:, kinds]).sum(axis=1)
            total += np.sum(counts[:, kinds] * np.log(np.maximum(likelihood, 1e-12)))
        return float(total)

    def objective(self, table: TripleTable, counts, shrinkage: float, known=None) -> float:
        """Compute what :func:`fit_regions` makes large.

        The three labels of a triple count as one row, and so do a known label and one row of the
        mean: each is worth the logarithms of three.
        """
        total = self.log_likelihood(table, counts)
        logs = 3 * np.log(np.maximum(self.transitions, 1e-300))
        if known is not None:
            total += np.sum(known * (np.log(self.priors)[:, :, None] + logs))
        if np.isfinite(shrinkage):
            gap = 3 * np.log(np.maximum(self.mean, 1e-300)) - logs
            total -= shrinkage * np.sum(np.where(self.mean > 0, self.mean * gap, 0.0))
        return float(total)

    def expected_labels(self, table: TripleTable, counts) -> tuple[np.ndarray, np.ndarray]:
        """Share triples out among the true classes that they may be of.

        Parameters
        ----------
        table : TripleTable
            Kinds of triples.
        counts : ndarray of shape (n_regions, n_kinds)
            Mass of each kind.

        Returns
        -------
        class_mass : ndarray of shape (n_regions, n_classes)
            Mass of triples by true class.
        label_mass : ndarray of shape (n_regions, n_classes, n_classes)
            The same by true class and label, a third for each of the three labels.
        """
        n_classes = table.n_classes
        class_mass = np.zeros(self.priors.shape)
        label_mass = np.zeros(self.transitions.shape)
        for kinds in _blocks(table, counts):
            labels = table.labels[:, kinds]
            joint = self._joint(labels)
            joint *= (counts[:, kinds] / np.maximum(joint.sum(axis=1), 1e-300))[:, None, :]
            class_mass += joint.sum(axis=2)
            thirds = np.zeros((labels.shape[1], n_classes))
            for label in labels:
                thirds[np.arange(len(label)), label] += 1 / 3
            label_mass += joint @ thirds
        return class_mass, label_mass

    def _joint(self, labels) -> np.ndarray:
        """Probability of each true class and kind of triple, (n_regions, n_classes, n_kinds)."""
        joint = self.priors[:, :, None] * self.transitions[:, :, labels[0]]
        joint *= self.transitions[:, :, labels[1]]
        joint *= self.transitions[:, :, labels[2]]
        return joint


def _blocks(table, counts):
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
    """Estimate the transitions of regions by expectation-maximisation.

    Parameters
    ----------
    table : TripleTable
        Kinds of triples.
    counts : ndarray of shape (n_regions, n_kinds)
        Mass of each kind in each region.
    start : RegionTransitions
        Where to start; also the names of the classes, which the likelihood does not know.
    shrinkage : float
        Mass of rows, of each class, that have the labels of all regions and are added to those
        of each region: a Dirichlet distribution around the mean. Infinite, all regions have one
        matrix.
    known : ndarray of shape (n_regions, n_classes, n_classes), default=None
        Mass of other rows of which the true class (rows) is known, by label (columns).
    dominant : bool, default=True
        Whether no wrong label may be more frequent in a class than the right one. Where noise
        differs, a class of one region may otherwise get the name of another one, as labels are
        foretold as well if it does so.
    tolerance : float, default=1e-6
        It ends where no probability changes by more.
    max_iterations : int, default=1000
        It ends after so many iterations at the latest.

    Returns
    -------
    regions : RegionTransitions
        Where it ended.
    """
    regions = start
    for _ in range(max_iterations):
        class_mass, label_mass = regions.expected_labels(table, counts)
        if known is not None:
            class_mass += known.sum(axis=2)
            label_mass += known
        total = class_mass.sum(axis=0)
        priors = class_mass + _PRIOR_ROWS * total / total.sum()
        priors /= priors.sum(axis=1, keepdims=True)
        # A class that no row may be of keeps its matrix.
        mean = label_mass.sum(axis=0) + 1e-9 * regions.mean
        mean = let_right_labels_lead(mean) if dominant else mean
        mean = mean / mean.sum(axis=1, keepdims=True)
        if np.isinf(shrinkage):
            transitions = np.broadcast_to(mean, label_mass.shape)
        else:
            transitions = label_mass + (shrinkage + 1e-9) * mean
            transitions = let_right_labels_lead(transitions) if dominant else transitions
            transitions = transitions / transitions.sum(axis=2, keepdims=True)
        change = max(
            np.abs(transitions - regions.transitions).max(), np.abs(priors - regions.priors).max()
        )
        regions = RegionTransitions(priors, transitions, mean)
        if change <= tolerance:
            break
    return regions


def fit_path(table, counts, everywhere, shrinkages, **options) -> list[RegionTransitions]:
    """Estimate the transitions of regions for several shrinkages, each from two starts.

    One start is what holds for all rows together. Where noise differs from region to region, that
    may be far off: a frequent class then fits better as two, one for each kind of region, at the
    cost of the name of a rare one. The other start takes all wrong labels to be equally likely,
    as many of them in each region as agree with the labels beside them.

    Parameters
    ----------
    table, counts
        As of :func:`fit_regions`.
    everywhere : RegionTransitions
        What holds for all rows, as one region.
    shrinkages : sequence of float
        In falling order.
    **options
        Of :func:`fit_regions`.

    Returns
    -------
    path : list of RegionTransitions
        The more likely end for each shrinkage.
    """
    start = in_all_regions(everywhere.priors[0], everywhere.mean, len(counts))
    falling = []
    for shrinkage in shrinkages:
        start = fit_regions(table, counts, start, shrinkage=shrinkage, **options)
        falling.append(start)
    start = agreement_start(table, counts)
    rising = []
    for shrinkage in shrinkages[::-1]:
        start = fit_regions(table, counts, start, shrinkage=shrinkage, **options)
        rising.append(start)
    known = options.get("known")
    return [
        max(pair, key=lambda fitted, s=s: fitted.objective(table, counts, s, known))
        for s, *pair in zip(shrinkages, falling, rising[::-1], strict=True)
    ]


def let_right_labels_lead(label_mass) -> np.ndarray:
    """Make no wrong label more frequent than the right one, as likely as can be.

    Parameters
    ----------
    label_mass : ndarray of shape (..., n_classes, n_classes)
        Mass by true class and label.

    Returns
    -------
    label_mass : ndarray of that shape
        The right label and those that were more frequent share alike.
    """
    n_classes = label_mass.shape[-1]
    own = np.arange(n_classes)
    right = label_mass[..., own, own]
    if (label_mass.max(axis=-1) <= right).all():
        return label_mass
    others = label_mass.copy()
    others[..., own, own] = 0
    others = -np.sort(-others, axis=-1)[..., :-1]
    shared = right[..., None] + np.cumsum(others, axis=-1)
    level = np.maximum(right, (shared / np.arange(2, n_classes + 1)).max(axis=-1))
    label_mass = np.minimum(label_mass, level[..., None])
    label_mass[..., own, own] = level
    return label_mass


def agreement_start(table: TripleTable, counts: np.ndarray) -> RegionTransitions:
    """Take wrong labels to be equally likely, and count by the labels that agree.

    Parameters
    ----------
    table : TripleTable
        Kinds of triples.
    counts : ndarray of shape (n_regions, n_kinds)
        Mass of each kind in each region.

    Returns
    -------
    regions : RegionTransitions
        Symmetric noise in each region.
    """
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


def in_all_regions(prior, transition, n_regions: int) -> RegionTransitions:
    """Start from the same prior and the same transition in all regions."""
    return RegionTransitions(
        np.tile(prior, (n_regions, 1)), np.tile(transition, (n_regions, 1, 1)), transition
    )
