"""
==============================
Look, decide, correct, retrain
==============================

A report lists suspicious labels, a reviewer reviews them in a browser, and the decisions come back
as verified labels. Here the decisions are those of annotators who checked a hundred digits of the
MNIST test set, in the form in which the page would save them.
"""

# %%
# A forest and nearest neighbours score 1500 digits of the MNIST test set, among them all that were
# checked.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from skrobust.datasets import load_mnist_errors
from skrobust.detection import EnsembleDetector

digits = load_mnist_errors()
checked = np.flatnonzero(digits.is_error >= 0)
others = np.setdiff1d(np.arange(5000), checked)[:1400]
rows = np.sort(np.concatenate([checked, others]))
X, y = digits.data[rows] / 255, digits.target[rows]
forest = ExtraTreesClassifier(
    100, min_samples_leaf=3, bootstrap=True, oob_score=True, random_state=0
)
detector = EnsembleDetector([forest, "neighbors"], flag_fraction=0.05, random_state=0).fit(X, y)

# %%
# The page is one file. ``report.open()`` shows it in a browser.
from skrobust.inspection import LabelReport

report = LabelReport.from_detector(
    detector, X, y, raw=digits.images[rows], row_ids=digits.index[rows], title="MNIST test digits"
)
print(report)
print(report.to_markdown()[:600])

# %%
# A reviewer would save ``corrections.csv``. A data frame with the same columns does as well.
import pandas as pd

from skrobust.inspection import apply_corrections

truth = digits.verified_target[rows]
decisions = pd.DataFrame(
    [
        {
            "fingerprint": report.fingerprint,
            "n_rows": len(y),
            "row": row,
            "row_id": digits.index[rows][row],
            "given_label": y[row],
            "decision": "right" if truth[row] == y[row] else "wrong",
            "new_label": "" if truth[row] == y[row] else str(int(truth[row])),
            "source": "flagged" if detector.label_errors_[row] else "unflagged",
            "sampled_from": "",
            "reviewer": "annotators",
            "time": "2021-03-26T00:00:00Z",
            "note": "",
        }
        for row in np.flatnonzero(~np.isnan(truth))
    ]
)
result = apply_corrections(y, decisions, row_ids=digits.index[rows])
for name in ("n_decisions", "n_changed", "flagged_precision", "flagged_precision_interval"):
    print(name, result.report[name])

# %%
# The labels stay as they were given, and the verified ones are passed beside them.
detector.fit(X, y, verified_labels=result.verified_labels)
changed = np.flatnonzero(result.labels != y)
_, axes = plt.subplots(2, 5, figsize=(9, 4.4), layout="constrained")
for ax, row in zip(axes.ravel(), changed):
    ax.imshow(X[row].reshape(28, 28), cmap="gray_r")
    ax.set_title(f"{y[row]} is a {result.labels[row]}")
    ax.set_axis_off()
plt.show()
