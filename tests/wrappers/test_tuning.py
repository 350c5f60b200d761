"""Everything that is trained on wrong labels is tuned inside a search, down to its inner parts."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import make_blobs, make_regression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.detection import ConfidentLearning
from skrobust.linear_model import InstanceFlipClassifier, NoisyLogisticRegression
from skrobust.noise import AnchorTransition, flip_labels, symmetric_transition
from skrobust.weighting import (
    ImportanceReweighter,
    LossHistoryReweighter,
    ScorePruner,
    TrustedReweighter,
)
from skrobust.wrappers import (
    ReweightedClassifier,
    SourceRobustRegressor,
    TeacherStudentClassifier,
)

BAYES = ConfidentLearning(GaussianNB(), cv=3)
SGD = SGDClassifier(loss="log_loss", random_state=0)
# With a penalty like that, or neighbours as many, a model predicts the most frequent class.
HOPELESS_C = [1e-6, 1.0]
NEIGHBORS = [60, 5]


@pytest.fixture
def blobs(seed):
    return _blobs([120, 60, 60], seed)


def _blobs(sizes, seed):
    """Separable classes, in columns of different scales, some of their labels wrong."""
    X, y = make_blobs(sizes, centers=[[0, 0], [5, 0], [0, 5]][: len(sizes)], random_state=seed)
    given, _ = flip_labels(y, symmetric_transition(len(sizes), 0.2), random_state=seed)
    return X * [1, 100], given, y


def _search(model, grid, X, y, dummy, scoring=None, **metadata):
    """Search, and check that it is worth it: the first value of the first parameter is hopeless."""
    search = GridSearchCV(model, grid, scoring=scoring, cv=2, error_score="raise")
    search.fit(X, y, **metadata)
    assert search.best_params_.keys() == grid.keys()
    chosen = search.best_estimator_.get_params()
    assert all(chosen[key] == value for key, value in search.best_params_.items())
    inner, (hopeless, *_) = next(iter(grid.items()))
    scores = search.cv_results_["mean_test_score"]
    is_hopeless = np.array([params[inner] == hopeless for params in search.cv_results_["params"]])
    assert search.best_params_[inner] != hopeless
    assert scores[is_hopeless].max() < search.best_score_ - 0.1
    assert search.best_score_ > cross_val_score(dummy, X, y, scoring=scoring, cv=2).mean() + 0.1
    return search


@pytest.mark.parametrize(
    "model, grid",
    [
        (
            make_pipeline(
                StandardScaler(),
                ReweightedClassifier(
                    LogisticRegression(),
                    ImportanceReweighter(symmetric_transition(3, 0.2), GaussianNB(), cv=3),
                ),
            ),
            {
                "reweightedclassifier__estimator__C": HOPELESS_C,
                "reweightedclassifier__reweighter__estimator__var_smoothing": [1e-9, 0.1],
            },
        ),
        (
            ReweightedClassifier(
                make_pipeline(StandardScaler(), LogisticRegression()),
                LossHistoryReweighter(make_pipeline(StandardScaler(), SGD)),
            ),
            {
                "estimator__logisticregression__C": HOPELESS_C,
                "reweighter__estimator__sgdclassifier__alpha": [1e-3, 1e-2],
                "reweighter__beta_high": [1.0, 2.0],
            },
        ),
        (
            make_pipeline(
                StandardScaler(),
                ReweightedClassifier(KNeighborsClassifier(), ScorePruner(detector=BAYES)),
            ),
            {
                "reweightedclassifier__estimator__n_neighbors": NEIGHBORS,
                "reweightedclassifier__reweighter__keep": [0.6, None],
                "reweightedclassifier__reweighter__detector__rule": ["both", "prune_by_class"],
            },
        ),
        (
            make_pipeline(
                StandardScaler(), TeacherStudentClassifier(LogisticRegression(), GaussianNB(), cv=3)
            ),
            {
                "teacherstudentclassifier__estimator__C": HOPELESS_C,
                "teacherstudentclassifier__teacher__var_smoothing": [1e-9, 0.1],
                "teacherstudentclassifier__selection": ["agreement", "all"],
            },
        ),
        (
            TeacherStudentClassifier(
                make_pipeline(StandardScaler(), LogisticRegression()), GaussianNB(), cv=3
            ),
            {"estimator__logisticregression__C": HOPELESS_C, "n_rounds": [1, 2]},
        ),
        (
            make_pipeline(
                StandardScaler(), NoisyLogisticRegression(AnchorTransition(GaussianNB(), cv=3))
            ),
            {
                "noisylogisticregression__C": HOPELESS_C,
                "noisylogisticregression__transition__estimator__var_smoothing": [1e-9, 0.1],
            },
        ),
    ],
    ids=[
        "ImportanceReweighter",
        "LossHistoryReweighter",
        "ScorePruner",
        "TeacherStudentClassifier of scaled rows",
        "TeacherStudentClassifier of a pipeline",
        "NoisyLogisticRegression",
    ],
)
def test_classifiers(model, grid, blobs, seed):
    X, given, _ = blobs
    search = _search(model, grid, X, given, DummyClassifier())
    X_test, _, y_test = _blobs([200, 100, 100], seed + 1000)
    assert search.score(X_test, y_test) > 0.9


def test_trusted_reweighter_with_verified_labels(blobs, seed):
    X, given, y = blobs
    verified = np.where(np.arange(240) % 3 == 0, y, np.nan)
    with config_context(enable_metadata_routing=True):
        inner = LogisticRegression().set_fit_request(sample_weight=True)
        model = ReweightedClassifier(inner, TrustedReweighter(BAYES, random_state=0))
        grid = {
            "reweightedclassifier__estimator__C": HOPELESS_C,
            "reweightedclassifier__reweighter__power": [1.0, 4.0],
            "reweightedclassifier__reweighter__detector__estimator__var_smoothing": [1e-9, 0.1],
        }
        pipeline = make_pipeline(StandardScaler(), model)
        with pytest.raises(UnsetMetadataPassedError, match="verified_labels"):
            GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(
                X, given, verified_labels=verified
            )
        model.set_fit_request(verified_labels=True)
        search = _search(pipeline, grid, X, given, DummyClassifier(), verified_labels=verified)
        X_test, _, y_test = _blobs([200, 100, 100], seed + 1000)
        assert search.score(X_test, y_test) > 0.9
    # In the refit they are those of the right rows, whose weights are those of right labels.
    weight = search.best_estimator_[-1].reweighter_.sample_weight_
    wrong, checked = given != y, ~np.isnan(verified)
    assert weight[wrong & ~checked].mean() < 0.6 < 0.9 < weight[wrong & checked].mean()


@pytest.mark.parametrize("around", [False, True], ids=["in a pipeline", "around a pipeline"])
def test_source_robust_regressor_with_sources(around, seed):
    X, y = make_regression(300, 4, noise=5, random_state=seed)
    sensor = np.arange(300) % 6
    given = np.where(sensor == 2, -y, y)
    with config_context(enable_metadata_routing=True):
        model = SourceRobustRegressor(
            make_pipeline(StandardScaler(), Ridge()) if around else Ridge()
        ).set_fit_request(sources=True)
        grid = {
            "estimator__ridge__alpha" if around else "estimator__alpha": [1e6, 1.0],
            "combine": ["rows", "predictions"],
        }
        if not around:
            model = make_pipeline(StandardScaler(), model)
            grid = {f"sourcerobustregressor__{key}": values for key, values in grid.items()}
        # Few faulty targets do not move a median.
        scoring = "neg_median_absolute_error"
        search = _search(model, grid, X, given, DummyRegressor(), scoring, sources=sensor)
        assert r2_score(y, search.predict(X)) > 0.95
    robust = search.best_estimator_ if around else search.best_estimator_[-1]
    assert robust.sources_.tolist() == list(range(6))
    assert robust.faulty_sources_[2]
    assert robust.source_disagreement_.argmax() == 2


def test_instance_flip_classifier(seed):
    X, _, y = _blobs([60, 180], seed)
    flipped = np.random.default_rng(seed).random(240) < 0.3
    given = np.where(flipped, 0, y)
    model = make_pipeline(StandardScaler(), InstanceFlipClassifier())
    grid = {
        "instanceflipclassifier__C": HOPELESS_C,
        "instanceflipclassifier__fixed_flip_rate": [None, 0.3],
        "standardscaler__with_mean": [True, False],
    }
    search = _search(model, grid, X, given, DummyClassifier())
    assert search.score(X, y) > 0.9
