"""Augmentation: crops by brute force, their distribution, bytes, and modules behind transforms."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from skrobust.neural.modules import (
    MLP,
    Augmented,
    Normalize,
    RandomCropFlip,
    ResNet18,
    SmallCNN,
    make_image_module,
)

FILLS = {"reflect": "reflect", "zeros": "constant"}


def windows(image, padding, fill):
    """All crops of the padded image and of its mirror image: {(row, column, flipped): crop}."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode=FILLS[fill])
    crops = {}
    for row in range(2 * padding + 1):
        for column in range(2 * padding + 1):
            crop = padded[:, row : row + height, column : column + width]
            crops[row, column, False] = crop
            crops[row, column, True] = crop[:, :, ::-1]
    return crops


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 1, 3])
def test_every_image_is_a_window_of_itself(padding, flip, fill, dtype):
    images = torch.randint(1, 256, (40, 2, 4, 6)).to(dtype)
    augmented = RandomCropFlip(padding, flip=flip, fill=fill)(images)
    assert augmented.dtype == dtype
    assert augmented.shape == images.shape
    found = set()
    for image, result in zip(images.numpy(), augmented.numpy()):
        matches = [
            key
            for key, crop in windows(image, padding, fill).items()
            if np.array_equal(crop, result)
        ]
        assert matches
        # Close to a border a reflected image may equal its own mirror image.
        found.add(min(matches, key=lambda key: key[2]))
    assert any(flipped for *_, flipped in found) == flip
    # Each row has its own.
    assert len(found) > 4 * (padding > 0) + flip


@pytest.mark.parametrize("fill", FILLS)
def test_evaluation_leaves_images_alone(fill):
    images = torch.randn(5, 3, 8, 8)
    augment = RandomCropFlip(fill=fill)
    assert not torch.equal(augment(images), images)
    before = torch.random.get_rng_state()
    assert augment.eval()(images) is images
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_batch_that_came_in_stays_as_it_was():
    images = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    kept = images.clone()
    for parameters in ({}, {"fill": "zeros"}, {"padding": 0}):
        RandomCropFlip(**parameters)(images)
    assert torch.equal(images, kept)


def test_offsets_and_flips_are_uniform():
    # The position of the single bright pixel shows which window was taken.
    n, padding = 20_000, 2
    images = torch.zeros(n, 1, 7, 8)
    images[:, 0, 3, 3] = 1
    at = RandomCropFlip(padding)(images).flatten(1).argmax(1).numpy()
    row, column = np.divmod(at, 8)
    assert chisquare(np.bincount(row - 1, minlength=5)).pvalue > 1e-4
    # Unflipped it lies in columns 1 to 5, flipped in 7 - (1 to 5) = 2 to 6.
    counts = np.bincount(column, minlength=8)
    assert counts[[0, 7]].sum() == 0
    assert chisquare(counts[1:7], n * np.array([1, 2, 2, 2, 2, 1]) / 10).pvalue > 1e-4
    # Rows, columns and flips do not go together.
    joint = np.histogram2d(row, column, bins=[range(1, 7), range(1, 8)])[0]
    expected = n / 5 * np.array([1, 2, 2, 2, 2, 1]) / 10
    assert chisquare(joint.ravel(), np.tile(expected, 5)).pvalue > 1e-4
    # Nor do successive images.
    together = np.bincount(5 * (row[::2] - 1) + row[1::2] - 1, minlength=25)
    assert chisquare(together).pvalue > 1e-4


def test_half_of_the_images_are_mirrored():
    images = torch.zeros(10_000, 1, 1, 2)
    images[..., 0] = 1
    augmented = RandomCropFlip(padding=0)(images)
    assert float(augmented[:, 0, 0, 1].mean()) == pytest.approx(0.5, abs=0.025)


def test_seed_repeats_the_draws(seed):
    images = torch.randint(256, (30, 3, 8, 8), dtype=torch.uint8)
    augment = RandomCropFlip()
    outer = torch.random.get_rng_state()
    drawn = []
    for offset in (0, 0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed + offset)
            drawn += [augment(images), augment(images)]
    assert torch.equal(torch.random.get_rng_state(), outer)
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], drawn[3])
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[4])


