"""What ``skrobust audit`` prints."""

from __future__ import annotations

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
    """Print how each column was read; of many columns, those that need a word."""
    columns = reading.columns
    shown = columns
    if len(columns) > MAX_COLUMNS_SHOWN:
        shown = [c for c in columns if c.odd or c.detail or not c.used]
        shown = sorted(shown, key=lambda c: (not c.odd, c.used))[:MAX_COLUMNS_SHOWN]
    rows = [(one_line(c.name), c.role, _detail(c)) for c in shown]
    report.line("\nHow each column was read:")
    if rows:
        report.line(format_table(("column", "read as", ""), rows))
    rest = [c for c in columns if all(c is not other for other in shown)]
    if rest:
        counts: dict[str, int] = {}
        for column in rest:
            counts[column.role] = counts.get(column.role, 0) + 1
        more = ", ".join(f"{count} {role}" for role, count in counts.items())
        report.line(f"  and {len(rest)} more: {more}")


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
    report.line(f"Reliability: {result.reliability}. {reason}.")
    report.line(
        f"Flagged: {n_flagged} of {n_labelled} labelled rows ({percent(n_flagged, n_labelled)})"
    )
    if result.verified.any():
        n_checked = int((result.verified & result.labelled).sum())
        report.line(
            f"Verified: {n_checked} rows, the label is wrong in {int(result.refuted.sum())}"
        )
    for note in result.notes:
        report.line(f"Note: {note}")
    if result.reliability != "good" and len(result.to_verify):
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
            f"\n{int(missing.sum())} rows have no label; suggested: {_names(shown) or 'nothing'}"
        )
    report.flush()


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


def _print_rows(report, found, result, top: int) -> None:
    """List the most suspicious rows that no reviewer has checked."""
    table, labels, reading = found.table, found.labels, found.reading
    open_rows = result.labelled & ~result.verified & ~np.isnan(result.quality)
    candidates = np.flatnonzero(open_rows)
    order = candidates[np.argsort(result.quality[candidates], kind="stable")][:top]
    if not order.size:
        return
    identifiers = reading.of_role("identifier")
    identifier = identifiers[0] if identifiers else None
    kind, names = table.row_names(order)
    header = [kind, "given", "suggested", "quality", "flagged"]
    right = (0, 3)
    if identifier is not None:
        header.insert(1, one_line(identifier))
        right = (0, 4)
        values = table.strings(identifier)
    rows = []
    for row, name in zip(order, names):
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
        rows.append(cells)
    layout = table.source.layout
    if kind == "line":
        where = f"lines of the file, the header is line {layout.header_line}"
    else:
        where = f"row 1 is the first {'of the file' if layout is None else 'below the header'}"
    report.line(f"\nMost suspicious rows ({where}, {len(order)} shown):")
    report.line(format_table(header, rows, right=right))
