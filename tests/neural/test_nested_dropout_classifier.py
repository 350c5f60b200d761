"""Nested dropout, beside what all classifiers share."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback

from skrobust.neural import (
    NestedDropoutClassifier,
)
from skrobust.neural.modules import MLP, SmallCNN

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.module_.parameters()])


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


def test_best_width_is_restored_with_its_epoch(noisy):
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

    class Recorder(Callback):
        def on_train_begin(self, net, **kwargs):
            start.append(net.module_.head.weight.detach().clone())

    model = NestedDropoutClassifier(**NESTED, sigma=2.0, callbacks=[Recorder()]).fit(X, given)
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
