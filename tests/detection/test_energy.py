"""What is particular to EnergyDetector; tests/test_common.py holds what all detectors share."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from skrobust.detection import (
    ConfidentLearning,
    EnergyDetector,
)
from skrobust.detection._energy import logits_of
from skrobust.testing._outputs import rank_auc
from skrobust.testing._problems import make_rows


@pytest.fixture
def open_set(seed):
    """Rows of three classes, a few errors, and rows from all over the place with random labels."""
    X, y, planted = make_rows(300, noise=0.05, seed=seed)
    rng = np.random.default_rng(seed)
    X = np.vstack([X, rng.uniform(12, 20, size=(20, 5)) * rng.choice([-1, 1], size=(20, 5))])
    y = np.append(y, rng.integers(3, size=20))
    return X, y, np.append(planted, np.zeros(20, dtype=bool)), np.arange(320) >= 300


def test_open_set_rows_have_the_lowest_quality(open_set):
    X, y, planted, strange = open_set
    detector = EnergyDetector(random_state=0).fit(X, y)
    right = ~planted
    auc = rank_auc(-detector.label_quality_[right], strange[right])
    others = ConfidentLearning(random_state=0).fit(X, y)
    assert auc > 0.99
    assert auc > rank_auc(-others.label_quality_[right], strange[right])
    assert rank_auc(detector.energy_, strange) > 0.99
    assert rank_auc(-detector.label_quality_[~strange], planted[~strange]) > 0.95


def test_a_hump_of_energies_is_flagged(open_set):
    X, y, _, strange = open_set
    detector = EnergyDetector(GaussianNB(), cv=3, store_estimators=True, max_flag_rate=None)
    detector.fit(X[~strange], y[~strange])
    assert detector.open_set_.sum() <= 3
    # Naive Bayes that never saw them gives them next to no density.
    quality = detector.score_labels(X[strange], y[strange])
    assert quality.max() < 1e-6


def test_energies_are_those_of_out_of_fold_logits(open_set):
    X, y, _, _ = open_set
    folds = list(StratifiedKFold(3).split(X, y))
    model = LogisticRegression(tol=1e-8, max_iter=1000)
    for temperature in (1.0, 2.0):
        detector = EnergyDetector(model, cv=folds, temperature=temperature, max_flag_rate=None)
        detector.fit(X, y)
        logits = cross_val_predict(model, X, y, cv=folds, method="decision_function")
        expected = -temperature * logsumexp(logits / temperature, axis=1)
        np.testing.assert_allclose(detector.energy_, expected, rtol=1e-3, atol=1e-3)


def test_logits_of_different_classifiers(open_set):
    X, y, _, _ = open_set
    model = GaussianNB().fit(X, y)
    np.testing.assert_allclose(logits_of(model, X)[0], model.predict_joint_log_proba(X))
    model = LogisticRegression(max_iter=1000).fit(X, y > 0)
    logits, classes = logits_of(model, X)
    np.testing.assert_array_equal(classes, [False, True])
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], model.decision_function(X))
    np.testing.assert_allclose(logits.sum(axis=1), 0, atol=1e-9)
    forest = ExtraTreesClassifier(10, min_samples_leaf=5, random_state=0).fit(X, y)
    logits, _ = logits_of(forest, X)
    np.testing.assert_allclose(logits.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_array_equal(logits.argmax(axis=1), forest.predict_proba(X).argmax(axis=1))
    energy = -logsumexp(logits, axis=1)
    assert energy.max() <= -np.log(3) + 1e-9
    assert energy.max() - energy.min() > 0.1


def test_classifiers_without_probabilities_and_texts():
    y = np.random.default_rng(0).choice(["ham", "spam"], 200)
    texts = [("win cash " if label == "spam" else "see you ") * 2 for label in y]
    texts = [f"{text} {'abcdefgh'[i % 8] * 3}" for i, text in enumerate(texts)]
    wrong = y.copy()
    wrong[:10] = np.where(y[:10] == "ham", "spam", "ham")
    for last in (LinearSVC(), Perceptron()):
        detector = EnergyDetector(make_pipeline(TfidfVectorizer(), last), random_state=0)
        detector.fit(texts, wrong)
        assert rank_auc(-detector.label_quality_, np.arange(200) < 10) > 0.9
    with pytest.raises(ValueError, match="Pass an estimator that takes X as it is"):
        EnergyDetector().fit(texts, wrong)


def test_bad_input(open_set):
    X, y, _, _ = open_set
    with pytest.raises(ValueError, match="temperature"):
        EnergyDetector(temperature=0).fit(X, y)
    with pytest.raises(TypeError, match="KNeighborsRegressor has none of predict_joint_log_proba"):
        EnergyDetector(KNeighborsRegressor()).fit(X, y)


def test_flags_and_quality_are_in_one_order(open_set):
    X, y, _, _ = open_set
    for model in (None, GaussianNB()):
        detector = EnergyDetector(model, store_estimators=True, max_flag_rate=None, random_state=0)
        detector.fit(X, y)
        assert detector.label_errors_.any()
        assert detector.threshold_ == 0.5
        np.testing.assert_array_equal(detector.label_errors_, detector.label_quality_ < 0.5)
        np.testing.assert_array_equal(detector.detect(X, y), detector.score_labels(X, y) < 0.5)


def test_fitted_models_predict_new_rows():
    X, y, _ = make_rows(120, noise=0.1, seed=0)
    detector = ConfidentLearning(GaussianNB(), store_estimators=True).fit(X, y)
    mean = np.mean([model.predict_proba(X) for model in detector.estimators_], axis=0)
    own = mean[np.arange(120), y]
    np.testing.assert_allclose(detector.score_labels(X, y), own)
