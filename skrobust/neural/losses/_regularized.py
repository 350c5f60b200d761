"""Cross-entropy regularised by the prediction: smoothing, bootstrapping, CORES."""

from numbers import Integral, Real
from typing import Literal

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import Reduction, RobustLoss, floored_log_proba, pick
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions

_EPOCHS = Interval(Integral, 0, None, closed="left")


@fill_docstring
class LabelSmoothing(RobustLoss):
    """Cross-entropy with labels that are mixed with the uniform distribution.

    .. versionadded:: 0.1

    Parameters
    ----------
    smoothing : float, default=0.1
        Share of the uniform distribution, below 1. Negative values sharpen the labels instead,
        which suits high noise; positive values suit low noise.
    %(reduction)s

    See Also
    --------
    BackwardCorrected : With symmetric noise, it is a negative smoothing.

    Notes
    -----
    With negative `smoothing` the loss has no lower bound: it falls with the confidence of the
    network. Use weight decay, or few epochs after a warm-up with plain cross-entropy.

    References
    ----------
    Lukasik, Bhojanapalli, Menon and Kumar (2020). Does label smoothing mitigate label noise?
    ICML.

    Wei, Liu, Liu, Niu, Sugiyama and Liu (2022). To smooth or not? When label smoothing meets noisy
    labels. ICML.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import LabelSmoothing
    >>> logits = torch.tensor([[0.9, 0.1]]).log()
    >>> LabelSmoothing(0.2)(logits, torch.tensor([0]))
    tensor(0.3251)
    >>> LabelSmoothing(-0.2)(logits, torch.tensor([0]))
    tensor(-0.1144)
    """

    @check_parameters({"smoothing": [Interval(Real, None, 1, closed="neither")]})
    def __init__(self, smoothing: float = 0.1, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.smoothing = smoothing

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        given = pick(log_proba, target)
        return (self.smoothing - 1) * given - self.smoothing * log_proba.mean(dim=1)


@fill_docstring
class Bootstrapping(RobustLoss):
    """Bootstrapping: cross-entropy with labels mixed with the predictions of the network.

    .. versionadded:: 0.1

    Parameters
    ----------
    beta : float, default=0.95
        Share of the given label, in [0, 1]; the rest is the prediction. The paper has 0.95 for
        "soft" and 0.8 for "hard".
    kind : {"soft", "hard"}, default="soft"
        Prediction to mix in: the probabilities, or the most probable class alone.
    %(reduction)s

    See Also
    --------
    CORES : Drops rows whose label the network disagrees with.

    Notes
    -----
    "soft" adds ``1 - beta`` times the entropy of the prediction, with its gradient.
    Predictions of an untrained network carry no information: start with plain cross-entropy where
    there are many classes.

    References
    ----------
    Reed, Lee, Anguelov, Szegedy, Erhan and Rabinovich (2015). Training deep neural networks on
    noisy labels with bootstrapping. ICLR workshop.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import Bootstrapping
    >>> logits = torch.tensor([[0.9, 0.1]]).log()
    >>> Bootstrapping(0.8, kind="hard")(logits, torch.tensor([1]))
    tensor(1.8631)
    """

    @check_parameters(
        {
            "beta": [Interval(Real, 0, 1, closed="both")],
            "kind": [StrOptions({"soft", "hard"})],
        }
    )
    def __init__(
        self,
        beta: float = 0.95,
        *,
        kind: Literal["soft", "hard"] = "soft",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta
        self.kind = kind

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        if self.kind == "soft":
            own = (log_proba.exp() * log_proba).sum(dim=1)
        else:
            own = log_proba.max(dim=1).values
        return -self.beta * pick(log_proba, target) - (1 - self.beta) * own


@fill_docstring
class CORES(RobustLoss):
    """CORES: cross-entropy with a confidence regulariser and a sample sieve.

    The loss of a row is the cross-entropy of its label minus `beta` times the mean cross-entropy of
    all labels. The regulariser makes predictions confident; then rows whose label has a higher
    cross-entropy than the mean are dropped.

    .. versionadded:: 0.1

    Parameters
    ----------
    beta : float, default=2.0
        Final weight of the regulariser, at least 0.
    warmup : int, default=10
        Number of epochs of plain cross-entropy.
    ramp : int, default=30
        Number of epochs after them in which the weight of the regulariser rises linearly to
        `beta`.
    sieve : int or None, default=30
        Number of epochs before the sieve starts. None never starts it.
    floor : float, default=1e-8
        Added to each probability before its logarithm is taken, in [0, 1). With 0 the
        regulariser has no bound.
    %(reduction)s

    See Also
    --------
    PeerLoss : The same regulariser, with rows drawn at random.

    Notes
    -----
    The schedule depends on ``on_epoch``, which must be called when an epoch starts. Until then it
    is that of the first epoch. With ``warmup=0, ramp=0, sieve=None`` there is none.

    Rows that are dropped have the loss 0, and count in the mean.

    Without a floor, logits grow with the number of steps. In one run on 1 200
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

    present_beta: float
    sieves: bool

    @check_parameters(
        {
            "beta": [Interval(Real, 0, None, closed="left")],
            "warmup": [_EPOCHS],
            "ramp": [_EPOCHS],
            "sieve": [_EPOCHS, None],
            "floor": [Interval(Real, 0, 1, closed="left")],
        }
    )
    def __init__(
        self,
        beta: float = 2.0,
        *,
        warmup: int = 10,
        ramp: int = 30,
        sieve: int | None = 30,
        floor: float = 1e-8,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.beta = beta
        self.warmup = warmup
        self.ramp = ramp
        self.sieve = sieve
        self.floor = floor
        self.on_epoch(0)

    def on_epoch(self, epoch: int) -> None:
        if epoch >= self.warmup + self.ramp:
            self.present_beta = self.beta
        else:
            self.present_beta = self.beta * max(epoch - self.warmup, 0) / max(self.ramp, 1)
        self.sieves = self.sieve is not None and epoch >= self.sieve

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_proba = floored_log_proba(logits, self.floor)
        given, mean = -pick(log_proba, target), -log_proba.mean(dim=1)
        rows = given - self.present_beta * mean
        if self.sieves:
            rows = rows.masked_fill((given > mean).detach(), 0.0)
        return rows
