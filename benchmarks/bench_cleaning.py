"""Does it help? Planted label errors on clean tables: who finds them, and what cleaning is worth.

For each table, kind of noise and rate: average precision of the planted errors and F1 of the flags,
by the evidence that judges; and the test accuracy of the user's classifier trained on all rows, on
what is left after cleaning, on exactly the right rows (oracle), as the share of the gap between the
first and the last that cleaning closes.

    python benchmarks/bench_cleaning.py [--tables satimage spambase ...] [--full]

Reads the tables from the folder named by SKROBUST_DATA (default ../shared/data), `tabular_clean`.
"""

import argparse
import tempfile
import time
import warnings

import numpy as np
import pandas as pd
from _common import environment, write_results
from _tables import TABLES, read_table
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.noise import flip_labels, pair_transition, symmetric_transition
from skrobust.wrappers import CleaningClassifier

QUICK = ("satimage", "spambase", "segmentation", "page_blocks", "phoneme", "splice")
NOISES = (
    ("symmetric", 0.05),
    ("symmetric", 0.2),
    ("symmetric", 0.4),
    ("pair", 0.05),
    ("pair", 0.3),
)
CLASSIFIERS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
    "boosting": HistGradientBoostingClassifier(random_state=0),
}


def load(name: str, max_rows: int):
    """Load a table as numbers: at most `max_rows` training and test rows."""
    X, y = read_table(name)
    if len(y) > max_rows:
        X, _, y, _ = train_test_split(X, y, train_size=max_rows, stratify=y, random_state=0)
    return train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=0)


def run_cell(name, kind, rate, seed, data, memory):
    """Measure one table under one noise."""
    X, X_test, y, y_test = data
    n_classes = len(np.unique(y))
    make = symmetric_transition if kind == "symmetric" else pair_transition
    y_noisy, wrong = flip_labels(y, make(n_classes, rate), random_state=seed)
    detectors = {
        "default": EnsembleDetector(random_state=seed, max_flag_rate=None),
        "forest": ConfidentLearning(random_state=seed, max_flag_rate=None),
    }
    for label, classifier in CLASSIFIERS.items():
        detectors[label] = ConfidentLearning(classifier, max_flag_rate=None)
    cell = {"table": name, "noise": kind, "rate": rate, "seed": seed}
    for label, detector in detectors.items():
        started = time.perf_counter()
        detector.fit(X, y_noisy)
        cell[f"seconds_{label}"] = time.perf_counter() - started
        cell[f"ap_{label}"] = average_precision_score(wrong, 1 - detector.label_quality_)
        cell[f"f1_{label}"] = f1_score(wrong, detector.label_errors_)
    for label, classifier in CLASSIFIERS.items():
        fits = {
            "plain": clone(classifier).fit(X, y_noisy),
            "oracle": clone(classifier).fit(X[~wrong], y_noisy[~wrong]),
            "itself": CleaningClassifier(classifier, detectors[label]).fit(X, y_noisy),
            "forest": CleaningClassifier(classifier, detectors["forest"]).fit(X, y_noisy),
        }
        for action in ("drop", "relabel", "reweight"):
            model = CleaningClassifier(classifier, action=action, random_state=seed, memory=memory)
            fits[action] = model.fit(X, y_noisy)
        for fit, model in fits.items():
            cell[f"accuracy_{label}_{fit}"] = model.score(X_test, y_test)
    return cell


def summarise(cells: list[dict]) -> list[dict]:
    """Average the cells per noise and over all."""
    frame = pd.DataFrame(cells)
    rows = []
    groups = [(f"{k} {r:g}", g) for (k, r), g in frame.groupby(["noise", "rate"], sort=False)]
    for title, group in [*groups, ("all", frame)]:
        row = {"noise": title, "cells": len(group)}
        for evidence in ("default", "forest", "logistic", "boosting"):
            row[f"ap_{evidence}"] = round(group[f"ap_{evidence}"].mean(), 3)
            row[f"f1_{evidence}"] = round(group[f"f1_{evidence}"].mean(), 3)
        for label in CLASSIFIERS:
            plain = group[f"accuracy_{label}_plain"].mean()
            gap = group[f"accuracy_{label}_oracle"].mean() - plain
            row[f"gap_{label}"] = round(gap, 4)
            for fit in ("itself", "forest", "drop", "relabel", "reweight"):
                gain = group[f"accuracy_{label}_{fit}"].mean() - plain
                row[f"closed_{label}_{fit}"] = round(gain / gap, 3)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", default=None)
    parser.add_argument("--full", action="store_true", help="all tables, three seeds, 4500 rows")
    options = parser.parse_args()
    tables = options.tables or (TABLES if options.full else QUICK)
    warnings.simplefilter("ignore")
    cells = []
    for name in tables:
        data = load(name, 4500 if options.full else 2400)
        for kind, rate in NOISES:
            for seed in range(3 if options.full else 1):
                # One detection for all actions and classifiers of a cell.
                with tempfile.TemporaryDirectory() as memory:
                    cells.append(run_cell(name, kind, rate, seed, data, memory))
                print(f"{name} {kind} {rate} {seed}", flush=True)
    write_results("bench_cleaning", summarise(cells), environment())


if __name__ == "__main__":
    main()
