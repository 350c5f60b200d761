"""Early-learning regularisation: a network kept close to its own early predictions."""

import dataclasses
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from torch.func import functional_call

from skrobust.base._labelled_data import apply_verified_labels
from skrobust.neural._classifier_nets import Net, Pair, PairNet
from skrobust.neural._docs import document_estimator
from skrobust.neural._estimator import Training
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule, TrainingPlan
from skrobust.neural._regularization import draw_mix, weighted_mean
from skrobust.neural._typing import (
    Batch,
    Callbacks,
    ClassWeight,
    Criterion,
    ModuleLike,
    RandomState,
)
from skrobust.utils._sklearn import Interval

_SMALLEST_PROBA = 1e-4
# Settings of an ensemble where these are left out.
_EMA_DECAY, _MIXUP = 0.997, 0.2


@dataclasses.dataclass(frozen=True, kw_only=True)
class ELRPlan(TrainingPlan):
    """How a network is trained with early-learning regularisation."""

    beta: float
    strength: float
    n_gradual: int


def update_targets(
    targets: torch.Tensor, rows: torch.Tensor, logits: torch.Tensor, beta: float
) -> torch.Tensor:
    """Move the targets of some rows towards the present predictions, in place, and return them."""
    with torch.no_grad():
        proba = logits.softmax(dim=1).clamp(_SMALLEST_PROBA, 1 - _SMALLEST_PROBA)
        proba = proba / proba.sum(dim=1, keepdim=True)
        moved = beta * targets[rows] + (1 - beta) * proba
        targets[rows] = moved.to(targets.dtype)
    return moved


