"""The column of labels and those of verified labels."""

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

import pandas as pd

from skrobust._cli._common import CommandError
from tests.cli._tables import audit, read, strings, write_columns


def table_of(tmp_path, labels, **columns):
    """Write a table with these labels."""
    x = [f"{number * 7 % 10}.5" for number in range(len(labels))]
    return write_columns(tmp_path / "table.csv", {"x": x, **columns, "label": labels})


def labels_of(tmp_path, labels, *options, **columns):
    found = read(table_of(tmp_path, labels, **columns), *options)
    return found.labels, " ".join(found.notes)


def test_labels_are_as_written(tmp_path):
    labels, _ = labels_of(tmp_path, ["01", "02", "XX", "10"] * 3)
    assert labels.classes == ["01", "02", "10", "XX"]
    labels, _ = labels_of(tmp_path, ["10", "9", "2.0"] * 3)
    assert labels.classes == ["9", "10", "2.0"]


@pytest.mark.parametrize(
    "spellings",
    [("yes", "Yes"), ("yes", "yes "), ("1", "01"), ("1", "1.0"), ("a b", "ab"), ("é", "e\u0301")],
)
def test_nearly_equal_labels_are_noted(tmp_path, spellings):
    one, other = spellings
    labels, notes = labels_of(tmp_path, [one] * 5 + [other] * 2 + ["no"] * 4)
    assert len(labels.classes) == 3
    assert f"{one!r} (5), {other!r} (2)" in notes or f"{other!r} (2), {one!r} (5)" in notes
    assert "only by case, blanks or leading zeros" in notes
    assert "(--merge-spellings makes them one)" in notes
    assert "only by case" not in labels_of(tmp_path, ["yes", "no", "10", "1"] * 3)[1]


def test_spellings_are_merged_into_the_most_frequent_one(tmp_path):
    words = ["YES", "no", "yes", "yes", " No", "no", "01", "1", "", "Yes", "no", "1"] * 2
    labels, notes = labels_of(tmp_path, words, "--merge-spellings")
    assert labels.classes == ["1", "no", "yes"]
    assert labels.codes.tolist() == [2, 1, 2, 2, 1, 1, 0, 0, -1, 2, 1, 0] * 2
    assert labels.first_rows.tolist() == [7, 1, 2]
    assert np.flatnonzero(labels.respelled).tolist() == [0, 4, 6, 9, 12, 16, 18, 21]
    assert "spelled as the first of each: '1' (4), '01' (2); 'no'" in notes
    assert "'no' (6), ' No' (2); 'yes' (4), 'YES' (2), 'Yes' (2)" in notes
    assert "only by case" not in notes
    apart, _ = labels_of(tmp_path, words)
    assert len(apart.classes) == 7
    assert not apart.respelled.any()


def test_verified_labels_may_have_any_of_the_merged_spellings(tmp_path):
    columns = {"checked": ["", "NO", "Yes", "", "yes", ""] * 2}
    words = ["yes", "YES", "no", "no", "yes", "No"] * 2
    path = table_of(tmp_path, words, **columns)
    verified = read(path, "--merge-spellings", "--verified", "checked").verified
    assert verified.codes.tolist() == [-1, 0, 1, -1, 1, -1] * 2


@pytest.mark.parametrize(
    "word", ["NA", "N/A", "n/a", "nan", "NaN", "None", "null", "NULL", "<NA>", "#DIV/0!", " "]
)
def test_words_that_mean_no_label(tmp_path, word):
    labels, _ = labels_of(tmp_path, ["a", "b", word] * 4)
    assert labels.classes == ["a", "b"]
    assert (labels.codes == -1).sum() == 4
    assert labels.read_as_missing == ({word: 4} if word.strip() else {})


@pytest.mark.parametrize("word", ["none", "?", "-", "unknown", "missing"])
def test_words_that_may_mean_no_label_are_classes_and_noted(tmp_path, word):
    labels, notes = labels_of(tmp_path, ["a", "b", word] * 4)
    assert word in labels.classes
    assert f"use --missing-label {word}" in notes
    labels, notes = labels_of(tmp_path, ["a", "b", word] * 4, "--missing-label", word)
    assert labels.classes == ["a", "b"]
    assert notes == ""


