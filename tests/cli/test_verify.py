"""``skrobust verify``, and what ``skrobust audit`` says of its flags."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import pandas as pd

from skrobust._cli import main
from skrobust._cli._verify import choose_rows
from tests.cli._tables import audit, read, roles, small_table, strings


@pytest.fixture
def path(tmp_path):
    table = small_table(90)
    table["text"] = [f"remark number {row}, of some length" for row in range(90)]
    table.loc[::15, "label"] = table.loc[::15, "label"].map({"yes": "no", "no": "yes"})
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    return path


def result_of(quality, verified=()):
    quality = np.array(quality, dtype=float)
    checked = np.isin(np.arange(len(quality)), verified)
    return SimpleNamespace(
        quality=quality, labelled=np.ones(len(quality), dtype=bool), verified=checked
    )


def test_rows_are_of_three_kinds():
    quality = np.concatenate([[0.01, 0.02], [0.45, 0.52], np.full(96, 0.99)])
    rows, why = choose_rows(result_of(quality), 6, 0)
    assert len(rows) == 6
    kinds = {kind: [row for row, own in zip(rows, why) if own == kind] for kind in set(why)}
    assert kinds["suspicious"] == [0, 1]
    assert kinds["doubtful"] == [2, 3]
    assert len(kinds["random"]) == 2
    assert min(kinds["random"]) >= 4
    again, _ = choose_rows(result_of(quality), 6, 0)
    assert again.tolist() == rows.tolist()
    other, _ = choose_rows(result_of(quality), 6, 1)
    assert other.tolist() != rows.tolist()


def test_verified_rows_and_rows_without_quality_are_not_chosen():
    quality = [0.01, np.nan, 0.5, 0.9, 0.9]
    rows, why = choose_rows(result_of(quality, verified=[0]), 30, 0)
    assert rows.tolist() == [2, 3, 4]
    assert len(why) == 3
    assert choose_rows(result_of(quality), 0, 0)[0].size == 0


def test_verify_prints_rows(path, capsys):
    arguments = ["verify", str(path), "--label", "label", "--rows", "9", "--estimator", "forest"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for kind in ("suspicious", "doubtful", "random"):
        assert printed.count(f"  {kind}\n") == 3
    assert "text: remark number " in printed
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["why"] for row in found["rows"]].count("random") == 3


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_verify_writes_a_file_to_fill_in(path, tmp_path, capsys, name):
    out = tmp_path / name
    arguments = ["--label", "label", "--rows", "6", "--estimator", "forest"]
    assert main(["verify", str(path), *arguments, "--out", str(out)]) == 0
    assert "marked in the column\n'to_verify'" in capsys.readouterr().out
    found = read(out)
    assert {"to_verify", "verified_label"} & set(roles(found)) == {"to_verify", "verified_label"}
    assert [column.name for column in found.reading.features] == ["x", "z", "text"]
    assert found.removed == ["to_verify"]
    again = tmp_path / "again.csv"
    assert main(["verify", str(out), *arguments, "--out", str(again)]) == 0
    written = strings(again)
    assert written.columns.tolist() == [*path.read_text().split("\n")[0].split(","),
                                        "verified_label", "to_verify"]  # fmt: skip
    assert (written["to_verify"] != "").sum() == 6
    assert (written["verified_label"] == "").all()


def test_audit_reports_how_good_the_flags_are(path, capsys):
    assert audit(path, "--precision", ".5", "--drop", "text") == 0
    printed = capsys.readouterr().out
    assert "Of the flagged labels, " in printed
    assert "% are wrong, estimated; between " in printed
    assert audit(path, "--estimator", "forest", "--flag-fraction", ".1", "--drop", "text") == 0
    printed = capsys.readouterr().out
    assert "the share that is wrong cannot be estimated" in printed
    assert "To know more, check these lines" in printed
    assert "Flagged: 9 of 90" in printed


def test_audit_prints_what_speaks_against_a_label(path, capsys):
    assert audit(path, "--estimator", "forest", "--top", "3", "--threshold", "0.4") == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Most suspicious rows"))
    assert lines[start + 3].strip().startswith("text: remark number ")
    assert lines[start + 4].strip().startswith("x ")
    assert " (usually " in lines[start + 4]
    assert " if as suggested)" in lines[start + 4]


def test_audit_prints_json(path, capsys):
    assert audit(path, "--estimator", "forest", "--top", "3", "--json") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["schema"] == 1
    assert found["n_rows"] == 90
    assert len(found["rows"]) == 3
    assert found["precision"] is None
    assert found["rows"][0]["line"] == found["rows"][0]["row"] + 2
    columns = [each["column"] for each in found["rows"][0]["evidence"]]
    assert columns[:2] == ["text", "x"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--precision", "1"], "1 is not between 0 and 1"),
        (["--precision", "x"], "'x' is not a number from 0 to 1"),
        (["--flag-fraction", "2"], "'2' is not a number from 0 to 1"),
        (["--threshold", "-1"], "'-1' is not a number from 0 to 1"),
        (["--threshold", ".1", "--precision", ".9"], "not allowed with argument"),
        (["--report", "x.txt"], "is no HTML file"),
        (["--report", "none/x.html"], "does not exist"),
    ],
)
def test_bad_arguments(path, capsys, arguments, message):
    assert audit(path, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_flagged_labels_that_are_verified_are_counted_apart(path, tmp_path, capsys):
    table = pd.read_csv(path)
    truth = table["label"].copy()
    truth[::15] = truth[::15].map({"yes": "no", "no": "yes"})
    table["verified_label"] = truth.where(table.index % 15 == 0, "")
    table.to_csv(path, index=False)
    assert audit(path, "--drop", "text") == 0
    printed = capsys.readouterr().out
    assert "; 6 of them are verified, and wrong" in printed
    assert "Verified: 6 rows, the label is wrong in 6" in printed
    assert audit(path, "--drop", "text", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_changed"] >= 6
