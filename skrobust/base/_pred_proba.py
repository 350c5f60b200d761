"""Validation of matrices of predicted probabilities, and their match with given labels."""

import narwhals.stable.v1 as nw
import numpy as np

from skrobust.base._labels import codes_for_columns, encode_labels
from skrobust.utils._input import check_index, frame_columns, number_matrix
from skrobust.utils._parallel import for_each_block

SUM_TOLERANCE = 1e-3
"""How far the sum of a row may be from 1; float16 scores are rounded to about this."""


def as_proba(pred_proba, n_samples: int | None = None) -> np.ndarray:
    """Take a matrix of probabilities without a copy if it is one of floats, unchecked."""
    array = number_matrix(pred_proba, "pred_proba")
    array = array if isinstance(array, np.ndarray) else np.asarray(array)
    if array.dtype == np.float16 or array.dtype.kind != "f":
        if array.dtype.kind not in "fiub":
            raise ValueError(f"pred_proba must be numbers, got an array of {array.dtype}.")
        array = array.astype(np.float64 if array.dtype.kind != "f" else np.float32)
    if array.ndim != 2:
        advice = " For p of the second of two classes, pass numpy.column_stack([1 - p, p])."
        raise ValueError(
            "pred_proba must have shape (n_samples, n_classes), got an array of shape"
            f" {array.shape}.{advice if array.ndim == 1 else ''}"
        )
    if array.shape[1] < 2:
        raise ValueError(
            "pred_proba must have a column for each of at least two classes, got"
            f" {array.shape[1]} column."
        )
    if array.shape[0] == 0:
        raise ValueError("pred_proba has no row.")
    if n_samples is not None and len(array) != n_samples:
        raise ValueError(
            f"y and pred_proba must have the same number of rows, got {n_samples} and {len(array)}."
        )
    return array


def match_proba(y, pred_proba, *, classes=None) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as column numbers, and probabilities with columns in the order of classes."""
    if getattr(y, "ndim", 1) == 2 and getattr(pred_proba, "ndim", 2) == 1:
        raise ValueError(
            f"y has shape {y.shape} and pred_proba has shape {pred_proba.shape}: labels come first,"
            " then probabilities."
        )
    check_index(y, pred_proba, "pred_proba")
    names = column_names(pred_proba)
    proba = as_proba(pred_proba)
    if names is not None:
        if classes is None:
            classes = _classes_of_names(y, names)
        proba = proba[:, order_of_columns(names, classes)]
    codes = codes_for_columns(y, proba.shape[1], classes=classes)
    as_proba(proba, len(codes))
    return codes, proba


def column_classes(y, pred_proba, classes=None) -> np.ndarray:
    """Return the label that each column stands for, as :func:`match_proba` orders them."""
    if classes is not None:
        return np.asarray(classes)
    names = column_names(pred_proba)
    if names is not None:
        return _classes_of_names(y, names)
    distinct, n_columns = encode_labels(y)[1], np.shape(pred_proba)[1]
    return distinct if len(distinct) == n_columns else np.arange(n_columns)


def column_names(frame) -> list | None:
    """Names of the columns of a data frame; None where they just count the columns."""
    if frame_columns(frame) is None:
        return None
    if hasattr(frame, "iloc"):
        names = list(frame.columns)
        counted = type(frame.columns).__name__ == "RangeIndex" and names == [*range(len(names))]
    else:  # polars names the columns of an array so
        names = list(nw.from_native(frame).columns)
        counted = names == [f"column_{i}" for i in range(len(names))]
    return None if counted else names


def _classes_of_names(y, names) -> np.ndarray:
    """The classes that columns are named after, sorted: those of y, and perhaps more."""
    _, classes = encode_labels(y)
    label_of = {**{str(label): label for label in classes.tolist()}}
    label_of.update({label: label for label in classes.tolist()})
    labels = [label_of.get(name, name) for name in names]
    if not set(classes.tolist()) <= set(labels):
        raise _other_names(names, classes)
    try:
        return encode_labels(labels, name="the columns of pred_proba")[1]
    except TypeError:
        raise _other_names(names, classes) from None


def order_of_columns(names, classes) -> np.ndarray:
    """Position of the column of each class, by name, or by the text of the name."""
    labels = np.asarray(classes).tolist()
    place = {name: i for i, name in enumerate(names)}
    if set(labels) != set(place):
        place = {str(name): i for name, i in place.items()}
        labels = list(map(str, labels))
    if set(labels) != set(place) or len(place) != len(names):
        raise _other_names(names, np.asarray(classes))
    return np.array([place[label] for label in labels], dtype=np.intp)


def _other_names(names, classes) -> ValueError:
    shown = [
        ", ".join(map(repr, some[:5])) + (", ..." if len(some) > 5 else "")
        for some in (list(names), classes.tolist())
    ]
    return ValueError(
        f"The columns of pred_proba are named {shown[0]}, but the classes are {shown[1]}. Name each"
        " column after its class, or pass pred_proba.to_numpy() with the columns in sorted order"
        " of the classes."
    )


def check_all(pred_proba: np.ndarray, *, n_jobs: int | None = None) -> None:
    """Refuse a matrix that holds anything but probabilities, block by block."""

    def check(start: int, stop: int) -> None:
        block = np.asarray(pred_proba[start:stop])
        check_block(block, block.sum(axis=1), block.min(), start)

    row_bytes = pred_proba.shape[1] * pred_proba.itemsize
    for_each_block(check, len(pred_proba), row_bytes, n_jobs=n_jobs)


def check_block(
    block: np.ndarray,
    row_sums: np.ndarray,
    smallest: float,
    start: int,
    *,
    name: str = "pred_proba",
) -> None:
    """Refuse a block of probabilities, from row `start` on, by its row sums and smallest entry."""
    # NaN and infinities show in the sums. Written so that NaN fails both comparisons.
    if smallest >= 0 and bool((np.abs(row_sums - 1) <= SUM_TOLERANCE).all()):
        return
    if is_log_proba(block):
        raise ValueError(
            f"{name} holds log probabilities: no entry is positive, and the exponentials of each"
            f" row sum to 1. Pass np.exp({name})."
        )
    finite = np.isfinite(row_sums)
    if not finite.all():
        row = start + int(np.flatnonzero(~finite)[0])
        raise ValueError(f"{name} has a NaN or infinite entry in row {row}.")
    if not smallest >= 0:
        raise ValueError(
            f"{name} has a negative entry ({smallest:.6g}) in the rows from {start} on. For scores"
            f" before the softmax, pass scipy.special.softmax({name}, axis=1)."
        )
    wrong = int(np.flatnonzero(~(np.abs(row_sums - 1) <= SUM_TOLERANCE))[0])
    raise ValueError(
        f"The rows of {name} must sum to 1, but row {start + wrong} sums to"
        f" {row_sums[wrong]:.6g}. Normalise the rows first."
    )


def is_log_proba(block: np.ndarray) -> bool:
    """Whether the rows are logarithms of probabilities that sum to 1."""
    if not block.max() <= 0:
        return False
    return bool((np.abs(np.exp(block).sum(axis=1) - 1) <= SUM_TOLERANCE).all())
