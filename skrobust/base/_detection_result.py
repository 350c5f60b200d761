"""What the method of a detector finds out about labelled data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from skrobust.base._labelled_data import LabelledData

if TYPE_CHECKING:
    from skrobust.base._fitted_attributes import NoiseLevel

_LABELS = ("predictions", "alternatives", "posterior_labels", "corrections")


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
