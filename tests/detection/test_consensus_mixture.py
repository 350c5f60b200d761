"""What is particular to ConsensusMixture; tests/test_common.py holds what all detectors share."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skrobust.detection import ConsensusMixture
from skrobust.evidence import out_of_fold_proba
from skrobust.noise import flip_labels, symmetric_transition


@pytest.fixture
def noisy(seed):
    X, y = make_classification(
        500, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, class_sep=2, random_state=seed
    )
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)
    return X, y, y_noisy, flipped


def _views():
    return [LogisticRegression(tol=1e-8, max_iter=1000), GaussianNB()]


def test_views_and_their_consensus(noisy):
    X, _, y, flipped = noisy
    folds = list(StratifiedKFold(3).split(X, y))
    detector = ConsensusMixture(_views(), cv=folds).fit(X, y)
    assert detector.view_quality_.shape == (2, 500)
    assert detector.view_is_bimodal_.all()
    own = [
        out_of_fold_proba(view, X, y, cv=folds)[np.arange(500), y] for view in detector.estimators
    ]
    expected = (detector.view_quality_.mean(axis=0) + np.mean(own, axis=0)) / 2
    np.testing.assert_allclose(detector.label_quality_, expected, atol=1e-4)
    wrong = detector.view_quality_ < 0.5
    errors = wrong.all(axis=0) & (np.mean(own, axis=0) < 0.5)
    assert (detector.label_errors_ != errors).sum() <= 1
    np.testing.assert_array_equal(
        detector.disagreement_, wrong.any(axis=0) & ~detector.label_errors_
    )
    # A view is the surer of a label the more probable it finds it.
    order = np.argsort(own[1])
    assert (np.diff(detector.view_quality_[1][order]) >= -1e-9).all()
    middle = detector.label_quality_[detector.disagreement_]
    assert middle.min() > detector.label_quality_[detector.label_errors_].min()
    assert average_precision_score(flipped, 1 - detector.label_quality_) > 0.7


def test_default_views(noisy):
    X, y, y_noisy, flipped = noisy
    detector = ConsensusMixture(random_state=0, store_estimators=True).fit(X, y_noisy)
    assert [len(models) for models in detector.estimators_] == [1, 5]
    assert detector.label_errors_[flipped].mean() > 0.7
    assert detector.label_errors_[~flipped].mean() < 0.1
    right = detector.suggested_labels_ == y
    assert right[detector.label_errors_ & flipped].mean() > 0.8


def test_views_of_some_features(noisy):
    X, _, y, flipped = noisy
    views = [
        make_pipeline(make_column_transformer(("passthrough", columns)), GaussianNB())
        for columns in ([0, 1, 2], [3, 4, 5])
    ]
    detector = ConsensusMixture(views, random_state=0).fit(X, y)
    assert not np.allclose(*detector.view_quality_)
    assert average_precision_score(flipped, 1 - detector.label_quality_) > 0.4


def test_clean_labels_have_no_high_component():
    X, y = make_classification(400, 4, n_redundant=0, class_sep=3, flip_y=0, random_state=0)
    detector = ConsensusMixture(_views()).fit(X, y)
    assert not detector.view_is_bimodal_.any()
    assert not detector.label_errors_.any()
    assert not detector.disagreement_.any()


def test_views_have_parameters():
    detector = ConsensusMixture(_views())
    params = detector.get_params()
    assert params["view1"] is detector.estimators[1]
    assert params["view0__C"] == 1.0
    assert set(detector.get_params(deep=False)) == {
        "estimators", "cv", "threshold", "flag_fraction", "max_flag_rate", "store_estimators",
        "n_jobs", "random_state",
    }  # fmt: skip
    copy = clone(detector).set_params(view0__C=3.0, cv=4)
    assert copy.estimators[0].C == 3.0
    assert copy.cv == 4
    assert detector.estimators[0].C == 1.0
    copy.set_params(view1=LogisticRegression(C=9), view1__tol=0.1)
    assert (copy.estimators[1].C, copy.estimators[1].tol) == (9, 0.1)
    with pytest.raises(ValueError, match="view2"):
        copy.set_params(view2=GaussianNB())
    with pytest.raises(ValueError, match="nonsense"):
        copy.set_params(nonsense=1)


def test_weights_are_routed_to_every_view(noisy):
    X, _, y, _ = noisy
    weight = np.random.default_rng(0).uniform(1, 5, size=500)
    expected = ConsensusMixture(_views()).fit(X, y, sample_weight=weight).view_quality_
    with config_context(enable_metadata_routing=True):
        views = [view.set_fit_request(sample_weight=True) for view in _views()]
        routed = ConsensusMixture(views).fit(X, y, sample_weight=weight).view_quality_
    np.testing.assert_allclose(routed, expected)


def test_bad_views(noisy):
    X, _, y, _ = noisy
    for views, kind, message in (
        ([GaussianNB()], ValueError, "estimators has 1 classifiers"),
        ([], ValueError, "estimators has 0 classifiers"),
        ([GaussianNB(), "forest"], TypeError, "estimators must hold classifiers, got 'forest'"),
        ([GaussianNB(), GaussianNB], TypeError, "estimators must hold classifiers"),
        ([GaussianNB(), LinearSVC()], TypeError, "LinearSVC has no predict_proba"),
    ):
        with pytest.raises(kind, match=message):
            ConsensusMixture(views).fit(X, y)
    with pytest.raises(ValueError, match="estimators that take X as it is"):
        ConsensusMixture().fit(["a", "b"] * 10, [0, 1] * 10)
