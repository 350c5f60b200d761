"""Text files: encodings, separators, headers, and what comes back."""

import gzip
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import pandas as pd

from skrobust._cli._common import CommandError
from skrobust._cli._source import Source
from tests.cli._tables import audit, read, roles, small_table, strings, write_columns

ROOT = Path(__file__).resolve().parents[2]
ADDED = ["label_quality", "is_flagged", "corrected_label"]
ROWS = "".join(f"{i}.5,{i % 7},{'ab'[i % 2]}\n" for i in range(10))


def write(tmp_path, text, name="table.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "name, settings, arguments",
    [
        ("t.csv", {"encoding": "cp1252"}, ["--encoding", "cp1252"]),
        ("t.csv", {"encoding": "utf-16"}, []),
        ("t.csv", {"encoding": "utf-8-sig"}, []),
        ("t.csv", {"sep": ";"}, []),
        ("t.tsv", {"sep": "\t"}, []),
        ("t.txt", {"sep": "|"}, []),
        ("t.csv.gz", {}, []),
        ("t.csv", {"lineterminator": "\r\n"}, []),
    ],
)
def test_kinds_of_text_come_back_unchanged(quick_fit, tmp_path, name, settings, arguments):
    table = small_table()
    table["label"] = table["label"].replace({"no": "né"})
    path, out = tmp_path / name, tmp_path / f"out_{name}"
    table.to_csv(path, index=False, **settings)
    assert audit(path, *arguments, "--out", out) == 0

    def decoded(path):
        content = path.read_bytes()
        content = gzip.decompress(content) if name.endswith(".gz") else content
        return content.decode(settings.get("encoding", "utf-8").removesuffix("-sig"))

    given, written = decoded(path), decoded(out)
    sep, newline = settings.get("sep", ","), settings.get("lineterminator", "\n")
    lines = written.split(newline)
    assert len(lines) == 62
    for one, other in zip(given.split(newline), lines):
        assert other.startswith(one + sep * bool(one))


def test_cells_come_back_as_they_were(quick_fit, tmp_path):
    table = small_table().astype(str)
    table["code"] = ["007", "1.50", 'a "b", c', "line\nbreak"] * 15
    table["x_"] = "NA"
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--out", out) == 0
    written = strings(out)
    assert list(written.columns) == [*table.columns, *ADDED]
    pd.testing.assert_frame_equal(written[list(table.columns)], table, check_dtype=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "strings.csv", "table.csv"]


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
@pytest.mark.parametrize("top", ["sep={}\n", '"sep={}"\n', "SEP={}\r\n"])
def test_a_line_that_names_the_separator(tmp_path, sep, top):
    text = top.format(sep) + ("x,z,label\n" + ROWS).replace(",", sep)
    found = read(write(tmp_path, text))
    assert found.table.names == ["x", "z", "label"]
    assert found.table.source.layout.header_line == 2
    assert "names the separator" in found.notes[0]


@pytest.mark.parametrize(
    "top, line",
    [
        ("Sales report\n", 2),
        ("Sales report,,\n", 2),
        ('"Sales, by region",,\n\nas of 2024\n', 4),
        ("Report;2024\n", 2),
    ],
)
def test_a_title_above_the_header(tmp_path, top, line):
    path = write(tmp_path, top + "x,z,label\n" + ROWS)
    found = read(path)
    assert found.table.names == ["x", "z", "label"]
    assert found.table.n_rows == 10
    assert any(f"the header was found at line {line}" in note for note in found.notes)
    kind, names = found.table.row_names([0, 9])
    assert (kind, names) == ("line", [str(line + 1), str(line + 10)])
    # With a typo in the name of the column, its columns are still those of the header.
    with pytest.raises(CommandError, match=rf"did you mean 'label'\?.*line {line}"):
        read(path, label="lable")


def test_lines_to_skip_can_be_given(tmp_path):
    text = "a,b,c\nd,e,f\nx,z,label\n" + ROWS
    found = read(write(tmp_path, text), "--skip-lines", "2")
    assert found.table.names == ["x", "z", "label"]
    assert found.table.row_names([0]) == ("line", ["4"])
    with pytest.raises(CommandError, match="no line below the 50 of --skip-lines"):
        read(write(tmp_path, text), "--skip-lines", "50")


