"""The models that judge labels where nobody names any: unlike ones, none of them easily fooled."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import check_is_fitted

from skrobust.utils._rows import as_numbers
from skrobust.utils._sklearn import routing_enabled

NEIGHBORS = "neighbors"
"""Name of the member that lets neighbours vote."""

# More rows than this are not needed to grow a tree, nor can all be afforded for the others.
MANY_ROWS = 100_000
# Columns among which trees with a wide choice look for a split; all, if there are fewer.
_WIDE = 32
# A table with a smaller share of entries that are not zero is handled as a sparse one.
_FEW_FILLED = 0.05
_N_TREES = 60
_N_TREES_OF_MANY_ROWS = 20


def same_container(X, mostly_zero: bool | None = None):
    """Hold a table that is nearly all zeros in a sparse matrix, and any other in an array.

    What judges a table must not depend on the container that it comes in.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        A table of numbers.
    mostly_zero : bool, default=None
        What was found of the rows that models were fitted to; None finds out.

    Returns
    -------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The same.
    mostly_zero : bool
        Whether it is nearly all zeros.
    """
    if mostly_zero is None:
        values = as_numbers(X, np.float32)
        n_entries = values.shape[0] * values.shape[1]
        filled = values.count_nonzero() if sparse.issparse(values) else np.count_nonzero(values)
        mostly_zero = bool(filled < _FEW_FILLED * n_entries)
    if mostly_zero:
        return (X if sparse.issparse(X) else sparse.csr_matrix(as_numbers(X, np.float64))), True
    return (X.toarray() if sparse.issparse(X) else X), False


def default_members(X) -> list:
    """Choose models by what X is like.

    Forests are judged out of bag, at one fit each. They differ in the size of leaves, which is
    how smooth they are, and in how many columns they look at for a split: which is right depends
    on the data, and the likelihood of the given labels tells. A linear model and neighbours join
    them on embeddings and text, where forests are weak, as long as rows are not too many.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        A table of numbers.

    Returns
    -------
    members : list
        Classifiers, not fitted, and perhaps the name of :data:`NEIGHBORS`.
    """
    n_samples, n_features = X.shape if hasattr(X, "shape") else (len(X), len(X[0]))
    many = n_samples > MANY_ROWS
    common = {
        "n_estimators": _N_TREES_OF_MANY_ROWS if many else _N_TREES,
        "bootstrap": True,
        "oob_score": True,
        # A share, because there are fewer rows in a fold, or if equal ones are merged.
        "max_samples": MANY_ROWS / n_samples if many else None,
    }
    wide = n_wide_columns(n_features)
    forests = [
        ExtraTreesClassifier(min_samples_leaf=3, **common),
        RandomForestClassifier(min_samples_leaf=5, **common),
    ]
    if not sparse.issparse(X):
        forests += [
            ExtraTreesClassifier(min_samples_leaf=20, **common),
            ExtraTreesClassifier(min_samples_leaf=3, max_features=wide, **common),
            ExtraTreesClassifier(min_samples_leaf=10, max_features=wide, **common),
        ]
    linear = [] if many or _has_missing(X) else [ScaledLogisticRegression()]
    if routing_enabled():
        for model in forests + linear:
            model.set_fit_request(sample_weight=True)
    return [*forests, NEIGHBORS, *linear] if linear else forests


def n_wide_columns(n_features: int) -> int:
    """Number of columns among which trees with a wide choice look for a split."""
    return min(n_features, max(_WIDE, int(np.sqrt(n_features))))


def _has_missing(X) -> bool:
    values = as_numbers(X, np.float32)
    return bool(np.isnan(values.data if sparse.issparse(values) else values).any())


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


class ScaledLogisticRegression(ClassifierMixin, BaseEstimator):
    """Logistic regression on standardised columns, where weights count in the scaling as well.

    Sparse columns are divided by their largest entry and not centred.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty.
    """

    def __init__(self, C=1.0):
        self.C = C

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X, y, sample_weight=None):
        """Scale and fit.

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
        X, y = check_X_y(X, y, accept_sparse="csr", dtype=[np.float64, np.float32])
        mass = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
        self.center_, self.scale_ = column_scale(X, mass)
        # Solved well enough for the order of rows not to matter.
        self.model_ = LogisticRegression(C=self.C, tol=1e-6, max_iter=3000)
        if len(np.unique(y)) == 1:  # as a fold may have it
            self.model_ = DummyClassifier()
        self.model_.fit(self._scaled(X), y, sample_weight=sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def _scaled(self, X):
        if sparse.issparse(X):
            return X.multiply(1 / self.scale_).tocsr()
        return (X - self.center_) / self.scale_

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
        X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32])
        return self.model_.predict_proba(self._scaled(X))

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
