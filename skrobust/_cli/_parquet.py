"""Parquet files: read without loss, and written with columns appended to the same Arrow table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skrobust._cli._common import CommandError
from skrobust._cli._source import PARQUET_SUFFIXES, Source, reason, suffix_of
from skrobust._cli._table import Added, Cells, join_cells, replace_file, write_number, write_text


class ParquetTable:
    """A Parquet file as the Arrow table that it holds.

    Parameters
    ----------
    source : Source
        The file.

    Attributes
    ----------
    names : list of str
        Columns, with those of the index of a pandas frame.
    n_rows : int
        Number of rows.
    notes : list of str
        What was found beside the rows.
    index_names : tuple of str
        Columns that were the index of a pandas frame.
    """

    def __init__(self, source: Source):
        self.source, self.notes = source, []
        try:
            with pq.ParquetFile(source.path) as file:
                self.arrow = file.read()
        except Exception as error:  # the library raises many kinds for a damaged file
            raise CommandError(
                f"cannot read {source.title!r} as Parquet: {reason(error)}"
            ) from error
        self.names = list(self.arrow.column_names)
        for number, name in enumerate(self.names):
            if name in self.names[:number]:
                raise CommandError(
                    f"{source.title!r} has two columns named {name!r}; rename one of them"
                )
        self.n_rows = self.arrow.num_rows
        if not self.n_rows:
            raise CommandError(f"{source.title!r} has a header but no rows")
        pandas = _pandas_metadata(self.arrow.schema)
        found = pandas.get("index_columns", [])
        self.index_names = tuple(name for name in found if isinstance(name, str))

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def _column(self, name: str) -> pa.ChunkedArray:
        """Return a column, extension types and dictionaries replaced by what they hold."""
        column = self.arrow.column(name)
        if isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array(
                [chunk.storage for chunk in column.chunks], type=column.type.storage_type
            )
        if pa.types.is_dictionary(column.type):
            column = pa.chunked_array(
                [chunk.dictionary_decode() for chunk in column.chunks], type=column.type.value_type
            )
        if pa.types.is_run_end_encoded(column.type):
            column = pc.run_end_decode(column)
        return column

    def cells(self, name: str) -> Cells:
        """Return the values of a column."""
        column = self._column(name)
        kind = column.type
        if pa.types.is_null(kind) or column.null_count == self.n_rows:
            return Cells("empty", np.full(self.n_rows, None, dtype=object))
        try:
            if pa.types.is_boolean(kind):
                return Cells("bool", _strings(column))
            if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                return Cells("number", _floats(column))
            if _is_text(kind):
                return Cells("text", _strings(column))
            if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
                moments = column.cast(pa.timestamp("us"), safe=False)
                values = moments.to_numpy().astype("datetime64[us]")
                return Cells("date", values)
            if pa.types.is_duration(kind) or pa.types.is_time(kind):
                return Cells("time", _seconds(column))
        except (pa.ArrowException, ValueError, OverflowError) as error:
            return Cells("unusable", np.array([]), f"{kind}: {reason(error)}")
        return Cells("unusable", np.array([]), str(kind).split("<")[0].split("[")[0])

    def label_cells(self, name: str, option: str) -> np.ndarray:
        """Return a column of labels as strings, None where a label is null."""
        column = self._column(name)
        kind = column.type
        if pa.types.is_null(kind):
            return np.full(self.n_rows, None, dtype=object)
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            try:
                column = column.cast(pa.string())
            except pa.ArrowException as error:
                raise CommandError(
                    f"{option} {name!r} holds {kind} values; expected classes"
                ) from error
            kind = column.type
        if _is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return _strings(column)
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return _whole_numbers(column, f"{option} {name!r}")
        if pa.types.is_temporal(kind):
            raise CommandError(f"{option} {name!r} holds dates or times; expected classes")
        raise CommandError(f"{option} {name!r} holds {kind} values; expected classes")

    def strings(self, name: str) -> np.ndarray:
        """Return the cells of a column as strings, "" for null."""
        return np.array(
            ["" if value is None else str(value) for value in self.arrow.column(name).to_pylist()],
            dtype=object,
        )

    def may_hold_labels(self, name: str) -> bool:
        """Whether the type of a column does not rule out that it holds labels."""
        kind = self._column(name).type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return is_number or pa.types.is_boolean(kind) or _is_text(kind)

    def row(self, number: int) -> list[str]:
        """Return the text of a row."""
        row = self.arrow.slice(number, 1)
        texts = [row.column(name).to_pylist()[0] for name in self.names]
        return [text for text in texts if isinstance(text, str)]

    def row_names(self, rows: np.ndarray) -> tuple[str, list[str]]:
        """Number rows from 1."""
        return "row", [str(row + 1) for row in rows]

    def write(self, path: str, removed: list[str], label: str, added: Added) -> None:
        """Write the table without some columns and with those that are added."""
        arrow = self.arrow.drop_columns([name for name in removed if name in self.names])
        labels = self.arrow.column(label)
        for name, array in zip(added.names, added_arrays(labels, added)):
            arrow = arrow.append_column(name, array)
        if suffix_of(Path(path), "--out") in PARQUET_SUFFIXES:
            write_parquet(path, _without_pandas_columns(arrow, removed))
            return
        self._write_text(path, arrow, added)

    def write_columns(self, path: str, removed: list[str], added: dict[str, np.ndarray]) -> None:
        """Write the table without some columns and with columns of text, null for ""."""
        arrow = self.arrow.drop_columns(removed)
        for name, cells in added.items():
            texts = pa.array([cell or None for cell in cells], type=pa.string())
            arrow = arrow.append_column(name, texts)
        if suffix_of(Path(path), "--out") in PARQUET_SUFFIXES:
            write_parquet(path, _without_pandas_columns(arrow, removed))
        else:
            self._write_text(path, arrow, None)

    def write_taken(self, path: str, name: str, rows: np.ndarray, new_name: str | None) -> None:
        """Write the table with cells of a column taken from other rows of it, null for -1.

        They replace the column, or are put into a new one.
        """
        labels = self.arrow.column(name)
        if pa.types.is_dictionary(labels.type):
            labels = labels.unify_dictionaries()
        taken = labels.combine_chunks().take(pa.array(rows, type=pa.int64(), mask=rows < 0))
        if new_name is None:
            place = self.arrow.column_names.index(name)
            arrow = self.arrow.set_column(place, self.arrow.schema.field(name), taken)
        else:
            arrow = self.arrow.append_column(new_name, taken)
        if suffix_of(Path(path), "--out") in PARQUET_SUFFIXES:
            write_parquet(path, arrow)
        else:
            self._write_text(path, arrow, None)

    def _write_text(self, path: str, arrow: pa.Table, added: Added | None) -> None:
        columns = []
        for number, name in enumerate(arrow.column_names):
            if added is not None and name == added.names[0]:
                columns.append([write_number(value) for value in added.quality])
            else:
                values = arrow.column(number).to_pylist()
                columns.append(["" if value is None else str(value) for value in values])
        sep = "\t" if ".tsv" in suffix_of(Path(path), "--out") else ","
        write_text(path, join_cells(list(arrow.column_names), columns, sep=sep), "utf-8")


def _is_text(kind: pa.DataType) -> bool:
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or (hasattr(pa.types, "is_string_view") and pa.types.is_string_view(kind))
    )


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    """Return text, whole numbers or bools as strings; None for null."""
    if not _is_text(column.type):
        # Not cast by Arrow, which writes bools in small letters.
        return np.array(
            [None if value is None else str(value) for value in column.to_pylist()], dtype=object
        )
    return np.array(column.to_pylist(), dtype=object)


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """Return numbers as float64, NaN for null."""
    column = column.cast(pa.float64(), safe=False)
    return pc.fill_null(column, np.nan).to_numpy().astype(np.float64)


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Return durations or times of day in seconds, NaN for null."""
    unit = column.type.unit
    width = pa.int32() if pa.types.is_time32(column.type) else pa.int64()
    return _floats(column.cast(width)) / {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]


