"""Fits that are looked at more closely than by their probabilities, over folds or all at once.

Rows come to a model in an order that depends on their content alone, and equal rows with equal
labels come as one row of their summed weight wherever the model takes weights. So neither the
order of rows nor writing a row twice instead of giving it weight two changes the result, not even
of a learner that takes rows one by one.

Where a model is trained on the rows that it judges, a heavy row, or one that occurs often, would
get its own label learned. There each class keeps its mass, spread evenly over its distinct rows.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn.base import clone

from skrobust.evidence._copies import average_common, row_ids
from skrobust.evidence._folds import lone_class_rows
from skrobust.evidence._progress import track
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._rows import row_hashes
from skrobust.utils._sklearn import num_samples, routing_enabled, safe_indexing
from skrobust.utils._weights import index_fit_params, weight_fit_params


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRows:
    """What a model is trained on."""

    X: object
    y: np.ndarray
    weight: np.ndarray | None
    fit_params: dict
    rows: np.ndarray
    row_of: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Observed:
    """What was seen over all fits."""

    values: dict
    judged: np.ndarray
    models: list


def one_fold(
    hashes: np.ndarray, codes: np.ndarray, used: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Make the fold in which the model that judges rows is trained on them as well."""
    rows = np.flatnonzero(used)
    return [(rows, rows[~lone_class_rows(hashes[rows], codes[rows])])]


def observe(
    look: Callable,
    estimator,
    X,
    codes: np.ndarray,
    classes: np.ndarray,
    used: np.ndarray,
    folds: list,
    *,
    hashes: np.ndarray | None = None,
    given: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    fit_params: dict | None = None,
    even: bool = False,
    groups: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> Observed:
    """Fit clones fold by fold and look at their test rows, and at rows that train none of them."""
    estimators = estimator if isinstance(estimator, list) else [estimator] * len(folds)
    weight_fit_params(estimators[0], sample_weight)  # may say no, before any work
    n_samples = num_samples(X)
    given = codes if given is None else given
    weigh = sample_weight is not None or (not routing_enabled() and _takes_weights(estimators[0]))
    if hashes is None:
        hashes = row_ids(row_hashes(X), np.where(used, codes, -1), sample_weight)
    extra = np.flatnonzero(~used)

    about = (X, classes, hashes, codes, sample_weight, fit_params, weigh, even)
    calls = (
        delayed(_fit_and_look)(look, clone(model), train, np.concatenate([test, extra]), *about)
        for model, (train, test) in zip(estimators, folds, strict=True)
    )
    jobs = stream(calls, n_jobs=n_jobs)
    sums: dict = {}
    counts, unseen, models = np.zeros(n_samples), np.zeros(n_samples, dtype=bool), []
    done = track(jobs, len(folds), "folds")
    for (train, test), (model, seen) in zip(folds, done, strict=True):
        watched = np.concatenate([test, extra])
        whole = _are_all(watched, n_samples)
        for name, values in seen.items():
            if whole and name not in sums:
                sums[name] = np.array(values, dtype=np.float64)
                continue
            if name not in sums:
                sums[name] = np.zeros((n_samples, *values.shape[1:]))
            sums[name][watched] += values
        counts[watched] += 1
        # A model that never saw a class cannot judge labels of it.
        known = np.bincount(codes[train], minlength=len(classes)) > 0
        unseen[test] |= ~known[np.maximum(given[test], 0)] & (given[test] >= 0)
        models.append(model)
    for values in sums.values():
        shape = (-1,) + (1,) * (values.ndim - 1)
        np.divide(values, counts.reshape(shape), out=values, where=counts.reshape(shape) > 0)
        values[counts == 0] = np.nan
        if groups is None:
            labels = np.where(used, codes, -1)
            average_common(values, row_hashes(X), labels, sample_weight)
    return Observed(sums, (counts > 0) & ~unseen, models)


def _takes_weights(estimator) -> bool:
    try:
        weight_fit_params(estimator, np.ones(1))
    except TypeError:
        return False
    return True


def _fit_and_look(look, model, train, watched, X, *about):
    training = _training_rows(model, train, X, *about)
    whole = _are_all(watched, num_samples(X))
    return model, look(model, training, X if whole else safe_indexing(X, watched), watched)


def _are_all(rows, n_samples) -> bool:
    """Whether these are all rows, one after the other."""
    return len(rows) == n_samples and np.array_equal(rows, np.arange(n_samples))


def _training_rows(
    model, train, X, classes, hashes, codes, sample_weight, fit_params, weigh, even
) -> TrainingRows:
    """Bring the rows of a fit into the order of their content, and merge equal ones."""
    weight = None if sample_weight is None else sample_weight[train]
    row_of = np.full(len(codes), -1, dtype=np.intp)
    order = np.argsort(hashes[train])
    if (np.diff(hashes[train[order]]) == 0).any():
        order = np.lexsort((codes[train], hashes[train]))
    rows = train[order]
    weight = None if weight is None else weight[order]
    if weigh or even:
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (np.diff(hashes[rows]) > 0) | (np.diff(codes[rows]) != 0)
        entry = np.cumsum(new) - 1
        row_of[rows] = entry
        weight = np.bincount(entry, weights=weight).astype(np.float64)
        rows = rows[new]
        if even:
            mass = np.bincount(codes[rows], weights=weight) / np.maximum(
                np.bincount(codes[rows]), 1
            )
            weight = mass[codes[rows]]
    else:
        row_of[rows] = np.arange(len(rows))
    if not weigh or (weight is not None and np.ptp(weight) == 0):
        weight = None
    params = index_fit_params(fit_params or {}, rows, len(codes))
    params.update(weight_fit_params(model, weight))
    y = classes[codes[rows]]
    return TrainingRows(safe_indexing(X, rows), y, weight, params, rows, row_of)
