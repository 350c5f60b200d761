"""Images of bytes to numbers of mean 0 and variance 1, on the device where they are."""

import numpy as np
import torch
from torch import nn


class Normalize(nn.Module):
    """Standardise images by the mean and standard deviation of each channel.

    Images of uint8 are divided by 255 first. So a data set may stay in bytes on the device, a
    quarter of the memory of float32, and each mini-batch is converted there.

    .. versionadded:: 0.1

    Parameters
    ----------
    mean : float or sequence of float of shape (channels,)
        What is subtracted, for images in [0, 1]. One number is for all channels.
    std : float or sequence of float of shape (channels,)
        What is divided by then, greater than 0.

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

    def __init__(self, mean, std):
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


def _numbers(name: str, value) -> np.ndarray:
    """`value` as an array (channels,) of float64, or an error that names the parameter."""
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number, or one for each channel, got {value!r}.") from (
            error
        )
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be a finite number, or one for each channel, got {value!r}.")
    return numbers
