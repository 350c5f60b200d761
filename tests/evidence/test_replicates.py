import numpy as np
import pytest

from skrobust.evidence._folds import divide_rows, frequent_rows, make_folds, row_ids
from skrobust.utils._input import row_hashes


def _categories(n_features, n_levels, seed, n_rows=2000, noise=0.1):
    """Rows of categories, the label is the parity of the first one, some labels wrong."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, n_levels, (n_rows, n_features)).astype(float)
    truth = (X[:, 0] % 2).astype(int)
    wrong = rng.random(n_rows) < noise
    return X, np.where(wrong, 1 - truth, truth), wrong


def _common(X, y, weight=None):
    return frequent_rows(row_hashes(X), y, weight)


@pytest.mark.parametrize("n_features", range(1, 7))
@pytest.mark.parametrize("noise", [0, 0.1])
def test_common_values_of_categories(n_features, noise, seed):
    X, y, _ = _categories(n_features, 2, seed, noise=noise)
    # Without noise, as many values as these may be rows that were written several times.
    assert _common(X, y).all() == (noise > 0 or n_features <= 3)


def test_common_values_of_texts(seed):
    X, y, _ = _categories(1, 4, seed)
    assert _common(["abcd"[int(value)] for value in X[:, 0]], y).all()


def test_common_values_need_rows_and_labels(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(300, 3)), rng.integers(0, 3, 300)
    assert not _common(X, y).any()
    # Every row four times, and one row ten times with one label: copies.
    assert not _common(X.repeat(4, axis=0), y.repeat(4)).any()
    copied = np.r_[np.arange(300), np.full(9, 7)]
    assert not _common(X[copied], y[copied]).any()
    # Ten rows of one value that have several labels: nothing that was copied.
    labels = np.r_[y, np.arange(9) % 3]
    np.testing.assert_array_equal(_common(X[copied], labels), copied == 7)


def test_common_values_count_labelled_rows_only(seed):
    X, y, _ = _categories(1, 2, seed, 40)
    np.testing.assert_array_equal(_common(X, np.where(np.arange(40) < 3, y, -1)), False)
    assert _common(X, np.where(np.arange(40) < 20, y, -1)).all()


def test_whole_weights_are_counts(seed):
    X, y, _ = _categories(3, 2, seed)
    values, _, count = np.unique(np.c_[X, y], axis=0, return_index=True, return_counts=True)
    assert _common(values[:, :3], values[:, 3].astype(int), count.astype(float)).all()
    assert not _common(values[:, :3], values[:, 3].astype(int), count + 0.5).any()
    # A factor that few counts share by chance is none of the table.
    X, y = np.array([[0.0]] * 60 + [[1.0]] * 60), np.repeat([0, 1, 0, 1], [40, 20, 20, 40])
    assert _common(X, y).all()
    # The same count of all rows is none.
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    assert not _common(X, y, np.full(50, 1000.0)).any()
    assert not _common(X.repeat(1000, axis=0), y.repeat(1000)).any()
    # Nor are rows that were drawn several times.
    drawn = rng.integers(0, 50, 900)
    assert not _common(X[drawn], y[drawn]).any()
    assert not _common(X, y, rng.integers(5, 8, 50).astype(float)).any()


def test_row_ids_split_common_values_only(seed):
    X, y, _ = _categories(2, 3, seed, 300)
    assert len(np.unique(row_ids(row_hashes(X), y))) == 300
    X = np.random.default_rng(seed).normal(size=(100, 2)).repeat(2, axis=0)
    np.testing.assert_array_equal(row_ids(row_hashes(X), y[:200]), row_hashes(X))


@pytest.mark.parametrize("by_label", [False, True])
def test_parts_hold_the_rows_of_a_value(by_label, seed):
    X, y, _ = _categories(2, 2, seed)
    hashes = row_hashes(X)
    parts = divide_rows(hashes, y, n_parts=10, by_label=by_label)
    np.testing.assert_allclose(parts.share.sum(axis=1), 1)
    total_weight = parts.share.T @ np.bincount(parts.pair_of_row)
    assert total_weight.sum() == pytest.approx(2000)
    assert parts.frequent.all()
    assert len(parts.first) == (80 if by_label else 40)
    if not by_label:  # each part has about as many rows, and about the labels of the value
        of_value = np.bincount(np.unique(hashes, return_inverse=True)[1])
        expected = np.sort((of_value / 10).repeat(10))
        np.testing.assert_allclose(np.sort(total_weight), expected, atol=1)
    value = np.arange(len(parts.first), dtype=float)
    lowest, highest = parts.per_row(value).min(), parts.per_row(value).max()
    assert lowest >= 0
    assert highest <= value[-1]


@pytest.mark.parametrize("by_label", [False, True])
def test_parts_do_not_depend_on_order_or_on_weights_for_repeats(by_label, seed):
    X, y, _ = _categories(2, 2, seed, 500)
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 4, 500)
    order = rng.permutation(500)

    def content(X, y, weight):
        used = np.where(weight > 0, y, -1)
        parts = divide_rows(row_hashes(X), used, weight, n_parts=7, by_label=by_label)
        total_weight = np.bincount(parts.pair_of_row, weights=weight)
        shares = np.zeros((len(parts.first), 2))
        for k in range(2):
            shares[:, k] = parts.share.T @ np.where(parts.label == k, total_weight, 0)
        held = shares.sum(axis=1) > 0
        return shares[held], X[parts.first[held]]

    plain = content(X, y, weight)
    for other in (
        content(X[order], y[order], weight[order]),
        content(X.repeat(weight, axis=0), y.repeat(weight), np.ones(weight.sum())),
    ):
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_allclose(a, b)


def test_folds_split_common_values_by_label(seed):
    X, y, _ = _categories(1, 2, seed)
    order = np.lexsort((y, X[:, 0]))  # as a sorted table has them
    X, y = X[order], y[order]
    folds = make_folds(5, X, y, y, np.ones(2000, dtype=bool))
    for value in (0, 1):
        for label in (0, 1):
            rows = (X[:, 0] == value) & (y == label)
            counts = [rows[test].sum() for _, test in folds]
            assert max(counts) - min(counts) <= 1
    np.testing.assert_array_equal(np.sort(np.concatenate([t for _, t in folds])), np.arange(2000))
    for train, test in folds:
        assert not set(train) & set(test)


def test_heavy_rows_of_common_values_are_in_all_folds():
    X, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0, 1, 0, 1])
    weight = np.array([900.0, 100.0, 90.0, 910.0])
    folds = make_folds(5, X, y, y, np.ones(4, dtype=bool), None, weight)
    assert all(np.array_equal(part, range(4)) for fold in folds for part in fold)


def test_folds_of_common_values_do_not_depend_on_the_order_of_rows(seed):
    X, y, _ = _categories(1, 2, seed, 200)
    rng = np.random.default_rng(seed)
    weight, order = rng.random(200) + 0.5, rng.permutation(200)
    used = np.ones(200, dtype=bool)
    folds = make_folds(4, X, y, y, used, None, weight)
    permuted = make_folds(4, X[order], y[order], y[order], used, None, weight[order])
    for (_, test), (_, other) in zip(folds, permuted, strict=True):
        np.testing.assert_array_equal(np.sort(weight[test]), np.sort(weight[order][other]))
    ids = row_ids(row_hashes(X), y, weight)
    np.testing.assert_array_equal(
        ids[order], row_ids(row_hashes(X[order]), y[order], weight[order])
    )


def test_groups_stay_together_on_categories(seed):
    X, y, _ = _categories(1, 2, seed, 400)
    groups = np.random.default_rng(seed).integers(0, 40, 400)
    for train, test in make_folds(5, X, y, y, np.ones(400, dtype=bool), groups):
        assert not set(groups[train]) & set(groups[test])
        assert set(X[test, 0]) <= set(X[train, 0])
