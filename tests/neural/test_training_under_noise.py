"""What is particular to the classifiers that train under noise; test_common.py has the rest."""

import functools
import pickle
import threading

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    MetaRescaledClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
    SOPClassifier,
)
from skrobust.neural._co_teaching_classifier import keep_smallest
from skrobust.neural._elr_classifier import early_learning_term, update_targets
from skrobust.neural._meta_rescaled_classifier import Rescaler, row_signals, try_step
from skrobust.neural._plan import threads_for
from skrobust.neural._sop_classifier import LabelNoise, noisy_losses
from skrobust.neural.losses import VolumeMinimizing
from skrobust.neural.modules import MLP, SmallCNN
from skrobust.noise import flip_labels, symmetric_transition

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


@pytest.fixture
def noisy(seed):
    """Three classes, a third of whose labels are wrong: rows, true and given labels, mask."""
    rng = np.random.default_rng(seed)
    y = np.arange(600) % 3
    X = rng.normal(size=(600, 4)) + 3 * np.eye(3, 4)[y]
    given, flipped = flip_labels(y, symmetric_transition(3, 0.3), random_state=seed)
    return X, y, given, flipped


@pytest.fixture
def two_threads():
    """Let torch use two threads, which must not add numbers up in an order of chance."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_threads_get_their_own_number_of_torch_threads_back(two_threads):
    def call(function):
        found = []
        thread = threading.Thread(target=lambda: found.append(function()))
        thread.start()
        thread.join()
        return found[0]

    small = torch.nn.Linear(2, 2)
    limit = functools.partial(threads_for, small, torch.device("cpu"), (2,), 5)
    inside, leave = threading.Event(), threading.Event()
    seen = []

    def hold():
        torch.set_num_threads(3)
        with limit(), limit():
            seen.append(torch.get_num_threads())
            inside.set()
            leave.wait(10)
        seen.append(torch.get_num_threads())

    other = threading.Thread(target=hold)
    with limit():
        other.start()
        assert inside.wait(10)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    leave.set()
    other.join()
    assert seen == [1, 3]
    assert torch.get_num_threads() == 2
    with limit():  # a thread that starts meanwhile does not inherit the limit
        assert call(torch.get_num_threads) == 2


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.module_.parameters()])


@pytest.mark.parametrize(
    "model",
    [
        NestedDropoutClassifier(**NESTED),
        NestedDropoutClassifier(**NESTED, compression="dropout", hidden_noise=0.1),
        NestedDropoutClassifier(**NESTED, compression="bottleneck"),
        NestedDropoutClassifier(**NESTED, ema_decay=0.9, mixup=0.2),
        CoTeachingClassifier(**NESTED, forget_rate=0.3, hidden_noise=0.1, record_dynamics=True),
        CoTeachingClassifier(**NESTED, ema_decay=0.9, early_stopping=True),
        CoTeachingClassifier(
            **{**NESTED, "learning_rate": 1e-3, "max_epochs": 3},
            base=NestedDropoutClassifier(**NESTED),
            forget_rate=0.3,
            record_dynamics=True,
        ),
        ELRClassifier(**NESTED),
        ELRClassifier(**NESTED, ema_decay=0.9, mixup=0.2, early_stopping=True),
        ELRClassifier(**NESTED, ensemble=True, hidden_noise=0.1),
        SOPClassifier(**NESTED),
        SOPClassifier(**NESTED, balance=0.1, consistency=0.9, ema_decay=0.9, early_stopping=True),
        MetaRescaledClassifier(**NESTED, ema_decay=0.9, record_dynamics=True, early_stopping=True),
    ],
)
def test_learns_is_repeatable_and_pickles(model, noisy, two_threads):
    X, y, given, _ = noisy
    model.fit(X, given)
    proba = model.predict_proba(X)
    assert model.score(X, y) > 0.65  # by chance: a third
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)
    assert_array_equal(model.fit(X, given).predict_proba(X), proba)
    if model.record_dynamics:
        held_out = 60 if model.early_stopping is True else 0
        assert np.isnan(model.training_dynamics_["aum"]).sum() == held_out


# Nested dropout ---------------------------------------------------------------------------------


def test_all_widths_are_scored_in_one_pass(noisy):
    X, y, given, _ = noisy
    model = NestedDropoutClassifier(**NESTED, n_iter_no_change=None).fit(X, given)
    network = model.module_
    with torch.no_grad():
        rows = torch.tensor(X, dtype=torch.float32)
        features, codes = network.features(rows), torch.tensor(y)
        weight = torch.arange(600.0)
        sums = network.correct_widths(features, codes, weight).numpy()
    assert sums.shape == (32,)
    for width in (1, 2, 7, 32):
        predicted = model.predict(X, width=width)
        assert_allclose(sums[width - 1], weight.numpy()[predicted == y].sum(), rtol=1e-3)
        assert model.transform(X, width=width).shape == (600, width)
    assert_array_equal(model.predict(X), model.predict(X, width=model.width_))


def test_the_width_is_the_best_on_held_out_rows_and_comes_back_with_its_epoch(noisy):
    X, _, given, _ = noisy
    model = NestedDropoutClassifier(**NESTED, n_iter_no_change=None).fit(X, given)
    scores = model.width_scores_
    assert model.width_ == int(np.argmax(scores - 1e-5 * np.arange(1, 33))) + 1
    best = int(model.history_["valid_accuracy"].argmax())
    assert model.history_["width"][best] == model.width_
    assert_allclose(scores[model.width_ - 1], model.history_["valid_accuracy"][best], atol=1e-6)


def test_the_first_features_learn_most(noisy):
    X, y, given, _ = noisy
    start = []

    class Look(Callback):
        def on_train_begin(self, net, **kwargs):
            start.append(net.module_.head.weight.detach().clone())

    model = NestedDropoutClassifier(**NESTED, sigma=2.0, callbacks=[Look()]).fit(X, given)
    moved = (model.module_.head.weight.detach() - start[0]).abs().sum(dim=0)
    assert moved[0] > 0
    assert moved[0] > moved[4]
    assert (moved[16:] == 0).all()  # a width of 17 has a probability of exp(-72)
    pipeline = make_pipeline(model, LogisticRegression(max_iter=1000)).fit(X, given)
    assert pipeline.score(X, y) > 0.5
    names = model.get_feature_names_out()
    assert len(names) == model.width_
    assert names[0] == "nesteddropoutclassifier0"


def test_one_feature_can_be_all():
    X = np.r_[np.full(60, -1.0), np.full(60, 1.0)][:, None]
    y = np.arange(120) // 60
    model = NestedDropoutClassifier(**{**NESTED, "hidden_layer_sizes": (8,)}, sigma=0.5).fit(X, y)
    assert model.width_ == 1
    assert model.score(X, y) == 1


def test_the_truncated_network_predicts_the_same(noisy):
    X, _, given, _ = noisy
    rows = torch.tensor(X, dtype=torch.float32)
    normed = {"module": lambda s, k: MLP(s, k, hidden_layer_sizes=(32,), batch_norm=True)}
    for params in ({}, {"compression": "bottleneck"}, {"hidden_layer_sizes": (16, 32)}, normed):
        model = NestedDropoutClassifier(**{**NESTED, **params}).fit(X, given)
        before = _weights(model).clone()
        for width in (None, 3):
            network = model.truncated_module(width)
            with torch.no_grad():
                predicted = network(rows).argmax(dim=1).numpy()
            assert_array_equal(predicted, model.predict(X, width=width))
        if not {"compression", "module"} & set(params):
            assert sum(p.numel() for p in network.parameters()) < len(before) / 2
        assert torch.equal(before, _weights(model))


def test_images_and_bad_widths(noisy):
    X, _, given, _ = noisy
    images = X[:, :1, None, None] + np.zeros((1, 1, 8, 8))
    model = NestedDropoutClassifier(
        lambda shape, k: SmallCNN(shape, k, width=4), random_state=0, max_epochs=2, device="cpu"
    ).fit(images, given)
    assert model.transform(images, width=2).shape == (600, 2)
    for width in (0, 17, 2.5):
        with pytest.raises(ValueError, match="width must be an integer from 1 to 16"):
            model.predict(images, width=width)
    with pytest.raises(ValueError, match="no method `features`"):
        NestedDropoutClassifier(torch.nn.Linear(4, 3), device="cpu").fit(X, given)


# Co-teaching ------------------------------------------------------------------------------------


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
    start, look = [MLP(4, 3, hidden_layer_sizes=(5,)).double() for _ in range(2)], Gradients()
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
        callbacks=[look],
        random_state=0,
    ).fit(X, given)
    x, y = look.batch
    nets = model.module_.nets
    losses = [torch.nn.functional.cross_entropy(net(x["X"]), y, reduction="none") for net in nets]
    # Rows for which no hidden unit is active have the same loss.
    kept = [rows.argsort(stable=True)[:360] for rows in losses]
    assert set(kept[0].tolist()) != set(kept[1].tolist())
    for i, net in enumerate(nets):
        wanted = torch.autograd.grad(losses[i][kept[1 - i]].mean(), list(net.parameters()))
        for found, right in zip(look.grads[i], wanted, strict=True):
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
    look, widths = Norms(), []

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
        callbacks=[look, Widths()],
    ).fit(X, given)
    assert len(look.same) == 2
    assert all(look.same)
    assert any(look.moved)
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


# Early-learning regularisation ------------------------------------------------------------------


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
def test_targets_tell_wrong_labels(ensemble, noisy):
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


def test_targets_of_other_rows_are_not_taken_over(noisy):
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


# Label noise that is learned ---------------------------------------------------------------------


def test_losses_with_noise(seed):
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(size=(6, 3)), np.eye(3)[rng.integers(0, 3, 6)]
    u, v = rng.uniform(0, 1.2, (6, 1)), rng.uniform(0, 1.2, (6, 3))
    given = np.clip(u**2 * target, 0, 1)
    others = np.clip(v**2 * (1 - target), 0, 1)
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = np.maximum(said + given - others, 1e-4)
    said /= said.sum(axis=1, keepdims=True)
    tensors = [torch.tensor(part) for part in (logits, target, given, others)]
    entropy, distance = noisy_losses(*tensors)
    assert_allclose(entropy, -np.log(np.maximum(said, 1e-4)[target == 1]))
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


def test_noise_tells_wrong_labels(noisy):
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


# Rescaling --------------------------------------------------------------------------------------


def test_wrong_rows_come_to_count_less(noisy):
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


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MetaRescaledClassifier(torch.nn.Linear(4, 3)), "no method `features`"),
        (MetaRescaledClassifier(meta_step=0), "meta_step"),
        (MetaRescaledClassifier(mixup=0.2), "mixup=0.2 is not used by MetaRescaledClassifier"),
        (CoTeachingClassifier(label_smoothing=0.1), "label_smoothing=0.1 is not used by"),
        (ELRClassifier(ensemble=True, consistency=1.0), "consistency=1.0 is not used by"),
        (NestedDropoutClassifier(sigma=0), "sigma"),
        (NestedDropoutClassifier(compression="zip"), "compression"),
        (CoTeachingClassifier(forget_rate=1.0), "forget_rate"),
        (CoTeachingClassifier(base=LogisticRegression()), "base"),
        (ELRClassifier(beta=1.0), "beta"),
        (SOPClassifier(start=0), "start"),
        (SOPClassifier(mixup=0.2), "mixup=0.2 is not used by SOPClassifier"),
        (SOPClassifier(criterion="cores"), "criterion='cores' is not used by SOPClassifier"),
        (ELRClassifier(strength=-1), "strength"),
    ],
)
def test_bad_parameters(model, message, noisy):
    X, _, given, _ = noisy
    with pytest.raises(ValueError, match=message):
        model.fit(X, given)


def test_learning_a_transition_is_repeatable(two_threads, seed):
    """Also where a batch is large enough to be shared among threads."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, 8000)
    X = rng.normal(size=(8000, 5)) + y[:, None] % 3
    criterion = VolumeMinimizing(10)
    params = {**NESTED, "max_epochs": 4, "batch_size": 8000, "early_stopping": False}
    model = NeuralClassifier(**params, criterion=criterion)
    proba = model.fit(X, y).predict_proba(X)
    matrix = model.net_.criterion_.transition_matrix
    assert_array_equal(model.fit(X, y).predict_proba(X), proba)
    assert_array_equal(model.net_.criterion_.transition_matrix, matrix)
