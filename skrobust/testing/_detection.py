"""Checks of detection: errors are found, clean rows are not, and thresholds are observed."""

import warnings
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from skrobust.base._label_estimator import label_tags
from skrobust.testing._estimators import (
    clone_seeded,
    detector_in,
    fit_silently,
    has_param,
    labels_of,
    max_classes,
    part_of,
    silence_label_warnings,
    without_thresholds,
)
from skrobust.testing._outputs import (
    TOLERANCE,
    Outputs,
    assert_equal_in_groups,
    assert_raises,
    assert_same,
    assert_same_over_seeds,
    outputs_of,
    rank_auc,
    take_rows,
)
from skrobust.testing._problems import (
    CLASS_NAMES,
    Array,
    Problem,
    make_clean_problem,
    make_folds_like,
    make_problem,
    make_rows,
    splits_of,
    tables_of,
)
from skrobust.utils._warnings import LabelNoiseWarning


def _differs(first: Array, second: Array) -> Array:
    """Rows in which two arrays of labels differ."""
    return (first != second).reshape(len(first), -1).any(axis=1)


def _share_right(problem: Problem, labels: Array, rows: Array) -> float:
    """Share of labels that are right, or of numbers that are about right."""
    if problem.labels == "numbers":
        return float(np.mean(np.abs(labels[rows] - problem.truth[rows]) < 3))
    truth = problem.truth[rows]
    if problem.has_classes and labels.dtype.kind in "OU":
        truth = CLASS_NAMES[truth]
    return float(np.mean(labels[rows] == truth))


def _has_own_thresholds(estimator: Any) -> bool:
    """Whether the user of a detector, or of the one inside, has set how many rows to flag."""
    detector = detector_in(estimator)
    return any(getattr(detector, n, None) is not None for n in ("threshold", "flag_fraction"))


def check_detector_attributes(estimator: Any) -> None:
    """Quality, flags, kept weights, kept rows and suggestions are consistent."""
    problem = make_problem(estimator)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=problem.n_samples)
    labels = problem.named.copy()
    labels[:4] = np.array([None, np.nan, "", " "], dtype=object) if problem.has_classes else np.nan
    given = np.arange(problem.n_samples) >= 4
    part = part_of(fit_silently(clone_seeded(estimator), problem.X, labels, sample_weight=weight))
    quality, errors, kept = part.label_quality_, part.label_errors_, part.keep_weight_
    assert errors.dtype == bool, f"label_errors_ is of {errors.dtype}, not bool."
    assert quality.dtype.kind == "f", f"label_quality_ is of {quality.dtype}, not float."
    known = quality[~np.isnan(quality)]
    assert known.min() >= 0, "label_quality_ must not be negative."
    assert known.max() <= 1, "label_quality_ must not exceed 1."
    assert not errors[np.isnan(quality)].any(), "A row of quality NaN is flagged."
    assert 0 <= part.noise_rate_ <= 1, f"noise_rate_ is {part.noise_rate_}."
    assert part.threshold_ is None or np.ndim(part.threshold_) == 0, "threshold_ is no number."
    assert (kept <= weight * (1 + 1e-9)).all(), "keep_weight_ exceeds sample_weight."
    assert kept.min() >= 0, "keep_weight_ must not be negative."
    assert not kept[~given].any(), "keep_weight_ of a row without label is not zero."
    clear = given & ~errors
    np.testing.assert_allclose(kept[clear], weight[clear], err_msg="keep_weight_ of kept rows.")
    np.testing.assert_array_equal(
        part.sample_indices_, np.flatnonzero(clear), "sample_indices_ are not the kept rows."
    )
    if not hasattr(part, "suggested_labels_"):
        return
    suggested, corrected = part.suggested_labels_, part.corrected_labels_
    assert suggested.shape == labels.shape, f"suggested_labels_ has shape {suggested.shape}."
    changed = _differs(suggested, labels)
    assert changed[errors].all(), "suggested_labels_ repeats a label that is flagged."
    changed = _differs(corrected, labels)
    assert not changed[clear].any(), "corrected_labels_ changes a label that is not flagged."
    np.testing.assert_array_equal(
        corrected[~given], suggested[~given], "corrected_labels_ of rows without a label."
    )
    if problem.has_classes:
        assert set(suggested) <= set(CLASS_NAMES), "suggested_labels_ holds other labels."
        return
    assert not kept[errors].any(), "keep_weight_ of flagged rows is not zero."
    np.testing.assert_array_equal(
        suggested[clear], labels[clear], "suggested_labels_ of rows that are not flagged."
    )
    # An entry that is flagged may be left as it is, if the other value is not much more probable.
    either = (corrected == suggested) | ((corrected == labels) & (problem.labels == "indicators"))
    assert either.all(), "corrected_labels_ holds other values than given or suggested ones."


