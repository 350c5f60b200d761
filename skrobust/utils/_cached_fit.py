"""Fitting what judges the labels, perhaps from a cache."""

import numpy as np
from sklearn.utils.validation import check_memory

from skrobust.utils._labels import decode_labels
from skrobust.utils._random import is_integer_seed


def _fit(judge, X, y, metadata, n_jobs):
    """Fit what judges the labels; a function of its own so that it can be cached."""
    if "n_jobs" in judge.get_params(deep=False):
        judge.set_params(n_jobs=n_jobs)
    return judge.fit(X, y, **metadata)


def say_all(data) -> tuple[np.ndarray, dict]:
    """Put into words what is known of the labels, for somebody else's ``fit``.

    Parameters
    ----------
    data : LabelledData
        Rows.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        Given labels; None where they are missing.
    metadata : dict
        Keywords: `verified_labels` and `sample_weight`.
    """
    verified = decode_labels(data.verified, data.classes) if data.checked.any() else None
    metadata = {"verified_labels": verified, "sample_weight": data.sample_weight}
    return decode_labels(data.codes, data.classes), metadata


def fit_judge(judge, X, y, metadata, *, n_jobs=None, memory=None):
    """Fit what judges the labels: a detector, a reweighter, a transition estimator.

    Parameters
    ----------
    judge : estimator object
        Not the caller's own: it is fitted in place, or replaced by what the cache has.
    X : array-like of length n_samples
        Input.
    y : array-like of shape (n_samples,)
        Given labels or targets.
    metadata : dict
        Keywords for ``fit``.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the judge. The cache does not ask for it.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the fit.

    Returns
    -------
    judge : estimator object
        Fitted.

    Raises
    ------
    ValueError
        If `memory` is given and two fits would not give the same answer.
    """
    known = judge.get_params(deep=False)
    n_jobs = known.get("n_jobs") if n_jobs is None else n_jobs
    fit = _fit
    if memory is not None:
        if "random_state" in known and not is_integer_seed(known["random_state"]):
            raise ValueError(
                f"memory={memory!r} caches what {type(judge).__name__} says, which must then be"
                f" repeatable: set random_state to an integer (it is {known['random_state']!r})."
            )
        if "n_jobs" in known:
            judge.set_params(n_jobs=None)
        fit = check_memory(memory).cache(_fit, ignore=["n_jobs"])
    return fit(judge, X, y, metadata, n_jobs)
