"""Checks of what must not change the outputs: names, order, containers, replicates, generators."""

import copy
import functools
import pickle
import random
from typing import Any

import numpy as np
from joblib import parallel_config
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import check_random_state

from skrobust.testing._estimators import clone_seeded, fit_silently, has_param, max_classes, part_of
from skrobust.testing._outputs import (
    ROW_OUTPUTS,
    Outputs,
    assert_equal_in_groups,
    assert_same,
    assert_same_over_seeds,
    outputs_of,
    rename,
    take_rows,
)
from skrobust.testing._problems import (
    CLASS_NAMES,
    labels_in_containers,
    make_problem,
    make_rows,
    splits_of,
    tables_of,
)


def check_attributes(estimator: Any) -> None:
    """Fitted attributes have the shapes and types of the contract, and fit returns self."""
    problem = make_problem(estimator)
    estimator = clone_seeded(estimator)
    before = {name: str(value) for name, value in estimator.get_params(deep=False).items()}
    assert fit_silently(estimator, problem.X, problem.named) is estimator, "fit must return self."
    for name, value in estimator.get_params(deep=False).items():
        assert str(value) == before[name], f"fit changed the parameter {name}."
    n_features = problem.X.shape[1]
    assert estimator.n_features_in_ == n_features, "n_features_in_ is not the number of columns."
    part = part_of(estimator)
    if problem.has_classes:
        classes = CLASS_NAMES[: max_classes(estimator)]
        np.testing.assert_array_equal(part.classes_, classes, "classes_")
    for name in ROW_OUTPUTS:
        if hasattr(part, name):
            value = getattr(part, name)
            assert isinstance(value, np.ndarray), f"{name} is no array."
            shape = (problem.n_samples,)
            assert value.shape == shape, f"{name} has shape {value.shape}, not {shape}."
    weight = getattr(part, "sample_weight_", None)
    if weight is not None:
        assert np.isfinite(weight).all(), "sample_weight_ must be finite."
        assert weight.min() >= 0, "sample_weight_ must not be negative."
        np.testing.assert_allclose(weight.mean(), 1, err_msg="sample_weight_ must have mean 1.")
    _check_transition(part)
    rate = getattr(part, "noise_rate_", None)
    assert rate is None or (np.ndim(rate) == 0 and 0 <= rate <= 1), f"noise_rate_ is {rate!r}."


def _check_transition(part: Any) -> None:
    """A transition matrix is stochastic, and inside its interval's shape."""
    matrix = getattr(part, "transition_matrix_", None)
    if matrix is None:
        return
    shape = (len(part.classes_), len(part.classes_))
    assert matrix.shape == shape, f"transition_matrix_ has shape {matrix.shape}."
    assert matrix.min() >= 0, "transition_matrix_ has negative entries."
    np.testing.assert_allclose(matrix.sum(axis=1), 1, err_msg="Rows of transition_matrix_")
    prior = getattr(part, "class_prior_", None)
    if prior is not None:
        assert prior.shape == shape[:1], f"class_prior_ has shape {prior.shape}."
        np.testing.assert_allclose(prior.sum(), 1, err_msg="class_prior_ must sum to 1.")
    interval = getattr(part, "transition_interval_", None)
    if interval is not None:
        assert interval.shape == (2, *shape), "transition_interval_ has a wrong shape."
        assert (interval[0] <= interval[1]).all(), "transition_interval_ has ends swapped."


def check_renamed_classes(estimator: Any) -> None:
    """Renaming classes changes nothing, not even if it reverses their order."""
    problem = make_problem(estimator)
    X, y, splits = problem.X, problem.y, splits_of(problem.fold)

    def fit(labels):
        return lambda seed: outputs_of(
            fit_silently(clone_seeded(estimator, seed=seed, cv=splits), X, labels), X
        )

    base = functools.cache(fit(y))
    for new in (["zebra", "yak", "xerus"], [7, 3, 5]):
        names = dict(enumerate(new[: max_classes(estimator)]))
        assert_same_over_seeds(
            estimator,
            lambda seed, names=names: rename(base(seed), names),
            fit(np.array(new)[y]),
            f"Classes renamed to {new}",
        )


