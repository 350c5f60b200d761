"""A threshold between two humps, alone and inside detectors."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import ConfidentLearning, MixtureThreshold
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.wrappers import CleaningClassifier


@pytest.fixture
def humps(seed):
    rng = np.random.default_rng(seed)
    quality = np.concatenate([rng.beta(2, 14, 200), rng.beta(14, 2, 800)])
    return quality, np.arange(1000) < 200


@pytest.fixture
def noisy(seed):
    X, y = make_classification(
        400, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, class_sep=2, random_state=seed
    )
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)
    return X, y_noisy, flipped


@pytest.mark.parametrize(
    ("transform", "n_components"),
    [("logit", 2), ("log", 2), ("identity", 2), ("logit", 3), ("identity", 3)],
)
def test_finds_the_gap(humps, transform, n_components):
    quality, wrong = humps
    threshold = MixtureThreshold(transform=transform, n_components=n_components)
    assert threshold.fit(quality) is threshold
    assert threshold.is_bimodal_
    flagged = quality < threshold.threshold_
    assert flagged[wrong].mean() > 0.75
    assert flagged[~wrong].mean() < 0.1
    assert abs(threshold.noise_rate_ - 0.2) < 0.08
    assert threshold.estimated_precision_ > 0.7
    assert threshold.estimated_recall_ > 0.7


@pytest.mark.parametrize("n_components", [2, 3])
def test_one_hump_is_left_alone(n_components, seed):
    quality = np.random.default_rng(seed).beta(8, 2, 1000)
    threshold = MixtureThreshold(n_components=n_components).fit(quality)
    assert not threshold.is_bimodal_
    assert threshold.threshold_ == 0
    assert threshold.noise_rate_ == 0
    assert np.isnan(threshold.estimated_precision_)
    assert np.isnan(threshold.estimated_recall_)


def test_precision_is_bought_with_recall(humps):
    quality, wrong = humps
    thresholds = []
    for precision in (0.6, 0.8, 0.95):
        threshold = MixtureThreshold(precision=precision).fit(quality)
        thresholds.append(threshold.threshold_)
        assert threshold.estimated_precision_ >= precision
        assert wrong[quality < threshold.threshold_].mean() > precision - 0.15
    assert thresholds[0] > thresholds[1] > thresholds[2] > 0


def test_per_class(humps):
    quality, _ = humps
    y = np.arange(1000) % 2
    # Labels of one class are all right.
    clean = np.random.default_rng(0).beta(14, 2, 1000)
    threshold = MixtureThreshold(per_class=True).fit(np.where(y == 0, quality, clean), y=y)
    assert threshold.class_thresholds_[0] > 0.2
    assert threshold.class_thresholds_[1] == 0
    assert threshold.threshold_ is None
    with pytest.raises(ValueError, match="needs y"):
        MixtureThreshold(per_class=True).fit(quality)


def test_weights_are_repeats(humps):
    quality, _ = humps
    weight = np.random.default_rng(0).integers(0, 3, size=1000)
    one = MixtureThreshold().fit(quality, sample_weight=weight)
    two = MixtureThreshold().fit(np.repeat(quality, weight))
    for name in ("threshold_", "noise_rate_", "estimated_precision_", "estimated_recall_"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9)
    missing = MixtureThreshold().fit(np.append(quality, np.nan))
    assert missing.threshold_ == MixtureThreshold().fit(quality).threshold_


def test_inside_a_detector(noisy):
    X, y, flipped = noisy
    detector = ConfidentLearning(threshold=MixtureThreshold(), random_state=0).fit(X, y)
    fitted = detector.fitted_threshold_
    assert detector.threshold_ == fitted.threshold_
    assert detector.noise_rate_ == pytest.approx(fitted.noise_rate_)
    assert fitted.is_bimodal_
    assert detector.label_errors_[flipped].mean() > 0.6
    assert detector.label_errors_[~flipped].mean() < 0.2
    expected = detector.label_quality_ < detector.threshold_
    np.testing.assert_array_equal(detector.label_errors_, expected)
    per_class = MixtureThreshold(per_class=True)
    detector.set_params(threshold=per_class).fit(X, y)
    assert detector.threshold_ is None
    thresholds = detector.fitted_threshold_.class_thresholds_
    np.testing.assert_array_equal(detector.label_errors_, detector.label_quality_ < thresholds[y])
    assert not hasattr(per_class, "class_thresholds_"), "what the user gave is not fitted"


def test_everything_verified(noisy):
    X, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), threshold=MixtureThreshold())
    detector.fit(X, y, verified_labels=y)
    assert not detector.label_errors_.any()
    assert not detector.fitted_threshold_.is_bimodal_


def test_parameters_clone_pickle_repr_and_grid_search(noisy):
    X, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), threshold=MixtureThreshold())
    detector.set_params(threshold__precision=0.9)
    assert detector.threshold.precision == 0.9
    copy = clone(detector)
    assert copy.threshold is not detector.threshold
    assert copy.threshold.precision == 0.9
    assert repr(copy.threshold) == "MixtureThreshold(precision=0.9)"
    restored = pickle.loads(pickle.dumps(detector.fit(X, y)))
    assert restored.fitted_threshold_.threshold_ == detector.threshold_
    search = GridSearchCV(
        CleaningClassifier(GaussianNB(), detector),
        {"detector__threshold__precision": [None, 0.9]},
        cv=2,
    )
    search.fit(X, y)
    used = search.best_estimator_.detector_.threshold.precision
    assert used == search.best_params_["detector__threshold__precision"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"transform": "sqrt"}, "transform"),
        ({"precision": 1.0}, "precision"),
        ({"n_components": 4}, "n_components"),
        ({"per_class": "yes"}, "per_class"),
    ],
)
def test_bad_parameters(humps, noisy, params, message):
    with pytest.raises(ValueError, match=message):
        MixtureThreshold(**params).fit(humps[0])
    with pytest.raises(ValueError, match=message):
        ConfidentLearning(threshold=MixtureThreshold(**params)).fit(*noisy[:2])


def test_bad_qualities():
    for quality, message in (
        ([0.5, 1.5], r"\[0, 1\]"),
        ([[0.5]], "one-dimensional"),
        ([np.nan], "no entry"),
    ):
        with pytest.raises(ValueError, match=message):
            MixtureThreshold().fit(quality)
