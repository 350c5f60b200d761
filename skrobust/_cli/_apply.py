"""``skrobust apply``: decisions of reviewers, applied to the labels of a table."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np

from skrobust._cli._common import CommandError, format_table, one_line, percent, require
from skrobust._cli._output import phase
from skrobust._cli._source import Source, check_out, find_column, reason

MAX_CONFLICTS_SHOWN = 30
# Messages of apply_corrections in the words of the command line.
_WORDS = (
    ("in y and", "in the table and"),
    ("y has", "the table has"),
    ("classes of y:", "classes of the table:"),
    ("Either y is in another order", "Either the table is in another order"),
    ("the fingerprint of y is", "the fingerprint of the labels is"),
    ('on_conflict="majority"', "--on-conflict majority"),
)


def run(options, report) -> str:
    """Apply the decisions; nothing is written if one of them cannot be.

    Returns
    -------
    written : str
        The file that was written.
    """
    source = Source(
        options.table,
        encoding=options.encoding,
        sep=options.sep,
        skip_lines=options.skip_lines,
        label=options.label,
    )
    check_out(options.out, source)
    for path in options.corrections:
        if Path(path).exists() and Path(path).resolve() == Path(options.out).resolve():
            raise CommandError(f"--out {options.out!r} is a file of corrections; choose another")
    if options.label is not None:
        options.label = find_column(options.label, source, "--label")
    require("pandas")
    from skrobust._cli._own import VERIFIED, free_names
    from skrobust._cli._table import read_table
    from skrobust.inspection import apply_corrections
    from skrobust.inspection._correction_file import read_corrections

    with phase(f"reading {one_line(source.title, 60)}"):
        try:
            decisions = read_corrections(options.corrections)
        except (OSError, ValueError) as error:
            where = f" {one_line(error.filename)!r}" if getattr(error, "filename", None) else ""
            hint = ""
            if "is no file of corrections" in str(error):
                hint = (
                    ". Labels that were checked elsewhere go into a column of the table, which"
                    " skrobust audit --verified names"
                )
            raise CommandError(
                f"corrections{where} cannot be read: {_reason(error)}{hint}"
            ) from error
        if not decisions:
            raise CommandError("the corrections hold no decision")
        table = read_table(source)
        labels, rows = _find_labels(options, table, decisions)
    given = labels.spelled(labels.codes[rows])
    # The conflicts are printed even if they are refused.
    policy = "majority" if options.on_conflict == "raise" else options.on_conflict
    try:
        result = apply_corrections(given, options.corrections, on_conflict=policy)
        _check_ids(table, decisions)
    except ValueError as error:
        raise CommandError(_name_rows(_reason(error), table)) from error
    conflicts = result.report["conflicts"]
    refused = bool(conflicts) and options.on_conflict == "raise"
    if options.json:
        report.line(json.dumps(_plain(result.report), allow_nan=False))
    else:
        _print(report, table, labels, result)
    if refused:
        raise CommandError(
            f"reviewers differ on {len(conflicts)} rows, and nothing was written; settle them, or"
            " use --on-conflict last or majority"
        )
    code_of = {word: code for code, word in enumerate(labels.classes)}
    # Labels that stay are spelled as their class is.
    spelled = np.where(labels.respelled, labels.first_rows[labels.codes], np.arange(table.n_rows))
    taken = np.full(table.n_rows, -1) if options.keep_labels else spelled.copy()
    for place, label in enumerate(result.verified_labels.tolist()):
        if label is None:
            continue
        row, code = rows[place], code_of[label]
        taken[row] = spelled[row] if labels.codes[row] == code else labels.first_rows[code]
    new_name = free_names(table.names, (VERIFIED,))[0] if options.keep_labels else None
    with phase(f"writing {one_line(options.out, 60)}"):
        table.write_taken(options.out, labels.name, taken, new_name)
    written = one_line(options.out, 200)
    if not options.json:
        n_changed, name = result.report["n_changed"], one_line(labels.name)
        what = f"{n_changed} labels of the column {name!r} changed"
        n_respelled = int((labels.respelled & (taken == spelled)).sum())
        if n_respelled:
            what += f", {n_respelled} more spelled as most labels of their class"
        if options.keep_labels:
            n_verified = result.report["n_verified"]
            what = f"{n_verified} verified labels in the new column {new_name!r}"
        report.line(f"\nWrote {written}: all {table.n_rows} rows, {what}.")
    return written


def _reason(error: Exception) -> str:
    """Return the message of an error of the library, as of the command line."""
    text = reason(error)
    for of_library, of_command in _WORDS:
        text = text.replace(of_library, of_command)
    return text.removesuffix(".")


def _name_rows(text: str, table) -> str:
    """Name the rows of a message as all commands do, by lines where the table has lines."""

    def name(match: re.Match) -> str:
        row = int(match[1])
        if row >= table.n_rows:
            return match[0]
        kind, (own,) = table.row_names(np.array([row]))
        return f"{kind} {own} of the table"

    return re.sub(r"\brow (\d+)\b", name, text)


def _find_labels(options, table, decisions):
    """Return the labels that were reviewed, and the rows that hold data."""
    from skrobust._cli._labels import Spelling, read_labels
    from skrobust.inspection._fingerprint import encode_text, fingerprint

    spelling = Spelling.of(options)
    everything = np.arange(table.n_rows)
    if options.label is not None:
        labels = read_labels(options.label, table, spelling)
        return labels, np.delete(everything, labels.total_rows)
    wanted = {decision.fingerprint for decision in decisions}
    for name in table.names:
        if not table.may_hold_labels(name):
            continue
        try:
            labels = read_labels(name, table, spelling)
        except CommandError:
            continue  # no column of labels
        rows = np.delete(everything, labels.total_rows)
        codes, _, texts = encode_text(labels.spelled(labels.codes[rows]))
        if fingerprint(codes, texts) in wanted:
            return labels, rows
    raise CommandError(
        f"no column of {table.source.title!r} holds the labels that were reviewed, in their order:"
        f" {_difference(table, decisions)}. Name the column with --label to see what differs"
    )


def _difference(table, decisions) -> str:
    """Return in what a table differs from the one that was reviewed."""
    from skrobust.inspection._fingerprint import bounded_id

    n_rows = decisions[0].n_rows
    if n_rows != table.n_rows or any(each.row >= n_rows for each in decisions):
        return f"the corrections are for {n_rows} rows, and the table has {table.n_rows}"
    columns = [table.strings(name) for name in table.names]
    known = [each for each in decisions if each.row_id]
    if known and not any(_has_ids(cells, known) for cells in columns):
        ids = {each.row_id for each in known}
        if any(ids <= {bounded_id(str(cell)) for cell in cells} for cells in columns):
            return "its rows are in another order"
    for name, cells in zip(table.names, columns):
        found = [(str(cells[each.row]), each) for each in decisions]
        known = all(cell in (each.given_label, each.new_label) for cell, each in found)
        if known and any(cell == each.new_label != "" for cell, each in found):
            return f"the column {one_line(name)!r} holds some of the corrections already"
    return "its labels were changed, or its rows are in another order"


def _check_ids(table, decisions) -> None:
    """Refuse rows whose id is in no column of the table at their place."""
    known = [decision for decision in decisions if decision.row_id]
    if not known:
        return
    if any(_has_ids(table.strings(name), known) for name in table.names):
        return
    first = known[0]
    kind, (name,) = table.row_names(np.array([first.row]))
    raise CommandError(
        f"{first.where}: no column of the table has the ids of the corrections, such as"
        f" {one_line(first.row_id)!r} in {kind} {name}. The rows were shifted, or a"
        " spreadsheet changed the ids"
    )


def _has_ids(cells, known) -> bool:
    """Whether a column has the ids of some decisions at their rows."""
    from skrobust.inspection._fingerprint import bounded_id

    return all(bounded_id(str(cells[each.row])) == each.row_id for each in known)


def _plain(report: dict) -> dict:
    """Return a report that JSON can hold."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in report.items()
    }


