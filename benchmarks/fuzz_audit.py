"""Fuzz `skrobust audit`, `verify` and `apply`: no generated input may end in a traceback.

Each case is a file of random bytes, a table of odd cells, or such a table with bytes changed, with
random options; `apply` gets decisions about the labels of the table, some of them damaged. The
command must end with status 0, its files written, the tables with every row of the input, or with
status 2, one line on stderr and no file. Most cases use a small tree as the detector's model; one
in ten uses a model of the command line.

    python benchmarks/fuzz_audit.py [--seconds 300] [--seed 0] [--keep FOLDER]
"""

import argparse
import contextlib
import dataclasses
import gzip
import io
import json
import random
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

NAMES = [
    *(
        "x",
        "y",
        "label",
        "label ",
        "Label",
        "id",
        "customer_id",
        "",
        "",
        " ",
        "a,b",
        'q"q',
        "é",
        "日付",
    ),
    *("label_quality", "is_flagged", "corrected_label", "suggested_label_2", "verified_label"),
    *(
        "checked",
        "price",
        "column 2",
        "Unnamed: 0",
        "date",
        "x" * 300,
        "line\nbreak",
        "-",
        "--drop",
    ),
]
WORDS = [
    *(
        "a",
        "b",
        "yes",
        "no",
        "Yes",
        "yes ",
        "NA",
        "None",
        "nan",
        "null",
        "",
        "",
        " ",
        "-",
        "?",
        "1",
    ),
    *(
        "0",
        "-1",
        "1.0",
        "01",
        "True",
        "False",
        "unknown",
        "é",
        "ß",
        "日本",
        "Total",
        "a\nb",
        "a\rb",
    ),
    *('"', '""', "'", ",", ";", "\t", "|", "\\N", "#DIV/0!", "=1+1", "\x1b[31m", "\x7f", "x" * 500),
    *("\u202e", "\u200b", "\ufeff", "\u2028", "\x0c", "\x85", "inf", "-inf", "1e999", "1e-999"),
]
NUMBERS = [
    *("{:.2f}", "${:,.2f}", "{:.0f}", "{:.1f}kg", "{:.1f} g", "{:.0f}%", "€{:.2f}", "({:.2f})"),
    *("{:e}", "{:,.3f}", "{:.3f} m", "<{:.1f}", "−{:.1f}", "{:.0f}k", "{:.0f}M", "{:.0f}°C"),
    *("{:.1f}°F", "'{:.0f}", "{:.30f}", "{:.0f}:{:02.0f}", "{:012.0f}", "1{:.0f}e{:.0f}"),
    *("{:.0f}st", "{:.1f} µm"),
]
DATES = [
    "2024-01-{:02d}",
    "{:02d}/03/2024",
    "03/{:02d}/2024",
    "{:02d}.12.1899",
    "2024-01-{:02d}T25:61",
]
SEPARATORS = [",", ",", ",", ";", ";", "\t", "\t", "|", "|"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "utf-32", "shift_jis"]
TOPS = [
    "",
    "",
    "",
    "sep=;\n",
    "sep=,\r\n",
    "A title\n",
    "A title,,\n\n",
    "\n\n",
    "#comment\n",
    "\ufeff",
]


def make_cells(rng: random.Random, n_rows: int) -> list[str]:
    """Make a column of one kind of cells, with cells of other kinds among them."""
    kind = rng.choice(["words", "number", "number", "date", "codes", "constant", "any", "labels"])
    form, other = rng.choice(NUMBERS), rng.choice(NUMBERS)
    words = rng.sample(WORDS, rng.randint(1, 6))
    date = rng.choice(DATES)

    def cell() -> str:
        value = rng.choice([rng.uniform(0, 1), rng.uniform(-1e3, 1e3), rng.uniform(0, 1e7)])
        if kind == "number":
            return (form if rng.random() < 0.9 else other).format(value, abs(value) % 60)
        if kind == "date":
            return date.format(rng.randint(1, 31))
        if kind == "codes":
            return f"{rng.getrandbits(40):x}"
        if kind == "constant":
            return words[0]
        if kind == "any":
            return "".join(chr(rng.choice([rng.randint(1, 126), rng.randint(160, 0x2FFF)]))
                           for _ in range(rng.randint(0, 8)))  # fmt: skip
        return rng.choice(words if kind == "words" else ["a", "b", "c"])

    odd = rng.choice([0, 0, 0.02, 0.2])
    return [rng.choice(WORDS) if rng.random() < odd else cell() for _ in range(n_rows)]


