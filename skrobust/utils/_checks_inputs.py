"""Wrong input is refused, before any fit, by an error that names the culprit."""

import numpy as np
from sklearn.utils import get_tags

from skrobust.utils._checks_common import (
    assert_raises,
    fit_takes,
    fresh,
    make_rows,
)

_ERRORS = (ValueError, TypeError)


class _Nothing:
    """A value that no parameter takes."""

    def __repr__(self):
        return "an object of no use"


def _refused(estimator, words, what, *args, **kwargs) -> None:
    """Expect fit to raise an error that has one of some words."""
    assert_raises(_ERRORS, words, lambda: estimator.fit(*args, **kwargs), what)


def _bad_values(constraints) -> list:
    """Values that the constraints of a parameter rule out.

    Parameters
    ----------
    constraints : list
        An entry of `_parameter_constraints`.

    Returns
    -------
    values : list
        At least one.
    """
    values = [_Nothing()]
    takes_text = str in constraints
    intervals = [c for c in constraints if hasattr(c, "left") and hasattr(c, "right")]
    for constraint in constraints:
        if hasattr(constraint, "options") and not takes_text:
            values.append("no such option")
    # With several intervals, what lies outside one may lie inside another.
    if len(intervals) == 1:
        (interval,) = intervals
        if interval.left is not None and np.isfinite(interval.left):
            values.append(interval.left - 1)
            if interval.closed in ("right", "neither"):
                values.append(interval.left)
        if interval.right is not None and np.isfinite(interval.right):
            values.append(interval.right + 1)
            if interval.closed in ("left", "neither"):
                values.append(interval.right)
    return values


def check_bad_parameters(estimator) -> None:
    """A bad value of each constructor parameter raises an error that names the parameter."""
    X, y, _ = make_rows(60)
    constraints = getattr(type(estimator), "_parameter_constraints", {})
    for name in estimator.get_params(deep=False):
        assert name in constraints, f"_parameter_constraints has no entry for {name}."
        if constraints[name] == "no_validation":
            continue
        for value in _bad_values(constraints[name]):
            model = fresh(estimator).set_params(**{name: value})
            # A detector refuses both cuts at once; a lone bad one is the matter here.
            for other in {"threshold", "flag_fraction"} - {name}:
                if name in ("threshold", "flag_fraction") and other in constraints:
                    model.set_params(**{other: None})
            _refused(model, [name], f"{name}={value!r}", X, y)
    unknown = set(constraints) - set(estimator.get_params(deep=False))
    assert not unknown, f"_parameter_constraints has entries for no parameter: {sorted(unknown)}."


def check_wrong_lengths(estimator) -> None:
    """What has another length than X is refused."""
    X, y, _ = make_rows(60)
    words = ["length", "number of samples", "numbers of samples", "shape", "sample"]
    _refused(fresh(estimator), words, "y too short", X, y[:-1])
    keywords = ["sample_weight", "verified_labels"]
    if fit_takes(estimator, "groups"):
        keywords.append("groups")
    for name in keywords:
        value = np.ones(len(y)) if name == "sample_weight" else y
        for wrong in (value[:-1], np.append(value, value[:1])):
            what = f"{name} of length {len(wrong)} for {len(y)} rows"
            _refused(fresh(estimator), [name, *words], what, X, y, **{name: wrong})


def check_bad_weights(estimator) -> None:
    """Weights that are negative, all zero, NaN, infinite or no numbers are refused."""
    X, y, _ = make_rows(60)
    ones = np.ones(len(y))
    bad = {
        "negative": np.where(np.arange(len(y)) == 7, -1, ones),
        "zero": 0 * ones,
        "NaN": np.where(np.arange(len(y)) == 7, np.nan, ones),
        "infinite": np.where(np.arange(len(y)) == 7, np.inf, ones),
        "2-D": np.ones((len(y), 2)),
        "text": np.full(len(y), "heavy"),
    }
    for kind, weight in bad.items():
        words = ["weight"] if kind != "text" else ["weight", "heavy", "convert", "numeric"]
        _refused(fresh(estimator), words, f"Weights ({kind})", X, y, sample_weight=weight)


def check_bad_labels(estimator) -> None:
    """Labels of one class, none at all, continuous, infinite, 2-D or mixed are refused."""
    X, y, _ = make_rows(60)
    n_samples = len(y)
    continuous = np.random.default_rng(0).normal(size=n_samples)
    mixed = y.astype(object)
    mixed[:5] = "zero"
    bad = {
        "one class": (np.zeros(n_samples), ["class"]),
        "one class and missing": (np.where(y == 0, np.nan, 1.0), ["class"]),
        "all missing": (np.full(n_samples, np.nan), ["class", "label"]),
        "continuous": (continuous, ["label type", "continuous"]),
        "infinite": (np.where(y == 0, np.inf, y), ["inf"]),
        "None": (None, ["y"]),
        "2-D": (np.column_stack([y, y]), ["1d", "shape", "multioutput"]),
        "text and numbers": (mixed, ["mix", "kind", "type"]),
        "complex": (y + 1j, ["complex"]),
    }
    for kind, (labels, words) in bad.items():
        _refused(fresh(estimator), words, f"y ({kind})", X, labels)
    weight = np.where(y == 0, 1.0, 0.0)
    _refused(fresh(estimator), ["class"], "One class of weight", X, y, sample_weight=weight)


def check_bad_rows(estimator) -> None:
    """X without rows or columns, and infinite or missing entries that the model cannot take."""
    X, y, _ = make_rows(60)
    _refused(fresh(estimator), ["0 sample", "n_samples", "empty"], "No rows", X[:0], y[:0])
    _refused(fresh(estimator), ["0 feature"], "No columns", X[:, :0], y)
    infinite = X.copy()
    infinite[3, 2] = np.inf
    _refused(fresh(estimator), ["inf"], "X with infinity", infinite, y)
    if not get_tags(estimator).input_tags.allow_nan:
        infinite[3, 2] = np.nan
        _refused(fresh(estimator), ["nan"], "X with NaN", infinite, y)


INPUT_CHECKS = (
    check_bad_parameters,
    check_wrong_lengths,
    check_bad_weights,
    check_bad_labels,
    check_bad_rows,
)
