"""What do the neighbours of a row say? Their votes, weighed by how near they are."""

import numpy as np
from scipy import sparse

from skrobust.evidence._neighbors import select_neighbors

# The weight of a vote falls linearly with the distance, and would be zero at this many times the
# distance of the last neighbour.
_REACH = 1.1
# Share of the units that vote in each of several rounds.
ROUND_SHARE = 0.9


def vote_shares(graph, class_mass, prior: np.ndarray | None = None) -> np.ndarray:
    """Let the neighbours of each row vote on its class."""
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


def mean_shares(graph, class_mass, n_neighbors: int, *, n_rounds: int, random_state) -> np.ndarray:
    """Average the votes of several rounds, in each of which nine tenths of the units vote."""
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


def mean_log_loss(shares: np.ndarray, class_mass) -> float:
    """Judge votes by the classes of the units themselves, which took no part in them."""
    mass = class_mass.tocoo()
    return float(-(mass.data @ np.log(shares[mass.row, mass.col])) / mass.data.sum())
