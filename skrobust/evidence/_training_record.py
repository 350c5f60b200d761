"""Predictions recorded while a model trains: after each of its stages, passes or epochs."""

import functools
import itertools
import numbers
from collections.abc import Callable

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import has_fit_parameter

from skrobust.evidence._staged import (
    ADVICE,
    has_stages,
    innermost,
    softmax_rows,
    staged_proba,
    with_complement,
)
from skrobust.utils._input import as_numbers
from skrobust.utils._random import draw_seed

DEFAULT_PASSES = 20
# Recording costs about a tenth of a pass of a linear learner, and late passes change little.
_SPACING = 1.5


def check_has_stages(estimator) -> None:
    """Refuse a model that neither keeps its stages nor can be trained pass by pass."""
    inner = innermost(estimator)
    if has_stages(estimator) or _has_own_record(inner):
        return
    name = type(inner).__name__
    searched = estimator is not inner and not isinstance(estimator, Pipeline)
    if not hasattr(inner, "partial_fit") or searched:
        raise TypeError(f"estimator: {name} keeps no stages of its training. {ADVICE}")
    if not hasattr(inner, "predict_proba"):
        raise TypeError(
            f"estimator: {name} can be trained pass by pass but has no predict_proba (an"
            f" SGDClassifier has one with loss='log_loss'). {ADVICE}"
        )


def is_stochastic(estimator) -> bool:
    """Whether a model is trained pass by pass in an order that is drawn at random."""
    inner = innermost(estimator)
    return not has_stages(estimator) and hasattr(inner, "random_state")


def _has_own_record(estimator) -> bool:
    own = record_training.dispatch(type(estimator))
    return own not in (record_training.dispatch(object), record_training.dispatch(BaseEstimator))


@functools.singledispatch
def record_training(
    estimator,
    X,
    y: np.ndarray,
    recorder,
    *,
    weight: np.ndarray | None = None,
    fit_params: dict | None = None,
    n_stages: int | None = None,
):
    """Train a model in place and record the predictions of each stage."""
    # A class that trains in epochs registers a function with this signature. It trains `estimator`
    # once, and either calls ``recorder.add(pred_proba, classes)`` with predictions for the rows
    # ``recorder.X`` after each epoch; or, if ``recorder.in_sample``, passes what it recorded about
    # its training rows to ``recorder.take(statistics)``, which costs no prediction.
    if not has_stages(estimator):
        _record_passes(estimator, X, y, recorder, weight, n_stages)
        return
    estimator.fit(X, y, **(fit_params or {}))
    if recorder.wants_norms:
        last_layer_norms(innermost(estimator), recorder.X)  # raises if there is none
    for proba in itertools.islice(staged_proba(estimator, recorder.X), n_stages):
        recorder.add(proba, estimator.classes_)


@record_training.register(Pipeline)
def _record_pipeline(estimator, X, y, recorder, *, weight=None, fit_params=None, n_stages=None):
    last = estimator.steps[-1][1]
    if has_stages(estimator) and not _has_own_record(innermost(estimator)):
        default = record_training.dispatch(object)
        default(estimator, X, y, recorder, weight=weight, fit_params=fit_params, n_stages=n_stages)
        return
    # The transformers are fitted once, however many passes follow.
    name = f"{estimator.steps[-1][0]}__"
    params = fit_params or {}
    if len(estimator) > 1:
        before = estimator[:-1]
        given = {k: v for k, v in params.items() if "__" in k and not k.startswith(name)}
        X = before.fit_transform(X, y, **given)
        recorder = recorder.with_X(before.transform(recorder.X))
    own = {k.removeprefix(name): v for k, v in params.items() if k.startswith(name)}
    if weight is not None and "sample_weight" not in own:
        own["sample_weight"] = weight
    record_training(last, X, y, recorder, weight=weight, fit_params=own, n_stages=n_stages)


def recorded_passes(n_passes: int) -> list[int]:
    """Passes after which predictions are recorded: the first ones, then ever fewer."""
    chosen, following = [], 1.0
    for number in range(1, n_passes + 1):
        if number >= following:
            chosen.append(number)
            following = max(number + 1, number * _SPACING)
    return chosen


def _record_passes(estimator, X, y, recorder, weight, n_passes) -> None:
    """Train pass by pass, and record after some of the passes."""
    classes = np.unique(y)
    n_passes = DEFAULT_PASSES if n_passes is None else n_passes
    chosen = set(recorded_passes(n_passes))
    predict = _choose_prediction(estimator, recorder.X)
    params = {}
    if weight is not None and has_fit_parameter_of(estimator, "partial_fit", "sample_weight"):
        params["sample_weight"] = weight
    seed = getattr(estimator, "random_state", None)
    seeds = check_random_state(seed) if isinstance(seed, numbers.Integral) else None
    for number in range(1, n_passes + 1):
        if seeds is not None:
            # With the same seed, some learners visit the rows in the same order each time.
            estimator.set_params(random_state=draw_seed(seeds))
        first = {"classes": classes} if number == 1 else {}
        estimator.partial_fit(X, y, **first, **params)
        if number in chosen:
            proba, norms = predict(estimator, recorder.X, recorder.wants_norms)
            recorder.add(proba, estimator.classes_, norms=norms)
    if seeds is not None:
        estimator.set_params(random_state=seed)


