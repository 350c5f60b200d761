"""Checks of robust classifiers and regressors inside what scikit-learn builds around them."""

from inspect import signature
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn import config_context, ensemble
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skrobust.testing._estimators import (
    clone_seeded,
    fit_silently,
    has_param,
    is_robust_classifier,
    is_robust_regressor,
    silence_label_warnings,
)
from skrobust.testing._outputs import assert_raises, assert_same, outputs_of
from skrobust.testing._problems import Array, Problem, make_problem


def _plain_model(estimator: Any, **params: Any) -> Any:
    """A linear model of the same kind as an estimator."""
    return (LogisticRegression if is_classifier(estimator) else Ridge)(**params)


def _ensemble(estimator: Any, name: str, *args: Any, **params: Any) -> Any:
    """An ensemble of scikit-learn of the same kind as an estimator."""
    kind = "Classifier" if is_classifier(estimator) else "Regressor"
    return getattr(ensemble, f"{name}{kind}")(*args, **params)


def _check_predicts(model: Any, X: Any, truth: Array, what: str) -> None:
    """Most predictions are right despite the errors, on easy data."""
    if not is_classifier(model):
        score = r2_score(truth, model.predict(X))
        assert score > 0.5, f"{what}: R² is {score:.2f} only, on easy data."
        return
    names = np.unique(truth)
    np.testing.assert_array_equal(model.classes_, names, err_msg=what)
    share = np.mean(model.predict(X) == truth)
    assert share > 0.9, f"{what}: {share:.0%} of the predictions are right on easy data."
    if hasattr(model, "predict_proba"):
        proba = model.predict_proba(X)
        assert proba.shape == (len(truth), len(names)), f"{what}: wrong shape of probabilities."
        np.testing.assert_allclose(proba.sum(axis=1), 1, err_msg=what)


def _fit_and_check(model: Any, problem: Problem, what: str, **params: Any) -> None:
    """Fit to the given labels, and compare the predictions with the true ones."""
    fitted = fit_silently(model, problem.X, problem.named, **params)
    _check_predicts(fitted, problem.X, problem.named_truth, what)


def check_parts(estimator: Any) -> None:
    """Parameters are not fitted, fitted parts are there instead, and predictions are theirs."""
    problem = make_problem(estimator, 200, noise=0.1)
    model = clone_seeded(estimator)
    given = model.get_params(deep=False)
    _fit_and_check(model, problem, "A robust model")
    for name, value in model.get_params(deep=False).items():
        assert value is given[name], f"fit replaced the parameter {name}."
        if hasattr(value, "fit"):
            fitted = [key for key in vars(value) if key.endswith("_") and key[0] != "_"]
            assert not fitted, f"fit fitted the parameter {name} in place."
    if hasattr(model, "estimator_"):
        same = is_classifier(model.estimator_) == is_classifier(model)
        assert same, "estimator_ must be a fitted model of the same kind."
    if has_param(model, "detector"):
        assert hasattr(model.detector_, "label_quality_"), "detector_ is not fitted."
        expected = model.estimator_.predict(problem.X)
        np.testing.assert_array_equal(model.predict(problem.X), expected, err_msg="predict")


def check_learns_verified_labels(estimator: Any) -> None:
    """Verified labels are trained on instead of given ones that are wrong in one region."""
    problem = make_problem(estimator, 240, noise=0)
    X, truth = problem.X, problem.named_truth
    # A column that is noise otherwise determines which ants are labelled as bees.
    mislabelled = (truth == "ant") & (X[:, 4] > 0)
    X[:, 4] += np.where(X[:, 4] > 0, 5, -5)
    given = np.where(mislabelled, "bee", truth)
    # Nearly all rows are reviewed, whatever their labels, as estimates of noise assume.
    verified = np.where(np.random.default_rng(0).random(len(truth)) < 0.9, truth, None)
    model = fit_silently(clone_seeded(estimator), X, given, verified_labels=verified)
    share = np.mean(model.predict(X[mislabelled]) == "ant")
    assert share > 0.9, f"{share:.0%} of the rows are predicted as they were verified."


