"""What must not change the answer: names, order, containers, copies, and the generator of others.

These checks hold for detectors, reweighters, transition estimators and wrappers alike. Each takes
an estimator, which it does not fit in place, and raises AssertionError.
"""

import copy
import functools
import pickle
import random

import numpy as np
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import check_random_state, get_tags

from skrobust.utils._checks_common import (
    ROW_ANSWERS,
    answer_of,
    assert_same,
    assert_same_over_seeds,
    fit_quietly,
    frames_of,
    fresh,
    has_param,
    is_robust_classifier,
    judge_of,
    make_folds_like,
    make_rows,
    rename,
    splits_of,
    take_rows,
    usual_n_classes,
)


def check_attributes(estimator) -> None:
    """Fitted attributes have the shapes and types of the contract, and fit returns self."""
    X, y, _ = make_rows()
    names = np.array(["ant", "bee", "cow"])
    labels = names[y]
    estimator = fresh(estimator)
    assert fit_quietly(estimator, X, labels) is estimator, "fit must return self."
    assert estimator.n_features_in_ == X.shape[1], "n_features_in_ is not the number of columns."
    judge = judge_of(estimator)
    np.testing.assert_array_equal(judge.classes_, names[: usual_n_classes()], "classes_")
    for name in ROW_ANSWERS:
        if hasattr(judge, name):
            value = getattr(judge, name)
            assert isinstance(value, np.ndarray), f"{name} is no array."
            assert value.shape == y.shape, f"{name} has shape {value.shape}, not {y.shape}."
    weight = getattr(judge, "sample_weight_", None)
    if weight is not None:
        assert np.isfinite(weight).all(), "sample_weight_ must be finite."
        assert weight.min() >= 0, "sample_weight_ must not be negative."
        np.testing.assert_allclose(weight.mean(), 1, err_msg="sample_weight_ must have mean 1.")
    _check_transition(judge)
    rate = getattr(judge, "noise_rate_", None)
    assert rate is None or (np.ndim(rate) == 0 and 0 <= rate <= 1), f"noise_rate_ is {rate!r}."


def _check_transition(judge) -> None:
    matrix = getattr(judge, "transition_matrix_", None)
    if matrix is None:
        return
    n_classes = len(judge.classes_)
    assert matrix.shape == (n_classes, n_classes), f"transition_matrix_ has shape {matrix.shape}."
    assert matrix.min() >= 0, "transition_matrix_ has negative entries."
    np.testing.assert_allclose(matrix.sum(axis=1), 1, err_msg="Rows of transition_matrix_")
    prior = getattr(judge, "class_prior_", None)
    if prior is not None:
        assert prior.shape == (n_classes,), f"class_prior_ has shape {prior.shape}."
        np.testing.assert_allclose(prior.sum(), 1, err_msg="class_prior_ must sum to 1.")
    interval = getattr(judge, "transition_interval_", None)
    if interval is not None:
        assert interval.shape == (2, n_classes, n_classes), (
            "transition_interval_ has a wrong shape."
        )
        assert (interval[0] <= interval[1]).all(), "transition_interval_ has ends swapped."


def check_renamed_classes(estimator) -> None:
    """Renaming classes changes nothing, not even if it reverses their order."""
    X, y, _ = make_rows()
    splits = splits_of(make_folds_like(y))

    def fit(labels):
        return lambda seed: answer_of(
            fit_quietly(fresh(estimator, seed=seed, cv=splits), X, labels), X
        )

    base = functools.cache(fit(y))
    for new in (["zebra", "yak", "xerus"], [7, 3, 5]):
        names = dict(enumerate(new[: usual_n_classes()]))
        assert_same_over_seeds(
            estimator,
            lambda seed, names=names: rename(base(seed), names),
            fit(np.array(new)[y]),
            f"Classes renamed to {new}",
        )


def check_label_types(estimator) -> None:
    """Text, bools, {3, 7}, whole floats, objects and lists work as labels and come back."""
    X, y, _ = make_rows(n_classes=2)
    expected = answer_of(fit_quietly(fresh(estimator), X, y), X)
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
        fitted = fit_quietly(fresh(estimator), X, classes[y])
        judge = judge_of(fitted)
        np.testing.assert_array_equal(judge.classes_, classes, f"classes_ for {kind} labels.")
        answer = rename(expected, dict(zip([0, 1], classes.tolist(), strict=True)))
        assert_same(answer, answer_of(fitted, X), f"Labels of type {kind}")
        if hasattr(judge, "suggested_labels_"):
            given = judge.suggested_labels_.dtype.kind
            assert given == judge.classes_.dtype.kind, f"suggested_labels_ of {kind} are {given}."
        if kind in ("text", "bool", "float"):
            as_list = fit_quietly(fresh(estimator), X, classes[y].tolist())
            assert_same(answer, answer_of(as_list, X), f"Labels of type {kind} in a list")


