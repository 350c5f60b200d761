"""``skrobust verify``: the rows of a table that are to be checked next."""

from __future__ import annotations

import json

import numpy as np

from skrobust._cli._audit import Result, fit, read_input
from skrobust._cli._common import one_line
from skrobust._cli._output import phase
from skrobust._cli._words import TO_VERIFY, WHY


def run(options, report) -> str | None:
    """Fit the detector and list rows of three kinds.

    Returns
    -------
    written : str or None
        The file that was written.
    """
    found = read_input(options)
    from skrobust._cli._findings import findings, print_input, row_table

    if not options.json:
        print_input(report, found)
        if report.error is not None and options.out is None:
            return None
    detector, rows, notes = fit(options, found)
    result = Result.of(detector, rows, found, notes)
    chosen, why = choose_rows(result, options.rows, options.random_state)
    written = None
    if options.out is not None:
        mark, verified = _write(options.out, found, chosen, why)
        written = one_line(options.out, 200)
    if options.json:
        report.line(json.dumps(findings(found, result, chosen, why), allow_nan=False))
        return written
    if not len(chosen):
        report.line("Every labelled row that has a quality is verified.")
        return written
    where, lines = row_table(found, result, chosen, why)
    report.line(f"Rows to check next ({where}):")
    for line in lines:
        report.line(line)
    if written is None:
        report.line(
            "\nWrite the true labels of these rows into a column of their own, leave the others"
            " empty,\nand name the column with --verified."
        )
    else:
        report.line(
            f"\nWrote {written}: all {found.table.n_rows} rows; these {len(chosen)} are marked in"
            f" the column\n{mark!r}. Write their true labels into {verified!r}, and audit that"
            " file."
        )
    report.line(
        "The random rows are a sample of all rows that are neither suspicious nor doubtful in this"
        "\nlist; some of them may be flagged. They show how many of these labels are wrong."
    )
    return written


def _write(path: str, found, chosen: np.ndarray, why: list[str]) -> tuple[str, str]:
    """Write the table with the rows to verify marked.

    Returns
    -------
    mark, verified : str
        The columns that mark these rows, and that take their labels.
    """
    from skrobust._cli._own import VERIFIED, free_names, own_kind

    table = found.table
    removed = [name for name in found.removed if own_kind(name) == TO_VERIFY]
    kept = [name for name in table.names if name not in removed]
    marks = np.full(table.n_rows, "", dtype=object)
    marks[chosen] = why
    (mark,) = free_names(kept, (TO_VERIFY,))
    added = {mark: marks}
    if found.verified is None:
        (verified,) = free_names(kept, (VERIFIED,))
        added[verified] = np.full(table.n_rows, "", dtype=object)
    else:
        verified = found.verified.names[-1]
    with phase(f"writing {one_line(path, 60)}"):
        table.write_columns(path, removed, added)
    return mark, verified


def choose_rows(result, n_rows: int, random_state) -> tuple[np.ndarray, list[str]]:
    """Choose rows that are not verified: a third of them suspicious, doubtful and random each.

    Returns
    -------
    rows : ndarray of int
        Rows, in the order of the table.
    why : list of str
        Kind of each.
    """
    candidates = np.flatnonzero(result.labelled & ~result.verified & ~np.isnan(result.quality))
    quality = result.quality[candidates]
    n_rows = min(n_rows, len(candidates))
    n_suspicious = -(-n_rows // 3)
    n_doubtful = -(-(n_rows - n_suspicious) // 2)
    kinds = np.full(len(candidates), -1)
    kinds[np.argsort(quality, kind="stable")[:n_suspicious]] = 0
    doubt = np.where(kinds < 0, np.abs(quality - 0.5), np.inf)
    kinds[np.argsort(doubt, kind="stable")[:n_doubtful]] = 1
    rest = np.flatnonzero(kinds < 0)
    n_random = n_rows - n_suspicious - n_doubtful
    rng = np.random.default_rng(random_state)
    kinds[rng.choice(rest, n_random, replace=False)] = 2
    chosen = np.flatnonzero(kinds >= 0)
    return candidates[chosen], [WHY[kind] for kind in kinds[chosen]]
