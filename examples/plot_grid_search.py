"""
===============================
Tune a model on noisy labels
===============================

Cross-validation on noisy labels scores too low, but mostly keeps the order of candidates. So the
classifier inside a wrapper is tuned like any other.
"""

# %%
# A table with a quarter of its training labels wrong.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 16, y_true, train_size=1200, random_state=0)
y, _ = flip_labels(y_true, symmetric_transition(10, 0.25), random_state=0)

# %%
# With ``memory``, labels are scored once per training fold instead of once per candidate.
import tempfile

from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from skrobust import CleaningClassifier, EnsembleDetector

forest = ExtraTreesClassifier(
    60, min_samples_leaf=3, bootstrap=True, oob_score=True, random_state=0
)
model = CleaningClassifier(
    KNeighborsClassifier(),
    EnsembleDetector([forest, "neighbors"], n_rounds=1),
    random_state=0,
    memory=tempfile.mkdtemp(),
)
grid = {
    "estimator__n_neighbors": [1, 3, 9, 27, 81],
    "estimator__weights": ["uniform", "distance"],
    "action": ["relabel", "drop"],
}
search = GridSearchCV(model, grid, cv=3).fit(X, y)
print(search.best_params_, round(search.best_score_, 3))
print("accuracy of the refitted model on true labels:", round(search.score(X_test, y_test), 3))

# %%
# Each candidate, fitted to all training rows, on true test labels: what the search could not see.
import matplotlib.pyplot as plt
from scipy.stats import spearmanr
from sklearn.base import clone

candidates = search.cv_results_["params"]
true_scores = [
    clone(model).set_params(**params).fit(X, y).score(X_test, y_test) for params in candidates
]
noisy_scores = search.cv_results_["mean_test_score"]
print("rank correlation:", round(spearmanr(noisy_scores, true_scores).statistic, 2))

fig, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
for action, marker in {"relabel": "o", "drop": "s"}.items():
    chosen = [place for place, params in enumerate(candidates) if params["action"] == action]
    ax.plot(noisy_scores[chosen], [true_scores[place] for place in chosen], marker, label=action)
best = search.best_index_
ax.plot(noisy_scores[best], true_scores[best], "k*", markersize=16, label="chosen", zorder=0)
ax.set(xlabel="cross-validated accuracy on given labels", ylabel="accuracy on true test labels")
ax.legend()
plt.show()
