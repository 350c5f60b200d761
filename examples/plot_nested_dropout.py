"""
======================================
Nested dropout as ordered compression
======================================

Nested dropout trains a network whose first features matter most, so that it can be truncated to any
width after training.
"""

# %%
# The digits, 30 per cent of whose training labels are wrong.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrobust.neural import NestedDropoutClassifier, NeuralClassifier
from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 8 - 1, y_true, test_size=0.4, random_state=0)
y, _ = flip_labels(y_true, symmetric_transition(10, 0.3), random_state=0)
settings = dict(max_epochs=40, early_stopping=False, random_state=0)
model = NestedDropoutClassifier(**settings).fit(X, y)
plain = NeuralClassifier(ema_decay=None, weight_decay=0, **settings).fit(X, y)
plain_score = plain.score(X_test, y_test)
print(f"plain network {plain_score:.3f}, nested dropout {model.score(X_test, y_test):.3f}")

# %%
# Accuracy on true test labels by the number of features that are used.
import matplotlib.pyplot as plt
import numpy as np

from skrobust.inspection import NestedWidthDisplay

n_features = model.transform(X_test[:1]).shape[1]
scores = [
    np.mean(model.predict(X_test, width=width) == y_test) for width in range(1, n_features + 1)
]
enough = next(width for width, score in enumerate(scores, 1) if score > max(scores) - 0.01)
print(f"{enough} of {n_features} features come within a point of the best width")

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
display = NestedWidthDisplay(scores, width=enough).plot(ax=ax)
display.line_.set_label("nested dropout")
ax.set_ylabel("Accuracy on true test labels")
ax.axhline(plain_score, color="tab:grey", linestyle=":", label="plain network, all features")
ax.legend()
plt.show()
