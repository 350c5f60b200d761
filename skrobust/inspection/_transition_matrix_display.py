"""Display of a transition matrix."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from skrobust.base._labels import encode_labels, encode_labels_like
from skrobust.inspection._plot import Display, check_fitted_with, class_names, get_axes
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._typing import LabelsLike

# With more classes, numbers in the cells would be too small to read.
_MOST_NUMBERS = 12
_DARK = 0.55


@fill_docstring
class TransitionMatrixDisplay(Display):
    """Heat map of how true classes turn into given (observed) labels.

    Rows are true classes and columns given labels. Only the cells off the diagonal, the errors,
    are coloured, since the diagonal would hide them. It is recommended to use
    :meth:`from_estimator` or :meth:`from_predictions`.

    .. versionadded:: 0.1

    Parameters
    ----------
    transition_matrix : array-like of shape (n_classes, n_classes)
        Rates, rows sum to 1; or counts of rows.
    classes : array-like of shape (n_classes,), default=None
        Names of the classes. None numbers them from 0.
    interval : array-like of shape (2, n_classes, n_classes), default=None
        Lower and upper ends of an interval of each entry.

    Attributes
    ----------
    order_ : ndarray of shape (n_shown,)
        Classes in the order drawn.
    n_left_out_ : int
        Number of classes that are not drawn.
    im_ : matplotlib AxesImage
        The heat map.
    text_ : ndarray of shape (n_shown, n_shown) of matplotlib Text, or None
        Numbers in the cells; None where there are none.
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    skrobust.noise.TrustedTransition : Estimates a transition matrix with intervals.
    sklearn.metrics.ConfusionMatrixDisplay : The same of predictions.

    Examples
    --------
    >>> from skrobust.inspection import TransitionMatrixDisplay
    >>> from skrobust.noise import pair_transition
    >>> display = TransitionMatrixDisplay(pair_transition(3, 0.2)).plot()
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('Given label', 'True class')
    """

    order_: np.ndarray
    n_left_out_: int
    im_: Any
    text_: np.ndarray | None
    ax_: Any
    figure_: Any

    def __init__(
        self,
        transition_matrix: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        interval: ArrayLike | None = None,
    ):
        self.transition_matrix = transition_matrix
        self.classes = classes
        self.interval = interval

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_params: Any) -> Self:
        """Draw the transition matrix of a fitted estimator or detector.

        Parameters
        ----------
        estimator : object
            Fitted, with `transition_matrix_` and `classes_`; its `transition_interval_` is drawn
            where it has one.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : TransitionMatrixDisplay
            The display.
        """
        matrix = check_fitted_with(
            estimator,
            "transition_matrix_",
            "pass a fitted transition estimator, or a detector that estimates one",
        )
        display = cls(
            matrix,
            classes=estimator.classes_,
            interval=getattr(estimator, "transition_interval_", None),
        )
        return display.plot(ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        y: LabelsLike,
        true_labels: LabelsLike,
        *,
        normalize: bool = True,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw how often which label was given to rows of known class.

        Parameters
        ----------
        %(y)s
        true_labels : array-like of shape (n_samples,)
            True, verified or predicted labels; missing ones are not counted.
        normalize : bool, default=True
            Draw the share of each true class. False draws counts.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : TransitionMatrixDisplay
            The display.
        """
        check_consistent_length(y, true_labels)
        _, given_classes = encode_labels(y)
        _, true_classes = encode_labels(true_labels, name="true_labels")
        classes = np.unique(np.concatenate([given_classes, true_classes]))
        codes = encode_labels_like(y, classes, name="y")
        truth = encode_labels_like(true_labels, classes, name="true_labels")
        counted = (codes >= 0) & (truth >= 0)
        if not counted.any():
            raise ValueError("No row has both a label in y and one in true_labels.")
        pairs = truth[counted] * len(classes) + codes[counted]
        matrix = np.bincount(pairs, minlength=len(classes) ** 2).reshape(len(classes), -1)
        if normalize:
            matrix = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        return cls(matrix, classes=classes).plot(ax=ax, **plot_params)

    def plot(
        self,
        ax: Any = None,
        *,
        sort: bool = True,
        max_classes: int = 20,
        cmap: Any = "Blues",
        include_values: bool | None = None,
    ) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        %(ax_no_pyplot)s
        sort : bool, default=True
            Whether the classes with the largest share of errors come first.
        max_classes : int, default=20
            Number of classes to draw, those with the most errors; at least 2.
        cmap : str or matplotlib Colormap, default="Blues"
            Colours of the errors.
        include_values : bool, default=None
            Whether to write numbers into the cells. None writes them for up to 12 classes.

        Returns
        -------
        display : TransitionMatrixDisplay
            This display.
        """
        matrix, names, interval = self._check(max_classes)
        errors = matrix.sum(axis=1) - np.diagonal(matrix)
        if np.issubdtype(matrix.dtype, np.integer):
            errors = errors / np.maximum(matrix.sum(axis=1), 1)
        worst = np.argsort(-errors, kind="stable")[:max_classes]
        self.order_ = worst if sort else np.sort(worst)
        self.n_left_out_ = len(matrix) - len(worst)
        shown = matrix[np.ix_(self.order_, self.order_)]
        size = min(4.0 + 0.35 * len(shown), 11.0)
        ax, figure = get_axes(ax, figsize=(size + 1.2, size))
        colored = np.ma.masked_array(shown, mask=np.eye(len(shown), dtype=bool))
        most = float(colored.max()) if len(shown) > 1 else 0.0
        self.im_ = ax.imshow(colored, cmap=cmap, vmin=0, vmax=most or 1)
        ax.set_facecolor("#e4e4e4")
        numbers = len(shown) <= _MOST_NUMBERS if include_values is None else include_values
        self.text_ = self._write(ax, shown, interval, most) if numbers else None
        ticks = [names[k] for k in self.order_]
        small = {"fontsize": "small"} if len(shown) > _MOST_NUMBERS else {}
        rotation = 90 if max(map(len, ticks)) > 3 else 0
        ax.set_xticks(range(len(shown)), ticks, rotation=rotation, **small)
        ax.set_yticks(range(len(shown)), ticks, **small)
        ax.set(xlabel="Given label", ylabel="True class")
        if self.n_left_out_:
            ax.set_title(f"{self.n_left_out_} classes with fewer errors are left out", **small)
        counts = np.issubdtype(matrix.dtype, np.integer)
        # As high as the matrix, whatever the shape of the figure.
        beside = ax.inset_axes((1.04, 0, 0.05, 1))
        figure.colorbar(self.im_, cax=beside, label="Rows" if counts else "Share of the true class")
        self.ax_, self.figure_ = ax, figure
        return self

    def _check(self, max_classes) -> tuple:
        """Return matrix, names and interval after validation."""
        matrix = np.asarray(self.transition_matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "iuf":
            raise ValueError(
                "transition_matrix must be a square matrix of numbers, got an array of shape"
                f" {matrix.shape} and type {matrix.dtype}."
            )
        if not np.isfinite(matrix).all() or matrix.min() < 0:
            raise ValueError("transition_matrix must be finite, and no entry may be negative.")
        if not isinstance(max_classes, Integral) or max_classes < 2:
            raise ValueError(f"max_classes must be an integer of at least 2, got {max_classes!r}.")
        classes = np.arange(len(matrix)) if self.classes is None else np.asarray(self.classes)
        if classes.shape != (len(matrix),):
            raise ValueError(
                f"classes must name the {len(matrix)} rows of transition_matrix, got shape"
                f" {classes.shape}."
            )
        interval = None if self.interval is None else np.asarray(self.interval, dtype=float)
        if interval is not None and interval.shape != (2, *matrix.shape):
            raise ValueError(
                f"interval must have shape {(2, *matrix.shape)}, got {interval.shape}."
            )
        return matrix, class_names(classes), interval

    def _write(self, ax, shown, interval, most) -> np.ndarray:
        """Write entries, and their intervals below them, into the cells."""
        text = np.empty(shown.shape, dtype=object)
        fontsize = 10 if len(shown) <= 6 else 8
        for i, j in np.ndindex(shown.shape):
            words = _number(shown[i, j])
            if interval is not None:
                low, high = interval[:, self.order_[i], self.order_[j]]
                words += f"\n{_number(low)}–{_number(high)}"
            dark = i != j and shown[i, j] > _DARK * most > 0
            text[i, j] = ax.text(
                j, i, words, ha="center", va="center", fontsize=fontsize,
                color="white" if dark else "black",
            )  # fmt: skip
        return text


def _number(value) -> str:
    if isinstance(value, (int, np.integer)):
        return str(value)
    return f"{value:.2f}" if value >= 0.005 or value == 0 else "<.01"
