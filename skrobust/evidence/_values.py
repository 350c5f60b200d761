"""What do models say about the targets of rows that they have not seen? Evidence for regression."""

import dataclasses

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.utils import assert_all_finite, check_random_state

from skrobust.evidence._copies import divide_rows
from skrobust.evidence._folds import make_folds, row_units
from skrobust.evidence._progress import track
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._predictions import predict_column
from skrobust.utils._random import draw_seed
from skrobust.utils._rows import as_numbers, check_numeric, row_hashes
from skrobust.utils._sklearn import num_samples, safe_indexing, validate_params_of
from skrobust.utils._weights import index_fit_params, weight_fit_params

# Trees judged in one task: enough tasks to share between threads, few enough to sum up.
_TREES_PER_TASK = 25
# Entries of the bootstrap for each pair of a common value and a target, at most.
_MOST_ENTRIES = 100
# These very classes: one derived from them may well draw its rows in another way.
_FORESTS = (ExtraTreesRegressor, RandomForestRegressor)
# Units this many times smaller than a fold are dealt without regard to their sizes.
_MANY_UNITS = 100


@dataclasses.dataclass(frozen=True)
class ValueEvidence:
    """Predictions of rows by models that did not learn from them, and those models."""

    predictions: np.ndarray
    spread: np.ndarray | None
    estimators: list


def default_regression_forest(n_jobs: int | None = None, random_state=None) -> ExtraTreesRegressor:
    """Make the forest that gives evidence where nothing else is asked for."""
    return ExtraTreesRegressor(
        300, min_samples_leaf=5, bootstrap=True, n_jobs=n_jobs, random_state=random_state
    )


def gives_out_of_bag_values(estimator) -> bool:
    """Whether an estimator is a forest that was asked for out-of-bag estimates."""
    return type(estimator) in _FORESTS and bool(estimator.bootstrap) and bool(estimator.oob_score)


