"""How often do labels of rows of one unknown class agree? From that, how labels go wrong.

Three labels are given to three rows that share a true class, each wrong or right by itself. How
often each label, each pair and each triple of labels occurs depends on the prior of the true
classes and on the transition, and, but for the names of the true classes, determines both.
"""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import softmax

MAX_CLASSES = 100
"""Triples of so many classes are a table of 8 MB."""

_MAX_ITERATIONS = 2000
# Of the first start, where a label is probably right: logits of 4 and -1, as published.
_FIRST_LOGITS = 4.0, -1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Consensus:
    """Shares of labels, of pairs and of triples of labels given to rows of one class.

    Attributes
    ----------
    single : ndarray of shape (n_classes,)
        Share of each label.
    pair : ndarray of shape (n_classes, n_classes)
        Share of each pair, symmetric.
    triple : ndarray of shape (n_classes, n_classes, n_classes)
        Share of each triple, symmetric.
    """

    single: np.ndarray
    pair: np.ndarray
    triple: np.ndarray

    def take(self, order) -> "Consensus":
        """Choose classes, in some order."""
        return Consensus(
            self.single[order],
            self.pair[np.ix_(order, order)],
            self.triple[np.ix_(order, order, order)],
        )


def expected_consensus(prior, transition) -> Consensus:
    """Say how often labels, pairs and triples are expected.

    Parameters
    ----------
    prior : ndarray of shape (n_classes,)
        Shares of the true classes.
    transition : ndarray of shape (n_classes, n_classes)
        Probability of each label (columns) in each true class (rows).

    Returns
    -------
    consensus : Consensus
        Shares that each sum to 1.
    """
    weighed = prior[:, None] * transition
    pairs = transition[:, :, None] * transition[:, None, :]
    n_classes = len(prior)
    triple = weighed.T @ pairs.reshape(n_classes, -1)
    triple = triple.reshape((n_classes,) * 3)
    return Consensus(weighed.sum(axis=0), weighed.T @ transition, triple)


def count_consensus(triple) -> Consensus:
    """Turn counts of triples of labels into shares.

    The expected shares are the same in whatever order the labels of a triple are, so that what
    is symmetric of the counts is all there is to fit. The first label is that of a row drawn from
    all rows; how often a row is the neighbour of others is another matter, so that the others
    have no part in the shares of single labels, nor in pairs without the first.

    Parameters
    ----------
    triple : ndarray of shape (n_classes, n_classes, n_classes)
        Mass of rows by their label and by those of their first and their second neighbour.

    Returns
    -------
    consensus : Consensus
        Shares that each sum to 1.
    """
    triple = triple / triple.sum()
    single = triple.sum(axis=(1, 2))
    pair = triple.sum(axis=2) + triple.sum(axis=1)
    pair = (pair + pair.T) / 4
    triple = triple + triple.transpose(0, 2, 1)
    triple = (triple + triple.transpose(1, 0, 2) + triple.transpose(2, 1, 0)) / 6
    return Consensus(single, pair, triple)


