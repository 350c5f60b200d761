"""Parquet files: every kind of column, and a table that comes back as it was."""

import datetime
import decimal

import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")
pytest.importorskip("pyarrow")

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from skrobust._cli._common import CommandError
from tests.cli._tables import audit, pandas_metadata, read, roles, strings, values

N = 40
ADDED = ["label_quality", "is_flagged", "corrected_label"]
LABELS = ["yes", "no"] * (N // 2)
LABELS[5] = None


def every_kind():
    """An Arrow table with columns of every kind, each with a null."""

    def with_null(items, kind=None):
        items = list(items)
        items[3] = None
        return pa.array(items, type=kind)

    rng = np.random.default_rng(0)
    numbers = rng.normal(size=N)
    days = [datetime.datetime(2024, 1, 1) + datetime.timedelta(days=int(i)) for i in range(N)]
    repeated = [i % 3 for i in range(N)]
    return {
        "float": with_null(numbers.tolist()),
        "half": with_null(numbers.astype(np.float16), pa.float16()),
        "int": with_null([i * 5 for i in range(N)], pa.int16()),
        "unsigned": with_null([2**63 + 7 * i % 11 for i in range(N)], pa.uint64()),
        "decimal": with_null([decimal.Decimal(i) / 4 for i in range(N)], pa.decimal128(9, 2)),
        "bool": with_null([i % 3 == 0 for i in range(N)]),
        "text": with_null([f"w{i % 4}" for i in repeated]),
        "large": with_null([f"w{i % 4}" for i in repeated], pa.large_string()),
        "money": with_null([f"${i},000.50" for i in range(1, N + 1)]),
        "dictionary": with_null([f"w{i}" for i in repeated]).dictionary_encode(),
        "keys": with_null(repeated, pa.int32()).dictionary_encode(),
        "date": with_null([day.date() for day in days]),
        "moment": with_null(days, pa.timestamp("ns")),
        "zone": with_null(days, pa.timestamp("us", tz="Europe/Paris")),
        "duration": with_null([datetime.timedelta(hours=i) for i in range(N)]),
        "clock": with_null([datetime.time(i % 24, i) for i in range(N)]),
        "binary": with_null([bytes([255, i]) for i in range(N)]),
        "fixed": with_null([bytes([255, i]) for i in range(N)], pa.binary(2)),
        "list": with_null([[i, i + 1] for i in range(N)]),
        "struct": with_null([{"a": i} for i in range(N)]),
        "map": with_null([[("a", i)] for i in range(N)], pa.map_(pa.string(), pa.int64())),
        "nested": with_null([[{"a": [i]}] for i in range(N)]),
        "null": pa.nulls(N),
        "label": pa.array(LABELS),
    }


ROLES = {
    **dict.fromkeys(("float", "half", "int", "unsigned", "decimal", "money", "keys"), "number"),
    **dict.fromkeys(("duration", "clock"), "number"),
    **dict.fromkeys(("bool", "text", "large", "dictionary"), "category"),
    **dict.fromkeys(("date", "moment", "zone"), "date"),
    **dict.fromkeys(("binary", "fixed", "list", "struct", "map", "nested"), "unusable"),
    "null": "empty",
}


@pytest.fixture
def table(tmp_path):
    arrow = pa.table(every_kind())
    arrow = arrow.replace_schema_metadata({b"origin": b"a test"})
    field = arrow.schema.field("float").with_metadata({b"note": b"of a column"})
    arrow = arrow.cast(arrow.schema.set(0, field))
    path = tmp_path / "table.parquet"
    pq.write_table(arrow, path)
    return path


def test_every_kind_of_column_has_a_role(table):
    found = read(table)
    assert roles(found) == ROLES
    assert found.labels.classes == ["no", "yes"]
    assert np.isnan(values(found, "duration")[3])
    assert values(found, "duration")[2] == 7200
    assert values(found, "clock")[4] == 4 * 3600 + 240
    assert values(found, "decimal")[5] == 1.25
    assert values(found, "money")[4] == 5000.5
    details = {column.name: column.detail for column in found.reading.columns}
    assert details["struct"] == "struct"
    assert details["fixed"] == "fixed_size_binary"


def test_the_table_comes_back_with_three_more_columns(table, tmp_path, capsys):
    before = pq.read_table(table)
    out = tmp_path / "out.parquet"
    assert audit(table, "--estimator", "forest", "--out", out) == 0
    after = pq.read_table(out)
    assert after.column_names == [*before.column_names, *ADDED]
    assert after.select(before.column_names).equals(before, check_metadata=True)
    assert after.schema.field("label_quality").type == pa.float64()
    assert after.schema.field("is_flagged").type == pa.bool_()
    assert after["label_quality"].null_count == 1
    assert after["corrected_label"].null_count == 0
    printed = capsys.readouterr().out
    assert (
        "not usable (bytes, lists or records): binary, fixed, list, struct, map, nested" in printed
    )


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([2**63 + 1, 2**63 + 2] * 20, type=pa.uint64()),
        pa.array([1, 2, None, 1] * 10, type=pa.int8()),
        pa.array([1.0, 2.0] * 20),
        pa.array([True, False] * 20),
        pa.array(["a", "b"] * 20).dictionary_encode(),
        pa.array(["a", "b"] * 20, type=pa.large_string()),
        pa.array([b"a", b"b"] * 20),
        pa.array([decimal.Decimal("1.00"), decimal.Decimal("2.00")] * 20),
        pa.chunked_array(
            [pa.array(words * 10).dictionary_encode() for words in (["a", "b"], ["b", "c"])]
        ),
    ],
    ids=str,
)  # fmt: skip
def test_corrected_labels_have_the_type_of_the_labels(quick_fit, tmp_path, labels):
    path, out = tmp_path / "table.parquet", tmp_path / "out.parquet"
    x = np.random.default_rng(0).normal(size=40)
    pq.write_table(pa.table({"x": x, "label": labels}), path)
    assert audit(path, "--out", out) == 0
    written = pq.read_table(out)
    assert written["corrected_label"].type == written["label"].type
    given, corrected = written["label"].to_pylist(), written["corrected_label"].to_pylist()
    changed = [row for row in range(40) if given[row] != corrected[row]]
    assert changed
    assert set(corrected) <= set(given)
    flagged = written["is_flagged"].to_pylist()
    assert all(flagged[row] or given[row] is None for row in changed)


