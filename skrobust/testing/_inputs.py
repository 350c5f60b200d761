"""Checks that wrong input is refused, before any fit, by an error that names the parameter."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import get_tags

from skrobust.testing._estimators import clone_seeded, fit_takes
from skrobust.testing._outputs import assert_raises
from skrobust.testing._problems import Problem, make_problem

# Words of messages about a wrong length.
LENGTH_WORDS = ("length", "number of samples", "numbers of samples", "shape", "sample")


class _Nothing:
    """A value that no parameter takes."""

    def __repr__(self) -> str:
        return "an object of no use"


def _refused(estimator: Any, words: Iterable[str], what: str, *args: Any, **kwargs: Any) -> None:
    """Assert that fit raises an error that has one of some words."""
    assert_raises((ValueError, TypeError), words, lambda: estimator.fit(*args, **kwargs), what)


def _invalid_values(constraints: list[Any]) -> list[Any]:
    """At least one value that an entry of `_parameter_constraints` rules out."""
    values: list[Any] = [_Nothing()]
    if str not in constraints:
        values += ["no such option" for c in constraints if hasattr(c, "options")]
    intervals = [c for c in constraints if hasattr(c, "left") and hasattr(c, "right")]
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


def check_bad_parameters(estimator: Any) -> None:
    """A bad value of each constructor parameter raises an error that names the parameter."""
    problem = make_problem(estimator, 60)
    constraints = getattr(type(estimator), "_parameter_constraints", {})
    params = set(estimator.get_params(deep=False))
    exclusive = {"threshold", "flag_fraction"} & params
    for name in sorted(params):
        assert name in constraints, f"_parameter_constraints has no entry for {name}."
        if constraints[name] == "no_validation":
            continue
        for value in _invalid_values(constraints[name]):
            model = clone_seeded(estimator).set_params(**{name: value})
            # Both at once are refused as well; here one of them is invalid.
            if name in exclusive:
                model.set_params(**dict.fromkeys(exclusive - {name}))
            _refused(model, [name], f"{name}={value!r}", problem.X, problem.y)
    unknown = set(constraints) - params
    assert not unknown, f"_parameter_constraints has entries for no parameter: {sorted(unknown)}."


def check_wrong_lengths(estimator: Any) -> None:
    """What has another length than X is refused."""
    problem = make_problem(estimator, 60)
    X, y = problem.X, problem.y
    _refused(clone_seeded(estimator), LENGTH_WORDS, "y too short", X, y[:-1])
    values = {"sample_weight": np.ones(len(y)), "verified_labels": y}
    if fit_takes(estimator, "groups"):
        values["groups"] = np.arange(len(y))
    for name, value in values.items():
        for wrong in (value[:-1], np.concatenate([value, value[:1]])):
            what = f"{name} of length {len(wrong)} for {len(y)} rows"
            _refused(clone_seeded(estimator), [name, *LENGTH_WORDS], what, X, y, **{name: wrong})


def check_bad_weights(estimator: Any) -> None:
    """Weights that are negative, all zero, NaN, infinite or no numbers are refused."""
    problem = make_problem(estimator, 60)
    ones = np.ones(problem.n_samples)
    odd = np.arange(problem.n_samples) == 7
    invalid = {
        "negative": np.where(odd, -1, ones),
        "zero": 0 * ones,
        "NaN": np.where(odd, np.nan, ones),
        "infinite": np.where(odd, np.inf, ones),
        "2-D": np.ones((problem.n_samples, 2)),
        "text": np.full(problem.n_samples, "heavy"),
    }
    for kind, weight in invalid.items():
        words = ["weight"] if kind != "text" else ["weight", "heavy", "convert", "numeric"]
        what = f"Weights ({kind})"
        _refused(clone_seeded(estimator), words, what, problem.X, problem.y, sample_weight=weight)


def _invalid_labels(problem: Problem) -> dict[str, tuple[Any, list[str]]]:
    """Values of y that are refused, and words of the message."""
    y, n_samples = problem.y, problem.n_samples
    infinite = y.astype(float)
    infinite[y == 0 if problem.has_classes else 7] = np.inf
    invalid = {
        "None": (None, ["y"]),
        "infinite": (infinite, ["inf"]),
        "all missing": (np.full(y.shape, np.nan), ["missing", "class", "label"]),
        "complex": (y + 1j, ["complex"]),
    }
    if problem.labels == "classes":
        mixed = y.astype(object)
        mixed[:5] = "zero"
        continuous = np.random.default_rng(0).normal(size=n_samples)
        return invalid | {
            "one class": (np.zeros(n_samples), ["class"]),
            "one class and missing": (np.where(y == 0, np.nan, 1.0), ["class"]),
            "continuous": (continuous, ["label type", "continuous"]),
            "2-D": (np.column_stack([y, y]), ["1d", "shape", "multioutput"]),
            "text and numbers": (mixed, ["mix", "kind", "type"]),
        }
    invalid["text"] = (np.full(y.shape, "many"), ["many", "numeric"])
    if problem.labels == "numbers":
        return invalid | {
            "2-D": (np.column_stack([y, y]), ["1d", "shape"]),
            "sparse": (sparse.csr_matrix(y), ["dense", "sparse"]),
        }
    return invalid | {
        "1-D": (y[:, 0], ["indicator"]),
        "other numbers": (y + 1, ["0, 1"]),
        "the same": (np.ones_like(y), ["class"]),
    }


def check_bad_labels(estimator: Any) -> None:
    """Labels of one class, none at all, infinite, or of another type or shape are refused."""
    problem = make_problem(estimator, 60)
    for kind, (labels, words) in _invalid_labels(problem).items():
        _refused(clone_seeded(estimator), words, f"y ({kind})", problem.X, labels)
    if problem.has_classes:
        weight = np.where(problem.y == 0, 1.0, 0.0)
        params = {"sample_weight": weight}
        what = "One class of positive weight"
        _refused(clone_seeded(estimator), ["class"], what, problem.X, problem.y, **params)


def check_bad_rows(estimator: Any) -> None:
    """X without rows or columns is refused, and infinite or missing entries of no use to it."""
    problem = make_problem(estimator, 60)
    X, y = problem.X, problem.y
    _refused(clone_seeded(estimator), ["0 sample", "n_samples", "empty"], "No rows", X[:0], y[:0])
    _refused(clone_seeded(estimator), ["0 feature"], "No columns", X[:, :0], y)
    infinite = X.copy()
    infinite[3, 2] = np.inf
    _refused(clone_seeded(estimator), ["inf"], "X with infinity", infinite, y)
    if not get_tags(estimator).input_tags.allow_nan:
        infinite[3, 2] = np.nan
        _refused(clone_seeded(estimator), ["nan"], "X with NaN", infinite, y)


INPUT_CHECKS = (
    check_bad_parameters,
    check_wrong_lengths,
    check_bad_weights,
    check_bad_labels,
    check_bad_rows,
)
