"""Robust classifiers inside everything that scikit-learn builds around a classifier."""

from inspect import signature
from unittest import SkipTest

import numpy as np
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skrobust.utils._checks_common import (
    answer_of,
    assert_raises,
    assert_same,
    fit_quietly,
    fresh,
    has_param,
    is_robust_classifier,
    make_rows,
    quiet,
    usual_n_classes,
)

_NAMES = np.array(["ant", "bee", "cow"], dtype=object)


def _text_rows(n_samples=150, noise=0.1, seed=0):
    """Rows with text labels, with errors, and the right labels."""
    X, y, _ = make_rows(n_samples, noise=noise, seed=seed)
    truth = make_rows(n_samples, noise=0, seed=seed)[1]
    return X, _NAMES[y], _NAMES[truth]


def _check_predicts(classifier, X, truth, what) -> None:
    """Fitted classifiers know text labels, and most of the right ones despite errors."""
    names = _NAMES[: usual_n_classes()]
    np.testing.assert_array_equal(classifier.classes_, names, err_msg=what)
    share = np.mean(classifier.predict(X) == truth)
    assert share > 0.9, f"{what}: {share:.0%} of the predictions are right on easy data."
    if hasattr(classifier, "predict_proba"):
        proba = classifier.predict_proba(X)
        assert proba.shape == (len(truth), len(names)), f"{what}: wrong shape of probabilities."
        np.testing.assert_allclose(proba.sum(axis=1), 1, err_msg=what)


def check_classifier_attributes(estimator) -> None:
    """It leaves its parameters unfitted, has fitted parts instead, and predicts what it learned."""
    X, y, truth = _text_rows()
    classifier = fresh(estimator)
    given = classifier.get_params(deep=False)
    before = {name: str(value) for name, value in given.items()}
    fit_quietly(classifier, X, y)
    for name, value in classifier.get_params(deep=False).items():
        assert value is given[name], f"fit replaced the parameter {name}."
        assert str(value) == before[name], f"fit changed the parameter {name}."
        if hasattr(value, "fit"):
            fitted = [key for key in vars(value) if key.endswith("_") and key[0] != "_"]
            assert not fitted, f"fit fitted the parameter {name} in place."
    assert is_classifier(classifier), "A robust classifier must be a classifier."
    if hasattr(classifier, "estimator_"):
        assert is_classifier(classifier.estimator_), "estimator_ must be a fitted classifier."
    if has_param(classifier, "detector"):
        assert hasattr(classifier.detector_, "label_quality_"), "detector_ is not fitted."
        expected = classifier.estimator_.predict(X)
        np.testing.assert_array_equal(classifier.predict(X), expected, err_msg="predict")
    _check_predicts(classifier, X, truth, "A robust classifier")


def check_learns_verified_labels(estimator) -> None:
    """Verified labels are learned from instead of given ones that are wrong in one region."""
    X, truth, _ = make_rows(240, noise=0)
    truth = _NAMES[truth]
    # A column that is noise otherwise says which ants were taken for bees.
    misled = (truth == "ant") & (X[:, 4] > 0)
    X[:, 4] += np.where(X[:, 4] > 0, 5, -5)
    given = np.where(misled, "bee", truth)
    # Nearly all rows are, whatever their labels look like, as estimates of noise assume.
    verified = np.where(np.random.default_rng(0).random(len(truth)) < 0.9, truth, None)
    classifier = fit_quietly(fresh(estimator), X, given, verified_labels=verified)
    share = np.mean(classifier.predict(X[misled]) == "ant")
    assert share > 0.9, f"{share:.0%} of the rows are predicted as they were verified."


def check_voting(estimator) -> None:
    """A part of a VotingClassifier, hard and soft."""
    X, y, truth = _text_rows()
    parts = [("robust", fresh(estimator)), ("plain", LogisticRegression())]
    hard = fit_quietly(VotingClassifier([*parts, ("third", LogisticRegression(C=0.1))]), X, y)
    assert np.mean(hard.predict(X) == truth) > 0.9, "VotingClassifier, hard"
    if hasattr(estimator, "predict_proba"):
        soft = fit_quietly(VotingClassifier(parts, voting="soft"), X, y)
        _check_predicts(soft, X, truth, "VotingClassifier, soft")


def check_stacking(estimator) -> None:
    """A part of a StackingClassifier."""
    X, y, truth = _text_rows()
    parts = [("robust", fresh(estimator)), ("plain", LogisticRegression())]
    stack = StackingClassifier(parts, LogisticRegression(), cv=2)
    _check_predicts(fit_quietly(stack, X, y), X, truth, "StackingClassifier")


def check_bagging(estimator) -> None:
    """The part of a BaggingClassifier, which may hand on weights."""
    X, y, truth = _text_rows()
    bag = BaggingClassifier(fresh(estimator), n_estimators=2, random_state=0)
    _check_predicts(fit_quietly(bag, X, y), X, truth, "BaggingClassifier")


def check_calibration(estimator) -> None:
    """The part of a CalibratedClassifierCV."""
    X, y, truth = _text_rows()
    calibrated = CalibratedClassifierCV(fresh(estimator), cv=2)
    _check_predicts(fit_quietly(calibrated, X, y), X, truth, "CalibratedClassifierCV")


