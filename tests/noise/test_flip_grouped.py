"""Noise that rows share: rates of single rows, what is shared, lengths of runs, exact counts."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.noise import (
    flip_labels_grouped,
    pair_transition,
    random_transition,
    symmetric_transition,
)

TRANSITION = np.array([[0.8, 0.15, 0.05], [0.1, 0.9, 0.0], [0.3, 0.2, 0.5]])


def _observed(y, noisy, n_classes=3):
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (y, noisy), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def _runs(flipped):
    """Lengths of the runs of wrong labels that begin and end inside."""
    edges = np.flatnonzero(np.diff(np.r_[False, flipped, False].astype(int)))
    starts, ends = edges[::2], edges[1::2]
    inside = (starts > 0) & (ends < len(flipped))
    return (ends - starts)[inside]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("run_length", [None, 2.5, 12])
def test_each_row_has_the_rates_of_the_matrix(run_length, exact, seed):
    rng = np.random.default_rng(seed)
    # Classes change inside groups, of one to many rows that do not stand together.
    groups = rng.integers(0, 20_000, 60_000)
    y = rng.integers(0, 3, 60_000)
    noisy, flipped = flip_labels_grouped(
        y, groups, TRANSITION, run_length=run_length, exact=exact, random_state=seed
    )
    assert_array_equal(flipped, noisy != y)
    atol = 0.02
    if exact:
        # Each of the two ends may be off by half a group, of which nine rows are of one class.
        atol = 1e-3 if run_length is None else 5e-5
    assert_allclose(_observed(y, noisy), TRANSITION, atol=atol)


@pytest.mark.parametrize("run_length", [None, 4.0])
def test_rates_hold_row_by_row(run_length, seed):
    # Whichever place a row has in its group, and whatever is around it.
    y = np.array([0, 0, 1, 2, 2, 0])
    groups = np.array([0, 0, 0, 0, 0, 1]) + 2 * np.arange(20_000)[:, None]
    noisy, _ = flip_labels_grouped(
        np.tile(y, 20_000), groups.ravel(), TRANSITION, run_length=run_length, random_state=seed
    )
    for place, labels in enumerate(noisy.reshape(-1, 6).T):
        assert_allclose(np.bincount(labels, minlength=3) / 20_000, TRANSITION[y[place]], atol=0.02)


def test_one_reading_for_a_group(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 500, 4000)
    truth = rng.integers(0, 4, 500)[groups]
    transition = random_transition(4, 0.4, random_state=seed)
    noisy, _ = flip_labels_grouped(truth, groups, transition, random_state=seed)
    readings = pd.DataFrame({"group": groups, "label": noisy}).groupby("group")["label"]
    assert readings.nunique().max() == 1


def test_classes_of_a_group_are_wrong_together(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(2000), 5)
    y = rng.integers(0, 3, 10_000)
    _, flipped = flip_labels_grouped(y, groups, symmetric_transition(3, 0.3), random_state=seed)
    per_group = flipped.reshape(2000, 5)
    assert_array_equal(per_group.all(axis=1), per_group.any(axis=1))
    # A class that is more often wrong is wrong wherever another is.
    rates = np.array([[0.9, 0.1], [0.4, 0.6]])
    y = np.tile([0, 1], 1000)
    _, flipped = flip_labels_grouped(y, np.repeat(np.arange(1000), 2), rates, random_state=seed)
    pairs = flipped.reshape(1000, 2)
    assert not (pairs[:, 0] & ~pairs[:, 1]).any()
    assert pairs[:, 0].any()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("rate, run_length", [(0.1, 3.0), (0.3, 10.0), (0.5, 2.0), (0.2, 1.25)])
def test_mean_length_of_runs(rate, run_length, exact, seed):
    y = np.zeros(200_000, dtype=int)
    _, flipped = flip_labels_grouped(
        y,
        None,
        symmetric_transition(3, rate),
        run_length=run_length,
        exact=exact,
        random_state=seed,
    )
    runs = _runs(flipped)
    # Geometric lengths: the standard deviation is about the mean.
    assert runs.mean() == pytest.approx(run_length, abs=5 * run_length / np.sqrt(len(runs)))
    if exact:
        assert flipped.sum() == round(rate * 200_000)
    else:
        # Successive rows are correlated, so that the effective number of rows is smaller.
        deviation = np.sqrt(rate * (1 - rate) * 2 * run_length / 200_000)
        assert flipped.mean() == pytest.approx(rate, abs=5 * deviation)


def test_a_run_has_one_wrong_label(seed):
    y = np.zeros(20_000, dtype=int)
    noisy, flipped = flip_labels_grouped(
        y, None, symmetric_transition(4, 0.3), run_length=6, random_state=seed
    )
    both = flipped[1:] & flipped[:-1]
    assert (noisy[1:][both] == noisy[:-1][both]).all()
    assert len(set(noisy[flipped].tolist())) == 3


def test_runs_end_with_their_sequence(seed):
    # Sequences of two rows each, whose rows stand far apart.
    groups = np.tile(np.arange(10_000), 2)
    y = np.zeros(20_000, dtype=int)
    _, flipped = flip_labels_grouped(
        y, groups, symmetric_transition(2, 0.3), run_length=50, random_state=seed
    )
    first, second = flipped.reshape(2, 10_000)
    assert np.mean(first == second) > 0.97
    # Successive rows of other sequences are independent.
    assert np.corrcoef(first[1:], first[:-1])[0, 1] == pytest.approx(0, abs=0.05)


def test_exact_counts():
    y = np.repeat(["a", "b", "c"], [40, 80, 120])
    groups = np.repeat(np.arange(60), 4)
    noisy, flipped = flip_labels_grouped(
        y, groups, symmetric_transition(3, 0.2), exact=True, random_state=0
    )
    assert flipped.sum() == 48
    assert [int((noisy[y == "c"] == label).sum()) for label in "abc"] == [12, 12, 96]
    # Groups of a size that cannot make the count come as near as they can.
    _, flipped = flip_labels_grouped(
        y[:40], np.repeat(np.arange(4), 10), [[0.72, 0.28], [0, 1]], classes=["a", "b"], exact=True
    )
    assert flipped.sum() == 10


@pytest.mark.parametrize("run_length", [None, 3])
def test_none_and_all(run_length):
    y = np.arange(60) % 3
    groups = np.arange(60) // 6
    for exact in (False, True):
        noisy, flipped = flip_labels_grouped(
            y, groups, np.eye(3), run_length=run_length, exact=exact
        )
        assert not flipped.any()
        assert_array_equal(noisy, y)
        noisy, flipped = flip_labels_grouped(
            y, groups, pair_transition(3, 1.0), run_length=run_length, exact=exact
        )
        assert flipped.all()
        assert_array_equal(noisy, (y + 1) % 3)
    noisy, flipped = flip_labels_grouped([], [], np.eye(2), classes=["a", "b"])
    assert len(noisy) == len(flipped) == 0


@pytest.mark.parametrize("run_length", [None, 2.0])
def test_labels_and_groups_of_any_kind(run_length):
    codes = np.arange(40) % 2
    groups = np.arange(40) // 4
    transition = symmetric_transition(2, 0.4)
    seed = {"random_state": 0, "run_length": run_length}
    plain, mask = flip_labels_grouped(codes, groups, transition, **seed)
    assert 0 < mask.sum() < 40
    names = np.array(["no", "yes"])
    for given in (names[codes].tolist(), pd.Series(names[codes])):
        for own in (groups.tolist(), [f"patient {g}" for g in groups], pd.Series(groups) * 0.5):
            noisy, flipped = flip_labels_grouped(given, own, transition, **seed)
            assert_array_equal(noisy, names[plain])
            assert_array_equal(flipped, mask)
    noisy, _ = flip_labels_grouped(codes == 1, groups, transition, **seed)
    assert noisy.dtype == bool
    assert_array_equal(noisy, plain == 1)


@pytest.mark.parametrize("run_length", [None, 2.0])
def test_missing_labels_stay_missing(run_length):
    y = (np.arange(40) % 2).astype(float)
    y[::5] = np.nan
    groups = np.arange(40) // 8
    transition = symmetric_transition(2, 0.4)
    noisy, flipped = flip_labels_grouped(
        y, groups, transition, run_length=run_length, exact=True, random_state=1
    )
    assert_array_equal(np.isnan(noisy), np.isnan(y))
    assert not flipped[::5].any()
    # They are as if they were not there.
    there = ~np.isnan(y)
    again, _ = flip_labels_grouped(
        y[there], groups[there], transition, run_length=run_length, exact=True, random_state=1
    )
    assert_array_equal(noisy[there], again)


def test_repeatable_and_leaves_the_callers_generator_alone():
    y = np.arange(300) % 3
    groups = np.arange(300) // 10
    transition = symmetric_transition(3, 0.3)
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, _ = flip_labels_grouped(y, groups, transition, random_state=5)
    second, _ = flip_labels_grouped(y, groups, transition)
    assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert_array_equal(first, flip_labels_grouped(y, groups, transition, random_state=5)[0])
    assert not np.array_equal(second, flip_labels_grouped(y, groups, transition)[0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"transition": np.ones((2, 2))}, "must sum to 1, but row 0 sums to 2"),
        ({"groups": [0, 0, 1]}, "groups has 3 entries for 4 rows"),
        ({"groups": ["a", None, "a", "a"]}, "groups has missing entries"),
        ({"groups": None}, "groups=None is one sequence of all rows, which needs run_length"),
        ({"run_length": 0.5}, "'run_length' parameter .* Got 0.5"),
        ({"run_length": "long"}, "'run_length' parameter"),
        (
            {"run_length": 1, "y": ["a", "a", "b", "b"]},
            "run_length=1 is too short for class 'a', of which 0.2 are wrong.* 1.25 on average",
        ),
        ({"exact": "yes"}, "'exact' parameter"),
    ],
)
def test_errors(change, message):
    arguments = {
        "y": [0, 1, 0, 1],
        "groups": [0, 0, 1, 1],
        "transition": symmetric_transition(2, 0.2),
    }
    with pytest.raises(ValueError, match=message):
        flip_labels_grouped(**{**arguments, **change})
