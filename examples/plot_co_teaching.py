"""
===========
Co-teaching
===========

Two networks choose for each other the rows of a batch that have a small loss, and learn from those.
The share left out is the forget rate, estimated or given.
"""

# %%
# 40 per cent of the labels of the digits are wrong.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 8 - 1, y_true, test_size=0.4, random_state=0)
y, wrong = flip_labels(y_true, symmetric_transition(10, 0.4), random_state=0)

# %%
# Too low a forget rate leaves wrong labels in, too high a one leaves hard rows out. Scores are
# means of three seeds.
import numpy as np

from skrobust.neural import CoTeachingClassifier, NeuralClassifier

settings = dict(max_epochs=30, early_stopping=False)


def mean_score(model):
    """Mean accuracy on true test labels over three seeds."""
    scores = []
    for seed in range(3):
        model.set_params(random_state=seed, **settings).fit(X, y)
        scores.append(model.score(X_test, y_test))
    return np.mean(scores)


plain_score = mean_score(NeuralClassifier(ema_decay=None, weight_decay=0))
rates = [0.0, 0.2, 0.4, 0.6]
scores = [mean_score(CoTeachingClassifier(forget_rate=rate)) for rate in rates]
estimated_score = mean_score(CoTeachingClassifier())
estimated = CoTeachingClassifier(random_state=0, **settings).fit(X, y).forget_rate_
print(f"plain network: {plain_score:.3f}")
print(f"co-teaching, estimated forget rate {estimated:.2f}: {estimated_score:.3f}")
for rate, score in zip(rates, scores, strict=True):
    print(f"co-teaching, forget rate {rate:.1f}: {score:.3f}")

# %%
# Accuracy on true test labels against the forget rate.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(rates, scores, "o-", label="co-teaching, given forget rate")
ax.plot(estimated, estimated_score, "k*", markersize=14, label="estimated")
ax.axhline(plain_score, color="tab:grey", linestyle=":", label="plain network")
ax.axvline(wrong.mean(), color="tab:red", linestyle="--", label="true noise rate")
ax.set(xlabel="forget rate", ylabel="accuracy on true test labels")
ax.legend()
plt.show()
