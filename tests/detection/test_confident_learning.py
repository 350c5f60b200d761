"""What is particular to ConfidentLearning; tests/test_common.py holds what all detectors share."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skrobust.detection import ConfidentLearning, find_label_errors, label_quality_scores
from skrobust.detection._rules import RULES
from skrobust.evidence import out_of_bag_proba, out_of_fold_proba
from skrobust.noise import confident_joint, flip_labels, symmetric_transition


@pytest.fixture
def noisy(seed):
    X, y = make_classification(
        400, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=seed
    )
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)
    return X, y, y_noisy, flipped


@pytest.mark.parametrize("rule", RULES)
def test_is_its_parts(rule, noisy):
    X, _, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), rule=rule, max_flag_rate=None).fit(X, y)
    proba = cross_val_predict(GaussianNB(), X, y, method="predict_proba")
    np.testing.assert_array_equal(detector.label_errors_, find_label_errors(y, proba, rule=rule))
    np.testing.assert_allclose(detector.label_quality_, label_quality_scores(y, proba))
    joint = confident_joint(y, proba, calibrate=True)
    np.testing.assert_array_equal(detector.confident_joint_, joint)
    low, high = detector.noise_rate_interval_
    assert low <= detector.noise_rate_ <= high
    np.testing.assert_allclose(detector.transition_matrix_, (joint / joint.sum(axis=0)).T)
    assert (detector.threshold_ is None) == (rule != "low_self_confidence")


@pytest.mark.parametrize("method", ["normalized_margin", "confidence_weighted_entropy"])
def test_quality_methods(method, noisy):
    X, _, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), quality_method=method).fit(X, y)
    proba = out_of_fold_proba(GaussianNB(), X, y)
    np.testing.assert_allclose(
        detector.label_quality_, label_quality_scores(y, proba, method=method)
    )


def test_finds_planted_errors_and_their_rate(noisy):
    X, y, y_noisy, flipped = noisy
    detector = ConfidentLearning(random_state=0).fit(X, y_noisy)
    assert detector.label_errors_[flipped].mean() > 0.6
    assert flipped[detector.label_errors_].mean() > 0.7
    right = detector.suggested_labels_ == y
    assert right[detector.label_errors_ & flipped].mean() > 0.9
    assert abs(detector.noise_rate_ - flipped.mean()) < 0.06


def test_a_forest_predicts_out_of_bag_only_with_oob_score(noisy):
    X, _, y, _ = noisy
    forest = ExtraTreesClassifier(30, bootstrap=True, oob_score=True, random_state=0)
    quality = ConfidentLearning(forest).fit(X, y).label_quality_
    np.testing.assert_array_equal(quality, out_of_bag_proba(forest, X, y)[np.arange(400), y])
    forest = RandomForestClassifier(10, random_state=0)
    quality = ConfidentLearning(forest).fit(X, y).label_quality_
    np.testing.assert_allclose(quality, out_of_fold_proba(forest, X, y)[np.arange(400), y])


def test_groups_of_a_forest_need_folds(noisy):
    X, _, y, _ = noisy
    groups = np.arange(400) // 4
    detector = ConfidentLearning(random_state=0, cv=3, store_estimators=True)
    assert len(detector.fit(X, y).estimators_) == 1
    assert len(detector.fit(X, y, groups=groups).estimators_) == 3
    by_cv = ConfidentLearning(GaussianNB(), cv=GroupKFold(3)).fit(X, y, groups=groups)
    expected = cross_val_predict(
        GaussianNB(), X, y, cv=GroupKFold(3), groups=groups, method="predict_proba"
    )
    np.testing.assert_allclose(by_cv.label_quality_, expected[np.arange(400), y])


def test_random_state_seeds_what_has_none(noisy):
    X, _, y, _ = noisy
    forest = RandomForestClassifier(5)
    a, b, c = (
        ConfidentLearning(forest, random_state=s).fit(X, y).label_quality_ for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_new_rows_are_scored_by_the_mean_model_and_stored_thresholds(noisy):
    X, _, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), store_estimators=True).fit(X[:300], y[:300])
    proba = np.mean([m.predict_proba(X[300:]) for m in detector.estimators_], axis=0)
    quality = detector.score_labels(X[300:], y[300:])
    np.testing.assert_allclose(quality, label_quality_scores(y[300:], proba))
    flags = detector.detect(X[300:], y[300:])
    assert (proba[flags].argmax(axis=1) != y[300:][flags]).all()
    assert 0 < flags.sum() < 50
    plain = ConfidentLearning(GaussianNB(), threshold=0.3, store_estimators=True)
    plain.fit(X[:300], y[:300])
    np.testing.assert_array_equal(plain.detect(X[300:], y[300:]), quality < 0.3)
    with pytest.raises(AttributeError, match="has no attribute .detect."):
        ConfidentLearning(GaussianNB()).fit(X, y).detect(X, y)
    with pytest.raises(ValueError, match="not among the 3 known classes: 9"):
        detector.detect(X[:1], [9])


def test_texts(seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(["ham", "spam"], 200)
    texts = [
        ("win cash " if label == "spam" else "see you ") * 2 + f"w{i}" for i, label in enumerate(y)
    ]
    wrong = y.copy()
    wrong[:10] = np.where(y[:10] == "ham", "spam", "ham")
    detector = ConfidentLearning(make_pipeline(TfidfVectorizer(), MultinomialNB()))
    detector.fit(texts, wrong)
    np.testing.assert_array_equal(np.flatnonzero(detector.label_errors_), np.arange(10))
    np.testing.assert_array_equal(detector.suggested_labels_, y)
    assert not hasattr(detector, "n_features_in_")
    with pytest.raises(ValueError, match="Pass an estimator that takes X as it is"):
        ConfidentLearning().fit(texts, wrong)


def test_verified_rows_teach(noisy):
    X, y, y_noisy, _ = noisy
    verified = np.where(np.arange(400) < 200, y.astype(float), np.nan)
    quality = ConfidentLearning(GaussianNB()).fit(X, y_noisy, verified_labels=verified)
    plain = ConfidentLearning(GaussianNB()).fit(X, y_noisy)
    assert not np.allclose(quality.label_quality_[200:], plain.label_quality_[200:])
    np.testing.assert_array_equal(quality.label_errors_[:200], (y != y_noisy)[:200])
    everything = ConfidentLearning(GaussianNB()).fit(X, y_noisy, verified_labels=y)
    np.testing.assert_array_equal(everything.label_errors_, y != y_noisy)
    np.testing.assert_array_equal(everything.suggested_labels_, y)
    np.testing.assert_allclose(everything.noise_rate_, (y != y_noisy).mean())
    counts = np.zeros((3, 3))
    np.add.at(counts, (y, y_noisy), 1)
    np.testing.assert_allclose(
        everything.transition_matrix_, counts / counts.sum(axis=1, keepdims=True)
    )


def test_tags_follow_the_estimator():
    assert get_tags(ConfidentLearning()).input_tags.sparse
    assert get_tags(ConfidentLearning()).input_tags.allow_nan
    assert not get_tags(ConfidentLearning(LogisticRegression())).input_tags.allow_nan
    assert get_tags(ConfidentLearning()).target_tags.required
