"""The confident joint: given labels by confidently predicted class."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labels import MISSING
from skrobust.base._pred_proba import check_all, check_block, match_proba
from skrobust.utils._error_messages import explain_names
from skrobust.utils._parallel import for_each_block
from skrobust.utils._typing import LabelsLike
from skrobust.utils._weights import check_sample_weight

SLACK = 1e-6
"""Probabilities closer than this count as equal (Northcutt et al.'s implementation)."""

_MIN_THRESHOLD = 2 * SLACK
_ABSENT_THRESHOLD = 2.0
FEW_CLASSES = 48
"""Up to here a block is turned on its side, so that every operation runs along many rows."""
# Rows whose own probabilities are handled at once, such that they fit the second-level cache.
_BLOCK_LENGTH = 1 << 15


@explain_names
def confident_thresholds(
    y: LabelsLike,
    pred_proba: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> np.ndarray:
    """Compute the threshold of each class, the mean self-confidence of the rows labelled with it.

    The threshold of class `k` is the mean of ``pred_proba[i, k]`` over the rows labelled `k`. A
    row counts as confidently of class `k` when its probability reaches the threshold of `k`,
    which corrects for classes of which the model is more or less confident on average.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels: column numbers, or labels whose sorted distinct values are the columns.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities.
    classes : array-like of shape (n_classes,), default=None
        The label of each column. None works it out from `y`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    thresholds : ndarray of shape (n_classes,), dtype float64
        Mean self-confidence per class; 2, out of reach, for a class that no row is given.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.noise import confident_thresholds
    >>> pred_proba = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    >>> confident_thresholds([0, 0, 1], pred_proba)
    array([0.8, 0.8])
    """
    codes, pred_proba, weight = _check(y, pred_proba, classes, sample_weight)
    check_all(pred_proba)
    return mean_self_confidence(codes, pred_proba, weight)


@explain_names
def confident_joint(
    y: LabelsLike,
    pred_proba: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    calibrate: bool = False,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Count the rows of each given label that are confidently predicted to be of each class.

    A row whose probability reaches the threshold of exactly one class (see
    :func:`confident_thresholds`) is counted for that class; of several, for the most probable
    class of all; of none, nowhere.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels: column numbers, or labels whose sorted distinct values are the columns.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities, read block by block; may be a memory map.
    classes : array-like of shape (n_classes,), default=None
        The label of each column. None works it out from `y`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. An integer weight counts as so many equal rows.
    calibrate : bool, default=False
        Scale each row of the counts to the number of rows with that given label, so that they
        add up to ``n_samples``, and round them so that the totals stay.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    joint : ndarray of shape (n_classes, n_classes)
        Rows are **given** labels, columns the predicted true classes: the transpose of a
        transition matrix of this package, whose rows are true classes. The diagonal is at least
        1. Of an integer type, unless weights are fractional.

    Raises
    ------
    ValueError
        If probabilities are NaN, infinite or negative or do not sum to 1 along rows, or if
        labels and columns do not match.

    See Also
    --------
    confident_thresholds : The thresholds used.
    skrobust.detection.find_label_errors : Flags rows by these counts.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.noise import confident_joint
    >>> pred_proba = np.array(
    ...     [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]]
    ... )
    >>> confident_joint([0, 0, 0, 1, 1, 1], pred_proba)
    array([[2, 1],
           [0, 2]])
    >>> confident_joint([0, 0, 0, 1, 1, 1], pred_proba, calibrate=True)
    array([[2, 1],
           [0, 3]])
    """
    codes, pred_proba, weight = _check(y, pred_proba, classes, sample_weight)
    counted = count_confident(codes, pred_proba, weight, n_jobs=n_jobs)
    return calibrate_joint(counted.joint, counted.totals) if calibrate else counted.joint


def _check(
    y: LabelsLike, pred_proba: ArrayLike, classes: ArrayLike | None, sample_weight: ArrayLike | None
) -> tuple:
    """Validate labels, probabilities and weights."""
    codes, pred_proba = match_proba(y, pred_proba, classes=classes)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, codes)
    return codes, pred_proba, weight


# Below, `codes` may hold -1: rows that are left out, without a copy of `pred_proba`.


def label_proba(codes: np.ndarray, pred_proba: np.ndarray) -> np.ndarray:
    """Return the probability of the label of each row; any number where it is missing."""
    own = np.empty(len(codes), dtype=pred_proba.dtype)
    n_columns = pred_proba.shape[1]
    flat = np.asarray(pred_proba).reshape(-1) if pred_proba.flags.c_contiguous else None
    for start in range(0, len(codes), _BLOCK_LENGTH):
        labels = codes[start : start + _BLOCK_LENGTH]
        stop = start + len(labels)
        if flat is None:
            own[start:stop] = pred_proba[np.arange(start, stop), labels]
        else:
            places = np.arange(start * n_columns, stop * n_columns, n_columns)
            flat.take(places + labels, out=own[start:stop], mode="clip")
    return own


def class_weights(codes: np.ndarray, n_classes: int, weight: np.ndarray | None) -> np.ndarray:
    """Sum the weights of the rows given each class (their number, without weights)."""
    return _bincount(codes, None, n_classes, weight)


def mean_self_confidence(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    own: np.ndarray | None = None,
    totals: np.ndarray | None = None,
) -> np.ndarray:
    """Average the probability of the given label over the rows of each class.

    `own` and `totals` are the results of :func:`label_proba` and :func:`class_weights`, if known.
    """
    n_classes = pred_proba.shape[1]
    own = label_proba(codes, pred_proba) if own is None else own
    totals = class_weights(codes, n_classes, weight) if totals is None else totals
    sums = np.zeros(n_classes)
    for start in range(0, len(codes), _BLOCK_LENGTH):
        block = slice(start, start + _BLOCK_LENGTH)
        labels, values = codes[block], own[block].astype(np.float64)
        if weight is not None:
            values *= weight[block]
        if labels.min() < 0:
            used = labels >= 0
            labels, values = labels[used], values[used]
        sums += np.bincount(labels, weights=values, minlength=n_classes)
    thresholds = np.full(n_classes, _ABSENT_THRESHOLD)
    np.divide(sums, totals, out=thresholds, where=totals > 0)
    return np.maximum(thresholds, _MIN_THRESHOLD)


def confident_predictions(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    thresholds: np.ndarray,
    *,
    disagreements: bool = False,
    own: np.ndarray | None = None,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Predict the true class of each row where the model is confident (-1: elsewhere).

    One pass over blocks also validates the probabilities and, with `disagreements`, finds the rows
    whose most probable class is not the given one, so that each entry is read from memory once.
    """
    n_samples, n_classes = pred_proba.shape
    lowest = (thresholds.astype(pred_proba.dtype) - SLACK).astype(pred_proba.dtype)
    predicted = np.empty(n_samples, dtype=np.int32)
    disagrees = np.zeros(n_samples, dtype=bool) if disagreements else None
    if disagreements and own is None:
        own = label_proba(codes, pred_proba)
    few = n_classes <= FEW_CLASSES
    scan_block = _scan_columns if few else _scan_rows

    def scan(start: int, stop: int) -> None:
        block = np.ascontiguousarray(pred_proba[start:stop])
        labels = codes[start:stop]
        predictions, row_sums, smallest, top = scan_block(block, lowest, disagreements)
        check_block(block, row_sums, smallest, start)
        if disagreements:
            disagrees[start:stop] = _disagrees(block, labels, own[start:stop], top)
        if labels.min() < 0:
            unused = labels < 0
            predictions[unused] = MISSING
            if disagreements:
                disagrees[start:stop][unused] = False
        predicted[start:stop] = predictions

    # Rows are gone over fewer times than columns, so that the length of the loops matters more.
    block_bytes = 1 << 20 if few else 1 << 21
    row_bytes = n_classes * pred_proba.itemsize
    for_each_block(scan, n_samples, row_bytes, n_jobs=n_jobs, block_bytes=block_bytes)
    return predicted, disagrees


def _scan_columns(
    block: np.ndarray, lowest: np.ndarray, want_top: bool
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray | None]:
    """Predict the classes of a block with few columns, column by column."""
    columns = np.ascontiguousarray(block.T)
    row_sums = columns.sum(axis=0)
    n_confident = np.zeros(len(block), dtype=np.uint8)
    predictions = np.zeros(len(block), dtype=np.uint8)
    reached = np.empty(len(block), dtype=bool)
    confident = reached.view(np.uint8)
    for k, column in enumerate(columns):
        np.greater_equal(column, lowest[k], out=reached)
        n_confident += confident
        # The sum of the confident classes is the class itself where there is just one.
        confident *= np.uint8(k)
        predictions += confident
    top = columns.max(axis=0) if want_top else None
    predictions = predictions.astype(np.int32)
    predictions[n_confident == 0] = MISSING
    several = np.flatnonzero(n_confident > 1)
    if len(several):
        predictions[several] = block[several].argmax(axis=1)
    return predictions, row_sums, columns.min(), top


def _scan_rows(
    block: np.ndarray, lowest: np.ndarray, want_top: bool
) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """Predict the classes of a block with many columns, row by row."""
    row_sums = np.einsum("ij->i", block)
    best, top, smallest = best_columns(block)
    # Where the most probable class is confident it is predicted, alone or not.
    confident = top >= lowest[best]
    predictions = np.where(confident, best, MISSING)
    # The other classes share what it leaves; the margin is for sums in single precision.
    with np.errstate(invalid="ignore"):
        most = np.minimum(top, row_sums - top + 1e-4)
    rows = np.flatnonzero(~confident & (most >= lowest.min()))
    if len(rows):
        places, columns = np.divmod(_confident_entries(block[rows], lowest), len(lowest))
        predictions[rows[places]] = columns
        # Entries come row by row, so that a row with several stands in neighbouring places.
        several = rows[places[1:][places[1:] == places[:-1]]]
        predictions[several] = best[several]
    return predictions, row_sums, smallest, top


def best_columns(block: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Find the largest entry of each row, and the smallest of all (or 0 if none is negative)."""
    rows = np.arange(len(block))
    if block.dtype in (np.float32, np.float64):
        # As unsigned integers, positive numbers keep their order, and negative ones and NaN are
        # larger than all of them: one pass finds the best and checks the rest.
        best = block.view(f"u{block.itemsize}").argmax(axis=1)
        top = block[rows, best]
        if bool((top > 0).all()):
            return best, top, 0.0
    best = block.argmax(axis=1)
    return best, block[rows, best], block.min()


def _confident_entries(block: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """Flat positions of the entries that reach the threshold of their column."""
    # Comparing with one number is the faster loop, and few entries reach even the lowest
    # threshold unless some class is hardly ever predicted.
    entries = np.flatnonzero(block.ravel() >= lowest.min())
    if len(entries) > 8 * len(block):
        return np.flatnonzero((block >= lowest).ravel())
    return entries[block.ravel()[entries] >= lowest[entries % len(lowest)]]


def _disagrees(
    block: np.ndarray, labels: np.ndarray, own: np.ndarray, top: np.ndarray
) -> np.ndarray:
    """Whether the most probable class is not the given one, by more than SLACK."""
    own = own + block.dtype.type(SLACK)
    disagrees = top > own
    # A tie goes to the first of the two, as argmax would have it.
    tied = np.flatnonzero(top == own)
    if len(tied):
        disagrees[tied] = block[tied].argmax(axis=1) < labels[tied]
    return disagrees


class ConfidentCounts(NamedTuple):
    """What confident learning counts, and what it looks at on the way."""

    own: np.ndarray  # (n_samples,) probability of the label of each row
    totals: np.ndarray  # (n_classes,) weight of the rows given each class
    thresholds: np.ndarray  # (n_classes,) from which on a probability is confident
    guesses: np.ndarray  # (n_samples,) confidently predicted class, -1 where there is none
    disagrees: np.ndarray | None  # (n_samples,) rows whose most probable class is another
    joint: np.ndarray  # (n_classes, n_classes) not calibrated


def count_confident(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None,
    thresholds: np.ndarray | None = None,
    *,
    disagreements: bool = False,
    n_jobs: int | None = None,
) -> ConfidentCounts:
    """Count the given labels by confidently predicted class."""
    own = label_proba(codes, pred_proba)
    totals = class_weights(codes, pred_proba.shape[1], weight)
    if thresholds is None:
        thresholds = mean_self_confidence(codes, pred_proba, weight, own=own, totals=totals)
    guesses, disagrees = confident_predictions(
        codes, pred_proba, thresholds, disagreements=disagreements, own=own, n_jobs=n_jobs
    )
    joint = count_joint(codes, guesses, len(totals), weight)
    return ConfidentCounts(own, totals, thresholds, guesses, disagrees, joint)


def count_joint(
    codes: np.ndarray, predicted: np.ndarray, n_classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Count pairs of given and predicted label, with at least one right label per class."""
    joint = _bincount(codes, predicted, n_classes, weight)
    least = 1
    if weight is not None and not is_integral(weight):
        positive = weight[(codes >= 0) & (weight > 0)]
        least = positive.mean() if len(positive) else 1
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), least))
    return joint


