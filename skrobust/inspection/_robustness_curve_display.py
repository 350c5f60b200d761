"""Display of scores against the rate of added label noise."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from skrobust.inspection._plot import COLORS, LINES, MARKERS, Display, get_axes
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._typing import LabelsLike


@fill_docstring
class RobustnessCurveDisplay(Display):
    """Score of an estimator against the rate of label noise added to its training labels.

    Lines are means over the repetitions, and bands reach from the lowest to the highest score. It
    is recommended to use :meth:`from_estimator` or :meth:`from_cv_results`.

    .. versionadded:: 0.1

    Parameters
    ----------
    rates : array-like of shape (n_rates,)
        Rates of the noise, in [0, 1].
    scores : dict of str to array-like of shape (n_rates, n_repeats)
        Scores for each kind of noise.
    score_name : str, default="Score"
        Label of the vertical axis.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        Mean score for each kind of noise.
    bands_ : dict of str to matplotlib PolyCollection
        Range of the scores for each kind of noise.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains the axes.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores against the number of rows.

    Examples
    --------
    >>> from skrobust.inspection import RobustnessCurveDisplay
    >>> scores = {"symmetric": [[0.9, 0.92], [0.85, 0.88], [0.7, 0.8]]}
    >>> display = RobustnessCurveDisplay([0, 0.2, 0.4], scores).plot()
    >>> display.ax_.get_xlabel()
    'Rate of added label noise'
    """

    lines_: dict[str, Any]
    bands_: dict[str, Any]
    ax_: Any
    figure_: Any

    def __init__(
        self, rates: ArrayLike, scores: dict[str, ArrayLike], *, score_name: str = "Score"
    ):
        self.rates = rates
        self.scores = scores
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: LabelsLike,
        *,
        score_name: str | None = None,
        ax: Any = None,
        **params: Any,
    ) -> Self:
        """Compute the curve of an estimator and draw it.

        Parameters
        ----------
        estimator : estimator
            Estimator to fit to noisy labels.
        %(X)s
        y : array-like of shape (n_samples,)
            Labels to which noise is added.
        score_name : str, default=None
            Label of the vertical axis. None uses the name of `scoring` where that is a string.
        %(ax)s
        **params : dict
            Parameters of :func:`skrobust.model_selection.noise_robustness_curve`.

        Returns
        -------
        display : RobustnessCurveDisplay
            The display.
        """
        from skrobust.model_selection import noise_robustness_curve

        scoring = params.get("scoring")
        if score_name is None and isinstance(scoring, str):
            score_name = scoring.replace("_", " ").capitalize()
        curve = noise_robustness_curve(estimator, X, y, **params)
        return cls.from_cv_results(curve, score_name=score_name, ax=ax)

    @classmethod
    def from_cv_results(
        cls, curve: Bunch, *, score_name: str | None = None, ax: Any = None
    ) -> Self:
        """Draw a curve that was computed before.

        Parameters
        ----------
        curve : Bunch
            As of :func:`skrobust.model_selection.noise_robustness_curve`, with `kinds`, `rates` and
            `scores`.
        score_name : str, default=None
            Label of the vertical axis. None is "Score".
        %(ax)s

        Returns
        -------
        display : RobustnessCurveDisplay
            The display.
        """
        scores = {kind: curve["scores"][kind] for kind in curve["kinds"]}
        return cls(curve["rates"], scores, score_name=score_name or "Score").plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        %(ax_no_pyplot)s

        Returns
        -------
        display : RobustnessCurveDisplay
            This display.
        """
        rates = np.asarray(self.rates, dtype=float)
        checked = {}
        for kind, values in self.scores.items():
            values = np.asarray(values, dtype=float)
            if rates.ndim != 1 or values.ndim != 2 or len(values) != len(rates):
                raise ValueError(
                    f"scores[{kind!r}] must have shape (n_rates, n_repeats) with {rates.size}"
                    f" rates, got {values.shape}."
                )
            checked[kind] = values
        if not checked:
            raise ValueError("scores holds no kind of noise.")
        ax, figure = get_axes(ax)
        self.lines_, self.bands_ = {}, {}
        for number, (kind, values) in enumerate(checked.items()):
            color = COLORS[number % len(COLORS)]
            (self.lines_[kind],) = ax.plot(
                rates, values.mean(axis=1), color=color, linestyle=LINES[number % len(LINES)],
                marker=MARKERS[number % len(MARKERS)], label=kind,
            )  # fmt: skip
            self.bands_[kind] = ax.fill_between(
                rates, values.min(axis=1), values.max(axis=1), color=color, alpha=0.18, linewidth=0
            )
        ax.set(xlabel="Rate of added label noise", ylabel=self.score_name)
        ax.legend(fontsize="small", title="Noise")
        self.ax_, self.figure_ = ax, figure
        return self
