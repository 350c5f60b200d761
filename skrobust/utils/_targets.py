"""Numeric targets on their way through the package: validated once, handed on as one thing."""

import dataclasses
import functools

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d, indexable

from skrobust.utils._columns import split_column
from skrobust.utils._data import check_groups, check_rows_match
from skrobust.utils._labels import refuse_mask
from skrobust.utils._sklearn import check_sample_weight, num_samples


@dataclasses.dataclass(frozen=True, eq=False)
class TargetData:
    """Rows, their given targets, and what else is known about them.

    Attributes
    ----------
    X : array-like of length n_samples
        Input, indexable and otherwise as it came.
    y : ndarray of shape (n_samples,)
        Given targets; NaN where missing.
    verified : ndarray of shape (n_samples,)
        Targets as checked by a person; NaN where nobody looked.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights.
    groups : ndarray of shape (n_samples,), dtype intp, or None
        Group numbers.
    """

    X: object
    y: np.ndarray
    verified: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @functools.cached_property
    def given(self) -> np.ndarray:
        """Rows that have a target."""
        return ~np.isnan(self.y)

    @functools.cached_property
    def checked(self) -> np.ndarray:
        """Rows that a person looked at."""
        return ~np.isnan(self.verified)

    @functools.cached_property
    def trusted(self) -> np.ndarray:
        """Rows whose given target was checked and found right, up to rounding."""
        return self.checked & np.isclose(self.y, self.verified)

    @functools.cached_property
    def known_errors(self) -> np.ndarray:
        """Rows whose given target was checked and found wrong."""
        return self.checked & self.given & ~self.trusted

    @functools.cached_property
    def best(self) -> np.ndarray:
        """Targets to learn from: the verified one where there is one, else the given one."""
        return np.where(self.checked, self.verified, self.y)

    @functools.cached_property
    def used(self) -> np.ndarray:
        """Rows to learn from: they have a target and count for something."""
        known = ~np.isnan(self.best)
        return known if self.sample_weight is None else known & (self.sample_weight > 0)

    def mass(self, rows: np.ndarray) -> float:
        """Sum up the weights of the rows under a mask."""
        return float(rows.sum() if self.sample_weight is None else self.sample_weight[rows].sum())


def check_target_data(X, y, *, verified_labels=None, sample_weight=None, groups=None) -> TargetData:
    """Validate what ``fit`` is given, before any work.

    Parameters
    ----------
    X : array-like of length n_samples
        Input of any kind.
    y : array-like of shape (n_samples,)
        Given targets, some perhaps missing.
    verified_labels : array-like of shape (n_samples,), default=None
        Targets as checked by a person, missing where nobody looked.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.
    groups : array-like of shape (n_samples,), default=None
        Groups.

    Returns
    -------
    data : TargetData
        The same, validated.
    """
    check_rows_match(
        y, X=X, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
    )
    y = check_targets(y)
    X = check_rows(X, y)
    groups = check_groups(groups, len(y))
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    if verified_labels is None:
        verified = np.full(len(y), np.nan)
    else:
        refuse_mask(verified_labels)
        verified = check_targets(verified_labels, name="verified_labels")
        check_consistent_length(y, verified)
    data = TargetData(X, y, verified, weight, groups)
    if not data.used.any():
        raise ValueError(
            "y has no target to learn from: all are missing"
            + (" or of weight zero." if weight is not None else ".")
        )
    return data


def check_rows(X, y):
    """Make X indexable, and refuse it without rows or columns, or of another length than y."""
    (X,) = indexable(X)
    check_consistent_length(X, y)
    shape = getattr(X, "shape", None)
    if num_samples(X) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}): there is nothing to fit.")
    if shape is not None and len(shape) == 2 and shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )
    return X


def check_targets(y, *, name: str = "y") -> np.ndarray:
    """Validate numeric targets.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Numbers; None, NaN and NA are missing.
    name : str
        What to call `y` in messages.

    Returns
    -------
    y : ndarray of shape (n_samples,)
        As float64, NaN where missing.

    Raises
    ------
    ValueError
        If `y` is None, not one-dimensional, infinite, complex or not numeric.
    TypeError
        If `y` is sparse.
    """
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
    """Convert an array to float64 with NaN for what is missing, or say what is in the way."""
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
