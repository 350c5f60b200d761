"""What does a forest say about rows by the trees that have not seen them? Out-of-bag."""

import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.utils import assert_all_finite, check_random_state, compute_sample_weight, indexable

from skrobust.base._labelled_data import check_two_classes
from skrobust.base._labels import encode_labels
from skrobust.evidence._copies import divide_rows
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._folds import lone_class_rows
from skrobust.evidence._out_of_fold import predict_columns
from skrobust.evidence._progress import track
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._rows import as_numbers, check_numeric, row_hashes
from skrobust.utils._sklearn import (
    check_sample_weight,
    num_samples,
    safe_indexing,
    validate_params_of,
)

# Trees judged in one task, at most, and tasks at least: enough to share between threads, few
# enough to sum up.
_TREES_PER_TASK = 25
_LEAST_TASKS = 4
# Entries of the bootstrap for each pair of a common value and a label, at most.
_MOST_ENTRIES = 100
# These very classes: one derived from them may well draw its rows in another way.
_FORESTS = (ExtraTreesClassifier, RandomForestClassifier)


def default_forest(n_jobs: int | None = None, random_state=None) -> ExtraTreesClassifier:
    """Make the forest that gives evidence where nothing else is asked for."""
    return ExtraTreesClassifier(
        300, min_samples_leaf=5, bootstrap=True, n_jobs=n_jobs, random_state=random_state
    )