def check_voting(estimator: Any) -> None:
    """A part of a voting ensemble, by predictions and by probabilities."""
    problem = make_problem(estimator, 150, noise=0.1)
    parts = [("robust", clone_seeded(estimator)), ("again", clone_seeded(estimator))]
    if is_classifier(estimator):
        parts[1:] = [("plain", LogisticRegression())]
        hard = _ensemble(estimator, "Voting", [*parts, ("third", LogisticRegression(C=0.1))])
        fitted = fit_silently(hard, problem.X, problem.named)
        share = np.mean(fitted.predict(problem.X) == problem.named_truth)
        assert share > 0.9, f"Hard voting: {share:.0%} of the predictions are right."
        if hasattr(estimator, "predict_proba"):
            soft = _ensemble(estimator, "Voting", parts, voting="soft")
            _fit_and_check(soft, problem, "Soft voting")
    else:
        _fit_and_check(_ensemble(estimator, "Voting", parts), problem, "VotingRegressor")


def check_stacking(estimator: Any) -> None:
    """A part of a stacking ensemble."""
    problem = make_problem(estimator, 150, noise=0.1)
    parts = [("robust", clone_seeded(estimator))]
    if is_classifier(estimator):
        parts.append(("plain", LogisticRegression()))
    final = _plain_model(estimator)
    stack = _ensemble(estimator, "Stacking", parts, final, cv=2)
    _fit_and_check(stack, problem, "Stacking")


def check_bagging(estimator: Any) -> None:
    """The part of a bagging ensemble, which may pass weights on."""
    problem = make_problem(estimator, 150, noise=0.1)
    bag = _ensemble(estimator, "Bagging", clone_seeded(estimator), n_estimators=2, random_state=0)
    _fit_and_check(bag, problem, "Bagging")


def check_calibration(estimator: Any) -> None:
    """The part of a CalibratedClassifierCV."""
    problem = make_problem(estimator, 150, noise=0.1)
    calibrated = CalibratedClassifierCV(clone_seeded(estimator), cv=2)
    _fit_and_check(calibrated, problem, "CalibratedClassifierCV")


def check_pipeline(estimator: Any) -> None:
    """The last step of a Pipeline, with and without weights."""
    problem = make_problem(estimator, 150, noise=0.1)
    pipeline = make_pipeline(StandardScaler(), clone_seeded(estimator))
    _fit_and_check(pipeline, problem, "Pipeline")
    params = {f"{pipeline.steps[-1][0]}__sample_weight": np.ones(problem.n_samples)}
    _fit_and_check(pipeline, problem, "Pipeline with weights", **params)


def check_grid_search(estimator: Any) -> None:
    """A parallel search over the parameters of a wrapper and of what it wraps."""
    problem = make_problem(estimator, 150, noise=0.1)
    grid: dict[str, list[Any]] = {}
    if has_param(estimator, "random_state"):
        grid["random_state"] = [0, 1]
    if has_param(estimator, "estimator") and estimator.estimator is None:
        grid["estimator"] = [_plain_model(estimator)]
    if "detector__max_flag_rate" in estimator.get_params(deep=True):
        grid["detector__max_flag_rate"] = [None]
    search = GridSearchCV(clone_seeded(estimator), grid, cv=2, n_jobs=2, error_score="raise")
    _fit_and_check(search, problem, "GridSearchCV")
    if is_classifier(estimator):
        best = search.best_score_
        assert best > 0.7, f"GridSearchCV finds a score of {best:.2f} only."
    with silence_label_warnings():
        scores = cross_val_score(
            clone_seeded(estimator), problem.X, problem.named, cv=2, error_score="raise"
        )
    assert np.isfinite(scores).all(), "cross_val_score"


def _texts_of(estimator: Any) -> tuple[list[str], Array, Array]:
    """Texts from which labels can be read, given labels and true ones."""
    if is_classifier(estimator):
        problem = make_problem(estimator, 90, noise=0.1)
        words = {"ant": "hill queen leaf", "bee": "hive honey wing", "cow": "milk grass horn"}
        rng = np.random.default_rng(0)
        texts = [
            " ".join(rng.choice(words[label].split(), size=6)) + f" {i}"
            for i, label in enumerate(problem.named_truth)
        ]
        return texts, problem.named, problem.named_truth
    truth = np.random.default_rng(0).integers(5, size=90).astype(float)
    texts = ["good " * int(value) + f"word{i}" for i, value in enumerate(truth)]
    return texts, np.where(np.arange(90) % 15 == 0, 100.0, truth), truth


