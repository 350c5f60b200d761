"""Early-learning regularisation, beside what all classifiers share."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.neural import (
    ELRClassifier,
)
from skrobust.neural._elr_classifier import early_learning_term, update_targets

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


def test_values_of_the_regulariser():
    logits = torch.tensor([[2.0, 0, -1], [0, 1, 0.5]], dtype=torch.float64)
    targets, y = torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, 2])
    plain = torch.nn.functional.cross_entropy(logits, y)
    assert_allclose(plain, 0.6750578, atol=1e-7)
    losses = []
    for _ in range(2):
        moved = update_targets(targets, torch.arange(2), logits, 0.7)
        losses.append(plain + 3 * early_learning_term(moved, logits).mean())
        if len(losses) == 1:
            expected = [[0.253138, 0.034259, 0.012603], [0.055897, 0.151944, 0.092159]]
            assert_allclose(targets, expected, atol=1e-6)
    assert_allclose(losses, [0.1217246, -0.3480467], atol=1e-7)


def test_the_gradient_is_the_published_one():
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits.requires_grad_()
    targets = torch.softmax(2 * logits.detach().flip(1), dim=1)
    early_learning_term(targets, logits).sum().backward()
    p = logits.detach().softmax(dim=1)
    agreement = (targets * p).sum(dim=1, keepdim=True)
    expected = (
        p / (1 - agreement) * ((targets[:, None, :] - targets[:, :, None]) * p[:, None]).sum(2)
    )
    assert_allclose(logits.grad, expected, atol=1e-10)


@pytest.mark.parametrize("ensemble", [False, True])
def test_targets_score_wrong_labels(ensemble, noisy):
    X, y, given, flipped = noisy
    labels = np.array(["a", "b", "c"], dtype=object)[given]
    labels[:5] = None
    verified = np.full(600, None, dtype=object)
    verified[5:25] = np.array(["a", "b", "c"])[y[5:25]]
    model = ELRClassifier(**NESTED, ensemble=ensemble)
    model.fit(X, labels, verified_labels=verified)
    quality, errors = model.label_quality_, model.label_errors_
    assert np.isnan(quality[:5]).all()
    assert not errors[:5].any()
    assert_array_equal(errors[5:25], flipped[5:25])
    assert_array_equal(quality[5:25], ~flipped[5:25])
    assert np.mean(errors[25:] == flipped[25:]) > 0.75
    held_out = ELRClassifier(**NESTED, early_stopping=True).fit(X, given)
    assert np.isnan(held_out.label_quality_).sum() == 60


def test_targets_start_anew_with_other_rows(noisy):
    X, _, given, _ = noisy
    model = ELRClassifier(**{**NESTED, "learning_rate": 1e-9}, beta=0.7, dtype="float64")
    model.partial_fit(X[:300], given[:300], classes=[0, 1, 2])
    model.partial_fit(X[300:], given[300:])
    own = model.predict_proba(X[300:])[np.arange(300), given[300:]]
    assert_allclose(model.label_quality_, own, atol=1e-3)


@pytest.mark.parametrize("n_gradual", [0, 2])
def test_the_strength_rises_over_the_first_epochs(n_gradual, noisy):
    X, _, given, _ = noisy
    frozen = {"learning_rate": 1e-12, "batch_size": 600, "max_epochs": 4, "dtype": "float64"}
    model = ELRClassifier(**{**NESTED, **frozen}, n_gradual=n_gradual, beta=0.6, strength=2.0)
    model.fit(X, given)
    proba = model.predict_proba(X)
    entropy = -np.log(proba[np.arange(600), given]).mean()
    strengths = [0.0, 1.0, 2.0, 2.0] if n_gradual else [2.0] * 4
    expected = [
        entropy + strength * np.log1p(-(1 - 0.6 ** (epoch + 1)) * (proba**2).sum(axis=1)).mean()
        for epoch, strength in enumerate(strengths)
    ]
    assert_allclose(model.history_["train_loss"], expected, rtol=1e-6)


def test_epochs_are_counted_over_all_calls(noisy):
    X, _, given, _ = noisy
    parts, warm = ELRClassifier(**NESTED), ELRClassifier(**{**NESTED, "max_epochs": 3})
    for done in range(3):
        parts.partial_fit(X, given, classes=[0, 1, 2])
        assert parts.net_.gradual(10) == pytest.approx(done / 10)
        warm.set_params(warm_start=True).fit(X, given)
        assert warm.net_.gradual(10) == pytest.approx((3 * done + 2) / 10)
    assert parts.set_params(max_epochs=12).fit(X, given).net_.gradual(10) == 1.0
