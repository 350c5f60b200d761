"""Robust regressors inside what scikit-learn builds around a regressor; metadata for all."""

from inspect import signature
from unittest import SkipTest

import numpy as np
from sklearn import config_context
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from skrobust.utils._checks_common import (
    assert_raises,
    fit_quietly,
    fresh,
    has_param,
    is_target_wrapper,
    quiet,
)
from skrobust.utils._checks_targets import assert_same_answer, make_targets, target_answer


def _check_predicts(regressor, X, truth, what) -> None:
    """Predictions come near the right targets, despite errors among those that were learned."""
    score = r2_score(truth, regressor.predict(X))
    assert score > 0.5, f"{what}: R² is {score:.2f} only, on easy data."


def check_regressor_parts(estimator) -> None:
    """A wrapper has fitted parts, leaves its parameters unfitted, and helps."""
    X, y, truth, _ = make_targets(estimator, 200)
    regressor = fresh(estimator)
    given = regressor.get_params(deep=False)
    fit_quietly(regressor, X, y)
    for name, value in given.items():
        if hasattr(value, "fit"):
            fitted = [key for key in vars(value) if key.endswith("_") and key[0] != "_"]
            assert not fitted, f"fit fitted the parameter {name} in place."
    assert hasattr(regressor.detector_, "label_quality_"), "detector_ is not fitted."
    _check_predicts(regressor, X, truth, "A wrapper")
    np.testing.assert_array_equal(regressor.predict(X), regressor.estimator_.predict(X))


def check_regressor_ensembles(estimator) -> None:
    """A part of Voting, Stacking and Bagging regressors."""
    X, y, truth, _ = make_targets(estimator)
    parts = [("robust", fresh(estimator)), ("again", fresh(estimator))]
    _check_predicts(fit_quietly(VotingRegressor(parts), X, y), X, truth, "VotingRegressor")
    stack = StackingRegressor(parts[:1], LinearRegression(), cv=2)
    _check_predicts(fit_quietly(stack, X, y), X, truth, "StackingRegressor")
    bag = BaggingRegressor(fresh(estimator), n_estimators=2, random_state=0)
    _check_predicts(fit_quietly(bag, X, y), X, truth, "BaggingRegressor")


def check_regressor_grid_search(estimator) -> None:
    """In a parallel search over the parameters of a wrapper, and as the end of a Pipeline."""
    X, y, truth, _ = make_targets(estimator)
    pipeline = make_pipeline(StandardScaler(), fresh(estimator))
    grid = {f"{pipeline.steps[-1][0]}__random_state": [0, 1]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise")
    _check_predicts(fit_quietly(search, X, y), X, truth, "GridSearchCV")
    with quiet():
        scores = cross_val_score(fresh(estimator), X, y, cv=2, error_score="raise")
    assert np.isfinite(scores).all(), "cross_val_score"


def check_regressor_texts(estimator) -> None:
    """Lists of texts pass through to a Pipeline that reads them, if nothing else is asked for."""
    rng = np.random.default_rng(0)
    truth = rng.integers(5, size=90).astype(float)
    texts = ["good " * int(value) + f"word{i}" for i, value in enumerate(truth)]
    y = np.where(np.arange(90) % 15 == 0, 100.0, truth)
    params = {"estimator": make_pipeline(CountVectorizer(min_df=2), Ridge()), "detector": None}
    if getattr(estimator, "action", None) == "reweight":
        # Without metadata routing, weights reach the last step of a Pipeline and no other.
        params["action"] = "drop"
    if not has_param(estimator, "estimator"):
        raise SkipTest("The wrapper has no parameter estimator.")
    regressor = fit_quietly(fresh(estimator, **params), texts, y)
    _check_predicts(regressor, texts, truth, "Texts")
    assert not hasattr(regressor, "n_features_in_"), "A list of texts has no n_features_in_."


def check_targets_routing_off(estimator) -> None:
    """Without metadata routing, weights are taken as they come, and nothing unknown is."""
    X, y, _, _ = make_targets(estimator, 60)
    with config_context(enable_metadata_routing=False):
        fit_quietly(fresh(estimator), X, y, sample_weight=np.ones(len(y)))
        assert_raises(
            (TypeError, ValueError),
            ["no_such_metadata"],
            lambda: fresh(estimator).fit(X, y, no_such_metadata=1),
            "fit with metadata that it does not know",
        )


def check_targets_routing_on(estimator) -> None:
    """With metadata routing, a Pipeline hands on what is requested and refuses what is not."""
    X, y, truth, _ = make_targets(estimator)
    scaled = MaxAbsScaler().fit_transform(X)
    verified = truth.copy()
    verified[np.arange(len(y)) % 5 > 0] = np.nan
    weight = np.random.default_rng(0).integers(1, 3, size=len(y))
    metadata = {"sample_weight": weight, "verified_labels": verified}
    expected = fit_quietly(fresh(estimator), scaled, y, **metadata)
    with config_context(enable_metadata_routing=True):
        model = fresh(estimator)
        if is_target_wrapper(model) and model.estimator is None:
            model.set_params(estimator=Ridge())
        for part in model.get_params(deep=True).values():
            takes = hasattr(part, "set_fit_request") and signature(part.fit).parameters
            if takes and "sample_weight" in takes:
                part.set_fit_request(sample_weight=True)
        model.set_fit_request(sample_weight=True, verified_labels=True)
        pipeline = make_pipeline(MaxAbsScaler(), model)
        fit_quietly(pipeline, X, y, **metadata)
        first, second = target_answer(expected, scaled), target_answer(pipeline[-1], scaled)
        assert_same_answer(first, second, "Metadata routed")
        pipeline = make_pipeline(MaxAbsScaler(), fresh(estimator))
        assert_raises(
            UnsetMetadataPassedError,
            metadata,
            lambda: pipeline.fit(X, y, **metadata),
            "Metadata that nobody asked for",
        )


TARGET_ROUTING_CHECKS = (check_targets_routing_off, check_targets_routing_on)
REGRESSOR_CHECKS = (
    check_regressor_parts,
    check_regressor_ensembles,
    check_regressor_grid_search,
    check_regressor_texts,
)
