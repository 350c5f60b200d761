"""Numbers of errors per class that the user sets; compared with cleanlab where it has the same."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from skrobust.detection import ConfidentLearning, find_label_errors, label_quality_scores
from skrobust.detection._rules import RULES, ClassLimits
from skrobust.noise import confident_joint
from skrobust.testing._problems import make_rows

PRUNE = ("prune_by_noise_rate", "prune_by_class", "both")


def _random(seed, n_samples=300, n_classes=4):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(n_classes, 0.4), n_samples)
    y = np.array([rng.choice(n_classes, p=(p + 0.1) / (1 + 0.1 * n_classes)) for p in proba])
    return y, proba


@pytest.mark.filterwarnings("ignore:May not flag all label issues")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_classes", [2, 5])
def test_options_agree_with_cleanlab(cleanlab, seed, n_classes):
    from cleanlab.filter import find_label_issues as reference

    y, proba = _random(seed, n_classes=n_classes)
    _, other_proba = _random(seed + 100, n_classes=n_classes)
    rng = np.random.default_rng(seed)
    for rule in PRUNE:
        for least in (1, 20, 60):
            ours = find_label_errors(y, proba, rule=rule, min_per_class=least)
            theirs = reference(y, proba, filter_by=rule, min_examples_per_class=least, n_jobs=1)
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{rule} {least}")
        joint = confident_joint(y, 0.7 * proba + 0.3 * other_proba, calibrate=True)
        ours = find_label_errors(y, proba, rule=rule, confident_joint=joint)
        theirs = reference(y, proba, filter_by=rule, confident_joint=joint, n_jobs=1)
        np.testing.assert_array_equal(ours, theirs, err_msg=f"{rule}, joint")
    n_per_class = rng.integers(1, 15, n_classes)
    ours = find_label_errors(y, proba, rule="prune_by_class", n_per_class=n_per_class)
    theirs = reference(
        y, proba, filter_by="prune_by_class", num_to_remove_per_class=n_per_class, n_jobs=1
    )
    np.testing.assert_array_equal(ours, theirs)
    for rank_by in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        ours = find_label_errors(y, proba, rank_by=rank_by)
        theirs = reference(
            y,
            proba,
            filter_by="prune_by_noise_rate",
            return_indices_ranked_by=rank_by,
            n_jobs=1,
        )
        np.testing.assert_array_equal(ours, theirs, err_msg=rank_by)


@pytest.mark.parametrize("seed", range(3))
def test_n_per_class_by_noise_rate_counts_given_classes(cleanlab, seed):
    from cleanlab.filter import find_label_issues as reference

    # cleanlab documents its array as numbers of given classes, but scales the counts of true
    # classes to it with rule "prune_by_noise_rate": which rows may be flagged is the same.
    y, proba = _random(seed)
    n_per_class = np.array([12, 0, 3, 7])
    ours = find_label_errors(y, proba, n_per_class=n_per_class)
    theirs = reference(
        y,
        proba,
        filter_by="prune_by_noise_rate",
        num_to_remove_per_class=n_per_class,
        n_jobs=1,
    )
    counts, others = (np.bincount(y[errors], minlength=4) for errors in (ours, theirs))
    assert (counts <= n_per_class).all()
    assert counts[1] == 0
    assert counts.sum() >= 0.8 * n_per_class.sum()
    assert (others > n_per_class).any()
    # With two classes all errors of a given class are of one true class: theirs are exchanged.
    y, proba = _random(seed, n_classes=2)
    ours = find_label_errors(y, proba, n_per_class=[9, 4])
    theirs = reference(
        y,
        proba,
        filter_by="prune_by_noise_rate",
        num_to_remove_per_class=np.array([4, 9]),
        n_jobs=1,
    )
    assert ours.sum() == 13
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("rule", RULES)
def test_scale_of_weights_does_not_matter(rule):
    y, proba = _random(3)
    weight = np.random.default_rng(3).random(300) + 0.5
    expected = find_label_errors(y, proba, rule=rule, sample_weight=weight)
    assert expected.any()
    for total in (1.0, 1e6):
        found = find_label_errors(y, proba, rule=rule, sample_weight=weight * total / weight.sum())
        np.testing.assert_array_equal(found, expected)
    equal = find_label_errors(y, proba, rule=rule, sample_weight=np.full(300, 1 / 300))
    np.testing.assert_array_equal(equal, find_label_errors(y, proba, rule=rule))


@pytest.mark.parametrize("rule", PRUNE)
def test_numbers_are_those_of_given_classes(rule):
    y, proba = _random(0)
    free = find_label_errors(y, proba, rule=rule)
    suspects = proba.argmax(axis=1) != y
    for n_per_class in ([3, 0, 5, 300], {0: 3, 1: 0, 2: 5, 3: 300}):
        errors = find_label_errors(y, proba, rule=rule, n_per_class=n_per_class)
        counts = np.bincount(y[errors], minlength=4)
        assert counts[1] == 0
        assert 0 < counts[0] <= 3
        assert 0 < counts[2] <= 5
        np.testing.assert_array_equal(errors[y == 3], suspects[y == 3])
    only = find_label_errors(y, proba, rule=rule, n_per_class={2: 1})
    assert only[y == 2].sum() <= 1
    np.testing.assert_array_equal(only[y != 2], free[y != 2])


def test_numbers_by_label_and_by_name_of_the_column():
    y, proba = _random(0)
    names = np.array(["ant", "bee", "cow", "dog"])
    expected = find_label_errors(y, proba, n_per_class={1: 4, 3: 0})
    frame = pd.DataFrame(proba, columns=names)[["dog", "ant", "cow", "bee"]]
    for found in (
        find_label_errors(names[y], proba, n_per_class={"bee": 4, "dog": 0}),
        find_label_errors(names[y], frame, n_per_class={"dog": 0, "bee": 4}),
        find_label_errors(y + 5, proba, classes=[5, 6, 7, 8], n_per_class={6: 4, 8: 0}),
    ):
        np.testing.assert_array_equal(found, expected)


def test_thresholds_from_elsewhere():
    y, proba = _random(1)
    own = [proba[y == k, k].mean() for k in range(4)]
    for rule in RULES:
        np.testing.assert_array_equal(
            find_label_errors(y, proba, rule=rule, confident_thresholds=own),
            find_label_errors(y, proba, rule=rule),
        )
    sure = find_label_errors(y, proba, rule="confident_learning", confident_thresholds=[1.1] * 4)
    assert not sure.any()


def test_ranks_only_what_is_flagged():
    y, proba = _random(2)
    rows = find_label_errors(y, proba, rank_by="self_confidence")
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(find_label_errors(y, proba)))
    quality = label_quality_scores(y, proba)
    assert (np.diff(quality[rows]) >= 0).all()
    assert find_label_errors([0, 1], [[0.9, 0.1], [0.1, 0.9]], rank_by="self_confidence").size == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"n_per_class": [1, 2]}, r"n_per_class must have the shape \(4,\), got \(2,\)"),
        ({"n_per_class": [1, 2, -1, 0]}, "n_per_class must be finite and not negative"),
        ({"n_per_class": {7: 1}}, "n_per_class holds labels that are not among"),
        ({"n_per_class": {0: 1}, "rule": "confident_learning"}, "n_per_class is of no use with"),
        ({"confident_joint": np.eye(4), "rule": "low_self_confidence"}, "of no use with"),
        ({"min_per_class": 0}, "min_per_class must be an integer of at least 1, got 0"),
        ({"confident_joint": np.eye(3)}, "confident_joint must have the shape"),
        ({"confident_joint": np.zeros((4, 4))}, "confident_joint has no weight in row 0"),
        ({"confident_thresholds": ["a"] * 4}, "confident_thresholds must hold numbers"),
        ({"rank_by": "margin"}, "rank_by must be None or one of"),
    ],
)
def test_bad_options(options, message):
    y, proba = _random(0)
    with pytest.raises(ValueError, match=message):
        find_label_errors(y, proba, **options)


def test_the_detector_takes_the_same_options():
    X, y, _ = make_rows(150, noise=0.2, seed=0)
    names = np.array(["ant", "bee", "cow"])[y]
    model = LogisticRegression()
    detector = ConfidentLearning(model, n_per_class={"ant": 2, "bee": 0}).fit(X, names)
    flagged = pd.Series(names[detector.label_errors_]).value_counts()
    free = ConfidentLearning(model).fit(X, names)
    assert 0 < flagged["ant"] <= 2
    assert "bee" not in flagged
    assert flagged["cow"] == (names[free.label_errors_] == "cow").sum()
    joint = 50 * np.eye(3) + [[0, 0, 5], [0, 0, 0], [0, 0, 0]]
    detector = ConfidentLearning(model, confident_joint=joint).fit(X, names)
    assert set(names[detector.label_errors_]) <= {"ant"}
    some = ConfidentLearning(model, min_per_class=48).fit(X, names)
    assert some.label_errors_.sum() < free.label_errors_.sum()
    with pytest.raises(ValueError, match="n_per_class holds labels that are not among"):
        ConfidentLearning(model, n_per_class={"cat": 1}).fit(X, names)


def test_least_right_rows_are_taken_from_the_errors():
    joint = np.array([[1, 3, 2], [0, 5, 0], [2, 1, 0]])
    totals = joint.sum(axis=1)
    # Two are missing in the first class and three in the last: one and 1.5 less of each error.
    expected = [[3, 2, 1], [0, 5, 0], [0, 0, 3]]
    np.testing.assert_array_equal(ClassLimits(least=3).counts_to_flag(joint, totals), expected)
    weighed = ClassLimits(least=3).counts_to_flag(joint / 2, totals / 2)
    np.testing.assert_allclose(weighed, [[3, 0.25, 0], [0, 3, 0], [0, 0, 3]])
