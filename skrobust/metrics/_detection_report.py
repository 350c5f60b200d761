"""Scores of detectors of label errors, where it is known which labels are wrong."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.utils import column_or_1d

from skrobust.base._labels import encode_labels
from skrobust.utils._input import float_column
from skrobust.utils._typing import LabelsLike

_BUDGETS = (0.01, 0.05, 0.1)


def precision_at_budget(y_wrong: ArrayLike, label_quality: ArrayLike, budget: int | float) -> float:
    """Share of wrong labels among the rows of lowest quality, as many as can be reviewed.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_wrong : array-like of shape (n_samples,) of bool
        True where the given label is wrong.
    label_quality : array-like of shape (n_samples,)
        Quality of the labels, low where they are probably wrong. Rows with NaN are never
        reviewed.
    budget : int or float
        Number of rows that are reviewed, at least 1; or, as a float in (0, 1], their share.

    Returns
    -------
    precision : float
        In [0, 1]. Of rows that tie at the end of the budget, the mean is taken.

    Raises
    ------
    ValueError
        If `y_wrong` is not of two values, lengths differ, no row has a quality, or `budget` is
        out of range.

    See Also
    --------
    detection_report : This and other scores for several budgets.

    Examples
    --------
    >>> from skrobust.metrics import precision_at_budget
    >>> y_wrong = [True, False, True, False, False]
    >>> precision_at_budget(y_wrong, [0.1, 0.2, 0.3, 0.8, 0.9], 2)
    0.5
    """
    wrong, quality = _check(y_wrong, label_quality)
    return _precision(wrong, quality, _n_rows(budget, len(quality)))


def detection_report(
    y_wrong: ArrayLike,
    label_quality: ArrayLike,
    label_errors: ArrayLike | None = None,
    *,
    y: LabelsLike | None = None,
    budgets: Sequence[int] | float = _BUDGETS,
) -> "DetectionReport":
    """Scores of a detector of label errors: its ranking, its flags, and both for each class.

    .. versionadded:: 0.1

    Parameters
    ----------
    y_wrong : array-like of shape (n_samples,) of bool
        True where the given label is wrong.
    label_quality : array-like of shape (n_samples,)
        Quality of the labels, low where they are probably wrong. Rows with NaN are left out.
    label_errors : array-like of shape (n_samples,) of bool, default=None
        Rows that the detector flags, for "precision", "recall" and "f1".
    y : array-like of shape (n_samples,), default=None
        Given labels, for the same scores of the rows given each class.
    budgets : sequence of int or float, default=(0.01, 0.05, 0.1)
        Numbers of rows that are reviewed, at least 1, or shares, as floats in (0, 1].

    Returns
    -------
    report : DetectionReport
        A dictionary with the keys "n_samples", "noise_rate" (the share of wrong labels),
        "average_precision" and "roc_auc" of the ranking, "precision_at", "recall_at" and
        "lift_at" (dictionaries by budget; lift is the precision over the noise rate); with
        `label_errors`, "flag_rate", "precision", "recall" and "f1"; with `y`, "classes", a
        dictionary of such dictionaries. Its method ``to_frame`` returns a pandas data frame with
        a row for all rows and each class. What cannot be computed, because no label or every
        label is wrong, is NaN.

    Raises
    ------
    ValueError
        If `y_wrong` or `label_errors` is not of two values, lengths differ, no row has a quality,
        or a budget is out of range.

    See Also
    --------
    precision_at_budget : A single score.

    Notes
    -----
    Accuracy is not reported: where few labels are wrong, flagging none has the highest one.

    Examples
    --------
    >>> from skrobust.metrics import detection_report
    >>> y_wrong = [True, False, True, False, False]
    >>> quality = [0.1, 0.2, 0.3, 0.8, 0.9]
    >>> report = detection_report(y_wrong, quality, [True, True, False, False, False], budgets=[2])
    >>> round(report["average_precision"], 3), report["precision"], report["lift_at"]
    (0.833, 0.5, {2: 1.25})
    """
    errors = None
    if label_errors is not None:
        errors = _as_bool(label_errors, "label_errors")
    kept = ~np.isnan(np.asarray(label_quality, dtype=np.float64)).ravel()
    wrong, quality = _check(y_wrong, label_quality)
    if errors is not None:
        _check_length(errors, len(kept), "label_errors")
        errors = errors[kept]
    for budget in budgets:
        _n_rows(budget, len(quality))
    report = DetectionReport(_scores(wrong, quality, errors, budgets))
    if y is not None:
        codes, classes = encode_labels(y)
        _check_length(codes, len(kept), "y")
        codes = codes[kept]
        report["classes"] = {
            label: _scores(
                wrong[codes == k],
                quality[codes == k],
                None if errors is None else errors[codes == k],
                budgets,
            )
            for k, label in enumerate(classes.tolist())
            if (codes == k).any()
        }
    return report


class DetectionReport(dict[str, Any]):
    """Scores of a detector by name, as :func:`detection_report` returns them."""

    def to_frame(self) -> Any:
        """Turn the report into a pandas data frame, a row for all rows and each class."""
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install skrobust[report]") from error
        parts = {"all": self, **self.get("classes", {})}
        return pd.DataFrame([_flatten(part) for part in parts.values()], index=list(parts))


def _flatten(scores: dict) -> dict:
    flat = {}
    for key, value in scores.items():
        if key == "classes":
            continue
        if isinstance(value, dict):
            flat.update({f"{key}_{budget}": number for budget, number in value.items()})
        else:
            flat[key] = value
    return flat


def _scores(wrong, quality, errors, budgets) -> dict:
    """All scores of some rows."""
    rate = float(wrong.mean())
    mixed = 0 < rate < 1
    at = {budget: _n_rows(budget, len(wrong), strict=False) for budget in budgets}
    precision = {budget: _precision(wrong, quality, n) for budget, n in at.items()}
    scores = {
        "n_samples": len(wrong),
        "noise_rate": rate,
        "average_precision": float(average_precision_score(wrong, -quality)) if rate else np.nan,
        "roc_auc": float(roc_auc_score(wrong, -quality)) if mixed else np.nan,
        "precision_at": precision,
        "recall_at": {
            budget: value * at[budget] / wrong.sum() if rate else np.nan
            for budget, value in precision.items()
        },
        "lift_at": {
            budget: value / rate if rate else np.nan for budget, value in precision.items()
        },
    }
    if errors is None:
        return scores
    found, flagged, total = (int(part.sum()) for part in (errors & wrong, errors, wrong))
    return scores | {
        "flag_rate": float(errors.mean()),
        "precision": found / flagged if flagged else np.nan,
        "recall": found / total if total else np.nan,
        "f1": 2 * found / (flagged + total) if flagged + total else np.nan,
    }


def _precision(wrong, quality, n_rows: int) -> float:
    """Share of wrong labels among the lowest, tied rows counted in part."""
    edge = np.partition(quality, n_rows - 1)[n_rows - 1]
    below, tied = quality < edge, quality == edge
    n_tied = n_rows - np.count_nonzero(below)
    return float((wrong[below].sum() + n_tied * wrong[tied].mean()) / n_rows)


def _n_rows(budget, n_samples: int, *, strict: bool = True) -> int:
    """The number of rows of a budget."""
    valid = not isinstance(budget, (bool, np.bool_)) and isinstance(budget, Real)
    if valid and isinstance(budget, Integral):
        valid = 1 <= budget <= n_samples or (budget >= 1 and not strict)
        n_rows = min(int(budget), n_samples)
    elif valid:
        valid = 0 < budget <= 1
        n_rows = max(round(float(budget) * n_samples), 1) if valid else 0
    if not valid:
        raise ValueError(
            f"A budget must be an integer from 1 to the {n_samples} rows, or a float in (0, 1], got"
            f" {budget!r}."
        )
    return n_rows


def _as_bool(values, name: str) -> np.ndarray:
    column = column_or_1d(np.asarray(values))
    if column.dtype.kind not in "biuf" or not np.isin(column, (0, 1)).all():
        raise ValueError(f"{name} must hold True and False only, got {values!r}.")
    return column.astype(bool)


def _check(y_wrong, label_quality) -> tuple[np.ndarray, np.ndarray]:
    """Rows that have a quality."""
    wrong = _as_bool(y_wrong, "y_wrong")
    quality = float_column(label_quality, "label_quality")
    _check_length(quality, len(wrong), "label_quality")
    known = ~np.isnan(quality)
    if not known.any():
        raise ValueError("label_quality is NaN in all rows.")
    return wrong[known], quality[known]


def _check_length(values, n_samples: int, name: str) -> None:
    if len(values) != n_samples:
        raise ValueError(f"{name} has {len(values)} entries, but y_wrong has {n_samples}.")
