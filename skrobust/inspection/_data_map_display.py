"""Display of a data map: confidence against variability in training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_consistent_length

from skrobust.base._labels import encode_labels
from skrobust.inspection._plot import COLORS, Display, check_fitted_with, get_axes
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._typing import LabelsLike


@fill_docstring
class DataMapDisplay(Display):
    """Data map: confidence against variability of the given labels while a model trains.

    Confidence is the mean, and variability the standard deviation, of the probability of the given
    label over the stages of a training. Rows of low confidence and low variability are hard to
    learn, wrong labels among them. It is recommended to use :meth:`from_estimator` or
    :meth:`from_predictions`.

    .. versionadded:: 0.1

    Parameters
    ----------
    confidence : array-like of shape (n_samples,)
        Mean probability of the given label, in [0, 1]; NaN is not drawn.
    variability : array-like of shape (n_samples,)
        Its standard deviation, in [0, 0.5].
    label_errors : array-like of shape (n_samples,) of bool, default=None
        Rows to mark.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        Rows that are not marked.
    errors_ : matplotlib PathCollection or None
        Marked rows.
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    skrobust.detection.TrainingDynamics : Computes both numbers.

    References
    ----------
    Swayamdipta, Schwartz, Lourie, Wang, Hajishirzi, Smith and Choi (2020). Dataset cartography:
    mapping and diagnosing datasets with training dynamics. EMNLP.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import TrainingDynamics
    >>> from skrobust.inspection import DataMapDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> detector = TrainingDynamics(random_state=0).fit(X, y)
    >>> display = DataMapDisplay.from_estimator(detector)
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('Variability', 'Confidence')
    """

    scatter_: Any
    errors_: Any
    ax_: Any
    figure_: Any

    def __init__(
        self,
        confidence: ArrayLike,
        variability: ArrayLike,
        *,
        label_errors: ArrayLike | None = None,
    ):
        self.confidence = confidence
        self.variability = variability
        self.label_errors = label_errors

    @classmethod
    def from_estimator(cls, detector: Any, *, ax: Any = None, **plot_params: Any) -> Self:
        """Draw the data map of a fitted detector.

        Parameters
        ----------
        detector : TrainingDynamics
            Fitted.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : DataMapDisplay
            The display.
        """
        dynamics = check_fitted_with(detector, "dynamics_", "pass a fitted TrainingDynamics")
        display = cls(
            dynamics["confidence"], dynamics["variability"], label_errors=detector.label_errors_
        )
        return display.plot(ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        y: LabelsLike,
        staged_proba: Iterable[np.ndarray],
        *,
        label_errors: ArrayLike | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the data map of the probabilities after each stage of a training.

        Parameters
        ----------
        y : array-like of shape (n_samples,)
            Given labels, none missing, one class for each column in sorted order.
        staged_proba : iterable of arrays of shape (n_samples, n_classes)
            Probabilities after each stage.
        label_errors : array-like of shape (n_samples,) of bool, default=None
            Rows to mark.
        %(ax)s
        %(plot_params)s

        Returns
        -------
        display : DataMapDisplay
            The display.
        """
        codes, classes = encode_labels(y)
        if (codes < 0).any():
            raise ValueError(f"y has {int((codes < 0).sum())} missing labels: leave them out.")
        own = []
        for number, proba in enumerate(staged_proba):
            proba = np.asarray(proba, dtype=float)
            if proba.shape != (len(codes), len(classes)):
                raise ValueError(
                    f"Stage {number} of staged_proba has shape {proba.shape}; expected"
                    f" {(len(codes), len(classes))}."
                )
            own.append(proba[np.arange(len(codes)), codes])
        if not own:
            raise ValueError("staged_proba has no stage.")
        display = cls(np.mean(own, axis=0), np.std(own, axis=0), label_errors=label_errors)
        return display.plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None, *, max_rows: int = 20_000) -> Self:
        """Draw the map.

        Parameters
        ----------
        %(ax_no_pyplot)s
        max_rows : int, default=20000
            Number of unmarked rows to draw, evenly spaced; all marked ones are drawn.

        Returns
        -------
        display : DataMapDisplay
            This display.
        """
        check_consistent_length(self.confidence, self.variability, self.label_errors)
        confidence = np.asarray(self.confidence, dtype=float)
        variability = np.asarray(self.variability, dtype=float)
        errors = np.zeros(len(confidence), dtype=bool)
        if self.label_errors is not None:
            errors = np.asarray(self.label_errors, dtype=bool)
        others = np.flatnonzero(~errors)
        if len(others) > max_rows:
            others = others[np.linspace(0, len(others) - 1, max_rows).astype(int)]
        ax, figure = get_axes(ax)
        self.scatter_ = ax.scatter(
            variability[others], confidence[others], s=9, color=COLORS[0], alpha=0.35,
            linewidths=0, label=f"not flagged ({np.count_nonzero(~errors)})",
        )  # fmt: skip
        self.errors_ = None
        if self.label_errors is not None:
            self.errors_ = ax.scatter(
                variability[errors], confidence[errors], s=26, color=COLORS[1], marker="x",
                linewidths=1.2, label=f"flagged ({np.count_nonzero(errors)})",
            )  # fmt: skip
        ax.set(xlabel="Variability", ylabel="Confidence", ylim=(-0.02, 1.02))
        ax.set_xlim(left=min(0, ax.get_xlim()[0]))
        for x, y, words, place in (
            (0.02, 0.98, "easy to learn", ("left", "top")),
            (0.02, 0.02, "hard to learn", ("left", "bottom")),
            (0.98, 0.5, "ambiguous", ("right", "center")),
        ):
            ax.text(
                x, y, words, transform=ax.transAxes, ha=place[0], va=place[1], style="italic",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 2},
            )  # fmt: skip
        ax.legend(fontsize="small", loc="upper right")
        self.ax_, self.figure_ = ax, figure
        return self
