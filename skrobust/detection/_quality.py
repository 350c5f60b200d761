"""How likely is each label right? Scores of labels against predicted probabilities."""

import numpy as np

from skrobust.base._pred_proba import check_all, match_proba
from skrobust.noise._confident_joint import FEW_CLASSES, SLACK, given_proba
from skrobust.utils._argument_names import explain_names
from skrobust.utils._blocks import for_each_block

QUALITY_METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
_METHODS = (*QUALITY_METHODS, "margin")


@explain_names
def label_quality_scores(
    y, pred_proba, *, method="self_confidence", classes=None, n_jobs=None
) -> np.ndarray:
    """Score how likely each given label is right.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels: column numbers, or labels whose sorted distinct values are the columns.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities, read block by block. Memory maps are welcome.
    method : {"self_confidence", "normalized_margin", "confidence_weighted_entropy", "margin"}, \
            default="self_confidence"
        The score, with p the probabilities of a row and y its label:

        - "self_confidence": p[y];
        - "normalized_margin": (p[y] - max of the other p + 1) / 2;
        - "confidence_weighted_entropy": log(1 + r) / r, where r is the entropy of p, as a share
          of its maximum, divided by p[y];
        - "margin": p[y] - max of the other p, which lies in [-1, 1].
    classes : array-like of shape (n_classes,), default=None
        The label of each column. None works it out from `y`.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        Scores in [0, 1] (save for "margin"), 1 for a label that is surely right. Of the
        floating-point type of `pred_proba`.

    Raises
    ------
    ValueError
        If probabilities are NaN, infinite or negative or do not sum to 1 along rows, if labels
        and columns do not match, or if `method` is unknown.

    See Also
    --------
    find_label_errors : Which labels are wrong.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Kuan and Mueller (2022). Model-agnostic label quality scoring to detect real-world label
    errors. ICML DataPerf workshop.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.detection import label_quality_scores
    >>> pred_proba = np.array([[0.9, 0.1], [0.25, 0.75]])
    >>> label_quality_scores([0, 0], pred_proba)
    array([0.9 , 0.25])
    >>> label_quality_scores([0, 0], pred_proba, method="margin")
    array([ 0.8, -0.5])
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}.")
    codes, pred_proba = match_proba(y, pred_proba, classes=classes)
    check_all(pred_proba, n_jobs=n_jobs)
    return score_rows(method, codes, pred_proba, n_jobs=n_jobs)


def score_rows(
    method: str,
    codes: np.ndarray,
    pred_proba: np.ndarray,
    *,
    own: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Score rows that are already checked; what stands in rows with code -1 means nothing.

    Parameters
    ----------
    method : str
        See :func:`label_quality_scores`.
    codes : ndarray of shape (n_samples,)
        Given labels.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities.
    own : ndarray of shape (n_samples,), default=None
        Probabilities of the given labels, if known.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    scores : ndarray of shape (n_samples,)
        Of the type of `pred_proba`.
    """
    own = given_proba(codes, pred_proba) if own is None else own
    if method == "self_confidence":
        return own
    scores = np.empty_like(own)
    finish = _weigh_entropy if method == "confidence_weighted_entropy" else _subtract_best_other

    def score(start: int, stop: int) -> None:
        # A copy, which is changed in place; a few columns are turned on their side, so that every
        # operation runs along many rows.
        block = np.array(pred_proba[start:stop].T, order="C" if few else "F").T
        scores[start:stop] = finish(block, codes[start:stop], own[start:stop])

    few = pred_proba.shape[1] <= FEW_CLASSES
    row_bytes = 2 * pred_proba.shape[1] * pred_proba.itemsize
    for_each_block(score, len(codes), row_bytes, n_jobs=n_jobs)
    if method == "normalized_margin":
        scores += 1
        scores /= 2
    return scores


def _subtract_best_other(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    rows = np.arange(len(block))
    block[rows, labels] = -1
    if block.flags.c_contiguous:
        return own - block[rows, block.argmax(axis=1)]
    return own - block.max(axis=1)


def _weigh_entropy(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    # 0 log 0 is 0, and so is the smallest normal number in place of the first 0.
    logs = np.log(np.maximum(block, np.finfo(block.dtype).tiny))
    block *= logs
    ratio = -block.sum(axis=1) / np.log(block.shape[1]) / np.maximum(own, SLACK)
    return np.log(ratio + 1) / np.maximum(ratio, SLACK)
