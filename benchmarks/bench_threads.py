"""What do BLAS threads cost, and how long do the defaults take on large and wide tables?

Each case runs in a process of its own, with one thread (OMP_NUM_THREADS=1) and with as many as the
libraries choose (unset). Wall and CPU seconds are of the fit alone. No default should take longer
with more threads than with one, nor a minute of CPU time on 20 000 rows and 30 columns.

    python benchmarks/bench_threads.py [--cases NAME ...] [--keep]

Without --keep: prints, and writes to the cache folder. Other work on the machine makes threads wait
for each other: compare CPU seconds where it is not idle.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _cells import CACHE
from _common import RESULTS, environment, write_results
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from skrobust.detection import ConfidentLearning, EnsembleDetector, NeighborVote
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.wrappers import CleaningClassifier


def table(n_samples: int, n_features: int, n_classes: int):
    """Make a table of classes that overlap, with a tenth of the labels wrong."""
    X, y = make_classification(
        n_samples,
        n_features,
        n_informative=min(n_features // 2, 20),
        n_redundant=n_features // 4,
        n_classes=n_classes,
        n_clusters_per_class=1,
        random_state=0,
    )
    y, _ = flip_labels(y, symmetric_transition(n_classes, 0.1), random_state=0)
    return X.astype(np.float32), y


def text(n_samples: int, n_classes: int):
    """Make texts of words that are more frequent in one class than in others."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n_samples)
    common = rng.zipf(1.3, size=(n_samples, 40)) % 5000
    own = 5000 + 200 * y[:, None] + rng.zipf(1.5, size=(n_samples, 10)) % 200
    texts = [" ".join(f"w{word}" for word in row) for row in np.hstack([common, own])]
    y, _ = flip_labels(y, symmetric_transition(n_classes, 0.1), random_state=0)
    return TfidfVectorizer().fit_transform(texts), y


def mnist():
    """Load the digits of the package."""
    from skrobust.datasets import load_mnist_errors

    digits = load_mnist_errors()
    return digits.data / 255, digits.target


def member(name: str):
    """Make the detector of one default model of the ensemble."""
    from skrobust.detection import _ensemble_members as members

    return ConfidentLearning(getattr(members, name)(), random_state=0)


def audit(kind: str):
    """Make the detector of the command line; features are numbers already."""
    from skrobust._cli._audit import make_detector

    return make_detector(kind)[0]


def network():
    """Make a network of the default size that trains for a few epochs."""
    from skrobust.neural import NeuralClassifier

    return NeuralClassifier(max_epochs=5, random_state=0)


LARGE, DIGITS = (table, 20_000, 30, 4), (mnist,)
# --------------------------------------------------------------------------------------------
# Registry: name -> (callable() -> estimator, function that makes X and y, its arguments).
# --------------------------------------------------------------------------------------------
CASES: dict[str, tuple] = {
    "forest, MNIST": (lambda: ConfidentLearning(random_state=0), *DIGITS),
    "neighbours, MNIST": (lambda: NeighborVote(random_state=0), *DIGITS),
    "linear, MNIST": (lambda: member("ScaledLogisticRegression"), *DIGITS),
    "quadratic, MNIST": (lambda: member("QuadraticLogisticRegression"), *DIGITS),
    "kernel, MNIST": (lambda: member("KernelLogisticRegression"), *DIGITS),
    "Gaussian, MNIST": (lambda: member("GaussianComponents"), *DIGITS),
    "EnsembleDetector, MNIST": (lambda: EnsembleDetector(random_state=0), *DIGITS),
    "CleaningClassifier, MNIST": (lambda: CleaningClassifier(random_state=0), *DIGITS),
    "LogisticRegression out of fold, MNIST": (
        lambda: ConfidentLearning(LogisticRegression(max_iter=50)),
        *DIGITS,
    ),
    "NeuralClassifier, MNIST": (network, *DIGITS),
    "EnsembleDetector, 20000 x 30 x 4": (lambda: audit("ensemble"), *LARGE),
    "audit forest, 20000 x 30 x 4": (lambda: audit("forest"), *LARGE),
    "audit logistic, 20000 x 30 x 4": (lambda: audit("logistic"), *LARGE),
    "audit boosting, 20000 x 30 x 4": (lambda: audit("boosting"), *LARGE),
    "EnsembleDetector, 3000 x 62 x 10": (EnsembleDetector, table, 3_000, 62, 10),
    "EnsembleDetector, 2000 x 2000 x 5": (EnsembleDetector, table, 2_000, 2_000, 5),
    "EnsembleDetector, text 5000 x 10": (EnsembleDetector, text, 5_000, 10),
}
# ------------------------------------------------------------------------ end of the registries


def run_case(name: str) -> None:
    """Measure one case and print the seconds as JSON."""
    make, data, *arguments = CASES[name]
    X, y = data(*arguments)
    estimator = make()
    if name.startswith("audit"):
        import pandas as pd

        X = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))


def measure(name: str, threads: str | None) -> list[float]:
    """Run a case in a process with a number of threads, or with as many as libraries choose."""
    variables = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    if threads is not None:
        variables["OMP_NUM_THREADS"] = threads
    command = [sys.executable, Path(__file__).resolve(), "--run", name]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES, metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="write to benchmarks/results")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run_case(options.run)
        return
    rows = []
    for name in options.cases:
        one, many = measure(name, "1"), measure(name, None)
        row = {
            "case": name,
            "wall, one thread": round(one[0], 2),
            "CPU, one thread": round(one[1], 2),
            "wall, default": round(many[0], 2),
            "CPU, default": round(many[1], 2),
            "load": round(os.getloadavg()[0], 1),
        }
        print(row, flush=True)
        rows.append(row)
    folder = RESULTS if options.keep else CACHE
    earlier = folder / "bench_threads.json"
    if earlier.exists():  # cases that were not run keep their figures
        known = json.loads(earlier.read_text(encoding="utf-8"))["rows"]
        rows += [row for row in known if row["case"] not in options.cases]
    rows.sort(key=lambda row: list(CASES).index(row["case"]))
    write_results("bench_threads", rows, environment(), folder=folder)


if __name__ == "__main__":
    main()
