"""Who finds planted label errors? Fifteen clean tables, four kinds of noise, three rates.

In each cell cleanlab's rules and scores, ours, thresholds and baselines look at the same
out-of-fold probabilities of gradient boosting (five folds), and detectors bring evidence of their
own. Average precision and AUROC are of the ranking, F1, precision and recall of the flags; what is
printed are means over tables and seeds.

    python benchmarks/detection_synthetic.py [--full] [--jobs 2] [--tables ...] [--methods ...]

Without --full: four tables, one seed. Killed runs go on where they were; see `_cells.py`. The
methods are in `_methods.py`. Reads the folder named by SKROBUST_DATA (default ../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead

import argparse

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _methods import DEFAULT, Evidence, method_names, run_method
from _tables import KINDS, RATES, TABLES, planted

QUICK = ("pima", "splice", "vowel", "spambase")
MEASURES = ("ap", "auroc", "f1", "precision", "recall", "flagged", "seconds")
GROUP = ["kind", "rate"]


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one cell."""
    data = planted(cell["table"], cell["kind"], cell["rate"], cell["seed"])
    evidence = Evidence(data, cell["seed"])
    return {name: run_method(name, evidence, data.checked) for name in methods}


def summarise(frame: pd.DataFrame) -> list[dict]:
    """Average each method over all cells."""
    rows = []
    for method, some in frame.groupby("method", sort=False):
        means = {key: float(some[key].mean()) for key in MEASURES if key in some}
        means = {key: None if np.isnan(mean) else round(mean, 4) for key, mean in means.items()}
        rows.append({"method": method, "cells": len(some), **means})
    return rows


def by_group(frame: pd.DataFrame, key: str) -> list[dict]:
    """Average one measure of each method per kind and rate: one row per method."""
    rows = []
    for method, some in frame[frame[key].notna()].groupby("method", sort=False):
        means = some.groupby(GROUP, sort=False)[key].mean()
        cells = {f"{kind} {rate}": round(float(mean), 4) for (kind, rate), mean in means.items()}
        rows.append({f"{key} of": method, **cells, "all": round(float(some[key].mean()), 4)})
    return rows


def of(frame: pd.DataFrame, prefix: str, key: str) -> pd.DataFrame:
    """One measure of the methods of a group: cells in rows, methods in columns."""
    some = frame[frame["method"].str.startswith(prefix) & frame[key].notna()]
    return some.pivot_table(index=["table", *GROUP, "seed"], columns="method", values=key)


def compare(what, ours: pd.Series, theirs: pd.Series, target: float) -> dict:
    """Compare two methods on the cells that both have."""
    gap = (ours - theirs).dropna()
    groups = gap.groupby(level=GROUP).mean()
    worst = groups.idxmin() if len(groups) else ("-", "-")
    return {
        "comparison": what,
        "cells": len(gap),
        "ours": round(float(ours[gap.index].mean()), 4),
        "theirs": round(float(theirs[gap.index].mean()), 4),
        "gap": round(float(gap.mean()), 4),
        "target": target,
        "worst group": f"{worst[0]} {worst[1]}",
        "worst group's gap": round(float(groups.min()), 4) if len(groups) else None,
    }


def targets(frame: pd.DataFrame) -> list[dict]:
    """Compare with cleanlab's best single rule and score, best by the mean over all cells."""
    rules, scores = of(frame, "cleanlab/", "f1"), of(frame, "score/", "ap")
    if rules.empty or scores.empty:
        print("no measurements of cleanlab: no comparison")
        return []
    rule, score = rules.mean().idxmax(), scores.mean().idxmax()
    print(f"\ncleanlab's best single rule: {rule}, mean F1 {rules[rule].mean():.4f}")
    print(f"cleanlab's best single score: {score}, mean AP {scores[score].mean():.4f}")
    for (kind, rate), group in rules.groupby(level=GROUP, sort=False):
        best = group.mean().idxmax()
        print(f"  {kind} {rate}: best rule {best} {group.mean()[best]:.4f}", end="")
        print(f", the single one {group.mean()[rule]:.4f}")
    rows = []
    oracle = of(frame, "baseline/oracle_threshold", "f1")
    flags = pd.concat(
        [of(frame, group, "f1") for group in ("threshold/", "probabilities/")], axis=1
    )
    for name in flags:
        rows.append(compare(f"F1, {name} - best rule", flags[name], rules[rule], 0.02))
        if not oracle.empty:
            some = flags[name][flags.index.get_level_values("kind") == "symmetric"]
            best = oracle["baseline/oracle_threshold"]
            title = f"F1 on symmetric noise, {name} - oracle threshold"
            rows.append(compare(title, some, best, -0.01))
    found_f1, found_ap = of(frame, "detector/", "f1"), of(frame, "detector/", "ap")
    for name in sorted(found_f1, key=lambda name: name != DEFAULT):
        rows.append(compare(f"F1, {name} - best rule", found_f1[name], rules[rule], 0.08))
        rows.append(compare(f"AP, {name} - best score", found_ap[name], scores[score], 0.07))
    return rows


def calibration(frame: pd.DataFrame) -> list[dict]:
    """How true is what thresholds say about the precision of their flags?"""
    if "estimated_precision" not in frame:
        return []
    rows = []
    known = frame[frame["estimated_precision"].notna() & frame["precision"].notna()]
    for method, some in known.groupby("method"):
        for kind, group in [("all", some), *some.groupby("kind", sort=False)]:
            row = {
                "method": method,
                "noise": kind,
                "cells": len(group),
                "precision": round(group["precision"].mean(), 4),
                "estimated": round(group["estimated_precision"].mean(), 4),
                "mean absolute error": round(
                    (group["precision"] - group["estimated_precision"]).abs().mean(), 4
                ),
            }
            if "precision_low" in group:
                inside = group["precision"].between(group["precision_low"], group["precision_high"])
                inside = inside[group["precision_low"].notna()]
                row["interval covers"] = round(inside.mean(), 3) if len(inside) else None
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="+", default=None, choices=TABLES)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES)
    parser.add_argument("--seeds", type=int, default=None, help="how many")
    options = parser.parse_args()
    tables = options.tables or (TABLES if options.full else QUICK)
    cells = [
        {"table": table, "kind": kind, "rate": rate, "seed": seed}
        for seed in range(options.seeds or (3 if options.full else 1))
        for table in tables
        for kind in options.kinds
        for rate in options.rates
    ]
    methods = method_names("table")
    frame, complete = measured("detection_synthetic", cells, measure, methods, options)
    order = {name: place for place, name in enumerate(methods)}
    frame = frame.sort_values("method", key=lambda names: names.map(order), kind="stable")
    # Only a whole run is worth keeping under version control.
    whole = options.full and not options.tables and not options.seeds
    whole = whole and tuple(options.kinds) == KINDS and tuple(options.rates) == RATES
    whole = options.keep or (whole and complete)
    folder = None if whole else CACHE
    parts = {
        "detection_synthetic": summarise(frame),
        "detection_synthetic_f1": by_group(frame, "f1"),
        "detection_synthetic_ap": by_group(frame, "ap"),
        "detection_synthetic_targets": targets(frame),
        "detection_synthetic_calibration": calibration(frame),
    }
    where = environment()
    for name, rows in parts.items():
        if rows:
            print()
            write_results(name, rows, where, folder=folder)


if __name__ == "__main__":
    main()
