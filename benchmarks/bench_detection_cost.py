"""What does the default detector cost, beside cleanlab with gradient boosting?

CPU seconds of one thread, of `EnsembleDetector` and of cleanlab on out-of-fold predictions of
`HistGradientBoostingClassifier`, in turn on the same rows (20 columns, 3 classes, 20 % symmetric
noise), and the median of the ratios; and of `CleaningClassifier` on the word counts of 120 texts,
in a pipeline; and, with --million, of a million rows of 32 columns on two threads. The targets are
half of cleanlab at 3 000 rows, 1.4 times at 20 000, 2 seconds for the texts, and 2.5 minutes and
2.5 GB for the million.

    OMP_NUM_THREADS=1 python benchmarks/bench_detection_cost.py [--sizes ...] [--repeats 3]
        [--million] [--keep]

Without --keep: prints, and writes to the cache folder.
"""

import argparse
import os
import resource
import time

import numpy as np
from _cells import CACHE
from _common import RESULTS, environment, write_results
from bench_threads import text
from cleanlab.classification import CleanLearning
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skrobust.detection import EnsembleDetector
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.wrappers import CleaningClassifier


def cpu_seconds(function) -> float:
    """Measure the CPU seconds of a call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def compare(n_samples: int, repeats: int) -> dict:
    """Detect label errors by both, in turn."""
    X, y = make_classification(n_samples, 20, n_informative=10, n_classes=3, random_state=0)
    y, _ = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    boosting = HistGradientBoostingClassifier(random_state=0)
    pairs = []
    for _ in range(repeats):
        ours = cpu_seconds(lambda: EnsembleDetector(random_state=0).fit(X, y))
        theirs = cpu_seconds(lambda: CleanLearning(boosting).find_label_issues(X, y))
        pairs.append((ours, theirs))
    ours, theirs = np.array(pairs).T
    return {
        "data": f"{n_samples} x 20",
        "ours, CPU s": round(float(np.median(ours)), 2),
        "cleanlab, CPU s": round(float(np.median(theirs)), 2),
        "median ratio": round(float(np.median(ours / theirs)), 2),
        "load": round(os.getloadavg()[0], 1),
    }


def clean_texts(repeats: int) -> dict:
    """Train on 120 texts with the default detector."""
    X, y = text(120, 3)
    model = make_pipeline(TfidfTransformer(), LogisticRegression())
    cleaning = CleaningClassifier(model, random_state=0)
    seconds = [cpu_seconds(lambda: cleaning.fit(X, y)) for _ in range(repeats)]
    row = {"data": "120 texts", "ours, CPU s": round(float(np.median(seconds)), 2)}
    return {**row, "cleanlab, CPU s": None, "median ratio": None, "load": os.getloadavg()[0]}


def detect_in_a_million() -> dict:
    """Detect label errors among a million rows on two threads."""
    X, y = make_classification(1_000_000, 32, n_informative=16, n_classes=3, random_state=0)
    X = X.astype(np.float32)
    y, _ = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    started = time.perf_counter()
    seconds = cpu_seconds(lambda: EnsembleDetector(random_state=0, n_jobs=2).fit(X, y))
    return {
        "data": "1000000 x 32",
        "ours, CPU s": round(seconds, 1),
        "load": round(os.getloadavg()[0], 1),
        "wall s, two threads": round(time.perf_counter() - started, 1),
        "peak GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[3_000, 20_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--million", action="store_true", help="a million rows as well")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    options = parser.parse_args()
    compare(300, 1)  # what is imported late is no cost of a fit
    rows = [compare(size, options.repeats) for size in options.sizes]
    rows.append(clean_texts(options.repeats))
    if options.million:
        rows.append(detect_in_a_million())
    folder = RESULTS if options.keep else CACHE
    write_results("bench_detection_cost", rows, environment(), folder=folder)


if __name__ == "__main__":
    main()
