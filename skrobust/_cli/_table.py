"""Tables in files: read them without losing a character, write them whole or not at all."""

from __future__ import annotations

import codecs
import contextlib
import csv
import dataclasses
import gzip
import io
import os
import secrets
import sys
import warnings
import zlib
from pathlib import Path

import pandas as pd

from skrobust._cli._common import CommandError, one_line, require

TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


@dataclasses.dataclass
class Table:
    """A table as read.

    Attributes
    ----------
    path : Path
        Where it came from.
    typed : DataFrame
        Its values with their types, in pandas' nullable types: whole numbers stay whole numbers
        in a column with gaps.
    raw : DataFrame or None
        Its cells as the strings they are in a text file, None for Parquet. What goes out again
        is this, so that "007" or "1.50" come back as they were.
    encoding : str or None
        Encoding of a text file.
    sep : str or None
        Separator of a text file.
    """

    path: Path
    typed: pd.DataFrame
    raw: pd.DataFrame | None = None
    encoding: str | None = None
    sep: str | None = None


def _suffix(path, name):
    lower = path.name.lower()
    for suffix in (*TEXT_SUFFIXES, *PARQUET_SUFFIXES):
        if lower.endswith(suffix):
            return suffix
    expected = ", ".join((*TEXT_SUFFIXES, *PARQUET_SUFFIXES))
    raise CommandError(
        f"{name} {str(path)!r} has an unsupported suffix; expected one of {expected}"
    )


def _reason(error):
    return getattr(error, "strerror", None) or str(error)


def read_table(path, *, encoding=None, sep=None):
    """Read a CSV or Parquet file, or raise a CommandError that says what is wrong with it."""
    path = Path(path)
    suffix = _suffix(path, "table")
    if not path.exists():
        raise CommandError(f"there is no file {str(path)!r}")
    if not path.is_file():
        raise CommandError(f"{str(path)!r} is not a file")
    if suffix in PARQUET_SUFFIXES:
        for name, value in (("--encoding", encoding), ("--sep", sep)):
            if value is not None:
                raise CommandError(f"{name} {value!r} is for text files, not for Parquet")
        return _read_parquet(path)
    sep = _check_separator(sep)
    encoding = _check_encoding(encoding)
    try:
        content = path.read_bytes()
        if suffix.endswith(".gz"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise CommandError(f"cannot read {str(path)!r}: {_reason(error)}") from error
    return _read_text(path, _decode(path, content, encoding), encoding, sep, suffix)


def _check_separator(sep):
    if sep is None:
        return None
    known = SEPARATORS.get(sep, sep)
    if len(known) != 1 or known in '"\r\n\0':
        raise CommandError(
            f"--sep {sep!r} is not a separator; expected one character, such as ',' or ';', or tab"
        )
    return known


def _check_encoding(encoding):
    if encoding is None:
        return "utf-8"
    try:
        codecs.lookup(encoding)
        "a".encode(encoding).decode(encoding)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise CommandError(
            f"--encoding {encoding!r} is not known; expected for example utf-8, cp1252 or utf-16"
        ) from error
    return encoding


def _decode(path, content, encoding):
    try:
        text = content.decode(encoding)
    except UnicodeError as error:
        where = f" at byte {error.start + 1}" if isinstance(error, UnicodeDecodeError) else ""
        utf16 = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        guess = "utf-16" if utf16 else "cp1252" if encoding != "cp1252" else "latin-1"
        raise CommandError(
            f"{str(path)!r} cannot be decoded as {encoding}{where}; name its encoding, for example"
            f" --encoding {guess}"
        ) from error
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise CommandError(
            f"{str(path)!r} is not a text table: it holds null characters when read as {encoding}"
        )
    return text


def _read_text(path, text, encoding, sep, suffix):
    if not text.strip():
        raise CommandError(f"{str(path)!r} is empty")
    if sep is None:
        sep = _find_separator(text, suffix)
    # A cell may be longer than the csv module's default limit.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        header = next(
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sep) if row
        )
    except csv.Error as error:
        raise CommandError(f"cannot read the header of {str(path)!r}: {error}") from error
    for number, name in enumerate(header):
        if name in header[:number]:
            raise CommandError(f"{str(path)!r} has two columns named {name!r}; rename one of them")
    settings = {"sep": sep, "index_col": False, "names": header, "header": 0}
    try:
        with warnings.catch_warnings():
            # pandas only warns where rows have more cells than the header, and cuts them off.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            raw = pd.read_csv(
                io.StringIO(text, newline=""),
                dtype=object,
                keep_default_na=False,
                na_filter=False,
                **settings,
            )
            typed = pd.read_csv(
                io.StringIO(text, newline=""),
                dtype_backend="numpy_nullable",
                low_memory=False,
                **settings,
            )
    except pd.errors.ParserWarning as error:
        raise CommandError(
            f"cannot read {str(path)!r}: some rows have more than the {len(header)} cells of the"
            " header; is another --sep needed?"
        ) from error
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise CommandError(
            f"cannot read {str(path)!r} as a table separated by {sep!r}: {error}"
        ) from error
    # Short rows are padded with NaN even so.
    raw = raw.where(raw.notna(), "")
    return _check_rows(Table(path, typed, raw, encoding, sep))


