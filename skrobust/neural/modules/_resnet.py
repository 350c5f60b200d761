"""ResNet-18 for small images, as most work on noisy labels trains it."""

import torch
from torch import nn

from skrobust.neural.modules._base import ImageFeaturesAndHead, flag, whole_number


class ResNet18(ImageFeaturesAndHead):
    """Residual network of 18 layers for small images, such as those of 32 x 32 pixels.

    The stem is one 3 x 3 convolution without pooling. Four stages of two basic blocks follow, with
    `width`, twice, four and eight times as many channels; all but the first halve height and
    width. The means of the last maps are the features.

    .. versionadded:: 0.1

    Parameters
    ----------
    input_shape : tuple of int, default=(3, 32, 32)
        Channels, height and width; height and width at least 8. Only the number of channels is
        built in: the network takes images of other sizes too.
    n_classes : int, default=10
        Number of classes, at least 1.
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
    TypeError
        If a parameter has the wrong type, or images are not floating point.
    ValueError
        If a parameter is out of its range, or images have another number of axes or channels.

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

    def __init__(
        self,
        input_shape=(3, 32, 32),
        n_classes=10,
        *,
        width=64,
        zero_init=False,
        head_bias=True,
    ):
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

    def __init__(self, channels_in, channels_out, stride):
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


def _convolution(channels_in, channels_out, *, size=3, stride=1):
    """Convolution and its normalisation, whose shift stands for a bias."""
    return (
        nn.Conv2d(channels_in, channels_out, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
