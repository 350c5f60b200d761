"""Losses that are symmetric in the classes, or have a part that is."""

from numbers import Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import RobustLoss, pick
from skrobust.utils._sklearn import Interval, StrOptions

_FACTOR = [Interval(Real, 0, None, closed="left")]
_LOG_ZERO = [Interval(Real, None, 0, closed="neither")]


class MeanAbsoluteError(RobustLoss):
    """Mean absolute error between probabilities and labels, ``2 * (1 - p)``.

    With `p` the probability of the given label. What a row would cost with each of the labels
    sums to the same whatever the network says, so that labels that are wrong in all directions
    alike do not move the minimum. That robustness is paid for by slow learning: rows that are
    far from right hardly pull.

    .. versionadded:: 0.1

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    ActivePassiveLoss : Mends the slow learning with a second loss.
    GeneralizedCrossEntropy : Between this and cross-entropy.

    Notes
    -----
    Summed over the classes, in [0, 2]. With soft labels it is the sum of absolute differences.

    References
    ----------
    Ghosh, Kumar and Sastry (2017). Robust loss functions under label noise for deep neural
    networks. AAAI.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import MeanAbsoluteError
    >>> logits = torch.tensor([[0.9, 0.1]]).log()
    >>> MeanAbsoluteError()(logits, torch.tensor([0]))
    tensor(0.2000)
    """

    def per_row(self, logits, target) -> torch.Tensor:
        return absolute_error(self.log_proba(logits), target)


class NormalizedCrossEntropy(RobustLoss):
    """Cross-entropy of the given label, as a share of its sum over all labels.

    Like the mean absolute error it is not moved by labels that are wrong in all directions alike;
    unlike it, it only asks for a higher probability of the given label, and leaves alone how the
    rest is spread.

    .. versionadded:: 0.1

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    ActivePassiveLoss : This with a second loss, without which it learns too little.

    Notes
    -----
    In [0, 1] for codes; an even guess has ``1 / n_classes``.

    References
    ----------
    Ma, Huang, Wang, Romano, Erfani and Bailey (2020). Normalized loss functions for deep learning
    with noisy labels. ICML.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import NormalizedCrossEntropy
    >>> NormalizedCrossEntropy()(torch.zeros(1, 4), torch.tensor([0]))
    tensor(0.2500)
    """

    def per_row(self, logits, target) -> torch.Tensor:
        return normalized_cross_entropy(self.log_proba(logits), target)


class SymmetricCrossEntropy(RobustLoss):
    """Cross-entropy plus reverse cross-entropy, in which labels and probabilities change places.

    Reverse cross-entropy is what the labels would pay for coding the network's probabilities,
    ``-log_zero * (1 - p)`` with `p` the probability of the given label: a mean absolute error,
    robust and slow, where cross-entropy is quick and not robust.

    .. versionadded:: 0.1

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of cross-entropy, at least 0.
    beta : float, default=1.0
        Weight of reverse cross-entropy, at least 0.
    log_zero : float, default=-4.0
        What stands for the logarithm of 0, negative: the constant A of the paper, -4 as in its
        analysis. Much code has ``log(1e-4)``, about -9.21, instead, which is `beta` times 2.3.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    ActivePassiveLoss : With normalized cross-entropy instead of the plain one.

    Notes
    -----
    The paper has `alpha` = 0.1 and `beta` = 1 for ten classes, and 6 and 0.1 for a hundred. In a
    soft label, logarithms below `log_zero` are replaced by it.

    References
    ----------
    Wang, Ma, Chen, Luo, Yi and Bailey (2019). Symmetric cross entropy for robust learning with
    noisy labels. ICCV.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import SymmetricCrossEntropy
    >>> logits = torch.tensor([[0.9, 0.1]]).log()
    >>> SymmetricCrossEntropy()(logits, torch.tensor([0]))
    tensor(0.4105)
    """

    @check_parameters({"alpha": _FACTOR, "beta": _FACTOR, "log_zero": _LOG_ZERO})
    def __init__(self, alpha=0.1, beta=1.0, *, log_zero=-4.0, reduction="mean"):
        super().__init__(reduction=reduction)
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def per_row(self, logits, target) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        reverse = reverse_cross_entropy(log_proba, target, self.log_zero)
        return self.beta * reverse - self.alpha * pick(log_proba, target)