def gather_values_out_of_bag(
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
    """Predict each row by the trees of a forest that did not draw it, or a copy of it."""
    check_numeric(X, "A forest needs a table of numbers: encode text and categories first.")
    validate_params_of(forest)
    forest = clone(forest)
    if forest.random_state is None:
        forest.set_params(random_state=draw_seed(random_state))
    if n_jobs is not None:
        forest.set_params(n_jobs=n_jobs)
    rows = np.flatnonzero(used)
    weight = None if sample_weight is None else sample_weight[rows]
    labels = np.unique((y if keys is None else keys)[rows], return_inverse=True)[1]
    # Copies with equal targets are one entry of the bootstrap, weighing their sum.
    parts = divide_rows(row_hashes(X)[rows], labels, weight, n_parts=_MOST_ENTRIES, by_label=True)
    check_two_units(len(parts.first))
    target = np.empty(len(parts.label))
    target[parts.pair_of_row] = y[rows]
    pair_weight = np.bincount(parts.pair_of_row, weights=weight).astype(np.float64)
    entries = parts.share.tocoo()
    order = np.lexsort((parts.label[entries.row], entries.col))
    entry_pair = entries.row[order]
    trees, mean, spread = _grow_and_judge(
        forest,
        as_numbers(safe_indexing(X, rows[parts.first]), np.float32),
        entries.col[order],
        target[entry_pair],
        pair_weight[entry_pair] * entries.data[order],
    )
    model = TreeMean(trees)
    predictions, spreads = np.empty(num_samples(X)), np.empty(num_samples(X))
    predictions[rows], spreads[rows] = parts.per_row(mean), parts.per_row(spread)
    others = np.flatnonzero(~used)
    if len(others):
        predictions[others], spreads[others] = model.predict_with_spread(safe_indexing(X, others))
    return ValueEvidence(predictions, spreads, [model])


class TreeMean:
    """Trees whose mean prediction judges new rows."""

    def __init__(self, trees):
        self.trees = trees

    def predict_with_spread(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the predictions of the trees."""
        X = as_numbers(X, np.float32)
        assert_all_finite(X.data if sparse.issparse(X) else X, allow_nan=True, input_name="X")
        total = _Moments(X.shape[0])
        for tree in self.trees:
            total.add(slice(None), tree.predict(X, check_input=False))
        return total.mean_and_spread()

    def predict(self, X) -> np.ndarray:
        """Return the mean of the predictions of the trees."""
        return self.predict_with_spread(X)[0]


class _Moments:
    """Counts, means and squared deviations of predictions, added up without cancellation."""

    def __init__(self, n_rows):
        self.count = np.zeros(n_rows)
        self.mean = np.zeros(n_rows)
        self.squares = np.zeros(n_rows)

    def add(self, rows, values) -> None:
        self.count[rows] += 1
        gap = values - self.mean[rows]
        self.mean[rows] += gap / self.count[rows]
        self.squares[rows] += gap * (values - self.mean[rows])

    def merge(self, other) -> None:
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        gap = other.mean - self.mean
        self.squares += other.squares + gap**2 * self.count * share
        self.mean += gap * share
        self.count = count

    def mean_and_spread(self) -> tuple[np.ndarray, np.ndarray]:
        mean = np.where(self.count > 0, self.mean, np.nan)
        variance = np.divide(
            self.squares, self.count, out=np.full(len(mean), np.nan), where=self.count > 0
        )
        return mean, np.sqrt(variance)


def _grow_and_judge(forest, X_units, entry_unit, values, weight):
    """Grow the trees of a forest, and average for each unit those that drew no entry of it."""
    n_units, n_entries = X_units.shape[0], len(values)
    X_entries = X_units if n_entries == n_units else X_units[entry_unit]
    # Trees need to look for missing values themselves, and otherwise nothing.
    given = X_entries.data if sparse.issparse(X_entries) else X_entries
    check_input = bool(np.isnan(given).any())
    assert_all_finite(given, allow_nan=check_input, estimator_name=type(forest).__name__)
    if sparse.issparse(X_entries) and not check_input:
        X_entries = X_entries.tocsc()
        X_entries.sort_indices()
    params = {name: getattr(forest, name) for name in forest.estimator_params}
    random_state = check_random_state(forest.random_state)
    trees = [
        clone(forest.estimator).set_params(
            **{**params, "random_state": random_state.randint(np.iinfo(np.int32).max)}
        )
        for _ in range(forest.n_estimators)
    ]
    n_drawn = forest.max_samples
    if n_drawn is None:
        n_drawn = n_entries
    elif not isinstance(n_drawn, (int, np.integer)):
        n_drawn = max(round(n_entries * n_drawn), 1)
    if np.ptp(weight) == 0:
        weight = np.ones(n_entries)
    column = np.ascontiguousarray(values, dtype=np.float64).reshape(-1, 1)

    def grow_some(some):
        moments = _Moments(n_units)
        for tree in some:
            drawn = check_random_state(tree.random_state).randint(0, n_entries, n_drawn)
            tree_weight = weight * np.bincount(drawn, minlength=n_entries)
            with config_context(skip_parameter_validation=True):
                tree.fit(X_entries, column, sample_weight=tree_weight, check_input=check_input)
            out = np.ones(n_units, dtype=bool)
            out[entry_unit[drawn]] = False
            rows = np.flatnonzero(out)
            if len(rows):
                moments.add(rows, tree.predict(X_units[rows], check_input=False))
        return moments

    tasks = [trees[i : i + _TREES_PER_TASK] for i in range(0, len(trees), _TREES_PER_TASK)]
    calls = (delayed(grow_some)(task) for task in tasks)
    jobs = stream(calls, n_jobs=forest.n_jobs, require="sharedmem")
    total = _Moments(n_units)
    for moments in track(jobs, len(tasks), "trees"):
        total.merge(moments)
    return trees, *total.mean_and_spread()


def make_value_folds(
    cv,
    X,
    y: np.ndarray,
    used: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    sample_weight: np.ndarray | None = None,
    random_state=None,
):
    """Split rows for regression."""
    if cv is not None and not isinstance(cv, (int, np.integer)):
        return make_folds(cv, X, y, np.where(used, 0, -1), used, groups)
    if cv is not None and cv < 2:
        raise ValueError(f"cv={cv!r} must be at least 2 folds.")
    rows = np.flatnonzero(used)
    X_used = X if used.all() else safe_indexing(X, rows)
    weight = None if sample_weight is None else sample_weight[rows]
    # An indicator matrix has a row of targets.
    axis = None if y.ndim == 1 else 0
    targets = np.unique(y[rows], axis=axis, return_inverse=True)[1].ravel()
    units = row_units(X_used, targets, None if groups is None else groups[rows], weight)
    sizes = np.bincount(units, weights=weight).astype(np.float64)
    check_two_units(len(sizes))
    n_folds = min(5 if cv is None else int(cv), len(sizes))
    order = np.arange(len(sizes)) if random_state is None else random_state.permutation(len(sizes))
    fold = np.empty(len(sizes), dtype=np.intp)
    if sizes.max() * n_folds * _MANY_UNITS <= sizes.sum() or np.ptp(sizes) == 0:
        fold[order] = np.arange(len(sizes)) % n_folds
    else:
        filled = np.zeros(n_folds)
        for unit in order[np.argsort(-sizes[order], kind="stable")]:
            fold[unit] = filled.argmin()
            filled[fold[unit]] += sizes[unit]
    fold = fold[units]
    return [(rows[fold != k], rows[fold == k]) for k in range(n_folds)]


def check_two_units(n_units: int) -> None:
    """Refuse rows of which no model can judge one by another."""
    if n_units < 2:
        raise ValueError(
            "At least two distinct rows (or groups of rows) with a target and a positive weight"
            f" are needed to judge one by another, found {n_units}: a minimum of 2 is required,"
            " 1 sample does not do."
        )


def gather_values_out_of_fold(
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
    """Predict each row by a model that was fitted without its fold."""
    weight_fit_params(estimator, sample_weight)  # may say no, before any work
    n_samples = num_samples(X)
    calls = (
        delayed(_fit_and_predict)(
            clone(estimator), X, y, train, test, extra, sample_weight, fit_params
        )
        for train, test in folds
    )
    jobs = stream(calls, n_jobs=n_jobs)
    sums, counts, estimators = np.zeros(n_samples), np.zeros(n_samples), []
    for (_, test), (fitted, predicted) in zip(folds, track(jobs, len(folds), "folds"), strict=True):
        rows = np.concatenate([test, extra])
        sums[rows] += predicted
        counts[rows] += 1
        estimators.append(fitted)
    predictions = np.divide(sums, counts, out=np.full(n_samples, np.nan), where=counts > 0)
    return ValueEvidence(predictions, None, estimators)


def _fit_and_predict(estimator, X, y, train, test, extra, sample_weight, fit_params):
    params = index_fit_params(fit_params or {}, train, len(y))
    if sample_weight is not None:
        params.update(weight_fit_params(estimator, sample_weight[train]))
    estimator.fit(safe_indexing(X, train), y[train], **params)
    rows = np.concatenate([test, extra])
    return estimator, predict_values(estimator, safe_indexing(X, rows))


def predict_values(estimator, X) -> np.ndarray:
    """Predict one finite number per row, or say what came instead."""
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
