"""The corrected confusion matrix: by hand, by simulation, many classes, bad matrices."""

import time
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.metrics import confusion_matrix

from skrobust.metrics import noise_corrected_confusion_matrix
from skrobust.metrics._corrected_confusion import (
    _solve_exactly,
    _solve_stepwise,
    solve_confusion,
)
from skrobust.noise import flip_labels, random_transition, symmetric_transition


def _predictions(truth, accuracy, n_classes, rng):
    shift = rng.integers(1, n_classes, size=len(truth))
    return np.where(rng.random(len(truth)) < accuracy, truth, (truth + shift) % n_classes)


def test_identity_gives_the_plain_confusion_matrix(seed):
    rng = np.random.default_rng(seed)
    y, pred = rng.integers(4, size=(2, 200))
    weight = rng.random(200)
    found = noise_corrected_confusion_matrix(y, pred, np.eye(4), sample_weight=weight)
    assert_allclose(found, confusion_matrix(y, pred, sample_weight=weight))


def test_accuracy_of_the_oracle(seed):
    # Accuracy .8489 shows as .6891 under this noise.
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=400_000)
    pred = _predictions(truth, 0.8489, 3, rng)
    transition = symmetric_transition(3, 0.20664)
    given, _ = flip_labels(truth, transition, random_state=seed)
    assert np.mean(given == pred) == pytest.approx(0.6891, abs=0.004)
    found = noise_corrected_confusion_matrix(given, pred, transition)
    assert found.trace() / len(truth) == pytest.approx(np.mean(truth == pred), abs=0.005)
    assert_allclose(found, confusion_matrix(truth, pred), atol=2500)


def test_expected_counts_are_inverted_exactly(seed):
    rng = np.random.default_rng(seed)
    transition = random_transition(5, 0.3, random_state=seed)
    confusion = rng.random((5, 5)) * 100
    assert_allclose(solve_confusion(transition.T @ confusion, transition), confusion)


def test_negative_solutions_are_the_least_squares_on_the_simplex(seed):
    rng = np.random.default_rng(seed)
    transition = random_transition(3, 0.4, random_state=seed)
    counts = rng.integers(0, 20, size=(3, 3)) + np.array([[60.0, 0, 0], [0, 0, 0], [0, 0, 0]])
    found = solve_confusion(counts, transition)
    assert found.min() >= 0
    assert_allclose(found.sum(axis=0), counts.sum(axis=0))
    for column, target in zip(found.T, counts.T):

        def loss(x, target=target):
            return ((transition.T @ x - target) ** 2).sum()

        best = minimize(
            loss,
            np.full(3, target.sum() / 3),
            bounds=[(0, None)] * 3,
            constraints={"type": "eq", "fun": lambda x, target=target: x.sum() - target.sum()},
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        assert loss(column) <= best.fun * (1 + 1e-4) + 1e-6


def test_steps_come_close_to_the_exact_solution(seed):
    rng = np.random.default_rng(seed)
    transition = symmetric_transition(40, 0.3)
    counts = rng.poisson(0.5, size=(40, 40)) + 30.0 * np.eye(40)
    exact = _solve_exactly(counts, transition, None)
    start = np.linalg.solve(transition.T, counts)
    steps = _solve_stepwise(start, counts, transition, None)
    plain = np.linalg.norm(transition.T @ exact - counts)
    assert np.linalg.norm(transition.T @ steps - counts) < 1.01 * plain
    assert np.abs(steps - exact).max() < 0.5


def test_covariance_draws_towards_equal_classes():
    y = np.repeat([0, 1], [70, 30])
    pred = np.zeros(100, dtype=int)
    transition = symmetric_transition(2, 0.2)
    sure = noise_corrected_confusion_matrix(y, pred, transition, labels=[0, 1])
    variance = np.full((2, 2), 0.01)
    options = {"labels": [0, 1], "transition_covariance": variance}
    unsure = noise_corrected_confusion_matrix(y, pred, transition, **options)
    assert 50 < unsure[0, 0] < sure[0, 0]
    options["transition_covariance"] = np.diag(variance.ravel())
    assert_allclose(noise_corrected_confusion_matrix(y, pred, transition, **options), unsure)
    options["transition_covariance"] = np.zeros((2, 2))
    same = noise_corrected_confusion_matrix(y, pred, transition, **options)
    assert_allclose(same, sure, atol=1e-4)


def test_labels_order_rows_and_columns():
    y, pred = ["b", "a", "b"], ["a", "a", "b"]
    found = noise_corrected_confusion_matrix(y, pred, np.eye(2), labels=["b", "a"])
    assert_allclose(found, confusion_matrix(y, pred, labels=["b", "a"]))


def test_thousand_classes_take_little_time_and_memory():
    rng = np.random.default_rng(0)
    truth = rng.integers(1000, size=50_000)
    pred = _predictions(truth, 0.8, 1000, rng)
    transition = symmetric_transition(1000, 0.2)
    given, _ = flip_labels(truth, transition, random_state=0)
    tracemalloc.start()
    started = time.process_time()
    found = noise_corrected_confusion_matrix(given, pred, transition)
    seconds = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 3  # one second on a machine of its own
    assert peak < 100e6
    assert found.trace() / len(truth) == pytest.approx(np.mean(truth == pred), abs=0.02)


@pytest.mark.parametrize(
    ("transition", "message"),
    [
        ([[0.5, 0.5], [0.5, 0.5]], "singular.*condition number"),
        ([[0.1, 0.9], [0.9, 0.1]], "stand for other classes"),
        ([[0.9, 0.2], [0.1, 0.9]], "must sum to 1"),
        (np.eye(3), "3 classes, but there are 2"),
    ],
)
def test_bad_transitions_are_refused(transition, message):
    with pytest.raises(ValueError, match=message):
        noise_corrected_confusion_matrix([0, 1, 1], [0, 1, 0], transition)


def test_bad_labels_are_refused():
    with pytest.raises(ValueError, match="not among the 2 known classes: 2"):
        noise_corrected_confusion_matrix([0, 1, 1], [0, 2, 0], np.eye(2), labels=[0, 1])
    with pytest.raises(ValueError, match="1 missing labels"):
        noise_corrected_confusion_matrix([0, 1, np.nan], [0, 1, 0], np.eye(2))
    with pytest.raises(ValueError, match="as many rows"):
        noise_corrected_confusion_matrix([0, 1, 1], [0, 1], np.eye(2))
    with pytest.raises(TypeError, match="different kinds"):
        noise_corrected_confusion_matrix(["a", "b"], [0, 1], np.eye(2))
    options = {"transition_covariance": np.zeros(3)}
    with pytest.raises(ValueError, match="transition_covariance must be finite"):
        noise_corrected_confusion_matrix([0, 1], [0, 1], np.eye(2), **options)
