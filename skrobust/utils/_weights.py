"""Sample weights: as fit parameters of the estimators of users, as counts, and in quantiles."""

from typing import NamedTuple

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from skrobust.utils._input import complete_column
from skrobust.utils._sklearn import check_weight_array, num_samples, routing_enabled, safe_indexing

WEIGHT_SLACK = 1e-9
"""By how much, as a share, sums of fractional weights may be off."""


def check_sample_weight(sample_weight, X) -> np.ndarray:
    """Validate weights as float64 of shape (n_samples,), none negative, not all zero."""
    sample_weight = complete_column(sample_weight, "sample_weight")
    weight = check_weight_array(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not np.any(weight > 0):
        raise ValueError("sample_weight has no positive entry: at least one row must count.")
    return weight


def weight_fit_params(estimator, sample_weight) -> dict:
    """Work out the keyword under which an estimator's ``fit`` takes sample weights."""
    if sample_weight is None:
        return {}
    key = weight_key(estimator)
    if key is None:
        name = type(estimator).__name__
        raise TypeError(
            f"Sample weights are needed to fit {name}, but it takes none. Use an estimator whose"
            " fit has a sample_weight parameter, as those of linear models, naive Bayes, trees,"
            " forests and boosting have; if a step inside takes it, enable metadata"
            " routing with sklearn.set_config(enable_metadata_routing=True) and ask for it with"
            " step.set_fit_request(sample_weight=True)."
        )
    for model in _inner_models(estimator):
        weight_fit_params(model, sample_weight)  # raises before any work
    return {key: sample_weight}


class WeightSupport(NamedTuple):
    """How the ``fit`` of an estimator takes sample weights."""

    fit_params: dict  # the caller's weights, by their keyword
    key: str | None  # the keyword, None if the estimator takes no weights
    takes_weight: bool  # whether the models inside take weights, too


def weight_support(estimator, sample_weight, *, required: bool) -> WeightSupport:
    """Find out how an estimator takes weights; refuse it if it does not and they are required."""
    fit_params = weight_fit_params(estimator, sample_weight)
    if required:
        weight_fit_params(estimator, ())
    return WeightSupport(fit_params, weight_key(estimator), takes_weight(estimator))


def takes_weight(estimator) -> bool:
    """Whether ``fit`` takes sample weights, and so does that of the models inside."""
    try:
        weight_fit_params(estimator, ())
    except TypeError:
        return False
    if routing_enabled() and hasattr(estimator, "get_metadata_routing"):
        routing = get_routing_for_object(estimator)
        if isinstance(routing, MetadataRouter):
            return bool(routing.consumes("fit", ["sample_weight"]))
    return True


def index_fit_params(fit_params: dict, rows, n_samples: int) -> dict:
    """Take the given rows of every fit parameter that has an entry per row."""

    def per_row(value) -> bool:
        sized = hasattr(value, "__len__") or hasattr(value, "shape")
        if not sized or isinstance(value, (str, dict)) or getattr(value, "shape", None) == ():
            return False
        return num_samples(value) == n_samples

    return {
        key: safe_indexing(value, rows) if per_row(value) else value
        for key, value in fit_params.items()
    }


def weight_key(estimator) -> str | None:
    """Keyword under which an estimator's ``fit`` takes sample weights, or None."""
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if routing_enabled():
        if hasattr(estimator, "get_metadata_routing"):
            routing = get_routing_for_object(estimator)
            if routing.consumes("fit", ["sample_weight"]):
                return "sample_weight"
        return None
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        if last is not None and last != "passthrough":
            inner = weight_key(last)
            return None if inner is None else f"{name}__{inner}"
    return None


def _inner_models(estimator) -> list:
    """The models that a wrapper of this package, or a Pipeline, passes its weights to."""
    if isinstance(estimator, Pipeline):
        return [] if routing_enabled() else [estimator.steps[-1][1]]
    weighted_models = getattr(estimator, "__skrobust_weighted_models__", list)
    return [model for model in weighted_models() if hasattr(model, "fit")]


def as_counts(weight, counted):
    """Scale weights that are no counts to mean 1, so that they can be compared with counts."""
    if weight is None:
        return None
    weight = np.asarray(weight, dtype=np.float64)
    total = weight[counted].sum()
    if np.array_equal(weight, np.round(weight)) or not total > 0:
        return weight
    weight = weight * (np.count_nonzero(weight[counted]) / total)
    # Equal weights are counts of one each, not nearly one.
    whole = np.rint(weight)
    return whole if np.allclose(weight, whole, rtol=1e-9, atol=0) else weight


def upper_threshold(values: np.ndarray, total: float, weight: np.ndarray | None = None):
    """Value from which on the largest values have the total weight; infinite if none has."""
    if weight is None:
        return _upper_count_threshold(values, total)
    weighs = weight > 0
    if not weighs.all():
        values, weight = values[weighs], weight[weighs]
    if len(values) == 0 or total <= 0:
        return np.inf
    distinct, group = np.unique(values, return_inverse=True)
    group_weight = np.bincount(group, weights=weight)[::-1]
    chosen = np.cumsum(group_weight) - group_weight / 2 <= total * (1 + WEIGHT_SLACK)
    n_chosen = int(chosen.sum())
    return distinct[-n_chosen] if n_chosen else np.inf


def _upper_count_threshold(values: np.ndarray, total: float):
    count = min(int(np.floor(total + 0.5)), len(values))
    if count <= 0:
        return np.inf
    place = len(values) - count
    parted = np.partition(values, place)
    threshold = parted[place]
    n_above, n_tied = np.count_nonzero(values > threshold), np.count_nonzero(values == threshold)
    if n_above + n_tied / 2 <= total * (1 + WEIGHT_SLACK):
        return threshold
    return parted[parted > threshold].min() if n_above else np.inf


def lower_threshold(values: np.ndarray, total: float, weight: np.ndarray | None = None):
    """Value up to which the lowest values have the total weight; minus infinity if none has."""
    return -upper_threshold(-values, total, weight)


def threshold_above_lowest(
    values: np.ndarray, total: float, weight: np.ndarray | None = None
) -> float:
    """Value below which the lowest values of [0, 1] have the total weight; 0 if none has."""
    highest = lower_threshold(values, total, weight)
    return 0.0 if highest == -np.inf else float(np.nextafter(highest, np.inf))


def weighted_median(values: np.ndarray, weight: np.ndarray | None = None):
    """Median along the first axis; for integer weights, that of the repeated values."""
    if weight is None:
        return np.median(values, axis=0)
    order = np.argsort(values, axis=0, kind="stable")
    total = np.cumsum(weight[order], axis=0)
    half = weight.sum() / 2
    slack = WEIGHT_SLACK * half
    low = np.argmax(total >= half - slack, axis=0)
    high = np.argmax(total > half + slack, axis=0)
    ends = [
        np.take_along_axis(values, np.take_along_axis(order, place[None], axis=0), axis=0)[0]
        for place in (low, high)
    ]
    return (ends[0] + ends[1]) / 2
