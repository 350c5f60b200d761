import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from skrobust.utils._input import check_numeric, is_numeric, row_hashes


@pytest.fixture
def numbers(seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 3, size=(300, 4)) * rng.normal(size=4)
    X[:150] = X[rng.integers(150, 300, size=150)]
    return X


def test_equal_rows_and_no_others_have_equal_hashes(numbers):
    hashes = row_hashes(numbers)
    equal = (numbers[:, None] == numbers[None]).all(axis=2)
    np.testing.assert_array_equal(hashes[:, None] == hashes[None], equal)


def test_containers_have_equal_hashes(numbers):
    hashes = row_hashes(numbers)
    names = list("abcd")
    for other in (
        np.asfortranarray(numbers),
        numbers.tolist(),
        sparse.csr_matrix(numbers),
        sparse.coo_array(numbers),
        pd.DataFrame(numbers),
        pl.DataFrame(numbers, schema=names),
    ):
        np.testing.assert_array_equal(row_hashes(other), hashes)
    images = numbers.reshape(300, 2, 2)
    np.testing.assert_array_equal(row_hashes(images), hashes)


def test_sign_of_zero_and_kinds_of_nan():
    X = np.array([[0.0, np.nan], [-0.0, -np.nan]])
    assert row_hashes(X)[0] == row_hashes(X)[1]
    swapped = np.array([[1.0, 2.0], [2.0, 1.0], [-1.0, -2.0]])
    assert len(set(row_hashes(swapped).tolist())) == 3


def test_objects():
    texts = ["spam", "ham", "spam"]
    hashes = row_hashes(texts)
    assert hashes[0] == hashes[2] != hashes[1]
    frame = pd.DataFrame({"t": texts, "x": [1, 1, 1], "c": pd.Categorical(texts)})
    hashes = row_hashes(frame)
    assert hashes[0] == hashes[2] != hashes[1]
    np.testing.assert_array_equal(hashes, row_hashes(pl.from_pandas(frame)))
    lists = [["a", "b"], ["a"], ["a", "b"]]
    hashes = row_hashes(lists)
    assert hashes[0] == hashes[2] != hashes[1]


@pytest.mark.parametrize(
    "X, numeric",
    [
        (np.ones((2, 2)), True),
        (np.ones((2, 2, 2)), False),
        (np.array([["a"]]), False),
        (np.array([[1, 2.5]], dtype=object), True),
        ([[1, 2], [3, 4]], True),
        (["a", "b"], False),
        (sparse.eye(3), True),
        (pd.DataFrame({"a": [1, 2], "b": [True, False]}), True),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), False),
        (pl.DataFrame({"a": [1.5]}), True),
        (pd.Series(["some", "text"]), False),
    ],
)
def test_is_numeric(X, numeric):
    assert is_numeric(X) is numeric
    if not numeric:
        with pytest.raises((TypeError, ValueError), match="Do something else"):
            check_numeric(X, "Do something else.")