def check_finds_planted_errors(estimator: Any) -> None:
    """Errors planted in easy data have the lowest quality, and more of them are flagged."""
    problem = make_problem(estimator, 300)
    planted = problem.planted
    part = part_of(fit_silently(clone_seeded(estimator), problem.X, problem.y))
    auc = rank_auc(-part.label_quality_, planted)
    least = 0.9 if problem.has_classes else 0.95
    assert auc > least, f"Planted errors are found with an AUC of {auc:.2f}, not above {least}."
    flagged = part.label_errors_
    rates = flagged[planted].mean(), flagged[~planted].mean()
    assert rates[0] > rates[1], (
        f"{rates[0]:.0%} of the errors are flagged, and {rates[1]:.0%} of the rest."
    )
    if not problem.has_classes:
        if not _has_own_thresholds(estimator):
            assert rates[0] > 0.7, f"{rates[0]:.0%} of the planted errors are flagged."
            right = planted[flagged].mean()
            assert right > 0.7, f"{right:.0%} of the flagged rows are planted errors."
    elif hasattr(part, "suggested_labels_") and (found := flagged & planted).any():
        share = _share_right(problem, part.suggested_labels_, found)
        assert share > 0.8, f"{share:.0%} of the suggestions for errors found are right."


def check_clean_data(estimator: Any) -> None:
    """Of easy data without errors, at most one row in 200 is flagged."""
    problem = make_clean_problem(estimator)
    if not problem.has_classes:
        if _has_own_thresholds(estimator):
            raise SkipTest("The user has set how many rows to flag.")
        if getattr(detector_in(estimator), "rule", None) in ("refit", "predicted_neq_given"):
            raise SkipTest("The rule flags rows of any data.")
    fitted = fit_silently(without_thresholds(estimator), problem.X, problem.y)
    share = part_of(fitted).label_errors_.mean()
    assert share <= 0.005, f"{share:.1%} of the rows of clean, separable data are flagged."


def check_replicated_errors(estimator: Any) -> None:
    """Replicates of a row have equal outputs, and replicates of an error do not hide it."""
    X, y, planted = make_rows(150)
    rows = np.concatenate([np.arange(len(y)), np.repeat(np.flatnonzero(planted), 2)])
    rows = np.random.default_rng(0).permutation(rows)
    fitted = fit_silently(clone_seeded(estimator), X[rows], y[rows])
    for name in ("label_quality_", "label_errors_"):
        assert_equal_in_groups(getattr(fitted, name), rows, name)
    auc = rank_auc(-fitted.label_quality_, planted[rows])
    assert auc > 0.9, f"Replicated errors are found with an AUC of {auc:.2f} only."


def check_scores_out_of_sample(estimator: Any) -> None:
    """Rows are not scored by models that were trained on them, which would agree with any label."""
    if label_tags(detector_in(estimator)).scores_in_sample:
        raise SkipTest("The method scores rows by the training on them.")
    if labels_of(estimator) == "classes":
        # With more columns than rows, every model learns random labels by heart.
        X = np.random.default_rng(0).normal(size=(120, 200))
        part = part_of(fit_silently(without_thresholds(estimator), X, np.arange(120) % 3))
        rate = max(part.noise_rate_, part.label_errors_.mean())
        assert rate > 0.15, f"Of random labels, {rate:.0%} are estimated to be wrong."
        return
    model = clone_seeded(estimator)
    detector = detector_in(model)
    if not has_param(detector, "estimator"):
        raise SkipTest("There is no parameter estimator.")
    problem = make_problem(model, 200)
    numbers = problem.labels == "numbers"
    nearest = KNeighborsRegressor(1) if numbers else KNeighborsClassifier(1)
    detector.set_params(estimator=nearest)
    part = part_of(fit_silently(model, problem.X, problem.y))
    auc = rank_auc(-part.label_quality_, problem.planted)
    assert auc > 0.7, f"With the nearest neighbour as model, errors are found with AUC {auc:.2f}."


