"""Several annotators for each row, each with errors of their own."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch

from skrobust.base._labels import missing_labels
from skrobust.noise._flip import match_classes
from skrobust.noise._readings import spread_evenly, whole_shares, wrong_labels
from skrobust.noise._transitions import check_transition, symmetric_transition
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, validate_params

# Of annotators about whom nothing is said.
_ABILITIES = 0.6, 0.95


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
def simulate_annotators(
    y,
    n_annotators=5,
    *,
    transition=None,
    ability=None,
    concentration=None,
    coverage=1.0,
    labels_per_row=None,
    correlation=0.0,
    classes=None,
    exact=False,
    random_state=None,
) -> Bunch:
    """Let several annotators label rows of which the true labels are known.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        True labels. Rows without one are shown to nobody.
    n_annotators : int, default=5
        Number of annotators.
    transition : array-like of shape (n_classes, n_classes) or \
            (n_annotators, n_classes, n_classes), default=None
        Probability of each given label (columns) for each true class (rows): one matrix for all
        annotators or one for each.
    ability : float or array-like of shape (n_annotators,), default=None
        In place of `transition`: the probability of a right label, in [0, 1]. All wrong labels
        are equally likely. If both are None, abilities are drawn evenly from 0.6 to 0.95.
    concentration : float, default=None
        If not None, annotators differ: each row of a matrix is drawn from the Dirichlet
        distribution that has that row for its mean and this number for the sum of its parameters.
        The smaller it is, the less alike they are.
    coverage : float or array-like of shape (n_annotators,), default=1.0
        Share of rows that an annotator labels, in (0, 1]. With `labels_per_row`, how often one is
        asked in comparison to the others.
    labels_per_row : int, default=None
        Number of annotators who label each row. None is all of them, as far as they cover it; by
        chance, nobody may.
    correlation : float, default=0.0
        Correlation between the errors of two annotators who are equally often wrong, in [0, 1]:
        they are misled by the same rows, and for the same wrong label. Rates stay what they are.
    classes : array-like of shape (n_classes,), default=None
        The labels that rows and columns of `transition` stand for. None is the sorted distinct
        labels of `y`; or, if `y` holds whole numbers from 0 to ``n_classes - 1`` only, these.
    exact : bool, default=False
        Whether the numbers of rows that each annotator labels, and of labels of each class that
        become each other label, are the expected ones, rounded, instead of drawn.
    random_state : int, RandomState instance or None, default=None
        Seed. None draws fresh entropy.

    Returns
    -------
    annotations : :class:`~sklearn.utils.Bunch`
        One entry for each label that was given, by row and then annotator:

        row : ndarray of shape (n_annotations,), dtype intp
            Which row of `y`.
        annotator : ndarray of shape (n_annotations,), dtype intp
            Who gave it.
        label : ndarray of shape (n_annotations,)
            The label.
        wrong : ndarray of shape (n_annotations,) of bool
            True where it is not the true one.

        The same as a table:

        labels : ndarray of shape (n_samples, n_annotators)
            Labels, with NaN for missing numbers and None for other missing labels.
        flipped : ndarray of shape (n_samples, n_annotators) of bool
            True where a label was given that is wrong.

        And how it was made:

        transitions : ndarray of shape (n_annotators, n_classes, n_classes)
            The matrix of each annotator.
        classes : ndarray of shape (n_classes,)
            Labels, in the order of the matrices.

    Raises
    ------
    ValueError
        If a matrix is not one of probabilities whose rows sum to 1, or does not match the classes
        or the annotators; if `transition` and `ability` are both given; if more annotators are
        wanted for each row than there are.

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

    Ten annotators, two of whom see each row:

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
        raise ValueError("transition and ability both say who is how often wrong: give one.")
    else:
        transitions = _check_transitions(transition, n_annotators)
        codes, classes = match_classes(y, transitions.shape[1], classes)
        check_transition(transitions[0], len(classes))
    if concentration is not None:
        transitions = _vary(transitions, concentration, rng)
    asked = _ask(len(codes), ~missing, coverage, labels_per_row, exact, rng)
    given = _answer(codes, asked, transitions, correlation, exact, rng)
    flipped = asked & (given != codes[:, None])
    row, annotator = np.nonzero(asked)
    return Bunch(
        row=row,
        annotator=annotator,
        label=classes[given[row, annotator]],
        wrong=flipped[row, annotator],
        labels=_as_table(classes, given, asked),
        flipped=flipped,
        transitions=transitions,
        classes=classes,
    )


