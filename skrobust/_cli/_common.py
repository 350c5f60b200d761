"""What the commands share: their one kind of error, terminal-safe text, progress."""

from __future__ import annotations

import importlib
import sys


class CommandError(Exception):
    """What the user can mend: printed as one line, without a traceback."""


def require(*modules):
    """Import optional modules, or raise an error that names the pip command."""
    missing = []
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise CommandError(
            f"this command needs {' and '.join(missing)}; install what is missing with:"
            ' pip install "skrobust[report]"'
        )


def one_line(text, width=32):
    """Shorten text for a column of a report; control characters must not reach a terminal."""
    text = "".join(char if char.isprintable() else " " for char in str(text))
    return text if len(text) <= width else text[: width - 3] + "..."


def reading_options(options) -> list:
    """Return the options with which another command reads a table as this one did."""
    found = []
    for name in ("encoding", "sep", "skip_lines"):
        if value := getattr(options, name):
            found.append(f"--{name.replace('_', '-')}={value}")
    for name in ("keep_na", "merge_spellings"):
        if getattr(options, name):
            found.append(f"--{name.replace('_', '-')}")
    # Values that begin with a dash would be taken for options.
    return [*found, *(f"--missing-label={marker}" for marker in options.missing_label)]


def percent(part, whole=1):
    """Write a share; one decimal distinguishes 0.4 % from 0."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def format_table(header, rows, *, right=()):
    """Lay out a table of strings; columns whose number is in `right` are set flush right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join("  " + line for line in lines)


def show_progress(steps, total, description):
    """Pass steps on under a progress bar on stderr, which only a terminal gets to see."""
    if sys.stderr is None:  # closed when the program was started
        return steps
    try:
        from tqdm import tqdm
    except ImportError:
        return steps
    # Of a single step there is nothing to count.
    settings = {"bar_format": "{desc} ..."} if total == 1 else {}
    return tqdm(
        steps,
        total=total,
        desc=description,
        leave=False,
        disable=None,
        file=sys.stderr,
        dynamic_ncols=True,
        **settings,
    )