def test_the_index_of_a_data_frame_comes_back(quick_fit, tmp_path):
    frame = pd.DataFrame(
        {"x": np.random.default_rng(0).normal(size=40), "label": ["a", "b"] * 20},
        index=pd.Index([f"r{i}" for i in range(40)], name="name"),
    )
    path, out = tmp_path / "table.parquet", tmp_path / "out.parquet"
    frame.to_parquet(path)
    assert roles(read(path)) == {"x": "number", "name": "identifier"}
    assert audit(path, "--out", out) == 0
    written = pd.read_parquet(out)
    pd.testing.assert_frame_equal(written[["x", "label"]], frame)
    # What is replaced is gone from the notes of pandas as well.
    again = tmp_path / "again.parquet"
    assert audit(out, "--out", again) == 0
    names = [column["name"] for column in pandas_metadata(pq.read_table(again))["columns"]]
    assert names == ["x", "label", "name"]
    assert list(pd.read_parquet(again).columns) == ["x", "label", *ADDED]


def test_an_index_without_a_name_is_an_identifier(tmp_path):
    frame = pd.DataFrame({"x": np.arange(40.0) % 7, "label": ["a", "b"] * 20})
    frame.index = np.arange(40) * 3 + 5
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    assert roles(read(path)) == {"x": "number", "__index_level_0__": "identifier"}


def test_csv_and_parquet_give_the_same_result(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=40).round(3),
            "n": rng.integers(0, 50, 40),
            "cost": [f"€{value}" for value in rng.integers(1, 99, 40)],
            "city": rng.choice(["Bern", "NA", "Rome"], 40),
            "flag": rng.random(40) < 0.5,
            "label": rng.choice(["pro", "None", "NA", "plus"], 40),
        }
    )
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    for options in ([], ["--keep-na"]):
        one, other = (read(tmp_path / name, *options) for name in ("table.csv", "table.parquet"))
        assert one.labels.classes == other.labels.classes
        np.testing.assert_array_equal(one.labels.codes, other.labels.codes)
        assert one.notes == other.notes
        assert roles(one) == roles(other)
        for name in ("x", "n", "cost", "city", "flag"):
            np.testing.assert_array_equal(values(one, name), values(other, name))


