"""Corrections: what is applied, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import ConfidentLearning
from skrobust.inspection import apply_corrections
from skrobust.inspection._agreement import krippendorff_alpha
from skrobust.inspection._correction_file import (
    COLUMNS,
    escape_field,
    unescape_field,
    write_corrections,
)
from skrobust.inspection._fingerprint import encode_text, fingerprint
from tests.inspection._reports import HOSTILE

Y = np.array(["cat", "dog", "cat", "horse", "dog", "cat"])


def fingerprint_of(y):
    codes, _, texts = encode_text(y)
    return fingerprint(codes, texts)


def decision(row, label, y=Y, /, **changes):
    """One line of a file: `label` is the true label, or None for unclear."""
    given_label = str(y[row])
    kind = "unclear" if label is None else "right" if str(label) == given_label else "wrong"
    return {
        "fingerprint": fingerprint_of(y),
        "n_rows": len(y),
        "row": row,
        "row_id": "",
        "given_label": given_label,
        "decision": kind,
        "new_label": str(label) if kind == "wrong" else "",
        "source": "flagged",
        "sampled_from": "",
        "reviewer": "ann",
        "time": f"2026-01-05T10:{row:02d}:00.000Z",
        "note": "",
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def written(*rows, name="corrections.csv", encoding="utf-8", change=lambda text: text):
        path = tmp_path / name
        path.write_bytes(change(write_corrections(rows)).encode(encoding))
        return path

    return written


def test_labels_change_where_they_are_wrong(write):
    before = Y.copy()
    path = write(decision(0, "dog"), decision(1, "dog"), decision(3, None))
    result = apply_corrections(Y, path)
    assert result.labels.tolist() == ["dog", "dog", "cat", "horse", "dog", "cat"]
    assert result.labels.dtype == Y.dtype
    assert result.verified_labels.tolist() == ["dog", "dog", None, None, None, None]
    assert result.verified_weight.tolist() == [1, 1, 0, 0, 0, 0]
    np.testing.assert_array_equal(Y, before)
    report = result.report
    assert (report["n_right"], report["n_wrong"], report["n_unclear"]) == (1, 1, 1)
    assert report["n_changed"] == 1
    assert report["flagged_precision"] == 0.5
    assert report["reviewers"] == ["ann"]


@pytest.mark.parametrize(
    "y",
    [
        np.array([3, 7, 3, 7, 3, 7]),
        np.array([True, False, True, False, True, False]),
        np.array([1.0, 2.0, 1.0, 2.0, 1.0, np.nan]),
        pd.Series(["a", "b", None, "a", "b", "a"], dtype=object),
        pd.Series(pd.Categorical(["a", "b", "a", "a", "b", "a"])),
        np.array(["2026-01-01", "2026-01-02"] * 3, dtype="datetime64[D]"),
    ],
    ids=["int", "bool", "float", "missing", "categorical", "date"],
)
def test_labels_of_any_kind(write, y):
    codes, classes, texts = encode_text(y)
    old, new = codes[0], 1 - codes[0]
    row = decision(0, None, Y, given_label=texts[old], decision="wrong", new_label=texts[new])
    row["fingerprint"] = fingerprint_of(y)
    result = apply_corrections(y, write(row))
    assert result.labels[0] == classes[new]
    assert result.verified_labels[0] == classes[new]
    kept = [(label, classes[k]) for label, k in zip(result.labels[1:], codes[1:]) if k >= 0]
    assert all(label == given for label, given in kept)
    assert type(result.labels[0]) is type(result.labels[1])


def test_verified_labels_go_into_fit():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b"], 50)
    X = rng.normal(size=(100, 2)) + (y == "b")[:, None] * 3
    y[:3] = "b"
    rows = [decision(row, "a", y) for row in range(3)] + [decision(60, "b", y)]
    result = apply_corrections(y, pd.DataFrame(rows))
    detector = ConfidentLearning(GaussianNB()).fit(X, y, verified_labels=result.verified_labels)
    assert detector.label_errors_[:3].all()
    assert not detector.label_errors_[60]
    assert detector.suggested_labels_[:3].tolist() == ["a"] * 3


def test_audit_rows_stand_for_the_rows_they_were_drawn_from(write):
    y = np.array(["a", "b"] * 50)
    rows = [decision(0, "b", y)]
    rows += [decision(row, y[row], y, source="audit", sampled_from=90) for row in (1, 2, 3)]
    rows += [decision(4, "b", y, source="audit", sampled_from=90)]
    result = apply_corrections(y, write(*rows))
    assert result.verified_weight[:5].tolist() == [1, 22.5, 22.5, 22.5, 22.5]
    assert result.report["audit_error_rate"] == 0.25
    low, high = result.report["audit_error_rate_interval"]
    assert low < 0.25 < high
    assert math.isnan(apply_corrections(y, write(rows[0])).report["audit_error_rate"])


@pytest.mark.parametrize(
    "rows, message",
    [
        ([decision(0, "dog", fingerprint="sk1-0")], "belong to other labels"),
        ([decision(0, "dog", n_rows=7)], "for 7 rows, and y has 6"),
        ([decision(0, "dog", row=6)], "row 6 does not exist"),
        ([decision(0, "dog", given_label="horse")], "the given label of row 0 is 'cat' in y"),
        (
            [decision(0, "bird")],
            r"new label 'bird' is none of the 3 classes of y: 'cat', 'dog', 'horse'\.",
        ),
        ([decision(0, "Dog")], r"\(did you mean 'dog'\?\)"),
        ([decision(0, "dog", decision="right")], "a wrong label, and no other, needs a new one"),
        ([decision(0, "dog", new_label="")], "a wrong label, and no other, needs a new one"),
        ([decision(0, "dog", new_label="cat")], "the new label 'cat' is the given one"),
        ([decision(0, "dog", decision="maybe")], "decision 'maybe' is not known"),
        ([decision(0, "dog", source="me")], "source 'me' is not known"),
        ([decision(0, "dog", row="1.5")], "row '1.5' is not a whole number"),
        ([decision(0, "dog", row="-1")], "row '-1' is not a whole number"),
        ([decision(0, "dog"), decision(0, "horse")], r"decisions on 1 rows differ: row 0: 'dog'"),
    ],
)
def test_refused(write, rows, message):
    with pytest.raises(ValueError, match=message):
        apply_corrections(Y, write(*rows))


def test_rows_in_another_order_are_refused(write):
    path = write(decision(0, "dog"))
    with pytest.raises(ValueError, match="belong to other labels, or to these in another order"):
        apply_corrections(Y[[0, 1, 2, 4, 3, 5]], path)
    with pytest.raises(ValueError, match="Either y is in another order"):
        apply_corrections(Y[::-1][[1, 0, 2, 3, 4, 5]], path)
    with pytest.raises(ValueError, match="y has 5"):
        apply_corrections(Y[:5], path)


def test_ids_of_shifted_rows_are_refused(write):
    y = np.array(["a", "a", "b", "b"])
    path = write(decision(0, "b", y, row_id="k7"))
    ids = ["k7", "k8", "k9", "k10"]
    assert apply_corrections(y, path, row_ids=ids).labels[0] == "b"
    with pytest.raises(ValueError, match="the id of row 0 is 'k8' in row_ids and 'k7'"):
        apply_corrections(y, path, row_ids=[*ids[1:], "k7"])
    with pytest.raises(ValueError, match="'k7' occurs more than once"):
        apply_corrections(y, path, row_ids=["k7", "k7", "k8", "k9"])
    with pytest.raises(ValueError, match="must name the 4 rows"):
        apply_corrections(y, path, row_ids=ids[:3])


@pytest.mark.parametrize("end", [-3, -40, -100])
def test_partly_written_files_are_refused(write, end):
    path = write(decision(0, "dog"), decision(1, "cat"), change=lambda text: text[:end])
    with pytest.raises(ValueError, match="incomplete or was edited"):
        apply_corrections(Y, path)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: "", "is empty"),
        (lambda text: text.replace("decision", "choice"), "has no column 'decision'"),
        (lambda text: text.replace('"note"', '"time"'), "has no column 'note'"),
        (lambda text: "PK\x03\x04", "is no file of corrections"),
    ],
)
def test_other_files_are_refused(write, change, message):
    with pytest.raises(ValueError, match=message):
        apply_corrections(Y, write(decision(0, "dog"), change=change))


def test_binary_files_are_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"\x89PNG\xff\x00\xfe")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        apply_corrections(Y, path)
    with pytest.raises(FileNotFoundError):
        apply_corrections(Y, tmp_path / "none.csv")
    with pytest.raises(TypeError, match="must be the path of a file"):
        apply_corrections(Y, 3)
    with pytest.raises(ValueError, match="empty list"):
        apply_corrections(Y, [])


def as_spreadsheet(text):
    """Semicolons, no quotes that are not needed, dates of another country."""
    import csv
    import io

    rows = list(csv.reader(io.StringIO(text)))
    place = rows[0].index("time")
    for row in rows[1:]:
        row[place] = "05.01.2026 10:00"
    stream = io.StringIO()
    csv.writer(stream, delimiter=";", lineterminator="\r\n").writerows(rows)
    return stream.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_spreadsheets_may_change_separator_mark_and_dates(write, encoding):
    rows = [decision(0, "dog", note="a; b, c"), decision(2, "dog")]
    path = write(*rows, encoding=encoding, change=as_spreadsheet)
    assert apply_corrections(Y, path).labels.tolist()[:3] == ["dog", "dog", "dog"]
    rows.append(decision(0, "horse"))
    with pytest.raises(ValueError, match="so that the last decision is not known"):
        apply_corrections(Y, write(*rows, change=as_spreadsheet), on_conflict="last")


def test_a_label_that_a_spreadsheet_changed_is_refused(write):
    y = np.array(["01", "02", "01"])
    path = write(decision(0, "02", y), change=lambda text: text.replace('"01"', "1"))
    with pytest.raises(ValueError, match="'01' in y and '1' in the corrections"):
        apply_corrections(y, path)


def test_several_reviewers(write):
    one = write(decision(0, "dog"), decision(1, "dog"), decision(2, "dog"), name="one.csv")
    late = {"reviewer": "bob", "time": "2026-01-06T10:00:00.000Z"}
    two = write(
        decision(0, "horse", **late), decision(1, "dog", **late), decision(2, None, **late),
        name="two.csv",
    )  # fmt: skip
    three = write(decision(0, "dog", reviewer="eve"), name="three.csv")
    with pytest.raises(ValueError, match="'dog' by ann, 'horse' by bob, 'dog' by eve"):
        apply_corrections(Y, [one, two, three])
    last = apply_corrections(Y, [one, two, three], on_conflict="last")
    assert last.labels[0] == "horse"
    most = apply_corrections(Y, [one, two, three], on_conflict="majority")
    assert most.labels[0] == "dog"
    assert most.labels[2] == "dog", "unclear does not conflict"
    report = most.report
    assert report["n_files"] == 3
    assert report["reviewers"] == ["ann", "bob", "eve"]
    assert [each["row"] for each in report["conflicts"]] == [0]
    assert report["conflicts"][0]["label"] == "dog"
    ratings = [(0, "dog"), (0, "horse"), (0, "dog"), (1, "dog"), (1, "dog"), (2, "dog")]
    assert report["alpha"] == krippendorff_alpha(ratings)
    tie = apply_corrections(Y, [one, two], on_conflict="majority")
    assert tie.verified_labels[0] is None
    assert tie.labels[0] == "cat"
    with pytest.raises(ValueError, match="on_conflict='first' is not known"):
        apply_corrections(Y, one, on_conflict="first")


def test_krippendorff_alpha_of_a_published_example():
    """Nominal data of Krippendorff (2011), computing Krippendorff's alpha-reliability, part C."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    ratings = [
        (unit, value) for row in observers for unit, value in enumerate(row) if value is not None
    ]
    assert krippendorff_alpha(ratings) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([(0, "a"), (1, "b")]) is None
    assert krippendorff_alpha([(0, "a"), (0, "a"), (1, "b"), (1, "b")]) == 1


