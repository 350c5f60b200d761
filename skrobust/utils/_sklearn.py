"""The only door to scikit-learn names that are not public.

Everything here exists, with the behaviour used here, in every supported release. When scikit-learn
moves one of these names, this is the one file to mend.
"""

import numpy as np
from sklearn.base import _fit_context as fit_context
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.metadata_routing import _raise_for_params as raise_for_params
from sklearn.utils.metadata_routing import _routing_enabled as routing_enabled
from sklearn.utils.validation import _check_feature_names as check_feature_names
from sklearn.utils.validation import _check_n_features as check_n_features
from sklearn.utils.validation import _check_sample_weight, _num_samples

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "fit_context",
    "num_samples",
    "raise_for_params",
    "record_features",
    "routing_enabled",
    "safe_indexing",
    "validate_params",
]

num_samples = _num_samples


def check_sample_weight(sample_weight, X) -> np.ndarray:
    """Validate weights as float64 of shape (n_samples,), none negative, not all zero."""
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not np.any(weight > 0):
        raise ValueError("sample_weight has no positive entry: at least one row must count.")
    return weight


def record_features(estimator, X) -> None:
    """Set ``n_features_in_`` and ``feature_names_in_`` where X has them, validating nothing.

    Input without columns, such as a list of texts, leaves both attributes unset.
    """
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)  # of an earlier fit
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) != 2:
        return
    check_feature_names(estimator, X, reset=True)
    if isinstance(X, (list, tuple)) and (not X or isinstance(X[0], str) or not np.ndim(X[0])):
        return
    check_n_features(estimator, X, reset=True)
