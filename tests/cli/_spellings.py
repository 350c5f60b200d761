"""One table in the many ways of writing it."""

import dataclasses
import gzip

import numpy as np
import pandas as pd
from hypothesis import strategies as st

N_ROWS = 48
MISSING = {"price": (3, 17, 30), "weight": (5, 31), "visits": (7,), "city": (11, 12)}


def plain_values(n_rows=N_ROWS, seed=0):
    """The values that are behind every spelling, missing ones as NaN or None."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n_rows)
    table = {
        "price": (np.exp(rng.normal(7, 1.5, n_rows)) * (1 + label)).round(2),
        "balance": rng.normal(0, 2500, n_rows).round(2),
        "weight": (rng.normal(40, 10, n_rows) + 20 * label).round(3),
        "visits": rng.integers(0, 90_000, n_rows).astype(float),
        "share": rng.uniform(0, 100, n_rows).round(1),
        "city": rng.choice(["Lyon", "Bern", "Łódź", "Málaga"], n_rows).astype(object),
        "seen": pd.date_range("2023-11-20", periods=n_rows, freq="D").to_numpy(),
    }
    for name, rows in MISSING.items():
        for row in rows:
            if row < n_rows:
                table[name][row] = None if name == "city" else np.nan
    table["label"] = np.array(["paid", "open"], dtype=object)[label]
    return table


@dataclasses.dataclass(frozen=True)
class Spelling:
    """How a table is written."""

    kind: str = "csv"
    sep: str = ","
    decimal: str = "."
    thousands: str = ""
    currency: str = "{}"
    unit: str = "{}"
    percent: str = "{}"
    minus: str = "-{}"
    missing: str = ""
    encoding: str = "utf-8"
    newline: str = "\n"
    top: str = ""


@st.composite
def spellings(draw):
    """Strategy: spellings that mean the same table."""
    decimal = draw(st.sampled_from([".", ","]))
    marks = [
        mark
        for mark in ("", ",", ".", " ", "\u2009", "\u202f", "\u00a0", "'", "’")
        if mark != decimal
    ]
    kind = draw(st.sampled_from(["csv", "csv.gz", "parquet"]))
    sep = draw(st.sampled_from([",", ";", "\t", "|"]))
    spelling = Spelling(
        kind=kind,
        sep=sep,
        decimal=decimal,
        thousands=draw(st.sampled_from(marks)),
        currency=draw(
            st.sampled_from(["{}", "${}", "€{}", "{} €", "{}€", "EUR {}", "{} USD", "£ {}"])
        ),
        unit=draw(st.sampled_from(["{}", "{}kg", "{} kg", "{}\u00a0kg", "{} KG"])),
        percent=draw(st.sampled_from(["{}", "{}%", "{} %"])),
        minus=draw(st.sampled_from(["-{}", "−{}", "({})", "{}-", "–{}"])),
        missing=draw(
            st.sampled_from(["", "NA", "n/a", "-", "?", "#DIV/0!", "null", "None", "NaN", "--"])
        ),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "iso8859-2"])),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
        top=draw(st.sampled_from(["", "sep", "Sales report 2024"])),
    )
    return spelling


def write_number(value, decimals, spelling, form="{}"):
    """Write a number."""
    if np.isnan(value):
        return spelling.missing
    text = f"{abs(value):,.{decimals}f}"
    whole, _, fraction = text.partition(".")
    text = whole.replace(",", spelling.thousands)
    if decimals:
        text += spelling.decimal + fraction
    text = form.format(text)
    return spelling.minus.format(text) if value < 0 else text


def write_spelled(folder, spelling, table):
    """Write the table and return the path, and the options that it needs."""
    forms = {
        "price": (2, spelling.currency),
        "balance": (2, "{}"),
        "weight": (3, spelling.unit),
        "visits": (0, "{}"),
        "share": (1, spelling.percent),
    }
    columns = {}
    for name, column in table.items():
        if name in forms:
            decimals, form = forms[name]
            columns[name] = [write_number(value, decimals, spelling, form) for value in column]
        elif name == "seen":
            columns[name] = [str(day)[:10] for day in column]
        else:
            columns[name] = [spelling.missing if cell is None else cell for cell in column]
    frame = pd.DataFrame(columns, dtype=object)
    path = folder / f"table.{spelling.kind}"
    if spelling.kind == "parquet":
        frame.astype("string").to_parquet(path)
        return path, []
    text = frame.to_csv(index=False, sep=spelling.sep, lineterminator=spelling.newline)
    if spelling.top == "sep":
        text = f"sep={spelling.sep}{spelling.newline}{text}"
    elif spelling.top:
        text = f"{spelling.top}{spelling.newline}{text}"
    options = []
    try:
        content = text.encode(spelling.encoding)
        if spelling.encoding == "iso8859-2":
            options = ["--encoding", "iso8859-2"]
    except UnicodeEncodeError:
        content = text.encode("utf-8")
    path.write_bytes(gzip.compress(content) if spelling.kind.endswith("gz") else content)
    return path, options
