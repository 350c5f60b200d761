"""Class prior and transition matrix from the moments of labels given to rows of one class.

Three labels are given to three rows that share a true class, each wrong or right independently of
the others. The shares of each label, each pair and each triple of labels (high-order consensuses)
depend on the class prior and the transition matrix, and determine both up to the names of the true
classes.
"""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment, minimize
from scipy.special import softmax

MAX_CLASSES = 100
"""Most classes: an array of all triples has 8 MB then."""

_MAX_ITERATIONS = 2000
# Logits of right and wrong labels in the first start, as published.
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

    def take(self, order: np.ndarray) -> "Consensus":
        """Choose classes, in some order."""
        return Consensus(
            self.single[order],
            self.pair[np.ix_(order, order)],
            self.triple[np.ix_(order, order, order)],
        )


def expected_consensus(prior: np.ndarray, transition: np.ndarray) -> Consensus:
    """Return the shares that are expected of a class prior and a transition matrix."""
    joint = prior[:, None] * transition
    pairs = transition[:, :, None] * transition[:, None, :]
    n_classes = len(prior)
    triple = (joint.T @ pairs.reshape(n_classes, -1)).reshape((n_classes,) * 3)
    return Consensus(joint.sum(axis=0), joint.T @ transition, triple)


def count_consensus(triple: np.ndarray) -> Consensus:
    """Turn weights of triples (own label, first and second neighbour's) into shares.

    Expected shares are symmetric, so that only the symmetric part is fitted. How often a row is
    the neighbour of others is another matter: neighbours do not count in the shares of single
    labels, nor in pairs without the own label.
    """
    triple = triple / triple.sum()
    single = triple.sum(axis=(1, 2))
    pair = triple.sum(axis=2) + triple.sum(axis=1)
    pair = (pair + pair.T) / 4
    triple = triple + triple.transpose(0, 2, 1)
    triple = (triple + triple.transpose(1, 0, 2) + triple.transpose(2, 1, 0)) / 6
    return Consensus(single, pair, triple)


class ConsensusLoss:
    """Squared differences between observed and expected shares, as a function of roots.

    Probabilities are squares of the roots, normalised: unlike a softmax, they reach zero in a few
    steps of a solver. `known` are weights of verified rows by true class and label, relative to
    that of all triples, towards which the transition matrix is drawn.
    """

    def __init__(self, consensus: Consensus, known: np.ndarray | None = None) -> None:
        self.consensus, self.n_classes = consensus, len(consensus.single)
        # Brings losses to the scale of the tolerances of the solver.
        self.scale = 1 / np.sum(consensus.triple**2)
        self.known_weight = None
        if known is not None:
            self.known_weight = known.sum(axis=1)
            self.known_shares = known / np.maximum(self.known_weight, 1e-300)[:, None]

    def unpack(self, roots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn roots into the class prior and the transition matrix."""
        squares = roots**2
        prior = squares[: self.n_classes]
        transition = squares[self.n_classes :].reshape(self.n_classes, -1)
        return prior / prior.sum(), transition / transition.sum(axis=1, keepdims=True)

    def __call__(self, roots: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the loss and its gradient."""
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
        if self.known_weight is not None:
            gap = transition - self.known_shares
            loss += self.known_weight @ np.sum(gap**2, axis=1)
            by_transition += 2 * self.known_weight[:, None] * gap
        by_root = [_by_roots(roots[:k], prior, by_prior)]
        by_root.append(_by_roots(roots[k:].reshape(k, k), transition, by_transition).ravel())
        return self.scale * loss, self.scale * np.concatenate(by_root)

    def minimize(
        self, prior: np.ndarray, transition: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Minimise the loss from a start without zeros; return loss, prior and transition."""
        found = minimize(
            self,
            np.sqrt(np.concatenate([prior, transition.ravel()])),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "ftol": 0, "gtol": 1e-10, "maxcor": 20},
        )
        return found.fun, *self.unpack(found.x)


def _by_roots(roots: np.ndarray, shares: np.ndarray, by_shares: np.ndarray) -> np.ndarray:
    """Turn a gradient by shares into one by the roots whose squares are normalised to shares."""
    centred = by_shares - np.sum(by_shares * shares, axis=-1, keepdims=True)
    return 2 * roots / np.sum(roots**2, axis=-1, keepdims=True) * centred


def solve_consensus(
    consensus: Consensus,
    *,
    n_starts: int = 5,
    random_state: np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit class prior and transition matrix to observed shares; return them and all losses.

    The first of the starts favours the diagonal, the others less so, with the rest of each row
    drawn at random. True classes get the names for which the mean diagonal is largest.
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
    # Of minima that differ by rounding only, the first is taken.
    _, prior, transition = ends[np.flatnonzero(losses <= losses.min() + 1e-12)[0]]
    back = np.argsort(order)
    return *align_classes(prior, transition[:, back]), losses


def refine_consensus(
    consensus: Consensus, prior: np.ndarray, transition: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Continue from a solution with other shares, or with counts of verified rows."""
    loss = ConsensusLoss(consensus, known if known.any() else None)
    # An entry of zero would not change.
    return loss.minimize(np.maximum(prior, 1e-6), np.maximum(transition, 1e-4))[1:]


def align_classes(
    prior: np.ndarray, transition: np.ndarray, reference: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Order true classes by their most similar row of `reference` (None: the identity)."""
    similarity = transition if reference is None else transition @ reference.T
    row, name = linear_sum_assignment(-similarity)
    order = row[np.argsort(name)]
    return prior[order], transition[order]
