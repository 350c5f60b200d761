"""
======================
What the detector sees
======================

Digits of the MNIST test set whose labels have the lowest quality, among 2500 of which annotators
checked a hundred.
"""

# %%
# Several diverse models score each label without having been trained on it.
import numpy as np

from skrobust.datasets import load_mnist_errors
from skrobust.detection import EnsembleDetector

digits = load_mnist_errors()
checked = np.flatnonzero(digits.is_error >= 0)
others = np.setdiff1d(np.arange(len(digits.target)), checked)[:2400]
rows = np.concatenate([checked, others])
X, y, is_error = digits.data[rows] / 255, digits.target[rows], digits.is_error[rows]
detector = EnsembleDetector(n_rounds=1, random_state=0).fit(X, y)

# %%
# The checked labels are hard cases: annotators saw those that a model contradicted.
from skrobust.metrics import detection_report

known = is_error >= 0
report = detection_report(is_error[known] == 1, detector.label_quality_[known])
print(f"wrong among the checked labels: {(is_error == 1).sum()} of {known.sum()}")
print(f"average precision on the checked labels: {report['average_precision']:.2f}")

# %%
# Each digit has its given label and the suggested one. Those that annotators found to be wrong are
# framed in red, those that they confirmed in green; the others were not checked.
import matplotlib.pyplot as plt

worst = np.argsort(detector.label_quality_)[:24]
fig, axes = plt.subplots(3, 8, figsize=(10, 4.6), layout="constrained")
for ax, row in zip(axes.ravel(), worst, strict=True):
    ax.imshow(X[row].reshape(28, 28), cmap="gray_r")
    ax.set_title(f"{y[row]}, suggested {detector.suggested_labels_[row]}", fontsize=8)
    ax.set(xticks=[], yticks=[])
    colour = {1: "tab:red", 0: "tab:green"}.get(int(is_error[row]))
    for spine in ax.spines.values():
        spine.set(color=colour or "lightgrey", linewidth=3 if colour else 1)
plt.show()
