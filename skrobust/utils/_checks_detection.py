"""Does it find what it is there to find? Checks of detectors, reweighters and transitions."""

import warnings
from unittest import SkipTest

import numpy as np
from scipy import sparse

from skrobust.utils._checks_common import (
    TOLERANCE,
    answer_of,
    assert_raises,
    assert_same,
    assert_same_over_seeds,
    fit_quietly,
    frames_of,
    fresh,
    has_param,
    judge_of,
    make_folds_like,
    make_rows,
    quiet,
    rank_auc,
    splits_of,
    take_rows,
    usual_n_classes,
)
from skrobust.utils._warnings import LabelNoiseWarning


def _without_cuts(estimator, **params):
    """Clone a detector without the user's own cuts."""
    return fresh(estimator, **{"threshold": None, "flag_fraction": None, **params})


def check_detector_attributes(estimator) -> None:
    """Quality, flags, kept weights, kept rows and suggestions agree with one another."""
    X, y, _ = make_rows()
    weight = np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    labels = np.array(["ant", "bee", "cow"], dtype=object)[y]
    labels[:4] = [None, np.nan, "", " "]
    given = np.arange(len(y)) >= 4
    fitted = fit_quietly(fresh(estimator), X, labels, sample_weight=weight)
    quality, errors = fitted.label_quality_, fitted.label_errors_
    assert errors.dtype == bool, f"label_errors_ is of {errors.dtype}, not bool."
    assert quality.dtype.kind == "f", f"label_quality_ is of {quality.dtype}, not float."
    known = quality[~np.isnan(quality)]
    assert known.min() >= 0, "label_quality_ must not be negative."
    assert known.max() <= 1, "label_quality_ must not exceed 1."
    assert not errors[np.isnan(quality)].any(), "A row of quality NaN is flagged."
    assert fitted.noise_rate_ >= 0, "noise_rate_ must not be negative."
    assert fitted.threshold_ is None or np.ndim(fitted.threshold_) == 0, "threshold_ is no number."
    kept = fitted.keep_weight_
    assert (kept <= weight * (1 + 1e-9)).all(), "keep_weight_ exceeds sample_weight."
    assert kept.min() >= 0, "keep_weight_ must not be negative."
    assert not kept[~given].any(), "keep_weight_ of a row without label is not zero."
    clear = given & ~errors
    np.testing.assert_allclose(kept[clear], weight[clear], err_msg="keep_weight_ of kept rows.")
    np.testing.assert_array_equal(
        fitted.sample_indices_, np.flatnonzero(clear), "sample_indices_ are not the kept rows."
    )
    if hasattr(fitted, "suggested_labels_"):
        suggested = fitted.suggested_labels_
        assert suggested.shape == y.shape, f"suggested_labels_ has shape {suggested.shape}."
        assert set(suggested) <= {"ant", "bee", "cow"}, "suggested_labels_ holds other labels."
        same = suggested == labels
        assert not same[errors].any(), "suggested_labels_ repeats a label that is flagged."
        corrected = fitted.corrected_labels_
        changed = corrected != labels
        assert not changed[clear].any(), "corrected_labels_ changes a label that is not flagged."
        np.testing.assert_array_equal(
            corrected[~given], suggested[~given], "corrected_labels_ of rows without a label."
        )


def check_finds_planted_errors(estimator) -> None:
    """Errors planted in easy data have the lowest quality, and more of them are flagged."""
    X, y, planted = make_rows(300)
    fitted = fit_quietly(fresh(estimator), X, y)
    judge = judge_of(fitted)
    auc = rank_auc(-judge.label_quality_, planted)
    assert auc > 0.9, f"Planted errors are found with an AUC of {auc:.2f} only, not above .9."
    flagged = judge.label_errors_
    rates = flagged[planted].mean(), flagged[~planted].mean()
    assert rates[0] > rates[1], (
        f"{rates[0]:.0%} of the errors are flagged, and {rates[1]:.0%} of the rest."
    )
    if hasattr(judge, "suggested_labels_"):
        truth = make_rows(300, noise=0)[1]
        hits = flagged & planted
        share = np.mean(judge.suggested_labels_[hits] == truth[hits]) if hits.any() else 1.0
        assert share > 0.8, f"{share:.0%} of the suggestions for errors found are right."


