"""What are verified rows worth: for the interval of a score, and for finding wrong labels?

"synthetic": two classes, a model of accuracy .85, symmetric noise of 5 and 20 %, 2 000 rows, of
which 50 to 200 are verified. "real": wrong labels of annotators, rules and heuristics, which no
transition matrix describes, and out-of-fold predictions of the base model of each data set.
Widths of intervals are relative to those of the verified rows alone. "measure" are rows drawn by
`ReviewBudgetAllocator(purpose="measure")`, and "measure, 70 %" seven tenths as many. "review"
compares `purpose="find"`, in batches of 20, with the rows of lowest quality; the quality is that
of `ConfidentLearning`.

    python benchmarks/verified_rows.py [--draws 60] [--keep]

With --keep, results are written to benchmarks/results. Reads the folder named by SKROBUST_DATA
(default ../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import warnings

import numpy as np
from _cells import CACHE
from _common import environment, write_results
from _tables import Data, load_real
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import cross_val_predict

from skrobust.detection import ConfidentLearning
from skrobust.metrics import noise_corrected_score
from skrobust.metrics._confusion import count_pairs, resolve_metric
from skrobust.model_selection import ReviewBudgetAllocator

REAL = (
    "cifar10n/random1",
    "cifar10n/aggre",
    "yoruba",
    "jira/activemq-5.0.0",
    "jira/camel-1.4.0",
    "jira/derby-10.2.1.6",
    "jira/groovy-1_5_7",
)
MOST_ROWS = 4000
BUDGET, BATCH = 200, 20


class Intervals:
    """Coverage and mean width of the intervals of several methods."""

    def __init__(self, target: float):
        self.target = target
        self.found: dict[str, list] = {}

    def add(self, method: str, estimate) -> None:
        """Add an interval."""
        low, high = estimate.interval
        width = 2 * estimate.standard_error  # an interval may end at 1
        self.found.setdefault(method, []).append((low <= self.target <= high, width))

    def row(self) -> dict:
        """Return coverage, and width relative to that of the verified rows alone."""
        means = {method: np.mean(values, axis=0) for method, values in self.found.items()}
        alone = means["alone"][1]
        row = {}
        for method, (covers, width) in means.items():
            row[f"{method}, covers"] = round(float(covers), 3)
            row[f"{method}, width"] = round(float(width / alone), 3)
        return row


def add_all(intervals: Intervals, y, pred, truth, quality, metric, n_rows, seed, measure) -> None:
    """Draw rows to verify, and estimate the score in all ways."""
    rows = np.random.default_rng(seed).choice(len(y), n_rows, replace=False)
    verified = np.full(len(y), np.nan)
    verified[rows] = truth[rows]
    common = {"metric": metric}
    alone = {"verified_labels": truth[rows].astype(float), **common}
    intervals.add("alone", noise_corrected_score(truth[rows], pred[rows], **alone))
    common["verified_labels"] = verified
    intervals.add("given labels", noise_corrected_score(y, pred, **common))
    common["label_quality"] = quality
    intervals.add("quality", noise_corrected_score(y, pred, **common))
    if not measure:
        return
    for name, share in (("measure", 1.0), ("measure, 70 %", 0.7)):
        allocator = ReviewBudgetAllocator(purpose="measure", random_state=seed)
        rows = allocator.allocate(round(share * n_rows), y, quality, y_pred=pred)
        verified = np.full(len(y), np.nan)
        verified[rows] = truth[rows]
        common["verified_labels"] = verified
        weight = allocator.verified_weight_
        intervals.add(name, noise_corrected_score(y, pred, verified_weight=weight, **common))


def synthetic(draws: int) -> list[dict]:
    """Intervals where the noise is symmetric."""
    rows = []
    for noise in (0.05, 0.2):
        for n_rows in (50, 100, 200):
            intervals = Intervals(0.85)
            for seed in range(10 * draws):
                rng = np.random.default_rng(seed)
                truth = rng.integers(2, size=2000)
                pred = np.where(rng.random(2000) < 0.85, truth, 1 - truth)
                wrong = rng.random(2000) < noise
                quality = np.where(wrong, rng.beta(2, 4, 2000), rng.beta(6, 1.2, 2000))
                y = np.where(wrong, 1 - truth, truth)
                add_all(intervals, y, pred, truth, quality, "accuracy", n_rows, seed, False)
            rows.append({"noise": noise, "verified": n_rows, **intervals.row()})
    return rows


def real(name: str, data: Data, pred, quality, draws: int) -> list[dict]:
    """Intervals on real data."""
    truth = np.where(data.truth >= 0, data.truth, data.y)
    n_classes = int(max(pred.max(), truth.max(), data.y.max())) + 1
    rows = []
    for metric in ("accuracy", "f1_macro"):
        target = resolve_metric(metric, n_classes)(count_pairs(truth, pred, n_classes))
        for n_rows in (100, 200):
            intervals = Intervals(target)
            for seed in range(draws):
                add_all(intervals, data.y, pred, truth, quality, metric, n_rows, seed, True)
            rows.append({"data": name, "metric": metric, "verified": n_rows, **intervals.row()})
    return rows


def review(name: str, data: Data, quality) -> dict:
    """Wrong labels found by a budget of checks."""
    X = TfidfVectorizer().fit_transform(data.X) if data.kind == "text" else data.X
    if name.startswith("jira"):
        X = np.log1p(X)
    budget = min(BUDGET, len(data.y) // 3)
    verified = np.full(len(data.y), np.nan)
    truth = np.where(data.truth >= 0, data.truth, data.y)
    allocator = ReviewBudgetAllocator(random_state=0)
    spent = 0
    while spent < budget:
        rows = allocator.allocate(
            min(BATCH, budget - spent), data.y, quality, X=X, verified_labels=verified
        )
        verified[rows] = truth[rows]
        spent += len(rows)
    lowest = int(data.wrong[np.argsort(quality, kind="stable")[:budget]].sum())
    found = int(data.wrong[~np.isnan(verified)].sum())
    return {
        "data": name,
        "rows": len(data.y),
        "noise": round(float(data.wrong.mean()), 3),
        "checks": budget,
        "lowest quality": lowest,
        "allocator": found,
        "ratio": round(found / lowest, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=60, help="draws of verified rows")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = None if options.keep else CACHE
    where = environment() | {"draws": options.draws}
    write_results("verified_rows_synthetic", synthetic(options.draws), where, folder=folder)
    scores, reviews = [], []
    for name in REAL:
        data = load_real(name, MOST_ROWS if name.startswith("cifar10n") else None)
        detector = ConfidentLearning(data.base, random_state=0).fit(data.X, data.y)
        pred = cross_val_predict(data.base, data.X, data.y, cv=5)
        scores += real(name, data, pred, detector.label_quality_, options.draws)
        reviews.append(review(name, data, detector.label_quality_))
        print(name, flush=True)
    write_results("verified_rows_real", scores, where, folder=folder)
    write_results("verified_rows_review", reviews, where, folder=folder)


if __name__ == "__main__":
    main()