def _bincount(
    codes: np.ndarray, predicted: np.ndarray | None, n_classes: int, weight: np.ndarray | None
) -> np.ndarray:
    """Count codes, or pairs of given and predicted codes, without missing ones, block by block."""
    integral = weight is None or is_integral(weight)
    n_bins = n_classes if predicted is None else n_classes * n_classes
    counts = None
    # A block is at least as long as the counts: adding them up must not be the longer part.
    length = max(1 << 16, min(n_bins, 1 << 20))
    for start in range(0, len(codes), length):
        block = slice(start, start + length)
        keys = codes[block]
        used = None if keys.min() >= 0 else keys >= 0
        if predicted is not None:
            predictions = predicted[block]
            if predictions.min() < 0:
                used = predictions >= 0 if used is None else used & (predictions >= 0)
            keys = keys.astype(np.intp)
            keys *= n_classes
            keys += predictions
        keys = keys if used is None else keys[used]
        own = None if weight is None else weight[block]
        own = own if own is None or used is None else own[used]
        added = np.bincount(keys, weights=own, minlength=n_bins)
        if integral and weight is not None:
            added = np.rint(added).astype(np.int64)
        counts = added if counts is None else np.add(counts, added, out=counts)
    return counts if predicted is None else counts.reshape(n_classes, n_classes)


