"""Columns of other libraries: nothing is lost on the way into NumPy, nothing is out of order."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from skrobust.base import LabelledData
from skrobust.base._labelled_data import decode_labels, number_groups
from skrobust.base._labels import check_indicators, check_targets, encode_labels, encode_labels_like
from skrobust.base._pred_proba import match_proba
from skrobust.detection import find_label_errors
from skrobust.utils._input import as_numbers, check_index, is_numeric, number_matrix, row_hashes
from skrobust.utils._weights import check_sample_weight

pa = pytest.importorskip("pyarrow")

BIG = 900000000000207104
GAP = [BIG, None, BIG + 1, 5]
DAYS = np.array(["2024-01-02", "NaT", "2024-01-03", "2024-01-01"], dtype="datetime64[D]")
HOURS = np.array([25, "NaT", 49, 1], dtype="timedelta64[h]")


@pytest.mark.parametrize(
    "y",
    [
        GAP,
        np.array(GAP, dtype=object),
        pd.Series(GAP, dtype="Int64"),
        pd.array(GAP, dtype="Int64"),
        pd.Series(GAP, dtype="Int64").astype("UInt64"),
        pd.Series(GAP, dtype="Int64", index=[3, 3, 1, 1]),
        pd.Series(GAP, dtype="Int64").astype("int64[pyarrow]"),
        pd.Series(GAP, dtype="Int64").astype("category"),
        pd.DataFrame({"y": pd.Series(GAP, dtype="Int64")}),
        pl.Series(GAP),
        pl.DataFrame({"y": GAP}),
        pa.array(GAP),
        pa.chunked_array([GAP[:1], GAP[1:]]),
        pa.array(GAP).dictionary_encode(),
        np.ma.array([BIG, 7, BIG + 1, 5], mask=[0, 1, 0, 0]),
        [None if value is None else Decimal(value) for value in GAP],
    ],
    ids=lambda y: f"{type(y).__module__}.{type(y).__name__}-{getattr(y, 'dtype', '')}",
)
def test_integers_with_a_gap_keep_their_digits(y):
    codes, classes = encode_labels(y)
    assert classes.tolist() == [5, BIG, BIG + 1]
    assert codes.tolist() == [1, -1, 2, 0]
    assert encode_labels_like(y, classes, name="y").tolist() == codes.tolist()


@pytest.mark.parametrize("y", [DAYS, HOURS, pd.Series(DAYS), pl.Series(DAYS), pd.Series(HOURS)])
def test_not_a_time_is_a_missing_label(y):
    codes, classes = encode_labels(y)
    assert codes.tolist() == [1, -1, 2, 0]
    decoded = decode_labels(codes, classes)
    assert decoded[1] is None
    assert [decoded[0], decoded[2], decoded[3]] == [classes[1], classes[2], classes[0]]
    assert encode_labels_like(decoded, classes, name="z").tolist() == codes.tolist()


def test_times_of_different_units_and_zones_are_compared():
    _, classes = encode_labels(DAYS)
    in_nanoseconds = pd.Series(DAYS.astype("datetime64[ns]")).dt.tz_localize("UTC")
    assert encode_labels_like(in_nanoseconds, classes, name="z").tolist() == [1, -1, 2, 0]


@pytest.mark.parametrize(
    "y, classes, codes",
    [
        (np.ma.array(["a", "b", "a"], mask=[1, 0, 0]), ["a", "b"], [-1, 1, 0]),
        (np.array(["a", "b", " "]).astype(np.dtypes.StringDType()), ["a", "b"], [0, 1, -1]),
        (np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)), ["a"], [0, -1]),
        (pd.Series([True, None, False], dtype="boolean"), [False, True], [1, -1, 0]),
        (pa.array(["b", None, "a"]), ["a", "b"], [1, -1, 0]),
        (pl.Series(["b", None, "a"], dtype=pl.Categorical), ["a", "b"], [1, -1, 0]),
        (pd.Series([0, 1, 0], dtype="Sparse[int]"), [0, 1], [0, 1, 0]),
    ],
)
def test_labels_of_more_kinds(y, classes, codes):
    found_codes, found_classes = encode_labels(y)
    assert found_classes.tolist() == classes
    assert found_codes.tolist() == codes


@pytest.mark.parametrize(
    "y, error, message",
    [
        (np.array([BIG, 5], dtype=float), ValueError, r"900000000000207104 .* Above 2\*\*53"),
        ([float(BIG), None], ValueError, r"Above 2\*\*53"),
        (np.array([2**24 + 2, 5], dtype=np.float32), ValueError, r"Above 2\*\*24"),
        ([2**70, 5], ValueError, "do not fit into 64 bits"),
        ([2**63, -1, None], ValueError, "do not fit into 64 bits"),
        ([Decimal("0.5"), Decimal(1)], ValueError, "with a fraction"),
        (np.array([b"a", b"b"]), TypeError, "holds bytes; convert them to text"),
        ([b"a", None], TypeError, "holds bytes; convert them to text"),
        (np.array([(1,), (2,)], dtype=[("a", "i4")]), TypeError, "structured entries"),
        ([datetime.date(2024, 1, 1)], ValueError, "objects of type date; convert them"),
        (pd.Series(pd.period_range("2024", periods=2)), ValueError, "objects of type Period"),
    ],
)
def test_labels_that_are_refused(y, error, message):
    with pytest.raises(error, match=message):
        encode_labels(y)


@pytest.mark.parametrize(
    "groups",
    [
        pd.Series(["a", pd.NA, "b"], dtype="string"),
        pd.Series([1, pd.NA, 2], dtype="Int64"),
        pd.Series(["a", None, "b"], dtype="category"),
        ["a", pd.NA, "b"],
        [1, np.nan, 2],
        np.array(["2024", "NaT", "2025"], dtype="datetime64[Y]"),
        np.ma.array([1, 2, 3], mask=[0, 1, 0]),
        pl.Series([1, None, 2]),
    ],
)
@pytest.mark.parametrize("name", ["groups", "sources"])
def test_missing_groups_are_refused(groups, name):
    with pytest.raises(ValueError, match=f"{name} has missing entries"):
        number_groups(groups, 3, name=name)


def test_groups_keep_their_digits():
    assert number_groups(pd.Series([BIG, BIG + 1, BIG], dtype="Int64"), 3)[0].tolist() == [0, 1, 0]
    assert number_groups([(1, "a"), (1, "b"), (1, "a")], 3)[0].tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match=r"groups holds .* Above 2\*\*53"):
        number_groups(np.array([BIG, BIG + 1], dtype=float), 2)


def test_numbers_of_every_container():
    expected = [1.5, np.nan, 2.0]
    for y in (
        np.ma.array([1.5, 7.0, 2.0], mask=[0, 1, 0]),
        pd.Series([1.5, None, 2.0], dtype="Float64"),
        pl.Series([1.5, None, 2.0]),
        pa.array([1.5, None, 2.0]),
        [Decimal("1.5"), None, Decimal(2)],
        pd.Series([1.5, None, 2.0], dtype="double[pyarrow]"),
    ):
        np.testing.assert_array_equal(check_targets(y), expected)
    indicators = np.ma.array([[0, 1], [1, 1]], mask=[[0, 0], [1, 0]])
    assert check_indicators(indicators).tolist() == [[0, 1], [-1, 1]]
    frame = pd.DataFrame({"a": [0, 1], "b": pd.array([1, None], dtype="Int64")})
    assert check_indicators(frame).tolist() == [[0, 1], [1, -1]]


def test_missing_weights_are_refused():
    X = np.zeros((3, 1))
    for weight in (
        np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]),
        pd.Series([1, None, 3], dtype="Int64"),
        pl.Series([1.0, None, 3.0]),
        [1, np.nan, 3],
    ):
        with pytest.raises(ValueError, match="sample_weight contains NaN"):
            check_sample_weight(weight, X)
    found = check_sample_weight(pd.Series([1, 2, 3], dtype="Float64"), X)
    assert found.dtype == np.float64
    assert found.tolist() == [1, 2, 3]


PROBA = pd.DataFrame(
    np.random.default_rng(0).dirichlet([0.3] * 3, 40),
    columns=["ant", "bee", "cat"],
    index=np.arange(40) + 7,
)
GIVEN = PROBA.idxmax(axis=1)


@pytest.mark.parametrize(
    "proba",
    [
        PROBA[["cat", "bee", "ant"]],
        PROBA[["cat", "bee", "ant"]].astype("Float64"),
        PROBA[["bee", "ant", "cat"]].astype("double[pyarrow]"),
        pl.DataFrame(PROBA[["cat", "bee", "ant"]].to_dict("list")),
        pa.table(PROBA[["cat", "ant", "bee"]].to_dict("list")),
        PROBA.to_numpy(),
        pd.DataFrame(PROBA.to_numpy()),
        pl.DataFrame(PROBA.to_numpy()),
    ],
)
def test_columns_of_probabilities_are_matched_by_name(proba):
    codes, found = match_proba(GIVEN, proba)
    np.testing.assert_array_equal(found, PROBA.to_numpy())
    np.testing.assert_array_equal(codes, PROBA.to_numpy().argmax(axis=1))


def test_names_of_columns_decide_over_their_order():
    numbered = PROBA.set_axis([0, 1, 2], axis=1)
    y = PROBA.to_numpy().argmax(axis=1)
    _, found = match_proba(y, numbered[[2, 0, 1]])
    np.testing.assert_array_equal(found, PROBA.to_numpy())
    _, found = match_proba(y, pl.DataFrame(numbered.set_axis(list("012"), axis=1)[["2", "0", "1"]]))
    np.testing.assert_array_equal(found, PROBA.to_numpy())
    # A class without rows is known by its column.
    few = np.where(GIVEN == "bee", "cat", GIVEN)
    codes, _ = match_proba(few, PROBA[["cat", "bee", "ant"]])
    assert set(codes) == {0, 2}
    _, found = match_proba(GIVEN, PROBA, classes=["cat", "ant", "bee"])
    np.testing.assert_array_equal(found, PROBA[["cat", "ant", "bee"]])


@pytest.mark.parametrize(
    "names", [["p0", "p1", "p2"], ["ant", "bee", "dog"], ["ant", "bee", "bee"]]
)
def test_other_names_of_columns_are_refused(names):
    with pytest.raises(ValueError, match="columns of pred_proba are named"):
        match_proba(GIVEN, PROBA.set_axis(names, axis=1))


def test_probabilities_of_text_and_gaps_are_refused():
    gap = PROBA.astype("Float64")
    gap.iloc[3, 0] = pd.NA
    with pytest.raises(ValueError, match="NaN or infinite entry in row 3"):
        find_label_errors(GIVEN, gap)
    with pytest.raises(ValueError, match="pred_proba must be numbers"):
        match_proba(GIVEN, PROBA.astype(str).astype("string"))
    masked = number_matrix(np.ma.array([[1, 0]], mask=[[0, 1]]), "pred_proba")
    np.testing.assert_array_equal(masked, [[1, np.nan]])


@pytest.mark.parametrize("name", ["verified_labels", "sample_weight", "groups", "X"])
def test_an_index_in_another_order_is_refused(name):
    rng = np.random.default_rng(0)
    index = [f"row{i}" for i in range(20)]
    y = pd.Series(np.arange(20) % 2, index=index)
    known = {
        "X": pd.DataFrame(rng.normal(size=(20, 2)), index=index),
        "verified_labels": y.astype("Int64").mask(np.arange(20) > 5),
        "sample_weight": pd.Series(1.0, index=index),
        "groups": pd.Series(np.arange(20), index=index),
    }
    shuffled = {**known, name: known[name].sample(frac=1, random_state=0)}
    two_labels = pd.DataFrame({"a": y, "b": 1 - y})
    checked = {**shuffled}
    if name != "verified_labels":
        checked.pop("verified_labels")
    elif name == "verified_labels":
        checked[name] = two_labels.sample(frac=1, random_state=0)
    for kind, labels, given in (
        ("classes", y, shuffled),
        ("numbers", y, shuffled),
        ("indicators", two_labels, checked),
    ):
        given = dict(given)
        with pytest.raises(ValueError, match=f"index of {name} .* another order"):
            LabelledData.from_arrays(given.pop("X"), labels, kind=kind, **given)
    data = LabelledData.from_arrays(known.pop("X"), y, **known)
    assert data.n_samples == 20


def test_an_index_that_counts_or_differs_is_no_order():
    y = pd.Series([1, 0, 1], index=[2, 0, 1])
    check_index(y, pd.Series([1, 2, 3]), "groups")  # never had an index
    check_index(y, pd.Series([1, 2, 3], index=[2, 0, 1]), "groups")
    check_index(y, pd.Series([1, 2, 3], index=[5, 6, 7]), "groups")  # of other rows
    check_index(y.to_numpy(), pd.Series([1, 2, 3], index=[2, 0, 1]), "groups")
    check_index(y, [1, 2, 3], "groups")
    with pytest.raises(ValueError, match="index of groups"):
        check_index(y.reset_index(drop=True), pd.Series([1, 2, 3], index=[2, 0, 1]), "groups")
    mixed = pd.Series([1, 0], index=["a", 1])
    with pytest.raises(ValueError, match="index of groups"):
        check_index(mixed, mixed.iloc[::-1], "groups")


def test_a_mask_is_no_verified_label():
    X, y = np.zeros((4, 1)), np.array([0, 1, 0, 1])
    mask = np.array([True, False, False, False])
    for kind in (mask, mask.tolist(), pd.Series(mask, dtype="boolean"), [True, None, None, None]):
        with pytest.raises(TypeError, match=r"True and False.*numpy.where\(mask, y, None\)"):
            LabelledData.from_arrays(X, y, verified_labels=kind)
        with pytest.raises(TypeError, match="True and False"):
            LabelledData.from_arrays(X, y, kind="numbers", verified_labels=kind)
    data = LabelledData.from_arrays(X, y == 1, verified_labels=[True, None, None, None])
    assert data.known_errors.tolist() == [True, False, False, False]


def test_sparse_frames_are_numbers():
    table = pd.DataFrame({"a": list("pqrp"), "b": list("uuvv")})
    X = pd.get_dummies(table, sparse=True, dtype=float)
    assert is_numeric(X)
    np.testing.assert_array_equal(as_numbers(X, np.float64).toarray(), X.to_numpy())
    np.testing.assert_array_equal(row_hashes(X), row_hashes(X.to_numpy()))
    X["n"] = [1.0, np.nan, 2.0, 3.0]
    X["f"] = pd.arrays.SparseArray([1, 2, 1, 1], fill_value=1)
    assert is_numeric(X)
    dense = np.stack([np.asarray(X[name], dtype=float) for name in X], axis=1)
    np.testing.assert_array_equal(as_numbers(X, np.float64), dense)
    np.testing.assert_array_equal(row_hashes(X), row_hashes(dense))
    X["t"] = pd.arrays.SparseArray(["x", "y", "x", "y"], dtype="Sparse[object]")
    assert not is_numeric(X)
    assert len(set(row_hashes(X).tolist())) == 4


def test_a_mask_makes_numbers_missing():
    X = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(as_numbers(X, np.float64), [[1, np.nan], [3, 4]])
