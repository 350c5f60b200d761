"""What cleaning is worth for a model too simple for the data, beside cleanlab's CleanLearning.

Logistic regression on make_classification with 20 % symmetric noise in the training labels; the
accuracy on clean test rows. "untrimmed" is without `trim`, "own" with confident learning by the
same model as the detector.

    python benchmarks/simple_models.py [--seeds 10] [--rows 20000] [--keep]
"""

import argparse
import tempfile
import time
import warnings

import numpy as np
from _cells import CACHE
from _common import environment, write_results
from cleanlab.classification import CleanLearning
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skrobust.detection import ConfidentLearning
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.wrappers import CleaningClassifier

SEPARATIONS = (0.5, 1.0, 2.0)


def _methods(seed, memory):
    model = LogisticRegression(max_iter=1000)
    linear = ConfidentLearning(model, random_state=seed)
    default = {"random_state": seed, "memory": memory}  # detects once for both actions
    return {
        "plain": model,
        "cleanlab": CleanLearning(model, seed=seed),
        "drop": CleaningClassifier(model, action="drop", **default),
        "drop, untrimmed": CleaningClassifier(model, action="drop", trim=False, **default),
        "relabel": CleaningClassifier(model, action="relabel", **default),
        "relabel, untrimmed": CleaningClassifier(model, trim=False, **default),
        "drop, own": CleaningClassifier(model, linear, action="drop"),
        "relabel, own": CleaningClassifier(model, linear, action="relabel"),
    }


def run(n_rows, seed, separation) -> dict:
    """Accuracies and seconds of all methods on one data set."""
    X, y = make_classification(
        n_rows, 20, n_informative=10, n_classes=3, class_sep=separation, random_state=seed
    )
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=seed)
    given, _ = flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)
    found = {"upper": float(LogisticRegression(max_iter=1000).fit(X, y).score(X_test, y_test))}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in _methods(seed, folder).items():
            start = time.process_time()
            found[name] = float(np.mean(model.fit(X, given).predict(X_test) == y_test))
            found[f"{name} seconds"] = time.process_time() - start
    return found


def main() -> None:
    """Print one line per data set, and write the means per separation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--separations", type=float, nargs="*", default=SEPARATIONS)
    parser.add_argument("--keep", action="store_true", help="write to results, not to the cache")
    args = parser.parse_args()
    results, where = [], environment()
    for separation in args.separations:
        cells = []
        for seed in range(args.seeds):
            cells.append(run(args.rows, seed, separation))
            found = {name: round(value, 3) for name, value in cells[-1].items()}
            print({"separation": separation, "seed": seed, **found}, flush=True)
        row = {"separation": separation, "data sets": len(cells)}
        for name in cells[0]:
            digits = 2 if "seconds" in name else 4
            row[name] = round(float(np.mean([cell[name] for cell in cells])), digits)
        results.append(row)
        write_results("simple_models", results, where, folder=None if args.keep else CACHE)


if __name__ == "__main__":
    main()