def make_table(rng: random.Random) -> dict[str, list]:
    """Make a table of odd columns, mostly with a column that is called "label"."""
    n_rows = rng.choice([*[0, 2, 5], *[20] * 6, *[40] * 6, *[60] * 3])
    names = rng.sample(NAMES, rng.randint(1, 7))
    if rng.random() < 0.95:
        names = [name for name in names if name != "label"]
    columns = [(name, make_cells(rng, n_rows)) for name in names]
    if rng.random() < 0.97:
        labels = rng.choice([["a", "b"], ["0", "1", "-1"], ["1", "2", "N"], ["yes", "no", "NA", ""],
                             ["True", "False", "unknown"], rng.sample(WORDS, 4)])  # fmt: skip
        columns.insert(rng.randint(0, len(columns)), ("label", rng.choices(labels, k=n_rows)))
    return columns


def as_text(rng: random.Random, columns: list) -> bytes:
    """Write a table as text, mostly with the quotes that it needs."""
    sep = rng.choice(SEPARATORS)
    careless = rng.random() < 0.1

    def quoted(cell: str) -> str:
        special = any(char in cell for char in f'{sep}"\n\r')
        if (special and not careless) or rng.random() < 0.02:
            return '"' + cell.replace('"', '""') + '"'
        return cell

    rows = [[name for name, _ in columns], *zip(*(cells for _, cells in columns))]
    newline = rng.choice(["\n", "\n", "\r\n", "\r"])
    tail = rng.choice(["", "", "", sep, newline])
    text = newline.join(sep.join(map(quoted, row)) + tail for row in rows) + newline
    encoding = rng.choice(ENCODINGS) if rng.random() < 0.15 else "utf-8"
    return (rng.choice(TOPS) + text).encode(encoding, "replace")


def as_parquet(rng: random.Random, columns: list) -> bytes:
    """Write a table as Parquet, columns of several types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    n_rows = len(columns[0][1])
    kinds = [
        *(pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.date32(), pa.null()),
        *(pa.timestamp("ns", tz="UTC"), pa.duration("s"), pa.time64("us"), pa.decimal128(12, 3)),
        *(pa.binary(), pa.binary(2), pa.list_(pa.int8()), pa.struct({"a": pa.int8()})),
        *(
            pa.dictionary(pa.int8(), pa.string()),
            pa.large_string(),
            pa.map_(pa.string(), pa.int8()),
        ),
    ]
    arrays = []
    for name, cells in columns:
        is_other = rng.random() < (0.2 if name == "label" else 0.6)
        kind = rng.choice(kinds) if is_other else pa.string()
        values = [_value(rng, kind, cell) if rng.random() < 0.95 else None for cell in cells]
        arrays.append(pa.array(values, type=kind))
    table = pa.Table.from_arrays(arrays, names=[name for name, _ in columns])
    if rng.random() < 0.3:
        table = table.replace_schema_metadata({"pandas": rng.choice(["{}", "[", '{"columns": 3}'])})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=rng.choice([7, max(1, n_rows)]))
    return sink.getvalue()


def _value(rng: random.Random, kind, cell: str):
    """Make a value of an Arrow type."""
    import pyarrow as pa

    number = rng.randint(0, 100)
    if pa.types.is_integer(kind):
        return number
    if pa.types.is_floating(kind):
        return rng.choice([float(number), number / 7, float("nan"), float("inf"), 1e300])
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    if pa.types.is_decimal(kind):
        return number
    if pa.types.is_null(kind):
        return None
    if pa.types.is_temporal(kind):
        return number
    if pa.types.is_fixed_size_binary(kind):
        return b"\xff" + bytes([number])
    if pa.types.is_binary(kind):
        return cell.encode() if rng.random() < 0.9 else b"\xff"
    if pa.types.is_list(kind):
        return [number]
    if pa.types.is_struct(kind):
        return {"a": number}
    if pa.types.is_map(kind):
        return [(cell, number)]
    return cell


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    """Delete, double, swap or overwrite some bytes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        if not data:
            break
        start = rng.randrange(len(data))
        stop = min(len(data), start + rng.choice([1, 1, 2, 10, 100]))
        action = rng.choice(["delete", "double", "overwrite", "truncate"])
        if action == "delete":
            del data[start:stop]
        elif action == "double":
            data[start:start] = data[start:stop]
        elif action == "overwrite":
            data[start:stop] = rng.randbytes(stop - start)
        else:
            del data[stop:]
    return bytes(data)


