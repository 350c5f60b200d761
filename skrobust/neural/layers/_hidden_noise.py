"""Adaptive noise on hidden features."""

import math
from numbers import Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.utils._sklearn import Interval

_HIGHEST_FACTOR = 5.0


class HiddenNoise(torch.nn.Module):
    """Add normal noise to hidden features in training, scaled by their dispersion in each row.

    Typical features get more noise than those far from the median, and rows whose features vary
    much get more than others.

    .. versionadded:: 0.1

    Parameters
    ----------
    std : float, default=0.1
        Size of the noise in proportion to the standard deviation of the features, at least 0.

    See Also
    --------
    NestedDropout : Zeroes the last features.

    Notes
    -----
    With the features h of one row, their median and their MAD (the median distance from it), the
    noise has the standard deviation ``std * std(h) * MAD * exp(-0.1 * abs(h - median) / MAD) *
    min(exp(var(h) / mean(h) ** 2), 5)``. Where the MAD is 0, as it is after a ReLU that zeroes
    most features, the mean distance takes its place (our choice). A row of equal features gets no
    noise. The noise has no gradient; numbers come from torch's default generator of the device.

    Features are all entries of a row: the axes but the first.

    References
    ----------
    Khadangi, Sartipi, Tchappi and Bahmani (2025). Noise augmented fine tuning for mitigating
    hallucinations in large language models. arXiv:2504.03302.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.layers import HiddenNoise
    >>> layer = HiddenNoise()
    >>> layer(torch.full((1, 3), 2.0))
    tensor([[2., 2., 2.]])
    >>> layer.noise_std(torch.tensor([[-1.0, 0.0, 1.0, 2.0, 3.0]]))
    tensor([[0.5789, 0.6398, 0.7071, 0.6398, 0.5789]])
    """

    @check_parameters({"std": [Interval(Real, 0, None, closed="left")]})
    def __init__(self, std: float = 0.1) -> None:
        super().__init__()
        self.std = std

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Add noise in training mode.

        Parameters
        ----------
        features : Tensor of shape (n_samples, ...)
            Hidden features of rows.

        Returns
        -------
        features : Tensor
            Of the same shape; in evaluation mode the same.
        """
        if not self.training or not self.std or not features.numel():
            return features
        return features + self.noise_std(features) * torch.randn_like(features)

    @torch.no_grad()
    def noise_std(self, features: torch.Tensor) -> torch.Tensor:
        """Compute the standard deviation of the noise of each feature.

        Parameters
        ----------
        features : Tensor of shape (n_samples, ...)
            Hidden features of rows.

        Returns
        -------
        std : Tensor
            Of the same shape.
        """
        rows = features.flatten(start_dim=1)
        tiny = torch.finfo(rows.dtype).tiny
        distance = (rows - rows.median(dim=1, keepdim=True).values).abs()
        typical = distance.median(dim=1, keepdim=True).values
        typical = torch.where(typical > 0, typical, distance.mean(dim=1, keepdim=True))
        variance, mean = torch.var_mean(rows, dim=1, correction=0, keepdim=True)
        relative = variance / mean.square().clamp(min=tiny)
        factor = relative.clamp(max=math.log(_HIGHEST_FACTOR)).exp()
        decay = (-0.1 * distance / typical.clamp(min=tiny)).exp()
        noise = self.std * variance.sqrt() * typical * decay * factor
        return noise.reshape(features.shape)

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation."""
        return f"std={self.std}"
