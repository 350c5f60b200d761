"""
=======================
Write your own detector
=======================

A detector implements one method, which scores and flags labels. The base class handles missing and
verified labels, weights and thresholds, so that :class:`~skrobust.wrappers.CleaningClassifier` can
use the detector.
"""

# %%
# This one compares the distance of a row to the mean of its given class, without the row itself,
# with that to the nearest other class.
import numpy as np
from sklearn.utils import check_array

from skrobust.base import DetectionResult, LabelErrorDetector


class ClassMeanDetector(LabelErrorDetector):
    def __init__(self, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate

    def _detect(self, data):
        X, rows = check_array(data.X, dtype=float), np.arange(data.n_samples)
        weight = data.used * (1.0 if data.sample_weight is None else data.sample_weight)
        weight = weight * (data.y_train == np.arange(len(data.classes))[:, None])
        total = weight.sum(axis=1)
        self._means = weight @ X / total[:, None]
        left_out = total[data.y] - np.minimum(weight[data.y, rows], 1)
        factor = total[data.y] / np.where(left_out > 0, left_out, np.nan)
        return DetectionResult(*self._detect_new(X, data.y, factor), threshold=0.5)

    def _detect_new(self, X, y, factor=1.0):
        distance = np.linalg.norm(check_array(X, dtype=float)[:, None] - self._means, axis=2)
        own = distance[np.arange(len(y)), y] * factor
        distance[np.arange(len(y)), y] = np.inf
        quality = distance.min(axis=1) / (own + distance.min(axis=1))
        return quality, quality < 0.5


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
detector = ClassMeanDetector()
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
ax.axvline(detector.threshold_, color="black", linestyle="--", label="threshold")
ax.set(xlabel="label quality", ylabel="rows")
ax.legend(title="given label is")
plt.show()
