"""Files named on the command line: what they are, their encoding, separator and header.

Nothing here needs more than the standard library, so that a wrong argument is reported at once.
"""

from __future__ import annotations

import codecs
import collections
import csv
import dataclasses
import difflib
import gzip
import io
import itertools
import os
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from skrobust._cli._common import CommandError, one_line, require

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
SPREADSHEET_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers")
SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
STDIN = "-"
HEAD_BYTES = 1 << 20
HEAD_RECORDS = 50
# The header is searched among so many first records.
MAX_TITLES = 20
_SEP_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def suffix_of(path: Path, name: str) -> str:
    """Return the suffix, which gives the kind of a file."""
    lower = path.name.lower()
    for suffix in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES):
        if lower.endswith(suffix):
            return suffix
    if lower.endswith(SPREADSHEET_SUFFIXES):
        raise CommandError(
            f"{name} {str(path)!r} is a spreadsheet; save the sheet as CSV (in the spreadsheet"
            " program: Save As, CSV UTF-8) and name that file"
        )
    expected = ", ".join((*TEXT_SUFFIXES, *PARQUET_SUFFIXES))
    raise CommandError(
        f"{name} {str(path)!r} has an unsupported suffix; expected one of {expected}, or - for"
        " text on standard input"
        if name == "table"
        else f"{name} {str(path)!r} has an unsupported suffix; expected one of {expected}"
    )


