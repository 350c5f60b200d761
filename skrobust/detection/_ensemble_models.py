"""Models of the default detector: those it chooses for an input, and fast ones of its own."""

import math

import numpy as np
from scipy import sparse
from scipy.linalg import cholesky, eigh, qr, solve_triangular
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from skrobust.utils._input import as_numbers, is_numeric, row_hashes
from skrobust.utils._sklearn import routing_enabled, safe_indexing
from skrobust.utils._weights import as_counts

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
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        if not weight.all():
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        # The penalty must not depend on the scale of weights that are no counts.
        weight = as_counts(weight, weight > 0)
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


NEIGHBORS = "neighbors"
"""Name of the votes of nearest neighbours."""
AUTO = "auto"
"""Name of the models of :func:`models_behind`."""

# With more rows there are forests only.
MANY_ROWS = 100_000
# Rows that suffice to grow a tree.
MOST_DRAWN = 10_000
# Some trees choose a split among half of the columns, or so many, but among more than others do.
_WIDE = 16
# A matrix with a smaller share of entries that are not zero is handled as a sparse one.
_FEW_FILLED = 0.05
_N_TREES = 100
_FEWEST_TREES = 50
# Behind a pipeline, neighbours are searched among all rows, in time that grows with their square.
_MANY_FOR_NEIGHBORS = 30_000


def same_container(X, mostly_zero: bool | None = None):
    """Hold a matrix that is nearly all zeros in a sparse container, and any other in an array."""
    # Models must not depend on the container of the input.
    if mostly_zero is None:
        values = as_numbers(X, np.float32)
        n_entries = values.shape[0] * values.shape[1]
        filled = values.count_nonzero() if sparse.issparse(values) else np.count_nonzero(values)
        mostly_zero = bool(filled < _FEW_FILLED * n_entries)
    if mostly_zero:
        return (X if sparse.issparse(X) else sparse.csr_matrix(as_numbers(X, np.float64))), True
    return (X.toarray() if sparse.issparse(X) else X), False


def default_models(X) -> list:
    """Models for a numeric array, not fitted, with the name of neighbours perhaps among them."""
    # Forests differ in the size of leaves and in the number of columns they choose from: what suits
    # depends on the data. Linear models and neighbours suit embeddings and text, and quadratic,
    # kernel and Gaussian models of principal components suit many dense columns.
    n_samples, n_features = X.shape if hasattr(X, "shape") else (len(X), len(X[0]))
    many = n_samples > MANY_ROWS
    common = {
        "n_estimators": _n_trees(n_samples),
        "bootstrap": True,
        "oob_score": True,
        # A share, because there are fewer rows in a fold, or if equal ones are merged.
        "max_samples": MOST_DRAWN / n_samples if n_samples > MOST_DRAWN else None,
    }
    wide = _n_wide_columns(n_features)
    # Forests that differ in the size of leaves only cost one fit.
    forests = [ExtraTreesClassifier(min_samples_leaf=m, **common) for m in (3, 8, 20)]
    if sparse.issparse(X):
        forests.append(RandomForestClassifier(min_samples_leaf=5, **common))
    else:
        forests += [
            ExtraTreesClassifier(min_samples_leaf=m, max_features=wide, **common)
            for m in (3, 10, 30)
        ]
    if many or _has_missing(X):
        others = []
    else:
        others = [ScaledLogisticRegression()]
        if n_features >= MANY_COLUMNS and not sparse.issparse(X):
            others += [
                QuadraticLogisticRegression(),
                KernelLogisticRegression(),
                GaussianComponents(),
            ]
    if routing_enabled():
        for model in forests + others:
            model.set_fit_request(sample_weight=True)
    return [*forests, NEIGHBORS, *others] if others else forests


def _n_trees(n_samples: int) -> int:
    """Number of trees: the fewer, the smaller the share of the rows that each draws."""
    drawn = min(MOST_DRAWN / n_samples, 1.0)
    return max(round(_N_TREES * drawn), _FEWEST_TREES)


