"""How good does DecoyThreshold think its list is, and how good is it?"""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import (
    ConfidentLearning,
    DecoyThreshold,
    EnsembleDetector,
    NeighborVote,
    TrainingDynamics,
)
from skrobust.noise import flip_labels, pair_transition, symmetric_transition
from skrobust.wrappers import CleaningClassifier


def _make(seed, transition, n_samples=1500):
    n_classes = len(transition)
    X, y = make_classification(
        n_samples,
        6,
        n_informative=5,
        n_redundant=0,
        n_classes=n_classes,
        n_clusters_per_class=1,
        class_sep=2.5,
        random_state=seed,
    )
    return X, y, *flip_labels(y, transition, random_state=seed)


def _detector(threshold=None, model=None):
    threshold = DecoyThreshold() if threshold is None else threshold
    model = LinearDiscriminantAnalysis() if model is None else model
    return ConfidentLearning(model, threshold=threshold, max_flag_rate=None)


def _within(interval, value):
    return interval[0] <= value <= interval[1]


@pytest.mark.parametrize("rate", [0.2, 0.35])
@pytest.mark.parametrize("make", [symmetric_transition, pair_transition])
def test_estimates_are_near_the_truth_and_intervals_hold_it(make, rate, seed):
    X, _, y, flipped = _make(seed, make(4, rate))
    detector = _detector().fit(X, y)
    threshold, errors = detector.fitted_threshold_, detector.label_errors_
    precision, recall = flipped[errors].mean(), errors[flipped].mean()
    assert precision > 0.7
    assert recall > 0.5
    assert abs(threshold.noise_rate_ - flipped.mean()) < 0.06
    assert abs(threshold.estimated_precision_ - precision) < 0.25
    assert abs(threshold.estimated_recall_ - recall) < 0.3
    assert _within(threshold.noise_rate_interval_, flipped.mean())
    assert _within(threshold.estimated_precision_interval_, precision)
    assert _within(threshold.estimated_recall_interval_, recall)
    for name in ("noise_rate", "estimated_precision", "estimated_recall"):
        estimate = getattr(threshold, f"{name}_")
        assert _within(getattr(threshold, f"{name}_interval_"), estimate), name
    assert threshold.n_decoys_ == 1500
    assert detector.threshold_ == threshold.threshold_
    assert_array_equal(errors, detector.label_quality_ < threshold.threshold_)
    assert_allclose(detector.noise_rate_, threshold.noise_rate_)


def test_a_higher_precision_flags_less(seed):
    X, _, y, flipped = _make(seed, symmetric_transition(3, 0.3), 600)
    n_flagged, precisions = [], []
    detector = _detector()
    for precision in (0.3, 0.6, 0.9, 0.99):
        detector.set_params(threshold__precision=precision).fit(X, y)
        n_flagged.append(detector.label_errors_.sum())
        precisions.append(flipped[detector.label_errors_].mean() if n_flagged[-1] else 1.0)
        assert n_flagged[-1] == 0 or detector.fitted_threshold_.estimated_precision_ >= precision
    assert n_flagged == sorted(n_flagged, reverse=True)
    assert precisions[-1] > precisions[0]


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_models_that_see_the_labels_are_fitted_again(share, seed):
    X, _, y, flipped = _make(seed, symmetric_transition(3, 0.2), 400)
    threshold = DecoyThreshold(decoy_share=share, random_state=0)
    detector = TrainingDynamics(GaussianNB(), n_stages=3, threshold=threshold, max_flag_rate=None)
    detector.set_params(random_state=0).fit(X, y)
    fitted, errors = detector.fitted_threshold_, detector.label_errors_
    assert fitted.n_decoys_ == round(400 * share)
    # Forty decoys tell only so much; what they cannot tell, the intervals have to.
    assert abs(fitted.noise_rate_ - flipped.mean()) < 0.15
    assert fitted.estimated_precision_interval_[1] > flipped[errors].mean() - 0.25
    assert fitted.estimated_precision_interval_[0] < flipped[errors].mean()
    assert abs(fitted.estimated_recall_ - errors[flipped].mean()) < 0.3
    again = clone(detector).fit(X, y)
    assert_array_equal(again.label_errors_, errors)


