"""A multi-layer perceptron: the network for tables."""

import math

import torch
from torch import nn

from skrobust.neural.modules._base import (
    FeaturesAndHead,
    any_shape,
    check_floating,
    flag,
    one_of,
    share,
    whole_number,
    whole_numbers,
)

# The layer of each name, and the gain by which the variance of weights in front of it is chosen.
ACTIVATIONS = {
    "relu": (nn.ReLU, "relu"),
    "gelu": (nn.GELU, "relu"),
    "silu": (nn.SiLU, "relu"),
    "elu": (nn.ELU, "relu"),
    "leaky_relu": (nn.LeakyReLU, "leaky_relu"),
    "tanh": (nn.Tanh, "tanh"),
}


class MLP(FeaturesAndHead):
    """Multi-layer perceptron whose last hidden layer is what the linear head reads.

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
        What follows each hidden layer.
    dropout : float, default=0.0
        Share of hidden units that are set to 0 in training, in [0, 1). It does not act on what
        comes in, hence not at all in a linear model.
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

    def __init__(
        self,
        input_shape,
        n_classes,
        *,
        hidden_layer_sizes=(256, 128),
        activation="relu",
        dropout=0.0,
        batch_norm=False,
        head_bias=True,
    ):
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
            # The shift of the normalisation stands for a bias in front of it.
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
        """Compute what the head reads: the last hidden layer.

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
