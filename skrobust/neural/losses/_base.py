"""The base class of losses, with targets, weights and reduction; and cross-entropy."""

import inspect
import math
from typing import Literal, get_args

import torch
from torch.nn.functional import cross_entropy

from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import StrOptions, validate_parameters

Reduction = Literal["mean", "sum", "none"]
_ENTRIES = {
    "batch": """
logits : Tensor of shape (n_samples, n_classes)
    Scores of the classes.
target : Tensor of shape (n_samples,) or (n_samples, n_classes)
    Codes, or soft labels.""",
    "batch_weight": """
sample_weight : Tensor of shape (n_samples,), default=None
    Weights, of the dtype of the scores.""",
}
_REDUCTIONS = {"reduction": [StrOptions(set(get_args(Reduction)))]}


@fill_docstring(**_ENTRIES)
class RobustLoss(torch.nn.Module):
    """Base class of losses of a batch of logits, with sample weights and soft labels.

    A subclass overrides :meth:`per_row`. Where the loss of a row depends on other rows, as in
    sample selection, it also sets `batch_only`, and overrides :meth:`per_batch` if it needs the
    weights.

    .. versionadded:: 0.1

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}, default="mean"
        Reduction over the rows: their weighted mean (the sum of weight times loss, divided by the
        sum of weights), their weighted sum, or the weight times the loss of each row.

    Attributes
    ----------
    batch_only : bool
        Whether the loss of a row depends on the other rows of the batch. An attribute of the class,
        False by default.

    See Also
    --------
    CrossEntropy : The default loss of classifiers.

    Notes
    -----
    An integer weight equals that number of repeated rows, with "mean" and "sum". A batch whose
    weights sum to 0 has the mean 0.

    Values and gradients are finite where differences of logits are. Random numbers are drawn from
    torch's default generator of the device of the logits.

    Examples
    --------
    >>> import torch
    >>> from skrobust.neural.losses import RobustLoss
    >>> class Brier(RobustLoss):
    ...     def per_row(self, logits, target):
    ...         wanted = self.soft_targets(target, logits.shape[1], logits.dtype)
    ...         return (logits.softmax(dim=1) - wanted).square().sum(dim=1)
    >>> logits = torch.tensor([[0.0, 0.0], [50.0, 0.0]])
    >>> Brier()(logits, torch.tensor([0, 1]))
    tensor(1.2500)
    >>> Brier(reduction="none")(logits, torch.tensor([0, 1]), torch.tensor([2.0, 1.0]))
    tensor([1., 2.])
    """

    batch_only = False

    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        name = type(self).__name__
        validate_parameters(_REDUCTIONS, {"reduction": reduction}, caller_name=name)
        self.reduction = reduction

    def forward(
        self, logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        logits : Tensor of shape (n_samples, n_classes)
            Scores of the classes, before the softmax; floating point.
        target : Tensor of shape (n_samples,) or (n_samples, n_classes)
            Codes of the given labels, integers from 0 to ``n_classes - 1``; or soft labels,
            floating point, the probability of each class.
        sample_weight : Tensor of shape (n_samples,), default=None
            Weights of rows, not negative. None is 1 for each.

        Returns
        -------
        loss : Tensor of shape () or (n_samples,)
            One number, or with ``reduction="none"`` one for each row.

        Raises
        ------
        TypeError
            If one of them is no tensor, or of the wrong dtype.
        ValueError
            If shapes do not match, or a code is out of range. Codes on an accelerator are not
            checked, as the check would wait for it.
        """
        self._check(logits, target, sample_weight)
        if sample_weight is not None:
            sample_weight = sample_weight.to(logits.dtype)
        rows = self.unchecked_rows(logits, target, sample_weight)
        if self.reduction == "none":
            return rows
        if self.reduction == "sum":
            return rows.sum()
        if sample_weight is None:
            return rows.sum() / max(len(rows), 1)
        total = sample_weight.sum()
        return rows.sum() / torch.where(total == 0, torch.ones_like(total), total)

    def unchecked_rows(
        self, logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute weighted losses row by row without validating the batch.

        Parameters
        ----------
        %(batch)s
        %(batch_weight)s

        Returns
        -------
        rows : Tensor of shape (n_samples,)
            Losses times weights.
        """
        rows = self.per_batch(logits, target, sample_weight)
        return rows if sample_weight is None else rows * sample_weight

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of each row, without weights.

        Parameters
        ----------
        %(batch)s

        Returns
        -------
        rows : Tensor of shape (n_samples,)
            Losses.
        """
        raise TypeError(f"{type(self).__name__} has no per_row(logits, target): it must have one.")

    def per_batch(
        self, logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the loss of each row where it depends on the other rows and their weights.

        Parameters
        ----------
        %(batch)s
        %(batch_weight)s

        Returns
        -------
        rows : Tensor of shape (n_samples,)
            Losses, which the weights have yet to multiply. By default those of ``per_row``.
        """
        return self.per_row(logits, target)

    def on_epoch(self, epoch: int) -> None:
        """Start an epoch; losses with a schedule update it here.

        Parameters
        ----------
        epoch : int
            Number of epochs trained before.
        """

    @staticmethod
    def log_proba(logits: torch.Tensor) -> torch.Tensor:
        """Compute log-probabilities of the classes.

        Parameters
        ----------
        logits : Tensor of shape (n_samples, n_classes)
            Scores of the classes.

        Returns
        -------
        log_proba : Tensor of shape (n_samples, n_classes)
            Their log-softmax, finite wherever the logits are.
        """
        return torch.log_softmax(logits, dim=1)

    @staticmethod
    def soft_targets(target: torch.Tensor, n_classes: int, dtype: torch.dtype) -> torch.Tensor:
        """Turn targets of either kind into soft labels.

        Parameters
        ----------
        target : Tensor of shape (n_samples,) or (n_samples, n_classes)
            Codes, or soft labels.
        n_classes : int
            Number of classes.
        dtype : torch.dtype
            Of the soft labels.

        Returns
        -------
        soft : Tensor of shape (n_samples, n_classes)
            One-hot rows for codes, and soft labels as they are.
        """
        if target.is_floating_point():
            return target.to(dtype)
        return torch.nn.functional.one_hot(target.long(), n_classes).to(dtype)

    @staticmethod
    def _check(
        logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None
    ) -> None:
        """Refuse tensors that are not those of a batch."""
        _check_batch(logits, target, sample_weight)

    def extra_repr(self) -> str:
        """Text between the parentheses of the representation; of tensors the shape."""
        shown = []
        for name in inspect.signature(type(self)).parameters:
            value = getattr(self, name)
            if isinstance(value, torch.Tensor):
                shown.append(f"{name}=<{' x '.join(map(str, value.shape))}>")
            else:
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)