def test_planting_leaves_no_class_without_rows():
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(20, int), 1, 1, 2, 2]
    X = rng.normal(size=(24, 2)) + 3 * y[:, None]
    threshold = DecoyThreshold(decoy_share=0.45)
    for random_state in range(5):
        threshold.set_params(random_state=random_state)
        detector = TrainingDynamics(GaussianNB(), n_stages=2, threshold=threshold)
        fitted = detector.set_params(max_flag_rate=None).fit(X, y).fitted_threshold_
        assert 1 <= fitted.n_decoys_ <= 11
    # Two rows of each class are too few for any decoy: nothing is known, nothing is flagged.
    few = np.array([0, 0, 1, 1])
    detector.fit(X[:4] + 3 * few[:, None], few)
    assert detector.fitted_threshold_.n_decoys_ == 0
    assert detector.fitted_threshold_.noise_rate_interval_ == (0, 1)
    assert not detector.label_errors_.any()


@pytest.mark.parametrize("threshold", [None, DecoyThreshold(precision=0.9)])
def test_no_unverified_rows(threshold):
    X, y, y_noisy, flipped = _make(0, symmetric_transition(3, 0.2), 150)
    detector = _detector(threshold).fit(X, y_noisy, verified_labels=y)
    assert_array_equal(detector.label_errors_, flipped)
    assert detector.fitted_threshold_.threshold_ == 0
    assert np.isnan(detector.fitted_threshold_.estimated_precision_)
    assert_allclose(detector.noise_rate_, flipped.mean())


def test_right_labels_are_left_alone(seed):
    X, y = np.random.default_rng(seed).normal(size=(500, 2)), np.arange(500) % 2
    X[:, 0] += 12 * y
    for detector in (_detector(), NeighborVote(threshold=DecoyThreshold())):
        detector.fit(X, y)
        assert detector.label_errors_.sum() <= 2
        assert detector.fitted_threshold_.noise_rate_ < 0.01


def test_weights_are_repetitions(seed):
    X, _, y, _ = _make(seed, symmetric_transition(3, 0.2), 300)
    weight = np.random.default_rng(seed).integers(0, 3, 300)
    fold = np.arange(300) % 3
    many = np.repeat(np.arange(300), weight)
    folds, folds_many = (
        [(np.flatnonzero(f != k), np.flatnonzero(f == k)) for k in range(3)]
        for f in (fold, fold[many])
    )
    one = _detector(model=GaussianNB()).set_params(cv=folds).fit(X, y, sample_weight=weight)
    two = _detector(model=GaussianNB()).set_params(cv=folds_many).fit(X[many], y[many])
    assert_array_equal(one.label_errors_[many], two.label_errors_)
    for name in ("noise_rate_", "estimated_precision_", "estimated_recall_", "n_decoys_"):
        a, b = getattr(one.fitted_threshold_, name), getattr(two.fitted_threshold_, name)
        assert a == pytest.approx(b, rel=1e-6), name


def test_new_rows_have_the_same_threshold(seed):
    X, _, y, _ = _make(seed, symmetric_transition(3, 0.2), 600)
    detector = _detector().set_params(store_estimators=True).fit(X[:400], y[:400])
    quality = detector.score_labels(X[400:], y[400:])
    assert_array_equal(detector.detect(X[400:], y[400:]), quality < detector.threshold_)


def test_clone_pickle_and_repr(seed):
    X, _, y, _ = _make(seed, symmetric_transition(3, 0.2), 200)
    threshold = DecoyThreshold(precision=0.8, random_state=3)
    assert repr(threshold) == "DecoyThreshold(precision=0.8, random_state=3)"
    assert repr(clone(threshold)) == repr(threshold)
    detector = _detector(threshold, GaussianNB()).fit(X, y)
    assert not hasattr(threshold, "threshold_")  # never fitted in place
    loaded = pickle.loads(pickle.dumps(detector))
    assert_array_equal(loaded.label_errors_, detector.label_errors_)
    assert loaded.fitted_threshold_.threshold_ == detector.threshold_
    assert "DecoyThreshold" in repr(detector)
    assert detector._repr_html_()


def test_inside_a_wrapper(seed):
    X, y, y_noisy, flipped = _make(seed, symmetric_transition(3, 0.3), 400)
    ensemble = EnsembleDetector([GaussianNB(), "neighbors"], threshold=DecoyThreshold())
    wrapper = CleaningClassifier(GaussianNB(), detector=ensemble, random_state=0).fit(X, y_noisy)
    assert wrapper.detector_.fitted_threshold_.estimated_precision_ > 0.7
    assert flipped[wrapper.detector_.label_errors_].mean() > 0.7
    assert wrapper.score(X, y) > 0.8


@pytest.mark.parametrize(
    "params", [{"precision": 1.0}, {"decoy_share": 0.5}, {"confidence_level": 0}]
)
def test_bad_values_are_refused(params):
    (name,) = params
    with pytest.raises(ValueError, match=f"'{name}' parameter of DecoyThreshold"):
        _detector(DecoyThreshold(**params)).fit(np.eye(8), np.arange(8) % 2)
