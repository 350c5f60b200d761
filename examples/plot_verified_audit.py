"""
A verified audit
================

How many labels are wrong, and how good is the model? A reviewer who looks at rows that were drawn
at random within cells of given and predicted label can estimate both, and the audit computes
beforehand how many rows it takes.
"""

# %%
# Labels go wrong more often in one direction, and more often in one region, which no transition
# matrix describes.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from skrobust.metrics import noise_corrected_score
from skrobust.model_selection import FlipRateAuditor

rng = np.random.default_rng(0)
X = rng.normal(size=(5000, 2))
truth = (X[:, 0] + 0.5 * rng.normal(size=5000) > 0).astype(int)
flip = rng.random(5000) < np.where(X[:, 1] > 0.5, 0.3, 0.03) * np.where(truth == 1, 1, 0.5)
y = np.where(flip, 1 - truth, truth)
pred = cross_val_predict(LogisticRegression(), X, y, cv=5)

# %%
# In each round, the audit draws fifty rows, most of them where given and predicted labels differ.
auditor = FlipRateAuditor(random_state=0).fit(y, pred)
history = []
for _ in range(8):
    rows = auditor.draw(50)
    auditor.partial_fit(rows, truth[rows])  # the verified labels
    score = noise_corrected_score(
        y,
        pred,
        verified_labels=auditor.verified_labels_,
        verified_weight=auditor.verified_weight_,
    )
    history.append(
        (auditor.noise_rate_, *auditor.noise_rate_interval_, score.score, *score.interval)
    )
print(f"{auditor.rows_needed_for(0.02)} more rows make the interval of the rate .02 wide")
print(auditor.flip_rates_.round(3))

# %%
# Both intervals close in on the true values.
fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
history = np.array(history)
n_rows = 50 * np.arange(1, 9)
true_values = np.mean(y != truth), np.mean(pred == truth)
titles = "share of wrong labels", "accuracy of the model"
for part, (ax, true_value, title) in enumerate(zip(axes, true_values, titles, strict=True)):
    middle, low, high = history[:, 3 * part : 3 * part + 3].T
    ax.plot(n_rows, middle, "o-")
    ax.fill_between(n_rows, low, high, alpha=0.25)
    ax.axhline(true_value, color="black", linestyle="--", label="true value")
    ax.set_xlabel("verified rows")
    ax.set_title(title)
axes[1].axhline(np.mean(pred == y), color="tab:red", linestyle=":", label="by given labels")
axes[1].legend()
plt.show()
