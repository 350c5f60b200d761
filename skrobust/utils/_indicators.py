"""Indicator matrices on their way through the package: validated once, handed on as one thing."""

import dataclasses
import functools

import numpy as np
from scipy import sparse

from skrobust.utils._columns import number_matrix
from skrobust.utils._data import LabelledData, check_groups, check_rows_match
from skrobust.utils._labels import MISSING
from skrobust.utils._sklearn import check_sample_weight
from skrobust.utils._targets import as_floats, check_rows


@dataclasses.dataclass(frozen=True, eq=False)
class IndicatorData:
    """Rows, which labels they are given, and what else is known about them.

    Attributes
    ----------
    X : array-like of length n_samples
        Input, indexable and otherwise as it came.
    codes : ndarray of shape (n_samples, n_labels), dtype intp
        1 where a row is given a label, 0 where it is not, -1 where that is missing.
    verified : ndarray of shape (n_samples, n_labels), dtype intp
        The same as checked by a person; -1 where nobody looked.
    sample_weight : ndarray of shape (n_samples,) or None
        Weights.
    groups : ndarray of shape (n_samples,), dtype intp, or None
        Group numbers.
    """

    X: object
    codes: np.ndarray
    verified: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.codes.shape[1]

    @functools.cached_property
    def given(self) -> np.ndarray:
        """Entries that are not missing."""
        return self.codes >= 0

    @functools.cached_property
    def checked(self) -> np.ndarray:
        """Entries that a person looked at."""
        return self.verified >= 0

    @functools.cached_property
    def trusted(self) -> np.ndarray:
        """Entries that were checked and found right."""
        return self.checked & (self.verified == self.codes)

    @functools.cached_property
    def known_errors(self) -> np.ndarray:
        """Entries that were checked and found wrong."""
        return self.checked & self.given & (self.verified != self.codes)

    @functools.cached_property
    def best(self) -> np.ndarray:
        """Entries to learn from: the verified one where there is one, else the given one."""
        return np.where(self.checked, self.verified, self.codes)

    @functools.cached_property
    def used(self) -> np.ndarray:
        """Entries to learn from: they are known, in a row that counts for something."""
        known = self.best >= 0
        return known if self.sample_weight is None else known & (self.sample_weight > 0)[:, None]

    def entry_weight(self) -> np.ndarray | None:
        """Weight of each entry, which is that of its row."""
        if self.sample_weight is None:
            return None
        return np.broadcast_to(self.sample_weight[:, None], self.codes.shape)

    def label_data(self, label: int) -> LabelledData:
        """What is known about one label: rows of two classes."""
        return LabelledData(
            self.X,
            self.codes[:, label],
            np.array([0, 1]),
            self.verified[:, label],
            self.sample_weight,
            self.groups,
        )

    def mass(self, entries: np.ndarray) -> float:
        """Sum up the weights of the entries under a mask."""
        weight = self.entry_weight()
        return float(entries.sum() if weight is None else weight[entries].sum())


def check_indicator_data(
    X, y, *, verified_labels=None, sample_weight=None, groups=None
) -> IndicatorData:
    """Validate what ``fit`` is given, before any work.

    Parameters
    ----------
    X : array-like of length n_samples
        Input of any kind.
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        Indicators, some perhaps missing.
    verified_labels : array-like of shape (n_samples, n_labels), default=None
        Indicators as checked by a person, missing where nobody looked.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights.
    groups : array-like of shape (n_samples,), default=None
        Groups.

    Returns
    -------
    data : IndicatorData
        The same, validated.
    """
    check_rows_match(
        y, X=X, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
    )
    codes = check_indicators(y)
    X = check_rows(X, codes)
    groups = check_groups(groups, len(codes))
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    if verified_labels is None:
        verified = np.full(codes.shape, MISSING, dtype=np.intp)
    else:
        verified = check_indicators(verified_labels, name="verified_labels")
        if verified.shape != codes.shape:
            raise ValueError(
                f"Found inconsistent numbers of samples or labels: verified_labels has shape"
                f" {verified.shape}, y has shape {codes.shape}."
            )
    data = IndicatorData(X, codes, verified, weight, groups)
    if not _have_both(data).any():
        raise ValueError(
            "No label of y is both 1 in some row and 0 in another, among rows that count: there"
            f" is one class only in each of the {data.n_labels} columns."
        )
    return data


def _have_both(data: IndicatorData) -> np.ndarray:
    """Which labels some rows have and others have not."""
    return np.logical_and(*((data.used & (data.best == value)).any(axis=0) for value in (0, 1)))


def check_indicators(y, *, name: str = "y") -> np.ndarray:
    """Validate an indicator matrix.

    Parameters
    ----------
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        0, 1, or missing: None, NaN, NA.
    name : str
        What to call `y` in messages.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_labels), dtype intp
        0, 1, or -1 where missing.

    Raises
    ------
    ValueError
        If `y` is None, of another shape, or holds anything else.
    """
    if y is None:
        raise ValueError(f"requires {name} to be passed, but the target {name} is None")
    values = np.asarray(y.toarray() if sparse.issparse(y) else number_matrix(y, name))
    if values.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{name} holds complex numbers.")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{name} must be an indicator matrix of shape (n_samples, n_labels), such as"
            f" MultiLabelBinarizer makes, got shape {values.shape}."
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
