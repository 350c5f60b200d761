"""Models of numeric features: linear, quadratic, with a radial kernel, and Gaussian classes."""

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, eigh, qr, solve_triangular

from skrobust.detection._softmax import SoftmaxClassifier

# So many dense columns are often pixels or an embedding: they share a unit, each tells little, and
# classes differ by how they interact.
MANY_ALIKE = 64
# More columns than this are not decomposed exactly.
_MANY_COLUMNS = 1_000
# Columns differ in unit where the largest scale is this many times the median one.
_MIXED_UNITS = 10
# Variance of the margin that the penalty of many standardised columns expects.
_EXPECTED_VARIANCE = 8.0


def column_scale(X, mass) -> tuple[np.ndarray | None, np.ndarray]:
    """Compute what columns are standardised by.

    Parameters
    ----------
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        Numbers.
    mass : ndarray of shape (n_samples,)
        Weights.

    Returns
    -------
    center : ndarray of shape (n_features,) or None
        Means; None for a sparse matrix, which is not centred.
    scale : ndarray of shape (n_features,)
        Standard deviations, or the largest entries of a sparse matrix; 1 for constant columns.
    """
    if sparse.issparse(X):
        center = None
        scale = np.asarray(abs(X[mass > 0]).max(axis=0).todense(), dtype=np.float64).ravel()
    else:
        center = np.average(X, axis=0, weights=mass)
        scale = np.sqrt(np.average((X - center) ** 2, axis=0, weights=mass))
    return center, np.where(scale > 1e-12 * (1 + np.abs(scale).max(initial=0)), scale, 1.0)


class ScaledLogisticRegression(SoftmaxClassifier):
    """Logistic regression on standardised columns, where weights count in the scaling as well.

    Sparse columns are divided by their largest entry and not centred.

    Parameters
    ----------
    C : float or None, default=None
        Inverse strength of the penalty. None is 1, and for at least 64 dense columns 8 divided by
        their number: the penalty then expects margins of the same variance for any number.
    """

    _accepts_sparse = True

    def __init__(self, C=None):
        self.C = C

    def _fit_features(self, X, mass, hashes, budget) -> float:
        self.center_, self.scale_ = column_scale(X, mass)
        if self.C is not None:
            return self.C
        alike = X.shape[1] >= MANY_ALIKE and not sparse.issparse(X)
        return _EXPECTED_VARIANCE / X.shape[1] if alike else 1.0

    def _features(self, X):
        if sparse.issparse(X):
            return X.multiply(1 / self.scale_).tocsr()
        return (X - self.center_) / self.scale_


class _ComponentModel(SoftmaxClassifier):
    """Base class of models of principal components."""

    _max_rows = 10_000  # features of all of these are held in memory

    def _fit_components(self, X, mass, n_components: int) -> np.ndarray:
        """Find the axes; return the variances along them."""
        self.center_, scale = column_scale(X, mass)
        # Pixels and embeddings share a unit, and small columns are noise. Other columns do not.
        varying = scale[np.ptp(X, axis=0) > 0]
        mixed = len(varying) > 0 and varying.max() > _MIXED_UNITS * np.median(varying)
        self.scale_ = scale if mixed else np.ones_like(scale)
        root = np.sqrt(mass / mass.sum())[:, None]
        variances, self.axes_ = principal_axes(
            root * ((X - self.center_) / self.scale_), n_components
        )
        return variances

    def _components(self, X) -> np.ndarray:
        return ((X - self.center_) / self.scale_) @ self.axes_


