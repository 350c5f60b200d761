"""A network that is held to what it said before it learned wrong labels by heart."""

from numbers import Integral, Real

import numpy as np
import torch
from torch.func import functional_call

from skrobust.base._labelled_data import apply_verified_labels
from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._callbacks import WeightAverage
from skrobust.neural._net import Net, draw_mix, weighed_mean
from skrobust.neural._pair import Pair, PairNet
from skrobust.neural._shared_parameters import shares_parameters
from skrobust.utils._sklearn import Interval

_FLOOR = 1e-4
# What an ensemble cannot do without, if nothing is asked for.
_EMA_DECAY, _MIXUP = 0.997, 0.2


def update_targets(targets, rows, logits, beta: float) -> torch.Tensor:
    """Move the targets of some rows towards what the network says now.

    Parameters
    ----------
    targets : Tensor of shape (n_samples, n_classes)
        Changed in place.
    rows : Tensor of shape (n_rows,), dtype int64
        Positions.
    logits : Tensor of shape (n_rows, n_classes)
        What the network says.
    beta : float
        How much of the targets is kept.

    Returns
    -------
    targets : Tensor of shape (n_rows, n_classes)
        The new ones, of these rows.
    """
    with torch.no_grad():
        said = logits.softmax(dim=1).clamp(_FLOOR, 1 - _FLOOR)
        said = said / said.sum(dim=1, keepdim=True)
        moved = beta * targets[rows] + (1 - beta) * said
        targets[rows] = moved.to(targets.dtype)
    return moved


def early_learning_term(targets, logits) -> torch.Tensor:
    """Compute the regulariser of each row: the lower, the more the network agrees with itself.

    Parameters
    ----------
    targets : Tensor of shape (n_rows, n_classes)
        What it used to say.
    logits : Tensor of shape (n_rows, n_classes)
        What it says.

    Returns
    -------
    term : Tensor of shape (n_rows,)
        ``log(1 - <t, p>)``.
    """
    proba = logits.softmax(dim=1).clamp(_FLOOR, 1 - _FLOOR)
    return torch.log1p(-(targets * proba).sum(dim=1).clamp_max(1 - _FLOOR))


class ELRNet(Net):
    """Adds the regulariser to the loss."""

    def compute_loss(self, batch):
        """The loss of a batch."""
        x, _ = batch
        loss, logits = super().compute_loss(batch)
        return loss + self._term(x, logits), logits

    def _term(self, x, logits):
        moved = update_targets(self.option("targets"), x["index"], logits, self.option("beta"))
        strength = self.option("strength") * self.gradual()
        return strength * weighed_mean(early_learning_term(moved, logits), x)


class ELREnsembleNet(PairNet):
    """Two networks, each held to what the average of the other one said; rows mixed in pairs."""

    def compute_loss(self, batch):
        """The sum of both losses."""
        x, y = batch
        inputs, rows = x["X"], x["index"]
        alpha = self.option("mixup") or _MIXUP
        loss, logits = 0.0, []
        for i, net in enumerate(self.module_.nets):
            with torch.no_grad():
                said = self._average_of(1 - i, inputs)
            moved = update_targets(self.option("targets")[i], rows, said, self.option("beta"))
            share, other = draw_mix(len(inputs), alpha, inputs.device)
            scores = net(torch.lerp(inputs[other], inputs, share))
            mixed = torch.lerp(moved[other], moved, share)
            term = weighed_mean(early_learning_term(mixed, scores), x)
            loss = loss + self.mixed_loss(scores, y, x, share, other)
            loss = loss + self.option("strength") * self.gradual() * term
            logits.append(said)
        return loss, (logits[0] + logits[1]) / 2

    def _average_of(self, i: int, inputs):
        state, prefix = self.option("average").state_, f"nets.{i}."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        return functional_call(self.module_.nets[i], own, (inputs,))


