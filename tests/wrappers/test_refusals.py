"""Invalid input is refused before any model is fitted."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn import config_context
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import (
    LogisticRegression,
    Perceptron,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skrobust.detection import ConfidentLearning
from skrobust.linear_model import NoisyLogisticRegression
from skrobust.weighting import ImportanceReweighter, QualityReweighter, ScorePruner
from skrobust.wrappers import (
    CascadeClassifier,
    CleaningClassifier,
    LossCorrectedClassifier,
    ReweightedClassifier,
    SourceRobustClassifier,
    SourceRobustRegressor,
    TeacherStudentClassifier,
)
from tests._stand_ins import counted

SCORER, SCORED = counted(GaussianNB())
LINEAR, TRAINED = counted(LogisticRegression())
NEIGHBORS, NEAR = counted(KNeighborsClassifier())
RIDGE, REGRESSED = counted(Ridge())
NOISY = [[0.8, 0.2], [0.3, 0.7]]


def _refuse(model, error, message, **metadata):
    """Check that a model is refused and that nothing was fitted; the last test counts fits."""
    for fits in (SCORED, TRAINED, NEAR, REGRESSED):
        fits.clear()
    X, y = _rows()
    with pytest.raises(error, match=message):
        model.fit(X, metadata.pop("y", y), **metadata)
    assert SCORED == TRAINED == NEAR == REGRESSED == []


def _rows():
    y = np.arange(60) % 2
    return np.random.default_rng(0).normal(size=(60, 2)) + 3 * y[:, None], y


@pytest.mark.parametrize(
    "transition, message",
    [
        ([[0.9, 0.2], [0, 1]], "row 0 sums to 1.1"),
        ([[1, 0], [1.1, -0.1]], "row 1 has -0.1"),
        ([[0.4, 0.6], [0.4, 0.6]], r"singular.*\(rows 0 and 1\)"),
        ([[0.3, 0.7], [0.6, 0.4]], "row 0,.*must sum to less than 1"),
        ([[0.9, 0.1], [1]], "row 1 has length 1, not 2"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "there are 2 classes of labels: row 2 is of none"),
    ],
)
@pytest.mark.parametrize("method", ["importance", "backward", "posterior", "reweighter"])
def test_transitions(method, transition, message):
    if method == "reweighter":
        model = ReweightedClassifier(LINEAR, ImportanceReweighter(transition, SCORER))
    else:
        model = LossCorrectedClassifier(LINEAR, transition, method=method, evidence=SCORER)
    _refuse(model, ValueError, message)


@pytest.mark.parametrize(
    "model",
    [
        ReweightedClassifier(NEIGHBORS, QualityReweighter(ConfidentLearning(SCORER))),
        LossCorrectedClassifier(NEIGHBORS, NOISY, evidence=SCORER),
        LossCorrectedClassifier(NEIGHBORS, NOISY, method="backward"),
        CleaningClassifier(NEIGHBORS, ConfidentLearning(SCORER), action="reweight"),
    ],
)
def test_models_without_weights(model):
    _refuse(model, TypeError, "KNeighborsClassifier.*(linear models|LogisticRegression)")


@pytest.mark.parametrize("routing", [False, True], ids=["routing off", "routing on"])
@pytest.mark.parametrize(
    "model",
    [
        ReweightedClassifier(NEIGHBORS, QualityReweighter(ConfidentLearning(SCORER))),
        # Without weights, these take it.
        ReweightedClassifier(NEIGHBORS, ScorePruner(detector=ConfidentLearning(SCORER))),
        SourceRobustClassifier(NEIGHBORS),
        CascadeClassifier(LINEAR, NEIGHBORS),
        TeacherStudentClassifier(LINEAR, NEIGHBORS),
        LossCorrectedClassifier(LINEAR, NOISY, evidence=NEIGHBORS),
        CleaningClassifier(CleaningClassifier(NEIGHBORS)),
    ],
)
def test_wrappers_of_models_without_weights(model, routing):
    with config_context(enable_metadata_routing=routing):
        outer = CleaningClassifier(model, ConfidentLearning(SCORER), action="reweight")
        _refuse(outer, TypeError, "KNeighborsClassifier, but it takes none")
        if not routing:  # with it, the Pipeline takes none, whatever is in it
            outer.set_params(estimator=make_pipeline(StandardScaler(), model))
            _refuse(outer, TypeError, "KNeighborsClassifier, but it takes none")


@pytest.mark.parametrize("model", [SourceRobustClassifier(LINEAR), SourceRobustRegressor(RIDGE)])
def test_sources(model):
    source = np.arange(60) // 2 % 5
    _refuse(model.set_params(n_faulty=3), ValueError, "n_faulty=3 of 5.*at most 2", sources=source)
    model.set_params(n_faulty=None)


def test_sources_of_one_class():
    model = SourceRobustClassifier(LINEAR)
    _refuse(model, ValueError, "None of the 2 sources can be", sources=np.arange(60) % 2)
    source = np.arange(60) // 2 % 5
    source[np.arange(60) % 2 == 0] %= 4  # the last one has labels of the other class only
    model = SourceRobustClassifier(LINEAR, combine="coefficients")
    _refuse(model, ValueError, r"source 4 has none of \[0\]", sources=source)


@pytest.mark.parametrize("wrapper", [SourceRobustClassifier, SourceRobustRegressor])
@pytest.mark.parametrize(
    "inner",
    [
        KNeighborsClassifier(),
        GaussianNB(),
        DecisionTreeClassifier(),
        RandomForestClassifier(),
        HistGradientBoostingClassifier(),
        SVC(kernel="linear"),
        make_pipeline(StandardScaler(), LINEAR),
        CleaningClassifier(LINEAR, ConfidentLearning(SCORER)),
    ],
)
def test_models_without_coefficients(inner, wrapper):
    inner, fits = (inner, TRAINED) if hasattr(inner, "steps") else counted(inner)
    model = wrapper(inner, combine="coefficients")
    message = f"needs a linear model.* which {type(inner).__name__} is not"
    _refuse(model, TypeError, message, sources=np.arange(60) // 2 % 5)
    assert fits == []


def test_models_that_turn_out_to_keep_no_coefficients():
    class Renamed(LogisticRegression):
        def fit(self, X, y):
            fits.append(len(y))
            super().fit(X, y)
            self.slope_ = vars(self).pop("coef_")
            return self

    fits, (X, y) = [], _rows()
    for n_jobs, most in ((None, 1), (2, 29)):  # with two threads, some are on their way
        fits.clear()
        model = SourceRobustClassifier(Renamed(), combine="coefficients", n_jobs=n_jobs)
        with (
            parallel_config("threading", n_jobs=1),
            pytest.raises(TypeError, match="which Renamed is not"),
        ):
            model.fit(X, y, sources=np.arange(60) // 2)
        assert len(fits) <= most


@pytest.mark.parametrize(
    "inner",
    [
        LogisticRegression(),
        RidgeClassifier(),
        Perceptron(),
        SGDClassifier(random_state=0),
        LinearSVC(),
        LinearDiscriminantAnalysis(),
        NoisyLogisticRegression(NOISY),
    ],
)
def test_linear_models_have_coefficients(inner):
    X, y = _rows()
    model = SourceRobustClassifier(inner, combine="coefficients")
    model.fit(X, y, sources=np.arange(60) // 2 % 3)
    assert model.estimator_.coef_.size == 2


def test_fits_are_counted():
    X, y = _rows()
    for fits in (SCORED, TRAINED, NEAR, REGRESSED):
        fits.clear()
    LossCorrectedClassifier(LINEAR, NOISY, evidence=SCORER).fit(X, y)
    CleaningClassifier(NEIGHBORS, ConfidentLearning(SCORER)).fit(X, y)
    SourceRobustRegressor(RIDGE).fit(X, y, sources=np.arange(60) // 2 % 5)
    assert (len(SCORED), len(TRAINED), len(NEAR)) == (10, 1, 1)
    assert len(REGRESSED) == 6