def _per_annotator(values, n_annotators, name) -> np.ndarray:
    """Read a share that is one number or one for each annotator."""
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


def _from_abilities(ability, n_annotators, n_classes, rng) -> np.ndarray:
    if ability is None:
        ability = rng.uniform(*_ABILITIES, size=n_annotators)
    ability = _per_annotator(ability, n_annotators, "ability")
    return np.stack([symmetric_transition(n_classes, 1 - share) for share in ability])


def _check_transitions(transition, n_annotators) -> np.ndarray:
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


def _vary(transitions, concentration, rng) -> np.ndarray:
    """Draw each row of each matrix anew, with its mean."""
    varied = np.zeros(transitions.shape)
    for place in np.ndindex(transitions.shape[:2]):
        possible = transitions[place] > 0
        draw = rng.dirichlet(concentration * transitions[place][possible])
        # All parameters may be so small that the draw is 0 / 0: then one label takes it all.
        if not np.isfinite(draw).all():
            draw = rng.multinomial(1, transitions[place][possible])
        varied[place][possible] = draw
    return varied


def _ask(n_samples, labelled, coverage, labels_per_row, exact, rng) -> np.ndarray:
    """Decide who labels which rows, as a table of bools."""
    shape = n_samples, len(coverage)
    if labels_per_row is not None:
        # The largest of such sums are a sample without replacement, by weights.
        sums = np.log(coverage) + rng.gumbel(size=shape)
        chosen = np.argpartition(-sums, labels_per_row - 1, axis=1)[:, :labels_per_row]
        asked = np.zeros(shape, dtype=bool)
        np.put_along_axis(asked, chosen, True, axis=1)
        return asked & labelled[:, None]
    if not exact:
        return (rng.random_sample(shape) < coverage) & labelled[:, None]
    asked = np.zeros(shape, dtype=bool)
    rows = np.flatnonzero(labelled)
    for a, share in enumerate(coverage):
        asked[rng.permutation(rows)[: round(share * len(rows))], a] = True
    return asked


def _answer(codes, asked, transitions, correlation, exact, rng) -> np.ndarray:
    """Draw labels where they are asked for; -1 elsewhere."""
    given = np.full(asked.shape, -1, dtype=np.intp)
    # Whoever does not read a row by themselves, reads what others do.
    common = rng.random_sample((2, len(codes)))
    for a, transition in enumerate(transitions):
        rows = np.flatnonzero(asked[:, a])
        own = codes[rows]
        luck = rng.random_sample((2, len(rows)))
        led = rng.random_sample(len(rows)) < np.sqrt(correlation)
        luck[:, led] = common[:, rows[led]]
        shares = transition / transition.sum(axis=1, keepdims=True)
        if exact:
            shares = whole_shares(shares, own)
            luck[0] = spread_evenly(luck[0], own)
        wrong = np.flatnonzero(luck[0] >= shares.diagonal()[own])
        what = luck[1, wrong]
        if exact:
            what = spread_evenly(what, own[wrong])
        own[wrong] = wrong_labels(what, own[wrong], shares)
        given[rows, a] = own
    return given


def _as_table(classes, given, asked) -> np.ndarray:
    labels = classes[np.maximum(given, 0)]
    if not asked.all():
        number = labels.dtype.kind in "iuf"
        labels = labels.astype(np.float64 if number else object)
        labels[~asked] = np.nan if number else None
    return labels
