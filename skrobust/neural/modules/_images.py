"""Convolutional networks for images: a small one, and ResNet-18."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from skrobust.neural.modules._mlp import (
    FeaturesAndHead,
    any_shape,
    check_floating,
    flag,
    share,
    whole_number,
)
from skrobust.utils._docstring import fill_docstring

# Three halvings leave one pixel of this.
SMALLEST_SIDE = 8

_ENTRIES = {
    "image_shape": """
input_shape : tuple of int, default=(3, 32, 32)
    Channels, height and width; height and width at least 8. Only the number of channels is fixed:
    the network takes images of other sizes too.
n_classes : int, default=10
    Number of classes, at least 1.""",
    "image_errors": """
TypeError
    If a parameter has the wrong type, or images are not floating point.
ValueError
    If a parameter is out of its range, or images have another number of axes or channels.""",
}


class ImageFeaturesAndHead(FeaturesAndHead):
    """Base class of networks for images; a subclass sets `body`, which returns feature maps."""

    input_shape: tuple[int, int, int]
    n_classes: int
    body: nn.Module

    def __init__(self, input_shape: Sequence[int], n_classes: int):
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
            Input of the head.
        """
        channels = self.input_shape[0]
        if X.ndim != 4 or X.shape[1] != channels or min(X.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"X must have shape (n_samples, {channels}, height, width), with height and width"
                f" of at least {SMALLEST_SIDE}, got {tuple(X.shape)}."
            )
        check_floating(X)
        return self.body(X).mean(dim=(2, 3))


@fill_docstring(**_ENTRIES)
class SmallCNN(ImageFeaturesAndHead):
    """Convolutional network of three blocks for images of any size from 8 x 8 up.

    A block is 3 x 3 convolutions, each with batch normalisation and ReLU, and max pooling that
    halves height and width. The blocks have `width`, twice and four times as many channels. The
    means of the last maps are the features.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(image_shape)s
    width : int, default=32
        Channels of the first block, at least 1.
    depth : int, default=1
        Convolutions in each block, at least 1.
    dropout : float, default=0.0
        Share of channels that are set to 0 in training after each block, in [0, 1).
    head_bias : bool, default=True
        Whether the head has a bias.

    Attributes
    ----------
    head : Linear
        The last layer, which reads the features.
    n_features_out : int
        Number of features, four times `width`.

    Raises
    ------
    %(image_errors)s

    See Also
    --------
    ResNet18 : Better where there is an accelerator.

    Notes
    -----
    With the default sizes an image of 32 x 32 costs 10 million multiplications. With
    ``width=128, depth=3, dropout=0.25`` the network has nine convolutions and a linear layer, and
    is a relative of the one that Han et al. (2018) train by co-teaching. Theirs narrows in the
    last block, has leaky ReLU, and no dropout after that block.

    Weights are as torch draws them, from its default generator.

    References
    ----------
    Han, Yao, Yu, Niu, Xu, Hu, Tsang and Sugiyama (2018). Co-teaching: robust training of deep
    neural networks with extremely noisy labels. Advances in Neural Information Processing
    Systems 31.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.modules import SmallCNN
    >>> network = SmallCNN((1, 28, 28), 10, width=8)
    >>> X = torch.zeros(2, 1, 28, 28)
    >>> network(X).shape
    torch.Size([2, 10])
    >>> network.features(X).shape
    torch.Size([2, 32])
    """

    body: nn.Sequential
    head: nn.Linear

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        n_classes: int = 10,
        *,
        width: int = 32,
        depth: int = 1,
        dropout: float = 0.0,
        head_bias: bool = True,
    ) -> None:
        super().__init__(input_shape, n_classes)
        width = whole_number("width", width)
        depth = whole_number("depth", depth)
        dropout = share("dropout", dropout)
        head_bias = flag("head_bias", head_bias)

        layers, channels = [], self.input_shape[0]
        for size in (width, 2 * width, 4 * width):
            for _ in range(depth):
                # The shift of the normalisation replaces a bias in front of it.
                layers += [
                    nn.Conv2d(channels, size, 3, padding=1, bias=False),
                    nn.BatchNorm2d(size),
                    nn.ReLU(inplace=True),
                ]
                channels = size
            layers.append(nn.MaxPool2d(2))
            if dropout:
                layers.append(nn.Dropout2d(dropout))
        self.n_features_out = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, self.n_classes, bias=head_bias)


