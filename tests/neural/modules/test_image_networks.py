"""Convolutional networks: sizes of images, numbers of parameters, blocks."""

import pytest
import torch
from torch import nn

from skrobust.neural.modules import ResNet18, SmallCNN


def n_parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_resnet18_has_the_known_number_of_parameters():
    assert n_parameters(ResNet18()) == 11_173_962
    # 100 classes instead of 10, then no bias.
    assert n_parameters(ResNet18(n_classes=100)) == 11_173_962 + 90 * 513
    assert n_parameters(ResNet18(head_bias=False)) == 11_173_962 - 10


def test_resnet18_has_18_layers_with_weights():
    network = ResNet18(width=2)
    weights = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(weights) + 1 == 18
    projections = [
        m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)
    ]
    assert [(m.in_channels, m.out_channels, m.stride) for m in projections] == [
        (2, 4, (2, 2)),
        (4, 8, (2, 2)),
        (8, 16, (2, 2)),
    ]
    assert network.n_features_out == 16
    # The stem keeps the size, the last three stages halve it.
    assert network.body(torch.zeros(2, 3, 32, 32)).shape == (2, 16, 4, 4)


def test_resnet18_block_is_residual_plus_shortcut():
    network = ResNet18(width=4).eval()
    X = torch.randn(2, 4, 8, 8)
    block = network.body[3]
    torch.testing.assert_close(block(X), torch.relu(block.residual(X) + X))


def test_resnet18_from_zero_starts_as_its_shortcuts():
    X = torch.randn(2, 4, 8, 8)
    zero = ResNet18(width=4, zero_init=True)
    assert torch.equal(zero.body[3](X), torch.relu(X))
    assert not torch.equal(ResNet18(width=4).body[3](X), torch.relu(X))
    weights = [m.residual[-1].weight for m in zero.modules() if hasattr(m, "residual")]
    assert len(weights) == 8
    assert all(not weight.any() for weight in weights)


@pytest.mark.parametrize("width, depth", [(32, 1), (8, 1), (4, 3)])
def test_small_cnn_has_the_parameters_of_its_layers(width, depth):
    expected, channels = 0, 3
    for size in (width, 2 * width, 4 * width):
        for _ in range(depth):
            expected += 9 * channels * size + 2 * size
            channels = size
    network = SmallCNN(width=width, depth=depth)
    assert n_parameters(network) == expected + 10 * (channels + 1)
    assert network.n_features_out == 4 * width


@pytest.mark.parametrize("cls", [SmallCNN, ResNet18])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (5, 9, 40)])
def test_images_of_many_sizes(cls, shape):
    network = cls(shape, 7, width=4)
    X = torch.randn(3, *shape)
    for mode in (True, False):
        assert network.train(mode)(X).shape == (3, 7)
    # Only the channels are built in.
    assert network(torch.randn(2, shape[0], 17, 12)).shape == (2, 7)
    with pytest.raises(ValueError, match="height and width of at least 8"):
        network(torch.randn(2, shape[0], 8, 7))


@pytest.mark.parametrize("cls", [SmallCNN, ResNet18])
def test_defaults_are_for_cifar(cls):
    network = cls(width=2)
    assert network.input_shape == (3, 32, 32)
    assert network.head.out_features == 10


def test_small_cnn_drops_channels_in_training_only():
    network = SmallCNN((1, 8, 8), 2, width=500, dropout=0.4)
    X = torch.randn(2, 1, 8, 8)
    dropped = network.features(X) == 0
    plain = network.eval().features(X) == 0
    # A mean of ReLUs is itself 0 now and then.
    assert float(dropped[~plain].float().mean()) == pytest.approx(0.4, abs=0.06)
    assert torch.equal(network(X), network(X))


@pytest.mark.parametrize("cls", [SmallCNN, ResNet18])
def test_a_network_learns_where_a_bar_is(cls, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(64) % 2
    X = 0.3 * torch.randn(64, 1, 8, 8, generator=generator)
    at = torch.randint(8, (64,), generator=generator)
    for image, label, where in zip(X, y, at):
        # Bars that stand, bars that lie.
        image[0, :, where] += (label == 0) * 2
        image[0, where, :] += (label == 1) * 2
    network = cls((1, 8, 8), 2, width=8)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X), y).backward()
        optimizer.step()
    assert float((network(X).argmax(1) == y).float().mean()) > 0.9
