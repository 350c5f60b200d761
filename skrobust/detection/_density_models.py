"""Classifier made of one density per class."""

import numpy as np
from scipy import sparse
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.neighbors import KernelDensity, NearestNeighbors

from skrobust.evidence._folds import row_ids
from skrobust.evidence._neighbors import ColumnScaler, read_numbers
from skrobust.utils._input import row_hashes

DENSITIES = ("gaussian_mixture", "kde", "neighbors")

_MAX_COMPONENTS = 3
# Minimum radius of a ball.
_LEAST_RADIUS = 1e-3
# Distinct rows per component of a mixture.
_ROWS_PER_COMPONENT = 50
_EM_STEPS = 50
# Share of a covariance that is replaced by the mean of its diagonal.
_SHRINKAGE = 0.05
_LEAST_VARIANCE = 1e-6
_KDE_ROWS = 20_000


class ClassDensities(ClassifierMixin, BaseEstimator):
    """Classifier by the densities and the frequencies of the classes; equal rows are merged."""

    def __init__(self, density: str, n_dimensions: int, random_state: int | None = None):
        self.density = density
        self.n_dimensions = n_dimensions
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit the densities."""
        self.classes_, codes = np.unique(y, return_inverse=True)
        weight = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight)
        hashes = row_hashes(X)
        _, first, unit = np.unique(hashes, return_index=True, return_inverse=True)
        distinct = np.unique(row_ids(hashes, codes, sample_weight), return_index=True)[1]
        n_distinct = np.bincount(codes[distinct], minlength=len(self.classes_))
        table = read_numbers(X)[first]
        row_weight = np.bincount(unit, weight)
        # Sparse tables are not centred.
        self.scaler_ = ColumnScaler(None if sparse.issparse(table) else "rank").fit(
            table, row_weight
        )
        table = self.scaler_.transform(table)
        self._fit_projection(table, row_weight)
        rows = self._project(table)
        n_classes = len(self.classes_)
        by_class = sparse.csr_matrix((weight, (unit, codes)), shape=(len(first), n_classes))
        totals = np.asarray(by_class.sum(axis=0)).ravel()
        self.log_prior_ = np.log(totals / totals.sum())
        self.densities_ = []
        for k in range(n_classes):
            own = np.asarray(by_class[:, [k]].todense()).ravel()
            held = own > 0
            # On the scale of counts of rows, where copies are one.
            own = own[held] * (max(n_distinct[k], held.sum()) / own[held].sum())
            make = {"kde": _Kernels, "neighbors": _Balls}.get(self.density, _Mixture)
            self.densities_.append(make(rows[held], own, self.random_state))
        return self

    def _fit_projection(self, table, row_weight) -> None:
        self.mean_, self.axes_ = None, None
        if sparse.issparse(table):
            n_kept = min(self.n_dimensions, table.shape[1] - 1)
            svd = TruncatedSVD(n_kept, random_state=self.random_state)
            svd.fit(
                sparse.diags(np.sqrt(row_weight / row_weight.mean()).astype(np.float32)) @ table
            )
            self.axes_ = svd.components_.T
        elif table.shape[1] > self.n_dimensions:
            share = row_weight / row_weight.sum()
            self.mean_ = share @ table
            centred = table - self.mean_
            vectors = np.linalg.eigh((centred * share[:, None]).T @ centred)[1]
            self.axes_ = vectors[:, ::-1][:, : self.n_dimensions]

    def _project(self, table) -> np.ndarray:
        if self.axes_ is None:
            return table.astype(np.float64)
        return np.asarray((table if self.mean_ is None else table - self.mean_) @ self.axes_)

    def log_densities(self, X) -> np.ndarray:
        """Compute the logarithm of the density of each class."""
        rows = self._project(self.scaler_.transform(read_numbers(X)))
        logs = np.stack([density.log(rows) for density in self.densities_], axis=1)
        return logs / np.sqrt(rows.shape[1])

    def predict_proba(self, X) -> np.ndarray:
        """Compute the probability of each class."""
        logs = self.log_densities(X) + self.log_prior_
        return np.exp(logs - logsumexp(logs, axis=1, keepdims=True))

    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each row."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class _Mixture:
    """A mixture of a few Gaussians, fitted by expectation and maximisation, with weights."""

    def __init__(self, rows, row_weight, random_state):
        n_rows, n_columns = rows.shape
        # A covariance cannot be learned from fewer rows than it has columns.
        per_component = max(_ROWS_PER_COMPONENT, 5 * n_columns)
        n_components = int(np.clip(n_rows // per_component, 1, _MAX_COMPONENTS))
        resp = np.ones((n_rows, 1))
        if n_components > 1:
            means = KMeans(n_components, n_init=1, random_state=random_state)
            resp = np.eye(n_components)[means.fit(rows, sample_weight=row_weight).labels_]
        last = -np.inf
        for _ in range(_EM_STEPS):
            self._maximize(rows, row_weight, resp)
            logs = self._log_parts(rows)
            total = logsumexp(logs, axis=1)
            resp = np.exp(logs - total[:, None])
            level = row_weight @ total / row_weight.sum()
            if level - last < 1e-4:
                break
            last = level

    def _maximize(self, rows, row_weight, resp) -> None:
        weight = resp * row_weight[:, None]
        totals = np.maximum(weight.sum(axis=0), 1e-12)
        self.log_share = np.log(totals / totals.sum())
        self.means = (weight.T @ rows) / totals[:, None]
        n_columns = rows.shape[1]
        self.roots, self.log_norm = [], []
        for part, mean, total in zip(weight.T, self.means, totals, strict=True):
            centred = rows - mean
            cov = (centred * part[:, None]).T @ centred / total
            level = np.trace(cov) / n_columns
            # Few rows tell little about a covariance.
            shrink = max(_SHRINKAGE, n_columns / (n_columns + total))
            cov = (1 - shrink) * cov + (shrink * level + _LEAST_VARIANCE) * np.eye(n_columns)
            root = np.linalg.inv(np.linalg.cholesky(cov)).T
            self.roots.append(root)
            self.log_norm.append(np.log(np.diagonal(root)).sum())

    def _log_parts(self, rows) -> np.ndarray:
        parts = [
            norm - 0.5 * (np.square((rows - mean) @ root).sum(axis=1))
            for mean, root, norm in zip(self.means, self.roots, self.log_norm, strict=True)
        ]
        return np.stack(parts, axis=1) + self.log_share

    def log(self, rows) -> np.ndarray:
        return logsumexp(self._log_parts(rows), axis=1)


class _Kernels:
    """A sum of Gaussian kernels, of a width by Scott's rule."""

    def __init__(self, rows, row_weight, random_state):
        rows, row_weight = rows[:_KDE_ROWS], row_weight[:_KDE_ROWS]
        n_rows, n_columns = rows.shape
        share = row_weight / row_weight.sum()
        centred = rows - share @ rows
        spread = np.sqrt((share @ np.square(centred)).mean())
        width = max(spread, 1e-3) * n_rows ** (-1 / (n_columns + 4))
        self.kernels = KernelDensity(bandwidth=width).fit(rows, sample_weight=row_weight)

    def log(self, rows) -> np.ndarray:
        return self.kernels.score_samples(rows)


class _Balls:
    """One over the volume of the ball that holds the nearest rows."""

    def __init__(self, rows, row_weight, random_state):
        self.search = NearestNeighbors(n_neighbors=min(10, len(rows))).fit(rows)
        self.row_weight, self.total = row_weight, row_weight.sum()

    def log(self, rows) -> np.ndarray:
        distances, nearest = self.search.kneighbors(rows)
        row_weight = self.row_weight[nearest]
        before = np.cumsum(row_weight, axis=1) - row_weight
        counted = np.clip(10 - before, 0, row_weight)
        radius = np.maximum((counted * distances).sum(axis=1) / counted.sum(axis=1), _LEAST_RADIUS)
        # Where many rows have the value itself, they are what a density can count.
        held = np.maximum(
            counted.sum(axis=1), (row_weight * (distances <= _LEAST_RADIUS)).sum(axis=1)
        )
        return np.log(held / self.total) - rows.shape[1] * np.log(radius)
