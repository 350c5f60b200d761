"""Training sets by hand: dropped, relabelled and reweighted rows of classes and numbers."""

import types

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.base import LabelledData
from skrobust.wrappers._training_set import (
    TrainingSet,
    drop,
    given,
    relabel,
    reweight,
    weighted,
)

X = np.arange(6.0)[:, None]


@pytest.fixture
def data():
    """Six rows: the last label is missing, the second is verified and was wrong."""
    return LabelledData.from_arrays(
        X, ["a", "a", "b", "b", "a", None], verified_labels=[None, "b", None, None, None, None]
    )


def _found(**attributes):
    return types.SimpleNamespace(**attributes)


def _flags(*rows):
    return np.isin(np.arange(6), rows)


def test_given_rows_have_the_verified_label(data):
    training = given(data, None)
    assert_array_equal(training.rows, [0, 1, 2, 3, 4])
    assert_array_equal(training.targets, [0, 1, 1, 1, 0])
    assert training.weight is None
    assert_array_equal(training.take(training.targets == 0).rows, [0, 4])


def test_flagged_rows_are_dropped_unless_verified(data):
    training = drop(data, _found(label_errors_=_flags(0, 1)))
    assert_array_equal(training.rows, [1, 2, 3, 4])
    assert_array_equal(training.targets, [1, 1, 1, 0])


def test_the_weight_that_the_detector_keeps_counts():
    weight = np.array([2.0, 1, 0, 3, 1, 1])
    data = LabelledData.from_arrays(X, [0, 0, 1, 1, 0, 1], sample_weight=weight)
    kept = np.array([0.5, 1, 0, 0, 1, 1])
    training = drop(data, _found(label_errors_=_flags(), keep_weight_=kept))
    assert_array_equal(training.rows, [0, 1, 4, 5])
    assert_array_equal(training.weight, [0.5, 1, 1, 1])


def test_suggested_labels_replace_flagged_ones_only(data):
    suggested = np.array(["b", "a", "a", None, "b", "b"], dtype=object)
    found = _found(label_errors_=_flags(0, 1, 3), suggested_labels_=suggested)
    training = relabel(data, found, by_certainty=True)
    assert_array_equal(training.rows, [0, 1, 2, 4])  # no suggestion for the fourth
    assert_array_equal(training.targets, [1, 1, 1, 0])
    assert training.weight is None


def test_posterior_labels_are_weighted_by_their_certainty(data):
    found = _found(
        label_errors_=_flags(),
        posterior_labels_=np.array(["b", "a", "b", "b", "a", "b"], dtype=object),
        posterior_proba_=np.array([0.9, 0.9, 0.75, 0.5, 0.5, 1.0]),
    )
    training = relabel(data, found, by_certainty=True)
    assert_array_equal(training.rows, [0, 1, 2, 4])
    assert_array_equal(training.targets, [1, 1, 1, 0])
    # A verified label is certain, and a class whose labels are all uncertain keeps them.
    assert_allclose(training.weight, [0.8, 1, 0.5, 1])
    assert_array_equal(relabel(data, found, by_certainty=False).rows, [0, 1, 2, 3, 4])


def test_weights_by_quality_have_mean_1_in_each_class(data):
    found = _found(label_quality_=np.array([1, 0, 0.5, 0.5, 0.25, np.nan]))
    training = reweight(data, found)
    assert_array_equal(training.rows, [0, 1, 2, 3, 4])
    assert_allclose(training.weight, [1.6, 1.5, 0.75, 0.75, 0.4])


def test_rows_of_positive_weight(data):
    final = _found(data=data, weight=None)
    training = weighted(final, np.array([0.0, 2, 1, 0, 0, 5]))
    assert_array_equal(training.rows, [0, 1, 2, 4])  # "a" would vanish, and keeps its rows
    assert_array_equal(training.weight, [1, 2, 1, 1])
    equal = np.array([1.0, 0, 1, 1, 1, 1])
    assert weighted(final, equal).weight is None
    final = _found(data=data, weight=np.arange(6.0))
    assert_array_equal(weighted(final, equal).weight, [0, 2, 3, 4])


def test_numbers_are_one_class():
    data = LabelledData.from_arrays(X, [1.0, 2, 3, np.nan, 5, 6], kind="numbers")
    found = _found(
        label_errors_=_flags(0, 4),
        label_quality_=np.array([0, 1, 1, np.nan, 1, 1.0]),
        suggested_labels_=np.array([9, 9, 9, 9, np.nan, 9.0]),
    )
    training = relabel(data, found, by_certainty=False)
    assert_array_equal(training.rows, [0, 1, 2, 5])
    assert_array_equal(training.targets, [9, 2, 3, 6])
    assert_allclose(reweight(data, found).weight, np.full(4, 1.25))
    assert_array_equal(drop(data, found).targets, [2, 3, 6])


def test_columns_of_different_length_are_refused():
    rows = np.arange(3)
    with pytest.raises(ValueError, match=r"columns of one length, got the shapes \[\(3,\), \(2,\)"):
        TrainingSet(rows, np.zeros(2))
    with pytest.raises(ValueError, match="columns of one length"):
        TrainingSet(rows, np.zeros(3), np.ones((3, 1)))