@given(st.text() | st.sampled_from(HOSTILE) | st.text(st.characters(codec=None)))
def test_fields_come_back(text):
    field = escape_field(text)
    assert unescape_field(field) == text
    assert not field.startswith(tuple("=+-@\t\r"))
    assert len(field.splitlines()) <= 1
    field.encode("utf-8")


labels = st.text(min_size=1, max_size=8).filter(str.strip)


@given(st.lists(labels, min_size=2, max_size=5, unique=True), st.data())
def test_file_round_trip_is_the_identity(tmp_path_factory, classes, data):
    y = np.array(classes * 2, dtype=object)
    wanted = data.draw(st.lists(st.sampled_from(classes), min_size=len(y), max_size=len(y)))
    path = tmp_path_factory.mktemp("file") / "corrections.csv"
    rows = [decision(row, label, y) for row, label in enumerate(wanted)]
    path.write_text(write_corrections(rows), encoding="utf-8", newline="")
    assert apply_corrections(y, path).labels.tolist() == wanted


@given(st.lists(st.sampled_from(["a", "b", "ab", None]), min_size=2, max_size=8))
def test_fingerprint_depends_on_every_label_and_the_order(labels):
    y = np.array([*labels, "a", "b", "ab"], dtype=object)
    seen = {fingerprint_of(y)}
    for row in range(len(y)):
        for other in ("a", "b", "ab", None):
            if y[row] != other:
                changed = y.copy()
                changed[row] = other
                assert fingerprint_of(changed) not in seen
    assert fingerprint_of(np.array(["1", "2"])) == fingerprint_of(np.array([1.0, 2.0]))


def test_columns_are_those_that_are_documented():
    assert COLUMNS == (
        "fingerprint", "n_rows", "row", "row_id", "given_label", "decision", "new_label",
        "source", "sampled_from", "reviewer", "time", "note",
    )  # fmt: skip
