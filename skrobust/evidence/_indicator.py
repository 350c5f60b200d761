"""How likely has a row each of several labels, by models that have not seen the row?"""

import dataclasses

import numpy as np
from sklearn.base import clone
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import get_tags

from skrobust.evidence._out_of_bag import gather_out_of_bag
from skrobust.evidence._out_of_fold import gather_out_of_fold, predict_columns
from skrobust.evidence._progress import track
from skrobust.evidence._values import make_value_folds
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._sklearn import num_samples, safe_indexing
from skrobust.utils._weights import index_fit_params, weight_fit_params

_BOTH = np.array([0, 1])


@dataclasses.dataclass(frozen=True, eq=False)
class IndicatorEvidence:
    """Probabilities of labels, and the models that gave them."""

    pred_proba: np.ndarray
    estimators: list


def predicts_all_labels(estimator) -> bool:
    """Whether an estimator was made for an indicator matrix, rather than for one label."""
    return isinstance(estimator, OneVsRestClassifier) or not (
        get_tags(estimator).target_tags.single_output
    )


def gather_per_label(
    estimator, data, *, out_of_bag: bool, cv, sample_weight, fit_params, n_jobs, random_state
) -> IndicatorEvidence:
    """Fit models of one label at a time."""
    proba = np.full(data.y.shape, np.nan)
    estimators = []
    for k in range(data.y.shape[1]):
        best, used = data.y_train[:, k], data.used[:, k]
        counts = np.bincount(best[used], minlength=2)
        if counts.min() == 0 or counts.max() < 2:
            estimators.append([])
            continue
        common = (estimator, data.X, best, _BOTH, used)
        if out_of_bag:
            evidence = gather_out_of_bag(
                *common, sample_weight=sample_weight, n_jobs=n_jobs, random_state=random_state
            )
        else:
            evidence = gather_out_of_fold(
                *common,
                cv=cv,
                sample_weight=sample_weight,
                groups=data.groups,
                fit_params=fit_params,
                n_jobs=n_jobs,
            )
        proba[:, k] = evidence.pred_proba[:, 1]
        estimators.append(evidence.estimators)
    return IndicatorEvidence(proba, estimators)


def gather_all_labels(
    estimator, data, *, cv, sample_weight, fit_params, n_jobs
) -> IndicatorEvidence:
    """Fit models of all labels at once, on the rows of which every entry is known."""
    weight_fit_params(estimator, sample_weight)  # may say no, before any work
    used = data.used.all(axis=1)
    if not used.any():
        raise ValueError(
            f"{type(estimator).__name__} learns all labels at once, but no row has all its entries:"
            " use strategy='one_vs_rest'."
        )
    folds = make_value_folds(
        cv, data.X, data.y_train, used, data.groups, sample_weight=data.sample_weight
    )
    extra = np.flatnonzero(~used)
    calls = (
        delayed(_fit_and_predict)(
            clone(estimator), data.X, data.y_train, train, test, extra, sample_weight, fit_params
        )
        for train, test in folds
    )
    jobs = stream(calls, n_jobs=n_jobs)
    sums, counts = np.zeros(data.y.shape), np.zeros(data.y.shape)
    estimators = []
    for (train, test), (fitted, proba) in zip(folds, track(jobs, len(folds), "folds"), strict=True):
        rows = np.concatenate([test, extra])
        # A model that never saw a label given, or never saw it withheld, cannot judge it.
        seen = np.ptp(data.y_train[train], axis=0) > 0
        sums[rows] += np.where(seen, proba, 0)
        counts[rows] += seen
        estimators.append(fitted)
    return IndicatorEvidence(
        np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0), estimators
    )


def _fit_and_predict(estimator, X, y, train, test, extra, sample_weight, fit_params):
    params = index_fit_params(fit_params or {}, train, len(y))
    if sample_weight is not None:
        params.update(weight_fit_params(estimator, sample_weight[train]))
    estimator.fit(safe_indexing(X, train), y[train], **params)
    rows = np.concatenate([test, extra])
    return estimator, predict_all_labels(estimator, safe_indexing(X, rows), y.shape[1])


def predict_all_labels(estimator, X, n_labels: int) -> np.ndarray:
    """Predict the probabilities of all labels, whatever form the model gives them."""
    given = estimator.predict_proba(X)
    name = type(estimator).__name__
    if isinstance(given, list):
        if len(given) != n_labels:
            raise ValueError(
                f"{name}.predict_proba returned {len(given)} arrays for {n_labels} labels."
            )
        columns = []
        for one, classes in zip(given, estimator.classes_, strict=True):
            place = np.flatnonzero(np.asarray(classes) == 1)
            columns.append(one[:, place[0]] if len(place) else np.zeros(len(one)))
        proba = np.column_stack(columns)
    else:
        proba = np.asarray(given, dtype=np.float64)
    if proba.shape != (num_samples(X), n_labels):
        raise ValueError(
            f"{name}.predict_proba returned shape {proba.shape} for {n_labels} labels."
        )
    if not (np.isfinite(proba).all() and proba.min(initial=0) >= 0 and proba.max(initial=0) <= 1):
        raise ValueError(f"{name}.predict_proba returned entries that are no probabilities.")
    return proba


def predict_indicators(estimators: list, X, n_labels: int) -> np.ndarray:
    """Predict new rows by the mean of the models of :class:`IndicatorEvidence`."""
    if not isinstance(estimators[0], list):
        return sum(predict_all_labels(model, X, n_labels) for model in estimators) / len(estimators)
    proba = np.full((num_samples(X), n_labels), np.nan)
    for k, models in enumerate(estimators):
        if models:
            proba[:, k] = sum(predict_columns(m, X, _BOTH)[:, 1] for m in models) / len(models)
    return proba
