import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_blobs

from skrobust.noise import flip_labels_instance

KINDS = ["linear", "boundary"]


def _data(n_samples=300, n_classes=3, seed=0):
    X, y = make_blobs(
        n_samples, n_features=4, centers=n_classes, cluster_std=3.0, random_state=seed
    )
    return X, y


@pytest.mark.parametrize("rate", [0.002, 0.006, 0.05, 0.2, 0.35, 0.8, 0.97])
def test_share_of_wrong_labels_is_the_rate(rate, seed):
    n = 40_000
    X = np.random.default_rng(seed).normal(size=(n, 3))
    y = np.arange(n) % 4
    noisy, flipped = flip_labels_instance(X, y, rate, random_state=seed)
    assert flipped.mean() == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / n))
    np.testing.assert_array_equal(flipped, noisy != y)
    _, flipped = flip_labels_instance(X, y, rate, exact=True, random_state=seed)
    assert flipped.sum() == round(rate * n)


@pytest.mark.parametrize("kind", KINDS)
def test_none_and_all(kind):
    X, y = _data()
    noisy, flipped = flip_labels_instance(X, y, 0, kind=kind, random_state=0)
    assert not flipped.any()
    np.testing.assert_array_equal(noisy, y)
    noisy, flipped = flip_labels_instance(X, y, 1, kind=kind, random_state=0)
    assert flipped.all()
    assert (noisy != y).all()


def test_rows_in_one_direction_are_mistaken_for_one_class(seed):
    rng = np.random.default_rng(seed)
    directions = 5 * rng.normal(size=(4, 30))
    which = rng.integers(0, 4, 8000)
    X = directions[which] + 0.1 * rng.normal(size=(8000, 30))
    y = rng.integers(0, 5, 8000)
    noisy, flipped = flip_labels_instance(X, y, 0.4, random_state=seed)
    shares = []
    for direction in range(4):
        for label in range(5):
            targets = noisy[flipped & (which == direction) & (y == label)]
            shares.append(np.bincount(targets).max() / len(targets))
    # By chance it would be a quarter; a row that lies between two classes may go to either.
    assert np.mean(shares) > 0.85
    # And the direction matters: a true class is not mistaken for a single other one.
    assert len(set(noisy[flipped & (y == 0)].tolist())) > 1


def test_boundary_flips_the_hardest_rows_to_their_neighbours(seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 3, 900))
    y = x.astype(int)
    noisy, flipped = flip_labels_instance(x[:, None], y, 0.1, kind="boundary", random_state=seed)
    assert flipped.sum() == 90
    nearest = np.abs(x[:, None] - [1, 2]).min(axis=1)
    assert nearest[flipped].mean() < 0.3 * nearest.mean()
    assert (np.abs(noisy - y) <= 1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_any_container(kind):
    X, y = _data()
    X[X < 0] = 0
    dense = flip_labels_instance(X, y, 0.2, kind=kind, random_state=1)
    for other in (pd.DataFrame(X), X.tolist(), np.asfortranarray(X)):
        np.testing.assert_array_equal(
            dense[0], flip_labels_instance(other, y, 0.2, kind=kind, random_state=1)[0]
        )
    for other in (sparse.csr_matrix(X), sparse.csc_array(X)):
        noisy, _ = flip_labels_instance(other, y, 0.2, kind=kind, random_state=1)
        # Where the features are not centred, the solver stops elsewhere, though not far away.
        assert (noisy != dense[0]).sum() <= (0 if kind == "linear" else 4)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_kind(kind):
    X, y = _data()
    noisy, flipped = flip_labels_instance(X, y, 0.3, kind=kind, random_state=0)
    names = np.array(["ant", "bee", "caterpillar"])
    for labels in (names, np.array([0.0, 1.0, 5.0]), np.array([3, 7, 9])):
        given, mask = flip_labels_instance(X, labels[y], 0.3, kind=kind, random_state=0)
        np.testing.assert_array_equal(given, labels[noisy])
        np.testing.assert_array_equal(mask, flipped)
    given, mask = flip_labels_instance(X, y > 0, 0.3, kind=kind, random_state=0)
    assert given.dtype == bool
    np.testing.assert_array_equal(given, (y > 0) ^ mask)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_labels_stay_missing(kind):
    X, y = _data()
    labels = np.array(["a", "b", "c"], dtype=object)[y]
    labels[::10] = None
    noisy, flipped = flip_labels_instance(X, labels, 0.2, kind=kind, exact=True, random_state=0)
    assert flipped.sum() == round(0.2 * 270)
    assert not flipped[::10].any()
    assert all(label is None for label in noisy[::10])
    # What the others become does not depend on what X is where labels are missing.
    X[::10] = 1e6
    again, _ = flip_labels_instance(X, labels, 0.2, kind=kind, exact=True, random_state=0)
    assert noisy.tolist() == again.tolist()
    noisy, _ = flip_labels_instance(X, np.where(y == 1, np.nan, y), 0.2, kind=kind)
    np.testing.assert_array_equal(np.isnan(noisy), y == 1)


def test_class_of_one_row():
    X, y = _data()
    y[0] = 3
    noisy, flipped = flip_labels_instance(X, y, 0.2, kind="boundary", random_state=0)
    assert flipped.sum() == 60
    assert noisy[0] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_repeatable_and_leaves_the_callers_generator_alone(kind):
    X, y = _data()
    X_before, y_before = X.copy(), y.copy()
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = flip_labels_instance(X, y, 0.2, kind=kind, random_state=5)
    flip_labels_instance(X, y, 0.2, kind=kind)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    again = flip_labels_instance(X, y, 0.2, kind=kind, random_state=5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(X, X_before)
    np.testing.assert_array_equal(y, y_before)


def test_none_draws_anew():
    X, y = _data()
    draws = [flip_labels_instance(X, y, 0.2)[0] for _ in range(2)]
    assert not np.array_equal(*draws)


def test_constant_and_one_feature():
    X, y = _data()
    X = np.column_stack([X[:, :1], np.full(len(y), 7.0)])
    assert flip_labels_instance(X, y, 0.2, exact=True)[1].sum() == 60
    assert flip_labels_instance(X[:, :1], y, 0.2, kind="boundary")[1].sum() == 60


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rate": 1.2}, "'rate' parameter .* must be a float in the range \\[0.0, 1.0\\]. Got 1.2"),
        ({"rate": -0.1}, "'rate' parameter"),
        ({"kind": "pair"}, "'kind' parameter .* Got 'pair'"),
        ({"X": np.array([[1.0, np.nan]] * 4)}, "X has NaN or infinite values"),
        ({"X": sparse.csr_matrix([[1.0, np.inf]] * 4)}, "X has NaN or infinite values"),
        ({"X": np.ones((3, 2))}, "inconsistent numbers of samples"),
        ({"X": [["a", "b"]] * 4}, "Encode X first"),
        ({"X": np.ones(4)}, "2D"),
        ({"y": [1, 1, 1, 1]}, "at least two classes, got 1 class"),
        ({"y": [None] * 4}, "at least two classes, got 0 class"),
    ],
)
def test_errors(change, message):
    arguments = {"X": np.arange(8.0).reshape(4, 2), "y": [0, 1, 0, 1], "rate": 0.2}
    with pytest.raises(ValueError, match=message):
        flip_labels_instance(**{**arguments, **change})
