"""The confident joint, read by true class."""

import numpy as np
from numpy.testing import assert_allclose

from skrobust.detection import ConfidentLearning
from skrobust.noise import ConfidentTransition, pair_transition
from tests._proba_rows import TRANSITION, Columns, noisy_rows


def test_a_small_table_by_hand():
    proba = [
        [0.9, 0.05, 0.05],
        [0.7, 0.2, 0.1],
        [0.2, 0.7, 0.1],
        [0.1, 0.8, 0.1],
        [0.3, 0.3, 0.4],
        [0.05, 0.15, 0.8],
        [0.6, 0.3, 0.1],
        [0.1, 0.1, 0.8],
    ]
    y = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    fitted = ConfidentTransition(Columns(), noise_rate="counted", cv=2).fit(np.array(proba), y)
    # Counts by given label are [2, 1, 0], [0, 1, 0] and [1, 0, 2]; the second is doubled.
    expected = [[2 / 3, 0, 1 / 3], [1 / 3, 2 / 3, 0], [0, 0, 1]]
    assert_allclose(fitted.transition_matrix_, expected, atol=1e-12)
    assert_allclose(fitted.class_prior_, [3 / 8, 3 / 8, 2 / 8])
    assert_allclose(fitted.noise_rate_, 0.25)


def test_the_transition_is_that_of_confident_learning(seed):
    X, y, _ = noisy_rows(600, seed, distance=2.0)
    fitted = ConfidentTransition(noise_rate="counted", random_state=seed).fit(X, y)
    detector = ConfidentLearning(random_state=seed).fit(X, y)
    # There, counts are rounded to whole rows.
    assert_allclose(fitted.transition_matrix_, detector.transition_matrix_, atol=0.01)


def test_rows_are_true_classes(seed):
    transition = pair_transition(3, 0.35)
    X, y, _ = noisy_rows(900, seed, transition=transition)
    fitted = ConfidentTransition(random_state=seed).fit(X, y)
    assert np.abs(fitted.transition_matrix_ - transition).max() < 0.1
    assert np.abs(fitted.transition_matrix_ - transition.T).max() > 0.2


def test_easy_rows(seed):
    X, y, truth = noisy_rows(1500, seed)
    fitted = ConfidentTransition(random_state=seed).fit(X, y)
    assert np.abs(fitted.transition_matrix_ - TRANSITION).mean() < 0.03
    assert abs(fitted.noise_rate_ - np.mean(y != truth)) < 0.03