def check_label_types(estimator: Any) -> None:
    """Text, bools, {3, 7}, whole floats, objects and lists work as labels and come back."""
    X, y, _ = make_rows(n_classes=2)
    expected = outputs_of(fit_silently(clone_seeded(estimator), X, y), X)
    kinds = {
        "text": np.array(["no", "yes"]),
        "bool": np.array([False, True]),
        "{3, 7}": np.array([3, 7]),
        "float": np.array([0.0, 1.0]),
        "{-1, 1}": np.array([-1, 1]),
        "object": np.array(["no", "yes"], dtype=object),
        "int8": np.array([0, 1], dtype=np.int8),
    }
    for kind, classes in kinds.items():
        fitted = fit_silently(clone_seeded(estimator), X, classes[y])
        part = part_of(fitted)
        np.testing.assert_array_equal(part.classes_, classes, f"classes_ for {kind} labels.")
        outputs = rename(expected, dict(zip([0, 1], classes.tolist(), strict=True)))
        assert_same(outputs, outputs_of(fitted, X), f"Labels of type {kind}")
        if hasattr(part, "suggested_labels_"):
            found = part.suggested_labels_.dtype.kind
            assert found == part.classes_.dtype.kind, f"suggested_labels_ of {kind} are {found}."
        if kind in ("text", "bool", "float"):
            as_list = fit_silently(clone_seeded(estimator), X, classes[y].tolist())
            assert_same(outputs, outputs_of(as_list, X), f"Labels of type {kind} in a list")


def check_refit_clone_pickle(estimator: Any) -> None:
    """A second fit, a clone and a pickled copy give the same outputs."""
    problem = make_problem(estimator)
    X, y = problem.X, problem.y
    if problem.has_classes:
        other = make_rows(80, n_classes=4 if max_classes(estimator) > 2 else 2, seed=1)[:2]
    else:
        other = (lambda p: (p.X, p.y))(make_problem(estimator, 80, seed=1))
    fitted = fit_silently(clone_seeded(estimator), X, y)
    outputs = outputs_of(fitted, X)

    def same(again: Any, what: str) -> None:
        assert_same(outputs, outputs_of(again, X), what, tolerance=1e-12)

    same(pickle.loads(pickle.dumps(fitted)), "pickle of a fitted estimator")
    same(fit_silently(copy.deepcopy(fitted), X, y), "A second fit")
    detour = fit_silently(copy.deepcopy(fitted), *other)
    same(fit_silently(detour, X, y), "A fit to other rows between two fits")
    same(fit_silently(clone(fitted), X, y), "clone")
    if has_param(estimator, "n_jobs"):
        parallel = clone_seeded(estimator)
        known = parallel.get_params(deep=False)["n_jobs"]
        parallel.set_params(n_jobs=1 if known not in (None, 1) else 2)
        # Threads, because processes are slow to start, and checked by a grid search.
        with parallel_config("threading"):
            assert_same(outputs, outputs_of(fit_silently(parallel, X, y), X), "n_jobs")


def check_containers(estimator: Any) -> None:
    """Dense equals sparse equals DataFrame, for X and for y; names of columns are recorded."""
    problem = make_problem(estimator, 90)
    y = problem.y
    X = np.where(np.abs(problem.X) < (0.5 if problem.has_classes else 0.3), 0.0, problem.X)
    expected = outputs_of(fit_silently(clone_seeded(estimator), X, y), X)
    names = [f"column {j}" for j in range(X.shape[1])]
    tables = tables_of(estimator, X, names)
    tables |= {"list": X.tolist(), "Fortran order": np.asfortranarray(X)}
    if "pandas" in tables:
        # Labels of rows in an index are not row numbers.
        tables["index"] = tables["pandas"].set_index(np.arange(len(y))[::-1] * 10)
    for kind, table in tables.items():
        fitted = fit_silently(clone_seeded(estimator), table, y)
        tolerance = None
        if not problem.has_classes:
            # Trees sum up sparse columns in another order, by which ties may be broken otherwise.
            tolerance = 0.02 if kind.startswith("CS") else 1e-4
        assert_same(expected, outputs_of(fitted, table), f"X as {kind}", tolerance=tolerance)
        assert fitted.n_features_in_ == X.shape[1], f"n_features_in_ of {kind}."
        if kind in ("pandas", "polars"):
            np.testing.assert_array_equal(fitted.feature_names_in_, names, f"Names of {kind}.")
    for kind, labels in labels_in_containers(problem).items():
        fitted = fit_silently(clone_seeded(estimator), X, labels)
        assert_same(expected, outputs_of(fitted, X), f"y as {kind}")