@fill_docstring(**_ENTRIES)
class ResNet18(ImageFeaturesAndHead):
    """Residual network of 18 layers for small images, such as those of 32 x 32 pixels.

    The stem is one 3 x 3 convolution without pooling. Four stages of two basic blocks follow, with
    `width`, twice, four and eight times as many channels; all but the first halve height and
    width. The means of the last maps are the features.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(image_shape)s
    width : int, default=64
        Channels of the first stage, at least 1.
    zero_init : bool, default=False
        Whether the scale of the last normalisation in each block starts at 0, so that each block
        starts as its shortcut.
    head_bias : bool, default=True
        Whether the head has a bias.

    Attributes
    ----------
    head : Linear
        The last layer, which reads the features.
    n_features_out : int
        Number of features, eight times `width`.

    Raises
    ------
    %(image_errors)s

    See Also
    --------
    SmallCNN : Faster where there is no accelerator.

    Notes
    -----
    With 3 channels, 10 classes and the default width there are 11,173,962 parameters.

    Weights of convolutions are drawn from a normal distribution with the variance of He et al.
    (2015), by the number of outputs; the head is as torch draws it. All of it comes from torch's
    default generator. For starting blocks at zero see Goyal et al. (2017).

    References
    ----------
    He, Zhang, Ren and Sun (2015). Delving deep into rectifiers: surpassing human-level
    performance on ImageNet classification. ICCV.

    He, Zhang, Ren and Sun (2016). Deep residual learning for image recognition. CVPR.

    Goyal, Dollár, Girshick, Noordhuis, Wesolowski, Kyrola, Tulloch, Jia and He (2017). Accurate,
    large minibatch SGD: training ImageNet in 1 hour. arXiv:1706.02677.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.modules import ResNet18
    >>> network = ResNet18((3, 16, 16), 10, width=4)
    >>> X = torch.zeros(2, 3, 16, 16)
    >>> network(X).shape
    torch.Size([2, 10])
    >>> network.features(X).shape
    torch.Size([2, 32])
    """

    body: nn.Sequential
    head: nn.Linear

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        n_classes: int = 10,
        *,
        width: int = 64,
        zero_init: bool = False,
        head_bias: bool = True,
    ) -> None:
        super().__init__(input_shape, n_classes)
        width = whole_number("width", width)
        zero_init = flag("zero_init", zero_init)
        head_bias = flag("head_bias", head_bias)

        layers = [*_convolution(self.input_shape[0], width), nn.ReLU(inplace=True)]
        channels = width
        for stage in range(4):
            for block in range(2):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(channels, width << stage, stride))
                channels = width << stage
        self.n_features_out = channels
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(channels, self.n_classes, bias=head_bias)

        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init and isinstance(layer, BasicBlock):
                nn.init.zeros_(layer.residual[-1].weight)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a projection where shapes change."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.residual = nn.Sequential(
            *_convolution(channels_in, channels_out, stride=stride),
            nn.ReLU(inplace=True),
            *_convolution(channels_out, channels_out),
        )
        if stride == 1 and channels_in == channels_out:
            self.shortcut = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                *_convolution(channels_in, channels_out, size=1, stride=stride)
            )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the maps of the next block from those of the previous one."""
        return torch.relu(self.residual(X) + self.shortcut(X))


def _convolution(
    channels_in: int, channels_out: int, *, size: int = 3, stride: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Make a convolution and its normalisation, whose shift replaces a bias."""
    return (
        nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )


def image_shape(input_shape: Any) -> tuple[int, int, int]:
    """Return the shape of one image as a tuple (channels, height, width)."""
    shape = any_shape(input_shape)
    if len(shape) != 3 or min(shape[1:]) < SMALLEST_SIDE:
        raise ValueError(
            "input_shape must be (channels, height, width), with height and width of at least"
            f" {SMALLEST_SIDE}, got {input_shape!r}."
        )
    return shape