def early_learning_term(targets: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Compute the regulariser of each row, ``log(1 - <t, p>)`` of targets and probabilities."""
    proba = logits.softmax(dim=1).clamp(_SMALLEST_PROBA, 1 - _SMALLEST_PROBA)
    return torch.log1p(-(targets * proba).sum(dim=1).clamp_max(1 - _SMALLEST_PROBA))


class ELRNet(Net):
    """Adds the regulariser to the loss."""

    plan_: ELRPlan
    targets_: torch.Tensor | None = None

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss of a batch."""
        x, _ = batch
        loss, logits = super().compute_loss(batch)
        plan = self.plan_
        moved = update_targets(self.targets_, x["index"], logits, plan.beta)
        strength = plan.strength * self.gradual(plan.n_gradual)
        return loss + strength * weighted_mean(early_learning_term(moved, logits), x), logits


class ELREnsembleNet(PairNet):
    """Two networks, each kept close to the averaged weights of the other; rows mixed in pairs."""

    plan_: ELRPlan
    targets_: torch.Tensor | None = None

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the sum of both losses."""
        x, y = batch
        inputs, rows, plan = x["X"], x["index"], self.plan_
        loss, logits = 0.0, []
        for i, net in enumerate(self.module_.nets):
            with torch.no_grad():
                scores_of_other = self._averaged_scores(1 - i, inputs)
            moved = update_targets(self.targets_[i], rows, scores_of_other, plan.beta)
            share, other = draw_mix(len(inputs), plan.mixup, inputs.device)
            scores = net(torch.lerp(inputs[other], inputs, share))
            mixed = torch.lerp(moved[other], moved, share)
            term = weighted_mean(early_learning_term(mixed, scores), x)
            loss = loss + self.mixed_loss(scores, y, x, share, other)
            loss = loss + plan.strength * self.gradual(plan.n_gradual) * term
            logits.append(scores_of_other)
        return loss, (logits[0] + logits[1]) / 2

    def _averaged_scores(self, i: int, inputs: torch.Tensor) -> torch.Tensor:
        """Scores of one network with its averaged weights."""
        state, prefix = self.average_.state_, f"nets.{i}."
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        return functional_call(self.module_.nets[i], own, (inputs,))


@document_estimator
class ELRClassifier(BaseNeuralClassifier):
    """Early-learning regularisation (ELR) classifier.

    Early in training a network learns the labels that most rows agree with, and only later
    memorises those that are wrong. A running average of the predictions of each row is kept, and
    the loss penalises deviations from it. The averages score the given labels as well.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    ensemble : bool, default=False
        Whether to train two networks, each of which is kept close to the predictions of a moving
        average of the other's weights, on rows mixed in pairs (`mixup`, 0.2 if it is 0). Known as
        ELR+.
        `ema_decay` is 0.997 if it is None; `label_smoothing` and `consistency` are refused.
    beta : float, default=0.7
        Share of the running averages that is kept from epoch to epoch, in [0, 1).
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
        there is none, or the row was held out. 1 or 0 where a reviewer verified it.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose running average is highest for another label.

    See Also
    --------
    CoTeachingClassifier : Two networks that select rows for each other.
    SOPClassifier : A network with noise parameters for each label.

    Notes
    -----
    The published method has its full strength from the first step on, as has ``n_gradual=0``.
    Where an epoch has few steps, the network is then kept close to its untrained predictions, and
    may predict one class for all rows in the end. ELR+ was published with
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

    label_quality_: np.ndarray
    label_errors_: np.ndarray
    ensemble: bool
    beta: float
    strength: float
    n_gradual: int

    _plan_class = ELRPlan
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
        module: ModuleLike | None = None,
        *,
        ensemble: bool = False,
        beta: float = 0.7,
        strength: float = 3.0,
        n_gradual: int = 10,
        module_params: dict[str, Any] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        activation: str = "relu",
        dropout: float = 0.0,
        criterion: Criterion = "cross_entropy",
        criterion_params: dict[str, Any] | None = None,
        class_weight: ClassWeight = None,
        max_epochs: int = 100,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 1e-3,
        learning_rate_schedule: Schedule = "constant",
        optimizer: Optimizer = "adam",
        optimizer_params: dict[str, Any] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        gradient_clip: float | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        consistency: float = 0.0,
        input_noise: float = 0.1,
        hidden_noise: float = 0.0,
        ema_decay: float | None = None,
        mixed_precision: Precision | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        validation_score: Literal["accuracy", "loss"] = "accuracy",
        n_iter_no_change: int | None = 10,
        record_dynamics: bool = False,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        dtype: DType = "float32",
        random_state: RandomState = None,
        verbose: int = 0,
        callbacks: Callbacks = None,
    ) -> None:
        self._set_arguments(locals())

    @property
    def _unused_params(self) -> tuple[str, ...]:
        return ("label_smoothing", "consistency") if self.ensemble else ()

    @property
    def _net_class(self) -> type[Net]:
        return ELREnsembleNet if self.ensemble else ELRNet

    def _plan_options(self) -> dict[str, Any]:
        if not self.ensemble:
            return {}
        decay = _EMA_DECAY if self.ema_decay is None else self.ema_decay
        return {"ema_decay": decay, "mixup": self.mixup or _MIXUP}

    def _build_module(self, shape: int | tuple[int, ...], n_outputs: int) -> torch.nn.Module:
        first = super()._build_module(shape, n_outputs)
        return Pair(first, super()._build_module(shape, n_outputs)) if self.ensemble else first

    def _add_noise(self, module: torch.nn.Module) -> None:
        for net in module.nets if self.ensemble else [module]:
            super()._add_noise(net)

    def _begin(self, training: Training) -> None:
        super()._begin(training)
        # Each training starts anew: its rows need not be those of the one before.
        shape = (training.data.n_samples, len(training.data.classes))
        shape = (2, *shape) if self.ensemble else shape
        self.net_.targets_ = torch.zeros(shape, device=training.train.device)

    def _set_fitted_attributes(self, training: Training) -> None:
        super()._set_fitted_attributes(training)
        targets, data = self.net_.targets_, training.data
        if targets is None:
            return  # the training failed before it began
        self.net_.targets_ = None
        mean = (targets.mean(dim=0) if self.ensemble else targets).cpu().numpy()
        mean = np.nan_to_num(mean.astype(np.float64))
        total = mean.sum(axis=1)
        # They started at 0, and do not sum to 1 yet.
        mean /= np.where(total > 0, total, 1)[:, None]
        known = data.given & (total > 0)
        own = mean[np.arange(data.n_samples), np.maximum(data.y, 0)]
        quality = np.where(known, own, np.nan)
        errors = known & (own < mean.max(axis=1))
        self.label_quality_, self.label_errors_ = apply_verified_labels(data, quality, errors)
