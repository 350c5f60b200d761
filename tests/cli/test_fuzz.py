"""Generated files and options end in output or in one line of error; see benchmarks/."""

import dataclasses
import importlib.util
import random
from pathlib import Path

import pytest

pytest.importorskip("jinja2")
pytest.importorskip("pandas")
pytest.importorskip("skrub")
pytest.importorskip("pyarrow")

FUZZ = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_audit.py"


@pytest.fixture(scope="module")
def fuzz_audit():
    spec = importlib.util.spec_from_file_location("fuzz_audit", FUZZ)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_cases(fuzz_audit, seed):
    found = fuzz_audit.fuzz(seed, cases=40, real_every=None)
    assert not found["failures"]
    assert found["written"] >= 1
    assert found["refused"] >= 1


@pytest.mark.parametrize(
    "command, options",
    [
        ("audit", ["--precision=.9"]),
        ("audit", ["--flag-fraction=.1", "--json"]),
        ("audit", ["--threshold=.5"]),
        ("verify", ["--rows=5"]),
        ("verify", ["--json"]),
        ("apply", ["--keep-labels"]),
        ("apply", ["--json", "--on-conflict=majority"]),
    ],
)
def test_cases_of_every_command_are_written(fuzz_audit, tmp_path, command, options):
    labels = ["a", "b"] * 20
    cells = [str(number % 7 + 0.5) for number in range(40)]
    content = "x,label\n" + "".join(f"{x},{y}\n" for x, y in zip(cells, labels))
    case = fuzz_audit.Case(
        command,
        "table.csv",
        content.encode(),
        options,
        None if command == "verify" else "out.csv",
        "page.html" if command == "audit" else None,
        _decisions(fuzz_audit, labels) if command == "apply" else None,
    )
    assert fuzz_audit.run_case(tmp_path, case) == ("written", "")
    damaged = dataclasses.replace(case, content=b"x,label\n")
    assert fuzz_audit.run_case(tmp_path, damaged)[0] == "refused"


def _decisions(fuzz_audit, labels):
    """Decisions that are not damaged, on rows that exist, and of one reviewer each."""
    columns = [("label", labels)]
    made = (fuzz_audit.make_corrections(random.Random(i), columns) for i in range(100))
    return next(content for content in made if content.count(b"\n") == 3)


def test_the_fuzz_sees_failures(fuzz_audit, tmp_path, monkeypatch):
    from skrobust._cli import _table

    content = b"x,label\n" + b"1.5,a\n2.5,b\n" * 9
    case = fuzz_audit.Case("audit", "table.csv", content, [], out="out.csv")
    assert fuzz_audit.run_case(tmp_path, case) == ("written", "")
    # A row that is not written is lost output.
    join = _table.join_cells
    monkeypatch.setattr(
        _table,
        "join_cells",
        lambda header, columns, **kw: join(header, [c[1:] for c in columns], **kw),
    )
    assert fuzz_audit.run_case(tmp_path, case) == ("FAILED", "17 rows of 18 written")
    as_json = dataclasses.replace(case, options=["--json"])
    assert fuzz_audit.run_case(tmp_path, as_json) == ("FAILED", "17 rows of 18 written")

    def fail(*args, **kwargs):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(_table, "join_cells", fail)
    kind, why = fuzz_audit.run_case(tmp_path, case)
    assert kind == "FAILED"
    assert "out of luck" in why


@pytest.mark.parametrize(
    "cell", ["a\rb", "a\nb", 'a"b', "a,b", '"', " ", "\u2028", "\x0c", "é", "'", "=1+1"]
)
def test_cells_come_back_from_the_text(cell, quick_fit, tmp_path):
    """The csv module of Python before 3.13 does not quote a single carriage return."""
    from tests.cli._tables import audit, read

    path, out = tmp_path / "table.csv", tmp_path / "out.csv"
    quoted = '"' + cell.replace('"', '""') + '"'
    path.write_text("x,note,label\n" + f"1.5,{quoted},a\n2.5,n,b\n" * 9, newline="")
    assert audit(path, "--out", out) == 0
    assert read(out).table.strings("note").tolist() == [cell, "n"] * 9
