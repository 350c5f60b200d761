"""Out-of-bag probabilities: each row is predicted by the trees of a forest that did not draw it."""

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.utils import assert_all_finite, check_random_state, compute_sample_weight
from sklearn.utils.parallel import delayed

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence, predict_columns
from skrobust.evidence._folds import divide_rows, lone_class_rows
from skrobust.utils._input import as_numbers, check_numeric
from skrobust.utils._parallel import BLOCK_BYTES, stream, track
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import num_samples, safe_indexing, validate_params_of
from skrobust.utils._typing import LabelsLike, MatrixLike

# Entries of the bootstrap for each pair of a frequent value and a label, at most.
MOST_ENTRIES = 100
_TREES_PER_TASK = 25
# Tasks at least: enough to share between threads.
_LEAST_TASKS = 4
_FORESTS = (ExtraTreesClassifier, RandomForestClassifier)


def default_forest(n_jobs: int | None = None, random_state=None) -> ExtraTreesClassifier:
    """Make the default model: smooth probabilities, which single wrong labels hardly change."""
    # On tables with synthetic errors (benchmarks/detection_synthetic.py), its out-of-bag
    # probabilities rank errors better than out-of-fold ones of boosting or a linear model.
    return ExtraTreesClassifier(
        300, min_samples_leaf=5, bootstrap=True, n_jobs=n_jobs, random_state=random_state
    )


