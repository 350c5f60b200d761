"""Long runs in small cells: what is done stays done when a run is killed, and is not done again.

A run has a file `benchmarks/cache/<name>.jsonl` (not under version control) with one line for each
measurement: its coordinates, among them the method, and what was measured. A cell is what several
methods share, such as data and evidence; a cell whose methods are all there is skipped, and one
that lacks some runs those only.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

CACHE = Path(__file__).resolve().parent / "cache"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all benchmarks made of cells have."""
    parser.add_argument("--full", action="store_true", help="everything; hours")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time")
    parser.add_argument("--fresh", action="store_true", help="forget all earlier measurements")
    parser.add_argument(
        "--redo", nargs="+", default=(), metavar="PATTERN", help="forget those of some methods"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        default=("*",),
        metavar="PATTERN",
        help="run these methods only; all are summarised",
    )
    parser.add_argument("--summary", action="store_true", help="only summarise what is there")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="write to benchmarks/results although some methods or cells are not measured: each"
        " row says how many cells it is the mean of",
    )


def chosen(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Choose the names that match one of the patterns, such as ``cleanlab/*``."""
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]


class CellStore:
    """The measurements of a run, on disk line by line.

    Parameters
    ----------
    name : str
        Name of the run and of its file.
    fresh : bool, default=False
        Whether to start anew.
    redo : sequence of str, default=()
        Patterns of methods to measure anew.
    folder : path, default=None
        Where the file is, instead of ``benchmarks/cache``.
    """

    def __init__(self, name: str, *, overwrite=False, redo: Sequence[str] = (), folder=None):
        self.path = (CACHE if folder is None else Path(folder)) / f"{name}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lines: dict[str, dict] = {}
        if not overwrite and self.path.exists():
            for text in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    line = json.loads(text)
                except json.JSONDecodeError:  # incomplete, since the run was killed
                    continue
                if not chosen([line["cell"]["method"]], redo):
                    self.lines[_key(line["cell"])] = line
        # Written anew, without incomplete lines and those to be measured again.
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text("".join(map(_dump, self.lines.values())), encoding="utf-8")
        temporary.replace(self.path)

    def run(
        self,
        cells: Iterable[Mapping],
        methods: Callable[[Mapping], Sequence[str]],
        measure: Callable[[dict, list[str]], Mapping[str, Mapping]],
        *,
        jobs: int = 1,
    ) -> None:
        """Measure what is missing.

        Parameters
        ----------
        cells : iterable of dict
            Coordinates of the cells.
        methods : callable
            Takes a cell and returns the names of its methods.
        measure : callable
            Takes a cell and the methods that it lacks and returns what was measured by method.
            A method that is "missing" or has an "error" is tried again in the next run.
        jobs : int, default=1
            Processes.
        """
        todo = self.lacking(cells, methods)
        calls = (delayed(_measure)(measure, cell, lacking) for cell, lacking in todo)
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        for done, (cell, measured) in enumerate(parallel(calls), 1):
            with self.path.open("a", encoding="utf-8") as file:
                for method, values in measured.items():
                    where = " ".join(map(str, cell.values()))
                    if "missing" in values:
                        continue
                    if "error" in values:
                        print(f"{where} {method}: {values['error']}", file=sys.stderr, flush=True)
                        continue
                    line = {"cell": {**cell, "method": method}, "values": dict(values)}
                    self.lines[_key(line["cell"])] = line
                    file.write(_dump(line))
            print(f"[{done}/{len(todo)}] {' '.join(map(str, cell.values()))}", flush=True)

    def lacking(self, cells: Iterable[Mapping], methods) -> list[tuple[dict, list[str]]]:
        """Return the cells that lack some of their methods, each with those."""
        todo = []
        for cell in cells:
            lacking = [m for m in methods(cell) if _key({**cell, "method": m}) not in self.lines]
            if lacking:
                todo.append((dict(cell), lacking))
        return todo

    def records(self, cells: Iterable[Mapping]) -> list[dict]:
        """Return the measurements of these cells, coordinates and values in one dictionary."""
        wanted = {_key(cell) for cell in cells}
        return [
            {**line["cell"], **line["values"]}
            for line in self.lines.values()
            if _key({k: v for k, v in line["cell"].items() if k != "method"}) in wanted
        ]


def measured(
    name: str,
    cells: Sequence[Mapping],
    measure: Callable[[dict, list[str]], Mapping[str, Mapping]],
    methods: Iterable[str] | Callable[[Mapping], Iterable[str]],
    options: argparse.Namespace,
) -> tuple[pd.DataFrame, bool]:
    """Measure what is missing and asked for, unless only a summary is, and read all there is.

    Parameters
    ----------
    name : str
        Name of the run.
    cells : sequence of dict
        Coordinates of the cells.
    measure : callable
        See `CellStore.run`.
    methods : iterable of str, or callable
        Names of all methods; or takes a cell and returns those of its methods.
    options : Namespace
        What :func:`add_options` added, parsed.

    Returns
    -------
    frame : DataFrame
        A row for each measurement. Not empty: the program ends if nothing is measured.
    complete : bool
        Whether no cell lacks a method.
    """
    names = methods if callable(methods) else lambda cell: methods
    store = CellStore(name, overwrite=options.fresh, redo=options.redo)
    if not options.summary:
        store.run(
            cells,
            lambda cell: chosen(names(cell), options.methods),
            measure,
            jobs=options.jobs,
        )
    known = {what for cell in cells for what in names(cell)}
    records = [record for record in store.records(cells) if record["method"] in known]
    if not records:
        sys.exit("error: nothing measured yet")
    return pd.DataFrame(records), not store.lacking(cells, names)


def _measure(measure, cell, lacking):
    return cell, measure(cell, lacking)


def _key(cell: Mapping) -> str:
    return json.dumps(cell, sort_keys=True)


def _dump(line: Mapping) -> str:
    return json.dumps(line, default=lambda value: value.tolist()) + "\n"