@shares_parameters
class ELRClassifier(BaseNeuralClassifier):
    """A network that does not give up what it learned early for wrong labels.

    Early in training a network follows the labels that most rows agree with, and only later those
    that are wrong. For each row a running average of what the network said is kept, and moving
    away from it costs. The averages tell which labels are wrong as well.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    ensemble : bool, default=False
        Whether to train two networks, each of which is held to what a moving average of the
        other's weights said, on rows mixed in pairs (`mixup`, 0.2 if it is 0). Known as ELR+.
        `ema_decay` is 0.997 if it is None; `label_smoothing` and `consistency` are refused.
    beta : float, default=0.7
        How much of the running averages is kept from epoch to epoch, in [0, 1).
    strength : float, default=3.0
        Weight of the regulariser, not negative. It needs tuning, more than `beta`; 7 was used
        with 100 classes, and 1 where labels are mistaken for a certain other one.
    n_gradual : int, default=10
        Epochs during which the strength rises from 0, counted over all calls of ``partial_fit``
        and with `warm_start`.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    label_quality_ : ndarray of shape (n_samples,)
        Running average of the probability of the given label of each row of ``fit``; NaN where
        there is none, or the row was held out. 1 or 0 where a person verified the label.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose running average is highest for another label.

    See Also
    --------
    CoTeachingClassifier : Two networks that choose rows for each other.
    SOPClassifier : A network whose labels have parts of their own that explain what is wrong.

    Notes
    -----
    The published method has its full strength from the first step on, as has ``n_gradual=0``.
    Where an epoch has few steps, the network then holds on to what it said before it had learned
    anything, and may end up predicting one class for all rows. ELR+ was published with
    ``mixup=1.0``, for images. `benchmarks/neural_defaults.py` compares both.

    References
    ----------
    Liu, Niles-Weed, Razavian and Fernandez-Granda (2020). Early-learning regularization prevents
    memorization of noisy labels. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import ELRClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> model = ELRClassifier(max_epochs=20, random_state=0).fit(X, y_noisy)
    >>> bool(model.score(X, y) > 0.85)
    True
    >>> bool(np.mean(model.label_errors_ == flipped) > 0.8)
    True
    """

    _learns_per_batch = True

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "ensemble": ["boolean"],
        "beta": [Interval(Real, 0, 1, closed="left")],
        "strength": [Interval(Real, 0, None, closed="left")],
        "n_gradual": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        ensemble=False,
        beta=0.7,
        strength=3.0,
        n_gradual=10,
    ):
        self.ensemble = ensemble
        self.beta = beta
        self.strength = strength
        self.n_gradual = n_gradual

    @property
    def _unused_params(self):
        return ("label_smoothing", "consistency") if self.ensemble else ()

    @property
    def _net_class(self):
        return ELREnsembleNet if self.ensemble else ELRNet

    def _build_module(self, shape, n_classes):
        first = super()._build_module(shape, n_classes)
        return Pair(first, super()._build_module(shape, n_classes)) if self.ensemble else first

    def _add_noise(self, module):
        for net in module.nets if self.ensemble else [module]:
            super()._add_noise(net)

    def _net_options(self):
        own = {"beta": self.beta, "strength": self.strength, "n_gradual": self.n_gradual}
        options = {**super()._net_options(), **own}
        if self.ensemble and self.ema_decay is None:
            options["average"] = WeightAverage(_EMA_DECAY)
        return options

    def _prepare(self, parts, n_epochs, data):
        super()._prepare(parts, n_epochs, data)
        # Each training starts anew: nobody knows whether its rows are those of the one before.
        shape = (data.n_samples, len(data.classes))
        shape = (2, *shape) if self.ensemble else shape
        self.net_.configure(targets=torch.zeros(shape, device=parts[0].device))
        self._data = data

    def _conclude(self):
        super()._conclude()
        targets = self.net_.option("targets")
        if targets is None:
            return  # the training failed before it began
        mean = (targets.mean(dim=0) if self.ensemble else targets).cpu().numpy()
        self.net_.configure(targets=None)  # not needed again
        data = self._data
        mean = np.nan_to_num(mean.astype(np.float64))
        total = mean.sum(axis=1)
        # They started at 0, and have not come to sum to 1 yet.
        mean /= np.where(total > 0, total, 1)[:, None]
        known = data.given & (total > 0)
        own = mean[np.arange(data.n_samples), np.maximum(data.y, 0)]
        quality = np.where(known, own, np.nan)
        errors = known & (own < mean.max(axis=1))
        self.label_quality_, self.label_errors_ = apply_verified_labels(data, quality, errors)
