"""
==================
Unreliable sources
==================

Labels come from ten sites, and some sites mix up the classes.
:class:`~skrobust.wrappers.SourceRobustClassifier` finds the sites that disagree with all others,
and trains without them.
"""

# %%
# Test labels are true. The labels of the faulty sites are those of the next class.
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from skrobust.wrappers import SourceRobustClassifier

X, y_true = load_digits(n_class=5, return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 16, y_true, test_size=0.3, random_state=0)
sites = np.random.default_rng(0).integers(10, size=len(y_true))
model = LogisticRegression(max_iter=500)

plain, robust, honest = [], [], []
for n_faulty in range(5):
    y = np.where(sites < n_faulty, (y_true + 1) % 5, y_true)
    plain.append(model.fit(X, y).score(X_test, y_test))
    trained = SourceRobustClassifier(model).fit(X, y, sources=sites)
    robust.append(trained.score(X_test, y_test))
    right = sites >= n_faulty
    honest.append(model.fit(X[right], y[right]).score(X_test, y_test))
    found = trained.sources_[trained.faulty_sources_].tolist()
    print(f"{n_faulty} faulty sites: found {found}, accuracy {plain[-1]:.3f} -> {robust[-1]:.3f}")

# %%
# How far the labels of each site differ from what all sites together predict, with four faulty
# sites, and the accuracy against their number.
import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
colours = np.where(trained.faulty_sources_, "tab:red", "tab:blue")
axes[0].bar(trained.sources_, trained.source_disagreement_, color=colours)
axes[0].set(xlabel="site", ylabel="share of labels in disagreement", xticks=trained.sources_)
axes[0].set_title("red: taken to be faulty")
for label, values in (
    ("all labels", plain),
    ("SourceRobustClassifier", robust),
    ("honest sites only", honest),
):
    axes[1].plot(values, "o-" if label != "honest sites only" else "k:", label=label)
axes[1].set(xlabel="faulty sites of ten", ylabel="accuracy on true test labels", xticks=range(5))
axes[1].legend()
plt.show()
