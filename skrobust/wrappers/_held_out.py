"""Whether cleaning helps: which way to train foretells the given labels of held-out rows?"""

import numpy as np
from sklearn.base import clone

from skrobust.evidence._folds import make_folds
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._predictions import predict_column
from skrobust.utils._sklearn import safe_indexing
from skrobust.wrappers._wrapper_base import fit_rows

_N_FOLDS = 3


def held_out_hits(
    estimator, data, ways, fit_params, *, target=None, needs_weight=False, n_jobs=None
):
    """Compute how many labels of held-out rows are foretold, for several ways to train.

    Wrong labels are held out as well, so that all shares are low where many are wrong. Which way
    is better shows all the same, as long as most labels of each class are right and errors do
    not follow what a model would predict.

    Parameters
    ----------
    estimator : classifier
        Cloned for each fit.
    data : LabelledData
        Rows.
    ways : list of (rows, labels, weight)
        Row numbers to train on; labels of all rows; and weights of all rows, or None.
    fit_params : dict
        Keywords of ``fit``, for all rows.
    target : (labels, weight), default=None
        What should be foretold, and how much each row counts. None is the given labels, or the
        verified ones.
    needs_weight : bool, default=False
        Whether the estimator gets weights that it did not ask for.
    n_jobs : int, default=None
        Number of fits at a time.

    Returns
    -------
    shares : ndarray of shape (n_ways,)
        Weighted share of held-out rows whose label is predicted.
    """
    labels = data.classes[data.y_train]
    codes = data.y_train
    known = data.used, data.groups, data.sample_weight
    folds = make_folds(_N_FOLDS, data.X, labels, codes, *known)
    calls = (
        delayed(_predict)(estimator, data, way, train, test, fit_params, needs_weight)
        for way in ways
        for train, test in folds
    )
    hits = list(stream(calls, n_jobs=n_jobs))
    mass = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    truth = labels
    if target is not None:
        truth, mass = target[0], mass * target[1]
    mass = np.concatenate([mass[test] for _, test in folds])
    truth = np.concatenate([truth[test] for _, test in folds])
    shares = []
    for i in range(len(ways)):
        predicted = np.concatenate(hits[i * len(folds) : (i + 1) * len(folds)])
        shares.append(np.average(predicted == truth, weights=mass))
    return np.array(shares)


def _predict(estimator, data, way, train, test, fit_params, needs_weight) -> np.ndarray:
    """Train one way on the training rows, and predict the others."""
    rows, labels, weight = way
    rows = rows[np.isin(rows, train)]
    present = np.unique(labels[rows])
    if len(present) == 1:  # most classifiers refuse to be fitted to one class
        return np.repeat(present, len(test))
    if len(present) == 0:
        return np.full(len(test), None, dtype=object)  # nothing is learned from nothing
    model = fit_rows(
        clone(estimator),
        data,
        rows,
        labels[rows],
        None if weight is None else weight[rows],
        fit_params,
        needs_weight=needs_weight,
    )
    return np.asarray(predict_column(model, safe_indexing(data.X, test)))