def check_missing_labels(estimator: Any) -> None:
    """Rows without a label are not flagged, are not trained on by accident, get a suggestion."""
    problem = make_problem(estimator, 150, noise=0.1)
    X, y, fold = problem.X, problem.y, problem.fold
    gone = np.arange(len(y)) % 6 == 0
    missing = problem.missing(gone)
    objects = y.astype(object)
    objects[gone] = None
    forms = {"NaN": missing, "None": objects}
    if problem.has_classes:
        forms |= {
            "None in text": np.where(gone, None, problem.named),
            "NaN in text": np.where(gone, np.nan, problem.named),
            "blank text": np.where(gone, "", problem.named).astype(str),
        }
    for kind, labels in forms.items():
        part = part_of(fit_silently(clone_seeded(estimator, cv=splits_of(fold)), X, labels))
        if problem.has_classes:
            n_classes = len(part.classes_)
            expected = max_classes(estimator)
            assert n_classes == expected, f"With labels missing as {kind}: {n_classes} classes."
        if hasattr(part, "label_errors_"):
            assert not part.label_errors_[gone].any(), f"A missing label ({kind}) is flagged."
            assert np.isnan(part.label_quality_[gone]).all(), f"It has a quality ({kind})."
        if hasattr(part, "keep_weight_"):
            assert not part.keep_weight_[gone].any(), f"It is kept ({kind})."
        if hasattr(part, "sample_weight_"):
            assert not part.sample_weight_[gone].any(), f"Missing labels have a weight ({kind})."
        if hasattr(part, "suggested_labels_"):
            share = _share_right(problem, part.suggested_labels_, gone)
            assert share > 0.8, f"{share:.0%} of the suggestions for missing labels are right."

    def with_missing(seed: int) -> Outputs:
        model = clone_seeded(estimator, seed=seed, cv=splits_of(fold))
        return take_rows(outputs_of(fit_silently(model, X, missing), X), ~gone)

    def without(seed: int) -> Outputs:
        model = clone_seeded(estimator, seed=seed, cv=splits_of(fold[~gone]))
        return outputs_of(fit_silently(model, X[~gone], missing[~gone]), X)

    if not label_tags(estimator).learns_from_unlabelled:
        assert_same_over_seeds(estimator, with_missing, without, "Rows without a label")


def check_verified_labels(estimator: Any) -> None:
    """Verified labels override outputs: trusted, or a known error with its correction."""
    problem = make_problem(estimator, 150)
    X, y, truth = problem.X, problem.y, problem.truth.copy()
    reviewed = np.arange(len(y)) % 3 == 0
    given = np.arange(len(y)) >= 6
    if problem.has_classes:
        # The reviewer is wrong once per class.
        n_classes = max_classes(estimator)
        for k in range(n_classes):
            rows = np.flatnonzero(reviewed & ~problem.planted & (problem.truth == k))
            truth[rows[4]] = (k + 1) % n_classes
        labels = np.where(given, problem.named, None)
        verified = np.where(reviewed, CLASS_NAMES[truth], None)
    else:
        labels, verified = problem.missing(~given), truth
        verified[~reviewed] = np.nan
    part = part_of(fit_silently(clone_seeded(estimator), X, labels, verified_labels=verified))
    wrong = given & reviewed & _differs(y, truth)
    trusted = given & reviewed & ~wrong
    if hasattr(part, "label_errors_"):
        assert not part.label_errors_[trusted].any(), "A verified label is flagged."
        assert (part.label_quality_[trusted] == 1).all(), "A verified label has no quality of 1."
        assert part.label_errors_[wrong].all(), "A label known to be wrong is not flagged."
        if y.ndim == 1:
            assert not part.label_quality_[wrong].any(), "A known error has no quality of 0."
        assert np.isnan(part.label_quality_[~given]).all(), "A missing label has a quality."
    if hasattr(part, "suggested_labels_"):
        same = part.suggested_labels_[reviewed] == verified[reviewed]
        assert same.all(), "A verified label is not the suggestion."
    matrix = getattr(part, "transition_matrix_", None)
    if matrix is not None:
        assert (np.diagonal(matrix) < 1).any(), "Known errors leave no trace in the transition."
    if problem.has_classes:
        for unknown in ("dog", 3):
            labels_of_others = np.where(reviewed, unknown, None)
            assert_raises(
                (ValueError, TypeError),
                ("verified_labels",),
                lambda v=labels_of_others: clone_seeded(estimator).fit(
                    X, labels, verified_labels=v
                ),
                "Verified labels of an unknown class",
            )


