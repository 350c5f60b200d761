"""Verified rows whose given labels were overwritten: detected, and left out of estimates."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression

from skrobust.base import LabelErrorDetector, LabelledData
from skrobust.base._fitted_attributes import labels_overwritten
from skrobust.detection import ConfidentLearning, NeighborVote, TrustedThreshold
from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    NeighborTransition,
    NoiseSimulator,
    TrustedTransition,
    flip_labels,
    symmetric_transition,
)
from skrobust.utils import LabelNoiseWarning
from skrobust.weighting import TrustedReweighter


@pytest.fixture(scope="module")
def rows():
    X, truth = make_classification(500, 6, n_informative=4, n_clusters_per_class=1, random_state=0)
    y, _ = flip_labels(truth, symmetric_transition(2, 0.35), random_state=0)
    verified = np.where(np.arange(500) < 120, truth.astype(float), np.nan)
    return X, y, verified


LINEAR = LogisticRegression()
FITS = [
    TrustedTransition(LINEAR, random_state=0),
    AnchorTransition(LINEAR, random_state=0),
    ConfidentTransition(LINEAR, random_state=0),
    NeighborTransition(random_state=0),
    NoiseSimulator(random_state=0),
    ConfidentLearning(LINEAR, random_state=0),
    NeighborVote(random_state=0),
    TrustedReweighter(ConfidentLearning(LINEAR), random_state=0),
]


@pytest.mark.parametrize("estimator", FITS, ids=lambda e: type(e).__name__)
def test_overwritten_labels_are_detected_and_not_used(rows, estimator):
    X, y, verified = rows
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = estimator.fit(X, y, verified_labels=verified)
    expected = getattr(kept, "noise_rate_", None)
    overwritten = np.where(np.isnan(verified), y, np.nan_to_num(verified)).astype(int)
    with pytest.warns(LabelNoiseWarning, match="120 verified_labels .* overwritten") as caught:
        estimator.fit(X, overwritten, verified_labels=verified)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    if expected is not None:
        if isinstance(estimator, LabelErrorDetector):
            expected *= 380 / 500  # none of the 120 labels in y is wrong now
        assert abs(estimator.noise_rate_ - expected) < 0.12
    if hasattr(estimator, "transition_matrix_"):
        assert 0.5 < estimator.transition_matrix_.diagonal().mean() < 0.8


@pytest.mark.parametrize("estimator", FITS, ids=lambda e: type(e).__name__)
def test_clean_verified_labels_are_no_cause_for_alarm(rows, estimator):
    X, _, _ = rows
    _, truth = make_classification(500, 6, n_informative=4, n_clusters_per_class=1, random_state=0)
    verified = np.where(np.arange(500) % 4 == 0, truth.astype(float), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = estimator.fit(X, truth, verified_labels=verified)
    assert getattr(fitted, "noise_rate_", 0.0) < 0.1  # a reweighter estimates none


def test_a_difference_must_be_more_than_chance():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    alarms = 0
    for _ in range(200):
        verified = np.where(rng.random(400) < 0.2, y.astype(float), np.nan)
        data = LabelledData.from_arrays(np.zeros((400, 1)), y, verified_labels=verified)
        alarms += labels_overwritten(data, rng.exponential(size=400), 0.3)
    assert alarms <= 10  # 2.3 % of 200, and 2.5 standard errors
    surprise = np.where(np.isnan(verified), 1.0, 0.5)
    assert labels_overwritten(data, surprise, 0.3)
    assert not labels_overwritten(data, surprise, 0.01)  # nothing is missing
    assert not labels_overwritten(data, np.ones(400), 0.3)
    assert not labels_overwritten(data, np.full(400, np.nan), 0.3)
    wrong = np.where(np.arange(400) == np.flatnonzero(~np.isnan(verified))[0], 1 - y, verified)
    data = LabelledData.from_arrays(np.zeros((400, 1)), y, verified_labels=wrong)
    assert not labels_overwritten(data, surprise, 0.3)


def test_a_calibration_by_overwritten_labels_is_refused(rows):
    X, y, verified = rows
    overwritten = np.where(np.isnan(verified), y, np.nan_to_num(verified)).astype(int)
    detector = ConfidentLearning(LINEAR, threshold=TrustedThreshold(), random_state=0)
    with pytest.raises(ValueError, match="not overwritten by the verified labels"):
        detector.fit(X, overwritten, verified_labels=verified)


def test_weights_count_in_the_search_for_overwritten_labels():
    # Six verified labels, of which none is wrong, are hardly less surprising than the others, which
    # a single row of large weight makes surprising.
    y = np.arange(106) % 2
    verified = np.where(np.arange(106) < 6, y.astype(float), np.nan)
    weight, surprise = np.ones(106), np.zeros(106)
    weight[-1], surprise[-1] = 50, 10
    X = np.zeros((106, 1))
    data = LabelledData.from_arrays(X, y, verified_labels=verified, sample_weight=weight)
    assert not labels_overwritten(data, surprise, 0.6)
    repeats = weight.astype(int)
    again = LabelledData.from_arrays(
        np.repeat(X, repeats, axis=0),
        np.repeat(y, repeats),
        verified_labels=np.repeat(verified, repeats),
    )
    assert not labels_overwritten(again, np.repeat(surprise, repeats), 0.6)
    assert labels_overwritten(again, 0.2 * (np.repeat(verified, repeats) != y.repeat(repeats)), 0.6)
