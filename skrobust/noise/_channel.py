"""The noise channel: what stands between the true class of a row and its given label.

A classifier that is trained on noisy labels and asked about rows that it has not seen predicts
the *given* label: its probabilities are those of the true class, seen through the channel. Here
the channel is undone.
"""

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar

from skrobust.noise._confident_joint import class_mass
from skrobust.utils._blocks import for_each_block
from skrobust.utils._masses import top_mass_cut

CONFIDENT_SHARE = 0.5
"""Of the rows predicted to be of a class, the share, the surest first, that is counted."""
# A class is known by so many rows at least, if it has them.
_LEAST_MASS = 30
_SMALLEST_PROBABILITY = 1e-4
# Where classes are many, all of them together must not be given more than so much.
_SMALLEST_SUM = 1e-2
# The channel is undone step by step. More steps follow the probabilities more closely, which
# are not known that well.
_N_STEPS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseChannel:
    """How true classes become given labels.

    Attributes
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    exponent : float
        Probabilities of the classifier, to this power and scaled to sum to 1, foretell given
        labels best. At least 1: where a classifier is too sure already, softer probabilities
        would only add noise.
    """

    transition: np.ndarray
    exponent: float

    def undo(
        self, pred_proba: np.ndarray, *, n_steps: int = _N_STEPS, n_jobs: int | None = None
    ) -> np.ndarray:
        """Turn probabilities of given labels into those of true classes.

        Parameters
        ----------
        pred_proba : ndarray of shape (n_samples, n_classes)
            Probabilities of given labels.
        n_steps : int, default=10
            Steps on the way to those which make the given ones most likely.
        n_jobs : int, default=None
            Number of threads.

        Returns
        -------
        true_proba : ndarray of shape (n_samples, n_classes)
            Probabilities of true classes, which the channel turns into about the given ones.
            None is negative, as they may be if the transition is simply inverted.
        """
        true_proba = np.empty(pred_proba.shape, dtype=np.float64)
        back = self.transition.T

        def step(start: int, stop: int) -> None:
            given = sharpen(pred_proba[start:stop], self.exponent)
            block = given.copy()
            for _ in range(n_steps):
                ratio = given / np.maximum(block @ self.transition, 1e-12)
                block *= ratio @ back
            true_proba[start:stop] = block / block.sum(axis=1, keepdims=True)

        for_each_block(step, len(pred_proba), 32 * pred_proba.shape[1], n_jobs=n_jobs)
        return true_proba

    def right_proba(self, true_proba: np.ndarray) -> np.ndarray:
        """Compute how likely each label would be right, were it the given one.

        Parameters
        ----------
        true_proba : ndarray of shape (n_samples, n_classes)
            As of :meth:`undo`.

        Returns
        -------
        right : ndarray of shape (n_samples, n_classes)
            P(true class is k | row, given label is k), in [0, 1].
        """
        right = true_proba * self.transition.diagonal()
        right /= np.maximum(true_proba @ self.transition, 1e-12)
        return np.clip(right, 0, 1, out=right)

    def error_proba(self, true_proba: np.ndarray) -> np.ndarray:
        """Compute how likely each label is to be given, and to be wrong.

        Parameters
        ----------
        true_proba : ndarray of shape (n_samples, n_classes)
            As of :meth:`undo`.

        Returns
        -------
        wrong : ndarray of shape (n_samples, n_classes)
            P(given label is k and true class is another | row).
        """
        noise = self.transition.copy()
        np.fill_diagonal(noise, 0)
        return true_proba @ noise

    def scaled(self, factor: float) -> "NoiseChannel":
        """Multiply the probability of each wrong label by a factor."""
        transition = factor * self.transition
        np.fill_diagonal(transition, 0)
        np.fill_diagonal(transition, 1 - transition.sum(axis=1))
        return dataclasses.replace(self, transition=transition)

    def class_proba(self, true_proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Compute the probabilities of true classes, knowing the given label as well.

        Parameters
        ----------
        true_proba : ndarray of shape (n_samples, n_classes)
            As of :meth:`undo`.
        codes : ndarray of shape (n_samples,)
            Given labels; -1 where missing.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Rows sum to 1.
        """
        proba = np.empty(true_proba.shape, dtype=np.float64)
        # The last row is that of a missing label, which tells nothing.
        likelihood = np.vstack([self.transition.T, np.ones(len(self.transition))])

        def multiply(start: int, stop: int) -> None:
            block = np.multiply(
                true_proba[start:stop], likelihood[codes[start:stop]], out=proba[start:stop]
            )
            block /= np.maximum(block.sum(axis=1, keepdims=True), 1e-300)

        for_each_block(multiply, len(proba), 16 * proba.shape[1])
        return proba


def sharpen(pred_proba: np.ndarray, exponent: float) -> np.ndarray:
    """Raise probabilities to a power and scale rows to sum to 1."""
    logs = np.log(np.maximum(pred_proba, _floor(pred_proba), dtype=np.float64))
    logs *= exponent
    logs -= logs.max(axis=1, keepdims=True)
    np.exp(logs, out=logs)
    logs /= logs.sum(axis=1, keepdims=True)
    return logs


def _floor(pred_proba) -> float:
    return min(_SMALLEST_PROBABILITY, _SMALLEST_SUM / pred_proba.shape[1])


def confident_counts(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    confident_share: float = CONFIDENT_SHARE,
) -> np.ndarray:
    """Count the given labels of the rows that are surest of each class.

    Parameters
    ----------
    codes, pred_proba, weight, confident_share
        As of :func:`confident_rows`.

    Returns
    -------
    counts : ndarray of shape (n_classes, n_classes)
        Mass of rows by predicted class (rows) and given label (columns).
    """
    confident = confident_rows(codes, pred_proba, weight, confident_share=confident_share)
    return count_labels(confident, codes, pred_proba.shape[1], weight)


def confident_rows(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    confident_share: float = CONFIDENT_SHARE,
    least_mass: float = _LEAST_MASS,
) -> np.ndarray:
    """Find the rows that are surest of each class.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Given labels; rows with -1 take no part.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities.
    weight : ndarray of shape (n_samples,), default=None
        Weights. An integer weight counts as so many equal rows.
    confident_share : float, default=0.5
        Share of the rows of each predicted class that is counted, in (0, 1].
    least_mass : float, default=30
        So much of each predicted class at least, if it has that much.

    Returns
    -------
    confident : ndarray of shape (n_samples,), dtype intp
        The predicted class of these rows; -1 for all others.
    """
    n_classes = pred_proba.shape[1]
    best, top = predicted_classes(codes, pred_proba)
    masses = class_mass(best, n_classes, weight)
    confident = np.full(len(codes), -1, dtype=np.intp)
    used = best >= 0
    rows_by_class = np.argsort(np.where(used, best, n_classes), kind="stable")
    ends = np.searchsorted(best[rows_by_class][: used.sum()], np.arange(n_classes + 1))
    for k in np.flatnonzero(masses > 0):
        rows = rows_by_class[ends[k] : ends[k + 1]]
        wanted = max(confident_share * masses[k], min(least_mass, masses[k]))
        cut = top_mass_cut(top[rows], wanted, None if weight is None else weight[rows])
        confident[rows[top[rows] >= cut]] = k
    return confident


def predicted_classes(codes: np.ndarray, pred_proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the most probable class of each row that has a label.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Given labels; rows with -1 take no part.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities.

    Returns
    -------
    best : ndarray of shape (n_samples,), dtype intp
        Classes; -1 for rows that take no part, and where several are equally probable.
    top : ndarray of shape (n_samples,)
        Their probabilities.
    """
    best = np.empty(len(codes), dtype=np.intp)
    top = np.empty(len(codes), dtype=pred_proba.dtype)

    def look(start: int, stop: int) -> None:
        block = pred_proba[start:stop]
        best[start:stop] = block.argmax(axis=1)
        top[start:stop] = block.max(axis=1)

    for_each_block(look, len(codes), pred_proba.shape[1] * pred_proba.itemsize)
    # A tie between classes says nothing, and must not be broken by their names.
    best[(codes < 0) | _ties(pred_proba, top)] = -1
    return best, top


def count_labels(true: np.ndarray, codes: np.ndarray, n_classes: int, weight=None) -> np.ndarray:
    """Weigh rows by what is taken for their true class, and by given label.

    Parameters
    ----------
    true, codes : ndarray of shape (n_samples,)
        Classes; rows in which either is -1 are left out.
    n_classes : int
        Number of classes.
    weight : ndarray of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    counts : ndarray of shape (n_classes, n_classes), dtype float64
        Mass of rows by true class (rows) and given label (columns).
    """
    rows = np.flatnonzero((true >= 0) & (codes >= 0))
    pairs = true[rows] * n_classes + codes[rows]
    mass = None if weight is None else weight[rows]
    counts = np.bincount(pairs, weights=mass, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.float64)


def _ties(pred_proba, top) -> np.ndarray:
    tied = np.empty(len(top), dtype=bool)

    def count(start: int, stop: int) -> None:
        tied[start:stop] = (pred_proba[start:stop] == top[start:stop, None]).sum(axis=1) > 1

    for_each_block(count, len(top), 2 * pred_proba.shape[1] * pred_proba.itemsize)
    return tied


def best_exponent(codes, pred_proba, weight) -> float:
    """Find by how much probabilities should be sharpened to foretell the given labels."""
    rows = np.flatnonzero(codes >= 0)
    labels = codes[rows]
    mass = np.ones(len(rows)) if weight is None else weight[rows]
    mass = mass / mass.sum()
    logs = pred_proba[rows]
    np.log(np.maximum(logs, _floor(logs), out=logs), out=logs)
    logs -= logs.max(axis=1, keepdims=True)
    own = logs[np.arange(len(rows)), labels].astype(np.float64)

    def loss(log_exponent: float) -> float:
        exponent = np.exp(log_exponent)
        total = np.empty(len(rows))

        def add(start: int, stop: int) -> None:
            total[start:stop] = np.exp(exponent * logs[start:stop]).sum(axis=1)

        for_each_block(add, len(rows), 16 * logs.shape[1])
        return float(mass @ (np.log(total) - exponent * own))

    best = minimize_scalar(loss, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0
