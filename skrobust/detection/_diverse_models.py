"""The default models of EnsembleDetector, and those behind the first steps of a pipeline."""

import math

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from skrobust.detection._softmax_models import (
    MANY_COLUMNS,
    GaussianComponents,
    KernelLogisticRegression,
    QuadraticLogisticRegression,
    ScaledLogisticRegression,
    column_scale,
)
from skrobust.utils._rows import as_numbers, is_numeric
from skrobust.utils._sklearn import routing_enabled, safe_indexing

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
_FEWEST_TREES = 60
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
    """Number of trees by which each row is out of as many bags as if trees drew all rows."""
    drawn = min(MOST_DRAWN / n_samples, 1.0)
    return max(round(_N_TREES * np.exp(drawn - 1)), _FEWEST_TREES)


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