class ActivePassiveLoss(RobustLoss):
    """Sum of an active loss, which asks for the given label, and one that asks against others.

    Both are robust by themselves and learn too little; together they learn enough.

    .. versionadded:: 0.1

    Parameters
    ----------
    active : {"nce", "ce"}, default="nce"
        Normalized cross-entropy, or the plain one, which is not robust.
    passive : {"rce", "mae"}, default="rce"
        Reverse cross-entropy or mean absolute error.
    alpha : float, default=1.0
        Weight of the active loss, at least 0.
    beta : float, default=1.0
        Weight of the passive loss, at least 0.
    log_zero : float, default=-4.0
        What stands for the logarithm of 0 in reverse cross-entropy, negative.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

    See Also
    --------
    NormalizedCrossEntropy : The active loss.
    MeanAbsoluteError : The passive loss; reverse cross-entropy is -0.5 `log_zero` times it.
    SymmetricCrossEntropy : The same as active "ce" with passive "rce".

    Notes
    -----
    The paper has `alpha` = `beta` = 1 for ten classes, and 10 and 0.1 for a hundred.

    References
    ----------
    Ma, Huang, Wang, Romano, Erfani and Bailey (2020). Normalized loss functions for deep learning
    with noisy labels. ICML.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import ActivePassiveLoss
    >>> logits = torch.zeros(1, 4)
    >>> ActivePassiveLoss(passive="mae")(logits, torch.tensor([0]))
    tensor(1.7500)
    """

    @check_parameters(
        {
            "active": [StrOptions({"nce", "ce"})],
            "passive": [StrOptions({"rce", "mae"})],
            "alpha": _FACTOR,
            "beta": _FACTOR,
            "log_zero": _LOG_ZERO,
        }
    )
    def __init__(
        self, active="nce", passive="rce", alpha=1.0, beta=1.0, *, log_zero=-4.0, reduction="mean"
    ):
        super().__init__(reduction=reduction)
        self.active = active
        self.passive = passive
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def per_row(self, logits, target) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        if self.active == "nce":
            active = normalized_cross_entropy(log_proba, target)
        else:
            active = -pick(log_proba, target)
        if self.passive == "rce":
            passive = reverse_cross_entropy(log_proba, target, self.log_zero)
        else:
            passive = absolute_error(log_proba, target)
        return self.alpha * active + self.beta * passive


def absolute_error(log_proba, target) -> torch.Tensor:
    """Sum the absolute differences of probabilities and labels in each row.

    Parameters
    ----------
    log_proba : Tensor of shape (n_samples, n_classes)
        Log-probabilities.
    target : Tensor of shape (n_samples,) or (n_samples, n_classes)
        Codes, or soft labels.

    Returns
    -------
    rows : Tensor of shape (n_samples,)
        Errors.
    """
    if target.is_floating_point():
        return (log_proba.exp() - target.to(log_proba.dtype)).abs().sum(dim=1)
    return -2 * torch.expm1(pick(log_proba, target))


def reverse_cross_entropy(log_proba, target, log_zero: float) -> torch.Tensor:
    """Compute minus the mean log-label under the probabilities in each row.

    Parameters
    ----------
    log_proba : Tensor of shape (n_samples, n_classes)
        Log-probabilities.
    target : Tensor of shape (n_samples,) or (n_samples, n_classes)
        Codes, or soft labels.
    log_zero : float
        The lowest logarithm of a label.

    Returns
    -------
    rows : Tensor of shape (n_samples,)
        Reverse cross-entropies.
    """
    if target.is_floating_point():
        log_target = target.to(log_proba.dtype).log().clamp(min=log_zero)
        return -(log_proba.exp() * log_target).sum(dim=1)
    return log_zero * torch.expm1(pick(log_proba, target))


def normalized_cross_entropy(log_proba, target) -> torch.Tensor:
    """Divide the cross-entropy of the target by the sum over all labels in each row.

    Parameters
    ----------
    log_proba : Tensor of shape (n_samples, n_classes)
        Log-probabilities.
    target : Tensor of shape (n_samples,) or (n_samples, n_classes)
        Codes, or soft labels.

    Returns
    -------
    rows : Tensor of shape (n_samples,)
        Shares.
    """
    return pick(log_proba, target) / log_proba.sum(dim=1)
