"""Do corrections help or harm, and does the estimated share of wrong labels hold?

Fifteen tables, each clean, with symmetric noise of 5, 10, 20 and 35 %, pair, instance-dependent and
boundary noise of 20 %, and real data with known errors: CIFAR-10N, LabelMe, four collections of
texts, and defects of Java programs by release. For each method: the error of the estimated share
of wrong labels, whether its interval holds the truth, F1 and average precision of the flags, the
share of wrong labels after applying the corrections minus before, the share of right labels that
are flagged, and the test accuracy of three classifiers trained on the result, relative to plain
training on the given labels. On real data also with a few verified rows, scored on the others.

    python benchmarks/harm.py [--full] [--jobs 2] [--tables ...] [--rows 1500] [--verified 30]

Without --full: one seed and no classifiers. Killed runs go on where they were; see `_cells.py`.
Reads the folder named by SKROBUST_DATA (default ../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _tables import TABLES, TEXTS, load_real, load_table, plant, real_names, seed_of
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.detection import EnsembleDetector
from skrobust.noise import flip_labels_instance

NOISE = {
    "clean": ("symmetric", 0.0),
    "symmetric 0.05": ("symmetric", 0.05),
    "symmetric 0.1": ("symmetric", 0.1),
    "symmetric 0.2": ("symmetric", 0.2),
    "symmetric 0.35": ("symmetric", 0.35),
    "pair 0.2": ("pair", 0.2),
    "instance 0.2": ("instance", 0.2),
    "boundary 0.2": ("boundary", 0.2),
}
METHODS = ("skrobust", "cleanlab", "no-op", "verified at random", "verified most suspicious")
CLASSIFIERS = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "boosting": HistGradientBoostingClassifier(max_iter=60, random_state=0),
    "forest": RandomForestClassifier(100, random_state=0),
}
N_TEST = 1000


def make_noise(X, y, noise: str, seed: int) -> np.ndarray:
    """Make labels wrong by one of `NOISE`."""
    kind, rate = NOISE[noise]
    if noise == "clean":
        return y.copy()
    if kind == "boundary":
        return flip_labels_instance(X, y, rate, kind="boundary", random_state=seed)[0]
    return plant(X, y, kind, rate, seed)[0]


def load(cell: dict, rows: int):
    """Load the rows of a cell, and others to test on where there are some."""
    name, noise, seed = cell["data"], cell["noise"], cell["seed"]
    if noise == "real":
        data = load_real(name, 2 * rows)
        return data.X, data.y, data.truth, data.base if data.kind == "text" else None, None
    X, y = load_table(name, rows + N_TEST)
    order = np.random.default_rng(seed).permutation(len(y))
    train = order[: max(len(y) - N_TEST, int(0.6 * len(y)))][:rows]
    test = np.setdiff1d(order, train)
    noisy = make_noise(X[train], y[train], noise, seed_of(name, seed))
    return X[train], noisy, y[train], None, (X[test], y[test])


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one cell."""
    X, y, truth, text_model, test = load(cell, cell["rows"])
    wrong = y != truth
    found = {}
    for method in methods:
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[method] = run(method, X, y, truth, text_model, cell)
            if test is not None and cell["train"] and not method.startswith("verified"):
                found[method].update(train_on(found[method], X, y, test))
        values = found[method]
        values["true_rate"] = float(wrong.mean())
        values["seconds"] = time.process_time() - started
        for key in [key for key in values if key.startswith("_")]:
            del values[key]
    return found


def run(method, X, y, truth, text_model, cell) -> dict:
    """Find the wrong labels by one method and compare with the truth."""
    wrong = y != truth
    if method == "no-op":
        return {"_training": (y, None), "change": 0.0, "rate_error": float(wrong.mean())}
    if method == "cleanlab":
        return run_cleanlab(X, y, truth, text_model)
    estimators = None if text_model is None else [text_model, "auto"]
    detector = EnsembleDetector(estimators, max_flag_rate=None, random_state=cell["seed"])
    detector.fit(X, y)
    rest = np.ones(len(y), dtype=bool)
    if method.startswith("verified"):
        known = np.flatnonzero(truth >= 0)
        rng = np.random.default_rng(cell["seed"])
        if method == "verified at random":
            rows = rng.choice(known, cell["verified"], replace=False)
        else:
            rows = known[np.argsort(detector.label_quality_[known])[: cell["verified"]]]
        verified = np.full(len(y), np.nan)
        verified[rows] = truth[rows]
        rest[rows] = False
        detector.fit(X, y, verified_labels=verified)
    low, high = detector.noise_rate_interval_
    flags, corrected = detector.label_errors_, detector.corrected_labels_
    weight = np.where(flags, detector.posterior_proba_, 1.0)
    labels = np.where(flags, detector.posterior_labels_, y)
    bold = np.where(flags, detector.suggested_labels_, y)
    return {
        "_training": (labels, weight),
        "rate_error": abs(detector.noise_rate_ - float(wrong.mean())),
        "covered": bool(low - 1e-9 <= wrong.mean() <= high + 1e-9),
        "width": high - low,
        "reliability": detector.reliability_,
        "change": float(np.mean((corrected != truth)[rest]) - wrong[rest].mean()),
        "change_of_suggestions": float(np.mean((bold != truth)[rest]) - wrong[rest].mean()),
        "right_dropped": float((flags & ~wrong)[rest].sum() / max((~wrong)[rest].sum(), 1)),
        **ranking(wrong[rest], flags[rest], detector.label_quality_[rest]),
    }