class ConsensusLoss:
    """Squared differences between observed and expected shares.

    Probabilities are squares, divided by their sum: unlike a softmax, they reach zero, where many
    entries of a transition are, in a few steps of a solver.

    Parameters
    ----------
    consensus : Consensus
        Observed shares.
    known : ndarray of shape (n_classes, n_classes), default=None
        Mass of rows by known true class (rows) and label (columns), in relation to that of all
        triples. The transition is drawn towards them, each true class with its mass.
    """

    def __init__(self, consensus: Consensus, known=None):
        self.consensus, self.n_classes = consensus, len(consensus.single)
        # Brings losses to a scale on which the tolerances of a solver mean something.
        self.scale = 1 / np.sum(consensus.triple**2)
        self.known_mass = None
        if known is not None:
            self.known_mass = known.sum(axis=1)
            self.known_shares = known / np.maximum(self.known_mass, 1e-300)[:, None]

    def unpack(self, roots) -> tuple[np.ndarray, np.ndarray]:
        """Turn roots into the prior and the transition."""
        squares = roots**2
        prior = squares[: self.n_classes]
        transition = squares[self.n_classes :].reshape(self.n_classes, -1)
        return prior / prior.sum(), transition / transition.sum(axis=1, keepdims=True)

    def __call__(self, roots) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient by the roots."""
        prior, transition = self.unpack(roots)
        k = self.n_classes
        model, seen = expected_consensus(prior, transition), self.consensus
        single, pair = model.single - seen.single, model.pair - seen.pair
        triple = model.triple - seen.triple
        loss = single @ single + np.sum(pair**2) + np.sum(triple**2)
        by_pair = transition @ pair
        # Entry [k, i] is the sum of triple[i, j, l] T[k, j] T[k, l] over j and l.
        by_triple = (transition @ triple.reshape(k, -1)).reshape(k, k, k)
        by_triple = np.matmul(by_triple, transition[:, :, None])[:, :, 0]
        by_prior = 2 * np.sum((single + by_pair + by_triple) * transition, axis=1)
        by_transition = prior[:, None] * (2 * single + 4 * by_pair + 6 * by_triple)
        if self.known_mass is not None:
            gap = transition - self.known_shares
            loss += self.known_mass @ np.sum(gap**2, axis=1)
            by_transition += 2 * self.known_mass[:, None] * gap
        by_root = [_by_roots(roots[:k], prior, by_prior)]
        by_root.append(_by_roots(roots[k:].reshape(k, k), transition, by_transition).ravel())
        return self.scale * loss, self.scale * np.concatenate(by_root)

    def minimize(self, prior, transition) -> tuple[float, np.ndarray, np.ndarray]:
        """Go downhill from a prior and a transition without zeros.

        Parameters
        ----------
        prior : ndarray of shape (n_classes,)
            Where to start.
        transition : ndarray of shape (n_classes, n_classes)
            Where to start.

        Returns
        -------
        loss : float
            Loss at the end.
        prior : ndarray of shape (n_classes,)
            Shares of the true classes.
        transition : ndarray of shape (n_classes, n_classes)
            Rows sum to 1.
        """
        found = minimize(
            self,
            np.sqrt(np.concatenate([prior, transition.ravel()])),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "ftol": 0, "gtol": 1e-10, "maxcor": 20},
        )
        return found.fun, *self.unpack(found.x)


def _by_roots(roots, shares, by_shares) -> np.ndarray:
    """Turn a gradient by shares into one by the roots whose squares make them."""
    centred = by_shares - np.sum(by_shares * shares, axis=-1, keepdims=True)
    return 2 * roots / np.sum(roots**2, axis=-1, keepdims=True) * centred


def solve_consensus(
    consensus, *, n_starts=5, random_state=None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the prior and the transition that explain how often labels agree.

    Parameters
    ----------
    consensus : Consensus
        Observed shares; every label occurs.
    n_starts : int, default=5
        Number of starts, of which the lowest end is taken. The first favours the diagonal, the
        others less so and with the rest of each row drawn at random.
    random_state : RandomState instance, default=None
        Where the others come from; needed if there are others.

    Returns
    -------
    prior : ndarray of shape (n_classes,)
        Shares of the true classes.
    transition : ndarray of shape (n_classes, n_classes)
        Probability of each label (columns) in each true class (rows). The classes, which the
        shares leave without names, get those by which the mean diagonal is largest.
    losses : ndarray of shape (n_starts,)
        Where each start ended.
    """
    k = len(consensus.single)
    # Starts must not depend on the names of classes.
    triples = np.einsum("iii->i", consensus.triple)
    order = np.lexsort((triples, consensus.pair.diagonal(), consensus.single))
    loss = ConsensusLoss(consensus.take(order))
    even = np.full(k, 1 / k)
    ends = []
    for start in range(n_starts):
        if start == 0:
            right, wrong = _FIRST_LOGITS
            transition = softmax(wrong + (right - wrong) * np.eye(k), axis=1)
        else:
            share = random_state.uniform(0.2, 0.8)
            rest = random_state.dirichlet(np.ones(k), size=k) + 1e-3
            transition = share * np.eye(k) + (1 - share) * rest
        ends.append(loss.minimize(even, transition))
    losses = np.array([end[0] for end in ends])
    # Ends that differ by rounding only are one: the first of them is taken.
    _, prior, transition = ends[np.flatnonzero(losses <= losses.min() + 1e-12)[0]]
    back = np.argsort(order)
    return *align_classes(prior, transition[:, back]), losses


def align_classes(prior, transition, reference=None) -> tuple[np.ndarray, np.ndarray]:
    """Name the true classes.

    Parameters
    ----------
    prior : ndarray of shape (n_classes,)
        Shares of true classes in any order.
    transition : ndarray of shape (n_classes, n_classes)
        Rows in the same order.
    reference : ndarray of shape (n_classes, n_classes), default=None
        Transition to be like; None is one where labels are right.

    Returns
    -------
    prior : ndarray of shape (n_classes,)
        In the order of labels.
    transition : ndarray of shape (n_classes, n_classes)
        Rows in the order of labels.
    """
    likeness = transition if reference is None else transition @ reference.T
    row, name = linear_sum_assignment(-likeness)
    order = row[np.argsort(name)]
    return prior[order], transition[order]
