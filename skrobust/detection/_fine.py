"""FINE scores: agreement of a row with the main direction of its class."""

import numpy as np
from scipy import sparse
from sklearn.utils import indexable

from skrobust.base import LabelledData
from skrobust.evidence._neighbors import SCALES, ColumnScaler, read_numbers
from skrobust.utils._typing import LabelsLike, MatrixLike


def fine_scores(
    X: MatrixLike, y: LabelsLike, *, scale: str | None = "rank", contrast: bool = True
) -> np.ndarray:
    """FINE scores of labels, by the main direction of the rows that share them.

    Rows are scaled to length one. The first singular vector of the rows of a class is the
    direction of most of them, even if some labels are wrong; a row of another direction is
    suspicious.

    .. versionadded:: 0.1

    Parameters
    ----------
    X : {array-like, sparse matrix, DataFrame} of shape (n_samples, n_features)
        Numbers, none missing; made for embeddings.
    y : array-like of shape (n_samples,)
        Given labels. Rows without a label take no part.
    scale : {"rank", "standard"} or None, default="rank"
        How columns are scaled first: "rank" replaces values by the share of rows with lower
        ones, "standard" makes mean 0 and standard deviation 1, None takes columns as they are,
        which sparse tables of more than 100 columns need.
    contrast : bool, default=True
        Compare with the other classes: the score is (1 + a - b) / 2, where a is the squared
        cosine with the direction of the given class, and b the largest of those with the others.
        False is a alone, as in the paper, which ranks errors worse.

    Returns
    -------
    quality : ndarray of shape (n_samples,)
        In [0, 1]; NaN where the label is missing.

    Raises
    ------
    ValueError
        If there are fewer than two classes, X is not finite, or `scale` is unknown.

    See Also
    --------
    NeighborVote : Scores by neighbours, and mostly better.

    References
    ----------
    Kim, Ko, Choi and Yun (2021). FINE samples for learning with noisy labels. NeurIPS.

    Examples
    --------
    >>> from skrobust.detection import fine_scores
    >>> X = [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0]]
    >>> fine_scores(X, [0, 0, 0, 1, 1, 1, 0], scale=None).round(2)
    array([1., 1., 1., 1., 1., 1., 0.])
    """
    if scale not in (*SCALES, None):
        options = ", ".join(map(repr, SCALES))
        raise ValueError(f"scale must be one of {options} and None, got {scale!r}.")
    (X,) = indexable(X)
    data = LabelledData.from_arrays(X, y)
    X = read_numbers(X)
    if sparse.issparse(X) and scale is not None:
        raise ValueError(
            f"scale={scale!r} needs a dense table, and X is sparse and has {X.shape[1]} columns:"
            " pass scale=None."
        )
    X = ColumnScaler(scale).fit(X, data.used.astype(np.float64)).transform(X)
    directions = np.stack(
        [_main_direction(X[data.y == k]) for k in range(len(data.classes))], axis=1
    )
    cosines = np.square(np.asarray(_unit_length(X) @ directions))
    known = np.flatnonzero(data.y >= 0)
    quality = np.full(data.n_samples, np.nan)
    own = cosines[known, data.y[known]]
    cosines[known, data.y[known]] = -np.inf
    rest = cosines[known].max(axis=1)
    quality[known] = np.clip((1 + own - rest) / 2 if contrast else own, 0, 1)
    return quality


def _unit_length(X):
    """Scale rows to length one."""
    if sparse.issparse(X):
        norms = np.sqrt(np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64)).ravel()
        return sparse.diags(1 / np.where(norms > 0, norms, 1)) @ X
    norms = np.linalg.norm(X.astype(np.float64), axis=1, keepdims=True)
    return X / np.where(norms > 0, norms, 1)


def _main_direction(X) -> np.ndarray:
    """First right singular vector of rows of length one."""
    X = _unit_length(X)
    if X.shape[0] < X.shape[1]:
        products = X @ X.T
        products = products.toarray() if sparse.issparse(products) else products
        vector = X.T @ np.linalg.eigh(products)[1][:, -1]
        return vector / max(np.linalg.norm(vector), np.finfo(np.float64).tiny)
    products = X.T @ X
    products = products.toarray() if sparse.issparse(products) else products
    return np.linalg.eigh(products)[1][:, -1]
