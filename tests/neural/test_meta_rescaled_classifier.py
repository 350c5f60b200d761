"""Meta loss rescaling, beside what all classifiers share."""

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.neural import (
    MetaRescaledClassifier,
    NeuralClassifier,
)
from skrobust.neural._meta_rescaled_classifier import Rescaler, row_signals, try_step

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.module_.parameters()])


def test_wrong_labels_get_lower_weights(noisy):
    X, _, given, flipped = noisy
    model = MetaRescaledClassifier(**NESTED).fit(X, given)
    weight = model.sample_weight_
    assert weight[flipped].mean() < weight[~flipped].mean() - 0.5
    assert_allclose(weight.mean(), 1)
    assert 0.2 < model.filtered_.mean() < 0.65
    assert weight[model.filtered_].max() < weight[~model.filtered_].min()
    held_out = MetaRescaledClassifier(**NESTED, early_stopping=True).fit(X, given)
    assert (held_out.sample_weight_ > 0).all()


def test_without_rescaling_it_is_plain_training(noisy):
    X, _, given, _ = noisy
    plain = NeuralClassifier(**NESTED, weight_decay=0.0, ema_decay=None).fit(X, given)
    same = MetaRescaledClassifier(**NESTED, rescale=False).fit(X, given)
    assert torch.equal(_weights(plain), _weights(same))
    assert not hasattr(same, "sample_weight_")


def test_weights_of_random_signals_are_a_half(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rescaler, codes = Rescaler(3), torch.arange(600) % 3
        weight = rescaler(torch.randn(600, 19), codes)
        for k in range(3):
            assert abs(weight[codes == k].mean().item() - 0.5) < 0.05
        assert torch.isfinite(rescaler(torch.randn(5, 19), codes[:5])).all()


def test_signals_of_rows(seed):
    rng = np.random.default_rng(seed)
    losses, proba = torch.tensor(rng.random((2, 3, 40)))
    codes, agrees = torch.tensor(rng.integers(0, 2, 40)), torch.tensor(rng.random(40) < 0.5)
    signals = row_signals(losses, proba, agrees, codes, 2)
    assert signals.shape == (40, 19)
    assert torch.isfinite(signals).all()
    assert_allclose(signals[:, 0], losses.mean(dim=0))
    assert_allclose(signals[:, 3], proba.std(dim=0, correction=0))
    assert_array_equal(signals[:, 18], agrees)
    group = (codes == codes[0]) & (agrees == agrees[0])
    assert_allclose(signals[0, 4], losses.mean(dim=0)[group].mean())
    assert_allclose(signals[0, 8], losses.mean(dim=0)[group].std(correction=0), atol=1e-4)
    # A row alone in its group, in one pass: nothing to compare, and nothing infinite.
    one = row_signals(losses[:1, :1], proba[:1, :1], agrees[:1], codes[:1], 2)
    assert torch.isfinite(one).all()
    assert_allclose(one[0, 12], 0, atol=1e-6)  # no divergence from itself
    assert_allclose(one[0, 13], 1, atol=1e-6)  # all overlap


def test_the_gradient_of_the_weights_is_that_of_the_step(seed):
    """The closed form against automatic differentiation through the step."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = torch.nn.Linear(5, 3).double()
        features, other = torch.randn(2, 12, 5, dtype=torch.float64)
        y, other_y = torch.arange(12) % 3, (torch.arange(12) + 1) % 3
        weights = torch.rand(12, dtype=torch.float64, requires_grad=True)
        losses = torch.nn.functional.cross_entropy(head(features), y, reduction="none")
        grads = torch.autograd.grad((weights * losses).mean(), head.parameters(), create_graph=True)
        moved = [p - 0.7 * g for p, g in zip(head.parameters(), grads, strict=True)]
        tried = try_step(head, features, head(features).detach(), y, weights, 0.7)
        for found, right in zip(tried, moved, strict=True):
            assert_allclose(found.detach(), right.detach(), atol=1e-12)
        scores = torch.nn.functional.linear(other, *tried)
        (found,) = torch.autograd.grad(
            torch.nn.functional.cross_entropy(scores, other_y), weights, retain_graph=True
        )
        scores = torch.nn.functional.linear(other, *moved)
        (right,) = torch.autograd.grad(torch.nn.functional.cross_entropy(scores, other_y), weights)
        assert_allclose(found, right, atol=1e-12)
