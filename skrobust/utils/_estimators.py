"""Fitted attributes of estimators, and the features of their input."""

from types import SimpleNamespace

import numpy as np

from skrobust.utils._sklearn import check_feature_names, check_n_features


def set_fitted(estimator, **attributes) -> None:
    """Set fitted attributes; None removes that of an earlier fit."""
    for name, value in attributes.items():
        if value is not None:
            setattr(estimator, name, value)
        elif name in vars(estimator):
            delattr(estimator, name)


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
