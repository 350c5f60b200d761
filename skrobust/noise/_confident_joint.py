"""How labels go wrong, counted from out-of-sample probabilities: the confident joint."""

import numpy as np

from skrobust.utils._blocks import for_each_block
from skrobust.utils._labels import MISSING, codes_for_columns
from skrobust.utils._proba import as_proba, check_block
from skrobust.utils._sklearn import check_sample_weight

SLACK = 1e-6
"""Probabilities closer than this count as equal (Northcutt et al.'s implementation)."""

_MIN_THRESHOLD = 2 * SLACK
_ABSENT_THRESHOLD = 2.0
# Up to here a block is turned on its side, so that every operation runs along many rows.
_FEW_CLASSES = 48


def confident_thresholds(y, pred_proba, *, classes=None, sample_weight=None) -> np.ndarray:
    """Compute how confident the model is, on average, in each class that was given.

    The threshold of class `k` is the mean of ``pred_proba[i, k]`` over the rows labelled `k`. A
    row counts as confidently of class `k` when its probability reaches the threshold of `k`,
    which makes up for classes that the model is habitually more or less sure of.

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
    return mean_self_confidence(codes, pred_proba, weight)


def confident_joint(
    y, pred_proba, *, classes=None, sample_weight=None, calibrate=False, n_jobs=None
) -> np.ndarray:
    """Count the rows of each given label that are confidently of each class.

    A row whose probability reaches the threshold of exactly one class (see
    :func:`confident_thresholds`) is counted for that class; of several, for the most probable
    class of all; of none, nowhere.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels: column numbers, or labels whose sorted distinct values are the columns.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities, read block by block. Memory maps are welcome.
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
        Rows are **given** labels, columns the classes guessed to be true: the transpose of a
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
    skrobust.detection.find_label_errors : Which rows are wrong, by these counts.

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
    thresholds = mean_self_confidence(codes, pred_proba, weight)
    guesses, _ = confident_guesses(codes, pred_proba, thresholds, n_jobs=n_jobs)
    joint = count_joint(codes, guesses, pred_proba.shape[1], weight)
    if calibrate:
        joint = calibrate_joint(joint, class_mass(codes, len(joint), weight))
    return joint


def _check(y, pred_proba, classes, sample_weight):
    pred_proba = as_proba(pred_proba)
    codes = codes_for_columns(y, pred_proba.shape[1], classes=classes)
    as_proba(pred_proba, len(codes))
    weight = None if sample_weight is None else check_sample_weight(sample_weight, codes)
    return codes, pred_proba, weight


# Below, `codes` may hold -1: rows that take no part. They cost nothing to leave out, where a
# subset of `pred_proba` would be a copy.


def given_proba(codes: np.ndarray, pred_proba: np.ndarray) -> np.ndarray:
    """Take the probability of the given label from each row; rows without one get column -1's."""
    own = np.empty(len(codes), dtype=pred_proba.dtype)
    n_columns = pred_proba.shape[1]

    def gather(start: int, stop: int) -> None:
        block = pred_proba[start:stop]
        own[start:stop] = block[np.arange(stop - start), codes[start:stop]]

    for_each_block(gather, len(codes), 8 * n_columns, block_bytes=1 << 22)
    return own


def class_mass(codes: np.ndarray, n_classes: int, weight: np.ndarray | None) -> np.ndarray:
    """Sum the weights of the rows given each class (their number, without weights)."""
    return _bincount(codes, codes, n_classes, weight)


