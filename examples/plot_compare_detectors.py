"""
=================
Compare detectors
=================

Five detectors rank the labels of the same table, with errors of two kinds, and are compared with
the truth. The default, :class:`~skrobust.detection.EnsembleDetector`, combines several models.
"""

# %%
# Symmetric noise exchanges a label for any other one, pair noise for that of the next class.
from sklearn.datasets import load_digits

from skrobust.noise import flip_labels, pair_transition, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, y_true = X[:900] / 16, y_true[:900]
noises = {
    "symmetric, 20 %": flip_labels(y_true, symmetric_transition(10, 0.2), random_state=0),
    "pair, 30 %": flip_labels(y_true, pair_transition(10, 0.3), random_state=0),
}

# %%
# Each detector is fitted to the given labels alone.
import time

from sklearn.linear_model import LogisticRegression

from skrobust.detection import (
    ConfidentLearning,
    DensityDetector,
    EnsembleDetector,
    NeighborVote,
    TrainingDynamics,
)
from skrobust.metrics import detection_report

detectors = {
    "EnsembleDetector": EnsembleDetector(n_rounds=1, random_state=0),
    "ConfidentLearning": ConfidentLearning(LogisticRegression(max_iter=1000), random_state=0),
    "NeighborVote": NeighborVote(),
    "TrainingDynamics": TrainingDynamics(random_state=0),
    "DensityDetector": DensityDetector(random_state=0),
}
results = {}
for name, detector in detectors.items():
    for noise, (y, wrong) in noises.items():
        start = time.perf_counter()
        detector.fit(X, y)
        seconds = time.perf_counter() - start
        report = detection_report(wrong, detector.label_quality_, detector.label_errors_)
        results[name, noise] = report
        print(
            f"{name:18} {noise:16} average precision {report['average_precision']:.2f},"
            f" F1 of the flags {report['f1']:.2f}, {seconds:.1f} s"
        )

# %%
# Average precision is a score of the ranking, F1 of the flagged rows.
import matplotlib.pyplot as plt
import numpy as np

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True, layout="constrained")
places = np.arange(len(detectors))
for ax, (measure, label) in zip(
    axes, {"average_precision": "average precision", "f1": "F1 of the flags"}.items(), strict=True
):
    for shift, noise in zip((-0.2, 0.2), noises, strict=True):
        values = [results[name, noise][measure] for name in detectors]
        ax.barh(places + shift, values, 0.38, label=noise)
    ax.set(xlabel=label, xlim=(0, 1))
axes[0].set_yticks(places, detectors)
axes[0].invert_yaxis()
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
plt.show()
