"""Tests of the error message for columns of text."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skrobust import CleaningClassifier, EnsembleDetector
from skrobust.detection import ConfidentLearning, ResidualDetector
from skrobust.noise import AnchorTransition
from skrobust.utils._error_messages import _advice
from skrobust.wrappers import (
    CascadeClassifier,
    CleaningRegressor,
    LossCorrectedClassifier,
    ReweightedClassifier,
    SourceRobustClassifier,
    TeacherStudentClassifier,
)

pd = pytest.importorskip("pandas")

ESTIMATORS = [
    CleaningClassifier(),
    CleaningClassifier(LogisticRegression(), detector=EnsembleDetector()),
    CleaningRegressor(),
    ReweightedClassifier(),
    LossCorrectedClassifier(),
    TeacherStudentClassifier(),
    SourceRobustClassifier(n_faulty=0),
    CascadeClassifier(LogisticRegression(), LogisticRegression()),
    EnsembleDetector(),
    ConfidentLearning(LogisticRegression()),
    ResidualDetector(),
    AnchorTransition(),
]


def _frame(n_rows=60):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"age": rng.normal(size=n_rows), "city": rng.choice(["Bonn", "Ulm"], n_rows)})
    return X, (X["age"] > 0).astype(int)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_text_columns_are_named_once(estimator):
    X, y = _frame()
    with pytest.raises(ValueError, match="not numeric: 'city'.*make_column_transformer") as caught:
        estimator.fit(X, y)
    assert "could not convert string to float" in str(caught.value)
    assert str(caught.value).count("not numeric") == 1


@pytest.mark.parametrize("convert", [np.asarray, lambda X: X.to_numpy().tolist()])
def test_columns_of_arrays_have_numbers(convert):
    X, y = _frame()
    with pytest.raises(ValueError, match="not numeric: 1"):
        CleaningClassifier().fit(convert(X), y)


def test_text_in_targets_is_not_explained_by_columns():
    X, y = _frame()
    with pytest.raises(ValueError, match="could not convert") as caught:
        CleaningRegressor().fit(X[["age"]], y.map({0: "low", 1: "high"}))
    assert "make_column_transformer" not in str(caught.value)


def test_text_of_numbers_is_fitted():
    X, y = _frame()
    X["age"] = X["age"].map(str).astype(object)
    model = CleaningClassifier(random_state=0).fit(X[["age"]], y)
    assert len(model.detector_.label_errors_) == len(y)


def test_advised_pipeline_is_fitted():
    X, y = _frame()
    columns = ["city"]
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), columns), remainder="passthrough"
    )
    model = CleaningClassifier(make_pipeline(encode, LogisticRegression()), random_state=0)
    assert model.fit(X, y).score(X, y) > 0.9


def test_only_some_of_many_columns_are_named():
    assert "'e' and 2 more." in _advice(list("abcdefg"))
