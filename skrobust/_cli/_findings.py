"""What ``skrobust audit`` prints."""

from __future__ import annotations

import json

import numpy as np

from skrobust._cli._common import format_table, one_line, percent

MAX_CLASSES_SHOWN = 30
MAX_COLUMNS_SHOWN = 40
MAX_WORDS_SHOWN = 4


def print_input(report, found) -> None:
    """Print what was read: rows, labels, columns, and notes."""
    table, labels, reading, notes = found.table, found.labels, found.reading, found.notes
    n_missing = int((labels.codes < 0).sum()) - len(labels.total_rows)
    n_labelled = int((labels.codes >= 0).sum())
    report.line(
        f"{one_line(table.source.title, 200)}: {table.n_rows} rows, {len(table.names)} columns"
    )
    report.line(
        f"Labels: column {one_line(labels.name)!r}, {len(labels.classes)} classes,"
        f" {n_labelled} rows labelled, {n_missing} without a label"
    )
    if labels.read_as_missing:
        words = list(labels.read_as_missing.items())[:5]
        shown = ", ".join(f"{one_line(word)!r} ({count})" for word, count in words)
        report.line(f"  read as no label: {shown}")
    counts = np.bincount(labels.codes[labels.codes >= 0])
    single = [word for word, count in zip(labels.classes, counts) if count == 1]
    if single:
        report.line(f"  one row only, which nothing can be compared with: {_names(single)}")
    names = [column.name for column in reading.features]
    report.line(f"Features: {len(names)} columns: {_names(names)}")
    for role, title in (
        ("identifier", "identifiers"),
        ("constant", "constant"),
        ("empty", "empty"),
        ("unusable", "not usable (bytes, lists or records)"),
        ("earlier audit", "written by an earlier audit"),
        ("verified labels", "verified labels"),
        ("looks like verified labels", "looks like verified labels (see --verified)"),
        ("as asked", "as asked"),
    ):
        found = reading.of_role(role)
        if found:
            report.line(f"  left out, {title}: {_names(found)}")
    _print_columns(report, reading)
    if notes:
        report.line("\nNotes:")
        for note in dict.fromkeys(notes):
            report.line(f"  - {note}")
    report.line()
    report.flush()


def _print_columns(report, reading) -> None:
    """Print how each column was read: some by themselves, the others in one line per kind."""
    columns = reading.columns
    alone = [c for c in columns if c.odd or not c.used or (c.detail and c.role != "category")]
    alone = sorted(alone, key=lambda c: (not c.odd, c.used))[:MAX_COLUMNS_SHOWN]
    of_kind: dict[str, list] = {}
    for column in columns:
        if all(column is not other for other in alone):
            of_kind.setdefault(column.role, []).append(column)
    rows = []
    for role, others in of_kind.items():
        names = [column.name for column in others]
        count = "1 column" if len(names) == 1 else f"{len(names)} columns"
        rows.append((count, role, _names(names)))
    rows += [(one_line(c.name), c.role, _detail(c)) for c in alone]
    report.line("\nHow the columns were read:")
    report.line(format_table(("column", "read as", ""), rows))