def _whole_numbers(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """Return decimal numbers without a fraction as strings of whole numbers."""
    keys = []
    for value in column.to_pylist():
        if value is None or value != value:
            keys.append(None)
        elif abs(value) == float("inf") or value != int(value):
            raise CommandError(
                f"{where} holds decimal numbers such as {value}, a measurement and not a class;"
                " expected classes: words or whole numbers"
            )
        else:
            keys.append(str(int(value)))
    return np.array(keys, dtype=object)


def added_arrays(labels: pa.ChunkedArray, added: Added) -> tuple:
    """Return the three columns to add, the corrected label in the type of the labels."""
    nothing = np.isnan(added.quality)
    quality = pa.array(added.quality, type=pa.float64(), mask=nothing)
    rows = pa.array(added.corrected, type=pa.int64(), mask=added.corrected < 0)
    if pa.types.is_dictionary(labels.type):
        labels = labels.unify_dictionaries()
    corrected = labels.combine_chunks().take(rows)
    return quality, pa.array(added.flagged, type=pa.bool_()), corrected


def _pandas_metadata(schema: pa.Schema) -> dict:
    """Return what pandas noted about a frame, {} if nothing."""
    try:
        found = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _without_pandas_columns(arrow: pa.Table, removed: list[str]) -> pa.Table:
    """Take columns that are gone out of what pandas noted."""
    pandas = _pandas_metadata(arrow.schema)
    if not removed or not isinstance(pandas.get("columns"), list):
        return arrow
    pandas["columns"] = [
        column
        for column in pandas["columns"]
        if not (isinstance(column, dict) and column.get("name") in removed)
    ]
    metadata = {**arrow.schema.metadata, b"pandas": json.dumps(pandas).encode()}
    return arrow.replace_schema_metadata(metadata)


def write_parquet(path: str, arrow: pa.Table) -> None:
    """Write an Arrow table to a file."""

    def write(temporary: Path) -> None:
        try:
            pq.write_table(arrow, temporary)
        except pa.ArrowException as error:
            raise OSError(reason(error)) from error

    replace_file(path, write)