def check_singleton_class(estimator: Any) -> None:
    """The only row of its class has quality NaN and is not flagged; small classes work."""
    X, y, _ = make_rows(100)
    for size in (1, 2, 3):
        labels = y.copy()
        rare = [5, 31, 77][:size]
        labels[rare] = 9
        fitted = fit_silently(without_thresholds(estimator), X, labels)
        assert fitted.classes_.tolist() == [0, 1, 2, 9], "A small class is not among classes_."
        if size == 1:
            assert np.isnan(fitted.label_quality_[rare]).all(), "The only row of a class is scored."
            assert not fitted.label_errors_[rare].any(), "The only row of a class is flagged."
    assert_raises(
        ValueError,
        ("class",),
        lambda: clone_seeded(estimator).fit(X[:4], ["a", "b", "c", "d"]),
        "Classes of one row each",
    )


def check_class_missing_from_a_fold(estimator: Any) -> None:
    """A model that was trained without a class does not score labels of that class."""
    X, y, _ = make_rows(noise=0)
    fold = make_folds_like(y)
    fold[y == 2] = 0
    # A share to flag that the user sets says nothing about the classes.
    split = clone_seeded(estimator, cv=splits_of(fold), flag_fraction=None)
    fitted = fit_silently(split, X, y)
    flagged = fitted.label_errors_[y == 2].mean()
    assert flagged < 0.1, f"{flagged:.0%} of a class that a fold lacks are flagged."
    assert not np.isnan(fitted.label_quality_[y != 2]).any(), "Other classes are not scored."


def check_threshold(estimator: Any) -> None:
    """`threshold` is compared with the quality, `flag_fraction` is a share; not both at once."""
    problem = make_problem(estimator, 150)
    X, y = problem.X, problem.y
    name = "entry" if problem.labels == "indicators" else "label"

    def fit(**params: Any) -> tuple[Any, Array, Array]:
        fitted = fit_silently(without_thresholds(estimator, **params), X, y)
        return fitted, getattr(fitted, f"{name}_quality_"), getattr(fitted, f"{name}_errors_")

    for threshold in (0.3, 0.9) if problem.has_classes else (0.1, 0.6):
        fitted, quality, errors = fit(threshold=threshold)
        expected = quality < threshold
        for k in range(3) if problem.has_classes else ():
            # A class that would be emptied is covered by check_emptied_class.
            expected[y == k] &= not expected[y == k].all() or errors[y == k]
        np.testing.assert_array_equal(errors, expected, f"threshold={threshold}")
        assert fitted.threshold_ == threshold, f"threshold_ is {fitted.threshold_}."
    for fraction in (0.0, 0.1, 0.25):
        _, quality, errors = fit(flag_fraction=fraction)
        known = ~np.isnan(quality)
        assert not errors[~known].any(), "A row of quality NaN is flagged."
        quality, errors = quality[known], errors[known]
        assert not errors.any() or quality[errors].max() < quality[~errors].min(), (
            "flag_fraction does not flag the rows of the lowest quality, or splits tied rows."
        )
        highest = quality[errors].max() if errors.any() else quality.min()
        n_tied = max(np.sum(quality == highest), np.sum(quality == quality[~errors].min()))
        spare = n_tied / 2 + 1 if problem.has_classes else 0.03 * errors.size
        gap = abs(errors.sum() - fraction * errors.size)
        assert gap <= spare, f"flag_fraction={fraction} flags {errors.sum()} of {errors.size}."
    assert_raises(
        ValueError,
        ("flag_fraction",),
        lambda: clone_seeded(estimator, threshold=0.5, flag_fraction=0.1).fit(X, y),
        "threshold and flag_fraction at once",
    )


