"""Estimated noise rate, with its interval and reliability."""

import dataclasses

NARROW_INTERVAL = 0.15
"""Largest width of an interval of the noise rate that counts as reliable."""
# Where corrections stand between the lower end of the interval and the estimate.
_CORRECTION_SHARE = 2 / 3


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseLevel:
    """Estimated noise rate, its interval, and what it was estimated from.

    .. versionadded:: 0.1

    Parameters
    ----------
    rate : float
        Share of wrong labels.
    low : float
        Lower end of the interval of the share.
    high : float
        Upper end: the share if every disagreement with the prediction is an error.
    certain : float
        Disagreement of labels and predictions, extrapolated to rows that are certain.
    disagreement : float
        Share of all rows whose label is not the predicted one.
    explained : bool
        Whether the labels of even the most certain rows depend on more than their class, so that
        their disagreement cannot be told from overlap.
    n_rows : float
        Number of rows that were counted.

    Examples
    --------
    >>> from skrobust.base import NoiseLevel
    >>> level = NoiseLevel(0.1, 0.08, 0.13, 0.09, 0.2, explained=False, n_rows=500.0)
    >>> level.reliability
    'good'
    """

    rate: float
    low: float
    high: float
    certain: float = float("nan")
    disagreement: float = float("nan")
    explained: bool = False
    n_rows: float = float("nan")

    @property
    def has_reason(self) -> bool:
        """Whether the level was estimated from a disagreement, which `reason` states."""
        return self.disagreement == self.disagreement

    @property
    def correction_rate(self) -> float:
        """Noise rate that corrections assume: below `rate`, and 0 where none is plausible."""
        if self.low <= 0:
            return 0.0
        share = 0.0 if self.explained else _CORRECTION_SHARE
        return min(self.low + share * (self.rate - self.low), self.rate)

    @property
    def reliability(self) -> str:
        """Whether noise can be told apart from overlap: "good", "limited" or "cannot tell"."""
        if self.explained or self.n_rows == 0:
            return "cannot tell"
        return "good" if self.high - self.low <= NARROW_INTERVAL else "limited"

    @property
    def reason(self) -> str:
        """What `reliability` rests on, in words and numbers."""
        if self.n_rows == 0:
            return "no row has a label and a prediction of which one class is the most probable"
        counted = (
            f"the label differs from the prediction in {self.disagreement:.1%} of all rows, and in"
            f" {self.certain:.1%} when extrapolated to rows that are certain"
        )
        if self.explained:
            return (
                f"{counted}, but even there it depends on more than the class: overlap of the"
                " classes cannot be told apart from wrong labels"
            )
        return f"{counted}; between {self.low:.1%} and {self.high:.1%} of the labels are wrong"
