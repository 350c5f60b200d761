"""A network that compresses what it knows of a row, because wrong labels need much room."""

import copy
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skrobust.neural._base import BaseNeuralClassifier
from skrobust.neural._compressed import CompressedNet, CompressedNetwork, TruncatedNetwork
from skrobust.neural._shared_parameters import shares_parameters
from skrobust.neural.layers import HiddenNoise
from skrobust.neural.modules import MLP
from skrobust.utils._sklearn import Interval, StrOptions


@shares_parameters(early_stopping=True)
class NestedDropoutClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseNeuralClassifier
):
    """A network with compressed features, which have less room to learn wrong labels by heart.

    In each step only the first k features of the last hidden layer are kept, with a random k,
    smaller ones being likelier. So features get an order: what most rows have in common is told by
    the first ones, and what only helps to memorise single rows is left to the last. After each
    epoch all widths are scored at once on held-out rows, and the best is what predicts.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    compression : {"nested_dropout", "dropout", "bottleneck"}, default="nested_dropout"
        - "nested_dropout": as described above;
        - "dropout": each feature is left out with the probability `dropout_rate`;
        - "bottleneck": features are random, and what they tell about a row costs; see
          :class:`~skrobust.neural.layers.VariationalBottleneck`.
    sigma : float, default=None
        Only for "nested_dropout": scale of the widths, whose probability is proportional to
        ``exp(-(k / sigma) ** 2)``. None is half of the number of features.
    dropout_rate : float, default=0.3
        Only for "dropout": share of the features that are left out, in [0, 1).
    target_kl : float, default=3.0
        Only for "bottleneck": nats that pass for each row.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    width_ : int
        How many features predict.
    width_scores_ : ndarray of shape (n_features_out,)
        Only for "nested_dropout" with rows held out: the accuracy of each width on them. Their
        labels are as wrong as all others.

    See Also
    --------
    CoTeachingClassifier : Lets two such networks teach each other.
    skrobust.neural.layers.NestedDropout : The layer.

    Notes
    -----
    Rows are held out by default, unlike in :class:`NeuralClassifier`: without them
    (``early_stopping=False``) all features predict. The published method chooses the width on
    clean rows; here it is chosen on noisy ones. Wrong labels that do not depend on the width
    lower the accuracy of all widths alike.

    A small `sigma` asks for many epochs, as batches that hold more than a few features are then
    rare: Chen et al. take a fiftieth to a fifth of the features, and train for 350 epochs on
    CIFAR. The default is larger, for some tens of epochs on tables; `benchmarks/neural_defaults.py`
    compares.

    The network must have features between which and its scores something can be put: see
    :mod:`skrobust.neural.modules`. The head has no intercept.

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
        *,
        compression="nested_dropout",
        sigma=None,
        dropout_rate=0.3,
        target_kl=3.0,
    ):
        self.compression = compression
        self.sigma = sigma
        self.dropout_rate = dropout_rate
        self.target_kl = target_kl

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # what the network computes in
        return tags

    def _build_module(self, shape, n_classes):
        return CompressedNetwork(
            super()._build_module(shape, n_classes),
            n_classes,
            compression=self.compression,
            sigma=self.sigma,
            dropout_rate=self.dropout_rate,
            target_kl=self.target_kl,
        )

    def _add_noise(self, module):
        module.backbone.head = HiddenNoise(self.hidden_noise)

    def _run(self, parts, n_epochs, data) -> None:
        vars(self).pop("width_scores_", None)
        super()._run(parts, n_epochs, data)
        if self.compression == "nested_dropout" and parts[1] is not None:
            net = self.net_
            net._set_training(False)
            with torch.no_grad():
                scores = net.width_accuracy(net.get_iterator(parts[1]))
            self.width_scores_ = scores.cpu().numpy()

    @property
    def width_(self) -> int:
        """How many features predict."""
        return int(self.module_.width)

    @property
    def _n_features_out(self) -> int:
        return self.width_

    def _check_width(self, width) -> int:
        check_is_fitted(self)
        if width is None:
            return self.width_
        n_features = self.module_.n_features_out
        if not isinstance(width, Integral) or not 1 <= width <= n_features:
            raise ValueError(f"width must be an integer from 1 to {n_features}, got {width!r}.")
        return int(width)

    def predict(self, X, *, width=None):
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, ...)
            Rows.
        width : int, default=None
            How many features predict; None is ``width_``.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        width = self._check_width(width)
        rows = self._rows_to_predict(X)
        logits = self.net_.predict_logits(rows, lambda x: self.module_(x, width))
        return self.classes_[logits.argmax(dim=1).numpy()]

    def transform(self, X, *, width=None):
        """Compute the first features, in their order.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, ...)
            Rows.
        width : int, default=None
            How many; None is ``width_``.

        Returns
        -------
        features : ndarray of shape (n_samples, width)
            Features, the most telling ones first with nested dropout.
        """
        width = self._check_width(width)
        rows = self._rows_to_predict(X)
        features = self.net_.predict_logits(rows, lambda x: self.module_.features(x)[:, :width])
        return features.numpy().astype(np.dtype(self.dtype), copy=False)

    def truncated_module(self, width=None) -> torch.nn.Module:
        """Make a network of its own that has only the features that predict.

        Parameters
        ----------
        width : int, default=None
            How many; None is ``width_``.

        Returns
        -------
        module : torch.nn.Module
            On the CPU, in evaluation mode; a smaller copy. Where the features are the last hidden
            layer of an :class:`~skrobust.neural.modules.MLP` without norms, the others are not even
            computed.
        """
        width = self._check_width(width)
        network = TruncatedNetwork(copy.deepcopy(self.module_).cpu(), width).eval()
        if self.compression != "bottleneck" and isinstance(network.backbone, MLP):
            _narrow(network.backbone, width)
        return network


def _narrow(network: MLP, width: int) -> None:
    """Cut the last hidden layer down to its first units."""
    linears = [m for m in network.body if isinstance(m, torch.nn.Linear)]
    if not linears or any(isinstance(m, torch.nn.BatchNorm1d) for m in network.body):
        return
    last = linears[-1]
    last.weight = torch.nn.Parameter(last.weight.detach()[:width].clone())
    if last.bias is not None:
        last.bias = torch.nn.Parameter(last.bias.detach()[:width].clone())
    last.out_features = network.n_features_out = width
