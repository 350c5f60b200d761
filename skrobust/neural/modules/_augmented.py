"""A network with transforms in front of it, which looks like the network itself."""

import copy
from collections.abc import Iterable

import torch
from torch import nn

from skrobust.neural.modules._resnet import ResNet18


class Augmented(nn.Module):
    """Put transforms of the input in front of a network.

    .. versionadded:: 0.1

    Parameters
    ----------
    module : Module
        The network. Its `features`, `head` and `n_features_out`, where it has them, are those of
        the whole too.
    *transforms : Module
        What the input passes through first, in this order.

    Attributes
    ----------
    module : Module
        The network.
    transforms : Sequential
        What is in front of it.

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

    def __init__(self, module, *transforms):
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
            What the first transform takes.

        Returns
        -------
        logits : Tensor of shape (n_samples, n_classes)
            What the network makes of it.
        """
        return self.module(self.transforms(X))

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Transform the input and compute the features of the network.

        Parameters
        ----------
        X : Tensor of shape (n_samples, ...)
            What the first transform takes.

        Returns
        -------
        features : Tensor of shape (n_samples, n_features_out)
            What the head of the network reads.
        """
        return self.module.features(self.transforms(X))

    @property
    def head(self):
        """The head of the network."""
        return self.module.head

    @property
    def n_features_out(self) -> int:
        """Number of features that the head of the network reads."""
        return self.module.n_features_out

    def __setattr__(self, name, value):
        # Torch would keep a module as one of ours, where the property hides it.
        if name in ("head", "n_features_out"):
            setattr(self.module, name, value)
        else:
            super().__setattr__(name, value)


def make_image_module(input_shape, n_classes, *, module=ResNet18, transforms=()) -> Augmented:
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
        What goes in front of the network. Copies are used, so that two networks share nothing.

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
    Augmented : For a network that is there already.

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


def _check_module(name: str, value) -> None:
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {value!r}.")