def is_integral(weight: np.ndarray) -> bool:
    """Whether weights are whole numbers, that is, counts of rows."""
    return bool(np.array_equal(weight, np.rint(weight)))


def calibrate_joint(
    joint: np.ndarray, totals: np.ndarray, *, order: np.ndarray | None = None
) -> np.ndarray:
    """Scale the rows of a confident joint to the total weight of each given class.

    Integer totals are rounded to integers, with ties resolved in the `order` of the classes.
    """
    n_classes = len(joint)
    rows, columns = np.divmod(np.flatnonzero(joint), n_classes)
    # The order of operations, that of the sum included, is that of the reference implementation:
    # a half is rounded by its last bit.
    entries = joint[rows, columns] / np.maximum(joint.sum(axis=1), 1e-100)[rows] * totals[rows]
    scaled = np.zeros((n_classes, n_classes))
    scaled[columns, rows] = entries
    entries = entries / max(float(scaled.sum()), 1e-100) * totals.sum()
    if totals.dtype.kind != "i":
        scaled[columns, rows] = entries
        return np.ascontiguousarray(scaled.T)
    del scaled
    if order is not None:
        place = np.empty_like(order)
        place[order] = np.arange(n_classes)
        columns = place[columns]
    rounded = _round_entries(rows, columns, entries, joint.shape)
    return rounded if order is None else rounded[:, place]


