"""A cluster changes where detectors are fitted, and nothing else."""

import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import (
    ConfidentLearning,
    EnsembleDetector,
    NeighborVote,
    TrainingDynamics,
)
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.wrappers import CleaningClassifier

# An optional extra, which `skrobust[test]` installs.
distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.xdist_group("cluster"),
    # distributed warns where its own processes were slow to start or to stop, or a machine is
    # busy, and about what it hands to libraries under it.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::UserWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
            ) as workers,
            distributed.Client(workers),
        ):
            yield workers


@pytest.fixture(scope="module")
def rows():
    X, y = make_classification(
        150, 5, n_informative=4, n_redundant=0, class_sep=2, n_clusters_per_class=1, random_state=0
    )
    return X, flip_labels(y, symmetric_transition(2, 0.2), random_state=0)[0]


DETECTORS = {
    "out of fold": ConfidentLearning(GaussianNB(), cv=4),
    "out of bag": ConfidentLearning(random_state=0),
    "ensemble": EnsembleDetector([GaussianNB(), LogisticRegression()], cv=3),
    "neighbours": NeighborVote(),
    "dynamics": TrainingDynamics(GaussianNB(), cv=3, n_stages=2),
}


def _fit(estimator, rows, *, on_cluster):
    estimator = clone(estimator)
    if not on_cluster:
        return estimator.fit(*rows)
    with joblib.parallel_config(backend="dask"):
        return estimator.fit(*rows)


def _assert_same(one, other):
    assert_array_equal(one.label_quality_, other.label_quality_)
    assert_array_equal(one.label_errors_, other.label_errors_)
    assert_array_equal(one.suggested_labels_, other.suggested_labels_)


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors(name, rows, cluster):
    here = _fit(DETECTORS[name], rows, on_cluster=False)
    there = _fit(DETECTORS[name], rows, on_cluster=True)
    _assert_same(here, there)


def test_wrapper(rows, cluster):
    wrapper = CleaningClassifier(LogisticRegression(), DETECTORS["ensemble"], random_state=0)
    here = _fit(wrapper, rows, on_cluster=False)
    there = _fit(wrapper, rows, on_cluster=True)
    _assert_same(here.detector_, there.detector_)
    np.testing.assert_allclose(here.estimator_.coef_, there.estimator_.coef_)


def test_the_cluster_did_the_work(rows, cluster):
    class Where(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            import os

            self.pid_ = os.getpid()
            return super().fit(X, y, sample_weight)

    detector = ConfidentLearning(Where(), store_estimators=True)
    there = _fit(detector, rows, on_cluster=True)
    here = _fit(detector, rows, on_cluster=False)
    assert not {m.pid_ for m in there.estimators_} & {m.pid_ for m in here.estimators_}
