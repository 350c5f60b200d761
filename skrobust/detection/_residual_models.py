"""Models that predict targets, and how large residuals may be, of rows that they have not seen."""

import numpy as np
from sklearn.base import clone

from skrobust.evidence._values import (
    ValueEvidence,
    default_regression_forest,
    gather_values_out_of_bag,
    gather_values_out_of_fold,
    make_value_folds,
)
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._rows import is_plain_numeric

_TREES_FOR_NOISE = 100


class ForestModels:
    """Out-of-bag predictions of a forest.

    Attributes
    ----------
    smooth : bool
        Whether what predicts squares never predicts a negative one.
    """

    smooth = True

    def __init__(self, forest, data, n_jobs):
        self.forest, self.data, self.n_jobs = forest, data, n_jobs

    def predict(self, rows) -> ValueEvidence:
        """Predict targets by models of some rows."""
        return self._gather(self.forest, self.data.y_train, rows)

    def predict_squares(self, squares, rows):
        """Predict squared residuals; also return the models that do."""
        n_trees = min(self.forest.n_estimators, _TREES_FOR_NOISE)
        forest = clone(self.forest).set_params(n_estimators=n_trees, criterion="squared_error")
        evidence = self._gather(forest, squares, rows)
        # A row that is in every bag of the fewer trees has noise like any other.
        return np.nan_to_num(evidence.predictions), evidence.estimators

    def spread(self, evidence, rows):
        """How much predictions differ, and lists of further models that tell."""
        return evidence.spread, []

    def _gather(self, forest, y, rows):
        return gather_values_out_of_bag(
            forest,
            self.data.X,
            y,
            rows,
            keys=self.data.y_train,
            sample_weight=self.data.sample_weight,
            n_jobs=self.n_jobs,
        )


class FoldModels:
    """Out-of-fold predictions of any regressor; methods as of :class:`ForestModels`."""

    def __init__(
        self, estimator, data, *, cv, n_bootstrap, fit_params, weight, n_jobs, random_state
    ):
        self.estimator, self.data, self.n_jobs = estimator, data, n_jobs
        self.fit_params, self.weight = fit_params, weight
        self.smooth = is_plain_numeric(data.X)
        self.noise = default_regression_forest(random_state=draw_seed(random_state))
        self.noise.set_params(n_estimators=_TREES_FOR_NOISE)
        rows = (data.X, data.y_train, data.used, data.groups)
        mass = data.sample_weight
        self.folds = make_value_folds(cv, *rows, sample_weight=mass)
        seeds = [draw_seed(random_state) for _ in range(n_bootstrap)]
        self.halves = [
            make_value_folds(2, *rows, sample_weight=mass, random_state=private_random_state(seed))
            for seed in seeds
        ]

    def predict(self, rows):
        return self._gather(self.data.y_train, self.folds, rows)

    def predict_squares(self, squares, rows):
        if self.smooth and self.data.groups is None:
            return ForestModels(self.noise, self.data, self.n_jobs).predict_squares(squares, rows)
        if self.smooth:
            evidence = self._gather_of(
                self.noise, squares, self.folds, rows, None, self.data.sample_weight
            )
        else:
            evidence = self._gather(squares, self.folds, rows)
        return np.nan_to_num(evidence.predictions), evidence.estimators

    def spread(self, evidence, rows):
        others = [self._gather(self.data.y_train, halves, rows) for halves in self.halves]
        spread = np.std([evidence.predictions, *(o.predictions for o in others)], axis=0)
        return np.nan_to_num(spread), [other.estimators for other in others]

    def _gather(self, y, folds, rows):
        return self._gather_of(self.estimator, y, folds, rows, self.fit_params, self.weight)

    def _gather_of(self, estimator, y, folds, rows, fit_params, weight) -> ValueEvidence:
        # Folds stay as they are: rows that are not learned from are predicted all the same.
        kept = [(train[rows[train]], test) for train, test in folds]
        return gather_values_out_of_fold(
            estimator,
            self.data.X,
            y,
            [(train, test) for train, test in kept if len(train)],
            np.flatnonzero(~self.data.used),
            sample_weight=weight,
            fit_params=fit_params,
            n_jobs=self.n_jobs,
        )
