"""Values recorded over folds, by models that are fitted to rows in the order of their content."""

import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn.base import clone

from skrobust.evidence._folds import average_frequent, row_ids
from skrobust.utils._input import row_hashes
from skrobust.utils._parallel import delayed, stream, track
from skrobust.utils._sklearn import num_samples, routing_enabled, safe_indexing
from skrobust.utils._weights import index_fit_params, takes_weight, weight_fit_params


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training rows in the order of their content, equal rows with equal labels merged."""

    X: object
    y: np.ndarray
    weight: np.ndarray | None  # None if all are the same
    fit_params: dict  # keywords for ``fit``, the weights among them
    rows: np.ndarray  # (n_rows,) position among all rows; the first of several equal ones
    row_of: np.ndarray  # (n_samples,) position of each row among these; -1 for none


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """Values recorded over all fits, as means over the fits that recorded a row."""

    values: dict
    mask: np.ndarray  # rows that were recorded by a fit that knew their given class
    models: list


def record_folds(
    record: Callable,
    estimators: list,
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
) -> Recorded:
    """Fit clones, one per fold, to rows in the order of their content, and record test rows.

    Neither the order of rows nor repeating a row instead of giving it weight two changes the
    result, not even of a learner that takes rows one by one. `record(model, training, X_rows,
    rows)` fits `model` to :class:`TrainingRows` and returns a dict of arrays about `rows`: the test
    rows and those in no training. With `even`, the weight of a class is spread evenly over its
    distinct rows, as is needed where a model is recorded on the rows that it trains on.
    """
    weight_fit_params(estimators[0], sample_weight)  # raises before any work
    n_samples = num_samples(X)
    given = codes if given is None else given
    merge = sample_weight is not None or (not routing_enabled() and takes_weight(estimators[0]))
    if hashes is None:
        hashes = row_ids(row_hashes(X), np.where(used, codes, -1), sample_weight)
    extra = np.flatnonzero(~used)

    about = (X, classes, hashes, codes, sample_weight, fit_params, merge, even)
    fit = delayed(_fit_and_record)
    calls = (
        fit(record, clone(model), train, np.concatenate([test, extra]), *about)
        for model, (train, test) in zip(estimators, folds, strict=True)
    )
    jobs = stream(calls, n_jobs=n_jobs)
    sums: dict = {}
    counts, unseen, models = np.zeros(n_samples), np.zeros(n_samples, dtype=bool), []
    done = track(jobs, len(folds), "folds")
    for (train, test), (model, recorded) in zip(folds, done, strict=True):
        rows = np.concatenate([test, extra])
        whole = _are_all(rows, n_samples)
        for name, values in recorded.items():
            if whole and name not in sums:
                sums[name] = np.array(values, dtype=np.float64)
                continue
            if name not in sums:
                sums[name] = np.zeros((n_samples, *values.shape[1:]))
            sums[name][rows] += values
        counts[rows] += 1
        # A model that never saw a class cannot score labels of it.
        known = np.bincount(codes[train], minlength=len(classes)) > 0
        unseen[test] |= ~known[np.maximum(given[test], 0)] & (given[test] >= 0)
        models.append(model)
    for values in sums.values():
        shape = (-1,) + (1,) * (values.ndim - 1)
        np.divide(values, counts.reshape(shape), out=values, where=counts.reshape(shape) > 0)
        values[counts == 0] = np.nan
        if groups is None:
            labels = np.where(used, codes, -1)
            average_frequent(values, row_hashes(X), labels, sample_weight)
    return Recorded(sums, (counts > 0) & ~unseen, models)


def _fit_and_record(record, model, train, rows, X, *about):
    """Fit one model and record rows."""
    training = _training_rows(model, train, X, *about)
    whole = _are_all(rows, num_samples(X))
    return model, record(model, training, X if whole else safe_indexing(X, rows), rows)


def _are_all(rows, n_samples) -> bool:
    """Whether these are all rows, one after the other."""
    return len(rows) == n_samples and np.array_equal(rows, np.arange(n_samples))


def _training_rows(
    model, train, X, classes, hashes, codes, sample_weight, fit_params, merge, even
) -> TrainingRows:
    """Order the rows of a fit by their content, and merge equal ones."""
    weight = None if sample_weight is None else sample_weight[train]
    row_of = np.full(len(codes), -1, dtype=np.intp)
    order = np.argsort(hashes[train])
    if (np.diff(hashes[train[order]]) == 0).any():
        order = np.lexsort((codes[train], hashes[train]))
    rows = train[order]
    weight = None if weight is None else weight[order]
    if merge or even:
        new = np.ones(len(rows), dtype=bool)
        new[1:] = (np.diff(hashes[rows]) > 0) | (np.diff(codes[rows]) != 0)
        entry = np.cumsum(new) - 1
        row_of[rows] = entry
        weight = np.bincount(entry, weights=weight).astype(np.float64)
        rows = rows[new]
        if even:
            n_rows = np.maximum(np.bincount(codes[rows]), 1)
            weight = (np.bincount(codes[rows], weights=weight) / n_rows)[codes[rows]]
    else:
        row_of[rows] = np.arange(len(rows))
    if not merge or (weight is not None and np.ptp(weight) == 0):
        weight = None
    params = index_fit_params(fit_params or {}, rows, len(codes))
    params.update(weight_fit_params(model, weight))
    y = classes[codes[rows]]
    return TrainingRows(safe_indexing(X, rows), y, weight, params, rows, row_of)
