"""Tables in files: cells as they are written, and the same file with three columns more."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import io
import os
import re
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from skrobust._cli._common import CommandError, one_line
from skrobust._cli._source import PARQUET_SUFFIXES, Source, reason, records_of, suffix_of


@dataclasses.dataclass
class Cells:
    """Values of one column.

    Attributes
    ----------
    kind : {"text", "number", "bool", "date", "time", "empty", "unusable"}
        What the file stores. In a text file all columns are text.
    values : ndarray of shape (n_rows,)
        Strings (None where a value is null), float64 (NaN), datetime64 (NaT).
    detail : str
        Type of the column as the file names it, where it cannot be used.
    """

    kind: str
    values: np.ndarray
    detail: str = ""


@dataclasses.dataclass
class Added:
    """The columns to add to a table.

    Attributes
    ----------
    names : tuple of str
        Names of quality, flag and corrected label.
    quality : ndarray of shape (n_rows,), float
        NaN where there is none.
    flagged : ndarray of shape (n_rows,), bool
    corrected : ndarray of shape (n_rows,), int
        A row whose given label is the corrected label of this one; -1 for none.
    """

    names: tuple
    quality: np.ndarray
    flagged: np.ndarray
    corrected: np.ndarray


class TextTable:
    """A text file: every cell is kept as it is written.

    Parameters
    ----------
    source : Source
        The file.

    Attributes
    ----------
    names : list of str
        Unique names of the columns.
    n_rows : int
        Number of rows.
    notes : list of str
        What was found beside the rows.
    """

    index_names: tuple = ()

    def __init__(self, source: Source):
        self.source, self.layout = source, source.layout
        self.names, self.notes = list(source.layout.names), list(source.layout.notes)
        self._text = source.read_text()
        self._columns = self._read()
        self.n_rows = len(self._columns[0])
        if not self.n_rows:
            raise CommandError(f"{source.title!r} has a header but no rows")
        short = self._short_rows()
        # Where all rows are short, the header has a name too many.
        if 0 < len(short) < self.n_rows:
            kind, names = self.row_names(np.array(short[:3]))
            shown = ", ".join(names) + (", ..." if len(short) > 3 else "")
            rows, many = ("1 row has", "") if len(short) == 1 else (f"{len(short)} rows have", "s")
            self.notes.append(
                f"{rows} fewer cells than the header ({kind}{many} {shown}); the last ones are read"
                " as empty"
            )

    def _short_rows(self) -> list[int]:
        """Rows that have fewer cells than the header, as far as lines are rows."""
        if all(self._columns[-1]):
            return []
        try:
            records = records_of(self._text, self.layout.sep, self.layout.body)
            widths = [len(cells) for cells, *_ in records]
        except csv.Error:
            return []
        short = [row for row, width in enumerate(widths) if width < len(self.names)]
        return short if len(widths) == self.n_rows else []

    def _read(self) -> list[np.ndarray]:
        title, sep, width = self.source.title, self.layout.sep, len(self.names)
        if not self._text[self.layout.body :].strip():
            raise CommandError(f"{title!r} has a header but no rows")
        body = io.StringIO(self._text, newline="")
        body.seek(self.layout.body)
        try:
            with warnings.catch_warnings():
                # pandas only warns where rows have more cells than the header, and drops them.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(
                    body, sep=sep, header=None, names=range(width), index_col=False, dtype=object,
                    keep_default_na=False, na_filter=False,
                )  # fmt: skip
        except pd.errors.EmptyDataError as error:
            raise CommandError(f"{title!r} has a header but no rows") from error
        except pd.errors.ParserWarning as error:
            raise CommandError(
                f"cannot read {title!r}: some rows have more than the {width} cells of the header;"
                " is another --sep needed, or --skip-lines for a title above the header?"
            ) from error
        except (pd.errors.ParserError, ValueError, OverflowError) as error:
            raise CommandError(
                f"cannot read {title!r} as a table separated by {sep!r}: {reason(error)}"
            ) from error
        # Short rows are padded with NaN even so.
        frame = frame.where(frame.notna(), "")
        return [frame[number].to_numpy(dtype=object) for number in range(width)]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def strings(self, name: str) -> np.ndarray:
        """Return the cells of a column as they are written."""
        return self._columns[self.names.index(name)]

    def cells(self, name: str) -> Cells:
        """Return the values of a column."""
        return Cells("text", self.strings(name))

    def may_hold_labels(self, name: str) -> bool:
        """Whether the type of a column does not rule out that it holds labels."""
        return True

    def row(self, number: int) -> list[str]:
        """Return the cells of a row."""
        return [column[number] for column in self._columns]

    def label_cells(self, name: str, option: str) -> np.ndarray:
        """Return a column of labels as strings."""
        return self.strings(name)

    def row_names(self, rows: np.ndarray) -> tuple[str, list[str]]:
        """Name rows by their lines in the file, as far as lines are rows."""
        lines = self._lines()
        if lines is None:
            return "row", [str(row + 1) for row in rows]
        return "line", [str(lines(row)) for row in rows]

    def _lines(self) -> Callable[[int], int] | None:
        """Return what gives the line of a row, None if it is unknown."""
        first, body = self.layout.next_line, self.layout.body
        simple = '"' not in self._text[body:]
        if simple:
            stream = io.StringIO(self._text, newline="")
            stream.seek(body)
            if sum(1 for _ in stream) == self.n_rows:
                return lambda row: first + int(row)
        try:
            starts = [line for *_, line in records_of(self._text, self.layout.sep, body)]
        except csv.Error:
            return None
        if len(starts) != self.n_rows:
            return None
        return lambda row: first + starts[row]

    def write(self, path: str, removed: list[str], label: str, added: Added) -> None:
        """Write the table without some columns and with those that are added."""
        kept = [number for number, name in enumerate(self.names) if name not in removed]
        quality = np.array([write_number(value) for value in added.quality], dtype=object)
        labels = self.strings(label)
        corrected = np.array([labels[row] if row >= 0 else "" for row in added.corrected], object)
        if _suffix(path) in PARQUET_SUFFIXES:
            _write_parquet_of_text(path, self, kept, label, added)
            return
        flagged = np.where(added.flagged, "True", "False").astype(object)
        self.write_columns(path, removed, dict(zip(added.names, (quality, flagged, corrected))))

    def write_taken(self, path: str, name: str, rows: np.ndarray, new_name: str | None) -> None:
        """Write the table with cells of a column taken from other rows of it, "" for -1.

        They replace the column, or are put into a new one.
        """
        cells = self.strings(name)
        taken = np.array([cells[row] if row >= 0 else "" for row in rows], dtype=object)
        header, columns = list(self.layout.header), list(self._columns)
        if new_name is None:
            columns[self.names.index(name)] = taken
        else:
            header, columns = [*header, new_name], [*columns, taken]
        self._write(path, header, [*self.names, *([] if new_name is None else [new_name])], columns)

    def write_columns(self, path: str, removed: list[str], added: dict[str, np.ndarray]) -> None:
        """Write the table without some columns and with columns of text."""
        kept = [number for number, name in enumerate(self.names) if name not in removed]
        header = [*(self.layout.header[number] for number in kept), *added]
        names = [*(self.names[number] for number in kept), *added]
        columns = [*(self._columns[number] for number in kept), *added.values()]
        self._write(path, header, names, columns)

    def _write(self, path: str, header: list, names: list, columns: list) -> None:
        """Write columns of cells; `header` are the names as the file has them."""
        if _suffix(path) in PARQUET_SUFFIXES:
            import pyarrow as pa

            from skrobust._cli._parquet import write_parquet

            write_parquet(path, pa.table(dict(zip(names, map(typed_array, columns)))))
            return
        newline = "\r\n" if self._text[: self.layout.body].endswith("\r\n") else "\n"
        text = join_cells(header, columns, sep=self._separator(path), newline=newline)
        write_text(path, text, self.source.encoding, with_bom=self.source.has_bom)

    def _separator(self, path: str) -> str:
        """Return the separator for a file that is written."""
        sep = self.layout.sep
        if _suffix(path).startswith(".tsv"):
            return "\t"
        if sep == "\t" and self.source.suffix.startswith(".tsv"):
            return "," if _suffix(path).startswith(".csv") else sep
        return sep


def _suffix(path: str | Path) -> str:
    return suffix_of(Path(path), "--out")


def write_number(value: float) -> str:
    """Write a number as Python does, whatever the decimal mark of the file; nothing for NaN."""
    return "" if np.isnan(value) else repr(float(value))


def join_cells(header: list, columns: list, *, sep: str, newline: str = "\n") -> str:
    """Return cells as the text of a table, with the quotes that they need.

    The csv module of Python before 3.13 leaves a single carriage return without quotes, which
    splits the row for whoever reads the file.
    """
    special = re.compile(f'[{re.escape(sep)}"\r\n]')

    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if special.search(cell) else cell

    lines = [sep.join(map(quoted, header))]
    lines += map(sep.join, zip(*(map(quoted, column) for column in columns)))
    return newline.join([*lines, ""])


def write_text(path: str, text: str, encoding: str, *, with_bom: bool = False) -> None:
    """Write text to a file, compressed if its suffix is .gz."""

    def write(temporary: Path) -> None:
        content = text.encode(encoding)
        if with_bom and not content.startswith(b"\xef\xbb\xbf"):
            content = b"\xef\xbb\xbf" + content
        if _suffix(path).endswith(".gz"):
            content = gzip.compress(content)
        temporary.write_bytes(content)

    replace_file(path, write)


def replace_file(path: str | Path, write: Callable[[Path], None]) -> None:
    """Write a file beside another, and put it in the place of that one when all is written."""
    # A link stays a link: its target is what is replaced.
    path = Path(path).resolve()
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        write(temporary)
        if path.exists():
            with contextlib.suppress(OSError):
                os.chmod(temporary, path.stat().st_mode & 0o777)
        temporary.replace(path)
    except (OSError, UnicodeError, ValueError, TypeError, ImportError) as error:
        raise CommandError(f"cannot write {one_line(path, 200)!r}: {reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_parquet_of_text(path, table: TextTable, kept: list[int], label: str, added: Added):
    """Write a text table as Parquet; columns of plain numbers become numbers."""
    import pyarrow as pa

    from skrobust._cli._parquet import added_arrays, write_parquet

    columns = {
        table.names[number]: typed_array(table.strings(table.names[number])) for number in kept
    }
    labels = columns[label] if label in columns else typed_array(table.strings(label))
    for name, array in zip(added.names, added_arrays(pa.chunked_array([labels]), added)):
        columns[name] = array
    write_parquet(path, pa.table(columns))


def typed_array(cells: np.ndarray):
    """Return cells as an Arrow array: numbers if each is written as a computer does, or text."""
    import pyarrow as pa

    text = pd.Series(cells, dtype=object)
    filled = text != ""
    present = text[filled]
    if len(present) and present.str.fullmatch(r"-?(?:0|[1-9]\d{0,17})").all():
        values = [int(cell) if cell else None for cell in cells]
        return pa.array(values, type=pa.int64())
    if len(present) and present.str.fullmatch(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:e[-+]?\d+)?").all():
        return pa.array([float(cell) if cell else None for cell in cells], type=pa.float64())
    return pa.array([cell or None for cell in cells], type=pa.string())


def read_table(source: Source):
    """Read the table that a source names."""
    if source.is_parquet:
        from skrobust._cli._parquet import ParquetTable

        return ParquetTable(source)
    return TextTable(source)
