"""CleaningClassifier with label errors or probabilities that were computed elsewhere."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.detection import ConfidentLearning, find_label_errors
from skrobust.evidence import out_of_fold_proba
from skrobust.testing._problems import make_rows
from skrobust.utils import LabelNoiseWarning
from skrobust.wrappers import CleaningClassifier

MODEL = LogisticRegression()


class Refuses(ConfidentLearning):
    """A detector that must not be fitted."""

    def fit(self, *args, **kwargs):
        raise AssertionError


@pytest.fixture(scope="module")
def rows():
    X, y, _ = make_rows(150, noise=0.2, seed=0)
    names = np.array(["ant", "bee", "cow"])[y]
    return X, names, out_of_fold_proba(MODEL, X, names)


def test_a_mask_is_taken_as_it_is(rows):
    X, y, proba = rows
    mask = find_label_errors(y, proba)
    expected = LogisticRegression().fit(X[~mask], y[~mask])
    frame = pd.DataFrame({"is_label_issue": mask})
    for kind in (mask, mask.tolist(), frame["is_label_issue"], pd.array(mask, dtype="boolean")):
        model = CleaningClassifier(MODEL, Refuses()).fit(X, y, label_errors=kind)
        np.testing.assert_array_equal(model.detector_.label_errors_, mask)
        np.testing.assert_allclose(model.estimator_.coef_, expected.coef_)


@pytest.mark.parametrize("action", ["drop", "relabel", "reweight"])
def test_probabilities_are_as_good_as_a_detector(rows, action):
    X, y, _ = rows
    detector = ConfidentLearning(MODEL, rule="both", quality_method="normalized_margin")
    expected = CleaningClassifier(MODEL, detector, action=action).fit(X, y)
    proba = out_of_fold_proba(MODEL, X, y)
    frame = pd.DataFrame(proba, columns=["ant", "bee", "cow"])[["cow", "ant", "bee"]]
    for kind in (proba, frame):
        given = CleaningClassifier(MODEL, detector, action=action).fit(X, y, pred_proba=kind)
        np.testing.assert_allclose(given.estimator_.coef_, expected.estimator_.coef_)
        np.testing.assert_allclose(
            given.detector_.label_quality_, expected.detector_.label_quality_
        )


def test_a_mask_and_probabilities_together(rows):
    X, y, proba = rows
    mask = np.arange(len(y)) % 10 == 0
    model = CleaningClassifier(MODEL, action="relabel").fit(
        X, y, label_errors=mask, pred_proba=proba
    )
    np.testing.assert_array_equal(model.detector_.label_errors_, mask)
    corrected = model.detector_.suggested_labels_[mask]
    assert (corrected != y[mask]).all()
    verified = np.where(np.arange(len(y)) == 0, y, None)
    model.fit(X, y, label_errors=mask, pred_proba=proba, verified_labels=verified)
    assert not model.detector_.label_errors_[0]
    assert model.detector_.label_errors_[10]


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("name", ["label_errors", "pred_proba", "verified_labels"])
def test_search_over_a_pipeline_passes_them_on(rows, routing, name):
    X, y, proba = rows
    checked = np.where(np.arange(len(y)) % 3 == 0, y, None)
    given = {
        "label_errors": find_label_errors(y, proba),
        "pred_proba": proba,
        "verified_labels": pd.Series(checked, dtype="str"),
    }
    with config_context(enable_metadata_routing=routing):
        detector = ConfidentLearning(MODEL) if name == "verified_labels" else Refuses(MODEL)
        model = CleaningClassifier(MODEL, detector)
        if routing:
            model.set_fit_request(**{name: True})
        pipeline = make_pipeline(StandardScaler(), model)
        search = GridSearchCV(
            pipeline, {"cleaningclassifier__estimator__C": [0.1, 1.0]}, cv=3, error_score="raise"
        )
        prefix = "" if routing else "cleaningclassifier__"
        search.fit(X, y, **{prefix + name: given[name]})
        found = search.best_estimator_[-1].detector_
        if name == "label_errors":
            np.testing.assert_array_equal(found.label_errors_, given[name])
        elif name == "verified_labels":
            np.testing.assert_array_equal(found.label_quality_[::3], 1.0)
        else:
            alone = CleaningClassifier(MODEL).fit(X, y, pred_proba=proba).detector_
            np.testing.assert_array_equal(found.label_errors_, alone.label_errors_)
            np.testing.assert_array_equal(found.label_quality_, alone.label_quality_)
        if name == "verified_labels":
            mask = np.arange(len(y)) % 3 == 0
            with pytest.raises((TypeError, ValueError), match="True and False"):
                search.fit(X, y, **{prefix + name: mask})


@pytest.mark.parametrize(
    "given, action, message",
    [
        ({"label_errors": np.arange(150)}, "drop", "must be a mask of 150 bools"),
        ({"label_errors": np.zeros(3, dtype=bool)}, "drop", "must be a mask of 150 bools"),
        ({"label_errors": [None] * 150}, "drop", "must be a mask of 150 bools"),
        ({"label_errors": np.zeros(150, dtype=bool)}, "reweight", "pass pred_proba as well"),
        ({"pred_proba": np.full((150, 2), 0.5)}, "drop", r"must have shape \(150, 3\)"),
        ({"pred_proba": np.full((150, 3), 0.5)}, "drop", "must sum to 1"),
        (
            {"pred_proba": pd.DataFrame(np.full((150, 3), 1 / 3), columns=["a", "b", "c"])},
            "drop",
            "columns of pred_proba are named",
        ),
    ],
)
def test_bad_evidence(rows, given, action, message):
    X, y, _ = rows
    with pytest.raises(ValueError, match=message):
        CleaningClassifier(MODEL, Refuses(), action=action).fit(X, y, **given)


def test_the_mask_decides_beside_verified_labels_and_thresholds(rows):
    X, y, _ = rows
    mask = np.arange(len(y)) % 10 == 5
    verified = np.full(len(y), None, dtype=object)
    verified[:30] = y[:30]
    verified[:10] = np.roll(np.unique(y), 1)[np.searchsorted(np.unique(y), y[:10])]
    detector = ConfidentLearning(LogisticRegression(), flag_fraction=0.3)
    model = CleaningClassifier(LogisticRegression(), detector, action="drop")
    for more in ({}, {"pred_proba": LogisticRegression().fit(X, y).predict_proba(X)}):
        model.fit(X, y, verified_labels=verified, label_errors=mask, **more)
        rest = np.arange(len(y)) >= 30
        np.testing.assert_array_equal(model.detector_.label_errors_[rest], mask[rest])


def test_reliability_of_precomputed_probabilities_is_warned_about(rows, monkeypatch):
    X, y, proba = rows
    original = ConfidentLearning._set_fitted_attributes

    def unreliable(self, *args):
        original(self, *args)
        self.reliability_, self.reliability_reason_ = "cannot tell", "classes overlap"

    monkeypatch.setattr(ConfidentLearning, "_set_fitted_attributes", unreliable)
    with pytest.warns(LabelNoiseWarning, match="overlap of the classes: classes overlap") as seen:
        CleaningClassifier(MODEL).fit(X, y, pred_proba=proba)
    assert len(seen) == 1
    assert seen[0].filename == __file__
