"""What is particular to ScorePruner; tests/test_common.py holds what all reweighters share."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.detection import ConfidentLearning, EnsembleDetector, TrainingDynamics
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.weighting import ScorePruner


class Known(LabelErrorDetector):
    """Finds the quality of each label in the first column, and flags what is below .3."""

    def __init__(self, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate

    def _detect(self, data):
        quality = np.asarray(data.X)[:, 0].astype(float)
        return DetectionResult(quality, quality < 0.3, threshold=0.3)


# Class 0 has qualities .0 to .9, class 1 has .50 to .95.
QUALITY = np.concatenate([np.arange(10) / 10, 0.5 + np.arange(10) / 20])[:, None]
LABELS = np.repeat([0, 1], 10)


def _kept(y=LABELS, X=QUALITY, sample_weight=None, verified_labels=None, **params):
    pruner = ScorePruner(detector=Known(), **params)
    pruner.fit(X, y, sample_weight=sample_weight, verified_labels=verified_labels)
    weight = pruner.sample_weight_
    np.testing.assert_array_equal(pruner.sample_indices_, np.flatnonzero(weight))
    assert len(np.unique(weight[weight > 0])) == 1, "all that is kept counts the same"
    before = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
    labelled = np.array([label is not None for label in y])
    np.testing.assert_allclose(weight @ before, before[labelled].sum())
    return pruner.sample_indices_.tolist()


def test_windows():
    first, second = range(10), range(10, 20)
    assert _kept() == [*first[3:], *second]  # what is flagged is left out
    assert _kept(offset=0) == [*first, *second]
    assert _kept(offset=0.2) == [*first[2:], *second[2:]]
    assert _kept(offset=0.2, keep=0.5) == [*first[2:7], *second[2:7]]
    assert _kept(offset=0, keep=0.3) == [*first[:3], *second[:3]]
    assert _kept(keep=0.3) == [*first[3:6], *second[:3]]
    assert _kept(offset=0.5, keep=1) == [*first[5:], *second[5:]]
    # By the order of all rows, the class of lower quality loses more.
    assert _kept(offset=0.25, per_class=False) == [*first[5:], *second]
    assert _kept(offset=0.25, keep=0.25, per_class=False) == [5, 6, 10, 11, 12]


def test_no_class_vanishes():
    low = np.array([[0.1], [0.2], [0.2], [0.8], [0.9], [0.7], [0.6]])
    y = [0, 0, 0, 1, 1, 1, 1]
    # All of class 0 would be skipped: its best rows stay, and tied ones together.
    assert _kept(y, low, offset=0.5, per_class=False) == [1, 2, 3, 4, 5]
    # Only class 0 lies in the window: of class 1 what is nearest to it stays.
    assert _kept(y, low, offset=0, keep=0.4, per_class=False) == [0, 1, 2, 6]
    # A single row is never skipped for a share of less than half of it, and rescued for more.
    assert _kept([0, 1, 1, 1], np.array([[0.1], [0.5], [0.6], [0.7]]), offset=0.9) == [0, 3]


def test_equal_rows_share_one_fate():
    X = np.array([[0.5], [0.5], [0.5], [0.6], [0.7], [0.8], [0.9], [0.9]])
    y = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert _kept(y, X, offset=1 / 6) == list(range(8))  # one of three: less than half of them
    assert _kept(y, X, offset=2 / 6) == list(range(3, 8))


def test_shares_are_of_the_weight():
    weight = np.ones(20)
    weight[:2] = 5
    assert _kept(offset=10 / 18, sample_weight=weight)[:8] == list(range(2, 10))
    weight[0] = 0
    assert 0 not in _kept(offset=0, sample_weight=weight)
    order = np.random.default_rng(0).integers(1, 4, size=20)
    once = _kept(offset=0.3, keep=0.4, sample_weight=order)
    rows = np.repeat(np.arange(20), order)
    again = _kept(LABELS[rows], QUALITY[rows], offset=0.3, keep=0.4)
    assert sorted(set(rows[again])) == once
    assert len(again) == order[once].sum()


def test_verified_rows_are_kept_and_count_in_no_share():
    verified = np.full(20, np.nan)
    verified[0], verified[1], verified[19] = 0, 1, 1
    kept = _kept(offset=0.5, keep=0.25, verified_labels=verified)
    # Of eight and of nine unverified rows, four and five are skipped, two are kept.
    assert kept == [0, 1, 6, 7, 15, 16, 19]
    pruner = ScorePruner(detector=Known(), offset=0.5, keep=0.25)
    X_kept, y_kept = pruner.fit_resample(QUALITY, LABELS, verified_labels=verified)
    assert dict(zip(pruner.sample_indices_, y_kept))[1] == 1
    np.testing.assert_array_equal(X_kept, QUALITY[pruner.sample_indices_])


def test_rows_without_score_are_kept_without_label_not():
    X = QUALITY.copy()
    X[0] = np.nan
    y = LABELS.astype(object)
    y[1] = None
    kept = _kept(y, X, offset=0.5)
    assert 0 in kept
    assert 1 not in kept


def test_resampling_keeps_containers():
    frame = pd.DataFrame(QUALITY, columns=["quality"])
    labels = pd.Series(LABELS)
    pruner = ScorePruner(detector=Known(), offset=0.2)
    X_kept, y_kept = pruner.fit_resample(frame, labels)
    pd.testing.assert_frame_equal(X_kept, frame.iloc[pruner.sample_indices_])
    pd.testing.assert_series_equal(y_kept, labels.iloc[pruner.sample_indices_])
    rows = sparse.csr_matrix(np.random.default_rng(0).normal(size=(20, 3)))
    pruner = ScorePruner(detector=ConfidentLearning(LogisticRegression()), offset=0.2)
    assert sparse.issparse(pruner.fit_resample(rows, LABELS)[0])


@pytest.fixture
def noisy(seed):
    X, y = make_blobs(300, centers=[[0, 0], [5, 0], [0, 5]], random_state=seed)
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.3), random_state=seed)
    return X, y, y_noisy, flipped


@pytest.mark.parametrize("statistic", ["aum", "el2n", "forgetting", "mean_loss"])
def test_statistics_of_a_training(statistic, noisy, seed):
    X, _, y, flipped = noisy
    pruner = ScorePruner(statistic, offset=0.3, random_state=seed).fit(X, y)
    detector = TrainingDynamics(statistic=statistic, random_state=seed, max_flag_rate=None)
    np.testing.assert_allclose(pruner.difficulty_, 1 - detector.fit(X, y).label_quality_)
    kept = pruner.sample_indices_
    assert abs(len(kept) - 0.7 * len(y)) < 0.02 * len(y)
    assert flipped[kept].mean() < 0.1


def test_grand_needs_a_linear_last_layer(noisy, seed):
    X, _, y, flipped = noisy
    learner = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.02)
    detector = TrainingDynamics(learner, n_stages=5)
    pruner = ScorePruner("grand", detector=detector, offset=0.3, random_state=seed).fit(X, y)
    assert pruner.detector_.statistic == "grand"
    assert detector.statistic == "aum"
    assert flipped[pruner.sample_indices_].mean() < 0.2


def test_default_leaves_out_flagged_rows(noisy, seed):
    X, _, y, flipped = noisy
    pruner = ScorePruner(random_state=seed).fit(X, y)
    assert isinstance(pruner.detector_, EnsembleDetector)
    np.testing.assert_array_equal(pruner.sample_weight_ == 0, pruner.detector_.label_errors_)
    assert flipped[pruner.sample_indices_].mean() < 0.05


def test_margins(noisy):
    X, _, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), quality_method="normalized_margin")
    pruner = ScorePruner(detector=detector, offset=0.1, keep=0.6).fit(X, y)
    np.testing.assert_allclose(pruner.difficulty_, 1 - detector.fit(X, y).label_quality_)
    for k in range(3):
        assert abs((pruner.sample_weight_[y == k] > 0).mean() - 0.6) < 0.03


@pytest.mark.parametrize(
    "params, kind, words",
    [
        ({"statistic": "loss"}, ValueError, "'statistic'"),
        ({"offset": 1.0}, ValueError, "'offset'"),
        ({"offset": -0.1}, ValueError, "'offset'"),
        ({"keep": 0}, ValueError, "'keep'"),
        ({"keep": 1.1}, ValueError, "'keep'"),
        ({"per_class": 2}, ValueError, "'per_class'"),
        ({"statistic": "el2n", "detector": Known()}, TypeError, "statistic='el2n'.*got Known"),
        ({"detector": GaussianNB()}, TypeError, "is no label-error detector"),
    ],
)
def test_bad_parameters(params, kind, words):
    with pytest.raises(kind, match=words):
        ScorePruner(**params).fit(QUALITY, LABELS)
