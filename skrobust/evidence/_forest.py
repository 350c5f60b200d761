"""Out-of-bag fits of forests: trees, and what those that did not draw a row predict for it."""

import math

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.utils import assert_all_finite, check_random_state, compute_sample_weight
from sklearn.utils.parallel import delayed

from skrobust.utils._blocks import block_length
from skrobust.utils._parallel import stream, track
from skrobust.utils._random import draw_seed
from skrobust.utils._rows import as_numbers
from skrobust.utils._sklearn import validate_params_of

# Entries of the bootstrap for each pair of a frequent value and a label, at most.
MOST_ENTRIES = 100
TREES_PER_TASK = 25


def has_out_of_bag(estimator, forests: tuple) -> bool:
    """Whether an estimator is one of these forests and was asked for out-of-bag estimates."""
    # A subclass may draw its rows in another way.
    return type(estimator) in forests and bool(estimator.bootstrap) and bool(estimator.oob_score)


def prepare_forest(forest, n_jobs: int | None, random_state):
    """Clone a valid forest, with a seed and a number of threads."""
    validate_params_of(forest)
    forest = clone(forest)
    if forest.random_state is None:
        forest.set_params(random_state=draw_seed(random_state))
    return forest if n_jobs is None else forest.set_params(n_jobs=n_jobs)


def forest_input(X):
    """Convert a numeric array to what trees take, missing values included."""
    X = as_numbers(X, np.float32)
    assert_all_finite(X.data if sparse.issparse(X) else X, allow_nan=True, input_name="X")
    return X


class ProbaSums:
    """Sums over trees of class probabilities, read at several leaf sizes."""

    def __init__(self, n_rows: int, n_classes: int, leaf_sizes: tuple):
        self.leaf_sizes = leaf_sizes
        # The columns of a row are next to each other, so that one lookup reads all leaf sizes.
        self.sums = np.zeros((n_rows, len(leaf_sizes) * n_classes))
        self.counts = np.zeros(n_rows, dtype=np.intp)
        self.block_length = block_length(self.sums[:1].nbytes)

    def add(self, tree, X, rows: np.ndarray) -> None:
        """Add the predictions of one tree for some rows of X."""
        proba = node_proba(tree.tree_, self.leaf_sizes)
        for start in range(0, len(rows), self.block_length):
            some = rows[start : start + self.block_length]
            self.sums[some] += proba[tree.tree_.apply(X[some])]
        self.counts[rows] += 1

    def merge(self, other: "ProbaSums") -> None:
        """Add the sums of other trees."""
        self.sums += other.sums
        self.counts += other.counts

    def means(self) -> np.ndarray:
        """Mean probabilities by leaf size, NaN where no tree was added; consumes the sums."""
        counts = self.counts[:, None]
        self.sums[self.counts == 0] = np.nan
        np.divide(self.sums, counts, out=self.sums, where=counts > 0)
        return self.sums.reshape(len(self.sums), len(self.leaf_sizes), -1).swapaxes(0, 1)


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


def node_proba(tree, leaf_sizes: tuple) -> np.ndarray:
    """Class probabilities of the rows that reach each node, side by side for each leaf size."""
    # Splits of which a side holds fewer rows count as leaves; None prunes nothing.
    proba = tree.value[:, 0, :]
    if tuple(leaf_sizes) == (None,):
        return proba
    left, right, size = tree.children_left, tree.children_right, tree.n_node_samples
    inner = np.flatnonzero(left >= 0)
    parent = np.zeros(tree.node_count, dtype=np.intp)
    fewest = np.full(tree.node_count, size[0])
    for children in (left[inner], right[inner]):
        parent[children] = inner
        fewest[children] = np.minimum(size[left[inner]], size[right[inner]])
    # The fewest rows on a side of any split above a node; each step looks twice as far up.
    above = parent
    while above.any():
        fewest = np.minimum(fewest, fewest[above])
        above = above[above]
    tables = []
    for leaf_size in leaf_sizes:
        read_at = np.where(fewest >= leaf_size, np.arange(tree.node_count), parent)
        while not np.array_equal(further := read_at[read_at], read_at):
            read_at = further
        tables.append(proba[read_at])
    return np.hstack(tables)


def grow_out_of_bag(
    forest,
    X,
    entry_row: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray,
    new_total,
    *,
    class_weight=None,
    trees_per_task: int = TREES_PER_TASK,
):
    """Grow the trees of a forest on entries of distinct rows; total those that drew no entry."""
    # Without weights these are the very trees that the forest's own ``fit`` grows.
    n_rows, n_entries = X.shape[0], len(target)
    X_entries = X if n_entries == n_rows else X[entry_row]
    # Trees need to check for missing values themselves, and otherwise nothing.
    values = X_entries.data if sparse.issparse(X_entries) else X_entries
    check_input = bool(np.isnan(values).any())
    assert_all_finite(values, allow_nan=check_input, estimator_name=type(forest).__name__)
    if sparse.issparse(X_entries) and not check_input:
        X_entries = X_entries.tocsc()
        X_entries.sort_indices()
    params = {name: getattr(forest, name) for name in forest.estimator_params}
    # Shares of rows are those of all entries, drawn or not.
    for name, least in (("min_samples_leaf", 1), ("min_samples_split", 2)):
        if not isinstance(params[name], (int, np.integer)):
            params[name] = max(least, math.ceil(params[name] * n_entries))
    random_state = check_random_state(forest.random_state)
    trees = []
    for _ in range(forest.n_estimators):
        params["random_state"] = random_state.randint(np.iinfo(np.int32).max)
        trees.append(type(forest.estimator)(**params))
    n_drawn = forest.max_samples
    if n_drawn is None:
        n_drawn = n_entries
    elif not isinstance(n_drawn, (int, np.integer)):
        n_drawn = max(round(n_entries * n_drawn), 1)
    # Every class has an entry in each tree, of weight zero if it was not drawn.
    always = np.unique(target, return_index=True)[1] if is_classifier(forest) else []
    if np.ptp(weight) == 0:
        weight = np.ones(n_entries)

    def grow(some):
        total = new_total()
        for tree in some:
            drawn = check_random_state(tree.random_state).randint(0, n_entries, n_drawn)
            counts = np.bincount(drawn, minlength=n_entries)
            tree_weight = weight * counts
            if class_weight == "balanced_subsample":
                tree_weight *= compute_sample_weight("balanced", target, indices=drawn)
            elif class_weight is not None:
                tree_weight *= compute_sample_weight(class_weight, target)
            own = X_entries, target, tree_weight
            if n_drawn < n_entries:
                counts[always] += 1
                rows = np.flatnonzero(counts)
                own = tuple(part[rows] for part in own)
            with config_context(skip_parameter_validation=True):
                tree.fit(*own, check_input=check_input)
            out_of_bag = np.ones(n_rows, dtype=bool)
            out_of_bag[entry_row[drawn]] = False
            rows = np.flatnonzero(out_of_bag)
            if len(rows):
                total.add(tree, X, rows)
        return total

    tasks = [trees[i : i + trees_per_task] for i in range(0, len(trees), trees_per_task)]
    # Trees need no linear algebra, and so no limit of its threads.
    calls = (delayed(grow)(task) for task in tasks)
    jobs = stream(calls, n_jobs=forest.n_jobs, require="sharedmem")
    total = new_total()
    for part in track(jobs, len(tasks), "trees"):
        total.merge(part)
    return trees, total
