"""Losses of a whole batch, whose rows depend on one another: peer loss and Dice."""

from numbers import Real
from typing import Literal

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import Reduction, RobustLoss, floored_log_proba, pick
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions


@fill_docstring
class PeerLoss(RobustLoss):
    """Peer loss: cross-entropy minus that of random pairs of predictions and labels.

    The second term penalises agreement with labels by chance. The difference is minimal at the true
    classes for any noise rates that are not too high.

    .. versionadded:: 0.1

    Parameters
    ----------
    alpha : float, default=1.0
        Weight of the second term, at least 0.
    floor : float, default=1e-8
        Added to each probability before its logarithm is taken, in [0, 1). With 0 the second
        term has no bound.
    %(reduction)s

    See Also
    --------
    CORES : The same without random rows, and a sieve.

    Notes
    -----
    Predictions and labels of the batch are permuted independently of one another. With weights,
    they are drawn with replacement instead, each with a probability in proportion to its weight,
    so that a weight equals repeated rows on average. Numbers come from torch's default generator
    of the device.

    Labels must be balanced, or predictions of rare classes are rewarded. An untrained
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

    @check_parameters(
        {
            "alpha": [Interval(Real, 0, None, closed="left")],
            "floor": [Interval(Real, 0, 1, closed="left")],
        }
    )
    def __init__(
        self, alpha: float = 1.0, *, floor: float = 1e-8, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.alpha = alpha
        self.floor = floor

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.per_batch(logits, target, None)

    def per_batch(
        self, logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        log_proba = floored_log_proba(logits, self.floor)
        predictions = log_proba[self._draw(log_proba, sample_weight)]
        labels = target[self._draw(log_proba, sample_weight)]
        return self.alpha * pick(predictions, labels) - pick(log_proba, target)

    @staticmethod
    def _draw(log_proba: torch.Tensor, sample_weight: torch.Tensor | None) -> torch.Tensor:
        """Permute rows, or draw them by their weights."""
        n_samples = len(log_proba)
        if sample_weight is None or not n_samples:
            return torch.randperm(n_samples, device=log_proba.device)
        chances = sample_weight.detach().clamp(min=0)
        chances = torch.where(chances.sum() > 0, chances, torch.ones_like(chances))
        return torch.multinomial(chances, n_samples, replacement=True)


class SoftDice(RobustLoss):
    """Dice loss: one minus the overlap of predicted and given rows of each class in a batch.

    Each class has the same weight however rare it is, which suits imbalanced classes.

    .. versionadded:: 0.1

    Parameters
    ----------
    kind : {"weighted", "robust"}, default="weighted"
        - "weighted": one minus the soft Dice coefficient, in which sample weights reduce the
          influence of rows whose label is doubtful;
        - "robust": differences of probability and label are raised to `gamma` first, so that
          large ones, as wrong labels have, count less than in a squared error.
    gamma : float, default=1.5
        Only for "robust": the exponent, in [1, 2]; 1 is an absolute error and most robust.
    smooth : float, default=1e-5
        Added to the denominators, positive.
    reduction : {"mean", "sum", "none"}, default="mean"
        Reduction over the rows. "mean" is the loss of the batch, in [0, 1]; "sum" is that times the
        number of rows, or the sum of weights; "none" is the shares of the rows in the sum.

    See Also
    --------
    MeanAbsoluteError : Each row by itself.

    Notes
    -----
    With probabilities `p`, labels `y` and weights `w`, the loss of a class is
    ``1 - (2 * sum(w p y) + smooth) / (sum(w p) + sum(w y) + smooth)`` for "weighted", and
    ``sum(w |p - y| ** gamma) / (sum(w p) + sum(w y) + smooth)`` for "robust"; the loss is the
    mean over classes. The first equals the second with `gamma` = 1 where labels are not soft. A
    class that is in no row of the batch costs nearly 1, with little gradient: batches should be
    large enough to hold all classes.

    Both losses are sums over rows, divided by a number that the batch determines. So a row has
    a share in the loss, which "none" multiplies by its weight and by the number of rows, or the
    sum of weights.

    References
    ----------
    Wang, Liu, Li, Xu, Ruan, Zhu, Meng, Li, Huang and Zhang (2020). A noise-robust framework for
    automatic segmentation of COVID-19 pneumonia lesions from CT images. IEEE Transactions on
    Medical Imaging 39.

    Wang, Guo, Wang and Zhang (2021). Annotation-efficient learning for medical image segmentation
    based on noisy pseudo labels and adversarial learning. IEEE Transactions on Medical Imaging 40.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import SoftDice
    >>> logits = torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log()
    >>> SoftDice()(logits, torch.tensor([0, 1]))
    tensor(0.1504)
    >>> SoftDice("robust")(logits, torch.tensor([0, 1]))
    tensor(0.0607)
    """

    batch_only = True

    @check_parameters(
        {
            "kind": [StrOptions({"weighted", "robust"})],
            "gamma": [Interval(Real, 1, 2, closed="both")],
            "smooth": [Interval(Real, 0, None, closed="neither")],
        }
    )
    def __init__(
        self,
        kind: Literal["weighted", "robust"] = "weighted",
        *,
        gamma: float = 1.5,
        smooth: float = 1e-5,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.kind = kind
        self.gamma = gamma
        self.smooth = smooth

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.per_batch(logits, target, None)

    def per_batch(
        self, logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        proba = self.log_proba(logits).exp()
        wanted = self.soft_targets(target, logits.shape[1], logits.dtype)
        if self.kind == "weighted":
            distance = proba + wanted - 2 * proba * wanted
        else:
            distance = (proba - wanted).abs() ** self.gamma
        both = proba + wanted
        if sample_weight is None:
            sizes, total = both.sum(dim=0), len(logits)
        else:
            sizes, total = sample_weight @ both, sample_weight.sum()
        return total * (distance / (sizes + self.smooth)).mean(dim=1)
