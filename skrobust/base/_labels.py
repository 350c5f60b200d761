"""Reading and encoding of given labels: classes, numbers and indicators."""

import numpy as np
from scipy import sparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skrobust.utils._input import check_exact, number_matrix, split_column

MISSING = -1
"""The code of a missing label."""


_ADVICE = "convert them to text, integers or numpy.datetime64 first"


def _as_column(y, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels as a column, with the mask of the missing ones, blank text among them."""
    if y is None:
        raise ValueError(f"requires {name} to be passed, but the target {name} is None")
    values, missing = split_column(y, name)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ValueError(
            f"{name} should be a 1d array of labels, got an array of shape {values.shape} instead."
            f" For one-hot rows or probabilities, pass classes[numpy.argmax({name}, axis=1)]."
        )
    values, missing = column_or_1d(values, warn=True), missing.ravel()
    if values.dtype.kind in "OU":
        blank = (isinstance(value, str) and not value.strip() for value in values)
        missing = missing | np.fromiter(blank, dtype=bool, count=len(values))
    return values, missing


def missing_labels(y, *, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Split labels into values and a mask of the missing ones."""
    values, missing = _as_column(y, name)
    kind = values.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported\n{name} holds complex numbers.")
    if kind == "O":
        values = _unbox(values, missing, name)
    elif kind in "SV":
        what = "bytes" if kind == "S" else f"structured entries ({values.dtype})"
        raise TypeError(f"Unknown label type: {name} holds {what}; {_ADVICE}.")
    if values.dtype.kind == "f":
        given = values[~missing]
        if np.isinf(given).any():
            raise ValueError(f"{name} contains infinity, which is no label.")
        if np.array_equal(given, np.trunc(given)):
            check_exact(given, name)
        else:
            check_classification_targets(given)
    return values, missing


def _unbox(values: np.ndarray, missing: np.ndarray, name: str) -> np.ndarray:
    """Turn an object array of labels of one kind into an array that sorts."""
    present = values[~missing].tolist()
    types = set(map(type, present))
    kinds = {kind: _kind_of(kind) for kind in types}
    if len(set(kinds.values())) > 1:
        raise TypeError(
            f"{name} mixes labels of different kinds ({', '.join(sorted(set(kinds.values())))});"
            " convert them to one kind first."
        )
    kind = next(iter(kinds.values()), "text")
    if kind == "text":
        return values
    if kind == "bytes":
        raise TypeError(f"Unknown label type: {name} holds bytes; {_ADVICE}.")
    if kind == "Decimal":
        if any(value != value.to_integral_value() for value in present):
            raise ValueError(
                f"Unknown label type: {name} holds Decimal numbers with a fraction, which are"
                " no classes."
            )
        present = list(map(int, present))
    elif kind not in ("number", "numpy.datetime64", "numpy.timedelta64"):
        raise ValueError(f"Unknown label type: {name} holds objects of type {kind}; {_ADVICE}.")
    plain = np.asarray(present)
    whole = all(isinstance(value, (int, np.integer)) for value in present)
    if plain.dtype.kind not in "biufmM" or (whole and plain.dtype.kind == "f"):
        raise ValueError(
            f"{name} holds integers that do not fit into 64 bits: convert the labels to text first."
        )
    unboxed = np.zeros(len(values), dtype=plain.dtype)
    unboxed[~missing] = plain
    return unboxed


def _kind_of(cls: type) -> str:
    """Kind of the labels of one Python or NumPy type."""
    if issubclass(cls, str):
        return "text"
    if issubclass(cls, bytes):
        return "bytes"
    if issubclass(cls, (np.datetime64, np.timedelta64)):
        return f"numpy.{cls.__name__}"
    if issubclass(cls, (bool, int, float, complex, np.number, np.bool_)):
        return "number"
    return cls.__name__


def encode_labels(y, *, name: str = "y") -> tuple[np.ndarray, np.ndarray]:
    """Encode labels as integers."""
    values, missing = missing_labels(y, name=name)
    codes = np.full(len(values), MISSING, dtype=np.intp)
    classes, codes[~missing] = np.unique(values[~missing], return_inverse=True)
    return codes, classes


def encode_labels_like(y, classes: np.ndarray, *, name: str) -> np.ndarray:
    """Encode labels with the codes of known classes."""
    values, missing = missing_labels(y, name=name)
    own, inverse = np.unique(values[~missing], return_inverse=True)
    if own.dtype.kind in "mM" and own.dtype.kind == classes.dtype.kind:
        unit = np.promote_types(own.dtype, classes.dtype)  # days and nanoseconds do compare
        own, classes = own.astype(unit), classes.astype(unit)
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


def encode_verified(verified_labels, classes: np.ndarray) -> np.ndarray:
    """Encode verified labels with the codes of known classes."""
    refuse_mask(verified_labels, classes.dtype.kind == "b")
    return encode_labels_like(verified_labels, classes, name="verified_labels")


def refuse_mask(verified_labels, labels_are_bool: bool = False) -> None:
    """Refuse True and False in place of verified labels, unless the labels are such."""
    if labels_are_bool:
        return
    values, missing = _as_column(verified_labels, "verified_labels")
    present = values[~missing]
    is_bool = present.dtype.kind == "b" or (
        present.dtype.kind == "O" and all(isinstance(v, (bool, np.bool_)) for v in present)
    )
    if is_bool and len(present):
        raise TypeError(
            "verified_labels holds True and False, which are no labels of y. Pass the label of each"
            " checked row and None for all others; where `mask` marks rows whose label in y is"
            " right, that is numpy.where(mask, y, None)."
        )


def codes_for_columns(y, n_columns: int, *, classes=None) -> np.ndarray:
    """Match labels with the columns of a matrix of probabilities."""
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


def check_targets(y, *, name: str = "y") -> np.ndarray:
    """Validate numeric targets."""
    if y is None:
        raise ValueError(f"requires {name} to be passed, but the target {name} is None")
    values, missing = split_column(y, name)
    if values.ndim == 2 and values.shape[1] > 1:
        raise ValueError(
            f"{name} should be a 1d array of targets, got an array of shape {values.shape} instead."
        )
    values, missing = column_or_1d(values, warn=True), missing.ravel()
    if values.dtype.kind == "O":
        values = np.where(missing, None, values)
    values = as_floats(values, name)
    values[missing] = np.nan
    if np.isinf(values).any():
        raise ValueError(f"{name} contains infinity, which is no target.")
    return values


def as_floats(values: np.ndarray, name: str) -> np.ndarray:
    """Convert an array to float64 with NaN for what is missing, or refuse what is no number."""
    kind = values.dtype.kind
    if kind == "c":
        raise ValueError(f"Complex data not supported\n{name} holds complex numbers.")
    if kind in "fiub":
        return values.astype(np.float64)
    if kind in "OT":
        flat = [np.nan if type(v).__name__ == "NAType" else v for v in values.ravel().tolist()]
        text = next((v for v in flat if isinstance(v, (str, bytes))), None)
        if text is None:
            try:
                return np.array(
                    [np.nan if v is None else v for v in flat], dtype=np.float64
                ).reshape(values.shape)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"Unknown label type: {name} holds no numbers ({error})."
                ) from None
    else:
        text = values.ravel()[0] if values.size else ""
    raise ValueError(
        f"{name} must be numeric, but holds {str(text)!r}: could not convert it to float."
    )


def check_indicators(y, *, name: str = "y") -> np.ndarray:
    """Validate an indicator matrix."""
    if y is None:
        raise ValueError(f"requires {name} to be passed, but the target {name} is None")
    try:
        values = np.asarray(y.toarray() if sparse.issparse(y) else number_matrix(y, name))
        found = f"shape {values.shape}"
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        values, found = np.empty(0), "lists of different lengths"
    if values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{name} holds complex numbers.")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{name} must be an indicator matrix of shape (n_samples, n_labels), got {found}. For"
            f" the labels of each row, pass MultiLabelBinarizer().fit_transform({name})."
        )
    values = as_floats(values, name)
    missing = np.isnan(values)
    bad = ~missing & (values != 0) & (values != 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        what = "infinity" if np.isinf(values[row, column]) else f"{values[row, column]:g}"
        raise ValueError(
            f"Unknown label type: {name} must hold 0, 1 and missing entries only, but row {row},"
            f" column {column} is {what}."
        )
    return np.where(missing, MISSING, np.nan_to_num(values)).astype(np.intp)
