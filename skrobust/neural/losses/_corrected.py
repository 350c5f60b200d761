"""Cross-entropy corrected by a known or learned transition matrix."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import Reduction, RobustLoss, pick
from skrobust.noise._resolve import check_usable
from skrobust.noise._transitions import check_transition
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval


class _MatrixLoss(RobustLoss):
    """Base class of losses with a known transition matrix, in float64."""

    transition: torch.Tensor

    def __init__(self, transition: ArrayLike, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self.register_buffer("transition", torch.from_numpy(_check_matrix(transition)))

    def _apply(self, fn: Callable, recurse: bool = True) -> Self:
        """Convert buffers, also on devices without float64."""
        try:
            return super()._apply(fn, recurse)
        except TypeError:
            for name, buffer in self.named_buffers(recurse=False):
                if buffer.dtype == torch.float64:
                    setattr(self, name, buffer.float())
            return super()._apply(fn, recurse)


@fill_docstring
class ForwardCorrected(_MatrixLoss):
    """Forward correction: cross-entropy of given labels under the noise model.

    The probabilities of the network are multiplied by the transition matrix before they are
    compared with the given labels. The minimiser is that of the true classes.

    .. versionadded:: 0.1

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows); rows sum to 1.
    %(reduction)s

    Raises
    ------
    ValueError
        If `transition` is no such matrix, or does not identify the true classes: it is singular,
        or another label is more probable than the true one.

    See Also
    --------
    BackwardCorrected : Unbiased, with more variance.
    VolumeMinimizing : Learns the matrix.
    skrobust.noise.AnchorTransition : Estimates the matrix.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import ForwardCorrected
    >>> loss = ForwardCorrected([[0.8, 0.2], [0.3, 0.7]])
    >>> sure = torch.tensor([[50.0, 0.0]])
    >>> loss(sure, torch.tensor([1])).exp()
    tensor(5.)
    """

    def __init__(self, transition: ArrayLike, *, reduction: Reduction = "mean") -> None:
        super().__init__(transition, reduction=reduction)
        # No column is -inf throughout: such a matrix is singular.
        with np.errstate(divide="ignore"):
            log_matrix = np.log(self.transition.numpy())
        self.register_buffer("_log_transition", torch.from_numpy(log_matrix))

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        _check_n_classes(logits, self.transition)
        return forward_rows(self.log_proba(logits), target, self._log_transition.to(logits))


@fill_docstring
class BackwardCorrected(_MatrixLoss):
    """Backward correction: an unbiased estimate of the cross-entropy of true labels.

    The loss of a row is the sum of the cross-entropies of all labels, weighted by the row of the
    inverse transition matrix for the given label.

    .. versionadded:: 0.1

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows); rows sum to 1.
    %(reduction)s

    Raises
    ------
    ValueError
        If `transition` is no such matrix, or too noisy to be inverted: it is singular, or another
        label is more probable than the true one.

    See Also
    --------
    ForwardCorrected : Biased, with less variance; mostly more accurate.
    skrobust.noise.unbiased_labels : The weights.

    Notes
    -----
    Some of the weights are negative, so the loss has no lower bound on a finite sample: a network
    that can memorise its rows needs few epochs, or weight decay.

    References
    ----------
    Natarajan, Dhillon, Ravikumar and Tewari (2013). Learning with noisy labels. Advances in
    Neural Information Processing Systems 26.

    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise:
    a loss correction approach. CVPR.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import BackwardCorrected, CrossEntropy
    >>> noise = torch.tensor([0.8, 0.2])
    >>> loss = BackwardCorrected([[0.8, 0.2], [0.3, 0.7]], reduction="none")
    >>> logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> mean = (noise * loss(logits, torch.tensor([0, 1]))).sum()
    >>> bool(torch.isclose(mean, CrossEntropy()(logits, torch.tensor([0, 0]))))
    True
    """

    def __init__(self, transition: ArrayLike, *, reduction: Reduction = "mean") -> None:
        super().__init__(transition, reduction=reduction)
        inverse = np.linalg.inv(self.transition.numpy())
        self.register_buffer("_inverse", torch.from_numpy(inverse))

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        _check_n_classes(logits, self.transition)
        inverse = self._inverse.to(logits)
        if target.is_floating_point():
            weights = target.to(logits.dtype) @ inverse
        else:
            weights = inverse[target.long()]
        return -(weights * self.log_proba(logits)).sum(dim=1)


@fill_docstring
class VolumeMinimizing(RobustLoss):
    """Forward correction by a transition matrix that is learned together with the network.

    Of all matrices that explain the given labels equally well, the one with the least volume
    (determinant) is taken. Its parameters belong to the loss: an optimizer must be given them,
    without decay of weights.

    .. versionadded:: 0.1

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2.
    penalty : float, default=1e-4
        Weight of the logarithm of the determinant, at least 0.
    start : float, default=-2.0
        Log-odds of the entries off the diagonal at the start, before rows are normalised; the
        diagonal is 1. The lower, the less noise initially.
    %(reduction)s

    Attributes
    ----------
    transition_matrix : ndarray of shape (n_classes, n_classes)
        The current matrix. Rows are true classes and sum to 1.

    See Also
    --------
    ForwardCorrected : With a known matrix.
    skrobust.noise.DualTransition : Estimates the matrix beforehand.

    Notes
    -----
    The matrix is the identity plus sigmoids of free parameters off the diagonal, with rows
    normalised: in each row the diagonal is the largest. It is identified where the posteriors of
    the true classes are sufficiently scattered, a weaker condition than anchor points.

    The penalty is part of the loss of each row, so that it has the same weight in any mean.

    References
    ----------
    Li, Liu, Han, Niu and Sugiyama (2021). Provably end-to-end label-noise learning without anchor
    points. ICML.

    Examples
    --------
    >>> from skrobust.neural.losses import VolumeMinimizing
    >>> VolumeMinimizing(2, start=-2.0).transition_matrix.round(3)
    array([[0.893, 0.107],
           [0.107, 0.893]], dtype=float32)
    """

    log_odds: torch.nn.Parameter

    @check_parameters(
        {
            "n_classes": [Interval(Integral, 2, None, closed="left")],
            "penalty": [Interval(Real, 0, None, closed="left")],
            "start": [Interval(Real, None, None, closed="neither")],
        }
    )
    def __init__(
        self,
        n_classes: int,
        *,
        penalty: float = 1e-4,
        start: float = -2.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction=reduction)
        self.n_classes = n_classes
        self.penalty = penalty
        self.start = start
        self.log_odds = torch.nn.Parameter(torch.full((n_classes, n_classes), float(start)))

    @property
    def transition_matrix(self) -> np.ndarray:
        """The current matrix, of shape (n_classes, n_classes)."""
        with torch.no_grad():
            return self._transition().cpu().numpy()

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        transition = self._transition()
        _check_n_classes(logits, transition)
        rows = forward_rows(self.log_proba(logits), target, transition.log().to(logits.dtype))
        if not self.penalty:
            return rows
        return rows + self.penalty * torch.linalg.slogdet(transition).logabsdet.to(logits.dtype)

    def _transition(self) -> torch.Tensor:
        """Compute the matrix from its free parameters."""
        # Bounds beyond any trained value keep logarithm and determinant finite.
        odds = torch.sigmoid(self.log_odds).clamp(min=1e-30, max=1 - 1e-3)
        identity = torch.eye(self.n_classes, dtype=odds.dtype, device=odds.device)
        entries = identity + (1 - identity) * odds
        return entries / entries.sum(dim=1, keepdim=True)


def forward_rows(
    log_proba: torch.Tensor, target: torch.Tensor, log_transition: torch.Tensor
) -> torch.Tensor:
    """Compute cross-entropies of given labels from log-probabilities of true classes."""
    if target.is_floating_point():
        joint = log_proba.unsqueeze(2) + log_transition
        return -pick(torch.logsumexp(joint, dim=1), target)
    # Only the column of the given label is needed; not by an index, whose gradient is added up in
    # any order by several threads.
    columns = torch.nn.functional.embedding(target.long(), log_transition.T)
    return -torch.logsumexp(log_proba + columns, dim=1)


def _check_matrix(transition: ArrayLike) -> np.ndarray:
    """Validate a transition matrix that identifies the true classes."""
    if isinstance(transition, torch.Tensor):
        transition = transition.detach().cpu().numpy()
    matrix = np.array(check_transition(transition))
    if len(matrix) < 2:
        raise ValueError(f"transition must be of at least two classes, got {matrix.tolist()}.")
    check_usable(matrix, np.arange(len(matrix)), "invertible")
    return matrix


def _check_n_classes(logits: torch.Tensor, transition: torch.Tensor) -> None:
    """Refuse logits of another number of classes than the transition matrix."""
    if logits.shape[1] != len(transition):
        raise ValueError(
            f"logits have {logits.shape[1]} columns, but the transition of the loss is of"
            f" {len(transition)} classes."
        )
