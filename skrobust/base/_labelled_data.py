"""Labelled data, validated and encoded once, and fits of estimators inside others to them."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, column_or_1d, indexable
from sklearn.utils.validation import check_memory

from skrobust.base._labels import (
    MISSING,
    check_indicators,
    check_targets,
    encode_labels,
    encode_verified,
    refuse_mask,
)
from skrobust.utils._input import (
    check_exact,
    check_rows_match,
    read_features,
    row_hashes,
    split_column,
)
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import num_samples
from skrobust.utils._typing import LabelsLike
from skrobust.utils._weights import as_counts, check_sample_weight


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledData:
    """Rows with given labels, verified labels and weights, as detectors are handed them.

    The public ``fit`` of an estimator validates and encodes its arguments once, by
    :meth:`from_arrays`; everything inside is handed the result. Labels are of one of three kinds:

    - "classes": `y` holds positions in `classes`, -1 where the label is missing;
    - "numbers": `y` holds floats, NaN where the target is missing;
    - "indicators": `y` has one column per label, with 1 where a row has the label, 0 where it has
      not, and -1 where that is missing. Masks have the shape of `y`.

    .. versionadded:: 0.1

    Parameters
    ----------
    X : array-like of length n_samples
        Input, indexable and otherwise as it came.
    y : ndarray of shape (n_samples,) or (n_samples, n_labels)
        Given labels, encoded.
    classes : ndarray of shape (n_classes,) or None
        Sorted labels, if they are classes.
    verified : ndarray of the shape of `y`
        Verified labels, encoded like `y`; missing where a row was not verified.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights, none negative.
    groups : ndarray of shape (n_samples,), dtype intp, default=None
        Group numbers.
    hidden : ndarray of shape (n_samples,) of bool, default=None
        Rows that are scored but not used for training, because their label is taken to be wrong.
    index, columns : pandas Index, default=None
        Names of rows and labels, where the given labels came with any.

    Raises
    ------
    ValueError
        If arrays differ in length.

    See Also
    --------
    DetectionResult : What a detector finds out about labelled data.

    Examples
    --------
    >>> from skrobust.base import LabelledData
    >>> X, y = [[0], [1], [2], [3]], ["b", "a", "b", None]
    >>> data = LabelledData.from_arrays(X, y, verified_labels=["a", None, None, None])
    >>> data.y, data.classes, data.known_errors
    (array([ 1,  0,  1, -1]), array(['a', 'b'], dtype=object), array([ True, False, False, False]))
    """

    X: Any
    y: np.ndarray
    classes: np.ndarray | None
    verified: np.ndarray
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    hidden: np.ndarray | None = None
    index: Any = None
    columns: Any = None

    def __post_init__(self) -> None:
        if self.verified.shape != self.y.shape:
            raise ValueError(
                f"verified has shape {self.verified.shape}, but y has shape {self.y.shape}."
            )
        for name in ("sample_weight", "groups", "hidden"):
            value = getattr(self, name)
            if value is not None and value.shape != self.y.shape[:1]:
                raise ValueError(f"{name} has shape {value.shape}, but y has {len(self.y)} rows.")

    @classmethod
    def from_arrays(
        cls,
        X: Any,
        y: LabelsLike,
        *,
        kind: str = "classes",
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> LabelledData:
        """Validate and encode the arguments of ``fit``.

        Parameters
        ----------
        X : array-like of length n_samples
            Input of any kind.
        y : array-like of shape (n_samples,) or (n_samples, n_labels), or LabelledData
            Given labels, some perhaps missing. Data that are validated already are returned.
        kind : {"classes", "numbers", "indicators"}, default="classes"
            What labels are.
        verified_labels : array-like of the shape of `y`, default=None
            Verified labels, missing where a row was not verified.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.
        groups : array-like of shape (n_samples,), default=None
            Groups.

        Returns
        -------
        data : LabelledData
            Validated data.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid, or there is nothing to learn, such as a single class.
        """
        if isinstance(y, LabelledData):
            if y.kind != kind:
                raise TypeError(
                    f"The labels are {y.kind}, and this estimator takes {kind}: choose one whose"
                    f" label_kind is {y.kind!r}."
                )
            return y
        check_rows_match(
            y, X=X, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        classes = None
        if kind == "classes":
            encoded, classes = encode_labels(y)
        else:
            encoded = check_targets(y) if kind == "numbers" else check_indicators(y)
        X = _check_rows(X, encoded)
        groups = check_groups(groups, len(encoded))
        weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
        verified = _encode_verified(verified_labels, encoded, classes)
        index = getattr(y, "index", None)
        index = index if callable(getattr(index, "equals", None)) else None  # lists have a method
        columns = getattr(y, "columns", None)
        data = cls(X, encoded, classes, verified, weight, groups, index=index, columns=columns)
        _check_learnable(data)
        return data

    @functools.cached_property
    def kind(self) -> str:
        """What labels are: "classes", "numbers" or "indicators"."""
        if self.y.ndim == 2:
            return "indicators"
        return "numbers" if self.y.dtype.kind == "f" else "classes"

    @functools.cached_property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @functools.cached_property
    def row_hashes(self) -> np.ndarray:
        """Hash of each row of `X`, equal for equal rows."""
        hashes = row_hashes(self.X)
        hashes.flags.writeable = False
        return hashes

    @functools.cached_property
    def features(self) -> dict[str, Any]:
        """Values of ``n_features_in_`` and ``feature_names_in_``, None where X has none."""
        return read_features(self.X)

    @functools.cached_property
    def given(self) -> np.ndarray:
        """Mask of labels that are not missing."""
        return _is_known(self.y)

    @functools.cached_property
    def checked(self) -> np.ndarray:
        """Mask of verified labels."""
        return _is_known(self.verified)

    @functools.cached_property
    def trusted(self) -> np.ndarray:
        """Mask of given labels that were verified and are right; numbers up to rounding."""
        same = np.isclose if self.kind == "numbers" else np.equal
        return self.checked & same(self.y, self.verified)

    @functools.cached_property
    def known_errors(self) -> np.ndarray:
        """Mask of given labels that were verified and are wrong."""
        return self.checked & self.given & ~self.trusted

    @functools.cached_property
    def y_train(self) -> np.ndarray:
        """Labels to train on: the verified one where there is one, else the given one."""
        return np.where(self.checked, self.verified, self.y)

    @functools.cached_property
    def used(self) -> np.ndarray:
        """Mask of labels to train on: known, of positive weight, and not hidden."""
        rows = np.ones(self.n_samples, dtype=bool)
        if self.sample_weight is not None:
            rows &= self.sample_weight > 0
        if self.hidden is not None:
            rows &= ~self.hidden
        return _is_known(self.y_train) & (rows[:, None] if self.y.ndim == 2 else rows)

    @functools.cached_property
    def label_weight(self) -> np.ndarray | None:
        """Weight of each label, in the shape of `y`; that of its row."""
        if self.sample_weight is None or self.y.ndim == 1:
            return self.sample_weight
        return np.broadcast_to(self.sample_weight[:, None], self.y.shape)

    def total_weight(self, mask: np.ndarray) -> float:
        """Sum the weights of the labels under a mask.

        Parameters
        ----------
        mask : ndarray of the shape of `y`, dtype bool
            Labels to count.

        Returns
        -------
        total : float
            Their number, if there are no weights.
        """
        weight = self.label_weight
        return float(mask.sum() if weight is None else weight[mask].sum())

    def one_label(self, label: int) -> LabelledData:
        """Reduce indicators to one label.

        Parameters
        ----------
        label : int
            Column of `y`.

        Returns
        -------
        data : LabelledData
            The same rows with the two classes 0 and 1.
        """
        return LabelledData(
            self.X,
            self.y[:, label],
            np.array([0, 1]),
            self.verified[:, label],
            self.sample_weight,
            self.groups,
        )

    def decode(self, labels: np.ndarray) -> np.ndarray:
        """Decode labels that are encoded like `y`.

        Parameters
        ----------
        labels : ndarray of the shape of `y`
            Encoded labels, some perhaps missing.

        Returns
        -------
        labels : ndarray of the shape of `y`
            Classes, with None where they are missing; numbers and indicators, with NaN.
        """
        if self.kind == "classes":
            return decode_labels(labels, self.classes)
        if self.kind == "numbers":
            return labels
        return np.where(labels < 0, np.nan, labels) if (labels < 0).any() else labels

    def fit_arguments(self, estimator: BaseEstimator) -> tuple[Any, dict[str, Any]]:
        """Make the arguments for the ``fit`` of an estimator inside.

        Parameters
        ----------
        estimator : estimator object
            A detector, reweighter or transition estimator.

        Returns
        -------
        y : LabelledData or ndarray of shape (n_samples,)
            These data, if ``fit`` is one of this package. Else the given labels, decoded; None or
            NaN where they are missing.
        metadata : dict
            Keywords that ``fit`` needs beside `y`: `verified_labels` and `sample_weight`, and
            `groups` if there are any.
        """
        if type(estimator).fit.__module__.startswith(("skrobust.base.", "skrobust.detection.")):
            return self, {}
        verified = self.decode(self.verified) if self.checked.any() else None
        metadata = {"verified_labels": verified, "sample_weight": self.sample_weight}
        if self.groups is not None:
            metadata["groups"] = self.groups
        return self.decode(self.y), metadata

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields only: what is derived from them is computed again."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def set_fitted(estimator, **attributes) -> None:
    """Set fitted attributes; None removes that of an earlier fit."""
    for name, value in attributes.items():
        if value is not None:
            setattr(estimator, name, value)
        elif name in vars(estimator):
            delattr(estimator, name)


def propagate_params(part, **params):
    """Set parameters of a part, where it has them and the whole was given a value."""
    known = part.get_params(deep=False)
    given = {key: value for key, value in params.items() if value is not None and key in known}
    if "random_state" in given and not _is_integer(given["random_state"]):
        given["random_state"] = draw_seed(private_random_state(given["random_state"]))
    return part.set_params(**given)


def fit_inside(estimator, data: LabelledData, *, n_jobs=None, memory=None, **params):
    """Set parameters of an estimator that has them and fit it in place, or take it from a cache.

    The cached fit does not depend on `n_jobs`.
    """
    propagate_params(estimator, **params)
    y, metadata = data.fit_arguments(estimator)
    known = estimator.get_params(deep=False)
    n_jobs = known.get("n_jobs") if n_jobs is None else n_jobs
    fit = _fit
    if memory is not None:
        if "random_state" in known and not _is_integer(known["random_state"]):
            raise ValueError(
                f"memory={memory!r} caches the fit of {type(estimator).__name__}, which must be"
                f" repeatable: set random_state to an integer (it is {known['random_state']!r})."
            )
        if "n_jobs" in known:
            estimator.set_params(n_jobs=None)
        fit = check_memory(memory).cache(_fit, ignore=["n_jobs"])
    return fit(estimator, data.X, y, metadata, n_jobs)


def _fit(estimator, X, y, metadata, n_jobs):
    """Fit an estimator; a function of its own so that it can be cached."""
    if "n_jobs" in estimator.get_params(deep=False):
        estimator.set_params(n_jobs=n_jobs)
    return estimator.fit(X, y, **metadata)


def _is_integer(random_state) -> bool:
    """Whether a random state is an integer, so that two fits draw the same numbers."""
    return isinstance(random_state, numbers.Integral)


def decode_labels(codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Turn codes into labels; a row of which nothing is known gets None."""
    labels = classes[np.maximum(codes, 0)]
    if (codes < 0).any():
        labels = as_objects(labels)
        labels[codes < 0] = None
    return labels


