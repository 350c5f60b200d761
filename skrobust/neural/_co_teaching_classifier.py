"""Co-teaching: two networks, each trained on the rows of small loss that the other selects."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import clone

from skrobust.base import LabelledData
from skrobust.base._labelled_data import fit_inside
from skrobust.neural._classifier_nets import Pair, PairNet
from skrobust.neural._docs import document_estimator
from skrobust.neural._nested_dropout_classifier import CompressedNetwork
from skrobust.neural._neural_classifier import BaseNeuralClassifier, NeuralClassifier
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule, TrainingPlan
from skrobust.neural._rows import DatasetRows, Numbers
from skrobust.neural._typing import (
    Batch,
    Callbacks,
    ClassWeight,
    Criterion,
    ModuleLike,
    RandomState,
)
from skrobust.neural.layers import NestedDropout, VariationalBottleneck
from skrobust.neural.losses import RobustLoss
from skrobust.noise import AnchorTransition
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import Interval, StrOptions

# Epochs and folds of the networks that estimate the forget rate where no forest can.
_QUICK_EPOCHS, _FEW_FOLDS = 10, 3
# Of a data set, which need not fit into memory, at most so many rows, and roughly so many numbers,
# are read for that.
_MANY_ROWS, _MANY_NUMBERS = 20_000, 2**28
_NORMS = torch.nn.modules.batchnorm._BatchNorm


@dataclasses.dataclass(frozen=True, kw_only=True)
class CoTeachingPlan(TrainingPlan):
    """How two networks are co-taught."""

    forget_rate: float
    n_gradual: int
    frozen_norms: bool


class CoTeachingNet(PairNet):
    """In each batch, each network is trained on the rows of the smallest loss of the other."""

    plan_: CoTeachingPlan

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the sum of both losses on the rows that are kept."""
        plan = self.plan_
        share = 1 - plan.forget_rate * self.gradual(plan.n_gradual)
        compute = self._loss_by_halves if plan.frozen_norms else self._loss_of_both
        return compute(*batch, share)

    def _loss_of_both(
        self, x: dict, y: torch.Tensor, share: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each network ranks all rows of the batch."""
        logits = self.module_.each(x["X"])
        rows = self._losses_of_both(logits, y)
        kept = keep_smallest(rows.detach(), share, x.get("sample_weight"))
        loss = (rows * kept.flip(0)).sum() / (share * len(y))
        with torch.no_grad():
            return loss, (logits[0] + logits[1]) / 2

    def _losses_of_both(self, logits: list[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
        """Losses of shape (2, n_rows); by one call where they do not depend on other rows."""
        criterion = self.criterion_
        if isinstance(criterion, RobustLoss) and not criterion.batch_only:
            return self.row_losses(torch.cat(logits), torch.cat([y, y])).view(2, -1)
        return torch.stack([self.row_losses(scores, y) for scores in logits])

    def _loss_by_halves(
        self, x: dict, y: torch.Tensor, share: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each network ranks one half of the batch, and the other one is trained on it."""
        inputs, weight = x["X"], x.get("sample_weight")
        middle = (len(inputs) + 1) // 2
        halves = [slice(0, middle), slice(middle if len(inputs) > 1 else 0, None)]
        self.module_.eval()
        kept, ranked = [], []
        with torch.no_grad():
            for net, half in zip(self.module_.nets, halves, strict=True):
                own = None if weight is None else weight[half]
                ranked.append(net(inputs[half]))
                kept.append(keep_smallest(self.row_losses(ranked[-1], y[half]), share, own))
        self._set_training(True)
        _share_width(self.module_.nets)
        loss = 0.0
        for net, half, amount in zip(self.module_.nets, halves[::-1], kept[::-1], strict=True):
            chosen = _rows_kept(amount, None if weight is not None else share)
            losses = self.row_losses(net(inputs[half][chosen]), y[half][chosen])
            loss = loss + (losses * amount[chosen]).sum() / (share * len(amount))
            compressor = getattr(net, "compressor", None)
            if isinstance(compressor, VariationalBottleneck):
                loss = loss + compressor.penalty() + compressor.dual_loss()
        return loss, torch.cat(ranked)[: len(inputs)]

    def _set_training(self, training: bool = True) -> None:
        super()._set_training(training)
        if training and self.plan_.frozen_norms:
            for part in self.module_.modules():
                if isinstance(part, _NORMS):
                    part.eval()


def keep_smallest(
    losses: torch.Tensor, share: float, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Keep the rows of the smallest losses, up to a share of the total weight.

    Returned is the weight that is kept of each row: all of it, none, or at the boundary a part, so
    that a weight of 2 equals two rows.
    """
    order = losses.argsort(dim=-1, stable=True)
    n_rows = losses.shape[-1]
    if weight is None:
        before = torch.arange(n_rows, device=losses.device, dtype=losses.dtype)
        kept = (share * n_rows - before).clamp(0, 1).expand_as(losses)
    else:
        own = weight[order]
        cumulated = own.cumsum(dim=-1)
        kept = torch.minimum(own, (share * cumulated[..., -1:] - cumulated + own).clamp_min(0))
    return torch.empty_like(losses).scatter_(-1, order, kept)


def _rows_kept(amount: torch.Tensor, share: float | None) -> torch.Tensor:
    """Positions of the rows that are kept; their number is known if their share is."""
    if share is None:
        return amount.nonzero()[:, 0]
    # Counting the rows would wait for the device.
    n_kept = max(1, math.ceil(share * len(amount)))
    return amount.argsort(descending=True, stable=True)[:n_kept]


def _share_width(nets: torch.nn.ModuleList) -> None:
    """Set one width for both networks, drawn anew."""
    layers = [net.compressor for net in nets if isinstance(net, CompressedNetwork)]
    layers = [layer for layer in layers if isinstance(layer, NestedDropout)]
    if len(layers) == 2:
        width = layers[0].draw_width()
        for layer in layers:
            layer.fixed_width = width


@document_estimator
class CoTeachingClassifier(BaseNeuralClassifier):
    """Co-teaching classifier: two networks, each trained on rows that the other one selects.

    Networks learn what most rows have in common before they memorise wrong labels, so that labels
    of rows of small loss are mostly right. In each batch, each network selects the rows of the
    smallest loss for the other: as they started from different weights, they do not confirm each
    other's mistakes. Predictions are by the mean of their scores.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    base : neural classifier, default=None
        None trains two networks from scratch. A classifier, such as
        :class:`NestedDropoutClassifier`, is cloned and fitted twice, with different seeds, and
        its networks are co-taught afterwards: norms over batches are frozen, each network ranks
        one half of a batch, in evaluation mode, and the other one is trained on it.
        `learning_rate` should be small then, about a hundredth of the one before.
    forget_rate : float or "estimate", default="estimate"
        Share of the rows that is not trained on, in [0, 1): the share of wrong labels. It is
        estimated by :class:`~skrobust.noise.AnchorTransition`, with a forest where X is a numeric
        feature matrix, and otherwise with networks that are trained for at most ten epochs; for a
        data set, on at most 20 000 rows drawn at random.
    n_gradual : int, default=10
        Epochs during which the share rises from 0, counted over all calls of ``partial_fit`` and
        with `warm_start`. With `base`, it does not rise.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    forget_rate_ : float
        Share of the rows that is not trained on once `n_gradual` epochs have passed.

    See Also
    --------
    NestedDropoutClassifier : Networks that memorise fewer wrong labels, for `base`.
    ELRClassifier : Keeps a network close to its early predictions.

    Notes
    -----
    Both networks are one module, with one optimiser, and the losses are added up: a step costs
    less than two steps of one network. `mixup`, `label_smoothing` and `consistency` are refused.

    The estimate is the disagreement of labels and predictions, extrapolated to rows whose class is
    certain, so that overlap of the classes is not taken for noise. Where rows or epochs are too
    few to learn much, no row is certain, and the estimate is half of the disagreement. Give the
    rate if you know about how many labels are wrong, or search it, like any parameter, by the
    accuracy on held-out noisy rows. `benchmarks/neural_defaults.py` measures the cost of a wrong
    rate.

    References
    ----------
    Han, Yao, Yu, Niu, Xu, Hu, Tsang and Sugiyama (2018). Co-teaching: robust training of deep
    neural networks with extremely noisy labels. NeurIPS.

    Chen, Hu, Shen, Ai and Suykens (2022). Compressing features for learning with noisy labels.
    IEEE Transactions on Neural Networks and Learning Systems.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import CoTeachingClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, _ = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> model = CoTeachingClassifier(max_epochs=20, random_state=0).fit(X, y_noisy)
    >>> bool(0.2 < model.forget_rate_ < 0.4)
    True
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    base: BaseNeuralClassifier | None
    forget_rate: float | Literal["estimate"]
    n_gradual: int
    forget_rate_: float

    _net_class = CoTeachingNet
    _plan_class = CoTeachingPlan
    _unused_params = ("mixup", "label_smoothing", "consistency")

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "base": [None, BaseNeuralClassifier],
        "forget_rate": [Interval(Real, 0, 1, closed="left"), StrOptions({"estimate"})],
        "n_gradual": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        module: ModuleLike | None = None,
        *,
        base: BaseNeuralClassifier | None = None,
        forget_rate: float | Literal["estimate"] = "estimate",
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
    def _takes_any_shape(self) -> bool:
        return super()._takes_any_shape or (self.base is not None and self.base._takes_any_shape)

    def _plan_options(self) -> dict[str, Any]:
        return {
            "forget_rate": self.forget_rate_,
            "n_gradual": self.n_gradual if self.base is None else 0,
            "frozen_norms": self.base is not None,
        }

    def _build_module(self, shape: int | tuple[int, ...], n_outputs: int) -> torch.nn.Module:
        first = super()._build_module(shape, n_outputs)
        return Pair(first, super()._build_module(shape, n_outputs))

    def _add_noise(self, module: torch.nn.Module) -> None:
        for net in module.nets:
            super()._add_noise(net)

    def _train(
        self,
        data: LabelledData,
        X: Numbers,
        seed: int,
        *,
        again: bool,
        target: np.ndarray | None = None,
        **options: Any,
    ) -> None:
        generator = private_random_state(seed)
        if not again or self.forget_rate != "estimate":
            self.forget_rate_ = self._find_forget_rate(data, draw_seed(generator))
        module = None
        if not again and self.base is not None:
            module = Pair(*(self._fit_base(data, target, generator) for _ in range(2)))
        super()._train(data, X, seed, again=again, target=target, module=module, **options)

    def _find_forget_rate(self, data: LabelledData, seed: int) -> float:
        """Take the share of wrong labels as given, or estimate it."""
        if self.forget_rate != "estimate":
            return float(self.forget_rate)
        if getattr(data.X, "ndim", 2) == 2:
            estimator = AnchorTransition(random_state=seed)
        else:
            model = _quick(self if self.base is None else self.base, seed)
            estimator = AnchorTransition(model, cv=_FEW_FOLDS, random_state=seed)
        if isinstance(data.X, DatasetRows):
            data = _sample(data, seed)
        try:
            fit_inside(estimator, data)
        except ValueError as error:
            message = f"forget_rate could not be estimated, give a number: {error}"
            raise ValueError(message) from error
        # Verified rows are trained on by their verified label.
        unverified = 1 - data.total_weight(data.used & data.checked) / data.total_weight(data.used)
        return float(min(estimator.noise_rate_ * unverified, 0.9))

    def _fit_base(
        self, data: LabelledData, proba: np.ndarray | None, generator: np.random.RandomState
    ) -> torch.nn.Module:
        """Fit a classifier of the first stage, and take its network."""
        model = clone(self.base).set_params(random_state=draw_seed(generator))
        return copy.deepcopy(model._fit_labelled(data, proba).module_)


def _sample(data: LabelledData, seed: int) -> LabelledData:
    """Read some rows of a data set that need not fit into memory."""
    rows = np.flatnonzero(data.used)
    n_read = min(_MANY_ROWS, max(1000, _MANY_NUMBERS // math.prod(data.X.shape[1:])))
    if len(rows) > n_read:
        rows = np.sort(private_random_state(seed).choice(rows, n_read, replace=False))
    weight = None if data.sample_weight is None else data.sample_weight[rows]
    return LabelledData(
        data.X[rows], data.y[rows], data.classes, data.verified[rows], sample_weight=weight
    )


def _quick(classifier: BaseNeuralClassifier, seed: int) -> NeuralClassifier:
    """A plain network like those of a classifier, trained for a few epochs."""
    known = NeuralClassifier().get_params(deep=False)
    params = {k: v for k, v in classifier.get_params(deep=False).items() if k in known}
    params.update(
        max_epochs=min(_QUICK_EPOCHS, classifier.max_epochs),
        warm_start=False,
        record_dynamics=False,
        callbacks=None,
        verbose=0,
        random_state=seed,
    )
    return NeuralClassifier(**params)
