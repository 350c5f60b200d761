"""Who survives faulty sources? Ten sources of labels, of which three are wrong, on clean tables.

Each table, of 3 000 rows of which a third is for testing, is dealt out to ten sources: evenly, or
with shares of the classes that differ between sources (Dirichlet, 5). Three of them send random
labels, or the next class for each (for two classes: the other one), or always the same class; or
none of them does, which tells what a method costs where nothing is wrong. Three classifiers are
trained on all rows ("plain"), on the seven honest sources as if they were known ("honest"), and
by `SourceRobustClassifier` in several ways, which is told nothing of how many sources are faulty,
or that three are ("..., told").

Reported: mean test accuracy, how far it is below "honest", in points, in the mean and in the worst
table, and how many faulty and honest sources were called faulty.

    python benchmarks/robust_sources.py [--full] [--jobs 2] [--tables ...] [--methods ...]

Without --full: three tables, one seed. Killed runs go on where they were; see `_cells.py`. Reads
the tables from the folder named by SKROBUST_DATA (default ../shared/data), `tabular_clean`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import warnings
import zlib

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _tables import TABLES, load_table
from joblib import hash as hash_of
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skrobust.wrappers import SourceRobustClassifier

QUICK = ("satimage", "spambase", "phoneme")
N_SOURCES, N_FAULTY = 10, 3
FAULTS = ("random", "inverted", "constant", "none")
DEALS = ("even", "skewed")
CLASSIFIERS = {
    "logistic": lambda seed: LogisticRegression(max_iter=1000),
    "forest": lambda seed: RandomForestClassifier(random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(max_iter=30, random_state=seed),
}
ROBUST = {
    "rows": {},
    "rows, told": {"n_faulty": N_FAULTY},
    "predictions": {"combine": "predictions"},
    "predictions, told": {"combine": "predictions", "n_faulty": N_FAULTY},
    "predictions, median": {"combine": "predictions", "aggregation": "median"},
    "predictions, mean": {"combine": "predictions", "aggregation": "mean"},
    "coefficients": {"combine": "coefficients"},
}
METHODS = ("honest", "plain", *ROBUST)
DEFAULT, TARGET = "rows", 1.0


class Recalled(ClassifierMixin, BaseEstimator):
    """A classifier that is not fitted again to rows that it knows: all methods fit the same."""

    fits = {}

    def __init__(self, model):
        self.model = model

    def fit(self, X, y):
        key = hash_of((self.model, X, y))
        if key not in self.fits:
            self.fits[key] = clone(self.model).fit(X, y)
        self.fitted_ = self.fits[key]
        self.classes_ = self.fitted_.classes_
        return self

    def predict(self, X):
        return self.fitted_.predict(X)

    def predict_proba(self, X):
        return self.fitted_.predict_proba(X)


def deal(y, how: str, rng) -> np.ndarray:
    """Give each row a source."""
    if how == "even":
        return rng.permutation(len(y)) % N_SOURCES
    sources = np.empty(len(y), dtype=np.intp)
    for k in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == k))
        shares = rng.dirichlet(np.full(N_SOURCES, 5.0))
        edges = np.round(np.cumsum(shares)[:-1] * len(rows)).astype(int)
        for source, part in enumerate(np.split(rows, edges)):
            sources[part] = source
    return sources


def spoil(y, bad, fault: str, rng) -> np.ndarray:
    """What the sources send, if those of some rows are faulty."""
    n_classes = int(y.max()) + 1
    y = y.copy()
    if fault == "random":
        y[bad] = rng.integers(n_classes, size=bad.sum())
    elif fault == "inverted":
        y[bad] = (y[bad] + 1) % n_classes
    elif fault == "constant":
        y[bad] = 0
    return y


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one cell; a method is `classifier:what`."""
    X, y = load_table(cell["table"])
    seed = cell["seed"]
    X, X_test, y, y_test = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_test = scaler.transform(X), scaler.transform(X_test)
    rng = np.random.default_rng(zlib.crc32(f"{cell['table']} {seed}".encode()))
    sources = deal(y, cell["deal"], rng)
    n_bad = 0 if cell["fault"] == "none" else N_FAULTY
    bad = sources < n_bad
    y_given = spoil(y, bad, cell["fault"], rng)
    measured = {}
    Recalled.fits.clear()
    for method in methods:
        name, _, what = method.partition(":")
        if what == "coefficients" and (name != "logistic" or cell["fault"] == "constant"):
            measured[method] = {"missing": True}
            continue
        model, extra = CLASSIFIERS[name](seed), {}
        if name != "logistic":
            model = Recalled(model)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if what == "honest":
                    model = clone(model).fit(X[~bad], y_given[~bad])
                elif what == "plain":
                    model = clone(model).fit(X, y_given)
                else:
                    model = SourceRobustClassifier(model, random_state=seed, **ROBUST[what])
                    model.fit(X, y_given, sources=sources)
                    called = model.faulty_sources_
                    extra = {"found": int(called[:n_bad].sum()), "false": int(called[n_bad:].sum())}
                accuracy = float(np.mean(model.predict(X_test) == y_test))
        except Exception as error:  # one method that fails must not end a long run
            measured[method] = {"error": f"{type(error).__name__}: {error}"}
            continue
        measured[method] = {"accuracy": accuracy, **extra}
    return measured


