"""What the linear models of this room have in common: validation, the solver, predictions."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skrobust.base import LabelledData
from skrobust.base._scoring import LabelledScore
from skrobust.linear_model._channel_loss import linear_scores, with_first_class
from skrobust.utils._sklearn import Interval

_DTYPES = (np.float64, np.float32)
# Derivatives of the mean loss that are no larger are zero up to rounding, in single precision.
_FLAT = 1e-5


class NoisyLinearClassifier(LabelledScore, ClassifierMixin, BaseEstimator):
    """Base class of linear models of true classes that are fitted to given labels.

    A subclass sets ``classes_``, ``coef_`` and ``intercept_`` in ``fit``; with two classes, these
    are about the second one.
    """

    _parameter_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="right")],
        "fit_intercept": ["boolean"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_data(self, X, y, verified_labels, sample_weight):
        """Validate what ``fit`` is given.

        Returns
        -------
        X : {ndarray, CSR matrix} of shape (n_samples, n_features)
            Numbers.
        data : LabelledData
            Labels and weights, with the rows as they came.
        """
        numbers = validate_data(self, X, accept_sparse="csr", dtype=_DTYPES)
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return numbers, data

    def _rows(self, X, data):
        """Take the rows to learn from: X, given labels, verified ones and weights."""
        columns = (X, data.y, data.verified, data.sample_weight)
        if data.used.all():
            return columns
        rows = np.flatnonzero(data.used)
        return tuple(None if column is None else column[rows] for column in columns)

    def _check_warm_start(self, X, data) -> bool:
        """Whether to go on from the last fit; refuse where that was about something else."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return False
        if not np.array_equal(self.classes_, data.classes):
            raise ValueError(
                f"warm_start=True goes on from a fit with the classes {self.classes_.tolist()},"
                f" but y has {data.classes.tolist()}: clone the estimator, or set it to False."
            )
        if self.coef_.shape[1] != X.shape[1]:
            raise ValueError(
                f"warm_start=True goes on from a fit with {self.coef_.shape[1]} features, but X"
                f" has {X.shape[1]}: clone the estimator, or set it to False."
            )
        return True

    def _minimize(self, loss, start):
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

    def _conclude(self, result) -> None:
        """Record how many iterations it took, and warn if they were not enough."""
        self.n_iter_ = int(result.nit)
        steepest = np.abs(result.jac).max()
        # Where rounding alone ends the search for a better point, there is none worth finding.
        if result.status == 1 or (result.status == 2 and steepest > max(self.tol, _FLAT)):
            warnings.warn(
                f"{type(self).__name__} did not converge in {result.nit} iterations"
                f" (max_iter={self.max_iter}): the largest derivative is {steepest:.2g}, tol is"
                f" {self.tol:g}. Scale the features, or raise max_iter.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _check_new(self, X):
        """Validate rows to predict."""
        check_is_fitted(self)
        return validate_data(self, X, accept_sparse="csr", dtype=_DTYPES, reset=False)

    def _linear_scores(self, X) -> np.ndarray:
        """Scores of shape (n_scores, n_samples): one row, of the second class, if there are two."""
        X = self._check_new(X)
        return linear_scores(X, self.coef_, self.intercept_)

    def decision_function(self, X):
        """Compute the scores of true classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Log-odds of ``classes_[1]`` where there are two classes; else logarithms of
            probabilities, up to a constant for each row.
        """
        scores = self._linear_scores(X)
        return scores[0] if len(self.classes_) == 2 else np.ascontiguousarray(scores.T)

    def predict(self, X):
        """Predict true classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        scores = self.decision_function(X)
        best = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X):
        """Predict probabilities of true classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        return softmax(with_first_class(self._linear_scores(X)), axis=0).T

    def predict_log_proba(self, X):
        """Predict logarithms of probabilities of true classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        return log_softmax(with_first_class(self._linear_scores(X)), axis=0).T
