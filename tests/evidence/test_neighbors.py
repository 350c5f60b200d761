"""The neighbour graph: exact, approximate, precomputed, with groups."""

import builtins
import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import KNeighborsTransformer

from skrobust.base import LabelledData
from skrobust.evidence import Neighbors, _neighbor_evidence, neighbor_graph
from skrobust.evidence._neighbor_evidence import NeighborsOfRounds, find_unique_rows
from skrobust.evidence._neighbors import ColumnScaler, NeighborIndex, find_others


@pytest.fixture
def rows(seed):
    return np.random.default_rng(seed).normal(size=(200, 6))


def _brute(X, metric, k, groups=None):
    distances = pairwise_distances(X, metric=metric)
    groups = np.arange(len(X)) if groups is None else groups
    distances[groups[:, None] == groups] = np.inf
    order = np.argsort(distances, axis=1)[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, pd.DataFrame, np.float32])
def test_nearest_others_in_order_of_distance(rows, metric, container):
    order, distances = _brute(rows, metric, 5)
    graph = neighbor_graph(container(rows), n_neighbors=5, metric=metric)
    assert graph.shape == (200, 200)
    assert graph.nnz == 1000
    np.testing.assert_array_equal(graph.indices.reshape(200, 5), order)
    np.testing.assert_allclose(graph.data.reshape(200, 5), distances, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_wide_sparse_rows(seed, metric):
    X = sparse.random(80, 500, density=0.1, format="csr", random_state=seed)
    graph = neighbor_graph(X, n_neighbors=4, metric=metric)
    distances = _brute(X.toarray(), metric, 4)[1]
    np.testing.assert_allclose(graph.data.reshape(80, 4), distances, rtol=1e-3, atol=1e-5)


def test_a_row_without_direction_is_a_quarter_turn_away():
    for X in (
        np.vstack([np.zeros((1, 3)), np.eye(3)]),
        sparse.csr_matrix([[0.0] * 120, [1.0] * 120]),
    ):
        graph = neighbor_graph(X, n_neighbors=1, metric="cosine")
        np.testing.assert_allclose(graph.data, 1, rtol=1e-6)


def test_equal_rows_are_neighbours_at_distance_zero(rows):
    X = np.repeat(rows[:20] * 1e4, 3, axis=0)
    graph = neighbor_graph(X, n_neighbors=3)
    assert graph.nnz == 180
    data, indices = graph.data.reshape(60, 3), graph.indices.reshape(60, 3)
    assert not data[:, :2].any()
    assert (data[:, 2] > 0).all()
    np.testing.assert_array_equal(indices[:, :2] // 3, np.repeat(np.arange(60)[:, None] // 3, 2, 1))
    assert (indices != np.arange(60)[:, None]).all()


def test_groups_are_left_out_however_large(rows):
    groups = np.repeat(np.arange(4), 50)
    order, _ = _brute(rows, "euclidean", 7, groups)
    graph = neighbor_graph(rows, n_neighbors=7, groups=groups)
    np.testing.assert_array_equal(graph.indices.reshape(200, 7), order)
    with pytest.raises(ValueError, match="outside its group"):
        neighbor_graph(rows, n_neighbors=151, groups=groups)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_one_large_group_is_searched_from_outside(seed, metric):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 3))
    groups = np.r_[np.zeros(400, dtype=int), np.arange(1, 201)]
    X[groups == 0] += 20  # all of its nearest neighbours are its own
    order, distances = _brute(X, metric, 6, groups)
    graph = neighbor_graph(X, n_neighbors=6, metric=metric, groups=groups)
    np.testing.assert_allclose(graph.data.reshape(600, 6), distances, rtol=1e-3, atol=1e-5)
    assert (graph.indices.reshape(600, 6) == order).mean() > 0.99


