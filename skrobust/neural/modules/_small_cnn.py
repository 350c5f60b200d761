"""A small convolutional network, for images where there is no accelerator."""

from torch import nn

from skrobust.neural.modules._base import ImageFeaturesAndHead, flag, share, whole_number


class SmallCNN(ImageFeaturesAndHead):
    """Convolutional network of three blocks for images of any size from 8 x 8 up.

    A block is 3 x 3 convolutions, each with batch normalisation and ReLU, and max pooling that
    halves height and width. The blocks have `width`, twice and four times as many channels. The
    means of the last maps are the features.

    .. versionadded:: 0.1

    Parameters
    ----------
    input_shape : tuple of int, default=(3, 32, 32)
        Channels, height and width; height and width at least 8. Only the number of channels is
        built in: the network takes images of other sizes too.
    n_classes : int, default=10
        Number of classes, at least 1.
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
    TypeError
        If a parameter has the wrong type, or images are not floating point.
    ValueError
        If a parameter is out of its range, or images have another number of axes or channels.

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

    def __init__(
        self,
        input_shape=(3, 32, 32),
        n_classes=10,
        *,
        width=32,
        depth=1,
        dropout=0.0,
        head_bias=True,
    ):
        super().__init__(input_shape, n_classes)
        width = whole_number("width", width)
        depth = whole_number("depth", depth)
        dropout = share("dropout", dropout)
        head_bias = flag("head_bias", head_bias)

        layers, channels = [], self.input_shape[0]
        for size in (width, 2 * width, 4 * width):
            for _ in range(depth):
                # The shift of the normalisation stands for a bias in front of it.
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
