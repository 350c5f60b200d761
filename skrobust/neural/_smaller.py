"""Pruning and quantisation of fitted networks, and their cost in accuracy."""

import copy
import dataclasses
import functools
import io
import warnings
from numbers import Real

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch.nn.utils import prune as torch_prune

from skrobust.neural._nested_dropout_classifier import CompressedNetwork
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.utils._sklearn import Interval, validate_params
from skrobust.utils._typing import LabelsLike, MatrixLike

_PRUNED = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)


@dataclasses.dataclass(frozen=True)
class SmallerNetwork:
    """A smaller copy of a fitted classifier.

    .. versionadded:: 0.1

    Parameters
    ----------
    classifier : neural classifier
        Predicts as the original does, with the smaller network; on the CPU if quantised.
    accuracy_before, accuracy_after : float or None
        Accuracy on the rows passed, before and after. None without rows.
    size_before, size_after : int
        Bytes of the weights; of pruned ones, of those that are not zero.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrobust.neural import NeuralClassifier, prune_network
    >>> X, y = load_digits(return_X_y=True)
    >>> model = NeuralClassifier(max_epochs=10, random_state=0).fit(X / 16, y)
    >>> smaller = prune_network(model, 0.5, X=X / 16, y=y)
    >>> smaller.size_after < 0.6 * smaller.size_before
    True
    """

    classifier: BaseNeuralClassifier
    accuracy_before: float | None
    accuracy_after: float | None
    size_before: int
    size_after: int


@validate_params(
    {
        "classifier": [BaseNeuralClassifier],
        "amount": [Interval(Real, 0, 1, closed="left")],
        "X": "no_validation",
        "y": "no_validation",
    },
    prefer_skip_nested_validation=True,
)
def prune_network(
    classifier: BaseNeuralClassifier,
    amount: float = 0.5,
    *,
    X: MatrixLike | None = None,
    y: LabelsLike | None = None,
) -> SmallerNetwork:
    """Set the smallest weights of a fitted network to zero.

    .. versionadded:: 0.1

    Parameters
    ----------
    classifier : fitted neural classifier
        Not changed.
    amount : float, default=0.5
        Share of the weights of each linear layer and convolution that become zero, in [0, 1).
    X : array-like of length n_samples, default=None
        Rows to compare accuracies on.
    y : array-like of shape (n_samples,), default=None
        Their labels.

    Returns
    -------
    smaller : SmallerNetwork
        The pruned copy, with accuracies and sizes.

    Raises
    ------
    ValueError
        If only one of `X` and `y` is given, or the network has no such layers.

    See Also
    --------
    quantize_network : Weights of eight bits.

    References
    ----------
    Han, Pool, Tran and Dally (2015). Learning both weights and connections for efficient neural
    networks. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrobust.neural import NeuralClassifier, prune_network
    >>> X, y = load_digits(return_X_y=True)
    >>> model = NeuralClassifier(max_epochs=10, random_state=0).fit(X / 16, y)
    >>> smaller = prune_network(model, 0.5, X=X / 16, y=y)
    >>> bool(smaller.accuracy_after > smaller.accuracy_before - 0.02)
    True
    """
    before = _accuracy(classifier, X, y)
    copied = copy.deepcopy(classifier)
    layers = [m for m in copied.module_.modules() if isinstance(m, _PRUNED)]
    if not layers:
        raise ValueError(f"{type(classifier).__name__} has no linear layers or convolutions.")
    for layer in layers:
        # Layer by layer: all together, a layer of small weights would be lost as a whole.
        torch_prune.l1_unstructured(layer, "weight", amount=float(amount))
        torch_prune.remove(layer, "weight")
    size = sum(v.numel() * v.element_size() for v in classifier.module_.state_dict().values())
    kept = sum(
        int(torch.count_nonzero(v)) * v.element_size() for v in copied.module_.state_dict().values()
    )
    return SmallerNetwork(copied, before, _accuracy(copied, X, y), size, kept)


@validate_params(
    {"classifier": [BaseNeuralClassifier], "X": "no_validation", "y": "no_validation"},
    prefer_skip_nested_validation=True,
)
def quantize_network(
    classifier: BaseNeuralClassifier,
    *,
    X: MatrixLike | None = None,
    y: LabelsLike | None = None,
) -> SmallerNetwork:
    """Store the weights of the linear layers of a fitted network in eight bits.

    Inputs of these layers are quantised dynamically, so that no calibration data are needed.
    The copy predicts on the CPU, and cannot be trained further.

    .. versionadded:: 0.1

    Parameters
    ----------
    classifier : fitted neural classifier
        Not changed. It computes in float32.
    X : array-like of length n_samples, default=None
        Rows to compare accuracies on.
    y : array-like of shape (n_samples,), default=None
        Their labels.

    Returns
    -------
    smaller : SmallerNetwork
        The quantised copy, with accuracies and sizes.

    Raises
    ------
    ValueError
        If only one of `X` and `y` is given, the network computes in float64, or torch has no
        quantised layers on this machine.

    See Also
    --------
    prune_network : Weights of zero.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrobust.neural import NeuralClassifier, quantize_network
    >>> X, y = load_digits(return_X_y=True)
    >>> model = NeuralClassifier(max_epochs=10, random_state=0).fit(X / 16, y)
    >>> smaller = quantize_network(model, X=X / 16, y=y)
    >>> bool(smaller.accuracy_after > smaller.accuracy_before - 0.02)
    True
    """
    before = _accuracy(classifier, X, y)
    if classifier.dtype == "float64":
        raise ValueError("The network computes in float64: only dtype='float32' is quantised.")
    if torch.backends.quantized.engine == "none":
        raise ValueError("torch has no quantised layers on this machine.")
    copied = copy.deepcopy(classifier)
    network = copied.module_.cpu().eval()
    size = _size(network)
    with warnings.catch_warnings():
        # It is announced to move to another package, which does not have this form yet.
        warnings.simplefilter("ignore")
        quantize = functools.partial(
            torch.ao.quantization.quantize_dynamic,
            qconfig_spec={torch.nn.Linear},
            dtype=torch.qint8,
        )
        for part in getattr(network, "nets", [network]):
            # The head of a compressed network is read in parts.
            if isinstance(part, CompressedNetwork):
                part.backbone = quantize(part.backbone)
        if not any(isinstance(part, CompressedNetwork) for part in network.modules()):
            network = quantize(network)
    copied.net_.replace_network(network)
    return SmallerNetwork(copied, before, _accuracy(copied, X, y), size, _size(network))


def _accuracy(
    classifier: BaseNeuralClassifier, X: MatrixLike | None, y: LabelsLike | None
) -> float | None:
    """Compute the accuracy on some rows, if there are any."""
    check_is_fitted(classifier)
    if (X is None) != (y is None):
        raise ValueError("X and y must be given together, or neither.")
    return None if X is None else float(np.mean(classifier.predict(X) == np.asarray(y)))


def _size(network: torch.nn.Module) -> int:
    """Bytes of the weights of a network."""
    saved = io.BytesIO()
    torch.save(network.state_dict(), saved)
    return saved.getbuffer().nbytes
