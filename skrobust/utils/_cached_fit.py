"""Fits of sub-estimators, perhaps from a cache."""

from sklearn.utils.validation import check_memory

from skrobust.utils._random import is_integer_seed


def _fit(estimator, X, y, metadata, n_jobs):
    """Fit an estimator; a function of its own so that it can be cached."""
    if "n_jobs" in estimator.get_params(deep=False):
        estimator.set_params(n_jobs=n_jobs)
    return estimator.fit(X, y, **metadata)


def cached_fit(estimator, X, y, metadata, *, n_jobs=None, memory=None):
    """Fit an estimator in place, or take the fitted one from the cache, whatever its `n_jobs`."""
    known = estimator.get_params(deep=False)
    n_jobs = known.get("n_jobs") if n_jobs is None else n_jobs
    fit = _fit
    if memory is not None:
        if "random_state" in known and not is_integer_seed(known["random_state"]):
            raise ValueError(
                f"memory={memory!r} caches the fit of {type(estimator).__name__}, which must be"
                f" repeatable: set random_state to an integer (it is {known['random_state']!r})."
            )
        if "n_jobs" in known:
            estimator.set_params(n_jobs=None)
        fit = check_memory(memory).cache(_fit, ignore=["n_jobs"])
    return fit(estimator, X, y, metadata, n_jobs)
