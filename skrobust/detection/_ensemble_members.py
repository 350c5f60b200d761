"""The models that judge labels where nobody names any: unlike ones, none of them easily fooled."""

import numpy as np
from scipy import sparse
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from skrobust.detection._softmax_models import (
    MANY_ALIKE,
    GaussianComponents,
    KernelLogisticRegression,
    QuadraticLogisticRegression,
    ScaledLogisticRegression,
)
from skrobust.utils._rows import as_numbers
from skrobust.utils._sklearn import routing_enabled

NEIGHBORS = "neighbors"
"""Name of the member that lets neighbours vote."""

# With more rows than this there are fewer trees, and forests only.
MANY_ROWS = 100_000
# More rows than this are not needed to grow a tree.
MOST_DRAWN = 10_000
# Columns among which trees with a wide choice look for a split; all, if there are fewer.
_WIDE = 32
# A table with a smaller share of entries that are not zero is handled as a sparse one.
_FEW_FILLED = 0.05
_N_TREES = 100
_N_TREES_OF_MANY_ROWS = 60


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

    Forests are read out of bag. They differ in the size of leaves, which is how smooth they are,
    and in how many columns they look at for a split: which is right depends on the data, and the
    likelihood of the given labels decides. A linear model and neighbours join
    them on embeddings and text, where forests are weak, as long as rows are not too many. So do
    a quadratic, a kernel and a Gaussian model of principal components where many columns are
    dense, as those of images and embeddings are.

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
        "max_samples": MOST_DRAWN / n_samples if n_samples > MOST_DRAWN else None,
    }
    wide = n_wide_columns(n_features)
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
        if n_features >= MANY_ALIKE and not sparse.issparse(X):
            others += [
                QuadraticLogisticRegression(),
                KernelLogisticRegression(),
                GaussianComponents(),
            ]
    if routing_enabled():
        for model in forests + others:
            model.set_fit_request(sample_weight=True)
    return [*forests, NEIGHBORS, *others] if others else forests


def n_wide_columns(n_features: int) -> int:
    """Number of columns among which trees with a wide choice look for a split."""
    return min(n_features, max(_WIDE, int(np.sqrt(n_features))))


def _has_missing(X) -> bool:
    values = as_numbers(X, np.float32)
    return bool(np.isnan(values.data if sparse.issparse(values) else values).any())
