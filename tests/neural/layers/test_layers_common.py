"""What every layer must do: evaluation mode, copies, gradients, representation, errors."""

import copy
import pickle

import pytest
import torch

from skrobust.neural import layers
from skrobust.neural.layers import FixedSimplex, HiddenNoise, NestedDropout, VariationalBottleneck

MAKERS = {
    "nested": lambda: NestedDropout(6, sigma=3.0),
    "simplex": lambda: FixedSimplex(6, 4),
    "bottleneck": lambda: VariationalBottleneck(6, n_latent=3),
    "noise": HiddenNoise,
}
every_layer = pytest.mark.parametrize("name", MAKERS)


def _features(seed, n_samples=8, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_samples, 6, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(autouse=True)
def _fork(seed):
    """The default generator of torch is put back after each test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def test_every_public_layer_is_tried():
    assert {type(make()).__name__ for make in MAKERS.values()} == set(layers.__all__)


@every_layer
def test_evaluation_is_deterministic(name, seed):
    layer = MAKERS[name]().eval()
    features = _features(seed)
    state = torch.random.get_rng_state()
    assert torch.equal(layer(features), layer(features))
    assert torch.equal(torch.random.get_rng_state(), state)


@every_layer
def test_training_repeats_with_the_default_generator(name, seed):
    layer = MAKERS[name]()
    features = _features(seed)
    outputs = []
    for _ in range(2):
        torch.manual_seed(seed)
        outputs.append(layer(features))
    assert torch.equal(*outputs)


@every_layer
def test_deepcopy_and_pickle(name, seed):
    layer = MAKERS[name]()
    layer(_features(seed))
    layer.eval()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(_features(seed)), layer(_features(seed)))
        assert repr(other) == repr(layer)
        assert not other.training
    new = MAKERS[name]()
    new.load_state_dict(layer.state_dict())
    assert torch.equal(new.eval()(_features(seed)), layer(_features(seed)))


# The noise of HiddenNoise depends on the features, but counts as a constant.
@pytest.mark.parametrize(
    "name, training",
    [(name, training) for name in MAKERS for training in (False, True)][:-1],
)
def test_gradients_are_those_of_finite_differences(name, training, seed):
    layer = MAKERS[name]().double().train(training)

    def value(features):
        torch.manual_seed(seed)
        return layer(features)

    features = _features(seed, 3, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(value, (features,))


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e4])
def test_extreme_features_are_finite(name, dtype, size, seed):
    layer = MAKERS[name]().to(dtype)
    features = (size * _features(seed, dtype=dtype)).requires_grad_()
    output = layer(features)
    output.square().sum().backward()
    assert output.dtype == dtype
    assert torch.isfinite(output).all()
    assert torch.isfinite(features.grad).all()


@every_layer
def test_values_on_an_accelerator_are_not_read(name):
    """Tensors on the meta device have no numbers: whatever waits for one fails."""
    layer = MAKERS[name]().to("meta")
    assert layer(torch.zeros(4, 6, device="meta")).device.type == "meta"


def test_representations():
    assert repr(NestedDropout(6, axis=1)) == "NestedDropout(n_features=6, sigma=None, axis=1)"
    assert repr(FixedSimplex(6, 3)) == "FixedSimplex(n_features=6, n_classes=3, scale=None)"
    assert repr(HiddenNoise(0.2)) == "HiddenNoise(std=0.2)"
    assert "n_features=6, n_latent=6, target_kl=3.0" in repr(VariationalBottleneck(6))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: NestedDropout(0), "'n_features'.*Got 0"),
        (lambda: NestedDropout(4, sigma=0), "'sigma'.*Got 0"),
        (lambda: NestedDropout(4, axis=1.5), "'axis'.*Got 1.5"),
        (lambda: FixedSimplex(2, 1), "'n_classes'.*Got 1"),
        (lambda: FixedSimplex(2, 4), r"at least n_classes - 1 = 3.*got 2"),
        (lambda: FixedSimplex(2, 2, scale=-1), "'scale'.*Got -1"),
        (lambda: VariationalBottleneck(4, n_latent=0), "'n_latent'.*Got 0"),
        (lambda: VariationalBottleneck(4, target_kl=-1), "'target_kl'.*Got -1"),
        (lambda: VariationalBottleneck(4, log_beta="low"), "'log_beta'.*'low'"),
        (lambda: HiddenNoise(-0.1), "'std'.*Got -0.1"),
        (lambda: NestedDropout(4)(torch.zeros(2, 3)), r"4 entries along axis -1.*\(2, 3\)"),
        (lambda: NestedDropout(4, axis=1)(torch.zeros(4)), r"axis 1.*\(4,\)"),
        (lambda: FixedSimplex(4, 3)(torch.zeros(2, 3)), r"4 entries.*\(2, 3\)"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