def _n_wide_columns(n_features: int) -> int:
    """Number of columns among which some trees choose a split."""
    n_wide = max(min(math.ceil(n_features / 2), _WIDE), int(np.sqrt(n_features)) + 1)
    return min(n_wide, n_features)


def _has_missing(X) -> bool:
    """Whether a numeric array has a missing entry."""
    values = as_numbers(X, np.float32)
    return bool(np.isnan(values.data if sparse.issparse(values) else values).any())


def has_preprocessing(estimator) -> bool:
    """Whether an estimator is a pipeline with something before its last step."""
    return isinstance(estimator, Pipeline) and any(
        step not in (None, "passthrough") for _, step in estimator.steps[:-1]
    )


def models_behind(pipeline, data) -> list[Pipeline]:
    """Pipelines with the same first steps and other models behind them, not fitted."""
    # A linear model and neighbours, and forests where their input is dense: on sparse text they are
    # weak. None where the input is not numeric, or there are too many rows.
    rows = np.flatnonzero(data.used)
    if len(rows) > MANY_ROWS:
        return []
    before = clone(pipeline[:-1])
    matrix = before.fit_transform(safe_indexing(data.X, rows), data.classes[data.y_train[rows]])
    if not is_numeric(matrix) or 0 in matrix.shape:
        return []
    models = [ScaledLogisticRegression()]
    if len(rows) <= _MANY_FOR_NEIGHBORS:
        models.append(ScaledNeighbors())
    if not sparse.issparse(matrix):
        common = {"n_estimators": _N_TREES, "bootstrap": True}
        wide = _n_wide_columns(matrix.shape[1])
        models += [
            ExtraTreesClassifier(min_samples_leaf=3, **common),
            ExtraTreesClassifier(min_samples_leaf=10, max_features=wide, **common),
        ]
    if routing_enabled():
        for model in models:
            model.set_fit_request(sample_weight=True)
    if _has_missing(matrix):
        models = [make_pipeline(SimpleImputer(keep_empty_features=True), m) for m in models]
    last = pipeline.steps[-1][0]
    return [clone(pipeline).set_params(**{last: model}) for model in models]


class ScaledNeighbors(ClassifierMixin, BaseEstimator):
    """Vote of nearest neighbours, on standardised columns, or by the cosine where X is sparse."""

    def __init__(self, n_neighbors: int = 10):
        self.n_neighbors = n_neighbors

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X, y, sample_weight=None) -> "ScaledNeighbors":
        """Store the rows."""
        X, y = check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        weight = (
            np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        )
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._votes = np.zeros((len(y), len(self.classes_)))
        self._votes[np.arange(len(y)), codes] = weight
        self.center_, self.scale_ = column_scale(X, weight)
        cosine = sparse.issparse(X)
        self._index = NearestNeighbors(
            n_neighbors=min(self.n_neighbors, len(y)),
            metric="cosine" if cosine else "euclidean",
        ).fit(self._scaled(X))
        return self

    def _scaled(self, X):
        """Standardise dense columns."""
        return X if sparse.issparse(X) else (X - self.center_) / self.scale_

    def predict_proba(self, X) -> np.ndarray:
        """Predict the shares of the votes."""
        check_is_fitted(self)
        X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
        distances, rows = self._index.kneighbors(self._scaled(X))
        if self._index.metric == "cosine":
            # Rows with nothing in common have a small vote, so that there always is one.
            closeness = np.maximum(1 - distances, 1e-3)
        else:
            closeness = np.ones_like(distances)
        votes = np.einsum("ij,ijk->ik", closeness, self._votes[rows])
        total = votes.sum(axis=1, keepdims=True)
        share = np.full_like(votes, 1 / votes.shape[1])  # if all of them have no weight
        return np.divide(votes, total, out=share, where=total > 0)

    def predict(self, X) -> np.ndarray:
        """Predict labels."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
