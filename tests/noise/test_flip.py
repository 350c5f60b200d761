import numpy as np
import pandas as pd
import pytest

from skrobust.noise import flip_labels, pair_transition, random_transition, symmetric_transition


def test_frequencies_follow_the_matrix(seed):
    transition = random_transition(4, 0.4, random_state=seed)
    y = np.repeat(np.arange(4), 20_000)
    noisy, flipped = flip_labels(y, transition, random_state=seed)
    counts = np.zeros((4, 4))
    np.add.at(counts, (y, noisy), 1)
    np.testing.assert_allclose(counts / 20_000, transition, atol=0.02)
    np.testing.assert_array_equal(flipped, y != noisy)


def test_exact_counts():
    y = np.repeat(["a", "b", "c"], [10, 20, 30])
    noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), exact=True, random_state=0)
    assert flipped.sum() == 12
    assert [(noisy[y == "c"] == label).sum() for label in "abc"] == [3, 3, 24]


def test_labels_of_any_kind_and_missing_ones():
    y = np.array(["no", None, "yes", "yes", ""], dtype=object)
    noisy, flipped = flip_labels(y, pair_transition(2, 1.0), random_state=0)
    assert noisy.tolist() == ["yes", None, "no", "no", None]
    assert flipped.tolist() == [True, False, True, True, False]
    noisy, flipped = flip_labels(pd.Series([True, False]), pair_transition(2, 1.0))
    assert noisy.tolist() == [False, True]
    assert flipped.all()
    noisy, _ = flip_labels([7.0, np.nan, 3.0], pair_transition(2, 1.0))
    np.testing.assert_array_equal(noisy, [3.0, np.nan, 7.0])


def test_class_that_does_not_occur():
    # Integers below the number of classes are class numbers, even if some do not occur.
    noisy, _ = flip_labels(np.array([0, 2, 2]), pair_transition(3, 1.0), random_state=0)
    assert noisy.tolist() == [1, 0, 0]
    noisy, _ = flip_labels([0.0, np.nan, 2.0], pair_transition(3, 1.0), random_state=0)
    np.testing.assert_array_equal(noisy, [1.0, np.nan, 0.0])
    noisy, _ = flip_labels(["b"], pair_transition(2, 1.0), classes=["a", "b"], random_state=0)
    assert noisy.tolist() == ["a"]


def test_repeatable_and_leaves_the_callers_generator_alone():
    y = np.arange(1000) % 3
    transition = symmetric_transition(3, 0.3)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = flip_labels(y, transition, random_state=5)
    flip_labels(y, transition)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.testing.assert_array_equal(first[0], flip_labels(y, transition, random_state=5)[0])
    assert not np.array_equal(flip_labels(y, transition)[0], flip_labels(y, transition)[0])


@pytest.mark.parametrize(
    "transition, message",
    [
        (np.ones((2, 3)) / 3, "square"),
        (np.ones((2, 2)), "must sum to 1, but row 0 sums to 2"),
        (np.ones((2, 2, 2)), "square"),
        (np.ones((0, 0)), "square"),
        ("symmetric", "square matrix of numbers, got 'symmetric'"),
        ([["a", "b"], ["c", "d"]], "square matrix of numbers"),
        ([[0, 1], [1.5, -0.5]], "negative.*row 1 has -0.5 in column 1"),
        ([[np.nan, 1], [0, 1]], "NaN.*row 0 has nan in column 0"),
        ([[0.5, 0.5], [np.inf, 0]], "infinite.*row 1 has inf in column 0"),
        ([[0.9, 0.1], [0.2, 0.7]], "must sum to 1, but row 1 sums to 0.9"),
        ([[0.9, 0.3], [0.1, 0.7]], "must sum to 1, but row . sums.*Its columns sum to 1"),
        (np.eye(3), "transition has 3 classes, but there are 2"),
    ],
)
def test_bad_transition(transition, message):
    with pytest.raises(ValueError, match=message):
        flip_labels(["a", "b"], transition)


@pytest.mark.parametrize("classes", [["a", "a"], [["a", "b"]]])
def test_bad_classes(classes):
    with pytest.raises(ValueError, match="classes must be distinct labels"):
        flip_labels(["a", "a"], np.eye(2), classes=classes)
    with pytest.raises(ValueError, match="not among the 2 known classes: 'c'"):
        flip_labels(["a", "c"], np.eye(2), classes=["a", "b"])
