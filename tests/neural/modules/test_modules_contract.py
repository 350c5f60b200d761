"""What all networks have in common: features and head, types, copies, refusals."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn

from skrobust.neural.modules import MLP, Augmented, Normalize, ResNet18, SmallCNN

SHAPE = (3, 9, 11)
BUILDERS = {
    "mlp": partial(MLP, hidden_layer_sizes=(8, 5)),
    "mlp-deluxe": partial(
        MLP, hidden_layer_sizes=[6], activation="gelu", dropout=0.2, batch_norm=True
    ),
    "linear": partial(MLP, hidden_layer_sizes=()),
    "cnn": partial(SmallCNN, width=4),
    "cnn-deluxe": partial(SmallCNN, width=2, depth=2, dropout=0.2),
    "resnet": partial(ResNet18, width=2, zero_init=True),
    "augmented": lambda *args, **kwargs: Augmented(
        SmallCNN(*args, width=4, **kwargs), Normalize([0.5, 0.5, 0.5], 0.2)
    ),
}
every_network = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


@every_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_are_the_head_of_the_features(build, dtype):
    network = build(SHAPE, 4).to(dtype).eval()
    X = torch.randn(6, *SHAPE, dtype=dtype)
    features = network.features(X)
    assert features.shape == (6, network.n_features_out)
    assert isinstance(network.head, nn.Linear)
    assert network.head.in_features == network.n_features_out
    logits = network(X)
    assert logits.shape == (6, 4)
    assert logits.dtype == dtype
    torch.testing.assert_close(logits, network.head(features), rtol=0, atol=0)


@every_network
def test_every_parameter_has_a_gradient(build):
    network = build(SHAPE, 3).train()
    loss = nn.functional.cross_entropy(network(torch.randn(16, *SHAPE)), torch.arange(16) % 3)
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every_network
def test_head_without_bias(build):
    assert build(SHAPE, 3).head.bias is not None
    assert build(SHAPE, 3, head_bias=False).head.bias is None


@every_network
def test_deepcopy_and_pickle_are_equal_and_share_nothing(build):
    network = build(SHAPE, 3).eval()
    X = torch.randn(2, *SHAPE)
    expected = network(X)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(X), expected)
        with torch.no_grad():
            other.head.weight += 1
        assert torch.equal(network(X), expected)
    new = build(SHAPE, 3).eval()
    assert not torch.equal(new(X), expected)
    new.load_state_dict(network.state_dict())
    assert torch.equal(new(X), expected)


@every_network
def test_same_seed_same_weights(build, seed):
    networks = []
    for _ in range(2):
        torch.manual_seed(seed)
        networks.append(build(SHAPE, 3))
    for a, b in zip(*(network.state_dict().values() for network in networks)):
        assert torch.equal(a, b)


@every_network
def test_rows_of_another_shape_are_refused(build):
    network = build(SHAPE, 3)
    for shape in [(2, 5), (2, 4, 9, 11), (3, 9), (2, 3, 9, 11, 1), (3,)]:
        with pytest.raises(ValueError, match=r"X must have shape \(n_samples, 3, "):
            network(torch.zeros(shape))


@every_network
def test_integers_are_refused(build):
    with pytest.raises(TypeError, match="floating point, got torch.int64"):
        build(SHAPE, 3)(torch.zeros((2, *SHAPE), dtype=torch.int64))


@every_network
@pytest.mark.parametrize(
    "args, error, match",
    [
        (((3, 0, 8), 3), ValueError, r"input_shape\[1\] must be at least 1, got 0"),
        (((3, 9.5, 8), 3), TypeError, r"input_shape\[1\] must be a whole number .* got 9.5"),
        (((), 3), ValueError, r"input_shape must have at least one axis, got \(\)"),
        ((7.0, 3), TypeError, "input_shape must be a whole number of at least 1, got 7.0"),
        ((True, 3), TypeError, "input_shape must be a whole number of at least 1, got True"),
        ((None, 3), TypeError, "input_shape must be a sequence of whole numbers, got None"),
        (("399", 3), TypeError, "input_shape must be a sequence of whole numbers, got '399'"),
        ((SHAPE, 0), ValueError, "n_classes must be at least 1, got 0"),
        ((SHAPE, 2.0), TypeError, "n_classes must be a whole number of at least 1, got 2.0"),
        ((SHAPE, True), TypeError, "n_classes must be a whole number of at least 1, got True"),
    ],
)
def test_shapes_that_are_none(build, args, error, match):
    with pytest.raises(error, match=match):
        build(*args)


@pytest.mark.parametrize("cls", [SmallCNN, ResNet18])
@pytest.mark.parametrize("shape", [20, (32, 32), (3, 7, 32), (3, 32, 7), (1, 3, 32, 32)])
def test_shapes_that_are_no_images(cls, shape):
    with pytest.raises(ValueError, match=r"input_shape must be \(channels, height, width\)"):
        cls(shape, 3)


@pytest.mark.parametrize(
    "cls, parameters, error, match",
    [
        (MLP, {"hidden_layer_sizes": 5}, TypeError, "hidden_layer_sizes must be a sequence .* 5"),
        (MLP, {"hidden_layer_sizes": (5, -1)}, ValueError, r"hidden_layer_sizes\[1\] .* got -1"),
        (MLP, {"hidden_layer_sizes": (5.0,)}, TypeError, r"hidden_layer_sizes\[0\] .* got 5.0"),
        (MLP, {"activation": "sine"}, ValueError, "activation must be one of .*'silu'.*'sine'"),
        (MLP, {"activation": nn.ReLU}, ValueError, "activation must be one of"),
        (MLP, {"dropout": 1.0}, ValueError, r"dropout must be in \[0, 1\), got 1.0"),
        (MLP, {"dropout": float("nan")}, ValueError, r"dropout must be in \[0, 1\), got nan"),
        (MLP, {"dropout": "0.1"}, TypeError, r"dropout must be a number in \[0, 1\), got '0.1'"),
        (MLP, {"dropout": True}, TypeError, r"dropout must be a number in \[0, 1\), got True"),
        (MLP, {"batch_norm": 1}, TypeError, "batch_norm must be True or False, got 1"),
        (MLP, {"head_bias": None}, TypeError, "head_bias must be True or False, got None"),
        (SmallCNN, {"width": 0}, ValueError, "width must be at least 1, got 0"),
        (SmallCNN, {"depth": 1.5}, TypeError, "depth must be a whole number .* got 1.5"),
        (SmallCNN, {"dropout": -0.1}, ValueError, r"dropout must be in \[0, 1\), got -0.1"),
        (SmallCNN, {"head_bias": "no"}, TypeError, "head_bias must be True or False, got 'no'"),
        (ResNet18, {"width": "64"}, TypeError, "width must be a whole number .* got '64'"),
        (ResNet18, {"zero_init": 0}, TypeError, "zero_init must be True or False, got 0"),
        (ResNet18, {"head_bias": 0}, TypeError, "head_bias must be True or False, got 0"),
    ],
)
def test_parameters_that_are_refused(cls, parameters, error, match):
    with pytest.raises(error, match=match):
        cls(SHAPE, 3, **parameters)
