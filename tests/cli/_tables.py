"""Small tables for the tests of the command line, and ways to read them without a fit."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd

from skrobust._cli import main
from skrobust._cli._audit import read_input
from skrobust._cli._main import make_parser


def small_table(n_rows=60, seed=0):
    """A table with an easy label: the sign of x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n_rows)
    x += np.sign(x)
    label = np.where(x > 0, "yes", "no").astype(object)
    return pd.DataFrame({"x": x.round(4), "z": rng.normal(size=n_rows).round(4), "label": label})


def write_columns(path, columns, sep=","):
    """Write columns of strings as a CSV file."""
    pd.DataFrame(columns, dtype=object).to_csv(path, index=False, sep=sep)
    return path


def audit(path, *arguments, label="label"):
    """Run the command and return its status."""
    return main(["audit", str(path), "--label", label, *map(str, arguments)])


def read(path, *arguments, label="label"):
    """Read a table as the command does, without a fit."""
    options = make_parser().parse_args(["audit", str(path), "--label", label, *map(str, arguments)])
    return read_input(options)


def read_cells(tmp_path, cells, *arguments, name="x", **columns):
    """Write a column of cells beside labels and return how it was read, and all notes."""
    n_rows = len(cells)
    labels = [("yes", "no")[number % 2] for number in range(n_rows)]
    other = [f"{number * 7 % 10}.5" for number in range(n_rows)]
    path = tmp_path / "cells.csv"
    table = {name: cells, **columns, "other": other, "label": labels}
    write_columns(path, table)
    found = read(path, *arguments)
    return next(column for column in found.reading.columns if column.name == name), found.notes


def roles(found):
    """Return the role of each column of a table that was read."""
    return {column.name: column.role for column in found.reading.columns}


def values(found, name):
    """Return the feature of a column."""
    return next(column.values for column in found.reading.columns if column.name == name)


def strings(path, sep=","):
    """Read a CSV file back without any interpretation."""
    content = path.read_bytes()
    if path.name.endswith(".gz"):
        content = gzip.decompress(content)
    path = path.with_name("strings.csv")
    path.write_bytes(content)
    return pd.read_csv(path, dtype=str, keep_default_na=False, sep=sep)


def pandas_metadata(arrow):
    """Return what pandas noted in the schema of an Arrow table."""
    return json.loads(arrow.schema.metadata[b"pandas"])


def quick_fit(options, found):
    """Stand in for the fit: every seventh row is flagged, and gets the label of the row before."""
    rows = np.delete(np.arange(found.table.n_rows), found.labels.total_rows)
    given = found.labels.spelled(found.labels.codes[rows])
    known = np.array([word is not None for word in given])
    flagged = known & (np.arange(len(rows)) % 7 == 6)
    filled = np.where(known, given, found.labels.classes[0])
    suggested = np.where(flagged, np.roll(filled, 1), filled)
    detector = SimpleNamespace(
        label_quality_=np.where(flagged, 0.25, 0.75),
        label_errors_=flagged,
        suggested_labels_=suggested,
        corrected_labels_=suggested,
        noise_rate_=flagged.mean(),
        noise_rate_interval_=(0.0, 0.5),
        reliability_="limited",
        reliability_reason_="nothing was fitted",
        suggest_verification=lambda n_rows, random_state=None: np.arange(min(n_rows, len(flagged))),
    )
    return detector, rows, []
