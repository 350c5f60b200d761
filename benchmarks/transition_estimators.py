"""Who estimates best how labels go wrong? Planted noise, of which the transition is known.

Each table, of 3 000 rows, gets symmetric, pair and random noise of 20 and 35 %. The error of an
estimate is the mean absolute difference of its entries from those of the planted transition; that
of a class, half the sum over its row: the share of its labels that would have to be others. Of
intervals, what is reported is how often they hold the planted entry, and how wide they are. Where
rows are verified, it is a share of all rows, drawn at random.

    python benchmarks/transition_estimators.py [--full] [--jobs 2] [--tables ...] [--methods ...]

Without --full: three tables. Killed runs go on where they were; see `_cells.py`. Reads the tables
from the folder named by SKROBUST_DATA (default ../shared/data), `tabular_clean`.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead

import argparse
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _tables import TABLES, planted, planted_transition, seed_of

from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    DualTransition,
    NeighborTransition,
    TrustedTransition,
)

QUICK = ("satimage", "phoneme", "splice")
FULL = ("adult", "optdigits", "page_blocks", "phoneme", "satimage", "splice")
KINDS = ("symmetric", "pair", "random")
RATES = (0.2, 0.35)
N_BOOTSTRAP = 100

ESTIMATORS: dict[str, Callable] = {
    "neighbor": NeighborTransition,
    "confident": ConfidentTransition,
    "anchor": AnchorTransition,
    "anchor, probabilities": lambda **common: AnchorTransition(statistic="proba", **common),
    "dual": DualTransition,
    "dual, as published": lambda **common: DualTransition(
        sharpness=1.0, noise_rate="counted", **common
    ),
}
"""What needs no verified rows."""
VERIFIED: dict[str, tuple[float, Callable]] = {
    f"{name}, {share:.0%} verified": (share, make)
    for share in (0.02, 0.1)
    for name, make in (
        ("trusted", TrustedTransition),
        ("trusted counted", lambda **common: TrustedTransition(noise_rate="counted", **common)),
        ("anchor", AnchorTransition),
        ("confident", ConfidentTransition),
        ("neighbor", NeighborTransition),
    )
}
"""What is given verified rows, and how many."""
BASELINES = ("no noise", "counted, 2% verified", "counted, 10% verified")
METHODS = (*BASELINES, *ESTIMATORS, *VERIFIED)


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one cell."""
    data = planted(cell["table"], cell["kind"], cell["rate"], cell["seed"])
    n_classes = int(data.truth.max()) + 1
    seed = seed_of(cell["table"], cell["seed"])
    transition = planted_transition(cell["kind"], cell["rate"], n_classes, seed)
    order = np.random.default_rng(seed).permutation(len(data.y))
    measured = {}
    for method in methods:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found, rate, interval = _estimate(method, data, n_classes, order, cell["seed"])
        except Exception as error:  # one method that fails must not end a run of hours
            measured[method] = {"error": f"{type(error).__name__}: {error}"}
            continue
        gap = np.abs(found - transition)
        values = {
            "entry error": float(gap.mean()),
            "class error": float(gap.sum(axis=1).mean() / 2),
            "rate too high by": None if rate is None else float(rate - data.wrong.mean()),
        }
        if interval is not None:
            low, high = interval
            values["covers"] = float(((low <= transition) & (transition <= high)).mean())
            values["width"] = float((high - low).mean())
        measured[method] = values
    return measured


def _estimate(method, data, n_classes, order, seed):
    """Return a transition, and the rate of noise and intervals where there are any."""
    if method == "no noise":
        return np.eye(n_classes), 0.0, None
    share = float(method.split(", ")[1].split("%")[0]) / 100 if "verified" in method else 0.0
    rows = order[: round(share * len(order))]
    if method.startswith("counted"):
        counts = np.zeros((n_classes, n_classes))
        np.add.at(counts, (data.truth[rows], data.y[rows]), 1)
        # With one more right label each, so that every class has some.
        counts += np.eye(n_classes)
        return counts / counts.sum(axis=1, keepdims=True), None, None
    verified = None
    if len(rows):
        verified = np.full(len(order), np.nan)
        verified[rows] = data.truth[rows]
    make = VERIFIED[method][1] if method in VERIFIED else ESTIMATORS[method]
    # A sample takes NeighborTransition about a second where classes are many.
    slow = make is NeighborTransition and verified is not None
    estimator = make(n_bootstrap=0 if slow else N_BOOTSTRAP, random_state=seed)
    estimator.fit(data.X, data.y, verified_labels=verified)
    interval = getattr(estimator, "transition_interval_", None)
    return estimator.transition_matrix_, estimator.noise_rate_, interval


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per method: means over cells, and by kind of noise and by table."""
    rows = []
    for method in METHODS:
        some = frame[frame["method"] == method]
        if some.empty:
            continue
        rate = some["rate too high by"]
        row = {
            "method": method,
            "cells": len(some),
            "entry error": _mean(some["entry error"]),
            "class error": _mean(some["class error"]),
        }
        for (kind, share), group in some.groupby(["kind", "rate"], sort=False):
            row[f"{kind} {share}"] = _mean(group["class error"])
        row["rate too high by"] = _mean(rate)
        row["rate off by"] = _mean(rate.abs())
        for key in ("covers", "width"):
            row[key] = _mean(some[key], 3) if key in some else None
        rows.append(row)
    return rows


def by_table(frame: pd.DataFrame) -> list[dict]:
    """One row per method: mean error of classes by table."""
    rows = []
    for method in METHODS:
        some = frame[frame["method"] == method]
        if not some.empty:
            means = some.groupby("table", sort=False)["class error"].mean()
            rows.append({"class error of": method} | means.round(4).to_dict())
    return rows


def _mean(values: pd.Series, digits: int = 4) -> float | None:
    values = values.dropna()
    return None if values.empty else round(float(values.mean()), digits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--tables", nargs="+", default=None, choices=TABLES)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    options = parser.parse_args()
    tables = options.tables or (FULL if options.full else QUICK)
    cells = [
        {"table": table, "kind": kind, "rate": rate, "seed": seed}
        for seed in range(1, options.seeds + 1)
        for table in tables
        for kind in KINDS
        for rate in RATES
    ]
    frame, complete = measured("transition_estimators", cells, measure, METHODS, options)
    # Only a whole run is worth keeping under version control.
    whole = options.keep or (options.full and not options.tables and complete)
    folder = None if whole else CACHE
    where = environment()
    for name, rows in {
        "transition_estimators": summarise(frame),
        "transition_estimators_tables": by_table(frame),
    }.items():
        print()
        write_results(name, rows, where, folder=folder)


if __name__ == "__main__":
    main()
