"""Simulated annotators: error rates, assigned rows, correlation, the two forms of the labels."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.noise import random_transition, simulate_annotators, symmetric_transition


def _observed(y, crowd, annotator):
    n_classes = len(crowd.classes)
    mine = crowd.annotator == annotator
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (y[crowd.row[mine]], crowd.label[mine]), 1)
    return counts / counts.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize("exact", [False, True])
def test_each_annotator_follows_their_matrix(correlation, exact, seed):
    y = np.random.default_rng(seed).integers(0, 3, 30_000)
    given = np.stack([random_transition(3, r, random_state=seed) for r in (0.1, 0.3, 0.5)])
    crowd = simulate_annotators(
        y,
        3,
        transition=given,
        coverage=[1.0, 0.5, 0.8],
        correlation=correlation,
        exact=exact,
        random_state=seed,
    )
    assert_allclose(crowd.transitions, given)
    for a in range(3):
        assert_allclose(_observed(y, crowd, a), given[a], atol=3e-4 if exact else 0.035)
    shares = np.bincount(crowd.annotator) / len(y)
    assert_allclose(shares, [1.0, 0.5, 0.8], atol=1e-12 if exact else 0.02)


@pytest.mark.parametrize("names", [np.arange(3), np.array(["a", "b", "c"]), np.array([3, 7, 9])])
def test_list_and_table_are_equal(names, seed):
    y = names[np.random.default_rng(seed).integers(0, 3, 500)]
    crowd = simulate_annotators(y, 4, ability=0.7, coverage=0.4, random_state=seed)
    assert crowd.labels.shape == crowd.flipped.shape == (500, 4)
    assert_array_equal(crowd.classes, names)
    there = ~pd.isna(crowd.labels)
    assert_array_equal(np.argwhere(there), np.column_stack([crowd.row, crowd.annotator]))
    assert_array_equal(crowd.labels[there], crowd.label)
    assert crowd.label.dtype.kind == names.dtype.kind
    assert_array_equal(crowd.wrong, crowd.label != y[crowd.row])
    assert_array_equal(crowd.flipped[there], crowd.wrong)
    assert not crowd.flipped[~there].any()
    missing = None if names.dtype.kind == "U" else np.nan
    assert all(value is missing or np.isnan(value) for value in crowd.labels[~there])
    # Nothing is missing: the matrix has the type of the labels.
    whole = simulate_annotators(y, 2, ability=0.7, random_state=seed)
    assert whole.labels.dtype.kind == names.dtype.kind
    assert_array_equal(whole.labels.ravel(), whole.label)


def test_abilities(seed):
    y = np.arange(20_000) % 4
    crowd = simulate_annotators(y, 3, ability=[0.9, 0.6, 0.25], random_state=seed)
    assert_allclose(1 - crowd.flipped.mean(axis=0), [0.9, 0.6, 0.25], atol=0.02)
    assert_allclose(crowd.transitions[1], symmetric_transition(4, 0.4))
    some = simulate_annotators(y, 200, coverage=0.01, random_state=seed).transitions[:, 0, 0]
    assert some.min() >= 0.6
    assert some.max() <= 0.95
    assert np.ptp(some) > 0.25


def test_labels_per_row(seed):
    y = np.arange(20_000) % 2
    crowd = simulate_annotators(
        y, 5, labels_per_row=2, coverage=[1.0, 0.5, 0.5, 0.5, 0.01], random_state=seed
    )
    assert_array_equal(np.bincount(crowd.row), 2)
    n_labels = np.bincount(crowd.annotator)
    assert n_labels[0] > 1.3 * n_labels[1:4].max()
    assert n_labels[4] < 0.05 * n_labels[0]
    crowd = simulate_annotators(y, 3, labels_per_row=3, random_state=seed)
    assert len(crowd.row) == 60_000


@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_errors_are_correlated(correlation, seed):
    y = np.random.default_rng(seed).integers(0, 3, 40_000)
    crowd = simulate_annotators(y, 2, ability=0.7, correlation=correlation, random_state=seed)
    found = np.corrcoef(crowd.flipped.T)[0, 1]
    assert found == pytest.approx(correlation, abs=0.03)
    # Annotators who are misled by the same row give the same wrong label.
    both = crowd.flipped.all(axis=1)
    equal = np.mean(crowd.labels[both, 0] == crowd.labels[both, 1])
    # Of those wrong together by chance, half agree.
    share = correlation * 0.3 / (correlation * 0.3 + (1 - correlation) * 0.09)
    assert equal == pytest.approx(share + (1 - share) / 2, abs=0.04)


def test_concentration(seed):
    y = np.arange(10) % 3
    mean = np.array([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    spreads = []
    for concentration in (5.0, 100.0):
        found = simulate_annotators(
            y, 2000, transition=mean, concentration=concentration, random_state=seed
        ).transitions
        assert_allclose(found.sum(axis=2), 1)
        assert_allclose(found.mean(axis=0), mean, atol=0.04)
        assert not found[:, 0, 2].any()
        spreads.append(found[:, 0, 0].var())
    assert_allclose(spreads, [0.21 / 6, 0.21 / 101], rtol=0.2)
    # So far apart that each has one label for a class.
    extreme = simulate_annotators(
        y, 500, transition=mean, concentration=1e-300, random_state=seed
    ).transitions
    assert_array_equal(np.sort(extreme, axis=2)[:, :, -1], 1)
    assert_allclose(extreme.mean(axis=0), mean, atol=0.1)


def test_rows_without_a_label_are_not_annotated():
    y = np.array(["a", None, "b", "b"], dtype=object)
    for labels_per_row in (None, 2):
        crowd = simulate_annotators(
            y, 3, ability=1.0, labels_per_row=labels_per_row, exact=True, random_state=0
        )
        assert 1 not in crowd.row
        assert all(value is None for value in crowd.labels[1])
        assert not crowd.flipped.any()


def test_classes_that_do_not_occur():
    crowd = simulate_annotators([0, 0], 2, transition=np.eye(3))
    assert crowd.classes.tolist() == [0, 1, 2]
    crowd = simulate_annotators(["b"], 2, ability=0.0, classes=["a", "b"])
    assert crowd.labels.tolist() == [["a", "a"]]


def test_repeatable_and_leaves_the_callers_generator_alone():
    y = np.arange(300) % 3
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = simulate_annotators(y, random_state=5).labels
    second = simulate_annotators(y).labels
    assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert_array_equal(first, simulate_annotators(y, random_state=5).labels)
    assert not np.array_equal(second, simulate_annotators(y).labels)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"n_annotators": 0}, ValueError, "'n_annotators' parameter .* Got 0"),
        ({"labels_per_row": 4}, ValueError, "labels_per_row=4 needs as many.*n_annotators=3"),
        ({"coverage": 1.5}, ValueError, "coverage must be from 0 to 1, got 1.5"),
        ({"coverage": [0.5, 0.0, 1.0]}, ValueError, "coverage must be above 0"),
        ({"coverage": [0.5, 0.5]}, ValueError, r"coverage must be one number.*shape \(2,\)"),
        ({"coverage": np.nan}, ValueError, "coverage must be from 0 to 1"),
        ({"ability": "good"}, TypeError, "ability must be a number, or numbers, got 'good'"),
        ({"ability": [0.5, -0.5, 1]}, ValueError, "ability must be from 0 to 1"),
        ({"ability": 0.7, "transition": np.eye(2)}, ValueError, "pass one of them"),
        ({"transition": np.eye(3)}, ValueError, "transition has 3 classes, but there are 2"),
        ({"transition": np.stack([np.eye(2)] * 2)}, ValueError, "for 2 annotators"),
        (
            {"transition": [np.eye(2), np.eye(2), [[1, 0], [0.5, 0.4]]]},
            ValueError,
            r"annotator 2: .* row 1 sums to 0.9",
        ),
        ({"concentration": 0}, ValueError, "'concentration' parameter"),
        ({"correlation": 2}, ValueError, "'correlation' parameter"),
        ({"y": ["a", "a"]}, ValueError, "at least two classes, got 1: pass `classes`"),
        ({"y": [None]}, ValueError, "at least two classes, got 0"),
    ],
)
def test_errors(change, error, message):
    arguments = {"y": ["a", "b"], "n_annotators": 3}
    with pytest.raises(error, match=message):
        simulate_annotators(**{**arguments, **change})
