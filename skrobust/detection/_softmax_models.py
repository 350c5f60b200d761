"""Softmax models of ensembles: linear, quadratic and kernel regression, and Gaussian classes."""

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, eigh, qr, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from skrobust.utils._rows import row_hashes

# Multiplications of one pass over the data, about a tenth of a second on one core: the rows that it
# allows suffice for models of so few parameters.
BUDGET = 2e8
MIN_ROWS = 5_000
_MIN_ROWS_OF_CLASS = 50
# Passes over the data. The penalty makes most problems converge in fewer.
MAX_ITER = 100
TOLERANCE = 1e-3
_ROWS_PER_BLOCK = 8_192
_FLOATS = [np.float64, np.float32]
# So many dense columns are often pixels or an embedding: they share a unit, each carries little
# information, and classes differ by their interactions.
MANY_COLUMNS = 64
# More columns than this are not decomposed exactly.
_EXACT_COLUMNS = 1_000
# Columns differ in unit where the largest scale is this many times the median one.
_MIXED_UNITS = 10
# Variance of the margin that the penalty of many standardised columns expects.
_EXPECTED_VARIANCE = 8.0


def fit_softmax(
    X, codes: np.ndarray, n_classes: int, *, weight: np.ndarray, C: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear softmax model with an L2 penalty by L-BFGS."""
    n_features = X.shape[1]
    total = weight.sum()
    share = (weight / total)[:, None]
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
    """Base class of softmax models on features that are made of numeric columns."""

    # A subclass implements ``_fit_features(X, weight, hashes, budget)``, which learns how features
    # are made and returns `C`, and ``_features(X)``; or ``_fit_margins`` and ``_margins``.

    _accepts_sparse = False
    _max_rows = np.inf

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._accepts_sparse
        return tags

    def fit(self, X, y, sample_weight=None):
        """Fit features and coefficients."""
        X, y = check_X_y(X, y, accept_sparse=self._formats(), dtype=_FLOATS)
        weight = (
            np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        )
        if not weight.all():
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        self.classes_, codes = np.unique(y, return_inverse=True)
        n_classes = len(self.classes_)
        self.n_features_in_ = X.shape[1]
        if n_classes == 1:  # as a fold may have it
            return self
        rows = _rows_in_budget(X, codes, weight, n_classes, self._max_rows)
        self._fit_margins(*rows, n_classes)
        return self

    def _fit_margins(self, X, codes, weight, hashes, n_classes: int) -> None:
        """Fit what ``_margins`` computes: logarithms of probabilities, up to a constant."""
        n_rows = len(np.unique(hashes))
        C = self._fit_features(X, weight, hashes, BUDGET / (n_rows * n_classes))
        self.coef_, self.intercept_ = fit_softmax(
            self._features(X), codes, n_classes, weight=weight, C=C
        )

    def _margins(self, X) -> np.ndarray:
        return self._features(X) @ self.coef_ + self.intercept_

    def _formats(self) -> str | bool:
        return "csr" if self._accepts_sparse else False

    def predict_proba(self, X) -> np.ndarray:
        """Predict probabilities."""
        check_is_fitted(self)
        X = check_array(X, accept_sparse=self._formats(), dtype=_FLOATS)
        proba = np.ones((X.shape[0], len(self.classes_)))
        if len(self.classes_) > 1:
            for start in range(0, X.shape[0], _ROWS_PER_BLOCK):
                block = slice(start, start + _ROWS_PER_BLOCK)
                proba[block] = softmax(self._margins(X[block]), axis=1)
        return proba

    def predict(self, X) -> np.ndarray:
        """Predict labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _rows_in_budget(X, codes, weight, n_classes, max_rows) -> tuple:
    """Leave out rows that the budget does not allow, the same share of each class, by hashes."""
    hashes = row_hashes(X)
    per_row = X.nnz / X.shape[0] if sparse.issparse(X) else X.shape[1]
    n_rows = min(max(MIN_ROWS, BUDGET / max(per_row * n_classes, 1)), max_rows)
    share = n_rows / len(np.unique(hashes))
    if share >= 1:
        return X, codes, weight, hashes
    kept = np.zeros(len(codes), dtype=bool)
    for k in range(n_classes):
        rows = np.flatnonzero(codes == k)
        distinct = np.unique(hashes[rows])
        n_kept = min(max(int(share * len(distinct)), _MIN_ROWS_OF_CLASS), len(distinct))
        kept[rows[hashes[rows] <= distinct[n_kept - 1]]] = True
    return X[kept], codes[kept], weight[kept], hashes[kept]


def column_scale(X, weight: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Means (None for a sparse matrix) and scales of columns, 1 for constant ones."""
    if sparse.issparse(X):
        center = None
        scale = np.asarray(abs(X[weight > 0]).max(axis=0).todense(), dtype=np.float64).ravel()
    else:
        center = np.average(X, axis=0, weights=weight)
        scale = np.sqrt(np.average((X - center) ** 2, axis=0, weights=weight))
    return center, np.where(scale > 1e-12 * (1 + np.abs(scale).max(initial=0)), scale, 1.0)


class ScaledLogisticRegression(SoftmaxClassifier):
    """Logistic regression on standardised columns, where weights count in the scaling as well."""

    _accepts_sparse = True

    def __init__(self, C: float | None = None):
        self.C = C

    def _fit_features(self, X, weight, hashes, budget) -> float:
        self.center_, self.scale_ = column_scale(X, weight)
        if self.C is not None:
            return self.C
        many_dense = X.shape[1] >= MANY_COLUMNS and not sparse.issparse(X)
        return _EXPECTED_VARIANCE / X.shape[1] if many_dense else 1.0

    def _features(self, X):
        if sparse.issparse(X):
            return X.multiply(1 / self.scale_).tocsr()
        return (X - self.center_) / self.scale_


class _ComponentModel(SoftmaxClassifier):
    """Base class of models of principal components."""

    _max_rows = 10_000  # the features of all of these are held in memory

    def _fit_components(self, X, weight, n_components: int) -> np.ndarray:
        """Find the axes; return the variances along them."""
        self.center_, scale = column_scale(X, weight)
        # Pixels and embeddings share a unit, and small columns are noise; other columns do not.
        varying = scale[np.ptp(X, axis=0) > 0]
        mixed = len(varying) > 0 and varying.max() > _MIXED_UNITS * np.median(varying)
        self.scale_ = scale if mixed else np.ones_like(scale)
        root = np.sqrt(weight / weight.sum())[:, None]
        variances, self.axes_ = principal_axes(
            root * ((X - self.center_) / self.scale_), n_components
        )
        return variances

    def _components(self, X) -> np.ndarray:
        return ((X - self.center_) / self.scale_) @ self.axes_


class QuadraticLogisticRegression(_ComponentModel):
    """Logistic regression on principal components and their products."""

    def __init__(self, n_components: int = 50, C: float = 0.02):
        self.n_components = n_components
        self.C = C

    def _fit_features(self, X, weight, hashes, budget) -> float:
        # k components make k (k + 3) / 2 features.
        affordable = int((np.sqrt(9 + 8 * budget) - 3) / 2)
        n_components = min(max(affordable, 5), self.n_components)
        variances = self._fit_components(X, weight, n_components)
        self.left_, self.right_ = np.triu_indices(len(variances))
        self.unit_ = np.sqrt(max(variances.max(), np.finfo(float).tiny))
        self.mean_, self.deviation_ = 0.0, 1.0
        self.mean_, self.deviation_ = column_scale(self._features(X), weight)
        return self.C

    def _features(self, X) -> np.ndarray:
        parts = self._components(X) / self.unit_
        products = parts[:, self.left_] * parts[:, self.right_]
        return (np.hstack([parts, products]) - self.mean_) / self.deviation_


class KernelLogisticRegression(_ComponentModel):
    """Kernel logistic regression with a radial basis function, by the Nystroem approximation."""

    def __init__(
        self, n_components: int = 100, n_landmarks: int = 250, gamma: float = 2.0, C: float = 10.0
    ):
        self.n_components = n_components
        self.n_landmarks = n_landmarks
        self.gamma = gamma
        self.C = C

    def _fit_features(self, X, weight, hashes, budget) -> float:
        variances = self._fit_components(X, weight, self.n_components)
        spread = max(2 * variances.sum(), np.finfo(float).tiny)
        self.width_ = np.sqrt(self.gamma / spread)
        n_landmarks = min(max(int(budget), 50), self.n_landmarks)
        first = np.unique(hashes, return_index=True)[1][:n_landmarks]
        self.landmarks_ = self._components(X[first]) * self.width_
        values, vectors = eigh(_radial(self.landmarks_, self.landmarks_))
        kept = values > 1e-8 * values[-1]
        self.projection_ = vectors[:, kept] / np.sqrt(values[kept])
        return self.C

    def _features(self, X) -> np.ndarray:
        return _radial(self._components(X) * self.width_, self.landmarks_) @ self.projection_


class GaussianComponents(_ComponentModel):
    """Quadratic discriminant analysis on principal components."""

    def __init__(self, n_components: int = 50, shrinkage: float = 0.1, temperature: float = 2.0):
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.temperature = temperature

    def _fit_margins(self, X, codes, weight, hashes, n_classes: int) -> None:
        self._fit_components(X, weight, self.n_components)
        parts = self._components(X)
        n_components = parts.shape[1]
        target = np.zeros((len(codes), n_classes))
        target[np.arange(len(codes)), codes] = weight
        total = target.sum(axis=0)
        self.means_ = target.T @ parts / total[:, None]
        parts -= self.means_[codes]
        pooled = (weight[:, None] * parts).T @ parts / weight.sum()
        variance = np.trace(pooled) / n_components or 1.0
        prior = self.shrinkage * (pooled + variance * np.eye(n_components))
        self.whitening_ = np.empty((n_classes, n_components, n_components))
        self.offsets_ = np.empty(n_classes)
        for k in range(n_classes):
            rows = codes == k
            own = (weight[rows, None] * parts[rows]).T @ parts[rows] / total[k]
            root = cholesky((1 - 2 * self.shrinkage) * own + prior, lower=True)
            self.whitening_[k] = solve_triangular(root, np.eye(n_components), lower=True).T
            self.offsets_[k] = np.log(total[k] / weight.sum()) - np.log(np.diag(root)).sum()

    def _margins(self, X) -> np.ndarray:
        parts = self._components(X)
        margins = np.empty((len(parts), len(self.classes_)))
        for k, (mean, whitening) in enumerate(zip(self.means_, self.whitening_, strict=True)):
            margins[:, k] = self.offsets_[k] - 0.5 * (((parts - mean) @ whitening) ** 2).sum(axis=1)
        return margins / self.temperature


def _radial(rows: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The radial basis function of squared distances."""
    squared = (rows**2).sum(axis=1)[:, None] + (landmarks**2).sum(axis=1) - 2 * rows @ landmarks.T
    return np.exp(-np.maximum(squared, 0, out=squared), out=squared)


def principal_axes(X: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the eigenvectors of ``X.T @ X`` with the largest eigenvalues."""
    n_features = X.shape[1]
    n_components = min(n_components, n_features)
    if n_features <= _EXACT_COLUMNS:
        some = [n_features - n_components, n_features - 1]
        values, vectors = eigh(X.T @ X, subset_by_index=some)
    else:
        # Subspace iteration from a start that depends on the number of columns only.
        basis = np.random.RandomState(0).normal(size=(n_features, n_components + 20))
        for _ in range(5):
            basis = qr(X.T @ (X @ basis), mode="economic")[0]
        values, vectors = eigh((X @ basis).T @ (X @ basis))
        values, vectors = values[-n_components:], basis @ vectors[:, -n_components:]
    return np.maximum(values[::-1], 0), vectors[:, ::-1]
