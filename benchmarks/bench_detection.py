"""How do detectors scale, and what does recording a training run cost?

Scale: rows of a mixture of Gaussians (32 features, ten classes, 10 % symmetric noise), each
detector and size in a process of its own, so that the peak memory is its own; seconds of `fit`,
peak resident memory, microseconds per row, and average precision of the planted errors. The
limits at a million rows are 10 minutes and 8 GB.

Recording: the time of `TrainingDynamics(model).fit` over that of the bare training that it records,
for gradient boosting and for learners with `partial_fit`; pairs in turn, and the median of their
ratios. The target is 1.10.

    python benchmarks/bench_detection.py [--full] [--detectors ...] [--sizes ...] [--repeats 5]

Without --full: up to 100 000 rows. What is not in the package is reported as "not available".
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _cells import CACHE
from _common import environment, write_results
from _methods import part
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import average_precision_score
from sklearn.neural_network import MLPClassifier
from sklearn.utils import shuffle

from skrobust.noise import flip_labels, symmetric_transition

SIZES = (10_000, 100_000, 1_000_000)
N_FEATURES, N_CLASSES, RATE = 32, 10, 0.1
LIMIT_SECONDS, LIMIT_GB = 600, 8.0
N_EPOCHS = 10

# --------------------------------------------------------------------------------------------
# Registry: name -> callable() -> detector, or None where it is not available.
# --------------------------------------------------------------------------------------------
DETECTORS: dict[str, Callable] = {
    "NeighborVote": lambda: part("NeighborVote", n_jobs=2, random_state=0),
    "EnsembleDetector": lambda: part("EnsembleDetector", n_jobs=2, random_state=0),
    "ConfidentLearning": lambda: part("ConfidentLearning", n_jobs=2, random_state=0),
}


def _partial_fits(model, X, y) -> None:
    """Train epoch by epoch, as a caller of `partial_fit` would."""
    classes = np.unique(y)
    for epoch in range(N_EPOCHS):
        rows = shuffle(np.arange(len(y)), random_state=epoch)
        model.partial_fit(X[rows], y[rows], classes=classes)


# --------------------------------------------------------------------------------------------
# Registry: name -> (model, the bare training of it, options of TrainingDynamics).
# --------------------------------------------------------------------------------------------
RECORDED: dict[str, tuple] = {
    "HistGradientBoosting": (
        HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0),
        lambda model, X, y: model.fit(X, y),
        {},
    ),
    "SGD": (
        SGDClassifier(loss="log_loss", random_state=0),
        _partial_fits,
        {"n_stages": N_EPOCHS},
    ),
    "MLP": (MLPClassifier((64,), random_state=0), _partial_fits, {"n_stages": N_EPOCHS}),
}
# ------------------------------------------------------------------------ end of the registries


def make_mixture(n_samples: int):
    """Draw rows of ten Gaussian blobs that overlap a little, and plant noise."""
    rng = np.random.default_rng(0)
    centers = 0.5 * rng.standard_normal((N_CLASSES, N_FEATURES))
    y = rng.integers(0, N_CLASSES, n_samples)
    X = rng.standard_normal((n_samples, N_FEATURES), dtype=np.float32)
    for start in range(0, n_samples, 100_000):  # no second copy of X in the peak
        X[start : start + 100_000] += centers[y[start : start + 100_000]]
    y_noisy, wrong = flip_labels(y, symmetric_transition(N_CLASSES, RATE), random_state=0)
    return X, y_noisy, wrong


def work(name: str, n_samples: int) -> None:
    """Run one detector in this process and print what it took as JSON."""
    detector = DETECTORS[name]()
    if detector is None:
        print(json.dumps({"status": "not available"}))
        return
    X, y, wrong = make_mixture(n_samples)
    before = _peak_gb()
    started = time.perf_counter()
    detector.fit(X, y)
    seconds = time.perf_counter() - started
    peak = _peak_gb()
    suspicion = 1 - np.nan_to_num(detector.label_quality_, nan=1.0)
    result = {
        "status": "done",
        "seconds": round(seconds, 2),
        "us per row": round(1e6 * seconds / n_samples, 2),
        "peak GB": round(peak, 3),
        "before fit GB": round(before, 3),
        "ap": round(float(average_precision_score(wrong, suspicion)), 4),
    }
    print(json.dumps(result))


def _peak_gb() -> float:
    """The highest resident memory of this process and of those that it waited for."""
    factor = 2**30 if sys.platform == "darwin" else 2**20
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / factor


def scale(name: str, n_samples: int) -> dict:
    """Run one detector on one size in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", name, str(n_samples)]
    row = {"detector": name, "rows": n_samples}
    try:
        # The data and imports take time as well, and are not what is limited.
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS + 60)
    except subprocess.TimeoutExpired:
        return {**row, "status": f"over {LIMIT_SECONDS} s"}
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {**row, "status": lines[-1][:100]}
    row |= json.loads(done.stdout.splitlines()[-1])
    if row["status"] == "done":
        kept = row["seconds"] <= LIMIT_SECONDS and row["peak GB"] <= LIMIT_GB
        row["status"] = "within limits" if kept else "over limits"
    return row


