"""The noise rate, separated from overlap of the classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from skrobust.evidence import out_of_bag_proba
from skrobust.noise import flip_labels, pair_transition, symmetric_transition
from skrobust.noise._noise_model import (
    _mean_and_error,
    certainty_ranks,
    estimate_noise_rate,
    fit_noise_model,
)


def _rows(seed, rate=0.0, margin=4.0, n_rows=3000, n_classes=3, transition=symmetric_transition):
    """Labels, and the exact probabilities of given labels."""
    rng = np.random.default_rng(seed)
    logits = margin * rng.normal(size=(n_rows, n_classes))
    proba = np.exp(logits)
    proba /= proba.sum(axis=1, keepdims=True)
    truth = (proba.cumsum(axis=1) < rng.random(n_rows)[:, None]).sum(axis=1)
    if rate == 0:
        return truth, truth, proba
    matrix = transition(n_classes, rate)
    return truth, flip_labels(truth, matrix, random_state=seed)[0], proba @ matrix


@pytest.mark.parametrize("margin", [2.5, 5.0])
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 0.35])
def test_rate_is_that_of_the_noise_despite_overlap(rate, margin, seed):
    truth, labels, proba = _rows(seed, rate, margin)
    level = estimate_noise_rate(labels, proba)
    wrong = np.mean(labels != truth)
    assert abs(level.rate - wrong) <= 0.06
    assert level.low - 0.02 <= wrong <= level.high
    assert level.disagreement > level.rate or margin > 3


def test_pair_noise_is_found(seed):
    truth, labels, proba = _rows(seed, 0.2, transition=pair_transition)
    assert abs(estimate_noise_rate(labels, proba).rate - np.mean(labels != truth)) <= 0.05


def test_reliability_falls_with_overlap(seed):
    _, labels, proba = _rows(seed, 0.1, 8.0)
    clear = estimate_noise_rate(labels, proba)
    assert clear.reliability == "good"
    _, labels, proba = _rows(seed, 0.1, 1.5)
    overlapping = estimate_noise_rate(labels, proba)
    assert overlapping.reliability == "limited"
    assert overlapping.high - overlapping.low > clear.high - clear.low
    assert f"{overlapping.disagreement:.1%}".replace("%", " % of the rows") in overlapping.reason


def test_rate_is_unreliable_without_certain_rows(seed):
    _, labels, proba = _rows(seed, margin=0.6)
    level = estimate_noise_rate(labels, proba)
    assert level.reliability == "cannot tell"
    assert level.low == 0
    assert level.rate < level.certain
    assert "overlap" in level.reason


def test_nothing_to_count():
    ties = np.full((40, 2), 0.5)
    level = estimate_noise_rate(np.arange(40) % 2, ties)
    assert (level.rate, level.n_rows, level.reliability) == (0, 0, "cannot tell")
    assert "no row" in level.reason


def test_one_class_is_never_predicted(seed):
    rng = np.random.default_rng(seed)
    proba = np.column_stack([rng.uniform(0.6, 0.9, 400), np.zeros(400)])
    proba[:, 1] = 1 - proba[:, 0]
    labels = (rng.random(400) > proba[:, 0]).astype(int)
    level = estimate_noise_rate(labels, proba)
    assert 0 <= level.low <= level.rate <= level.high <= 1
    assert np.isfinite(fit_noise_model(labels, proba, level=level).transition).all()


def test_certain_rows_of_one_class_only(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(900) % 2
    proba = np.where(truth == 0, rng.uniform(0.9, 1, 900), rng.uniform(0.3, 0.6, 900))
    proba = np.column_stack([proba, 1 - proba])
    # Nothing that is predicted to be of class 1 is certain, nor does certainty matter there.
    labels = np.where(truth == 1, rng.random(900) < 0.6, 0).astype(int)
    level = estimate_noise_rate(labels, proba)
    assert level.low <= level.rate <= level.high
    assert level.high >= level.disagreement
    assert level.low < level.disagreement - 0.05


def test_equal_rows(seed):
    labels = np.random.default_rng(seed).integers(3, size=300)
    level = estimate_noise_rate(labels, np.tile([0.5, 0.3, 0.2], (300, 1)))
    assert level.reliability == "cannot tell"
    assert level.low == 0


def test_weights_repeats_and_order_do_not_matter(seed):
    _, labels, proba = _rows(seed, 0.2, n_rows=600)
    rng = np.random.default_rng(seed)
    weight, order = rng.integers(0, 4, 600), rng.permutation(600)
    used = np.where(weight > 0, labels, -1)
    one = estimate_noise_rate(used, proba, weight.astype(float))
    for other in (
        estimate_noise_rate(np.repeat(labels, weight), np.repeat(proba, weight, axis=0)),
        estimate_noise_rate(used[order], proba[order], weight[order].astype(float)),
        estimate_noise_rate(np.where(used < 0, -1, 2 - used), proba[:, ::-1], weight.astype(float)),
    ):
        for name in ("rate", "low", "high", "certain", "disagreement"):
            assert_allclose(getattr(one, name), getattr(other, name), atol=1e-9)


def test_scale_of_fractional_weights_does_not_matter(seed):
    _, labels, proba = _rows(seed, 0.2, n_rows=600)
    weight = np.random.default_rng(seed).uniform(0.5, 1.5, 600)
    levels = [estimate_noise_rate(labels, proba, weight * scale) for scale in (1, 1 / 600)]
    assert_allclose(levels[0].rate, levels[1].rate)
    one, other = (
        fit_noise_model(labels, proba, weight * scale, level=levels[0]) for scale in (1, 1 / 600)
    )
    assert_allclose(one.transition, other.transition)


def test_ranks_are_within_predicted_classes():
    best = np.array([0, 0, 1, 1, 1, -1])
    top = np.array([0.9, 0.7, 0.6, 0.6, 0.8, 0.9])
    assert_allclose(certainty_ranks(best, top), [0.25, 0.75, 2 / 3, 2 / 3, 1 / 6, np.nan])


def test_rows_of_little_weight():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=60)
    proba = rng.dirichlet([1, 1, 1], 60)
    for weight in (np.full(60, 0.5), np.where(np.arange(60) < 30, 1e-6, 1.0)):
        level = estimate_noise_rate(codes, proba, weight)
        assert 0 <= level.low <= level.rate <= level.high <= 1


@pytest.mark.parametrize("overlapping", [False, True])
def test_row_dependent_labels_are_overlap_if_agreement_is(overlapping, seed):
    rng = np.random.default_rng(seed)
    n, best, other = 4000, rng.integers(4, size=4000), rng.integers(1, 4, size=4000)
    right = rng.uniform(0.35, 1, n) if overlapping else np.full(n, 0.68)
    proba = np.full((n, 4), 0.005)
    proba[np.arange(n), best] = right
    proba[np.arange(n), (best + other) % 4] = np.maximum(1 - right - 0.01, 0.005)
    proba /= proba.sum(axis=1, keepdims=True)
    codes = np.array([rng.choice(4, p=p) for p in proba])
    # Out-of-sample probabilities are uncertain themselves.
    noisy = proba * rng.lognormal(0, 0.4, proba.shape)
    level = estimate_noise_rate(codes, noisy / noisy.sum(axis=1, keepdims=True))
    if overlapping:
        assert level.low < 0.15
    else:
        assert level.reliability == "good"
        assert level.rate == pytest.approx(0.32, abs=0.04)


@pytest.mark.parametrize("n_classes", [3, 10])
def test_rare_confusions_are_no_overlap(n_classes, seed):
    X, y = load_digits(return_X_y=True)
    X, y = X[y < n_classes], y[y < n_classes]
    reliable = []
    for draw in range(4):
        rng = np.random.RandomState(10 * seed + draw)
        rows = rng.permutation(len(y))[: 100 * n_classes]
        y_noisy, flipped = flip_labels(
            y[rows], symmetric_transition(n_classes, 0.16), random_state=rng
        )
        proba = out_of_bag_proba(None, X[rows], y_noisy, random_state=rng)
        level = estimate_noise_rate(y_noisy, proba)
        assert level.low <= flipped.mean() <= level.high
        reliable.append(not level.explained)
    assert np.mean(reliable) >= 0.75


def test_mean_and_standard_error_by_hand():
    mean, error = _mean_and_error(np.array([1.0, 3.0, 4.0]), np.array([1.0, 1.0, 2.0]))
    assert mean == 3.0
    assert_allclose(error, np.sqrt(4 + 0 + 2) / 4)
