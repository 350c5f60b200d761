"""Estimated precision of flags."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.detection import ConfidentLearning, DecoyThreshold, EnsembleDetector
from skrobust.inspection._flag_precision import clopper_pearson, flag_precision
from skrobust.noise import flip_labels, pair_transition, symmetric_transition

MODELS = [
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    ExtraTreesClassifier(60, min_samples_leaf=3, bootstrap=True, oob_score=True, random_state=0),
]


def detect(X, y, **settings):
    return EnsembleDetector(MODELS, n_rounds=1, random_state=0, max_flag_rate=None, **settings).fit(
        X, y
    )


@pytest.mark.parametrize(
    "transition",
    [symmetric_transition(2, 0.05), symmetric_transition(2, 0.2), pair_transition(2, 0.3)],
    ids=["5 %", "20 %", "30 %"],
)
@pytest.mark.parametrize("data", ["cancer", "overlap"])
def test_interval_covers_the_precision(data, transition):
    if data == "cancer":
        X, y = load_breast_cancer(return_X_y=True)
    else:
        X, y = make_classification(600, 8, n_informative=5, flip_y=0, random_state=1)
    y_noisy, flipped = flip_labels(y, transition, random_state=0)
    detector = detect(X, y_noisy)
    found = flag_precision(detector)
    true = flipped[detector.label_errors_].mean()
    assert found.low <= true <= found.high
    assert found.low > 0 or detector.reliability_ != "good"
    if found.estimate is not None:
        assert found.low <= found.estimate <= found.high


def test_decoy_threshold_brings_its_own_estimate():
    X, y = load_breast_cancer(return_X_y=True)
    y_noisy, _ = flip_labels(y, symmetric_transition(2, 0.2), random_state=0)
    detector = detect(X, y_noisy, threshold=DecoyThreshold(precision=0.9))
    found = flag_precision(detector)
    assert found.estimate == detector.fitted_threshold_.estimated_precision_
    assert found.reason == "by DecoyThreshold"


def test_no_estimate_without_probabilities_or_flags():
    X, y = load_breast_cancer(return_X_y=True)
    found = flag_precision(ConfidentLearning(GaussianNB()).fit(X, y))
    assert found.estimate is None
    assert "only verified rows show it" in found.reason
    found = flag_precision(ConfidentLearning(GaussianNB(), threshold=0.0).fit(X, y))
    assert found.estimate is None
    assert "no label is flagged" in found.reason


def test_no_estimate_without_reliability():
    """Labels that are random noise to every model."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 4)), rng.integers(0, 2, 300)
    detector = detect(X, y, flag_fraction=0.1)
    assert detector.reliability_ == "cannot tell"
    found = flag_precision(detector)
    assert found.estimate is None
    assert found.low == 0
    assert "overlap of the classes" in found.reason


def test_clopper_pearson_known_values():
    # Five of ten: R's binom.test(5, 10, conf.level=.9).
    np.testing.assert_allclose(clopper_pearson(5, 10), (0.2224411, 0.7775589), rtol=1e-6)
    assert clopper_pearson(0, 10)[0] == 0
    assert clopper_pearson(10, 10)[1] == 1
    assert clopper_pearson(0, 0) == (0, 1)


def test_few_errors_at_most_give_no_estimate():
    """Without wrong labels, what is flagged may be anything."""
    X, y = load_breast_cancer(return_X_y=True)
    detector = detect(X, y, flag_fraction=0.02)
    assert detector.label_errors_.sum() == 11
    found = flag_precision(detector)
    assert found.estimate is None
    assert found.low == 0
    assert found.high > 0.9
