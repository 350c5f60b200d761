"""Resolution of parameters called `transition`: a matrix, an estimator, or the default one."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator, clone

from skrobust.base import LabelledData, TransitionEstimator
from skrobust.base._labelled_data import fit_inside, propagate_params
from skrobust.evidence._evidence import Evidence
from skrobust.noise._anchor_transition import AnchorTransition
from skrobust.noise._proba_transition import ProbaTransition
from skrobust.noise._transitions import check_transition
from skrobust.utils._input import is_plain_numeric
from skrobust.utils._typing import CrossValidation

TRANSITION_CONSTRAINTS = ["array-like", TransitionEstimator, None]
"""Constraints of the parameter."""

# Condition number from which on a matrix counts as singular.
_HIGHEST_CONDITION = 1e4


def resolve_transition(
    transition: ArrayLike | TransitionEstimator | None,
    data: LabelledData,
    *,
    estimator: BaseEstimator | None = None,
    require: str | None = None,
    cv: CrossValidation = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    memory: Any = None,
    evidence: Evidence | None = None,
) -> tuple[np.ndarray, TransitionEstimator | None]:
    """Return the transition matrix of a data set and the fitted estimator, None for a given matrix.

    `transition` is a matrix in the order of ``data.classes``, an estimator, which is cloned, or
    None, which is :func:`default_transition`. `cv`, `random_state` and `n_jobs` are set on the
    estimator if they are not None, and its fit is cached in `memory`. `require` is that of
    :func:`check_usable`. `evidence` is what the estimator would collect, if that is known: see
    :func:`shares_evidence`.
    """
    if transition is None or isinstance(transition, TransitionEstimator):
        if transition is None:
            transition = default_transition(data.X, estimator)
        unfitted = propagate_params(clone(transition), cv=cv, random_state=random_state)
        if evidence is not None:
            fitted = propagate_params(unfitted, n_jobs=n_jobs).fit_evidence(data, evidence)
        else:
            fitted = fit_inside(unfitted, data, n_jobs=n_jobs, memory=memory)
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


def shares_evidence(
    transition: ArrayLike | TransitionEstimator | None,
    data: LabelledData,
    *,
    estimator: BaseEstimator | None = None,
    cv: CrossValidation = None,
    random_state: int | np.random.RandomState | None = None,
) -> bool:
    """Whether a parameter `transition` uses the probabilities that its owner collects too.

    Those of the owner come from `estimator`, None for a forest, trained on given labels. `cv` and
    `random_state` are set on the transition estimator if they are not None.
    """
    if transition is None:
        transition = default_transition(data.X, estimator)
    if not isinstance(transition, ProbaTransition) or transition.estimator is not estimator:
        return False
    if transition._trains_on_verified and data.checked.any():
        return False
    same_folds = cv is not None or transition.cv is None or transition.cv == 5
    return same_folds and (random_state is not None or transition.random_state is None)


def default_transition(
    X: Any = None, estimator: BaseEstimator | None = None
) -> TransitionEstimator:
    """Return the estimator that ``transition=None`` stands for, not fitted.

    It is :class:`AnchorTransition`, with the model of the caller where X is not numeric. Mean
    share of the labels of a class that its row of the matrix misplaces, on six data sets of 3 000
    rows with 20 and 35 % of symmetric, pair and random noise
    (``benchmarks/transition_estimators.py``): .046, against .065 for :class:`DualTransition`, .089
    for :class:`ConfidentTransition` and .108 for :class:`NeighborTransition`. With verified rows,
    :class:`TrustedTransition` is no better: .044 against .041 with 2 % of the rows, .040 both with
    10 %.
    """
    if estimator is None or X is None or is_plain_numeric(X):
        return AnchorTransition()
    return AnchorTransition(estimator)


def check_usable(
    matrix: np.ndarray, classes: np.ndarray, require: str | None, *, what: str = "transition"
) -> None:
    """Raise an error that names the classes if a transition matrix is not as required.

    "invertible": the inverse does not magnify errors beyond measure, and of all assignments of
    labels to classes, that by name has the largest sum of probabilities (with two classes, error
    rates sum to less than 1). "dominant": the right label of each class is more frequent than any
    wrong one.
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


def _check_invertible(matrix: np.ndarray, names: list, what: str) -> None:
    """Raise an error unless true shares of classes follow from given ones."""
    surplus = 2 * matrix.diagonal().min() - 1
    if surplus > 0 and len(matrix) <= _HIGHEST_CONDITION * surplus:
        return  # so dominant a diagonal bounds the condition number by their ratio
    _, scales, directions = np.linalg.svd(matrix.T)
    if scales[-1] * _HIGHEST_CONDITION <= scales[0]:
        # The two largest entries of the vanishing direction are the classes that are confused.
        first, second = np.sort(np.argsort(-np.abs(directions[-1]), kind="stable")[:2])
        raise ValueError(
            f"The {what} is singular, or nearly so (condition number"
            f" {scales[0] / max(scales[-1], 1e-300):.3g}): the labels hardly distinguish the true"
            f" classes {names[first]!r} and {names[second]!r} (rows {first} and {second})."
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
