"""Which networks survive wrong labels on tables?

Four tables of at most 3 000 rows, a third of them for testing, with 40 % of symmetric noise. Each
method and a plain network are tuned with as many trials, on held-out rows with noisy labels.
Reported: mean accuracy on true labels, the share of the gap between the tuned plain network and one
that is trained on exactly the right rows ("oracle") that each method closes, and the mean accuracy
of its first setting ("untuned").

    python benchmarks/neural_tabular.py [--full] [--jobs 2] [--methods ...]

Four trials of 40 epochs with five seeds; without --full, of 30 epochs with two. Killed runs go on
where they were; see `_cells.py`. Reads the tables from the folder named by SKROBUST_DATA (default
../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse

import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _neural_methods import BOUNDS, METHODS, measure
from _tables import load_table, plant
from sklearn.model_selection import train_test_split

TABLES = ("satimage", "optdigits", "spambase", "splice")
NOISE = ("symmetric", 0.4)
QUICK, FULL = (2, 4, 30), (5, 4, 40)  # seeds, trials, epochs
NAMES = (*METHODS, *BOUNDS)


def load(name: str, seed: int):
    """Rows to train on, given and true labels; and rows to test on, with theirs."""
    X, y = load_table(name)
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    given, _ = plant(X, y, *NOISE, seed)
    return (X, given, y), (X_test, y_test)


def measure_cell(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one table."""
    rows, test_rows = load(cell["data"], cell["seed"])
    how = {"seed": cell["seed"], "n_trials": cell["trials"], "max_epochs": cell["epochs"]}
    return {what: measure(what, rows, test_rows, **how) for what in methods}


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per method: its accuracy, the share of the gap closed, and its first setting."""
    table = frame.pivot_table(index=["data", "seed"], columns="method", values="accuracy")
    means = frame.groupby("method")[["untuned", "seconds"]].mean()
    gap = table["oracle"] - table["plain"] if {"oracle", "plain"} <= set(table) else None
    rows = []
    for what in NAMES:
        if what not in table:
            continue
        row = {"method": what, "cells": int(table[what].notna().sum())}
        row |= {
            data: round(float(part[what].mean()), 4) for data, part in table.groupby(level="data")
        }
        row["mean"] = round(float(table[what].mean()), 4)
        if gap is not None:
            both = table[what].notna() & gap.notna()
            gained = (table[what] - table["plain"])[both].sum()
            row["gap closed"] = round(float(gained / gap[both].sum()), 3)
        row["untuned"] = round(float(means["untuned"][what]), 4)
        row["seconds"] = round(float(means["seconds"][what]), 1)
        rows.append(row)
    return rows


def targets(rows: list[dict]) -> list[dict]:
    """Compare the best method with what it should reach."""
    candidates = [row for row in rows if row["method"] not in ("plain", *BOUNDS)]
    if not candidates or "gap closed" not in candidates[0]:
        return []
    best = max(candidates, key=lambda row: row["gap closed"])
    figure = {"method": best["method"], "figure": "gap closed", "measured": best["gap closed"]}
    return [{**figure, "target": ">= 0.5"}]


def run(name: str, doc: str, datas, measure_one, settings=(QUICK, FULL)) -> None:
    """Run a benchmark of tuned networks on some data sets."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    n_seeds, trials, epochs = settings[1] if options.full else settings[0]
    cells = [
        {"data": data, "seed": seed, "trials": trials, "epochs": epochs}
        for seed in range(n_seeds)
        for data in datas
    ]
    frame, complete = measured(name, cells, measure_one, NAMES, options)
    folder = None if complete or options.keep else CACHE
    where = {**environment(), "seeds": n_seeds, "trials": trials, "epochs": epochs}
    rows = summarise(frame)
    write_results(name, rows, where, folder=folder)
    if found := targets(rows):
        write_results(f"{name}_targets", found, where, folder=folder)


if __name__ == "__main__":
    run("neural_tabular", __doc__, TABLES, measure_cell)
