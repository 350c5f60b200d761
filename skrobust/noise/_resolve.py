"""What a parameter called `transition` stands for: a matrix, an estimator, or the default one."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.noise._anchor_transition import AnchorTransition
from skrobust.noise._transitions import check_transition
from skrobust.utils._cached_fit import cached_fit
from skrobust.utils._random import draw_seed, is_integer_seed, private_random_state
from skrobust.utils._rows import is_plain_numeric

TRANSITION_CONSTRAINTS = ["array-like", TransitionEstimator, None]
"""What the parameter may be, for `_parameter_constraints`."""

# Undoing a matrix magnifies errors by up to this factor before it counts as singular.
_HIGHEST_CONDITION = 1e4


def resolve_transition(
    transition,
    data: LabelledData,
    *,
    estimator=None,
    require: str | None = None,
    cv=None,
    random_state=None,
    n_jobs: int | None = None,
    memory=None,
) -> tuple[np.ndarray, TransitionEstimator | None]:
    """Work out the transition matrix of a data set, before any other work.

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes), TransitionEstimator or None
        The parameter, as the user gave it. Rows and columns of a matrix are classes in sorted
        order. An estimator is cloned and fitted. None is :func:`default_transition`.
    data : LabelledData
        Rows and labels, as of :func:`~skrobust.base._labelled_data.check_labelled_data`.
    estimator : classifier, default=None
        The caller's own model, if it has one, for :func:`default_transition`.
    require : {"invertible", "dominant"}, default=None
        What the caller needs beyond rows that sum to 1; see :func:`check_usable`.
    cv : int, splitter or iterable of (train, test), default=None
        If not None, set as `cv` of the transition estimator, if it has one.
    random_state : int, RandomState instance or None, default=None
        If not None, set as `random_state` of the transition estimator.
    n_jobs : int, default=None
        If not None, set as `n_jobs` of the transition estimator.
    memory : str or object with the joblib.Memory interface, default=None
        Where to cache the fit of the transition estimator.

    Returns
    -------
    matrix : ndarray of shape (n_classes, n_classes), dtype float64
        Rows are true classes, in the order of ``data.classes``. The caller's own.
    fitted : TransitionEstimator or None
        The fitted transition estimator, for its other attributes; None if a matrix was given.

    Raises
    ------
    ValueError
        If the matrix is not stochastic, has another number of classes than the labels, or is not
        what is required; if a class has no label that counts; if `memory` is given and two fits
        would not give the same answer.
    TypeError
        If `transition` is none of these.
    """
    if transition is None or isinstance(transition, TransitionEstimator):
        default = transition is None
        judge = default_transition(data.X, estimator) if default else clone(transition)
        fitted = _fit(_configure(judge, cv, random_state), data, n_jobs, memory)
        matrix = fitted.transition_matrix_.copy()
        what = f"transition as {type(fitted).__name__} estimates it"
    elif isinstance(transition, (str, type)) or hasattr(transition, "fit"):
        raise TypeError(
            "transition must be a matrix of shape (n_classes, n_classes), a transition estimator"
            f" such as skrobust.noise.AnchorTransition(), or None, got {transition!r}."
        )
    else:
        matrix, fitted = np.array(check_transition(transition, len(data.classes))), None
        what = "transition"
    check_usable(matrix, data.classes, require, what=what)
    return matrix, fitted


def default_transition(X=None, estimator=None) -> TransitionEstimator:
    """Make the estimator that ``transition=None`` stands for.

    It is :class:`AnchorTransition`. Measured on planted noise
    (``benchmarks/transition_estimators.py``, six tables of 3 000 rows with 20 and 35 % of
    symmetric, pair and random noise), the share of the labels of a class that its row of the
    matrix misplaces is .049 in the mean, against .092 for :class:`DualTransition`, .110 for
    :class:`NeighborTransition` and .113 for :class:`ConfidentTransition`. With verified rows,
    :class:`TrustedTransition` is not ahead of it: .046 against .043 with 2 % of the rows, .042
    both with 10 %.

    Parameters
    ----------
    X : array-like of length n_samples, default=None
        What it is to be fitted to. If that is a table of numbers, or not known, a forest supplies
        the evidence.
    estimator : classifier, default=None
        What supplies the evidence for other input, such as text: the model of the caller, which
        takes it as it is.

    Returns
    -------
    transition : AnchorTransition
        Not fitted.
    """
    if estimator is None or X is None or is_plain_numeric(X):
        return AnchorTransition()
    return AnchorTransition(clone(estimator))


def _configure(estimator, cv, random_state) -> TransitionEstimator:
    """Hand on what the user told the caller."""
    known = estimator.get_params(deep=False)
    given = {"cv": cv, "random_state": random_state}
    given = {key: value for key, value in given.items() if value is not None and key in known}
    if "random_state" in given and not is_integer_seed(random_state):
        # A generator would be copied with its state, and every refit would draw the same.
        given["random_state"] = draw_seed(private_random_state(random_state))
    return estimator.set_params(**given)


def _fit(estimator, data, n_jobs, memory) -> TransitionEstimator:
    y, metadata = data.fit_arguments()
    estimator = cached_fit(estimator, data.X, y, metadata, n_jobs=n_jobs, memory=memory)
    lacking = np.setdiff1d(data.classes, estimator.classes_)
    if len(lacking):
        raise ValueError(
            f"The class {lacking.tolist()[0]!r} is given to no row that the transition could be"
            " estimated from: leave its rows out, or pass the transition as a matrix."
        )
    return estimator


def check_usable(matrix, classes, require: str | None, *, what: str = "transition") -> None:
    """Refuse a transition matrix from which true classes cannot be told.

    Parameters
    ----------
    matrix : ndarray of shape (n_classes, n_classes)
        Rows are true classes and sum to 1.
    classes : ndarray of shape (n_classes,)
        Labels, for the message.
    require : {"invertible", "dominant"} or None
        - "invertible": true shares follow from given ones, which takes an inverse that does not
          magnify errors beyond measure; and each label stands for its own class rather than for
          another one: of all ways to pair labels with classes, the one by name has the largest
          sum of probabilities. With two classes, that means error rates whose sum is below 1.
        - "dominant": in each class the right label is more frequent than any wrong one.
        - None: anything goes.
    what : str
        What to call the matrix in messages.

    Raises
    ------
    ValueError
        If the matrix is not so, naming the classes.
    """
    names = classes.tolist()
    if require == "dominant":
        wrong = matrix - np.diag(np.full(len(matrix), np.inf))
        k = int(np.argmax(wrong.max(axis=1) - matrix.diagonal()))
        other = int(wrong[k].argmax())
        if wrong[k, other] >= matrix[k, k]:
            raise ValueError(
                f"The {what} is too noisy: in row {k}, rows of the true class {names[k]!r} are"
                f" given the label {names[other]!r} with probability {wrong[k, other]:.3g}, their"
                f" own with {matrix[k, k]:.3g} only. Right labels must be more frequent than any"
                " wrong ones; if rows and columns were mixed up, pass the transpose."
            )
    elif require == "invertible":
        _check_invertible(matrix, names, what)
    elif require is not None:
        raise ValueError(f"require={require!r} is none of 'invertible', 'dominant', None.")


def _check_invertible(matrix, names, what) -> None:
    surplus = 2 * matrix.diagonal().min() - 1
    if surplus > 0 and len(matrix) <= _HIGHEST_CONDITION * surplus:
        return  # so dominant a diagonal bounds the condition number by their ratio
    _, spread, directions = np.linalg.svd(matrix.T)
    if spread[-1] * _HIGHEST_CONDITION <= spread[0]:
        # The direction that vanishes says which classes cannot be told apart.
        first, second = np.sort(np.argsort(-np.abs(directions[-1]), kind="stable")[:2])
        raise ValueError(
            f"The {what} is singular, or nearly so (condition number"
            f" {spread[0] / max(spread[-1], 1e-300):.3g}): the labels hardly tell the true classes"
            f" {names[first]!r} and {names[second]!r} (rows {first} and {second}) apart."
        )
    own, label = linear_sum_assignment(-matrix)
    if matrix[own, label].sum() > matrix.trace() + 1e-12:
        k = int(np.flatnonzero(own != label)[0])
        raise ValueError(
            f"The {what} is too noisy: labels stand for other classes than their own. In row {k},"
            f" rows of the true class {names[k]!r} are given the label {names[label[k]]!r} with"
            f" probability {matrix[k, label[k]]:.3g}, their own with {matrix[k, k]:.3g}. With two"
            " classes, the two error rates must sum to less than 1."
        )
