"""Who finds real label errors? Labels of annotators, rules and heuristics, with the truth known.

CIFAR-10N (three sets of labels; features of a network, not of ours), MNIST and 20news as published
(predictions are given; only verified rows count), four collections of texts (labels
from rules), LabelMe (votes of few), and defects of Java programs by release (labels of a
heuristic). cleanlab's rules and scores, and ours, look at out-of-fold probabilities of one base
model per data set: logistic regression, on standardised features, on TF-IDF, or on standardised
logarithms of the metrics of the programs, which ranks their errors better than gradient boosting.

With verified rows: 2 % of the rows, drawn at random, bring the true label; they are given to the
detectors, cleanlab has no use for them, and all are scored on the other rows.

    python benchmarks/detection_real.py [--full] [--jobs 2] [--data 'jira/*' ...] [--methods ...]

Without --full: a part of CIFAR-10N, the other collections, four releases, one draw of verified
rows. Killed runs go on where they were; see `_cells.py`. The methods are in `_methods.py`. Reads
the folder named by SKROBUST_DATA (default ../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse

import numpy as np
import pandas as pd
from _cells import CACHE, add_options, chosen, measured
from _common import environment, write_results
from _methods import Evidence, method_names, run_method
from _tables import PUBLISHED, TEXTS, load_real, real_names

QUICK = (
    "cifar10n/random1",
    *PUBLISHED,
    *TEXTS,
    "labelme",
    "jira/activemq-5.0.0",
    "jira/camel-1.4.0",
    "jira/derby-10.2.1.6",
    "jira/groovy-1_5_7",
)
QUICK_ROWS = 6000
VERIFIED_SHARE = 0.02
LEARNABLE = ("trec", "semeval", "yoruba", "jira")
CIFAR10N_AP = {"cifar10n/aggre": 0.48, "cifar10n/random1": 0.68, "cifar10n/worse": 0.84}
MEASURES = ("ap", "auroc", "f1", "precision", "recall", "flagged", "seconds")


def kind_of(name: str) -> str:
    """The kind of data, without loading them."""
    family = name.partition("/")[0]
    kinds = dict.fromkeys(TEXTS, "text") | dict.fromkeys(PUBLISHED, "probabilities")
    return kinds.get(family, "table" if family == "jira" else "embedding")


def measure(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one data set, with or without verified rows."""
    data = load_real(cell["data"], cell["rows"])
    seed = cell["seed"]
    verified, scored = None, data.checked
    if cell["verified"]:
        rng = np.random.default_rng(seed)
        known = np.flatnonzero(data.truth >= 0)
        chosen_rows = rng.choice(known, round(VERIFIED_SHARE * len(known)), replace=False)
        verified = np.full(len(data.y), np.nan)
        verified[chosen_rows] = data.truth[chosen_rows]
        scored = scored & np.isnan(verified)
    evidence = Evidence(data, seed)
    return {name: run_method(name, evidence, scored, verified) for name in methods}


def make_cells(names: list[str], full: bool) -> list[dict]:
    """The cells of a run: each data set without verified rows, and with several draws of them."""
    cells = []
    for name in names:
        rows = QUICK_ROWS if not full and name.startswith("cifar10n/") else None
        cell = {"data": name, "rows": rows, "verified": False, "seed": 0}
        cells.append(cell)
        if name not in PUBLISHED:  # to verify 2 % of a hundred checked rows would tell nothing
            cells += [{**cell, "verified": True, "seed": s} for s in range(3 if full else 1)]
    return cells


def summarise(frame: pd.DataFrame) -> list[dict]:
    """Average each method per data set, releases taken together, over draws."""
    rows = []
    keys = ["family", "verified", "method"]
    for (family, verified, method), some in frame.groupby(keys, sort=False):
        means = {key: float(some[key].mean()) for key in MEASURES if key in some}
        means = {key: None if np.isnan(mean) else round(mean, 4) for key, mean in means.items()}
        row = {"data": family, "verified": "2 %" if verified else "-", "method": method}
        rows.append({**row, "noise": round(float(some["noise"].mean()), 4), **means})
    return rows


