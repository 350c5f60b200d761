"""Folds of labels of which some are missing, and the labels that scorers cannot take."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from skrobust.detection import ConfidentLearning
from skrobust.model_selection import LabelledKFold
from skrobust.wrappers import CleaningClassifier

MODEL = LogisticRegression()
GAPS = np.arange(120) % 20 == 0
CODES = np.arange(120) % 7 % 2
X = np.random.default_rng(0).normal(size=(120, 2)) + 3 * CODES[:, None]
NAMES = np.array(["no", "yes"], dtype=object)[CODES]
LABELS = {
    "none": np.where(GAPS, None, NAMES),
    "nan": np.where(GAPS, np.nan, CODES),
    "blank": np.where(GAPS, "", NAMES).astype(str),
    "Int64": pd.Series(CODES, dtype="Int64").mask(GAPS),
    "boolean": pd.Series(CODES == 1, dtype="boolean").mask(GAPS),
    "text": pd.Series(NAMES, dtype="string").mask(GAPS),
    "list": [None if gap else int(code) for gap, code in zip(GAPS, CODES)],
    "masked": np.ma.array(CODES, mask=GAPS),
}


def _objects(kind):
    """Labels as an array of objects, None among them."""
    return np.array([None if gap else kind(code) for gap, code in zip(GAPS, CODES)], dtype=object)


@pytest.mark.parametrize("kind", LABELS)
def test_rows_without_a_label_are_only_trained_on(kind):
    folds = list(LabelledKFold(4, shuffle=True, random_state=0).split(X, LABELS[kind]))
    assert len(folds) == LabelledKFold(4).get_n_splits() == 4
    tests = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tests), np.flatnonzero(~GAPS))
    for train, test in folds:
        assert np.isin(np.flatnonzero(GAPS), train).all()
        assert not np.isin(train, test).any()
        assert len(train) + len(test) == 120
        assert abs(CODES[test].mean() - CODES[~GAPS].mean()) < 0.05


@pytest.mark.parametrize("kind", [kind for kind in LABELS if kind != "masked"])
@pytest.mark.parametrize("scoring", [None, "accuracy", "roc_auc"])
def test_scorers_take_the_folds(kind, scoring):
    model = CleaningClassifier(MODEL, ConfidentLearning(MODEL))
    y = LABELS[kind]
    scores = cross_val_score(model, X, y, cv=LabelledKFold(3), scoring=scoring, error_score="raise")
    assert scores.min() > 0.8


@pytest.mark.parametrize("kind", [int, bool, np.int64, float])
def test_objects_that_scorers_refuse_are_refused(kind):
    y = _objects(kind)
    with pytest.raises(ValueError, match=r"pass numbers as numpy.array\(y, dtype=float\)"):
        next(LabelledKFold(3).split(X, y))
    search = GridSearchCV(
        CleaningClassifier(MODEL, ConfidentLearning(MODEL)),
        {"action": ["drop", "relabel"]},
        cv=LabelledKFold(3),
        scoring="balanced_accuracy",
        error_score="raise",
    )
    with pytest.raises(ValueError, match="array of objects that are not text"):
        search.fit(X, y)
    assert search.fit(X, np.array(y, dtype=float)).best_score_ > 0.8


def test_groups_are_kept_apart():
    groups = np.arange(120) // 4
    for train, test in LabelledKFold(3).split(X, LABELS["none"], groups):
        assert not np.isin(groups[train[~GAPS[train]]], groups[test]).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match="n_splits must be an integer of at least 2, got 1"):
        next(LabelledKFold(1).split(X, LABELS["none"]))
    with pytest.raises(ValueError, match="y has 1 labels, too few for n_splits=5"):
        next(LabelledKFold().split(X[:3], ["a", None, None]))