def decode_all(data: LabelledData, labels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Decode several arrays of labels, each as `LabelledData.decode` does."""
    return {name: data.decode(values) for name, values in labels.items()}


def total_weights(data: LabelledData, *masks: np.ndarray) -> list[float]:
    """Sum the weights of the labels under several masks."""
    return [data.total_weight(mask) for mask in masks]


def with_mean_weight_one(data: LabelledData) -> LabelledData:
    """The same rows, weights that are no counts scaled to mean 1: models compare with limits."""
    weight = as_counts(data.sample_weight, data.used)
    return dataclasses.replace(data, sample_weight=weight)


def as_objects(labels: np.ndarray) -> np.ndarray:
    """Labels as an array of objects, into which None can be put."""
    if labels.dtype.kind not in "mM":
        return labels.astype(object)
    objects = np.empty(len(labels), dtype=object)  # astype would turn nanoseconds into integers
    objects[:] = list(labels)
    return objects


def _is_known(labels: np.ndarray) -> np.ndarray:
    """Mask of encoded labels that are not missing."""
    return ~np.isnan(labels) if labels.dtype.kind == "f" else labels >= 0


def _encode_verified(verified_labels, y: np.ndarray, classes) -> np.ndarray:
    """Encode verified labels like the given ones."""
    if verified_labels is None:
        return np.full(y.shape, np.nan if y.dtype.kind == "f" else MISSING, dtype=y.dtype)
    if classes is not None:
        verified = encode_verified(verified_labels, classes)
    elif y.ndim == 1:
        refuse_mask(verified_labels)
        verified = check_targets(verified_labels, name="verified_labels")
    else:
        verified = check_indicators(verified_labels, name="verified_labels")
        if verified.shape != y.shape:
            raise ValueError(
                f"Found inconsistent numbers of samples or labels: verified_labels has shape"
                f" {verified.shape}, y has shape {y.shape}."
            )
    check_consistent_length(y, verified)
    return verified


def _check_learnable(data: LabelledData) -> None:
    """Refuse labels from which nothing can be learned."""
    if data.kind == "classes":
        check_two_classes(data.classes[np.unique(data.y_train[data.used])])
    elif data.kind == "numbers":
        if not data.used.any():
            raise ValueError(
                "y has no target to learn from: all are missing"
                + (" or of weight zero." if data.sample_weight is not None else ".")
            )
    else:
        both = [(data.used & (data.y_train == value)).any(axis=0) for value in (0, 1)]
        if not (both[0] & both[1]).any():
            raise ValueError(
                "No label of y is both 1 in some row and 0 in another, among rows that count:"
                f" there is one class only in each of the {data.y.shape[1]} columns."
            )


def _check_rows(X, y):
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


def apply_verified_labels(data: LabelledData, quality: np.ndarray, errors: np.ndarray) -> tuple:
    """Override quality and flags, in place, where labels were verified."""
    quality[data.trusted], errors[data.trusted] = 1.0, False
    quality[data.known_errors], errors[data.known_errors] = 0.0, True
    return quality, errors


def check_groups(groups, n_samples: int) -> np.ndarray | None:
    """Number groups of rows."""
    return None if groups is None else number_groups(groups, n_samples)[0]


def number_groups(groups, n_samples: int, *, name: str = "groups") -> tuple[np.ndarray, list]:
    """Number groups of rows in the order in which they come."""
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
        raise ValueError(f"At least two classes are needed to find label errors, y has {found}.")
