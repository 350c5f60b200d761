"""A network that learns, while it is trained, how much each row should count."""

from numbers import Integral, Real

import numpy as np
import torch

from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._checks import split
from skrobust.neural._rescaler import RescaledNet, Rescaler
from skrobust.neural._shared_parameters import shares_parameters
from skrobust.utils._sklearn import Interval


@shares_parameters
class MetaRescaledClassifier(BaseNeuralClassifier):
    """A network whose rows count as much as a second, small network says, which is learned too.

    The small network looks at how the loss of a row compares with that of rows of the same given
    class, several times with some of the features left out. Its weights are moved such that a
    step on weighed rows lowers the loss of other weighed rows. No clean rows are needed.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    rescale : bool, default=True
        False is plain training.
    rescale_learning_rate : float, default=1e-2
        Learning rate of the small network.
    meta_step : float, default=1.0
        Size of the step on the last layer that is tried.
    n_passes : int, default=3
        How many times each row is looked at.
    signal_dropout : float, default=0.1
        Share of the features that are left out when rows are looked at again, in [0, 1).
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    sample_weight_ : ndarray of shape (n_samples,)
        How much each row of ``fit`` counted in the last epoch, or would have, if it was held out;
        mean 1 over the rows that have a label, and 0 elsewhere.
    filtered_ : ndarray of shape (n_samples,) of bool
        Rows whose weight, in (0, 1) before it was scaled, is less than one half.

    See Also
    --------
    ELRClassifier : Needs no second network.

    Notes
    -----
    The publication tries the step on all layers, of a language model; here it is tried on the
    last one, where its effect on weights is known without a second derivative. The mean weight
    within each class is about one half, as the last normalisation has nothing to learn; in a step
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

    _net_class = RescaledNet

    @property
    def _unused_params(self):
        names = ("mixup", "label_smoothing", "consistency", "mixed_precision")
        return names if self.rescale else ()

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
        *,
        rescale=True,
        rescale_learning_rate=1e-2,
        meta_step=1.0,
        n_passes=3,
        signal_dropout=0.1,
    ):
        self.rescale = rescale
        self.rescale_learning_rate = rescale_learning_rate
        self.meta_step = meta_step
        self.n_passes = n_passes
        self.signal_dropout = signal_dropout

    def _build_module(self, shape, n_classes):
        module = super()._build_module(shape, n_classes)
        return split(module) if self.rescale else module

    def _net_options(self):
        names = ("rescale", "meta_step", "n_passes", "signal_dropout")
        return {**super()._net_options(), **{name: getattr(self, name) for name in names}}

    def _prepare(self, parts, n_epochs, data):
        super()._prepare(parts, n_epochs, data)
        if not self.rescale:
            return
        if parts[0].y.ndim == 2:
            raise ValueError(
                "target_proba is not used by MetaRescaledClassifier, which weighs rows by their"
                " given labels: pass labels only, or set rescale=False."
            )
        net, train = self.net_, parts[0]
        if net.option("rescaler") is None:
            rescaler = Rescaler(len(data.classes)).to(train.device, train.dtype)
            net.configure(
                rescaler=rescaler,
                rescaler_optimizer=torch.optim.Adam(
                    rescaler.parameters(), lr=self.rescale_learning_rate
                ),
            )
        weights = torch.full((data.n_samples,), torch.nan, device=train.device)
        net.configure(train=train, weights=weights)
        self._seen = parts, data

    def _conclude(self):
        super()._conclude()
        for name in ("sample_weight_", "filtered_"):
            vars(self).pop(name, None)
        if not self.rescale:
            return
        (train, valid), data = self._seen
        weights = self.net_.option("weights")
        if valid is not None and valid.X is train.X:  # held out of the same rows
            weights[valid.positions] = self.net_.weigh(valid).to(weights.dtype)
        weights = weights.cpu().numpy().astype(np.float64)
        seen = ~np.isnan(weights)
        weights[~data.used | ~seen] = 0.0
        self.filtered_ = data.used & seen & (weights < 0.5)
        prior = data.used if data.sample_weight is None else data.sample_weight
        total = (weights * prior).sum()
        scale = prior[data.used].sum() / total if total > 0 else 1.0
        self.sample_weight_ = weights * scale
        # Not needed to go on.
        self.net_.configure(train=None, weights=None)
        if self.net_.diverged_ is not None:
            self.net_.configure(rescaler=None)