@fill_docstring
class CrossEntropy(RobustLoss):
    """Cross-entropy: minus the log-probability of the given label.

    The most efficient loss for right labels, and the least robust one: the gradient of a row with
    a wrong label grows with the confidence of the network in another class.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(reduction)s

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

    def per_row(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if target.is_floating_point():
            return -pick(self.log_proba(logits), target)
        return cross_entropy(logits, target.long(), reduction="none")


def pick(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Choose the value of the given class in each row, or the mean under a soft label."""
    if target.is_floating_point():
        return (values * target.to(values.dtype)).sum(dim=1)
    return values.gather(1, target.long().unsqueeze(1)).squeeze(1)


def floored_log_proba(logits: torch.Tensor, floor: float) -> torch.Tensor:
    """Compute ``log(p + floor)`` of each class, which a loss may reward without limit."""
    log_proba = torch.log_softmax(logits, dim=1)
    if not floor:
        return log_proba
    return torch.logaddexp(log_proba, torch.full_like(log_proba, math.log(floor)))


def _check_batch(
    logits: torch.Tensor, target: torch.Tensor, sample_weight: torch.Tensor | None
) -> None:
    """Refuse tensors that are not those of a batch."""
    for name, value in {"logits": logits, "target": target, "sample_weight": sample_weight}.items():
        if not isinstance(value, torch.Tensor) and (name != "sample_weight" or value is not None):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}.")
    if not logits.is_floating_point():
        raise TypeError(f"logits must be floating point, got {logits.dtype}.")
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            "logits must have shape (n_samples, n_classes) with at least two classes, got"
            f" {tuple(logits.shape)}."
        )
    if target.is_floating_point():
        if target.shape != logits.shape:
            raise ValueError(
                f"target is floating point, that is soft labels: it must have the shape of logits,"
                f" {tuple(logits.shape)}, got {tuple(target.shape)}. Codes are integers."
            )
    elif target.dtype == torch.bool or target.is_complex():
        raise TypeError(
            f"target must be integer codes or floating-point soft labels, got {target.dtype}."
        )
    elif target.shape != logits.shape[:1]:
        raise ValueError(
            f"target is integer, that is codes: it must have shape ({len(logits)},), one for each"
            f" row of logits, got {tuple(target.shape)}. Soft labels are floating point."
        )
    elif target.device.type == "cpu" and len(target):
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"target has the code {low if low < 0 else high}, but with {logits.shape[1]}"
                f" columns of logits codes are 0 to {logits.shape[1] - 1}."
            )
    if sample_weight is not None and sample_weight.shape != logits.shape[:1]:
        raise ValueError(
            f"sample_weight must have shape ({len(logits)},), one for each row of logits, got"
            f" {tuple(sample_weight.shape)}."
        )
