"""Which rows are near? As the parameters of an estimator say, or as foretells labels best."""

import dataclasses

import numpy as np

from skrobust.evidence._neighbor_index import choose_algorithm
from skrobust.evidence._neighbor_votes import ROUND_SHARE, mean_log_loss, vote_shares
from skrobust.evidence._neighbors import (
    Neighborhood,
    Units,
    check_enough_rows,
    check_square,
    make_units,
    others_stored,
    unit_rows,
)

DETECTOR_METRICS = ("auto", "cosine", "euclidean", "manhattan", "precomputed")
DETECTOR_SCALES = ("auto", "rank", "standard")

# Units that are looked at to choose between ways to measure distance.
_TRIAL_UNITS = 5000
# For columns of many kinds, for embeddings, and for columns of one kind, such as coordinates.
_CANDIDATES = (("euclidean", "rank"), ("cosine", None), ("euclidean", None))


def find_neighborhood(
    estimator,
    data,
    *,
    default: int = 30,
    at_least: int = 0,
    n_tried: int = 0,
    n_rounds: int = 0,
    random_state=None,
    embedded=None,
    voters: np.ndarray | None = None,
) -> tuple[Units, Neighborhood]:
    """Find the neighbours of all rows, as the parameters of an estimator ask for."""
    metric, scale = estimator.metric, estimator.scale
    precomputed = metric == "precomputed"
    if precomputed:
        if scale not in ("auto", None):
            raise ValueError(f'scale={scale!r} is of no use with metric="precomputed".')
        check_square(data.X, estimator.n_neighbors)
    units = make_units(data, merge=not precomputed)
    if voters is not None:
        mass = np.where(np.bincount(units.of_row, weights=voters) > 0, units.mass, 0.0)
        units = dataclasses.replace(units, mass=mass)
    n_voters = len(units.voters)
    n_neighbors = estimator.n_neighbors
    if n_neighbors is None:
        n_neighbors = max(min(default, n_voters - 1), 1)
        if precomputed:
            n_neighbors = min(n_neighbors, int(others_stored(data.X).max()))
    elif n_voters <= n_neighbors:
        check_enough_rows(n_neighbors, n_voters, "distinct rows with a label and a positive weight")
    X = data.X if precomputed else unit_rows(data.X if embedded is None else embedded, units)
    if not precomputed:
        choose_algorithm(estimator.algorithm, n_voters)  # may say no, before any work
        metric, scale = _choose(estimator, data, units, X, max(n_neighbors, n_tried))
    wanted = n_neighbors
    if not precomputed:
        if n_rounds:
            wanted = int(np.ceil(n_neighbors / ROUND_SHARE)) + 4
        wanted = max(min(max(wanted, at_least), n_voters - 1), n_neighbors)
    neighborhood = Neighborhood(
        units,
        X,
        wanted,
        metric=metric,
        scale=scale,
        algorithm=estimator.algorithm,
        n_jobs=estimator.n_jobs,
        random_state=random_state,
    )
    estimator.n_neighbors_, estimator.metric_, estimator.scale_ = n_neighbors, metric, scale
    return units, neighborhood


def _choose(estimator, data, units, X, n_neighbors) -> tuple[str, str | None]:
    """Say how distances are measured, and try where it is left open."""
    metric, scale = estimator.metric, estimator.scale
    dense = isinstance(X, np.ndarray)
    if not dense and scale not in ("auto", None):
        raise ValueError(
            f"scale={scale!r} needs a dense table, and X is sparse and has {X.shape[1]} columns:"
            ' pass scale="auto" or None.'
        )
    if metric == "auto" and scale == "auto":
        return _try(estimator, data, units, X, n_neighbors) if dense else ("cosine", None)
    if metric == "auto":
        return ("cosine" if scale is None else "euclidean"), scale
    if scale == "auto":
        scale = "rank" if dense and metric != "cosine" else None
    return metric, scale


def _try(estimator, data, units, X, n_neighbors) -> tuple[str, str | None]:
    """Take the distance by which neighbours foretell the given labels best."""
    some = units.voters[:_TRIAL_UNITS]
    trial = Units(some, some, units.owner[some], units.mass[some])
    class_mass = units.class_mass(data)[some]
    n_neighbors = min(n_neighbors, max(len(some) - 1, 1))
    losses = []
    for metric, scale in _CANDIDATES:
        found = Neighborhood(
            trial,
            X[some],
            n_neighbors,
            metric=metric,
            scale=scale,
            algorithm="exact",
            n_jobs=estimator.n_jobs,
        )
        losses.append(mean_log_loss(vote_shares(found.graph, class_mass), class_mass))
    # Equal but for rounding, as where no neighbour is in sight, is equal.
    best = min(losses) + 1e-9
    return next(c for c, loss in zip(_CANDIDATES, losses, strict=True) if loss <= best)
