"""
====================
Wrap your classifier
====================

:class:`~skrobust.wrappers.CleaningClassifier` takes any scikit-learn classifier. It finds the wrong
labels, replaces them by more probable ones, and trains the classifier on the result.
"""

# %%
# A quarter of the training labels of a medical table are wrong. Test labels are true.
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from skrobust.noise import flip_labels, symmetric_transition

X, y_true = load_breast_cancer(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X, y_true, test_size=0.4, random_state=0)
y, wrong = flip_labels(y_true, symmetric_transition(2, 0.25), random_state=0)

# %%
# Four classifiers are trained on the given labels, wrapped, and, to compare with, on the true
# labels, which one does not have.
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skrobust import CleaningClassifier

classifiers = {
    "decision tree": DecisionTreeClassifier(random_state=0),
    "nearest neighbour": make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=1)),
    "random forest": RandomForestClassifier(random_state=0),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
}
scores = {"given labels": [], "CleaningClassifier": [], "true labels": []}
for name, classifier in classifiers.items():
    scores["given labels"].append(classifier.fit(X, y).score(X_test, y_test))
    scores["true labels"].append(classifier.fit(X, y_true).score(X_test, y_test))
    wrapped = CleaningClassifier(classifier, random_state=0).fit(X, y)
    scores["CleaningClassifier"].append(wrapped.score(X_test, y_test))
    print(name, {kind: round(values[-1], 3) for kind, values in scores.items()})

# %%
# The fitted detector is an attribute of the wrapper.
detector = wrapped.detector_
print(f"estimated noise rate {detector.noise_rate_:.2f}, true {wrong.mean():.2f}")

# %%
# Classifiers that memorise single rows gain most.
import matplotlib.pyplot as plt
import numpy as np

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for place, (kind, values) in enumerate(scores.items()):
    ax.bar(np.arange(len(values)) + (place - 1) * 0.27, values, 0.25, label=kind)
ax.set_xticks(np.arange(len(classifiers)), classifiers)
ax.set_ylabel("accuracy on true test labels")
fig.legend(loc="outside upper center", ncols=3)
plt.show()
