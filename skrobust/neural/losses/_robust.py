"""Robust losses: bounded, symmetric in the classes, or with a symmetric part."""

from numbers import Integral, Real
from typing import Literal

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import Reduction, RobustLoss, pick
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions

_FACTOR = [Interval(Real, 0, None, closed="left")]
_LOG_ZERO = [Interval(Real, None, 0, closed="neither")]


@fill_docstring
class GeneralizedCrossEntropy(RobustLoss):
    """Generalized cross-entropy, ``(1 - p ** q) / q``.

    With `p` the probability of the given label: cross-entropy in the limit of `q` = 0, and half
    the mean absolute error for `q` = 1. The gradient of a row is ``p ** q`` times that of
    cross-entropy, so that labels that the network finds improbable have less influence.

    .. versionadded:: 0.1

    Parameters
    ----------
    q : float, default=0.7
        Robustness, in (0, 1]: the larger, the less influence improbable labels have, and the
        slower the training is.
    truncation : float, default=None
        Probability in (0, 1) up to which the loss of a label is constant, so that the row has no
        gradient. None truncates no loss.
    warmup : int, default=0
        Number of epochs before the truncation starts, counted by ``on_epoch``. An untrained
        network finds every label improbable: with more than two classes and a usual truncation
        of 0.5, it would never learn anything without a warm-up.
    %(reduction)s

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
    def __init__(
        self,
        q: float = 0.7,
        *,
        truncation: float | None = None,
        warmup: int = 0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.q = q
        self.truncation = truncation
        self.warmup = warmup
        self._truncates = truncation is not None and not warmup

    def on_epoch(self, epoch: int) -> None:
        self._truncates = self.truncation is not None and epoch >= self.warmup

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        if not target.is_floating_point():
            log_proba = pick(log_proba, target)
        # 1 - p ** q without cancellation for p near 1.
        values = -torch.expm1(self.q * log_proba) / self.q
        if self._truncates:
            values = values.clamp(max=(1 - self.truncation**self.q) / self.q)
        return pick(values, target) if target.is_floating_point() else values


@fill_docstring
class MeanAbsoluteError(RobustLoss):
    """Mean absolute error between probabilities and labels, ``2 * (1 - p)``.

    With `p` the probability of the given label. The losses of a row with each of the labels
    have a constant sum, so that symmetric label noise does not move the minimum. The price of this
    robustness is slow training: rows of low probability have small gradients.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(reduction)s

    See Also
    --------
    ActivePassiveLoss : Adds a second loss that trains faster.
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

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return absolute_error(self.log_proba(logits), target)


@fill_docstring
class NormalizedCrossEntropy(RobustLoss):
    """Cross-entropy of the given label, as a share of its sum over all labels.

    Like the mean absolute error it is robust to symmetric label noise; unlike it, it only increases
    the probability of the given label, without regard to the other ones.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(reduction)s

    See Also
    --------
    ActivePassiveLoss : This with a second loss, without which it underfits.

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

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return normalized_cross_entropy(self.log_proba(logits), target)


@fill_docstring
class SymmetricCrossEntropy(RobustLoss):
    """Cross-entropy plus reverse cross-entropy, in which labels and probabilities change places.

    Reverse cross-entropy is that of the network's probabilities under the labels,
    ``-log_zero * (1 - p)`` with `p` the probability of the given label: a mean absolute error,
    which is robust and slow, while cross-entropy is fast and not robust.

    .. versionadded:: 0.1

    Parameters
    ----------
    alpha : float, default=0.1
        Weight of cross-entropy, at least 0.
    beta : float, default=1.0
        Weight of reverse cross-entropy, at least 0.
    log_zero : float, default=-4.0
        Value in the place of the logarithm of 0, negative: the constant A of the paper, -4 as in
        its analysis. Other implementations use ``log(1e-4)``, about -9.21, which equals `beta`
        times 2.3.
    %(reduction)s

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
    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        *,
        log_zero: float = -4.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        log_proba = self.log_proba(logits)
        reverse = reverse_cross_entropy(log_proba, target, self.log_zero)
        return self.beta * reverse - self.alpha * pick(log_proba, target)