def record(name: str, n_samples: int, repeats: int) -> dict:
    """Compare recorded training with bare training."""
    model, train, options = RECORDED[name]
    row = {"model": name, "data": f"{n_samples}x20"}
    X, y = make_classification(
        n_samples, 20, n_informative=10, n_classes=3, flip_y=0.1, random_state=0
    )
    try:
        detector = part("TrainingDynamics", estimator=clone(model), **options)
        if detector is None:
            return {**row, "status": "not available"}
        pairs = []
        for repeat in range(repeats):
            calls = [
                lambda: train(clone(model), X, y),
                lambda: clone(detector).fit(X, y),
            ]
            # In turn, so that neither is always the one that finds the caches warm.
            order = (0, 1) if repeat % 2 == 0 else (1, 0)
            seconds = dict.fromkeys(order, 0.0)
            for which in order:
                started = time.perf_counter()
                calls[which]()
                seconds[which] = time.perf_counter() - started
            pairs.append((seconds[0], seconds[1]))
    except Exception as error:
        return {**row, "status": f"{type(error).__name__}: {error}"[:100]}
    bare, recorded = np.array(pairs).T
    ratio = float(np.median(recorded / bare))
    return {
        **row,
        "status": "within target" if ratio <= 1.1 else "over target",
        "bare, s": round(float(np.median(bare)), 3),
        "recorded, s": round(float(np.median(recorded)), 3),
        "median ratio": round(ratio, 3),
        "target": 1.1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    parser.add_argument("--full", action="store_true", help="a million rows as well")
    parser.add_argument("--detectors", nargs="*", default=list(DETECTORS), choices=DETECTORS)
    parser.add_argument("--sizes", nargs="+", type=int, default=None)
    parser.add_argument("--recorded", nargs="*", default=list(RECORDED), choices=RECORDED)
    parser.add_argument("--recorded-rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work[0], int(options.work[1]))
        return
    where = environment()
    whole = options.full and options.sizes is None and len(options.detectors) == len(DETECTORS)
    whole = whole and len(options.recorded) == len(RECORDED) and options.recorded_rows == 20_000
    # Only a whole run is kept under version control, unless another is asked for.
    folder = None if whole or options.keep else CACHE
    sizes = options.sizes or (SIZES if options.full else SIZES[:-1])
    rows = [scale(name, size) for name in options.detectors for size in sizes]
    if rows:
        write_results("bench_detection", rows, where, folder=folder)
        print()
    rows = [record(name, options.recorded_rows, options.repeats) for name in options.recorded]
    if rows:
        write_results("bench_detection_recording", rows, where, folder=folder)


if __name__ == "__main__":
    main()