def test_search_outside_a_large_group_is_not_quadratic():
    rng = np.random.default_rng(0)
    n_rows = 1000
    index = NeighborIndex(
        rng.normal(size=(n_rows, 2)).astype(np.float32),
        metric="euclidean",
        algorithm="exact",
        n_neighbors=6,
    )
    owner = np.r_[np.zeros(n_rows // 2, dtype=int), np.arange(1, n_rows // 2 + 1)]
    n_found = 0

    def search(rows, k, left_out=None):
        nonlocal n_found
        found = index.own_neighbors(rows, k, left_out)
        n_found += found[0].size
        return found

    find_others(search, owner, owner, 5, spare=1)
    assert n_found <= 20 * n_rows


def test_precomputed(rows):
    given = KNeighborsTransformer(mode="distance", n_neighbors=8).fit_transform(rows)
    before = given.copy()
    graph = neighbor_graph(given, n_neighbors=5, metric="precomputed")
    expected = neighbor_graph(rows, n_neighbors=5)
    np.testing.assert_array_equal(graph.indices, expected.indices)
    np.testing.assert_allclose(graph.data, expected.data, rtol=1e-5)
    assert (given != before).nnz == 0
    with pytest.raises(ValueError, match="n_neighbors=9 .*has 8 neighbours"):
        neighbor_graph(given, n_neighbors=9, metric="precomputed")
    with pytest.raises(TypeError, match="KNeighborsTransformer"):
        neighbor_graph(rows, n_neighbors=5, metric="precomputed")
    with pytest.raises(ValueError, match="between all rows"):
        neighbor_graph(given[:50], n_neighbors=5, metric="precomputed")


@pytest.mark.parametrize(
    "change, error, words",
    [
        ({"n_neighbors": 200}, ValueError, "n_neighbors=200 .*found 200"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors must be at least 1"),
        ({"n_neighbors": 2.5}, TypeError, "n_neighbors must be an integer"),
        ({"metric": "hamming"}, ValueError, "metric must be one of"),
        ({"algorithm": "best"}, ValueError, "algorithm must be one of"),
        ({"groups": [1, 2]}, ValueError, "groups"),
        ({"X": [["a"], ["b"]] * 100}, ValueError, "encode text"),
        ({"X": np.full((200, 2), np.nan)}, ValueError, "NaN"),
        ({"X": np.full((200, 2), np.inf)}, ValueError, "infinity"),
    ],
)
def test_wrong_input_is_refused(rows, change, error, words):
    with pytest.raises(error, match=words):
        neighbor_graph(**{"X": rows, "n_neighbors": 3, **change})


def test_what_is_not_installed_is_named(rows, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pynndescent":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("skrobust.evidence._neighbors.EXACT_ROWS", 100)
    with pytest.raises(ImportError, match=r'pip install "skrobust\[ann\]"'):
        neighbor_graph(rows, n_neighbors=3)
    assert neighbor_graph(rows, n_neighbors=3, algorithm="exact").nnz == 600


def test_approximate_neighbours_are_mostly_the_right_ones(seed):
    pytest.importorskip("pynndescent")
    X = np.random.default_rng(seed).normal(size=(3000, 8))
    exact, near = (
        neighbor_graph(X, n_neighbors=10, algorithm=how, random_state=seed).indices.reshape(-1, 10)
        for how in ("exact", "approximate")
    )
    recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(exact, near)]) / 10
    assert recall >= 0.9
    assert (near != np.arange(3000)[:, None]).all()


def test_constant_columns_do_no_harm():
    column = np.arange(20.0) ** 1.5
    X = np.column_stack([np.full(20, 1e9), column])
    assert not np.ptp(ColumnScaler("rank").fit(X, np.ones(20)).transform(X)[:, 0])
    scaled = ColumnScaler("standard").fit(X, np.ones(20)).transform(X)
    assert not scaled[:, 0].any()
    expected = neighbor_graph(column[:, None], n_neighbors=2).indices
    np.testing.assert_array_equal(neighbor_graph(scaled, n_neighbors=2).indices, expected)


def test_scaling_by_ranks_and_weights():
    X = np.array([[1.0], [2.0], [2.0], [100.0]])
    scaler = ColumnScaler("rank").fit(X, np.ones(4))
    np.testing.assert_allclose(scaler.transform(X).ravel(), [0.125, 0.5, 0.5, 0.875])
    np.testing.assert_allclose(
        scaler.transform(np.array([[1.5], [200.0]])).ravel(), [0.3125, 0.875]
    )
    for scale in ("rank", "standard"):
        weighed = ColumnScaler(scale).fit(X[[0, 1, 3]], np.array([1.0, 2, 1])).transform(X)
        np.testing.assert_allclose(ColumnScaler(scale).fit(X, np.ones(4)).transform(X), weighed)
        apart = ColumnScaler(scale).fit(np.vstack([X, [[7.0]]]), np.array([1, 1, 1, 1, 0]))
        np.testing.assert_allclose(apart.transform(X), weighed)


@pytest.mark.parametrize(("n_rows", "n_values", "weight"), [(60, 3, 1.0), (400, 10, 3.0)])
def test_unique_rows_do_not_depend_on_the_order_of_rows(seed, n_rows, n_values, weight):
    rng = np.random.default_rng(seed)
    X = rng.integers(n_values, size=(n_rows, 2)).astype(float)
    y = rng.integers(2, size=n_rows)
    order = rng.permutation(n_rows)
    unique, other = (
        find_unique_rows(LabelledData.from_arrays(X[i], y[i], sample_weight=np.full(n_rows, w)))
        for i, w in ((np.arange(n_rows), 1.0), (order, weight))
    )
    np.testing.assert_array_equal(unique.of_row[order], other.of_row)
    np.testing.assert_allclose(unique.weight, other.weight)
    np.testing.assert_allclose(unique.weight.mean(), 1)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_hidden_labels_take_neighbours_from_others_only(rows, grouped, threshold):
    # Many labels of one region are hidden, so that rows in it need another search.
    groups = np.arange(200) // 4 if grouped else None
    data = LabelledData.from_arrays(rows, np.arange(200) % 3, groups=groups)
    source = Neighbors(metric="cosine")
    first = NeighborsOfRounds(source).collect(data)
    np.testing.assert_array_equal(first.pred_proba, source.collect(data).pred_proba)
    np.testing.assert_array_equal(
        first.predict(rows + 0.1), source.collect(data).predict(rows + 0.1)
    )
    without = dataclasses.replace(data, hidden=rows[:, 0] > threshold)
    again, expected = (
        NeighborsOfRounds(source, first.graph).collect(without),
        source.collect(without),
    )
    np.testing.assert_allclose(again.pred_proba, expected.pred_proba, rtol=1e-5)
    np.testing.assert_allclose(again.predict(rows), expected.predict(rows), rtol=1e-5)


def test_rows_that_become_others_without_labels_are_searched_anew():
    X = np.repeat(np.random.default_rng(0).normal(size=(8, 2)), 20, axis=0)
    data = LabelledData.from_arrays(X, np.arange(160) % 2)
    source = Neighbors(metric="cosine")
    first = NeighborsOfRounds(source).collect(data)
    without = dataclasses.replace(data, hidden=np.arange(160) % 3 == 0)
    again = NeighborsOfRounds(source, first.graph).collect(without)
    np.testing.assert_array_equal(again.pred_proba, source.collect(without).pred_proba)


def test_clearly_worse_distances_are_not_tried_on_more_rows(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 6)) * [1, 1, 1e4, 1e4, 1e4, 1e4]
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    data = LabelledData.from_arrays(X, y)
    tried = []
    original = _neighbor_evidence.search_neighborhood

    def spy(unique, X, *args, **kwargs):
        tried.append((len(X), kwargs["metric"], kwargs["scale"]))
        return original(unique, X, *args, **kwargs)

    monkeypatch.setattr(_neighbor_evidence, "search_neighborhood", spy)
    monkeypatch.setattr(_neighbor_evidence, "_TRIAL_ROWS", (300, 1000))
    found = Neighbors().search(data)
    assert (found.metric, found.scale) == ("euclidean", "rank")
    assert [rows for rows, *_ in tried] == [300, 300, 300, 2000]
    # Labels at random tell no way from another: all are tried on more rows.
    tried.clear()
    Neighbors().search(LabelledData.from_arrays(X, rng.integers(0, 2, 2000)))
    assert [rows for rows, *_ in tried] == [300, 300, 300, 1000, 1000, 1000, 2000]