def check_refit_clone_pickle(estimator) -> None:
    """A second fit, a clone and a copy that was pickled give the same answer."""
    X, y, _ = make_rows()
    other = make_rows(80, n_classes=4 if usual_n_classes() > 2 else 2, seed=1)
    fitted = fit_quietly(fresh(estimator), X, y)
    answer = answer_of(fitted, X)
    exactly = {"tolerance": 1e-12}
    restored = pickle.loads(pickle.dumps(fitted))
    assert_same(answer, answer_of(restored, X), "pickle of a fitted estimator", **exactly)
    again = fit_quietly(copy.deepcopy(fitted), X, y)
    assert_same(answer, answer_of(again, X), "A second fit", **exactly)
    detour = fit_quietly(copy.deepcopy(fitted), other[0], other[1])
    back = fit_quietly(detour, X, y)
    assert_same(answer, answer_of(back, X), "A fit to other rows between two fits", **exactly)
    cloned = fit_quietly(clone(fitted), X, y)
    assert_same(answer, answer_of(cloned, X), "clone", **exactly)
    if has_param(estimator, "n_jobs"):
        parallel = fresh(estimator)
        known = parallel.get_params(deep=False)["n_jobs"]
        parallel.set_params(n_jobs=1 if known not in (None, 1) else 2)
        # Threads, because processes are slow to start, and checked by a grid search.
        with parallel_config("threading"):
            assert_same(answer, answer_of(fit_quietly(parallel, X, y), X), "n_jobs")


def check_containers(estimator) -> None:
    """Dense equals sparse equals DataFrame; names of columns are recorded."""
    X, y, _ = make_rows(90)
    X = np.where(np.abs(X) < 0.5, 0.0, X)
    expected = answer_of(fit_quietly(fresh(estimator), X, y), X)
    containers = {"list": X.tolist(), "Fortran order": np.asfortranarray(X)}
    if get_tags(estimator).input_tags.sparse:
        containers["CSR matrix"] = sparse.csr_matrix(X)
        containers["CSC array"] = sparse.csc_array(X)
    names = [f"column {j}" for j in range(X.shape[1])]
    frames = frames_of(X, names)
    for kind, table in {**containers, **frames}.items():
        fitted = fit_quietly(fresh(estimator), table, y)
        assert_same(expected, answer_of(fitted, table), f"X as {kind}")
        assert fitted.n_features_in_ == X.shape[1], f"n_features_in_ of {kind}."
        if kind in frames:
            np.testing.assert_array_equal(fitted.feature_names_in_, names, f"Names of {kind}.")
    for library in frames:
        labels = __import__(library).Series(name="label", **_values(library, y))
        assert_same(
            expected, answer_of(fit_quietly(fresh(estimator), X, labels), X), f"y of {library}"
        )
    if "pandas" in frames:
        # Labels of rows in an index are not row numbers.
        frame = frames["pandas"].set_index(np.arange(len(y))[::-1] * 10)
        assert_same(expected, answer_of(fit_quietly(fresh(estimator), frame, y), frame), "An index")


def _values(library, values) -> dict:
    return {"data" if library == "pandas" else "values": values}


def check_permuted_rows(estimator) -> None:
    """Permuting rows permutes the answer, if the folds go with the rows."""
    X, y, _ = make_rows()
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    fold = make_folds_like(y)
    order = np.random.default_rng(1).permutation(len(y))
    for kind, params in (("", {}), (" with weights", {"sample_weight": weight})):
        given = {key: value[order] for key, value in params.items()}

        def straight(seed, params=params):
            model = fresh(estimator, seed=seed, cv=splits_of(fold))
            return take_rows(answer_of(fit_quietly(model, X, y, **params), X), order)

        def permuted(seed, given=given):
            model = fresh(estimator, seed=seed, cv=splits_of(fold[order]))
            return answer_of(fit_quietly(model, X[order], y[order], **given), X)

        assert_same_over_seeds(estimator, straight, permuted, f"Permuted rows{kind}")


def check_weights_equal_repeats(estimator) -> None:
    """An integer weight counts as so many equal rows, if the folds go with the rows."""
    X, y, _ = make_rows()
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    fold = make_folds_like(y)
    rows = np.repeat(np.arange(len(y)), weight)
    first = np.concatenate([[0], np.cumsum(weight)[:-1]])

    def weighed(seed):
        model = fresh(estimator, seed=seed, cv=splits_of(fold))
        return answer_of(fit_quietly(model, X, y, sample_weight=weight), X)

    def repeated(seed):
        model = fresh(estimator, seed=seed, cv=splits_of(fold[rows]))
        answer = answer_of(fit_quietly(model, X[rows], y[rows]), X)
        for name in ("label_quality_", "label_errors_"):
            if name in answer:
                again = np.repeat(answer[name][first], weight)
                np.testing.assert_allclose(
                    answer[name], again, rtol=1e-9, err_msg=f"{name} of equal rows differs."
                )
        taken = take_rows(answer, first)
        if "keep_weight_" in answer:
            taken["keep_weight_"] = np.bincount(rows, weights=answer["keep_weight_"])
        return taken

    assert_same_over_seeds(estimator, weighed, repeated, "Repeated rows instead of weights")


