"""The product of two transitions."""

import numpy as np
from numpy.testing import assert_allclose

from skrobust.noise import DualTransition
from skrobust.noise._noise_model import shrink_counts, symmetric_prior
from tests._proba_rows import TRANSITION, Columns, noisy_rows, posterior_rows


def test_the_product_of_its_factors(seed):
    X, y, _ = noisy_rows(600, seed, distance=2.0)
    fitted = DualTransition(sharpness=2.0, noise_rate="counted", random_state=seed).fit(X, y)
    first, second = fitted.intermediate_transition_, fitted.label_transition_
    assert_allclose(fitted.transition_matrix_, first @ second)
    for factor in (first, second):
        assert_allclose(factor.sum(axis=1), 1)
        assert factor.min() >= 0


def test_sharp_probabilities_leave_the_counts(seed):
    X, y, _ = posterior_rows(3000, seed)
    fitted = DualTransition(Columns(), sharpness=40.0).fit(X, y)
    assert_allclose(fitted.intermediate_transition_, np.eye(3), atol=1e-6)
    counts = np.zeros((3, 3))
    np.add.at(counts, (X.argmax(axis=1), y), 1)
    expected = shrink_counts(counts, [symmetric_prior(counts)])
    assert_allclose(fitted.label_transition_, expected)
    assert np.abs(fitted.transition_matrix_ - TRANSITION).mean() < 0.02


def test_exact_probabilities_hold_the_noise_already(seed):
    X, y, _ = posterior_rows(3000, seed)
    published = DualTransition(Columns(), sharpness=1.0, noise_rate="counted").fit(X, y)
    assert_allclose(published.intermediate_transition_, TRANSITION, atol=1e-3)
    assert_allclose(published.transition_matrix_, TRANSITION @ TRANSITION, atol=0.05)
    default = DualTransition(Columns()).fit(X, y)
    assert np.abs(default.transition_matrix_ - TRANSITION).mean() < 0.02


def test_unpredicted_class_is_its_own_intermediate_class(seed):
    X, y, _ = posterior_rows(900, seed)
    X[:, 1] *= 1e-3
    X /= X.sum(axis=1, keepdims=True)
    fitted = DualTransition(Columns()).fit(X, y)
    assert_allclose(fitted.intermediate_transition_[1], [0, 1, 0])
    row = fitted.transition_matrix_[1]
    assert_allclose(row[0], row[2], rtol=1e-6)


def test_easy_rows(seed):
    X, y, truth = noisy_rows(1500, seed)
    fitted = DualTransition(random_state=seed).fit(X, y)
    assert np.abs(fitted.transition_matrix_ - TRANSITION).mean() < 0.03
    assert abs(fitted.noise_rate_ - np.mean(y != truth)) < 0.03
