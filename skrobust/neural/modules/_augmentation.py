"""Augmentation and normalisation of images, in front of a network."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from skrobust.neural.modules._images import ResNet18
from skrobust.neural.modules._mlp import flag, one_of, whole_number


class Augmented(nn.Module):
    """Put transforms of the input in front of a network.

    .. versionadded:: 0.1

    Parameters
    ----------
    module : Module
        The network. Its `features`, `head` and `n_features_out`, where it has them, are those of
        the whole too.
    *transforms : Module
        Transforms of the input, in this order.

    Attributes
    ----------
    module : Module
        The network.
    transforms : Sequential
        The transforms.

    Raises
    ------
    TypeError
        If the network or a transform is no module of torch.

    See Also
    --------
    make_image_module : Builds both from the shape of the images.
    RandomCropFlip : Random crops and mirror images.
    Normalize : Standardises images, of bytes too.

    Notes
    -----
    To replace the head of the network, assign to `head`, as one would with the network itself.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.modules import Augmented, Normalize, RandomCropFlip, SmallCNN
    >>> network = Augmented(SmallCNN(width=8), RandomCropFlip(), Normalize(0.5, 0.25))
    >>> images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    >>> network(images).shape
    torch.Size([2, 10])
    >>> network.head
    Linear(in_features=32, out_features=10, bias=True)
    """

    module: nn.Module
    transforms: nn.Sequential

    def __init__(self, module: nn.Module, *transforms: nn.Module) -> None:
        super().__init__()
        _check_module("module", module)
        for i, transform in enumerate(transforms):
            _check_module(f"transforms[{i}]", transform)
        self.transforms = nn.Sequential(*transforms)
        self.module = module

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Transform the input and pass it through the network.

        Parameters
        ----------
        X : Tensor of shape (n_samples, ...)
            Input of the first transform.

        Returns
        -------
        logits : Tensor of shape (n_samples, n_classes)
            Scores of the classes.
        """
        return self.module(self.transforms(X))

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Transform the input and compute the features of the network.

        Parameters
        ----------
        X : Tensor of shape (n_samples, ...)
            Input of the first transform.

        Returns
        -------
        features : Tensor of shape (n_samples, n_features_out)
            Input of the head of the network.
        """
        return self.module.features(self.transforms(X))

    @property
    def head(self) -> nn.Module:
        """The head of the network."""
        return self.module.head

    @property
    def n_features_out(self) -> int:
        """Number of features that the head of the network takes."""
        return self.module.n_features_out

    def __setattr__(self, name: str, value: Any) -> None:
        # Torch would keep a module as one of ours, where the property hides it.
        if name in ("head", "n_features_out"):
            setattr(self.module, name, value)
        else:
            super().__setattr__(name, value)


def make_image_module(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    module: Callable[..., nn.Module] = ResNet18,
    transforms: Sequence[nn.Module] = (),
) -> Augmented:
    """Build a network for images with transforms in front of it.

    With ``functools.partial`` it becomes a recipe that the neural classifiers take as `module`,
    and that can be pickled, which a lambda cannot.

    .. versionadded:: 0.1

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height and width.
    n_classes : int
        Number of classes.
    module : callable, default=ResNet18
        Called with `input_shape` and `n_classes`, it returns the network.
    transforms : sequence of Module, default=()
        Transforms of the input. Copies are used, so that two networks share nothing.

    Returns
    -------
    network : Augmented
        The network with its transforms.

    Raises
    ------
    TypeError
        If `module` cannot be called or returns no module of torch, or a transform is none.

    See Also
    --------
    Augmented : For a network that exists already.

    Examples
    --------
    >>> from functools import partial
    >>> from skrobust.neural.modules import (
    ...     Normalize,
    ...     RandomCropFlip,
    ...     SmallCNN,
    ...     make_image_module,
    ... )
    >>> recipe = partial(
    ...     make_image_module,
    ...     module=partial(SmallCNN, width=8),
    ...     transforms=[RandomCropFlip(), Normalize(0.5, 0.25)],
    ... )
    >>> recipe((3, 32, 32), 10).n_features_out
    32
    """
    if not callable(module):
        raise TypeError(
            f"module must be a callable (input_shape, n_classes) -> Module, got {module!r}."
        )
    if isinstance(transforms, nn.Module) or not isinstance(transforms, Iterable):
        raise TypeError(f"transforms must be a sequence of modules, got {transforms!r}.")
    return Augmented(module(input_shape, n_classes), *copy.deepcopy(list(transforms)))


def _check_module(name: str, value: Any) -> None:
    """Refuse what is no module of torch."""
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {value!r}.")


class Normalize(nn.Module):
    """Standardise images by the mean and standard deviation of each channel.

    Images of uint8 are divided by 255 first. So a data set may stay in bytes on the device, a
    quarter of the memory of float32, and each mini-batch is converted there.

    .. versionadded:: 0.1

    Parameters
    ----------
    mean : float or sequence of float of shape (channels,)
        Mean of each channel, for images in [0, 1]. One number is for all channels.
    std : float or sequence of float of shape (channels,)
        Standard deviation of each channel, greater than 0.

    Raises
    ------
    TypeError
        If `mean` or `std` are not numbers, or images are neither uint8 nor floating point.
    ValueError
        If `mean` or `std` is infinite, NaN, has more than one axis, or they differ in length; if a
        `std` is not positive; or if images have another number of axes or channels.

    See Also
    --------
    RandomCropFlip : Goes in front of it.
    Augmented : Puts both in front of a network.

    Notes
    -----
    `mean` and `std` are buffers: they follow the module to another device or type, and images
    come out in that type. Floating point images are not divided by 255.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.modules import Normalize
    >>> images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    >>> Normalize(0.2, 0.1)(images).flatten().round(decimals=3)
    tensor([-2.,  0.,  8.])
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        mean = _numbers("mean", mean)
        std = _numbers("std", std)
        if not (std > 0).all():
            raise ValueError(f"std must be greater than 0, got {std.tolist()!r}.")
        if len({len(mean), len(std)} - {1}) > 1:
            raise ValueError(
                "mean and std must be as long as there are channels, or a single number: got"
                f" {len(mean)} and {len(std)} numbers."
            )
        dtype = torch.get_default_dtype()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=dtype)[:, None, None])
        self.register_buffer("std", torch.as_tensor(std, dtype=dtype)[:, None, None])

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation."""
        return f"{self.mean.flatten().tolist()}, {self.std.flatten().tolist()}"

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Standardise images.

        Parameters
        ----------
        X : Tensor of shape (n_samples, channels, height, width)
            The images, of uint8 or floating point.

        Returns
        -------
        standardised : Tensor of shape (n_samples, channels, height, width)
            In the type of `mean` and `std`.
        """
        channels = max(len(self.mean), len(self.std))
        if X.ndim != 4 or (channels > 1 and X.shape[1] != channels):
            wanted = "channels" if channels == 1 else channels
            raise ValueError(
                f"X must have shape (n_samples, {wanted}, height, width), got {tuple(X.shape)}."
            )
        if X.dtype == torch.uint8:
            X = X.to(self.mean.dtype) / 255
        elif not X.is_floating_point():
            raise TypeError(f"X must be uint8 or floating point, got {X.dtype}.")
        return (X.to(self.mean.dtype) - self.mean) / self.std


