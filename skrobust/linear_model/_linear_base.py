"""Base class of linear models of true classes: validation, solver and predictions."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import OptimizeResult, minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skrobust.base import LabelledData
from skrobust.base._scoring import LabelledScore
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, Tags
from skrobust.utils._typing import CSRMatrix, LabelsLike, MatrixLike
from skrobust.utils._warnings import warn_user

_DTYPES = (np.float64, np.float32)
# Derivatives of the mean loss below this are zero up to rounding, in single precision.
_FLAT = 1e-5

DOCUMENTATION = {
    "solver": """
fit_intercept : bool, default=True
    Whether the scores of true classes have intercepts, which are not penalised.
tol : float, default=1e-4
    Largest derivative of the mean loss at which the solver stops, at least 0.
max_iter : int, default=1000
    Maximum number of iterations of the solver from each start, at least 0.""",
    "y_used": """
y : array-like of shape (n_samples,)
    Given labels. Rows whose label is None, NaN or blank are left out.""",
}
"""Docstring entries that the classifiers share."""


@fill_docstring
class NoisyLinearClassifier(LabelledScore, ClassifierMixin, BaseEstimator):
    """Base class of linear models of true classes that are fitted to given labels.

    A subclass sets ``classes_``, ``coef_`` and ``intercept_`` in ``fit``; with two classes, these
    are those of the second one.
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="right")],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_data(
        self,
        X: Any,
        y: LabelsLike,
        verified_labels: LabelsLike | None,
        sample_weight: ArrayLike | None,
    ) -> tuple[np.ndarray | CSRMatrix, LabelledData]:
        """Validate the arguments of ``fit``; return the numeric matrix and the labelled rows."""
        numbers = validate_data(self, X, accept_sparse="csr", dtype=_DTYPES)
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return numbers, data

    def _used_rows(self, X: Any, data: LabelledData) -> tuple:
        """Return X, given and verified labels and weights of the rows to train on."""
        columns = (X, data.y, data.verified, data.sample_weight)
        if data.used.all():
            return columns
        rows = np.flatnonzero(data.used)
        return tuple(None if column is None else column[rows] for column in columns)

    def _check_warm_start(self, X: Any, data: LabelledData) -> bool:
        """Whether to start from the last fit, which must have had the same classes and features."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return False
        if not np.array_equal(self.classes_, data.classes):
            raise ValueError(
                f"warm_start=True starts from a fit with the classes {self.classes_.tolist()},"
                f" but y has {data.classes.tolist()}: clone the estimator, or set it to False."
            )
        if self.coef_.shape[1] != X.shape[1]:
            raise ValueError(
                f"warm_start=True starts from a fit with {self.coef_.shape[1]} features, but X"
                f" has {X.shape[1]}: clone the estimator, or set it to False."
            )
        return True

    def _minimize(
        self, loss: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray
    ) -> OptimizeResult:
        """Minimise a loss by L-BFGS, with the settings of scikit-learn's logistic regression."""
        return minimize(
            loss,
            start,
            method="L-BFGS-B",
            jac=True,
            options={
                "maxiter": self.max_iter,
                "maxls": 50,
                "gtol": self.tol,
                "ftol": 64 * np.finfo(np.float64).eps,
            },
        )

    def _set_n_iter(self, result: OptimizeResult) -> None:
        """Set the number of iterations, and warn if they were too few."""
        self.n_iter_: int = int(result.nit)
        steepest = np.abs(result.jac).max()
        # A line search that fails by rounding alone has converged.
        if result.status == 1 or (result.status == 2 and steepest > max(self.tol, _FLAT)):
            warn_user(
                f"{type(self).__name__} did not converge in {result.nit} iterations"
                f" (max_iter={self.max_iter}): the largest derivative is {steepest:.2g}, tol is"
                f" {self.tol:g}. Scale the features, or raise max_iter.",
                ConvergenceWarning,
            )

    def _check_new(self, X: Any) -> np.ndarray | CSRMatrix:
        """Validate rows to predict."""
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse="csr", dtype=_DTYPES, reset=False)

    def _linear_scores(self, X: Any) -> np.ndarray:
        """Return scores of shape (n_scores, n_samples), of the second class if there are two."""
        X = self._check_new(X)
        return linear_scores(X, self.coef_, self.intercept_)

    def decision_function(self, X: MatrixLike) -> np.ndarray:
        """Compute the scores of true classes.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Log-odds of ``classes_[1]`` where there are two classes; else log probabilities, up to
            a constant for each row.
        """
        scores = self._linear_scores(X)
        return scores[0] if len(self.classes_) == 2 else np.ascontiguousarray(scores.T)

    def predict(self, X: MatrixLike) -> np.ndarray:
        """Predict true classes.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        %(returns_labels)s
        """
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict probabilities of true classes.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        %(returns_proba)s
        """
        return softmax(with_first_class(self._linear_scores(X)), axis=0).T

    def predict_log_proba(self, X: MatrixLike) -> np.ndarray:
        """Predict log probabilities of true classes.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Log probabilities, columns in the order of ``classes_``.
        """
        return log_softmax(with_first_class(self._linear_scores(X)), axis=0).T


def linear_scores(
    X: Any, coef: np.ndarray, intercept: np.ndarray, *, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute linear scores of shape (n_scores, n_samples), in the precision of X.

    With one row per score, sums over classes are sums of long rows.
    """
    coef = coef.astype(X.dtype, copy=False)
    if out is None:
        out = np.empty((len(coef), X.shape[0]))
    if sparse.issparse(X):
        out[:] = (X @ coef.T).T
    elif X.dtype == out.dtype:
        np.dot(coef, X.T, out=out)
    else:
        out[:] = coef @ X.T
    out += np.asarray(intercept)[:, None]
    return out


def weighted_sums(X_transposed: Any, slopes: np.ndarray) -> np.ndarray:
    """Sum the rows of X, in the precision of X, once for each row of weights."""
    slopes = slopes.astype(X_transposed.dtype, copy=False)
    if sparse.issparse(X_transposed):
        return np.asarray((X_transposed @ slopes.T).T, dtype=np.float64)
    return (slopes @ X_transposed.T).astype(np.float64, copy=False)


def with_first_class(scores: np.ndarray) -> np.ndarray:
    """Add the score 0 of the first of two classes, where there is one score only."""
    return np.vstack([np.zeros_like(scores), scores]) if len(scores) == 1 else scores
