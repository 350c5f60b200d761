"""Nothing is lost where standard output is closed, full or narrow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("skrub")

from skrobust._cli import _output, main
from skrobust._cli._common import show_progress
from skrobust._cli._output import Report, phase
from tests.cli._tables import audit, small_table, strings

ROOT = Path(__file__).resolve().parents[2]
needs_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="the system has no full device to write to"
)

# The command with a stand-in for the audit that prints before and after it writes the file: this
# is about what happens around it, also when the interpreter ends.
PROGRAM = """
import sys
import skrobust._cli._audit
from skrobust._cli import main

def run(options, report):
    report.line("input né–")
    report.flush()
    if report.error is not None and options.out is None:
        return None
    if options.out is not None:
        with open(options.out, "w") as file:
            file.write("quality")
    for _ in range(5000):
        report.line("a row of the findings")
    return options.out

skrobust._cli._audit.run = run
sys.exit(main())
"""
WHOLE = "import sys; from skrobust._cli import main; sys.exit(main())"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    small_table().to_csv(path, index=False)
    return path


def shell(table, redirection, *arguments, program=PROGRAM, command="audit"):
    """Run the command in a shell, and return its own status and what it printed."""
    words = [command, table, "--label", "label", *arguments] if command == "audit" else [command]
    code = f'"{sys.executable}" -c "$PROGRAM" {" ".join(map(str, words))} {redirection}'
    env = {**os.environ, "PROGRAM": program, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    done = subprocess.run(
        ["bash", "-c", code + "; exit ${PIPESTATUS[0]}"],
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("reader", ["| head -n 1", "| true", "| (sleep 1; cat)"])
def test_a_closed_pipe(table, tmp_path, reader):
    out = tmp_path / "out.csv"
    status, _, errors = shell(table, reader, "--out", out)
    assert (status, errors) == (0, "")
    assert out.read_text() == "quality"


def test_a_closed_pipe_without_a_file(table):
    assert shell(table, "| true") == (0, "", "")


@pytest.mark.parametrize(
    "redirection, printed", [("2>&1 | head -n 1", "{}: 60 rows, 3 columns\n"), (">&- 2>&- <&-", "")]
)
def test_the_whole_program_without_standard_streams(table, tmp_path, redirection, printed):
    out = tmp_path / "out.csv"
    command = f'"{sys.executable}" -m skrobust._cli audit "{table}" --label label'
    code = f'{command} --estimator forest --out "{out}" {redirection}; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == printed.format(table)
    assert len(strings(out)) == 60


@needs_full_device
def test_a_full_device(table, tmp_path):
    out = tmp_path / "out.csv"
    status, _, errors = shell(table, "> /dev/full", "--out", out)
    assert status == 0
    assert errors.startswith("skrobust: note: the report could not be printed: No space left")
    assert out.read_text() == "quality"
    status, _, errors = shell(table, "> /dev/full")
    assert status == 1
    assert errors == ("skrobust: error: the report could not be printed: No space left on device\n")


def test_closed_streams(table, tmp_path):
    out = tmp_path / "out.csv"
    status, _, errors = shell(table, ">&-", "--out", out)
    assert status == 0
    assert "standard output is closed" in errors
    assert out.read_text() == "quality"
    out.unlink()
    assert shell(table, ">&- 2>&- <&-", "--out", out) == (0, "", "")
    assert out.read_text() == "quality"
    assert shell(table, ">&-")[0] == 1


@needs_full_device
def test_errors_that_cannot_be_printed(tmp_path):
    for redirection in ("2> /dev/full", "2>&-", ">&- 2>&-"):
        assert shell(tmp_path / "nowhere.csv", redirection, program=WHOLE)[0] == 2


@needs_full_device
def test_help_that_cannot_be_printed():
    assert shell(None, "> /dev/full", command="--version")[0] == 1
    assert shell(None, "| true", command="--help")[0] == 0


def test_a_narrow_encoding(table):
    program = PROGRAM.replace(
        "import sys", "import sys; sys.stdout.reconfigure(encoding='ascii', errors='strict')", 1
    )
    status, printed, errors = shell(table, "", program=program)
    assert (status, errors) == (0, "")
    assert printed.startswith("input n\\xe9\\u2013\n")


def test_the_file_is_written_before_the_findings_are_printed(
    quick_fit, table, tmp_path, monkeypatch
):
    out = tmp_path / "out.csv"
    seen = []
    line = Report.line

    def record(self, text=""):
        seen.append((text, out.exists()))
        line(self, text)

    monkeypatch.setattr(Report, "line", record)
    assert audit(table, "--out", out) == 0
    assert dict(seen)["Flagged: 8 of 60 labelled rows"]
    assert not seen[0][1]


def test_findings_are_printed_where_the_file_cannot_be_written(
    quick_fit, table, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out.csv"
    out.write_text("old")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert audit(table, "--out", out) == 2
    captured = capsys.readouterr()
    assert "No space left on device" in captured.err
    assert captured.err.count("\n") == 1
    assert "Most suspicious rows" in captured.out
    assert "Wrote" not in captured.out
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "table.csv"]


def test_an_existing_file_keeps_its_mode_and_its_link(quick_fit, table, tmp_path):
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert audit(table, "--out", link) == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert len(strings(target)) == 60


class _Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_phases_are_named_on_a_terminal(table, quick_fit, tmp_path, monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert audit(table, "--out", tmp_path / "out.csv") == 0
    for name in ("loading libraries ...", "reading ", "writing "):
        assert name in terminal.text
    assert terminal.text.endswith("\r\x1b[K")


def test_the_fit_names_its_steps_on_a_terminal(table, monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert audit(table, "--estimator", "forest") == 0
    assert "making features ..." in terminal.text


def test_phases_print_nothing_elsewhere(capsys):
    with phase("reading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_streams_that_fail_do_not_raise(monkeypatch):
    class Broken(_Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Broken())
    with phase("reading"):
        pass
    _output.print_error("text")
    monkeypatch.setattr(sys, "stdout", Broken())
    report = Report()
    report.line("text")
    report.line("more")
    assert report.error.errno == 5
    assert main(["--version"]) in (0, 1)


def test_progress_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert list(show_progress(range(3), 3, "steps")) == [0, 1, 2]
    with phase("reading"):
        _output.print_error("text")


def test_an_interruption(table, monkeypatch, capsys):
    from skrobust._cli import _audit

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_audit, "fit", interrupt)
    assert audit(table) == 130
    assert capsys.readouterr().err == "skrobust: interrupted\n"


@pytest.mark.parametrize(
    "error, message",
    [(MemoryError(), "not enough memory"), (OSError(28, "No space left on device"), "No space")],
)
def test_what_the_system_refuses(table, monkeypatch, capsys, error, message):
    from skrobust._cli import _audit

    def refuse(*args):
        raise error

    monkeypatch.setattr(_audit, "fit", refuse)
    assert audit(table) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
