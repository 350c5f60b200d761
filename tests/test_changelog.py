"""Fragments of `CHANGES/` and the changelog that is built from them."""

import importlib.util
import re
from pathlib import Path

import pytest

import skrobust

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "build_changelog.py"
    spec = importlib.util.spec_from_file_location("build_changelog", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fragments_of_the_repository_are_well_formed(tool):
    fragments = tool.read_fragments(ROOT / "CHANGES")
    assert sum(map(len, fragments.values())) == len(list((ROOT / "CHANGES").glob("+*.md")))


def test_kinds_are_those_of_the_description(tool):
    text = (ROOT / "CHANGES" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(tool.KINDS)


def test_the_changelog_names_the_version(tool):
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.startswith(tool.HEAD)
    released = skrobust.__version__.partition(".dev")[0]
    entries = tool.read_section(text, released)[1]
    assert entries or skrobust.__version__ != released
    date = re.search(rf"^## {re.escape(released)} \((.*)\)$", text, re.MULTILINE)
    if date:  # nothing is lost by reading and writing
        assert tool.add_section(text, released, date[1], {}) == text


def test_fragments_become_a_section(tool, tmp_path):
    (tmp_path / "+b.bugfix.md").write_text("`f` no longer fails.\n")
    (tmp_path / "+b.feature.md").write_text("`g` is new,\nand says so.\n\n")
    (tmp_path / "+a.feature.md").write_text("`h` is new.")
    (tmp_path / "README.md").write_text("no fragment")
    fragments = tool.read_fragments(tmp_path)
    text = tool.add_section(tool.HEAD, "1.2.0", "2027-01-02", fragments)
    expected = """
## 1.2.0 (2027-01-02)

### New features

- `h` is new.
- `g` is new,
  and says so.

### Bug fixes

- `f` no longer fails.
"""
    assert text == tool.HEAD + expected


def test_later_fragments_join_the_section(tool):
    first = tool.add_section(tool.HEAD, "1.0.0", "2027-01-01", {"feature": ["one\ntwo"]})
    second = tool.add_section(first, "1.1.0", "2027-02-01", {"bugfix": ["three"]})
    assert second.index("## 1.1.0") < second.index("## 1.0.0")
    third = tool.add_section(second, "1.1.0", "2027-02-03", {"bugfix": ["four"], "doc": ["five"]})
    assert tool.read_section(third, "1.1.0")[1] == {"bugfix": ["three", "four"], "doc": ["five"]}
    assert tool.read_section(third, "1.0.0")[1] == {"feature": ["one\ntwo"]}
    assert third.count("## 1.1.0") == 1


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("+a.news.md", "x", "must be named"),
        ("+a.feature.txt", "x", "must be named"),
        ("+feature.md", "x", "must be named"),
        ("+a.feature.md", " \n", "is empty"),
    ],
)
def test_bad_fragments_are_refused(tool, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        tool.read_fragments(tmp_path)
