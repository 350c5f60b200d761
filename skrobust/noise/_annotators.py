"""Synthetic labels of several annotators."""

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch

from skrobust.base._labels import missing_labels
from skrobust.noise._flip import (
    DOCUMENTATION,
    choose_wrong_labels,
    match_classes,
    rank_uniforms,
    round_shares,
)
from skrobust.noise._transitions import check_transition, symmetric_transition
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, validate_params
from skrobust.utils._typing import LabelsLike

_ABILITIES = 0.6, 0.95  # range of the default


@validate_params(
    {
        "n_annotators": [Interval(Integral, 1, None, closed="left")],
        "concentration": [None, Interval(Real, 0, None, closed="neither")],
        "labels_per_row": [None, Interval(Integral, 1, None, closed="left")],
        "correlation": [Interval(Real, 0, 1, closed="both")],
        "exact": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
@fill_docstring(**DOCUMENTATION)
def simulate_annotators(
    y: LabelsLike,
    n_annotators: int = 5,
    *,
    transition: ArrayLike | None = None,
    ability: ArrayLike | None = None,
    concentration: float | None = None,
    coverage: ArrayLike = 1.0,
    labels_per_row: int | None = None,
    correlation: float = 0.0,
    classes: ArrayLike | None = None,
    exact: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Draw the labels of several annotators for rows with true labels.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        True labels. Rows without one are not annotated.
    n_annotators : int, default=5
        Number of annotators, at least 1.
    transition : array-like of shape (n_classes, n_classes) or \
            (n_annotators, n_classes, n_classes), default=None
        Probability of each given label (columns) for each true class (rows): one matrix for all
        annotators or one for each.
    ability : float or array-like of shape (n_annotators,), default=None
        Instead of `transition`: probability of a right label, in [0, 1]. All wrong labels are
        equally likely. If both are None, abilities are drawn uniformly from [0.6, 0.95].
    concentration : float, default=None
        If not None, each row of each matrix is drawn from the Dirichlet distribution with that
        row for its mean and this sum of parameters, above 0. The smaller it is, the more
        annotators differ.
    coverage : float or array-like of shape (n_annotators,), default=1.0
        Share of rows that an annotator labels, in (0, 1]. With `labels_per_row`, the relative
        frequency of each annotator.
    labels_per_row : int, default=None
        Number of annotators who label each row. None: each annotator labels each row with
        probability `coverage`, so that a row may have no label.
    correlation : float, default=0.0
        Correlation between the errors of two annotators with equal error rates, in [0, 1]: the
        same rows mislead both, to the same wrong label. Error rates stay the same.
    %(classes)s
    exact : bool, default=False
        Whether the numbers of rows that each annotator labels, and of labels of each class that
        become each other label, are the expected ones, rounded, instead of drawn.
    %(seed)s

    Returns
    -------
    annotations : :class:`~sklearn.utils.Bunch`
        One entry for each label, by row and then annotator:

        row : ndarray of shape (n_annotations,), dtype intp
            Index of the row in `y`.
        annotator : ndarray of shape (n_annotations,), dtype intp
            Index of the annotator.
        label : ndarray of shape (n_annotations,)
            The label.
        wrong : ndarray of shape (n_annotations,) of bool
            True where it is not the true one.

        The same by row and annotator:

        labels : ndarray of shape (n_samples, n_annotators)
            Labels, with NaN for missing numbers and None for other missing labels.
        flipped : ndarray of shape (n_samples, n_annotators) of bool
            True where a label was given that is wrong.

        Parameters of the annotators:

        transitions : ndarray of shape (n_annotators, n_classes, n_classes)
            The matrix of each annotator.
        classes : ndarray of shape (n_classes,)
            Labels, in the order of the matrices.

    Raises
    ------
    ValueError
        If a matrix does not have rows of probabilities that sum to 1, or does not match the
        classes or the annotators; if `transition` and `ability` are both given; if
        `labels_per_row` exceeds `n_annotators`.

    See Also
    --------
    flip_labels : One label for each row.

    References
    ----------
    Dawid and Skene (1979). Maximum likelihood estimation of observer error-rates using the EM
    algorithm. Journal of the Royal Statistical Society, Series C 28 (1).

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.noise import simulate_annotators
    >>> y = np.repeat(["cat", "dog"], 500)
    >>> crowd = simulate_annotators(y, 3, ability=[0.9, 0.8, 0.6], exact=True, random_state=0)
    >>> crowd.labels.shape
    (1000, 3)
    >>> crowd.flipped.sum(axis=0)
    array([100, 200, 400])

    Ten annotators, two of whom label each row:

    >>> crowd = simulate_annotators(y, 10, labels_per_row=2, random_state=0)
    >>> crowd.row[:6], crowd.label.shape
    (array([0, 0, 1, 1, 2, 2]), (2000,))
    >>> bool(np.array_equal(crowd.wrong, crowd.label != y[crowd.row]))
    True
    """
    if labels_per_row is not None and labels_per_row > n_annotators:
        raise ValueError(
            f"labels_per_row={labels_per_row} needs as many annotators, but"
            f" n_annotators={n_annotators}."
        )
    coverage = _per_annotator(coverage, n_annotators, "coverage")
    if coverage.min() == 0:
        raise ValueError("coverage must be above 0 for each annotator.")
    rng = private_random_state(random_state)
    _, missing = missing_labels(y)
    if transition is None:
        codes, classes = match_classes(y, 0, classes)
        if len(classes) < 2:
            raise ValueError(
                f"y needs labels of at least two classes, got {len(classes)}: pass `classes`."
            )
        transitions = _from_abilities(ability, n_annotators, len(classes), rng)
    elif ability is not None:
        raise ValueError(
            "transition and ability both set the error rates of annotators: pass one of them."
        )
    else:
        transitions = _check_transitions(transition, n_annotators)
        codes, classes = match_classes(y, transitions.shape[1], classes)
        check_transition(transitions[0], len(classes))
    if concentration is not None:
        transitions = _vary(transitions, concentration, rng)
    assigned = _assign(~missing, coverage, labels_per_row, exact, rng)
    given = _annotate(codes, assigned, transitions, correlation, exact, rng)
    flipped = assigned & (given != codes[:, None])
    row, annotator = np.nonzero(assigned)
    return Bunch(
        row=row,
        annotator=annotator,
        label=classes[given[row, annotator]],
        wrong=flipped[row, annotator],
        labels=_as_matrix(classes, given, assigned),
        flipped=flipped,
        transitions=transitions,
        classes=classes,
    )


def _per_annotator(values: ArrayLike, n_annotators: int, name: str) -> np.ndarray:
    """Validate a share for all annotators or one for each."""
    try:
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number, or numbers, got {values!r}.") from error
    if values.shape not in ((), (n_annotators,)):
        raise ValueError(
            f"{name} must be one number or have one for each of n_annotators={n_annotators}, got"
            f" shape {values.shape}."
        )
    if not (np.isfinite(values) & (values >= 0) & (values <= 1)).all():
        raise ValueError(f"{name} must be from 0 to 1, got {values.tolist()!r}.")
    return np.broadcast_to(values, n_annotators)


def _from_abilities(
    ability: ArrayLike | None, n_annotators: int, n_classes: int, rng: np.random.RandomState
) -> np.ndarray:
    """Make the symmetric matrix of each annotator."""
    if ability is None:
        ability = rng.uniform(*_ABILITIES, size=n_annotators)
    ability = _per_annotator(ability, n_annotators, "ability")
    return np.stack([symmetric_transition(n_classes, 1 - share) for share in ability])


def _check_transitions(transition: ArrayLike, n_annotators: int) -> np.ndarray:
    """Validate one matrix for all annotators or one for each."""
    if np.ndim(transition) != 3:
        return np.stack([check_transition(transition)] * n_annotators)
    if len(transition) != n_annotators:
        raise ValueError(
            f"transition has matrices for {len(transition)} annotators, but"
            f" n_annotators={n_annotators}."
        )
    transitions = []
    for a, matrix in enumerate(transition):
        try:
            transitions.append(check_transition(matrix))
        except ValueError as error:
            raise ValueError(f"The matrix of annotator {a}: {error}") from error
    return np.stack(transitions)


def _vary(transitions: np.ndarray, concentration: float, rng: np.random.RandomState) -> np.ndarray:
    """Draw each row of each matrix from a Dirichlet distribution around it."""
    varied = np.zeros(transitions.shape)
    for place in np.ndindex(transitions.shape[:2]):
        possible = transitions[place] > 0
        draw = rng.dirichlet(concentration * transitions[place][possible])
        # Tiny parameters may yield 0 / 0; in the limit, one label has probability 1.
        if not np.isfinite(draw).all():
            draw = rng.multinomial(1, transitions[place][possible])
        varied[place][possible] = draw
    return varied


def _assign(
    labelled: np.ndarray,
    coverage: np.ndarray,
    labels_per_row: int | None,
    exact: bool,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Assign rows to annotators, as a mask of shape (n_samples, n_annotators)."""
    shape = len(labelled), len(coverage)
    if labels_per_row is not None:
        # The largest of such sums are a weighted sample without replacement.
        sums = np.log(coverage) + rng.gumbel(size=shape)
        chosen = np.argpartition(-sums, labels_per_row - 1, axis=1)[:, :labels_per_row]
        assigned = np.zeros(shape, dtype=bool)
        np.put_along_axis(assigned, chosen, True, axis=1)
        return assigned & labelled[:, None]
    if not exact:
        return (rng.random_sample(shape) < coverage) & labelled[:, None]
    assigned = np.zeros(shape, dtype=bool)
    rows = np.flatnonzero(labelled)
    for a, share in enumerate(coverage):
        assigned[rng.permutation(rows)[: round(share * len(rows))], a] = True
    return assigned


def _annotate(
    codes: np.ndarray,
    assigned: np.ndarray,
    transitions: np.ndarray,
    correlation: float,
    exact: bool,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Draw the labels of assigned rows; -1 elsewhere."""
    given = np.full(assigned.shape, -1, dtype=np.intp)
    # Annotators share these numbers for a random part of their rows.
    common = rng.random_sample((2, len(codes)))
    for a, transition in enumerate(transitions):
        rows = np.flatnonzero(assigned[:, a])
        own = codes[rows]
        uniforms = rng.random_sample((2, len(rows)))
        shared = rng.random_sample(len(rows)) < np.sqrt(correlation)
        uniforms[:, shared] = common[:, rows[shared]]
        shares = transition / transition.sum(axis=1, keepdims=True)
        if exact:
            shares = round_shares(shares, own)
            uniforms[0] = rank_uniforms(uniforms[0], own)
        wrong = np.flatnonzero(uniforms[0] >= shares.diagonal()[own])
        what = uniforms[1, wrong]
        if exact:
            what = rank_uniforms(what, own[wrong])
        own[wrong] = choose_wrong_labels(what, own[wrong], shares)
        given[rows, a] = own
    return given


def _as_matrix(classes: np.ndarray, given: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """Decode the labels of all rows and annotators."""
    labels = classes[np.maximum(given, 0)]
    if not assigned.all():
        number = labels.dtype.kind in "iuf"
        labels = labels.astype(np.float64 if number else object)
        labels[~assigned] = np.nan if number else None
    return labels
