"""How much is each model worth? Weights of models by how well they foretell given labels."""

import numpy as np

_N_STEPS = 200
_TOLERANCE = 1e-7
# Below this, a probability counts as this much: a few wrong labels must not decide which model
# is better, and a model may say 0.
_SMALLEST_PROBABILITY = 1e-3


def pool_weights(own_proba: np.ndarray, mass: np.ndarray | None = None) -> np.ndarray:
    """Find the mixture of models under which the given labels are most likely."""
    n_models = own_proba.shape[1]
    weights = np.full(n_models, 1 / n_models)
    if n_models == 1 or len(own_proba) == 0:
        return weights
    likelihood = np.maximum(own_proba, _SMALLEST_PROBABILITY, dtype=np.float64)
    mass = np.ones(len(likelihood)) if mass is None else np.asarray(mass, dtype=np.float64)
    mass = mass / mass.sum()
    for _ in range(_N_STEPS):
        step = weights * (likelihood.T @ (mass / (likelihood @ weights)))
        moved = np.abs(step - weights).max()
        weights = step
        if moved < _TOLERANCE:
            break
    return weights / weights.sum()
