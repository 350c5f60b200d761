"""What does a model say about rows that it has not seen? Out-of-fold probabilities."""

import numpy as np
from sklearn.base import clone
from sklearn.utils import indexable

from skrobust.base._labelled_data import check_groups, check_two_classes
from skrobust.base._labels import encode_labels, encode_labels_like
from skrobust.evidence._copies import average_common
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._folds import make_folds
from skrobust.evidence._progress import track
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._rows import row_hashes
from skrobust.utils._sklearn import check_sample_weight, num_samples, safe_indexing
from skrobust.utils._weights import index_fit_params, weight_fit_params


def out_of_fold_proba(
    estimator,
    X,
    y,
    *,
    cv=5,
    sample_weight=None,
    groups=None,
    fit_params=None,
    n_jobs=None,
    random_state=None,
) -> np.ndarray:
    """Predict class probabilities of each row by a model that was fitted without it.

    Differs from :func:`sklearn.model_selection.cross_val_predict` in that equal rows share a
    fold, folds become fewer without a warning where a class is small, classes may be absent from
    a fold, missing labels are allowed, and weights reach every fit.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : estimator object
        Classifier with ``predict_proba``; cloned for each fold.
    X : array-like of length n_samples
        Input, handed to `estimator` as it is: arrays, sparse matrices, DataFrames, lists of
        texts.
    y : array-like of shape (n_samples,)
        Given labels. Rows whose label is missing are not fitted on; they get the mean prediction
        of the fold models.
    cv : int, splitter or iterable of (train, test), default=5
        How to split. For a number, folds are stratified and not shuffled.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights for every fit. Rows of weight zero are not fitted on.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group share a fold, or groups for the splitter `cv`.
    fit_params : dict, default=None
        More keywords for the ``fit`` of `estimator`; arrays with an entry per row are indexed.
    n_jobs : int, default=None
        Number of folds fitted in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of the estimator that have none. None draws fresh entropy.

    Returns
    -------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities; columns are the sorted distinct labels. Rows of NaN were never tested:
        their class has no other row, or `cv` leaves them out.

    Raises
    ------
    ValueError
        If there are fewer than two classes, no class has two distinct rows, or the model
        predicts something else than probabilities.
    TypeError
        If `estimator` has no ``predict_proba``, or takes no weights and they are given.

    See Also
    --------
    out_of_bag_proba : The same from one fit of a forest.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.evidence import out_of_fold_proba
    >>> X, y = load_iris(return_X_y=True)
    >>> out_of_fold_proba(LogisticRegression(max_iter=1000), X, y).shape
    (150, 3)
    """
    (X,) = indexable(X)
    codes, classes = encode_labels(y)
    groups = check_groups(groups, len(codes))
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    used = codes >= 0 if weight is None else (codes >= 0) & (weight > 0)
    check_two_classes(classes[np.unique(codes[used])])
    estimator = clone(estimator)
    set_missing_random_states(estimator, private_random_state(random_state))
    return gather_out_of_fold(
        estimator,
        X,
        codes,
        classes,
        used,
        cv=cv,
        sample_weight=weight,
        groups=groups,
        fit_params=fit_params,
        n_jobs=n_jobs,
    ).pred_proba


def check_predicts_proba(estimator) -> None:
    """Refuse an estimator without ``predict_proba``."""
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            f"{type(estimator).__name__} has no predict_proba, so it cannot say how likely a"
            " label is. Use a classifier that has, or wrap it in CalibratedClassifierCV."
        )


def gather_out_of_fold(
    estimator,
    X,
    codes: np.ndarray,
    classes: np.ndarray,
    used: np.ndarray,
    *,
    hidden: np.ndarray | None = None,
    cv=5,
    sample_weight=None,
    groups=None,
    fit_params=None,
    n_jobs=None,
) -> Evidence:
    """Fit clones fold by fold; see :func:`out_of_fold_proba`."""
    check_predicts_proba(estimator)
    weight_fit_params(estimator, sample_weight)  # may say no, before any work
    n_samples = num_samples(X)
    y = classes[np.maximum(codes, 0)]
    in_folds = used if hidden is None else used | hidden
    folds = make_folds(cv, X, y, codes, in_folds, groups, sample_weight)
    if hidden is not None:
        folds = [(_without_hidden(train, codes, hidden), test) for train, test in folds]
    extra = np.flatnonzero(~in_folds)
    calls = (
        delayed(_fit_and_predict)(
            clone(estimator), X, y, classes, train, test, extra, sample_weight, fit_params
        )
        for train, test in folds
    )
    jobs = stream(calls, n_jobs=n_jobs)
    sums, counts, extra_sum, estimators = None, np.zeros(n_samples, dtype=np.intp), 0.0, []
    unseen = np.zeros(n_samples, dtype=bool)
    for (train, test), (fitted, proba) in zip(folds, track(jobs, len(folds), "folds"), strict=True):
        if sums is None:
            sums = np.zeros((n_samples, len(classes)), dtype=proba.dtype)
        sums[test] += proba[: len(test)]
        counts[test] += 1
        extra_sum = extra_sum + proba[len(test) :]
        # A model that never saw a class cannot judge labels of it.
        seen = np.bincount(codes[train], minlength=len(classes)) > 0
        unseen[test] |= ~seen[codes[test]]
        estimators.append(fitted)
    sums[extra] = extra_sum / len(folds)
    counts[extra] = 1
    tested = (counts > 0) & ~unseen
    np.divide(sums, counts[:, None], out=sums, where=tested[:, None])
    sums[~tested] = np.nan
    if groups is None and (cv is None or isinstance(cv, (int, np.integer))):
        # Equal rows of a category differ in nothing but the fold that they happen to be in.
        labels = np.where(in_folds, codes, -1)
        average_common(sums, row_hashes(X), labels, sample_weight)
    return Evidence(sums, estimators, classes)


def _without_hidden(train, codes, hidden) -> np.ndarray:
    """Leave hidden labels out of a fold, unless a class would be gone."""
    kept = train[~hidden[train]]
    return kept if len(np.unique(codes[kept])) == len(np.unique(codes[train])) else train


def _fit_and_predict(estimator, X, y, classes, train, test, extra, sample_weight, fit_params):
    params = index_fit_params(fit_params or {}, train, len(y))
    if sample_weight is not None:
        params.update(weight_fit_params(estimator, sample_weight[train]))
    estimator.fit(safe_indexing(X, train), y[train], **params)
    rows = np.concatenate([test, extra])
    return estimator, predict_columns(estimator, safe_indexing(X, rows), classes)


def predict_columns(estimator, X, classes: np.ndarray) -> np.ndarray:
    """Predict probabilities, one column for each of `classes`, zero where a model lacks one."""
    proba = np.asarray(estimator.predict_proba(X))
    own = np.asarray(estimator.classes_)
    name = type(estimator).__name__
    if proba.ndim != 2 or proba.shape[1] != len(own):
        raise ValueError(
            f"{name}.predict_proba returned shape {proba.shape} for {len(own)} classes."
        )
    if proba.dtype.kind != "f":
        proba = proba.astype(np.float64)
    if not np.isfinite(proba).all() or proba.min(initial=0) < 0:
        raise ValueError(f"{name}.predict_proba returned NaN, infinite or negative entries.")
    if np.array_equal(own, classes):
        return proba
    aligned = np.zeros((len(proba), len(classes)), dtype=proba.dtype)
    aligned[:, encode_labels_like(own, classes, name=f"{name}.classes_")] = proba
    return aligned
