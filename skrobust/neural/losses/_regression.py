"""Robust losses of regression."""

import math
from numbers import Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import Reduction, RobustLoss
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval


@fill_docstring
class SquaredError(RobustLoss):
    """Half the squared error.

    The most efficient loss for targets with normal errors, and the least robust one: the gradient
    of a row grows with its error.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(reduction)s

    See Also
    --------
    Huber : Large errors count linearly.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import SquaredError
    >>> SquaredError()(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(1.)
    """

    def forward(
        self,
        prediction: torch.Tensor,
        target: torch.Tensor,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        prediction : Tensor of shape (n_samples,)
            Predictions; floating point.
        target : Tensor of shape (n_samples,)
            Given targets; floating point.
        sample_weight : Tensor of shape (n_samples,), default=None
            Weights of rows, not negative. None is 1 for each.

        Returns
        -------
        loss : Tensor of shape () or (n_samples,)
            One number, or with ``reduction="none"`` one for each row.
        """
        return super().forward(prediction, target, sample_weight)

    def per_row(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of each row, without weights.

        Parameters
        ----------
        prediction : Tensor of shape (n_samples,)
            Predictions.
        target : Tensor of shape (n_samples,)
            Given targets.

        Returns
        -------
        rows : Tensor of shape (n_samples,)
            Losses.
        """
        return (prediction - target).square() / 2

    @staticmethod
    def _check(
        prediction: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None
    ) -> None:
        """Refuse tensors that are not those of a batch."""
        given = {"prediction": prediction, "target": target, "sample_weight": sample_weight}
        for name, value in given.items():
            if value is None and name == "sample_weight":
                continue
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                kind = getattr(value, "dtype", type(value).__name__)
                raise TypeError(f"{name} must be a floating-point tensor, got {kind}.")
            if value.ndim != 1 or len(value) != len(prediction):
                raise ValueError(
                    f"{name} must have shape (n_samples,), as prediction, got {tuple(value.shape)}."
                )


@fill_docstring
class Huber(SquaredError):
    """Huber loss: quadratic for small errors, linear for those above `delta`.

    .. versionadded:: 0.1

    Parameters
    ----------
    delta : float, default=0.5
        Error above which the loss is linear, positive. :class:`~skrobust.neural.NeuralRegressor`
        standardises targets, so that it is in units of their scale there.
    %(reduction)s

    See Also
    --------
    LogCosh : Without a parameter.

    References
    ----------
    Huber (1964). Robust estimation of a location parameter. Annals of Mathematical Statistics.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import Huber
    >>> Huber(1.0)(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(0.7500)
    """

    @check_parameters({"delta": [Interval(Real, 0, None, closed="neither")]})
    def __init__(self, delta: float = 0.5, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def per_row(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.huber_loss(
            prediction, target, reduction="none", delta=float(self.delta)
        )


@fill_docstring
class LogCosh(SquaredError):
    """Logarithm of the hyperbolic cosine of the error: quadratic near 0 and linear far from it.

    .. versionadded:: 0.1

    Parameters
    ----------
    scale : float, default=0.5
        Error at which the loss turns from quadratic to linear, positive, in the units of the
        targets; see :class:`Huber`. The loss is ``scale ** 2 * log(cosh(error / scale))``.
    %(reduction)s

    See Also
    --------
    Huber : With a sharp change from one to the other.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import LogCosh
    >>> LogCosh(1.0)(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(0.6625)
    """

    @check_parameters({"scale": [Interval(Real, 0, None, closed="neither")]})
    def __init__(self, scale: float = 0.5, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.scale = scale

    def per_row(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        size = (prediction - target).abs() / self.scale
        # The hyperbolic cosine itself would overflow.
        logs = size + torch.nn.functional.softplus(-2 * size) - math.log(2)
        return self.scale**2 * logs


class TrimmedSquaredError(SquaredError):
    """Half the squared error of the rows of a batch whose errors are smallest.

    .. versionadded:: 0.1

    Parameters
    ----------
    trim : float, default=0.1
        Share of the weight of a batch that is dropped, in [0, 1): about the share of wrong
        targets, or slightly more.
    reduction : {"mean", "sum", "none"}, default="mean"
        Reduction over the rows; see :class:`RobustLoss`. Rows that are dropped have the loss 0, and
        those that are kept are multiplied such that the mean is that of the kept rows.

    See Also
    --------
    Huber : Drops no rows.

    References
    ----------
    Rousseeuw (1984). Least median of squares regression. Journal of the American Statistical
    Association.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import TrimmedSquaredError
    >>> loss = TrimmedSquaredError(0.5, reduction="none")
    >>> loss(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 9.0]))
    tensor([1., 0.])
    """

    batch_only = True

    @check_parameters({"trim": [Interval(Real, 0, 1, closed="left")]})
    def __init__(self, trim: float = 0.1, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.trim = trim

    def per_row(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.per_batch(prediction, target, None)

    def per_batch(
        self,
        prediction: torch.Tensor,
        target: torch.Tensor,
        sample_weight: torch.Tensor | None = None,
    ) -> torch.Tensor:
        rows = super().per_row(prediction, target)
        share = 1 - self.trim
        with torch.no_grad():
            order = rows.argsort(stable=True)
            weight = torch.ones_like(rows) if sample_weight is None else sample_weight.to(rows)
            own = weight[order]
            cumulated = own.cumsum(dim=0)
            wanted = share * (cumulated[-1] if len(cumulated) else 0.0)
            # At the boundary a part of the weight is kept, so that a weight of 2 equals two rows.
            kept = torch.minimum(own, (wanted - cumulated + own).clamp_min(0))
            kept = torch.where(own > 0, kept / own.clamp_min(torch.finfo(own.dtype).tiny), 0.0)
            factor = torch.empty_like(rows).scatter_(0, order, kept / share)
        return rows * factor
