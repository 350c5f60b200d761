"""``skrobust audit``: what it finds, and what it prints."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.cli._spellings import Spelling, plain_values, write_spelled
from tests.cli._tables import audit, small_table

ROOT = Path(__file__).resolve().parents[2]


def make_messy_table(*args, **kwargs):
    path = ROOT / "tools" / "make_messy_table.py"
    spec = importlib.util.spec_from_file_location("make_messy_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_messy_table(*args, **kwargs)


def test_messy_table(tmp_path, capsys, seed):
    table, planted = make_messy_table(random_state=seed)
    path, out = tmp_path / "messy.csv", tmp_path / "flagged.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--out", out, label="team") == 0
    written = pd.read_csv(out)
    assert len(written) == len(table)
    assert list(written.columns) == [
        *table.columns, "label_quality",
        "is_flagged",
        "corrected_label",
    ]  # fmt: skip
    known = written["label_quality"].notna().to_numpy()
    np.testing.assert_array_equal(known, table["team"].notna())
    assert not written["is_flagged"][~known].any()
    assert written["corrected_label"].notna().all()
    changed = written["corrected_label"] != table["team"]
    assert (written["is_flagged"] | ~known)[changed].all()
    truth = np.array(table.attrs["truth"])
    assert (written["corrected_label"] == truth).mean() > 0.93
    suspicion = 1 - written["label_quality"][known]
    assert average_precision_score(planted[known], suspicion) >= 0.8

    captured = capsys.readouterr()
    assert captured.err == ""
    assert "left out, identifiers: ticket_id\n" in captured.out
    assert "left out, constant: system\n" in captured.out
    assert (
        f"{(~known).sum()} rows have no label; 'corrected_label' holds predictions there"
        in captured.out
    )
    assert "Labels changed in 'corrected_label': " in captured.out
    assert "00:00:00" not in captured.out  # dates are days, not texts
    assert "Estimated share of wrong labels: " in captured.out
    worst = written["label_quality"].idxmin()
    assert written["ticket_id"][worst] in captured.out


@pytest.mark.parametrize("estimator", ["logistic", "boosting"])
def test_other_estimators(tmp_path, estimator):
    table, planted = make_messy_table(300)
    path, out = tmp_path / "messy.csv", tmp_path / "flagged.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--estimator", estimator, "--out", out, label="team") == 0
    quality = pd.read_csv(out)["label_quality"]
    known = quality.notna().to_numpy()
    assert average_precision_score(planted[known], 1 - quality[known]) >= 0.6


def test_messy_table_is_as_described():
    table, planted = make_messy_table(1000, 0.2, 3)
    again, _ = make_messy_table(1000, 0.2, 3)
    pd.testing.assert_frame_equal(table, again)
    truth = np.array(table.attrs["truth"])
    labelled = table["team"].notna().to_numpy()
    assert planted.sum() == round(0.2 * labelled.sum())
    np.testing.assert_array_equal(table["team"][labelled] != truth[labelled], planted[labelled])
    assert not planted[~labelled].any()
    assert table["amount"].isna().any()
    assert table["ticket_id"].is_unique


@pytest.mark.parametrize("estimator", ["forest", "logistic"])
def test_odd_values(tmp_path, estimator):
    table = small_table()
    n_rows = len(table)
    table["huge"] = [np.inf, 1e300, -1.0, -np.inf, np.nan] * (n_rows // 5)
    table["mixed"] = [1, "a"] * (n_rows // 2)
    table["flag"] = [True, None] * (n_rows // 2)
    table["zone"] = pd.date_range("2024-01-01", periods=n_rows, freq="h", tz="Europe/Paris")
    table["text"] = [f"hello {i} world" if i % 3 else None for i in range(n_rows)]
    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--estimator", estimator, "--out", out) == 0
    assert pd.read_csv(out)["label_quality"].between(0, 1).all()


def test_class_of_one_row_and_top(tmp_path, capsys):
    table = small_table()
    table.loc[0, "label"] = "maybe"
    path = tmp_path / "table.csv"
    table.to_csv(path, index=False)
    assert audit(path, "--top", 3) == 0
    printed = capsys.readouterr().out
    assert "one row only, which nothing can be compared with: maybe" in printed
    assert "the header is line 1, 3 shown" in printed


SPELLINGS = {
    "money and units": Spelling(
        thousands=",", currency="${}", unit="{} kg", percent="{}%", minus="({})", missing="n/a"
    ),
    "decimal comma": Spelling(
        kind="csv.gz", sep=";", decimal=",", thousands=".", currency="{} €", unit="{}kg",
        minus="−{}", missing="-", encoding="utf-16", newline="\r\n", top="sep",
    ),
    "Parquet": Spelling(
        kind="parquet", decimal=",", thousands="\u202f", currency="EUR {}", missing="#DIV/0!"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def planted():
    """A table with wrong labels, and where they are."""
    table = plain_values(150, seed=1)
    wrong = np.zeros(150, dtype=bool)
    wrong[np.random.default_rng(1).choice(150, 15, replace=False)] = True
    swapped = np.where(table["label"] == "paid", "open", "paid")
    table["label"] = np.where(wrong, swapped, table["label"])
    return table, wrong


@pytest.fixture(scope="module")
def auc_of(planted, tmp_path_factory):
    """How well the quality ranks the wrong labels, by spelling."""
    table, wrong = planted

    def auc(spelling):
        folder = tmp_path_factory.mktemp("auc")
        path, options = write_spelled(folder, spelling, table)
        out = folder / "out.csv"
        assert audit(path, *options, "--estimator", "forest", "--out", out) == 0
        sep = "," if spelling.kind == "parquet" else spelling.sep
        encoding = spelling.encoding if spelling.kind != "parquet" else "utf-8"
        written = pd.read_csv(out, sep=sep, encoding=encoding, keep_default_na=False)
        assert len(written) == len(wrong)
        return roc_auc_score(wrong, 1 - written["label_quality"])

    return auc


def test_errors_rank_the_same_in_every_spelling(auc_of, capsys):
    plain = auc_of(Spelling())
    assert plain > 0.85
    for name, spelling in SPELLINGS.items():
        assert auc_of(spelling) == pytest.approx(plain, abs=0.02), name
