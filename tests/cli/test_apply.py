"""``skrobust apply``: decisions of the review page come back to the table."""

import gzip
import html
import json
import shlex

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")
pytest.importorskip("jinja2")

import pandas as pd

from skrobust._cli import main
from skrobust.inspection._correction_file import write_corrections
from skrobust.inspection._fingerprint import encode_text, fingerprint
from tests.cli._tables import audit, read, small_table, strings, write_columns


def corrections(path, labels, decisions, **common):
    """Write a file of decisions: row to true label, or to None where it is unclear."""
    codes, _, texts = encode_text(np.asarray(labels, dtype=object))
    rows = []
    for row, label in decisions.items():
        kind = "unclear" if label is None else "right" if label == labels[row] else "wrong"
        rows.append({
            "fingerprint": fingerprint(codes, texts), "n_rows": len(labels), "row": row,
            "given_label": labels[row], "decision": kind,
            "new_label": label if kind == "wrong" else "", "source": "flagged",
            "reviewer": "ann", "time": f"2026-01-05T10:{row:02d}:00Z", **common,
        })  # fmt: skip
    path.write_text(write_corrections(rows), encoding="utf-8", newline="")
    return path


def apply(table, *arguments):
    return main(["apply", str(table), *map(str, arguments)])


@pytest.fixture
def table(tmp_path):
    frame = small_table()
    frame.insert(0, "key", [f"k{row:03d}" for row in range(60)])
    frame["other"] = frame["label"].map({"yes": "no", "no": "yes"})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    return path, frame["label"].tolist()


def swapped(label):
    return "no" if label == "yes" else "yes"


def test_these_labels_and_no_others_change(table, tmp_path, capsys):
    path, labels = table
    before = path.read_bytes()
    decisions = {3: swapped(labels[3]), 4: labels[4], 9: None, 59: swapped(labels[59])}
    file = corrections(tmp_path / "c.csv", labels, decisions)
    out = tmp_path / "fixed.csv"
    assert apply(path, file, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "labels in column 'label'" in printed
    assert "Decisions: 4 in 1 file: 1 right, 2 wrong, 1 unclear" in printed
    assert "Flagged labels: 66.7 % of 3 are wrong (90 % interval " in printed
    assert "2 labels of the column 'label' changed" in printed
    assert path.read_bytes() == before
    given, fixed = before.decode().split("\n"), out.read_text().split("\n")
    differ = [number for number, pair in enumerate(zip(given, fixed)) if pair[0] != pair[1]]
    assert differ == [4, 60]
    assert len(given) == len(fixed)
    assert strings(out)["label"][3] == swapped(labels[3])


def test_merged_spellings_are_written_as_most_of_their_class(table, tmp_path, capsys):
    path, labels = table
    frame = pd.read_csv(path)
    frame.loc[[5, 6], "label"] = [labels[5].upper(), f" {labels[6]}"]
    frame.to_csv(path, index=False)
    file = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3]), 5: swapped(labels[5])})
    out = tmp_path / "fixed.csv"
    options = ("--out", out, "--merge-spellings")
    assert apply(path, file, *options) == 0
    printed = capsys.readouterr().out
    assert "2 labels of the column 'label' changed, 1 more spelled as most labels" in printed
    expected = [swapped(label) if row in (3, 5) else label for row, label in enumerate(labels)]
    assert strings(out)["label"].tolist() == expected
    assert apply(path, file, "--out", tmp_path / "no.csv") == 2