def _print(report, table, labels, result) -> None:
    """Print counts, agreement, shares of wrong labels, and conflicts."""
    found = result.report
    files = "1 file" if found["n_files"] == 1 else f"{found['n_files']} files"
    report.line(
        f"{one_line(table.source.title, 200)}: {table.n_rows} rows, labels in column"
        f" {one_line(labels.name)!r}"
    )
    report.line(
        f"Decisions: {found['n_decisions']} in {files}: {found['n_right']} right,"
        f" {found['n_wrong']} wrong, {found['n_unclear']} unclear"
    )
    if found["reviewers"]:
        report.line(f"Reviewers: {', '.join(one_line(name) for name in found['reviewers'])}")
    if found["alpha"] is not None:
        report.line(f"Agreement (Krippendorff's alpha): {found['alpha']:.2f}")
    for source, name, title in (
        ("flagged", "flagged_precision", "Flagged labels"),
        ("audit", "audit_error_rate", "Labels of the random sample without a flag"),
    ):
        n_rows = found[f"n_{source}_reviewed"]
        if n_rows:
            low, high = map(percent, found[f"{name}_interval"])
            report.line(
                f"{title}: {percent(found[name])} of {n_rows} are wrong (90 % interval {low} to"
                f" {high})"
            )
    if not found["conflicts"]:
        return
    rows = []
    for each in found["conflicts"][:MAX_CONFLICTS_SHOWN]:
        decided = ", ".join(
            f"{one_line(label)} ({one_line(who or 'unnamed')})" for who, label in each["decisions"]
        )
        taken = "-" if each["label"] is None else one_line(each["label"])
        kind, (name,) = table.row_names(np.array([each["row"]]))
        rows.append((name, one_line(each["given_label"]), decided, taken))
    report.line("\nRows on which reviewers differ:")
    report.line(format_table((kind, "given", "decisions", "taken"), rows, right=(0,)))
    if len(found["conflicts"]) > len(rows):
        report.line(f"  and {len(found['conflicts']) - len(rows)} more")
