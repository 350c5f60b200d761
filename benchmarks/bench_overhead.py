"""What does detection cost beyond the fits that it cannot do without?

The same folds, fits and predictions by scikit-learn alone (`cross_val_predict`, or a forest with
`oob_score=True`), and by ConfidentLearning, in turn; the ratio of each pair, and its median.

    python benchmarks/bench_overhead.py [--repeats 7]
"""

import argparse
import time

import numpy as np
from _common import environment, write_results
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from skrobust.detection import ConfidentLearning

SHAPES = ((5_000, 20, 3), (50_000, 30, 10))
MODELS = {
    "logistic regression, 5 folds": LogisticRegression(max_iter=200),
    "histogram boosting, 5 folds": HistGradientBoostingClassifier(max_iter=30, random_state=0),
    "out-of-bag forest": ExtraTreesClassifier(
        100, min_samples_leaf=5, bootstrap=True, oob_score=True, random_state=0
    ),
}


def seconds(function) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rows = []
    for n_samples, n_features, n_classes in SHAPES:
        X, y = make_classification(
            n_samples,
            n_features,
            n_informative=n_features // 2,
            n_classes=n_classes,
            flip_y=0.2,
            random_state=0,
        )
        for name, model in MODELS.items():
            forest = isinstance(model, ExtraTreesClassifier)
            pairs = []
            for _ in range(options.repeats):
                if forest:
                    alone = seconds(lambda: clone(model).fit(X, y))  # noqa: B023
                else:
                    alone = seconds(
                        lambda: cross_val_predict(model, X, y, method="predict_proba")  # noqa: B023
                    )
                ours = seconds(lambda: ConfidentLearning(model).fit(X, y))  # noqa: B023
                pairs.append((alone, ours))
            alone, ours = np.array(pairs).T
            rows.append(
                {
                    "shape": f"{n_samples}x{n_features}, {n_classes} classes",
                    "evidence": name,
                    "scikit-learn alone, s": round(float(np.median(alone)), 3),
                    "with detection, s": round(float(np.median(ours)), 3),
                    "median ratio": round(float(np.median(ours / alone)), 3),
                    "target": 1.05,
                }
            )
    write_results("bench_overhead", rows, environment())


if __name__ == "__main__":
    main()
