"""Decoys among numeric targets, which are exchanged with those of other rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.detection._target_decoys import (
    exchanged_curve,
    fit_shares,
    share_bounds,
    typical_targets,
)


def _problem(seed, rate, *, far=1.0, n_samples=1500, freedom=np.inf):
    """Draw predictions, targets some of which are replaced, and which these are."""
    rng = np.random.default_rng(seed)
    predictions = 3 * rng.normal(size=n_samples)
    noise = rng.normal(size=n_samples)
    if freedom < np.inf:
        noise = rng.standard_t(freedom, size=n_samples)
    true = predictions + noise
    wrong = rng.random(n_samples) < rate
    moved = predictions + far * (rng.permutation(true) - predictions)
    return predictions, np.where(wrong, moved, true), wrong


def _compare(predictions, y, weight=None, targets=None):
    size = np.abs(y - predictions)
    unit = np.median(size if weight is None else np.repeat(size, weight))

    def quality_with(target):
        return np.exp(-np.abs(target - predictions) / unit)

    weight = None if weight is None else weight.astype(float)
    targets = typical_targets(y, weight) if targets is None else targets
    return exchanged_curve(np.exp(-size / unit), y, quality_with, targets, weight)


@pytest.mark.parametrize("freedom", [5, np.inf])
@pytest.mark.parametrize("far", [1.0, 4.0, 16.0])
def test_finds_the_share_and_how_far_off_errors_are(far, freedom):
    gaps = []
    for seed in range(4):
        predictions, y, wrong = _problem(seed, 0.15, far=far, freedom=freedom)
        # Decoys are the targets that look right, of which the farthest ones are wrong.
        sound = np.abs(y - predictions) < 4
        curve, shares = _compare(predictions, y, targets=typical_targets(y[sound]))
        assert max(shares.stretches, key=shares.stretches.get) == far
        assert sum(shares.stretches.values()) == pytest.approx(1)
        assert min(shares.candidates) <= shares.rate <= max(shares.candidates)
        gaps.append([shares.rate - wrong.mean()])
        # Decoys estimate which share of the wrong targets lies below a threshold.
        size = np.abs(y - predictions)
        for threshold in (0.05, 0.2):
            place = np.searchsorted(curve.thresholds, threshold, side="right") - 1
            below = np.exp(-size / np.median(size)) <= threshold
            assert curve.flagged[place] == pytest.approx(below.mean())
            gaps[-1].append(curve.recall[place] - below[wrong].mean())
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.08


def test_right_targets_are_not_counted():
    rates = [_compare(*_problem(seed, 0)[:2])[1].rate for seed in range(5)]
    assert max(rates) < 0.01
    heavy = [_compare(*_problem(seed, 0, freedom=5)[:2])[1].rate for seed in range(5)]
    assert np.mean(heavy) < 0.02


def test_weights_are_repeats(seed):
    predictions, y, _ = _problem(seed, 0.1, n_samples=300)
    weight = np.random.default_rng(seed).integers(1, 4, size=300)
    many = np.repeat(np.arange(300), weight)
    assert_array_equal(typical_targets(y, weight.astype(float)), typical_targets(y[many]))
    curve, shares = _compare(predictions, y, weight)
    other, other_shares = _compare(predictions[many], y[many])
    assert_allclose(curve.thresholds, other.thresholds)
    assert_allclose(curve.flagged, other.flagged)
    assert_allclose(curve.recall, other.recall, atol=1e-9)
    assert shares.rate == pytest.approx(other_shares.rate, abs=1e-9)


def test_typical_targets():
    assert_array_equal(np.unique(typical_targets(np.array([1.0, 2.0]))), [1, 2])
    values = typical_targets(np.random.default_rng(0).permutation(1000.0 + np.arange(6400)))
    assert_array_equal(values, 1049 + 100 * np.arange(64))
    assert (typical_targets(np.array([5.0, 7.0]), np.array([99.0, 1.0])) == 5).mean() > 0.95


def test_no_decoy_equals_the_target():
    # All rows have one target: there is no other to be mistaken for it.
    curve, shares = _compare(np.arange(9.0), np.full(9, 4.0))
    assert shares.rate == 0
    assert shares.stretches == {}
    assert not curve.recall.any()
    # Of two targets, each row can have been given the other only.
    y = np.array([0.0, 0, 0, 10, 10, 10])
    curve, _ = exchanged_curve(
        np.full(6, 0.5), y, lambda target: np.where(target == y, 1.0, 0.1), np.array([0.0, 10.0])
    )
    assert_array_equal(curve.recall, [1.0])


def test_shares_of_counts_without_any_error():
    decoys = np.zeros(28)
    decoys[-1] = 5.0
    counts = np.zeros(28)
    counts[8:12] = 50  # all near their median
    assert fit_shares(counts, decoys).rate < 1e-6


def test_interval_of_the_rate_by_hand():
    z = 1.6448536269514722  # 90 %, two-sided
    bias = np.exp(0.3 * z)
    low, high = share_bounds([0.3, 0.2], 0.25, 0.01)
    assert_allclose(low, 0.2 / bias - 0.01 * z)
    assert_allclose(high, 0.25 * bias + 0.01 * z)
    assert share_bounds([0.01, 0.9], 0.4, 0.1) == (0.0, 1.0)
    assert_allclose(share_bounds([0.5, 0.7], 0.5, 0.0)[1], 0.5 * bias)
    assert_allclose(share_bounds([0.5, 0.9], 0.5, 0.0)[1], 0.9)
