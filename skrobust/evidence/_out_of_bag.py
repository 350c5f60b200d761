"""Out-of-bag probabilities: each row is predicted by the trees of a forest that did not draw it."""

import dataclasses
import functools

import numpy as np
from numpy.typing import ArrayLike
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence, predict_columns
from skrobust.evidence._folds import divide_rows, lone_class_rows
from skrobust.evidence._forest import (
    MOST_ENTRIES,
    TREES_PER_TASK,
    ProbaSums,
    forest_input,
    grow_out_of_bag,
    has_out_of_bag,
    node_proba,
    prepare_forest,
)
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._rows import as_numbers, check_numeric
from skrobust.utils._sklearn import num_samples, safe_indexing
from skrobust.utils._typing import LabelsLike, MatrixLike

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
                1, min(TREES_PER_TASK, -(-int(forest.n_estimators) // _LEAST_TASKS))
            ),
        )
        others = np.flatnonzero(~used)
        X_others = safe_indexing(X, others) if len(others) else None
        found = []
        for leaf_size, proba in zip(self.leaf_sizes, total.means(), strict=True):
            model = TreeMean(trees, classes[present], leaf_size)
            if len(present) < len(classes):
                known, proba = proba, np.zeros((len(proba), len(classes)))
                proba[:, present] = known
            pred_proba = np.empty((num_samples(X), len(classes)))
            pred_proba[rows] = parts.per_row(proba)
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