def test_gradients_and_layouts_pass_through():
    images = torch.randn(4, 3, 6, 6, requires_grad=True)
    augmented = RandomCropFlip(2)(images)
    augmented.sum().backward()
    # Each pixel counts as often as it is in the window.
    assert float(images.grad.sum()) == augmented.numel()
    torch.manual_seed(0)
    plain = RandomCropFlip(2)(images)
    torch.manual_seed(0)
    other = RandomCropFlip(2)(images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(plain, other)
    assert RandomCropFlip(2)(images[:0]).shape == (0, 3, 6, 6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("fill", FILLS)
def test_cuda(fill):
    images = torch.randint(1, 256, (20, 2, 6, 6), dtype=torch.uint8)
    augmented = RandomCropFlip(2, fill=fill)(images.cuda())
    assert augmented.is_cuda
    for image, result in zip(images.numpy(), augmented.cpu().numpy()):
        assert any(np.array_equal(crop, result) for crop in windows(image, 2, fill).values())
    assert Normalize(0.5, 0.2).cuda()(augmented).is_cuda


def test_normalize_by_hand():
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.1]
    images = torch.randint(256, (4, 3, 5, 6), dtype=torch.uint8)
    expected = (images.numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    normalize = Normalize(mean, std)
    result = normalize(images)
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(normalize(images / 255), result)
    # It does not depend on the mode.
    assert torch.equal(normalize.eval()(images), result)
    assert normalize.double()(images).dtype == torch.float64
    assert normalize.double()(images / 255).dtype == torch.float64


def test_normalize_by_single_numbers():
    images = torch.rand(4, 3, 5, 6)
    torch.testing.assert_close(Normalize(0.5, 0.2)(images), (images - 0.5) / 0.2)
    mixed = Normalize(0.5, np.array([0.1, 0.2, 0.4]))(images)
    torch.testing.assert_close(mixed[:, 2], (images[:, 2] - 0.5) / 0.4)


def test_normalize_keeps_numbers_as_buffers_only():
    normalize = Normalize([0.1, 0.2], [1, 2])
    assert not list(normalize.parameters())
    assert set(normalize.state_dict()) == {"mean", "std"}
    other = Normalize([0, 0], [1, 1])
    other.load_state_dict(normalize.state_dict())
    images = torch.rand(2, 2, 3, 3)
    assert torch.equal(other(images), normalize(images))


def test_augmented_network_is_the_network_behind_its_transforms():
    network = SmallCNN((3, 8, 8), 4, width=4)
    augmented = Augmented(network, RandomCropFlip(2), Normalize(0.5, 0.2)).eval()
    images = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    inputs = Normalize(0.5, 0.2)(images)
    assert torch.equal(augmented(images), network(inputs))
    assert torch.equal(augmented.features(images), network.features(inputs))
    assert augmented.head is network.head
    assert augmented.n_features_out == 16
    # The mode reaches the transforms, and each parameter is there once.
    assert not torch.equal(augmented.train().transforms[0](images), images)
    assert len(list(augmented.parameters())) == len(list(network.parameters()))
    assert len(augmented.state_dict()) == len(network.state_dict()) + 2
    plain = Augmented(network)
    assert torch.equal(plain.eval()(inputs), network(inputs))


def test_head_of_an_augmented_network_can_be_replaced():
    augmented = Augmented(SmallCNN(width=4), Normalize(0.5, 0.2))
    head = nn.Linear(16, 2)
    augmented.head = head
    assert augmented.head is augmented.module.head is head
    assert augmented(torch.rand(3, 3, 8, 8)).shape == (3, 2)
    assert "head" not in dict(augmented.named_children())


def test_augmented_takes_any_network():
    augmented = Augmented(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), Normalize(0.5, 0.2))
    assert augmented(torch.rand(3, 3, 2, 2)).shape == (3, 2)
    assert not hasattr(augmented, "head")


def test_recipes_can_be_pickled_and_share_nothing():
    recipe = partial(
        make_image_module,
        module=partial(SmallCNN, width=4),
        transforms=(RandomCropFlip(), Normalize(0.5, 0.2)),
    )
    for a_recipe in (recipe, pickle.loads(pickle.dumps(recipe)), copy.deepcopy(recipe)):
        first, second = a_recipe((1, 9, 9), 3), a_recipe((1, 9, 9), 3)
        assert first(torch.rand(2, 1, 9, 9)).shape == (2, 3)
        assert first.transforms[1] is not second.transforms[1]
        first.eval()
        assert second.transforms[0].training
    default = make_image_module((3, 32, 32), 10)
    assert isinstance(default.module, ResNet18)
    assert len(default.transforms) == 0
    table = make_image_module((3, 4, 4), 2, module=MLP, transforms=[Normalize(0.5, 1)])
    assert table(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).shape == (2, 2)


def test_representation_shows_the_parts():
    assert repr(RandomCropFlip(2)) == "RandomCropFlip(padding=2, flip=True, fill='reflect')"
    assert repr(Normalize(0.5, [0.25, 1])) == "Normalize([0.5], [0.25, 1.0])"


@pytest.mark.parametrize(
    "build, error, match",
    [
        (lambda: RandomCropFlip(-1), ValueError, "padding must be at least 0, got -1"),
        (lambda: RandomCropFlip(1.5), TypeError, "padding must be a whole number .* got 1.5"),
        (lambda: RandomCropFlip(flip=0.5), TypeError, "flip must be True or False, got 0.5"),
        (lambda: RandomCropFlip(fill="edge"), ValueError, "fill must be one of .*, got 'edge'"),
        (lambda: Normalize("a", 1), TypeError, "mean must be a number.* got 'a'"),
        (lambda: Normalize(None, 1), ValueError, "mean must be a finite number.* got None"),
        (lambda: Normalize(0, float("inf")), ValueError, "std must be a finite number.* got inf"),
        (lambda: Normalize(0, [1, 0]), ValueError, r"std must be greater than 0, got \[1.0, 0.0\]"),
        (lambda: Normalize([], 1), ValueError, r"mean must be a finite number.* got \[\]"),
        (lambda: Normalize([[1]], 1), ValueError, r"mean must be a finite number.* got \[\[1\]\]"),
        (lambda: Normalize([0, 1], [1, 1, 1]), ValueError, "mean and std .* got 2 and 3 numbers"),
        (lambda: Augmented(SmallCNN), TypeError, "module must be a torch.nn.Module, got <class"),
        (
            lambda: Augmented(nn.Identity(), nn.Identity(), abs),
            TypeError,
            r"transforms\[1\] must be a torch.nn.Module, got <built-in function abs>",
        ),
        (
            lambda: make_image_module((3, 8, 8), 2, module=3),
            TypeError,
            r"module must be a callable \(input_shape, n_classes\) -> Module, got 3",
        ),
        (
            lambda: make_image_module((3, 8, 8), 2, transforms=RandomCropFlip()),
            TypeError,
            "transforms must be a sequence of modules, got RandomCropFlip",
        ),
        (
            lambda: make_image_module((3, 8, 8), 2, transforms=2),
            TypeError,
            "transforms must be a sequence of modules, got 2",
        ),
    ],
)
def test_parameters_that_are_refused(build, error, match):
    with pytest.raises(error, match=match):
        build()


def test_images_that_are_refused():
    with pytest.raises(ValueError, match=r"X must have shape .*, got \(3, 8, 8\)"):
        RandomCropFlip()(torch.zeros(3, 8, 8))
    with pytest.raises(ValueError, match="padding=4 mirrors more than there is of images of 9 x 4"):
        RandomCropFlip()(torch.zeros(2, 3, 9, 4))
    assert RandomCropFlip(fill="zeros")(torch.zeros(2, 3, 9, 4)).shape == (2, 3, 9, 4)
    with pytest.raises(ValueError, match=r"\(n_samples, 2, height, width\), got \(1, 3, 8, 8\)"):
        Normalize([0, 0], 1)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"\(n_samples, channels, height, width\), got \(8, 8\)"):
        Normalize(0, 1)(torch.zeros(8, 8))
    with pytest.raises(TypeError, match="X must be uint8 or floating point, got torch.int64"):
        Normalize(0, 1)(torch.zeros(1, 3, 8, 8, dtype=torch.int64))
