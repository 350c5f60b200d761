"""Each test draws from a generator of its own, seeded by the `seed` fixture."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _forked_generator(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
