"""What is particular to MultilabelDetector; tests/test_common.py holds what all detectors share."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skrobust.detection import MultilabelDetector
from skrobust.detection._multilabel import _two_columns, aggregate_quality
from skrobust.evidence import out_of_bag_proba, out_of_fold_proba
from skrobust.noise._noise_model import estimate_noise_rate
from skrobust.utils import LabelNoiseWarning


@pytest.fixture
def noisy(seed):
    X, y = make_multilabel_classification(
        300, 12, n_classes=4, n_labels=2, allow_unlabeled=True, random_state=seed
    )
    rng = np.random.default_rng(seed)
    wrong = rng.random(y.shape) < 0.05
    return X, y, np.where(wrong, 1 - y, y), wrong


def _proba(X, y, model=None):
    columns = [out_of_fold_proba(model or GaussianNB(), X, column)[:, 1] for column in y.T]
    return np.column_stack(columns)


@pytest.mark.parametrize("rule", ["prune_by_noise_rate", "confident_learning", "prune_by_class"])
def test_flags_and_scores_are_those_of_cleanlab(cleanlab, rule, noisy):
    from cleanlab import multilabel_classification as multilabel

    X, _, y, _ = noisy
    proba = _proba(X, y)
    detector = MultilabelDetector(GaussianNB(), rule=rule, max_flag_rate=None).fit(X, y)
    labels = [np.flatnonzero(row).tolist() for row in y]
    expected = multilabel.filter.find_multilabel_issues_per_class(labels, proba, filter_by=rule)
    assert_array_equal(detector.entry_errors_, expected)
    assert_array_equal(detector.label_errors_, expected.any(axis=1))
    assert_allclose(
        detector.label_quality_, multilabel.get_label_quality_scores(labels, proba), rtol=1e-6
    )
    for kwargs in ({"alpha": 0.5}, {"alpha": 1.0}):
        other = MultilabelDetector(GaussianNB(), **kwargs).fit(X, y)
        scores = multilabel.get_label_quality_scores(
            labels, proba, aggregator_kwargs={"method": "exponential_moving_average", **kwargs}
        )
        assert_allclose(other.label_quality_, scores, rtol=1e-6)


def test_aggregates():
    nan = np.nan
    quality = np.array([[0.1, 0.2, 0.3], [nan, 0.4, nan], [nan, nan, nan], [1.0, nan, 0.0]])
    assert_allclose(aggregate_quality(quality, "ema", 0.5), [0.175, 0.4, nan, 0.5])
    assert_allclose(aggregate_quality(quality, "min"), [0.1, 0.4, nan, 0])
    assert_allclose(aggregate_quality(quality, "mean"), [0.2, 0.4, nan, 0.5])
    assert_allclose(aggregate_quality(quality, "ema", 1.0), aggregate_quality(quality, "min"))


def test_one_label_at_a_time_is_its_parts(noisy):
    X, _, y, _ = noisy
    detector = MultilabelDetector(GaussianNB()).fit(X, y)
    proba = _proba(X, y)
    assert_allclose(detector.entry_quality_, np.where(y == 1, proba, 1 - proba))
    assert detector.confident_joint_.shape == (4, 2, 2)
    joint = detector.confident_joint_
    assert_allclose(joint.sum(axis=(1, 2)), 300)
    levels = [estimate_noise_rate(y[:, k], _two_columns(proba[:, k])) for k in range(4)]
    assert_allclose(detector.noise_rate_, np.mean([level.rate for level in levels]))
    ends = [np.mean([getattr(level, end) for level in levels]) for end in ("low", "high")]
    assert_allclose(detector.noise_rate_interval_, ends)
    forest = RandomForestClassifier(20, oob_score=True, random_state=0, min_samples_leaf=3)
    quality = MultilabelDetector(forest).fit(X, y).entry_quality_[:, 2]
    expected = out_of_bag_proba(forest, X, y[:, 2])[np.arange(300), y[:, 2]]
    assert_allclose(quality, expected, atol=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2])
def test_overlap_of_labels_is_not_counted_as_noise(rate, seed):
    X, true = make_multilabel_classification(600, 12, n_classes=4, n_labels=2, random_state=seed)
    wrong = np.random.default_rng(seed).random(true.shape) < rate
    detector = MultilabelDetector(random_state=0, max_flag_rate=None)
    detector.fit(X, np.where(wrong, 1 - true, true))
    joint = detector.confident_joint_
    counted = 1 - np.trace(joint, axis1=1, axis2=2).sum() / joint.sum()
    low, high = detector.noise_rate_interval_
    assert low - 0.03 <= wrong.mean() <= high
    assert abs(detector.noise_rate_ - wrong.mean()) < abs(counted - wrong.mean())
    assert detector.reliability_ in ("good", "limited")


def test_where_labels_cannot_be_learned_the_rate_is_unreliable(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(200, 3)), rng.integers(2, size=(200, 3))
    detector = MultilabelDetector(random_state=0, max_flag_rate=None).fit(X, y)
    assert detector.reliability_ == "cannot tell"
    assert detector.noise_rate_interval_[0] == 0
    detector.fit(np.ones((200, 3)), y)
    assert 0 <= detector.noise_rate_ <= detector.noise_rate_interval_[1] <= 1
    assert detector.reliability_ != "good"


def test_default_finds_planted_errors(noisy):
    X, true, y, wrong = noisy
    detector = MultilabelDetector(random_state=0, max_flag_rate=None).fit(X, y)
    assert average_precision_score(wrong.ravel(), 1 - detector.entry_quality_.ravel()) > 0.3
    flagged = detector.entry_errors_
    assert_array_equal(detector.suggested_labels_, np.where(flagged, 1 - y, y))
    assert wrong[flagged].mean() > 3 * wrong.mean()
    assert (detector.suggested_labels_ == true)[flagged & wrong].all()
    assert detector.suggested_labels_.dtype.kind == "i"


@pytest.mark.parametrize(
    "model, strategy",
    [
        (MultiOutputClassifier(GaussianNB()), "auto"),
        (OneVsRestClassifier(LogisticRegression()), "auto"),
        (ClassifierChain(GaussianNB()), "auto"),
        (RandomForestClassifier(20, random_state=0), "native"),
        (
            MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, max_iter=5000, random_state=0),
            "native",
        ),
    ],
)
def test_models_of_all_labels_at_once(model, strategy, noisy):
    X, _, y, wrong = noisy
    X = X / X.std(axis=0)
    detector = MultilabelDetector(model, strategy=strategy, cv=3, store_estimators=True).fit(X, y)
    assert len(detector.estimators_) == 3
    assert detector.entry_quality_[wrong].mean() < detector.entry_quality_[~wrong].mean()
    assert detector.detect(X, y, entries=True).shape == y.shape
    assert_array_equal(detector.detect(X, y), detector.detect(X, y, entries=True).any(axis=1))
    # Rows without some of their entries are predicted, but not learned from.
    holes = y.astype(float)
    holes[:10, 1] = np.nan
    fitted = detector.fit(X, holes)
    assert np.isnan(fitted.entry_quality_[:10, 1]).all()
    assert not np.isnan(fitted.label_quality_).any()
    assert set(np.unique(fitted.suggested_labels_)) == {0, 1}


def test_strategies_agree_on_what_they_share(noisy):
    X, _, y, _ = noisy
    fold = np.arange(300) % 3
    cv = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    one = MultilabelDetector(GaussianNB(), cv=cv).fit(X, y)
    all_ = MultilabelDetector(MultiOutputClassifier(GaussianNB()), cv=cv).fit(X, y)
    assert_allclose(one.entry_quality_, all_.entry_quality_)
    assert_array_equal(one.entry_errors_, all_.entry_errors_)


def test_labels_that_cannot_be_learned(noisy):
    X, _, y, _ = noisy
    y = y.astype(float)
    y[:, 0] = 1
    y[:, 2] = 0
    y[7, 2] = 1
    detector = MultilabelDetector(GaussianNB(), store_estimators=True).fit(X, y)
    assert np.isnan(detector.entry_quality_[:, 0]).all()
    assert np.isnan(detector.entry_quality_[7, 2])
    assert not np.isnan(detector.label_quality_).any()
    assert_array_equal(detector.suggested_labels_[:, 0], 1)
    assert np.isnan(detector.score_labels(X, y, entries=True)[:, 0]).all()
    y[:5, 0] = np.nan
    suggested = detector.fit(X, y).suggested_labels_
    assert np.isnan(suggested[:5, 0]).all()
    empty = np.where(np.arange(300)[:, None] < 3, np.nan, y)
    fitted = detector.fit(X, empty)
    assert not np.isin([0, 1, 2], fitted.sample_indices_).any()
    assert not fitted.keep_weight_[:3].any()


def test_verified_entries(noisy):
    X, true, y, _ = noisy
    verified = np.where(np.arange(300)[:, None] % 4 == 0, true, -1).astype(float)
    verified[verified < 0] = np.nan
    verified[:, 3] = np.nan
    detector = MultilabelDetector(GaussianNB()).fit(X, y, verified_labels=verified)
    known = ~np.isnan(verified)
    assert_array_equal(detector.entry_errors_[known], (y != true)[known])
    assert_array_equal(detector.entry_quality_[known], (y == true)[known])
    assert_array_equal(detector.suggested_labels_[known], true[known])
    assert not np.isin(detector.entry_quality_[~known], [0, 1]).all()
    everything = MultilabelDetector(GaussianNB()).fit(X, y, verified_labels=true)
    assert_allclose(everything.noise_rate_, (y != true).mean())
    with pytest.raises(ValueError, match=r"verified_labels has shape \(300, 2\)"):
        detector.fit(X, y, verified_labels=true[:, :2])


def test_texts_and_frames_pass_through():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=(90, 2))
    texts = [f"{'red ' * a}{'round ' * b}thing {i % 9}" for i, (a, b) in enumerate(y)]
    given = y.copy()
    given[4, 1] = 1 - given[4, 1]
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    detector = MultilabelDetector(model).fit(texts, pd.DataFrame(given, columns=["red", "round"]))
    assert detector.entry_quality_[:, 1].argmin() == 4
    assert not hasattr(detector, "n_features_in_")
    with pytest.raises((TypeError, ValueError), match="Pass an estimator that takes X as it is"):
        MultilabelDetector().fit(texts, given)


def test_warns_when_a_label_nearly_vanishes(noisy):
    X, _, y, _ = noisy
    with pytest.warns(LabelNoiseWarning) as caught:
        MultilabelDetector(GaussianNB(), threshold=1.0).fit(X, y)
    messages = [str(warning.message) for warning in caught]
    assert any("of the rows that are given label 1 are flagged for it" in m for m in messages)
    assert any("of the rows that are not given label 3" in m for m in messages)


@pytest.mark.parametrize(
    "y, message",
    [
        (np.array([0, 1] * 150), r"indicator matrix of shape \(n_samples, n_labels\)"),
        (np.full((300, 2), 3), "row 0, column 0 is 3"),
        (np.full((300, 2), 0.5), "row 0, column 0 is 0.5"),
        (np.ones((300, 2)), "there is one class only in each of the 2 columns"),
        (np.ones((300, 0)), "got shape"),
    ],
)
def test_targets_that_are_no_indicators(y, message, noisy):
    with pytest.raises(ValueError, match=message):
        MultilabelDetector(GaussianNB()).fit(noisy[0], y)


def test_models_that_do_not_fit(noisy):
    X, _, y, _ = noisy
    with pytest.raises(TypeError, match="Ridge has no predict_proba"):
        MultilabelDetector(Ridge()).fit(X, y)
    with pytest.raises(TypeError, match="ClassifierChain, but it takes none"):
        MultilabelDetector(ClassifierChain(GaussianNB())).fit(X, y, sample_weight=np.ones(300))
    holes = y.astype(float)
    holes[:, 0] = np.nan
    with pytest.raises(ValueError, match="use strategy='one_vs_rest'"):
        MultilabelDetector(MultiOutputClassifier(GaussianNB())).fit(X, holes)
    fitted = MultilabelDetector(GaussianNB(), store_estimators=True).fit(X, y)
    with pytest.raises(ValueError, match="y has 2 labels, but 4 are known from fit"):
        fitted.detect(X, y[:, :2])


def test_tags():
    tags = get_tags(MultilabelDetector())
    assert tags.input_tags.allow_nan
    assert tags.target_tags.multi_output
    assert not tags.target_tags.single_output
    assert not get_tags(MultilabelDetector(GaussianNB())).input_tags.sparse


def test_corrections_leave_overlap_alone(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 4))
    overlapping = (X[:, :2] + rng.normal(size=(600, 2)) > 0).astype(int)
    detector = MultilabelDetector(random_state=0).fit(X, overlapping)
    assert (detector.corrected_labels_ != overlapping).mean() <= 0.01
    assert (detector.suggested_labels_ != overlapping).mean() > 0.02
    separate = (X[:, :2] > 0).astype(int)
    wrong = rng.random(separate.shape) < 0.1
    y = np.where(wrong, 1 - separate, separate)
    detector.fit(X, y)
    assert (detector.corrected_labels_ != separate).mean() < 0.5 * wrong.mean()