def targets(frame: pd.DataFrame) -> list[dict]:
    """Compare detectors with the best of cleanlab on each data set, best in hindsight."""
    rows = []
    scores = frame[frame["method"].str.startswith("score/") & frame["ap"].notna()]
    rules = frame[frame["method"].str.startswith("cleanlab/") & frame["f1"].notna()]
    if scores.empty or rules.empty:
        print("no measurements of cleanlab: no comparison")
        return []
    best_ap = _best(scores, "ap")
    best_f1 = _best(rules, "f1")
    ours = frame[frame["method"].str.split("/").str[0].isin(("threshold", "detector"))]
    for verified in (False, True):
        here = ours[ours["verified"] == verified]
        for method, some in here.groupby("method", sort=False):
            means = some.groupby("family", sort=False)[["ap", "f1"]].mean()
            theirs = pd.DataFrame({"ap": best_ap[verified], "f1": best_f1[verified]})
            theirs = theirs.reindex(means.index)
            title = "verified 2 %, " if verified else ""
            row = {"comparison": f"{title}all data", "method": method, "data sets": len(means)}
            rows.append({**row, **_gap(means, theirs), "target": None if verified else 0.03})
            learnable = [name for name in LEARNABLE if name in means.index]
            if verified and learnable:
                row = {"comparison": f"{title}{', '.join(learnable)}", "method": method}
                row["data sets"] = len(learnable)
                gap = _gap(means.loc[learnable], theirs.loc[learnable])
                rows.append({**row, **gap, "target": 0.10})
            for name in means.index:
                row = {"comparison": f"{title}{name}", "method": method, "data sets": 1}
                goal = CIFAR10N_AP.get(name) if not verified else None
                rows.append({**row, **_gap(means.loc[[name]], theirs.loc[[name]]), "AP goal": goal})
    return rows


def _best(frame: pd.DataFrame, key: str) -> dict[bool, pd.Series]:
    """The mean of the best method per data set, with and without verified rows."""
    means = frame.groupby(["verified", "family", "method"])[key].mean()
    best = means.groupby(level=["verified", "family"]).max()
    return {v: best.xs(v) if v in best.index.levels[0] else best[:0] for v in (False, True)}


def _gap(ours: pd.DataFrame, theirs: pd.DataFrame) -> dict:
    return {
        "AP": round(float(ours["ap"].mean()), 4),
        "cleanlab AP": round(float(theirs["ap"].mean()), 4),
        "AP gap": round(float((ours["ap"] - theirs["ap"]).mean()), 4),
        "F1": round(float(ours["f1"].mean()), 4),
        "cleanlab F1": round(float(theirs["f1"].mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--data", nargs="+", default=None, metavar="PATTERN")
    options = parser.parse_args()
    names = chosen(real_names(), options.data) if options.data else None
    if names == []:
        parser.error(f"no data set matches; there are {', '.join(real_names())}")
    cells = make_cells(names or (real_names() if options.full else list(QUICK)), options.full)

    def methods_of(cell):
        return method_names(kind_of(cell["data"]))

    frame, complete = measured("detection_real", cells, measure, methods_of, options)
    methods = list(dict.fromkeys(m for cell in cells for m in methods_of(cell)))
    frame["family"] = frame["data"].where(~frame["data"].str.startswith("jira/"), "jira")
    place = {name: i for i, name in enumerate([*real_names(), "jira", *methods])}
    frame = frame.sort_values(
        ["family", "verified", "method"],
        key=lambda column: column.map(lambda value: place.get(value, value)),
        kind="stable",
    )
    # Only a whole run is worth keeping under version control.
    whole = options.full and names is None and complete
    whole = whole or options.keep
    where = environment()
    parts = {"detection_real": summarise(frame), "detection_real_targets": targets(frame)}
    for name, rows in parts.items():
        if rows:
            print()
            write_results(name, rows, where, folder=None if whole else CACHE)


if __name__ == "__main__":
    main()
