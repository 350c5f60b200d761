"""Detectors of a few lines, of labels of each kind, and what the base class adds to them."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skrobust.base import DetectionResult, LabelErrorDetector, NoiseLevel
from skrobust.detection import MixtureThreshold


class _Given(LabelErrorDetector):
    """Base of detectors whose quality is a column of X, or its columns."""

    def __init__(self, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate


class Numbers(_Given):
    label_kind = "numbers"

    def _detect(self, data):
        quality, errors = self._detect_new(data.X, data.y)
        predictions = np.where(data.given, data.y, 0.0)
        return DetectionResult(
            quality,
            errors,
            predictions=predictions,
            alternatives=np.zeros(data.n_samples),
            level=NoiseLevel(0.25, 0.2, 0.3),
        )

    def _detect_new(self, X, y):
        return X[:, 0], X[:, 0] < 0.5


class Indicators(_Given):
    label_kind = "indicators"

    def _detect(self, data):
        return DetectionResult(data.X, data.X < 0.5)

    def _set_quality(self, quality, errors):
        self.entry_errors_ = errors
        super()._set_quality(quality.min(axis=1), errors.any(axis=1))


QUALITY = np.linspace(0.05, 0.95, 20)
X = np.column_stack([QUALITY, QUALITY[::-1]])


def test_numbers_follow_verified_targets_and_thresholds():
    y = np.arange(20.0)
    y[19] = np.nan
    verified = np.full(20, np.nan)
    verified[[0, 10]] = 0.0, 3.0
    detector = Numbers().fit(X, y, verified_labels=verified)
    assert_array_equal(np.flatnonzero(detector.label_errors_), [*range(1, 10), 10])
    assert detector.label_quality_[0] == 1
    assert detector.label_quality_[10] == 0
    assert np.isnan(detector.label_quality_[19])
    assert_array_equal(detector.suggested_labels_[[0, 1, 10, 19]], [0, 0, 3, 0])
    # 17 rows at a rate of .25, and one wrong row of two.
    assert detector.noise_rate_ == pytest.approx((17 * 0.25 + 1) / 19)
    assert detector.reliability_reason_.endswith(" points wide")
    assert not hasattr(detector, "classes_")
    assert not hasattr(detector, "suggest_verification")
    assert_array_equal(detector.detect(X, y), [*(QUALITY[:19] < 0.5), False])
    # Rows that the method cannot score are not counted.
    unscored = np.where(np.arange(20)[:, None] < 19 - 4, X, np.nan)
    partly = Numbers().fit(unscored, y, verified_labels=verified)
    assert partly.noise_rate_ == pytest.approx((13 * 0.25 + 1) / 15)
    fifth = Numbers(flag_fraction=0.2).fit(X, y)
    assert fifth.label_errors_.sum() == 4
    with pytest.raises(TypeError, match="needs labels that are classes"):
        Numbers(MixtureThreshold(per_class=True)).fit(X, y)


def test_numbers_that_are_all_flagged_keep_the_best():
    detector = Numbers(threshold=1.0).fit(X, np.arange(20.0))
    assert_array_equal(np.flatnonzero(~detector.label_errors_), [19])


def test_indicators_are_flagged_by_entry():
    y = np.column_stack([np.arange(20) % 2, np.arange(20) % 3 == 0]).astype(float)
    y[0, 1] = np.nan
    detector = Indicators(flag_fraction=0.1).fit(X, y)
    flagged = [(0, 0), (1, 0), (18, 1), (19, 1)]
    assert_array_equal(np.argwhere(detector.entry_errors_), flagged)
    assert_array_equal(detector.sample_indices_, range(2, 18))
    assert not hasattr(detector, "detect"), "it does not score rows that were not in fit"
    assert detector.to_frame().shape == (20, 4)


def test_a_result_of_another_shape_is_refused():
    class Flat(Indicators):
        def _detect(self, data):
            return DetectionResult(data.X[:, 0], data.X[:, 0] < 0.5)

    with pytest.raises(ValueError, match=r"quality has shape \(20,\), expected \(20, 2\)"):
        Flat().fit(X, np.column_stack([np.arange(20) % 2] * 2))


def test_new_rows_with_missing_targets_have_no_quality():
    detector = Numbers(threshold=0.5).fit(X[:, :1], np.arange(20.0))
    new, targets = np.array([[0.1], [0.2], [0.9]]), [3.0, np.nan, 4.0]
    assert_array_equal(detector.score_labels(new, targets), [0.1, np.nan, 0.9])
    assert_array_equal(detector.detect(new, targets), [True, False, False])


def test_score_of_numbers_by_true_targets():
    numbers = Numbers().fit(X[:, :1], np.arange(20.0))
    # By rising quality: wrong, right, wrong; the row without a true target does not count.
    new, targets = np.array([[0.1], [0.2], [0.3], [0.0]]), [1.0, 2.0, 3.0, 4.0]
    found = numbers.score(new, targets, true_labels=[9.0, 2.0, 5.0, np.nan])
    assert found == pytest.approx(5 / 6)


def test_score_of_indicators_by_true_labels():
    class ScoresNew(Indicators):
        def _detect_new(self, X, y):
            return X, X < 0.5

        def score_labels(self, X, y):
            return super().score_labels(X, y).min(axis=1)

    y = np.array([[0, 1], [1, 0]] * 10)
    indicators = ScoresNew().fit(X, y)
    new = np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.4], [0.0, 0.0]])
    given, true = [[0, 1], [1, 0], [1, 1], [0, 0]], [[0, 0], [1, 0], [0, 1], [np.nan, np.nan]]
    assert indicators.score(new, given, true_labels=true) == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="no wrong labels to find"):
        indicators.score(X, y, true_labels=y)
