"""Trimming: rows left out of the training set because the classifier is too simple for them."""

import numpy as np
from sklearn.base import clone

from skrobust.base._labels import encode_labels_like
from skrobust.detection._rules import fit_rule
from skrobust.evidence._folds import make_folds
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._predictions import predict_column
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._weights import as_counts
from skrobust.wrappers._wrapper_base import fit_rows

_N_FOLDS = 3
# A classifier that fits all but so few of its training labels is not too simple for them.
_LEAST_MISFIT = 0.05
# Standard errors by which the held-out accuracy must be higher.
_LEAST_GAIN = 2.0


def trim_rows(
    model, estimator, data, cleaned, fit_params, *, needs_weight=False, n_jobs=None
) -> np.ndarray | None:
    """Find the rows that a classifier cannot fit, if training without them is better.

    Confident learning is applied to the classifier's predictions for its own training rows. They
    are trimmed if that raises the accuracy on held-out rows by two standard errors, for which
    the classifier is fitted with and without trimming in three folds.

    Parameters
    ----------
    model : classifier
        Fitted to `cleaned`.
    estimator : classifier
        The same, not fitted; cloned for each fit.
    data : LabelledData
        Rows.
    cleaned : (rows, labels, weight)
        Row numbers to train on; labels of all rows; and weights of all rows, or None.
    fit_params : dict
        Keywords of ``fit``, for all rows.
    needs_weight : bool, default=False
        Whether the estimator gets weights that it did not ask for.
    n_jobs : int, default=None
        Number of folds at a time.

    Returns
    -------
    trimmed : ndarray of shape (n_trimmed,) or None
        Row numbers to leave out; None if nothing is gained.
    """
    rows, labels, weight = cleaned
    if not hasattr(model, "predict_proba"):
        return None
    right = predict_column(model, safe_indexing(data.X, rows)) == labels[rows]
    if np.average(right, weights=None if weight is None else weight[rows]) > 1 - _LEAST_MISFIT:
        return None
    misfits = _misfits(model, data, rows, labels, weight)
    if not len(misfits):
        return None
    known = np.zeros(data.n_samples, dtype=bool)
    known[rows] = True
    codes = encode_labels_like(labels, data.classes, name="labels")
    try:
        folds = make_folds(_N_FOLDS, data.X, labels, codes, known, data.groups, data.sample_weight)
    except ValueError:  # no class has rows in two folds: there is nothing to compare
        return None
    calls = (
        delayed(_gains)(estimator, data, labels, weight, train, test, fit_params, needs_weight)
        for train, test in folds
    )
    gains = np.concatenate(list(stream(calls, n_jobs=n_jobs)))
    tested = np.concatenate([test for _, test in folds])
    counts = np.ones(data.n_samples) if weight is None else as_counts(weight, known)
    counts = counts[tested]
    gain = np.average(gains, weights=counts)
    error = np.sqrt(np.average((gains - gain) ** 2, weights=counts) / counts.sum())
    return misfits if gain > _LEAST_GAIN * error else None


def _misfits(model, data, rows, labels, weight) -> np.ndarray:
    """Find the training rows whose labels contradict the model that was fitted to them."""
    codes = encode_labels_like(labels[rows], model.classes_, name="labels")
    pred_proba = np.asarray(model.predict_proba(safe_indexing(data.X, rows)))
    weight = None if weight is None else weight[rows]
    flagged = fit_rule("prune_by_class", codes, pred_proba, weight=weight)[1]
    return rows[flagged & (data.verified[rows] < 0)]


def _gains(estimator, data, labels, weight, train, test, fit_params, needs_weight) -> np.ndarray:
    """Compare held-out labels with predictions: 1 where only trimming helps, -1 where it harms."""

    def fit(rows):
        mass = None if weight is None else weight[rows]
        return fit_rows(
            clone(estimator), data, rows, labels[rows], mass, fit_params, needs_weight=needs_weight
        )

    if len(np.unique(labels[train])) == 1:  # most classifiers refuse to be fitted to one class
        return np.zeros(len(test))
    model = fit(train)
    misfits = _misfits(model, data, train, labels, weight)
    if not len(misfits):
        return np.zeros(len(test))
    X = safe_indexing(data.X, test)
    before = predict_column(model, X) == labels[test]
    after = predict_column(fit(np.setdiff1d(train, misfits)), X) == labels[test]
    return after.astype(np.float64) - before
