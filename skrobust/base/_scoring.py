"""Scores of rows of which some have no label."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labels import check_targets, missing_labels
from skrobust.utils._sklearn import safe_indexing
from skrobust.utils._typing import LabelsLike


def labelled_rows(X, values: np.ndarray, missing: np.ndarray, sample_weight, name: str = "label"):
    """Take the rows that have a label, or refuse if none has one."""
    if not missing.any():
        return X, values, sample_weight
    if missing.all():
        raise ValueError(f"No row of y has a {name}: there is nothing to score.")
    rows = np.flatnonzero(~missing)
    weight = None if sample_weight is None else safe_indexing(sample_weight, rows)
    return safe_indexing(X, rows), values[rows], weight


class LabelledScore:
    """Mixin that stands before ``ClassifierMixin``: rows without a label are not scored."""

    def score(self, X: Any, y: LabelsLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy on the rows that have a label.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            True labels; rows where they are missing are left out.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
            Share of the labels that are predicted.
        """
        values, missing = missing_labels(y)
        X, values, weight = labelled_rows(X, values, missing, sample_weight)
        return super().score(X, values, sample_weight=weight)


class TargetScore:
    """Mixin that stands before ``RegressorMixin``: rows without a target are not scored."""

    def score(self, X: Any, y: LabelsLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the coefficient of determination on the rows that have a target.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            True targets; rows where they are missing are left out.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        score : float
            R² of the predictions.
        """
        values = check_targets(y)
        X, values, weight = labelled_rows(X, values, np.isnan(values), sample_weight, "target")
        return super().score(X, values, sample_weight=weight)
