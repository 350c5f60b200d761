"""What is asked of networks and labels before a training, and what is measured of them."""

import numpy as np
import torch
from sklearn.utils.validation import check_consistent_length
from skorch.callbacks import InputShapeSetter, LRScheduler
from torch.nn import Linear

from skrobust.base import LabelledData
from skrobust.base._labels import encode_labels_like
from skrobust.base._pred_proba import as_proba, check_block
from skrobust.neural._nested_params import callbacks_of
from skrobust.neural._rows import Rows
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


def check_callbacks(callbacks, schedule: str, *, held_out: bool) -> None:
    """Refuse callbacks that could not do what they are for.

    Parameters
    ----------
    callbacks : list or None
        Callbacks, their classes, or pairs of a name and one of these.
    schedule : str
        The learning-rate schedule.
    held_out : bool
        Whether there are rows that are not trained on.
    """
    for callback in callbacks_of(callbacks):
        kind = callback if isinstance(callback, type) else type(callback)
        if not hasattr(kind, "on_epoch_end"):
            raise TypeError(
                f"callbacks has {callback!r}, which is no callback of skorch: it has no method"
                " on_epoch_end."
            )
        if issubclass(kind, InputShapeSetter):
            raise ValueError(
                "callbacks has InputShapeSetter, which is not needed: pass a module that is a"
                " function (shape, n_outputs) -> torch.nn.Module."
            )
        if issubclass(kind, LRScheduler) and schedule != "constant":
            raise ValueError(
                f"callbacks has LRScheduler, and learning_rate_schedule={schedule!r} would undo"
                " what it does: set learning_rate_schedule='constant'."
            )
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("valid_") and not held_out:
            raise ValueError(
                f"callbacks has {kind.__name__}, which monitors {monitor!r}, and no rows are held"
                " out: set early_stopping=True, pass validation_data to fit, or monitor"
                f" {monitor.replace('valid', 'train', 1)!r}."
            )


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
    check_block(proba, proba.sum(axis=1), float(proba.min()), 0, name="target_proba")
    return proba


def check_scores(output, n_rows: int, n_classes: int) -> None:
    """Refuse outputs of a network that are not one score per class, before the softmax."""
    shape = tuple(getattr(output, "shape", ()))
    if shape != (n_rows, n_classes):
        advice = " A network of two classes has two outputs as well." if n_classes == 2 else ""
        raise ValueError(
            f"module gives outputs of shape {shape} for {n_rows} rows, and must give"
            f" {(n_rows, n_classes)}: one for each of the {n_classes} classes.{advice}"
        )
    sums = output.double().sum(dim=1)
    if bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        raise ValueError(
            "module gives probabilities: its outputs are not negative and sum to 1 in each row."
            " Leave out the last softmax, as losses take scores before it."
        )


def class_weights(class_weight, data: LabelledData) -> np.ndarray | None:
    """Multiply the weights of rows by those of their classes.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
        Weight of each label, 1 for those that are left out; "balanced" is inverse to the weight
        of the rows of each class.
    data : LabelledData
        Rows.

    Returns
    -------
    weight : ndarray of shape (n_samples,) or None
        Weights.
    """
    if class_weight is None:
        return data.sample_weight
    codes, n_classes = data.y_train, len(data.classes)
    if isinstance(class_weight, dict):
        classes = data.classes.tolist()
        factors = np.array([class_weight.get(label, 1.0) for label in classes], dtype=np.float64)
        unknown = [label for label in class_weight if label not in classes]
        if unknown or not np.isfinite(factors).all() or (factors < 0).any() or not factors.any():
            raise ValueError(
                "class_weight must give labels finite weights that are not negative and not all"
                f" zero, and the labels are {classes}; got {class_weight}."
            )
    else:
        own = None if data.sample_weight is None else data.sample_weight[data.used]
        mass = np.bincount(codes[data.used], weights=own, minlength=n_classes)
        factors = mass.sum() / (n_classes * np.where(mass > 0, mass, 1.0))
    weight = np.where(codes >= 0, factors[codes], 1.0)
    return weight if data.sample_weight is None else weight * data.sample_weight


def split_validation(given) -> tuple:
    """Take rows to validate on apart: X, y and weights."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(
            "validation_data must be a tuple (X, y) or (X, y, sample_weight), got"
            f" {type(given).__name__}"
            + (f" of length {len(given)}." if isinstance(given, (tuple, list)) else ".")
        )
    return (*given, None) if len(given) == 2 else tuple(given)


def check_more(X, y, classes, sample_weight, name: str = "y") -> LabelledData:
    """Validate rows of classes that are known already, of which some may be missing here."""
    codes = encode_labels_like(y, classes, name=name)
    check_consistent_length(X, codes)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    data = LabelledData(X, codes, classes, np.full(len(codes), -1, dtype=np.intp), weight)
    if not data.used.any():
        raise ValueError(f"{name} has no label of positive weight.")
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
