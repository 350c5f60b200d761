"""
===================================
Thresholds and how good the list is
===================================

How many of the flagged labels are wrong? Thresholds estimate the precision of the list of errors,
with an interval, without knowing which labels are.
"""

# %%
# A fifth of the labels are wrong, and 120 rows drawn at random were verified.
import numpy as np
from sklearn.datasets import make_classification

from skrobust.noise import flip_labels, symmetric_transition

X, y_true = make_classification(
    1500, n_features=12, n_informative=6, n_classes=3, class_sep=1.5, flip_y=0, random_state=0
)
y, wrong = flip_labels(y_true, symmetric_transition(3, 0.2), random_state=0)
verified = np.full(len(y), None, dtype=object)
drawn = np.random.default_rng(0).choice(len(y), 120, replace=False)
verified[drawn] = y_true[drawn]

# %%
# The same forest with three thresholds. Verified rows are left out of the true precision.
from sklearn.ensemble import ExtraTreesClassifier

from skrobust.detection import (
    ConfidentLearning,
    DecoyThreshold,
    TrustedThreshold,
)

forest = ExtraTreesClassifier(
    100, min_samples_leaf=3, bootstrap=True, oob_score=True, random_state=0
)
thresholds = {
    "DecoyThreshold()": (DecoyThreshold(), None),
    "DecoyThreshold(precision=0.9)": (DecoyThreshold(precision=0.9), None),
    "TrustedThreshold(precision=0.9)": (TrustedThreshold(precision=0.9), verified),
}
unverified = np.setdiff1d(np.arange(len(y)), drawn)
rows = []
for name, (threshold, labels) in thresholds.items():
    detector = ConfidentLearning(forest, threshold=threshold, random_state=0)
    detector.fit(X, y, verified_labels=labels)
    fitted = detector.fitted_threshold_
    flagged = unverified[detector.label_errors_[unverified]]
    interval = fitted.estimated_precision_interval_
    rows.append((name, fitted.estimated_precision_, interval, wrong[flagged].mean()))
    print(f"{name}: {len(flagged)} flagged, estimated recall {fitted.estimated_recall_:.2f}")

# %%
# Estimates with their intervals, and the true precision.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
for place, (_, estimate, (low, high), truth) in enumerate(rows):
    ax.plot([low, high], [place, place], color="tab:blue", label="interval" if not place else None)
    ax.plot(estimate, place, "o", color="tab:blue", label="estimate" if not place else None)
    ax.plot(truth, place, "x", color="black", markersize=9, label="truth" if not place else None)
ax.set_yticks(range(len(rows)), [name for name, *_ in rows])
ax.set(xlabel="precision of the flagged labels", xlim=(0, 1.02))
ax.invert_yaxis()
ax.legend(loc="lower left")
plt.show()
