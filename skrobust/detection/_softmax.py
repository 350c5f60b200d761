"""Multinomial logistic regression within a budget of computation, for the models of ensembles."""

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from skrobust.utils._parallel import one_blas_thread
from skrobust.utils._rows import row_hashes

# Multiplications of one pass over the data: about a tenth of a second on one core. The rows that
# this allows are enough for models of so few parameters.
BUDGET = 2e8
MIN_ROWS = 5_000
_MIN_ROWS_OF_CLASS = 50
# Passes over the data. The penalty makes most problems converge in fewer.
MAX_ITER = 100
TOLERANCE = 1e-3
_ROWS_PER_BLOCK = 8_192
_FLOATS = [np.float64, np.float32]


def fit_softmax(
    X, codes: np.ndarray, n_classes: int, *, mass: np.ndarray, C: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear softmax model with an L2 penalty by L-BFGS.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Features.
    codes : ndarray of shape (n_samples,)
        Labels, as integers.
    n_classes : int
        Number of classes.
    mass : ndarray of shape (n_samples,)
        Weights.
    C : float
        Inverse strength of the penalty, as of :class:`sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    coef : ndarray of shape (n_features, n_classes)
        Coefficients.
    intercept : ndarray of shape (n_classes,)
        Intercepts, not penalised.
    """
    n_features = X.shape[1]
    total = mass.sum()
    share = (mass / total)[:, None]
    target = np.zeros((len(codes), n_classes))
    target[np.arange(len(codes)), codes] = 1.0
    # Two classes have two vectors here, half as long as the one of the usual parametrisation.
    penalty = (2.0 if n_classes == 2 else 1.0) / (C * total)

    def loss(flat):
        coef = flat.reshape(n_features + 1, n_classes)
        log_proba = log_softmax(X @ coef[:-1] + coef[-1], axis=1)
        value = -(share * target * log_proba).sum() + 0.5 * penalty * (coef[:-1] ** 2).sum()
        error = share * (np.exp(log_proba) - target)
        gradient = np.empty_like(coef)
        gradient[:-1] = X.T @ error + penalty * coef[:-1]
        gradient[-1] = error.sum(axis=0)
        return value, gradient.ravel()

    start = np.zeros((n_features + 1, n_classes))
    found = minimize(
        loss,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITER, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps},
    )
    coef = found.x.reshape(start.shape)
    return coef[:-1], coef[-1]


class SoftmaxClassifier(ClassifierMixin, BaseEstimator):
    """Base class of softmax models on features that are made of numeric columns.

    A subclass implements ``_fit_features(X, mass, hashes, budget)``, which learns how features
    are made and returns `C`, and ``_features(X)``; or else ``_fit_margins`` and ``_margins``.
    Where rows are more than the budget allows, those with the smallest hashes are used, so that
    the order of rows does not matter.
    """

    _accepts_sparse = False
    _max_rows = np.inf

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accepts_sparse
        return tags

    def fit(self, X, y, sample_weight=None):
        """Fit features and coefficients.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            Fitted classifier.
        """
        X, y = check_X_y(X, y, accept_sparse=self._formats(), dtype=_FLOATS)
        mass = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        if not mass.all():
            X, y, mass = X[mass > 0], y[mass > 0], mass[mass > 0]
        self.classes_, codes = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        self.n_features_in_ = X.shape[1]
        if n_classes == 1:  # as a fold may have it
            return self
        with one_blas_thread():
            rows = _rows_in_budget(X, codes, mass, n_classes, self._max_rows)
            self._fit_margins(*rows, n_classes)
        return self

    def _fit_margins(self, X, codes, mass, hashes, n_classes: int) -> None:
        """Learn what ``_margins`` computes: logarithms of probabilities, up to a constant."""
        n_rows = len(np.unique(hashes))
        C = self._fit_features(X, mass, hashes, BUDGET / (n_rows * n_classes))
        self.coef_, self.intercept_ = fit_softmax(
            self._features(X), codes, n_classes, mass=mass, C=C
        )

    def _margins(self, X) -> np.ndarray:
        return self._features(X) @ self.coef_ + self.intercept_

    def _formats(self) -> str | bool:
        return "csr" if self._accepts_sparse else False

    def predict_proba(self, X) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers.

        Returns
        -------
        pred_proba : ndarray of shape (n_samples, n_classes)
            Probabilities.
        """
        check_is_fitted(self)
        X = check_array(X, accept_sparse=self._formats(), dtype=_FLOATS)
        proba = np.ones((X.shape[0], len(self.classes_)))
        if len(self.classes_) > 1:
            with one_blas_thread():
                for start in range(0, X.shape[0], _ROWS_PER_BLOCK):
                    block = slice(start, start + _ROWS_PER_BLOCK)
                    proba[block] = softmax(self._margins(X[block]), axis=1)
        return proba

    def predict(self, X) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Labels.
        """
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _rows_in_budget(X, codes, mass, n_classes, max_rows) -> tuple:
    """Leave out rows that the budget does not allow, of each class the same share."""
    hashes = row_hashes(X)
    per_row = X.nnz / X.shape[0] if sparse.issparse(X) else X.shape[1]
    n_rows = min(max(MIN_ROWS, BUDGET / max(per_row * n_classes, 1)), max_rows)
    share = n_rows / len(np.unique(hashes))
    if share >= 1:
        return X, codes, mass, hashes
    kept = np.zeros(len(codes), dtype=bool)
    for k in range(n_classes):
        rows = np.flatnonzero(codes == k)
        distinct = np.unique(hashes[rows])
        n_kept = min(max(int(share * len(distinct)), _MIN_ROWS_OF_CLASS), len(distinct))
        kept[rows[hashes[rows] <= distinct[n_kept - 1]]] = True
    return X[kept], codes[kept], mass[kept], hashes[kept]