def test_a_value_like_the_label_is_no_header(tmp_path):
    text = "x,z,given\n" + ROWS.replace(",a\n", ",label\n")
    with pytest.raises(CommandError, match="its columns are 'x', 'z', 'given'"):
        read(write(tmp_path, text))


@pytest.mark.parametrize(
    "header, row", [("x,z,label,,", ",,"), ("x,z,label", ","), ("x,z,label,", "")]
)
def test_trailing_empty_columns(quick_fit, tmp_path, header, row):
    text = f"{header}\n" + ROWS.replace("\n", f"{row}\n")
    path, out = write(tmp_path, text), tmp_path / "out.csv"
    found = read(path)
    assert {role for name, role in roles(found).items() if name not in "xz"} == {"empty"}
    assert [column.name for column in found.reading.features] == ["x", "z"]
    assert audit(path, "--out", out) == 0
    first = out.read_text().splitlines()[0]
    n_columns = max(header.count(","), 2 + row.count(","))
    assert first == "x,z,label" + "," * (n_columns - 2) + "," + ",".join(ADDED)
    assert pd.read_csv(out)["label"].tolist() == ["a", "b"] * 5


@pytest.mark.parametrize(
    "added, note",
    [
        ("1.5\n", "1 row has fewer cells than the header (line 12)"),
        ('1,2\n"x\ny",3,a\n4\n', "2 rows have fewer cells than the header (lines 12, 15)"),
        ("3.5,2,\n", None),  # an empty cell is one
    ],
)
def test_rows_with_too_few_cells_are_named(tmp_path, added, note):
    path = write(tmp_path, "x,z,label\n" + ROWS + added)
    notes = [found for found in read(path).notes if "fewer cells" in found]
    assert notes == ([] if note is None else [f"{note}; the last ones are read as empty"])


def test_rows_with_a_name_that_the_header_lacks(tmp_path):
    """As R writes tables with row names."""
    rows = "".join(f"r{i},{line}\n" for i, line in enumerate(ROWS.splitlines()))
    found = read(write(tmp_path, "x,z,label\n" + rows))
    assert found.table.names == ["column 1", "x", "z", "label"]
    assert found.table.strings("label").tolist() == ["a", "b"] * 5
    assert any("one cell more than the header" in note for note in found.notes)


def test_columns_without_names(quick_fit, tmp_path):
    text = ",x,,label\n" + "".join(f"{i},{i}.5,{'uvw'[i % 3]},{'ab'[i % 2]}\n" for i in range(30))
    path, out = write(tmp_path, text), tmp_path / "out.csv"
    found = read(path)
    assert roles(found) == {"column 1": "identifier", "x": "number", "column 3": "category"}
    assert roles(read(path, "--drop", "column 3"))["column 3"] == "as asked"
    assert audit(path, "--out", out) == 0
    assert out.read_text().startswith(",x,,label,label_quality")


def test_names_with_blanks_around_them(tmp_path):
    text = "x, z , label\n" + ROWS
    assert read(write(tmp_path, text), "--drop", "z").labels.classes == ["a", "b"]


@pytest.mark.parametrize(
    "text, sep",
    [
        ("x;y,z;label\n1,5;2;a\n2,5;3;b\n1,5;2;a\n2,5;3;b\n", ";"),
        ("x,notes,label\n1,a;b;c;d,a\n2,a;b;c;d,b\n1,a;b;c;d,a\n2,b;b;b;b,b\n", ","),
        ('x,"a;b;c;d;e",label\n1,2,a\n2,3,b\n1,2,a\n2,3,b\n', ","),
        ("x\tlabel\n1,5\ta\n2,5\tb\n1,5\ta\n2,5\tb\n", "\t"),
    ],
)
def test_the_separator_is_found(tmp_path, text, sep):
    assert read(write(tmp_path, text)).table.source.layout.sep == sep