def check_clean_data(estimator) -> None:
    """Of separable data without errors, at most one row in 200 is flagged."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=999)
    X = rng.uniform(-1, 1, size=(999, 4))
    X[np.arange(999), y] += 4
    fitted = fit_quietly(_without_cuts(estimator), X, y)
    share = judge_of(fitted).label_errors_.mean()
    assert share <= 0.005, f"{share:.1%} of the rows of clean, separable data are flagged."


def check_copies_do_not_vouch(estimator) -> None:
    """Exact copies of a row share their evidence, and copies of an error do not hide it."""
    X, y, planted = make_rows(150)
    rows = np.concatenate([np.arange(len(y)), np.repeat(np.flatnonzero(planted), 2)])
    rows = np.random.default_rng(0).permutation(rows)
    # Small classes, so that folds become fewer, and many copies: still no copy judges another.
    fitted = fit_quietly(fresh(estimator), X[rows], y[rows])
    _, pair = np.unique(rows, return_inverse=True)
    for name in ("label_quality_", "label_errors_"):
        value = getattr(fitted, name).astype(float)
        last = np.empty(pair.max() + 1)
        last[pair] = value
        np.testing.assert_allclose(
            value, last[pair], rtol=1e-9, err_msg=f"{name} differs between equal rows."
        )
    auc = rank_auc(-fitted.label_quality_, planted[rows])
    assert auc > 0.9, f"Errors that have copies are found with an AUC of {auc:.2f} only."


def check_missing_labels(estimator) -> None:
    """Rows without a label are not flagged, learned from on purpose only, and get a suggestion."""
    X, y, _ = make_rows(150, noise=0.1)
    truth = make_rows(150, noise=0)[1]
    gone = np.arange(len(y)) % 6 == 0
    fold = make_folds_like(y)
    text = np.array(["ant", "bee", "cow"])[y].astype(object)
    expected = usual_n_classes()
    forms = {
        "None": np.where(gone, None, text),
        "NaN in text": np.where(gone, np.nan, text),
        "blank text": np.where(gone, "", text).astype(str),
        "NaN": np.where(gone, np.nan, y),
        "None in numbers": np.where(gone, None, y),
    }
    for kind, labels in forms.items():
        fitted = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, labels)
        judge = judge_of(fitted)
        n_classes = len(judge.classes_)
        assert n_classes == expected, f"With labels missing as {kind}: {n_classes} classes."
        if hasattr(judge, "label_errors_"):
            assert not judge.label_errors_[gone].any(), f"A missing label ({kind}) is flagged."
            assert np.isnan(judge.label_quality_[gone]).all(), (
                f"Missing labels have a quality ({kind})."
            )
        if hasattr(judge, "sample_weight_"):
            assert not judge.sample_weight_[gone].any(), f"Missing labels have a weight ({kind})."
        if hasattr(judge, "suggested_labels_"):
            suggested = np.searchsorted(judge.classes_, judge.suggested_labels_[gone])
            share = np.mean(suggested == truth[gone])
            assert share > 0.8, f"{share:.0%} of the suggestions for missing labels are right."

    def with_missing(seed):
        model = fresh(estimator, seed=seed, cv=splits_of(fold))
        answer = answer_of(fit_quietly(model, X, np.where(gone, np.nan, y)), X)
        return take_rows(answer, ~gone)

    def without(seed):
        model = fresh(estimator, seed=seed, cv=splits_of(fold[~gone]))
        return answer_of(fit_quietly(model, X[~gone], y[~gone].astype(float)), X)

    if getattr(estimator, "_learns_from_unlabelled", False):
        return
    assert_same_over_seeds(estimator, with_missing, without, "Rows without a label")


def check_verified_labels(estimator) -> None:
    """Verified labels settle their rows: trusted, or a known error with its correction."""
    X, y, planted = make_rows(150)
    truth = make_rows(150, noise=0)[1]
    names = np.array(["ant", "bee", "cow"], dtype=object)
    labels = names[y].copy()
    labels[:6] = None
    looked = np.arange(len(y)) % 3 == 0
    # Nobody need believe the person, who is wrong here once per class.
    opinion = truth.copy()
    n_classes = usual_n_classes()
    for k in range(n_classes):
        opinion[np.flatnonzero(looked & ~planted & (truth == k))[4]] = (k + 1) % n_classes
    verified = np.where(looked, names[opinion], None)
    fitted = fit_quietly(fresh(estimator), X, labels, verified_labels=verified)
    judge = judge_of(fitted)
    given = np.arange(len(y)) >= 6
    trusted, wrong = given & looked & (opinion == y), given & looked & (opinion != y)
    if hasattr(judge, "label_errors_"):
        assert not judge.label_errors_[trusted].any(), "A verified label is flagged."
        assert (judge.label_quality_[trusted] == 1).all(), "A verified label has no quality of 1."
        assert judge.label_errors_[wrong].all(), "A label known to be wrong is not flagged."
        assert not judge.label_quality_[wrong].any(), "A known error has no quality of 0."
        assert np.isnan(judge.label_quality_[~given]).all(), "A missing label has a quality."
    if hasattr(judge, "suggested_labels_"):
        suggested = judge.suggested_labels_[looked]
        assert (suggested == verified[looked]).all(), "A verified label is not the suggestion."
    _check_transition_learns(fitted, judge)
    for unknown in (np.where(looked, "dog", None), np.where(looked, 3, None)):
        assert_raises(
            (ValueError, TypeError),
            ("verified_labels",),
            lambda unknown=unknown: fresh(estimator).fit(X, labels, verified_labels=unknown),
            "Verified labels of an unknown class",
        )


def _check_transition_learns(fitted, judge) -> None:
    matrix = getattr(judge, "transition_matrix_", None)
    if matrix is not None:
        assert (np.diagonal(matrix) < 1).any(), "Known errors leave no trace in the transition."


def check_singleton_class(estimator) -> None:
    """The only row of its class has quality NaN and is not flagged; small classes just work."""
    X, y, _ = make_rows(100)
    for size in (1, 2, 3):
        labels = y.copy()
        rare = [5, 31, 77][:size]
        labels[rare] = 9
        fitted = fit_quietly(_without_cuts(estimator), X, labels)
        assert fitted.classes_.tolist() == [0, 1, 2, 9], "A small class is not among classes_."
        if size == 1:
            assert np.isnan(fitted.label_quality_[rare]).all(), "The only row of a class is judged."
            assert not fitted.label_errors_[rare].any(), "The only row of a class is flagged."
    assert_raises(
        ValueError,
        ("class",),
        lambda: fresh(estimator).fit(X[:4], ["a", "b", "c", "d"]),
        "Classes of one row each",
    )


def check_class_missing_from_a_fold(estimator) -> None:
    """A model that never saw a class does not judge its labels."""
    X, y, _ = make_rows(noise=0)
    fold = make_folds_like(y)
    fold[y == 2] = 0
    fitted = fit_quietly(fresh(estimator, cv=splits_of(fold)), X, y)
    flagged = fitted.label_errors_[y == 2].mean()
    assert flagged < 0.1, f"{flagged:.0%} of a class that a fold lacks are flagged."
    assert not np.isnan(fitted.label_quality_[y != 2]).any(), "Other classes are not judged."


def check_threshold(estimator) -> None:
    """`threshold` is a cut of the quality, `flag_fraction` a share, and they exclude each other."""
    X, y, _ = make_rows(150)
    for threshold in (0.3, 0.9):
        fitted = fit_quietly(_without_cuts(estimator, threshold=threshold), X, y)
        expected = fitted.label_quality_ < threshold
        for k in range(3):
            # check_emptied_class has a look at classes that the cut would empty.
            expected[y == k] &= not expected[y == k].all() or fitted.label_errors_[y == k]
        np.testing.assert_array_equal(fitted.label_errors_, expected, f"threshold={threshold}")
        assert fitted.threshold_ == threshold, f"threshold_ is {fitted.threshold_}."
    for fraction in (0.0, 0.1, 0.25):
        fitted = fit_quietly(_without_cuts(estimator, flag_fraction=fraction), X, y)
        known = ~np.isnan(fitted.label_quality_)
        assert not fitted.label_errors_[~known].any(), "A row of quality NaN is flagged."
        quality, errors = fitted.label_quality_[known], fitted.label_errors_[known]
        assert not errors.any() or quality[errors].max() < quality[~errors].min(), (
            "flag_fraction does not flag the rows of the lowest quality, or splits tied rows."
        )
        cut = quality[errors].max() if errors.any() else quality.min()
        following = quality[~errors].min()
        spare = max(np.sum(quality == cut), np.sum(quality == following)) / 2 + 1
        gap = abs(errors.sum() - fraction * known.sum())
        assert gap <= spare, f"flag_fraction={fraction} flags {errors.sum()} of {len(y)} rows."
    assert_raises(
        ValueError,
        ("flag_fraction",),
        lambda: fresh(estimator, threshold=0.5, flag_fraction=0.1).fit(X, y),
        "threshold and flag_fraction at once",
    )


def check_ties(estimator) -> None:
    """Rows that are equal in X and y share one fate, whatever the rule, as do rows at a cut."""
    rng = np.random.default_rng(0)
    X, y, _ = make_rows(240)
    X = np.clip(np.round(X / 2), 0, 2)
    keys = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)[1].ravel()
    order = rng.permutation(len(y))
    X, y, keys = X[order], y[order], keys[order]
    for params in ({}, {"flag_fraction": 0.2}):
        fitted = fit_quietly(_without_cuts(estimator, **params), X, y)
        for name in ("label_quality_", "label_errors_"):
            value = getattr(fitted, name).astype(float)
            last = np.empty(keys.max() + 1)
            last[keys] = value
            same = np.isclose(value, last[keys], rtol=1e-9, equal_nan=True)
            assert same.all(), f"{name} differs between equal rows with equal labels."
        if params:
            errors, quality = fitted.label_errors_, fitted.label_quality_
            shared = np.intersect1d(quality[errors], quality[~errors])
            assert not len(shared), "Rows that tie at the cut of flag_fraction are told apart."


def check_emptied_class(estimator) -> None:
    """A class whose rows are all flagged keeps every row tied at its best quality."""
    X, y, _ = make_rows(100)
    fitted = fit_quietly(_without_cuts(estimator, threshold=1.0), X, y)
    for k in range(3):
        quality, errors = fitted.label_quality_[y == k], fitted.label_errors_[y == k]
        assert not errors.all(), "A class is left without rows."
        best = quality == quality.max()
        np.testing.assert_array_equal(~errors, best, "Not the best rows of a class are kept.")


def check_max_flag_rate(estimator) -> None:
    """A class that is flagged nearly whole brings a warning, unless `max_flag_rate` is None."""
    X, y, _ = make_rows(100)
    if not has_param(estimator, "max_flag_rate"):
        raise AssertionError("A detector must have the parameter max_flag_rate.")
    for rate, expected in ((0.5, True), (None, False)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _without_cuts(estimator, threshold=1.0, max_flag_rate=rate).fit(X, y)
        found = [w for w in caught if issubclass(w.category, LabelNoiseWarning)]
        assert bool(found) == expected, (
            f"With max_flag_rate={rate} and all rows flagged: {len(found)} LabelNoiseWarnings."
        )


def check_fit_resample(estimator) -> None:
    """`fit_resample` returns the kept rows, in the container they came in."""
    X, y, _ = make_rows(100)
    containers = {"array": X, "sparse": sparse.csr_matrix(X), **frames_of(X, list("abcde"))}
    if not fresh(estimator).__sklearn_tags__().input_tags.sparse:
        del containers["sparse"]
    labels = y.astype(float)
    labels[3] = np.nan
    for kind, table in containers.items():
        model = fresh(estimator)
        with quiet():
            rows, kept = model.fit_resample(table, labels)
        assert type(rows) is type(table), f"fit_resample turned {kind} into {type(rows).__name__}."
        index = model.sample_indices_
        assert 0 < len(index) < len(y), "fit_resample keeps nothing, or even a missing label."
        dense = rows.toarray() if kind == "sparse" else np.asarray(rows)
        np.testing.assert_array_equal(dense, X[index], f"Rows of fit_resample, {kind}")
        np.testing.assert_array_equal(kept, labels[index], f"Labels of fit_resample, {kind}")
        expected = np.flatnonzero(~model.label_errors_ & ~np.isnan(labels))
        np.testing.assert_array_equal(index, expected, "sample_indices_")


def check_new_rows(estimator) -> None:
    """`detect` and `score_labels` judge rows that were not in fit, if the models were kept."""
    if not has_param(estimator, "store_estimators"):
        raise SkipTest("The detector does not judge rows that were not in fit.")
    X, y, planted = make_rows(300)
    names = np.array(["ant", "bee", "cow"], dtype=object)
    labels, new, X_new, wrong = names[y[:200]], names[y[200:]], X[200:], planted[200:]
    new[:2] = [None, np.nan]
    fitted = fit_quietly(fresh(estimator, store_estimators=True), X[:200], labels)
    quality, errors = fitted.score_labels(X_new, new), fitted.detect(X_new, new)
    assert quality.shape == errors.shape == new.shape, "One answer per new row is expected."
    assert errors.dtype == bool, f"detect returned {errors.dtype}, not bool."
    assert np.isnan(quality[:2]).all(), "A new row without label has a quality."
    assert not errors[:2].any(), "A new row without label is flagged."
    auc = rank_auc(-quality[2:], wrong[2:])
    assert auc > 0.9, f"Errors in new rows are found with an AUC of {auc:.2f} only."
    assert errors[wrong].mean() > errors[~wrong].mean(), "Errors in new rows are not flagged."
    one_class = new == "bee"
    np.testing.assert_allclose(
        fitted.score_labels(X_new[one_class], new[one_class]),
        quality[one_class],
        rtol=TOLERANCE,
        err_msg="The quality of a new row depends on the other rows.",
    )
    assert_raises(
        ValueError,
        ("class",),
        lambda: fitted.detect(X_new, np.where(wrong, "dog", new)),
        "New rows with an unknown label",
    )
    assert_raises(
        (AttributeError, ValueError),
        ("store_estimators",),
        lambda: fit_quietly(fresh(estimator, store_estimators=False), X, y).detect(X, y),
        "New rows without stored models",
    )


def check_groups(estimator) -> None:
    """Rows of one group do not judge one another; text works as names of groups."""
    X, y, planted = make_rows(150)
    # Each planted error comes with two near copies in its group.
    extra = np.repeat(np.flatnonzero(planted), 2)
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.concatenate([np.arange(len(y)), extra]))
    X = X[rows] + rng.normal(scale=1e-3, size=(len(rows), X.shape[1]))
    groups = np.array([f"group {i}" for i in rows])
    fitted = fit_quietly(fresh(estimator), X, y[rows], groups=groups)
    auc = rank_auc(-fitted.label_quality_, planted[rows])
    assert auc > 0.9, f"Errors that stand in groups are found with an AUC of {auc:.2f} only."
    numbers = fit_quietly(fresh(estimator), X, y[rows], groups=rows)
    assert_same(answer_of(fitted), answer_of(numbers), "Groups named by numbers")


def check_reweighter_weighs_errors_less(estimator) -> None:
    """Errors planted in easy data get less weight than the other rows."""
    X, y, planted = make_rows(300)
    weight = fit_quietly(fresh(estimator), X, y).sample_weight_
    auc = rank_auc(-weight, planted)
    assert auc > 0.8, f"Planted errors get lower weights with an AUC of {auc:.2f} only."


def check_transition_is_recovered(estimator) -> None:
    """The transition that errors were planted with in easy data is estimated to within .1."""
    X, y, _ = make_rows(600, n_classes=2, noise=0)
    rng = np.random.default_rng(0)
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    given = np.where(rng.random(len(y)) < transition[y, 1], 1, 0)
    fitted = fit_quietly(fresh(estimator), X, given)
    error = np.abs(fitted.transition_matrix_ - transition).max()
    assert error < 0.1, f"An entry of transition_matrix_ is off by {error:.2f}."
    assert abs(fitted.noise_rate_ - 0.2) < 0.1, f"noise_rate_ is {fitted.noise_rate_:.2f}, not .2."
    np.testing.assert_allclose(fitted.class_prior_, 0.5, atol=0.1, err_msg="class_prior_")


DETECTOR_CHECKS = (
    check_detector_attributes,
    check_finds_planted_errors,
    check_clean_data,
    check_copies_do_not_vouch,
    check_missing_labels,
    check_verified_labels,
    check_singleton_class,
    check_threshold,
    check_ties,
    check_emptied_class,
    check_max_flag_rate,
    check_fit_resample,
    check_new_rows,
    check_groups,
)
