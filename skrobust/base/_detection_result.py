"""What a detector finds out about labelled data, and the noise rate that it estimates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from skrobust.base._labelled_data import LabelledData

_LABELS = ("predictions", "alternatives", "posterior_labels", "corrections")
NARROW_INTERVAL = 0.15
"""Largest width of an interval of the noise rate that counts as reliable."""
# Where corrections stand between the lower end of the interval and the estimate.
_CORRECTION_SHARE = 2 / 3


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionResult:
    """Label quality, flags and suggestions of a detector's method, validated where they are made.

    This is what ``_detect(data)`` of a detector returns, before verified labels and the threshold
    of the user are applied. Only `quality` and `errors` are required.

    .. versionadded:: 0.1

    Parameters
    ----------
    quality : ndarray of shape (n_samples,) or (n_samples, n_labels)
        How likely each label is right, in [0, 1]; NaN where the method cannot score it. It
        has the shape of the labels, as do all arrays of shape (n_samples,) below.
    errors : ndarray of shape (n_samples,) of bool
        Rows that the method's own rule flags.
    predictions : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class of each row, as a position in `classes`; -1 where none is known.
    alternatives : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class that is not the given one; -1 where none is known. Required with
        `predictions`.
    joint : ndarray of shape (n_classes, n_classes), default=None
        Estimated weight of rows per given (rows) and true (columns) class.
    threshold : float, default=None
        The threshold of `quality` that made `errors`, if there is just one.
    quality_of : callable, default=None
        Takes encoded labels of shape (n_samples,) and returns the quality that the rows would have
        with them. None where that needs another fit, because the label of a row takes part in its
        own score.
    features : ndarray of shape (n_samples, n_features), default=None
        Further finite statistics that may separate wrong labels from right ones, for calibration on
        verified labels. Columns must not depend on the names of classes.
    pred_proba : ndarray of shape (n_samples, n_classes), default=None
        Out-of-sample probabilities that the method used, none NaN.
    posterior_labels : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class of each row given its label, and so often the given one in spite of
        a flag.
    posterior_proba : ndarray of shape (n_samples,), default=None
        Probability of each of these.
    corrections : ndarray of shape (n_samples,), dtype intp, default=None
        The most probable class of each row given its label, at a noise rate below the estimate:
        the `correction_rate` of `level`.
    alternative_proba : ndarray of shape (n_samples,), default=None
        Probability of each of `alternatives` if the given label is wrong.
    level : NoiseLevel, default=None
        Noise rate and its interval: of classes and indicators among all given labels, as if none
        was verified, because verified rows may have been chosen for being suspicious; of numbers
        among those that are not verified.
    right_proba : ndarray of shape (n_samples,), default=None
        Probability of each given label to be right under the estimated noise, where `quality` is
        no probability.
    doubtful_below : float, default=0.5
        Quality below which a label is more likely wrong than right.

    Raises
    ------
    TypeError
        If `quality` is not numeric or `errors` is no boolean mask.
    ValueError
        If an array has another shape, or `quality` is outside of [0, 1].

    See Also
    --------
    LabelErrorDetector : Its subclasses return this from ``_detect``.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import DetectionResult
    >>> quality = np.array([0.9, 0.2])
    >>> DetectionResult(quality, quality < 0.5).errors
    array([False,  True])
    """

    quality: np.ndarray
    errors: np.ndarray
    predictions: np.ndarray | None = None
    alternatives: np.ndarray | None = None
    joint: np.ndarray | None = None
    threshold: float | None = None
    quality_of: Callable[[np.ndarray], np.ndarray] | None = None
    features: np.ndarray | None = None
    pred_proba: np.ndarray | None = None
    posterior_labels: np.ndarray | None = None
    posterior_proba: np.ndarray | None = None
    corrections: np.ndarray | None = None
    alternative_proba: np.ndarray | None = None
    level: NoiseLevel | None = None
    right_proba: np.ndarray | None = None
    doubtful_below: float = 0.5

    def __post_init__(self) -> None:
        quality, errors = np.asarray(self.quality), np.asarray(self.errors)
        if quality.dtype.kind not in "fiub":
            raise TypeError(f"quality has the type {quality.dtype}: it must be numbers.")
        with np.errstate(invalid="ignore"):
            bad = quality[(quality < 0) | (quality > 1)]
        if len(bad):
            raise ValueError(
                f"quality holds {bad[0]:.6g}: it must be a number from 0 to 1, or NaN where the"
                " method cannot score the label."
            )
        self._check_shape("errors", quality.shape)
        if errors.dtype != bool:
            raise TypeError(
                f"errors has the type {errors.dtype}: it must be a mask of bools, True where the"
                " label is flagged, not row numbers or counts."
            )
        for name in (*_LABELS, "posterior_proba", "right_proba", "alternative_proba"):
            self._check_shape(name, quality.shape)
        if self.predictions is not None and self.alternatives is None:
            raise ValueError("predictions are given without alternatives.")

    def _check_shape(self, name: str, shape: tuple) -> None:
        """Refuse an array of another shape."""
        value = getattr(self, name)
        if value is not None and np.shape(value) != shape:
            raise ValueError(f"{name} has shape {np.shape(value)}, expected {shape}.")

    def check_fits(self, data: LabelledData) -> None:
        """Refuse a result that does not belong to the data.

        Parameters
        ----------
        data : LabelledData
            The data that were given to the detector.

        Raises
        ------
        ValueError
            If shapes or positions of classes do not fit.
        """
        self._check_shape("quality", data.y.shape)
        if data.kind != "classes":
            return
        n_classes = len(data.classes)
        self._check_shape("pred_proba", (data.n_samples, n_classes))
        self._check_shape("joint", (n_classes, n_classes))
        for name in _LABELS:
            value = getattr(self, name)
            if value is None:
                continue
            if np.asarray(value).dtype.kind not in "iu":
                raise TypeError(
                    f"{name} has the type {np.asarray(value).dtype}: it must be positions in"
                    " classes."
                )
            if not -1 <= np.min(value) <= np.max(value) < n_classes:
                raise ValueError(
                    f"{name} must be positions in classes, from 0 to {n_classes - 1}, or -1 where"
                    f" there is none, but holds {np.min(value)} to {np.max(value)}."
                )


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
        Disagreement of labels and predictions, extrapolated to rows whose class is clear.
    disagreement : float
        Share of all rows whose label is not the predicted one.
    explained : bool
        Whether the labels of even the most certain rows depend on more than their class, so that
        their disagreement cannot be distinguished from overlap.
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

    def without(self, share: float, wrong: float) -> NoiseLevel:
        """Return the noise rate of the other rows, where some are verified.

        The verified rows may have been chosen because they are suspicious: the others are wrong as
        often as the verified errors leave room for, and not more often than all rows.

        Parameters
        ----------
        share : float
            Share of the rows that are verified, in [0, 1].
        wrong : float
            Share of all rows that are verified and wrong.

        Returns
        -------
        level : NoiseLevel
            Noise rate of the other rows, and its interval.
        """
        others = max(1 - share, 1e-12)
        rate, low, high = (
            min(max(end - wrong, 0.0) / others, end) for end in (self.rate, self.low, self.high)
        )
        n_rows = self.n_rows * (1 - share)
        return dataclasses.replace(self, rate=rate, low=low, high=high, n_rows=n_rows)

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
            f"the label differs from the prediction in {100 * self.disagreement:.1f} % of the"
            f" rows, and in an estimated {100 * self.certain:.1f} % of rows whose class is clear"
        )
        if self.explained:
            return (
                f"{counted}, but even there it depends on more than the class: overlap of the"
                " classes cannot be told apart from wrong labels"
            )
        return f"{counted}, where overlap of the classes does not explain it"