@fill_docstring
class ActivePassiveLoss(RobustLoss):
    """Sum of an active loss, of the given label, and a passive loss, of the other labels.

    Each alone is robust and underfits; the sum does not underfit.

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
        Value in the place of the logarithm of 0 in reverse cross-entropy, negative.
    %(reduction)s

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
        self,
        active: Literal["nce", "ce"] = "nce",
        passive: Literal["rce", "mae"] = "rce",
        alpha: float = 1.0,
        beta: float = 1.0,
        *,
        log_zero: float = -4.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.active = active
        self.passive = passive
        self.alpha = alpha
        self.beta = beta
        self.log_zero = log_zero

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
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


@fill_docstring
class TripletAlignment(RobustLoss):
    """Hinge loss of the given class against a smooth maximum of the similarities of the others.

    For networks whose outputs are cosine similarities of a row and each class, as
    :class:`~skrobust.neural.layers.FixedSimplex` with ``scale=1`` has them. The smooth maximum
    does not depend on the one hardest class alone, which may be the true one where the label is
    wrong.

    .. versionadded:: 0.1

    Parameters
    ----------
    margin : float, default=0.1
        Margin by which the similarity of the given class should exceed the others, at least 0.
    temperature : float, default=0.015
        Smoothness of the maximum, positive. The smaller, the closer to the hardest class alone.
    %(reduction)s

    See Also
    --------
    skrobust.neural.layers.FixedSimplex : An output layer of cosine similarities.

    Notes
    -----
    With similarities ``s``, it is the positive part of ``margin - s[given] + temperature *
    log(sum(exp(s[others] / temperature)))``, which is never below the loss with the hardest class.

    With soft labels, the mean over the labels that a row may have.

    References
    ----------
    Qin, Chen, Peng, Peng, Zhou and Hu (2024). Noisy-correspondence learning for text-to-image
    person re-identification. CVPR.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import TripletAlignment
    >>> cosines = torch.tensor([[0.9, 0.1, -0.2], [0.3, 0.4, -0.9]])
    >>> TripletAlignment(reduction="none")(cosines, torch.tensor([0, 0]))
    tensor([0.0000, 0.2000])
    """

    @check_parameters(
        {
            "margin": [Interval(Real, 0, None, closed="left")],
            "temperature": [Interval(Real, 0, None, closed="neither")],
        }
    )
    def __init__(
        self, margin: float = 0.1, *, temperature: float = 0.015, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction=reduction)
        self.margin = margin
        self.temperature = temperature

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        n_classes = logits.shape[1]
        if target.is_floating_point():
            own = torch.eye(n_classes, dtype=torch.bool, device=logits.device)
            rivals = self._smooth_maximum(logits.unsqueeze(1).masked_fill(own, -torch.inf))
            return pick(torch.relu(self.margin - logits + rivals), target)
        own = torch.arange(n_classes, device=logits.device) == target.unsqueeze(1)
        rivals = self._smooth_maximum(logits.masked_fill(own, -torch.inf))
        return torch.relu(self.margin - pick(logits, target) + rivals)

    def _smooth_maximum(self, scores: torch.Tensor) -> torch.Tensor:
        """Compute the smooth maximum over the last axis."""
        return self.temperature * torch.logsumexp(scores / self.temperature, dim=-1)


def absolute_error(log_proba: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Sum the absolute differences of probabilities and labels in each row."""
    if target.is_floating_point():
        return (log_proba.exp() - target.to(log_proba.dtype)).abs().sum(dim=1)
    return -2 * torch.expm1(pick(log_proba, target))


def reverse_cross_entropy(
    log_proba: torch.Tensor, target: torch.Tensor, log_zero: float
) -> torch.Tensor:
    """Compute minus the mean log-label, at least `log_zero`, under the probabilities."""
    if target.is_floating_point():
        log_target = target.to(log_proba.dtype).log().clamp(min=log_zero)
        return -(log_proba.exp() * log_target).sum(dim=1)
    return log_zero * torch.expm1(pick(log_proba, target))


def normalized_cross_entropy(log_proba: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Divide the cross-entropy of the target by the sum over all labels in each row."""
    return pick(log_proba, target) / log_proba.sum(dim=1)