def mean_self_confidence(
    codes: np.ndarray, pred_proba: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Average the probability of the given label over the rows of each class."""
    n_classes = pred_proba.shape[1]
    sums = np.zeros(n_classes)
    masses = np.zeros(n_classes)

    def add(start: int, stop: int) -> None:
        labels = codes[start:stop]
        own = pred_proba[start:stop][np.arange(stop - start), labels]
        own = own.astype(np.float64, copy=False)
        mass = None if weight is None else weight[start:stop]
        if labels.min() < 0:
            used = labels >= 0
            labels, own = labels[used], own[used]
            mass = None if mass is None else mass[used]
        weighted = own if mass is None else own * mass
        sums[:] += np.bincount(labels, weights=weighted, minlength=n_classes)
        masses[:] += np.bincount(labels, weights=mass, minlength=n_classes)

    for_each_block(add, len(codes), 32, block_bytes=1 << 20)
    thresholds = np.full(n_classes, _ABSENT_THRESHOLD)
    np.divide(sums, masses, out=thresholds, where=masses > 0)
    return np.maximum(thresholds, _MIN_THRESHOLD)


def confident_guesses(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    thresholds: np.ndarray,
    *,
    disagreements: bool = False,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Guess the true class of each row where the model is confident, and check the matrix.

    One pass over the probabilities, a block at a time, serves everything that is asked of whole
    rows, so that each entry comes from memory once.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Given labels; rows with -1 are checked but guess nothing.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities.
    thresholds : ndarray of shape (n_classes,)
        As of :func:`confident_thresholds`.
    disagreements : bool
        Also find the rows whose most probable class is not the given one, by more than a hair.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    guesses : ndarray of shape (n_samples,), dtype int32
        The guessed class, or -1.
    disagrees : ndarray of shape (n_samples,) of bool, or None
        Where the most probable class differs from the given one.
    """
    n_samples, n_classes = pred_proba.shape
    cuts = (thresholds.astype(pred_proba.dtype) - SLACK).astype(pred_proba.dtype)
    guesses = np.empty(n_samples, dtype=np.int32)
    disagrees = np.zeros(n_samples, dtype=bool) if disagreements else None
    look = _look_at_columns if n_classes <= _FEW_CLASSES else _look_at_rows

    def scan(start: int, stop: int) -> None:
        block = np.asarray(pred_proba[start:stop])
        labels = codes[start:stop]
        guess, row_sums, smallest, top = look(block, cuts, disagreements)
        check_block(row_sums, smallest, start)
        unused = labels < 0
        if unused.any():
            guess[unused] = MISSING
        guesses[start:stop] = guess
        if disagreements:
            disagrees[start:stop] = _disagrees(block, labels, top) & ~unused

    for_each_block(scan, n_samples, n_classes * pred_proba.itemsize, n_jobs=n_jobs)
    return guesses, disagrees


def _look_at_columns(block: np.ndarray, cuts: np.ndarray, want_top: bool):
    """Guess the classes of a block with few columns, column by column."""
    columns = np.ascontiguousarray(block.T)
    row_sums = columns.sum(axis=0)
    n_confident = np.zeros(len(block), dtype=np.uint8)
    guess = np.zeros(len(block), dtype=np.uint8)
    for k, column in enumerate(columns):
        confident = (column >= cuts[k]).view(np.uint8)
        n_confident += confident
        # The sum of the confident classes is the class itself where there is just one.
        guess += confident * np.uint8(k)
    several = n_confident > 1
    top = None
    if want_top or several.any():
        top = columns.max(axis=0)
    guess = guess.astype(np.int32)
    if several.any():
        guess[several] = block[several].argmax(axis=1)
    guess[n_confident == 0] = MISSING
    return guess, row_sums, columns.min(), top


def _look_at_rows(block: np.ndarray, cuts: np.ndarray, want_top: bool):
    """Guess the classes of a block with many columns, row by row."""
    n_rows, n_classes = block.shape
    row_sums = block @ np.ones(n_classes, dtype=block.dtype)
    smallest = block.min()
    top = block.max(axis=1) if want_top else None
    rows, columns = np.divmod(_confident_entries(block, cuts), n_classes)
    guess = np.full(n_rows, MISSING, dtype=np.int32)
    guess[rows] = columns
    # Entries come row by row, so that a row with several stands in neighbouring places.
    several = np.unique(rows[1:][rows[1:] == rows[:-1]])
    if len(several):
        guess[several] = block[several].argmax(axis=1)
    return guess, row_sums, smallest, top


def _confident_entries(block: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Flat positions of the entries that reach the threshold of their column."""
    # Comparing with one number is the faster loop, and few entries reach even the lowest cut
    # unless some class is hardly ever predicted.
    entries = np.flatnonzero(block.ravel() >= cuts.min())
    if len(entries) > 8 * len(block):
        return np.flatnonzero((block >= cuts).ravel())
    return entries[block.ravel()[entries] >= cuts[entries % len(cuts)]]


def _disagrees(block: np.ndarray, labels: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Whether the most probable class is not the given one, which has a head start of SLACK."""
    own = block[np.arange(len(block)), labels] + block.dtype.type(SLACK)
    disagrees = top > own
    # A tie goes to the first of the two, as argmax would have it.
    for row in np.flatnonzero(top == own):
        disagrees[row] = block[row].argmax() < labels[row]
    return disagrees


def count_joint(
    codes: np.ndarray, guesses: np.ndarray, n_classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Count pairs of given label and guess, with at least one right label per class."""
    pairs = _bincount(codes, guesses, n_classes * n_classes, weight, n_classes)
    joint = pairs.reshape(n_classes, n_classes)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    return joint


def _bincount(codes, guesses, n_bins, weight, n_columns=None) -> np.ndarray:
    """Count codes, or pairs of code and guess, where neither is missing, in bounded memory."""
    integral = weight is None or is_integral(weight)
    counts = np.zeros(n_bins, dtype=np.int64 if integral else np.float64)

    def add(start: int, stop: int) -> None:
        code, guess = codes[start:stop], guesses[start:stop]
        used = (code >= 0) & (guess >= 0)
        mass = None if weight is None else weight[start:stop][used]
        keys = code[used].astype(np.intp)
        if n_columns is not None:
            keys *= n_columns
            keys += guess[used]
        added = np.bincount(keys, weights=mass, minlength=n_bins)
        counts[:] += np.rint(added).astype(np.int64) if integral else added

    for_each_block(add, len(codes), 32, block_bytes=1 << 24)
    return counts


def is_integral(weight: np.ndarray) -> bool:
    """Whether weights are whole numbers, that is, counts of rows."""
    return bool(np.array_equal(weight, np.rint(weight)))


def calibrate_joint(joint: np.ndarray, masses: np.ndarray, *, order=None) -> np.ndarray:
    """Scale the rows of a confident joint to the mass of each given class.

    Parameters
    ----------
    joint : ndarray of shape (n_classes, n_classes)
        Confident counts, rows are given labels.
    masses : ndarray of shape (n_classes,)
        Mass of each given class. If integers, the result is rounded to integers.
    order : ndarray of shape (n_classes,), default=None
        Order of the classes in which ties of the rounding are resolved.

    Returns
    -------
    calibrated : ndarray of shape (n_classes, n_classes)
        Counts whose rows sum to `masses`.
    """
    # The order of operations, memory layout included, is that of the reference implementation:
    # a half is rounded by its last bit.
    scaled = (np.asfortranarray(joint).T / np.maximum(joint.sum(axis=1), 1e-100) * masses).T
    scaled = scaled / max(float(scaled.sum()), 1e-100) * masses.sum()
    if masses.dtype.kind != "i":
        return scaled
    return round_keeping_row_totals(scaled, order=order)


def round_keeping_row_totals(counts: np.ndarray, *, order=None) -> np.ndarray:
    """Round to integers such that every row keeps its total, moving the closest calls.

    Parameters
    ----------
    counts : ndarray of shape (n_rows, n_columns)
        Counts to round.
    order : ndarray of shape (n_columns,), default=None
        Order of the columns in which ties are resolved; None is as they stand.

    Returns
    -------
    rounded : ndarray of shape (n_rows, n_columns), dtype int64
        Whole numbers.
    """
    if order is not None:
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return round_keeping_row_totals(counts[:, order])[:, back]
    rounded = counts.round()
    gaps = np.round(counts.sum(axis=1)) - rounded.sum(axis=1)
    for row in np.flatnonzero(np.abs(gaps) > SLACK):
        _spread(counts[row], rounded[row], np.round(counts[row].sum()))
    return rounded.astype(np.int64)


def _spread(exact: np.ndarray, rounded: np.ndarray, total: float) -> None:
    """Move the entries of `rounded` that were closest to the other side until they sum up."""
    while abs(gap := np.round(total - rounded.sum())) > SLACK:
        step = -1 if gap < 0 else 1
        n_moves = min(int(abs(gap)), len(exact))
        nearest = np.argsort(exact - rounded)[::-step][:n_moves]
        rounded[nearest] += step
