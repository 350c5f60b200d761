"""
Models that cannot be distinguished
===================================

A test set with wrong labels rewards models that have learned the errors. Some verified rows show
which models are better, and which of them cannot be distinguished.
"""

# %%
# The wrong labels follow a rule, so that a flexible model learns them and a rigid one does not.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from skrobust.metrics import rank_models

rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 4))
truth = (X[:, 0] + X[:, 1] + 0.7 * rng.normal(size=3000) > 0).astype(int)
wrong = (X[:, 2] > 1) & (rng.random(3000) < 0.8)
y = np.where(wrong, 1 - truth, truth)

models = {
    "logistic regression": LogisticRegression(),
    "naive Bayes": GaussianNB(),
    "random forest": RandomForestClassifier(100, min_samples_leaf=5, random_state=0),
    "nearest neighbours": KNeighborsClassifier(25),
}
predictions = {name: cross_val_predict(model, X, y, cv=5) for name, model in models.items()}

# %%
# A hundred and fifty rows, drawn at random, are verified.
verified = np.full(3000, np.nan)
rows = rng.choice(3000, 150, replace=False)
verified[rows] = truth[rows]
ranking = rank_models(y, predictions, verified_labels=verified, random_state=0)
for pair in ranking.pairs:
    low, high = pair["interval"]
    print(f"{pair['first']} - {pair['second']}: {low:.3f} to {high:.3f}, {pair['result']}")

# %%
# By the given labels, the random forest is best by far. By the verified ones it is the worst; the
# two linear models cannot be distinguished, although their scores differ.
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
place = np.arange(len(ranking.names))
reach = np.abs(ranking.intervals.T - ranking.scores)
axes[0].errorbar(ranking.scores, place, xerr=reach, fmt="o", capsize=4, label="verified rows")
axes[0].plot(ranking.given_scores, place, "x", color="tab:red", label="given labels")
axes[0].set_yticks(place, ranking.names)
axes[0].invert_yaxis()
axes[0].set_xlabel("accuracy")
axes[0].legend()
for height, pair in enumerate(ranking.pairs):
    apart = pair["result"] != "cannot be told apart"
    color = "tab:blue" if apart else "gray"
    axes[1].plot(pair["interval"], [height, height], color=color)
    axes[1].plot(pair["difference"], height, "o", color=color)
axes[1].axvline(0, color="black", linestyle=":")
pairs = [f"{pair['first']} -\n{pair['second']}" for pair in ranking.pairs]
axes[1].set_yticks(range(len(pairs)), pairs, fontsize=7)
axes[1].invert_yaxis()
axes[1].set_xlabel("difference of accuracies")
axes[1].set_title("gray: cannot be distinguished", fontsize=9)
plt.show()
