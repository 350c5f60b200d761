"""What is particular to ResidualDetector; tests/test_common.py holds what all detectors share."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

from skrobust.detection import DecoyThreshold, MixtureThreshold, ResidualDetector
from skrobust.detection._residual_rules import best_share, mixture_threshold, r2
from skrobust.evidence._folds import make_value_folds
from skrobust.evidence._values import collect_values_out_of_bag
from skrobust.utils._weights import weighted_median

FOREST = ExtraTreesRegressor(60, bootstrap=True, oob_score=True, min_samples_leaf=5, random_state=0)


def _corrupt(y, rate, seed):
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(y), dtype=bool)
    wrong[rng.choice(len(y), round(rate * len(y)), replace=False)] = True
    return np.where(wrong, y + 3 * y.std() * rng.normal(size=len(y)), y), wrong


@pytest.fixture
def noisy(seed):
    X, y = make_friedman1(300, noise=1, random_state=seed)
    y_noisy, wrong = _corrupt(y, 0.1, seed)
    return X, y, y_noisy, wrong


def test_is_its_parts(noisy):
    X, _, y, _ = noisy
    detector = ResidualDetector(Ridge(), cv=KFold(4), random_state=0).fit(X, y)
    # The first round leaves out rows that the second scores by the models of their fold.
    first = cross_val_predict(Ridge(), X, y, cv=KFold(4))
    assert np.corrcoef(first, detector.predictions_)[0, 1] > 0.9
    assert_allclose(detector.residuals_, y - detector.predictions_)
    scores = np.abs(detector.residuals_) / detector.uncertainty_
    assert_allclose(detector.label_quality_, np.exp(-scores / np.median(scores)))
    assert_allclose(np.median(detector.label_quality_), np.exp(-1), rtol=1e-3)
    assert_array_equal(detector.label_errors_, scores > mixture_threshold(scores))
    assert_array_equal(detector.label_errors_, detector.label_quality_ < detector.threshold_)
    low, high = detector.noise_rate_interval_
    assert low <= detector.noise_rate_ <= high


def test_rate_is_that_of_decoys_whatever_is_flagged(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 4))
    y = X[:, 0] * 3 + X[:, 1] + rng.normal(size=600) * 0.3
    clean = ResidualDetector(Ridge()).fit(X, y)
    assert clean.noise_rate_ < 0.02
    assert clean.reliability_ == "good"
    wrong = rng.random(600) < 0.15
    y[wrong] = rng.permutation(y[wrong])
    plain, decoys = (
        ResidualDetector(Ridge(), threshold=threshold).fit(X, y)
        for threshold in (None, DecoyThreshold())
    )
    assert abs(plain.noise_rate_ - wrong.mean()) < 0.06
    assert plain.noise_rate_ == pytest.approx(decoys.noise_rate_, abs=0.02)
    low, high = plain.noise_rate_interval_
    assert low <= wrong.mean() <= high
    assert f"{100 * (high - low):.1f} points wide" in plain.reliability_reason_
    trusted = ResidualDetector(Ridge(), threshold=MixtureThreshold(per_class=False)).fit(X, y)
    assert trusted.reliability_ == "limited"
    verified = np.where(rng.random(600) < 0.5, y, np.nan)
    half = ResidualDetector(Ridge()).fit(X, y, verified_labels=verified)
    assert half.noise_rate_ < plain.noise_rate_


def test_default_finds_planted_errors_and_suggests_better(noisy):
    X, true, y, wrong = noisy
    detector = ResidualDetector(random_state=0).fit(X, y)
    assert average_precision_score(wrong, 1 - detector.label_quality_) > 0.7
    assert wrong[detector.label_errors_].mean() > 0.8
    found = detector.label_errors_ & wrong
    error = np.abs(detector.suggested_labels_ - true)[found].mean()
    assert error < np.abs(y - true)[found].mean() / 3
    kept = ~detector.label_errors_
    assert_array_equal(detector.suggested_labels_[kept], y[kept])


@pytest.mark.parametrize("name", ["diabetes", "friedman"])
def test_at_least_as_good_as_cleanlab(cleanlab, name):
    from cleanlab.regression.learn import CleanLearning

    if name == "diabetes":
        X, y = load_diabetes(return_X_y=True)
    else:
        X, y = make_friedman1(400, noise=1, random_state=0)
    ours, theirs = [], []
    for seed in range(2):
        y_noisy, wrong = _corrupt(y, 0.1, seed)
        detector = ResidualDetector(LinearRegression(), random_state=0).fit(X, y_noisy)
        other = CleanLearning(LinearRegression(), seed=0).find_label_issues(X, y_noisy)
        for scores, quality, errors in (
            (ours, detector.label_quality_, detector.label_errors_),
            (theirs, other["label_quality"], other["is_label_issue"]),
        ):
            scores.append([average_precision_score(wrong, 1 - quality), f1_score(wrong, errors)])
    gain = np.mean(ours, axis=0) - np.mean(theirs, axis=0)
    assert gain[0] > -0.01
    assert gain[1] > 0.1


def test_a_forest_predicts_out_of_bag_only_with_oob_score(noisy):
    X, _, y, _ = noisy
    for forest in (FOREST, RandomForestRegressor(60, oob_score=True, random_state=0)):
        used = np.ones(len(y), dtype=bool)
        ours = collect_values_out_of_bag(forest, X, y, used)
        # The rows are in another order, so that the trees are others of the same kind.
        expected = forest.fit(X, y).oob_prediction_
        assert np.corrcoef(ours.predictions, expected)[0, 1] > 0.8
        assert (ours.deviation > 0).all()
    plain = ExtraTreesRegressor(10, random_state=0)
    assert len(ResidualDetector(plain, store_estimators=True).fit(X, y).estimators_) == 5
    assert len(ResidualDetector(FOREST, store_estimators=True).fit(X, y).estimators_) == 1
    groups = np.arange(len(y)) // 3
    grouped = ResidualDetector(FOREST, cv=3, store_estimators=True).fit(X, y, groups=groups)
    assert len(grouped.estimators_) == 3
    by_cv = ResidualDetector(Ridge(), cv=GroupKFold(3), store_estimators=True)
    assert len(by_cv.fit(X, y, groups=groups).estimators_) == 3


def test_refit_rule_chooses_the_share_by_r2_over_all_rows(noisy):
    X, _, y, wrong = noisy
    detector = ResidualDetector(Ridge(), rule="refit", random_state=0).fit(X, y)
    assert 0 < detector.label_errors_.mean() <= 0.21
    assert detector.label_errors_[wrong].mean() > 0.5
    shares = []

    def score(share):
        shares.append(share)
        return -((share - 0.0875) ** 2)

    assert best_share(score) == pytest.approx(0.0875)
    assert shares[:6] == [0.0, 0.01, 0.05, 0.1, 0.15, 0.2]
    assert len(shares) == 12
    assert best_share(lambda share: -share) == 0.0
    y = np.array([0.0, 1, 2, 3])
    assert r2(y, np.array([0, 1, 2, 4.0])) == pytest.approx(0.8)
    assert r2(np.ones(3), np.ones(3)) == 1.0


def test_mixture_threshold():
    rng = np.random.default_rng(0)
    right = np.abs(rng.normal(size=900)) * 0.6
    assert np.mean(right > mixture_threshold(right)) < 0.005
    both = np.concatenate([right, np.abs(rng.normal(size=100)) * 10])
    threshold = mixture_threshold(both)
    assert 1.5 <= threshold < 3
    weight = rng.integers(1, 4, size=len(both)).astype(float)
    repeated = np.repeat(both, weight.astype(int))
    assert_allclose(mixture_threshold(both, weight), mixture_threshold(repeated), rtol=1e-6)
    assert_allclose(mixture_threshold(both, 0.25 * weight), mixture_threshold(repeated), rtol=1e-6)
    assert mixture_threshold(np.zeros(20)) == np.inf
    assert mixture_threshold(np.array([])) == np.inf


def test_mixture_threshold_bounds_the_share_of_right_targets():
    rng = np.random.default_rng(0)
    right, wrong = np.abs(rng.normal(size=9000)), np.abs(rng.normal(size=1000)) * 25
    threshold = mixture_threshold(np.concatenate([right, wrong]))
    n_right, n_wrong = (right > threshold).sum(), (wrong > threshold).sum()
    assert n_right / (n_right + n_wrong) == pytest.approx(0.1, abs=0.02)
    assert n_wrong > 900
    # Where the two overlap, a probability of a quarter is the lower threshold, and more are right.
    wrong /= 7
    threshold = mixture_threshold(np.concatenate([right, wrong]))
    n_right, n_wrong = (right > threshold).sum(), (wrong > threshold).sum()
    assert n_right / (n_right + n_wrong) > 0.12


def test_weighted_median():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 8):
        values, weight = rng.normal(size=n), rng.integers(1, 4, size=n)
        assert_allclose(
            weighted_median(values, weight.astype(float)), np.median(np.repeat(values, weight))
        )
        assert_allclose(weighted_median(values), np.median(values))


def test_folds_go_by_content():
    X = np.arange(40.0)[:, None].repeat(2, axis=0)
    used = np.ones(80, dtype=bool)
    used[5] = False
    folds = make_value_folds(4, X, X[:, 0], used)
    tests = np.concatenate([test for _, test in folds])
    assert_array_equal(np.sort(tests), np.flatnonzero(used))
    for train, test in folds:
        assert not set(X[train, 0]) & set(X[test, 0]), "copies are in different folds"
        # A sorted table is not split into its beginning, middle and end.
        assert np.ptp(test) > 40
    order = np.random.default_rng(0).permutation(80)
    again = make_value_folds(4, X[order], X[order, 0], used[order])
    for (_, test), (_, other) in zip(folds, again, strict=True):
        assert_array_equal(np.sort(order[other]), test)
    groups = np.arange(80) // 8
    for train, test in make_value_folds(3, X, X[:, 0], used, groups):
        assert not set(groups[train]) & set(groups[test])


def test_noise_that_depends_on_the_row():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(600, 3))
    noisy_row = X[:, 0] > 0
    y = X[:, 1] + np.where(noisy_row, 2.0, 0.1) * rng.normal(size=600)
    detector = ResidualDetector(Ridge(), n_bootstrap=2, random_state=0).fit(X, y)
    ratio = np.median(detector.uncertainty_[noisy_row]) / np.median(
        detector.uncertainty_[~noisy_row]
    )
    assert ratio > 3
    even = int(np.flatnonzero(~noisy_row)[0])
    y[even] += 2.5
    wrong = detector.fit(X, y).label_quality_
    assert (wrong < wrong[even]).sum() < 6, "what is usual elsewhere is an error here"


def test_texts_and_frames_pass_through():
    rng = np.random.default_rng(0)
    stars = rng.integers(1, 6, size=120)
    texts = ["good " * n + f"w{i % 7}" for i, n in enumerate(stars)]
    y = stars.astype(float)
    y[:4] = 50
    model = make_pipeline(CountVectorizer(), Ridge(alpha=0.01))
    detector = ResidualDetector(model, store_estimators=True).fit(texts, y)
    assert detector.label_errors_[:4].all()
    assert detector.label_errors_.sum() <= 6
    assert not hasattr(detector, "n_features_in_")
    assert detector.detect(["good good", "good good"], [2.0, 40.0]).tolist() == [False, True]
    with pytest.raises(ValueError, match="could not convert|text") as error:
        ResidualDetector().fit(np.array(texts, dtype=object)[:, None], y)
    assert "Pass an estimator that takes X as it is" in str(error.value)
    frame = pd.DataFrame({"n": stars, "w": pd.Categorical(stars % 2 > 0)})
    frame = frame.assign(w=frame["w"].cat.codes)
    fitted = ResidualDetector(FOREST).fit(frame, pd.array(y, dtype="Float64"))
    assert fitted.feature_names_in_.tolist() == ["n", "w"]


def test_verified_targets_are_learned_from():
    X = np.repeat(np.arange(40.0), 5)[:, None] + 1e-3 * np.arange(200)[:, None] % 0.05
    y = 2 * X[:, 0]
    systematic = X[:, 0] >= 30
    given = np.where(systematic, y - 40, y)
    verified = np.where(systematic & (np.arange(200) % 2 == 0), y, np.nan)
    model = KNeighborsRegressor(3)
    before = ResidualDetector(model).fit(X, given)
    after = ResidualDetector(model).fit(X, given, verified_labels=verified)
    unverified = systematic & np.isnan(verified)
    assert after.label_quality_[unverified].mean() < before.label_quality_[unverified].mean()
    close = ResidualDetector(model).fit(X, y, verified_labels=y * (1 + 1e-9))
    assert (close.label_quality_ == 1).all()
    assert not close.label_errors_.any()
    assert close.noise_rate_ == 0


def test_exact_data_are_not_suspicious():
    X = np.random.default_rng(0).normal(size=(80, 3))
    for y in (X @ [1.0, 2.0, 3.0], np.full(80, 7.5), np.zeros(80)):
        detector = ResidualDetector(LinearRegression(), random_state=0).fit(X, y)
        assert not detector.label_errors_.any()
        assert np.isfinite(detector.label_quality_).all()
        assert np.isfinite(detector.uncertainty_).all()
    y = X @ [1.0, 2.0, 3.0]
    y[3] += 1
    flagged = ResidualDetector(LinearRegression(), random_state=0).fit(X, y).label_errors_
    assert flagged[3]


def test_something_is_always_kept(noisy):
    X, _, y, _ = noisy
    detector = ResidualDetector(Ridge(), threshold=1.0).fit(X, y)
    best = detector.label_quality_ == detector.label_quality_.max()
    assert_array_equal(~detector.label_errors_, best)


def test_new_rows_use_the_same_scale(noisy):
    X, _, y, _ = noisy
    for params in ({}, {"n_bootstrap": 2}):
        detector = ResidualDetector(Ridge(), store_estimators=True, random_state=0, **params)
        detector.fit(X[:200], y[:200])
        quality = detector.score_labels(X[:200], y[:200])
        assert np.corrcoef(quality, detector.label_quality_)[0, 1] > 0.9
        flags = detector.detect(X[200:], y[200:])
        assert_array_equal(flags, detector.score_labels(X[200:], y[200:]) < detector.threshold_)
    with pytest.raises(ValueError, match="features"):
        detector.detect(X[:, :3], y)
    detector.set_params(store_estimators=False).fit(X, y)
    with pytest.raises(AttributeError, match="has no attribute .detect."):
        detector.detect(X, y)


def test_models_that_are_no_regressors(noisy):
    X, _, y, _ = noisy

    class Texts(Ridge):
        def predict(self, X):
            return np.full(len(X), "many")

    class Holes(Ridge):
        def predict(self, X):
            return np.full(len(X), np.nan)

    with pytest.raises(ValueError, match="not one number per row: a regressor is needed"):
        ResidualDetector(Texts()).fit(X, y)
    with pytest.raises(ValueError, match=r"Holes.predict returned NaN or infinite values"):
        ResidualDetector(Holes()).fit(X, y)
    with pytest.raises(ValueError, match="continuous"):
        ResidualDetector(LogisticRegression()).fit(X, y)
    with pytest.raises(TypeError, match="KNeighborsRegressor, but it takes none"):
        ResidualDetector(KNeighborsRegressor()).fit(X, y, sample_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match="At least two distinct rows"):
        ResidualDetector(Ridge()).fit(np.ones((4, 2)), y[:4])
    with pytest.raises(ValueError, match="'cv' parameter .* range .2, inf"):
        ResidualDetector(Ridge(), cv=1).fit(X, y)


def test_tags_follow_the_estimator():
    assert get_tags(ResidualDetector()).input_tags.allow_nan
    assert get_tags(ResidualDetector()).input_tags.sparse
    assert not get_tags(ResidualDetector(Ridge())).input_tags.allow_nan
    assert get_tags(ResidualDetector()).target_tags.required


def _linear_data(seed):
    """Recipe of the tests of cleanlab: three uniform features, a tenth of the targets far off."""
    rng = np.random.RandomState(seed)
    X, coefficients = rng.random_sample((200, 3)), rng.uniform(-1, 1, 3)
    truth = X @ coefficients
    y = truth + 0.2 * rng.normal(size=200)
    extra = 5 * rng.normal(size=20)
    y[rng.choice(200, 20)] += extra
    wrong = np.zeros(200, dtype=bool)
    wrong[np.argsort(np.abs(y - truth))[-20:]] = True
    return X, truth, y, wrong


def test_finds_nine_of_ten_errors_in_linear_data():
    recalls, f1_scores = [], []
    for seed in range(30):
        X, truth, y, wrong = _linear_data(seed)
        errors = ResidualDetector(LinearRegression(), random_state=0).fit(X, y).label_errors_
        recalls.append(errors[wrong].mean())
        f1_scores.append(f1_score(wrong, errors))
    assert np.mean(recalls) >= 0.9
    assert np.mean(f1_scores) > 0.9
    noise = 0.2 * np.random.RandomState(0).normal(size=200)
    clean = ResidualDetector(LinearRegression(), random_state=0).fit(X, truth + noise)
    assert clean.label_errors_.mean() < 0.05


@pytest.mark.parametrize("share", [0.02, 0.04, 0.0625, 0.1875])
def test_the_best_share_is_searched_on_both_sides(share):
    assert best_share(lambda other: -abs(other - share)) == pytest.approx(share)
