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
        X = check_array(data.X, dtype=float)
        weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
        in_class = data.y_train == np.arange(len(data.classes))[:, None]
        weight = np.where(in_class & data.used, weight, 0.0)  # (n_classes, n_samples)
        total = weight.sum(axis=1)
        self._means = weight @ X / total[:, None]
        # Without a row, its distance to the mean of its class is longer by this factor. An integer
        # weight stands for equal rows, of which one is left out.
        own_weight = np.minimum(weight[data.y, np.arange(data.n_samples)], 1)
        others = total[data.y] - own_weight
        factor = total[data.y] / np.where(others > 0, others, np.nan)
        return DetectionResult(*self._detect_new(X, data.y, factor), threshold=0.5)

    def _detect_new(self, X, codes, factor=1.0):
        X, rows = check_array(X, dtype=float), np.arange(len(codes))
        distance = np.linalg.norm(X[:, None] - self._means, axis=2)
        own = distance[rows, codes] * factor
        distance[rows, codes] = np.inf
        nearest_other = distance.min(axis=1)
        quality = nearest_other / (own + nearest_other)
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
