"""Labels: which are missing, which classes there are, and their integer codes."""

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

MISSING = -1
"""The code of a missing label."""


def _is_missing(value) -> bool:
    """Whether a single object stands for a missing label: None, NaN, NaT, NA, or blank text."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    return type(value).__name__ in ("NAType", "NaTType")


def _as_column(y, name: str) -> np.ndarray:
    if y is None:
        raise ValueError(f"requires {name} to be passed, but the target {name} is None")
    array = y if isinstance(y, np.ndarray) else _to_numpy(y, name)
    if array.ndim == 2 and array.shape[1] > 1:
        raise ValueError(
            f"{name} should be a 1d array of labels, got an array of shape {array.shape} instead."
        )
    return column_or_1d(array, warn=True)


def _to_numpy(y, name: str) -> np.ndarray:
    if hasattr(y, "toarray"):
        raise TypeError(
            f"A sparse matrix was passed as {name}, but dense data is required. Use"
            f" {name}.toarray() to convert it to a dense array."
        )
    if isinstance(y, (list, tuple)) and any(_is_missing(value) for value in y):
        # NumPy would turn [1, None] into objects but ["a", nan] into text that reads "nan".
        return np.asarray([None if _is_missing(value) else value for value in y], dtype=object)
    return np.asarray(y)


def missing_labels(y, *, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Split labels into values and a mask of the missing ones.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels of any kind; None, NaN, NaT, NA and blank text are missing.
    name : str
        What to call `y` in messages.

    Returns
    -------
    values : ndarray of shape (n_samples,)
        The labels; entries under `missing` mean nothing.
    missing : ndarray of shape (n_samples,) of bool
        True where there is no label.

    Raises
    ------
    ValueError
        If `y` is None, not one-dimensional, infinite, or continuous.
    TypeError
        If labels of different kinds, such as text and numbers, are mixed.
    """
    values = _as_column(y, name)
    kind = values.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported\n{name} holds complex numbers.")
    if kind == "f":
        missing = np.isnan(values)
        if np.isinf(values).any():
            raise ValueError(f"{name} contains infinity, which is no label.")
    elif kind in "OUT":
        missing = np.fromiter((_is_missing(v) for v in values), dtype=bool, count=len(values))
        if kind != "U":
            values = _unbox(values, missing, name)
    else:
        missing = np.zeros(len(values), dtype=bool)
    if len(values) and not missing.all():
        given = values if not missing.any() else values[~missing]
        # A cheap look first: the full check sorts, and integers and text are labels anyway.
        if given.dtype.kind == "f" and np.array_equal(given, np.trunc(given)):
            pass
        elif given.dtype.kind not in "iubUO":
            check_classification_targets(given)
    return values, missing


def _unbox(values: np.ndarray, missing: np.ndarray, name: str) -> np.ndarray:
    """Turn an object array of labels of one kind into an array that sorts."""
    kinds = {
        "text" if isinstance(v, str) else "number" if np.isscalar(v) else type(v).__name__
        for v in values[~missing]
    }
    if len(kinds) > 1:
        raise TypeError(
            f"{name} mixes labels of different kinds ({', '.join(sorted(kinds))}); convert them to"
            " one kind first."
        )
    if kinds == {"number"}:
        plain = np.asarray(values[~missing].tolist())
        unboxed = np.zeros(len(values), dtype=plain.dtype)
        unboxed[~missing] = plain
        if unboxed.dtype.kind == "f" and np.isinf(unboxed).any():
            raise ValueError(f"{name} contains infinity, which is no label.")
        return unboxed
    if kinds and kinds != {"text"}:
        raise ValueError(f"Unknown label type: {name} holds objects of type {kinds.pop()}.")
    return values


def encode_labels(y, *, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Encode labels as integers.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels; see :func:`missing_labels` for what is missing.
    name : str
        What to call `y` in messages.

    Returns
    -------
    codes : ndarray of shape (n_samples,), dtype intp
        Position of each label in `classes`, -1 where it is missing.
    classes : ndarray of shape (n_classes,)
        The distinct labels, sorted.
    """
    values, missing = missing_labels(y, name=name)
    codes = np.full(len(values), MISSING, dtype=np.intp)
    classes, codes[~missing] = np.unique(values[~missing], return_inverse=True)
    return codes, classes


def encode_labels_like(y, classes: np.ndarray, *, name: str) -> np.ndarray:
    """Encode labels with the codes of known classes.

    Raises
    ------
    ValueError
        If a label is none of `classes`.
    """
    values, missing = missing_labels(y, name=name)
    own, inverse = np.unique(values[~missing], return_inverse=True)
    position = {label: i for i, label in enumerate(classes.tolist())}
    unknown = [label for label in own.tolist() if label not in position]
    if unknown:
        shown = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
        raise ValueError(
            f"{name} holds labels that are not among the {len(classes)} known classes: {shown}."
        )
    codes = np.full(len(values), MISSING, dtype=np.intp)
    codes[~missing] = np.array([position[label] for label in own.tolist()], dtype=np.intp)[inverse]
    return codes


def decode_labels(codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Turn codes into labels; a row of which nothing is known gets None.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), dtype intp
        Positions in `classes`, -1 for a missing label.
    classes : ndarray of shape (n_classes,)
        Labels.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        Of the type of `classes`, or objects where one is missing.
    """
    labels = classes[np.maximum(codes, 0)]
    if (codes < 0).any():
        labels = labels.astype(object)
        labels[codes < 0] = None
    return labels


def codes_for_columns(y, n_columns: int, *, classes=None) -> np.ndarray:
    """Match labels with the columns of a matrix of probabilities.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, none missing.
    n_columns : int
        Number of columns.
    classes : array-like of shape (n_columns,), default=None
        The label that each column stands for. None: integers from 0 to ``n_columns - 1`` are
        column numbers; other labels stand for the columns in sorted order, if as many differ as
        there are columns.

    Returns
    -------
    codes : ndarray of shape (n_samples,), of an integer type
        Column of each label.
    """
    values, missing = missing_labels(y)
    if missing.any():
        raise ValueError(
            f"y has {int(missing.sum())} missing labels: leave these rows out of y and pred_proba."
        )
    if classes is not None:
        classes = np.asarray(classes)
        if classes.shape != (n_columns,):
            raise ValueError(
                f"classes must name the {n_columns} columns of pred_proba, got shape"
                f" {classes.shape}."
            )
        return encode_labels_like(values, classes, name="y")
    if len(values) and values.dtype.kind in "iu" and values.min() >= 0:
        if values.max() < n_columns:
            # Unsigned 64-bit integers become floating-point numbers in sums with signed ones.
            return values.astype(np.intp) if values.dtype.kind == "u" else values
    elif len(values) and values.dtype.kind == "f" and 0 <= values.min() <= values.max() < n_columns:
        return values.astype(np.intp)
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) != n_columns:
        raise ValueError(
            f"y has {len(distinct)} distinct labels but pred_proba has {n_columns} columns: pass"
            " `classes`, the label of each column, or labels that are column numbers."
        )
    return codes