def out_of_bag_proba(
    estimator, X, y, *, sample_weight=None, n_jobs=None, random_state=None
) -> np.ndarray:
    """Predict class probabilities of each row by the trees of a forest that did not draw it.

    One fit instead of the five of cross-validation. Copies of a row count as one: a row is out of
    the bag of a tree if no copy of it was drawn. They are merged before the fit, in an order that
    depends on their content alone, so that neither the order of rows nor writing a row twice
    instead of giving it weight two changes the result. A value that many rows share, as in tables
    of a few categories, is not a copy: its rows are drawn one by one. Weights count inside the
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
    (X,) = indexable(X)
    codes, classes = encode_labels(y)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    used = codes >= 0 if weight is None else (codes >= 0) & (weight > 0)
    check_two_classes(classes[np.unique(codes[used])])
    return gather_out_of_bag(
        estimator,
        X,
        codes,
        classes,
        used,
        sample_weight=weight,
        n_jobs=n_jobs,
        random_state=private_random_state(random_state),
    ).pred_proba


def gives_out_of_bag(estimator) -> bool:
    """Whether an estimator is a forest that was asked for out-of-bag estimates."""
    return type(estimator) in _FORESTS and bool(estimator.bootstrap) and bool(estimator.oob_score)


def _check_forest(estimator, n_jobs, random_state):
    if estimator is None:
        return default_forest(n_jobs=n_jobs, random_state=draw_seed(random_state))
    if type(estimator) not in _FORESTS:
        raise TypeError(
            "Out-of-bag probabilities need an ExtraTreesClassifier or a RandomForestClassifier,"
            f" got {type(estimator).__name__}."
        )
    if not estimator.bootstrap:
        raise TypeError(
            f"Out-of-bag probabilities need bootstrap samples: use {type(estimator).__name__}"
            "(bootstrap=True)."
        )
    validate_params_of(estimator)
    forest = clone(estimator)
    if forest.random_state is None:
        forest.set_params(random_state=draw_seed(random_state))
    if n_jobs is not None:
        forest.set_params(n_jobs=n_jobs)
    return forest


def gather_out_of_bag(
    estimator, X, codes, classes, used, *, sample_weight=None, n_jobs=None, random_state=None
) -> Evidence:
    """Fit a forest once; see :func:`gather_at_leaf_sizes`, of which this is the case of one."""
    (evidence,) = gather_at_leaf_sizes(
        estimator,
        X,
        codes,
        classes,
        used,
        sample_weight=sample_weight,
        n_jobs=n_jobs,
        random_state=random_state,
    )
    return evidence


def gather_at_leaf_sizes(
    estimator,
    X,
    codes: np.ndarray,
    classes: np.ndarray,
    used: np.ndarray,
    *,
    leaf_sizes=(None,),
    sample_weight: np.ndarray | None = None,
    n_jobs: int | None = None,
    random_state=None,
) -> list[Evidence]:
    """Fit a forest once and read its out-of-bag probabilities at several leaf sizes."""
    check_numeric(X, "A forest needs a table of numbers: encode text and categories first.")
    forest = _check_forest(estimator, n_jobs, random_state)
    rows = np.flatnonzero(used)
    hashes = row_hashes(X)[rows]
    weight = None if sample_weight is None else sample_weight[rows]
    # Copies with equal labels are one entry of the bootstrap, weighing their sum; of a common
    # value, there are as many entries of each label as it has rows, up to a hundred. Entries are
    # in the order of their content.
    parts = divide_rows(hashes, codes[rows], weight, n_parts=_MOST_ENTRIES, by_label=True)
    pair_weight = np.bincount(parts.pair_of_row, weights=weight).astype(np.float64)
    entries = parts.share.tocoo()
    order = np.lexsort((parts.label[entries.row], entries.col))
    entry_unit, entry_pair = entries.col[order], entries.row[order]
    entry_weight = pair_weight[entry_pair] * entries.data[order]
    alone = lone_class_rows(entry_unit, parts.label[entry_pair])
    lone = np.isin(codes[rows], parts.label[entry_pair[alone]])
    present, labels = np.unique(parts.label[entry_pair], return_inverse=True)
    class_weight = forest.class_weight
    if isinstance(class_weight, dict):
        class_weight = {k: class_weight.get(classes.tolist()[c], 1) for k, c in enumerate(present)}
    grown, by_size = _grow_and_predict(
        forest,
        leaf_sizes,
        as_numbers(safe_indexing(X, rows[parts.first]), np.float32),
        entry_unit,
        labels,
        len(present),
        class_weight,
        entry_weight,
    )
    others = np.flatnonzero(~used)
    X_others = safe_indexing(X, others) if len(others) else None
    evidence = []
    for leaf_size, proba in zip(leaf_sizes, by_size, strict=True):
        trees = _TreeMean(grown, classes[present], leaf_size)
        if len(present) < len(classes):
            proba_present, proba = proba, np.zeros((len(proba), len(classes)))
            proba[:, present] = proba_present
        pred_proba = np.empty((num_samples(X), len(classes)))
        pred_proba[rows] = parts.per_row(proba)
        pred_proba[rows[lone]] = np.nan
        if len(others):
            pred_proba[others] = predict_columns(trees, X_others, classes)
        evidence.append(Evidence(pred_proba, [trees], classes))
    return evidence


class _TreeMean:
    """Mean prediction of trees that are read at a leaf size."""

    def __init__(self, trees, classes, leaf_size):
        self.trees = trees
        self.classes_ = classes
        self.leaf_size = leaf_size

    def predict_proba(self, X) -> np.ndarray:
        X = as_numbers(X, np.float32)
        assert_all_finite(X.data if sparse.issparse(X) else X, allow_nan=True, input_name="X")
        total = 0.0
        for tree in self.trees:
            total = total + node_proba(tree.tree_, self.leaf_size)[tree.tree_.apply(X)]
        return total / len(self.trees)


def node_proba(tree, leaf_size: int | None) -> np.ndarray:
    """Class probabilities of the rows that reach each node of a tree, read at a leaf size."""
    proba = tree.value[:, 0, :]
    if leaf_size is None:
        return proba
    left, right, size = tree.children_left, tree.children_right, tree.n_node_samples
    read_at = np.arange(tree.node_count)
    level = np.zeros(1, dtype=np.intp)
    while len(level):
        level = level[left[level] >= 0]
        children = left[level], right[level]
        stays = (read_at[level] == level) & (
            np.minimum(size[children[0]], size[children[1]]) >= leaf_size
        )
        for child in children:
            read_at[child] = np.where(stays, child, read_at[level])
        level = np.concatenate(children)
    return proba[read_at]


def _grow_and_predict(
    forest, leaf_sizes, X_units, entry_unit, labels, n_classes, class_weight, weight
):
    """Grow the trees of a forest, and average for each unit those that drew no entry of it."""
    n_units, n_entries = X_units.shape[0], len(labels)
    X_entries = X_units if n_entries == n_units else X_units[entry_unit]
    # Trees need to look for missing values themselves, and otherwise nothing.
    values = X_entries.data if sparse.issparse(X_entries) else X_entries
    check_input = bool(np.isnan(values).any())
    assert_all_finite(values, allow_nan=check_input, estimator_name=type(forest).__name__)
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

    def grow(tree):
        drawn = check_random_state(tree.random_state).randint(0, n_entries, n_drawn)
        tree_weight = weight * np.bincount(drawn, minlength=n_entries)
        if class_weight == "balanced_subsample":
            tree_weight *= compute_sample_weight("balanced", labels, indices=drawn)
        elif class_weight is not None:
            tree_weight *= compute_sample_weight(class_weight, labels)
        with config_context(skip_parameter_validation=True):
            tree.fit(X_entries, labels, sample_weight=tree_weight, check_input=check_input)
        out = np.ones(n_units, dtype=bool)
        out[entry_unit[drawn]] = False
        return np.flatnonzero(out)

    def grow_some(some):
        sums = np.zeros((len(leaf_sizes), n_units, n_classes))
        counts = np.zeros(n_units, dtype=np.intp)
        for tree in some:
            rows = grow(tree)
            if len(rows):
                leaves = tree.tree_.apply(X_units[rows])
                for total, leaf_size in zip(sums, leaf_sizes, strict=True):
                    total[rows] += node_proba(tree.tree_, leaf_size)[leaves]
                counts[rows] += 1
        return sums, counts

    size = max(1, min(_TREES_PER_TASK, -(-len(trees) // _LEAST_TASKS)))
    tasks = [trees[i : i + size] for i in range(0, len(trees), size)]
    calls = (delayed(grow_some)(task) for task in tasks)
    jobs = stream(calls, n_jobs=forest.n_jobs, require="sharedmem")
    sums = np.zeros((len(leaf_sizes), n_units, n_classes))
    counts = np.zeros(n_units, dtype=np.intp)
    for proba, count in track(jobs, len(tasks), "trees"):
        sums += proba
        counts += count
    sums[:, counts == 0] = np.nan
    np.divide(sums, counts[:, None], out=sums, where=counts[:, None] > 0)
    return trees, sums
