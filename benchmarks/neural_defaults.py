"""What defaults of the networks are worth that survive wrong labels.

Four tables with 40 % of symmetric noise, as in `neural_tabular.py`, and 10 000 feature vectors of
CIFAR-10 images with human labels, 41 % and 9 % of which are wrong. Nothing is tuned: the classes'
own defaults but for 50 epochs (15 for the images) and what a row names. Reported: mean accuracy on
true labels. Co-teaching is given the share of wrong labels, or one that is estimated.

    python benchmarks/neural_defaults.py [--full] [--jobs 2] [--methods ...]

Three seeds; without --full, one. Killed runs go on where they were; see `_cells.py`. Reads the data
from the folder named by SKROBUST_DATA (default ../shared/data).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse

import neural_cifar10n
import neural_tabular
import numpy as np
import pandas as pd
from _cells import CACHE, add_options, measured
from _common import environment, write_results
from _neural_methods import PLAIN
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
)
from skrobust.noise import AnchorTransition, ConfidentTransition

IMAGES = {"images, worse": "worse", "images, aggre": "aggre"}
DATA = (*neural_tabular.TABLES, *IMAGES)
N_IMAGES, EPOCHS, EPOCHS_IMAGES = 10_000, 50, 15
N_FEATURES = 128  # of the last hidden layer, by default
NESTED, ELR, CO_TEACHING = NestedDropoutClassifier(), ELRClassifier(), CoTeachingClassifier()

METHODS = {
    "plain": (NeuralClassifier(**PLAIN), {}),
    "plain, early stopping": (NeuralClassifier(**{**PLAIN, "early_stopping": True}), {}),
    "regularised": (NeuralClassifier(), {}),
    "nested dropout, sigma 1/16": (NESTED, {"sigma": N_FEATURES / 16}),
    "nested dropout, sigma 1/8": (NESTED, {"sigma": N_FEATURES / 8}),
    "nested dropout, sigma 1/4": (NESTED, {"sigma": N_FEATURES / 4}),
    "nested dropout, sigma 1/2": (NESTED, {"sigma": N_FEATURES / 2}),
    "nested dropout, sigma 1": (NESTED, {"sigma": N_FEATURES}),
    "ELR, at once": (ELR, {"n_gradual": 0}),
    "ELR, gradually": (ELR, {"n_gradual": 10}),
    "ELR, strength 7, at once": (ELR, {"n_gradual": 0, "strength": 7.0}),
    "ELR, strength 7, gradually": (ELR, {"n_gradual": 10, "strength": 7.0}),
    "ELR ensemble, at once, mixup 1": (ELR, {"n_gradual": 0, "ensemble": True, "mixup": 1.0}),
    "ELR ensemble, mixup 1": (ELR, {"ensemble": True, "mixup": 1.0}),
    "ELR ensemble, mixup 0.2": (ELR, {"ensemble": True, "mixup": 0.2}),
    "co-teaching, confident joint": (CO_TEACHING, {"forget_rate": ConfidentTransition()}),
    "co-teaching, anchors": (CO_TEACHING, {"forget_rate": AnchorTransition()}),
    "co-teaching, true rate": (CO_TEACHING, {"forget_rate": None}),
}


def load(name: str, seed: int):
    """Scaled rows to train on, given and true labels; rows to test on, and theirs."""
    if name in IMAGES:
        rows, test_rows = neural_cifar10n.load(N_IMAGES, IMAGES[name])
    else:
        rows, test_rows = neural_tabular.load(name, seed)
    (X, given, truth), (X_test, y_test) = rows, test_rows
    scaler = StandardScaler().fit(X)
    return scaler.transform(X), given, truth, scaler.transform(X_test), y_test


def measure_cell(cell: dict, methods: list[str]) -> dict:
    """Measure some methods on one data set."""
    seed = cell["seed"]
    X, given, truth, X_test, y_test = load(cell["data"], seed)
    found = {}
    for what in methods:
        model, params = METHODS[what]
        if "forget_rate" in params:
            estimator = params["forget_rate"]
            rate = float(np.mean(given != truth))
            if estimator is not None:
                rate = clone(estimator).set_params(random_state=seed).fit(X, given).noise_rate_
            params = {"forget_rate": min(rate, 0.9)}
        n_epochs = EPOCHS_IMAGES if cell["data"] in IMAGES else EPOCHS
        model = clone(model).set_params(**params, max_epochs=n_epochs, random_state=seed)
        accuracy = float(np.mean(model.fit(X, given).predict(X_test) == y_test))
        found[what] = {"accuracy": accuracy, "forget rate": params.get("forget_rate")}
    return found


def summarise(frame: pd.DataFrame) -> list[dict]:
    """One row per method: its mean accuracy on each data set, and the forget rates."""
    table = frame.pivot_table(index="method", columns="data", values="accuracy")
    rates = frame.pivot_table(index="method", columns="data", values="forget rate")
    rows = [
        {
            "method": what,
            **{data: round(float(table.loc[what, data]), 4) for data in DATA if data in table},
            "mean": round(float(table.loc[what].mean()), 4),
        }
        for what in METHODS
        if what in table.index
    ]
    rows += [
        {
            "method": f"{what}: forget rate",
            **{data: round(float(rates.loc[what, data]), 4) for data in DATA if data in rates},
        }
        for what in METHODS
        if what in rates.index
    ]
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    n_seeds = 3 if options.full else 1
    cells = [{"data": data, "seed": seed} for seed in range(n_seeds) for data in DATA]
    frame, complete = measured("neural_defaults", cells, measure_cell, METHODS, options)
    where = {**environment(), "seeds": n_seeds}
    folder = None if complete or options.keep else CACHE
    write_results("neural_defaults", summarise(frame), where, folder=folder)
