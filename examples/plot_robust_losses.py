"""
=============
Robust losses
=============

Cross-entropy punishes a network most for the labels that it contradicts most, the wrong ones among
them. Robust losses limit what a single row can cost.
"""

# %%
# Losses of one row against the predicted probability of its given label.
import matplotlib.pyplot as plt
import numpy as np
import torch

from skrobust.neural.losses import (
    CrossEntropy,
    GeneralizedCrossEntropy,
    MeanAbsoluteError,
    SymmetricCrossEntropy,
)

losses = {
    "cross-entropy": CrossEntropy(),
    "generalised cross-entropy": GeneralizedCrossEntropy(),
    "symmetric cross-entropy": SymmetricCrossEntropy(),
    "mean absolute error": MeanAbsoluteError(),
}

# %%
# A network for the digits, 40 per cent of whose labels are wrong, with each of them.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrobust.neural import NeuralClassifier
from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 8 - 1, y_true, test_size=0.4, random_state=0)
y, _ = flip_labels(y_true, symmetric_transition(10, 0.4), random_state=0)
scores = {}
for name, loss in losses.items():
    model = NeuralClassifier(
        criterion=loss, max_epochs=40, early_stopping=False, ema_decay=None, random_state=0
    )
    scores[name] = model.fit(X, y).score(X_test, y_test)
    print(f"{name}: accuracy on true test labels {scores[name]:.3f}")

# %%
# The bounded losses stop growing where a label is contradicted.
probability = torch.linspace(0.001, 0.999, 300)
logits = torch.stack([probability, 1 - probability], dim=1).log()
labels = torch.zeros(300, dtype=torch.long)
fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.8), layout="constrained", width_ratios=(3, 2))
for name, loss in losses.items():
    values = [loss(row[None], label[None]).item() for row, label in zip(logits, labels)]
    axes[0].plot(probability, values, label=name)
axes[0].set(xlabel="predicted probability of the given label", ylabel="loss of a row", ylim=(0, 5))
axes[0].legend()
bars = axes[1].barh(
    list(scores), list(scores.values()), color=[f"C{i}" for i in range(len(scores))]
)
axes[1].bar_label(bars, fmt="%.3f", padding=-36, color="white")
axes[1].invert_yaxis()
axes[1].set(xlabel="accuracy on true test labels", xlim=(0, 1), yticks=np.arange(4), yticklabels=[])
plt.show()