def test_a_frequent_word_for_missing_is_noted_and_can_be_kept(tmp_path):
    given = ["pro", "None", "NA", "plus"] * 5 + [""]
    labels, notes = labels_of(tmp_path, given)
    assert labels.classes == ["plus", "pro"]
    assert "'None' in 'label' (5 rows) was read as no label" in notes
    assert "--keep-na" in notes
    labels, notes = labels_of(tmp_path, given, "--keep-na")
    assert labels.classes == ["NA", "None", "plus", "pro"]
    assert (labels.codes == -1).sum() == 1
    assert notes == ""
    # Among numbers it is what pandas writes for a missing one.
    assert "--keep-na" not in labels_of(tmp_path, ["1", "2", "nan"] * 5)[1]


def test_one_class_beside_words_for_missing(tmp_path):
    with pytest.raises(CommandError, match=r"'None' \(4 rows\) was read as no label: .*--keep-na"):
        labels_of(tmp_path, ["a", "None"] * 4)


@pytest.mark.parametrize("written, marker", [("-1", "-1"), ("-1.0", "-1"), ("-1", "-1.0")])
def test_a_marker_is_no_class_and_never_suggested(tmp_path, written, marker):
    path = table_of(tmp_path, ["0", "1", written] * 20)
    out = tmp_path / "out.csv"
    assert audit(path, "--missing-label", marker, "--estimator", "forest", "--out", out) == 0
    table = strings(out)
    assert set(table["corrected_label"]) == {"0", "1"}
    assert (table["label_quality"][table["label"] == written] == "").all()


def test_abstain_markers_are_pointed_out(tmp_path):
    assert "--missing-label -1" in labels_of(tmp_path, ["0", "1", "-1"] * 4)[1]
    assert "--missing-label" not in labels_of(tmp_path, ["1", "-1"] * 4)[1]
    assert "--missing-label 99" in labels_of(tmp_path, ["1", "2", "99"] * 4)[1]
    assert "--missing-label" not in labels_of(tmp_path, ["97", "98", "99"] * 4)[1]
    notes = labels_of(tmp_path, ["0", "1"] * 4, "--missing-label", "7")[1]
    assert notes == "--missing-label '7' never occurs"
    assert labels_of(tmp_path, ["0", "1", "NA"] * 4, "--missing-label", "NA")[1] == ""


@pytest.mark.parametrize("label", ["", "Total"])
def test_a_row_of_totals_is_left_out(quick_fit, tmp_path, label):
    path = table_of(tmp_path, ["a", "b"] * 20 + [label], name=["n"] * 40 + ["Total"])
    found = read(path)
    assert found.labels.classes == ["a", "b"]
    assert found.labels.total_rows.tolist() == [40]
    assert "line 42 holds totals and is left out" in found.notes
    out = tmp_path / "out.csv"
    assert audit(path, "--estimator", "forest", "--out", out) == 0
    last = strings(out).iloc[-1]
    assert last["name"] == "Total"
    assert (last["label_quality"], last["corrected_label"]) == ("", "")


def test_a_class_named_total_is_a_class(tmp_path):
    assert labels_of(tmp_path, ["part", "Total"] * 10)[0].classes == ["Total", "part"]


@pytest.mark.parametrize(
    "classes, verified",
    [
        (["1", "2", "N"], ["1", "2", ""]),
        (["True", "False", "unknown"], ["True", "False", ""]),
        (["01", "02", "XX"], ["01", "02", ""]),
        (["NA", "None", "pro"], ["NA", "None", ""]),
    ],
)
def test_verified_labels_are_compared_as_written(tmp_path, classes, verified):
    path = table_of(tmp_path, classes * 10, checked=verified * 10)
    found = read(path, "--verified", "checked", "--keep-na")
    assert found.labels.spelled(found.verified.codes).tolist() == [
        word or None for word in verified * 10
    ]
    assert found.verified.notes == []


