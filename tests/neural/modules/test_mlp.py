"""The multi-layer perceptron: its layers, its starting weights, the linear model in it."""

import numpy as np
import pytest
import torch
from torch import nn

from skrobust.neural.modules import MLP

ACTIVATIONS = {
    "relu": torch.relu,
    "gelu": nn.functional.gelu,
    "silu": lambda x: x * torch.sigmoid(x),
    "tanh": torch.tanh,
    "elu": lambda x: torch.where(x > 0, x, torch.expm1(x)),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.01 * x),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_by_name(activation):
    network = MLP(5, 2, hidden_layer_sizes=(7,), activation=activation)
    X = torch.randn(20, 5)
    (linear,) = [layer for layer in network.body if isinstance(layer, nn.Linear)]
    torch.testing.assert_close(network.features(X), ACTIVATIONS[activation](linear(X)))


def test_without_hidden_layers_it_is_linear():
    network = MLP((2, 3), 4, hidden_layer_sizes=(), dropout=0.5)
    assert network.n_features_out == 6
    X = torch.randn(9, 2, 3)
    expected = X.reshape(9, 6) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(X), expected)
    assert sum(p.numel() for p in network.parameters()) == 6 * 4 + 4


def test_rows_may_be_flat_already_but_not_permuted():
    network = MLP((3, 4, 5), 2)
    X = torch.randn(7, 3, 4, 5)
    assert torch.equal(network(X), network(X.flatten(1)))
    with pytest.raises(ValueError, match=r"\(n_samples, 3, 4, 5\), got \(7, 4, 5, 3\)"):
        network(X.permute(0, 2, 3, 1))


def test_layers_and_sizes():
    network = MLP(10, 3, hidden_layer_sizes=np.array([8, 4]), dropout=0.3, batch_norm=True)
    kinds = [type(layer).__name__ for layer in network.body]
    assert kinds == 2 * ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert network.n_features_out == 4
    assert sum(p.numel() for p in network.parameters()) == 80 + 16 + 32 + 8 + 15
    default = MLP(10, 3)
    assert [type(layer).__name__ for layer in default.body] == 2 * ["Linear", "ReLU"]
    assert sum(p.numel() for p in default.parameters()) == 11 * 256 + 257 * 128 + 129 * 3


def test_dropout_is_for_training():
    network = MLP(10, 3, hidden_layer_sizes=(2000,), activation="tanh", dropout=0.3)
    X = torch.randn(1, 10)
    assert (network(X) - network(X)).abs().max() > 0
    assert float((network.features(X) == 0).float().mean()) == pytest.approx(0.3, abs=0.05)
    network.eval()
    assert torch.equal(network(X), network(X))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_scale_is_kept_through_layers(activation):
    network = MLP(500, 3, hidden_layer_sizes=10 * (500,), activation=activation)
    X = torch.randn(100, 500)
    with torch.no_grad():
        assert 0.5 < float(network.features(X).square().mean()) < 2


def test_weights_have_the_variance_of_he():
    for activation, gain in [("relu", 2), ("gelu", 2), ("tanh", 25 / 9)]:
        network = MLP(400, 3, hidden_layer_sizes=(400,), activation=activation)
        weight = network.body[0].weight.detach()
        assert float(weight.var()) == pytest.approx(gain / 400, rel=0.03)
        # Uniform, and not normal.
        assert float(weight.abs().max()) <= (3 * gain / 400) ** 0.5


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_learns_what_no_linear_model_can(activation, batch_norm):
    X = torch.randn(200, 2)
    y = (X[:, 0] * X[:, 1] > 0).long()
    network = MLP(2, 2, hidden_layer_sizes=(32,), activation=activation, batch_norm=batch_norm)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X), y).backward()
        optimizer.step()
    assert float((network(X).argmax(1) == y).float().mean()) > 0.85
