"""
A corrected score with its interval
===================================

The labels that a model is scored with are wrong as well. Its score against them is too low, and
what it would be against the true labels can be estimated, with an interval: from an estimated
transition matrix, or from some verified rows.
"""

# %%
# Three classes, of which 30 % of the labels are wrong. Half of the rows train the model and the
# estimator of the transition; the others are held out.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs
from sklearn.ensemble import RandomForestClassifier

from skrobust.metrics import noise_corrected_score
from skrobust.noise import AnchorTransition, flip_labels, random_transition

X, truth = make_blobs(3000, centers=[[0, 0], [3, 0], [0, 3]], cluster_std=1.1, random_state=0)
y, _ = flip_labels(truth, random_transition(3, 0.3, random_state=0), random_state=0)
train, held_out = slice(0, 1500), slice(1500, 3000)

model = RandomForestClassifier(100, min_samples_leaf=20, random_state=0)
pred = model.fit(X[train], y[train]).predict(X[held_out])
transition = AnchorTransition(n_bootstrap=200, random_state=0).fit(X[train], y[train])

# %%
# A hundred held-out rows, drawn at random, are verified by a reviewer.
verified = np.full(1500, np.nan)
rows = np.random.default_rng(0).choice(1500, 100, replace=False)
verified[rows] = truth[held_out][rows]

metrics = ["accuracy", "balanced_accuracy", "f1_macro", "matthews_corrcoef"]
ways = {
    "transition matrix": {"transition": transition},
    "100 verified rows": {"verified_labels": verified},
}
found = {
    way: [noise_corrected_score(y[held_out], pred, metric=metric, **options) for metric in metrics]
    for way, options in ways.items()
}
clean = [
    noise_corrected_score(truth[held_out], pred, metric=metric, transition=np.eye(3)).score
    for metric in metrics
]

# %%
# The score of the given labels is far too low; both intervals hold the true one. That of the
# transition matrix relies on the noise being the same for all rows of a class, that of the
# verified rows on nothing but the draw.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
place = np.arange(len(metrics))
noisy = [estimate.noisy_score for estimate in found["transition matrix"]]
ax.plot(place, noisy, "x", color="tab:red", label="given labels")
ax.plot(place, clean, "_", color="black", markersize=30, label="true labels")
for shift, (way, estimates) in zip((-0.12, 0.12), found.items(), strict=True):
    scores = np.array([estimate.score for estimate in estimates])
    ends = np.array([estimate.interval for estimate in estimates]).T
    # A shrunk score is not in the middle of its interval.
    ax.errorbar(place + shift, scores, np.abs(ends - scores), fmt="o", capsize=4, label=way)
ax.set_xticks(place, metrics)
ax.set_ylabel("score, with interval of 95 %")
ax.legend()
plt.show()
