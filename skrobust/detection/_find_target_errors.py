"""Functions that score and flag numeric targets by given out-of-sample predictions."""

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labels import check_targets
from skrobust.detection._residual_rules import mixture_threshold
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._error_messages import explain_names
from skrobust.utils._input import check_index
from skrobust.utils._typing import LabelsLike
from skrobust.utils._weights import check_sample_weight, weighted_median

# Residuals this small, as a share of the deviation of all targets, are rounding errors.
_ROUNDING = 1e-6
_PARAMETERS = """
y : array-like of shape (n_samples,)
    Given targets; NaN where missing.
y_pred : array-like of shape (n_samples,)
    Out-of-sample predictions.
uncertainty : array-like of shape (n_samples,), default=None
    Size that the residual of a right target is expected to have in each row; None is equal
    in all rows.
sample_weight : array-like of shape (n_samples,), default=None
    Weights of the rows."""


@explain_names
@fill_docstring(targets=_PARAMETERS)
def target_quality_scores(
    y: LabelsLike,
    y_pred: ArrayLike,
    *,
    uncertainty: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Score how likely numeric targets are right, by out-of-sample predictions.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(targets)s

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        exp(-z) in [0, 1], where z is the absolute residual over its uncertainty, as a multiple of
        the median; NaN where the target is missing.

    See Also
    --------
    find_target_errors : Which targets are wrong.
    ResidualDetector : The detector that collects predictions and uncertainty as well.

    References
    ----------
    Zhou, Mueller, Kumar, Wang and Lei (2023). Detecting errors in numerical data via any
    regression model. arXiv:2305.16583.

    Examples
    --------
    >>> from skrobust.detection import target_quality_scores
    >>> quality = target_quality_scores([1.0, 2.0, 9.0, 4.0], [1.1, 2.1, 3.1, 4.1])
    >>> int(quality.argmin())
    2
    """
    scores, _, _ = _standardised(y, y_pred, uncertainty, sample_weight)
    return np.exp(-scores)


@explain_names
@fill_docstring(targets=_PARAMETERS)
def find_target_errors(
    y: LabelsLike,
    y_pred: ArrayLike,
    *,
    uncertainty: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Find the rows whose numeric target is probably wrong, by out-of-sample predictions.

    Two normal distributions around zero, a narrow and a wide one, are fitted to the residuals; a
    target is flagged where the probability of the wide one is at least a quarter.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(targets)s

    Returns
    -------
    target_errors : ndarray of shape (n_samples,) of bool
        True where the target is probably wrong.

    See Also
    --------
    target_quality_scores : How likely each target is right.
    ResidualDetector : The detector that collects predictions and uncertainty as well.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.detection import find_target_errors
    >>> rng = np.random.default_rng(0)
    >>> y_pred = rng.uniform(size=200)
    >>> y = y_pred + rng.normal(scale=0.1, size=200)
    >>> y[:5] += 3
    >>> errors = find_target_errors(y, y_pred)
    >>> bool(errors[:5].all()), bool(errors[5:].mean() < 0.02)
    (True, True)
    """
    scores, given, weight = _standardised(y, y_pred, uncertainty, sample_weight)
    errors = np.zeros(len(scores), dtype=bool)
    errors[given] = scores[given] > mixture_threshold(scores[given], weight)
    return errors


def _standardised(y, y_pred, uncertainty, sample_weight):
    """Absolute residuals in units of their uncertainty, of the rows that have a target."""
    for name, column in (
        ("y_pred", y_pred),
        ("uncertainty", uncertainty),
        ("sample_weight", sample_weight),
    ):
        check_index(y, column, name)
    y = check_targets(y)
    predictions = check_targets(y_pred, name="y_pred")
    if predictions.shape != y.shape:
        raise ValueError(
            f"y_pred must have one prediction per target, {len(y)}, got {len(predictions)}."
        )
    if np.isnan(predictions).any():
        raise ValueError(f"y_pred is NaN in row {int(np.isnan(predictions).argmax())}.")
    given = ~np.isnan(y)
    if not given.any():
        raise ValueError("y has no target: all are missing.")
    size = np.abs(y - predictions)
    if uncertainty is not None:
        scale = check_targets(uncertainty, name="uncertainty")
        if scale.shape != y.shape or not (scale > 0).all():
            raise ValueError(
                f"uncertainty must hold {len(y)} positive numbers, one for each target."
            )
        size = size / scale
    weight = None if sample_weight is None else check_sample_weight(sample_weight, y)[given]
    tiny = _ROUNDING * (np.std(y[given]) if uncertainty is None else 1.0)
    unit = max(weighted_median(size[given], weight), tiny, 1e-300)
    return size / unit, given, weight
