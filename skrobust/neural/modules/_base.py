"""What all networks share: the split into features and head, and checks of shapes and numbers."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import torch
from torch import nn

# Three halvings leave one pixel of this.
SMALLEST_SIDE = 8


class FeaturesAndHead(nn.Module):
    """Base of networks that compute features and read classes off them by one linear layer.

    A subclass sets `head` and `n_features_out`, and has a method `features`.
    """

    n_features_out: int
    head: nn.Linear

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the logits: the head of the features.

        Parameters
        ----------
        X : Tensor of shape (n_samples, ...)
            The rows.

        Returns
        -------
        logits : Tensor of shape (n_samples, n_classes)
            Unnormalised log-probabilities of the classes.
        """
        return self.head(self.features(X))


class ImageFeaturesAndHead(FeaturesAndHead):
    """Base of networks that read images; a subclass sets `body`, which gives maps of features."""

    body: nn.Module

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.input_shape = image_shape(input_shape)
        self.n_classes = whole_number("n_classes", n_classes)

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the features of images: the mean of each map of the last layer.

        Parameters
        ----------
        X : Tensor of shape (n_samples, channels, height, width)
            The images, floating point. Height and width may differ from those of `input_shape`;
            they are at least 8.

        Returns
        -------
        features : Tensor of shape (n_samples, n_features_out)
            What the head reads.
        """
        channels = self.input_shape[0]
        if X.ndim != 4 or X.shape[1] != channels or min(X.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"X must have shape (n_samples, {channels}, height, width), with height and width"
                f" of at least {SMALLEST_SIDE}, got {tuple(X.shape)}."
            )
        check_floating(X)
        return self.body(X).mean(dim=(2, 3))


def whole_number(name: str, value, minimum: int = 1) -> int:
    """`value` as an int, or an error that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number of at least {minimum}, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value)


def share(name: str, value) -> float:
    """`value` as a float in [0, 1), or an error that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in [0, 1), got {value!r}.")
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}.")
    return float(value)


def flag(name: str, value) -> bool:
    """`value` as a bool, or an error that names the parameter."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def one_of(name: str, value, options) -> str:
    """`value` if it is one of `options`, or an error that names the parameter."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {sorted(options)}, got {value!r}.")
    return value


def whole_numbers(name: str, value) -> tuple[int, ...]:
    """`value` as a tuple of ints of at least 1, or an error that names the parameter."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {value!r}.")
    return tuple(whole_number(f"{name}[{i}]", entry) for i, entry in enumerate(value))


def check_floating(X: torch.Tensor) -> None:
    """Refuse integers, of which torch only says that types differ."""
    if not X.is_floating_point():
        raise TypeError(
            f"X must be floating point, got {X.dtype}: Normalize, put in front of the network,"
            " takes images of uint8."
        )


def any_shape(input_shape) -> tuple[int, ...]:
    """Shape of one row as a tuple: of an int, which is a number of features, or of a sequence."""
    if isinstance(input_shape, Real):
        return (whole_number("input_shape", input_shape),)
    shape = whole_numbers("input_shape", input_shape)
    if not shape:
        raise ValueError(f"input_shape must have at least one axis, got {input_shape!r}.")
    return shape


def image_shape(input_shape) -> tuple[int, int, int]:
    """Shape of one image as a tuple (channels, height, width)."""
    shape = any_shape(input_shape)
    if len(shape) != 3 or min(shape[1:]) < SMALLEST_SIDE:
        raise ValueError(
            "input_shape must be (channels, height, width), with height and width of at least"
            f" {SMALLEST_SIDE}, got {input_shape!r}."
        )
    return shape
