"""Label quality scores: how likely each label is right, by predicted probabilities."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._pred_proba import check_all, match_proba
from skrobust.noise._confident_joint import FEW_CLASSES, SLACK, label_proba
from skrobust.utils._error_messages import explain_names
from skrobust.utils._parallel import for_each_block
from skrobust.utils._typing import LabelsLike

# Scores that detectors and `rank_by` offer: those of cleanlab, in [0, 1].
QUALITY_METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
SCORES: dict[str, Callable] = {}
"""Scores by name: functions of a block of probabilities, its labels and their probabilities."""


@explain_names
def label_quality_scores(
    y: LabelsLike,
    pred_proba: ArrayLike,
    *,
    method: str = "self_confidence",
    classes: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Score how likely each given label is right.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels: column numbers, or labels whose sorted distinct values are the columns.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities, read block by block. Memory maps are accepted.
    method : {"self_confidence", "normalized_margin", "confidence_weighted_entropy", "contrast", \
            "margin"}, default="self_confidence"
        The score, with p the probabilities of a row and y its label:

        - "self_confidence": p[y];
        - "normalized_margin": (p[y] - max of the other p + 1) / 2;
        - "confidence_weighted_entropy": log(1 + r) / r, where r is the entropy of p, as a share
          of its maximum, divided by p[y];
        - "contrast": p[y] / (p[y] + max of the other p);
        - "margin": p[y] - max of the other p, which lies in [-1, 1].
    classes : array-like of shape (n_classes,), default=None
        The label of each column. None derives it from `y`.
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
    check_score(method, "method")
    codes, pred_proba = match_proba(y, pred_proba, classes=classes)
    check_all(pred_proba, n_jobs=n_jobs)
    return score_labels(method, codes, pred_proba, n_jobs=n_jobs)


def check_score(score, name: str) -> None:
    """Refuse an unknown score."""
    if score not in SCORES:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, SCORES))}, got {score!r}.")


def register_score(name: str) -> Callable:
    """Register a function of a block of probabilities as a score."""

    def register(function: Callable) -> Callable:
        SCORES[name] = function
        return function

    return register


def score_labels(
    score: str | Callable,
    codes: np.ndarray,
    pred_proba: np.ndarray,
    *,
    own: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Score labels block by block; the scores of rows with code -1 are meaningless."""
    if callable(score):
        return np.asarray(score(codes, pred_proba))
    own = label_proba(codes, pred_proba) if own is None else own
    if score == "self_confidence":  # without a look at the other columns
        return own
    scores = np.empty_like(own)
    few = pred_proba.shape[1] <= FEW_CLASSES

    def score_block(start: int, stop: int) -> None:
        # A copy, which the score may change; few columns are transposed, so that every operation
        # runs along many rows.
        block = np.array(pred_proba[start:stop].T, order="C" if few else "F").T
        scores[start:stop] = SCORES[score](block, codes[start:stop], own[start:stop])

    row_bytes = 2 * pred_proba.shape[1] * pred_proba.itemsize
    for_each_block(score_block, len(codes), row_bytes, n_jobs=n_jobs)
    return scores


@register_score("self_confidence")
def _self_confidence(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Probability of the label."""
    return own


@register_score("normalized_margin")
def _normalized_margin(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Margin to the most probable other class, mapped to [0, 1]."""
    return (_margin(block, labels, own) + 1) / 2


@register_score("confidence_weighted_entropy")
def _weighted_entropy(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Entropy by the probability of the label, mapped to [0, 1]."""
    # 0 log 0 is 0, and so is the smallest normal number in place of the first 0.
    logs = np.log(np.maximum(block, np.finfo(block.dtype).tiny))
    block *= logs
    ratio = -block.sum(axis=1) / np.log(block.shape[1]) / np.maximum(own, SLACK)
    return np.log(ratio + 1) / np.maximum(ratio, SLACK)


@register_score("contrast")
def _contrast(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Share of the label in its probability and that of the most probable other class."""
    return own / (own + _best_other(block, labels))


@register_score("margin")
def _margin(block: np.ndarray, labels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Margin to the most probable other class, in [-1, 1]."""
    return own - _best_other(block, labels)


def _best_other(block: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Largest probability of another class; overwrites the block."""
    rows = np.arange(len(block))
    block[rows, labels] = -1
    if block.flags.c_contiguous:
        return block[rows, block.argmax(axis=1)]
    return block.max(axis=1)