def check_pipeline(estimator) -> None:
    """The last step of a Pipeline, with and without weights."""
    X, y, truth = _text_rows()
    pipeline = make_pipeline(StandardScaler(), fresh(estimator))
    _check_predicts(fit_quietly(pipeline, X, y), X, truth, "Pipeline")
    step = pipeline.steps[-1][0]
    params = {f"{step}__sample_weight": np.ones(len(y))}
    _check_predicts(fit_quietly(pipeline, X, y, **params), X, truth, "Pipeline with weights")


def check_grid_search(estimator) -> None:
    """In a parallel search over the parameters of a wrapper and of what it wraps."""
    X, y, truth = _text_rows()
    grid = {"random_state": [0, 1]} if has_param(estimator, "random_state") else {}
    if getattr(estimator, "estimator", None) is None and has_param(estimator, "estimator"):
        grid["estimator"] = [LogisticRegression(C=0.01)]
    if "detector__max_flag_rate" in estimator.get_params(deep=True):
        grid["detector__max_flag_rate"] = [None]
    search = GridSearchCV(fresh(estimator), grid, cv=2, n_jobs=2, error_score="raise")
    fit_quietly(search, X, y)
    assert search.best_score_ > 0.7, f"GridSearchCV finds a score of {search.best_score_:.2f} only."
    _check_predicts(search, X, truth, "GridSearchCV")
    with quiet():
        scores = cross_val_score(fresh(estimator), X, y, cv=2, error_score="raise")
    assert np.isfinite(scores).all(), "cross_val_score"


def check_texts(estimator) -> None:
    """Lists of texts pass through to a Pipeline that reads them, if nothing else is asked for."""
    if not has_param(estimator, "estimator"):
        raise SkipTest("The classifier has no parameter estimator.")
    _, y, truth = _text_rows(90)
    words = {"ant": "hill queen leaf", "bee": "hive honey wing", "cow": "milk grass horn"}
    rng = np.random.default_rng(0)
    texts = [
        " ".join(rng.choice(words[label].split(), size=6)) + f" {i}"
        for i, label in enumerate(truth)
    ]
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    # What the default is must look at X through the estimator, if at all.
    judges = ("detector", "reweighter", "transition", "evidence", "teacher")
    params = {"estimator": model, **dict.fromkeys(judges)}
    if getattr(estimator, "action", None) == "reweight":
        # Without metadata routing, weights reach the last step of a Pipeline and no other.
        params["action"] = "drop"
    classifier = fit_quietly(fresh(estimator, **params), texts, y)
    _check_predicts(classifier, texts, truth, "Texts")
    assert not hasattr(classifier, "n_features_in_"), "A list of texts has no n_features_in_."


def check_routing_off(estimator) -> None:
    """Without metadata routing, weights are taken as they come, also inside a Pipeline."""
    X, y, _ = _text_rows()
    weight = np.random.default_rng(0).integers(1, 3, size=len(y))
    with config_context(enable_metadata_routing=False):
        alone = fit_quietly(fresh(estimator), X, y, sample_weight=weight)
        assert_raises(
            (TypeError, ValueError),
            ["no_such_metadata"],
            lambda: fresh(estimator).fit(X, y, no_such_metadata=weight),
            "fit with metadata that it does not know",
        )
    assert_same(
        answer_of(alone, X),
        answer_of(fit_quietly(fresh(estimator), X, y, sample_weight=weight), X),
        "Metadata routing switched off",
    )


def _requesting(estimator, **request):
    """Ask for metadata, and for weights in every model inside."""
    model = fresh(estimator)
    if is_robust_classifier(model) and has_param(model, "estimator") and model.estimator is None:
        model.set_params(estimator=LogisticRegression())
    parts = list(model.get_params(deep=True).values())
    for members in [part for part in parts if isinstance(part, (list, tuple))]:
        parts += members
    for part in parts:
        if hasattr(part, "set_fit_request") and "sample_weight" in signature(part.fit).parameters:
            part.set_fit_request(sample_weight=True)
    return model.set_fit_request(**request)


def check_routing_on(estimator) -> None:
    """With metadata routing, a Pipeline hands on what is requested and refuses what is not."""
    X, y, _ = _text_rows()
    metadata = {
        "sample_weight": np.random.default_rng(0).integers(1, 3, size=len(y)),
        "verified_labels": np.where(np.arange(len(y)) % 5 == 0, y, None),
    }
    # The scaling must not change with weights, which the scaler does not ask for.
    scaled = MaxAbsScaler().fit_transform(X)
    expected = fit_quietly(fresh(estimator), scaled, y, **metadata)
    plain = fit_quietly(fresh(estimator), scaled, y)
    with config_context(enable_metadata_routing=True):
        without = fit_quietly(fresh(estimator), scaled, y)
        assert_same(answer_of(plain, scaled), answer_of(without, scaled), "Routing switched on")
        request = dict.fromkeys(metadata, True)
        pipeline = make_pipeline(MaxAbsScaler(), _requesting(estimator, **request))
        fit_quietly(pipeline, X, y, **metadata)
        assert_same(answer_of(expected, scaled), answer_of(pipeline[-1], scaled), "Metadata routed")
        pipeline = make_pipeline(MaxAbsScaler(), fresh(estimator))
        assert_raises(
            UnsetMetadataPassedError,
            metadata,
            lambda: pipeline.fit(X, y, **metadata),
            "Metadata that nobody asked for",
        )


CLASSIFIER_CHECKS = (
    check_classifier_attributes,
    check_learns_verified_labels,
    check_voting,
    check_stacking,
    check_bagging,
    check_calibration,
    check_pipeline,
    check_grid_search,
    check_texts,
)
ROUTING_CHECKS = (check_routing_off, check_routing_on)