def out_of_bag_proba(
    estimator: ExtraTreesClassifier | RandomForestClassifier | None,
    X: MatrixLike,
    y: LabelsLike,
    *,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Predict class probabilities of each row by the trees of a forest that did not draw it.

    One fit instead of the five of cross-validation. Replicated rows count as one: a row is out of
    the bag of a tree if no replicate of it was drawn. They are merged before the fit, in an order
    that depends on their content alone, so that neither the order of rows nor repeating a row
    instead of giving it weight two changes the result. A value that many rows share, as in tables
    of a few categories, is no replicate: its rows are drawn one by one. Weights count inside the
    trees; they do not make a row more likely to be drawn, or heavy rows would hardly be out of
    any bag.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : ExtraTreesClassifier, RandomForestClassifier or None
        The forest, with ``bootstrap=True``; cloned. None is 300 extremely randomised trees with
        at least five rows per leaf.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Numbers. Missing values are fine where the forest takes them.
    y : array-like of shape (n_samples,)
        Given labels. Rows whose label is missing are not fitted on; all trees predict them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights. Rows of weight zero are not fitted on.
    n_jobs : int, default=None
        Number of threads.
    random_state : int, RandomState instance or None, default=None
        Seed for a forest that has none.

    Returns
    -------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities; columns are the sorted distinct labels. Rows of NaN are in every bag, or
        their class has no other row.

    Raises
    ------
    ValueError
        If there are fewer than two classes or no class has two distinct rows.
    TypeError
        If `estimator` is no forest with bootstrap samples, or X is not numeric.

    See Also
    --------
    out_of_fold_proba : The same for any classifier.

    References
    ----------
    Breiman (1996). Out-of-bag estimation. Technical report, University of California, Berkeley.

    Geurts, Ernst and Wehenkel (2006). Extremely randomized trees. Machine Learning 63.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.evidence import out_of_bag_proba
    >>> X, y = load_iris(return_X_y=True)
    >>> out_of_bag_proba(None, X, y, random_state=0).shape
    (150, 3)
    """
    data = LabelledData.from_arrays(X, y, sample_weight=sample_weight)
    source = OutOfBag(estimator, n_jobs=n_jobs, random_state=random_state)
    return source.collect(data).pred_proba.copy()


def is_out_of_bag_forest(estimator) -> bool:
    """Whether an estimator is a forest that was asked for out-of-bag estimates."""
    return has_out_of_bag(estimator, _FORESTS)


@dataclasses.dataclass(frozen=True, eq=False)
class OutOfBag:
    """Producer of out-of-bag probabilities of a forest, from one fit.

    .. versionadded:: 0.1

    Parameters
    ----------
    forest : ExtraTreesClassifier, RandomForestClassifier or None, default=None
        With ``bootstrap=True``; cloned. None is 300 extremely randomised trees with at least five
        rows per leaf.
    leaf_sizes : sequence of int or None, default=(None,)
        Least numbers of rows in a leaf at which the trees are read, as if they were pruned there:
        the larger the leaves, the smoother are the probabilities. None reads the trees as they
        were grown. Several leaf sizes yield a mixture with equal weights.
    n_jobs : int, default=None
        Number of threads.
    random_state : int, RandomState instance or None, default=None
        Seed for a forest that has none. None draws fresh entropy.

    See Also
    --------
    out_of_bag_proba : The same for arrays.
    OutOfFold : Out-of-sample probabilities of any classifier.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.base import LabelledData
    >>> from skrobust.evidence import OutOfBag
    >>> X, y = load_iris(return_X_y=True)
    >>> evidence = OutOfBag(random_state=0).collect(LabelledData.from_arrays(X, y))
    >>> evidence.pred_proba.shape
    (150, 3)
    """

    forest: ExtraTreesClassifier | RandomForestClassifier | None = None
    leaf_sizes: tuple[int | None, ...] = (None,)
    _: dataclasses.KW_ONLY
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None

    def collect(self, data: LabelledData) -> Evidence:
        """Fit the forest, and predict each row by the trees that did not draw it.

        Parameters
        ----------
        data : LabelledData
            Rows of numbers. Rows that are not learned from are predicted by all trees. Groups
            are ignored: a tree is out of the bag of a whole group next to never.

        Returns
        -------
        evidence : Evidence
            Probabilities and the trees; a mixture of one part per leaf size, if there are several.
        """
        parts = self._collect_parts(data)
        if len(parts) == 1:
            return parts[0]
        weights = np.full(len(parts), 1 / len(parts))
        mean = sum(part.pred_proba for part in parts) / len(parts)
        return Evidence(mean, data.classes, parts=parts, weights=weights)

    def _collect_parts(self, data) -> list[Evidence]:
        """Collect evidence for each leaf size."""
        X, codes, classes, used = data.X, data.y_train, data.classes, data.used
        check_numeric(X, "A forest needs a numeric array: encode text and categories first.")
        forest = _check_forest(self.forest, self.n_jobs, private_random_state(self.random_state))
        rows = np.flatnonzero(used)
        weight = None if data.sample_weight is None else data.sample_weight[rows]
        # Replicates with equal labels are one entry of the bootstrap, with their total weight; of
        # a frequent value, there are as many entries of each label as it has rows, up to a hundred.
        # Entries are in the order of their content.
        parts = divide_rows(
            data.row_hashes[rows], codes[rows], weight, n_parts=MOST_ENTRIES, by_label=True
        )
        pair_weight = np.bincount(parts.pair_of_row, weights=weight).astype(np.float64)
        entries = parts.share.tocoo()
        order = np.lexsort((parts.label[entries.row], entries.col))
        entry_row, entry_pair = entries.col[order], entries.row[order]
        alone = lone_class_rows(entry_row, parts.label[entry_pair])
        lone = np.isin(codes[rows], parts.label[entry_pair[alone]])
        present, labels = np.unique(parts.label[entry_pair], return_inverse=True)
        class_weight = forest.class_weight
        if isinstance(class_weight, dict):
            names = classes.tolist()
            class_weight = {k: class_weight.get(names[c], 1) for k, c in enumerate(present)}
        X_distinct = as_numbers(safe_indexing(X, rows[parts.first]), np.float32)
        trees, total = grow_out_of_bag(
            forest,
            X_distinct,
            entry_row,
            labels,
            pair_weight[entry_pair] * entries.data[order],
            functools.partial(ProbaSums, X_distinct.shape[0], len(present), tuple(self.leaf_sizes)),
            class_weight=class_weight,
            trees_per_task=max(
                1, min(_TREES_PER_TASK, -(-int(forest.n_estimators) // _LEAST_TASKS))
            ),
        )
        others = np.flatnonzero(~used)
        X_others = safe_indexing(X, others) if len(others) else None
        found = []
        means = parts.per_row(total.means()).reshape(len(rows), len(self.leaf_sizes), -1)
        for j, leaf_size in enumerate(self.leaf_sizes):
            model = TreeMean(trees, classes[present], leaf_size)
            pred_proba = np.zeros((num_samples(X), len(classes)))
            pred_proba[np.ix_(rows, present)] = means[:, j]
            pred_proba[rows[lone]] = np.nan
            if len(others):
                pred_proba[others] = predict_columns(model, X_others, classes)
            found.append(Evidence(pred_proba, classes, [model]))
        return found


def collect_leaf_sizes(sources: list[OutOfBag], data) -> list[Evidence]:
    """Collect evidence of forests that differ in their leaf size only, from one fit."""
    leaf_sizes = [source.forest.min_samples_leaf for source in sources]
    first = sources[int(np.argmin(leaf_sizes))]
    return dataclasses.replace(first, leaf_sizes=leaf_sizes)._collect_parts(data)


def share_trees(one: OutOfBag, other: OutOfBag) -> bool:
    """Whether two forests differ in the size of leaves only, so that one can be read at both."""
    forests = one.forest, other.forest
    if type(forests[0]) is not type(forests[1]) or forests[0] is None:
        return False
    params = [forest.get_params(deep=False) for forest in forests]
    if not all(isinstance(own.pop("min_samples_leaf"), int) for own in params):
        return False
    return str(params[0]) == str(params[1]) and one.n_jobs == other.n_jobs


def _check_forest(forest, n_jobs, random_state):
    """Clone a forest that draws bootstrap samples, or make the default one."""
    if forest is None:
        return default_forest(n_jobs=n_jobs, random_state=draw_seed(random_state))
    if type(forest) not in _FORESTS:
        raise TypeError(
            "Out-of-bag probabilities need an ExtraTreesClassifier or a RandomForestClassifier,"
            f" got {type(forest).__name__}."
        )
    if not forest.bootstrap:
        raise TypeError(
            f"Out-of-bag probabilities need bootstrap samples: use {type(forest).__name__}"
            "(bootstrap=True)."
        )
    return prepare_forest(forest, n_jobs, random_state)


class TreeMean:
    """Mean probability of trees that are read at a leaf size."""

    def __init__(self, trees: list, classes: np.ndarray, leaf_size: int | None):
        self.trees = trees
        self.classes_ = classes
        self.leaf_size = leaf_size

    def predict_proba(self, X) -> np.ndarray:
        """Predict class probabilities."""
        X = forest_input(X)
        total = 0.0
        for tree in self.trees:
            total = total + node_proba(tree.tree_, (self.leaf_size,))[tree.tree_.apply(X)]
        return total / len(self.trees)


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
        self.block_length = max(1, BLOCK_BYTES // max(self.sums[:1].nbytes, 1))

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
        """Mean probabilities, side by side for each leaf size; NaN where no tree was added."""
        counts = self.counts[:, None]
        self.sums[self.counts == 0] = np.nan
        np.divide(self.sums, counts, out=self.sums, where=counts > 0)
        return self.sums


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
    trees_per_task: int = _TREES_PER_TASK,
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