def check_texts(estimator: Any) -> None:
    """Lists of texts pass through to a Pipeline that reads them."""
    if not has_param(estimator, "estimator"):
        raise SkipTest("There is no parameter estimator.")
    texts, y, truth = _texts_of(estimator)
    vectorizer = CountVectorizer(min_df=1 if is_classifier(estimator) else 2)
    model = make_pipeline(vectorizer, _plain_model(estimator))
    # Their defaults must use X through the estimator, if at all.
    others = ("detector", "reweighter", "transition", "evidence", "teacher")
    params = {"estimator": model, **dict.fromkeys(others)}
    if getattr(estimator, "action", None) == "reweight":
        # Without metadata routing, weights reach the last step of a Pipeline and no other.
        params["action"] = "drop"
    fitted = fit_silently(clone_seeded(estimator, **params), texts, y)
    _check_predicts(fitted, texts, truth, "Texts")
    assert not hasattr(fitted, "n_features_in_"), "A list of texts has no n_features_in_."


def check_routing_off(estimator: Any) -> None:
    """Without metadata routing, weights are taken as they come, and nothing unknown is."""
    problem = make_problem(estimator, 150, noise=0.1)
    X, y = problem.X, problem.named
    weight = np.random.default_rng(0).integers(1, 3, size=len(y))
    with config_context(enable_metadata_routing=False):
        alone = fit_silently(clone_seeded(estimator), X, y, sample_weight=weight)
        assert_raises(
            (TypeError, ValueError),
            ["no_such_metadata"],
            lambda: clone_seeded(estimator).fit(X, y, no_such_metadata=weight),
            "fit with unknown metadata",
        )
    again = fit_silently(clone_seeded(estimator), X, y, sample_weight=weight)
    assert_same(outputs_of(alone, X), outputs_of(again, X), "Metadata routing switched off")


def _requesting(estimator: Any, **request: bool) -> Any:
    """Request metadata, and weights in every model inside."""
    model = clone_seeded(estimator)
    wrapper = is_robust_classifier(model) or is_robust_regressor(model)
    if wrapper and has_param(model, "estimator") and model.estimator is None:
        model.set_params(estimator=_plain_model(model))
    parts = list(model.get_params(deep=True).values())
    for members in [part for part in parts if isinstance(part, (list, tuple))]:
        parts += members
    for part in parts:
        if hasattr(part, "set_fit_request") and "sample_weight" in signature(part.fit).parameters:
            part.set_fit_request(sample_weight=True)
    return model.set_fit_request(**request)


def check_routing_on(estimator: Any) -> None:
    """With metadata routing, a Pipeline passes on what is requested and refuses other metadata."""
    problem = make_problem(estimator, 150, noise=0.1)
    X, y = problem.X, problem.named
    reviewed = np.arange(len(y)) % 5 == 0
    verified = problem.missing(~reviewed)
    metadata = {
        "sample_weight": np.random.default_rng(0).integers(1, 3, size=len(y)),
        "verified_labels": np.where(reviewed, y, None) if problem.has_classes else verified,
    }
    # The scaling must not change with weights, which the scaler does not request.
    scaled = MaxAbsScaler().fit_transform(X)
    expected = fit_silently(clone_seeded(estimator), scaled, y, **metadata)
    plain = fit_silently(clone_seeded(estimator), scaled, y)
    with config_context(enable_metadata_routing=True):
        without = fit_silently(clone_seeded(estimator), scaled, y)
        assert_same(outputs_of(plain, scaled), outputs_of(without, scaled), "Routing switched on")
        request = dict.fromkeys(metadata, True)
        pipeline = make_pipeline(MaxAbsScaler(), _requesting(estimator, **request))
        fit_silently(pipeline, X, y, **metadata)
        first, second = outputs_of(expected, scaled), outputs_of(pipeline[-1], scaled)
        assert_same(first, second, "Metadata routed")
        pipeline = make_pipeline(MaxAbsScaler(), clone_seeded(estimator))
        assert_raises(
            UnsetMetadataPassedError,
            metadata,
            lambda: pipeline.fit(X, y, **metadata),
            "Metadata that was not requested",
        )


MODEL_CHECKS = (
    check_parts,
    check_voting,
    check_stacking,
    check_bagging,
    check_pipeline,
    check_grid_search,
    check_texts,
)
CLASSIFIER_CHECKS = (check_learns_verified_labels, check_calibration)
ROUTING_CHECKS = (check_routing_off, check_routing_on)