def test_the_printed_command_reads_the_table_as_the_audit_did(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    frame = small_table()
    frame.loc[:5, "label"] = ["YES", "n/k", "-9", "NA", "No", "n/k"]
    frame.to_csv("my table.csv", index=False, sep="|", encoding="utf-16")
    arguments = ["--encoding", "utf-16", "--sep", "|", "--keep-na", "--merge-spellings"]
    arguments += ["--missing-label", "n/k", "-9", "--estimator", "forest"]
    assert audit("my table.csv", *arguments, "--report", "page.html") == 0
    printed = capsys.readouterr().out
    command = next(line for line in printed.split("\n") if line.startswith("  skrobust apply"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert shlex.join(data["options"]) in html.unescape(page)
    row = data["rows"]["row"][0]
    given = data["classes"][data["rows"]["given"][0]]
    decision = {
        "fingerprint": data["fingerprint"], "n_rows": 60, "row": row, "given_label": given,
        "decision": "right", "new_label": "", "source": "flagged", "reviewer": "ann",
        "time": "2026-01-05T10:00:00Z",
    }  # fmt: skip
    (tmp_path / "corrections.csv").write_text(write_corrections([decision]), encoding="utf-8")
    assert main(shlex.split(command)[1:]) == 0
    assert "2 more spelled as most" in capsys.readouterr().out


def test_verified_labels_are_used_by_the_next_audit(table, tmp_path, capsys):
    path, labels = table
    file = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3]), 4: labels[4]})
    out = tmp_path / "fixed.csv"
    assert apply(path, file, "--out", out, "--keep-labels") == 0
    assert "2 verified labels in the new column 'verified_label'" in capsys.readouterr().out
    written = strings(out)
    assert written["label"].tolist() == labels
    assert written["verified_label"][3:5].tolist() == [swapped(labels[3]), labels[4]]
    assert (written["verified_label"] == "").sum() == 58
    found = read(out, "--drop", "other")
    assert (found.verified.codes >= 0).sum() == 2


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv", "t.parquet"])
def test_kinds_of_files(table, tmp_path, name):
    path, labels = table
    frame = pd.read_csv(path)
    source, out = tmp_path / name, tmp_path / f"fixed_{name}"
    if name.endswith("parquet"):
        frame["label"] = frame["label"].astype("category")
        frame.to_parquet(source)
    else:
        frame.to_csv(source, index=False, sep="\t" if name.endswith("tsv") else ",")
    file = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3])})
    assert apply(source, file, "--out", out) == 0
    if name.endswith("parquet"):
        written = pd.read_parquet(out)
        assert written["label"].dtype == "category"
    elif name.endswith("gz"):
        assert gzip.decompress(out.read_bytes()).startswith(b"key,x,z,label,other\n")
        written = pd.read_csv(out)
    else:
        written = pd.read_csv(out, sep="\t")
    expected = frame.copy()
    expected.loc[3, "label"] = swapped(labels[3])
    pd.testing.assert_frame_equal(written, expected)


def test_totals_and_missing_labels(tmp_path):
    columns = {"x": ["1.5", "2.5", "3.5", "4.5", "5.5", "Total"], "label": [*"abNab", ""]}
    columns["label"][2] = "NA"
    path = write_columns(tmp_path / "t.csv", columns)
    labels = ["a", "b", None, "a", "b"]
    codes, _, texts = encode_text(np.array(labels, dtype=object))
    row = {
        "fingerprint": fingerprint(codes, texts), "n_rows": 5, "row": 4, "given_label": "b",
        "decision": "wrong", "new_label": "a", "source": "flagged",
    }  # fmt: skip
    file = tmp_path / "c.csv"
    file.write_text(write_corrections([row]), encoding="utf-8", newline="")
    assert apply(path, file, "--out", tmp_path / "o.csv") == 0
    assert strings(tmp_path / "o.csv")["label"].tolist() == ["a", "b", "NA", "a", "a", ""]
    assert apply(path, file, "--out", tmp_path / "p.csv", "--keep-na") == 2


def test_reviewers_that_differ(table, tmp_path, capsys):
    path, labels = table
    one = corrections(tmp_path / "one.csv", labels, {3: "yes", 4: labels[4], 5: labels[5]})
    late = {"reviewer": "bob", "time": "2026-02-01T00:00:00Z"}
    two = corrections(tmp_path / "two.csv", labels, {3: "no", 4: labels[4]}, **late)
    out = tmp_path / "fixed.csv"
    assert apply(path, one, two, "--out", out) == 2
    captured = capsys.readouterr()
    assert not out.exists()
    assert "reviewers differ on 1 rows, and nothing was written" in captured.err
    assert "Agreement (Krippendorff's alpha): " in captured.out
    assert "yes (ann), no (bob)" in captured.out
    assert apply(path, one, two, "--out", out, "--on-conflict", "last") == 0
    assert strings(out)["label"][3] == "no"
    assert apply(path, one, two, "--out", out, "--on-conflict", "majority") == 0
    assert strings(out)["label"][3] == labels[3]


