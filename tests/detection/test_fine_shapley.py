"""KNN-Shapley values against their definition, and FINE scores by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import sparse

from skrobust.base import LabelledData
from skrobust.detection import fine_scores, knn_shapley_scores
from skrobust.detection._knn_shapley import ShapleyValues
from skrobust.evidence._neighbor_evidence import (
    find_unique_rows,
    search_neighborhood,
    unique_numbers,
)
from skrobust.testing._outputs import rank_auc
from skrobust.testing._problems import make_rows


def _utility(members, distances, right, k):
    """How much of the vote of the nearest `k` of some rows is right."""
    nearest = sorted(members, key=lambda j: distances[j])[:k]
    return sum(right[j] for j in nearest) / k


def _brute_force(distances, right, k):
    n = len(right)
    values = np.zeros(n)
    for j in range(n):
        others = [i for i in range(n) if i != j]
        for size in range(n):
            share = 1 / (n * math.comb(n - 1, size))
            for members in itertools.combinations(others, size):
                with_j = _utility((*members, j), distances, right, k)
                values[j] += share * (with_j - _utility(members, distances, right, k))
    return values


@pytest.mark.parametrize("k", [1, 2, 3])
def test_values_are_shapley_values(seed, k):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(7, 2)), np.array([0, 1, 0, 1, 2, 0, 1])
    data = LabelledData.from_arrays(X, y)
    unique = find_unique_rows(data)
    neighborhood = search_neighborhood(
        unique, unique_numbers(X, unique), 6, metric="euclidean", n_wanted=k
    )
    values = ShapleyValues(neighborhood, data)
    row = np.empty(7, dtype=int)
    row[unique.of_row] = np.arange(7)
    for label in range(3):
        every = values.of_label(label, np.arange(42))
        for entry in range(42):
            test, j = row[values.test[entry]], row[values.neighbor[entry]]
            others = [i for i in range(7) if i != test]
            labels = y.copy()
            labels[j] = label
            distances = np.linalg.norm(X[others] - X[test], axis=1)
            expected = _brute_force(distances, (labels[others] == y[test]).astype(float), k)
            np.testing.assert_allclose(every[entry], expected[others.index(j)], atol=1e-12)


def test_quality_sets_gains_against_losses(seed):
    X, y, planted = make_rows(200, noise=0.2, seed=seed)
    quality = knn_shapley_scores(X, y, n_neighbors=5)
    assert quality.min() > 0
    assert quality.max() < 1
    assert rank_auc(-quality, planted) > 0.97
    assert (quality[~planted] > 0.5).mean() > 0.9
    # Of fewer neighbours, nearly the same.
    near = knn_shapley_scores(X, y, n_neighbors=5, max_neighbors=100)
    assert np.corrcoef(quality, near)[0, 1] > 0.95
    missing = np.where(np.arange(200) % 9 == 0, np.nan, y)
    np.testing.assert_array_equal(np.isnan(knn_shapley_scores(X, missing)), np.arange(200) % 9 == 0)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"n_neighbors": 60}, "n_neighbors=60"),
        ({"n_neighbors": 0}, "n_neighbors must be"),
        ({"max_neighbors": 0.5}, "max_neighbors must be"),
        ({"metric": "precomputed"}, "metric must be"),
        ({"y": np.zeros(60)}, "class"),
    ],
)
def test_wrong_input_of_shapley_scores(change, words):
    X, y, _ = make_rows(60)
    with pytest.raises(ValueError, match=words):
        knn_shapley_scores(**{"X": X, "y": y, **change})


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_fine_on_orthogonal_classes(container):
    # Two classes along two axes; the last row of each has the label of the other.
    X = np.repeat(np.eye(2), 5, axis=0) * np.arange(1, 11)[:, None]
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0])
    wrong = np.isin(np.arange(10), [4, 9])
    plain = fine_scores(container(X), y, scale=None, contrast=False)
    np.testing.assert_allclose(plain, np.where(wrong, 0, 1), atol=1e-12)
    np.testing.assert_allclose(fine_scores(container(X), y, scale=None), plain, atol=1e-12)


def test_fine_by_hand():
    # The first direction of class 0 halves the angle between its two rows, 60 degrees.
    X = np.array([[1, 0], [0.5, np.sqrt(0.75)], [0, 1], [0, 2]])
    quality = fine_scores(X, [0, 0, 1, 1], scale=None, contrast=False)
    np.testing.assert_allclose(quality, [0.75, 0.75, 1, 1])
    quality = fine_scores(X, [0, 0, 1, 1], scale=None)
    np.testing.assert_allclose(quality, [(1 + 0.75) / 2, 0.5, (2 - 0.25) / 2, (2 - 0.25) / 2])


def test_fine_finds_planted_errors(seed):
    X, y, planted = make_rows(300, noise=0.2, seed=seed)
    assert rank_auc(-fine_scores(X, y), planted) > 0.95
    wide = sparse.csr_matrix(np.hstack([np.maximum(X, 0), np.zeros((300, 400))]))
    assert rank_auc(-fine_scores(wide, y, scale=None), planted) > 0.9
    missing = np.where(np.arange(300) % 7 == 0, np.nan, y)
    assert np.isnan(fine_scores(X, missing))[::7].all()
    with pytest.raises(ValueError, match="scale=None"):
        fine_scores(wide, y)
    with pytest.raises(ValueError, match="scale must be"):
        fine_scores(X, y, scale="max")