def test_a_null_is_missing_even_where_words_are_kept(tmp_path):
    path = tmp_path / "table.parquet"
    labels = pa.array(["pro", "None", None, "pro"] * 5)
    pq.write_table(pa.table({"x": np.arange(20.0) % 7, "label": labels}), path)
    found = read(path, "--keep-na")
    assert found.labels.classes == ["None", "pro"]
    assert (found.labels.codes == -1).sum() == 5


@pytest.mark.parametrize(
    "verified",
    [
        pa.array([1.0, 2.0, None, None] * 10),
        pa.array(["1", "2", "", None] * 10),
        pa.array([1, 2, None, None] * 10, type=pa.uint8()),
    ],
    ids=str,
)
def test_verified_labels_of_another_type(tmp_path, verified):
    path = tmp_path / "table.parquet"
    labels = pa.array([1, 2] * 20)
    pq.write_table(pa.table({"x": np.arange(40.0) % 7, "v": verified, "label": labels}), path)
    assert read(path, "--verified", "v").verified.codes.tolist() == [0, 1, -1, -1] * 10


@pytest.mark.parametrize(
    "labels, message",
    [
        (pa.array([0.5, 1.0] * 20), "decimal numbers such as 0.5"),
        (pa.array([decimal.Decimal("0.50")] * 40), "decimal numbers such as 0.50"),
        (pa.array([datetime.date(2024, 1, 1)] * 40), "dates or times"),
        (pa.array([[1], [2]] * 20), "list"),
        (pa.array([b"\xff", b"\xfe"] * 20), "binary values"),
        (pa.nulls(40), "no row has a label"),
    ],
    ids=str,
)
def test_columns_that_are_no_labels(tmp_path, labels, message):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"x": np.arange(40.0), "label": labels}), path)
    with pytest.raises(CommandError, match=message):
        read(path)


def test_columns_that_cannot_be_a_feature_are_refused_where_they_are_named(table):
    with pytest.raises(
        CommandError, match="'struct' holds struct values, which cannot be a feature"
    ):
        read(table, "--keep", "struct")


def test_text_from_parquet(quick_fit, table, tmp_path):
    out = tmp_path / "out.csv"
    assert audit(table, "--out", out) == 0
    written = strings(out)
    assert written["int"][4] == "20"
    assert written["int"][3] == ""
    assert written["bool"][0] == "True"
    assert written["decimal"][1] == "0.25"
    assert written["corrected_label"][1] == "no"


def test_a_damaged_file(tmp_path, capsys):
    path = tmp_path / "table.parquet"
    path.write_bytes(b"not parquet at all")
    assert audit(path) == 2
    assert "as Parquet" in capsys.readouterr().err
    pq.write_table(pa.table({"x": list(range(1000)), "label": ["a", "b"] * 500}), path)
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\0" * 200 + content[240:])
    assert audit(path) == 2
    assert "as Parquet" in capsys.readouterr().err
    for option in (["--sep", ","], ["--encoding", "utf-8"], ["--skip-lines", "1"]):
        assert audit(path, *option) == 2
        assert "for text files, not for Parquet" in capsys.readouterr().err


def test_tables_without_rows_or_with_names_twice(tmp_path, capsys):
    path = tmp_path / "table.parquet"
    pq.write_table(
        pa.table({"x": pa.array([], pa.int8()), "label": pa.array([], pa.string())}), path
    )
    assert audit(path) == 2
    assert "no rows" in capsys.readouterr().err
    pq.write_table(pa.Table.from_arrays([pa.array([1, 2])] * 2, names=["label", "label"]), path)
    assert audit(path) == 2
    assert "two columns named 'label'" in capsys.readouterr().err
