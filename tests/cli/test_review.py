"""A table that was audited and reviewed is audited again."""

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import pandas as pd

from skrobust._cli._own import own_kind
from tests.cli._tables import audit, read, roles, small_table, strings, write_columns

ADDED = ["label_quality", "is_flagged", "corrected_label"]


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """The file that an audit wrote, with planted errors and some rows checked."""
    folder = tmp_path_factory.mktemp("review")
    table = small_table(120)
    truth = table["label"].copy()
    table.loc[::10, "label"] = table.loc[::10, "label"].map({"yes": "no", "no": "yes"})
    path, out = folder / "table.csv", folder / "reviewed.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--estimator", "forest", "--out", out) == 0
    written = strings(out)
    worst = written["label_quality"].astype(float).sort_values().index[:20]
    written["checked"] = ""
    written.loc[worst, "checked"] = truth[worst]
    return written


def test_own_columns_are_no_features_and_replaced(reviewed, tmp_path, capsys):
    path, out = tmp_path / "reviewed.csv", tmp_path / "out.csv"
    reviewed.to_csv(path, index=False)
    arguments = ["--verified", "checked", "--estimator", "forest", "--out", out]
    assert audit(path, *arguments) == 0
    printed = capsys.readouterr().out
    assert "Features: 2 columns: x, z\n" in printed
    assert "left out, written by an earlier audit: " + ", ".join(ADDED) in printed
    again = strings(out)
    assert list(again.columns) == ["x", "z", "label", "checked", *ADDED]
    checked = reviewed["checked"] != ""
    assert (again["corrected_label"] == reviewed["checked"])[checked].all()
    # Without the columns of the first audit, the second one gives the same answer.
    reviewed.drop(columns=ADDED).to_csv(path, index=False)
    assert audit(path, *arguments) == 0
    pd.testing.assert_frame_equal(strings(out), again)


def test_a_filled_column_is_left_out_without_being_named(reviewed, tmp_path, capsys):
    path = tmp_path / "reviewed.csv"
    reviewed.to_csv(path, index=False)
    found = read(path)
    assert roles(found)["checked"] == "looks like verified labels"
    assert found.verified is None
    column = next(c for c in found.reading.columns if c.name == "checked")
    assert "use --verified checked" in column.detail
    assert roles(read(path, "--keep", "checked"))["checked"] == "category"


@pytest.mark.parametrize("suffix", ["", "_2", "_x", "_y", "_old", ".1", " (2)", "_x_2"])
def test_names_with_a_suffix(reviewed, tmp_path, suffix):
    table = reviewed.rename(columns={name: name + suffix for name in ADDED})
    table["suggested_label" + suffix] = table["corrected_label" + suffix]
    path = tmp_path / "reviewed.csv"
    table.to_csv(path, index=False)
    found = read(path, "--verified", "checked")
    assert [column.name for column in found.reading.features] == ["x", "z"]
    assert len(found.removed) == 4
    assert found.names == tuple(ADDED)


def test_own_columns_that_are_dropped_are_replaced_as_well(reviewed, tmp_path):
    path = tmp_path / "reviewed.csv"
    reviewed.to_csv(path, index=False)
    found = read(path, "--drop", "label_quality")
    assert found.names == tuple(ADDED)
    assert found.removed == ADDED


def test_own_columns_that_are_kept_are_features(reviewed, tmp_path):
    path = tmp_path / "reviewed.csv"
    reviewed.to_csv(path, index=False)
    found = read(path, "--keep", "label_quality")
    assert roles(found)["label_quality"] == "number"
    assert found.removed == ["is_flagged", "corrected_label"]
    assert found.names == tuple(f"{name}_2" for name in ADDED)


def test_decimal_commas_of_a_spreadsheet(reviewed, tmp_path):
    table = reviewed.copy()
    table["label_quality"] = table["label_quality"].str.replace(".", ",")
    table["is_flagged"] = table["is_flagged"].map({"True": "WAHR", "False": "FALSCH"})
    path = tmp_path / "reviewed.csv"
    table.to_csv(path, index=False, sep=";")
    assert roles(read(path))["label_quality"] == "earlier audit"
    assert roles(read(path))["is_flagged"] == "earlier audit"


