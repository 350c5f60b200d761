"""Nested dropout."""

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from skrobust.neural._parameters import check_parameters
from skrobust.utils._sklearn import Interval


class NestedDropout(torch.nn.Module):
    """Nested dropout: keep the first k features, with one random k per batch, and zero the others.

    The earlier a feature, the more batches it is in: the first ones learn what most rows have in
    common, and the last ones what only helps to memorise single rows, as wrong labels do. A width
    that is chosen on held-out rows then drops these.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_features : int
        Number of features, at least 1.
    sigma : float, default=None
        Scale of the random widths, positive. None is half of `n_features`.
    axis : int, default=-1
        Axis of the features: -1 in a feature matrix, 1 for the channels of images.

    Attributes
    ----------
    proba : ndarray of shape (n_features,)
        Probability of each width, 1 to `n_features`.
    width : int or None
        Number of features kept in evaluation mode; to be set. None keeps all.
    fixed_width : int or None
        Number of features kept in training mode; to be set, for instance to the width that another
        network has drawn. None draws a width for each batch.
    last_width : int or None
        Number of features kept at the last call.

    Raises
    ------
    ValueError
        If an input has another number of features, or a width is not in 1 to `n_features`.

    See Also
    --------
    VariationalBottleneck : Compresses features by noise.

    Notes
    -----
    The probability of a width k is proportional to ``exp(-((k / sigma) ** 2))``. Features that
    are kept are not rescaled.

    The width is drawn from torch's default generator of the CPU, so that an accelerator need not
    be waited for.

    A linear layer without an intercept that follows has, for all widths at once, logits that are
    cumulative sums over the features.

    References
    ----------
    Rippel, Gelbart and Adams (2014). Learning ordered representations with nested dropout. ICML.

    Chen, Hu, Shen, Ai and Suykens (2022). Compressing features for learning with noisy labels.
    IEEE Transactions on Neural Networks and Learning Systems.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.layers import NestedDropout
    >>> layer = NestedDropout(4)
    >>> layer.proba.round(3)
    array([0.613, 0.29 , 0.083, 0.014])
    >>> layer.fixed_width = 2
    >>> layer(torch.ones(1, 4))
    tensor([[1., 1., 0., 0.]])
    >>> layer.eval()(torch.ones(1, 4))
    tensor([[1., 1., 1., 1.]])
    """

    proba: np.ndarray
    last_width: int | None

    @check_parameters(
        {
            "n_features": [Interval(Integral, 1, None, closed="left")],
            "sigma": [Interval(Real, 0, None, closed="neither"), None],
            "axis": [Integral],
        }
    )
    def __init__(self, n_features: int, *, sigma: float | None = None, axis: int = -1) -> None:
        super().__init__()
        self.n_features = n_features
        self.sigma = sigma
        self.axis = axis
        self._width = self._fixed_width = self.last_width = None
        scale = n_features / 2 if sigma is None else sigma
        exponents = -((np.arange(1, n_features + 1) / scale) ** 2)
        weights = np.exp(exponents - exponents[0])
        self.proba = weights / weights.sum()

    @property
    def width(self) -> int | None:
        """Number of features kept in evaluation mode; None is all."""
        return self._width

    @width.setter
    def width(self, value: int | None) -> None:
        self._width = self._check_width("width", value)

    @property
    def fixed_width(self) -> int | None:
        """Number of features kept in training mode; None draws a width for each batch."""
        return self._fixed_width

    @fixed_width.setter
    def fixed_width(self, value: int | None) -> None:
        self._fixed_width = self._check_width("fixed_width", value)

    def draw_width(self) -> int:
        """Draw a width.

        Returns
        -------
        width : int
            From 1 to `n_features`.
        """
        drawn = torch.rand((), dtype=torch.float64).item()
        position = np.searchsorted(np.cumsum(self.proba), drawn, side="right")
        return min(int(position) + 1, self.n_features)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Zero all features but the first ones.

        Parameters
        ----------
        features : Tensor
            Of any shape, with `n_features` along `axis`.

        Returns
        -------
        features : Tensor
            Of the same shape.
        """
        shape = tuple(features.shape)
        if not -len(shape) <= self.axis < len(shape) or shape[self.axis] != self.n_features:
            raise ValueError(
                f"features must have {self.n_features} entries along axis {self.axis}, got the"
                f" shape {shape}."
            )
        if self.training:
            width = self.draw_width() if self.fixed_width is None else self.fixed_width
        else:
            width = self.n_features if self.width is None else self.width
        self.last_width = width
        if width == self.n_features:
            return features
        late = torch.arange(self.n_features, device=features.device) >= width
        after = len(shape) - 1 - self.axis % len(shape)
        return features.masked_fill(late.reshape(-1, *[1] * after), 0)

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation."""
        return f"n_features={self.n_features}, sigma={self.sigma}, axis={self.axis}"

    def _check_width(self, name: str, value: Any) -> int | None:
        """Refuse a width that the features do not have."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{name} must be an integer or None, got {value!r}.")
        if not 1 <= value <= self.n_features:
            raise ValueError(f"{name} must be from 1 to {self.n_features}, got {value}.")
        return int(value)
