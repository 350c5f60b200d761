"""Data frame and score of fitted detectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base._labels import check_indicators, check_targets, decode_labels, encode_labels_like
from skrobust.utils._typing import LabelsLike


def scores_new_rows(detector) -> bool:
    """Whether a detector scores rows that were not in ``fit``."""
    name = type(detector).__name__
    if not hasattr(detector, "_detect_new"):
        raise AttributeError(f"{name} does not score rows that were not in fit.")
    if not getattr(detector, "store_estimators", True):
        raise AttributeError(
            f"{name} scores rows that were not in fit by the models of fit: set"
            " store_estimators=True."
        )
    return True


class DetectorReport:
    """Mixin of detectors: ``to_frame``, ``score``, and the encoding of labels of new rows."""

    def _remember_rows(self, data) -> None:
        """Keep the index and the given labels, for the data frame."""
        self._row_index = data.index
        self._label_names = None if data.columns is None else list(data.columns)
        if data.kind == "classes":
            self._given_labels = data.decode(data.y)
        else:
            self._given_labels = np.where(data.given, data.y, np.nan)

    def _encode_new(self, y, name: str = "y") -> np.ndarray:
        """Encode labels of new rows like those of ``fit``."""
        if self.label_kind == "classes":
            return encode_labels_like(y, self.classes_, name=name)
        if self.label_kind == "numbers":
            return check_targets(y, name=name)
        y, n_labels = check_indicators(y, name=name), self._given_labels.shape[1]
        if y.shape[1] != n_labels:
            raise ValueError(f"{name} has {y.shape[1]} labels, but {n_labels} are known from fit.")
        return y

    def _threshold_classes(self, y) -> np.ndarray:
        """Class of each encoded label, as thresholds are given it; -1 where it is missing."""
        if self.label_kind == "numbers":
            return np.where(np.isnan(y), -1, 0)
        if self.label_kind == "indicators":  # 2k and 2k + 1 of label k, one label after the other
            return np.where(y >= 0, y + 2 * np.arange(y.shape[1]), -1).ravel(order="F")
        return y

    def _other_labels(self, y) -> np.ndarray:
        """Other labels than the given ones, that are wrong for sure or nearly so."""
        y = self._encode_new(y)
        if self.label_kind == "classes":  # all other classes in turn
            n_classes = len(self.classes_)
            other = (y + 1 + np.arange(len(y)) % (n_classes - 1)) % n_classes
            return decode_labels(np.where(y >= 0, other, -1), self.classes_)
        if self.label_kind == "indicators":
            return np.where(y < 0, np.nan, 1 - y)
        known = np.flatnonzero(~np.isnan(y))
        other = y.copy()
        other[known] = y[np.random.default_rng(0).permutation(known)]
        return other

    def _is_wrong(self, y, true_labels) -> tuple[np.ndarray, np.ndarray]:
        """Masks of rows with a wrong label, and of rows of which that is known."""
        y, truth = self._encode_new(y), self._encode_new(true_labels, "true_labels")
        if y.shape != truth.shape:
            raise ValueError(f"true_labels must have the shape {y.shape} of y, got {truth.shape}.")
        if self.label_kind == "numbers":
            return ~np.isclose(y, truth), ~np.isnan(y) & ~np.isnan(truth)
        wrong, both = y != truth, (y >= 0) & (truth >= 0)
        return (wrong, both) if y.ndim == 1 else ((both & wrong).any(axis=1), both.any(axis=1))

    def to_frame(self) -> Any:
        """Summarise the rows of ``fit`` in a pandas data frame.

        Returns
        -------
        frame : pandas.DataFrame
            One row per row of ``fit``, with the index of `y` if that has one, and the columns
            "given_label", "label_quality", "is_flagged", and "suggested_label" and
            "corrected_label" where the detector has them. Where rows have several labels, these
            are columns for each of them, such as "given_label_0".
        """
        check_is_fitted(self, "label_quality_")
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError(
                'to_frame needs pandas, which pip install "skrobust[report]" brings.'
            ) from error
        columns = {
            **self._label_columns("given_label", self._given_labels),
            "label_quality": self.label_quality_,
            "is_flagged": self.label_errors_,
        }
        for name in ("suggested_label", "corrected_label"):
            if hasattr(self, f"{name}s_"):
                columns.update(self._label_columns(name, getattr(self, f"{name}s_")))
        return pd.DataFrame(columns, index=self._row_index)

    def _label_columns(self, name: str, labels: np.ndarray) -> dict:
        if labels.ndim == 1:
            return {name: labels}
        names = self._label_names or range(labels.shape[1])
        return {f"{name}_{label}": labels[:, j] for j, label in enumerate(names)}

    @available_if(scores_new_rows)
    def score(self, X: Any, y: LabelsLike, true_labels: ArrayLike | None = None) -> float:
        """Score how well wrong labels of rows that were not in ``fit`` are ranked.

        Only there with ``store_estimators=True``, which a detector needs before it is passed to
        :class:`~sklearn.model_selection.GridSearchCV`. Parameters that change which rows are
        flagged but not their quality, such as `threshold`, do not change the score.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels.
        true_labels : array-like of shape (n_samples,), default=None
            True labels, missing where they are not known.

        Returns
        -------
        score : float
            The average precision of the ranking by ``score_labels``, of the rows whose true label
            is known. Without true labels, the probability that a given label has a higher quality
            than a label drawn from the others: the area under the ROC curve, which is the lower
            the more given labels are wrong, but the higher the better the ranking.

        Raises
        ------
        AttributeError
            If ``store_estimators=False``.
        ValueError
            If no row has a label, or none of the known labels is wrong.
        """
        quality = self.score_labels(X, y)
        if true_labels is None:
            others = self.score_labels(X, self._other_labels(y))
            both = ~np.isnan(quality) & ~np.isnan(others)
            if not both.any():
                raise ValueError("No row of y has a label: there is nothing to score.")
            values = np.concatenate([quality[both], others[both]])
            return float(roc_auc_score(np.repeat([1, 0], both.sum()), values))
        wrong, known = self._is_wrong(y, true_labels)
        known = known & ~np.isnan(quality)
        if not wrong[known].any():
            raise ValueError(
                "true_labels and y are equal in all rows: there are no wrong labels to find."
            )
        return float(average_precision_score(wrong[known], 1 - quality[known]))
