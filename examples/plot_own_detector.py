"""
=======================
Write your own detector
=======================

A detector is an estimator whose ``fit`` sets ``label_quality_`` and ``label_errors_``. That is
enough for :class:`~skrobust.wrappers.CleaningClassifier`.
"""

# %%
# This one compares each label with those of rows that fall into the same leaves of a forest,
# without the row itself. The keywords of ``fit`` are those of all detectors: a wrapper passes them
# on.
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils.multiclass import unique_labels


class LeafVote(BaseEstimator):
    """Share of rows in the same leaves of a forest that have the label of the row.

    Parameters
    ----------
    n_estimators : int, default=100
        Number of trees.
    min_samples_leaf : int, default=10
        Smallest number of rows of a leaf.
    threshold : float, default=0.3
        Label quality below which rows are flagged.
    random_state : int, RandomState instance or None, default=None
        Seed of the forest.
    """

    def __init__(self, n_estimators=100, min_samples_leaf=10, threshold=0.3, random_state=None):
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.threshold = threshold
        self.random_state = random_state

    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        """Score and flag the labels, and suggest others."""
        for name, value in [
            ("verified_labels", verified_labels),
            ("sample_weight", sample_weight),
            ("groups", groups),
        ]:
            if value is not None:
                raise ValueError(f"LeafVote cannot use `{name}`; leave it out.")
        self.classes_ = unique_labels(y)
        codes = np.searchsorted(self.classes_, y)
        forest = RandomForestClassifier(
            self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            random_state=self.random_state,
        )
        leaves = forest.fit(X, y).apply(X)
        votes = np.zeros((len(y), len(self.classes_)))
        for column in leaves.T:
            counts = np.zeros((column.max() + 1, len(self.classes_)))
            np.add.at(counts, (column, codes), 1)
            others = counts[column] - np.eye(len(self.classes_))[codes]
            votes += others / others.sum(axis=1, keepdims=True)
        votes /= self.n_estimators
        self.label_quality_ = votes[np.arange(len(y)), codes]
        self.label_errors_ = self.label_quality_ < self.threshold
        self.suggested_labels_ = self.classes_[votes.argmax(axis=1)]
        return self


# %%
# It ranks label errors, and it works inside the wrapper, where its parameters can be searched.
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skrobust import CleaningClassifier
from skrobust.metrics import detection_report
from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X / 16, y_true, test_size=0.4, random_state=0)
y, wrong = flip_labels(y_true, symmetric_transition(10, 0.25), random_state=0)
detector = LeafVote(random_state=0)
report = detection_report(wrong, detector.fit(X, y).label_quality_, detector.label_errors_)
print(f"average precision {report['average_precision']:.2f}, F1 {report['f1']:.2f}")
nearest = KNeighborsClassifier(1)
model = CleaningClassifier(nearest, detector).fit(X, y)
plain_score = nearest.fit(X, y).score(X_test, y_test)
print(f"accuracy: {plain_score:.3f} plain, {model.score(X_test, y_test):.3f} cleaned")

# %%
# The displays read the same attributes.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
quality = detector.label_quality_
ax.hist([quality[~wrong], quality[wrong]], bins=30, stacked=True, label=["right", "wrong"])
ax.axvline(detector.threshold, color="black", linestyle="--", label="threshold")
ax.set(xlabel="label quality", ylabel="rows")
ax.legend(title="given label is")
plt.show()
