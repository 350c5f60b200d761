"""Multi-layer perceptron, the base class of networks, and checks of their parameters."""

import math
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

# The layer of each name, and the gain by which the variance of weights in front of it is chosen.
ACTIVATIONS = {
    "relu": (nn.ReLU, "relu"),
    "gelu": (nn.GELU, "relu"),
    "silu": (nn.SiLU, "relu"),
    "elu": (nn.ELU, "relu"),
    "leaky_relu": (nn.LeakyReLU, "leaky_relu"),
    "tanh": (nn.Tanh, "tanh"),
}


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


class MLP(FeaturesAndHead):
    """Multi-layer perceptron, split into hidden layers and a linear head.

    Each hidden layer is linear, then batch normalisation if wanted, the activation, and dropout.

    .. versionadded:: 0.1

    Parameters
    ----------
    input_shape : int or tuple of int
        Number of features, or shape of one row. Rows with more than one axis are flattened.
    n_classes : int
        Number of classes, at least 1.
    hidden_layer_sizes : sequence of int, default=(256, 128)
        Number of units of each hidden layer, at least 1. Empty is a linear model.
    activation : {"relu", "gelu", "silu", "tanh", "elu", "leaky_relu"}, default="relu"
        Activation of each hidden layer.
    dropout : float, default=0.0
        Share of hidden units that are set to 0 in training, in [0, 1). It does not act on the
        input, hence not at all in a linear model.
    batch_norm : bool, default=False
        Whether hidden layers are normalised over the mini-batch. Torch refuses to train such a
        network on a mini-batch of a single row.
    head_bias : bool, default=True
        Whether the head has a bias.

    Attributes
    ----------
    head : Linear
        The last layer, which reads the features.
    n_features_out : int
        Number of features: units of the last hidden layer, or numbers in a row if there is none.

    Raises
    ------
    TypeError
        If a parameter has the wrong type, or rows are not floating point.
    ValueError
        If a parameter is out of its range, or rows have another shape than `input_shape`.

    See Also
    --------
    SmallCNN : For images.

    Notes
    -----
    Weights of hidden layers are drawn uniformly with the variance of He et al. (2015), by torch's
    gain for the activation (that of "relu" for "gelu", "silu" and "elu"), so that features have
    about the scale of the input in networks of any depth. Biases and the head are as torch draws
    them. All of it comes from torch's default generator.

    References
    ----------
    He, Zhang, Ren and Sun (2015). Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification. ICCV.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.modules import MLP
    >>> network = MLP(20, 3, hidden_layer_sizes=(64, 16), dropout=0.1)
    >>> X = torch.zeros(5, 20)
    >>> network(X).shape
    torch.Size([5, 3])
    >>> network.features(X).shape
    torch.Size([5, 16])
    """

    input_shape: tuple[int, ...]
    n_classes: int
    n_features_in: int
    body: nn.Sequential
    head: nn.Linear

    def __init__(
        self,
        input_shape: int | Sequence[int],
        n_classes: int,
        *,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        activation: Literal["relu", "gelu", "silu", "tanh", "elu", "leaky_relu"] = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        head_bias: bool = True,
    ) -> None:
        super().__init__()
        self.input_shape = any_shape(input_shape)
        self.n_classes = whole_number("n_classes", n_classes)
        sizes = whole_numbers("hidden_layer_sizes", hidden_layer_sizes)
        layer, gain = ACTIVATIONS[one_of("activation", activation, ACTIVATIONS)]
        dropout = share("dropout", dropout)
        batch_norm = flag("batch_norm", batch_norm)
        head_bias = flag("head_bias", head_bias)

        self.n_features_in = math.prod(self.input_shape)
        layers, width = [], self.n_features_in
        for size in sizes:
            # The shift of the normalisation replaces a bias in front of it.
            linear = nn.Linear(width, size, bias=not batch_norm)
            nn.init.kaiming_uniform_(linear.weight, a=0.01, nonlinearity=gain)
            layers.append(linear)
            if batch_norm:
                layers.append(nn.BatchNorm1d(size))
            layers.append(layer())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.n_features_out = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, self.n_classes, bias=head_bias)

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the input of the head: the last hidden layer.

        Parameters
        ----------
        X : Tensor of shape (n_samples, ...) or (n_samples, n_features)
            The rows, flattened or not.

        Returns
        -------
        features : Tensor of shape (n_samples, n_features_out)
            The last hidden layer, or the flattened rows if there is none.
        """
        row_shape = tuple(X.shape[1:])
        if not row_shape or row_shape not in (self.input_shape, (self.n_features_in,)):
            expected = ", ".join(map(str, self.input_shape))
            raise ValueError(f"X must have shape (n_samples, {expected}), got {tuple(X.shape)}.")
        check_floating(X)
        return self.body(X.flatten(1))


def whole_number(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int, or raise an error that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be a whole number of at least {minimum}, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}.")
    return int(value)


def share(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1), or raise an error that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number in [0, 1), got {value!r}.")
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}.")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Return `value` as a bool, or raise an error that names the parameter."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}.")
    return bool(value)


def one_of(name: str, value: Any, options: Collection[str]) -> str:
    """Return `value` if it is one of `options`, or raise an error that names the parameter."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {sorted(options)}, got {value!r}.")
    return value


def whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """Return `value` as a tuple of ints of at least 1, or raise an error naming the parameter."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {value!r}.")
    return tuple(whole_number(f"{name}[{i}]", entry) for i, entry in enumerate(value))


def check_floating(X: torch.Tensor) -> None:
    """Refuse integers, for which torch only reports that types differ."""
    if not X.is_floating_point():
        raise TypeError(
            f"X must be floating point, got {X.dtype}: Normalize, put in front of the network,"
            " takes images of uint8."
        )


def any_shape(input_shape: Any) -> tuple[int, ...]:
    """Return the shape of one row as a tuple, of a number of features or a sequence."""
    if isinstance(input_shape, Real):
        return (whole_number("input_shape", input_shape),)
    shape = whole_numbers("input_shape", input_shape)
    if not shape:
        raise ValueError(f"input_shape must have at least one axis, got {input_shape!r}.")
    return shape
