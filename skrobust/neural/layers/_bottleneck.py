"""Variational information bottleneck."""

from numbers import Integral, Real
from typing import Any

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.utils._sklearn import Interval

# Variances are kept in between; beyond, exponentials would overflow before anything is learned.
_LOG_VARIANCE = 15.0


class VariationalBottleneck(torch.nn.Module):
    """Variational bottleneck: random features with a penalty on their information about the row.

    The information is the divergence of the random features of a row from standard normal ones,
    in nats. The price of the penalty adapts such that about `target_kl` nats pass: enough for the
    class, and too few to memorise single rows with wrong labels.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_features : int
        Number of input features, at least 1.
    n_latent : int, default=None
        Number of output features, at least 1. None is `n_features`.
    target_kl : float, default=3.0
        Nats of information per row on average, not negative. Distinguishing K classes takes up to
        ``log(K)``.
    log_beta : float, default=-2.0
        Initial logarithm of the price. Adam moves it by about its learning rate in a step, so that
        it takes long to adapt from a distant start.

    Attributes
    ----------
    kl : Tensor of shape (n_samples,) or None
        Information of each row of the last batch. None before the first, and in copies.
    log_beta : Parameter of shape ()
        Logarithm of the price.

    See Also
    --------
    NestedDropout : Compresses features by dropping the last ones.

    Notes
    -----
    The training loss is ``cross_entropy + layer.penalty() + layer.dual_loss()``: the penalty
    trains the network, at a constant price; the dual loss trains the price, which rises while too
    much information passes, and falls otherwise. Both belong to the same
    optimizer, whose decay of weights should leave out `log_beta`, or the price to an optimizer of
    its own. Both are of the last batch.

    In training mode features are drawn from torch's default generator of the device; in
    evaluation mode they are the means.

    References
    ----------
    Alemi, Fischer, Dillon and Murphy (2017). Deep variational information bottleneck. ICLR.

    Zhu, Simchowitz, Gadipudi and Gupta (2023). RePo: resilient model-based reinforcement learning
    by regularizing posterior predictability. Advances in Neural Information Processing Systems 36.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.layers import VariationalBottleneck
    >>> layer = VariationalBottleneck(20, n_latent=4)
    >>> layer(torch.zeros(3, 20)).shape
    torch.Size([3, 4])
    >>> loss = layer.penalty() + layer.dual_loss()
    >>> loss.backward()
    """

    n_latent: int
    encoder: torch.nn.Linear
    log_beta: torch.nn.Parameter
    kl: torch.Tensor | None

    @check_parameters(
        {
            "n_features": [Interval(Integral, 1, None, closed="left")],
            "n_latent": [Interval(Integral, 1, None, closed="left"), None],
            "target_kl": [Interval(Real, 0, None, closed="left")],
            "log_beta": [Interval(Real, None, None, closed="neither")],
        }
    )
    def __init__(
        self,
        n_features: int,
        *,
        n_latent: int | None = None,
        target_kl: float = 3.0,
        log_beta: float = -2.0,
    ) -> None:
        super().__init__()
        self.n_features = n_features
        self.n_latent = n_features if n_latent is None else n_latent
        self.target_kl = target_kl
        self.log_beta = torch.nn.Parameter(torch.tensor(float(log_beta)))
        self.encoder = torch.nn.Linear(n_features, 2 * self.n_latent)
        self.kl = None

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Draw random features, or in evaluation mode take their means.

        Parameters
        ----------
        features : Tensor of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        latent : Tensor of shape (n_samples, n_latent)
            Fewer features of each.
        """
        mean, log_variance = self.encoder(features).chunk(2, dim=-1)
        log_variance = log_variance.clamp(-_LOG_VARIANCE, _LOG_VARIANCE)
        variance = log_variance.exp()
        self.kl = 0.5 * (mean.square() + variance - 1 - log_variance).sum(dim=-1)
        if not self.training:
            return mean
        return mean + variance.sqrt() * torch.randn_like(mean)

    def penalty(self) -> torch.Tensor:
        """Compute the penalty on the information of the last batch beyond the target.

        Returns
        -------
        penalty : Tensor of shape ()
            Negative below the target. The price has no gradient.

        Raises
        ------
        RuntimeError
            If no batch has passed.
        """
        return self.log_beta.detach().exp() * self._excess()

    def dual_loss(self) -> torch.Tensor:
        """Compute the loss of the price.

        Returns
        -------
        loss : Tensor of shape ()
            The information has no gradient.

        Raises
        ------
        RuntimeError
            If no batch has passed.
        """
        return -self.log_beta * self._excess().detach()

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation."""
        return f"n_features={self.n_features}, n_latent={self.n_latent}, target_kl={self.target_kl}"

    def _excess(self) -> torch.Tensor:
        """Compute the information beyond the target."""
        if self.kl is None:
            raise RuntimeError("VariationalBottleneck has no penalty before a batch has passed.")
        return self.kl.mean() - self.target_kl

    def __getstate__(self) -> dict[str, Any]:
        # Tensors in the middle of a graph can be neither copied nor pickled.
        return {**self.__dict__, "kl": None}