class QuadraticLogisticRegression(_ComponentModel):
    """Logistic regression on principal components and their products.

    Parameters
    ----------
    n_components : int, default=50
        Number of components, fewer where the budget allows no more.
    C : float, default=0.02
        Inverse strength of the penalty.
    """

    def __init__(self, n_components=50, C=0.02):
        self.n_components = n_components
        self.C = C

    def _fit_features(self, X, mass, hashes, budget) -> float:
        # k components make k (k + 3) / 2 features.
        affordable = int((np.sqrt(9 + 8 * budget) - 3) / 2)
        n_components = min(max(affordable, 5), self.n_components)
        variances = self._fit_components(X, mass, n_components)
        self.left_, self.right_ = np.triu_indices(len(variances))
        self.unit_ = np.sqrt(max(variances.max(), np.finfo(float).tiny))
        self.mean_, self.deviation_ = 0.0, 1.0
        self.mean_, self.deviation_ = column_scale(self._features(X), mass)
        return self.C

    def _features(self, X) -> np.ndarray:
        parts = self._components(X) / self.unit_
        products = parts[:, self.left_] * parts[:, self.right_]
        return (np.hstack([parts, products]) - self.mean_) / self.deviation_


class KernelLogisticRegression(_ComponentModel):
    """Kernel logistic regression with a radial basis function, by the Nystroem approximation.

    The landmarks are the distinct rows with the smallest hashes: a random sample that does not
    depend on the order of rows.

    Parameters
    ----------
    n_components : int, default=100
        Number of principal components between which distances are measured.
    n_landmarks : int, default=250
        Number of landmarks, fewer where the budget allows no more.
    gamma : float, default=2.0
        Inverse of the squared width of the kernel, for rows whose mean squared distance is 1.
    C : float, default=10.0
        Inverse strength of the penalty.
    """

    def __init__(self, n_components=100, n_landmarks=250, gamma=2.0, C=10.0):
        self.n_components = n_components
        self.n_landmarks = n_landmarks
        self.gamma = gamma
        self.C = C

    def _fit_features(self, X, mass, hashes, budget) -> float:
        variances = self._fit_components(X, mass, self.n_components)
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
    """Quadratic discriminant analysis on principal components.

    The covariance of each class is shrunk towards that of all classes and towards a sphere.

    Parameters
    ----------
    n_components : int, default=50
        Number of components.
    shrinkage : float, default=0.1
        Share of each of the two covariances that a class is shrunk to.
    temperature : float, default=2.0
        Divides log-densities. Above 1, it makes up for tails that are heavier than Gaussian,
        without which the predictions are too confident.
    """

    def __init__(self, n_components=50, shrinkage=0.1, temperature=2.0):
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.temperature = temperature

    def _fit_margins(self, X, codes, mass, hashes, n_classes: int) -> None:
        self._fit_components(X, mass, self.n_components)
        parts = self._components(X)
        n_components = parts.shape[1]
        target = np.zeros((len(codes), n_classes))
        target[np.arange(len(codes)), codes] = mass
        total = target.sum(axis=0)
        self.means_ = target.T @ parts / total[:, None]
        parts -= self.means_[codes]
        pooled = (mass[:, None] * parts).T @ parts / mass.sum()
        variance = np.trace(pooled) / n_components or 1.0
        prior = self.shrinkage * (pooled + variance * np.eye(n_components))
        self.whitening_ = np.empty((n_classes, n_components, n_components))
        self.offsets_ = np.empty(n_classes)
        for k in range(n_classes):
            rows = codes == k
            own = (mass[rows, None] * parts[rows]).T @ parts[rows] / total[k]
            root = cholesky((1 - 2 * self.shrinkage) * own + prior, lower=True)
            self.whitening_[k] = solve_triangular(root, np.eye(n_components), lower=True).T
            self.offsets_[k] = np.log(total[k] / mass.sum()) - np.log(np.diag(root)).sum()

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
    """Find the eigenvectors of ``X.T @ X`` with the largest eigenvalues.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Centred rows. Their order does not matter.
    n_components : int
        Number of eigenvectors, at most.

    Returns
    -------
    values : ndarray of shape (n_components,)
        Eigenvalues, the largest first.
    vectors : ndarray of shape (n_features, n_components)
        Eigenvectors.
    """
    n_features = X.shape[1]
    n_components = min(n_components, n_features)
    if n_features <= _MANY_COLUMNS:
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