@dataclasses.dataclass(frozen=True)
class Case:
    """A call of the command: the table, its options, and the files that it shall write."""

    command: str
    name: str
    content: bytes
    options: list[str]
    out: str | None = None
    report: str | None = None
    corrections: bytes | None = None

    @property
    def is_json(self) -> bool:
        """Whether the findings are printed as JSON."""
        return "--json" in self.options


SPELLING = {
    "--missing-label": ["-1", "?", "1", "x", ""],
    "--sep": [",", ";", "tab", "ab", ""],
    "--encoding": [*ENCODINGS, "nowhere", "base64", "idna", "punycode", "utf-7"],
    "--skip-lines": ["0", "1", "3", "999"],
}
READING = {
    **SPELLING,
    "--decimal": [".", ",", "comma"],
    "--thousands": [".", ",", "'", " "],
    "--random-state": ["0", "1", "-1", "x"],
    "--n-jobs": ["1", "0", "x"],
}
SHARES = [*[".1", ".5", ".9"] * 4, "1e-9", "1e-999", "0", "1", "2", "nan", "x", ""]
FLAGGING = {"--precision": SHARES, "--flag-fraction": SHARES, "--threshold": SHARES}
ROLES = ("--drop", "--keep", "--as-number", "--as-text", "--as-category", "--verified")


def make_options(rng: random.Random, command: str, columns: list) -> list[str]:
    """Choose options of a command, some of them wrong."""
    chosen = []

    def choose(values: dict, share: float) -> None:
        for option, some in values.items():
            if rng.random() < share:
                chosen.append(f"{option}={rng.choice(some)}")

    choose(SPELLING if command == "apply" else READING, 0.03)
    if command == "apply":
        choose({"--on-conflict": [*["raise", "last", "majority"] * 3, "first"]}, 0.3)
        choose({"--label": ["label", "nowhere"]}, 0.1)
    else:
        names = [name for name, _ in columns] * 5 + ["label", "nowhere"]
        choose(dict.fromkeys(ROLES, names), 0.05)
    if command == "audit":
        choose(FLAGGING, 0.12)
        choose({"--top": ["0", "3", "100000"]}, 0.03)
    if command == "verify":
        choose({"--rows": ["0", "1", "5", "30", "100000", "-1"]}, 0.3)
    for flag, share in (("--keep-na", 0.15), ("--json", 0.3), ("--keep-labels", 0.3)):
        if rng.random() < share and (command == "apply" or flag != "--keep-labels"):
            chosen.append(flag)
    return chosen


def make_case(rng: random.Random) -> Case:
    """Make a case."""
    columns = make_table(rng)
    kind = rng.choice(["text"] * 7 + ["parquet"] * 3 + ["bytes"])
    if kind == "bytes":
        content = rng.randbytes(rng.randint(0, 300))
        suffix = rng.choice([".csv", ".parquet", ".csv.gz"])
    elif kind == "parquet":
        content, suffix = as_parquet(rng, columns), ".parquet"
    else:
        content = as_text(rng, columns)
        suffix = rng.choice([".csv", ".csv", ".tsv", ".txt", ".csv.gz"])
        if rng.random() < 0.3:
            content = change_bytes(rng, content)
        if suffix.endswith(".gz"):
            content = gzip.compress(content, mtime=0)
    if kind != "text" and rng.random() < 0.2:
        content = change_bytes(rng, content)
    out = suffix if rng.random() < 0.7 else rng.choice([".csv", ".tsv", ".parquet", ".csv.gz"])
    command = rng.choice(["audit"] * 6 + ["apply"] * 3 + ["verify"])
    return Case(
        command,
        f"table{suffix}",
        content,
        make_options(rng, command, columns),
        f"out{out}" if command == "apply" or (command == "audit" and rng.random() < 0.9) else None,
        "page.html" if command == "audit" and rng.random() < 0.3 else None,
        make_corrections(rng, columns) if command == "apply" else None,
    )


