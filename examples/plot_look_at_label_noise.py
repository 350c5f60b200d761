"""
===================================
Look at label noise before cleaning
===================================

Which labels are confused with which, how many rows are suspicious, and how good is the list of
flagged rows? Labels of the digits data set are flipped in one direction, so that the displays can
be compared with the true labels.
"""

# %%
# One label in seven becomes the label of the next class.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from skrobust.detection import EnsembleDetector
from skrobust.noise import flip_labels, pair_transition

X, y_true = load_digits(return_X_y=True)
X, y_true = X[:900], y_true[:900]
y, flipped = flip_labels(y_true, pair_transition(10, 0.15), random_state=0)
detector = EnsembleDetector(n_rounds=1, random_state=0).fit(X, y)
low, high = detector.noise_rate_interval_
print(
    f"wrong: {flipped.mean():.1%}, estimated: {detector.noise_rate_:.1%}, {low:.1%} to {high:.1%}"
)
print(detector.reliability_, "-", detector.reliability_reason_)

# %%
# The transition matrix is estimated from the given labels alone. Only its errors are coloured: all
# of them lie beside the diagonal, as they were made.
from skrobust.inspection import TransitionMatrixDisplay

_, ax = plt.subplots(figsize=(6.5, 5.5), layout="constrained")
TransitionMatrixDisplay.from_estimator(detector, ax=ax, sort=False)
plt.show()

# %%
# Label quality has two humps: wrong labels near 0, right ones near 1. Precision and recall against
# the number of rows show what a longer or shorter list would contain; dashed lines are estimated
# without the true labels.
from skrobust.inspection import DetectionCurveDisplay, LabelQualityDisplay

_, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
LabelQualityDisplay.from_estimator(detector, y, ax=axes[0], max_classes=3)
DetectionCurveDisplay.from_estimator(detector, y, y_true, ax=axes[1])
plt.show()
