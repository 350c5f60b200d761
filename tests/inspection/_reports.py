"""Small reports for the tests, from a stand-in for a fitted detector."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from skrobust.inspection import LabelReport

# Text that has broken pages: markup, ends of scripts, quotes, names of properties, line ends of
# JavaScript, marks of direction, NUL, lone surrogates, formulas, emoji.
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(3)>",
    "\"'`${alert(4)}&amp;",
    "__proto__",
    "constructor",
    "a\u2028b\u2029c\x85d",
    "\u202eabc\u202d",
    "nul\x00and\x07bell",
    "lone\ud800surrogate",
    '=HYPERLINK("http://x","y")',
    "-1+2",
    "'quoted",
    "@sum(a)",
    "back\\slash\\u0041",
    "new\nline\ttab\r",
    "😀👩‍👩‍👧",
    ";semi,colon",
    " spaces ",
]


class Detector(BaseEstimator):
    """Stands in for a fitted detector: every `step`-th row is flagged, and gets the next class."""

    quality_method = "right_proba"

    def __init__(self, step=5):
        self.step = step

    def fit(self, X, y):
        y = np.asarray(y)
        classes, codes = np.unique(y, return_inverse=True)
        flagged = np.zeros(len(y), dtype=bool)
        if self.step:
            flagged = np.arange(len(y)) % self.step == 0
        self.classes_ = classes
        self.label_errors_ = flagged
        quality = np.where(flagged, 0.1, 0.9) + np.arange(len(y)) / (20 * len(y))
        self.label_quality_ = quality
        self.suggested_labels_ = classes[np.where(flagged, (codes + 1) % len(classes), codes)]
        self.noise_rate_ = float(1 - quality.mean())
        self.noise_rate_interval_ = (0.1, 0.4)
        self.reliability_ = "limited"
        self.reliability_reason_ = "nothing was fitted"
        return self


def detect(y, step=5):
    """A fitted stand-in; step 0 flags nothing."""
    return Detector(step).fit(None, y)


def image_of(k, seed=0, size=24):
    """An image of a class: a bar at a place of its own."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (size, size)).astype(np.uint8)
    image[:, 2 * k % size : 2 * k % size + 3] = 220
    return image


def digit_report(n_rows=60, seed=0, **settings):
    """A report of images with ten classes, and its labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, n_rows)
    y[:10] = np.arange(10)
    images = np.stack([image_of(k, seed=row) for row, k in enumerate(y)])
    X = images.reshape(n_rows, -1).astype(float)
    report = LabelReport.from_detector(detect(y), X, y, raw=images, title="Bars", **settings)
    return report, y


def table_report(n_rows=60):
    """A report of a table with numbers, words and a text."""
    rng = np.random.default_rng(0)
    y = np.array(["setosa", "versicolor", "virginica"])[rng.integers(0, 3, n_rows)]
    frame = pd.DataFrame({
        "a_long_name_of_a_column_in_millimetres": rng.normal(size=n_rows),
        "colour": rng.choice(["red", "blue"], n_rows),
        "remark": [f"a remark of some length about row {row}" for row in range(n_rows)],
    })  # fmt: skip
    return LabelReport.from_detector(detect(y), frame, y, title="Flowers"), y


def text_report(classes, texts=None, n_rows=60, step=5, **settings):
    """A report of texts with any classes, and its labels."""
    y = np.array([classes[row % len(classes)] for row in range(n_rows)], dtype=object)
    texts = texts or [f"text {row}" for row in range(n_rows)]
    texts = [texts[row % len(texts)] for row in range(n_rows)]
    return LabelReport.from_detector(detect(y, step), texts, y, **settings), y
