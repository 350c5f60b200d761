"""Class probabilities of fitted models after each stage of their training."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skrobust.utils._input import as_numbers
from skrobust.utils._parallel import row_blocks
from skrobust.utils._sklearn import num_samples, safe_indexing

ADVICE = (
    "There are stages of gradient boosting, histogram boosting, AdaBoost, bagging and forests, of"
    " a Pipeline or a grid search around them, and, while they train, of classifiers with"
    " partial_fit and predict_proba, such as SGDClassifier(loss='log_loss') and MLPClassifier."
    " To add a class, write a generator f(fitted, X) of its probabilities and register it with"
    " skrobust.evidence.staged_proba.register(TheClass, f)."
)


@functools.singledispatch
def staged_proba(fitted: BaseEstimator, X: Any) -> Iterator[np.ndarray]:
    """Yield the class probabilities that a fitted model predicts after each of its stages.

    A stage is an iteration of boosting, or a member of a bag of models, of which the running
    mean is yielded. This is one table by class, to which others can be added.

    .. versionadded:: 0.1

    Parameters
    ----------
    fitted : fitted classifier
        Gradient boosting, histogram boosting, AdaBoost, bagging, a forest, or a Pipeline or grid
        search around one of them. Bags and forests take the keyword `out_of_bag` as well: with
        True, and their own training rows as `X`, the running mean of a row is over the members
        that did not draw it, NaN until there is one.
    X : array-like of length n_samples
        Rows to predict.

    Yields
    ------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities after one more stage; columns are ``fitted.classes_``.

    Raises
    ------
    TypeError
        If models of this class keep no stages.

    See Also
    --------
    skrobust.detection.TrainingDynamics : Detects errors by what stages have in common.

    Notes
    -----
    Another class is added by ``staged_proba.register(TheClass, function)``, where the function
    takes a fitted model and X and yields such arrays. :class:`~skrobust.detection.TrainingDynamics`
    works with that class from then on.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import GradientBoostingClassifier
    >>> from skrobust.evidence import staged_proba
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GradientBoostingClassifier(n_estimators=3).fit(X, y)
    >>> [round(float(proba[0, 0]), 2) for proba in staged_proba(model, X)]
    [0.4, 0.47, 0.53]
    """
    raise TypeError(f"{type(fitted).__name__} keeps no stages of its training. {ADVICE}")


@staged_proba.register(GradientBoostingClassifier)
@staged_proba.register(AdaBoostClassifier)
def _boosting(fitted, X):
    check_is_fitted(fitted)
    yield from fitted.staged_predict_proba(X)


@staged_proba.register(HistGradientBoostingClassifier)
def _histogram_boosting(fitted, X):
    if type(fitted) is not HistGradientBoostingClassifier:  # it may predict in another way
        yield from _boosting(fitted, X)
        return
    check_is_fitted(fitted)
    for scores in fitted.staged_decision_function(X):
        yield softmax_rows(np.array(np.atleast_2d(scores.T), order="C"))


def softmax_rows(scores: np.ndarray) -> np.ndarray:
    """Probabilities from scores with a row for each class, or one for the second of two."""
    # With rows along the last axis, sums and maxima over few classes are fast. Overwrites scores.
    if len(scores) == 1:
        return with_complement(expit(scores, out=scores))

    for rows in row_blocks(scores.shape[1], 2 * 8 * len(scores)):
        block = scores[:, rows]
        block -= block.max(axis=0)
        np.exp(block, out=block)
        block /= block.sum(axis=0)
    return scores.T


def with_complement(proba) -> np.ndarray:
    """Probabilities of two classes from those of the second, of shape (1, n_samples)."""
    return np.concatenate([1 - proba, proba]).T


@staged_proba.register(ExtraTreesClassifier)
@staged_proba.register(RandomForestClassifier)
def _forest(fitted, X, *, out_of_bag=False):
    check_is_fitted(fitted)
    if fitted.n_outputs_ > 1:
        raise TypeError("Forests with several outputs have no probabilities of one label.")
    X = as_numbers(X, np.float32)
    drawn = _drawn_rows(fitted, X.shape[0]) if out_of_bag else None
    trees = (functools.partial(tree.predict_proba, check_input=False) for tree in fitted)
    yield from _running_mean(trees, X, len(fitted.classes_), drawn)


@staged_proba.register(BaggingClassifier)
def _bag(fitted, X, *, out_of_bag=False):
    check_is_fitted(fitted)
    drawn = _drawn_rows(fitted, num_samples(X)) if out_of_bag else None
    members = (
        functools.partial(_member_proba, member, columns, len(fitted.classes_))
        for member, columns in zip(fitted.estimators_, fitted.estimators_features_, strict=True)
    )
    yield from _running_mean(members, X, len(fitted.classes_), drawn)


def _member_proba(member, columns, n_classes, X) -> np.ndarray:
    """Probabilities by one member of a bag, which may not know all classes."""
    if len(columns) != np.shape(X)[1] or (np.diff(columns) != 1).any():
        X = X[:, columns] if hasattr(X, "tocsr") else np.asarray(X)[:, columns]
    proba = np.zeros((num_samples(X), n_classes))
    known = np.asarray(member.classes_).astype(np.intp)
    if hasattr(member, "predict_proba"):
        proba[:, known] = member.predict_proba(X)
    else:
        proba[np.arange(len(proba)), member.predict(X).astype(np.intp)] = 1
    return proba


def _drawn_rows(fitted, n_samples):
    if not fitted.bootstrap:
        raise ValueError(f"out_of_bag=True needs a {type(fitted).__name__}(bootstrap=True).")
    drawn = fitted.estimators_samples_
    if max(rows.max(initial=0) for rows in drawn) >= n_samples:
        raise ValueError(
            f"out_of_bag=True is about the rows that the {type(fitted).__name__} was fitted to, of"
            f" which there are more than the {n_samples} in X."
        )
    return drawn


def _running_mean(members, X, n_classes, drawn):
    sums, counts = np.zeros((num_samples(X), n_classes)), np.zeros(num_samples(X), dtype=np.intp)
    for i, predict in enumerate(members):
        if drawn is None:
            sums += predict(X)
            yield sums / (i + 1)
            continue
        out = np.ones(len(counts), dtype=bool)
        out[drawn[i]] = False
        if out.any():
            sums[out] += predict(safe_indexing(X, np.flatnonzero(out)))
            counts[out] += 1
        mean = np.full_like(sums, np.nan)
        yield np.divide(sums, counts[:, None], out=mean, where=counts[:, None] > 0)


@staged_proba.register(Pipeline)
def _pipeline(fitted, X, **options):
    X = fitted[:-1].transform(X) if len(fitted) > 1 else X
    yield from staged_proba(fitted[-1], X, **options)


@staged_proba.register(GridSearchCV)
@staged_proba.register(RandomizedSearchCV)
def _search(fitted, X, **options):
    check_is_fitted(fitted)
    yield from staged_proba(fitted.best_estimator_, X, **options)


def has_stages(estimator) -> bool:
    """Whether there are stages of a class of models."""
    inner = innermost(estimator)
    return staged_proba.dispatch(type(inner)) is not staged_proba.dispatch(object)


def innermost(estimator):
    """Model at the end of pipelines and inside searches."""
    while isinstance(estimator, (Pipeline, GridSearchCV, RandomizedSearchCV)):
        last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator.estimator
        estimator = last
    return estimator
