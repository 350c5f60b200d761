"""Tests of validated labels."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skrobust.base import LabelledData
from skrobust.detection import ConfidentLearning, MultilabelDetector, ResidualDetector
from skrobust.weighting import QualityReweighter
from skrobust.wrappers import CleaningClassifier, CleaningRegressor

X = np.random.default_rng(0).normal(size=(60, 3))
CLASSES = np.arange(60) % 3


def test_validated_labels_are_returned_as_they_are():
    data = LabelledData.from_arrays(X, CLASSES)
    assert LabelledData.from_arrays(X, data) is data


@pytest.mark.parametrize(
    "estimator",
    [
        CleaningClassifier(LogisticRegression(), ResidualDetector(Ridge())),
        CleaningClassifier(LogisticRegression(), MultilabelDetector()),
        CleaningRegressor(Ridge(), ConfidentLearning(GaussianNB())),
        QualityReweighter(ResidualDetector(Ridge())),
    ],
)
def test_detectors_refuse_labels_of_another_kind(estimator):
    with pytest.raises(TypeError, match="The labels are .*, and this estimator takes"):
        estimator.fit(X, CLASSES)


def test_rows_that_are_hidden_or_of_no_weight_are_not_trained_on():
    weight = np.ones(60)
    weight[0] = 0
    data = LabelledData.from_arrays(X, CLASSES, sample_weight=weight)
    hidden = np.zeros(60, dtype=bool)
    hidden[1] = True
    assert np.flatnonzero(~data.used).tolist() == [0]
    assert np.flatnonzero(~dataclasses.replace(data, hidden=hidden).used).tolist() == [0, 1]


def test_verified_numbers_are_compared_up_to_rounding():
    y = np.array([0.3, 0.3, 1.0, np.nan, 2.0])
    verified = [0.1 + 0.2, 0.31, None, 5.0, None]
    data = LabelledData.from_arrays(X[:5], y, kind="numbers", verified_labels=verified)
    assert_array_equal(data.trusted, [True, False, False, False, False])
    assert_array_equal(data.known_errors, [False, True, False, False, False])
    assert_array_equal(data.checked, [True, True, False, True, False])
