"""Infinite numbers reach models that take them; other detectors refuse them."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skrobust.detection import (
    ConfidentLearning,
    DensityDetector,
    EnergyDetector,
    EnsembleDetector,
    NeighborVote,
    TrainingDynamics,
)
from skrobust.testing._problems import make_rows
from skrobust.wrappers import (
    CascadeClassifier,
    CleaningClassifier,
    CleaningRegressor,
    LossCorrectedClassifier,
    TeacherStudentClassifier,
)
from skrobust.wrappers._detectors import default_detector


@pytest.fixture
def rows():
    X, y, _ = make_rows(120, noise=0.1, seed=0)
    X[5, 1], X[7, 0] = np.inf, -np.inf
    return X, y


def _clipped(model):
    return make_pipeline(FunctionTransformer(np.clip, kw_args={"a_min": -9, "a_max": 9}), model)


CLIPPED = _clipped(LogisticRegression())


def test_default_detector_uses_a_model_that_takes_infinity(rows):
    X, _ = rows
    members = default_detector(X, CLIPPED).estimators
    assert isinstance(members[0], Pipeline)
    assert default_detector(np.nan_to_num(X), CLIPPED).estimators is None


@pytest.mark.parametrize(
    "wrapper",
    [
        CleaningClassifier(CLIPPED, ConfidentLearning(CLIPPED)),
        LossCorrectedClassifier(CLIPPED),
        TeacherStudentClassifier(CLIPPED, CLIPPED),
        CascadeClassifier(CLIPPED, CLIPPED),
        CleaningRegressor(_clipped(Ridge())),
    ],
    ids=lambda wrapper: type(wrapper).__name__,
)
def test_infinity_reaches_models_that_take_it(rows, wrapper):
    X, y = rows
    if isinstance(wrapper, CleaningRegressor):
        y = np.nan_to_num(X[:, 0], posinf=9, neginf=-9)
    assert wrapper.fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize(
    "detector",
    [
        ConfidentLearning(),
        NeighborVote(),
        EnsembleDetector(),
        TrainingDynamics(),
        DensityDetector(),
        EnergyDetector(),
    ],
    ids=lambda detector: type(detector).__name__,
)
def test_detectors_name_infinity(rows, detector):
    X, y = rows
    X[7, 0] = 0.0  # the sum of both infinities is a warning of NumPy in scikit-learn's check
    with pytest.raises(ValueError, match="infinity"):
        detector.fit(X, y)
