"""Synthetic label noise that is correlated within groups, or along sequences."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._labelled_data import check_groups
from skrobust.noise._flip import (
    DOCUMENTATION,
    choose_wrong_labels,
    match_labels,
    rank_uniforms,
    replace_labels,
    round_shares,
)
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state
from skrobust.utils._sklearn import Interval, validate_params
from skrobust.utils._typing import LabelsLike


@validate_params(
    {
        "run_length": [None, Interval(Real, 1, None, closed="left")],
        "exact": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
@fill_docstring(**DOCUMENTATION)
def flip_labels_grouped(
    y: LabelsLike,
    groups: ArrayLike | None,
    transition: ArrayLike,
    *,
    run_length: float | None = None,
    classes: ArrayLike | None = None,
    exact: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw wrong labels by a transition matrix, correlated within groups of rows.

    Each row has each label with the probability of `transition`, but rows of a group are not
    independent: as where labels are given to a patient, a document or a batch and not to each of
    its rows, or by an instrument that is out of order for some time. Such noise is harder than
    that of :func:`flip_labels` for methods that compare similar rows.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(y_true)s
    groups : array-like of shape (n_samples,) or None
        Group of each row. With `run_length` a group is a sequence, in the order of its rows, and
        None is one sequence of all rows.
    %(transition)s
    run_length : float, default=None
        Mean number of successive wrong labels, where the true class stays the same, at least 1.
        None: a group is wrong or right as a whole.
    %(classes)s
    exact : bool, default=False
        Whether the number of labels of each class that become each other label is the expected
        one, rounded, instead of drawn. Without `run_length` it is as near to that as whole groups
        can be; with it, runs are shortened where the number is reached.
    %(seed)s

    Returns
    -------
    %(returns_noisy)s

    Raises
    ------
    ValueError
        If `transition` is not a square matrix of probabilities whose rows sum to 1, or does not
        match the classes; if `groups` has missing entries or another length than `y`, or is None
        without `run_length`; if `run_length` is shorter than runs of independent errors are.

    See Also
    --------
    flip_labels : Each row independently.
    flip_labels_instance : Noise that depends on the row.

    Notes
    -----
    Rows of different classes in one group are wrong together as far as their rates allow: with
    equal rates, all of them or none. A group, or a run, also has one wrong label in common.

    Runs are those of a Markov chain. Its stationary distribution is that of `transition`, and
    errors of rate ``e`` stop with probability ``1 / run_length``. Independent errors stop with
    probability ``1 - e``, so that no run can be shorter than ``1 / (1 - e)`` on average. Where the
    true class changes, its rate decides anew, and runs may end there.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.noise import flip_labels_grouped, symmetric_transition
    >>> patient = np.repeat(np.arange(100), 8)
    >>> y = np.repeat(np.arange(100) % 2, 8)
    >>> y_noisy, flipped = flip_labels_grouped(
    ...     y, patient, symmetric_transition(2, 0.2), exact=True, random_state=0
    ... )
    >>> per_patient = flipped.reshape(100, 8).sum(axis=1)
    >>> np.unique(per_patient, return_counts=True)
    (array([0, 8]), array([80, 20]))

    A sensor with runs of ten wrong readings, on average:

    >>> y_noisy, flipped = flip_labels_grouped(
    ...     np.zeros(20_000, dtype=int),
    ...     None,
    ...     symmetric_transition(2, 0.2),
    ...     run_length=10,
    ...     random_state=0,
    ... )
    >>> n_runs = np.sum(np.diff(flipped.astype(int)) == 1)
    >>> bool(9 < flipped.sum() / n_runs < 11)
    True
    """
    values, missing, codes, classes, transition = match_labels(y, transition, classes)
    groups = _number_groups(groups, len(codes), run_length)
    rng = private_random_state(random_state)
    # In the order of groups, so that each is one stretch of rows.
    rows = np.flatnonzero(~missing)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    own, group = codes[rows], groups[rows]
    begins = np.append(True, group[1:] != group[:-1])[: len(rows)]

    shares = transition / transition.sum(axis=1, keepdims=True)
    restart = begins
    if run_length is not None:
        probability = _restart_probability(shares, run_length, np.unique(own), classes)
        restart = begins | (rng.random_sample(len(rows)) < probability[own])
    if exact:
        shares = round_shares(shares, own)

    def draw(starts: np.ndarray, some: Any) -> np.ndarray:
        """Draw a uniform number for each stretch, and return those of some rows."""
        stretch = np.cumsum(starts) - 1
        uniforms = rng.random_sample(starts.sum())[stretch][some]
        if exact:
            uniforms = rank_uniforms(uniforms, own[some], stretch[some], whole=run_length is None)
        return uniforms

    wrong = np.flatnonzero(draw(restart, slice(None)) >= shares.diagonal()[own])
    if run_length is not None:
        # What a wrong label is changes from run to run, and only then.
        begins[wrong] |= np.append(True, np.diff(wrong) > 1)[: len(wrong)]
    noisy = codes.copy()
    noisy[rows[wrong]] = choose_wrong_labels(draw(begins, wrong), own[wrong], shares)
    return replace_labels(values, missing, classes, codes, noisy)


def _number_groups(
    groups: ArrayLike | None, n_samples: int, run_length: float | None
) -> np.ndarray:
    """Number the groups; None is one sequence."""
    if groups is not None:
        return check_groups(groups, n_samples)
    if run_length is None:
        raise ValueError(
            "groups=None is one sequence of all rows, which needs run_length: without it, all"
            " labels would be wrong, or none."
        )
    return np.zeros(n_samples, dtype=np.intp)


def _restart_probability(
    shares: np.ndarray, run_length: float, present: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return the probability, by true class, that a row is drawn anew instead of following."""
    right = shares.diagonal()
    for k in present:
        if 0 < run_length * right[k] < 1 - 1e-9:
            raise ValueError(
                f"run_length={run_length!r} is too short for class {classes.tolist()[k]!r}, of"
                f" which {1 - right[k]:.3g} are wrong: errors that are independent of one another"
                f" come in runs of {1 / right[k]:.4g} on average already."
            )
    # Where all labels are wrong, no run ends.
    return np.divide(1, run_length * right, out=np.zeros(len(right)), where=right > 0)
