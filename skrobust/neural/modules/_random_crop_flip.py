"""Random crops and flips of a whole mini-batch at once, on the device where it is."""

import torch
from torch import nn
from torch.nn import functional

from skrobust.neural.modules._base import flag, one_of, whole_number


class RandomCropFlip(nn.Module):
    """Shift each image by a few pixels at random, and mirror every other one.

    Each image is padded on all sides, and a window of its former size is cut out at random, which
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
        What the added pixels are: the image mirrored at its border pixels, or 0.

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

    def __init__(self, padding=4, flip=True, fill="reflect"):
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

    def _positions(self, length: int, n_samples: int, device) -> torch.Tensor:
        """Where each window lies along one axis of the padded image: (n_samples, length)."""
        offset = torch.randint(2 * self.padding + 1, (n_samples, 1), device=device)
        return offset + torch.arange(length, device=device)


def _reflect(position: torch.Tensor, length: int) -> torch.Tensor:
    """Positions beyond either end, mirrored at the pixel there, which is not repeated."""
    return (length - 1) - ((length - 1) - position.abs()).abs()