def _numbers(name: str, value: Any) -> np.ndarray:
    """Return `value` as an array of one number per channel, or raise an error."""
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number, or one for each channel, got {value!r}.") from (
            error
        )
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be a finite number, or one for each channel, got {value!r}.")
    return numbers


class RandomCropFlip(nn.Module):
    """Shift each image by a few pixels at random, and mirror every other one.

    Each image is padded on all sides, and a window of its former size is chosen at random, which
    is then mirrored left to right with probability 1/2. It happens in training mode only; in
    evaluation mode images pass through untouched.

    .. versionadded:: 0.1

    Parameters
    ----------
    padding : int, default=4
        Number of pixels added on each side, at least 0.
    flip : bool, default=True
        Whether images are mirrored. Switch it off where left and right differ, as in digits.
    fill : {"reflect", "zeros"}, default="reflect"
        Added pixels: the image mirrored at its border pixels, or 0.

    Raises
    ------
    TypeError
        If a parameter has the wrong type.
    ValueError
        If a parameter is out of its range; if images have another number of axes, or are too small
        to be mirrored by `padding` pixels: height and width must be greater than it.

    See Also
    --------
    Normalize : Comes after it.
    Augmented : Puts both in front of a network.

    Notes
    -----
    Images come out in the type in which they came in, so that bytes stay bytes. In front of
    `Normalize`, ``fill="zeros"`` is black; behind it, the mean colour.

    All windows of a batch are taken by one gather. The random numbers come from torch's default
    generator of the device of the images: the same seed draws others on another device.

    References
    ----------
    He, Zhang, Ren and Sun (2016). Deep residual learning for image recognition. CVPR.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.modules import RandomCropFlip
    >>> augment = RandomCropFlip(padding=2)
    >>> images = torch.arange(3 * 25, dtype=torch.uint8).reshape(3, 1, 5, 5)
    >>> augmented = augment(images)
    >>> augmented.shape, augmented.dtype
    (torch.Size([3, 1, 5, 5]), torch.uint8)
    >>> torch.equal(augment.eval()(images), images)
    True
    """

    padding: int
    flip: bool
    fill: str

    def __init__(
        self, padding: int = 4, flip: bool = True, fill: Literal["reflect", "zeros"] = "reflect"
    ) -> None:
        super().__init__()
        self.padding = whole_number("padding", padding, minimum=0)
        self.flip = flag("flip", flip)
        self.fill = one_of("fill", fill, {"reflect", "zeros"})

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation."""
        return f"padding={self.padding}, flip={self.flip}, fill={self.fill!r}"

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Shift and mirror images at random, in training mode only.

        Parameters
        ----------
        X : Tensor of shape (n_samples, channels, height, width)
            The images, of any type.

        Returns
        -------
        augmented : Tensor of shape (n_samples, channels, height, width)
            Of the type of `X`; `X` itself in evaluation mode.
        """
        if X.ndim != 4:
            raise ValueError(
                f"X must have shape (n_samples, channels, height, width), got {tuple(X.shape)}."
            )
        n_samples, channels, height, width = X.shape
        padding = self.padding
        if self.fill == "reflect" and padding and min(height, width) <= padding:
            raise ValueError(
                f"padding={padding} mirrors more than there is of images of {height} x {width}:"
                ' height and width must be greater than padding, or fill="zeros".'
            )
        if not self.training or not (padding or self.flip):
            return X

        rows = self._positions(height, n_samples, X.device)
        columns = self._positions(width, n_samples, X.device)
        if self.flip:
            mirrored = torch.randint(2, (n_samples, 1), device=X.device) == 1
            columns = torch.where(mirrored, columns.flip(1), columns)
        if self.fill == "zeros":
            X = functional.pad(X, (padding,) * 4)
        else:
            rows, columns = _reflect(rows - padding, height), _reflect(columns - padding, width)
        # Pixels of the window, counted row by row, the same for all channels.
        pixels = (rows[:, :, None] * X.shape[3] + columns[:, None, :]).flatten(1)
        windows = X.flatten(2).gather(2, pixels[:, None, :].expand(-1, channels, -1))
        return windows.reshape(n_samples, channels, height, width)

    def _positions(self, length: int, n_samples: int, device: torch.device) -> torch.Tensor:
        """Draw positions of windows along one axis of the padded image: (n_samples, length)."""
        offset = torch.randint(2 * self.padding + 1, (n_samples, 1), device=device)
        return offset + torch.arange(length, device=device)


def _reflect(position: torch.Tensor, length: int) -> torch.Tensor:
    """Positions beyond either end, mirrored at the pixel there, which is not repeated."""
    return (length - 1) - ((length - 1) - position.abs()).abs()
