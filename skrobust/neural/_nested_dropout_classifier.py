"""Nested dropout: a network with ordered features, of which the first ones predict."""

import copy
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch.nn.functional import linear

from skrobust.neural._classifier_nets import Net
from skrobust.neural._docs import document_estimator
from skrobust.neural._estimator import Training
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.neural._parts import with_head
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule
from skrobust.neural._rows import Batches
from skrobust.neural._typing import (
    Batch,
    Callbacks,
    ClassWeight,
    Criterion,
    ModuleLike,
    RandomState,
    RowsLike,
)
from skrobust.neural.layers import HiddenNoise, NestedDropout, VariationalBottleneck
from skrobust.neural.modules import MLP
from skrobust.utils._sklearn import Interval, StrOptions, Tags

# Accuracy that a further feature must add: of widths within this, the smaller one is taken.
_PRICE_OF_A_FEATURE = 1e-5
# Initial logarithm of the price of a bottleneck. It moves slowly, and at a high one nothing may be
# learned before early stopping. With 40 % of the labels wrong, accuracy is .93 from -5 and .56 from
# -2, the default of the layer, on synthetic rows; .92 and .94 on digits.
_FIRST_LOG_PRICE = -5.0
# Scores of all widths of this many entries are in memory at a time.
_SCORES = 2**22


