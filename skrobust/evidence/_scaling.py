"""Columns on one scale, so that no column decides alone which rows are near."""

import numpy as np

SCALES = ("rank", "standard")

# Quantiles that stand for the distribution of a column.
_MAX_LANDMARKS = 1000


class ColumnScaler:
    """Puts the columns of a table on one scale."""

    def __init__(self, scale: str | None):
        self.scale = scale

    def fit(self, X: np.ndarray, mass: np.ndarray) -> "ColumnScaler":
        """Learn from some rows."""
        if self.scale is None:
            return self
        counts = mass > 0
        X, mass = (X, mass) if counts.all() else (X[counts], mass[counts])
        mass = mass / mass.sum()
        if self.scale == "standard":
            mean = np.array([mass @ column for column in X.T])
            spread = np.sqrt([mass @ (column - m) ** 2 for column, m in zip(X.T, mean)])
            # What is left of a constant column after subtraction is rounding.
            flat = spread <= 10 * np.finfo(X.dtype).eps * np.abs(mean)
            self.mean_, self.spread_ = mean, np.where(flat, np.inf, spread)
        else:
            self.landmarks_ = [_rank_landmarks(column, mass) for column in X.T]
        return self

    def transform(self, X: np.ndarray):
        """Scale rows."""
        if self.scale is None:
            return X.astype(np.float32, copy=False)
        scaled = np.empty(X.shape, dtype=np.float32)
        for j, column in enumerate(X.T):
            if self.scale == "standard":
                scaled[:, j] = (column - self.mean_[j]) / self.spread_[j]
            else:
                scaled[:, j] = np.interp(column, *self.landmarks_[j])
        return scaled


def _rank_landmarks(column, mass) -> tuple[np.ndarray, np.ndarray]:
    """Distinct values of a column, or some of them, and the rank of each."""
    values, group = np.unique(column, return_inverse=True)
    share = np.bincount(group, weights=mass)
    rank = np.cumsum(share) - share / 2
    if len(values) > _MAX_LANDMARKS:
        wanted = np.linspace(rank[0], rank[-1], _MAX_LANDMARKS)
        kept = np.unique(np.searchsorted(rank, wanted).clip(max=len(rank) - 1))
        values, rank = values[kept], rank[kept]
    return values, rank
