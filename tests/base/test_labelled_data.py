"""Tests of validated labels."""

import numpy as np
import pytest
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
