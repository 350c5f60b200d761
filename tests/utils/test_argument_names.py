import inspect
import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from skrobust import detection
from skrobust.detection import ConfidentLearning, NeighborVote, find_label_errors
from skrobust.utils._error_messages import explain_names
from skrobust.wrappers import CleaningClassifier
from tests._instances import public_estimators

Y = np.arange(40) % 2
PROBA = np.eye(2)[Y] * 0.8 + 0.1


@pytest.mark.parametrize(
    "name",
    [
        "confident_joint",
        "confident_thresholds",
        "find_label_errors",
        "find_multilabel_errors",
        "label_quality_scores",
        "multilabel_quality_scores",
    ],
)
def test_labels_and_pred_probs_are_explained(name):
    function = getattr(detection, name)
    with pytest.raises(
        TypeError, match=rf"{name}\(\) .*'labels' use y=.*; instead of 'pred_probs' use pred_proba="
    ):
        function(labels=Y, pred_probs=PROBA)
    with pytest.raises(TypeError, match="instead of 'pred_probs' use pred_proba="):
        function(Y, pred_probs=PROBA)


@pytest.mark.parametrize(
    ("foreign", "use"),
    [
        ("filter_by", "rule=..."),
        ("return_indices_ranked_by", "rank_by=..."),
        ("num_to_remove_per_class", "n_per_class=..."),
        ("min_examples_per_class", "min_per_class=..."),
        ("thresholds", "confident_thresholds=..."),
        ("frac_noise", "ConfidentLearning(flag_fraction=...)"),
        ("multi_label", "find_multilabel_errors"),
    ],
)
def test_arguments_of_find_label_issues_are_explained(foreign, use):
    with pytest.raises(TypeError) as raised:
        find_label_errors(Y, PROBA, **{foreign: None})
    message = f"find_label_errors() has no such argument: instead of {foreign!r} use {use}."
    assert str(raised.value) == message


@pytest.mark.parametrize("name", ["find_target_errors", "target_quality_scores"])
def test_predictions_are_explained(name):
    with pytest.raises(TypeError, match="instead of 'predictions' use y_pred="):
        getattr(detection, name)(Y, predictions=Y)


@pytest.mark.parametrize(
    "cls",
    [
        cls
        for cls in public_estimators()
        if "y" in inspect.signature(getattr(cls, "fit", len)).parameters
    ],
)
def test_labels_of_fit_are_explained(cls):
    unused = object.__new__(cls)  # the call is refused before anything is read
    with pytest.raises(TypeError, match=r"fit\(\) has no such argument: .*'labels' use y="):
        unused.fit(PROBA, labels=Y)
    with pytest.raises(TypeError, match=r"\.fit\(\) .*'label_issues' use .*label_errors="):
        unused.fit(PROBA, Y, label_issues=Y > 2)


def test_arguments_of_clean_learning_are_explained():
    with pytest.raises(TypeError, match=r"CleaningClassifier\(\) .*'clf' use estimator="):
        CleaningClassifier(clf=LogisticRegression())
    with pytest.raises(TypeError, match=r"detector=ConfidentLearning\(rule=\.\.\.\)\)"):
        CleaningClassifier(find_label_issues_kwargs={"filter_by": "both"})
    with pytest.raises(TypeError, match="instead of 'pred_probs' use pred_proba="):
        CleaningClassifier().fit(PROBA, Y, pred_probs=PROBA)
    with pytest.raises(TypeError, match=r"use ConfidentLearning\(rule=\.\.\.\)"):
        NeighborVote().fit(PROBA, Y, filter_by="both")


def test_other_names_raise_as_in_python():
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'colour'"):
        find_label_errors(Y, PROBA, colour="red")


def test_name_of_routed_metadata_is_left_to_the_model():
    class Seeded(LogisticRegression):
        def fit(self, X, y, sample_weight=None, seed=None):
            self.seed_ = seed
            return super().fit(X, y, sample_weight=sample_weight)

    with config_context(enable_metadata_routing=True):
        model = Seeded().set_fit_request(seed=True, sample_weight=True)
        detector = ConfidentLearning(LogisticRegression())
        wrapper = CleaningClassifier(model, detector).fit(PROBA, Y, seed=3)
    assert wrapper.estimator_.seed_ == 3
    with pytest.raises(TypeError, match="instead of 'seed'|unexpected"):
        CleaningClassifier(seed=3)


def test_signature_and_pickle_are_those_of_the_function():
    def function(y, *, rule):
        """Say it."""

    explained = explain_names(function)
    assert inspect.signature(explained) == inspect.signature(function)
    assert explained.__doc__ == "Say it."
    assert pickle.loads(pickle.dumps(find_label_errors)) is find_label_errors
