"""Losses that need no noise rate: what is gained over labels that have nothing to do with rows."""

from numbers import Integral, Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import RobustLoss, floored_log_proba, pick
from skrobust.utils._sklearn import Interval

_WEIGHT = [Interval(Real, 0, None, closed="left")]
_FLOOR = [Interval(Real, 0, 1, closed="left")]
_EPOCHS = Interval(Integral, 0, None, closed="left")


class CORES(RobustLoss):
    """Cross-entropy with a reward for being sure, and a sieve for labels the network disbelieves.

    A row costs the cross-entropy of its label, minus `beta` times the mean cross-entropy of all
    labels. The reward makes the network sure of one class, which noise alone would not; once it
    is, rows whose label costs more than the mean label are left out.

    .. versionadded:: 0.1

    Parameters
    ----------
    beta : float, default=2.0
        Weight of the reward once it is there in full, at least 0.
    warmup : int, default=10
        Number of epochs of plain cross-entropy.
    ramp : int, default=30
        Number of epochs after them in which the weight of the reward rises evenly to `beta`.
    sieve : int or None, default=30
        Number of epochs before the sieve starts. None never starts it.
    floor : float, default=1e-8
        Added to each probability before its logarithm is taken, in [0, 1). 0 leaves the reward
        without a limit.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    PeerLoss : The same reward, by rows drawn at random.

    Notes
    -----
    The schedule depends on ``on_epoch``, which is to be called when an epoch starts. Until it
    is, it is the first epoch. With ``warmup=0, ramp=0, sieve=None`` there is none.

    Rows that are left out cost 0; they count in the mean.

    Without a floor nothing but the number of steps keeps logits from growing. In one run on 1 200
    handwritten digits with 40 % of symmetric noise, a network of two hidden layers ended after 80
    epochs of Adam at an accuracy of 0.91 with the default floor, and of 0.10 without; 0.80 with
    plain cross-entropy.

    References
    ----------
    Cheng, Zhu, Li, Gong, Sun and Liu (2021). Learning with instance-dependent label noise: a
    sample sieve approach. ICLR.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import CORES
    >>> loss = CORES(beta=1.0, warmup=0, ramp=0, sieve=5, reduction="none")
    >>> logits = torch.tensor([[0.9, 0.1], [0.9, 0.1]]).log()
    >>> loss(logits, torch.tensor([0, 1]))
    tensor([-1.0986,  1.0986])
    >>> loss.on_epoch(5)
    >>> loss(logits, torch.tensor([0, 1]))
    tensor([-1.0986,  0.0000])
    """

    @check_parameters(
        {
            "beta": _WEIGHT,
            "warmup": [_EPOCHS],
            "ramp": [_EPOCHS],
            "sieve": [_EPOCHS, None],
            "floor": _FLOOR,
        }
    )
    def __init__(self, beta=2.0, *, warmup=10, ramp=30, sieve=30, floor=1e-8, reduction="mean"):
        super().__init__(reduction=reduction)
        self.beta = beta
        self.warmup = warmup
        self.ramp = ramp
        self.sieve = sieve
        self.floor = floor
        self.on_epoch(0)

    def on_epoch(self, epoch) -> None:
        if epoch >= self.warmup + self.ramp:
            self.present_beta = self.beta
        else:
            self.present_beta = self.beta * max(epoch - self.warmup, 0) / max(self.ramp, 1)
        self.sieves = self.sieve is not None and epoch >= self.sieve

    def per_row(self, logits, target) -> torch.Tensor:
        log_proba = floored_log_proba(logits, self.floor)
        given, mean = -pick(log_proba, target), -log_proba.mean(dim=1)
        rows = given - self.present_beta * mean
        if self.sieves:
            rows = rows.masked_fill((given > mean).detach(), 0.0)
        return rows


class PeerLoss(RobustLoss):
    """Cross-entropy minus that of the prediction of one random row and the label of another.

    What a network gains by blindly agreeing with labels, whichever they are, is taken off. What
    remains is minimal at the true classes, whatever the noise rates, where they are not too high.

    .. versionadded:: 0.1

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of what is taken off, at least 0.
    floor : float, default=1e-8
        Added to each probability before its logarithm is taken, in [0, 1). 0 leaves what can be
        gained without a limit.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    CORES : The same without random rows, and a sieve.

    Notes
    -----
    Predictions and labels of the batch are permuted independently of one another. With weights,
    they are drawn with replacement instead, each with a probability in proportion to its weight,
    so that a weight equals repeated rows on average. Numbers come from torch's default generator
    of the device.

    Labels must be balanced, or the network is rewarded for foretelling rare classes. An untrained
    network should first learn from plain cross-entropy for some epochs.

    References
    ----------
    Liu and Guo (2020). Peer loss functions: learning from noisy labels without knowing noise
    rates. ICML.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import PeerLoss
    >>> same = torch.zeros(6, 3)
    >>> PeerLoss()(same, torch.tensor([0, 0, 1, 1, 2, 2]))
    tensor(0.)
    """

    batch_only = True

    @check_parameters({"alpha": _WEIGHT, "floor": _FLOOR})
    def __init__(self, alpha=1.0, *, floor=1e-8, reduction="mean"):
        super().__init__(reduction=reduction)
        self.alpha = alpha
        self.floor = floor

    def per_row(self, logits, target) -> torch.Tensor:
        return self._rows(logits, target, None)

    def _rows(self, logits, target, sample_weight) -> torch.Tensor:
        log_proba = floored_log_proba(logits, self.floor)
        predictions = log_proba[self._draw(log_proba, sample_weight)]
        labels = target[self._draw(log_proba, sample_weight)]
        return self.alpha * pick(predictions, labels) - pick(log_proba, target)

    @staticmethod
    def _draw(log_proba, sample_weight) -> torch.Tensor:
        n_samples = len(log_proba)
        if sample_weight is None or not n_samples:
            return torch.randperm(n_samples, device=log_proba.device)
        chances = sample_weight.detach().clamp(min=0)
        chances = torch.where(chances.sum() > 0, chances, torch.ones_like(chances))
        return torch.multinomial(chances, n_samples, replacement=True)
