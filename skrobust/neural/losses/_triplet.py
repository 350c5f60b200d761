"""A margin between the given class and all others, for networks that compare directions."""

from numbers import Real

import torch

from skrobust.neural._parameters import check_parameters
from skrobust.neural.losses._base import RobustLoss, pick
from skrobust.utils._sklearn import Interval


class TripletAlignment(RobustLoss):
    """Hinge loss of the given class against a smooth maximum of the similarities of the others.

    For networks whose outputs are cosine similarities of a row and each class, as
    :class:`~skrobust.neural.layers.FixedSimplex` with ``scale=1`` has them. The smooth maximum
    does not hang on the one hardest class, which may be the true one where the label is wrong.

    .. versionadded:: 0.1

    Parameters
    ----------
    margin : float, default=0.1
        By how much the given class is to be ahead, at least 0.
    temperature : float, default=0.015
        How smooth the maximum is, positive. The smaller, the closer to the hardest class alone.
    reduction : {"mean", "sum", "none"}, default="mean"
        What comes back; see :class:`RobustLoss`.

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
    def __init__(self, margin=0.1, *, temperature=0.015, reduction="mean"):
        super().__init__(reduction=reduction)
        self.margin = margin
        self.temperature = temperature

    def per_row(self, logits, target) -> torch.Tensor:
        n_classes = logits.shape[1]
        if target.is_floating_point():
            own = torch.eye(n_classes, dtype=torch.bool, device=logits.device)
            rivals = self._smooth_maximum(logits.unsqueeze(1).masked_fill(own, -torch.inf))
            return pick(torch.relu(self.margin - logits + rivals), target)
        own = torch.arange(n_classes, device=logits.device) == target.unsqueeze(1)
        rivals = self._smooth_maximum(logits.masked_fill(own, -torch.inf))
        return torch.relu(self.margin - pick(logits, target) + rivals)

    def _smooth_maximum(self, scores) -> torch.Tensor:
        return self.temperature * torch.logsumexp(scores / self.temperature, dim=-1)
