"""Who survives wrong labels? Planted noise on clean tables, and accuracy on clean test rows.

Each of the 15 tables, of 3 000 rows of which a third is for testing, gets symmetric noise of 20
and 40 %, pair noise of 30 %, and noise of 30 % that depends on the row; and none at all, which
tells what a method costs where nothing is wrong. Three classifiers (logistic regression on
standardised columns, histogram gradient boosting, a random forest) are trained plainly, by
cleanlab's CleanLearning, by every wrapper of this package, on exactly the right rows ("oracle"),
and on the true labels ("clean").

Reported: the share of the gap between plain and oracle that each method closes (sum of gains over
sum of gaps, cells with a gap of at least one point), its mean rank, how often it is ahead of
CleanLearning, and what it loses on clean labels.

    python benchmarks/robust_synthetic.py [--full] [--jobs 2] [--tables ...] [--methods ...]

Without --full: six tables, one seed, and with --keep results of a name of their own,
`robust_synthetic_wrappers`. Killed runs go on where they were; see `_cells.py`. Reads the tables
from the folder named by SKROBUST_DATA (default ../shared/data), `tabular_clean`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
import warnings
import zlib

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _robust_methods import BASELINES, DEFAULT, METHODS, Task, fit_method
from _tables import TABLES, load_table, plant, standardised_regression
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split

QUICK = ("satimage", "spambase", "segmentation", "page_blocks", "phoneme", "splice")
NOISES = (
    ("symmetric", 0.2),
    ("symmetric", 0.4),
    ("pair", 0.3),
    ("instance", 0.3),
    ("none", 0.0),
)
CLASSIFIERS = {
    "logistic": lambda seed: standardised_regression(),
    "boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
    "forest": lambda seed: RandomForestClassifier(random_state=seed),
}
LEAST_GAP = 0.01


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one cell; a method is `classifier:what`."""
    X, y = load_table(cell["table"])
    seed = cell["seed"]
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    if cell["kind"] == "none":
        y_noisy, wrong = y, np.zeros(len(y), dtype=bool)
    else:
        own_seed = zlib.crc32(f"{cell['table']} {seed}".encode()) % 2**31
        y_noisy, wrong = plant(X, y, cell["kind"], cell["rate"], own_seed)
    measured = {}
    for method in methods:
        classifier, _, what = method.partition(":")
        task = Task(X, y_noisy, y, wrong, classifier, CLASSIFIERS[classifier](seed), seed)
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = fit_method(what, task)
                if model is None:
                    measured[method] = {"missing": True}
                    continue
                accuracy = float(np.mean(model.predict(X_test) == y_test))
        except Exception as error:  # one method that fails must not end a run of hours
            measured[method] = {"error": f"{type(error).__name__}: {error}"}
            continue
        seconds = round(time.perf_counter() - started, 4)
        measured[method] = {"accuracy": accuracy, "wrong": float(wrong.mean()), "seconds": seconds}
    return measured


CELL = ["table", "kind", "rate", "seed", "classifier"]


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracies: cells in rows, methods in columns."""
    parts = frame["method"].str.partition(":")
    frame = frame.assign(classifier=parts[0], what=parts[2])
    return frame.pivot_table(index=CELL, columns="what", values="accuracy")


def closed(table: pd.DataFrame, what: str) -> float | None:
    """Share of the gap between plain and oracle that a method closes."""
    some = table[table[what].notna()]
    gap = some["oracle"] - some["plain"]
    counted = gap >= LEAST_GAP
    if not counted.any():
        return None
    return round(float((some[what] - some["plain"])[counted].sum() / gap[counted].sum()), 3)


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per method: what it gains, by classifier and noise, and what it costs."""
    table = wide(frame)
    kinds = table.index.get_level_values("kind")
    noisy, clean = table[kinds != "none"], table[kinds == "none"]
    bounds = ("oracle", "clean")
    ranked = noisy.drop(columns=[b for b in bounds if b in noisy])
    # Methods for one classifier only would make the ranks of the others depend on it.
    ranks = ranked.loc[:, ranked.notna().mean() > 0.99].rank(axis=1, ascending=False)
    rows = []
    for what in METHODS:
        if what not in table:
            continue
        some = noisy[noisy[what].notna()]
        row = {"method": what, "cells": len(some), "accuracy": _mean(some[what])}
        row["gap closed"] = closed(noisy, what)
        for name in CLASSIFIERS:
            row[name] = closed(noisy.xs(name, level="classifier"), what)
        for (kind, rate), group in noisy.groupby(level=["kind", "rate"], sort=False):
            row[f"{kind} {rate}"] = closed(group, what)
        row["rank"] = _mean(ranks[what], 2) if what in ranks else None
        row["ahead of cleanlab"] = ahead(some, what)
        lost = clean["plain"] - clean[what]
        row["lost on clean labels"] = _mean(lost.dropna(), 4)
        row["seconds"] = _mean(frame[frame["method"].str.endswith(f":{what}")]["seconds"], 2)
        rows.append(row)
    return rows


def ahead(table: pd.DataFrame, what: str) -> float | None:
    """How often a method has a higher accuracy than CleanLearning; ties count half."""
    if "cleanlab" not in table or what in (*BASELINES, "cleanlab"):
        return None
    difference = (table[what] - table["cleanlab"]).dropna()
    return _mean((difference > 0) + 0.5 * (difference == 0), 3)


def _mean(values: pd.Series, digits: int = 4) -> float | None:
    return None if len(values) == 0 else round(float(values.mean()), digits)


def targets(rows: list[dict]) -> list[dict]:
    """Compare the default with what it should reach."""
    found = next((row for row in rows if row["method"] == DEFAULT), None)
    if found is None:
        return []
    goals = {"gap closed": (">=", 0.8), "ahead of cleanlab": (">=", 0.85)}
    goals["lost on clean labels"] = ("<=", 0.003)
    return [
        {"method": DEFAULT, "figure": key, "measured": found[key], "target": f"{sign} {goal}"}
        for key, (sign, goal) in goals.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="+", default=None, choices=TABLES)
    parser.add_argument("--seeds", type=int, default=None, help="how many")
    options = parser.parse_args()
    tables = options.tables or (TABLES if options.full else QUICK)
    cells = [
        {"table": table, "kind": kind, "rate": rate, "seed": seed}
        for seed in range(options.seeds or (3 if options.full else 1))
        for table in tables
        for kind, rate in NOISES
    ]
    methods = [f"{name}:{what}" for name in CLASSIFIERS for what in METHODS]
    frame, complete = measured("robust_synthetic", cells, measure, methods, options)
    # Only a whole run is worth keeping under version control.
    whole = options.full and not options.tables and not options.seeds
    whole = options.keep or (whole and complete)
    folder = None if whole else CACHE
    where, rows = environment(), summarise(frame)
    # What all wrappers do on a few tables stands beside what the main ones do on all.
    name = "robust_synthetic" if options.full else "robust_synthetic_wrappers"
    for suffix, part in {"": rows, "_targets": targets(rows) if options.full else []}.items():
        if part:
            print()
            write_results(f"{name}{suffix}", part, where, folder=folder)


if __name__ == "__main__":
    main()