def check_permuted_rows(estimator: Any) -> None:
    """Permuting rows permutes the outputs, if the folds go with the rows."""
    problem = make_problem(estimator)
    X, y, fold = problem.X, problem.y, problem.fold
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    order = np.random.default_rng(1).permutation(len(y))
    for kind, params in (("", {}), (" with weights", {"sample_weight": weight})):
        permuted_params = {key: value[order] for key, value in params.items()}

        def straight(seed, params=params):
            model = clone_seeded(estimator, seed=seed, cv=splits_of(fold))
            return take_rows(outputs_of(fit_silently(model, X, y, **params), X), order)

        def permuted(seed, params=permuted_params):
            model = clone_seeded(estimator, seed=seed, cv=splits_of(fold[order]))
            return outputs_of(fit_silently(model, X[order], y[order], **params), X)

        assert_same_over_seeds(estimator, straight, permuted, f"Permuted rows{kind}")


def check_weights_equal_repeats(estimator: Any) -> None:
    """An integer weight counts as that number of equal rows, if the folds go with the rows."""
    problem = make_problem(estimator)
    X, y, fold = problem.X, problem.y, problem.fold
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    first = np.cumsum(weight) - weight

    def weighted(seed: int) -> Outputs:
        model = clone_seeded(estimator, seed=seed, cv=splits_of(fold))
        return outputs_of(fit_silently(model, X, y, sample_weight=weight), X)

    def repeated(seed: int) -> Outputs:
        model = clone_seeded(estimator, seed=seed, cv=splits_of(fold[rows]))
        outputs = outputs_of(fit_silently(model, X[rows], y[rows]), X)
        for name in ("label_quality_", "label_errors_"):
            if name in outputs:
                rtol = 1e-9 if problem.has_classes else 1e-6
                assert_equal_in_groups(outputs[name], rows, name, rtol)
        taken = take_rows(outputs, first)
        if "keep_weight_" in outputs:
            taken["keep_weight_"] = np.bincount(rows, weights=outputs["keep_weight_"])
        return taken

    assert_same_over_seeds(estimator, weighted, repeated, "Repeated rows instead of weights")


def check_equal_weights(estimator: Any) -> None:
    """Weights of one are no weights, in an array or in a list."""
    problem = make_problem(estimator)
    X, y, splits = problem.X, problem.y, splits_of(problem.fold)

    def fit(weight):
        return lambda seed: outputs_of(
            fit_silently(clone_seeded(estimator, seed=seed, cv=splits), X, y, sample_weight=weight),
            X,
        )

    without = functools.cache(fit(None))
    assert_same_over_seeds(estimator, without, fit(np.ones(len(y))), "Weights of one")
    assert_same_over_seeds(estimator, without, fit([1] * len(y)), "Weights in a list")


def check_zero_weights(estimator: Any) -> None:
    """Rows of weight zero leave the rest as if they were not there."""
    problem = make_problem(estimator, 150)
    X, y, fold = problem.X, problem.y, problem.fold
    keep = np.arange(len(y)) % 5 != 0
    weight = np.where(keep, 1.0, 0.0)
    # If they were learned from, these labels would do some harm.
    spoiled = problem.spoiled(~keep)

    def weighted(seed: int) -> Outputs:
        model = clone_seeded(estimator, seed=seed, cv=splits_of(fold))
        outputs = outputs_of(fit_silently(model, X, spoiled, sample_weight=weight), X)
        for name in ("keep_weight_", "sample_weight_"):
            if name in outputs:
                assert not outputs[name][~keep].any(), f"{name} of rows of weight zero is not zero."
        return take_rows(outputs, keep)

    def without(seed: int) -> Outputs:
        model = clone_seeded(estimator, seed=seed, cv=splits_of(fold[keep]))
        return outputs_of(fit_silently(model, X[keep], y[keep], sample_weight=weight[keep]), X)

    assert_same_over_seeds(estimator, weighted, without, "Rows of weight zero")