class CompressedNetwork(torch.nn.Module):
    """Features of a network, a layer that compresses them in training, and a head."""

    def __init__(
        self,
        backbone: torch.nn.Module,
        n_classes: int,
        *,
        compression: str,
        sigma: float | None = None,
        dropout_rate: float = 0.3,
        target_kl: float = 3.0,
    ):
        super().__init__()
        n_features = with_head(backbone).head.in_features
        backbone.head = torch.nn.Identity()
        self.backbone = backbone
        if compression == "nested_dropout":
            self.compressor = NestedDropout(n_features, sigma=sigma)
        elif compression == "dropout":
            self.compressor = torch.nn.Dropout(dropout_rate)
        else:
            self.compressor = VariationalBottleneck(
                n_features, target_kl=target_kl, log_beta=_FIRST_LOG_PRICE
            )
        self.head = torch.nn.Linear(n_features, n_classes, bias=False)
        self.n_features_out = n_features
        # Part of the state, so that the weights of an epoch come back with their width.
        self.register_buffer("width", torch.tensor(n_features))

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the features, in their order."""
        features = self.backbone(X)
        if isinstance(self.compressor, VariationalBottleneck):
            features = self.compressor(features)
        return features

    def forward(self, X: torch.Tensor, width: int | None = None) -> torch.Tensor:
        """Compute scores; in evaluation mode from the first `width` features only."""
        features = self.features(X)
        if self.training:
            if not isinstance(self.compressor, VariationalBottleneck):
                features = self.compressor(features)
            return self.head(features)
        if width is None and self.width.device.type != "cpu":
            # Reading the width from a device would wait for all its work.
            late = torch.arange(self.n_features_out, device=features.device) >= self.width
            return self.head(features.masked_fill(late, 0))
        width = int(self.width) if width is None else width
        if width == self.n_features_out:
            return self.head(features)
        return linear(features[:, :width], self.head.weight[:, :width])

    def correct_widths(
        self, features: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Sum the weights of the rows that each width predicts correctly, in one pass."""
        # Without an intercept, the scores of a width are those of the width before plus the
        # contribution of one more feature.
        n_rows, n_features = features.shape
        total = torch.zeros(n_features, dtype=torch.float64, device=features.device)
        length = max(1, _SCORES // (n_features * self.head.out_features))
        for start in range(0, n_rows, length):
            rows = slice(start, start + length)
            scores = (features[rows, :, None] * self.head.weight.T).cumsum(dim=1)
            correct = (scores.argmax(dim=2) == target[rows, None]).to(torch.float64)
            if weight is not None:
                correct = correct * weight[rows, None]
            total += correct.sum(dim=0)
        return total


class CompressedNet(Net):
    """Chooses the width after each epoch, and adds the penalty of a bottleneck to the loss."""

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss of a batch."""
        loss, logits = super().compute_loss(batch)
        compressor = self.module_.compressor
        if isinstance(compressor, VariationalBottleneck):
            loss = loss + compressor.penalty() + compressor.dual_loss()
        return loss, logits

    def on_train_begin(self, net: Net, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Reset the width of former weights."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.module_.width.fill_(self.module_.n_features_out)

    def before_validation(self, batches: Batches) -> None:
        """Choose the width before the validation loss is computed."""
        if isinstance(self.module_.compressor, NestedDropout):
            self._set_training(False)
            self.module_.width.fill_(self._choose_width(batches))
            self.history.record("own_width", int(self.module_.width))

    @torch.no_grad()
    def _choose_width(self, batches: Batches) -> int:
        """Choose the width of the best accuracy on some rows."""
        scores = self.width_accuracy(batches)
        prices = _PRICE_OF_A_FEATURE * torch.arange(1, len(scores) + 1, device=scores.device)
        return int((scores - prices).argmax()) + 1

    def width_accuracy(self, batches: Batches) -> torch.Tensor:
        """Compute the accuracy of each width on some rows."""
        total = 0
        for x, y in batches:
            codes = y if y.ndim == 1 else y.argmax(dim=1)
            features = self.module_.features(x["X"])
            total = total + self.module_.correct_widths(features, codes, x.get("sample_weight"))
        return total / len(batches.rows)


class TruncatedNetwork(torch.nn.Module):
    """The first features of a compressed network, and their part of the head."""

    def __init__(self, network: CompressedNetwork, width: int):
        super().__init__()
        self.backbone = network.backbone
        self.encoder = (
            network.compressor if isinstance(network.compressor, VariationalBottleneck) else None
        )
        self.width = width
        self.head = torch.nn.Linear(width, network.head.out_features, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(network.head.weight[:, :width])
        self.head.to(network.head.weight)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute scores."""
        features = self.backbone(X)
        if self.encoder is not None:
            features = self.encoder(features)
        return self.head(features[:, : self.width])


@document_estimator
class NestedDropoutClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseNeuralClassifier
):
    """Nested dropout classifier: compressed features memorise fewer wrong labels.

    In each step only the first k features of the last hidden layer are kept, with a random k,
    smaller ones being more probable. This orders the features: the first ones represent what most
    rows have in common, and the last ones what only helps to memorise single rows. After each
    epoch all widths are scored at once on held-out rows, and the best one predicts.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    compression : {"nested_dropout", "dropout", "bottleneck"}, default="nested_dropout"
        - "nested_dropout": as described above;
        - "dropout": each feature is dropped with probability `dropout_rate`;
        - "bottleneck": features are random, and their information about a row is penalised; see
          :class:`~skrobust.neural.layers.VariationalBottleneck`.
    sigma : float, default=None
        Only for "nested_dropout": scale of the widths, whose probability is proportional to
        ``exp(-(k / sigma) ** 2)``. None is half of the number of features.
    dropout_rate : float, default=0.3
        Only for "dropout": share of the features that are dropped, in [0, 1).
    target_kl : float, default=3.0
        Only for "bottleneck": nats of information per row, not negative.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    width_ : int
        Number of features that predict.
    width_scores_ : ndarray of shape (n_features_out,)
        Only for "nested_dropout" with rows held out: the accuracy of each width on them. Their
        labels are as noisy as all others.

    See Also
    --------
    CoTeachingClassifier : Trains two such networks on rows that the other one selects.
    skrobust.neural.layers.NestedDropout : The layer.

    Notes
    -----
    Rows are held out by default, unlike in :class:`NeuralClassifier`: without them
    (``early_stopping=False``) all features predict. The published method chooses the width on
    clean rows; here it is chosen on noisy ones. Wrong labels that do not depend on the width
    lower the accuracy of all widths equally.

    A small `sigma` needs many epochs, as batches that hold more than a few features are then
    rare: Chen et al. take a fiftieth to a fifth of the features, and train for 350 epochs on
    CIFAR. The default is larger, for some tens of epochs on tables; `benchmarks/neural_defaults.py`
    compares.

    The network must have a method `features` and a linear layer `head`, as those of
    :mod:`skrobust.neural.modules`. The new head has no intercept.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens (2022). Compressing features for learning with noisy labels.
    IEEE Transactions on Neural Networks and Learning Systems.

    Rippel, Gelbart and Adams (2014). Learning ordered representations with nested dropout. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import NestedDropoutClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, _ = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> model = NestedDropoutClassifier(max_epochs=20, random_state=0).fit(X, y_noisy)
    >>> model.transform(X).shape == (600, model.width_)
    True
    >>> bool(model.score(X, y) > 0.8)
    True
    """

    width_scores_: np.ndarray
    compression: Literal["nested_dropout", "dropout", "bottleneck"]
    sigma: float | None
    dropout_rate: float
    target_kl: float

    _net_class = CompressedNet

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "compression": [StrOptions({"nested_dropout", "dropout", "bottleneck"})],
        "sigma": [None, Interval(Real, 0, None, closed="neither")],
        "dropout_rate": [Interval(Real, 0, 1, closed="left")],
        "target_kl": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        module: ModuleLike | None = None,
        *,
        compression: Literal["nested_dropout", "dropout", "bottleneck"] = "nested_dropout",
        sigma: float | None = None,
        dropout_rate: float = 0.3,
        target_kl: float = 3.0,
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
        early_stopping: bool | Literal["auto"] = True,
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # the type of the network
        return tags

    def _build_module(self, shape: int | tuple[int, ...], n_outputs: int) -> torch.nn.Module:
        return CompressedNetwork(
            super()._build_module(shape, n_outputs),
            n_outputs,
            compression=self.compression,
            sigma=self.sigma,
            dropout_rate=self.dropout_rate,
            target_kl=self.target_kl,
        )

    def _add_noise(self, module: torch.nn.Module) -> None:
        module.backbone.head = HiddenNoise(self.hidden_noise)

    def _set_fitted_attributes(self, training: Training) -> None:
        super()._set_fitted_attributes(training)
        if self.compression == "nested_dropout" and training.valid is not None:
            net = self.net_
            net._set_training(False)
            with torch.no_grad():
                scores = net.width_accuracy(net.get_iterator(training.valid))
            self.width_scores_ = scores.cpu().numpy()
        elif hasattr(self, "width_scores_"):
            del self.width_scores_

    @property
    def width_(self) -> int:
        """Number of features that predict."""
        return int(self.module_.width)

    @property
    def _n_features_out(self) -> int:
        return self.width_

    def _check_width(self, width: int | None) -> int:
        """Resolve the default width, and refuse one that the network does not have."""
        check_is_fitted(self)
        if width is None:
            return self.width_
        n_features = self.module_.n_features_out
        if not isinstance(width, Integral) or not 1 <= width <= n_features:
            raise ValueError(f"width must be an integer from 1 to {n_features}, got {width!r}.")
        return int(width)

    def predict(self, X: RowsLike, *, width: int | None = None) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        %(X_rows)s
        width : int, default=None
            Number of features that predict; None is ``width_``.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        width = self._check_width(width)
        rows = self._rows_to_predict(X)
        logits = self.net_.predict_outputs(rows, lambda x: self.module_(x, width))
        return self.classes_[logits.argmax(dim=1).numpy()]

    def transform(self, X: RowsLike, *, width: int | None = None) -> np.ndarray:
        """Compute the first features, in their order.

        Parameters
        ----------
        %(X_rows)s
        width : int, default=None
            Number of features; None is ``width_``.

        Returns
        -------
        features : ndarray of shape (n_samples, width)
            Features, the most informative ones first with nested dropout.
        """
        width = self._check_width(width)
        rows = self._rows_to_predict(X)
        features = self.net_.predict_outputs(rows, lambda x: self.module_.features(x)[:, :width])
        return features.numpy().astype(np.dtype(self.dtype), copy=False)

    def truncated_module(self, width: int | None = None) -> torch.nn.Module:
        """Make a separate network with only the features that predict.

        Parameters
        ----------
        width : int, default=None
            Number of features; None is ``width_``.

        Returns
        -------
        module : torch.nn.Module
            On the CPU, in evaluation mode; a smaller copy. Where the features are the last hidden
            layer of an :class:`~skrobust.neural.modules.MLP` without norms, the others are not
            computed.
        """
        width = self._check_width(width)
        network = TruncatedNetwork(copy.deepcopy(self.module_).cpu(), width).eval()
        if self.compression != "bottleneck" and isinstance(network.backbone, MLP):
            _narrow(network.backbone, width)
        return network


def _narrow(network: MLP, width: int) -> None:
    """Reduce the last hidden layer to its first units."""
    linears = [m for m in network.body if isinstance(m, torch.nn.Linear)]
    if not linears or any(isinstance(m, torch.nn.BatchNorm1d) for m in network.body):
        return
    last = linears[-1]
    last.weight = torch.nn.Parameter(last.weight.detach()[:width].clone())
    if last.bias is not None:
        last.bias = torch.nn.Parameter(last.bias.detach()[:width].clone())
    last.out_features = network.n_features_out = width