def reason(error: Exception) -> str:
    """Return the message of an error of the system or of a library on one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


@dataclasses.dataclass
class Layout:
    """How a text file is laid out.

    Attributes
    ----------
    sep : str
        Separator of the columns.
    header : list of str
        Names as written; "" where a column has none.
    names : list of str
        Unique names of the columns: "column 3" for the third if it has no name.
    body : int
        Index of the first character below the header.
    header_line : int
        Line of the file of the header, counted from 1.
    next_line : int
        Line of the file at which the rows begin.
    notes : list of str
        What was found above the header or beside it.
    """

    sep: str
    header: list
    names: list
    body: int
    header_line: int
    next_line: int
    notes: list


class Source:
    """A table that was named on the command line, not read yet.

    Parameters
    ----------
    path : str
        A file, or "-" for standard input.
    encoding, sep : str or None
        As given by the user.
    skip_lines : int
        Lines above the header, as given by the user.
    label : str
        Column of labels, which distinguishes the header from lines above it.

    Attributes
    ----------
    names : list of str
        Columns.
    is_parquet : bool
        Whether it is a Parquet file rather than text.
    layout : Layout or None
        Layout of a text file.
    """

    def __init__(self, path, *, encoding=None, sep=None, skip_lines=0, label=None):
        self.is_stdin = str(path) == STDIN
        self.path = Path(path)
        self.title = "standard input" if self.is_stdin else str(path)
        self.sep_given, self.skip_lines, self.label = check_separator(sep), skip_lines, label
        self.encoding = check_encoding(encoding)
        self.has_bom = False
        self.suffix = ".csv" if self.is_stdin else suffix_of(self.path, "table")
        self.is_parquet = self.suffix in PARQUET_SUFFIXES
        self.layout = None
        self._content = None
        if not self.is_stdin:
            try:
                if not self.path.exists():
                    raise CommandError(f"there is no file {self.title!r}")
                if not self.path.is_file():
                    raise CommandError(f"{self.title!r} is not a file")
            except (OSError, ValueError) as error:
                raise CommandError(f"cannot read {self.title!r}: {reason(error)}") from error
        if self.is_parquet:
            for name, value in (("--encoding", encoding), ("--sep", sep)):
                if value is not None:
                    raise CommandError(f"{name} {value!r} is for text files, not for Parquet")
            if skip_lines:
                raise CommandError(f"--skip-lines {skip_lines} is for text files, not for Parquet")
            self.names = self._parquet_names()
        else:
            head, is_whole = self._read_head()
            text = self._decode(head, is_whole)
            if is_whole and not text.strip():
                raise CommandError(f"{self.title!r} is empty")
            self.layout = find_layout(
                text, self.title, sep=self.sep_given, suffix=self.suffix, label=label,
                skip_lines=skip_lines,
            )  # fmt: skip
            self.names = self.layout.names

    def _parquet_names(self) -> list[str]:
        """Return the column names of a Parquet file from its footer."""
        require_parquet()
        import pyarrow.parquet as pq

        try:
            return [str(name) for name in pq.read_schema(self.path).names]
        except Exception as error:  # the library raises many kinds for a damaged file
            raise CommandError(f"cannot read {self.title!r} as Parquet: {reason(error)}") from error

    def _read_bytes(self, limit: int = -1) -> bytes:
        """Read the file, decompressed, or its first bytes."""
        try:
            if self.is_stdin:
                if self._content is None:
                    if sys.stdin is None:
                        raise CommandError("standard input is closed")
                    stream = getattr(sys.stdin, "buffer", None)
                    self._content = stream.read() if stream else sys.stdin.read().encode()
                    if self._content[:2] == b"\x1f\x8b":
                        self._content = gzip.decompress(self._content)
                return self._content
            opener = gzip.open if self.suffix.endswith(".gz") else open
            with opener(self.path, "rb") as file:
                return file.read(limit)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise CommandError(f"cannot read {self.title!r}: {reason(error)}") from error

    def _read_head(self) -> tuple[bytes, bool]:
        head = self._read_bytes(HEAD_BYTES)
        for magic, hint in (
            (b"PK\x03\x04", "is a spreadsheet or an archive, not text; save it as CSV"),
            (b"\xd0\xcf\x11\xe0", "is a spreadsheet, not text; save it as CSV"),
            (b"PAR1", "is a Parquet file; name it .parquet"),
            (b"\x1f\x8b", "is compressed; name it .csv.gz"),
        ):
            if head.startswith(magic):
                raise CommandError(f"{self.title!r} {hint}")
        for mark, name in _BOMS.items():
            if self.encoding is None and head.startswith(mark):
                self.encoding = name
                break
        self.has_bom = head.startswith(codecs.BOM_UTF8)
        self.encoding = self.encoding or "utf-8"
        return head, self.is_stdin or len(head) < HEAD_BYTES

    def _decode(self, content: bytes, is_whole: bool) -> str:
        try:
            if is_whole:
                text = content.decode(self.encoding)
            else:
                text = codecs.getincrementaldecoder(self.encoding)().decode(content)
        except (UnicodeError, AttributeError, LookupError, TypeError, ValueError) as error:
            where = f" at byte {error.start + 1}" if isinstance(error, UnicodeDecodeError) else ""
            guess = "cp1252" if self.encoding != "cp1252" else "latin-1"
            raise CommandError(
                f"{self.title!r} cannot be decoded as {self.encoding}{where}; name its encoding,"
                f" for example --encoding {guess}"
            ) from error
        text = text.removeprefix("\ufeff")
        if "\0" in text:
            raise CommandError(
                f"{self.title!r} is not a text table: it holds null characters when read as"
                f" {self.encoding}"
            )
        return text

    def read_text(self) -> str:
        """Read and decode the whole text."""
        return self._decode(self._read_bytes(), True)


def require_parquet() -> None:
    """Raise unless Parquet files can be read and written."""
    try:
        require("pyarrow")
    except CommandError as error:
        raise CommandError('Parquet files need pyarrow: pip install "skrobust[report]"') from error


def check_separator(sep: str | None) -> str | None:
    """Return the separator that was named, or raise."""
    if sep is None:
        return None
    known = SEPARATORS.get(sep, sep)
    if len(known) != 1 or known in '"\r\n\0' or ord(known) > 127:
        raise CommandError(
            f"--sep {sep!r} is not a separator; expected one character, such as ',' or ';', or tab"
        )
    return known


def check_encoding(encoding: str | None) -> str | None:
    """Return the encoding that was named, or raise."""
    if encoding is None:
        return None
    try:
        codecs.lookup(encoding)
        "a".encode(encoding).decode(encoding)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise CommandError(
            f"--encoding {encoding!r} is not known; expected for example utf-8, cp1252 or utf-16"
        ) from error
    return encoding


def records_of(text: str, sep: str, start: int = 0) -> Iterator[tuple[list, int, int, int]]:
    """Split text into records: cells, first and next character, and first line (from 0).

    Blank lines are passed over, as pandas does.
    """
    ends = [start]

    def lines():
        stream = io.StringIO(text, newline="")
        stream.seek(start)
        for line in stream:
            ends.append(ends[-1] + len(line))
            yield line

    # A cell may be longer than the csv module's default limit.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(lines(), delimiter=sep)
    first = 0
    for cells in reader:
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield cells, ends[first], ends[reader.line_num], first
        first = reader.line_num


def _first_records(text: str, sep: str, start: int) -> list:
    found = []
    try:
        for record in records_of(text, sep, start):
            found.append(record)
            if len(found) == HEAD_RECORDS:
                break
    except csv.Error:
        return found
    return found


def find_layout(text, title, *, sep=None, suffix=".csv", label=None, skip_lines=0) -> Layout:
    """Find separator and header of a text table in its first records."""
    start, notes = 0, []
    start += sum(map(len, itertools.islice(io.StringIO(text, newline=""), skip_lines)))
    if skip_lines and start >= len(text):
        raise CommandError(f"{title!r} has no line below the {skip_lines} of --skip-lines")
    skipped_lines = skip_lines
    named = _SEP_LINE.match(text, start)
    if named is not None:
        start, skipped_lines = named.end(), skipped_lines + 1
        if sep is None:
            sep = check_separator(named.group(1))
        notes.append(f"the line {one_line(named.group().strip())!r} at the top names the separator")
    if sep is None:
        sep = _find_separator(text, start, suffix, label)
    records = _first_records(text, sep, start)
    if not records:
        raise CommandError(f"cannot read the header of {title!r}")
    number = _find_header(records, None if label is None else label.strip())
    header, _, body, line = records[number]
    if number:
        notes.append(
            f"the header was found at line {skipped_lines + line + 1};"
            f" {number} {'line' if number == 1 else 'lines'} above it left out, beginning with"
            f" {one_line(sep.join(records[0][0]))!r}"
        )
    header = _fit_header(list(header), [cells for cells, *_ in records[number + 1 :]], notes)
    # Line ends differ between systems; the csv module counts any of them.
    next_line = skipped_lines + _count_lines(text[start:body])
    return Layout(
        sep, header, _unique_names(header, title), body, skipped_lines + line + 1, next_line + 1,
        notes,
    )  # fmt: skip


def _count_lines(text: str) -> int:
    return text.count("\n") + len(re.findall("\r(?!\n)", text))


def _find_separator(text: str, start: int, suffix: str, label: str | None) -> str:
    """Choose the separator that splits most of the first records into as many cells."""
    order = ("\t", ",", ";", "|") if suffix.startswith(".tsv") else (",", ";", "\t", "|")
    best, best_score = order[0], (False, 0.0, 0)
    for candidate in order:
        records = _first_records(text, candidate, start)
        widths = collections.Counter(len(cells) for cells, *_ in records if len(cells) > 1)
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        has_label = label is not None and any(
            cell.strip() == label.strip() for cells, *_ in records[:MAX_TITLES] for cell in cells
        )
        score = (has_label, round(count / len(records), 3), width)
        if score > best_score:
            best, best_score = candidate, score
    return best


def _find_header(records: list, label: str | None) -> int:
    """Return the number of the record that holds the names; titles may precede it."""
    filled = [sum(bool(cell.strip()) for cell in cells) for cells, *_ in records]
    for number, (cells, *_) in enumerate(records[:MAX_TITLES]):
        if label is not None and any(cell.strip() == label for cell in cells):
            if all(count < len(cells) for count in filled[:number]):
                return number
            break
    widths = collections.Counter(len(cells) for cells, *_ in records)
    width = widths.most_common(1)[0][0]
    if filled[0] <= 1 < width:
        for number, (cells, *_) in enumerate(records[:MAX_TITLES]):
            if len(cells) == width and filled[number] > 1:
                return number
    return 0


def _fit_header(header: list, rows: list, notes: list) -> list:
    """Add names for cells that every row has beyond the header."""
    surplus = {len(cells) - len(header) for cells in rows}
    if not rows or min(surplus) <= 0:
        longer = [cells for cells in rows if len(cells) > len(header)]
        most = max((len(cells) for cells in longer), default=len(header))
        if not any(cell.strip() for cells in longer for cell in cells[len(header) :]):
            header += [""] * (most - len(header))
        return header
    extra = max(surplus)
    if not any(cell.strip() for cells in rows for cell in cells[len(header) :]):
        return header + [""] * extra
    if surplus == {1}:
        notes.append("the rows have one cell more than the header: the first column has no name")
        return ["", *header]
    return header


def _unique_names(header: list, title: str) -> list[str]:
    """Name the columns that have no name by their number; refuse a name that occurs twice."""
    names = []
    taken = {name for name in header if name.strip()}
    for number, name in enumerate(header, start=1):
        if name.strip() and name in names:
            raise CommandError(f"{title!r} has two columns named {name!r}; rename one of them")
        if not name.strip():
            name = f"column {number}"
            while name in taken:
                name += "'"
            taken.add(name)
        names.append(name)
    return names


def find_column(name: str, source: Source, option: str) -> str:
    """Return the column that an option names, or raise with the names that resemble it."""
    columns = source.names
    if name in columns:
        return name
    stripped = [column for column in columns if column.strip() == name.strip()]
    if len(stripped) == 1:
        return stripped[0]
    folded = {column.casefold().strip(): column for column in reversed(columns)}
    near = difflib.get_close_matches(name.casefold().strip(), folded, n=3, cutoff=0.6)
    if len(columns) == 1 and name in columns[0]:
        hint = f"the only column is {one_line(columns[0], 60)!r}: is another --sep needed?"
    elif near:
        hint = "did you mean " + " or ".join(repr(folded[match]) for match in near) + "?"
    else:
        shown = ", ".join(repr(one_line(column)) for column in columns[:12])
        hint = f"its columns are {shown}" + (", ..." if len(columns) > 12 else "")
    if source.layout is not None and source.layout.header_line > 1:
        hint += f" (the header was read from line {source.layout.header_line}; see --skip-lines)"
    raise CommandError(f"{option} {name!r} is not a column of {source.title!r}; {hint}")


def check_out(path: str, source: Source) -> None:
    """Check, before any work, that the result can be written."""
    path = Path(path)
    if suffix_of(path, "--out") in PARQUET_SUFFIXES:
        require_parquet()
    _check_place(path, source, "--out")


def check_report(path: str, source: Source | None = None) -> None:
    """Check, before any work, that the page can be made and written."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise CommandError(f"--report {str(path)!r} is no HTML file; expected a name with .html")
    require("jinja2")
    _check_place(path, source, "--report")


def _check_place(path: Path, source: Source | None, option: str) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"the folder {str(folder)!r} of {option} does not exist")
    if path.is_dir():
        raise CommandError(f"{option} {str(path)!r} is a folder; expected a file")
    if (
        source is not None
        and not source.is_stdin
        and (
            path.resolve() == source.path.resolve()
            or (path.exists() and path.samefile(source.path))
        )
    ):
        raise CommandError(f"{option} {str(path)!r} is the table itself; choose another file")
    if not os.access(path.resolve().parent, os.W_OK):
        raise CommandError(f"the folder {str(folder)!r} of {option} cannot be written to")
