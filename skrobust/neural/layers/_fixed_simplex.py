"""Fixed classifier: directions of the classes at the corners of a regular simplex."""

import math
from numbers import Integral, Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.utils._sklearn import Interval

# How probable a class is for a row that points exactly its way, with the default scale.
_HIGHEST_PROBA = 0.99


class FixedSimplex(torch.nn.Module):
    """Fixed simplex classifier: scores are cosines of the features and fixed directions.

    The directions are the corners of a regular simplex: each two classes are equally far apart,
    as far as is possible. The layer has no parameters, so that neither wrong labels nor frequent
    classes can move the directions. They also serve a later network.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_features : int
        Number of features, at least ``n_classes - 1``. Further ones only
        contribute to the length.
    n_classes : int
        Number of classes, at least 2. More than there are at present leaves room for later ones.
    scale : float, default=None
        Factor of the cosines, positive. None is the factor with which a row exactly in the
        direction of a class has the probability 0.99. 1 returns cosines.

    Attributes
    ----------
    weight : Tensor of shape (n_classes, n_features)
        Directions of the classes, of length 1. A buffer, not a parameter.
    logit_scale : float
        The scale that is used.

    Raises
    ------
    ValueError
        If there are fewer than ``n_classes - 1`` features.

    See Also
    --------
    skrobust.neural.losses.TripletAlignment : A loss of cosines.

    Notes
    -----
    The cosine of each two directions is ``-1 / (n_classes - 1)``. A row of zeros has the same
    score, 0, for each class.

    References
    ----------
    Biondi, Pernici, Ricci and Del Bimbo (2024). Stationary representations: optimally
    approximating compatibility and implications for improved model replacements. CVPR.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.layers import FixedSimplex
    >>> layer = FixedSimplex(5, 3, scale=1)
    >>> layer(layer.weight[:1]).round(decimals=2)
    tensor([[ 1.0000, -0.5000, -0.5000]])
    """

    weight: torch.Tensor
    logit_scale: float

    @check_parameters(
        {
            "n_features": [Interval(Integral, 1, None, closed="left")],
            "n_classes": [Interval(Integral, 2, None, closed="left")],
            "scale": [Interval(Real, 0, None, closed="neither"), None],
        }
    )
    def __init__(self, n_features: int, n_classes: int, *, scale: float | None = None) -> None:
        super().__init__()
        if n_features < n_classes - 1:
            raise ValueError(
                f"n_features must be at least n_classes - 1 = {n_classes - 1}, which as many"
                f" directions need to be equally far apart, got {n_features}."
            )
        self.n_features = n_features
        self.n_classes = n_classes
        self.scale = scale
        if scale is None:
            # Its logit is then the scale, and that of the others -scale / (n_classes - 1).
            odds = _HIGHEST_PROBA / (1 - _HIGHEST_PROBA)
            scale = (n_classes - 1) / n_classes * math.log((n_classes - 1) * odds)
        self.logit_scale = float(scale)
        weight = torch.zeros(n_classes, n_features, dtype=torch.float64)
        weight[:, : n_classes - 1] = _simplex(n_classes)
        self.register_buffer("weight", weight.to(torch.get_default_dtype()))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute scaled cosines of rows with the directions of the classes.

        Parameters
        ----------
        features : Tensor of shape (..., n_features)
            Rows, of any length.

        Returns
        -------
        logits : Tensor of shape (..., n_classes)
            Scores, in [-`logit_scale`, `logit_scale`].
        """
        if features.shape[-1] != self.n_features:
            raise ValueError(
                f"features must have {self.n_features} entries along the last axis, got the shape"
                f" {tuple(features.shape)}."
            )
        length = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
        # Dividing by next to nothing would make gradients explode.
        length = torch.where(length > 1e-6, length, torch.ones_like(length))
        directions = features / length
        return self.logit_scale * torch.nn.functional.linear(
            directions, self.weight.to(directions.dtype)
        )

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation."""
        return f"n_features={self.n_features}, n_classes={self.n_classes}, scale={self.scale}"


def _simplex(n_classes: int) -> torch.Tensor:
    """Corners of a regular simplex around the origin, of shape (n_classes, n_classes - 1)."""
    corners = torch.zeros(n_classes, n_classes - 1, dtype=torch.float64)
    corners[:-1] = torch.eye(n_classes - 1, dtype=torch.float64)
    corners[-1] = (1 - math.sqrt(n_classes)) / (n_classes - 1)
    corners -= corners.mean(dim=0)
    return corners / torch.linalg.vector_norm(corners, dim=1, keepdim=True)
