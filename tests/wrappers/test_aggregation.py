"""Aggregates of several sources: published values, what faulty sources can do, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.wrappers import aggregate_sources
from skrobust.wrappers._aggregation import AGGREGATIONS, count_faulty, mix_nearest

FIVE = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1], [100, 100]])
ROBUST = [name for name in AGGREGATIONS if name != "mean"]


def test_averages_of_the_nearest():
    mixed = mix_nearest(FIVE[None], 1)[0]
    assert_array_equal(mixed[:4], np.full((4, 2), 0.5))
    # The average around an outlier has the outlier inside: alone it is not robust.
    assert_array_equal(mixed[4], [25.5, 25.5])
    assert_array_equal(aggregate_sources(FIVE, n_faulty=1), [0.5, 0.5])


def test_averages_without_faulty_sources_are_the_mean():
    assert_allclose(aggregate_sources(FIVE, n_faulty=0), FIVE.mean(axis=0))


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("mean", [20.4, 20.4]),
        ("median", [1, 1]),
        ("trimmed_mean", [2 / 3, 2 / 3]),
    ],
)
def test_aggregates_of_coordinates(aggregation, expected):
    assert_allclose(aggregate_sources(FIVE, n_faulty=1, aggregation=aggregation), expected)


def test_geometric_median_is_near_the_point_of_least_distance():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 3))
    vectors[:3] += 1e6

    def total(point):
        return np.linalg.norm(vectors - point, axis=1).sum()

    found = aggregate_sources(vectors, aggregation="geometric_median")
    start = aggregate_sources(vectors, aggregation="median")
    right = vectors[3:].mean(axis=0)
    assert total(found) < total(start)
    assert np.linalg.norm(found - right) < 2
    # The scale of the vectors does not matter.
    scaled = aggregate_sources(1e-5 * vectors + 7, aggregation="geometric_median")
    assert_allclose(scaled, 1e-5 * found + 7)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_rows_are_aggregated_one_by_one(aggregation, seed):
    vectors = np.random.default_rng(seed).normal(size=(7, 5000, 3))
    whole = aggregate_sources(vectors, n_faulty=2, aggregation=aggregation)
    assert whole.shape == (5000, 3)
    for row in (0, 17, 4999):
        alone = aggregate_sources(vectors[:, row], n_faulty=2, aggregation=aggregation)
        assert_allclose(whole[row], alone)
    threads = aggregate_sources(vectors, n_faulty=2, aggregation=aggregation, n_jobs=2)
    assert_array_equal(threads, whole)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_the_order_of_sources_does_not_matter(aggregation, seed):
    rng = np.random.default_rng(seed)
    # Votes, so that most distances are equal.
    votes = np.eye(3)[rng.integers(3, size=(9, 50))]
    order = rng.permutation(9)
    first, second = (
        aggregate_sources(v, n_faulty=3, aggregation=aggregation) for v in (votes, votes[order])
    )
    assert_allclose(first, second, atol=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_types(aggregation):
    single = aggregate_sources(FIVE.astype(np.float32), n_faulty=1, aggregation=aggregation)
    assert single.dtype == np.float32
    whole = aggregate_sources(FIVE.astype(int).tolist(), n_faulty=1, aggregation=aggregation)
    assert whole.dtype == np.float64
    assert_allclose(single, whole, rtol=1e-6)


coordinates = st.floats(-1, 1, width=32)
anywhere = st.floats(-1e12, 1e12)


@given(data=st.data(), aggregation=st.sampled_from(ROBUST), n_faulty=st.integers(1, 4))
def test_faulty_sources_cannot_move_the_aggregate_far(data, aggregation, n_faulty):
    n_right = data.draw(st.integers(n_faulty + 1, 7))
    right = np.array(data.draw(st.lists(st.tuples(coordinates, coordinates),
                                         min_size=n_right, max_size=n_right)))  # fmt: skip
    faulty = np.array(data.draw(st.lists(st.tuples(anywhere, anywhere),
                                         min_size=n_faulty, max_size=n_faulty)))  # fmt: skip
    vectors = np.vstack([faulty, right])
    found = aggregate_sources(vectors, n_faulty=n_faulty, aggregation=aggregation)
    gaps = np.linalg.norm(right[:, None] - right, axis=2)
    reach = gaps.max() + 1e-9
    assert (found >= right.min(axis=0) - reach).all()
    assert (found <= right.max(axis=0) + reach).all()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_count_as_faulty(wrong):
    vectors = np.vstack([FIVE[:4], [0.5, wrong]])
    for aggregation in AGGREGATIONS:
        found = aggregate_sources(vectors, n_faulty=1, aggregation=aggregation)
        assert_allclose(found, [0.5, 0.5])
    vectors[0] = wrong
    with pytest.raises(ValueError, match="2 of 5 sources have NaN or infinite entries in row 0"):
        aggregate_sources(vectors, n_faulty=1)


def test_vectors_infinitely_far_apart():
    vectors = np.array([[1e200, 0], [-1e200, 0], [0, 1], [0, 2], [0, 3]])
    assert_allclose(aggregate_sources(vectors, n_faulty=2), [0, 2])


def test_how_many_may_be_faulty():
    assert [count_faulty(None, n) for n in (1, 2, 3, 4, 5)] == [0, 0, 1, 1, 2]
    assert count_faulty(0.3, 10) == 3
    assert count_faulty(0.29, 10) == 2
    assert count_faulty(0.1, 3) == 0
    assert count_faulty(np.int64(2), 5) == 2
    assert count_faulty(0, 1) == 0


@pytest.mark.parametrize(
    ("vectors", "kwargs", "message"),
    [
        (FIVE, {"n_faulty": 3}, "n_faulty=3 of 5 sources: most of them must be right.*at most 2"),
        (FIVE[:4], {"n_faulty": 2}, "n_faulty=2 of 4 sources"),
        (FIVE, {"n_faulty": 0.5}, "n_faulty.*range"),
        (FIVE, {"n_faulty": -1}, "n_faulty"),
        (FIVE, {"aggregation": "vote"}, "aggregation"),
        (FIVE[0], {}, "n_sources, n_features"),
        (np.empty((0, 2)), {}, "at least one source"),
        ([["a"], ["b"]], {}, "vectors must be numbers"),
    ],
)
def test_bad_input(vectors, kwargs, message):
    with pytest.raises(ValueError, match=message):
        aggregate_sources(vectors, **kwargs)
