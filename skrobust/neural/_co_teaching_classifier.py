"""Two networks that tell each other which rows to learn from."""

import copy
import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import clone

from skrobust.base import LabelledData
from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._compressed import CompressedNetwork
from skrobust.neural._dataset import DatasetRows
from skrobust.neural._pair import Pair, PairNet
from skrobust.neural._shared_parameters import shares_parameters
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


class CoTeachingNet(PairNet):
    """In each batch, each network learns from the rows whose loss the other finds small."""

    def compute_loss(self, batch):
        """The sum of both losses on the rows that are kept."""
        x, y = batch
        return self._taught_by_halves(x, y) if self.option("frozen_norms") else self._taught(x, y)

    def _kept_share(self) -> float:
        return 1 - self.option("forget_rate") * self.gradual()

    def _taught(self, x, y):
        logits = self.module_.each(x["X"])
        rows = self._losses_of_both(logits, y)
        share = self._kept_share()
        kept = keep_smallest(rows.detach(), share, x.get("sample_weight"))
        loss = (rows * kept.flip(0)).sum() / (share * len(y))
        with torch.no_grad():
            return loss, (logits[0] + logits[1]) / 2

    def _losses_of_both(self, logits, y) -> torch.Tensor:
        """Losses of shape (2, n_rows); by one call where rows do not look at each other."""
        criterion = self.criterion_
        if isinstance(criterion, RobustLoss) and not criterion.batch_only:
            return self.row_losses(torch.cat(logits), torch.cat([y, y])).view(2, -1)
        return torch.stack([self.row_losses(scores, y) for scores in logits])

    def _taught_by_halves(self, x, y):
        """Each network ranks one half of the batch, and the other learns from it."""
        inputs, weight, share = x["X"], x.get("sample_weight"), self._kept_share()
        middle = (len(inputs) + 1) // 2
        halves = [slice(0, middle), slice(middle if len(inputs) > 1 else 0, None)]
        self.module_.eval()
        kept, said = [], []
        with torch.no_grad():
            for net, half in zip(self.module_.nets, halves, strict=True):
                own = None if weight is None else weight[half]
                said.append(net(inputs[half]))
                kept.append(keep_smallest(self.row_losses(said[-1], y[half]), share, own))
        self._set_training(True)
        _share_width(self.module_.nets)
        loss = 0.0
        for net, half, mass in zip(self.module_.nets, halves[::-1], kept[::-1], strict=True):
            chosen = _rows_kept(mass, None if weight is not None else share)
            losses = self.row_losses(net(inputs[half][chosen]), y[half][chosen])
            loss = loss + (losses * mass[chosen]).sum() / (share * len(mass))
            compressor = getattr(net, "compressor", None)
            if isinstance(compressor, VariationalBottleneck):
                loss = loss + compressor.penalty() + compressor.dual_loss()
        return loss, torch.cat(said)[: len(inputs)]

    def _set_training(self, training=True):
        super()._set_training(training)
        if training and self.option("frozen_norms"):
            for part in self.module_.modules():
                if isinstance(part, _NORMS):
                    part.eval()


def keep_smallest(losses, share: float, weight=None) -> torch.Tensor:
    """Keep the rows of the smallest losses, up to a share of all weights.

    Parameters
    ----------
    losses : Tensor of shape (..., n_rows)
        Losses, without weights.
    share : float
        How much is kept, in (0, 1].
    weight : Tensor of shape (n_rows,), default=None
        Weights; None is 1 for each row.

    Returns
    -------
    kept : Tensor of shape (..., n_rows)
        The weight that is kept of each row: all of it, none, or at the boundary a part, so that a
        weight of 2 equals two rows.
    """
    order = losses.argsort(dim=-1, stable=True)
    n_rows = losses.shape[-1]
    if weight is None:
        before = torch.arange(n_rows, device=losses.device, dtype=losses.dtype)
        kept = (share * n_rows - before).clamp(0, 1).expand_as(losses)
    else:
        own = weight[order]
        passed = own.cumsum(dim=-1)
        kept = torch.minimum(own, (share * passed[..., -1:] - passed + own).clamp_min(0))
    return torch.empty_like(losses).scatter_(-1, order, kept)


def _rows_kept(mass, share: float | None):
    """Positions of the rows that are kept; how many is known if their share of all rows is."""
    if share is None:
        return mass.nonzero()[:, 0]
    # Counting the rows would wait for the device.
    n_kept = max(1, math.ceil(share * len(mass)))
    return mass.argsort(descending=True, stable=True)[:n_kept]


def _share_width(nets) -> None:
    """Let both networks use one width, drawn anew."""
    layers = [net.compressor for net in nets if isinstance(net, CompressedNetwork)]
    layers = [layer for layer in layers if isinstance(layer, NestedDropout)]
    if len(layers) == 2:
        width = layers[0].draw_width()
        for layer in layers:
            layer.fixed_width = width


