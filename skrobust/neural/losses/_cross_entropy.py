"""Cross-entropy, plain and generalized."""

from numbers import Integral, Real

import torch
from torch.nn.functional import cross_entropy

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import RobustLoss, pick
from skrobust.utils._sklearn import Interval


class CrossEntropy(RobustLoss):
    """Cross-entropy: minus the log-probability of the given label.

    The most efficient loss for right labels, and the least robust one: a row whose label is
    wrong pulls the harder the surer the network is of another class.

    .. versionadded:: 0.1

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    GeneralizedCrossEntropy : Between this and the mean absolute error.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import CrossEntropy
    >>> logits = torch.tensor([[0.9, 0.1]]).log()
    >>> CrossEntropy()(logits, torch.tensor([0]))
    tensor(0.1054)
    """

    def per_row(self, logits, target) -> torch.Tensor:
        if target.is_floating_point():
            return -pick(self.log_proba(logits), target)
        return cross_entropy(logits, target.long(), reduction="none")


class GeneralizedCrossEntropy(RobustLoss):
    """Generalized cross-entropy: the share ``(1 - p ** q) / q`` of what cross-entropy asks for.

    With `p` the probability of the given label: cross-entropy in the limit of `q` = 0, and half
    the mean absolute error for `q` = 1. A row pulls by ``p ** q`` times what it does in
    cross-entropy, so labels that the network finds improbable are learned from less.

    .. versionadded:: 0.1

    Parameters
    ----------
    q : float, default=0.7
        How robust, in (0, 1]: the larger, the less is learned from improbable labels, and the
        slower.
    truncation : float, default=None
        In (0, 1): labels with at most this probability cost the same whatever it is, so nothing
        is learned from them. None leaves no label out.
    warmup : int, default=0
        Number of epochs before the truncation starts, counted by ``on_epoch``. An untrained
        network finds every label improbable: with more than two classes and a usual truncation
        of 0.5, it would never learn anything without a warm-up.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    SymmetricCrossEntropy : Cross-entropy and its reverse.

    References
    ----------
    Zhang and Sabuncu (2018). Generalized cross entropy loss for training deep neural networks
    with noisy labels. Advances in Neural Information Processing Systems 31.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import GeneralizedCrossEntropy
    >>> logits = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()
    >>> labels = torch.tensor([0, 0])
    >>> GeneralizedCrossEntropy(reduction="none")(logits, labels)
    tensor([0.1016, 1.1435])
    >>> GeneralizedCrossEntropy(truncation=0.5, reduction="none")(logits, labels)
    tensor([0.1016, 0.5492])
    """

    @check_parameters(
        {
            "q": [Interval(Real, 0, 1, closed="right")],
            "truncation": [Interval(Real, 0, 1, closed="neither"), None],
            "warmup": [Interval(Integral, 0, None, closed="left")],
        }
    )
    def __init__(self, q=0.7, *, truncation=None, warmup=0, reduction="mean"):
        super().__init__(reduction=reduction)
        self.q = q
        self.truncation = truncation
        self.warmup = warmup
        self._truncates = truncation is not None and not warmup

    def on_epoch(self, epoch) -> None:
        self._truncates = self.truncation is not None and epoch >= self.warmup

    def per_row(self, logits, target) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        if not target.is_floating_point():
            log_proba = pick(log_proba, target)
        # 1 - p ** q without cancellation for p near 1.
        values = -torch.expm1(self.q * log_proba) / self.q
        if self._truncates:
            values = values.clamp(max=(1 - self.truncation**self.q) / self.q)
        return pick(values, target) if target.is_floating_point() else values
