"""The documentation lists every public name, and its first page shows what it claims to show."""

import importlib
import importlib.util
import json
import pkgutil
import re
import sys
from pathlib import Path

import pytest

import skrobust

DOCS = Path(__file__).resolve().parents[1] / "docs"


def _load(name: str):
    """Import a module of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def reference():
    pytest.importorskip("torch")
    pytest.importorskip("skorch")
    return _load("api_reference")


def _public_names() -> set[str]:
    """The full names of all classes and functions that a public module lists in `__all__`."""
    names, waiting = set(), [skrobust]
    while waiting:
        module = waiting.pop()
        children = [
            info.name
            for info in pkgutil.iter_modules(getattr(module, "__path__", ()))
            if not info.name.startswith("_")
        ]
        waiting += [importlib.import_module(f"{module.__name__}.{name}") for name in children]
        names |= {
            f"{module.__name__}.{name}"
            for name in getattr(module, "__all__", ())
            if name not in children and not name.startswith("_")
        }
    return names


def _listed(reference) -> list[str]:
    return [
        f"{module}.{name}"
        for module, content in reference.API_REFERENCE.items()
        for tier in reference.TIERS
        for name in content[tier]
    ]


def test_reference_lists_each_public_name_once(reference):
    listed = _listed(reference)
    assert len(listed) == len(set(listed))
    different = (set(listed) | set(reference.ALIASES)) ^ _public_names()
    assert not different, f"docs/api_reference.py and `__all__` differ in {sorted(different)}"
    assert not set(listed) & set(reference.ALIASES)


def test_aliases_are_the_same_objects(reference):
    def find(name):
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)

    for alias, name in reference.ALIASES.items():
        assert find(alias) is find(name)
        assert name in _listed(reference)


def test_each_name_has_a_guide_page(reference):
    for name, page in reference.guide_pages().items():
        assert (DOCS / f"{page}.md").is_file(), name


def test_pages_contain_each_name(reference):
    index = reference.index_page()
    llms = reference.llms_text()
    for module, content in reference.API_REFERENCE.items():
        page = reference.module_page(module)
        for tier, title in reference.TIERS.items():
            for name in content[tier]:
                assert f"\n   {name}\n" in page[page.index(f"\n{title}\n") :]
                assert f":obj:`~{module}.{name}`" in index
                assert f"[{module}.{name}]" in llms


def test_works_are_listed_once(reference, monkeypatch):
    pytest.importorskip("numpydoc")
    monkeypatch.setitem(sys.modules, "api_reference", reference)
    bibliography = _load("bibliography")
    cited = bibliography.cited_by()
    keys = [bibliography._key(work) for work in cited]
    assert len(keys) == len(set(keys))
    assert all(re.search(r"\b(19|20)\d\d\b", work) for work in cited), "a work has a year"
    (work,) = [work for work in cited if "Confident learning: estimating" in work]
    assert "skrobust.wrappers.CleaningClassifier" in cited[work]


def test_tables_are_read_from_results(reference, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "api_reference", reference)
    measured = _load("measured")
    before = measured.tables()
    for path in measured.RESULTS.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        for row in content["rows"]:
            for column in ("gap closed", "ap", "median_s"):
                if row.get(column) is not None:
                    row[column] = 0.123
        (tmp_path / path.name).write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(measured, "RESULTS", tmp_path)
    for name, table in measured.tables().items():
        assert "| 0.12" not in before[name]
        assert "| 0.12" in table, name


def test_tables_have_a_row_for_each_method(reference, monkeypatch):
    monkeypatch.setitem(sys.modules, "api_reference", reference)
    measured = _load("measured")
    for name, methods in {
        "wrapper_table": measured.WRAPPERS,
        "detector_table": measured.DETECTORS,
        "network_table": measured.NETWORKS,
    }.items():
        lines = measured.tables()[name].splitlines()[2:]
        assert len(lines) == len(methods)
        assert all(method[0] in line for method, line in zip(methods, lines, strict=True))
        assert all(re.search(r"\d", line) for line in lines), "each method was measured"


def test_means_over_fewer_data_sets_are_left_out(reference, monkeypatch):
    monkeypatch.setitem(sys.modules, "api_reference", reference)
    measured = _load("measured")
    (line,) = [line for line in measured.wrapper_table().splitlines() if ", Importance" in line]
    assert line.endswith("| – | – |")
    (line,) = [line for line in measured.wrapper_table().splitlines() if "importance" in line]
    assert not line.endswith("| – | – |")


def test_duplicate_results_are_refused(reference, monkeypatch):
    monkeypatch.setitem(sys.modules, "api_reference", reference)
    measured = _load("measured")
    with pytest.raises(ValueError, match="rows with"):
        measured._found("robust_real", method="plain")


def test_code_of_first_page_runs():
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL)
    namespace = {}
    for block in blocks:
        exec(block, namespace)
    detector = namespace["model"].detector_
    assert detector.label_errors_[namespace["wrong"]].mean() > 0.5
