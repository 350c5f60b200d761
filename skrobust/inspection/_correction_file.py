"""The file of corrections that the review page writes: format, reading, and validation."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

COLUMNS = (
    "fingerprint", "n_rows", "row", "row_id", "given_label", "decision", "new_label", "source",
    "sampled_from", "reviewer", "time", "note",
)  # fmt: skip
DECISIONS = ("right", "wrong", "unclear")
SOURCES = ("flagged", "audit", "unflagged")
# What spreadsheets take for a formula, and the mark that neutralises it.
_FORMULA = tuple("'=+-@")
_ESCAPED = re.compile(r"\\(?:u([0-9a-f]{4})|(\\))")
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class Correction:
    """One decision of one reviewer.

    Attributes
    ----------
    where : str
        File and line, for messages.
    fingerprint : str
        Of the labels that were reviewed.
    n_rows : int
        Their number.
    row : int
        Position of the row, from 0.
    row_id : str
        Its id, "" where rows have none.
    given_label, new_label : str
        Text of the labels; `new_label` is "" where nothing changes.
    decision : {"right", "wrong", "unclear"}
        What the reviewer decided.
    source : {"flagged", "audit", "unflagged"}
        Why the row was shown.
    sampled_from : int
        Number of rows from which a row of the audit was drawn at random; 0 for other rows.
    reviewer, time, note : str
        As written.
    """

    where: str
    fingerprint: str
    n_rows: int
    row: int
    row_id: str
    given_label: str
    decision: str
    new_label: str
    source: str
    sampled_from: int
    reviewer: str
    time: str
    note: str


def escape_field(text: str) -> str:
    """Write text as a field: one line, and no formula for a spreadsheet."""
    text = _UNSAFE.sub(lambda match: r"\\" if match[0] == "\\" else f"\\u{ord(match[0]):04x}", text)
    return "'" + text if text.startswith(_FORMULA) else text


def unescape_field(field: str) -> str:
    """Return the text of a field."""
    field = field.removeprefix("'")
    return _ESCAPED.sub(lambda match: "\\" if match[2] else chr(int(match[1], 16)), field)


def write_corrections(rows: Iterable[dict]) -> str:
    """Return decisions as the text of a file."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([escape_field(str(row.get(name, ""))) for name in COLUMNS])
    return stream.getvalue()


def read_corrections(source) -> list[Correction]:
    """Read and validate decisions.

    Parameters
    ----------
    source : path, data frame, or list of such
        Files of the review page, or data frames with their columns.

    Returns
    -------
    corrections : list of Correction
        In the order of the files and their lines.

    Raises
    ------
    ValueError
        If a file is no file of corrections, is incomplete, or holds an unknown decision.
    """
    if isinstance(source, (list, tuple)):
        if not source:
            raise ValueError("corrections is an empty list; expected at least one file.")
        return [correction for part in source for correction in read_corrections(part)]
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return _parse(_decode(path), f"{path.name!r}")
    if hasattr(source, "columns") and hasattr(source, "to_csv"):
        text = source.to_csv(index=False)
        return _parse(text, "the data frame")
    raise TypeError(
        "corrections must be the path of a file, a data frame, or a list of such, got"
        f" {type(source).__name__}."
    )


def _decode(path: Path) -> str:
    content = path.read_bytes()
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    encoding = "utf-16" if wide else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeError as error:
        raise ValueError(
            f"{path.name!r} is not text in UTF-8. If a spreadsheet wrote it, save it as CSV UTF-8."
        ) from error


def _parse(text: str, title: str) -> list[Correction]:
    """Read the text of a file, whatever separator a spreadsheet has put into it."""
    head = text.lstrip("\r\n").partition("\n")[0]
    sep = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=sep, strict=True)
    header, found = None, []
    try:
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if header is None:
                header = _check_header([field.strip() for field in fields], title)
                continue
            where = f"{title}, line {reader.line_num}"
            if len(fields) != len(header):
                raise ValueError(
                    f"{where}: {len(fields)} fields instead of {len(header)}; the file is"
                    " incomplete or was edited."
                )
            raw = dict(zip(header, fields))
            found.append(_read_row({name: unescape_field(raw[name]) for name in COLUMNS}, where))
    except csv.Error as error:
        raise ValueError(
            f"{title}, line {reader.line_num}: the file is incomplete or was edited ({error})."
        ) from error
    if header is None:
        raise ValueError(f"{title} is empty; expected a file of corrections.")
    return found


def _check_header(names: list[str], title: str) -> list[str]:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"{title} is no file of corrections: it has no column {', '.join(map(repr, missing))}."
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{title} has two columns of the same name.")
    return names


def _read_row(row: dict, where: str) -> Correction:
    """Validate the fields of one line."""
    for name, known in (("decision", DECISIONS), ("source", SOURCES)):
        if row[name] not in known:
            raise ValueError(
                f"{where}: {name} {row[name]!r} is not known; expected one of {', '.join(known)}."
            )
    numbers = {}
    for name in ("n_rows", "row", "sampled_from"):
        value = row[name].strip()
        if name == "sampled_from" and not value:
            value = "0"
        if not re.fullmatch(r"[0-9]{1,15}(\.0)?", value):
            raise ValueError(f"{where}: {name} {row[name]!r} is not a whole number.")
        numbers[name] = int(value.removesuffix(".0"))
    if (row["decision"] == "wrong") != (row["new_label"] != ""):
        raise ValueError(
            f"{where}: the decision is {row['decision']!r} and the new label is"
            f" {row['new_label']!r}; a wrong label, and no other, needs a new one."
        )
    if row["decision"] == "wrong" and row["new_label"] == row["given_label"]:
        raise ValueError(f"{where}: the new label {row['new_label']!r} is the given one.")
    return Correction(where=where, **{**row, **numbers})
