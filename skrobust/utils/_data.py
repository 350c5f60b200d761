"""Labelled rows on their way through the package: validated once, handed on as one thing."""

import dataclasses
import functools

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d, indexable

from skrobust.utils._columns import check_exact, check_index, explicit_index, split_column
from skrobust.utils._labels import MISSING, encode_labels, encode_verified
from skrobust.utils._sklearn import check_sample_weight, num_samples


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledData:
    """Rows, their given labels, and what else is known about them.

    Attributes
    ----------
    X : array-like of length n_samples
        Input, indexable and otherwise as it came.
    codes : ndarray of shape (n_samples,), dtype intp
        Given labels as positions in `classes`; -1 where missing.
    classes : ndarray of shape (n_classes,)
        Labels, sorted.
    verified : ndarray of shape (n_samples,), dtype intp
        Labels as checked by a person; -1 where nobody looked.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights.
    groups : ndarray of shape (n_samples,), dtype intp, or None
        Group numbers.
    hidden : ndarray of shape (n_samples,) of bool, or None
        Rows whose label is judged, but not learned from, because it is taken to be wrong.
    """

    X: object
    codes: np.ndarray
    classes: np.ndarray
    verified: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: object = None
    hidden: np.ndarray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @functools.cached_property
    def given(self) -> np.ndarray:
        """Rows that have a label."""
        return self.codes >= 0

    @functools.cached_property
    def checked(self) -> np.ndarray:
        """Rows that a person looked at."""
        return self.verified >= 0

    @functools.cached_property
    def trusted(self) -> np.ndarray:
        """Rows whose given label was checked and found right."""
        return (self.verified >= 0) & (self.verified == self.codes)

    @functools.cached_property
    def known_errors(self) -> np.ndarray:
        """Rows whose given label was checked and found wrong."""
        return (self.verified >= 0) & (self.codes >= 0) & (self.verified != self.codes)

    @functools.cached_property
    def best_codes(self) -> np.ndarray:
        """Labels to learn from: the verified one where there is one, else the given one."""
        return np.where(self.verified >= 0, self.verified, self.codes)

    @functools.cached_property
    def used(self) -> np.ndarray:
        """Rows to learn from: they have a label and count for something."""
        used = self.best_codes >= 0
        if self.sample_weight is not None:
            used &= self.sample_weight > 0
        if self.hidden is not None:
            used &= ~self.hidden
        return used

    def mass(self, rows: np.ndarray) -> float:
        """Sum up the weights of the rows under a mask."""
        return float(rows.sum() if self.sample_weight is None else self.sample_weight[rows].sum())


def check_labelled_data(
    X, y, *, verified_labels=None, sample_weight=None, groups=None
) -> LabelledData:
    """Validate what ``fit`` is given, before any work.

    Parameters
    ----------
    X : array-like of length n_samples
        Input of any kind.
    y : array-like of shape (n_samples,)
        Given labels, some perhaps missing.
    verified_labels : array-like of shape (n_samples,), default=None
        Labels as checked by a person, missing where nobody looked.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.
    groups : array-like of shape (n_samples,), default=None
        Groups.

    Returns
    -------
    data : LabelledData
        The same, validated.
    """
    check_rows_match(
        y, X=X, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
    )
    codes, classes = encode_labels(y)
    (X,) = indexable(X)
    check_consistent_length(X, codes)
    groups = check_groups(groups, len(codes))
    shape = getattr(X, "shape", None)
    if num_samples(X) == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}): there is nothing to fit.")
    if shape is not None and len(shape) == 2 and shape[1] == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required."
        )
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    if verified_labels is None:
        verified = np.full(len(codes), MISSING, dtype=np.intp)
    else:
        verified = encode_verified(verified_labels, classes)
        check_consistent_length(codes, verified)
    data = LabelledData(X, codes, classes, verified, weight, groups)
    check_two_classes(classes[np.unique(data.best_codes[data.used])])
    return data


def check_rows_match(y, *, X=None, **columns) -> None:
    """Refuse series and frames whose index is that of y in another order.

    X that was shuffled and y that never had an index of its own are taken by position, as
    scikit-learn takes them.
    """
    if explicit_index(y) is not None:
        check_index(y, X, "X")
    for name, column in columns.items():
        check_index(y, column, name)


def heed_verdicts(data, quality: np.ndarray, errors: np.ndarray) -> tuple:
    """Let what people said of labels count more than what a method says of them.

    Parameters
    ----------
    data : LabelledData, or another kind that knows `trusted` and `known_errors`
        Rows, some of them verified.
    quality : ndarray of shape (n_samples, ...)
        Qualities of labels; changed in place.
    errors : ndarray of shape (n_samples, ...) of bool
        Labels that are flagged; changed in place.

    Returns
    -------
    quality, errors : ndarray of shape (n_samples, ...)
        The same: 1 and no error where a person confirmed the label, 0 and an error where not.
    """
    quality[data.trusted], errors[data.trusted] = 1.0, False
    quality[data.known_errors], errors[data.known_errors] = 0.0, True
    return quality, errors


def check_groups(groups, n_samples: int) -> np.ndarray | None:
    """Number groups of rows.

    Parameters
    ----------
    groups : array-like of shape (n_samples,) or None
        Anything that can be told apart, none missing.
    n_samples : int
        How many there must be.

    Returns
    -------
    groups : ndarray of shape (n_samples,), dtype intp, or None
        Group numbers.
    """
    return None if groups is None else number_groups(groups, n_samples)[0]


def number_groups(groups, n_samples: int, *, name: str = "groups") -> tuple[np.ndarray, list]:
    """Number groups of rows in the order in which they come.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Anything that can be told apart, none missing.
    n_samples : int
        How many there must be.
    name : str
        What to call `groups` in messages.

    Returns
    -------
    numbers : ndarray of shape (n_samples,), dtype intp
        Group numbers.
    labels : list of length n_groups
        What the groups were called.
    """
    if isinstance(groups, str) or not (hasattr(groups, "shape") or hasattr(groups, "__len__")):
        raise TypeError(f"{name} must be an array of one entry per row, got {groups!r}.")
    if isinstance(groups, (list, tuple)):  # of tuples, perhaps
        column = np.empty(len(groups), dtype=object)
        column[:] = list(groups)
        groups = column
    values, missing = split_column(groups, name)
    check_exact(values[~missing], name)
    values = column_or_1d(values).tolist()
    if len(values) != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {name} has"
            f" {len(values)} entries for {n_samples} rows."
        )
    if missing.any():
        raise ValueError(f"{name} has missing entries: give each such row a group of its own.")
    labels: dict = {}
    numbers = [labels.setdefault(value, len(labels)) for value in values]
    return np.array(numbers, dtype=np.intp), list(labels)


def check_two_classes(classes) -> None:
    """Refuse labels of fewer than two classes."""
    if len(classes) < 2:
        found = f"one class only: {classes.tolist()[0]!r}" if len(classes) else "no class at all"
        raise ValueError(f"At least two classes are needed to judge labels, y has {found}.")
