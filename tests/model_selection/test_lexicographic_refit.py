"""Choice by several scores: by hand."""

import pickle

import numpy as np
import pytest

from skrobust.model_selection import lexicographic_refit


def _results(**scores):
    """As of a search; candidates in rows, folds in columns."""
    found = {"params": [{"size": k} for k in range(len(next(iter(scores.values()))))]}
    for name, table in scores.items():
        for fold, column in enumerate(np.array(table, dtype=float).T):
            found[f"split{fold}_test_{name}"] = column
    return found


F1 = [[0.70, 0.80], [0.72, 0.79], [0.50, 0.60], [0.71, 0.77]]
GMEAN = [[0.50, 0.50], [0.60, 0.60], [0.90, 0.90], [0.70, 0.50]]


def test_second_score_decides_between_equals():
    results = _results(f1=F1, gmean=GMEAN)
    # Means of f1: .75, .755, .55, .74. The differences from the best one are -.02/.01, 0, .22/.19
    # and .01/.02: standard errors of .015, 0, .015 and .005.
    assert lexicographic_refit(["f1"])(results) == 1
    assert lexicographic_refit(["f1", "gmean"])(results) == 1
    assert lexicographic_refit(["f1", "gmean"], tolerance=0.3)(results) == 2
    assert lexicographic_refit(["f1", "gmean"], tolerance=0)(results) == 1
    # Ties go to the first one.
    assert lexicographic_refit("gmean", tolerance=0)(_results(gmean=[[1, 1], [1, 1]])) == 0


def test_simplest_of_indistinguishable_candidates():
    results = _results(f1=F1)

    def size(params):
        return params["size"]

    assert lexicographic_refit("f1", key=size)(results) == 0
    assert lexicographic_refit("f1", tolerance="3se", key=lambda p: -p["size"])(results) == 3
    assert lexicographic_refit("f1", tolerance=0.001, key=size)(results) == 1


def test_candidates_without_finite_scores_are_left_out():
    results = _results(f1=[[np.nan, 1.0], [0.1, 0.2]])
    assert lexicographic_refit("f1")(results) == 1
    with pytest.raises(ValueError, match="No candidate has finite scores f1"):
        lexicographic_refit("f1")(_results(f1=[[np.nan, 1.0]]))


def test_rule_can_be_pickled_and_compared():
    rule = lexicographic_refit(["a", "b"], tolerance="2se")
    assert pickle.loads(pickle.dumps(rule)) == rule


@pytest.mark.parametrize("tolerance", ["1", "se", "-1se", -0.1, None, True])
def test_bad_tolerances(tolerance):
    with pytest.raises(ValueError, match="tolerance must be"):
        lexicographic_refit("f1", tolerance=tolerance)


def test_bad_scores():
    with pytest.raises(ValueError, match="one or more names"):
        lexicographic_refit([])
    with pytest.raises(ValueError, match="key must be callable"):
        lexicographic_refit("f1", key="size")
    with pytest.raises(ValueError, match="no score 'f2' among f1"):
        lexicographic_refit("f2")(_results(f1=F1))
    with pytest.raises(ValueError, match="at least two folds"):
        lexicographic_refit(["f1", "f1"])(_results(f1=[[1.0], [2.0]]))