def round_keeping_row_totals(counts: np.ndarray) -> np.ndarray:
    """Round to integers such that every row keeps its total, moving the closest calls."""
    rows, columns = np.nonzero(counts)
    return _round_entries(rows, columns, counts[rows, columns], counts.shape)


def _round_entries(
    rows: np.ndarray, columns: np.ndarray, entries: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Round the entries of a sparse matrix, given row by row; zeros elsewhere."""
    n_rows, n_columns = shape
    rounded = np.zeros(shape, dtype=np.int64)
    whole = entries.round()
    rounded[rows, columns] = whole
    totals = np.round(np.bincount(rows, weights=entries, minlength=n_rows)).astype(np.int64)
    gaps = totals - rounded.sum(axis=1)
    ends = np.searchsorted(rows, np.arange(n_rows + 1))
    uneven = np.flatnonzero(gaps)
    length = max(1, (1 << 20) // (8 * n_columns))
    for start in range(0, len(uneven), length):
        some = uneven[start : start + length]
        excess = np.zeros((len(some), n_columns))
        for place, row in enumerate(some):
            own = slice(ends[row], ends[row + 1])
            excess[place, columns[own]] = entries[own] - whole[own]
        # The reference sorts whole rows, zeros included, and its ties fall as the sort leaves
        # them: nothing less than the same sort gives the same numbers.
        nearest = excess.argsort(axis=1)
        gap = gaps[some]
        for move in range(int(np.abs(gap).max())):
            up, down = np.flatnonzero(gap > move), np.flatnonzero(-gap > move)
            rounded[some[up], nearest[up, -1 - move % n_columns]] += 1
            rounded[some[down], nearest[down, move % n_columns]] -= 1
    return rounded
