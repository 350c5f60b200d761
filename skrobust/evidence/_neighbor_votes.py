"""What do the neighbours of a row say? Their votes, weighed by how near they are."""

import numpy as np
from scipy import sparse

from skrobust.evidence._neighbors import select_neighbors

# The weight of a vote falls linearly with the distance, and would be zero at this many times the
# distance of the last neighbour.
_REACH = 1.1
# Share of the units that vote in each of several rounds.
ROUND_SHARE = 0.9


def vote_shares(graph, class_mass, prior=None) -> np.ndarray:
    """Let the neighbours of each row vote on its class.

    The weight of a vote is the mass of the neighbour times one that falls linearly with its
    distance, in relation to that of the last neighbour. One vote of the prior is added, so that
    a share is the higher the more votes there are.

    Parameters
    ----------
    graph : sparse matrix of shape (n_rows, n_units)
        Distances in CSR format, in rising order in each row.
    class_mass : sparse matrix of shape (n_units, n_classes)
        Mass of each unit by class.
    prior : ndarray of shape (n_classes,), default=None
        Shares where nobody votes; None is equal ones.

    Returns
    -------
    shares : ndarray of shape (n_rows, n_classes)
        Rows sum to 1.
    """
    n_classes = class_mass.shape[1]
    weights = sparse.csr_matrix(
        (_vote_weights(graph), graph.indices, graph.indptr), shape=graph.shape
    )
    shares = (weights @ class_mass).toarray()
    shares += 1 / n_classes if prior is None else prior
    shares /= shares.sum(axis=1, keepdims=True)
    return shares


def _vote_weights(graph) -> np.ndarray:
    """Weigh the entries of a graph; the largest weight is 1."""
    counts = np.diff(graph.indptr)
    reach = np.zeros(graph.shape[0])
    held = counts > 0
    reach[held] = _REACH * graph.data[graph.indptr[1:][held] - 1]
    # Where all neighbours are copies of the row, which is at a distance of zero, all count.
    reach[reach == 0] = 1.0
    return 1 - graph.data / np.repeat(reach, counts)


def mean_shares(graph, class_mass, n_neighbors, *, n_rounds, random_state) -> np.ndarray:
    """Average the votes of several rounds, in each of which nine tenths of the units vote.

    Parameters
    ----------
    graph : sparse matrix of shape (n_rows, n_units)
        Distances in CSR format, to `n_neighbors` neighbours or more.
    class_mass : sparse matrix of shape (n_units, n_classes)
        Mass of each unit by class.
    n_neighbors : int
        Number of neighbours that vote in a round.
    n_rounds : int
        Number of rounds; 0 is a single one, in which all units vote.
    random_state : RandomState instance
        Where the choice of voters comes from.

    Returns
    -------
    shares : ndarray of shape (n_rows, n_classes)
        Rows sum to 1.
    """
    n_units = graph.shape[1]
    if n_rounds == 0:
        everybody = np.ones(n_units, dtype=bool)
        if np.diff(graph.indptr).max(initial=0) > n_neighbors:
            graph = select_neighbors(graph, everybody, n_neighbors)
        return vote_shares(graph, class_mass)
    voters = np.flatnonzero(np.diff(class_mass.indptr))
    total = 0.0
    for _ in range(n_rounds):
        votes = np.zeros(n_units, dtype=bool)
        votes[random_state.permutation(voters)[: round(ROUND_SHARE * len(voters))]] = True
        total = total + vote_shares(select_neighbors(graph, votes, n_neighbors), class_mass)
    return total / n_rounds


def mean_log_loss(shares, class_mass) -> float:
    """Judge votes by the classes of the units themselves, which took no part in them.

    Parameters
    ----------
    shares : ndarray of shape (n_units, n_classes)
        Votes about each unit.
    class_mass : sparse matrix of shape (n_units, n_classes)
        Mass of each unit by class.

    Returns
    -------
    loss : float
        Mean of minus the logarithm of the share of the given class.
    """
    mass = class_mass.tocoo()
    return float(-(mass.data @ np.log(shares[mass.row, mass.col])) / mass.data.sum())