def check_ties(estimator: Any) -> None:
    """Rows that are equal in X and y have equal outputs, as have rows tied at a threshold."""
    X, y, _ = make_rows(240)
    X = np.clip(np.round(X / 2), 0, 2)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], y[order]
    group = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)[1].ravel()
    for params in ({}, {"flag_fraction": 0.2}):
        fitted = fit_silently(without_thresholds(estimator, **params), X, y)
        for name in ("label_quality_", "label_errors_"):
            assert_equal_in_groups(getattr(fitted, name), group, name)
        if params:
            errors, quality = fitted.label_errors_, fitted.label_quality_
            shared = np.intersect1d(quality[errors], quality[~errors])
            assert not len(shared), (
                "Rows tied at the threshold of flag_fraction have different flags."
            )


def check_emptied_class(estimator: Any) -> None:
    """A class whose rows are all flagged keeps every row tied at its best quality."""
    X, y, _ = make_rows(100)
    fitted = fit_silently(without_thresholds(estimator, threshold=1.0), X, y)
    for k in range(3):
        quality, errors = fitted.label_quality_[y == k], fitted.label_errors_[y == k]
        assert not errors.all(), "A class is left without rows."
        best = quality == quality.max()
        np.testing.assert_array_equal(~errors, best, "Not the best rows of a class are kept.")