def test_json(table, tmp_path, capsys):
    path, labels = table
    file = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3])})
    assert apply(path, file, "--out", tmp_path / "o.csv", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_changed"] == 1
    assert found["audit_error_rate"] is None


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda frame: frame.iloc[::-1], "holds the labels .*: its rows are in another order"),
        (
            lambda frame: frame.assign(label=frame["label"].where(frame.index != 3, "x"), other=0),
            "its labels were changed, or its rows are in another order",
        ),
        (lambda frame: frame.iloc[:-1], "for 60 rows, and the table has 59"),
        (lambda frame: frame.drop(columns="label"), "Name the column with --label"),
    ],
)
def test_other_tables_are_refused(table, tmp_path, capsys, change, message):
    import re

    path, labels = table
    file = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3])}, row_id="k003")
    change(pd.read_csv(path)).to_csv(path, index=False)
    assert apply(path, file, "--out", tmp_path / "o.csv") == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "o.csv").exists()


def test_a_table_that_was_corrected_before_is_refused(table, tmp_path, capsys):
    path, labels = table
    decisions = {3: swapped(labels[3]), 4: labels[4]}
    file, out = corrections(tmp_path / "c.csv", labels, decisions), tmp_path / "fixed.csv"
    assert apply(path, file, "--out", out) == 0
    pd.read_csv(out).drop(columns="other").to_csv(out, index=False)
    assert apply(out, file, "--out", tmp_path / "again.csv") == 2
    assert "the column 'label' holds some of the corrections already" in capsys.readouterr().err


def test_unknown_classes_are_named(table, tmp_path, capsys):
    path, labels = table
    file = corrections(tmp_path / "c.csv", labels, {3: "Yes"})
    assert apply(path, file, "--out", tmp_path / "o.csv") == 2
    error = capsys.readouterr().err
    assert "'Yes' is none of the 2 classes of the table: 'no', 'yes' (did you mean 'yes'?)" in error


def test_a_named_column_names_what_differs(table, tmp_path, capsys):
    path, labels = table
    file = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3])})
    assert apply(path, file, "--out", tmp_path / "o.csv", "--label", "other") == 2
    error = capsys.readouterr().err
    assert f"the given label of line 5 of the table is '{swapped(labels[3])}'" in error
    assert error.count("\n") == 1


def test_shifted_ids_are_refused(table, tmp_path, capsys):
    path, labels = table
    right = corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3])}, row_id="k003")
    assert apply(path, right, "--out", tmp_path / "o.csv") == 0
    shifted = corrections(tmp_path / "d.csv", labels, {3: swapped(labels[3])}, row_id="k004")
    assert apply(path, shifted, "--out", tmp_path / "p.csv") == 2
    assert "no column of the table has the ids" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["none.csv", "--out", "o.csv"], "corrections 'none.csv' cannot be read"),
        (["c.csv", "--out", "table.csv"], "is the table itself"),
        (["c.csv", "--out", "c.csv"], "is a file of corrections"),
        (["c.csv", "--out", "o.xlsx"], "is a spreadsheet"),
        (["c.csv", "--out", "o.csv", "--label", "nope"], "is not a column"),
        (["table.csv", "--out", "o.csv"], "is no file of corrections"),
        (["table.csv", "--out", "o.csv"], "which skrobust audit --verified names"),
        (["c.csv"], "--out"),
    ],
)
def test_bad_arguments(table, tmp_path, monkeypatch, capsys, arguments, message):
    _, labels = table
    corrections(tmp_path / "c.csv", labels, {3: swapped(labels[3])})
    monkeypatch.chdir(tmp_path)
    assert apply("table.csv", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_audit_writes_a_page_whose_decisions_apply(table, tmp_path, capsys):
    path, labels = table
    page = tmp_path / "report.html"
    arguments = ["--estimator", "forest", "--drop", "other", "--report", page]
    assert audit(path, *arguments, "--flag-fraction", "0.1") == 0
    assert "skrobust apply" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["title"] == "table.csv: label"
    assert "skrobust apply table.csv corrections.csv --keep-labels" in text
    assert data["options"] == []
    assert data["row_names"]["kind"] == "line"
    assert data["row_names"]["names"][0] == str(data["rows"]["row"][0] + 2)
    assert data["counts"]["flagged"] == 6
    assert data["rows"]["id"][0] == f"k{data['rows']['row'][0]:03d}"
    codes, _, texts = encode_text(np.array(labels, dtype=object))
    assert data["fingerprint"] == fingerprint(codes, texts)
    row = data["rows"]["row"][0]
    file = corrections(
        tmp_path / "c.csv", labels, {row: swapped(labels[row])}, row_id=data["rows"]["id"][0]
    )
    assert apply(path, file, "--out", tmp_path / "fixed.csv") == 0
    assert strings(tmp_path / "fixed.csv")["label"][row] == swapped(labels[row])
