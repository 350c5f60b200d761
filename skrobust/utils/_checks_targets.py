"""What detectors and wrappers say about labels that are no classes: numbers, or indicators."""

import copy
import pickle
import random
from unittest import SkipTest

import numpy as np
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import check_random_state, get_tags

from skrobust.utils._checks_common import (
    assert_raises,
    fit_quietly,
    frames_of,
    fresh,
    has_param,
    quiet,
    rank_auc,
    splits_of,
)
from skrobust.utils._checks_inputs import _bad_values

TOLERANCE = 1e-5
_ROWS = ("label_quality_", "label_errors_", "keep_weight_", "suggested_labels_")
_MORE = ("predictions_", "residuals_", "uncertainty_", "entry_quality_", "entry_errors_")
_TOTALS = ("noise_rate_", "threshold_")


def _multi(estimator) -> bool:
    return get_tags(estimator).target_tags.multi_output


def make_targets(estimator, n_samples=120, *, noise=0.1, seed=0):
    """Draw rows of an easy problem of the kind that an estimator is for, and plant errors.

    Parameters
    ----------
    estimator : estimator object
        Numbers, or an indicator matrix of three labels, depending on its tags.
    n_samples : int
        Number of rows.
    noise : float
        Share of rows with an error.
    seed : int
        Seed.

    Returns
    -------
    X : ndarray of shape (n_samples, 5)
        Rows.
    y : ndarray of shape (n_samples,) or (n_samples, 3)
        Given targets, as floats.
    truth : ndarray of the same shape
        Right targets.
    planted : ndarray of shape (n_samples,) of bool
        Rows with an error.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5))
    planted = np.zeros(n_samples, dtype=bool)
    planted[rng.choice(n_samples, round(noise * n_samples), replace=False)] = True
    if not _multi(estimator):
        truth = 2 * X[:, 0] - X[:, 1] + 0.2 * rng.normal(size=n_samples)
        shift = rng.uniform(15, 20, size=n_samples) * rng.choice([-1, 1], size=n_samples)
        return X, np.where(planted, truth + shift, truth), truth, planted
    truth = rng.integers(2, size=(n_samples, 3)).astype(float)
    X[:, :3] += 6 * truth - 3
    y = truth.copy()
    wrong = np.flatnonzero(planted)
    column = rng.integers(3, size=len(wrong))
    y[wrong, column] = 1 - y[wrong, column]
    return X, y, truth, planted


def _judge(fitted):
    return fitted.detector_ if has_param(fitted, "detector") else fitted


def target_answer(fitted, X=None) -> dict:
    """Collect what a fitted estimator says, and predicts of X if it is a wrapper."""
    judge = _judge(fitted)
    answer = {
        name: np.array(getattr(judge, name), dtype=np.float64)
        for name in (*_ROWS, *_MORE, *_TOTALS)
        if getattr(judge, name, None) is not None
    }
    if X is not None and has_param(fitted, "detector"):
        answer["predict"] = np.array(fitted.predict(X))
    return answer


def _take(answer, rows) -> dict:
    return {k: v[rows] if k in (*_ROWS, *_MORE) else v for k, v in answer.items()}


def assert_same_answer(first, second, message, *, tolerance=TOLERANCE) -> None:
    """Compare two answers of :func:`target_answer`."""
    assert first.keys() == second.keys(), f"{message}: attributes differ."
    for name, value in first.items():
        np.testing.assert_allclose(
            value,
            second[name],
            rtol=tolerance,
            atol=tolerance,
            err_msg=f"{message}: {name} differs.",
        )


_same, _answer = assert_same_answer, target_answer


def check_target_attributes(estimator) -> None:
    """Fitted attributes agree with one another, have the right shapes, and fit returns self."""
    X, y, _, _ = make_targets(estimator)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    y[:3] = np.nan
    given = np.arange(len(y)) >= 3
    estimator = fresh(estimator)
    before = {name: str(value) for name, value in estimator.get_params(deep=False).items()}
    assert fit_quietly(estimator, X, y, sample_weight=weight) is estimator, "fit must return self."
    assert estimator.n_features_in_ == X.shape[1], "n_features_in_ is not the number of columns."
    for name, value in estimator.get_params(deep=False).items():
        assert str(value) == before[name], f"fit changed the parameter {name}."
    judge = _judge(estimator)
    quality, errors, kept = judge.label_quality_, judge.label_errors_, judge.keep_weight_
    assert quality.shape == errors.shape == kept.shape == (len(y),), "One answer per row, please."
    assert errors.dtype == bool, f"label_errors_ is of {errors.dtype}, not bool."
    assert np.isnan(quality[~given]).all(), "A missing target has a quality."
    known = quality[given]
    assert known.min() >= 0, "label_quality_ must not be negative."
    assert known.max() <= 1, "label_quality_ must not exceed 1."
    np.testing.assert_array_equal(kept, np.where(errors | ~given, 0, weight), "keep_weight_")
    np.testing.assert_array_equal(judge.sample_indices_, np.flatnonzero(~errors & given))
    assert 0 <= judge.noise_rate_ <= 1, f"noise_rate_ is {judge.noise_rate_}."
    suggested = judge.suggested_labels_
    assert suggested.shape == y.shape, f"suggested_labels_ has shape {suggested.shape}."
    clear = given & ~errors
    np.testing.assert_array_equal(suggested[clear], y[clear], "Suggestions where nothing is wrong")
    corrected = judge.corrected_labels_
    if y.ndim == 1:
        np.testing.assert_array_equal(corrected, suggested, "corrected_labels_")
    # An entry that is flagged may be left as it is, if turning it round is not safe.
    np.testing.assert_array_equal(
        corrected, np.where(~np.isnan(y) & (corrected == y), y, suggested), "corrected_labels_"
    )
    changed = (suggested != y).reshape(len(y), -1).any(axis=1)
    assert changed[errors].all(), "suggested_labels_ repeats what is flagged."


def check_targets_planted_errors(estimator) -> None:
    """Errors planted in easy data have the lowest quality, and more of them are flagged."""
    X, y, _, planted = make_targets(estimator, 300)
    judge = _judge(fit_quietly(fresh(estimator), X, y))
    auc = rank_auc(-judge.label_quality_, planted)
    assert auc > 0.95, f"Planted errors have the lowest quality with an AUC of {auc:.2f} only."
    found = judge.label_errors_[planted].mean()
    asked = [getattr(_part(estimator), name, None) for name in ("threshold", "flag_fraction")]
    if asked == [None, None]:
        assert found > 0.7, f"{found:.0%} of the planted errors are flagged."
        right = planted[judge.label_errors_].mean()
        assert right > 0.7, f"{right:.0%} of what is flagged was planted."


def _part(estimator):
    """The detector, where it was given."""
    return getattr(estimator, "detector", None) or estimator


def check_targets_clean_data(estimator) -> None:
    """In easy data without errors, at most half a percent is flagged."""
    if any(getattr(_part(estimator), n, None) is not None for n in ("threshold", "flag_fraction")):
        raise SkipTest("The user said how many rows to flag.")
    if getattr(_part(estimator), "rule", None) in ("refit", "predicted_neq_given"):
        raise SkipTest("The rule flags rows of any data.")
    X, y, _, _ = make_targets(estimator, 1000, noise=0)
    rate = np.mean(_judge(fit_quietly(fresh(estimator), X, y)).label_errors_)
    assert rate <= 0.005, f"{rate:.1%} of clean data are flagged."


def check_targets_refit_clone_pickle(estimator) -> None:
    """A second fit, a clone and a copy that was pickled give the same answer."""
    X, y, _, _ = make_targets(estimator)
    other = make_targets(estimator, 80, seed=1)[:2]
    fitted = fit_quietly(fresh(estimator), X, y)
    answer = _answer(fitted, X)
    _same(answer, _answer(pickle.loads(pickle.dumps(fitted)), X), "pickle", tolerance=1e-12)
    detour = fit_quietly(fit_quietly(copy.deepcopy(fitted), *other), X, y)
    _same(answer, _answer(detour, X), "A fit to other rows between two fits", tolerance=1e-12)
    _same(answer, _answer(fit_quietly(clone(fitted), X, y), X), "clone", tolerance=1e-12)
    parallel = fresh(estimator, n_jobs=2)
    with parallel_config("threading"):
        _same(answer, _answer(fit_quietly(parallel, X, y), X), "n_jobs", tolerance=1e-9)


def check_targets_containers(estimator) -> None:
    """Dense equals sparse equals DataFrame; targets come in lists, Series and frames."""
    X, y, _, _ = make_targets(estimator, 90)
    X = np.where(np.abs(X) < 0.3, 0.0, X)
    expected = _answer(fit_quietly(fresh(estimator), X, y), X)
    names = [f"column {j}" for j in range(X.shape[1])]
    tables = {"list": X.tolist(), "Fortran order": np.asfortranarray(X), **frames_of(X, names)}
    if get_tags(estimator).input_tags.sparse:
        tables["CSR matrix"] = sparse.csr_matrix(X)
        tables["CSC array"] = sparse.csc_array(X)
    for kind, table in tables.items():
        fitted = fit_quietly(fresh(estimator), table, y)
        # Trees sum up sparse columns in another order, by which ties may be broken in other ways.
        tolerance = 0.02 if kind.startswith("CS") else 1e-4
        answer = _answer(fitted, table)
        _same(expected, answer, f"X as {kind}", tolerance=tolerance)
        assert fitted.n_features_in_ == X.shape[1], f"n_features_in_ of {kind}."
        if kind in ("pandas", "polars"):
            np.testing.assert_array_equal(fitted.feature_names_in_, names, f"Names of {kind}.")
    forms = {"list": y.tolist(), "objects": y.astype(object)}
    if _multi(estimator):
        forms.update(frames_of(y, list("abc")), sparse=sparse.csr_matrix(y), int8=y.astype("i1"))
    else:
        frames = frames_of(y[:, None], ["target"])
        forms.update({kind: frame["target"] for kind, frame in frames.items()})
    for kind, targets in forms.items():
        answer = _answer(fit_quietly(fresh(estimator), X, targets), X)
        _same(expected, answer, f"y as {kind}", tolerance=1e-9)


def _fold(n_samples):
    return np.random.default_rng(3).permutation(n_samples) % 3


def check_targets_permuted_rows(estimator) -> None:
    """Permuting rows permutes the answer, if the folds go with the rows."""
    X, y, _, _ = make_targets(estimator)
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    fold, order = _fold(len(y)), np.random.default_rng(1).permutation(len(y))
    for params in ({}, {"sample_weight": weight}):
        straight = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, y, **params)
        given = {key: value[order] for key, value in params.items()}
        permuted = fit_quietly(
            fresh(estimator, cv=splits_of(fold[order])), X[order], y[order], **given
        )
        _same(_take(_answer(straight, X), order), _answer(permuted, X), "Permuted rows")


def check_targets_weights_equal_repeats(estimator) -> None:
    """An integer weight counts as so many equal rows, and weight zero as none."""
    X, y, _, _ = make_targets(estimator)
    weight = np.random.default_rng(0).integers(0, 4, size=len(y))
    fold = _fold(len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    counted = weight > 0
    first = (np.cumsum(weight) - weight)[counted]
    weighed = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, y, sample_weight=weight)
    answer = _take(_answer(weighed, X), counted)
    repeated = fit_quietly(fresh(estimator, cv=splits_of(fold[rows])), X[rows], y[rows])
    other = _answer(repeated, X)
    same = np.repeat(other["label_quality_"][first], weight[counted])
    np.testing.assert_allclose(other["label_quality_"], same, rtol=1e-6, err_msg="Equal rows")
    kept = np.bincount(rows, weights=other["keep_weight_"], minlength=len(y))[counted]
    other = _take(other, first)
    other["keep_weight_"] = kept
    _same(answer, other, "Repeated rows instead of weights")
    ones = fit_quietly(fresh(estimator), X, y, sample_weight=[1] * len(y))
    _same(
        _answer(fit_quietly(fresh(estimator), X, y), X),
        _answer(ones, X),
        "Weights of one",
    )


def check_targets_zero_weights(estimator) -> None:
    """Rows of weight zero are not learned from, whatever their targets are."""
    X, y, _, _ = make_targets(estimator)
    fold, keep = _fold(len(y)), np.arange(len(y)) % 5 != 0
    weight = np.where(keep, 1.5, 0.0)
    bad = np.where(keep if y.ndim == 1 else keep[:, None], y, 1 - y)
    weighed = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, bad, sample_weight=weight)
    assert not _judge(weighed).keep_weight_[~keep].any(), "Weight zero is kept with a weight."
    without = fit_quietly(
        fresh(estimator, cv=splits_of(fold[keep])), X[keep], y[keep], sample_weight=weight[keep]
    )
    first, second = _take(_answer(weighed, X), keep), _answer(without, X)
    _same(first, second, "Rows of weight zero")


def check_targets_missing(estimator) -> None:
    """Missing targets are not fitted on or flagged, have quality NaN, and get a suggestion."""
    X, y, truth, _ = make_targets(estimator, 150)
    gone, fold = np.arange(len(y)) % 6 == 0, _fold(len(y))
    missing = y.copy()
    missing[gone] = np.nan
    fitted = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, missing)
    judge = _judge(fitted)
    assert not judge.label_errors_[gone].any(), "A missing target is flagged."
    assert np.isnan(judge.label_quality_[gone]).all(), "A missing target has a quality."
    assert not judge.keep_weight_[gone].any(), "A missing target is kept."
    off = np.abs(judge.suggested_labels_[gone] - truth[gone])
    assert off.mean() < 1.5, "Suggestions for missing targets are far off."
    without = fit_quietly(fresh(estimator, cv=splits_of(fold[~gone])), X[~gone], y[~gone])
    _same(_take(_answer(fitted, X), ~gone), _answer(without, X), "Rows without a target")
    nones = missing.astype(object)
    nones[gone] = None
    again = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, nones)
    _same(_answer(fitted, X), _answer(again, X), "None for NaN", tolerance=1e-12)


def check_targets_verified(estimator) -> None:
    """Verified targets settle their rows: trusted, or a known error with its correction."""
    X, y, truth, planted = make_targets(estimator, 150)
    looked = np.arange(len(y)) % 3 == 0
    verified = truth.copy()
    verified[~looked] = np.nan
    y[:6] = np.nan
    given = np.arange(len(y)) >= 6
    judge = _judge(fit_quietly(fresh(estimator), X, y, verified_labels=verified))
    trusted, wrong = given & looked & ~planted, given & looked & planted
    assert not judge.label_errors_[trusted].any(), "A verified target is flagged."
    assert (judge.label_quality_[trusted] == 1).all(), "A verified target has no quality of 1."
    assert judge.label_errors_[wrong].all(), "A target known to be wrong is not flagged."
    if y.ndim == 1:
        assert not judge.label_quality_[wrong].any(), "A known error has no quality of 0."
    np.testing.assert_array_equal(
        judge.suggested_labels_[looked], truth[looked], "A verified target is not the suggestion."
    )
    assert np.isnan(judge.label_quality_[~given]).all(), "A missing target has a quality."


def check_targets_groups(estimator) -> None:
    """Rows of one group do not judge one another; text works as names of groups."""
    X, y, _, planted = make_targets(estimator, 120)
    rng = np.random.default_rng(0)
    extra = np.repeat(np.flatnonzero(planted), 2)
    rows = rng.permutation(np.concatenate([np.arange(len(y)), extra]))
    near = X[rows] + rng.normal(scale=1e-3, size=(len(rows), X.shape[1]))
    groups = np.array([f"group {i}" for i in rows])
    judge = _judge(fit_quietly(fresh(estimator), near, y[rows], groups=groups))
    auc = rank_auc(-judge.label_quality_, planted[rows])
    assert auc > 0.9, f"Errors that stand in groups are found with an AUC of {auc:.2f} only."
    numbers = fit_quietly(fresh(estimator), near, y[rows], groups=rows)
    _same(_answer(judge), _answer(_judge(numbers)), "Groups named by numbers")


def check_targets_inputs_untouched(estimator) -> None:
    """Fit writes into nothing that it is given, and works on read-only arrays."""
    X, y, truth, _ = make_targets(estimator, 90)
    verified = truth.copy()
    verified[9:] = np.nan
    weight = np.random.default_rng(0).uniform(0, 2, size=len(y))
    inputs = {"X": X, "y": y, "verified_labels": verified, "sample_weight": weight}
    before = copy.deepcopy(inputs)
    fitted = fit_quietly(fresh(estimator), **inputs)
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name], f"fit changed {name}.")
        value.flags.writeable = False
    read_only = fit_quietly(fresh(estimator), **inputs)
    _same(_answer(fitted, X), _answer(read_only, X), "Read-only arrays", tolerance=1e-9)


def check_targets_global_random_state(estimator) -> None:
    """Neither read nor advance the global generators of NumPy and Python."""
    X, y, _, _ = make_targets(estimator, 60)
    generator = check_random_state(np.random)
    saved = generator.get_state(legacy=False), random.getstate()
    try:
        for seed in (None, 0):
            generator.seed(1)
            random.seed(1)
            before = pickle.dumps((generator.get_state(legacy=False), random.getstate()))
            fit_quietly(fresh(estimator, seed=seed), X, y)
            after = pickle.dumps((generator.get_state(legacy=False), random.getstate()))
            assert before == after, f"fit with random_state={seed} moved a global generator."
    finally:
        generator.set_state(saved[0])
        random.setstate(saved[1])


def check_targets_cuts(estimator) -> None:
    """`threshold` is a cut of the quality, `flag_fraction` a share, and they exclude each other."""
    X, y, _, _ = make_targets(estimator, 100)
    name = "entry" if _multi(estimator) else "label"
    for threshold in (0.1, 0.6):
        model = fresh(estimator, threshold=threshold, flag_fraction=None)
        fitted = fit_quietly(model, X, y)
        quality, errors = getattr(fitted, f"{name}_quality_"), getattr(fitted, f"{name}_errors_")
        np.testing.assert_array_equal(errors, quality < threshold, f"threshold={threshold}")
        assert fitted.threshold_ == threshold, f"threshold_ is {fitted.threshold_}."
    for fraction in (0.0, 0.1, 0.25):
        model = fresh(estimator, threshold=None, flag_fraction=fraction)
        fitted = fit_quietly(model, X, y)
        errors, quality = getattr(fitted, f"{name}_errors_"), getattr(fitted, f"{name}_quality_")
        gap = abs(errors.mean() - fraction)
        assert gap < 0.03, f"flag_fraction={fraction} flags {errors.mean():.1%}."
        assert not errors.any() or quality[errors].max() < quality[~errors].min(), (
            "flag_fraction does not flag the lowest quality, or splits ties."
        )
    both = fresh(estimator, threshold=0.5, flag_fraction=0.1)
    assert_raises(ValueError, ["flag_fraction"], lambda: both.fit(X, y), "Both cuts at once")


def check_targets_fit_resample(estimator) -> None:
    """`fit_resample` returns the kept rows, in the container they came in."""
    X, y, _, _ = make_targets(estimator, 80)
    y[3] = np.nan
    tables = {"array": X, "sparse": sparse.csr_matrix(X), **frames_of(X, list("abcde"))}
    if not get_tags(estimator).input_tags.sparse:
        del tables["sparse"]
    for kind, table in tables.items():
        model = fresh(estimator)
        with quiet():
            rows, kept = model.fit_resample(table, y)
        assert type(rows) is type(table), f"fit_resample turned {kind} into {type(rows).__name__}."
        index = model.sample_indices_
        dense = rows.toarray() if kind == "sparse" else np.asarray(rows)
        np.testing.assert_array_equal(dense, X[index], f"Rows of fit_resample, {kind}")
        np.testing.assert_array_equal(kept, y[index], f"Targets of fit_resample, {kind}")


def check_targets_new_rows(estimator) -> None:
    """`detect` and `score_labels` judge rows that were not in fit, if the models were kept."""
    X, y, _, planted = make_targets(estimator, 300)
    model = fresh(estimator, store_estimators=True, threshold=None, flag_fraction=None)
    fitted = fit_quietly(model, X[:200], y[:200])
    X_new, new, wrong = X[200:], y[200:].copy(), planted[200:]
    new[:2] = np.nan
    quality, errors = fitted.score_labels(X_new, new), fitted.detect(X_new, new)
    assert quality.shape == errors.shape == (len(new),), "One answer per new row is expected."
    assert np.isnan(quality[:2]).all(), "A new row without target has a quality."
    assert not errors[:2].any(), "A new row without target is flagged."
    auc = rank_auc(-quality[2:], wrong[2:])
    assert auc > 0.9, f"Errors in new rows are found with an AUC of {auc:.2f} only."
    assert errors[wrong].mean() > errors[~wrong].mean(), "Errors in new rows are not flagged."
    some = fitted.score_labels(X_new[::3], new[::3])
    np.testing.assert_allclose(some, quality[::3], rtol=1e-6, err_msg="It depends on other rows.")
    plain = fit_quietly(fresh(estimator, store_estimators=False), X[:60], y[:60])
    assert_raises(
        (AttributeError, ValueError), ["store_estimators"], lambda: plain.detect(X, y), "No models"
    )


def check_targets_bad_parameters(estimator) -> None:
    """A bad value of each constructor parameter raises an error that names the parameter."""
    X, y, _, _ = make_targets(estimator, 60)
    constraints = type(estimator)._parameter_constraints
    params = set(estimator.get_params(deep=False))
    assert params == set(constraints), f"Constraints differ: {params ^ set(constraints)}."
    for name in sorted(params):
        for value in _bad_values(constraints[name]):
            model = fresh(estimator).set_params(**{name: value})
            for other in {"threshold", "flag_fraction"} - {name}:
                if other in params:
                    model.set_params(**{other: None})
            assert_raises(
                (ValueError, TypeError),
                [name],
                lambda model=model: model.fit(X, y),
                f"{name}={value!r}",
            )


def check_targets_bad_input(estimator) -> None:
    """What cannot be targets, weights or rows is refused by an error that names the culprit."""
    X, y, _, _ = make_targets(estimator, 60)
    n_samples = len(y)
    odd = np.arange(n_samples) == 7
    infinite = y.copy()
    infinite[7] = np.inf
    bad_y = {
        "None": (None, ["y"]),
        "infinite": (infinite, ["inf"]),
        "all missing": (np.full(y.shape, np.nan), ["missing", "class"]),
        "text": (np.full(y.shape, "many"), ["many", "numeric"]),
        "complex": (y + 1j, ["complex"]),
        "too short": (y[:-1], ["sample"]),
    }
    if _multi(estimator):
        bad_y["1-D"] = (y[:, 0], ["indicator"])
        bad_y["other numbers"] = (y + 1, ["0, 1"])
        bad_y["the same"] = (np.ones_like(y), ["class"])
    else:
        bad_y["2-D"] = (np.column_stack([y, y]), ["1d", "shape"])
        bad_y["sparse"] = (sparse.csr_matrix(y), ["dense", "sparse"])
    cases = [((X, targets), {}, words, f"y ({kind})") for kind, (targets, words) in bad_y.items()]
    weights = {
        "negative": np.where(odd, -1.0, 1.0),
        "zero": np.zeros(n_samples),
        "NaN": np.where(odd, np.nan, 1.0),
        "too short": np.ones(n_samples - 1),
    }
    for kind, weight in weights.items():
        cases.append(((X, y), {"sample_weight": weight}, ["weight"], f"Weights ({kind})"))
    cases.append(((X, y), {"verified_labels": y[:-1]}, ["sample"], "verified_labels too short"))
    cases.append(((X, y), {"groups": [1, 2]}, ["sample"], "groups too short"))
    cases.append(((X[:0], y[:0]), {}, ["0 sample"], "No rows"))
    cases.append(((X[:, :0], y), {}, ["0 feature"], "No columns"))
    cases.append(((np.where(odd[:, None], np.inf, X), y), {}, ["inf"], "X with infinity"))
    for args, kwargs, words, what in cases:
        model = fresh(estimator)
        assert_raises(
            (ValueError, TypeError),
            words,
            lambda model=model, args=args, kwargs=kwargs: model.fit(*args, **kwargs),
            what,
        )


def check_targets_pipeline(estimator) -> None:
    """The last step of a Pipeline gives the answer it gives alone, weights and all."""
    X, y, _, _ = make_targets(estimator)
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    scaled = MaxAbsScaler().fit_transform(X)
    alone = fit_quietly(fresh(estimator), scaled, y, sample_weight=weight)
    pipeline = make_pipeline(MaxAbsScaler(), fresh(estimator))
    fit_quietly(pipeline, X, y, **{f"{pipeline.steps[-1][0]}__sample_weight": weight})
    _same(
        _answer(alone, scaled),
        _answer(pipeline[-1], scaled),
        "A Pipeline",
        tolerance=1e-9,
    )


TARGET_CHECKS = (
    check_target_attributes,
    check_targets_planted_errors,
    check_targets_clean_data,
    check_targets_refit_clone_pickle,
    check_targets_containers,
    check_targets_permuted_rows,
    check_targets_weights_equal_repeats,
    check_targets_zero_weights,
    check_targets_missing,
    check_targets_verified,
    check_targets_groups,
    check_targets_inputs_untouched,
    check_targets_global_random_state,
    check_targets_bad_parameters,
    check_targets_bad_input,
    check_targets_pipeline,
)
TARGET_DETECTOR_CHECKS = (
    check_targets_cuts,
    check_targets_fit_resample,
    check_targets_new_rows,
)