def has_fit_parameter_of(estimator, method: str, parameter: str) -> bool:
    """Whether a method other than ``fit`` takes a parameter."""

    class _AsFit:
        fit = getattr(estimator, method)

    return has_fit_parameter(_AsFit, parameter)


@functools.singledispatch
def last_layer_norms(fitted, X) -> np.ndarray:
    """Length of the input of the last, linear layer of a model, with its bias."""
    raise TypeError(
        f"statistic='grand' is the length of a gradient: it needs a model whose last layer is"
        f" linear, such as SGDClassifier(loss='log_loss') or MLPClassifier, and"
        f" {type(fitted).__name__} has none. Choose statistic='el2n' instead."
    )


@last_layer_norms.register(SGDClassifier)
def _linear_norms(fitted, X):
    X = as_numbers(X, np.float64)
    squares = X.multiply(X) if hasattr(X, "multiply") else X**2
    return np.sqrt(np.asarray(squares.sum(axis=1)).ravel() + 1)


# Activation functions, in place.
_ACTIVATIONS = {
    "identity": lambda x: x,
    "logistic": lambda x: expit(x, out=x),
    "tanh": lambda x: np.tanh(x, out=x),
    "relu": lambda x: np.maximum(x, 0, out=x),
}


@last_layer_norms.register(MLPClassifier)
def _hidden_norms(fitted, X):
    return _linear_norms(fitted, _hidden(fitted, as_numbers(X, np.float64)))


def _hidden(network, X) -> np.ndarray:
    """Input of the last layer of a network."""
    activate = _ACTIVATIONS[network.activation]
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        X = X @ weights
        X += bias
        X = activate(X)
    return X


def _choose_prediction(estimator, X):
    """Choose the function that predicts the same rows after each pass."""
    # Products of matrices are computed block by block, from documented attributes: a whole array at
    # once leaves the cache, is validated each time, and wakes the threads of the linear algebra.
    # In single precision the order of sums decides which scores are large enough to be equal.
    plain = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype == np.float64
    if plain and np.isfinite(X.sum()):  # otherwise the learner raises
        # A subclass may predict in another way.
        if type(estimator) is SGDClassifier and estimator.loss == "log_loss":
            return _predict_linear
        if type(estimator) is MLPClassifier:
            return _predict_network
    return _predict_any


def _predict_any(fitted, X, wants_norms):
    norms = last_layer_norms(fitted, X) if wants_norms else None
    return fitted.predict_proba(X), norms


def _predict_linear(fitted, X, wants_norms):
    layers = [fitted.coef_.T]
    scores, norms = _last_scores(lambda X: X, layers, fitted.intercept_, X, wants_norms)
    expit(scores, out=scores)
    if len(scores) == 1:
        return with_complement(scores), norms
    total = scores.sum(axis=0)
    scores[:, total == 0] = 1.0
    scores /= np.where(total == 0, len(scores), total)
    return scores.T, norms


def _predict_network(fitted, X, wants_norms):
    hidden = functools.partial(_hidden, fitted)
    scores, norms = _last_scores(hidden, fitted.coefs_, fitted.intercepts_[-1], X, wants_norms)
    return softmax_rows(scores), norms


# OpenBLAS does not divide a product of fewer multiplications among threads.
_SMALL_PRODUCT = 1 << 18
# Rows in a batch of a network, whose own training uses threads as well then.
_BATCH = 200


def _last_scores(
    hidden: Callable, layers: list, bias: np.ndarray, X: np.ndarray, wants_norms: bool
):
    """Scores of the last layer, and the length of its input."""
    scores = np.empty((layers[-1].shape[1], len(X)))
    norms = np.empty(len(X)) if wants_norms else None
    last = np.ascontiguousarray(layers[-1])
    length = max(_BATCH, _SMALL_PRODUCT // max(layer.size for layer in layers))
    for start in range(0, len(X), length):
        rows = slice(start, start + length)
        inner = hidden(X[rows])
        if len(scores) == 1:  # OpenBLAS divides these among threads much earlier
            scores[0, rows] = np.einsum("ij,j->i", inner, last[:, 0])
        else:
            scores[:, rows] = (inner @ last).T
        if wants_norms:
            norms[rows] = np.sqrt(np.einsum("ij,ij->i", inner, inner) + 1)
    scores += bias[:, None]
    return scores, norms
