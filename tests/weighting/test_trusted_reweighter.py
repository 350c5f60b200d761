"""What is particular to TrustedReweighter; tests/test_common.py holds what all of them share."""

import warnings

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import ConfidentLearning
from skrobust.utils import LabelNoiseWarning
from skrobust.weighting import QualityReweighter, TrustedReweighter


def _ruled(seed, n_samples=900, n_checked=90):
    """Make labels wrong by a rule that a model learns: in one corner, and of one class."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n_samples, p=[0.2, 0.5, 0.3])
    X = rng.normal(size=(n_samples, 5))
    X[np.arange(n_samples), truth] += 3
    wrong = (truth == 1) & (X[:, 4] > 0)
    y = np.where(wrong, 2, truth)
    checked = rng.permutation(n_samples) < n_checked
    return X, y, truth, wrong, np.where(checked, truth.astype(float), np.nan)


def _fit(X, y, verified, **params):
    reweighter = TrustedReweighter(ConfidentLearning(GaussianNB()), **params)
    return reweighter.fit(X, y, verified_labels=verified)


def test_learns_of_errors_that_no_detector_sees(seed):
    X, y, _, wrong, verified = _ruled(seed)
    unseen = np.isnan(verified)
    alone = QualityReweighter(ConfidentLearning(GaussianNB())).fit(X, y).sample_weight_
    taught = _fit(X, y, verified).sample_weight_
    wrong, right = wrong & unseen, ~wrong & unseen
    # By what the model has learned from them, the wrong labels are hardly worse than right ones.
    assert alone[wrong].mean() > 0.5 * alone[right].mean()
    assert taught[wrong].mean() < 0.5 * taught[right].mean()


def test_classes_weigh_what_true_ones_do(seed):
    X, y, truth, _, verified = _ruled(seed)
    reweighter = _fit(X, y, verified)
    best = np.where(np.isnan(verified), y, verified)
    shares = np.array([reweighter.sample_weight_[best == k].sum() for k in range(3)]) / len(y)
    np.testing.assert_allclose(shares, reweighter.class_prior_)
    given, true = (np.bincount(labels) / len(y) for labels in (y, truth))
    assert np.abs(reweighter.class_prior_ - true).max() < 0.1
    assert np.abs(reweighter.class_prior_ - true).max() < np.abs(given - true).max()


def test_is_a_power_of_what_the_detector_learned(seed):
    X, y, _, _, verified = _ruled(seed)
    detector = ConfidentLearning(GaussianNB()).fit(X, y, verified_labels=verified)
    checked = ~np.isnan(verified)
    best = np.where(checked, verified, y).astype(int)
    for power in (1, 3):
        reweighter = _fit(X, y, verified, power=power)
        expected = np.where(checked, 1.0, detector.label_quality_) ** power
        for k in range(3):
            rows = best == k
            expected[rows] *= reweighter.class_prior_[k] * len(y) / expected[rows].sum()
        np.testing.assert_allclose(reweighter.sample_weight_, expected)


def test_all_rows_verified(seed):
    X, y, truth, _, _ = _ruled(seed)
    reweighter = _fit(X, y, truth)
    np.testing.assert_allclose(reweighter.sample_weight_, 1)
    np.testing.assert_allclose(reweighter.class_prior_, np.bincount(truth) / len(y))


def test_weights_are_repeats_in_the_shares(seed):
    X, y, _, _, verified = _ruled(seed, 300, 60)
    times = np.random.default_rng(seed).integers(1, 4, size=300)
    detector = ConfidentLearning(GaussianNB())
    weighed = TrustedReweighter(detector).fit(X, y, verified_labels=verified, sample_weight=times)
    rows = np.repeat(np.arange(300), times)
    repeated = TrustedReweighter(detector).fit(X[rows], y[rows], verified_labels=verified[rows])
    np.testing.assert_allclose(weighed.class_prior_, repeated.class_prior_)


def test_rare_unverified_class_keeps_its_share(seed):
    X, y, _, _, verified = _ruled(seed, 300, 40)
    rare = np.flatnonzero(np.isnan(verified) & (y == 0))[:3]
    y[rare] = 3
    reweighter = _fit(X, y, verified)
    assert 1 / 600 < reweighter.class_prior_[3] < 6 / 300
    assert (reweighter.sample_weight_[rare] > 0).all()


def test_few_verified_rows_bring_a_warning(seed):
    X, y, _, _, verified = _ruled(seed)
    few = np.full(len(y), np.nan)
    few[np.flatnonzero(~np.isnan(verified))[:9]] = 1
    with pytest.warns(LabelNoiseWarning, match="Only 9 labels are verified"):
        _fit(X, y, few)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _fit(X, y, verified)


def test_verified_labels_are_needed(seed):
    X, y, _, _, verified = _ruled(seed, 60, 20)
    for given, labels in ((None, y), (np.full(60, np.nan), y)):
        with pytest.raises(ValueError, match="TrustedReweighter needs verified_labels"):
            _fit(X, labels, given)
    # A verified label without a given one carries no information on given ones.
    hidden = np.where(np.isnan(verified), y, np.nan)
    with pytest.raises(ValueError, match="TrustedReweighter needs verified_labels"):
        _fit(X, hidden, verified)
    weight = np.where(np.isnan(verified), 1.0, 0.0)
    with pytest.raises(ValueError, match="TrustedReweighter needs verified_labels"):
        TrustedReweighter().fit(X, y, verified_labels=verified, sample_weight=weight)


@pytest.mark.parametrize("params, words", [({"power": -1}, "'power'"), ({"detector": 3}, "'det")])
def test_bad_parameters(params, words):
    X, y, _, _, verified = _ruled(0, 60, 20)
    with pytest.raises(ValueError, match=words):
        TrustedReweighter(**params).fit(X, y, verified_labels=verified)