def test_a_column_of_the_user_keeps_its_name(quick_fit, tmp_path, capsys):
    """The name alone does not make a column ours."""
    table = small_table()
    table["label_quality"] = (table["z"] * 50).round(2)
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--estimator", "forest", "--out", out) == 0
    printed = capsys.readouterr().out
    assert (
        "'label_quality': named like a column of an earlier audit but of other content" in printed
    )
    added = [name + "_2" for name in ADDED]
    assert list(strings(out).columns) == [*table.columns, *added]
    assert ", ".join(added) in printed
    # The next audit replaces those with the number and leaves the user's alone.
    second = tmp_path / "second.csv"
    assert audit(out, "--estimator", "forest", "--out", second) == 0
    assert list(strings(second).columns) == [*table.columns, *added]


def test_names_that_are_not_ours():
    assert own_kind("label_quality_2") == "label_quality"
    assert own_kind("Is_Flagged") == "is_flagged"
    assert own_kind("verified_label") == "verified_label"
    assert own_kind("label_qualityscore") is None
    assert own_kind("my_label_quality") is None
    assert own_kind("label") is None


def test_the_label_may_be_an_own_column(quick_fit, reviewed, tmp_path):
    """The corrected labels of one audit are the given labels of the next."""
    path, out = tmp_path / "reviewed.csv", tmp_path / "out.csv"
    reviewed.drop(columns=["label", "checked"]).to_csv(path, index=False)
    assert audit(path, "--estimator", "forest", "--out", out, label="corrected_label") == 0
    again = strings(out)
    assert list(again.columns) == ["x", "z", "corrected_label", *(f"{n}_2" for n in ADDED)]


def test_earlier_verified_labels_are_merged_and_kept(tmp_path, capsys):
    labels = ["yes", "no"] * 20
    x = [f"{3 if label == 'yes' else -3}.{row % 7}" for row, label in enumerate(labels)]
    earlier = ["yes", "no", "yes", *[""] * 37]
    now = ["", "", "no", "no", *[""] * 36]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    write_columns(path, {"x": x, "verified_label": earlier, "now": now, "label": labels})
    found = read(path)
    assert (found.verified.codes >= 0).sum() == 3
    found = read(path, "--verified", "now")
    assert found.labels.spelled(found.verified.codes)[:4].tolist() == ["yes", "no", "no", "no"]
    assert audit(path, "--verified", "now", "--estimator", "forest", "--out", out) == 0
    assert "'now' differs in 1 rows from verified labels of earlier" in capsys.readouterr().out
    written = strings(out)
    assert written["verified_label"].tolist() == earlier
    assert written["corrected_label"][2] == "no"


def test_sparse_columns_that_are_no_labels_are_features(tmp_path):
    rng = np.random.default_rng(0)
    labels = [str(value) for value in rng.integers(0, 2, 60)]
    sparse = [label if rng.random() < 0.3 else "" for label in labels]
    x = [f"{value:.3f}" for value in rng.normal(size=60)]
    columns = {"x": x, "children": sparse, "label": labels}
    path = write_columns(tmp_path / "table.csv", columns)
    assert roles(read(path))["children"] == "number"
    columns["reviewed_by_me"] = columns.pop("children")
    path = write_columns(tmp_path / "table.csv", columns)
    assert roles(read(path))["reviewed_by_me"] == "looks like verified labels"


def test_columns_of_classes_beside_the_labels(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.choice(["cat", "dog"], 60).tolist()
    near = ["dog", *labels[1:]]
    x = [f"{value:.3f}" for value in rng.normal(size=60)]
    other = rng.choice(["cat", "dog"], 60).tolist()
    columns = {"x": x, "true_label": near, "old": near, "neighbour": other, "label": labels}
    found = read(write_columns(tmp_path / "table.csv", columns))
    assert roles(found) == {
        "x": "number",
        "true_label": "looks like verified labels",
        "old": "category",
        "neighbour": "category",
    }
    assert len(found.notes) == 1
    assert found.notes[0].startswith("'old': classes that nearly always agree with the labels")
    # Of labels that are numbers, a filled column may well be a measurement.
    swap = {"cat": "0", "dog": "1"}
    columns = {name: [swap.get(cell, cell) for cell in cells] for name, cells in columns.items()}
    found = read(write_columns(tmp_path / "table.csv", columns))
    assert roles(found)["true_label"] == "number"
    assert "'true_label', 'old': classes that nearly always agree" in found.notes[0]
