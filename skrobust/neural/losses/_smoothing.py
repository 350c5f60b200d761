"""Cross-entropy with another target than the given label alone."""

from numbers import Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import RobustLoss, pick
from skrobust.utils._sklearn import Interval, StrOptions


class LabelSmoothing(RobustLoss):
    """Cross-entropy with labels that are mixed with the uniform distribution.

    .. versionadded:: 0.1

    Parameters
    ----------
    smoothing : float, default=0.1
        Share of the uniform distribution, below 1. Negative values push away from it instead:
        they sharpen what is learned, which suits high noise, where positive values suit little
        noise.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    BackwardCorrected : With symmetric noise, it is a negative smoothing.

    Notes
    -----
    With negative `smoothing` the loss has no lower bound: the surer the network, the lower.
    Decay of weights, or few epochs after a warm-up with plain cross-entropy, hold it.

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
    def __init__(self, smoothing=0.1, *, reduction="mean"):
        super().__init__(reduction=reduction)
        self.smoothing = smoothing

    def per_row(self, logits, target) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        given = pick(log_proba, target)
        return (self.smoothing - 1) * given - self.smoothing * log_proba.mean(dim=1)


class Bootstrapping(RobustLoss):
    """Cross-entropy with labels that are mixed with what the network itself predicts.

    .. versionadded:: 0.1

    Parameters
    ----------
    beta : float, default=0.95
        Share of the given label, in [0, 1]; the rest is the prediction. The paper has 0.95 for
        "soft" and 0.8 for "hard".
    kind : {"soft", "hard"}, default="soft"
        What of the prediction: its probabilities, or the most probable class alone.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    CORES : Learns only from rows whose label the network agrees with.

    Notes
    -----
    "soft" adds ``1 - beta`` times the entropy of the prediction, whose gradient counts as well.
    An untrained network has nothing to say: start with plain cross-entropy where there are many
    classes.

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
    def __init__(self, beta=0.95, *, kind="soft", reduction="mean"):
        super().__init__(reduction=reduction)
        self.beta = beta
        self.kind = kind

    def per_row(self, logits, target) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        if self.kind == "soft":
            own = (log_proba.exp() * log_proba).sum(dim=1)
        else:
            own = log_proba.max(dim=1).values
        return -self.beta * pick(log_proba, target) - (1 - self.beta) * own
