"""Kernels by which the calibration on verified labels compares rows: by predictions, or by X."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from skrobust.utils._rows import as_numbers, is_numeric
from skrobust.utils._sklearn import num_samples

# More columns, as those of words, are compared by the direction of rows only.
_MAX_RANKED = 1024
_N_LEVELS = 129
_N_AXES = 100


class RowKernel(ABC):
    """Similarity of rows to verified rows."""

    def fit(self, source, rows, weight) -> RowKernel:
        """Store the verified rows, with which others are compared."""
        self._learn(source, weight)
        prepared = self.prepare(source)
        self.verified = prepared[rows]
        self._scale(prepared, weight)
        return self

    def _learn(self, source, weight) -> None:  # noqa: B027 - most kernels need not
        """Learn how to prepare rows."""

    def _scale(self, prepared, weight) -> None:  # noqa: B027 - most kernels need not
        """Learn which distance is large."""

    @abstractmethod
    def prepare(self, source):
        """Bring rows into the form in which they are compared, indexable by row numbers."""

    @abstractmethod
    def compare(self, prepared, rows) -> np.ndarray:
        """Similarity of some rows to the verified ones, positive definite and about 1 at most."""


class ProbaKernel(RowKernel):
    """Similarity by predicted probabilities: a Gaussian kernel of Hellinger's distance."""

    def prepare(self, source):
        """Return the probabilities."""
        return np.asarray(source)

    def compare(self, prepared, rows) -> np.ndarray:
        """Similarity that is 1/e where predictions overlap by nine tenths."""
        overlap = np.sqrt(prepared[rows]) @ np.sqrt(self.verified).T
        return np.exp((np.minimum(overlap, 1.0) - 1) / 0.1)


class FeatureKernel(RowKernel):
    """Similarity by other statistics of rows."""

    def _learn(self, source, weight) -> None:
        self._mean = np.average(source, axis=0, weights=weight)
        deviation = np.sqrt(np.average((source - self._mean) ** 2, axis=0, weights=weight))
        self._scale_of_columns = np.where(deviation > 0, deviation, 1.0) * np.sqrt(source.shape[1])

    def prepare(self, source):
        """Standardise the columns, so that the mean squared distance of rows is 2."""
        return (np.asarray(source, dtype=np.float64) - self._mean) / self._scale_of_columns

    def compare(self, prepared, rows) -> np.ndarray:
        """Gaussian similarity."""
        one, two = prepared[rows], self.verified
        squares = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1) - 2 * one @ two.T
        return np.exp(-np.maximum(squares, 0))


class InputKernel(RowKernel):
    """Similarity by X: numbers by rank, many columns and words by direction."""

    @staticmethod
    def can_compare(X) -> bool:
        """Whether X is a numeric feature matrix or a list of texts."""
        return _is_text(X) or is_numeric(X)

    def _learn(self, source, weight) -> None:
        self._words = self._axes = self._levels = None
        if _is_text(source):
            self._words = TfidfVectorizer(sublinear_tf=True, min_df=2)
            try:
                self._words.fit(source)
            except ValueError:  # no word occurs twice
                self._words = TfidfVectorizer(sublinear_tf=True, analyzer="char", lowercase=False)
                self._words.fit([*source, "-"])
        X = self._numbers(source)
        if X.shape[1] > _MAX_RANKED or self._words is not None:
            if min(X.shape) > 2 * _N_AXES:
                self._axes = TruncatedSVD(_N_AXES, algorithm="arpack", random_state=0)
                self._axes.fit(X[weight > 0])
            return
        X = X.toarray() if sparse.issparse(X) else X
        self._levels = [_levels(column, weight) for column in X.T]

    def _numbers(self, source):
        if self._words is not None:
            return self._words.transform(source)
        X = as_numbers(source, np.float64)
        if X.shape[1] > _MAX_RANKED and not sparse.issparse(X):
            X = np.nan_to_num(X, posinf=0.0, neginf=0.0)
        return X

    def prepare(self, source):
        """Rank the numbers of each column, or weight words, and scale rows to length one."""
        X = self._numbers(source)
        if self._levels is None:
            return normalize(X if self._axes is None else self._axes.transform(X))
        X = X.toarray() if sparse.issparse(X) else X
        ranks = np.empty(X.shape, dtype=np.float32)
        for j, (values, levels) in enumerate(self._levels):
            column = np.interp(X[:, j], values, levels)
            ranks[:, j] = np.where(np.isnan(column), 0.0, column)
        return normalize(ranks, copy=False)

    def _scale(self, prepared, weight) -> None:
        mean = np.asarray(prepared.T @ weight).ravel() / weight.sum()
        self._distance = max(2 - 2 * float(mean @ mean), 1e-6)

    def compare(self, prepared, rows) -> np.ndarray:
        """Sum of a linear and a Gaussian similarity of directions."""
        cosine = prepared[rows] @ self.verified.T
        cosine = np.clip(cosine.toarray() if sparse.issparse(cosine) else cosine, -1.0, 1.0)
        return cosine + np.exp((cosine - 1) / self._distance)


def _is_text(X) -> bool:
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype.kind not in "OU"):
        return False
    if not isinstance(X, (np.ndarray, list, tuple)) and not _is_series(X):
        return False
    return num_samples(X) > 0 and all(isinstance(value, str) for value in X)


def _is_series(X) -> bool:
    return hasattr(X, "to_list") and getattr(X, "ndim", 1) == 1 and not hasattr(X, "columns")


def _levels(column, weight) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column and their standardised ranks, at most `_N_LEVELS` of them."""
    known = np.isfinite(column) & (weight > 0)
    if not known.any():
        return np.zeros(1), np.zeros(1)
    values, place = np.unique(column[known], return_inverse=True)
    total_weight = np.bincount(place, weights=weight[known])
    total_weight /= total_weight.sum()
    ranks = np.cumsum(total_weight) - total_weight / 2 - 0.5
    deviation = np.sqrt(total_weight @ ranks**2)
    ranks /= deviation if deviation > 0 else 1.0
    if len(values) > _N_LEVELS:
        wanted = np.linspace(ranks[0], ranks[-1], _N_LEVELS)
        kept = np.unique(np.searchsorted(ranks, wanted).clip(0, len(ranks) - 1))
        values, ranks = values[kept], ranks[kept]
    return values, ranks
