"""Rows of the negative class that belong to another one."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skrobust.detection import NegativeClassDetector
from skrobust.testing._outputs import rank_auc
from skrobust.testing._problems import make_rows


@pytest.fixture
def overlooked(seed):
    """Rows, labels of which a third of the positive ones became negative, and the right ones."""
    X, truth, _ = make_rows(300, noise=0, distance=3.0, seed=seed)
    lost = (truth != 0) & (np.random.default_rng(seed).random(300) < 0.3)
    return X, np.array(["none", "cat", "dog"])[np.where(lost, 0, truth)], truth, lost


@pytest.mark.parametrize("check_positives", [True, False])
def test_overlooked_rows_are_found(overlooked, check_positives):
    X, y, truth, lost = overlooked
    detector = NegativeClassDetector(
        GaussianNB(), negative_label="none", check_positives=check_positives, random_state=0
    ).fit(X, y)
    assert (detector.mode_, detector.negative_label_) == ("intrinsic", "none")
    negative = y == "none"
    assert rank_auc(-detector.label_quality_[negative], lost[negative]) > 0.9
    assert detector.label_errors_[lost].mean() > 0.7
    assert detector.label_errors_[negative & ~lost].mean() < 0.1
    names = np.array(["none", "cat", "dog"])
    found = lost & detector.label_errors_
    assert (detector.suggested_labels_[found] == names[truth[found]]).mean() > 0.9
    assert np.isnan(detector.label_quality_[~negative]).all() == (not check_positives)
    if not check_positives:
        assert not detector.label_errors_[~negative].any()


def test_verified_rows_vote_if_there_are_enough(overlooked):
    X, y, truth, lost = overlooked
    verified = np.full(300, None, dtype=object)
    looked = np.arange(300) % 5 == 0
    verified[looked] = np.array(["none", "cat", "dog"])[truth[looked]]
    detector = NegativeClassDetector(GaussianNB(), negative_label="none", random_state=0)
    detector.fit(X, y, verified_labels=verified)
    assert detector.mode_ == "extrinsic"
    assert detector.n_neighbors_ == 5
    rest = (y == "none") & ~looked
    assert rank_auc(-detector.label_quality_[rest], lost[rest]) > 0.9
    few = np.where(np.arange(300) < 20, verified, None)
    detector.fit(X, y, verified_labels=few)
    assert detector.mode_ == "intrinsic"
    with pytest.raises(ValueError, match="verified_labels"):
        detector.set_params(mode="extrinsic").fit(X, y)


def test_the_negative_class_is_the_most_frequent_unless_named(overlooked):
    X, y, _, _ = overlooked
    assert NegativeClassDetector(GaussianNB()).fit(X, y).negative_label_ == "none"
    with pytest.raises(ValueError, match="negative_label='bird' is none of the classes"):
        NegativeClassDetector(GaussianNB(), negative_label="bird").fit(X, y)
    with pytest.raises(ValueError, match="negative_label=7"):
        NegativeClassDetector(GaussianNB(), negative_label=7).fit(X, y)


def test_text_goes_through_a_pipeline(seed):
    rng = np.random.default_rng(seed)
    topics = [["rain", "sun", "wind"], ["goal", "ball", "team"]]
    truth = np.arange(120) % 2
    texts = [" ".join(rng.choice([*topics[k], "the", "a"], size=6)) for k in truth]
    y = np.where((truth == 1) & (rng.random(120) < 0.25), 0, truth)
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    detector = NegativeClassDetector(
        pipeline, negative_label=0, store_estimators=True, max_flag_rate=None
    ).fit(texts, y)
    assert rank_auc(-detector.label_quality_[y == 0], (truth != y)[y == 0]) > 0.9
    assert detector.detect(["goal ball team", "rain sun wind"], [0, 0]).tolist() == [True, False]
    other = NegativeClassDetector(pipeline, negative_label=0, transformer=TfidfVectorizer())
    np.testing.assert_allclose(
        other.fit(texts, y).label_quality_, detector.label_quality_, rtol=1e-6
    )
    with pytest.raises((TypeError, ValueError), match="ConfidentLearning"):
        NegativeClassDetector().fit(texts, y)