def test_rows_are_named_by_their_lines(tmp_path):
    text = 'x,note,label\n1,"two\nlines",a\n\n2,one,b\n3,"q",a\n4,r,b\n'
    found = read(write(tmp_path, text))
    assert found.table.row_names([0, 1, 2, 3]) == ("line", ["2", "5", "6", "7"])


def test_standard_input(quick_fit, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.csv"
    small_table().to_csv(tmp_path / "table.csv", index=False)
    content = (tmp_path / "table.csv").read_bytes()
    for data in (content, gzip.compress(content, mtime=0)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert audit("-", "--out", out) == 0
        assert len(strings(out)) == 60
    assert "standard input: 60 rows, 3 columns" in capsys.readouterr().out


def test_a_large_file_is_checked_by_its_head(tmp_path):
    text = "x,z,label\n" + ROWS * 10_000
    path = write(tmp_path, text)
    assert Source(path, label="label").names == ["x", "z", "label"]
    assert read(path).table.n_rows == 100_000
    path.write_bytes(text.encode() + b"\xff\xfe\n")
    with pytest.raises(CommandError, match="cannot be decoded as utf-8"):
        read(path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.xlsx", b"PK\x03\x04", "is a spreadsheet; save the sheet as CSV"),
        ("t.ods", b"PK\x03\x04", "is a spreadsheet; save the sheet as CSV"),
        ("t.csv", b"PK\x03\x04", "is a spreadsheet or an archive"),
        ("t.csv", gzip.compress(b"x,label\n", mtime=0), "is compressed; name it .csv.gz"),
        ("t.csv", b"PAR1....", "is a Parquet file; name it .parquet"),
        ("t.json", b"{}", "expected one of .csv"),
        ("t.csv.gz", b"no gzip", "cannot read"),
        ("t.csv.gz", gzip.compress(b"x,label\n1,a\n", mtime=0)[:-9], "cannot read"),
    ],
)
def test_files_that_are_no_text_tables(tmp_path, capsys, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    assert audit(path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_parquet_from_text(quick_fit, tmp_path):
    pytest.importorskip("pyarrow")
    table = small_table()
    table.insert(0, "code", [f"{i % 12:03d}" for i in range(60)])
    table["n"] = [str(i) if i % 4 else "" for i in range(60)]
    path, out = tmp_path / "table.csv", tmp_path / "out.parquet"
    table.to_csv(path, index=False)
    assert audit(path, "--out", out) == 0
    written = pd.read_parquet(out)
    assert list(written.columns) == [*table.columns, *ADDED]
    assert written["code"].tolist() == table["code"].tolist()
    assert written["x"].tolist() == table["x"].tolist()
    assert written["n"].isna().sum() == 15
    assert written["is_flagged"].dtype == bool


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_no_file(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    assert audit(tmp_path / "pipe.csv") == 2
    assert "is not a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere.csv", "--label", "label"], "there is no file 'nowhere.csv'"),
        (["table.csv", "--label", "lable"], "did you mean 'label'?"),
        (["table.csv", "--label", "label", "--drop", "y"], "--drop 'y' is not a column"),
        (["table.csv", "--label", "label", "--out", "no/where.csv"], "does not exist"),
        (["table.csv", "--label", "label", "--estimator", "x"], "invalid choice"),
    ],
)
def test_a_wrong_argument_is_reported_at_once(tmp_path, arguments, message):
    """Before anything is imported that takes its time."""
    write_columns(tmp_path / "table.csv", {"x": ["1", "2"], "label": ["a", "b"]})
    code = (
        "import sys, time, skrobust._cli._main as m; s = m.main(sys.argv[1:]);"
        "slow = {'pandas', 'sklearn', 'skrub', 'scipy'} & set(sys.modules);"
        "print(s, sorted(slow), time.process_time())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "audit", *arguments],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    status, slow, seconds = done.stdout.split(maxsplit=1)[0], done.stdout, done.stdout.split()[-1]
    assert status == "2"
    assert "[]" in slow
    assert float(seconds) < 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
