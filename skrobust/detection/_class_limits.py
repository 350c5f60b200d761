"""Numbers of errors per class that the user sets instead of the confident joint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Integral

import numpy as np

from skrobust.base._labels import encode_labels_like
from skrobust.noise._confident_joint import round_keeping_row_totals

_PRUNE_RULES = ("prune_by_noise_rate", "prune_by_class", "both")


@dataclasses.dataclass(frozen=True, eq=False)
class ClassLimits:
    """What is wanted of each class, validated.

    Attributes
    ----------
    wanted : ndarray of shape (n_classes,) or None
        Number of rows given each class to flag; NaN leaves it to the joint.
    least : int
        Number of rows of each given class that are right, at least.
    joint : ndarray of shape (n_classes, n_classes) or None
        Mass of rows by given (rows) and true (columns) class, of any scale.
    thresholds : ndarray of shape (n_classes,) or None
        Confident thresholds.
    """

    wanted: np.ndarray | None = None
    least: int = 1
    joint: np.ndarray | None = None
    thresholds: np.ndarray | None = None

    @classmethod
    def check(cls, rule, classes, n_per_class, min_per_class, joint, thresholds) -> ClassLimits:
        """Validate what the user gave, or say what is wrong with it."""
        if not isinstance(min_per_class, Integral) or min_per_class < 1:
            raise ValueError(
                f"min_per_class must be an integer of at least 1, got {min_per_class!r}."
            )
        for name, value in (("n_per_class", n_per_class), ("confident_joint", joint)):
            if value is not None and rule not in _PRUNE_RULES:
                raise ValueError(
                    f"{name} is of no use with rule={rule!r}: choose one of"
                    f" {', '.join(map(repr, _PRUNE_RULES))}."
                )
        n_classes = len(classes)
        if joint is not None:
            joint = _numbers(joint, "confident_joint", (n_classes, n_classes))
            empty = np.flatnonzero(joint.sum(axis=1) == 0)
            if len(empty):
                raise ValueError(f"confident_joint has no mass in row {empty[0]}.")
        if thresholds is not None:
            thresholds = _numbers(thresholds, "confident_thresholds", (n_classes,))
        wanted = None if n_per_class is None else _wanted(n_per_class, np.asarray(classes))
        return cls(wanted, int(min_per_class), joint, thresholds)

    def counts_to_flag(self, joint: np.ndarray, masses: np.ndarray) -> np.ndarray:
        """Let the joint leave enough right rows in each given class, and flag as many as wanted."""
        diagonal = np.maximum(joint.diagonal(), self.least)
        missing = diagonal - joint.diagonal()
        counts = np.maximum(joint, 0)
        for k in np.flatnonzero(missing):
            n_others = max(np.count_nonzero(joint[k]) - 1.0, 1.0)
            row = np.maximum(joint[k] - missing[k] / n_others, 0)
            # Whole rows can be removed only in whole numbers: what is left of a fraction stays.
            counts[k] = np.floor(row) if masses.dtype.kind == "i" else row
        np.fill_diagonal(counts, diagonal)
        return counts if self.wanted is None else self._as_wanted(counts, masses)

    def _as_wanted(self, counts, masses) -> np.ndarray:
        """Scale the counts of errors of each given class to the wanted number."""
        counts = counts.astype(np.float64)
        for k in np.flatnonzero(~np.isnan(self.wanted)):
            n_wanted = min(self.wanted[k], masses[k])
            others = np.delete(np.arange(len(counts)), k)
            total = counts[k, others].sum()
            # Where the joint counts no error, all other classes are as likely.
            share = counts[k, others] / total if total > 0 else 1 / len(others)
            counts[k, others] = n_wanted * share
            counts[k, k] = masses[k] - n_wanted
        if masses.dtype.kind == "i":
            counts = round_keeping_row_totals(np.ascontiguousarray(counts))
        return counts


def _wanted(n_per_class, classes) -> np.ndarray:
    if not isinstance(n_per_class, Mapping):
        return _numbers(n_per_class, "n_per_class", (len(classes),))
    wanted = np.full(len(classes), np.nan)
    if n_per_class:
        place = encode_labels_like(list(n_per_class), classes, name="n_per_class")
        values = list(n_per_class.values())
        wanted[place] = _numbers(values, "n_per_class", (len(values),))
    return wanted


def _numbers(values, name, shape) -> np.ndarray:
    """Finite numbers of a shape, none negative."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, got {values!r}.") from None
    if numbers.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {numbers.shape}.")
    if not np.isfinite(numbers).all() or numbers.min(initial=0) < 0:
        raise ValueError(f"{name} must be finite and not negative, got {values!r}.")
    return numbers
