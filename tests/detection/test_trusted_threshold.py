"""Calibration by verified rows."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import ConfidentLearning, TrustedThreshold


def _rows(seed, n_samples=4000, n_verified=400):
    """Draw qualities that promise too much, whether labels are right, and who was looked at."""
    rng = np.random.default_rng(seed)
    quality = rng.beta(1.5, 0.7, size=n_samples)
    true = 0.1 + 0.85 * quality**1.5
    right = rng.uniform(size=n_samples) < true
    looked = np.arange(n_samples) < n_verified
    return quality, true, right, np.where(looked, right, np.nan)


def _noisy(seed, n_samples=600, n_verified=150):
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_samples)
    X = rng.normal(size=(n_samples, 4))
    X[np.arange(n_samples), truth] += 2.5
    wrong = rng.uniform(size=n_samples) < 0.25
    y = np.where(wrong, (truth + rng.integers(1, 3, size=n_samples)) % 3, truth)
    looked = rng.permutation(n_samples) < n_verified
    return X, y, wrong, np.where(looked, truth.astype(float), np.nan)


@pytest.mark.parametrize(("n_verified", "most"), [(100, 0.08), (1000, 0.04)])
def test_is_calibrated(n_verified, most):
    gaps = []
    for seed in range(5):
        quality, true, _, verified = _rows(seed, n_verified=n_verified)
        threshold = TrustedThreshold().fit(quality, verified)
        gaps.append(np.abs(threshold.recalibrate(quality) - true).mean())
        assert threshold.n_verified_ == n_verified
        assert threshold.noise_rate_ == pytest.approx(1 - true.mean(), abs=0.12)
    assert np.mean(gaps) < most
    assert np.abs(quality - true).mean() > 2 * np.mean(gaps) or n_verified == 100


def test_keeps_the_order(seed):
    quality, _, _, verified = _rows(seed)
    right = TrustedThreshold().fit(quality, verified).recalibrate(quality)
    assert right.min() >= 0
    assert right.max() <= 1
    assert (np.diff(right[np.argsort(quality)]) > 0).all()


def test_wanted_precision_is_met():
    errors, recalls = [], []
    for seed in range(10):
        quality, _, right, verified = _rows(seed, 10_000, 500)
        threshold = TrustedThreshold(precision=0.7).fit(quality, verified)
        open_rows = np.isnan(verified)
        flagged = open_rows & (threshold.recalibrate(quality) < threshold.threshold_)
        assert threshold.estimated_precision_ >= 0.7
        found = np.mean(~right[flagged])
        errors.append(found - 0.7)
        recall = np.sum(flagged & ~right) / np.sum(open_rows & ~right)
        recalls.append(threshold.estimated_recall_ - recall)
    assert abs(np.mean(errors)) < 0.03
    assert abs(np.mean(recalls)) < 0.05


def test_interval_contains_the_truth():
    covered = []
    for seed in range(40):
        quality, _, right, verified = _rows(seed, 4000, 200)
        threshold = TrustedThreshold(confidence_level=0.9).fit(quality, verified)
        flagged = np.isnan(verified) & (threshold.recalibrate(quality) < threshold.threshold_)
        low, high = threshold.estimated_precision_interval_
        assert low <= threshold.estimated_precision_ <= high
        covered.append(low <= np.mean(~right[flagged]) <= high)
    assert np.mean(covered) >= 0.85


def test_nothing_reaches_the_precision():
    rng = np.random.default_rng(0)
    right = rng.uniform(size=500) < 0.9
    threshold = TrustedThreshold(precision=0.99).fit(rng.uniform(size=500), right)
    assert threshold.threshold_ == 0
    assert np.isnan(threshold.estimated_precision_)
    assert threshold.estimated_precision_interval_ == (0, 1)
    assert threshold.estimated_recall_ == 0


def test_weights_are_repeats_and_order_is_nothing(seed):
    quality, _, _, verified = _rows(seed, 300, 100)
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 3, size=300)
    one = TrustedThreshold().fit(quality, verified, sample_weight=weight)
    rows = rng.permutation(np.repeat(np.arange(300), weight))
    two = TrustedThreshold().fit(quality[rows], verified[rows])
    for name in ("threshold_", "noise_rate_", "estimated_recall_", "estimated_precision_interval_"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("quality", "is_right", "message"),
    [
        ([0.1, 0.2], [None, None], "is_right has none"),
        ([0.1, np.nan], [None, True], "is_right has none"),
        ([0.1, 0.2], [True, True], "all 2 verified labels are right"),
        ([0.1, 0.2, 0.3], [False, np.nan, 0], "all 2 verified labels are wrong"),
        ([0.1, 0.2], [True], "one entry per quality"),
        ([0.1, 0.2], [2, 1], "is_right must hold"),
        ([0.1, 1.2], [0, 1], "quality must lie"),
        ([[0.1, 0.2]], [[0, 1]], "one-dimensional"),
    ],
)
def test_bad_input(quality, is_right, message):
    with pytest.raises(ValueError, match=message):
        TrustedThreshold().fit(quality, is_right)


@pytest.mark.parametrize(
    "params", [{"precision": 1.5}, {"precision": "high"}, {"confidence_level": 0}]
)
def test_bad_parameters(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        TrustedThreshold(**params).fit([0.1, 0.2], [0, 1])
    X, y, _, verified = _noisy(0)
    detector = ConfidentLearning(GaussianNB(), threshold=TrustedThreshold(**params))
    with pytest.raises(ValueError, match=next(iter(params))):
        detector.fit(X, y, verified_labels=verified)


def test_in_a_detector(seed):
    X, y, wrong, verified = _noisy(seed)
    detector = ConfidentLearning(GaussianNB(), threshold=TrustedThreshold(), store_estimators=True)
    detector.fit(X, y, verified_labels=verified)
    fitted = detector.fitted_threshold_
    assert not hasattr(detector.threshold, "threshold_")
    rest = np.isnan(verified)
    flagged = detector.label_errors_
    assert (flagged[~rest] == wrong[~rest]).all()
    np.testing.assert_array_equal(flagged[rest], detector.label_quality_[rest] < fitted.threshold_)
    assert detector.threshold_ == fitted.threshold_
    assert wrong[rest & flagged].mean() == pytest.approx(fitted.estimated_precision_, abs=0.15)
    assert detector.noise_rate_ == pytest.approx(wrong.mean(), abs=0.06)
    assert fitted.n_verified_ == 150
    new_quality = detector.score_labels(X, y)
    assert np.corrcoef(new_quality[rest], detector.label_quality_[rest])[0, 1] > 0.9
    np.testing.assert_array_equal(detector.detect(X, y), new_quality < detector.threshold_)


def test_rate_and_interval_are_those_of_the_detector(seed):
    X, y, wrong, _ = _noisy(seed, 900)
    plain = ConfidentLearning(GaussianNB()).fit(X, y)
    lowest = np.argsort(plain.label_quality_)[:40]
    for rows in (lowest, np.random.default_rng(seed).choice(900, 40, replace=False)):
        # Some right labels more, so that there is something to calibrate with.
        rows = np.union1d(rows, np.argsort(plain.label_quality_)[-2:])
        verified = np.full(900, np.nan)
        verified[rows] = np.where(wrong[rows], (y[rows] + 1) % 3, y[rows])
        taught = ConfidentLearning(GaussianNB(), threshold=TrustedThreshold())
        taught.fit(X, y, verified_labels=verified)
        fitted = taught.fitted_threshold_
        rest = np.isnan(verified)
        low, high = fitted.noise_rate_interval_
        assert low <= fitted.noise_rate_ <= high
        assert low - 0.05 <= wrong[rest].mean() <= high + 0.05
        assert abs(fitted.noise_rate_ - wrong[rest].mean()) < 0.15
        assert fitted.noise_rate_ == pytest.approx((1 - taught.label_quality_[rest]).mean())
        assert f"{len(rows)} verified rows" in taught.reliability_reason_


def test_verified_labels_in_a_detector():
    X, y, wrong, verified = _noisy(0)
    detector = ConfidentLearning(GaussianNB(), threshold=TrustedThreshold())
    with pytest.raises(ValueError, match="verified_labels has none"):
        detector.fit(X, y)
    with pytest.raises(ValueError, match="verified labels are right"):
        detector.fit(X, y, verified_labels=np.where(wrong, np.nan, verified))
    with pytest.raises(ValueError, match="verified labels are wrong"):
        detector.fit(X, y, verified_labels=np.where(wrong, verified, np.nan))
    truth = np.where(np.isnan(verified), y, verified)
    detector.fit(X, y, verified_labels=truth)
    np.testing.assert_array_equal(detector.label_errors_, truth != y)
    assert detector.noise_rate_ == pytest.approx(np.mean(truth != y))


def test_is_a_set_of_parameters():
    threshold = TrustedThreshold(precision=0.8)
    assert repr(threshold) == "TrustedThreshold(precision=0.8)"
    assert clone(threshold).get_params() == {"precision": 0.8, "confidence_level": 0.9}
    detector = ConfidentLearning(GaussianNB(), threshold=threshold)
    assert clone(detector).set_params(threshold__precision=0.6).threshold.precision == 0.6
    assert threshold.precision == 0.8
    X, y, _, verified = _noisy(1)
    detector.fit(X, y, verified_labels=verified)
    restored = pickle.loads(pickle.dumps(detector))
    assert restored.fitted_threshold_.threshold_ == detector.threshold_