def _detail(column) -> str:
    parts = [column.detail] if column.detail else []
    if column.odd:
        words = sorted(column.odd.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{one_line(w, 20)!r} {n}" for w, n in words[:MAX_WORDS_SHOWN])
        more = ", ..." if len(words) > MAX_WORDS_SHOWN else ""
        parts.append(f"{sum(column.odd.values())} cells made missing: {shown}{more}")
    return "; ".join(parts)


def _names(names, limit=12) -> str:
    shown = ", ".join(one_line(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def print_findings(report, found, result, top: int) -> None:
    """Print how many labels are flagged, of which classes, and the most suspicious rows."""
    labels = found.labels
    n_labelled, n_flagged = int(result.labelled.sum()), int(result.flagged.sum())
    low, high = result.interval
    report.line(
        f"Estimated share of wrong labels: {percent(result.noise_rate)}, between {percent(low)} and"
        f" {percent(high)}"
    )
    reason = result.reason[0].upper() + result.reason[1:]
    report.line(f"Reliability of this estimate: {result.reliability}. {reason}.")
    n_known = int((result.flagged & result.verified).sum())
    known = f"; {n_known} of them are verified, and wrong" if n_known else ""
    report.line(f"Flagged: {n_flagged} of {n_labelled} labelled rows{known}")
    if n_flagged > n_known:
        report.line(_precision(result.precision, n_flagged - n_known, n_known))
    if result.verified.any():
        n_checked = int((result.verified & result.labelled).sum())
        report.line(
            f"Verified: {n_checked} rows, the label is wrong in {int(result.refuted.sum())}"
        )
    report.line(_corrected(result, found.names[-1]))
    for note in result.notes:
        report.line(f"Note: {note}")
    unknown = n_flagged and result.precision.estimate is None
    if (result.reliability != "good" or unknown) and len(result.to_verify):
        kind, names = found.table.row_names(result.to_verify)
        report.line(
            f"To know more, check these {kind}s and name the column with --verified:"
            f" {', '.join(names)}"
        )
    report.line()
    report.line(_class_table(labels, result))
    _print_rows(report, found, result, top)
    missing = ~result.labelled
    missing[labels.total_rows] = False
    if missing.any():
        counts = np.bincount(result.corrected[missing & (result.corrected >= 0)])
        order = np.argsort(-counts, kind="stable")
        shown = [f"{one_line(labels.classes[c])} {counts[c]}" for c in order if counts[c]]
        report.line(
            f"\n{int(missing.sum())} rows have no label; {found.names[-1]!r} holds predictions"
            f" there, which are not checked: {_names(shown) or 'nothing'}"
        )
    report.flush()


def _precision(found, n_open: int, n_known: int) -> str:
    """Return what is known of the share of flagged labels that are wrong."""
    between = f"between {percent(found.low)} and {percent(found.high)}"
    which = f"flagged labels that are not verified ({n_open})" if n_known else "flagged labels"
    if found.estimate is None:
        known = f" ({between})" if found.high < 1 else ""
        return f"Of the {which}, the share that is wrong cannot be estimated{known}: {found.reason}"
    return (
        f"Of the {which}, {percent(found.estimate)} are wrong, estimated; {between} (reliability of"
        f" this estimate: {found.reliability})"
    )


def _corrected(result, name: str) -> str:
    """Return how many labels the corrected ones change, and how many flagged ones they keep."""
    n_changed, n_kept = int(result.changed.sum()), int((result.flagged & ~result.changed).sum())
    kept = f"; flagged, but kept: {n_kept} (no other label is probable enough)" if n_kept else ""
    return f"Labels changed in {name!r}: {n_changed}{kept}"


def _class_table(labels, result) -> str:
    rows, n_flagged = [], []
    for code, spelling in enumerate(labels.classes):
        of_class = labels.codes == code
        flagged = of_class & result.flagged
        quality = result.quality[of_class & ~np.isnan(result.quality)]
        wishes = np.bincount(result.suggested[flagged & (result.suggested >= 0)])
        count, n_rows = int(flagged.sum()), int(of_class.sum())
        n_flagged.append(count)
        rows.append(
            (
                one_line(spelling),
                str(n_rows),
                str(count),
                percent(count, n_rows),
                f"{quality.mean():.3f}" if quality.size else "-",
                one_line(labels.classes[wishes.argmax()]) if wishes.size else "-",
            )
        )
    header = ("class", "rows", "flagged", "share", "mean quality", "most often suggested")
    if len(rows) <= MAX_CLASSES_SHOWN:
        return format_table(header, rows, right=(1, 2, 3, 4))
    order = np.argsort(-np.array(n_flagged), kind="stable")[:MAX_CLASSES_SHOWN]
    shown = format_table(header, [rows[code] for code in order], right=(1, 2, 3, 4))
    return f"{shown}\n  and {len(rows) - len(order)} classes with fewer flagged rows"


def suspicious_rows(result, top: int) -> np.ndarray:
    """Return the most suspicious rows that no reviewer has checked."""
    open_rows = result.labelled & ~result.verified & ~np.isnan(result.quality)
    candidates = np.flatnonzero(open_rows)
    return candidates[np.argsort(result.quality[candidates], kind="stable")][:top]


def evidence_of(found, result, rows: np.ndarray) -> list[list[dict]]:
    """Return, for each row, the text and the columns that speak most against its label."""
    from skrobust.inspection._report_rows import telling_columns

    labels = found.labels
    columns = {column.name: _as_plain(column) for column in found.reading.features}
    telling = telling_columns(columns, rows, labels.codes, result.suggested, labels.classes)
    names = ("value", "typical_of_given", "typical_of_suggested")
    return [
        [{"column": telling["names"][cell[0]], **dict(zip(names, cell[1:]))} for cell in cells]
        for cells in telling["cells"]
    ]


def _as_plain(column) -> np.ndarray:
    """Return the values of a column as numbers or as objects, dates without times as days."""
    values = np.asarray(column.values)
    if values.dtype.kind == "M":
        days = values.astype("datetime64[D]")
        values = days if (days == values)[~np.isnat(values)].all() else values
    return values if values.dtype.kind in "fiub" else values.astype(object)


def _print_rows(report, found, result, top: int) -> None:
    """List the most suspicious rows, each with what speaks against its label."""
    order = suspicious_rows(result, top)
    if order.size:
        where, lines = row_table(found, result, order)
        report.line(f"\nMost suspicious rows ({where}, {len(order)} shown):")
        for line in lines:
            report.line(line)


def row_table(found, result, order: np.ndarray, extra=None) -> tuple[str, list[str]]:
    """Lay out rows; with what a reviewer needs to review it.

    Returns
    -------
    where : str
        What the numbers of the rows count.
    lines : list of str
        The table.
    """
    table, labels, reading = found.table, found.labels, found.reading
    identifiers = reading.of_role("identifier")
    identifier = identifiers[0] if identifiers else None
    kind, names = table.row_names(order)
    header = [kind, "given", "suggested", "quality", "flagged"]
    right = (0, 3)
    if identifier is not None:
        header.insert(1, one_line(identifier))
        right = (0, 4)
        values = table.strings(identifier)
    if extra is not None:
        header.append("why")
    rows = []
    for number, (row, name) in enumerate(zip(order, names)):
        suggestion = result.suggested[row]
        same = suggestion in (-1, labels.codes[row])
        cells = [
            name,
            one_line(labels.classes[labels.codes[row]]),
            "-" if same else one_line(labels.classes[suggestion]),
            f"{result.quality[row]:.3f}",
            "yes" if result.flagged[row] else "",
        ]
        if identifier is not None:
            cells.insert(1, one_line(values[row]))
        if extra is not None:
            cells.append(extra[number])
        rows.append(cells)
    layout = table.source.layout
    if kind == "line":
        where = f"lines of the file, the header is line {layout.header_line}"
    else:
        where = f"row 1 is the first {'of the file' if layout is None else 'below the header'}"
    head, *body = format_table(header, rows, right=right).split("\n")
    lines = [head]
    for line, evidence in zip(body, evidence_of(found, result, order)):
        lines += [line, *(f"      {text}" for text in _evidence_lines(evidence))]
    return where, lines


def _evidence_lines(evidence: list[dict]) -> list[str]:
    """Return the evidence about a row: lines of text, and one line of columns."""
    texts = [each for each in evidence if not each["typical_of_given"]]
    lines = [f"{one_line(each['column'])}: {one_line(each['value'], 100)}" for each in texts[:2]]
    parts = []
    for each in evidence:
        if each["typical_of_given"]:
            usual = f"usually {one_line(each['typical_of_given'])}"
            if each["typical_of_suggested"]:
                usual += f", or {one_line(each['typical_of_suggested'])} if as suggested"
            parts.append(f"{one_line(each['column'])} {one_line(each['value'])} ({usual})")
    if parts:
        lines.append("; ".join(parts[:3]))
    return lines


def write_json(report, found, result, top: int) -> None:
    """Print the findings as JSON."""
    order = suspicious_rows(result, top)
    report.line(json.dumps(findings(found, result, order), allow_nan=False))


def findings(found, result, order: np.ndarray, extra=None) -> dict:
    """Return the findings as plain data; `schema` rises when a key changes its meaning."""
    table, labels, precision = found.table, found.labels, result.precision
    kind, names = table.row_names(order)
    rows = []
    for number, (row, name, evidence) in enumerate(
        zip(order.tolist(), names, evidence_of(found, result, order))
    ):
        suggestion = result.suggested[row]
        rows.append(
            {
                "row": row,
                kind: int(name) if kind == "line" else name,
                "given": labels.classes[labels.codes[row]],
                "suggested": labels.classes[suggestion] if suggestion >= 0 else None,
                "quality": float(result.quality[row]),
                "flagged": bool(result.flagged[row]),
                "evidence": evidence,
                **({} if extra is None else {"why": extra[number]}),
            }
        )
    low, high = result.interval
    return {
        "schema": 1,
        "table": table.source.title,
        "label": labels.name,
        "classes": labels.classes,
        "n_rows": table.n_rows,
        "n_labelled": int(result.labelled.sum()),
        "n_verified": int((result.verified & result.labelled).sum()),
        "n_flagged": int(result.flagged.sum()),
        "n_changed": int(result.changed.sum()),
        "noise_rate": result.noise_rate,
        "noise_rate_interval": [float(low), float(high)],
        "reliability": result.reliability,
        "reliability_reason": result.reason,
        "precision": precision.estimate,
        "precision_interval": [precision.low, precision.high],
        "precision_reliability": precision.reliability,
        "precision_reason": precision.reason,
        "to_verify": result.to_verify.tolist(),
        "rows": rows,
        "notes": [*found.notes, *result.notes],
    }
