"""
========================================
A fast classifier, and an accurate one
========================================

:class:`~skrobust.wrappers.CascadeClassifier` calls an accurate, slow classifier only for the rows
of which a fast one is uncertain. How many calls buy how much accuracy?
"""

# %%
# A linear model is fast, a support vector machine with a kernel is accurate.
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from skrobust.wrappers import CascadeClassifier

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.5, random_state=0)
fast, accurate = LogisticRegression(C=0.01), SVC(gamma=0.1)

# %%
# ``call_share`` is a budget. For these new rows fewer calls are made than it allows.
shares = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6]
called, scores = [0.0], [fast.fit(X, y).score(X_test, y_test)]
for share in shares:
    cascade = CascadeClassifier(fast, accurate, call_share=share, random_state=0).fit(X, y)
    called.append(cascade.calls_accurate(X_test).mean())
    scores.append(cascade.score(X_test, y_test))
    print(f"budget {share:.2f}, called for {called[-1]:.2f}, accuracy {scores[-1]:.3f}")
both = accurate.fit(X, y).score(X_test, y_test)

# %%
# Accuracy against the share of rows for which the accurate classifier was called.
import matplotlib.pyplot as plt

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.plot(called, scores, "o-", label="CascadeClassifier")
ax.axhline(scores[0], color="tab:grey", linestyle=":", label="fast classifier alone")
ax.axhline(both, color="black", linestyle="--", label="accurate classifier alone")
ax.set(xlabel="share of rows with a call", ylabel="accuracy on test rows")
ax.legend(loc="center right")
plt.show()
