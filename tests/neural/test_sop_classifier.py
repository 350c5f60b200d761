"""Sparse over-parameterisation, beside what all classifiers share."""

import numpy as np
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.neural import (
    NeuralClassifier,
    SOPClassifier,
)
from skrobust.neural._sop_classifier import LabelNoise, noisy_losses

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


def test_losses_with_noise(seed):
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(size=(6, 3)), np.eye(3)[rng.integers(0, 3, 6)]
    u, v = rng.uniform(0, 1.2, (6, 1)), rng.uniform(0, 1.2, (6, 3))
    given = np.clip(u**2 * target, 0, 1)
    others = np.clip(v**2 * (1 - target), 0, 1)
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    proba = np.maximum(proba + given - others, 1e-4)
    proba /= proba.sum(axis=1, keepdims=True)
    tensors = [torch.tensor(part) for part in (logits, target, given, others)]
    entropy, distance = noisy_losses(*tensors)
    assert_allclose(entropy, -np.log(np.maximum(proba, 1e-4)[target == 1]))
    decided = np.eye(3)[logits.argmax(axis=1)]
    assert_allclose(distance, ((decided + given - others - target) ** 2).sum(axis=1))
    plain, _ = noisy_losses(*tensors[:2], torch.zeros(6, 3), torch.zeros(6, 3))
    expected = torch.nn.functional.cross_entropy(tensors[0], tensors[1], reduction="none")
    assert_allclose(plain, expected, rtol=1e-3)


def test_noise_takes_the_step_of_each_rows_own_loss(seed):
    """The step against numerical slopes: the cross-entropy does not teach the other classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        logits = torch.randn(4, 3, dtype=torch.float64)
        target = torch.eye(3, dtype=torch.float64)[torch.tensor([0, 1, 2, 0])]
        noise, before = (LabelNoise(6, 3, logits, 0.0) for _ in range(2))
        for part in (noise, before):
            part.u += 0.3
            part.v += 0.2
        rows, labels = torch.tensor([5, 0, 2, 3]), torch.zeros(6, 3, dtype=torch.float64)
        labels[rows] = target
        noise.learn(rows, logits, target, (128 * 0.1, 128 * 0.01))
        step = 1e-6
        for name, rate in (("u", 0.1), ("v", 0.01)):
            assert torch.equal(getattr(noise, name)[[1, 4]], getattr(before, name)[[1, 4]])
            start = getattr(before, name)
            for row, place in ((5, 0), (2, 2)):
                for k in range(start.shape[1]):
                    sums = []
                    for sign in (1, -1):
                        start[row, k] += sign * step
                        parts = (part[rows] for part in before.of(labels))
                        both = noisy_losses(logits, target, *parts)
                        start[row, k] -= sign * step
                        sums.append(both[1][place] + (both[0][place] if name == "u" else 0))
                    slope = (sums[0] - sums[1]) / (2 * step)
                    moved = start[row, k] - rate * slope
                    assert_allclose(getattr(noise, name)[row, k], moved, atol=1e-7)


def test_noise_scores_wrong_labels(noisy):
    X, y, given, flipped = noisy
    labels = np.array(["a", "b", "c"], dtype=object)[given]
    labels[:5] = None
    verified = np.full(600, None, dtype=object)
    verified[5:25] = np.array(["a", "b", "c"])[y[5:25]]
    longer = {**NESTED, "max_epochs": 60}
    model = SOPClassifier(**longer).fit(X, labels, verified_labels=verified)
    quality, errors = model.label_quality_, model.label_errors_
    assert np.isnan(quality[:5]).all()
    assert (model.label_noise_[:5] == 0).all()
    assert_array_equal(errors[5:25], flipped[5:25])
    assert_array_equal(quality[5:25], ~flipped[5:25])
    assert np.mean(errors[25:] == flipped[25:]) > 0.75
    longer["hidden_layer_sizes"] = (64, 64)
    plain = NeuralClassifier(**longer).fit(X, given)
    assert SOPClassifier(**longer).fit(X, given).score(X, y) > plain.score(X, y) + 0.02
    # The noise is that of what was learned, not of labels that were not.
    soft = SOPClassifier(**longer).fit(X, y, target_proba=np.eye(3)[given])
    assert_allclose(soft.label_noise_.max(axis=1), soft.label_noise_[np.arange(600), given])
    assert (soft.label_quality_[flipped] == 1).all()
    held_out = SOPClassifier(**NESTED, early_stopping=True).fit(X, given)
    assert np.isnan(held_out.label_quality_).sum() == 60
