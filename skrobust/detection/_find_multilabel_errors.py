"""Functions that score and flag indicators by given out-of-sample probabilities."""

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labels import check_indicators
from skrobust.detection._multilabel import AGGREGATES, aggregate_quality
from skrobust.detection._rules import check_rule, fit_rule
from skrobust.utils._error_messages import explain_names
from skrobust.utils._input import check_index, number_matrix
from skrobust.utils._typing import MatrixLike
from skrobust.utils._weights import check_sample_weight


@explain_names
def multilabel_quality_scores(
    y: MatrixLike,
    pred_proba: MatrixLike,
    *,
    aggregate: str = "ema",
    alpha: float = 0.8,
    entries: bool = False,
) -> np.ndarray:
    """Score how likely the labels of rows that have several are right.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        Given indicators: 0, 1, or missing.
    pred_proba : array-like or DataFrame of shape (n_samples, n_labels)
        Out-of-sample probability that each row has each label. Rows need not sum to 1.
    aggregate : {"ema", "min", "mean"}, default="ema"
        How the scores of the entries of a row become one: an exponential moving average from the
        best to the worst, the worst, or the mean.
    alpha : float, default=0.8
        Share of the next worse entry in the moving average, in [0, 1].
    entries : bool, default=False
        Whether to return the scores of entries instead of rows.

    Returns
    -------
    quality : ndarray of shape (n_samples,) or (n_samples, n_labels)
        In [0, 1]; NaN where nothing is given.

    See Also
    --------
    find_multilabel_errors : Which entries are wrong.
    MultilabelDetector : The detector that collects the probabilities as well.

    References
    ----------
    Thyagarajan, Snorrason, Northcutt and Mueller (2022). Identifying incorrect annotations in
    multi-label classification data. arXiv:2211.13895.

    Examples
    --------
    >>> from skrobust.detection import multilabel_quality_scores
    >>> y, pred_proba = [[1, 0], [1, 1]], [[0.9, 0.2], [0.8, 0.1]]
    >>> multilabel_quality_scores(y, pred_proba, aggregate="min").tolist()
    [0.8, 0.1]
    """
    if aggregate not in AGGREGATES:
        raise ValueError(
            f"aggregate must be one of {', '.join(map(repr, AGGREGATES))}, got {aggregate!r}."
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha!r}.")
    codes, proba = _entries(y, pred_proba)
    quality = np.where(codes == 1, proba, np.where(codes == 0, 1 - proba, np.nan))
    return quality if entries else aggregate_quality(quality, aggregate, alpha)


@explain_names
def find_multilabel_errors(
    y: MatrixLike,
    pred_proba: MatrixLike,
    *,
    rule: str = "confident_learning",
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Find the entries of an indicator matrix that are probably wrong.

    Each label is a problem of two classes, to which :func:`find_label_errors` is applied. Labels
    that all rows have, or none, are not flagged.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_labels)
        Given indicators: 0, 1, or missing.
    pred_proba : array-like or DataFrame of shape (n_samples, n_labels)
        Out-of-sample probability that each row has each label. Rows need not sum to 1.
    rule : str, default="confident_learning"
        Which entries to flag; see :func:`find_label_errors`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    entry_errors : ndarray of shape (n_samples, n_labels) of bool
        True where an entry is probably wrong; ``entry_errors.any(axis=1)`` are the rows.

    See Also
    --------
    multilabel_quality_scores : How likely the labels of each row are right.
    MultilabelDetector : The detector that collects the probabilities as well.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.detection import find_multilabel_errors
    >>> proba = np.random.default_rng(0).beta(0.2, 0.2, size=(200, 2))
    >>> y = (proba > 0.5).astype(int)
    >>> sure = np.flatnonzero(proba[:, 0] > 0.99)[0]
    >>> y[sure, 0] = 0
    >>> np.argwhere(find_multilabel_errors(y, proba)).tolist() == [[sure, 0]]
    True
    """
    check_rule(rule)
    codes, proba = _entries(y, pred_proba)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, codes[:, 0])
    errors = np.zeros(codes.shape, dtype=bool)
    for k in range(codes.shape[1]):
        given = np.flatnonzero(codes[:, k] >= 0)
        if not len(given) or not np.ptp(codes[given, k]):
            continue
        both = np.column_stack([1 - proba[given, k], proba[given, k]])
        row_weight = None if weight is None else weight[given]
        errors[given, k] = fit_rule(rule, codes[given, k], both, weight=row_weight)[1]
    return errors


def _entries(y, pred_proba):
    """Indicators and the probabilities that they are 1, validated."""
    check_index(y, pred_proba, "pred_proba")
    columns, names = getattr(y, "columns", None), getattr(pred_proba, "columns", None)
    if columns is not None and names is not None and list(columns) != list(names):
        if sorted(map(str, columns)) != sorted(map(str, names)):
            raise ValueError(
                f"pred_proba has the columns {list(names)}, but y has {list(columns)}."
            )
        pred_proba = pred_proba[list(columns)]
    codes = check_indicators(y)
    proba = np.asarray(number_matrix(pred_proba, "pred_proba"))
    if proba.shape != codes.shape:
        raise ValueError(
            f"pred_proba must have the shape {codes.shape} of y, the probability of each label of"
            f" each row, got {proba.shape}."
        )
    proba = proba.astype(np.float64)
    if not ((proba >= 0) & (proba <= 1)).all():
        advice = " For log probabilities, pass np.exp(pred_proba)." if proba.max() <= 0 else ""
        raise ValueError(f"pred_proba must lie in [0, 1] and hold no NaN.{advice}")
    return codes, proba
