"""Random states and seeds, independent of NumPy's global generator."""

import numpy as np
from sklearn.utils import check_random_state

_MAX_SEED = np.iinfo(np.int32).max


def private_random_state(random_state) -> np.random.RandomState:
    """Return a RandomState to draw from.

    Like :func:`sklearn.utils.check_random_state`, except that None means fresh entropy instead of
    the global generator: a fit must neither read nor advance a state that belongs to the caller.
    """
    if random_state is None:
        return np.random.RandomState(np.random.SeedSequence().generate_state(4))
    return check_random_state(random_state)


def draw_seed(random_state: np.random.RandomState) -> int:
    """Draw an integer seed for a child."""
    return int(random_state.randint(_MAX_SEED))


def draw_seeds(random_state: np.random.RandomState, n_seeds: int) -> list[int]:
    """Draw integer seeds for several children, the same as one after the other."""
    return random_state.randint(_MAX_SEED, size=n_seeds).tolist()


def set_missing_random_states(estimator, random_state: np.random.RandomState) -> None:
    """Give every ``random_state`` parameter of an estimator that is None an integer of its own.

    Seeds that the user set are left alone.
    """
    seeds = {
        key: draw_seed(random_state)
        for key, value in sorted(estimator.get_params(deep=True).items())
        if (key == "random_state" or key.endswith("__random_state")) and value is None
    }
    if seeds:
        estimator.set_params(**seeds)
