"""Which networks survive the errors of annotators of images?

Features of CIFAR-10 images with the worst of three labels of annotators, 41 % of which are
wrong. As `neural_tabular.py`, whose methods, tuning and figures these are: four trials of 15
epochs with five seeds; without --full, of 10 000 rows, and written to a file of their own.

    python benchmarks/neural_cifar10n.py [--full] [--jobs 2] [--methods ...]
    python benchmarks/neural_cifar10n.py --curves

With --curves: how often plain training, nested dropout, co-teaching and ELR predict the given
label of wrong rows that they are trained on, epoch by epoch.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cells run in parallel instead
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys

import numpy as np
from _common import environment, write_results
from _neural_methods import measure, memorisation
from _tables import data_folder, load_real
from neural_tabular import run

NAMES = {"worse": None, "worse, 10 000 rows": 10_000}
SETTINGS = (5, 4, 15)  # seeds, trials, epochs
CURVES = ("plain", "nested dropout", "co-teaching", "ELR")
N_CURVE_ROWS, CURVE_EPOCHS = 10_000, 40


def load(n_rows: int | None, labels: str = "worse"):
    """Rows to train on, given and true labels; and rows to test on, with theirs."""
    data = load_real(f"cifar10n/{labels}", n_rows)
    folder = data_folder() / "cifar10n"
    with np.load(folder / "features256.npz") as X, np.load(folder / "labels.npz") as y:
        test = X["X_test"].astype(np.float32), y["test_label"]
    return (data.X, data.y, data.truth), test


def measure_cell(cell: dict, methods: list[str]) -> dict:
    """Measure some methods."""
    rows, test_rows = load(NAMES[cell["data"]])
    how = {"seed": cell["seed"], "n_trials": cell["trials"], "max_epochs": cell["epochs"]}
    return {what: measure(what, rows, test_rows, **how) for what in methods}


def curves() -> None:
    """Write down the memorisation curves."""
    rows, _ = load(N_CURVE_ROWS)
    found = {what: memorisation(what, rows, seed=0, max_epochs=CURVE_EPOCHS) for what in CURVES}
    table = [
        {"epoch": epoch + 1, **{what: round(curve[epoch], 4) for what, curve in found.items()}}
        for epoch in range(CURVE_EPOCHS)
    ]
    write_results("neural_memorisation", table, environment())


if __name__ == "__main__":
    if "--curves" in sys.argv:
        curves()
    else:
        full = "--full" in sys.argv
        name = "neural_cifar10n" if full else "neural_cifar10n_10000"
        data = "worse" if full else "worse, 10 000 rows"
        run(name, __doc__, (data,), measure_cell, (SETTINGS, SETTINGS))
