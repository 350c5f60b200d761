import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skrobust.base import LabelledData
from skrobust.evidence import OutOfBag, out_of_bag_proba
from skrobust.evidence._out_of_bag import default_forest, is_out_of_bag_forest, node_proba


@pytest.fixture
def data(seed):
    return make_classification(
        200, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=seed
    )


@pytest.fixture(params=[ExtraTreesClassifier, RandomForestClassifier])
def forest(request):
    return request.param(40, bootstrap=True, random_state=0)


@pytest.mark.parametrize("options", [{}, {"max_samples": 0.2, "min_samples_leaf": 0.02}])
def test_equals_the_forests_own_estimate(forest, data, options):
    # Up to the order of rows: sort by the order that the merge gives them.
    X, y = data
    from skrobust.utils._input import row_hashes

    order = np.argsort(row_hashes(X))
    forest.set_params(**options)
    proba = out_of_bag_proba(forest, X[order], y[order])
    forest.set_params(oob_score=True).fit(X[order], y[order])
    np.testing.assert_allclose(proba, forest.oob_decision_function_)


def test_order_containers_and_threads_change_nothing(forest, data, seed):
    X, y = data
    X[X < -1] = 0
    proba = out_of_bag_proba(forest, X, y)
    order = np.random.default_rng(seed).permutation(200)
    np.testing.assert_array_equal(out_of_bag_proba(forest, X[order], y[order]), proba[order])
    np.testing.assert_array_equal(out_of_bag_proba(forest, pd.DataFrame(X), y), proba)
    np.testing.assert_array_equal(out_of_bag_proba(forest, sparse.csc_matrix(X), y), proba)
    np.testing.assert_array_equal(out_of_bag_proba(forest, X, y, n_jobs=2), proba)
    names = np.array(["z", "a", "m"])
    renamed = out_of_bag_proba(forest, X, names[y])
    np.testing.assert_allclose(renamed[:, [2, 0, 1]], proba, atol=1e-12)


def test_integer_weights_equal_repeated_rows(forest, data, seed):
    X, y = data
    weight = np.random.default_rng(seed).integers(0, 4, 200)
    proba = out_of_bag_proba(forest, X, y, sample_weight=weight)
    repeated = out_of_bag_proba(forest, X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_array_equal(proba.repeat(weight, axis=0), repeated)


def test_replicates_do_not_reveal_a_label(data):
    # One-row leaves memorise: a copy in the bag would predict its own label.
    X, y = data
    y = np.random.default_rng(0).integers(0, 2, 200)
    X, y = np.vstack([X, X]), np.concatenate([y, y])
    forest = ExtraTreesClassifier(100, bootstrap=True, random_state=0)
    proba = out_of_bag_proba(forest, X, y)
    assert abs((proba.argmax(axis=1) == y).mean() - 0.5) < 0.12


def test_unlabelled_lone_and_rare_rows(data):
    X, y = data
    y = y.astype(float)
    y[:5] = np.nan
    y[5] = 7
    proba = out_of_bag_proba(None, X, y, random_state=0)
    assert np.isnan(proba[5]).all()
    assert not np.isnan(np.delete(proba, 5, axis=0)).any()
    np.testing.assert_allclose(np.delete(proba, 5, axis=0).sum(axis=1), 1)


def test_missing_values_pass(data):
    X, y = data
    X[::3, 0] = np.nan
    assert not np.isnan(out_of_bag_proba(None, X, y, random_state=0)).any()


def test_default_forest_and_which_forests_predict_out_of_bag():
    assert default_forest().get_params()["min_samples_leaf"] == 5
    assert is_out_of_bag_forest(ExtraTreesClassifier(bootstrap=True, oob_score=True))
    assert not is_out_of_bag_forest(ExtraTreesClassifier(bootstrap=True))
    assert not is_out_of_bag_forest(LogisticRegression())


def test_refusals(data):
    X, y = data
    with pytest.raises(TypeError, match=r"ExtraTreesClassifier\(bootstrap=True\)"):
        out_of_bag_proba(ExtraTreesClassifier(), X, y)
    with pytest.raises(TypeError, match="got LogisticRegression"):
        out_of_bag_proba(LogisticRegression(), X, y)
    with pytest.raises(ValueError, match="encode text and categories first"):
        out_of_bag_proba(None, ["a"] * 200, y)
    with pytest.raises(ValueError, match="one class only"):
        out_of_bag_proba(None, X, np.zeros(200))


def _predict_row(tree, x, leaf_size):
    """Class probabilities of the node at which a walk down a tree ends."""
    node = 0
    while tree.children_left[node] >= 0:
        children = tree.children_left[node], tree.children_right[node]
        if min(tree.n_node_samples[list(children)]) < leaf_size:
            break
        node = children[int(x[tree.feature[node]] > tree.threshold[node])]
    return tree.value[node, 0]


def test_trees_are_read_at_a_leaf_size_as_a_walk_finds_it(forest, data):
    X, y = data
    forest.set_params(n_estimators=4, min_samples_leaf=2).fit(X, y)
    X = X.astype(np.float32)
    leaf_sizes = (2, 7, 40, 1000)
    for tree in (tree.tree_ for tree in forest.estimators_):
        read = np.hsplit(node_proba(tree, leaf_sizes)[tree.apply(X)], len(leaf_sizes))
        for proba, leaf_size in zip(read, leaf_sizes, strict=True):
            np.testing.assert_array_equal(proba, [_predict_row(tree, x, leaf_size) for x in X])


def test_several_leaf_sizes_are_as_good_as_several_forests(data, seed):
    X, y = data
    forest = ExtraTreesClassifier(200, min_samples_leaf=3, bootstrap=True, random_state=seed)
    data = LabelledData.from_arrays(X, y)
    several = OutOfBag(forest, (3, 10, 25)).collect(data).parts
    np.testing.assert_allclose(several[0].pred_proba, out_of_bag_proba(forest, X, y))
    for leaf_size, evidence in zip((3, 10, 25), several, strict=True):
        alone = out_of_bag_proba(forest.set_params(min_samples_leaf=leaf_size), X, y)
        np.testing.assert_allclose(evidence.pred_proba, alone, atol=0.25)
        loss = log_loss(y, evidence.pred_proba) - log_loss(y, alone)
        assert abs(loss) < 0.03
