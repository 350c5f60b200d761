"""Resolution of the parameter `transition` where a score is corrected."""

import dataclasses
import warnings

import numpy as np
from scipy.special import ndtri
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skrobust.base import TransitionEstimator
from skrobust.noise._noise_model import LEAST_RATE
from skrobust.noise._resolve import check_usable
from skrobust.noise._transitions import check_transition
from skrobust.utils._warnings import LabelNoiseWarning

_CONFIDENCE = 0.95  # of `transition_interval_`
# Standard error of the noise rate of a class, as a share of the width of the plausible interval of
# the mean rate: it makes 95 % intervals hold 95 % of the scores in benchmarks/model_selection.py.
_INTERVAL_SHARE = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class FittedTransition:
    """A transition matrix with what is known of its error.

    Attributes
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        Rows are true classes.
    classes : ndarray of shape (n_classes,) or None
        Labels of rows and columns; None if unknown.
    estimated : bool
        False for a matrix that was given, which is taken to be exact.
    variance : ndarray of shape (n_classes, n_classes) or None
        Variances of the entries; None if not known, or exact.
    rate_error : float or None
        Systematic error of the noise rate of a class, as a share of that rate and independent of
        that of other classes; None if not known, or exact.
    source : object
        Where it comes from, for messages.
    """

    matrix: np.ndarray
    classes: np.ndarray | None = None
    estimated: bool = False
    variance: np.ndarray | None = None
    rate_error: float | None = None
    source: object = None

    @property
    def penalty(self) -> np.ndarray | None:
        """Quadratic penalty of the least squares that its error amounts to."""
        return None if self.variance is None else np.diag(self.variance.sum(axis=1))

    def take(self, classes: np.ndarray) -> "FittedTransition":
        """Order rows and columns by these classes, and check that it can be inverted."""
        matrix, variance, n_classes = self.matrix, self.variance, len(classes)
        if self.classes is None:
            check_transition(matrix, n_classes)
        else:
            position = {label: k for k, label in enumerate(self.classes.tolist())}
            unknown = [label for label in classes.tolist() if label not in position]
            if unknown or n_classes != len(matrix):
                raise ValueError(
                    f"transition is for the classes {self.classes.tolist()}, but the labels are"
                    f" {classes.tolist()}: estimate it from labels of all these classes."
                )
            order = np.array([position[label] for label in classes.tolist()])
            matrix = matrix[np.ix_(order, order)]
            variance = None if variance is None else variance[np.ix_(order, order)]
        check_usable(matrix, classes, "invertible")
        return dataclasses.replace(self, matrix=matrix, variance=variance, classes=classes)


def read_transition(transition) -> FittedTransition:
    """Read a matrix, a fitted transition estimator, or another estimator that has a transition.

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes) or fitted estimator
        An estimator has `transition_matrix_`, or a `detector_` that has it.

    Returns
    -------
    transition : FittedTransition
        Not yet checked against any labels.
    """
    if isinstance(transition, (str, type)):
        raise TypeError(
            "transition must be a matrix of shape (n_classes, n_classes) or a fitted estimator,"
            f" got {transition!r}."
        )
    if not hasattr(transition, "fit"):
        return FittedTransition(check_transition(transition))
    source = _find_source(transition)
    if source is None:
        name = type(transition).__name__
        try:
            check_is_fitted(transition)
        except NotFittedError as error:
            raise NotFittedError(
                f"transition={name}() is not fitted: fit it on rows other than the scored ones."
            ) from error
        raise ValueError(
            f"{name} has no transition_matrix_, and no detector_ with one: pass transition as a"
            " matrix or as a fitted estimator, such as skrobust.noise.AnchorTransition()."
        )
    matrix = check_transition(source.transition_matrix_)
    classes = getattr(source, "classes_", None)
    classes = getattr(transition, "classes_", None) if classes is None else classes
    # A wrapper keeps the estimator that the matrix is of, and only that knows the intervals.
    inner = getattr(source, "transition_estimator_", None)
    inner = source if inner is None else inner
    interval = getattr(inner, "transition_interval_", None)
    variance = None
    if interval is not None:
        variance = ((interval[1] - interval[0]) / (2 * ndtri((1 + _CONFIDENCE) / 2))) ** 2
    return FittedTransition(matrix, classes, True, variance, _rate_error(inner), source)


def _rate_error(estimator) -> float | None:
    """Relative standard error of the noise rate of a class, if the rate has an interval."""
    ends = getattr(estimator, "noise_rate_interval_", None)
    if ends is None:
        return None
    return _INTERVAL_SHARE * (ends[1] - ends[0]) / max(estimator.noise_rate_, LEAST_RATE)


def _find_source(estimator):
    """The estimator itself, its last step, or its detector: what has the transition."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    for source in (estimator, getattr(estimator, "detector_", None)):
        if hasattr(source, "transition_matrix_"):
            return source
    return None


def warn_of_own_rows(source, codes: np.ndarray) -> None:
    """Warn if the transition was estimated from the labels that are scored."""
    if isinstance(source, TransitionEstimator) and source._was_fitted_to(codes):
        warnings.warn(
            f"transition comes from a {type(source).__name__} that was fitted to the rows that are"
            " scored: its errors are then those of the score. Fit it on other rows, such as those"
            " that the model was trained on.",
            LabelNoiseWarning,
            stacklevel=4,
        )
