"""The command line: what it finds, what it writes, and what it says about wrong input."""

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("skrub")

from sklearn.metrics import average_precision_score  # noqa: E402

import skrobust  # noqa: E402
from skrobust._cli import main  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def _make_messy_table(*args, **kwargs):
    path = ROOT / "tools" / "make_messy_table.py"
    spec = importlib.util.spec_from_file_location("make_messy_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_messy_table(*args, **kwargs)


def _small(n_rows=60, seed=0):
    """A table with an easy label: the sign of x, some rows wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    x += np.sign(x)
    label = np.where(x > 0, "yes", "no").astype(object)
    return pd.DataFrame({"x": x.round(4), "z": rng.normal(size=n_rows).round(4), "label": label})


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.csv"
    _small().to_csv(path, index=False)
    return path


def _audit(path, *arguments, label="label"):
    return main(["audit", str(path), "--label", label, *map(str, arguments)])


# What it finds


def test_messy_table(tmp_path, capsys, seed):
    table, planted = _make_messy_table(random_state=seed)
    path, out = tmp_path / "messy.csv", tmp_path / "flagged.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--out", out, label="team") == 0
    written = pd.read_csv(out)
    assert len(written) == len(table)
    assert list(written.columns) == [
        *table.columns, "label_quality", "is_flagged", "suggested_label"
    ]  # fmt: skip
    known = written["label_quality"].notna().to_numpy()
    np.testing.assert_array_equal(known, table["team"].notna())
    assert not written["is_flagged"][~known].any()
    assert written["suggested_label"].notna().all()
    suspicion = 1 - written["label_quality"][known]
    assert average_precision_score(planted[known], suspicion) >= 0.8

    captured = capsys.readouterr()
    assert captured.err == ""
    assert "left out, identifiers: ticket_id\n" in captured.out
    assert "left out, constant: system\n" in captured.out
    assert f"{(~known).sum()} rows have no label; suggested: " in captured.out
    assert "Estimated share of wrong labels: " in captured.out
    worst = written["label_quality"].idxmin()
    assert written["ticket_id"][worst] in captured.out


@pytest.mark.parametrize("estimator", ["logistic", "boosting"])
def test_other_estimators(tmp_path, estimator):
    table, planted = _make_messy_table(300)
    path, out = tmp_path / "messy.csv", tmp_path / "flagged.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--estimator", estimator, "--out", out, label="team") == 0
    quality = pd.read_csv(out)["label_quality"]
    known = quality.notna().to_numpy()
    assert average_precision_score(planted[known], 1 - quality[known]) >= 0.6


def test_messy_table_is_as_described():
    table, planted = _make_messy_table(1000, 0.2, 3)
    again, _ = _make_messy_table(1000, 0.2, 3)
    pd.testing.assert_frame_equal(table, again)
    truth = np.array(table.attrs["truth"])
    labelled = table["team"].notna().to_numpy()
    assert planted.sum() == round(0.2 * labelled.sum())
    np.testing.assert_array_equal(table["team"][labelled] != truth[labelled], planted[labelled])
    assert not planted[~labelled].any()
    assert table["amount"].isna().any()
    assert table["ticket_id"].is_unique


# What it writes


def test_parquet_round_trip(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    table = _small()
    table["when"] = pd.date_range("2024-01-01", periods=len(table), freq="D")
    table["label"] = pd.array((table["label"] == "yes").astype(int), dtype="Int64")
    table.loc[[3, 9], "label"] = pd.NA
    path, out = tmp_path / "table.parquet", tmp_path / "out.parquet"
    table.to_parquet(path, index=False)
    assert _audit(path, "--out", out) == 0
    written = pd.read_parquet(out)
    assert list(written.columns[:4]) == list(table.columns)
    np.testing.assert_array_equal(written["x"], table["x"])
    np.testing.assert_array_equal(written["when"], table["when"])
    assert str(written["suggested_label"].dtype).lower() == "int64"
    assert written["label_quality"].isna().sum() == 2
    assert "58 rows labelled, 2 without a label" in capsys.readouterr().out


def test_integer_labels_stay_integers(tmp_path, capsys):
    table = _small()
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table["label"] = pd.array((table["label"] == "yes") * 7 + 3, dtype="Int64")
    table.loc[5, "label"] = pd.NA
    table.to_csv(path, index=False)
    assert _audit(path, "--out", out) == 0
    written = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert set(written["label"]) == {"3", "10", ""}
    assert set(written["suggested_label"]) == {"3", "10"}
    assert written["label_quality"][5] == ""
    assert "3.0" not in capsys.readouterr().out


def test_boolean_labels(tmp_path):
    table = _small()
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table["label"] = table["label"] == "yes"
    table.to_csv(path, index=False)
    assert _audit(path, "--out", out) == 0
    assert set(pd.read_csv(out, dtype=str)["suggested_label"]) == {"True", "False"}


def test_whole_floats_are_labels(tmp_path):
    table = _small()
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table["label"] = (table["label"] == "yes") * 1.0
    table.to_csv(path, index=False)
    assert _audit(path, "--out", out) == 0


def test_input_comes_back_as_it_was(tmp_path):
    table = _small().astype(str)
    table["code"] = ["007", "1.50", 'a "b", c', "line\nbreak"] * 15
    table["x_"] = "NA"
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--out", out) == 0
    written = pd.read_csv(out, dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(written[list(table.columns)], table, check_dtype=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "table.csv"]


def test_added_columns_do_not_clash(tmp_path, capsys):
    table = _small()
    table["is_flagged"] = table["z"]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--out", out) == 0
    added = ["label_quality_2", "is_flagged_2", "suggested_label_2"]
    assert list(pd.read_csv(out).columns) == [*table.columns, *added]
    assert ", ".join(added) in capsys.readouterr().out


def test_old_result_survives_a_failed_write(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.csv"
    out.write_text("old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert _audit(small, "--out", out) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "small.csv"]


@pytest.mark.parametrize(
    "name, settings, arguments",
    [
        ("t.csv", {"encoding": "cp1252"}, ["--encoding", "cp1252"]),
        ("t.csv", {"encoding": "utf-16"}, ["--encoding", "utf-16"]),
        ("t.csv", {"encoding": "utf-8-sig"}, []),
        ("t.csv", {"sep": ";"}, []),
        ("t.tsv", {"sep": "\t"}, []),
        ("t.txt", {"sep": "|"}, ["--sep", "|"]),
        ("t.csv.gz", {}, []),
    ],
)
def test_kinds_of_text(tmp_path, name, settings, arguments):
    table = _small()
    table["label"] = table["label"].replace({"no": "né"})
    path, out = tmp_path / name, tmp_path / f"out_{name}"
    table.to_csv(path, index=False, **settings)
    assert _audit(path, *arguments, "--out", out) == 0
    content = gzip.decompress(out.read_bytes()) if name.endswith(".gz") else out.read_bytes()
    encoding = settings.get("encoding", "utf-8")
    assert "né" in content.decode(encoding)
    assert len(content.decode(encoding).splitlines()) == 61


# Columns


def test_identifiers(tmp_path, capsys):
    n_rows = 200
    rng = np.random.default_rng(0)
    table = _small(n_rows)
    table.insert(0, "", np.arange(n_rows))
    table["customerId"] = rng.permutation(10**6)[:n_rows]
    table["hex"] = [f"{value:08x}-1" for value in rng.permutation(10**6)[:n_rows]]
    table["mail"] = [f"{chr(97 + i % 26)}{i}@b.org" for i in range(n_rows)]
    kept = {
        "day": pd.date_range("2024-01-01", periods=n_rows).strftime("%Y-%m-%d"),
        "day_number": pd.date_range("2024-01-01", periods=n_rows).strftime("%Y%m%d"),
        "sensor": rng.normal(size=n_rows),
        "remark": [f"bought {i} apples and more" for i in range(n_rows)],
        "grams": rng.integers(0, 3000, n_rows),
        "price": [f"{i},5" for i in rng.permutation(n_rows)],
    }
    table = pd.concat([table, pd.DataFrame(kept)], axis=1)
    table["nothing"] = ""
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    assert _audit(path) == 0
    printed = capsys.readouterr().out
    assert "left out, identifiers: , customerId, hex, mail\n" in printed
    assert "left out, empty: nothing\n" in printed
    assert f"Features: 8 columns: x, z, {', '.join(kept)}\n" in printed

    assert _audit(path, "--keep", "hex", "--drop", "day", "grams", "--drop", "price") == 0
    printed = capsys.readouterr().out
    assert "left out, identifiers: , customerId, mail\n" in printed
    assert "left out, as asked: day, grams, price\n" in printed


@pytest.mark.parametrize("estimator", ["forest", "logistic"])
def test_odd_values(tmp_path, estimator):
    table = _small()
    n_rows = len(table)
    table["huge"] = [np.inf, 1e300, -1.0, -np.inf, np.nan] * (n_rows // 5)
    table["mixed"] = [1, "a"] * (n_rows // 2)
    table["flag"] = [True, None] * (n_rows // 2)
    table["zone"] = pd.date_range("2024-01-01", periods=n_rows, freq="h", tz="Europe/Paris")
    table["text"] = [f"hello {i} world" if i % 3 else None for i in range(n_rows)]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--estimator", estimator, "--out", out) == 0
    assert pd.read_csv(out)["label_quality"].between(0, 1).all()


def test_verified(tmp_path, capsys):
    table = _small()
    table["checked"] = None
    table.loc[:4, "checked"] = table["label"][:5]
    table.loc[7, "checked"] = {"yes": "no", "no": "yes"}[table["label"][7]]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--verified", "checked", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "Verified: 6 rows, the label is wrong in 1\n" in printed
    assert "Features: 2 columns: x, z\n" in printed
    written = pd.read_csv(out)
    assert (written["label_quality"][:5] == 1).all()
    assert written["label_quality"][7] == 0
    assert written["is_flagged"][7]
    assert written["suggested_label"][7] == table["checked"][7]


def test_words_for_missing_are_named(tmp_path, capsys):
    table = _small()
    table.loc[:2, "label"] = ["NA", "NA", ""]
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    assert _audit(path) == 0
    printed = capsys.readouterr().out
    assert "57 rows labelled, 3 without a label" in printed
    assert "read as no label: 'NA' (2)" in printed


def test_class_of_one_row_and_top(tmp_path, capsys):
    table = _small()
    table.loc[0, "label"] = "maybe"
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    assert _audit(path, "--top", 3) == 0
    printed = capsys.readouterr().out
    assert "one row only, which nothing can be compared with: maybe" in printed
    assert "below the header, 3 shown" in printed


# Wrong input: one line on stderr, status 2, nothing written


def _csv(text):
    return text.encode() if isinstance(text, str) else text


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
    "decimals": ("x,label\n1,.5\n2,1.5\n", [], "holds decimal numbers such as 0.5"),
    "all differ": ("x,label\n1,a\n2,b\n3,c\n4,d\n", [], "4 different labels on 4 rows"),
    "no features": ("x,label\n1,a\n1,a\n1,b\n1,b\n", [], "no column to judge the labels by"),
    "only the label": ("label\na\na\nb\nb\n", [], "no column to judge the labels by"),
    "--drop": (ROWS, ["--drop", "y"], "--drop 'y' is not a column"),
    "--drop label": (ROWS, ["--drop", "label"], "--drop 'label' is the column of labels"),
    "--keep": (ROWS, ["--keep", "y"], "--keep 'y' is not a column"),
    "both": (ROWS, ["--keep", "x", "--drop", "x"], "given to both"),
    "--verified": (ROWS, ["--verified", "y"], "--verified 'y' is not a column"),
    "--verified label": (ROWS, ["--verified", "label"], "is the column of labels"),
    "unknown verified": (
        "x,v,label\n" + "1,q,a\n1,,b\n" * 3,
        ["--verified", "v"],
        "labels that are none of the 2 classes given: 'q'",
    ),
    "--estimator": (ROWS, ["--estimator", "tree"], "invalid choice"),
    "--n-jobs": (ROWS, ["--n-jobs", "0"], "0 is not a number of jobs"),
    "--top": (ROWS, ["--top", "many"], "'many' is not a whole number"),
    "negative --top": (ROWS, ["--top", "-1"], "-1 is out of range"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_table(case, tmp_path, capsys):
    content, arguments, message = BAD_TABLES[case]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    path.write_bytes(_csv(content))
    assert _audit(path, *arguments, "--out", out) == 2
    _check_error(capsys, message)
    assert list(tmp_path.iterdir()) == [path]


def _check_error(capsys, message):
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
        ("out.xlsx", "unsupported suffix"),
        ("folder.csv", "is a folder"),
    ],
)
def test_bad_out(small, tmp_path, capsys, name, message):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link.csv").symlink_to(small)
    before = small.read_bytes()
    assert _audit(small, "--out", tmp_path / name.format(folder=tmp_path.name)) == 2
    _check_error(capsys, message)
    assert small.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_bad_path(tmp_path, capsys):
    assert _audit(tmp_path / "nowhere.csv") == 2
    _check_error(capsys, "there is no file")
    (tmp_path / "folder.csv").mkdir()
    assert _audit(tmp_path / "folder.csv") == 2
    _check_error(capsys, "is not a file")
    assert _audit(tmp_path / "table.xlsx") == 2
    _check_error(capsys, "unsupported suffix")
    (tmp_path / "broken.csv.gz").write_bytes(b"no gzip")
    assert _audit(tmp_path / "broken.csv.gz") == 2
    _check_error(capsys, "cannot read")


def test_bad_parquet(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    path = tmp_path / "table.parquet"
    path.write_bytes(b"not parquet at all")
    assert _audit(path) == 2
    _check_error(capsys, "as Parquet")
    assert _audit(path, "--sep", ",") == 2
    _check_error(capsys, "is for text files")


def test_bad_arguments(capsys):
    assert main([]) == 2
    _check_error(capsys, "required: COMMAND")
    assert main(["audit", "table.csv"]) == 2
    _check_error(capsys, "required: --label")
    assert main(["polish"]) == 2
    _check_error(capsys, "invalid choice: 'polish'")


def test_missing_extra(small, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skrub", None)
    assert _audit(small) == 2
    _check_error(capsys, 'pip install "skrobust[report]"')


def test_interruption(small, capsys, monkeypatch):
    from skrobust._cli import _audit as module

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_fit", interrupt)
    assert _audit(small) == 130
    assert capsys.readouterr().err == "skrobust: interrupted\n"


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"skrobust {skrobust.__version__}\n"
    assert main(["audit", "--help"]) == 0
    assert "--verified" in capsys.readouterr().out


def test_as_a_program(small, tmp_path):
    command = [sys.executable, "-m", "skrobust._cli", "audit", str(small), "--label"]
    done = subprocess.run([*command, "label"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "Most suspicious rows" in done.stdout
    done = subprocess.run([*command, "lable"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("skrobust: error: --label 'lable' is not a column")
    assert "did you mean 'label'?" in done.stderr
    assert "Traceback" not in done.stderr
