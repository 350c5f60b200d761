"""What is asked of networks and labels before a training, and what is measured of them."""

import numpy as np
import torch
from sklearn.utils.validation import check_consistent_length
from torch.nn import Linear

from skrobust.neural._rows import Rows
from skrobust.utils._data import LabelledData
from skrobust.utils._labels import encode_labels_like
from skrobust.utils._proba import as_proba, check_block
from skrobust.utils._sklearn import check_sample_weight

# Rows of which the spread of the input is taken, and how many are read at a time.
_SAMPLE, _PIECE = 10_000, 512


def split(module) -> torch.nn.Module:
    """Refuse a network that has no features between which and its scores something can be put."""
    if not (hasattr(module, "features") and isinstance(getattr(module, "head", None), Linear)):
        raise ValueError(
            f"module makes a {type(module).__name__}, which has no method `features` and no linear"
            " layer `head` that reads its scores off them, as those of skrobust.neural.modules do."
        )
    return module


def check_targets(target_proba, data) -> np.ndarray:
    """Validate probabilities of classes that are to be learned instead of labels."""
    proba = np.asarray(target_proba)
    expected = (data.n_samples, len(data.classes))
    if proba.shape != expected:
        raise ValueError(
            f"target_proba must have the shape {expected}: a row for each label, and a column for"
            f" each class in sorted order. It has {proba.shape}."
        )
    proba = as_proba(proba)
    try:
        check_block(proba.sum(axis=1), float(proba.min()), 0)
    except ValueError as error:
        raise ValueError(
            "target_proba must hold probabilities: finite, none negative, summing to 1 per row."
            f" {error}"
        ) from None
    return proba


def check_more(X, y, classes, sample_weight) -> LabelledData:
    """Validate rows of classes that are known already, of which some may be missing here."""
    codes = encode_labels_like(y, classes, name="y")
    check_consistent_length(X, codes)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    data = LabelledData(X, codes, classes, np.full(len(codes), -1, dtype=np.intp), weight)
    if not data.used.any():
        raise ValueError("y has no label: there is nothing to learn.")
    return data


def spread(rows: Rows) -> torch.Tensor:
    """Standard deviation of the input, per feature of a table, else of all numbers."""
    n, mean, squares = 0, 0.0, 0.0
    for part in rows.order(shuffle=True)[:_SAMPLE].split(_PIECE):
        piece = rows.input_at(part)
        piece = piece if piece.ndim == 2 else piece.reshape(-1, 1)
        k, centre = len(piece), piece.mean(dim=0)
        gap = centre - mean
        squares = squares + (piece - centre).square().sum(dim=0) + gap**2 * (n * k / (n + k))
        n, mean = n + k, mean + gap * (k / (n + k))
    spread = (squares / n).sqrt()
    return spread if len(rows.X.shape) == 2 else spread[0]


def widest(module, rows: Rows) -> int:
    """How many numbers one row takes where the network is widest, the input included."""
    first = rows.input_at(rows.order(shuffle=False)[:2])
    widest = [first.numel() // len(first)]

    def look(_, __, output):
        if isinstance(output, torch.Tensor) and len(output):
            widest.append(output.numel() // len(output))

    hooks = [part.register_forward_hook(look) for part in module.modules()]
    try:
        with torch.no_grad():
            module(first)
    finally:
        for hook in hooks:
            hook.remove()
    return max(widest)
