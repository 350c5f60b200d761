"""Meta-rescaled losses: row weights that a second network learns during the training."""

import dataclasses
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from torch.nn.functional import cross_entropy, dropout, embedding, linear, one_hot

from skrobust.neural._classifier_nets import Net
from skrobust.neural._docs import document_estimator
from skrobust.neural._estimator import Training
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.neural._parts import with_head
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule, TrainingPlan
from skrobust.neural._rows import Rows
from skrobust.neural._typing import (
    Batch,
    Callbacks,
    ClassWeight,
    Criterion,
    ModuleLike,
    RandomState,
    Step,
)
from skrobust.utils._sklearn import Interval

N_SIGNALS = 19
_EPS = 1e-6
# A class with fewer rows in a batch is normalised by the statistics of earlier ones.
_FEW_ROWS = 4
_MOMENTUM = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class RescalingPlan(TrainingPlan):
    """How a network is trained with rescaled losses."""

    rescale: bool
    meta_step: float
    n_passes: int
    signal_dropout: float


class Rescaler(torch.nn.Module):
    """A small network for each given class, from signals about a row to its weight.

    The last normalisation has no parameters, so that weights of all zero, by which any loss would
    be lowest, are out of reach: about half of each class has a weight above one half.
    """

    def __init__(self, n_classes: int):
        super().__init__()
        self.first = _PerClass(n_classes, N_SIGNALS, N_SIGNALS)
        self.second = _PerClass(n_classes, N_SIGNALS, 2)
        self.norms = torch.nn.ModuleList(
            [_NormPerClass(n_classes, N_SIGNALS), _NormPerClass(n_classes, 2)]
        )

    def forward(self, signals: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Compute weights in (0, 1) from signals, shape (n_rows, 19), and given classes."""
        hidden = self.norms[0](self.first(signals, codes), codes).relu()
        scores = self.norms[1](self.second(hidden, codes), codes)
        return scores.softmax(dim=1)[:, 1]


class _PerClass(torch.nn.Module):
    """A linear layer for each class."""

    def __init__(self, n_classes: int, n_in: int, n_out: int):
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        weight = torch.empty(n_classes, n_out, n_in).uniform_(-bound, bound)
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.nn.Parameter(torch.empty(n_classes, n_out).uniform_(-bound, bound))

    def forward(self, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Apply the layer of the class of each row."""
        weight = _of_class(self.weight.flatten(1), codes).view(-1, *self.weight.shape[1:])
        return torch.einsum("noi,ni->no", weight, rows) + _of_class(self.bias, codes)


class _NormPerClass(torch.nn.Module):
    """Batch normalisation within each class, without parameters."""

    def __init__(self, n_classes: int, n_features: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_classes, n_features))
        self.register_buffer("variance", torch.ones(n_classes, n_features))

    def forward(self, rows: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Normalise rows by their class."""
        mean, variance, counts = _moments(rows, codes, len(self.mean))
        enough = (counts >= _FEW_ROWS)[:, None]
        if self.training:
            with torch.no_grad():
                for kept, now in ((self.mean, mean), (self.variance, variance)):
                    kept.copy_(torch.where(enough, torch.lerp(kept, now, _MOMENTUM), kept))
        mean = torch.where(enough, mean, self.mean)
        variance = torch.where(enough, variance, self.variance)
        return (rows - _of_class(mean, codes)) / (_of_class(variance, codes) + 1e-5).sqrt()


def _of_class(table: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Take rows of a table; an index would add up gradients in any order of the threads."""
    return embedding(codes, table)


def _moments(
    rows: torch.Tensor, groups: torch.Tensor, n_groups: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean and variance of rows in groups, shape (n_groups, n_features), and counts."""
    members = one_hot(groups, n_groups).to(rows.dtype)
    counts = members.sum(dim=0)
    total = counts.clamp_min(1)[:, None]
    mean = members.T @ rows / total
    variance = members.T @ (rows - mean[groups]).square() / total
    return mean, variance, counts


def row_signals(
    losses: torch.Tensor,
    proba: torch.Tensor,
    agrees: torch.Tensor,
    codes: torch.Tensor,
    n_classes: int,
) -> torch.Tensor:
    """Describe rows by loss and highest probability over passes, compared with other rows.

    Others are the rows of the batch with the same given class, which the prediction of most passes
    agrees with, or not, as it does here. Signals are mean and standard deviation of both over
    passes (4), mean and standard deviation of these over the group (8), the divergence of the
    row's losses from those of the group and their overlap, each with mean and standard deviation
    over the group (6), and the agreement (1).
    """
    own = torch.stack(
        [values for rows in (losses, proba) for values in (rows.mean(dim=0), _std(rows))], dim=1
    )
    groups = 2 * codes + agrees.long()
    mean, variance, _ = _moments(own, groups, 2 * n_classes)
    mean, std = mean[groups], (variance[groups] + _EPS).sqrt()
    gap = own[:, 0] - mean[:, 0]
    own_std, group_std = (own[:, 1].square() + _EPS).sqrt(), std[:, 0]
    divergence = (
        (group_std / own_std).log() + (own_std.square() + gap.square()) / (2 * group_std**2) - 0.5
    )
    variances = own_std.square() + group_std.square()
    # The Bhattacharyya coefficient of two normal distributions.
    overlap = (2 * own_std * group_std / variances).sqrt() * (
        -0.25 * gap.square() / variances
    ).exp()
    compared = torch.stack([divergence, overlap], dim=1)
    compared_mean, compared_variance, _ = _moments(compared, groups, 2 * n_classes)
    return torch.cat(
        [
            own,
            mean,
            std,
            compared,
            compared_mean[groups],
            (compared_variance[groups] + _EPS).sqrt(),
            agrees.to(own.dtype)[:, None],
        ],
        dim=1,
    )


def _std(rows: torch.Tensor) -> torch.Tensor:
    """Standard deviation over passes."""
    return rows.std(dim=0, correction=0)


@dataclasses.dataclass
class RescalingState:
    """The network that learns weights, its optimiser, and what it needs during a training."""

    rescaler: Rescaler
    optimizer: torch.optim.Optimizer
    train: Rows | None = None
    # Weights of the rows of `fit` in their last step, NaN before.
    weights: torch.Tensor | None = None


class RescaledNet(Net):
    """Learns weights of rows together with the network.

    A step is tried on the last layer, where its effect is known in closed form: its gradient is a
    sum over rows, in which weights are factors. The weights are then moved such that the step
    would have decreased the loss of another batch, weighted likewise; and the step is taken.
    """

    plan_: RescalingPlan
    rescaling_: RescalingState | None = None

    def train_step(self, batch: Batch, **fit_params: Any) -> Step:
        """Weight a batch, learn the weights on another one, and take the step."""
        if not self.plan_.rescale:
            return super().train_step(batch, **fit_params)
        x, y = batch
        self.optimizer_.zero_grad(set_to_none=True)
        features = self.module_.features(x["X"])
        logits = self.module_.head(features)
        rows = self.row_losses(logits, y)
        weights = self.rescaling_.rescaler(self._signals(features, y), y)
        self._learn_weights(features, logits, weights, y, x.get("sample_weight"))
        weights = weights.detach()
        self.rescaling_.weights[x["index"]] = weights.to(torch.float32)
        scaled = weights / weights.mean()
        if "sample_weight" in x:
            scaled = scaled * x["sample_weight"]
        loss = (rows * scaled).mean()
        self.descend(loss, batch)
        return {"loss": loss.detach(), "y_pred": logits.detach()}

    @torch.no_grad()
    def weights_of(self, rows: Rows) -> torch.Tensor:
        """Compute weights of rows that were not trained on, in batches as in training."""
        rescaler, weights = self.rescaling_.rescaler, []
        self._set_training(False)
        rescaler.eval()
        for x, y in self.get_iterator(rows):
            features = self.module_.features(x["X"])
            weights.append(rescaler(self._signals(features, y), y))
        rescaler.train()
        return torch.cat(weights)

    @torch.no_grad()
    def _signals(self, features: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Compute signals of rows over several passes, all but the first with dropout."""
        plan, passes = self.plan_, [features.detach()]
        for _ in range(plan.n_passes - 1):
            passes.append(dropout(passes[0], plan.signal_dropout))
        logits = torch.stack([self.module_.head(one) for one in passes])
        logs = logits.log_softmax(dim=2)
        own = -logs.gather(2, y.expand(len(passes), -1)[..., None])[..., 0]
        best = logs.max(dim=2)
        agrees = (best.indices == y).float().mean(dim=0) > 0.5
        return row_signals(own, best.values.exp(), agrees, y, self.n_classes)

    def _learn_weights(
        self,
        features: torch.Tensor,
        logits: torch.Tensor,
        weights: torch.Tensor,
        y: torch.Tensor,
        sample_weight: torch.Tensor | None,
    ) -> None:
        """Move the rescaler such that the step on the last layer helps another batch."""
        state = self.rescaling_
        with torch.no_grad():
            other, other_y = state.train.take(state.train.draw(len(y)))
            other_inputs = self.module_.features(other["X"])
            signals = self._signals(other_inputs, other_y)
        scaled = weights if sample_weight is None else weights * sample_weight
        tried = try_step(self.module_.head, features, logits, y, scaled, self.plan_.meta_step)
        losses = cross_entropy(linear(other_inputs, *tried), other_y, reduction="none")
        others = state.rescaler(signals, other_y)
        state.optimizer.zero_grad(set_to_none=True)
        (losses * others).mean().backward()
        state.optimizer.step()


def try_step(
    head: torch.nn.Linear,
    features: torch.Tensor,
    logits: torch.Tensor,
    y: torch.Tensor,
    weights: torch.Tensor,
    step: float,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Compute weights and bias of the head after a step, differentiable in the row weights.

    The step is along the gradient of the weighted mean cross-entropy. The head is not changed.
    """
    with torch.no_grad():
        errors = logits.softmax(dim=1)
        errors[torch.arange(len(y), device=y.device), y] -= 1
    weighted = errors * weights[:, None] / len(y)
    weight = head.weight.detach() - step * weighted.T @ features.detach()
    if head.bias is None:
        return weight, None
    return weight, head.bias.detach() - step * weighted.sum(dim=0)


@document_estimator
class MetaRescaledClassifier(BaseNeuralClassifier):
    """Self-taught meta loss rescaling (STORM) classifier: row weights are learned on the way.

    A second, small network weights rows by how their loss compares with that of rows of the same
    given class, over several passes with dropout on the features. It is trained such that a step
    on weighted rows decreases the loss of other weighted rows. No clean rows are needed.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    rescale : bool, default=True
        Whether rows are weighted. False is plain training.
    rescale_learning_rate : float, default=1e-2
        Learning rate of the small network, positive.
    meta_step : float, default=1.0
        Size of the step on the last layer that is tried, positive.
    n_passes : int, default=3
        Number of passes over each row, at least 1.
    signal_dropout : float, default=0.1
        Share of the features that are dropped in all passes but the first, in [0, 1).
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    sample_weight_ : ndarray of shape (n_samples,)
        Weight of each row of ``fit`` in the last epoch, computed afterwards for rows held out; mean
        1 over the rows that have a label, and 0 elsewhere.
    filtered_ : ndarray of shape (n_samples,) of bool
        Rows whose weight, in (0, 1) before it was scaled, is less than one half.

    See Also
    --------
    ELRClassifier : Penalises deviations from early predictions instead.

    Notes
    -----
    The publication tries the step on all layers, of a language model; here it is tried on the
    last one, where its effect on weights is known without a second derivative. The mean weight
    within each class is about one half, as the last normalisation has no parameters; in a step
    weights are divided by their mean. `mixup`, `label_smoothing`, `consistency`,
    `mixed_precision` and `target_proba` are refused.

    References
    ----------
    Learning from Noisy Labels via Self-Taught On-the-Fly Meta Loss Rescaling (STORM). AAAI 2025.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import MetaRescaledClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> model = MetaRescaledClassifier(max_epochs=20, random_state=0).fit(X, y_noisy)
    >>> weight = model.sample_weight_
    >>> bool(weight[flipped].mean() < weight[~flipped].mean())
    True
    """

    rescale: bool
    rescale_learning_rate: float
    meta_step: float
    n_passes: int
    signal_dropout: float
    sample_weight_: np.ndarray
    filtered_: np.ndarray

    _net_class = RescaledNet
    _plan_class = RescalingPlan

    _learns_per_batch = True

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "rescale": ["boolean"],
        "rescale_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "meta_step": [Interval(Real, 0, None, closed="neither")],
        "n_passes": [Interval(Integral, 1, None, closed="left")],
        "signal_dropout": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        module: ModuleLike | None = None,
        *,
        rescale: bool = True,
        rescale_learning_rate: float = 1e-2,
        meta_step: float = 1.0,
        n_passes: int = 3,
        signal_dropout: float = 0.1,
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
        names = ("mixup", "label_smoothing", "consistency", "mixed_precision")
        return names if self.rescale else ()

    def _build_module(self, shape: int | tuple[int, ...], n_outputs: int) -> torch.nn.Module:
        module = super()._build_module(shape, n_outputs)
        return with_head(module) if self.rescale else module

    def _begin(self, training: Training) -> None:
        super()._begin(training)
        if not self.rescale:
            return
        net, train, data = self.net_, training.train, training.data
        if train.y.ndim == 2:
            raise ValueError(
                "target_proba is not used by MetaRescaledClassifier, which weights rows by their"
                " given labels: pass labels only, or set rescale=False."
            )
        if net.rescaling_ is None:
            rescaler = Rescaler(len(data.classes)).to(train.device, train.dtype)
            optimizer = torch.optim.Adam(rescaler.parameters(), lr=self.rescale_learning_rate)
            net.rescaling_ = RescalingState(rescaler, optimizer)
        net.rescaling_.train = train
        net.rescaling_.weights = torch.full((data.n_samples,), torch.nan, device=train.device)

    def _set_fitted_attributes(self, training: Training) -> None:
        super()._set_fitted_attributes(training)
        net, data, state = self.net_, training.data, self.net_.rescaling_
        if not self.rescale:
            # Nothing is known of the rows of this fit.
            for name in ("sample_weight_", "filtered_"):
                if hasattr(self, name):
                    delattr(self, name)
            return
        if state is None or state.weights is None:
            return  # the training failed before it began
        train, valid, weights = training.train, training.valid, state.weights
        if valid is not None and valid.X is train.X:  # held out of the same rows
            weights[valid.positions] = net.weights_of(valid).to(weights.dtype)
        weights = weights.cpu().numpy().astype(np.float64)
        seen = ~np.isnan(weights)
        weights[~data.used | ~seen] = 0.0
        self.filtered_ = data.used & seen & (weights < 0.5)
        prior = data.used if data.sample_weight is None else data.sample_weight
        total = (weights * prior).sum()
        scale = prior[data.used].sum() / total if total > 0 else 1.0
        self.sample_weight_ = weights * scale
        # Not needed to continue.
        state.train = state.weights = None
        if net.diverged_ is not None:
            net.rescaling_ = None