def make_corrections(rng: random.Random, columns: list) -> bytes:
    """Decide on some labels of a table, and damage some of the files of decisions."""
    from skrobust._cli._labels import Spelling
    from skrobust.inspection._correction_file import write_corrections
    from skrobust.inspection._fingerprint import encode_text, fingerprint

    labels = dict(columns).get("label", ["a", "b"])
    is_missing = Spelling().is_missing
    words = np.array([None if is_missing(word) else word for word in labels], dtype=object)
    try:
        codes, _, texts = encode_text(words)
    except (ValueError, TypeError):  # no label at all
        codes, texts = np.zeros(len(words), dtype=int), ["a"]
    rows = []
    for _ in range(rng.randint(0, 12)):
        row = rng.randrange(len(words)) if len(words) and rng.random() < 0.98 else 10**6
        given = (words[row] if row < len(words) else "a") or ""
        others = [text for text in texts if text != given]
        decision = rng.choice(["right", "wrong", "unclear"] if others else ["right", "unclear"])
        rows.append(
            {
                "fingerprint": fingerprint(codes, texts),
                "n_rows": len(words),
                "row": row,
                "row_id": rng.choice(WORDS) if rng.random() < 0.02 else "",
                "given_label": given,
                "decision": decision,
                "new_label": rng.choice(others) if decision == "wrong" else "",
                "source": rng.choice(["flagged", "audit", "unflagged"]),
                "sampled_from": rng.choice(["", "20"]),
                "reviewer": rng.choice(["", "ann", "bob", "\x1b[31m"]),
                "time": f"2026-01-05T10:{rng.randint(0, 59):02d}:00Z",
            }
        )
    content = write_corrections(rows).encode()
    return change_bytes(rng, content) if rng.random() < 0.2 else content


def small_detector(*, n_jobs=None, random_state=0):
    """Make a detector with a small tree as its model."""
    from sklearn.tree import DecisionTreeClassifier

    from skrobust.detection import ConfidentLearning

    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    return ConfidentLearning(
        tree, cv=2, max_flag_rate=None, n_jobs=n_jobs, random_state=random_state
    )


