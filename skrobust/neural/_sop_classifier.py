"""Sparse over-parameterisation: a network with noise parameters of its own for each label."""

import dataclasses
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch

from skrobust.base._labelled_data import apply_verified_labels
from skrobust.neural._classifier_nets import Net
from skrobust.neural._docs import document_estimator
from skrobust.neural._estimator import Training
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule, TrainingPlan
from skrobust.neural._regularization import smooth_labels, weighted_mean
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
# The learning rates of the paper are for batches of this size; ours do not depend on it.
_BATCH_OF_THE_PAPER = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class SOPPlan(TrainingPlan):
    """How a network is trained with sparse over-parameterisation."""

    learning_rate_u: float
    learning_rate_v: float
    balance: float


class LabelNoise:
    """Learned noise of each label, ``u**2 * y - v**2 * (1 - y)``, added to the prediction.

    Gradient descent from almost zero leaves most of the noise there.
    """

    def __init__(self, n_samples: int, n_classes: int, like: torch.Tensor, start: float):
        # The paper draws them. Signs do not matter, and rows that are equal should start equal.
        self.u = torch.full((n_samples, 1), start, device=like.device, dtype=like.dtype)
        self.v = torch.full((n_samples, n_classes), start, device=like.device, dtype=like.dtype)

    def of(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the noise of the given class of each row, and of its other classes."""
        return _given(self.u, target), _others(self.v, target)

    @torch.enable_grad()
    def learn(
        self,
        rows: torch.Tensor,
        logits: torch.Tensor,
        target: torch.Tensor,
        rates: tuple[float, float],
    ) -> torch.Tensor:
        """Take a step for some rows, each by its own loss; return the losses of the network."""
        u = self.u[rows].requires_grad_()
        v = self.v[rows].requires_grad_()
        entropy, distance = noisy_losses(logits, target, _given(u, target), _others(v, target))
        slopes = torch.autograd.grad((entropy + distance).sum(), (u, v), retain_graph=True)
        for whole, part, slope, rate in zip((self.u, self.v), (u, v), slopes, rates, strict=True):
            whole[rows] = part.detach() - rate / _BATCH_OF_THE_PAPER * slope
        return entropy


def _given(u: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Noise of the given class."""
    return (u.square() * target).clamp(0, 1)


def _others(v: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Noise of the other classes."""
    return (v.square() * (1 - target)).clamp(0, 1)


def noisy_losses(
    logits: torch.Tensor, target: torch.Tensor, given: torch.Tensor, others: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute cross-entropies, and squared distances, of given labels and noisy predictions.

    The cross-entropy, with the network's probabilities, trains the network and `given`; the
    distance, from the network's decision, trains the noise only.
    """
    proba = logits.softmax(dim=1) + given - others.detach()
    proba = proba.clamp_min(_SMALLEST_PROBA)
    proba = (proba / proba.sum(dim=1, keepdim=True)).clamp_min(_SMALLEST_PROBA)
    entropy = -(target * proba.log()).sum(dim=1)
    decided = smooth_labels(logits.argmax(dim=1), logits.shape[1], 0.0, logits.dtype)
    distance = (decided + given - others - target).square().sum(dim=1)
    return entropy, distance


class SOPNet(Net):
    """Learns the noise of each label beside the network."""

    plan_: SOPPlan
    noise_: LabelNoise | None = None

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss of a batch."""
        x, y = batch
        plan, logits = self.plan_, self.infer(x)
        target = smooth_labels(y, logits.shape[1], 0.0, logits.dtype)
        rates = (plan.learning_rate_u, plan.learning_rate_v)
        loss = weighted_mean(self.noise_.learn(x["index"], logits, target, rates), x)
        if plan.consistency:
            loss = loss + plan.consistency * self.inconsistency(x, logits)
        if plan.balance:
            mean = logits.softmax(dim=1).mean(dim=0).clamp_min(_SMALLEST_PROBA)
            loss = loss - plan.balance * (mean * len(mean)).log().mean()
        return loss, logits


@document_estimator
class SOPClassifier(BaseNeuralClassifier):
    """Sparse over-parameterisation (SOP) classifier.

    Each row has as many noise parameters as there are classes, so the model could fit every label
    twice. Gradient descent from values near zero fits what rows have in common by the network, and
    what is wrong with single labels by the parameters of these rows.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    learning_rate_u : float, default=1.0
        Learning rate of the noise of the given label, not negative. 0.1 was used with pair noise.
        It is the rate for batches of 128 rows whatever `batch_size` is.
    learning_rate_v : float, default=10.0
        Learning rate of the noise of the other labels, not negative; 100 was used with pair noise.
    start : float, default=0.03
        Initial value of the parameters whose squares are the noise, positive. They grow by a share
        in each epoch: the fewer epochs, the larger it should be. The paper, with hundreds of
        epochs and a high learning rate, used 1e-8.
    balance : float, default=0.0
        Weight of a penalty on predicting some classes more often than others within a batch, not
        negative. With ``balance=0.1, consistency=0.9`` the method is known as SOP+.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    label_noise_ : ndarray of shape (n_samples, n_classes)
        Learned noise of each row of ``fit``, in [-1, 1]: positive for the label that was learned
        (a verified one, or shares of `target_proba`, if there is any), negative for the others.
        Zero where the row was not trained on.
    label_quality_ : ndarray of shape (n_samples,)
        One minus the share of its given label that each row's noise explains; NaN where there is no
        label, or the row was held out. 1 or 0 where a reviewer verified the label.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose noise explains more than half of the label.

    See Also
    --------
    ELRClassifier : A network kept close to its early predictions.

    Notes
    -----
    The noise belongs to the rows of one training: it starts anew in each, also with `warm_start`
    and in ``partial_fit``, whose single epoch leaves it where it starts.

    References
    ----------
    Liu, Zhu, Qu and You (2022). Robust training under label noise by over-parameterization. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import SOPClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> model = SOPClassifier(max_epochs=40, random_state=0).fit(X, y_noisy)
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    learning_rate_u: float
    learning_rate_v: float
    start: float
    balance: float
    label_noise_: np.ndarray
    label_quality_: np.ndarray
    label_errors_: np.ndarray

    _learns_per_batch = True

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "learning_rate_u": [Interval(Real, 0, None, closed="left")],
        "learning_rate_v": [Interval(Real, 0, None, closed="left")],
        "start": [Interval(Real, 0, None, closed="neither")],
        "balance": [Interval(Real, 0, None, closed="left")],
    }
    _net_class = SOPNet
    _plan_class = SOPPlan
    # The loss is the method, and needs a label of its own for each row.
    _unused_params = ("criterion", "label_smoothing", "mixup")

    def __init__(
        self,
        module: ModuleLike | None = None,
        *,
        learning_rate_u: float = 1.0,
        learning_rate_v: float = 10.0,
        start: float = 0.03,
        balance: float = 0.0,
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

    def _begin(self, training: Training) -> None:
        super()._begin(training)
        # Each training starts anew: its rows need not be those of the one before.
        like = next(self.net_.module_.parameters())
        shape = training.data.n_samples, len(training.data.classes)
        self.net_.noise_ = LabelNoise(*shape, like, self.start)

    def _set_fitted_attributes(self, training: Training) -> None:
        super()._set_fitted_attributes(training)
        noise, data, rows = self.net_.noise_, training.data, training.train
        if noise is None:
            return  # the training failed before it began
        self.net_.noise_ = None
        used = np.zeros(data.n_samples, dtype=bool)
        used[rows.order(shuffle=False).cpu().numpy()] = True
        learned = rows.y.clamp_min(0) if rows.y.ndim == 1 else rows.y
        target = smooth_labels(learned, len(data.classes), 0.0, noise.u.dtype)
        added, taken = noise.of(target)
        whole = (added - taken).cpu().numpy().astype(np.float64)
        whole[~used] = 0.0
        own = whole[np.arange(data.n_samples), np.maximum(data.y, 0)]
        known = data.given & used
        quality = np.where(known, 1 - np.maximum(own, 0), np.nan)
        self.label_noise_ = whole
        self.label_quality_, self.label_errors_ = apply_verified_labels(
            data, quality, known & (own > 0.5)
        )
