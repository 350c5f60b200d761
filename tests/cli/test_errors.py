"""Wrong input: one line on stderr, status 2, nothing written."""

import sys

import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import skrobust
from skrobust._cli import main
from tests.cli._tables import audit, small_table

ROWS = "x,label\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(10))
BAD_TABLES = {
    "empty": (b"", [], "is empty"),
    "header only": ("x,label\n", [], "has a header but no rows"),
    "bytes": (b"x,label\n\xe9,a\n", [], "decoded as utf-8 at byte 9; name its encoding"),
    "binary": (b"x,label\n\0\0,a\n", [], "holds null characters"),
    "twice": ("x,x,label\n1,2,a\n", [], "two columns named 'x'"),
    "ragged": ("x,label\n1,a,2,3\n1,a\n", [], "more than the 2 cells of the header"),
    "quote": ('x,label\n1,"a\n2,b\n', [], "cannot read"),
    "typo": (ROWS.replace("label", "Labels"), [], "did you mean 'Labels'?"),
    "other": (ROWS.replace("label", "q"), [], "its columns are 'x', 'q'"),
    "separator": (ROWS, ["--sep", ";"], "the only column is 'x,label': is another --sep needed?"),
    "long --sep": (ROWS, ["--sep", "ab"], "--sep 'ab' is not a separator"),
    "empty --sep": (ROWS, ["--sep", ""], "--sep '' is not a separator"),
    "encoding": (ROWS, ["--encoding", "utf-99"], "--encoding 'utf-99' is not known"),
    "no text encoding": (ROWS, ["--encoding", "base64"], "--encoding 'base64' is not known"),
    "no labels": ("x,label\n1,\n2,NA\n3, \n", [], "no row has a label"),
    "one class": ("x,label\n1,a\n2,a\n", [], "has one class only, 'a'"),
    "decimals": ("x,label\n1,.5\n2,1.5\n", [], "holds decimal numbers such as .5"),
    "all differ": ("x,label\n1,a\n2,b\n3,c\n4,d\n", [], "4 different labels on 4 rows"),
    "no features": ("x,label\n1,a\n1,a\n1,b\n1,b\n", [], "no column that can be a feature"),
    "only the label": ("label\na\na\nb\nb\n", [], "no column that can be a feature"),
    "--drop": (ROWS, ["--drop", "y"], "--drop 'y' is not a column"),
    "--drop label": (ROWS, ["--drop", "label"], "--drop 'label' is the column of labels"),
    "--keep": (ROWS, ["--keep", "y"], "--keep 'y' is not a column"),
    "--as-text label": (ROWS, ["--as-text", "label"], "--as-text 'label' is the column of labels"),
    "two roles": (
        ROWS,
        ["--as-text", "x", "--as-number", "x"],
        "'x' is given to both --as-number and --as-text",
    ),
    "two uses": (
        "x,v,label\n" + "1,a,a\n2,,b\n" * 3,
        ["--verified", "v", "--drop", "v"],
        "'v' is given to both --verified and --drop",
    ),
    "no number": (
        ROWS.replace(".5", "?x"),
        ["--as-number", "x"],
        "--as-number 'x' holds no number; its cells are like '0?x'",
    ),
    "--decimal": (ROWS, ["--decimal", ";"], "invalid choice: ';'"),
    "one mark": (ROWS, ["--decimal", ",", "--thousands", ","], "are both ','"),
    "--skip-lines": (ROWS, ["--skip-lines", "99"], "no line below the 99 of --skip-lines"),
    "a word for missing": (
        ROWS.replace(",b", ",None"),
        [],
        "'None' (5 rows) was read as no label: if it is a class, use --keep-na",
    ),
    "both": (ROWS, ["--keep", "x", "--drop", "x"], "given to both"),
    "--verified": (ROWS, ["--verified", "y"], "--verified 'y' is not a column"),
    "--verified label": (ROWS, ["--verified", "label"], "is the column of labels"),
    "unknown verified": (
        "x,v,label\n" + "1,q,a\n1,,b\n" * 3,
        ["--verified", "v"],
        "labels that are none of the 2 classes given: 'q'; the classes are 'a', 'b'",
    ),
    "--estimator": (ROWS, ["--estimator", "tree"], "invalid choice"),
    "--n-jobs": (ROWS, ["--n-jobs", "0"], "0 is not a number of jobs"),
    "--top": (ROWS, ["--top", "many"], "'many' is not a whole number"),
    "negative --top": (ROWS, ["--top", "-1"], "-1 is out of range"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_wrong_table_or_option(case, tmp_path, capsys):
    content, arguments, message = BAD_TABLES[case]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert audit(path, *arguments, "--out", out) == 2
    check_error(capsys, message)
    assert list(tmp_path.iterdir()) == [path]


def check_error(capsys, message):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("skrobust: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize(
    "name, message",
    [
        ("missing/out.csv", "of --out does not exist"),
        ("small.csv", "is the table itself"),
        ("../{folder}/small.csv", "is the table itself"),
        ("link.csv", "is the table itself"),
        ("out.json", "unsupported suffix"),
        ("out.xlsx", "is a spreadsheet"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_output_that_cannot_be(tmp_path, capsys, name, message):
    path = tmp_path / "small.csv"
    small_table().to_csv(path, index=False)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to(path)
    before = path.read_bytes()
    assert audit(path, "--out", tmp_path / name.format(folder=tmp_path.name)) == 2
    check_error(capsys, message)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("name", ["nowhere.csv", "x" * 300 + ".csv", "nul\0l.csv"])
def test_no_file(tmp_path, capsys, name):
    assert audit(f"{tmp_path}/{name}") == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("skrobust: error: ")


def test_a_folder(tmp_path, capsys):
    (tmp_path / "folder.csv").mkdir()
    assert audit(tmp_path / "folder.csv") == 2
    check_error(capsys, "is not a file")


def test_standard_input_that_is_closed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert audit("-") == 2
    check_error(capsys, "standard input is closed")


def test_arguments(capsys):
    assert main([]) == 2
    check_error(capsys, "required: COMMAND")
    assert main(["audit", "table.csv"]) == 2
    check_error(capsys, "required: --label")
    assert main(["polish"]) == 2
    check_error(capsys, "invalid choice: 'polish'")


def test_an_extra_that_is_missing(tmp_path, capsys, monkeypatch):
    path = tmp_path / "small.csv"
    small_table().to_csv(path, index=False)
    monkeypatch.setitem(sys.modules, "skrub", None)
    assert audit(path) == 2
    check_error(capsys, 'pip install "skrobust[report]"')
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert audit(path, "--out", tmp_path / "out.parquet") == 2
    check_error(capsys, 'pip install "skrobust[report]"')


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"skrobust {skrobust.__version__}\n"
    assert main(["audit", "--help"]) == 0
    printed = capsys.readouterr().out
    for text in ("--verified", "--keep-na", "--missing-label", "exit status:", "at least 90 %"):
        assert text in printed
