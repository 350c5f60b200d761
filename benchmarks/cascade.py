"""What does a cascade cost and save? Accuracy, and the share of rows that the slow model sees.

On clean tables, reduced to 3 000 rows of which a third is for testing: a fast and an accurate
classifier alone, and `CascadeClassifier` of both, for several shares of calls; for comparison, a
cascade that passes on as many rows at random. The fast one is logistic regression on standardised
columns or a tree of depth 4; the accurate one is histogram gradient boosting or a random forest.

Reported: accuracy as a share of that of the accurate classifier alone, and the share of test rows
for which it was called, which may differ from the one that was asked for.

    python benchmarks/cascade.py [--full] [--jobs 2] [--tables ...] [--methods ...]

Without --full: four tables, one seed. Killed runs go on where they were; see `_cells.py`. Reads
the tables from the folder named by SKROBUST_DATA (default ../shared/data), `tabular_clean`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import warnings

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _tables import TABLES, load_table, standardised_regression
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

from skrobust.wrappers import CascadeClassifier

QUICK = ("adult", "satimage", "spambase", "splice")
PAIRS = {
    "logistic > boosting": (
        lambda seed: standardised_regression(),
        lambda seed: HistGradientBoostingClassifier(max_iter=50, random_state=seed),
    ),
    "logistic > forest": (
        lambda seed: standardised_regression(),
        lambda seed: RandomForestClassifier(random_state=seed),
    ),
    "tree > forest": (
        lambda seed: DecisionTreeClassifier(max_depth=4, min_samples_leaf=5, random_state=seed),
        lambda seed: RandomForestClassifier(random_state=seed),
    ),
}
SHARES = (0.1, 0.2, 0.3, 0.4)
WAYS = [(uncertainty, share) for uncertainty in ("entropy", "margin") for share in SHARES]
METHODS = ("fast", "accurate", *(f"{way} {share}" for way, share in WAYS), "random 0.4")
DEFAULT, MOST_CALLS, LEAST_SHARE = "entropy 0.4", 0.43, 0.97


class Fitted(ClassifierMixin, BaseEstimator):
    """A classifier that is fitted already, so that all cascades of a cell share it."""

    def __init__(self, model):
        self.model = model

    def __sklearn_clone__(self):
        return self

    def fit(self, X, y):
        self.classes_ = self.model.classes_
        return self

    def predict(self, X):
        return self.model.predict(X)

    def predict_proba(self, X):
        return self.model.predict_proba(X)


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one cell; a method is `pair:what`."""
    X, y = load_table(cell["table"])
    seed = cell["seed"]
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    measured = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for pair, (make_fast, make_accurate) in PAIRS.items():
            methods_of = [m.partition(":")[2] for m in methods if m.partition(":")[0] == pair]
            if not methods_of:
                continue
            fast, accurate = make_fast(seed).fit(X, y), make_accurate(seed).fit(X, y)
            right = [model.predict(X_test) == y_test for model in (fast, accurate)]
            for what in methods_of:
                way, _, share = what.partition(" ")
                if way in ("fast", "accurate"):
                    called = np.full(len(y_test), way == "accurate")
                elif way == "random":
                    called = np.random.default_rng(seed).random(len(y_test)) < float(share)
                else:
                    # Out of sample, the fast one is fitted anew for each fold.
                    cascade = CascadeClassifier(
                        make_fast(seed),
                        Fitted(accurate),
                        call_share=float(share),
                        uncertainty=way,
                        random_state=seed,
                    ).fit(X, y)
                    called = cascade.calls_accurate(X_test)
                    predicted = np.where(called, right[1], right[0])
                    found = cascade.predict(X_test) == y_test
                    if not np.array_equal(predicted, found):
                        raise AssertionError("a cascade predicted as none of its classifiers does")
                accuracy = np.where(called, right[1], right[0]).mean()
                measured[f"{pair}:{what}"] = {
                    "accuracy": float(accuracy),
                    "called": float(called.mean()),
                    "share": float(accuracy / right[1].mean()),
                }
    return measured


def read(frame: pd.DataFrame) -> pd.DataFrame:
    """Measurements in a table, with pairs and methods apart, in the order of the registry."""
    parts = frame["method"].str.partition(":")
    order = {what: place for place, what in enumerate(METHODS)}
    frame = frame.assign(pair=parts[0], what=parts[2])
    return frame.sort_values("what", key=lambda names: names.map(order), kind="stable")


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per pair and method."""
    rows = []
    for (pair, what), some in frame.groupby(["pair", "what"], sort=False):
        per_table = some.groupby("table")["share"].mean()
        row = {"pair": pair, "method": what, "cells": len(some)}
        row["accuracy"] = round(some["accuracy"].mean(), 4)
        row["share of accurate"] = round(some["share"].mean(), 4)
        row["called"] = round(some["called"].mean(), 4)
        row["most called"] = round(some["called"].max(), 4)
        row["worst table"] = f"{per_table.idxmin()} {per_table.min():.3f}"
        rows.append(row)
    return rows


def targets(frame: pd.DataFrame) -> list[dict]:
    """Does the default keep the accuracy with few enough calls, on each table?"""
    rows = []
    some = frame[frame["what"] == DEFAULT]
    for (table, pair), group in some.groupby(["table", "pair"], sort=False):
        share, called = group["share"].mean(), group["called"].mean()
        row = {"table": table, "pair": pair, "cells": len(group)}
        row |= {"share of accurate": round(share, 4), "called": round(called, 4)}
        row["target"] = f">= {LEAST_SHARE:g} with <= {MOST_CALLS:g}"
        row["reached"] = bool(share >= LEAST_SHARE and called <= MOST_CALLS)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="+", default=None, choices=TABLES)
    parser.add_argument("--seeds", type=int, default=None, help="how many")
    options = parser.parse_args()
    tables = options.tables or (TABLES if options.full else QUICK)
    cells = [
        {"table": table, "seed": seed}
        for seed in range(options.seeds or (3 if options.full else 1))
        for table in tables
    ]
    methods = [f"{pair}:{what}" for pair in PAIRS for what in METHODS]
    frame, _ = measured("cascade", cells, measure, methods, options)
    frame = read(frame)
    # Only a whole run is worth keeping under version control.
    whole = options.full and not options.tables and not options.seeds
    folder = None if options.keep or whole else CACHE
    where = environment()
    for name, rows in {"cascade": summarise(frame), "cascade_targets": targets(frame)}.items():
        print()
        write_results(name, rows, where, folder=folder)


if __name__ == "__main__":
    main()
