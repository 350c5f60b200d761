"""
Where to put the threshold
==========================

Under accuracy, noisy labels choose between models nearly as well as clean ones. A threshold is
another matter: where many negatives are labelled positive, the F1 score of the given labels is
highest at a threshold at which too much is predicted to be positive.
"""

# %%
# One row in eight is positive; a quarter of the negatives are labelled positive.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import TunedThresholdClassifierCV

from skrobust.model_selection import make_noise_corrected_scorer
from skrobust.noise import flip_labels

rng = np.random.default_rng(0)
truth = (rng.random(8000) < 0.12).astype(int)
X = rng.normal(size=(8000, 2)) + 1.5 * truth[:, None]
transition = np.array([[0.75, 0.25], [0.05, 0.95]])
y, _ = flip_labels(truth, transition, random_state=0)
train, test = slice(0, 4000), slice(4000, 8000)

# %%
# The threshold is tuned in five folds, by F1 of the given labels, by F1 of the clean labels, which
# one does not have, and by F1 corrected for the noise.
corrected = make_noise_corrected_scorer("f1", transition=transition)
curves = {}
for name, labels, scoring in (
    ("given labels", y, "f1"),
    ("given labels, corrected", y, corrected),
    ("clean labels", truth, "f1"),
):
    # The model itself is trained on the given labels in each case.
    model = LogisticRegression().fit(X[train], y[train])
    tuned = TunedThresholdClassifierCV(
        model, scoring=scoring, cv="prefit", refit=False, store_cv_results=True
    )
    tuned.fit(X[train], labels[train])
    curves[name] = tuned
    score = f1_score(truth[test], tuned.predict(X[test]))
    print(f"{name}: threshold {tuned.best_threshold_:.2f}, F1 of clean test rows {score:.3f}")

# %%
# The corrected curve has its maximum where that of the clean labels has it.
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, tuned in curves.items():
    results = tuned.cv_results_
    (line,) = ax.plot(results["thresholds"], results["scores"], label=name)
    ax.axvline(tuned.best_threshold_, color=line.get_color(), linestyle=":")
ax.set_xlabel("threshold of the probability")
ax.set_ylabel("F1 score")
ax.legend()
plt.show()