def check_max_flag_rate(estimator: Any) -> None:
    """A warning is issued if most of a class is flagged, unless `max_flag_rate` is None."""
    X, y, _ = make_rows(100)
    assert has_param(estimator, "max_flag_rate"), "There is no parameter max_flag_rate."
    for rate, expected in ((0.5, True), (None, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            without_thresholds(estimator, threshold=1.0, max_flag_rate=rate).fit(X, y)
        found = [w for w in caught if issubclass(w.category, LabelNoiseWarning)]
        assert bool(found) == expected, (
            f"With max_flag_rate={rate} and all rows flagged: {len(found)} LabelNoiseWarnings."
        )


def check_fit_resample(estimator: Any) -> None:
    """`fit_resample` returns the kept rows, in the container they came in."""
    problem = make_problem(estimator, 100)
    X, labels = problem.X, problem.missing(np.array([3]))
    for kind, table in tables_of(estimator, X, list("abcde")).items():
        if kind == "CSC array":
            continue
        model = clone_seeded(estimator)
        with silence_label_warnings():
            rows, kept = model.fit_resample(table, labels)
        assert type(rows) is type(table), f"fit_resample turned {kind} into {type(rows).__name__}."
        index = model.sample_indices_
        assert 0 < len(index) < len(labels), "fit_resample keeps nothing, or a missing label."
        dense = rows.toarray() if kind == "CSR matrix" else np.asarray(rows)
        np.testing.assert_array_equal(dense, X[index], f"Rows of fit_resample, {kind}")
        np.testing.assert_array_equal(kept, labels[index], f"Labels of fit_resample, {kind}")
        missing = np.isnan(labels.reshape(len(labels), -1)).all(axis=1)
        expected = np.flatnonzero(~model.label_errors_ & ~missing)
        np.testing.assert_array_equal(index, expected, "sample_indices_")


def check_new_rows(estimator: Any) -> None:
    """`detect` and `score_labels` score rows that were not in fit, with the stored models."""
    if not has_param(estimator, "store_estimators"):
        raise SkipTest("The detector does not score rows that were not in fit.")
    problem = make_problem(estimator, 300)
    X, wrong = problem.X[200:], problem.planted[200:]
    labels, new = problem.named[:200], problem.named[200:].copy()
    subset = new == "bee" if problem.has_classes else np.arange(len(new)) % 3 == 0
    subset[:2] = False
    new[:2] = [None, np.nan] if problem.has_classes else np.nan
    params = {"threshold": None, "flag_fraction": None} if not problem.has_classes else {}
    model = clone_seeded(estimator, store_estimators=True, **params)
    fitted = fit_silently(model, problem.X[:200], labels)
    quality, errors = fitted.score_labels(X, new), fitted.detect(X, new)
    assert quality.shape == errors.shape == (len(new),), "One output per new row is expected."
    assert errors.dtype == bool, f"detect returned {errors.dtype}, not bool."
    assert np.isnan(quality[:2]).all(), "A new row without label has a quality."
    assert not errors[:2].any(), "A new row without label is flagged."
    auc = rank_auc(-quality[2:], wrong[2:])
    assert auc > 0.9, f"Errors in new rows are found with an AUC of {auc:.2f} only."
    assert errors[wrong].mean() > errors[~wrong].mean(), "Errors in new rows are not flagged."
    np.testing.assert_allclose(
        fitted.score_labels(X[subset], new[subset]),
        quality[subset],
        rtol=TOLERANCE if problem.has_classes else 1e-6,
        err_msg="The quality of a new row depends on the other rows.",
    )
    if problem.has_classes:
        assert_raises(
            ValueError,
            ("class",),
            lambda: fitted.detect(X, np.where(wrong, "dog", new)),
            "New rows with an unknown label",
        )
    plain = fit_silently(clone_seeded(estimator, store_estimators=False), problem.X, problem.y)
    if hasattr(plain, "detect"):
        assert_raises(
            (AttributeError, ValueError),
            ("store_estimators",),
            lambda: plain.detect(problem.X, problem.y),
            "New rows without stored models",
        )


def check_groups(estimator: Any) -> None:
    """Rows are not scored by models trained on rows of their group; groups may have names."""
    problem = make_problem(estimator, 150)
    # Each planted error comes with two near replicates in its group.
    extra = np.repeat(np.flatnonzero(problem.planted), 2)
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.concatenate([np.arange(problem.n_samples), extra]))
    X = problem.X[rows] + rng.normal(scale=1e-3, size=(len(rows), problem.X.shape[1]))
    y, groups = problem.y[rows], np.array([f"group {i}" for i in rows])
    named = fit_silently(clone_seeded(estimator), X, y, groups=groups)
    auc = rank_auc(-part_of(named).label_quality_, problem.planted[rows])
    assert auc > 0.9, f"Errors that come in groups are found with an AUC of {auc:.2f} only."
    numbered = fit_silently(clone_seeded(estimator), X, y, groups=rows)
    assert_same(outputs_of(named), outputs_of(numbered), "Groups named by numbers")


def check_errors_get_less_weight(estimator: Any) -> None:
    """Errors planted in easy data get less weight than the other rows."""
    problem = make_problem(estimator, 300)
    weight = fit_silently(clone_seeded(estimator), problem.X, problem.y).sample_weight_
    auc = rank_auc(-weight, problem.planted)
    assert auc > 0.8, f"Planted errors get lower weights with an AUC of {auc:.2f} only."


def check_transition_is_recovered(estimator: Any) -> None:
    """The transition that errors were planted with in easy data is estimated to within .1."""
    X, y, _ = make_rows(600, n_classes=2, noise=0)
    rng = np.random.default_rng(0)
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    given = np.where(rng.random(len(y)) < transition[y, 1], 1, 0)
    fitted = fit_silently(clone_seeded(estimator), X, given)
    error = np.abs(fitted.transition_matrix_ - transition).max()
    assert error < 0.1, f"An entry of transition_matrix_ is off by {error:.2f}."
    assert abs(fitted.noise_rate_ - 0.2) < 0.1, f"noise_rate_ is {fitted.noise_rate_:.2f}, not .2."
    np.testing.assert_allclose(fitted.class_prior_, 0.5, atol=0.1, err_msg="class_prior_")


# Detectors of any kind, and of class labels.
DETECTOR_CHECKS = (
    check_detector_attributes,
    check_finds_planted_errors,
    check_clean_data,
    check_scores_out_of_sample,
    check_missing_labels,
    check_verified_labels,
    check_groups,
)
DETECTOR_METHOD_CHECKS = (check_threshold, check_fit_resample, check_new_rows)
CLASS_DETECTOR_CHECKS = (
    check_replicated_errors,
    check_singleton_class,
    check_ties,
    check_emptied_class,
    check_max_flag_rate,
)
