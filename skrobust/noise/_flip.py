"""Label noise made on purpose."""

import numpy as np

from skrobust.base._labels import encode_labels, encode_labels_like, missing_labels
from skrobust.noise._confident_joint import round_keeping_row_totals
from skrobust.noise._transitions import check_transition
from skrobust.utils._random import private_random_state


def flip_labels(
    y, transition, *, classes=None, exact=False, random_state=None
) -> tuple[np.ndarray, np.ndarray]:
    """Make labels wrong by a transition matrix.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        True labels. Missing ones stay missing.
    transition : array-like of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    classes : array-like of shape (n_classes,), default=None
        The labels that rows and columns of `transition` stand for. None is the sorted distinct
        labels of `y`; or, if `y` holds whole numbers from 0 to ``n_classes - 1`` only, these.
    exact : bool, default=False
        Whether the number of labels of each class that become each other label is the expected
        one, rounded, instead of drawn.
    random_state : int, RandomState instance or None, default=None
        Seed. None draws fresh entropy.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        Labels, some of them wrong.
    flipped : ndarray of shape (n_samples,) of bool
        True where the label changed.

    Raises
    ------
    ValueError
        If `transition` is not a square matrix of probabilities whose rows sum to 1, or does not
        match the classes.

    See Also
    --------
    flip_labels_instance : Noise that depends on the row.
    flip_labels_grouped : Noise that rows share.
    simulate_annotators : Several labels for each row.
    NoiseSimulator : Noise like that of a given data set.
    symmetric_transition : Every wrong label is equally likely.
    pair_transition : Each class is mistaken for the next.
    random_transition : A pattern at random.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> y = np.repeat(["ham", "spam"], 500)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(2, 0.2), random_state=0)
    >>> bool(0.15 < flipped.mean() < 0.25)
    True
    >>> bool(np.array_equal(flipped, y != y_noisy))
    True
    """
    values, missing, codes, classes, transition = match_labels(y, transition, classes)
    noisy = draw_labels(codes, transition, exact=exact, rng=private_random_state(random_state))
    return replace_labels(values, missing, classes, codes, noisy)


def draw_labels(codes, transition, *, exact, rng) -> np.ndarray:
    """Draw given labels for true ones.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,), dtype intp
        True classes; -1 where missing.
    transition : ndarray of shape (n_classes, n_classes)
        Rows sum to 1 but for rounding.
    exact : bool
        Whether counts are the expected ones, rounded.
    rng : RandomState
        Where they are drawn from.

    Returns
    -------
    noisy : ndarray of shape (n_samples,), dtype intp
        Given labels; -1 where missing.
    """
    noisy = codes.copy()
    for k, row in enumerate(transition):
        rows = np.flatnonzero(codes == k)
        if exact:
            counts = round_keeping_row_totals(row[None, :] * len(rows))[0]
            noisy[rows] = rng.permutation(np.repeat(np.arange(len(row)), counts))
        else:
            noisy[rows] = rng.choice(len(row), size=len(rows), p=row / row.sum())
    return noisy


def match_labels(y, transition, classes=None):
    """Match labels with the rows of a transition matrix.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, some perhaps missing.
    transition : array-like of shape (n_classes, n_classes)
        As the user gave it.
    classes : array-like of shape (n_classes,), default=None
        As of :func:`flip_labels`.

    Returns
    -------
    values : ndarray of shape (n_samples,)
        Labels; entries under `missing` mean nothing.
    missing : ndarray of shape (n_samples,) of bool
        True where there is no label.
    codes : ndarray of shape (n_samples,), dtype intp
        Row of each label in `transition`; -1 where it is missing.
    classes : ndarray of shape (n_classes,)
        The label of each row of `transition`.
    transition : ndarray of shape (n_classes, n_classes)
        Validated; rows sum to 1 but for rounding.
    """
    values, missing = missing_labels(y)
    transition = check_transition(transition)
    codes, classes = match_classes(y, len(transition), classes)
    check_transition(transition, len(classes))
    return values, missing, codes, classes, transition


def match_classes(y, n_classes: int, classes=None) -> tuple[np.ndarray, np.ndarray]:
    """Encode labels of which it is known how many classes there are.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Labels, some perhaps missing.
    n_classes : int
        Number of classes.
    classes : array-like of shape (n_classes,), default=None
        As of :func:`flip_labels`.

    Returns
    -------
    codes : ndarray of shape (n_samples,), dtype intp
        Position of each label in `classes`; -1 where it is missing.
    classes : ndarray
        Labels: not `n_classes` of them where `y` has others.
    """
    if classes is not None:
        classes = np.asarray(classes)
        if classes.ndim != 1 or len(np.unique(classes)) != len(classes):
            raise ValueError(f"classes must be distinct labels in one dimension, got {classes!r}.")
        return encode_labels_like(y, classes, name="y"), classes
    codes, classes = encode_labels(y)
    numbers = np.arange(n_classes)
    whole = classes.dtype.kind in "iuf" and len(classes) < n_classes
    if whole and np.isin(classes, numbers).all():
        classes = numbers.astype(classes.dtype)
        codes = encode_labels_like(y, classes, name="y")
    return codes, classes


def replace_labels(values, missing, classes, codes, noisy) -> tuple[np.ndarray, np.ndarray]:
    """Write new labels where their codes changed, in a type that holds old and new ones.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Labels; entries under `missing` mean nothing.
    missing : ndarray of shape (n_samples,) of bool
        True where there is no label.
    classes : ndarray of shape (n_classes,)
        The labels that codes stand for.
    codes : ndarray of shape (n_samples,)
        Codes of `values`.
    noisy : ndarray of shape (n_samples,)
        Codes of the new labels.

    Returns
    -------
    y_noisy : ndarray of shape (n_samples,)
        New labels, missing where they were.
    flipped : ndarray of shape (n_samples,) of bool
        True where the label changed.
    """
    flipped = noisy != codes
    # Wide enough for labels that did not occur before; text and bools mix with nothing.
    alike = {values.dtype.kind, classes.dtype.kind}
    number = alike <= set("iuf")
    dtype = np.result_type(values, classes) if number or len(alike) == 1 else np.dtype(object)
    if missing.any() and dtype.kind in "iub":
        # Integers and bools have no value for what is missing.
        dtype = np.dtype(object if dtype.kind == "b" else np.float64)
    y_noisy = values.astype(dtype)
    if y_noisy.dtype.kind in "fO":
        y_noisy[missing] = np.nan if y_noisy.dtype.kind == "f" else None
    y_noisy[flipped] = classes[noisy[flipped]]
    return y_noisy, flipped
