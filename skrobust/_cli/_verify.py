"""``skrobust verify``: the rows of a table that are to be checked next."""

from __future__ import annotations

import json

import numpy as np

from skrobust._cli._audit import Result, fit, read_input

WHY = ("suspicious", "doubtful", "random")


def run(options, report) -> None:
    """Fit the detector and list rows of three kinds."""
    found = read_input(options)
    from skrobust._cli._findings import findings, print_input, row_table

    if not options.json:
        print_input(report, found)
        if report.error is not None:
            return
    detector, rows, notes = fit(options, found)
    result = Result.of(detector, rows, found, notes)
    chosen, why = choose_rows(result, options.rows, options.random_state)
    if options.json:
        report.line(json.dumps(findings(found, result, chosen, why), allow_nan=False))
        return
    if not len(chosen):
        report.line("Every labelled row that has a quality is verified.")
        return
    where, lines = row_table(found, result, chosen, why)
    report.line(f"Rows to check next ({where}):")
    for line in lines:
        report.line(line)
    report.line(
        "\nWrite the true labels of these rows into a column of their own, leave the others empty,"
        "\nand name the column with --verified. The random rows are a sample of all rows that are"
        "\nneither suspicious nor doubtful in this list; some of them may be flagged. They tell how"
        "\nmany of these labels are wrong."
    )


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