def _find_separator(text, suffix):
    """Choose the separator that splits the header most; quotes are not looked into."""
    header = text.lstrip("\r\n").splitlines()[0]
    candidates = ("\t", ",", ";", "|") if suffix.startswith(".tsv") else (",", ";", "\t", "|")
    return max(candidates, key=header.count)


def _read_parquet(path):
    require_parquet()
    try:
        typed = pd.read_parquet(path, dtype_backend="numpy_nullable")
    except Exception as error:  # the library raises many kinds for a damaged file
        raise CommandError(f"cannot read {str(path)!r} as Parquet: {_reason(error)}") from error
    if not isinstance(typed.index, pd.RangeIndex):
        typed = typed.reset_index()
    typed.columns = [str(name) for name in typed.columns]
    if not typed.columns.is_unique:
        name = typed.columns[typed.columns.duplicated()][0]
        raise CommandError(f"{str(path)!r} has two columns named {name!r}; rename one of them")
    return _check_rows(Table(path, typed))


def require_parquet():
    """Raise unless Parquet files can be read and written."""
    try:
        require("pyarrow")
    except CommandError as error:
        raise CommandError("Parquet files need pyarrow: pip install pyarrow") from error


def _check_rows(table):
    if not len(table.typed):
        raise CommandError(f"{str(table.path)!r} has a header but no rows")
    return table


def check_out(path, source):
    """Check, before any work, that the result can be written."""
    path = Path(path)
    if _suffix(path, "--out") in PARQUET_SUFFIXES:
        require_parquet()
    folder = path.parent
    if not folder.is_dir():
        raise CommandError(f"the folder {str(folder)!r} of --out does not exist")
    if path.is_dir():
        raise CommandError(f"--out {str(path)!r} is a folder; expected a file")
    if path.resolve() == Path(source).resolve() or (
        path.exists() and Path(source).exists() and path.samefile(source)
    ):
        raise CommandError(f"--out {str(path)!r} is the table itself; choose another file")
    if not os.access(path.resolve().parent, os.W_OK):
        raise CommandError(f"the folder {str(folder)!r} of --out cannot be written to")


def free_names(columns, names):
    """Return `names`, with one suffix for all where any is taken."""
    suffix, number = "", 1
    while any(name + suffix in columns for name in names):
        number += 1
        suffix = f"_{number}"
    return [name + suffix for name in names]


def write_table(path, table, added):
    """Write the table with columns added, replacing the file at once when all is written.

    Parameters
    ----------
    path : str or Path
        The file; its suffix says of what kind.

    table : Table
        What was read.

    added : dict of str to pandas array
        The columns to add.
    """
    # A link stays a link: its target is what is replaced.
    path = Path(path).resolve()
    suffix = _suffix(path, "--out")
    parquet = suffix in PARQUET_SUFFIXES
    frame = table.typed if parquet or table.raw is None else table.raw
    extra = pd.DataFrame(added, index=frame.index)
    frame = pd.concat([frame, extra], axis=1)

    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        if parquet:
            frame.to_parquet(temporary, index=False)
        else:
            sep = "\t" if suffix.startswith(".tsv") else table.sep or ","
            text = frame.to_csv(index=False, sep=sep, lineterminator="\n")
            encoding = table.encoding or "utf-8"
            content = text.encode(encoding)
            temporary.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
        temporary.replace(path)
    except (OSError, UnicodeError, ValueError, TypeError) as error:
        raise CommandError(f"cannot write {one_line(path, 200)!r}: {_reason(error)}") from error
    except ImportError as error:
        raise CommandError(f"cannot write {one_line(path, 200)!r}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
