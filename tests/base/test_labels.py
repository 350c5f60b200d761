import numpy as np
import pandas as pd
import polars as pl
import pytest

from skrobust.base._labelled_data import decode_labels
from skrobust.base._labels import codes_for_columns, encode_labels, encode_labels_like


@pytest.mark.parametrize(
    "y, classes, codes",
    [
        ([3, 7, 3], [3, 7], [0, 1, 0]),
        ([True, False], [False, True], [1, 0]),
        (["b", "a", None, "  ", ""], ["a", "b"], [1, 0, -1, -1, -1]),
        (["b", "a", float("nan")], ["a", "b"], [1, 0, -1]),
        ([1.0, np.nan, 0.0], [0, 1], [1, -1, 0]),
        ([1, None, 0], [0, 1], [1, -1, 0]),
        (np.array(["x", "", "y"]), ["x", "y"], [0, -1, 1]),
        (pd.Series(["x", pd.NA, "y"], dtype="string"), ["x", "y"], [0, -1, 1]),
        (pd.Series([5, pd.NA, 2], dtype="Int64"), [2, 5], [1, -1, 0]),
        (pd.Series(pd.Categorical(["u", None, "v"])), ["u", "v"], [0, -1, 1]),
        (pl.Series(["x", None, "y"]), ["x", "y"], [0, -1, 1]),
        (pl.Series([4, None, 2]), [2, 4], [1, -1, 0]),
    ],
)
def test_labels_of_every_kind(y, classes, codes):
    found_codes, found_classes = encode_labels(y)
    assert found_classes.tolist() == classes
    assert found_codes.tolist() == codes


@pytest.mark.parametrize(
    "y, error, message",
    [
        (None, ValueError, "requires y to be passed, but the target y is None"),
        ([0.5, 1.2, 3.3], ValueError, "continuous"),
        ([0.0, np.inf], ValueError, "infinity"),
        ([1 + 2j, 0], ValueError, "Complex data not supported"),
        ([[0, 1], [1, 0]], ValueError, "1d array"),
        (["a", 1, None], TypeError, "mixes labels of different kinds"),
        (np.array([{}, {}], dtype=object), ValueError, "Unknown label type"),
    ],
)
def test_bad_labels(y, error, message):
    with pytest.raises(error, match=message):
        encode_labels(y)


def test_codes_of_known_classes():
    classes = np.array([0, 1, 2])
    assert encode_labels_like([2.0, np.nan, 0.0], classes, name="z").tolist() == [2, -1, 0]
    with pytest.raises(
        ValueError, match="z holds labels that are not among the 3 known classes: 9"
    ):
        encode_labels_like([9, 0], classes, name="z")


def test_codes_for_columns():
    assert codes_for_columns([0, 2], 3).tolist() == [0, 2]
    assert codes_for_columns(["b", "a"], 2).tolist() == [1, 0]
    assert codes_for_columns([3, 7], 2).tolist() == [0, 1]
    assert codes_for_columns(["b"], 2, classes=["b", "a"]).tolist() == [0]
    with pytest.raises(ValueError, match="2 distinct labels but pred_proba has 3 columns"):
        codes_for_columns([3, 7], 3)
    with pytest.raises(ValueError, match="1 missing labels"):
        codes_for_columns(["a", None], 2)
    with pytest.raises(ValueError, match="classes must name the 2 columns"):
        codes_for_columns(["a"], 2, classes=["a"])


@pytest.mark.parametrize("labels", [["b", "a", None], [3, 7, 3], [True, None, False], [2.0, 1.0]])
def test_decoding_undoes_encoding(labels):
    codes, classes = encode_labels(labels)
    decoded = decode_labels(codes, classes)
    assert decoded.tolist() == labels
    assert decoded.dtype == (object if None in labels else classes.dtype)
