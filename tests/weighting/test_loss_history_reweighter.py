"""What is particular to LossHistoryReweighter; tests/test_common.py holds what all share."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neural_network import MLPClassifier

from skrobust.detection import TrainingDynamics
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.weighting import LossHistoryReweighter, loss_history_weights

LOSSES = np.array([1, 1.1, 0.9, 3, 0.1, 1])
MEAN, DEVIATION = 1.18333, 0.878287


def _density(loss):
    return np.exp(-(((loss - MEAN) / DEVIATION) ** 2) / 2)


def test_published_values():
    np.testing.assert_allclose([LOSSES.mean(), LOSSES.std()], [MEAN, DEVIATION], rtol=1e-5)
    weight = loss_history_weights(LOSSES, beta_high=1.5, reference="all")
    np.testing.assert_allclose(weight, [1, 1, 1, _density(3), 1, 1], rtol=1e-4)
    np.testing.assert_allclose(weight[3], 0.1177, atol=1e-4)
    both = loss_history_weights(LOSSES, beta_high=1.5, beta_low=1, reference="all")
    np.testing.assert_allclose(both, [1, 1, 1, _density(3), _density(0.1), 1], rtol=1e-4)
    low = loss_history_weights(LOSSES, beta_high=None, beta_low=1, reference="all")
    np.testing.assert_allclose(low, [1, 1, 1, 1, _density(0.1), 1], rtol=1e-4)
    # The one at 3 is 2.07 deviations up.
    np.testing.assert_array_equal(loss_history_weights(LOSSES, beta_high=2.1, reference="all"), 1)


def test_no_outlier_counts_more_than_other_rows():
    """A density, as published, would weigh it 3.99 times as much as others at a deviation of .1."""
    losses = 1 + LOSSES / 10
    weight = loss_history_weights(losses, reference="all")
    assert weight.max() == 1
    np.testing.assert_allclose(weight, loss_history_weights(LOSSES, reference="all"))


def test_epochs_are_averaged(seed):
    rng = np.random.default_rng(seed)
    history = rng.exponential(size=(50, 7))
    np.testing.assert_allclose(
        loss_history_weights(history), loss_history_weights(history.mean(axis=1))
    )


def _two_humps(seed, share, n_samples=1000):
    rng = np.random.default_rng(seed)
    wrong = rng.uniform(size=n_samples) < share
    return np.where(wrong, rng.normal(2, 0.3, n_samples), rng.normal(0.4, 0.1, n_samples)), wrong


@pytest.mark.parametrize("share", [0.1, 0.25, 0.45])
def test_lower_component_is_of_right_labels(share, seed):
    losses, wrong = _two_humps(seed, share)
    weight = loss_history_weights(losses)
    np.testing.assert_allclose(weight[~wrong], 1)
    assert weight[wrong].mean() < 0.3
    # As published, the more errors there are the less they stand out.
    published = loss_history_weights(losses, beta_high=1.5, reference="all")
    assert (published[wrong].mean() > 0.8) == (share > 0.4)


@pytest.mark.parametrize("losses", [np.linspace(0, 0.6, 50) ** 2, np.full(9, 0.3), [0.1, 0.2]])
def test_all_rows_count_without_unlikely_labels(losses):
    np.testing.assert_array_equal(
        loss_history_weights(losses), loss_history_weights(losses, reference="all")
    )


def test_weights_are_repeats(seed):
    losses, _ = _two_humps(seed, 0.3, 200)
    times = np.random.default_rng(seed).integers(0, 4, size=200)
    for reference in ("lower_hump", "all"):
        weighed = loss_history_weights(losses, reference=reference, sample_weight=times)
        repeated = loss_history_weights(np.repeat(losses, times), reference=reference)
        np.testing.assert_allclose(np.repeat(weighed, times), repeated, atol=1e-6)


@pytest.fixture
def noisy(seed):
    X, y = make_blobs(300, centers=[[0, 0], [4, 0], [0, 4]], random_state=seed)
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.4), random_state=seed)
    return X, y, y_noisy, flipped


def test_equals_weights_by_the_losses_of_a_training(noisy, seed):
    X, _, y, flipped = noisy
    reweighter = LossHistoryReweighter(n_stages=20, random_state=seed).fit(X, y)
    detector = TrainingDynamics(n_stages=20, random_state=seed, max_flag_rate=None).fit(X, y)
    losses = detector.dynamics_["mean_loss"]
    np.testing.assert_array_equal(reweighter.mean_loss_, losses)
    expected = loss_history_weights(losses)
    np.testing.assert_allclose(reweighter.sample_weight_, expected / expected.mean())
    assert reweighter.reference_ == "lower_hump"
    weight = reweighter.sample_weight_
    assert weight[flipped].mean() < 0.5 < 1 < weight[~flipped].mean()


@pytest.mark.parametrize(
    "model",
    [
        SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02),
        MLPClassifier((16,), learning_rate_init=0.02),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("cv", [None, 3])
def test_passes_of_a_learner(model, cv, noisy, seed):
    X, _, y, flipped = noisy
    reweighter = LossHistoryReweighter(model, cv=cv, n_stages=8, n_repeats=2, random_state=seed)
    weight = reweighter.fit(X, y).sample_weight_
    assert weight[flipped].mean() < 0.9 < 1 < weight[~flipped].mean()


def test_clean_labels_are_hardly_weighed(noisy, seed):
    X, y, _, _ = noisy
    reweighter = LossHistoryReweighter(random_state=seed).fit(X, y)
    assert reweighter.reference_ == "all"
    assert (reweighter.sample_weight_ > 0.9).mean() > 0.8


def test_verified_rows_weigh_one_and_are_not_in_the_mean(noisy, seed):
    X, y, given, _ = noisy
    checked = np.arange(len(y)) % 3 == 0
    verified = np.where(checked, y.astype(float), np.nan)
    reweighter = LossHistoryReweighter(n_stages=10, random_state=seed)
    reweighter.fit(X, given, verified_labels=verified)
    weight, losses = reweighter.sample_weight_, reweighter.mean_loss_
    assert np.ptp(weight[checked]) == 0
    assert weight[checked].min() == weight.max()
    expected = loss_history_weights(losses[~checked])
    np.testing.assert_allclose(weight[~checked] / weight.max(), expected)


@pytest.mark.parametrize(
    "params, kind, words",
    [
        ({"beta_high": -1}, ValueError, "'beta_high'"),
        ({"beta_low": "none"}, ValueError, "'beta_low'"),
        ({"reference": "mean"}, ValueError, "'reference'"),
        ({"n_stages": 0}, ValueError, "'n_stages'"),
        ({"n_repeats": 0}, ValueError, "'n_repeats'"),
        ({"estimator": LogisticRegression()}, TypeError, "estimator: LogisticRegression keeps no"),
    ],
)
def test_bad_parameters(params, kind, words, noisy):
    X, _, y, _ = noisy
    with pytest.raises(kind, match=words):
        LossHistoryReweighter(**params).fit(X, y)


@pytest.mark.parametrize(
    "losses, params, words",
    [
        ([1, np.nan], {}, "finite, and that of row 1 is nan"),
        ([[1, np.inf], [1, 1]], {}, "row 0 is inf"),
        ([], {}, r"shape \(0,\)"),
        (np.ones((2, 2, 2)), {}, r"shape \(2, 2, 2\)"),
        (["a", "b"], {}, "numbers"),
        ([1, 2], {"sample_weight": [1, -1]}, "[Nn]egative"),
        ([1, 2], {"sample_weight": [1]}, "shape"),
        ([1, 2], {"beta_high": -1}, "'beta_high'"),
        ([1, 2], {"reference": "median"}, "'reference'"),
    ],
)
def test_bad_losses(losses, params, words):
    with pytest.raises(ValueError, match=words):
        loss_history_weights(losses, **params)
