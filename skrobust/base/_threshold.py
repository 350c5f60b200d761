"""Base class of thresholds of the label quality, with their input and result."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from skrobust.base._labelled_data import LabelledData
from skrobust.utils._sklearn import validate_parameters

if TYPE_CHECKING:
    from skrobust.base._detector import LabelErrorDetector
    from skrobust.base._fitted_attributes import DetectionResult


@dataclasses.dataclass(frozen=True, eq=False)
class ThresholdInput:
    """Scored labels from which a threshold object chooses those to flag.

    .. versionadded:: 0.1

    Parameters
    ----------
    detector : LabelErrorDetector
        The detector that scored them; not to be fitted in place.
    data : LabelledData
        The labelled rows. The entries of an indicator matrix are rows here, one label after the
        other, and the classes of an entry of label k are 2k, not given, and 2k + 1, given.
    result : DetectionResult
        Result of the detector's method.
    quality : ndarray of shape (n_samples,)
        Quality of each label, in [0, 1], as if it had not been verified; NaN where the method
        cannot score it. Calibrated on verified labels if
        ``uses_calibrated_quality`` of the threshold is set.
    rows : ndarray of shape (n_samples,) of bool
        Rows that may be flagged: scored and not verified.
    doubtful_below : float, default=0.5
        Quality below which a label is more likely wrong than right.
    parts : tuple of ThresholdInput, default=()
        The same rows label by label, if they are entries of an indicator matrix.
    noise_rate : tuple of float, default=None
        Share of wrong labels among `rows` and the ends of its interval, where the quality was
        calibrated on verified labels.

    See Also
    --------
    ThresholdResult : What :meth:`LabelQualityThreshold.select` returns.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import DetectionResult, LabelledData, ThresholdInput
    >>> data = LabelledData.from_arrays([[0], [1], [2]], ["a", "b", "b"])
    >>> quality = np.array([0.9, 0.2, 0.7])
    >>> result = DetectionResult(quality, quality < 0.5)
    >>> ThresholdInput(None, data, result, quality, data.given).has_classes
    True
    """

    detector: LabelErrorDetector | None
    data: LabelledData
    result: DetectionResult
    quality: np.ndarray
    rows: np.ndarray
    doubtful_below: float = 0.5
    parts: tuple[ThresholdInput, ...] = ()
    noise_rate: tuple[float, float, float] | None = None

    @property
    def has_classes(self) -> bool:
        """Whether labels are classes, not numbers."""
        return self.data.classes is not None

    @property
    def weight(self) -> np.ndarray | None:
        """Weights of the rows that may be flagged, or None."""
        weight = self.data.sample_weight
        return None if weight is None else weight[self.rows]


@dataclasses.dataclass(frozen=True, eq=False)
class ThresholdResult:
    """Flags that a threshold object chose, and what it estimated.

    .. versionadded:: 0.1

    Parameters
    ----------
    errors : ndarray of shape (n_samples,) of bool
        Rows to flag.
    threshold : float, default=None
        Rows with a quality below this are flagged, if there is one threshold for all.
    quality : ndarray of shape (n_samples,), default=None
        Quality that replaces the one of the input.
    noise_rate : float, default=None
        Estimated share of wrong labels among the rows that may be flagged.
    noise_rate_interval : tuple of float, default=None
        Ends of an interval of that share.

    See Also
    --------
    ThresholdInput : What a threshold object chooses from.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import ThresholdResult
    >>> ThresholdResult(np.array([False, True]), threshold=0.4).threshold
    0.4
    """

    errors: np.ndarray
    threshold: float | None = None
    quality: np.ndarray | None = None
    noise_rate: float | None = None
    noise_rate_interval: tuple[float, float] | None = None


class LabelQualityThreshold(ABC):
    """Base class of threshold objects: how many labels are flagged, by their quality.

    A threshold object is the parameter `threshold` of a detector. Its parameters are understood by
    :func:`sklearn.base.clone` and grid searches, but it is no estimator: it is fitted to the
    quality of labels, not to X. A subclass keeps the arguments of its constructor as attributes,
    lists their constraints in `_parameter_constraints`, and implements :meth:`select`, which may
    set fitted attributes with names that end with an underscore.

    .. versionadded:: 0.1

    Attributes
    ----------
    uses_calibrated_quality : bool
        Whether :meth:`select` is given the quality after calibration on verified labels, where
        there are enough of them. Each verified row is then scored without its own verified label.
        Detectors of wrong numbers or indicators do not calibrate.
    needs_classes : bool
        Whether detectors of wrong numbers refuse the threshold.

    See Also
    --------
    skrobust.detection.MixtureThreshold : Splits the quality by a mixture of two components.
    skrobust.detection.DecoyThreshold : Controls the estimated false discovery rate.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import LabelQualityThreshold, ThresholdResult
    >>> from skrobust.detection import ConfidentLearning
    >>> class LowestQuality(LabelQualityThreshold):
    ...     def __init__(self, n_labels=5):
    ...         self.n_labels = n_labels
    ...
    ...     def select(self, inputs):
    ...         quality = np.where(inputs.rows, inputs.quality, np.inf)
    ...         return ThresholdResult(quality <= np.sort(quality)[self.n_labels - 1])
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> detector = ConfidentLearning(threshold=LowestQuality(3), random_state=0)
    >>> int(detector.fit(X, X[:, 0] > 0).label_errors_.sum())
    3
    """

    uses_calibrated_quality = False
    needs_classes = False

    _parameter_constraints: dict = {}

    @classmethod
    def _names(cls) -> list[str]:
        if cls.__init__ is object.__init__:
            return []
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this threshold.

        Parameters
        ----------
        deep : bool, default=True
            Whether the parameters of parts are wanted as well.

        Returns
        -------
        params : dict
            Parameters by name.
        """
        params = {name: getattr(self, name) for name in self._names()}
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    inner = value.get_params()
                    params.update({f"{name}__{key}": val for key, val in inner.items()})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this threshold.

        Parameters
        ----------
        **params : dict
            Parameters by name, those of parts as ``part__name``.

        Returns
        -------
        self : object
            This threshold.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        nested: dict = {}
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in self._names():
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has"
                    f" {', '.join(self._names()) or 'none'}."
                )
            if inner:
                nested.setdefault(name, {})[inner] = value
            else:
                setattr(self, name, value)
        for name, inner in nested.items():
            getattr(self, name).set_params(**inner)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name in self._names()
            if repr(getattr(self, name)) != repr(defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def validate(self) -> None:
        """Refuse bad values of parameters.

        Raises
        ------
        ValueError, TypeError
            As scikit-learn's estimators raise them.
        """
        validate_parameters(
            self._parameter_constraints, self.get_params(deep=False), type(self).__name__
        )

    @abstractmethod
    def select(self, inputs: ThresholdInput) -> ThresholdResult:
        """Choose the rows to flag.

        Parameters
        ----------
        inputs : ThresholdInput
            Scored labels.

        Returns
        -------
        result : ThresholdResult
            The rows to flag.
        """

    def flag_new(self, quality: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
        """Flag new rows by what :meth:`select` found.

        Parameters
        ----------
        quality : ndarray of shape (n_samples,)
            Quality after :meth:`recalibrate`; NaN where the label is missing.
        codes : ndarray of shape (n_samples,)
            Given labels; -1 where missing. Numeric targets are all 0.

        Returns
        -------
        errors : ndarray of shape (n_samples,) of bool, or None
            Rows to flag. None flags by the threshold of :class:`ThresholdResult`, and without one
            by the rule of the detector.
        """
        return None

    def recalibrate(self, quality: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Transform the quality of new rows as :meth:`select` did.

        Parameters
        ----------
        quality : ndarray of shape (n_samples,)
            Quality by the detector's method.
        codes : ndarray of shape (n_samples,)
            Given labels.

        Returns
        -------
        quality : ndarray of shape (n_samples,)
            Transformed quality; the same by default.
        """
        return quality


def score_new_labels(
    threshold, lowest_kept, quality, codes, own_errors
) -> tuple[np.ndarray, np.ndarray]:
    """Apply a fitted threshold object, a threshold of the quality, or own flags to new rows."""
    if threshold is not None:
        quality = threshold.recalibrate(quality, codes)
    quality = np.where(codes < 0, np.nan, quality)
    chosen = None if threshold is None else threshold.flag_new(quality, codes)
    if chosen is None:
        chosen = own_errors if lowest_kept is None else quality < lowest_kept
    return quality, chosen & (codes >= 0)
