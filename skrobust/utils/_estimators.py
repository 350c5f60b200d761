"""Estimators inside others: parameters they are given, cached fits, and fitted attributes."""

from types import SimpleNamespace

import numpy as np
from sklearn.utils.validation import check_memory

from skrobust.utils._random import draw_seed, is_integer_seed, private_random_state
from skrobust.utils._sklearn import check_feature_names, check_n_features


def set_fitted(estimator, **attributes) -> None:
    """Set fitted attributes; None removes that of an earlier fit."""
    for name, value in attributes.items():
        if value is not None:
            setattr(estimator, name, value)
        elif name in vars(estimator):
            delattr(estimator, name)


def propagate_params(part, **params):
    """Set parameters of a part, where it has them and the whole was given a value."""
    known = part.get_params(deep=False)
    given = {key: value for key, value in params.items() if value is not None and key in known}
    if "random_state" in given and not is_integer_seed(given["random_state"]):
        given["random_state"] = draw_seed(private_random_state(given["random_state"]))
    return part.set_params(**given)


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


def read_features(X) -> dict:
    """Number and names of the features of X, None where it has none, as an array of texts.

    Nothing else about X is validated.
    """
    found = SimpleNamespace()
    shape = getattr(X, "shape", None)
    if shape is None or len(shape) == 2:
        check_feature_names(found, X, reset=True)
        is_list = isinstance(X, (list, tuple))
        if not is_list or (X and not isinstance(X[0], str) and np.ndim(X[0])):
            check_n_features(found, X, reset=True)
    return {name: getattr(found, name, None) for name in ("n_features_in_", "feature_names_in_")}


def check_features(estimator, X) -> None:
    """Refuse X whose features are not those that were recorded in ``fit``, if any were."""
    if hasattr(estimator, "feature_names_in_"):
        check_feature_names(estimator, X, reset=False)
    if hasattr(estimator, "n_features_in_"):
        check_n_features(estimator, X, reset=False)
