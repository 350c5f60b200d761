"""What all detectors share beyond flags: frames, scores, shares per class, checked results."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.detection import (
    ConfidentLearning,
    EnsembleDetector,
    MultilabelDetector,
    NeighborVote,
    ResidualDetector,
)
from skrobust.testing._problems import make_rows

MODEL = LogisticRegression()


@pytest.fixture(scope="module")
def rows():
    X, y, planted = make_rows(180, noise=0.2, seed=0)
    return X, np.array(["ant", "bee", "cow"])[y], planted


def _without(y, planted):
    """Labels of which the planted ones are others."""
    following = {"ant": "bee", "bee": "cow", "cow": "ant"}
    return np.where(planted, [following[label] for label in y], y)


def test_frame_has_the_index_of_y(rows):
    X, y, _ = rows
    labels = pd.Series(y, index=[f"r{i}" for i in range(180)], dtype=object)
    labels.iloc[3] = None
    detector = ConfidentLearning(MODEL).fit(X, labels)
    frame = detector.to_frame()
    assert frame.index.equals(labels.index)
    assert list(frame)[:4] == ["given_label", "label_quality", "is_flagged", "suggested_label"]
    assert frame["given_label"].isna().sum() == 1
    np.testing.assert_array_equal(frame["is_flagged"], detector.label_errors_)
    np.testing.assert_array_equal(frame["label_quality"], detector.label_quality_)
    np.testing.assert_array_equal(frame["suggested_label"], detector.suggested_labels_)
    if hasattr(detector, "corrected_labels_"):
        np.testing.assert_array_equal(frame["corrected_label"], detector.corrected_labels_)
    assert ConfidentLearning(MODEL).fit(X, y).to_frame().index.equals(pd.RangeIndex(180))


def test_frame_of_numbers_and_of_several_labels(rows):
    X, _, _ = rows
    y = pd.Series(X[:, 0] * 2, index=np.arange(180) + 5)
    y.iloc[0] = 99
    frame = ResidualDetector(LinearRegression()).fit(X, y).to_frame()
    assert frame.index.equals(y.index)
    assert frame["is_flagged"].iloc[0]
    np.testing.assert_array_equal(frame["given_label"], y)
    tags = pd.DataFrame({"red": X[:, 0] > 0, "big": X[:, 1] > 0}).astype(int)
    frame = MultilabelDetector(MODEL).fit(X, tags).to_frame()
    assert list(frame)[:4] == ["given_label_red", "given_label_big", "label_quality", "is_flagged"]
    np.testing.assert_array_equal(frame["given_label_big"], tags["big"])


def test_score_with_true_labels_is_average_precision(rows):
    X, y, planted = rows
    truth = _without(y, planted)
    detector = ConfidentLearning(MODEL, store_estimators=True).fit(X[:90], y[:90])
    quality = detector.score_labels(X[90:], y[90:])
    expected = average_precision_score(planted[90:], 1 - quality)
    assert detector.score(X[90:], y[90:], truth[90:]) == pytest.approx(expected)
    some = np.where(np.arange(90) % 2, truth[90:], None)
    known = np.arange(90) % 2 == 1
    expected = average_precision_score(planted[90:][known], 1 - quality[known])
    assert detector.score(X[90:], y[90:], some) == pytest.approx(expected)
    with pytest.raises(ValueError, match="true_labels and y are equal in all rows"):
        detector.score(X[90:], y[90:], y[90:])


def test_score_without_true_labels_prefers_the_better_evidence(rows):
    X, y, _ = rows
    noise = np.random.default_rng(0).normal(size=X.shape)
    scores = []
    for input_ in (X, X + 5 * noise, noise):
        detector = ConfidentLearning(MODEL, store_estimators=True).fit(input_[:90], y[:90])
        scores.append(detector.score(input_[90:], y[90:]))
    assert scores[0] > scores[1] > scores[2] - 0.1
    assert scores[0] > 0.7
    assert abs(scores[2] - 0.5) < 0.15


def test_a_search_chooses_a_detector_by_its_score(rows):
    X, y, planted = rows
    detector = ConfidentLearning(MODEL, store_estimators=True, max_flag_rate=None)
    grid = {"estimator": [MODEL, LogisticRegression(C=1e-9)]}
    assert GridSearchCV(detector, grid, cv=3).fit(X, y).best_params_["estimator"] == MODEL
    truth = _without(y, planted)
    with config_context(enable_metadata_routing=True):
        detector.set_score_request(true_labels=True)
        search = GridSearchCV(detector, {"quality_method": ["self_confidence"]}, cv=3)
        search.fit(X, y, true_labels=truth)
        assert 0.3 < search.best_score_ <= 1


def test_score_needs_stored_estimators(rows):
    X, y, _ = rows
    detector = ConfidentLearning(MODEL).fit(X, y)
    assert not hasattr(detector, "score")
    with pytest.raises(AttributeError, match="'ConfidentLearning' has no attribute") as raised:
        detector.score(X, y)
    assert "set store_estimators=True" in str(raised.value.__cause__)
    with pytest.raises(TypeError, match="should have a 'score' method"):
        GridSearchCV(detector, {"cv": [3]}).fit(X, y)


@pytest.mark.parametrize("name", ["NeighborVote", "EnsembleDetector", "MultilabelDetector"])
def test_search_over_parameters_of_a_detector(rows, name):
    X, y, _ = rows
    detector, grid, target = {
        "NeighborVote": (NeighborVote(), {"n_neighbors": [1, 15]}, y),
        "EnsembleDetector": (EnsembleDetector([MODEL]), {"n_rounds": [1]}, y),
        "MultilabelDetector": (MultilabelDetector(MODEL), {"cv": [3]}, np.median(X, axis=0) < X),
    }[name]
    detector.set_params(store_estimators=True, random_state=0)
    search = GridSearchCV(detector, grid, cv=2, error_score="raise").fit(X, target)
    scores = search.cv_results_["mean_test_score"]
    assert ((scores > 0.5) & (scores <= 1)).all()
    np.testing.assert_array_equal(
        search.best_estimator_.label_errors_,
        detector.set_params(**search.best_params_).fit(X, target).label_errors_,
    )
    if name == "NeighborVote":
        assert search.best_params_ == {"n_neighbors": 15}


def test_score_of_numbers(rows):
    X, _, _ = rows
    y = X[:, 0] * 2 + np.random.default_rng(0).normal(size=180) / 5
    truth = y.copy()
    y[::9] += 3
    detector = ResidualDetector(LinearRegression(), store_estimators=True).fit(X[:90], y[:90])
    assert detector.score(X[90:], y[90:], truth[90:]) > 0.95
    assert detector.score(X[90:], y[90:]) > 0.8


def test_shares_per_class(rows):
    X, y, _ = rows
    detector = ConfidentLearning(
        MODEL, flag_fraction={"ant": 0.1, "cow": 0.25}, store_estimators=True
    ).fit(X, y)
    for label, share in (("ant", 0.1), ("bee", 0), ("cow", 0.25)):
        own = y == label
        assert detector.label_errors_[own].sum() == pytest.approx(share * own.sum(), abs=0.5)
        flagged = detector.label_quality_[own & detector.label_errors_]
        if share:
            assert flagged.max() < detector.label_quality_[own & ~detector.label_errors_].min()
    assert detector.threshold_ is None
    expected = (
        detector.score_labels(X, y)
        < detector.class_thresholds_[np.searchsorted(["ant", "bee", "cow"], y)]
    )
    np.testing.assert_array_equal(detector.detect(X, y), expected)
    assert not detector.detect(X, y)[y == "bee"].any()
    NeighborVote(flag_fraction={"bee": 0.5}).fit(X, y)
    detector.set_params(flag_fraction=0.1).fit(X, y)
    assert not hasattr(detector, "class_thresholds_")


@pytest.mark.parametrize(
    "shares, message",
    [
        ({"dog": 0.1}, "flag_fraction holds labels that are not among"),
        ({"ant": 1.0}, r"flag_fraction\['ant'\] must be in \[0, 1\), got 1.0"),
        ({"ant": "much"}, r"flag_fraction\['ant'\] must be in"),
        ({}, "names no class"),
    ],
)
def test_bad_shares_per_class(rows, shares, message):
    X, y, _ = rows
    with pytest.raises(ValueError, match=message):
        ConfidentLearning(MODEL, flag_fraction=shares).fit(X, y)


class Returns(LabelErrorDetector):
    """A detector of a third party, whose result is changed in one part."""

    def __init__(self, change=None, *, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.change = change
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate

    def _detect(self, data):
        n_samples, best = data.n_samples, data.y_train
        result = DetectionResult(np.linspace(0, 1, n_samples), np.arange(n_samples) < 9, best, best)
        return dataclasses.replace(result, **(self.change or {}))


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"quality": np.full(180, 1.5)}, ValueError, "quality holds 1.5"),
        ({"quality": np.full(180, -np.inf)}, ValueError, "must be a number from 0 to 1, or NaN"),
        ({"quality": np.full(3, 0.5)}, ValueError, r"errors has shape \(180,\), expected \(3,\)"),
        ({"quality": np.full(180, "a")}, TypeError, "must be numbers"),
        ({"errors": np.zeros(180, dtype=int)}, TypeError, "must be a mask of bools"),
        ({"errors": np.array([4, 5])}, ValueError, r"errors has shape \(2,\), expected \(180,\)"),
        ({"predictions": np.zeros(180)}, TypeError, "must be positions in classes"),
        (
            {"alternatives": np.full(180, 3)},
            ValueError,
            "alternatives must be .*, from 0 to 2",
        ),
        ({"alternatives": None}, ValueError, "predictions are given without alternatives"),
        ({"joint": np.eye(2)}, ValueError, r"joint has shape \(2, 2\), expected \(3, 3\)"),
        ({"pred_proba": np.full((180, 2), 0.5)}, ValueError, r"expected \(180, 3\)"),
    ],
)
def test_a_result_that_breaks_the_contract_is_refused(rows, change, error, message):
    X, y, _ = rows
    with pytest.raises(error, match=message):
        Returns(change).fit(X, y)


def test_a_result_that_keeps_the_contract_is_taken(rows):
    X, y, _ = rows
    assert Returns().fit(X, y).label_errors_.sum() == 9
    quality = np.where(np.arange(180) % 2, np.nan, 0.5)
    assert np.isnan(Returns({"quality": quality}).fit(X, y).label_quality_).sum() == 90


def test_naive_bayes_is_scored_as_well(rows):
    X, y, _ = rows
    detector = ConfidentLearning(GaussianNB(), store_estimators=True).fit(X, y)
    assert 0.5 < detector.score(X, y) <= 1
