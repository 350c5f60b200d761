"""The report: its content, its files, and what is refused."""

import html.parser
import io
import json
import re
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("PIL")
pytest.importorskip("pandas")

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.exceptions import NotFittedError

import skrobust
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.inspection import LabelReport
from skrobust.inspection._render import to_script
from skrobust.noise import flip_labels, symmetric_transition
from tests.inspection._reports import HOSTILE, detect, digit_report, image_of, text_report


class Parsed(html.parser.HTMLParser):
    """Elements of a page, and the text of its scripts."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.scripts, self.links = [], [], []
        self._script = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "action")]
        if tag == "script":
            self._script = [dict(attributes).get("id", ""), ""]

    def handle_endtag(self, tag):
        if tag == "script":
            self.scripts.append(tuple(self._script))
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            self._script[1] += data


def content_of(report):
    return json.loads(report.to_json())


@pytest.fixture(scope="module")
def wine():
    from sklearn.datasets import load_wine

    data = load_wine(as_frame=True)
    names = np.array(["barolo", "grignolino", "barbera"])[data.target]
    y, flipped = flip_labels(names, symmetric_transition(3, 0.15), random_state=0)
    detector = EnsembleDetector(random_state=0).fit(data.data, y)
    return detector, data.data, y, flipped


def test_content(wine):
    detector, X, y, _ = wine
    content = content_of(LabelReport.from_detector(detector, X, y, title="Wine"))
    assert content["schema"] == 1
    assert content["skrobust"] == skrobust.__version__
    counts = content["counts"]
    assert counts["rows"] == counts["labelled"] == counts["listed"] == 178
    assert counts["flagged"] == detector.label_errors_.sum()
    assert content["noise"]["rate"] == pytest.approx(detector.noise_rate_)
    assert content["noise"]["reliability"] == detector.reliability_
    assert content["classes"] == ["barbera", "barolo", "grignolino"]
    rows = content["rows"]
    flagged = np.flatnonzero(rows["flagged"])
    assert flagged.tolist() == list(range(counts["flagged"])), "flagged rows come first"
    quality = [rows["quality"][j] for j in flagged]
    assert quality == sorted(quality)
    for j in flagged:
        row = rows["row"][j]
        assert content["classes"][rows["given"][j]] == y[row]
        assert content["classes"][rows["suggested"][j]] == detector.suggested_labels_[row]
    assert sum(n for *_, n in content["pairs"]) == counts["flagged"]
    assert sum(own["flagged"] for own in content["per_class"]) == counts["flagged"]
    known = [own["precision"] for own in content["per_class"] if own["flagged"]]
    if content["precision"]["estimate"] is None:
        assert known == [None] * len(known)
    else:
        assert all(0 <= precision <= 1 for precision in known)
    assert sum(rows["audit"]) == content["audit"]["rows"] > 0
    assert not any(a and f for a, f in zip(rows["audit"], rows["flagged"]))


def test_page_counts_flagged_labels_of_each_class():
    y = np.array(["<b>", "b", "b", "b"] * 10, dtype=object)
    report = LabelReport.from_detector(detect(y, step=4), None, y)
    table = report.to_html().split('<table id="classes">')[1].split("</table>")[0]
    rows = [re.findall(r"[^<>]+(?=</(?:bdi|td)>)", row) for row in table.split("<tr>")[2:]]
    assert [row[:4] for row in rows] == [
        ["&lt;b&gt;", "10", "10", "100.0 %"],
        ["b", "30", "0", "0.0 %"],
    ]
    estimated = any(own["precision"] is not None for own in content_of(report)["per_class"])
    assert ("Of these wrong, estimated" in table) == estimated


def test_columns_that_speak_against_a_label_are_shown(wine):
    detector, X, y, _ = wine
    content = content_of(LabelReport.from_detector(detector, X, y))
    fields, rows = content["content"], content["rows"]
    assert fields["kind"] == "fields"
    assert fields["names"] == list(X.columns)
    row, given, other = (rows[name][0] for name in ("row", "given", "suggested"))
    classes = np.array(content["classes"])
    column, value, typical, typical_other = fields["cells"][0][0]
    name = fields["names"][column]
    assert value == f"{X[name].iloc[row]:.4g}"
    assert typical == f"{X[name][y == classes[given]].median():.4g}"
    assert typical_other == f"{X[name][y == classes[other]].median():.4g}"
    closer = abs(float(value) - float(typical_other)) < abs(float(value) - float(typical))
    assert closer, "the value is nearer to what is typical of the suggested class"


def test_models_and_near_rows(wine):
    detector, X, y, _ = wine
    content = content_of(LabelReport.from_detector(detector, X, y))
    rows = content["rows"]
    for j, votes in enumerate(content["votes"]):
        own = detector.member_predictions_[rows["row"][j]]
        assert sum(n for _, n in votes) == len(own)
        for k, n in votes:
            assert (own == content["classes"][k]).sum() == n
    for j, (same, other) in enumerate(content["near"][:5]):
        assert rows["given"][same] == rows["given"][j]
        assert rows["given"][other] == rows["suggested"][j]
        assert same != j
        assert not rows["flagged"][same]
        assert not rows["flagged"][other]


def test_words_speak_against_a_label():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"] * 50)
    color = np.where(y == "a", "red", "blue").astype(object)
    color[0] = "blue"
    noise = rng.choice(["x", "y"], 100).astype(object)
    frame = pd.DataFrame({"noise": noise, "color": color})
    content = content_of(LabelReport.from_detector(detect(y), frame, y))
    first = content["rows"]["row"].index(0)
    column, value, typical, other = content["content"]["cells"][first][0]
    assert content["content"]["names"][column] == "color"
    assert (value, typical, other) == ("blue", "red (98%)", "blue (100%)")


@pytest.mark.parametrize("kind", [pl.DataFrame, pd.DataFrame])
def test_data_frames_of_any_library(kind):
    y = np.array(["a", "b"] * 20)
    frame = kind({"x": np.arange(40.0), "text": [f"a long text, number {k}" for k in range(40)]})
    content = content_of(LabelReport.from_detector(detect(y), frame, y))
    cells = dict(zip(content["rows"]["row"], content["content"]["cells"]))
    assert cells[5][0][1] == "a long text, number 5"


def test_annotations_and_earlier_decisions():
    y = np.array(["a", "b"] * 20)
    verified = np.full(40, None, dtype=object)
    verified[0], verified[1] = "b", "b"
    annotations = pd.DataFrame({"ann": y, "bob": [None] * 39 + ["a"]})
    report = LabelReport.from_detector(
        detect(y), None, y, annotations=annotations, verified_labels=verified
    )
    content = content_of(report)
    assert content["counts"]["verified"] == 2
    assert content["counts"]["flagged"] == 7
    place = content["rows"]["row"].index(0)
    assert content["rows"]["verified"][place] == 1
    assert not content["rows"]["flagged"][place]
    assert content["annotations"]["names"] == ["ann", "bob"]
    last = content["rows"]["row"].index(39)
    assert content["annotations"]["labels"][last] == [[0, "b"], [1, "a"]]


def test_rows_left_out_are_counted():
    report, _ = text_report(["a", "b"], n_rows=100, max_rows=30)
    content = content_of(report)
    assert content["counts"]["listed"] == 30
    assert content["counts"]["left_out"] == 70
    assert content["counts"]["flagged_left_out"] == 0
    assert sum(content["rows"]["flagged"]) == 20
    assert "70 are left out, 0 of them flagged" in report.to_html()
    report, _ = text_report(["a", "b"], n_rows=100, max_rows=12)
    assert content_of(report)["counts"]["flagged_left_out"] == 9
    assert sum(content_of(report)["rows"]["audit"]) == 1


def test_missing_labels_are_counted_apart():
    y = np.array(["a", "b", None, "a", "b", "b"] * 5, dtype=object)
    known = np.array([label is not None for label in y])
    detector = detect(np.where(known, y, "a"))
    detector.label_errors_ &= known
    detector.label_quality_ = np.where(known, detector.label_quality_, np.nan)
    content = content_of(LabelReport.from_detector(detector, None, y))
    assert content["counts"]["missing"] == 5
    assert content["counts"]["listed"] == 25


def test_files(tmp_path, monkeypatch):
    report, _ = digit_report()
    page = report.to_html()
    assert report.to_html(tmp_path / "a.html") == tmp_path / "a.html"
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == page
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    path = report.open()
    assert opened == [path.as_uri()]
    assert path.read_text(encoding="utf-8") == page
    assert repr(report) == "LabelReport(12 of 60 labels flagged)"
    assert report._repr_html_().startswith('<iframe title="Bars" srcdoc="&lt;!doctype html&gt;')
    with pytest.raises(FileNotFoundError):
        report.to_html(tmp_path / "none" / "a.html")


def test_page_loads_nothing_and_allows_only_its_own_script():
    import base64
    import hashlib
    import re

    page = digit_report()[0].to_html()
    parsed = Parsed(page)
    assert [name for name, _ in parsed.scripts] == ["data", "images", ""]
    assert parsed.links == ["#review"]
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    policy = re.search(r'content="(default-src[^"]*)"', page).group(1)
    script = base64.b64encode(hashlib.sha256(parsed.scripts[2][1].encode()).digest()).decode()
    assert f"script-src 'sha256-{script}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_script_is_short_and_parses_nothing_as_html():
    folder = Path(skrobust.__file__).parent / "inspection" / "_page"
    script = (folder / "report.js").read_text(encoding="utf-8")
    assert len(script.splitlines()) < 600
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch("):
        assert word not in script
    from skrobust.inspection._correction_file import COLUMNS

    assert " ".join(COLUMNS) in script


def test_no_network(monkeypatch):
    def refuse(*args):
        raise AssertionError("a report opens no connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    digit_report()[0].to_html()


texts = st.text() | st.sampled_from(HOSTILE) | st.text(st.characters(codec=None))


@given(texts, st.lists(texts.filter(str.strip), min_size=2, max_size=4, unique=True), texts)
def test_page_of_any_text_has_the_same_elements(title, classes, cell):
    y = np.array(classes * 3, dtype=object)
    report = LabelReport.from_detector(detect(y, 2), [cell] * len(y), y, title=title, max_rows=5)
    page = report.to_html()
    page.encode("utf-8")
    parsed = Parsed(page)
    plain = Parsed(text_report(["a", "b"])[0].to_html())
    assert parsed.tags.count("script") == 3
    assert [tag for tag in parsed.tags if tag in ("script", "img", "iframe", "a", "style")] == [
        tag for tag in plain.tags if tag in ("script", "img", "iframe", "a", "style")
    ]
    data = json.loads(parsed.scripts[0][1])
    assert data["title"] == title
    assert data["classes"] == sorted(classes)
    assert data["content"]["text"][0][:100] == cell[:100]
    markdown = report.to_markdown()
    assert "<script" not in markdown
    markdown.encode("utf-8")


@given(texts)
def test_data_cannot_end_its_script(text):
    written = to_script({"key": text})
    assert json.loads(written) == {"key": text}
    assert written.isascii()
    assert not set("<>&") & set(written)


def test_markdown_tables_are_not_broken():
    report, _ = text_report(["a|b", "line\nbreak", "`x`<b>"])
    lines = report.to_markdown().splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table} == {5}
    assert "a\\|b" in report.to_markdown()


def sprite(report, place):
    """The tile of a row, taken from its sheet."""
    import base64

    images = report._images
    sheet, at = divmod(place, images["per_sheet"])
    picture = Image.open(io.BytesIO(base64.b64decode(images["sheets"][sheet])))
    line, column = divmod(at, images["columns"])
    left, top = column * images["width"], line * images["height"]
    return picture.crop((left, top, left + images["width"], top + images["height"]))


def test_sprites_hold_the_image_of_their_row():
    report, y = digit_report(n_rows=1500)
    rows = content_of(report)["rows"]["row"]
    assert len(report._images["sheets"]) > 1
    for place in (0, 7, 1024, 1499):
        bright = np.asarray(sprite(report, place).convert("L")).mean(axis=0) > 150
        k = int(y[rows[place]])
        assert abs(np.flatnonzero(bright).mean() - (2 * k + 1)) <= 1.5


def png_of(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, format="PNG")
    return content.getvalue()


@pytest.mark.parametrize("kind", ["bytes", "path", "str", "pil", "array", "float", "channels"])
def test_images_of_any_kind(kind, tmp_path):
    y = np.array(["a", "b"] * 10)
    arrays = [image_of(row % 10, seed=row, size=120) for row in range(20)]
    raw = []
    for row, array in enumerate(arrays):
        path = tmp_path / f"{row}.png"
        path.write_bytes(png_of(array))
        color = np.stack([array] * 3, axis=2)
        raw.append({
            "bytes": path.read_bytes(), "path": path, "str": str(path),
            "pil": Image.fromarray(color), "array": color, "float": array / 255.0,
            "channels": np.moveaxis(color, 2, 0),
        }[kind])  # fmt: skip
    raw = np.stack(raw) if kind in ("float", "channels") else raw
    raw = [*raw[:19], None] if kind in ("bytes", "path", "pil") else raw
    report = LabelReport.from_detector(detect(y), None, y, raw=raw, n_large=3)
    images = report._images
    assert (images["width"], images["height"]) == (96, 96)
    assert sorted(images["large"]) == [0, 1, 2]
    rows = content_of(report)["rows"]["row"]
    assert [rows[place] for place in images["missing"]] == ([19] if raw[19] is None else [])
    k = rows[1] % 10
    bright = np.asarray(sprite(report, 1).convert("L")).mean(axis=0)
    assert abs(bright.argmax() * 120 / 96 - (2 * k + 1)) < 4
    report.to_html()


def bomb():
    """A small PNG that claims to be 30 000 pixels wide and high."""

    def chunk(kind, body):
        code = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", code)

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 10_000)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_decompression_bombs_are_refused():
    y = np.array(["a", "b"] * 5)
    raw = [png_of(image_of(0))] * 9 + [bomb()]
    with pytest.raises(ValueError, match="image of row 9 in raw cannot be used"):
        LabelReport.from_detector(detect(y), None, y, raw=raw)
    wide = png_of(np.zeros((1, 10), np.uint8))
    LabelReport.from_detector(detect(y), None, y, raw=[wide] * 10)
    with pytest.raises(ValueError, match="image of row 0 in raw cannot be used"):
        LabelReport.from_detector(detect(y), None, y, raw=[b"no picture"] * 10)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"raw": ["a"] * 9}, ValueError, "raw has 9 rows, and y has 10"),
        ({"X": np.zeros((9, 2))}, ValueError, "X has 9 rows, and y has 10"),
        ({"y": ["a", "b"] * 4}, ValueError, "y has 8 rows, and Detector was fitted on 10"),
        ({"y": ["a", "c"] * 5}, ValueError, "y has other classes than Detector"),
        ({"y": ["a", "b"] * 4 + ["a", None]}, ValueError, "lacks labels of rows"),
        ({"row_ids": range(9)}, ValueError, "row_ids must name the 10 rows"),
        ({"row_ids": [0] * 10}, ValueError, "occurs more than once"),
        ({"max_rows": 0}, ValueError, "max_rows must be an integer of at least 1"),
        ({"n_large": -1}, ValueError, "n_large must be an integer of at least 0"),
        ({"audit_fraction": 2}, ValueError, r"audit_fraction must be a number in \[0, 1\]"),
        ({"title": 3}, TypeError, "title must be text"),
        ({"annotations": [["a"]] * 9}, ValueError, r"annotations must have shape \(10,"),
        ({"verified_labels": ["a"] * 9}, ValueError, "verified_labels has 9 entries"),
        ({"verified_labels": ["c"] * 10}, ValueError, "not among the 2 known classes"),
    ],
)
def test_refused(change, error, message):
    y = np.array(["a", "b"] * 5)
    arguments = {"X": None, "y": y, **change}
    with pytest.raises(error, match=message):
        LabelReport.from_detector(detect(y), arguments.pop("X"), arguments.pop("y"), **arguments)


def test_detectors_that_have_no_report():
    with pytest.raises(NotFittedError):
        LabelReport.from_detector(ConfidentLearning(), None, ["a", "b"])
    detector = detect(np.array(["a", "b"] * 5))
    del detector.classes_
    with pytest.raises(ValueError, match="labels that are classes"):
        LabelReport.from_detector(detector, None, ["a", "b"] * 5)


def test_detector_without_suggestions_or_estimates():
    y = np.array(["a", "b"] * 20)
    detector = detect(y)
    for name in ("suggested_labels_", "noise_rate_interval_", "noise_rate_", "reliability_"):
        delattr(detector, name)
    report = LabelReport.from_detector(detector, None, y)
    content = content_of(report)
    assert content["pairs"] == []
    assert content["noise"]["rate"] is None
    assert content["precision"]["estimate"] is None
    assert "Cannot tell" in report.to_html()


def test_missing_reliability_is_reported():
    y = np.array(["a", "b"] * 20)
    detector = detect(y)
    detector.reliability_ = "cannot tell"
    report = LabelReport.from_detector(detector, None, y)
    assert "**Cannot tell**: share of the flagged labels that are wrong" in report.to_markdown()
    assert content_of(report)["precision"]["estimate"] is None


def test_without_pillow_or_jinja2(monkeypatch):
    import sys

    from skrobust.inspection import _render

    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"Pillow; install it with: pip install"):
        digit_report()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    _render._template.cache_clear()
    with pytest.raises(ImportError, match=r"jinja2; install it with: pip install"):
        text_report(["a", "b"])[0].to_html()
    _render._template.cache_clear()


def test_ten_thousand_photographs_make_a_page_of_five_megabytes(data_dir):
    folder = data_dir / "cifar10n"
    with np.load(folder / "jpg_train.npz") as packed, np.load(folder / "labels.npz") as labels:
        starts, data = packed["offsets"], packed["data"]
        raw = [data[starts[row] : starts[row + 1]].tobytes() for row in range(10_000)]
        y = labels["aggre_label"][:10_000]
    page = LabelReport.from_detector(detect(y, 10), None, y, raw=raw).to_html()
    assert len(page.encode("utf-8")) <= 5_000_000
