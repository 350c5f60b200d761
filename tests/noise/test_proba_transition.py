"""Common behaviour of the transition estimators that use probabilities."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    DualTransition,
    TrustedTransition,
)
from tests._proba_rows import TRANSITION, forest, noisy_rows

UNAIDED = (ConfidentTransition, AnchorTransition, DualTransition)
ALL = (*UNAIDED, TrustedTransition)


def _verify_some(truth, share, seed):
    checked = np.random.default_rng(seed).random(len(truth)) < share
    return np.where(checked, truth, np.nan)


@pytest.mark.parametrize("cls", ALL)
def test_intervals_hold(cls, seed):
    inside, width = [], []
    for draw in range(6):
        X, y, truth = noisy_rows(900, 10 * seed + draw)
        verified = _verify_some(truth, 0.1, draw) if cls is TrustedTransition else None
        estimator = cls(GaussianNB(), n_bootstrap=40, random_state=seed)
        estimator.fit(X, y, verified_labels=verified)
        low, high = estimator.transition_interval_
        assert low.shape == (3, 3)
        assert (low <= estimator.transition_matrix_ + 0.03).all()
        assert (high >= estimator.transition_matrix_ - 0.03).all()
        inside.append((low <= TRANSITION) & (high >= TRANSITION))
        width.append(high - low)
    # About nine in ten, and errors of the entries of one estimate are correlated.
    assert np.mean(inside) > 0.7
    assert 0.03 < np.mean(width) < 0.25
    estimator.set_params(n_bootstrap=0).fit(X, y, verified_labels=verified)
    assert not hasattr(estimator, "transition_interval_")


@pytest.mark.parametrize("cls", ALL)
def test_weights_are_repeated_rows_in_intervals_too(cls, seed):
    X, y, truth = noisy_rows(150, seed)
    weight = np.random.default_rng(seed).integers(0, 4, size=150)
    rows = np.repeat(np.arange(150), weight)
    verified = _verify_some(truth, 0.5, seed)
    estimator = cls(forest(), n_bootstrap=5, random_state=seed)
    estimator.fit(X, y, verified_labels=verified, sample_weight=weight)
    weighed = estimator.transition_matrix_, estimator.transition_interval_
    estimator.fit(X[rows], y[rows], verified_labels=verified[rows])
    assert_allclose(weighed[0], estimator.transition_matrix_, atol=1e-8)
    assert_allclose(weighed[1], estimator.transition_interval_, atol=1e-8)


@pytest.mark.parametrize("cls", UNAIDED)
def test_verified_rows_help(cls, seed):
    plain, helped = [], []
    for draw in range(3):
        X, y, truth = noisy_rows(450, 10 * seed + draw, distance=1.5)
        estimator = cls(GaussianNB(), noise_rate="counted", random_state=draw)
        for errors, verified in ((plain, None), (helped, _verify_some(truth, 0.4, draw))):
            estimator.fit(X, y, verified_labels=verified)
            errors.append(np.abs(estimator.transition_matrix_ - TRANSITION).mean())
    assert np.mean(helped) < np.mean(plain)


@pytest.mark.parametrize("cls", UNAIDED)
def test_overlap_is_not_counted_as_noise(cls, seed):
    counted, extrapolated = [], []
    for transition in (np.eye(3), TRANSITION):
        X, y, truth = noisy_rows(1500, seed, distance=1.8, transition=transition)
        for kind, errors in (("counted", counted), ("extrapolated", extrapolated)):
            fitted = cls(forest(), noise_rate=kind, random_state=seed).fit(X, y)
            errors.append(
                [
                    np.abs(fitted.transition_matrix_ - transition).mean(),
                    abs(fitted.noise_rate_ - np.mean(y != truth)),
                ]
            )
        low, high = fitted.noise_rate_interval_
        assert low - 0.03 <= np.mean(y != truth) <= high
        assert low <= fitted.noise_rate_ <= high
        assert fitted.reliability_ in ("good", "limited")
        assert "of rows whose class is clear" in fitted.reliability_reason_
    assert (np.mean(extrapolated, axis=0) < np.mean(counted, axis=0)).all()
    assert np.mean(extrapolated, axis=0)[1] < 0.05
    fitted.set_params(noise_rate="counted").fit(X, y)
    assert not hasattr(fitted, "reliability_")


@pytest.mark.parametrize("cls", UNAIDED)
def test_where_no_row_is_certain_the_rate_is_unreliable(cls, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(300, 2)), rng.integers(3, size=300)
    fitted = cls(GaussianNB()).fit(X, y)
    assert fitted.reliability_ == "cannot tell"
    assert fitted.noise_rate_interval_[0] == 0
    assert_allclose(fitted.transition_matrix_.sum(axis=1), 1)


@pytest.mark.parametrize("cls", UNAIDED)
def test_equal_rows_are_unreliable(cls):
    fitted = cls(forest()).fit(np.ones((90, 2)), np.arange(90) % 3)
    assert fitted.reliability_ == "cannot tell"
    assert np.isfinite(fitted.transition_matrix_).all()


@pytest.mark.parametrize("cls", UNAIDED)
def test_the_interval_counts_verified_rows(cls, seed):
    X, y, truth = noisy_rows(900, seed)
    fitted = cls(GaussianNB()).fit(X, y, verified_labels=_verify_some(truth, 0.9, seed))
    low, high = fitted.noise_rate_interval_
    assert low <= np.mean(y != truth) <= high
    assert high - low < 0.1


@pytest.mark.parametrize("cls", UNAIDED)
def test_every_row_verified(cls, seed):
    X, y, truth = noisy_rows(900, seed)
    fitted = cls(GaussianNB()).fit(X, y, verified_labels=truth)
    assert_allclose(fitted.class_prior_, 1 / 3)
    assert abs(fitted.noise_rate_ - np.mean(y != truth)) < 0.02


@pytest.mark.parametrize("cls", ALL)
def test_texts_and_missing_labels(cls, seed):
    rng = np.random.default_rng(seed)
    words = {"ham": ["dear", "meeting", "thanks"], "spam": ["prize", "winner", "cash"]}
    truth = np.array(["ham", "spam"], dtype=object)[np.arange(200) % 2]
    X = [" ".join(rng.choice([*words[t], "the", "and"], size=12)) for t in truth]
    y = np.where(rng.random(200) < 0.2, np.where(truth == "ham", "spam", "ham"), truth)
    y[:10] = None
    verified = np.full(200, None)
    verified[5:40] = truth[5:40]
    pipeline = make_pipeline(CountVectorizer(), MultinomialNB())
    fitted = cls(pipeline, n_bootstrap=3).fit(X, y, verified_labels=verified)
    assert fitted.classes_.tolist() == ["ham", "spam"]
    assert_allclose(fitted.transition_matrix_, [[0.8, 0.2], [0.2, 0.8]], atol=0.1)
    with pytest.raises((TypeError, ValueError), match=f"{cls.__name__} without an estimator"):
        cls().fit(X, y, verified_labels=verified)


@pytest.mark.parametrize("cls", ALL)
def test_what_is_refused(cls, seed):
    X, y, truth = noisy_rows(90, seed)
    with pytest.raises(TypeError, match="RidgeClassifier has no predict_proba"):
        cls(RidgeClassifier()).fit(X, y, verified_labels=truth)
    with pytest.raises(ValueError, match="The class 2 was given to no row that counts"):
        cls().fit(X, y, verified_labels=truth, sample_weight=(y < 2).astype(float))
    with pytest.raises(ValueError, match="n_bootstrap"):
        cls(n_bootstrap=-1).fit(X, y, verified_labels=truth)


@pytest.mark.parametrize("name, value", [("anchor_share", 0.0), ("anchor_share", 1.5)])
@pytest.mark.parametrize("cls", [AnchorTransition, DualTransition])
def test_bad_shares_of_anchors(cls, name, value, seed):
    X, y, _ = noisy_rows(90, seed)
    with pytest.raises(ValueError, match=name):
        cls(**{name: value}).fit(X, y)


@pytest.mark.parametrize("cls", ALL)
def test_weights_are_routed(cls, seed):
    X, y, truth = noisy_rows(120, seed)
    weight = np.linspace(0.5, 2, 120)
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="GaussianNB"):
            cls(GaussianNB()).fit(X, y, verified_labels=truth, sample_weight=weight)
        asking = cls(GaussianNB().set_fit_request(sample_weight=True))
        asking.fit(X, y, verified_labels=truth, sample_weight=weight)
    plain = cls(GaussianNB()).fit(X, y, verified_labels=truth, sample_weight=weight)
    assert_allclose(asking.transition_matrix_, plain.transition_matrix_)


def test_sparse_rows(seed):
    X, y, _ = noisy_rows(150, seed)
    X = np.where(np.abs(X) < 1, 0, X)
    dense = AnchorTransition(LogisticRegression()).fit(X, y)
    fitted = AnchorTransition(LogisticRegression()).fit(sparse.csr_matrix(X), y)
    assert_allclose(fitted.transition_matrix_, dense.transition_matrix_, atol=1e-4)


def test_inside_a_search(seed):
    X, y, _ = noisy_rows(150, seed)

    def known(estimator, X, y):
        return -np.abs(estimator.transition_matrix_ - TRANSITION).mean()

    grid = {"anchor_share": [0.2, 0.6], "estimator": [GaussianNB(), LogisticRegression()]}
    search = GridSearchCV(AnchorTransition(GaussianNB()), grid, scoring=known, cv=2)
    search.fit(X, y)
    assert search.best_score_ > -0.15


def _grouped_rows(seed):
    """Rows of a group are nearly equal and share a label that is random."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(100), 6))
    X = 10 * rng.normal(size=(100, 2))[groups] + 0.01 * rng.normal(size=(600, 2))
    return X, rng.integers(2, size=100)[groups], groups


@pytest.mark.parametrize("cls", UNAIDED)
def test_groups_share_a_fold(cls, seed):
    X, y, groups = _grouped_rows(seed)
    estimator = cls(KNeighborsClassifier(3), noise_rate="counted", random_state=0)
    assert estimator.fit(X, y).noise_rate_ < 0.05
    assert estimator.fit(X, y, groups=[f"patient {g}" for g in groups]).noise_rate_ > 0.2


def test_groups_are_drawn_together_in_bootstrap_samples(seed):
    X, y, truth = noisy_rows(600, seed)
    groups = np.argsort(np.argsort(3 * y + truth, kind="stable")) // 20
    estimator = AnchorTransition(forest(), cv=5, n_bootstrap=50, random_state=0)
    widths = [
        np.ptp(estimator.fit(X, y, groups=groups).transition_interval_, axis=0).mean()
        for groups in (np.arange(600), groups)
    ]
    assert widths[1] > 1.5 * widths[0]