def check_inputs_untouched(estimator: Any) -> None:
    """Fit writes into nothing that it is given, and works on read-only arrays."""
    problem = make_problem(estimator)
    y = problem.y.astype(float)
    inputs = {
        "X": problem.X,
        "y": y,
        "verified_labels": problem.missing(np.arange(len(y)) >= 9),
        "sample_weight": np.random.default_rng(0).uniform(0, 2, size=len(y)),
    }
    X = inputs["X"]
    before = copy.deepcopy(inputs)
    expected = outputs_of(fit_silently(clone_seeded(estimator), **inputs), X)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name], f"fit changed {name}.")
        value.flags.writeable = False
    read_only = fit_silently(clone_seeded(estimator), **inputs)
    assert_same(expected, outputs_of(read_only, X), "Read-only arrays")
    for kind, table in tables_of(estimator, X, list("abcde")).items():
        if kind in ("pandas", "CSR matrix"):
            fit_silently(clone_seeded(estimator), table, y)
            dense = table.toarray() if kind == "CSR matrix" else table.to_numpy()
            np.testing.assert_array_equal(dense, X, f"fit changed X as {kind}.")


def check_global_random_state(estimator: Any) -> None:
    """Neither read nor advance the global generators of NumPy and Python."""
    problem = make_problem(estimator, 60)
    X, y = problem.X, problem.y
    generator = check_random_state(np.random)

    def state() -> tuple[Any, Any]:
        return generator.get_state(legacy=False), random.getstate()

    def set_seed(seed: int) -> None:
        generator.seed(seed)
        random.seed(seed)

    saved = state()
    try:
        for seed in (None, 0):
            set_seed(1)
            before = pickle.dumps(state())
            model = clone_seeded(estimator, seed=seed)
            # The model that is trained in the end keeps its own random state.
            own = [key for key in model.get_params(deep=True) if key.startswith("estimator__")]
            if hasattr(model, "predict"):
                model.set_params(**{key: 0 for key in own if key.endswith("random_state")})
            fit_silently(model, X, y)
            same = before == pickle.dumps(state())
            assert same, f"fit with random_state={seed} moved a global generator."
        first = outputs_of(model, X)
        set_seed(2)
        second = outputs_of(fit_silently(clone_seeded(estimator), X, y), X)
        assert_same(first, second, "The state of the global generator", tolerance=1e-12)
    finally:
        generator.set_state(saved[0])
        random.setstate(saved[1])


def check_last_step_of_pipeline(estimator: Any) -> None:
    """The last step of a Pipeline has the outputs that it has alone, also with weights."""
    problem = make_problem(estimator)
    X, y = problem.X, problem.y
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    scaled = MaxAbsScaler().fit_transform(X)
    alone = fit_silently(clone_seeded(estimator), scaled, y, sample_weight=weight)
    pipeline = make_pipeline(MaxAbsScaler(), clone_seeded(estimator))
    fit_silently(pipeline, X, y, **{f"{pipeline.steps[-1][0]}__sample_weight": weight})
    assert_same(outputs_of(alone, scaled), outputs_of(pipeline[-1], scaled), "A Pipeline")


CLASS_CHECKS = (check_renamed_classes, check_label_types)
INVARIANCE_CHECKS = (
    check_attributes,
    check_refit_clone_pickle,
    check_containers,
    check_permuted_rows,
    check_weights_equal_repeats,
    check_equal_weights,
    check_zero_weights,
    check_inputs_untouched,
    check_global_random_state,
    check_last_step_of_pipeline,
)