@pytest.mark.parametrize(
    "classes, word, read_as",
    [
        (["1", "2"], "1.0", "1"),
        (["01", "02"], "1", "01"),
        (["True", "False"], "TRUE", "True"),
        (["yes", "no"], " Yes", "yes"),
    ],
)
def test_verified_labels_that_a_program_respelled(tmp_path, classes, word, read_as):
    path = table_of(tmp_path, classes * 10, checked=[word] + [""] * 19)
    found = read(path, "--verified", "checked")
    assert found.labels.spelled(found.verified.codes)[0] == read_as
    assert f"read {word!r} as {read_as!r}" in " ".join(found.notes)


def test_verified_labels_that_fit_two_classes_are_refused(tmp_path):
    path = table_of(tmp_path, ["yes", "YES", "no"] * 10, checked=["Yes"] + [""] * 29)
    with pytest.raises(CommandError, match="none of the 3 classes given: 'Yes'"):
        read(path, "--verified", "checked")


@pytest.mark.parametrize("word", ["", "NA", "n/a", "-", "?", "nan", "None"])
def test_words_that_mean_not_checked(tmp_path, word):
    path = table_of(tmp_path, ["a", "b"] * 10, checked=["a", word] * 10)
    found = read(path, "--verified", "checked")
    assert (found.verified.codes[1::2] == -1).all()
    assert (found.verified.codes[::2] == 0).all()


def test_later_verified_columns_take_precedence(tmp_path):
    first = ["a", "a", "", "b"] * 5
    second = ["", "b", "a", "b"] * 5
    path = table_of(tmp_path, ["a", "b"] * 10, first=first, second=second)
    found = read(path, "--verified", "first", "second")
    words = found.labels.spelled(found.verified.codes).tolist()
    assert words == ["a", "b", "a", "b"] * 5
    assert "'second' differs in 5 rows from verified labels of earlier columns" in found.notes[0]
    found = read(path, "--verified", "second", "--verified", "first")
    assert found.labels.spelled(found.verified.codes).tolist() == ["a", "a", "a", "b"] * 5


def test_verified_rows_end_in_the_output(tmp_path, capsys):
    labels = ["yes", "no"] * 30
    x = [f"{2 if label == 'yes' else -2}.{number % 7}" for number, label in enumerate(labels)]
    checked = [*labels[:5], "", "", "yes", *[""] * 52]
    path = write_columns(tmp_path / "table.csv", {"x": x, "checked": checked, "label": labels})
    out = tmp_path / "out.csv"
    assert audit(path, "--verified", "checked", "--out", out) == 0
    printed = capsys.readouterr().out
    assert "Verified: 6 rows, the label is wrong in 1\n" in printed
    assert "Features: 1 columns: x\n" in printed
    written = pd.read_csv(out)
    assert (written["label_quality"][:5] == 1).all()
    assert (written["label_quality"][7], written["is_flagged"][7]) == (0, True)
    assert written["corrected_label"][7] == "yes"


def test_a_class_that_is_mostly_flagged_is_noted_in_the_words_of_the_command(tmp_path, capsys):
    rng = np.random.default_rng(0)
    labels = ["a", "b"] * 50
    x = [str(round(rng.normal(0 if label == "a" else 8), 3)) for label in labels]
    for row in range(0, 12, 2):
        labels[row], x[row] = "rare", str(round(rng.normal(8), 3))
    path = write_columns(tmp_path / "table.csv", {"x": x, "label": labels})
    assert audit(path) == 0
    printed = capsys.readouterr().out
    assert "of the rows labelled 'rare' are flagged" in printed
    assert "--verified" in printed
    assert "max_flag_rate" not in printed


def test_a_verified_column_without_labels_is_noted(tmp_path):
    path = table_of(tmp_path, ["a", "b"] * 10, checked=["", "?"] * 10)
    found = read(path, "--verified", "checked")
    assert found.notes == ["no row is verified in 'checked'"]


def test_long_digits_are_labels(tmp_path):
    words = ["1" * 5000, "2" * 41, "3"]
    labels, _ = labels_of(tmp_path, words * 3)
    assert set(labels.classes) == set(words)


def test_few_of_many_similar_labels_are_named(tmp_path):
    words = [word for letter in "abcdefg" for word in (letter, letter.upper())] * 3
    notes = labels_of(tmp_path, words)[1]
    assert "'A' (3), 'a' (3); 'B' (3), 'b' (3)" in notes
    assert "'E' (3), 'e' (3); and 2 more (--merge" in notes
