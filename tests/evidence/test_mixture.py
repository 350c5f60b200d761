"""Weights of models against another optimiser, and in cases with a known answer."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import softmax

from skrobust.evidence._mixture import stacking_weights


def _loss(weights, own, weight):
    return -(weight @ np.log(own @ weights)) / weight.sum()


def test_against_a_general_optimiser(seed):
    rng = np.random.default_rng(seed)
    own = rng.beta([2.0, 1.5, 1.0, 3.0], [1.0, 1.0, 1.0, 2.0], (400, 4)).clip(0.01)
    weight = rng.random(400)
    weights = stacking_weights(own, weight)
    best = minimize(lambda z: _loss(softmax(z), own, weight), np.zeros(4), method="BFGS")
    assert _loss(weights, own, weight) <= best.fun + 1e-4
    assert_allclose(weights.sum(), 1)
    assert weights.min() >= 0


def test_a_useless_model_counts_for_nothing(seed):
    rng = np.random.default_rng(seed)
    good = rng.uniform(0.6, 0.95, 500)
    weights = stacking_weights(np.column_stack([good, np.full(500, 0.25), good * 0.9]))
    assert weights[0] > 0.99


def test_equal_models_share_equally():
    own = np.repeat(np.random.default_rng(0).uniform(0.1, 0.9, (50, 1)), 3, axis=1)
    assert_allclose(stacking_weights(own), 1 / 3)


def test_a_model_that_predicts_zero_once_is_not_ruled_out(seed):
    own = np.random.default_rng(seed).uniform(0.5, 0.6, (300, 2))
    own[:, 0] += 0.35
    own[0, 0] = 0
    assert stacking_weights(own)[0] > 0.5


def test_single_models_and_no_rows():
    assert_allclose(stacking_weights(np.full((3, 1), 0.2)), [1])
    assert_allclose(stacking_weights(np.empty((0, 4))), [0.25] * 4)


def test_weights_are_repetitions(seed):
    rng = np.random.default_rng(seed)
    own, weight = rng.random((60, 3)), rng.integers(0, 4, 60)
    assert_allclose(
        stacking_weights(own, weight), stacking_weights(np.repeat(own, weight, axis=0)), atol=1e-9
    )
