"""Training sets: rows, targets and weights, as the result of a detector suggests them."""

import dataclasses

import numpy as np

from skrobust.base import LabelledData
from skrobust.base._labels import check_targets, encode_labels_like

# Relative to the largest weight: smaller weights are zero, smaller differences are none.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a model is trained on.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,), dtype intp
        Positions in X; a row may occur several times.
    targets : ndarray of shape (n_rows,)
        Class codes, or numeric targets.
    weight : ndarray of shape (n_rows,) or None
        Sample weights, the caller's included; None if all rows count the same.
    """

    rows: np.ndarray
    targets: np.ndarray
    weight: np.ndarray | None = None

    def __post_init__(self):
        parts = [self.rows, self.targets] + ([] if self.weight is None else [self.weight])
        shapes = [np.shape(part) for part in parts]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ValueError(
                f"rows, targets and weight must be columns of one length, got the shapes {shapes}."
            )

    @classmethod
    def from_mask(cls, keep, targets, weight=None) -> "TrainingSet":
        """Take some of all rows."""
        rows = np.flatnonzero(keep)
        return cls(rows, targets[rows], None if weight is None else weight[rows])

    def take(self, which: np.ndarray) -> "TrainingSet":
        """Take some entries, by their positions or a mask."""
        weight = None if self.weight is None else self.weight[which]
        return TrainingSet(self.rows[which], self.targets[which], weight)


def given(data: LabelledData, weight: np.ndarray | None) -> TrainingSet:
    """Train on all rows, with the verified label or else the given one."""
    return TrainingSet.from_mask(data.used, data.y_train, weight)


def has_suggestions(detector) -> bool:
    """Whether a fitted detector has labels to replace flagged ones by."""
    return hasattr(detector, "posterior_labels_") or hasattr(detector, "suggested_labels_")


def drop(data: LabelledData, detector) -> TrainingSet:
    """Leave flagged rows out, or the part of their weight that the detector does not keep."""
    keep = data.used & (data.checked | ~detector.label_errors_)
    weight = data.sample_weight
    if weight is not None:
        weight = np.where(data.checked, weight, detector.keep_weight_)
        keep &= weight > 0
    return TrainingSet.from_mask(keep, data.y_train, weight)


def relabel(data: LabelledData, detector, *, by_certainty: bool) -> TrainingSet:
    """Replace labels by the posterior ones, weighted by their certainty, or by suggested ones."""
    name = "posterior_labels_" if hasattr(detector, "posterior_labels_") else "suggested_labels_"
    found = _encode_like(getattr(detector, name), data, name)
    targets, weight = data.y_train.copy(), data.sample_weight
    replaced = detector.label_errors_ & ~data.checked
    if name == "posterior_labels_":
        replaced |= (found != targets) & data.given & ~data.checked
    targets[replaced] = found[replaced]
    keep = data.used & ~_is_missing(targets)  # flagged, and without a suggestion
    certainty = getattr(detector, "posterior_proba_", None)
    if by_certainty and name == "posterior_labels_" and certainty is not None:
        # By how much the label is more probable than all others together.
        certainty = np.where(data.checked, 1.0, np.maximum(2 * certainty - 1, 0))
        for rows in _rows_by_class(data, targets, keep):
            if not certainty[rows].any():
                certainty[rows] = 1.0
        weight = certainty if weight is None else weight * certainty
        keep &= weight > 0
    return TrainingSet.from_mask(keep, targets, weight)


def reweight(data: LabelledData, detector) -> TrainingSet:
    """Weight all rows by the quality of their labels, with mean 1 in each class."""
    quality = np.array(detector.label_quality_, dtype=np.float64)
    # Labels that are verified, or that the detector cannot score, count in full.
    quality[np.isnan(quality) | data.checked] = 1.0
    prior = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    weight = np.where(data.used, prior * quality, 0.0)
    for rows in _rows_by_class(data, data.y_train, data.used):
        total = weight[rows].sum()
        weight[rows] = weight[rows] * (prior[rows].sum() / total) if total else prior[rows]
    return TrainingSet.from_mask(data.used & (weight > 0), data.y_train, weight)


def weighted(
    data: LabelledData, weight: np.ndarray, caller_weight: np.ndarray | None
) -> TrainingSet:
    """Train on the rows of positive weight, and on all rows of a class that has none.

    Equal weights are no weights: their scale only depends on how many rows were left out.
    """
    weight = np.where(data.used, weight, 0.0)
    weight[weight <= _ROUNDING * weight.max()] = 0.0
    for rows in _rows_by_class(data, data.y_train, data.used):
        if not weight[rows].any():
            weight[rows] = 1.0
    keep = weight > 0
    if np.ptp(weight[keep]) <= _ROUNDING * weight.max():
        weight = caller_weight
    elif caller_weight is not None:
        weight = weight * caller_weight
    return TrainingSet.from_mask(keep, data.y_train, weight)


def _encode_like(labels, data: LabelledData, name: str) -> np.ndarray:
    if data.kind == "numbers":
        return check_targets(labels, name=name)
    return encode_labels_like(labels, data.classes, name=name)


def _is_missing(targets: np.ndarray) -> np.ndarray:
    return np.isnan(targets) if targets.dtype.kind == "f" else targets < 0


def _rows_by_class(data: LabelledData, targets: np.ndarray, keep: np.ndarray):
    """Yield the mask of the kept rows of each class; of numeric targets there is one class."""
    if data.kind == "numbers":
        yield keep
        return
    for code in np.unique(targets[keep]):
        yield keep & (targets == code)
