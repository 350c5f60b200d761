"""Display of the accuracy of a network against the width of its features."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skrobust.inspection._plot import COLORS, Display, check_fitted_with, get_axes
from skrobust.utils._docstring import fill_docstring


@fill_docstring
class NestedWidthDisplay(Display):
    """Accuracy against the number of features that predict, under nested dropout.

    It is recommended to use :meth:`from_estimator`.

    .. versionadded:: 0.1

    Parameters
    ----------
    width_scores : array-like of shape (n_features,)
        Accuracy on held-out rows with the first feature, the first two, and so on.
    width : int, default=None
        The chosen width.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Accuracy of each width.
    chosen_ : matplotlib Line2D or None
        Line at the chosen width.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    skrobust.neural.NestedDropoutClassifier : Orders its features by nested dropout.

    References
    ----------
    Chen, Hu, Shen, Ai and Suykens (2022). Compressing features for learning with noisy labels.
    IEEE Transactions on Neural Networks and Learning Systems.

    Examples
    --------
    >>> from skrobust.inspection import NestedWidthDisplay
    >>> display = NestedWidthDisplay([0.5, 0.7, 0.8, 0.78], width=3).plot()
    >>> display.ax_.get_xlabel()
    'Number of features'
    """

    line_: Any
    chosen_: Any
    ax_: Any
    figure_: Any

    def __init__(self, width_scores: ArrayLike, *, width: int | None = None):
        self.width_scores = width_scores
        self.width = width

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_params: Any) -> Self:
        """Draw the accuracy of each width of a fitted network.

        Parameters
        ----------
        estimator : NestedDropoutClassifier
            Fitted with rows held out, so that it has `width_scores_`.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : NestedWidthDisplay
            The display.
        """
        scores = check_fitted_with(
            estimator,
            "width_scores_",
            'pass a NestedDropoutClassifier fitted with compression="nested_dropout" and rows held'
            " out",
        )
        return cls(scores, width=estimator.width_).plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        %(ax_no_pyplot)s

        Returns
        -------
        display : NestedWidthDisplay
            This display.
        """
        scores = np.asarray(self.width_scores, dtype=float)
        if scores.ndim != 1 or not len(scores):
            raise ValueError(
                f"width_scores must be a column with one score per width, got shape {scores.shape}."
            )
        width = self.width
        if width is not None and not (isinstance(width, Integral) and 1 <= width <= len(scores)):
            raise ValueError(f"width must be an integer from 1 to {len(scores)}, got {width!r}.")
        ax, figure = get_axes(ax)
        (self.line_,) = ax.plot(
            np.arange(1, len(scores) + 1), scores, color=COLORS[0], label="held-out rows"
        )
        self.chosen_ = None
        if width is not None:
            self.chosen_ = ax.axvline(
                width, color=COLORS[1], linestyle="--", label=f"chosen width {width}"
            )
        ax.set(xlabel="Number of features", ylabel="Accuracy on held-out (noisy) labels")
        ax.legend(fontsize="small")
        self.ax_, self.figure_ = ax, figure
        return self
