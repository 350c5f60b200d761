"""Models and labels of other libraries: predictions that are a column, labels with gaps."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from skrobust.detection import ConfidentLearning, ResidualDetector
from skrobust.model_selection import LabelledKFold
from skrobust.testing._problems import make_rows
from skrobust.weighting import QualityReweighter
from skrobust.wrappers import (
    CascadeClassifier,
    CleaningClassifier,
    CleaningRegressor,
    LossCorrectedClassifier,
    ReweightedClassifier,
    SourceRobustClassifier,
    SourceRobustRegressor,
    TeacherStudentClassifier,
)

MODEL = LogisticRegression()
DETECTOR = ConfidentLearning(MODEL)


class Column(LogisticRegression):
    """Predicts a column, as CatBoost does."""

    def predict(self, X):
        return super().predict(X)[:, None]


class ColumnRegression(LinearRegression):
    """Predicts a column."""

    def predict(self, X):
        return super().predict(X)[:, None]


CLASSIFIERS = {
    "cleaning": lambda model: CleaningClassifier(model, DETECTOR),
    "only_if_better": lambda model: CleaningClassifier(model, DETECTOR, only_if_better=True),
    "only_if_better, relabel": lambda model: CleaningClassifier(
        model, DETECTOR, only_if_better=True, action="relabel"
    ),
    "evidence": lambda model: CleaningClassifier(MODEL, ConfidentLearning(model)),
    "reweighted": lambda model: ReweightedClassifier(model, QualityReweighter(DETECTOR)),
    "importance": lambda model: LossCorrectedClassifier(model, evidence=model),
    "posterior": lambda model: LossCorrectedClassifier(model, method="posterior", evidence=model),
    "teacher": lambda model: TeacherStudentClassifier(model, model),
    "fast": lambda model: CascadeClassifier(model, MODEL),
    "accurate": lambda model: CascadeClassifier(MODEL, model, call_share=1.0),
    "sources, rows": lambda model: SourceRobustClassifier(model),
    "sources, votes": lambda model: SourceRobustClassifier(model, combine="predictions"),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_predictions_that_are_a_column(name):
    X, y, _ = make_rows(150, noise=0.1, seed=0)
    y = np.array(["ant", "bee", "cow"])[y]
    params = {"sources": np.arange(150) % 5} if name.startswith("sources") else {}
    expected, found = (
        CLASSIFIERS[name](model).fit(X, y, **params).predict(X) for model in (MODEL, Column())
    )
    assert found.shape == (150,)
    np.testing.assert_array_equal(found, expected)


def test_numbers_that_are_a_column():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    y = X[:, 0] + 0.1 * rng.normal(size=120)
    for wrap in (
        lambda model: CleaningRegressor(model, ResidualDetector(model, random_state=0)),
        lambda model: SourceRobustRegressor(model, combine="predictions"),
    ):
        params = {"sources": np.arange(120) % 5} if "Source" in repr(wrap(None)) else {}
        expected, found = (
            wrap(model).fit(X, y, **params).predict(X)
            for model in (LinearRegression(), ColumnRegression())
        )
        assert found.shape == (120,)
        np.testing.assert_allclose(found, expected)


def _with_gaps():
    X, y, _ = make_rows(120, noise=0.1, seed=0, n_classes=2)
    names = np.array(["no", "yes"], dtype=object)[y]
    gaps = np.arange(120) % 20 == 0
    return (
        X,
        y,
        gaps,
        {
            "none": np.where(gaps, None, names),
            "nan": np.where(gaps, np.nan, y),
            "blank": np.where(gaps, "", names).astype(str),
            "Int64": pd.Series(y, dtype="Int64").mask(gaps),
            "text": pd.Series(names, dtype="string").mask(gaps),
            "masked": np.ma.array(y, mask=gaps),
            "times": np.where(gaps, np.datetime64("NaT"), np.datetime64("2024-01-01") + y),
        },
    )


@pytest.mark.parametrize(
    "model", [CleaningClassifier(MODEL, DETECTOR), CascadeClassifier(MODEL, MODEL)]
)
@pytest.mark.parametrize("kind", ["none", "nan", "blank", "Int64", "text", "masked", "times"])
def test_score_leaves_out_rows_without_a_label(model, kind):
    X, _, gaps, labels = _with_gaps()
    y = labels[kind]
    model.fit(X, y)
    weight = 1.0 + np.arange(120) % 3
    right = model.predict(X)[~gaps] == np.asarray(y)[~gaps]
    assert model.score(X, y) == pytest.approx(right.mean())
    expected = np.average(right, weights=weight[~gaps])
    assert model.score(X, y, sample_weight=weight) == pytest.approx(expected)
    scores = cross_val_score(model, X, y, cv=KFold(3))
    assert np.isfinite(scores).all()
    assert np.isfinite(cross_val_score(model, X, y, cv=LabelledKFold(3))).all()


def test_search_over_labels_that_splitters_of_sklearn_accept():
    X, _, _, labels = _with_gaps()
    model = CleaningClassifier(MODEL, DETECTOR)
    search = GridSearchCV(model, {"action": ["drop", "relabel"]}, cv=3).fit(X, labels["none"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with pytest.raises(ValueError, match="No row of y has a label"):
        search.best_estimator_.score(X, np.full(120, None))


def test_score_leaves_out_rows_without_a_target():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2))
    y = np.where(np.arange(90) % 9 == 0, np.nan, X[:, 0])
    model = CleaningRegressor(LinearRegression(), ResidualDetector(LinearRegression()))
    assert model.fit(X, y).score(X, y) > 0.99
    assert np.isfinite(cross_val_score(model, X, y, cv=3)).all()


@pytest.mark.parametrize("wrapper", [SourceRobustClassifier(), SourceRobustRegressor()])
def test_sources_in_another_order_are_refused(wrapper):
    X, y, _ = make_rows(60, seed=0, n_classes=2)
    y = pd.Series(y, index=np.arange(60) + 3)
    sources = pd.Series(np.arange(60) % 3, index=y.index).sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match="index of sources .* another order"):
        wrapper.fit(X, y, sources=sources)
