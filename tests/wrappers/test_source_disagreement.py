"""Faulty sources: what chance explains, small strata, limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.wrappers._source_disagreement import SourceLosses, faulty_sources


def _counts(wrong, rows):
    """Losses of sources with so many wrong rows, of so many, in each stratum."""
    wrong, rows = (np.atleast_2d(np.asarray(values, dtype=float)) for values in (wrong, rows))
    return SourceLosses(rows, wrong, wrong, is_count=True)


def _amounts(losses):
    """Losses of sources with these rows each."""
    losses = np.asarray(losses, dtype=float)
    n_sources, n_rows = losses.shape
    return SourceLosses.gather(
        losses.ravel(),
        np.zeros(losses.size, dtype=np.intp),
        np.repeat(np.arange(n_sources), n_rows),
        np.ones(losses.size),
        (1, n_sources),
        is_count=False,
        scale=1.0,
    )


def test_sums():
    losses = SourceLosses.gather(
        np.array([1.0, 2, 3, 4]),
        np.array([0, 1, 1, 1]),
        np.array([0, 0, 2, 2]),
        np.array([1.0, 1, 2, 2]),
        (2, 4),
        is_count=False,
    )
    assert_array_equal(losses.weight, [[1, 0, 0, 0], [1, 0, 4, 0]])
    assert_array_equal(losses.total, [[1, 0, 0, 0], [2, 0, 14, 0]])
    assert_array_equal(losses.squares, [[1, 0, 0, 0], [4, 0, 50, 0]])
    assert_allclose(losses.mean, [1.5, np.nan, 3.5, np.nan])


def test_what_chance_explains_is_not_faulty():
    rows = np.full(7, 100)
    assert not faulty_sources(_counts([10, 9, 11, 10, 12, 8, 17], rows), 3).any()
    assert_array_equal(
        np.flatnonzero(faulty_sources(_counts([10, 9, 11, 10, 60, 8, 50], rows), 3)), [4, 6]
    )


def test_few_rows_are_compared_by_the_binomial_distribution():
    # Two wrong rows of ten, where 1 % is usual, are six standard errors, but happen to one source
    # in two hundred; five do not.
    rows = [500] * 6 + [10]
    assert not faulty_sources(_counts([5, 5, 4, 6, 5, 5, 2], rows), 2).any()
    assert faulty_sources(_counts([5, 5, 4, 6, 5, 5, 5], rows), 2)[6]


def test_one_wrong_row_among_none():
    assert not faulty_sources(_counts([0, 0, 0, 0, 1], [30] * 5), 2).any()


def test_sources_that_differ_anyway():
    rows = np.full(8, 10_000)
    usual = [500, 900, 1300, 700, 1100, 1500, 1700]
    assert not faulty_sources(_counts([*usual, 1900], rows), 2).any()
    assert_array_equal(np.flatnonzero(faulty_sources(_counts([*usual, 6000], rows), 2)), [7])


def test_a_source_that_is_wrong_in_one_stratum():
    rows = [[1000] * 6, [20] * 6]
    wrong = [[100, 95, 105, 100, 98, 102], [2, 1, 3, 2, 2, 19]]
    overall = np.sum(wrong, axis=0)
    assert not faulty_sources(_counts(overall, np.sum(rows, axis=0)), 2).any()
    assert_array_equal(np.flatnonzero(faulty_sources(_counts(wrong, rows), 2)), [5])


@pytest.mark.parametrize("n_faulty", [0, 1, 2])
def test_no_more_than_may_be_faulty_and_the_worst_first(n_faulty):
    wrong = [10, 10, 10, 10, 10, 10, 90, 70]
    found = faulty_sources(_counts(wrong, [100] * 8), n_faulty)
    expected = {0: [], 1: [6], 2: [6, 7]}[n_faulty]
    assert_array_equal(np.flatnonzero(found), expected)
    amounts = np.abs(np.random.default_rng(0).normal(size=(8, 50)))
    amounts[[2, 5]] *= [[1e3], [1e6]]
    assert_array_equal(np.flatnonzero(faulty_sources(_amounts(amounts), 2)), [2, 5])
    three = faulty_sources(_amounts(np.vstack([amounts, 1e4 + amounts[:2]])), 4)
    assert_array_equal(np.flatnonzero(three), [2, 5, 8, 9])


def test_losses_that_differ_by_rounding_only():
    losses = np.full((5, 20), 1e-14)
    losses[4] = 3e-14
    assert not faulty_sources(_amounts(losses), 2).any()


def test_infinite_losses():
    losses = np.abs(np.random.default_rng(0).normal(size=(5, 20)))
    losses[1] = 1e200
    with np.errstate(all="raise"):
        assert_array_equal(np.flatnonzero(faulty_sources(_amounts(losses), 2)), [1])


def test_sources_without_rows_to_compare_are_not_faulty():
    found = faulty_sources(_counts([3, 4, 0, 3, 29], [30, 30, 0, 30, 30]), 2)
    assert_array_equal(np.flatnonzero(found), [4])
    assert not faulty_sources(_counts([0, 0, 9], [0, 0, 10]), 1).any()
