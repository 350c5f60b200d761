"""Models of targets, and of the size of residuals of right targets."""

import numpy as np
from sklearn.base import clone

from skrobust.evidence._folds import make_value_folds
from skrobust.evidence._values import (
    ValueEvidence,
    collect_values_out_of_bag,
    collect_values_out_of_fold,
    default_regression_forest,
)
from skrobust.utils._input import is_plain_numeric
from skrobust.utils._random import draw_seed, draw_seeds, private_random_state

_TREES_FOR_NOISE = 100


class ForestModels:
    """Out-of-bag predictions of a forest."""

    smooth = True  # predicted squares are never negative

    def __init__(self, forest, data, n_jobs: int | None):
        self.forest, self.data, self.n_jobs = forest, data, n_jobs

    def predict(self, rows: np.ndarray) -> ValueEvidence:
        """Predict targets by models of some rows."""
        return self._collect(self.forest, self.data.y_train, rows)

    def predict_squares(self, squares: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, list]:
        """Predict squared residuals by models of some rows; also return these models."""
        n_trees = min(self.forest.n_estimators, _TREES_FOR_NOISE)
        forest = clone(self.forest).set_params(n_estimators=n_trees, criterion="squared_error")
        evidence = self._collect(forest, squares, rows)
        # A row that is in every bag of the fewer trees has the same noise as others.
        return np.nan_to_num(evidence.predictions), evidence.models

    def deviation(self, evidence: ValueEvidence, rows: np.ndarray) -> tuple[np.ndarray, list]:
        """Standard deviation of predictions, and lists of further models that it is based on."""
        return evidence.deviation, []

    def _collect(self, forest, y, rows) -> ValueEvidence:
        """Collect out-of-bag predictions."""
        return collect_values_out_of_bag(
            forest,
            self.data.X,
            y,
            rows,
            keys=self.data.y_train,
            sample_weight=self.data.sample_weight,
            n_jobs=self.n_jobs,
        )


class FoldModels:
    """Out-of-fold predictions of any regressor, with the methods of :class:`ForestModels`."""

    def __init__(
        self,
        estimator,
        data,
        *,
        cv,
        n_bootstrap,
        n_jobs,
        random_state,
        fit_params=None,
        weighted=True,
    ):
        self.estimator, self.data, self.n_jobs = estimator, data, n_jobs
        self.fit_params, self.weight = fit_params, data.sample_weight if weighted else None
        self.smooth = is_plain_numeric(data.X)
        self.noise = default_regression_forest(random_state=draw_seed(random_state))
        self.noise.set_params(n_estimators=_TREES_FOR_NOISE)
        rows = (data.X, data.y_train, data.used, data.groups)
        weight = data.sample_weight
        self.folds = make_value_folds(cv, *rows, sample_weight=weight)
        seeds = draw_seeds(random_state, n_bootstrap)
        self.halves = [
            make_value_folds(
                2, *rows, sample_weight=weight, random_state=private_random_state(seed)
            )
            for seed in seeds
        ]

    def predict(self, rows: np.ndarray) -> ValueEvidence:
        """Predict targets by models of some rows."""
        return self._collect(self.data.y_train, self.folds, rows)

    def predict_squares(self, squares: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, list]:
        """Predict squared residuals by models of some rows; also return these models."""
        if self.smooth and self.data.groups is None:
            return ForestModels(self.noise, self.data, self.n_jobs).predict_squares(squares, rows)
        if self.smooth:
            weight = self.data.sample_weight
            evidence = self._collect_by(self.noise, squares, self.folds, rows, None, weight)
        else:
            evidence = self._collect(squares, self.folds, rows)
        return np.nan_to_num(evidence.predictions), evidence.models

    def deviation(self, evidence: ValueEvidence, rows: np.ndarray) -> tuple[np.ndarray, list]:
        """Standard deviation of predictions, and lists of further models that it is based on."""
        others = [self._collect(self.data.y_train, halves, rows) for halves in self.halves]
        deviation = np.std([evidence.predictions, *(o.predictions for o in others)], axis=0)
        return np.nan_to_num(deviation), [other.models for other in others]

    def _collect(self, y, folds, rows) -> ValueEvidence:
        """Collect out-of-fold predictions of the regressor."""
        return self._collect_by(self.estimator, y, folds, rows, self.fit_params, self.weight)

    def _collect_by(self, estimator, y, folds, rows, fit_params, weight) -> ValueEvidence:
        """Collect out-of-fold predictions."""
        # Folds stay as they are: rows that are not learned from are predicted all the same.
        kept = [(train[rows[train]], test) for train, test in folds]
        return collect_values_out_of_fold(
            estimator,
            self.data.X,
            y,
            [(train, test) for train, test in kept if len(train)],
            np.flatnonzero(~self.data.used),
            sample_weight=weight,
            fit_params=fit_params,
            n_jobs=self.n_jobs,
        )
