"""Training on weighted replicates of rows, one for each possible label."""

import dataclasses

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from skrobust.base import LabelledData
from skrobust.utils._sklearn import routing_enabled, safe_indexing
from skrobust.utils._weights import index_fit_params, weight_fit_params
from skrobust.wrappers._base import FinalFit
from skrobust.wrappers._training_set import TrainingSet

# Smaller weights are zero but for rounding.
_LEAST_WEIGHT = 1e-12
_UNKNOWN = "it is not known to support negative weights"


def _refuse_logistic(model) -> str | None:
    if isinstance(model, LogisticRegressionCV):
        return "its folds would separate the replicates of a row"
    solvers = ("lbfgs", "newton-cg", "newton-cholesky")
    if model.solver not in solvers:
        return f"its solver={model.solver!r} does not; {', '.join(solvers)} do"
    if model.class_weight is not None:
        return "with class_weight the loss is no longer convex"
    if model.penalty is None or np.isinf(model.C):
        return "without a penalty the loss may have no minimum"
    return None


def _refuse_sgd(model) -> str | None:
    if model.loss != "log_loss":
        return f"its loss={model.loss!r} is not linear in its target; 'log_loss' is"
    if model.class_weight is not None:
        return "with class_weight the loss is no longer convex"
    if model.early_stopping:
        return "early_stopping=True would separate the replicates of a row"
    return None


def _refuse_boosting(model) -> str | None:
    if model.loss != "log_loss":
        return f"its loss={model.loss!r} is not linear in its target; 'log_loss' is"
    if model.subsample != 1 or model.n_iter_no_change is not None:
        return "with subsample or n_iter_no_change it would separate the replicates of a row"
    if model.init not in (None, "zero"):
        return "its parameter init is trained with the weights, too"
    return None


# Functions that return why a model does not support negative weights, given its parameters.
_SUPPORT_NEGATIVE = {
    LogisticRegression: _refuse_logistic,
    SGDClassifier: _refuse_sgd,
    GradientBoostingClassifier: _refuse_boosting,
}


def check_takes_negative_weights(estimator) -> None:
    """Refuse a classifier, or the last step of a pipeline, that does not support negative weights.

    It must be known to minimise a weighted sum of losses whatever the signs of the weights.
    """
    last = estimator
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    reason = _UNKNOWN
    for known, refuse in _SUPPORT_NEGATIVE.items():
        if isinstance(last, known):
            reason = refuse(last)
    if reason is not None:
        raise TypeError(
            "method='backward' gives some replicated rows a negative weight, which"
            f" {type(last).__name__} cannot be trained with: {reason}. LogisticRegression,"
            " SGDClassifier(loss='log_loss') and GradientBoostingClassifier can, alone or as the"
            " last step of a Pipeline; method='importance' supports every classifier that takes"
            " weights, and method='posterior' every one that has predict_proba."
        )


def replicate(
    data: LabelledData, weight_of: np.ndarray, caller_weight: np.ndarray | None
) -> TrainingSet:
    """Replicate rows for each label, with weights of shape (n_samples, n_classes), none zero."""
    used = np.flatnonzero(data.used)
    place, codes = np.nonzero(np.abs(weight_of[used]) > _LEAST_WEIGHT)
    rows = used[place]
    weight = weight_of[rows, codes]
    weight = weight if caller_weight is None else weight * caller_weight[rows]
    return TrainingSet(rows, codes, weight)


def train_on_replicates(final: FinalFit, training: TrainingSet):
    """Train the final model on replicated rows; single ones need no weights of their own."""
    data = final.data
    used = np.flatnonzero(data.used)
    if len(training.rows) == len(used):
        weight = None if final.weight is None else training.weight
        return final.train(dataclasses.replace(training, weight=weight))
    fit_params = index_fit_params(final.fit_params, used, data.n_samples)
    return _fit_replicates(
        clone(final.estimator),
        data.X if len(used) == data.n_samples else safe_indexing(data.X, used),
        data.classes[data.y_train[used]],
        np.searchsorted(used, training.rows),
        data.classes[training.targets],
        training.weight,
        fit_params,
    )


def _fit_replicates(estimator, X, y, rows, targets, weight, fit_params):
    """Fit a classifier to replicated rows, after pipeline steps that are fitted to each row once.

    Otherwise a step that counts, such as a vectorizer that leaves out rare words, would count
    replicates.
    """
    if isinstance(estimator, Pipeline):
        before, (name, last) = estimator[:-1], estimator.steps[-1]
        first_params, last_params = _split_params(fit_params, before, name, last)
        if len(before):
            X = before.fit_transform(X, y, **first_params)
        last = _fit_replicates(last, X, y, rows, targets, weight, last_params)
        estimator.steps = [*before.steps, (name, last)]
        return estimator
    params = index_fit_params(fit_params, rows, len(y))
    params.update(weight_fit_params(estimator, weight))
    return estimator.fit(safe_indexing(X, rows), targets, **params)


def _split_params(fit_params, before, name, last) -> tuple[dict, dict]:
    """Split keywords into those of the steps before the last one and those of the last one."""
    if routing_enabled():
        known = list(fit_params)
        consumed = [
            get_routing_for_object(part).consumes(method, known) if len(part_steps) else set()
            for part, method, part_steps in (
                (before, "fit_transform", before.steps),
                (last, "fit", [last]),
            )
        ]
        return tuple({key: fit_params[key] for key in known if key in keys} for keys in consumed)
    prefix = f"{name}__"
    first = {key: value for key, value in fit_params.items() if not key.startswith(prefix)}
    own = {
        key.removeprefix(prefix): value
        for key, value in fit_params.items()
        if key.startswith(prefix)
    }
    return first, own
