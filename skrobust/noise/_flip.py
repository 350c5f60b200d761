"""Synthetic label noise that depends on the true class only, and parts shared by other kinds."""

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labels import encode_labels, encode_labels_like, missing_labels
from skrobust.noise._confident_joint import round_keeping_row_totals
from skrobust.noise._transitions import check_transition
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._typing import LabelsLike

DOCUMENTATION = {
    "y_true": """
y : array-like of shape (n_samples,)
    True labels. Missing ones stay missing.""",
    "transition": """
transition : array-like of shape (n_classes, n_classes)
    Probability of each given label (columns) for each true class (rows).""",
    "classes": """
classes : array-like of shape (n_classes,), default=None
    Labels of the rows and columns of `transition`. None: the sorted distinct labels of `y`; or, if
    `y` holds whole numbers from 0 to ``n_classes - 1`` only, these.""",
    "seed": """
random_state : int, RandomState instance or None, default=None
    Seed. None draws fresh entropy.""",
    "returns_noisy": """
y_noisy : ndarray of shape (n_samples,)
    Labels, some of them wrong.
flipped : ndarray of shape (n_samples,) of bool
    True where the label changed.""",
}
"""Docstring entries that the generators of label noise share."""


@fill_docstring(**DOCUMENTATION)
def flip_labels(
    y: LabelsLike,
    transition: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    exact: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw wrong labels by a transition matrix, each row independently.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(y_true)s
    %(transition)s
    %(classes)s
    exact : bool, default=False
        Whether the number of labels of each class that become each other label is the expected
        one, rounded, instead of drawn.
    %(seed)s

    Returns
    -------
    %(returns_noisy)s

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
    random_transition : Random rates and confusions.

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


def draw_labels(
    codes: np.ndarray, transition: np.ndarray, *, exact: bool, rng: np.random.RandomState
) -> np.ndarray:
    """Draw given labels for true ones, -1 where these are -1."""
    noisy = codes.copy()
    for k, row in enumerate(transition):
        rows = np.flatnonzero(codes == k)
        if exact:
            counts = round_keeping_row_totals(row[None, :] * len(rows))[0]
            noisy[rows] = rng.permutation(np.repeat(np.arange(len(row)), counts))
        else:
            noisy[rows] = rng.choice(len(row), size=len(rows), p=row / row.sum())
    return noisy


def match_labels(
    y: LabelsLike, transition: ArrayLike, classes: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Match labels with a transition matrix.

    Returns the labels, the mask of missing ones, the row of each label in the matrix (-1: missing),
    the label of each row, and the validated matrix.
    """
    values, missing = missing_labels(y)
    transition = check_transition(transition)
    codes, classes = match_classes(y, len(transition), classes)
    check_transition(transition, len(classes))
    return values, missing, codes, classes, transition


def match_classes(
    y: LabelsLike, n_classes: int, classes: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Encode labels of a known number of classes; `y` may have others."""
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


def replace_labels(
    values: np.ndarray,
    missing: np.ndarray,
    classes: np.ndarray,
    codes: np.ndarray,
    noisy: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Write the new label where the code changed, in a type that holds old and new ones."""
    flipped = noisy != codes
    # Wide enough for labels that did not occur before; text and bools mix with nothing.
    kinds = {values.dtype.kind, classes.dtype.kind}
    number = kinds <= set("iuf")
    dtype = np.result_type(values, classes) if number or len(kinds) == 1 else np.dtype(object)
    if missing.any() and dtype.kind in "iub":
        # Integers and bools have no value for what is missing.
        dtype = np.dtype(object if dtype.kind == "b" else np.float64)
    y_noisy = values.astype(dtype)
    if y_noisy.dtype.kind in "fO":
        y_noisy[missing] = np.nan if y_noisy.dtype.kind == "f" else None
    y_noisy[flipped] = classes[noisy[flipped]]
    return y_noisy, flipped


# Correlated noise: rows that share a uniform number are wrong together, with any probability; and
# ranks instead of numbers yield exact counts.


def round_shares(shares: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Round the shares of labels in each true class to whole numbers of rows."""
    n_rows = np.bincount(true, minlength=len(shares))[:, None]
    return round_keeping_row_totals(shares * n_rows) / np.maximum(n_rows, 1)


def rank_uniforms(
    uniforms: np.ndarray,
    true: np.ndarray,
    stretch: np.ndarray | None = None,
    *,
    whole: bool = False,
) -> np.ndarray:
    """Replace uniform numbers by their ranks within each class, in (0, 1).

    Rows of one stretch have one number; with `whole`, its rows of one class share a rank too.
    """
    stretch = np.arange(len(true)) if stretch is None else stretch
    order = np.lexsort((stretch, uniforms, true))
    totals = np.bincount(true)
    before = np.cumsum(totals) - totals
    place = np.empty(len(true))
    place[order] = np.arange(len(true)) + 0.5
    place = (place - before[true]) / totals[true]
    if whole and len(true):
        _, together = np.unique(stretch * len(totals) + true, return_inverse=True)
        place = (np.bincount(together, place) / np.bincount(together))[together]
    return place


def choose_wrong_labels(uniforms: np.ndarray, true: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Choose a wrong label for each row, in proportion to the shares, by uniform numbers."""
    others = shares.copy()
    np.fill_diagonal(others, 0)
    labels = np.empty(len(true), dtype=np.intp)
    for k in np.unique(true):
        ends = np.cumsum(others[k])
        rows = true == k
        labels[rows] = np.searchsorted(ends / ends[-1], uniforms[rows], side="right")
    return labels
