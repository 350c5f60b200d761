"""Co-teaching, beside what all classifiers share."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from skorch.callbacks import Callback

from skrobust.neural import (
    CoTeachingClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
)
from skrobust.neural._co_teaching_classifier import keep_smallest
from skrobust.neural.modules import MLP, SmallCNN

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


def test_keeps_the_rows_of_the_smallest_losses(seed):
    rng = np.random.default_rng(seed)
    losses = torch.tensor(rng.permutation(10.0 * np.arange(1, 11)))
    kept = keep_smallest(losses, 0.75)
    assert_allclose(kept[losses.argsort()], [1] * 7 + [0.5, 0, 0])
    weight = torch.tensor(rng.integers(1, 4, size=10)).to(torch.float64)
    kept = keep_smallest(losses, 0.6, weight)
    assert_allclose(kept.sum(), 0.6 * weight.sum())
    counts = weight.to(torch.int64)
    repeated = keep_smallest(losses.repeat_interleave(counts), 0.6)
    of_row = torch.zeros(10, dtype=torch.float64)
    of_row.index_add_(0, torch.arange(10).repeat_interleave(counts), repeated)
    assert_allclose(kept, of_row)
    assert_allclose(keep_smallest(losses, 1.0), 1)


class Gradients(Callback):
    """Keeps the gradients of a step."""

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        if training and not hasattr(self, "grads"):
            self.batch = batch
            self.grads = [[p.grad.clone() for p in n.parameters()] for n in net.module_.nets]


def test_each_network_learns_from_the_choice_of_the_other(noisy):
    X, _, given, _ = noisy
    start, gradients = [MLP(4, 3, hidden_layer_sizes=(5,)).double() for _ in range(2)], Gradients()
    made = iter(start)
    model = CoTeachingClassifier(
        lambda shape, k: next(made),
        forget_rate=0.4,
        n_gradual=0,
        batch_size=600,
        max_epochs=1,
        dtype="float64",
        device="cpu",
        learning_rate=1e-12,
        callbacks=[gradients],
        random_state=0,
    ).fit(X, given)
    x, y = gradients.batch
    nets = model.module_.nets
    losses = [torch.nn.functional.cross_entropy(net(x["X"]), y, reduction="none") for net in nets]
    # Rows for which no hidden unit is active have the same loss.
    kept = [rows.argsort(stable=True)[:360] for rows in losses]
    assert set(kept[0].tolist()) != set(kept[1].tolist())
    for i, net in enumerate(nets):
        wanted = torch.autograd.grad(losses[i][kept[1 - i]].mean(), list(net.parameters()))
        for found, right in zip(gradients.grads[i], wanted, strict=True):
            assert_allclose(found, right, atol=1e-7)


def test_the_forget_rate_is_estimated_or_given(noisy):
    X, y, given, flipped = noisy
    model = CoTeachingClassifier(**NESTED).fit(X, given)
    assert abs(model.forget_rate_ - flipped.mean()) < 0.12
    assert CoTeachingClassifier(**NESTED, forget_rate=0.25).fit(X, y).forget_rate_ == 0.25
    verified = np.full(600, None, dtype=object)
    verified[::2] = y[::2]
    half = CoTeachingClassifier(**NESTED).fit(X, given, verified_labels=verified)
    assert abs(half.forget_rate_ - flipped[1::2].mean() / 2) < 0.06
    with pytest.raises(ValueError, match="forget_rate could not be .*give a number: Every"):
        CoTeachingClassifier(**NESTED).fit(np.ones((4, 2)), np.arange(4) % 2)
    images = X[:, :, None, None] + np.zeros((1, 1, 8, 8))
    quick = CoTeachingClassifier(
        lambda shape, k: SmallCNN(shape, k, width=4), random_state=0, max_epochs=1, device="cpu"
    )
    assert 0 < quick.fit(images, given).forget_rate_ < 0.9


class Norms(Callback):
    """Watches the running means of norms."""

    def on_train_begin(self, net, **kwargs):
        self.means = [b.clone() for n, b in net.module_.named_buffers() if n.endswith("_mean")]
        self.weights = [p.detach().clone() for p in net.module_.parameters()]

    def on_train_end(self, net, **kwargs):
        means = [b for n, b in net.module_.named_buffers() if n.endswith("_mean")]
        self.same = [torch.equal(a, b) for a, b in zip(self.means, means, strict=True)]
        weights = net.module_.parameters()
        self.moved = [not torch.equal(a, b) for a, b in zip(self.weights, weights, strict=True)]


def test_the_second_stage_freezes_norms_and_shares_widths(noisy):
    X, _, given, _ = noisy
    norms, widths = Norms(), []

    class Widths(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if training:
                widths.append([n.compressor.fixed_width for n in net.module_.nets])

    base = NestedDropoutClassifier(
        lambda shape, k: MLP(shape, k, hidden_layer_sizes=(16,), batch_norm=True),
        **{k: v for k, v in NESTED.items() if k != "hidden_layer_sizes"},
    )
    model = CoTeachingClassifier(
        base=base,
        forget_rate=0.3,
        learning_rate=1e-3,
        max_epochs=2,
        device="cpu",
        random_state=0,
        callbacks=[norms, Widths()],
    ).fit(X, given)
    assert len(norms.same) == 2
    assert all(norms.same)
    assert any(norms.moved)
    assert all(first == second for first, second in widths)
    assert len({first for first, _ in widths}) > 1
    first, second = model.module_.nets
    assert not torch.equal(first.head.weight, second.head.weight)


def test_base_takes_images_and_classes_without_rows(noisy):
    X, _, given, _ = noisy
    images = X[:, :, None, None] + np.zeros((1, 1, 8, 8))
    network = {"module": lambda shape, k: SmallCNN(shape, k, width=4), "max_epochs": 1}
    base = NeuralClassifier(**network, device="cpu")
    model = CoTeachingClassifier(base=base, max_epochs=1, device="cpu", random_state=0)
    assert model.fit(images, given).predict(images).shape == given.shape
    model = CoTeachingClassifier(base=NestedDropoutClassifier(**NESTED), forget_rate=0.1)
    model.set_params(max_epochs=1, device="cpu", random_state=0)
    some = given < 2
    model.partial_fit(X[some], given[some], classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (600, 3)
