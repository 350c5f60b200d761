"""Rows with noisy labels, and threads of torch."""

import numpy as np
import pytest

from skrobust.noise import flip_labels, symmetric_transition


@pytest.fixture
def noisy(seed):
    """Three classes, a third of whose labels are wrong: rows, true and given labels, mask."""
    rng = np.random.default_rng(seed)
    y = np.arange(600) % 3
    X = rng.normal(size=(600, 4)) + 3 * np.eye(3, 4)[y]
    given, flipped = flip_labels(y, symmetric_transition(3, 0.3), random_state=seed)
    return X, y, given, flipped


@pytest.fixture
def two_threads():
    """Let torch use two threads, which must not add numbers up in an order of chance."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
