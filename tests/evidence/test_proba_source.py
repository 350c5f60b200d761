"""Where estimators get probabilities from."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.utils import get_tags

from skrobust.base import LabelledData
from skrobust.evidence import out_of_bag_proba, out_of_fold_proba
from skrobust.evidence._out_of_fold import ProbaSource
from skrobust.testing._problems import make_rows


class Source(ProbaSource, BaseEstimator):
    """Only collects the evidence."""

    def __init__(self, estimator=None, *, cv=5, n_jobs=None, random_state=None):
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state


def _collect(data, *args, **kwargs):
    return Source(*args, **kwargs).collect_evidence(data).pred_proba


def _forest(**params):
    return ExtraTreesClassifier(20, bootstrap=True, min_samples_leaf=3, random_state=1, **params)


def test_forests_predict_out_of_bag(seed):
    X, y, _ = make_rows(90, seed=seed)
    data = LabelledData.from_arrays(X, y)
    expected = out_of_bag_proba(None, X, y, random_state=seed)
    assert_array_equal(_collect(data, random_state=seed), expected)
    expected = out_of_bag_proba(_forest(), X, y)
    assert_array_equal(_collect(data, _forest(oob_score=True)), expected)


def test_other_models_predict_out_of_fold(seed):
    X, y, _ = make_rows(90, seed=seed)
    data = LabelledData.from_arrays(X, y)
    for model in (GaussianNB(), _forest()):
        expected = out_of_fold_proba(model, X, y, cv=3)
        assert_allclose(_collect(data, model, cv=3), expected)


def test_groups_need_folds(seed):
    X, y, _ = make_rows(90, seed=seed)
    groups = np.arange(90) // 3
    data = LabelledData.from_arrays(X, y, groups=groups)
    expected = out_of_fold_proba(_forest(), X, y, groups=groups)
    assert_allclose(_collect(data, _forest(oob_score=True)), expected)


def test_verified_labels_are_learned(seed):
    X, y, planted = make_rows(90, seed=seed)
    truth = np.where(planted, (y + 1) % 3, y)
    data = LabelledData.from_arrays(X, y, verified_labels=truth)
    assert_allclose(_collect(data, GaussianNB()), out_of_fold_proba(GaussianNB(), X, truth))


def test_tags_are_those_of_the_model():
    assert get_tags(Source()).input_tags.sparse
    assert not get_tags(Source(GaussianNB())).input_tags.sparse


def test_a_forest_needs_a_table(seed):
    data = LabelledData.from_arrays(["some", "words"] * 5, [0, 1] * 5)
    for model in (None, _forest(oob_score=True)):
        with pytest.raises((TypeError, ValueError), match="Source without an estimator"):
            _collect(data, model)
