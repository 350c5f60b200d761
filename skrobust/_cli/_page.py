"""``skrobust audit --report``: the review page of a table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from skrobust._cli._common import CommandError, one_line, reading_options
from skrobust._cli._source import reason


def write_page(options, detector, rows: np.ndarray, found) -> None:
    """Write the page of the rows that a detector was fitted on."""
    path = options.report
    from skrobust.inspection import LabelReport

    table, labels, verified = found.table, found.labels, found.verified
    features = found.reading.features
    raw = pd.DataFrame({column.name: _cells(column, rows) for column in features})
    checked = None if verified is None else labels.spelled(verified.codes[rows])
    name = one_line(table.source.title.replace("\\", "/").rpartition("/")[2], 80)
    try:
        report = LabelReport.from_detector(
            detector,
            found.vectors if isinstance(found.vectors, np.ndarray) else None,
            labels.spelled(labels.codes[rows]),
            raw=raw,
            row_ids=_identifiers(found, rows),
            verified_labels=checked,
            title=f"{name}: {one_line(labels.name)}",
        )
        content = json.loads(report.to_json())
        kind, names = table.row_names(rows[content["rows"]["row"]])
        content |= {"table": name, "options": reading_options(options)}
        content["row_names"] = {"kind": kind, "names": names}
        LabelReport(content).to_html(path)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot write {one_line(path, 200)!r}: {reason(error)}") from error


def _cells(column, rows: np.ndarray):
    """Return the values of a feature as numbers, or as objects."""
    values = np.asarray(column.values)[rows]
    return values if values.dtype.kind in "fiub" else pd.Series(values.astype(object), dtype=object)


def _identifiers(found, rows: np.ndarray) -> list[str] | None:
    """Return the first column that names every row, None if there is none."""
    for name in found.reading.of_role("identifier"):
        values = [str(value) for value in found.table.strings(name)[rows]]
        if all(value.strip() for value in values) and len(set(values)) == len(values):
            return values
    return None
