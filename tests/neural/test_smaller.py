"""Pruned and quantised networks."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
    prune_network,
    quantize_network,
)

QUICK = {"hidden_layer_sizes": (64,), "learning_rate": 0.01, "max_epochs": 10, "device": "cpu"}


@pytest.fixture
def rows(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(300) % 3
    return rng.normal(size=(300, 8)) + 4 * np.eye(3, 8)[y], y


@pytest.mark.parametrize(
    "cls", [NeuralClassifier, ELRClassifier, CoTeachingClassifier, NestedDropoutClassifier]
)
@pytest.mark.parametrize("smaller", [prune_network, quantize_network])
def test_a_smaller_copy_predicts_nearly_the_same(cls, smaller, rows):
    X, y = rows
    model = cls(**QUICK, random_state=0).fit(X, y)
    proba = model.predict_proba(X)
    found = smaller(model, 0.3, X=X, y=y) if smaller is prune_network else smaller(model, X=X, y=y)
    assert_array_equal(model.predict_proba(X), proba)
    assert found.accuracy_before == model.score(X, y)
    assert found.accuracy_after == found.classifier.score(X, y)
    assert found.accuracy_after > 0.8
    assert found.size_after < found.size_before
    again = pickle.loads(pickle.dumps(found.classifier))
    assert_array_equal(again.predict_proba(X), found.classifier.predict_proba(X))


def test_the_smallest_weights_become_zero(rows):
    X, y = rows
    model = NeuralClassifier(**QUICK, random_state=0).fit(X, y)
    pruned = prune_network(model, 0.7).classifier.module_
    for layer, before in zip(pruned.modules(), model.module_.modules(), strict=True):
        if isinstance(layer, torch.nn.Linear):
            zero = layer.weight == 0
            assert_allclose(zero.double().mean(), 0.7, atol=0.01)
            assert before.weight[zero].abs().max() <= before.weight[~zero].abs().min()
            assert torch.equal(layer.weight[~zero], before.weight[~zero])
    assert prune_network(model, 0.0).size_after == prune_network(model, 0.0).size_before


def test_a_quantised_network_is_a_fourth_and_stays_as_it_is(rows):
    X, y = rows
    model = NeuralClassifier(**{**QUICK, "hidden_layer_sizes": (512, 512)}, random_state=0)
    found = quantize_network(model.set_params(warm_start=True).fit(X, y))
    assert found.accuracy_before is None
    assert found.size_after < 0.3 * found.size_before
    assert len(pickle.dumps(found.classifier)) < 0.5 * len(pickle.dumps(model))
    with pytest.raises(ValueError, match="cannot be trained further"):
        found.classifier.fit(X, y)
    with pytest.raises(ValueError, match="cannot be trained further"):
        found.classifier.partial_fit(X, y)
    found.classifier.set_params(warm_start=False).fit(X, y)


def test_bad_input(rows):
    X, y = rows
    model = NeuralClassifier(**QUICK, random_state=0)
    with pytest.raises(ValueError, match="not fitted"):
        prune_network(model)
    model.fit(X, y)
    with pytest.raises(ValueError, match="given together"):
        quantize_network(model, X=X)
    with pytest.raises(ValueError, match="amount"):
        prune_network(model, 1.0)
    with pytest.raises(ValueError, match="classifier"):
        prune_network("model")
    with pytest.raises(ValueError, match="float64"):
        quantize_network(NeuralClassifier(**QUICK, dtype="float64").fit(X, y))
    truncated = NestedDropoutClassifier(**QUICK, random_state=0).fit(X, y)
    assert prune_network(truncated).classifier.width_ == truncated.width_
