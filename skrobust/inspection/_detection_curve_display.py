"""Display of precision and recall against the number of flagged rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from skrobust.base._labels import encode_labels, encode_labels_like
from skrobust.inspection._flag_precision import error_proba
from skrobust.inspection._plot import COLORS, Display, check_fitted_with, get_axes
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._typing import LabelsLike


@fill_docstring
class DetectionCurveDisplay(Display):
    """Precision and recall of the rows of lowest quality, against their number.

    Both are estimated where the label quality is the probability of the label to be right, and
    computed where it is known which labels are wrong. It is recommended to use
    :meth:`from_estimator` or :meth:`from_predictions`.

    .. versionadded:: 0.1

    Parameters
    ----------
    label_quality : array-like of shape (n_samples,)
        Quality of the given labels, in [0, 1]; rows with NaN are left out.
    is_error : array-like of shape (n_samples,), default=None
        1 where the label is known to be wrong, 0 where it is known to be right, NaN where that is
        not known.
    error_proba : array-like of shape (n_samples,), default=None
        Probability of each label to be wrong, for the estimates.
    n_flagged : int, default=None
        Number of rows that are flagged.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The curves: "estimated precision", "estimated recall", "precision" and "recall", as far as
        they are known.
    flagged_ : matplotlib Line2D or None
        Line at the number of flagged rows.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    sklearn.metrics.PrecisionRecallDisplay : Precision against recall.

    Notes
    -----
    Where only some rows are verified, "precision" and "recall" are those among the verified rows,
    drawn at the rank of each among all rows. They are those of all rows only if the verified ones
    were drawn at random.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.inspection import DetectionCurveDisplay
    >>> rng = np.random.default_rng(0)
    >>> quality = rng.uniform(size=300)
    >>> is_error = rng.uniform(size=300) > quality
    >>> display = DetectionCurveDisplay(quality, is_error=is_error).plot()
    >>> sorted(display.lines_)
    ['precision', 'recall']
    """

    lines_: dict[str, Any]
    flagged_: Any
    ax_: Any
    figure_: Any

    def __init__(
        self,
        label_quality: ArrayLike,
        *,
        is_error: ArrayLike | None = None,
        error_proba: ArrayLike | None = None,
        n_flagged: int | None = None,
    ):
        self.label_quality = label_quality
        self.is_error = is_error
        self.error_proba = error_proba
        self.n_flagged = n_flagged

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        y: LabelsLike | None = None,
        true_labels: LabelsLike | None = None,
        *,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the curves of a fitted detector.

        Parameters
        ----------
        detector : LabelErrorDetector
            Fitted.
        y : array-like of shape (n_samples,), default=None
            Given labels, as in ``fit``; needed with `true_labels`.
        true_labels : array-like of shape (n_samples,), default=None
            True labels, missing where they are not known.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : DetectionCurveDisplay
            The display.
        """
        quality = check_fitted_with(detector, "label_quality_", "pass a fitted detector")
        is_error = None
        if true_labels is not None:
            if y is None:
                raise ValueError("true_labels need y, the given labels, to be compared with.")
            is_error = _compare(y, true_labels)
        display = cls(
            quality,
            is_error=is_error,
            error_proba=error_proba(detector),
            n_flagged=int(np.count_nonzero(detector.label_errors_)),
        )
        return display.plot(ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls, is_error: ArrayLike, label_quality: ArrayLike, *, ax: Any = None, **plot_params: Any
    ) -> Self:
        """Draw the curves of any quality against known errors.

        Parameters
        ----------
        is_error : array-like of shape (n_samples,)
            1 where the label is wrong, 0 where it is right, NaN where that is not known.
        label_quality : array-like of shape (n_samples,)
            Quality of the labels.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : DetectionCurveDisplay
            The display.
        """
        return cls(label_quality, is_error=is_error).plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None, *, max_flagged: int | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        %(ax_no_pyplot)s
        max_flagged : int, default=None
            Largest number of flagged rows to draw. None draws four times the number of flagged
            rows, and all rows where that is not known.

        Returns
        -------
        display : DetectionCurveDisplay
            This display.
        """
        check_consistent_length(self.label_quality, self.is_error, self.error_proba)
        quality = np.asarray(self.label_quality, dtype=float)
        rows = np.flatnonzero(~np.isnan(quality))
        order = rows[np.argsort(quality[rows], kind="stable")]
        number = np.arange(1, len(order) + 1)
        curves = {}
        if self.error_proba is not None:
            found = np.cumsum(np.nan_to_num(np.asarray(self.error_proba, dtype=float)[order]))
            curves["estimated precision"] = number, found / number
            curves["estimated recall"] = number, found / max(found[-1], 1e-300)
        if self.is_error is not None:
            wrong = np.asarray(self.is_error, dtype=float)[order]
            known = ~np.isnan(wrong)
            if not (wrong[known] == 1).any():
                raise ValueError("is_error marks no row as wrong: there is no curve to draw.")
            found = np.cumsum(wrong[known])
            at = number[known]
            curves["precision"] = at, found / np.arange(1, len(at) + 1)
            curves["recall"] = at, found / found[-1]
        if not curves:
            raise ValueError(
                "Nothing to draw: the label quality is no probability, and it is not known which"
                " labels are wrong. Pass true_labels."
            )
        ax, figure = get_axes(ax)
        self.lines_ = {}
        for name, (x, y) in curves.items():
            color = COLORS[0] if name.endswith("precision") else COLORS[1]
            (self.lines_[name],) = ax.plot(
                x, y, color=color, linestyle="--" if name.startswith("estimated") else "-",
                label=name,
            )  # fmt: skip
        self.flagged_ = None
        if self.n_flagged is not None:
            self.flagged_ = ax.axvline(
                self.n_flagged, color="black", linestyle=":", label=f"flagged: {self.n_flagged}"
            )
        if max_flagged is None:
            max_flagged = 4 * self.n_flagged if self.n_flagged else len(order)
        ax.set(
            xlabel="Number of rows of lowest quality", ylabel="Share", ylim=(0, 1.03),
            xlim=(0, min(max(max_flagged, 10), len(order))),
        )  # fmt: skip
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, figure
        return self


def _compare(y, true_labels) -> np.ndarray:
    """Return 1 where labels differ from the true ones, 0 where not, NaN where one is missing."""
    check_consistent_length(y, true_labels)
    _, classes = encode_labels(y)
    _, true_classes = encode_labels(true_labels, name="true_labels")
    classes = np.unique(np.concatenate([classes, true_classes]))
    codes = encode_labels_like(y, classes, name="y")
    truth = encode_labels_like(true_labels, classes, name="true_labels")
    return np.where((codes >= 0) & (truth >= 0), codes != truth, np.nan)