def check_equal_weights(estimator) -> None:
    """Weights of one are no weights, in an array or in a list."""
    X, y, _ = make_rows()
    splits = splits_of(make_folds_like(y))

    def fit(weight):
        return lambda seed: answer_of(
            fit_quietly(fresh(estimator, seed=seed, cv=splits), X, y, sample_weight=weight), X
        )

    assert_same_over_seeds(estimator, fit(None), fit(np.ones(len(y))), "Weights of one")
    assert_same_over_seeds(estimator, fit(None), fit([1] * len(y)), "Weights in a list")


def check_zero_weights(estimator) -> None:
    """Rows of weight zero leave the rest as if they were not there."""
    X, y, _ = make_rows(150)
    fold = make_folds_like(y)
    keep = np.arange(len(y)) % 5 != 0
    weight = np.where(keep, 1.0, 0.0)
    # If they were learned from, these labels would do some harm.
    bad = np.where(keep, y, (y + 1) % usual_n_classes())

    def weighed(seed):
        model = fresh(estimator, seed=seed, cv=splits_of(fold))
        fitted = fit_quietly(model, X, bad, sample_weight=weight)
        answer = answer_of(fitted, X)
        for name in ("keep_weight_", "sample_weight_"):
            if name in answer:
                assert not answer[name][~keep].any(), f"{name} of rows of weight zero is not zero."
        return take_rows(answer, keep)

    def without(seed):
        model = fresh(estimator, seed=seed, cv=splits_of(fold[keep]))
        return answer_of(fit_quietly(model, X[keep], y[keep], sample_weight=weight[keep]), X)

    assert_same_over_seeds(estimator, weighed, without, "Rows of weight zero")


def check_inputs_untouched(estimator) -> None:
    """Fit writes into nothing that it is given, and works on read-only arrays."""
    X, y, _ = make_rows()
    verified = np.full(len(y), np.nan)
    verified[:9] = y[:9]
    inputs = {
        "X": X,
        "y": y.astype(float),
        "verified_labels": verified,
        "sample_weight": np.random.default_rng(0).uniform(0, 2, size=len(y)),
    }
    before = copy.deepcopy(inputs)
    fitted = fit_quietly(fresh(estimator), **inputs)
    if is_robust_classifier(estimator):
        fitted.predict(inputs["X"])
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name], f"fit changed {name}.")
        value.flags.writeable = False
    read_only = fit_quietly(fresh(estimator), **inputs)
    assert_same(answer_of(fitted, X), answer_of(read_only, X), "Read-only arrays")
    frames = frames_of(X, list("abcde"))
    if "pandas" in frames:
        frame = frames["pandas"].copy()
        fit_quietly(fresh(estimator), frame, y)
        assert frame.equals(frames["pandas"]), "fit changed a DataFrame."
    if get_tags(estimator).input_tags.sparse:
        matrix = sparse.csr_matrix(X)
        fit_quietly(fresh(estimator), matrix, y)
        np.testing.assert_array_equal(matrix.toarray(), X, "fit changed a sparse matrix.")


def check_global_random_state(estimator) -> None:
    """Neither read nor advance the global generators of NumPy and Python."""
    X, y, _ = make_rows(60)
    generator = check_random_state(np.random)
    saved = _state(generator)
    try:
        for seed in (None, 0):
            _seed(generator, 1)
            before = _state(generator)
            model = fresh(estimator, seed=seed)
            if is_robust_classifier(model):
                # The classifier that is trained in the end keeps its own random state.
                known = model.get_params(deep=True)
                keys = [key for key in known if key.startswith("estimator__")]
                model.set_params(**{key: 0 for key in keys if key.endswith("random_state")})
            fit_quietly(model, X, y)
            same = pickle.dumps(before) == pickle.dumps(_state(generator))
            assert same, f"fit with random_state={seed} moved a global generator."
        first = answer_of(model, X)
        _seed(generator, 2)
        second = answer_of(fit_quietly(fresh(estimator), X, y), X)
        assert_same(first, second, "The state of the global generator", tolerance=1e-12)
    finally:
        generator.set_state(saved[0])
        random.setstate(saved[1])


def _state(generator):
    return generator.get_state(legacy=False), random.getstate()


def _seed(generator, seed) -> None:
    generator.seed(seed)
    random.seed(seed)


def check_last_step_of_pipeline(estimator) -> None:
    """The last step of a Pipeline gives the answer it gives alone, weights and all."""
    X, y, _ = make_rows()
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    scaled = MaxAbsScaler().fit_transform(X)
    alone = fit_quietly(fresh(estimator), scaled, y, sample_weight=weight)
    pipeline = make_pipeline(MaxAbsScaler(), fresh(estimator))
    step = pipeline.steps[-1][0]
    fit_quietly(pipeline, X, y, **{f"{step}__sample_weight": weight})
    assert_same(answer_of(alone, scaled), answer_of(pipeline[-1], scaled), "A Pipeline")


INVARIANCE_CHECKS = (
    check_attributes,
    check_renamed_classes,
    check_label_types,
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
