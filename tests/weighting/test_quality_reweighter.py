"""What is particular to QualityReweighter; tests/test_common.py holds what all of them share."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline

from skrobust.base import DetectionResult, LabelErrorDetector
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.weighting import QualityReweighter


@pytest.fixture
def noisy(seed):
    X, y = make_blobs(240, centers=[[0, 0], [4, 0], [0, 4]], random_state=seed)
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.3), random_state=seed)
    return X, y, y_noisy, flipped


class Known(LabelErrorDetector):
    """Finds the quality of each label in the first column."""

    def __init__(self, threshold=None, flag_fraction=None, max_flag_rate=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate

    def _detect(self, data):
        quality = np.asarray(data.X)[:, 0].astype(float)
        return DetectionResult(quality, quality < 0.5, threshold=0.5)


QUALITY = np.array([[0.5], [1.0], [1.0], [0.2], [0.4], [np.nan]])
LABELS = np.array(["a", "a", "a", "b", "b", "b"])


@pytest.mark.parametrize("power", [0, 1, 2.5])
@pytest.mark.parametrize("per_class", [True, False])
def test_is_a_power_of_the_quality(power, per_class):
    reweighter = QualityReweighter(Known(), power=power, per_class=per_class)
    weight = reweighter.fit(QUALITY, LABELS).sample_weight_
    expected = np.array([0.5, 1, 1, 0.2, 0.4, 1]) ** power  # rows without a score have weight 1
    if per_class:
        expected[:3] /= expected[:3].mean()
        expected[3:] /= expected[3:].mean()
    np.testing.assert_allclose(weight, expected / expected.mean())


def test_weights_of_before_count_in_the_means():
    before = np.array([2.0, 1, 0, 1, 3, 1])
    reweighter = QualityReweighter(Known(), power=1)
    weight = reweighter.fit(QUALITY, LABELS, sample_weight=before).sample_weight_
    assert weight[2] == 0
    for rows in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(weight[rows] @ before[rows], before[rows].sum())
    np.testing.assert_allclose(weight[0] / weight[1], 0.5)


def test_a_class_of_no_quality_counts_evenly():
    X = np.array([[1.0], [0.5], [0.0], [0.0]])
    weight = QualityReweighter(Known(), power=1).fit(X, [0, 0, 1, 1]).sample_weight_
    np.testing.assert_allclose(weight, [4 / 3, 2 / 3, 1, 1])


def test_verified_rows_count_in_full():
    verified = [None, None, "b", "b", None, None]
    reweighter = QualityReweighter(Known(), power=1, per_class=False)
    weight = reweighter.fit(QUALITY, LABELS, verified_labels=verified).sample_weight_
    np.testing.assert_allclose(weight / weight[1], [0.5, 1, 1, 1, 0.4, 1])
    # The row that turned out to be of the other class counts there.
    weight = QualityReweighter(Known(), power=1).fit(QUALITY, LABELS, verified_labels=verified)
    np.testing.assert_allclose(weight.sample_weight_[:2].mean(), 1)
    np.testing.assert_allclose(weight.sample_weight_[2:].mean(), 1)


def test_a_label_that_is_only_verified_counts():
    labels = LABELS.astype(object)
    labels[:2] = None
    verified = ["a", None, None, None, None, None]
    weight = QualityReweighter(Known()).fit(QUALITY, labels, verified_labels=verified)
    assert weight.sample_weight_[0] > 0
    assert weight.sample_weight_[1] == 0


def test_the_default_finds_errors(noisy, seed):
    X, _, y, flipped = noisy
    reweighter = QualityReweighter(random_state=seed).fit(X, y)
    assert isinstance(reweighter.detector_, EnsembleDetector)
    weight = reweighter.sample_weight_
    assert weight[flipped].mean() < 0.4 < 1 < weight[~flipped].mean()
    np.testing.assert_allclose([weight[y == k].mean() for k in range(3)], 1)
    steep = QualityReweighter(power=8, random_state=seed).fit(X, y).sample_weight_
    assert steep[flipped].mean() < weight[flipped].mean()


def test_parameters_are_propagated(noisy):
    X, _, y, _ = noisy
    detector = ConfidentLearning(GaussianNB(), n_jobs=1)
    folds = PredefinedSplit(np.arange(len(y)) % 4)
    given = QualityReweighter(detector, cv=folds, n_jobs=2, random_state=5).fit(X, y).detector_
    assert (given.cv, given.n_jobs, given.random_state) == (folds, 2, 5)
    kept = QualityReweighter(detector).fit(X, y).detector_
    assert (kept.cv, kept.n_jobs, kept.random_state) == (5, 1, None)
    assert not hasattr(detector, "label_quality_")
    drawn = QualityReweighter(detector, random_state=np.random.RandomState(0)).fit(X, y).detector_
    assert isinstance(drawn.random_state, int)


def test_texts_with_a_detector_that_reads_them(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(120) % 2
    words = [["ant", "hill", "leaf"], ["bee", "hive", "wing"]]
    X = [" ".join(rng.choice(words[k], size=5)) for k in truth]
    y, flipped = flip_labels(truth, symmetric_transition(2, 0.2), random_state=seed)
    detector = ConfidentLearning(make_pipeline(CountVectorizer(), MultinomialNB()))
    reweighter = QualityReweighter(detector).fit(X, y)
    assert reweighter.sample_weight_[flipped].max() < reweighter.sample_weight_[~flipped].min()
    with pytest.raises(ValueError, match="EnsembleDetector without estimators"):
        QualityReweighter().fit(X, y)


def test_prior_weights_reach_the_detector(noisy):
    X, _, y, _ = noisy
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    plain = QualityReweighter(ConfidentLearning(GaussianNB())).fit(X, y, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        model = GaussianNB().set_fit_request(sample_weight=True)
        routed = QualityReweighter(ConfidentLearning(model)).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(plain.sample_weight_, routed.sample_weight_)


@pytest.mark.parametrize(
    "params, kind, words",
    [
        ({"power": -1}, ValueError, "'power'"),
        ({"power": "high"}, ValueError, "'power'"),
        ({"per_class": "yes"}, ValueError, "'per_class'"),
        ({"detector": "forest"}, ValueError, "'detector'"),
        ({"detector": LogisticRegression()}, TypeError, "is no label-error detector"),
    ],
)
def test_bad_parameters(params, kind, words):
    with pytest.raises(kind, match=words):
        QualityReweighter(**params).fit(QUALITY[:5], LABELS[:5])


def test_groups_reach_the_detector(noisy):
    X, _, y, _ = noisy
    groups = np.arange(240) // 8
    reweighter = QualityReweighter(ConfidentLearning(GaussianNB()))
    grouped = reweighter.fit(X, y, groups=groups).detector_.label_quality_
    expected = ConfidentLearning(GaussianNB()).fit(X, y, groups=groups).label_quality_
    np.testing.assert_array_equal(grouped, expected)
    assert not np.array_equal(grouped, reweighter.fit(X, y).detector_.label_quality_)
