"""Out-of-sample predictions of numeric targets."""

import dataclasses
import functools

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from skrobust.evidence._folds import check_two_blocks, divide_rows
from skrobust.evidence._out_of_bag import (
    MOST_ENTRIES,
    forest_input,
    grow_out_of_bag,
    has_out_of_bag,
    prepare_forest,
)
from skrobust.evidence._out_of_fold import fit_folds
from skrobust.utils._input import as_numbers, check_numeric, predict_column, row_hashes
from skrobust.utils._sklearn import num_samples, safe_indexing

_FORESTS = (ExtraTreesRegressor, RandomForestRegressor)


@dataclasses.dataclass(frozen=True, eq=False)
class ValueEvidence:
    """Out-of-sample predictions of targets, and the regressors that predict new rows."""

    predictions: np.ndarray  # (n_samples,), NaN where there is no prediction
    deviation: np.ndarray | None  # standard deviation over the trees of a forest
    models: list

    def predict(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Mean prediction for new rows, and its standard deviation over the trees of a forest."""
        return predict_mean(self.models, X)


def predict_mean(models: list, X) -> tuple[np.ndarray, np.ndarray]:
    """Mean prediction of models for new rows, and the deviation of trees if they are a forest."""
    if len(models) == 1 and isinstance(models[0], ValueTreeMean):
        return models[0].predict_with_deviation(X)
    predictions = sum(predict_values(model, X) for model in models) / len(models)
    return predictions, np.zeros(len(predictions))


def default_regression_forest(n_jobs: int | None = None, random_state=None) -> ExtraTreesRegressor:
    """Make the default model: 300 trees with random splits and leaves of at least five rows."""
    return ExtraTreesRegressor(
        300, min_samples_leaf=5, bootstrap=True, n_jobs=n_jobs, random_state=random_state
    )


def is_out_of_bag_regressor(estimator) -> bool:
    """Whether an estimator is a forest that was asked for out-of-bag estimates."""
    return has_out_of_bag(estimator, _FORESTS)


def collect_values_out_of_bag(
    forest,
    X,
    y: np.ndarray,
    used: np.ndarray,
    *,
    keys: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    n_jobs: int | None = None,
    random_state=None,
) -> ValueEvidence:
    """Predict each row by the trees of a forest that did not draw it, or a replicate of it."""
    # Rows with equal X and equal `keys` have equal targets, up to rounding.
    check_numeric(X, "A forest needs a numeric array: encode text and categories first.")
    forest = prepare_forest(forest, n_jobs, random_state)
    rows = np.flatnonzero(used)
    weight = None if sample_weight is None else sample_weight[rows]
    labels = np.unique((y if keys is None else keys)[rows], return_inverse=True)[1]
    # Replicates with equal targets are one entry of the bootstrap, with their total weight.
    parts = divide_rows(row_hashes(X)[rows], labels, weight, n_parts=MOST_ENTRIES, by_label=True)
    check_two_blocks(len(parts.first))
    target = np.empty(len(parts.label))
    target[parts.pair_of_row] = y[rows]
    pair_weight = np.bincount(parts.pair_of_row, weights=weight).astype(np.float64)
    entries = parts.share.tocoo()
    order = np.lexsort((parts.label[entries.row], entries.col))
    entry_pair = entries.row[order]
    X_distinct = as_numbers(safe_indexing(X, rows[parts.first]), np.float32)
    trees, total = grow_out_of_bag(
        forest,
        X_distinct,
        entries.col[order],
        np.ascontiguousarray(target[entry_pair], dtype=np.float64).reshape(-1, 1),
        pair_weight[entry_pair] * entries.data[order],
        functools.partial(Moments, X_distinct.shape[0]),
    )
    model = ValueTreeMean(trees)
    mean, deviation = total.mean_and_deviation()
    predictions, deviations = np.empty(num_samples(X)), np.empty(num_samples(X))
    predictions[rows], deviations[rows] = parts.per_row(mean), parts.per_row(deviation)
    others = np.flatnonzero(~used)
    if len(others):
        found = model.predict_with_deviation(safe_indexing(X, others))
        predictions[others], deviations[others] = found
    return ValueEvidence(predictions, deviations, [model])


class Moments:
    """Counts, means and squared deviations of predictions, added up without cancellation."""

    def __init__(self, n_rows: int):
        self.count = np.zeros(n_rows)
        self.mean = np.zeros(n_rows)
        self.squares = np.zeros(n_rows)

    def add(self, tree, X, rows) -> None:
        """Add the predictions of one tree for some rows of X."""
        self.count[rows] += 1
        values = tree.predict(X[rows], check_input=False)
        gap = values - self.mean[rows]
        self.mean[rows] += gap / self.count[rows]
        self.squares[rows] += gap * (values - self.mean[rows])

    def merge(self, other: "Moments") -> None:
        """Add the moments of other trees."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        gap = other.mean - self.mean
        self.squares += other.squares + gap**2 * self.count * share
        self.mean += gap * share
        self.count = count

    def mean_and_deviation(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations, NaN where no tree was added."""
        mean = np.where(self.count > 0, self.mean, np.nan)
        variance = np.divide(
            self.squares, self.count, out=np.full(len(mean), np.nan), where=self.count > 0
        )
        return mean, np.sqrt(variance)


class ValueTreeMean:
    """Mean prediction of regression trees."""

    def __init__(self, trees: list):
        self.trees = trees

    def predict_with_deviation(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the predictions of the trees."""
        X = forest_input(X)
        total = Moments(X.shape[0])
        for tree in self.trees:
            total.add(tree, X, slice(None))
        return total.mean_and_deviation()

    def predict(self, X) -> np.ndarray:
        """Mean of the predictions of the trees."""
        return self.predict_with_deviation(X)[0]


def collect_values_out_of_fold(
    estimator,
    X,
    y: np.ndarray,
    folds: list,
    extra: np.ndarray,
    *,
    sample_weight: np.ndarray | None = None,
    fit_params: dict | None = None,
    n_jobs: int | None = None,
) -> ValueEvidence:
    """Predict each row by a model that was fitted without its fold, and rows `extra` by all."""
    n_samples = num_samples(X)
    sums, counts, models = np.zeros(n_samples), np.zeros(n_samples), []
    fits = fit_folds(
        [estimator],
        X,
        y,
        folds,
        extra,
        predict_values,
        sample_weight=sample_weight,
        fit_params=fit_params,
        n_jobs=n_jobs,
    )
    for (_, test), ((model,), (predicted,)) in fits:
        rows = np.concatenate([test, extra])
        sums[rows] += predicted
        counts[rows] += 1
        models.append(model)
    predictions = np.divide(sums, counts, out=np.full(n_samples, np.nan), where=counts > 0)
    return ValueEvidence(predictions, None, models)


def predict_values(estimator, X) -> np.ndarray:
    """Predict one finite number per row."""
    values = np.asarray(predict_column(estimator, X))
    name = type(estimator).__name__
    if values.shape != (num_samples(X),) or values.dtype.kind not in "fiub":
        raise ValueError(
            f"{name}.predict returned {values.dtype} of shape {values.shape} for"
            f" {num_samples(X)} rows, not one number per row: a regressor is needed."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name}.predict returned NaN or infinite values.")
    return values.astype(np.float64)
