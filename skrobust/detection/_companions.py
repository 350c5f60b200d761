"""Unlike models in the place of a pipeline's last step, to judge labels beside it.

Input that is no table of numbers, such as text, is judged by the user's own pipeline. What it
makes of the input is a table of numbers all the same, which other models can look at.
"""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.impute import SimpleImputer
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from skrobust.detection._ensemble_members import (
    MANY_ROWS,
    n_wide_columns,
)
from skrobust.detection._softmax_models import ScaledLogisticRegression, column_scale
from skrobust.utils._rows import as_numbers, is_numeric
from skrobust.utils._sklearn import routing_enabled, safe_indexing

COMPANIONS = "companions"
"""Name that stands for the models of :func:`pipeline_companions`."""

# Neighbours are looked for among all rows, which takes time that grows with their square.
_MANY_FOR_NEIGHBORS = 30_000
_N_TREES = 100


def has_preprocessing(estimator) -> bool:
    """Whether an estimator is a pipeline with something before its last step."""
    return isinstance(estimator, Pipeline) and any(
        step not in (None, "passthrough") for _, step in estimator.steps[:-1]
    )


def pipeline_companions(pipeline, data) -> list[Pipeline]:
    """Put other models in the place of a pipeline's last step.

    A linear model and neighbours, and forests where the table is dense: on sparse text they are
    weak. The steps before are fitted once, to all rows, to see what comes out of them; to judge
    rows, each fold fits them anew.

    Parameters
    ----------
    pipeline : Pipeline
        Not fitted, with :func:`has_preprocessing`.
    data : LabelledData
        What it is to be fitted to.

    Returns
    -------
    companions : list of Pipeline
        Not fitted. Empty where something else than a table of numbers reaches the last step, or
        there are more than 100 000 rows.
    """
    rows = np.flatnonzero(data.used)
    if len(rows) > MANY_ROWS:
        return []
    before = clone(pipeline[:-1])
    table = before.fit_transform(safe_indexing(data.X, rows), data.classes[data.y_train[rows]])
    if not is_numeric(table) or 0 in table.shape:
        return []
    models = [ScaledLogisticRegression()]
    if len(rows) <= _MANY_FOR_NEIGHBORS:
        models.append(ScaledNeighbors())
    if not sparse.issparse(table):
        common = {"n_estimators": _N_TREES, "bootstrap": True}
        wide = n_wide_columns(table.shape[1])
        models += [
            ExtraTreesClassifier(min_samples_leaf=3, **common),
            ExtraTreesClassifier(min_samples_leaf=10, max_features=wide, **common),
        ]
    if routing_enabled():
        for model in models:
            model.set_fit_request(sample_weight=True)
    if np.isnan(_entries(table)).any():
        models = [make_pipeline(SimpleImputer(keep_empty_features=True), m) for m in models]
    last = pipeline.steps[-1][0]
    return [clone(pipeline).set_params(**{last: model}) for model in models]


def _entries(table) -> np.ndarray:
    values = as_numbers(table, np.float64)
    return values.data if sparse.issparse(values) else values


class ScaledNeighbors(ClassifierMixin, BaseEstimator):
    """A vote of nearest neighbours, on standardised columns, or by the cosine where X is sparse.

    Parameters
    ----------
    n_neighbors : int, default=10
        Number of neighbours, fewer if there are not so many rows.
    """

    def __init__(self, n_neighbors=10):
        self.n_neighbors = n_neighbors

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Keep the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Numbers.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the votes.

        Returns
        -------
        self : object
            Fitted classifier.
        """
        X, y = check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        mass = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._votes = np.zeros((len(y), len(self.classes_)))
        self._votes[np.arange(len(y)), codes] = mass
        self.center_, self.scale_ = column_scale(X, mass)
        cosine = sparse.issparse(X)
        self._index = NearestNeighbors(
            n_neighbors=min(self.n_neighbors, len(y)),
            metric="cosine" if cosine else "euclidean",
        ).fit(self._scaled(X))
        return self

    def _scaled(self, X):
        return X if sparse.issparse(X) else (X - self.center_) / self.scale_

    def predict_proba(self, X) -> np.ndarray:
        """Predict the shares of the votes.

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
        X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
        distances, rows = self._index.kneighbors(self._scaled(X))
        if self._index.metric == "cosine":
            # Nothing in common counts as next to nothing, so that somebody always votes.
            closeness = np.maximum(1 - distances, 1e-3)
        else:
            closeness = np.ones_like(distances)
        votes = np.einsum("ij,ijk->ik", closeness, self._votes[rows])
        total = votes.sum(axis=1, keepdims=True)
        share = np.full_like(votes, 1 / votes.shape[1])  # if all of them have no weight
        return np.divide(votes, total, out=share, where=total > 0)

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
