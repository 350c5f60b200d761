"""
===================
Transition matrices
===================

How do labels go wrong? Row *i* of the transition matrix holds the probabilities of the given
labels of rows of true class *i*. Four estimators find it from the given labels.
"""

# %%
# Labels of four groups of digits go wrong in one direction more often than in others.
import numpy as np
from sklearn.datasets import load_digits

from skrobust.noise import flip_labels

X, y_true = load_digits(n_class=4, return_X_y=True)
X = X / 16
transition = np.array(
    [[0.9, 0.1, 0.0, 0.0], [0.0, 0.7, 0.3, 0.0], [0.0, 0.05, 0.9, 0.05], [0.2, 0.0, 0.0, 0.8]]
)
y, wrong = flip_labels(y_true, transition, random_state=0)
verified = np.full(len(y), None, dtype=object)
drawn = np.random.default_rng(0).choice(len(y), 40, replace=False)
verified[drawn] = y_true[drawn]

# %%
# The error of an estimate is half the sum of absolute differences of a row, in the mean.
# ``TrustedTransition`` also has 40 verified labels.
from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    DualTransition,
    NeighborTransition,
    TrustedTransition,
)

estimators = {
    "AnchorTransition": (AnchorTransition(random_state=0), None),
    "DualTransition": (DualTransition(random_state=0), None),
    "ConfidentTransition": (ConfidentTransition(random_state=0), None),
    "NeighborTransition": (NeighborTransition(random_state=0), None),
    "TrustedTransition": (TrustedTransition(random_state=0), verified),
}
errors = {}
for name, (estimator, labels) in estimators.items():
    estimator.fit(X, y, verified_labels=labels)
    errors[name] = np.abs(estimator.transition_matrix_ - transition).sum(axis=1).mean() / 2
    print(f"{name:20} error {errors[name]:.3f}, noise rate {estimator.noise_rate_:.3f}")
print(f"{'no noise assumed':20} error {np.abs(np.eye(4) - transition).sum(axis=1).mean() / 2:.3f}")

# %%
# The true matrix beside the estimate of the default estimator.
import matplotlib.pyplot as plt

from skrobust.inspection import TransitionMatrixDisplay

fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
TransitionMatrixDisplay(transition).plot(ax=axes[0], sort=False)
axes[0].set_title("true transition matrix")
anchors = estimators["AnchorTransition"][0]
TransitionMatrixDisplay.from_estimator(anchors, ax=axes[1], sort=False)
axes[1].set_title("AnchorTransition")
axes[2].barh(list(errors), list(errors.values()))
axes[2].invert_yaxis()
axes[2].set_xlabel("mean error of a row")
plt.show()