@shares_parameters
class CoTeachingClassifier(BaseNeuralClassifier):
    """Two networks that learn from the rows that the other one finds easy.

    Networks learn what most rows have in common before they learn wrong labels by heart, so that
    rows of a small loss are mostly right. In each batch, each network chooses the rows of the
    smallest loss for the other: as they started from different weights, they do not confirm each
    other's mistakes. Predictions are by the mean of their scores.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    base : neural classifier, default=None
        None trains two networks from scratch. A classifier, such as
        :class:`NestedDropoutClassifier`, is cloned and fitted twice, with different seeds, and
        its networks teach each other afterwards: norms over batches are frozen, each network ranks
        one half of a batch, as it predicts, and the other learns from it. `learning_rate` should
        be small then, about a hundredth of the one before.
    forget_rate : float or "estimate", default="estimate"
        Share of the rows that is not learned from, in [0, 1): the share of wrong labels. It is
        estimated by :class:`~skrobust.noise.AnchorTransition`, of a forest where X is a table
        of numbers, and otherwise of networks that are trained for at most ten epochs; of a data
        set, by at most 20 000 rows drawn at random.
    n_gradual : int, default=10
        Epochs during which the share rises from 0, counted over all calls of ``partial_fit`` and
        with `warm_start`. With `base`, it does not rise.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    forget_rate_ : float
        Share of the rows that is not learned from once `n_gradual` epochs have passed.

    See Also
    --------
    NestedDropoutClassifier : Networks that have less room for wrong labels, for `base`.
    ELRClassifier : Holds the network to what it said early on.

    Notes
    -----
    Both networks are one module, with one optimiser, and the losses are added up: a step costs
    less than two steps of one network. `mixup`, `label_smoothing` and `consistency` are refused.

    The estimate is the disagreement of labels and predictions, extrapolated to rows whose class is
    certain, so that overlap of the classes does not pass for noise. Where rows or epochs are too
    few to learn much, no row is certain, and the estimate is half of the disagreement. Give the
    rate if you know about how many labels are wrong, or search it, like any parameter, by the
    accuracy on held-out noisy rows. `benchmarks/neural_defaults.py` says what a wrong rate costs.

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

    _net_class = CoTeachingNet

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "base": [None, BaseNeuralClassifier],
        "forget_rate": [Interval(Real, 0, 1, closed="left"), StrOptions({"estimate"})],
        "n_gradual": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        base=None,
        forget_rate="estimate",
        n_gradual=10,
    ):
        self.base = base
        self.forget_rate = forget_rate
        self.n_gradual = n_gradual

    def _train(self, data, X, proba, seed, *, again, **options):
        generator = private_random_state(seed)
        if not again or self.forget_rate != "estimate":
            self.forget_rate_ = self._find_forget_rate(data, draw_seed(generator))
        self._first_stage = None
        if not again and self.base is not None:
            self._first_stage = self._fit_base(data, proba, generator)
        try:
            super()._train(data, X, proba, seed, again=again, **options)
        finally:
            self._first_stage = None

    def _find_forget_rate(self, data, seed: int) -> float:
        if self.forget_rate != "estimate":
            return float(self.forget_rate)
        if getattr(data.X, "ndim", 2) == 2:
            judge = AnchorTransition(random_state=seed)
        else:
            model = _quick(self if self.base is None else self.base, seed)
            judge = AnchorTransition(model, cv=_FEW_FOLDS, random_state=seed)
        if isinstance(data.X, DatasetRows):
            data = _sample(data, seed)
        y, metadata = data.fit_arguments()
        try:
            judge.fit(data.X, y, **metadata)
        except ValueError as error:
            message = f"forget_rate could not be estimated, give a number: {error}"
            raise ValueError(message) from error
        # Verified rows are learned from by the label that a person gave them.
        unverified = 1 - data.total_weight(data.used & data.checked) / data.total_weight(data.used)
        return float(min(judge.noise_rate_ * unverified, 0.9))

    def _fit_base(self, data, proba, generator) -> list:
        """Fit the classifiers of the first stage, and take their networks."""
        networks = []
        for _ in range(2):
            model = clone(self.base).set_params(random_state=draw_seed(generator))
            model._fit_labelled(data, proba)
            networks.append(copy.deepcopy(model.module_))
        return networks

    @property
    def _takes_any_shape(self):
        return super()._takes_any_shape or (self.base is not None and self.base._takes_any_shape)

    _unused_params = ("mixup", "label_smoothing", "consistency")

    def _build_module(self, shape, n_classes):
        if self._first_stage is not None:
            return Pair(*self._first_stage)
        first = super()._build_module(shape, n_classes)
        return Pair(first, super()._build_module(shape, n_classes))

    def _add_noise(self, module):
        if self.base is None:
            for net in module.nets:
                super()._add_noise(net)

    def _net_options(self):
        return {
            **super()._net_options(),
            "forget_rate": self.forget_rate_,
            "n_gradual": self.n_gradual if self.base is None else 0,
            "frozen_norms": self.base is not None,
        }


def _sample(data, seed: int):
    """Read some rows of a data set that need not fit into memory."""
    rows = np.flatnonzero(data.used)
    n_read = min(_MANY_ROWS, max(1000, _MANY_NUMBERS // math.prod(data.X.shape[1:])))
    if len(rows) > n_read:
        rows = np.sort(private_random_state(seed).choice(rows, n_read, replace=False))
    weight = None if data.sample_weight is None else data.sample_weight[rows]
    return LabelledData(
        data.X[rows], data.y[rows], data.classes, data.verified[rows], sample_weight=weight
    )


def _quick(classifier, seed: int):
    """A plain network like those of a classifier, trained for a few epochs."""
    from skrobust.neural._neural_classifier import NeuralClassifier

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
