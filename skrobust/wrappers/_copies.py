"""Training on copies of rows: one for each label that a row may stand for, each with a weight.

Some corrections need weights below zero, which few models take for what they are.
"""

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from skrobust.utils._sklearn import routing_enabled, safe_indexing
from skrobust.utils._weights import index_fit_params, weight_fit_params

# Weights that are left by rounding where there should be none.
_LEAST_WEIGHT = 1e-12
_NO = "it minds the sign of weights"


def _refuse_logistic(model) -> str | None:
    if isinstance(model, LogisticRegressionCV):
        return "its folds would part the copies of a row"
    solvers = ("lbfgs", "newton-cg", "newton-cholesky")
    if model.solver not in solvers:
        return f"its solver={model.solver!r} does not; {', '.join(solvers)} do"
    if model.class_weight is not None:
        return "with class_weight the loss is not convex any more"
    if model.penalty is None or np.isinf(model.C):
        return "without a penalty the loss may have no minimum"
    return None


def _refuse_sgd(model) -> str | None:
    if model.loss != "log_loss":
        return f"its loss={model.loss!r} is not linear in its target; 'log_loss' is"
    if model.class_weight is not None:
        return "with class_weight the loss is not convex any more"
    if model.early_stopping:
        return "early_stopping=True would part the copies of a row"
    return None


def _refuse_boosting(model) -> str | None:
    if model.loss != "log_loss":
        return f"its loss={model.loss!r} is not linear in its target; 'log_loss' is"
    if model.subsample != 1 or model.n_iter_no_change is not None:
        return "with subsample or n_iter_no_change it would part the copies of a row"
    if model.init not in (None, "zero"):
        return "its parameter init is trained with the weights as well"
    return None


# What each model says against negative weights, given its parameters.
_TAKE_NEGATIVE = {
    LogisticRegression: _refuse_logistic,
    SGDClassifier: _refuse_sgd,
    GradientBoostingClassifier: _refuse_boosting,
}


def check_takes_negative_weights(estimator) -> None:
    """Refuse a classifier that does not take negative weights for what they are.

    Parameters
    ----------
    estimator : classifier
        Not fitted. Of a pipeline, the last step is looked at.

    Raises
    ------
    TypeError
        If the classifier is not known to minimise a weighted sum of losses whatever their signs.
    """
    last = estimator
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    reason = _NO
    for known, refuse in _TAKE_NEGATIVE.items():
        if isinstance(last, known):
            reason = refuse(last)
    if reason is not None:
        raise TypeError(
            "method='backward' gives some copies of rows a negative weight, which"
            f" {type(last).__name__} cannot be trained with: {reason}. LogisticRegression,"
            " SGDClassifier(loss='log_loss') and GradientBoostingClassifier can, alone or as the"
            " last step of a Pipeline; method='importance' goes with every classifier that takes"
            " weights, and method='posterior' with every one that has predict_proba."
        )


def expand_rows(data, weight_of, prior) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make copies of the rows that may be trained on.

    Parameters
    ----------
    data : LabelledData
        Rows.
    weight_of : ndarray of shape (n_samples, n_classes)
        Weight of the copy of each row with each label, without the weight of the row itself.
    prior : ndarray of shape (n_samples,) or None
        Weights of the rows.

    Returns
    -------
    rows : ndarray of shape (n_copies,)
        Row numbers, rising; there are no copies of weight zero.
    codes : ndarray of shape (n_copies,)
        Labels.
    weight : ndarray of shape (n_copies,)
        Weights, those of the rows included.
    """
    used = np.flatnonzero(data.used)
    place, codes = np.nonzero(np.abs(weight_of[used]) > _LEAST_WEIGHT)
    rows = used[place]
    weight = weight_of[rows, codes]
    return rows, codes, weight if prior is None else weight * prior[rows]


def fit_copies(estimator, X, y, rows, targets, weight, fit_params):
    """Fit a classifier to copies of rows.

    Steps of a pipeline before the last one see each row once: otherwise a step that counts, such
    as a vectorizer that leaves out rare words, would count copies.

    Parameters
    ----------
    estimator : classifier
        Fitted in place.
    X : array-like of length n_rows
        Rows.
    y : ndarray of shape (n_rows,)
        Labels of the rows, for steps before the last one.
    rows : ndarray of shape (n_copies,)
        Row of each copy.
    targets : ndarray of shape (n_copies,)
        Label of each copy.
    weight : ndarray of shape (n_copies,)
        Weight of each copy.
    fit_params : dict
        More keywords for ``fit``, for all rows.

    Returns
    -------
    estimator : classifier
        The same, fitted.
    """
    if isinstance(estimator, Pipeline):
        before, (name, last) = estimator[:-1], estimator.steps[-1]
        first_params, last_params = _split_params(fit_params, before, name, last)
        if len(before):
            X = before.fit_transform(X, y, **first_params)
        last = fit_copies(last, X, y, rows, targets, weight, last_params)
        estimator.steps = [*before.steps, (name, last)]
        return estimator
    params = index_fit_params(fit_params, rows, len(y))
    params.update(weight_fit_params(estimator, weight))
    return estimator.fit(safe_indexing(X, rows), targets, **params)


def _split_params(fit_params, before, name, last) -> tuple[dict, dict]:
    """Tell which keywords are for the steps before the last one, and which for that."""
    if routing_enabled():
        known = list(fit_params)
        asked = [
            get_routing_for_object(part).consumes(method, known) if len(part_steps) else set()
            for part, method, part_steps in (
                (before, "fit_transform", before.steps),
                (last, "fit", [last]),
            )
        ]
        return tuple({key: fit_params[key] for key in known if key in keys} for keys in asked)
    prefix = f"{name}__"
    first = {key: value for key, value in fit_params.items() if not key.startswith(prefix)}
    own = {
        key.removeprefix(prefix): value
        for key, value in fit_params.items()
        if key.startswith(prefix)
    }
    return first, own