def run_case(folder: Path, case: Case, *, estimator: str | None = None) -> tuple[str, str]:
    """Run the command on a case in this process.

    Parameters
    ----------
    folder : Path
        Where to put files.
    case : Case
        The case.
    estimator : str, default=None
        Value of ``--estimator``; None fits a small tree.

    Returns
    -------
    kind : {"written", "refused", "FAILED"}
        How it ended; "written" as well where the findings were only printed.
    why : str
        The message, or what is wrong.
    """
    from skrobust._cli import _audit, main

    table, corrections = folder / case.name, folder / "corrections.csv"
    table.write_bytes(case.content)
    arguments, files = [case.command, str(table)], {}
    if case.corrections is not None:
        corrections.write_bytes(case.corrections)
        arguments.append(str(corrections))
    else:
        arguments += ["--label", "label", "--estimator", estimator or "forest"]
    for option, name in (("--out", case.out), ("--report", case.report)):
        if name is not None:
            files[option] = folder / name
            files[option].unlink(missing_ok=True)
            arguments += [option, str(files[option])]
    make_detector = _audit.make_detector
    printed, errors = io.StringIO(), io.StringIO()

    def with_small_tree(kind, columns=(), **settings):
        return small_detector(**settings), make_detector(kind, columns, **settings)[1]

    _audit.make_detector = with_small_tree if estimator is None else make_detector
    try:
        with (
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(errors),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error")
            status = main([*arguments, *case.options])
    except BaseException:
        return "FAILED", traceback.format_exc()
    finally:
        _audit.make_detector = make_detector
    return _outcome(case, status, printed.getvalue(), errors.getvalue(), files)


def _outcome(case: Case, status: int, printed: str, errors: str, files: dict) -> tuple[str, str]:
    """Check what a run printed and what it left behind."""
    if "\x1b" in printed or "\x00" in printed:
        return "FAILED", "control characters were printed"
    left = [option for option, path in files.items() if path.exists()]
    if status == 2:
        if errors.count("\n") != 1 or not errors.startswith("skrobust: error: "):
            return "FAILED", f"an error that is not one line: {errors!r}"
        if left:
            return "FAILED", f"{left[0]} was written in spite of an error: {errors!r}"
        return "refused", errors
    if status != 0 or errors:
        return "FAILED", f"status {status}, {errors!r}"
    if len(left) < len(files):
        return "FAILED", f"{files.keys() - left} not written"
    if case.is_json:
        found = json.loads(printed, parse_constant=_refuse_constant)
        n_rows = found.get("n_rows")
    elif " rows, " in printed:
        n_rows = int(printed.split(" rows, ")[0].rpartition(" ")[2])
    else:
        return "FAILED", f"the number of rows was not printed: {printed!r}"
    if "--report" in files and not files["--report"].read_text().rstrip().endswith("</html>"):
        return "FAILED", "the page has no end"
    if "--out" in files and n_rows is not None:
        n_written = _count_rows(files["--out"], case)
        if n_written != n_rows:
            return "FAILED", f"{n_written} rows of {n_rows} written"
    return "written", ""


def _refuse_constant(name: str) -> None:
    """Refuse NaN and infinities, which JSON does not have."""
    raise ValueError(f"{name} is no JSON")


def _count_rows(path: Path, case: Case) -> int:
    """Count the rows of an output."""
    import pyarrow.parquet as pq

    from skrobust._cli._source import Source
    from skrobust._cli._table import TextTable

    if path.suffix == ".parquet":
        return pq.read_table(path).num_rows
    # The column of labels that `apply` found has any name.
    added = ("label_quality", "label_quality_2", "label_quality_3")
    for encoding in (None, *ENCODINGS):
        with contextlib.suppress(Exception):
            for name in (None,) if case.command == "apply" else added:
                source = Source(path, encoding=encoding, label=name)
                if name is None or name in source.names:
                    return TextTable(source).n_rows
    return -1


def fuzz(seed, *, seconds=float("inf"), cases=None, keep=None, real_every=10) -> dict:
    """Run cases until the time or their number is over, and return how many ended how."""
    estimators = ("forest", "ensemble", "logistic", "boosting")
    counts = {"cases": 0, "written": 0, "refused": 0, "FAILED": 0}
    failures = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - started < seconds and counts["cases"] != cases:
            number = counts["cases"]
            case = make_case(random.Random(f"{seed} {number}"))
            turn, rest = divmod(number, real_every) if real_every else (0, 1)
            estimator = None if rest else estimators[turn % len(estimators)]
            kind, why = run_case(Path(folder), case, estimator=estimator)
            counts["cases"] += 1
            counts[kind] += 1
            name = f"{case.command} {kind}"
            counts[name] = counts.get(name, 0) + 1
            if kind == "FAILED":
                failures.append((number, case, why))
                if keep is not None:
                    (Path(keep) / f"{seed}-{number}-{case.name}").write_bytes(case.content)
    return {**counts, "failures": failures}


def main() -> int:
    """Fuzz for some minutes and record how it went."""
    from _common import environment, write_results

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", help="folder for the files of the cases that failed")
    options = parser.parse_args()
    found = fuzz(options.seed, seconds=options.seconds, keep=options.keep)
    for number, case, why in found.pop("failures"):
        print(f"case {number}: {case.command} {case.name} {case.options}\n{why}\n")
    failed = found.pop("FAILED")
    row = {"seed": options.seed, "seconds": options.seconds, **found, "failed": failed}
    if options.seconds >= 300:
        write_results("fuzz_audit", [row], environment())
    else:
        print(row)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
