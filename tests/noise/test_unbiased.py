"""Unbiased targets: the formula, the mean over noise, what a regression makes of them."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression

from skrobust.noise import flip_labels, pair_transition, random_transition, unbiased_labels

BINARY = np.array([[0.85, 0.15], [0.3, 0.7]])


def test_formula_of_two_classes():
    y = np.array([0, 1, 1, 0])
    expected = (y - 0.15) / (1 - 0.15 - 0.3)
    assert_allclose(unbiased_labels(y, BINARY), expected)
    both = unbiased_labels(y, BINARY, indicator=True)
    assert_allclose(both, np.column_stack([1 - expected, expected]))
    # Outside [0, 1] on both sides, and not clipped.
    assert expected.min() < 0
    assert expected.max() > 1


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_mean_over_the_noise_is_the_true_label(n_classes, seed):
    transition = random_transition(n_classes, 0.3, random_state=seed)
    truth = np.repeat(np.arange(n_classes), 40_000)
    y, _ = flip_labels(truth, transition, random_state=seed)
    targets = unbiased_labels(y, transition, indicator=True)
    assert_allclose(targets.sum(axis=1), 1)
    mean = targets.reshape(n_classes, 40_000, n_classes).mean(axis=1)
    # What the mean varies by, as it follows from the matrix.
    variance = transition @ np.linalg.inv(transition) ** 2 - np.eye(n_classes)
    off = (mean - np.eye(n_classes)) / np.sqrt(variance / 40_000)
    assert np.abs(off).max() < 5
    # The expectation itself, and not only to within chance.
    assert_allclose(transition @ unbiased_labels(np.arange(n_classes), transition, indicator=True),
                    np.eye(n_classes), atol=1e-10)  # fmt: skip


def test_regression_on_them_is_that_on_true_labels(seed):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(20_000, 2))
    truth = (rng.random(20_000) < 0.5 + 0.4 * X[:, 0]).astype(int)
    y, _ = flip_labels(truth, BINARY, random_state=seed)
    corrected = LinearRegression().fit(X, unbiased_labels(y, BINARY))
    plain = LinearRegression().fit(X, y)
    assert_allclose(corrected.coef_, [0.4, 0], atol=0.06)
    assert corrected.intercept_ == pytest.approx(0.5, abs=0.03)
    # Noise shrinks the slope by 1 - 0.15 - 0.3.
    assert_allclose(plain.coef_, [0.22, 0], atol=0.04)


def test_labels_of_any_kind_and_missing_ones():
    expected = unbiased_labels([0, 1], BINARY)
    for labels in (["no", "yes"], [False, True], [3.0, 7.0], pd.Series(["no", "yes"])):
        assert_array_equal(unbiased_labels(labels, BINARY), expected)
    with_missing = unbiased_labels(["no", None, "yes"], BINARY)
    assert_array_equal(with_missing, [expected[0], np.nan, expected[1]])
    both = unbiased_labels([0, np.nan, 1], BINARY, indicator=True)
    assert_array_equal(np.isnan(both), [[False] * 2, [True] * 2, [False] * 2])
    # A class that does not occur has its column all the same.
    assert unbiased_labels([0, 0], pair_transition(3, 0.2)).shape == (2, 3)
    named = unbiased_labels(["b"], BINARY, classes=["a", "b"])
    assert_array_equal(named, expected[1:])
    assert_array_equal(unbiased_labels([0, 1, 2], np.eye(3)), np.eye(3))


@pytest.mark.parametrize(
    "y, transition, message",
    [
        ([0, 1], [[0.5, 0.5], [0.5, 0.5]], "singular.*classes 0 and 1 .rows 0 and 1"),
        ([0, 1], [[0.4, 0.6], [0.5, 0.5]], "sum to less than 1"),
        (["a", "b", "c"], [[0.6, 0.4, 0], [0.6, 0.4, 0], [0, 0, 1]], "singular.*'a' and 'b'"),
        (["a", "b", "c"], pair_transition(3, 0.8), "too noisy"),
        ([0, 1], [[0.9, 0.2], [0, 1]], "row 0 sums to 1.1"),
        ([0, 1, 2], BINARY, "transition has 2 classes, but there are 3"),
    ],
)
def test_bad_transition(y, transition, message):
    with pytest.raises(ValueError, match=message):
        unbiased_labels(y, transition)


def test_bad_indicator():
    with pytest.raises(ValueError, match="indicator=False requires two classes, y has 3"):
        unbiased_labels([0, 1, 2], np.eye(3), indicator=False)
    with pytest.raises(ValueError, match="'indicator' parameter"):
        unbiased_labels([0, 1], BINARY, indicator="both")
