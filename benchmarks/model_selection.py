"""Which model is best, and how good, where the labels to score with are wrong too?

Candidates of three families are fitted to 1 000 rows in five folds, with planted noise in the
labels of training and held-out rows. Their true score is that of the models of the folds on clean
rows that no model has seen, up to 4 000. T is estimated by `AnchorTransition` from the training
rows of each fold; its mean corrects the out-of-fold predictions of all folds together, and the T
of each fold its scores (where it cannot be inverted, the given labels do). A choice is made by the
mean over the folds; its regret is how much better the best candidate is. "noisy, then corrected"
is `lexicographic_refit(["noisy", "corrected"], tolerance="2se")`.

    python benchmarks/model_selection.py [--full] [--jobs 1] [--tables ...] [--seeds 1]

Without --full: six tables, four kinds of noise, eight candidates, one seed. Killed runs go on where
they were; see `_cells.py`. Predictions and transitions stay in `cache/candidates`, with --fresh as
well: delete that folder to fit all models anew. Reads the tables from the folder named by
SKROBUST_DATA (default ../shared/data), `tabular_clean`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import warnings

import numpy as np
import pandas as pd
from _candidates import N_FOLDS, Predictions, collect, estimate_transitions
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _tables import TABLES
from sklearn.metrics import roc_auc_score

from skrobust.metrics import noise_corrected_score
from skrobust.metrics._confusion import count_pairs, resolve_metric
from skrobust.model_selection import lexicographic_refit

QUICK = ("phoneme", "page_blocks", "mammography", "pima", "segmentation", "satimage")
FULL = (*QUICK, "splice", "spambase", "wine_quality_white", "optdigits", "kr_vs_kp", "vowel")
NOISES = (("symmetric", 0.2), ("symmetric", 0.4), ("pair", 0.3), ("random", 0.3), ("instance", 0.3))
BINARY = ("phoneme", "mammography", "pima", "spambase", "kr_vs_kp")
METRICS = ("accuracy", "balanced_accuracy", "f1_macro", "roc_auc")
METHODS = ("clean", "noisy", "corrected", "noisy, then corrected")


def plain_score(metric: str, labels, pred, scores, n_classes: int) -> float:
    """The metric of some labels, as they are."""
    if metric == "roc_auc":
        return float(roc_auc_score(labels, scores))
    return resolve_metric(metric, n_classes)(count_pairs(labels, pred, n_classes))


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure all methods on one cell."""
    full = cell["candidates"] == "full"
    where = cell["table"], cell["kind"], cell["rate"], cell["seed"], full
    found = collect(*where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _measure(found, *estimate_transitions(*where), cell["metric"])
    except Exception as error:  # one cell that fails must not end a run of hours
        return {method: {"error": f"{type(error).__name__}: {error}"} for method in methods}


def _measure(found: Predictions, pooled, per_fold: list, metric: str) -> dict:
    n_classes = len(pooled.classes_)
    true = _true_scores(found, metric, n_classes)
    folds = {name: np.zeros((len(true), N_FOLDS)) for name in ("clean", "noisy", "corrected")}
    level = {name: np.zeros(len(true)) for name in folds}
    covers, width = np.zeros(len(true), dtype=bool), np.zeros(len(true))
    for c, (pred, scores) in enumerate(zip(found.pred, found.proba)):
        outputs = scores if metric == "roc_auc" else pred
        whole = noise_corrected_score(found.given, outputs, metric=metric, transition=pooled)
        level["corrected"][c] = whole.score
        covers[c] = whole.interval[0] <= true[c] <= whole.interval[1]
        width[c] = whole.interval[1] - whole.interval[0]
        for name, labels in (("clean", found.truth), ("noisy", found.given)):
            level[name][c] = plain_score(metric, labels, pred, scores, n_classes)
            for fold in range(N_FOLDS):
                rows = found.fold == fold
                folds[name][c, fold] = plain_score(
                    metric, labels[rows], pred[rows], scores[rows], n_classes
                )
        for fold, transition in enumerate(per_fold):
            rows = found.fold == fold
            try:
                score = noise_corrected_score(
                    found.given[rows], outputs[rows], metric=metric, transition=transition
                ).score
            except ValueError:  # the transition cannot be inverted
                score = folds["noisy"][c, fold]
            folds["corrected"][c, fold] = score
    best = float(true.max())
    measured = {}
    for name, table in folds.items():
        measured[name] = {
            "error": float(np.abs(level[name] - true).mean()),
            "too high by": float((level[name] - true).mean()),
            "regret": best - float(true[table.mean(axis=1).argmax()]),
        }
    measured["corrected"] |= {"covers": float(covers.mean()), "width": float(width.mean())}
    results = {
        f"split{fold}_test_{name}": table[:, fold]
        for name, table in folds.items()
        for fold in range(N_FOLDS)
    }
    choice = lexicographic_refit(["noisy", "corrected"], tolerance="2se")(results)
    measured["noisy, then corrected"] = {"regret": best - float(true[choice])}
    return {
        method: {key if key != "error" else "off by": value for key, value in values.items()}
        for method, values in measured.items()
    }


def _true_scores(found: Predictions, metric: str, n_classes: int) -> np.ndarray:
    """Mean score of the models of the folds on clean rows."""
    if metric == "roc_auc":
        return found.test_auc.mean(axis=1)
    evaluate = resolve_metric(metric, n_classes)
    return np.array([np.mean([evaluate(m) for m in folds]) for folds in found.test_counts])


def summarise(frame: pd.DataFrame, by: str | None) -> list[dict]:
    """Means over cells, of all or by one coordinate."""
    groups = [("all", frame)] if by is None else list(frame.groupby(by, sort=False))
    rows = []
    for value, some in groups:
        at = {method: part for method, part in some.groupby("method")}
        if len(at) < len(METHODS):
            continue
        noisy = float(at["noisy"]["off by"].mean())
        corrected = float(at["corrected"]["off by"].mean())
        row = {
            by or "cells": str(value),
            "n": len(at["noisy"]),
            "noisy off by": round(noisy, 4),
            "corrected off by": round(corrected, 4),
            "ratio": round(corrected / noisy, 3),
            "covers": round(float(at["corrected"]["covers"].mean()), 3),
            "width": round(float(at["corrected"]["width"].mean()), 3),
        }
        for method in METHODS:
            row[f"regret, {method}"] = round(float(at[method]["regret"].mean()), 4)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="+", default=None, choices=TABLES)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    options = parser.parse_args()
    tables = options.tables or (FULL if options.full else QUICK)
    noises = NOISES if options.full else NOISES[:1] + NOISES[2:]
    cells = [
        {
            "table": table,
            "kind": kind,
            "rate": rate,
            "seed": seed,
            "candidates": "full" if options.full else "quick",
            "metric": metric,
        }
        for seed in range(1, options.seeds + 1)
        for table in tables
        for kind, rate in noises
        for metric in METRICS
        if metric != "roc_auc" or table in BINARY
    ]
    frame, complete = measured("model_selection", cells, measure, METHODS, options)
    frame["noise"] = frame["kind"] + " " + frame["rate"].map("{:.0%}".format)
    # Only a whole run is worth keeping under version control.
    whole = options.keep or (options.full and not options.tables and complete)
    folder = None if whole else CACHE
    where = environment() | {"seeds": options.seeds, "candidates": cells[0]["candidates"]}
    for name, by in (("", None), ("_noise", "noise"), ("_metric", "metric"), ("_table", "table")):
        print()
        write_results(f"model_selection{name}", summarise(frame, by), where, folder=folder)


if __name__ == "__main__":
    main()
