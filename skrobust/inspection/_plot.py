"""What the displays share: axes that belong to no pyplot figure, colours, and class names."""

from __future__ import annotations

import io

import numpy as np
from sklearn.utils.validation import check_is_fitted

# The palette of Okabe and Ito, distinguishable with any common colour blindness.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
# A longer name would leave no space for the plot.
_LONGEST_NAME = 18


class Display:
    """Base class of the displays: a figure that notebooks show when it was drawn."""

    def _repr_png_(self) -> bytes | None:
        if not hasattr(self, "figure_"):
            return None
        content = io.BytesIO()
        self.figure_.savefig(content, format="png")
        return content.getvalue()


def get_axes(ax, *, figsize: tuple[float, float] = (6.4, 4.8)) -> tuple:
    """Return axes and their figure; new ones are not known to pyplot."""
    try:
        from matplotlib.axes import Axes
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Displays need matplotlib; install it with: pip install "skrobust[report]"'
        ) from error
    if ax is None:
        figure = Figure(figsize=figsize, layout="constrained")
        return figure.subplots(), figure
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib axes or None, got {ax!r}.")
    return ax, ax.figure


def class_names(classes) -> list[str]:
    """Return the classes as text that fits beside an axis and is not read as mathematics."""
    return [short_name(label) for label in np.asarray(classes).tolist()]


def short_name(label) -> str:
    """Return a label as one short line of printable text."""
    text = "".join(char if char.isprintable() else " " for char in str(label))
    text = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return text.replace("$", r"\$")


def check_fitted_with(estimator, attribute: str, advice: str):
    """Return a fitted attribute, or raise an error that names what has one."""
    check_is_fitted(estimator)
    value = getattr(estimator, attribute, None)
    if value is None:
        raise ValueError(f"{type(estimator).__name__} has no {attribute}: {advice}.")
    return value