CELL = ["table", "deal", "fault", "seed", "classifier"]


def read(frame: pd.DataFrame) -> pd.DataFrame:
    """Measurements with how many points each is below training on the honest sources."""
    parts = frame["method"].str.partition(":")
    frame = frame.assign(classifier=parts[0], what=parts[2]).set_index(CELL)
    honest = frame.loc[frame["what"] == "honest", "accuracy"]
    frame["below"] = 100 * (honest.reindex(frame.index) - frame["accuracy"])
    return frame.reset_index()


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per classifier and method."""
    rows = []
    order = {what: place for place, what in enumerate(METHODS)}
    frame = frame.sort_values("what", key=lambda names: names.map(order), kind="stable")
    for (classifier, what), some in frame.groupby(["classifier", "what"], sort=False):
        row = {"classifier": classifier, "method": what, "cells": len(some)}
        row["accuracy"] = round(some["accuracy"].mean(), 4)
        faulty = some[some["fault"] != "none"]
        row["points below honest"] = _points(faulty["below"].mean())
        for fault, group in some.groupby("fault", sort=False):
            row[fault] = _points(group["below"].mean())
        per_table = faulty.groupby("table")["below"].mean()
        row["worst table"] = f"{per_table.idxmax()} {per_table.max():.2f}"
        if what in ROBUST:
            row["found"] = round(faulty["found"].mean() / N_FAULTY, 3)
            row["false"] = round(some["false"].mean(), 3)
        rows.append(row)
    return rows


def targets(frame: pd.DataFrame) -> list[dict]:
    """Is the default within a point of the honest sources, on each table?"""
    some = frame[(frame["what"] == DEFAULT) & frame["fault"].isin(["random", "inverted"])]
    rows = []
    for (table, classifier), group in some.groupby(["table", "classifier"], sort=False):
        below = group["below"].mean()
        row = {"table": table, "classifier": classifier, "cells": len(group)}
        row |= {"points below honest": _points(below), "target": f"<= {TARGET:g}"}
        rows.append({**row, "reached": bool(below <= TARGET)})
    return rows


def _points(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="+", default=None, choices=TABLES)
    parser.add_argument("--seeds", type=int, default=None, help="how many")
    options = parser.parse_args()
    tables = options.tables or (TABLES if options.full else QUICK)
    cells = [
        {"table": table, "deal": how, "fault": fault, "seed": seed}
        for seed in range(options.seeds or (3 if options.full else 1))
        for how in DEALS
        for table in tables
        for fault in FAULTS
    ]
    methods = [f"{name}:{what}" for name in CLASSIFIERS for what in METHODS]
    frame, _ = measured("robust_sources", cells, measure, methods, options)
    frame = read(frame)
    # Only a whole run is worth keeping under version control.
    folder = None if options.keep or (options.full and not options.tables) else CACHE
    where = environment()
    parts = {"robust_sources": summarise(frame), "robust_sources_targets": targets(frame)}
    for name, rows in parts.items():
        print()
        write_results(name, rows, where, folder=folder)


if __name__ == "__main__":
    main()