def run_cleanlab(X, y, truth, text_model) -> dict:
    """Flag by cleanlab's default rule, and relabel by the predicted class."""
    from cleanlab.count import estimate_joint
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_self_confidence_for_each_label
    from sklearn.model_selection import cross_val_predict

    model = HistGradientBoostingClassifier(random_state=0) if text_model is None else text_model
    classes, codes = np.unique(y, return_inverse=True)
    proba = cross_val_predict(clone(model), X, codes, cv=5, method="predict_proba")
    flags = find_label_issues(codes, proba, n_jobs=1)
    joint = estimate_joint(codes, proba)
    wrong = y != truth
    relabelled = np.where(flags, classes[proba.argmax(axis=1)], y)
    quality = get_self_confidence_for_each_label(codes, proba)
    return {
        "_training": (y[~flags], None, ~flags),
        "rate_error": abs(float(1 - np.trace(joint)) - float(wrong.mean())),
        "change": float(np.mean(relabelled != truth) - wrong.mean()),
        "right_dropped": float((flags & ~wrong).sum() / max((~wrong).sum(), 1)),
        **ranking(wrong, flags, quality),
    }


def ranking(wrong, flags, quality) -> dict:
    """F1 and average precision, where there is an error to find."""
    if not wrong.any():
        return {}
    return {
        "f1": float(f1_score(wrong, flags, zero_division=0)),
        "ap": float(average_precision_score(wrong, -np.nan_to_num(quality, nan=1.0))),
    }


def train_on(values, X, y, test) -> dict:
    """Gain in test accuracy over plain training, in points."""
    labels, weight, *rows = values["_training"]
    rows = rows[0] if rows else np.ones(len(y), dtype=bool)
    gains = {}
    for name, model in CLASSIFIERS.items():
        plain = clone(model).fit(X, y).score(*test)
        params = {}
        if weight is not None:
            last = model.steps[-1][0] + "__" if hasattr(model, "steps") else ""
            params = {f"{last}sample_weight": weight}
        gains[f"points_{name}"] = 100 * (
            clone(model).fit(X[rows], labels, **params).score(*test) - plain
        )
    return gains


def summarise(frame: pd.DataFrame) -> list[dict]:
    """Average over the cells of each method and kind of noise."""
    frame = frame.assign(kind=frame["noise"].str.split().str[0])
    real = frame["kind"] == "real"
    frame.loc[real, "kind"] = frame.loc[real, "data"].str.split("/").str[0]
    frame.loc[frame["kind"].isin(TEXTS), "kind"] = "texts made by rules"
    rows = []
    for method in METHODS:
        some = frame[frame["method"] == method]
        for kind, group in [*some.groupby("kind", sort=False), ("all", some)]:
            row = {"method": method, "noise": kind, "cells": len(group)}
            for key in ("rate_error", "covered", "width", "f1", "ap", "change", "right_dropped"):
                if key in group and group[key].notna().any():
                    row[key] = round(float(group[key].astype(float).mean()), 4)
            row["raised by over .005"] = round(float((group["change"] > 0.005).mean()), 4)
            row["raised by over .02"] = int((group["change"] > 0.02).sum())
            for name in CLASSIFIERS:
                key = f"points_{name}"
                if key in group and group[key].notna().any():
                    row[key] = round(float(group[key].mean()), 3)
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="*", default=TABLES, choices=TABLES)
    parser.add_argument("--noise", nargs="+", default=tuple(NOISE), choices=tuple(NOISE))
    parser.add_argument("--rows", type=int, default=1500, help="of each table, at most")
    parser.add_argument("--verified", type=int, default=30, help="rows that are verified")
    parser.add_argument("--seeds", type=int, default=None, help="how many")
    parser.add_argument("--no-real", action="store_true", help="leave the real data out")
    options = parser.parse_args()
    shared = {"rows": options.rows, "verified": options.verified, "train": options.full}
    cells = [
        {"data": table, "noise": noise, "seed": seed, **shared}
        for seed in range(options.seeds or (3 if options.full else 1))
        for table in options.tables
        for noise in options.noise
    ]
    if not options.no_real:
        names = [name for name in real_names() if name not in ("mnist", "20news")]
        cells += [{"data": name, "noise": "real", "seed": 0, **shared} for name in names]
    methods = METHODS if options.full else METHODS[:3]

    def methods_of(cell):
        return METHODS if cell["noise"] == "real" else [m for m in methods if m[:8] != "verified"]

    frame, complete = measured("harm", cells, measure, methods_of, options)
    folder = None if options.keep or (options.full and complete) else CACHE
    print()
    write_results("harm", summarise(frame), environment(), folder=folder)


if __name__ == "__main__":
    main()
