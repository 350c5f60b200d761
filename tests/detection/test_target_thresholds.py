"""Threshold objects in the detectors of wrong numbers and of wrong indicators."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

from skrobust.base import LabelQualityThreshold, ThresholdResult
from skrobust.detection import (
    DecoyThreshold,
    MixtureThreshold,
    MultilabelDetector,
    ResidualDetector,
    TrustedThreshold,
)
from skrobust.wrappers import CleaningRegressor

THRESHOLDS = [DecoyThreshold, MixtureThreshold, TrustedThreshold]
KINDS = ["numbers", "indicators"]


def _numbers(seed, rate=0.1, n_samples=600, kind="exchanged"):
    X, true = make_friedman1(n_samples, noise=1, random_state=seed)
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(n_samples) < round(rate * n_samples)
    if kind == "exchanged":
        other = rng.permutation(true)
    else:
        other = true + 3 * true.std() * rng.normal(size=n_samples)
    y = np.where(wrong, other, true)
    return X, true, y, y != true


def _indicators(seed, rate=0.1, n_samples=400):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 5))
    true = (X[:, :3] > [0, 0.3, -0.8]).astype(float)
    X[:, :3] += 0.5 * (2 * true - 1)
    wrong = rng.random(true.shape) < rate
    return X, true, np.where(wrong, 1 - true, true), wrong


def _problem(kind, seed, rate=0.1):
    """Draw rows of one kind, and make the detector that is for them."""
    if kind == "numbers":
        return ResidualDetector(LinearRegression(), random_state=0), *_numbers(seed, rate)
    return MultilabelDetector(GaussianNB(), max_flag_rate=None), *_indicators(seed, rate)


def _some(true, share, seed):
    looked = np.random.default_rng(seed).random(true.shape) < share
    return np.where(looked, true, np.nan)


def _entries(detector):
    """What the detector says of each target: numbers, or entries."""
    if hasattr(detector, "entry_quality_"):
        return detector.entry_quality_, detector.entry_errors_
    return detector.label_quality_, detector.label_errors_


def _of_new(detector, X, y):
    more = {"entries": True} if hasattr(detector, "entry_quality_") else {}
    return detector.score_labels(X, y, **more), detector.detect(X, y, **more)


def _within(interval, value):
    return interval[0] <= value <= interval[1]


@pytest.mark.parametrize("cls", THRESHOLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind, cls, seed):
    detector, X, true, y, wrong = _problem(kind, seed)
    verified = _some(true, 0.3, seed)
    y[:4] = np.nan
    detector.set_params(threshold=cls(), store_estimators=True)
    detector.fit(X[:300], y[:300], verified_labels=verified[:300])
    fitted = detector.fitted_threshold_
    assert not [name for name in vars(detector.threshold) if name.endswith("_")]
    assert isinstance(fitted, cls)
    assert detector.threshold_ == fitted.threshold_
    quality, errors = _entries(detector)
    given, looked = ~np.isnan(y[:300]), ~np.isnan(verified[:300])
    rest = given & ~looked
    assert_array_equal(errors[rest], quality[rest] < detector.threshold_)
    assert_array_equal(errors[given & looked], wrong[:300][given & looked])
    assert_array_equal(quality[given & looked], ~wrong[:300][given & looked])
    assert np.isnan(quality[~given]).all()
    assert not errors[~given].any()
    # What is known exactly is counted as such.
    known = (wrong[:300] & given & looked).sum()
    rate = (known + fitted.noise_rate_ * rest.sum()) / given.sum()
    assert detector.noise_rate_ == pytest.approx(rate)
    new_quality, new_errors = _of_new(detector, X[300:], y[300:])
    assert_array_equal(new_errors, new_quality < detector.threshold_)
    assert new_quality[wrong[300:]].mean() < new_quality[~wrong[300:]].mean()
    loaded = pickle.loads(pickle.dumps(detector))
    assert_array_equal(_of_new(loaded, X[300:], y[300:])[1], new_errors)
    again = clone(detector).fit(X[:300], y[:300], verified_labels=verified[:300])
    assert_array_equal(_entries(again)[1], errors)
    detector.set_params(threshold=None).fit(X[:300], y[:300])
    assert not hasattr(detector, "fitted_threshold_")


@pytest.mark.parametrize("cls", THRESHOLDS)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_repeats(kind, cls, seed):
    detector, X, true, y, _ = _problem(kind, seed)
    X, y, verified = X[:200], y[:200], _some(true, 0.3, seed)[:200]
    weight = np.random.default_rng(seed).integers(0, 3, 200)
    fold = np.arange(200) % 3
    many = np.repeat(np.arange(200), weight)
    first, *second = (
        [(np.flatnonzero(f != k), np.flatnonzero(f == k)) for k in range(3)]
        for f in (fold, fold[many])
    )
    one = clone(detector).set_params(threshold=cls(), cv=first)
    one.fit(X, y, verified_labels=verified, sample_weight=weight)
    two = clone(detector).set_params(threshold=cls(), cv=second[0])
    two.fit(X[many], y[many], verified_labels=verified[many])
    for a, b in zip(_entries(one), _entries(two), strict=True):
        assert_allclose(a[many], b, rtol=1e-4, atol=1e-9)
    for name in ("threshold_", "noise_rate_"):
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-4), name


@pytest.mark.parametrize("kind", ["exchanged", "far"])
def test_decoys_among_numbers_know_how_good_the_list_is(kind):
    gaps, own, ours = [], [], []
    for seed in range(3):
        X, _, y, wrong = _numbers(seed, 0.2, kind=kind)
        detector = ResidualDetector(LinearRegression(), random_state=0).fit(X, y)
        own.append(f1_score(wrong, detector.label_errors_))
        detector.set_params(threshold=DecoyThreshold()).fit(X, y)
        threshold, errors = detector.fitted_threshold_, detector.label_errors_
        ours.append(f1_score(wrong, errors))
        assert threshold.n_decoys_ == 600
        assert _within(threshold.noise_rate_interval_, 0.2)
        assert _within(threshold.noise_rate_interval_, threshold.noise_rate_)
        assert _within(threshold.estimated_precision_interval_, wrong[errors].mean())
        gaps.append(
            (
                threshold.noise_rate_ - 0.2,
                threshold.estimated_precision_ - wrong[errors].mean(),
                threshold.estimated_recall_ - errors[wrong].mean(),
            )
        )
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.3
    assert abs(np.mean(gaps, axis=0)[0]) < 0.1
    assert np.mean(ours) > np.mean(own) + (0.03 if kind == "exchanged" else -0.05)


def test_decoys_leave_right_numbers_alone():
    for seed in range(3):
        X, _, y, _ = _numbers(seed, 0)
        detector = ResidualDetector(LinearRegression(), threshold=DecoyThreshold(), random_state=0)
        assert detector.fit(X, y).label_errors_.mean() < 0.01
        assert detector.noise_rate_ < 0.01
    # All targets are equal: no row can be given another one.
    detector.fit(X, np.full(len(y), 3.0))
    assert not detector.label_errors_.any()
    assert detector.noise_rate_ == 0


def test_decoys_among_indicators_know_how_good_the_list_is(seed):
    X, _, y, wrong = _indicators(seed, 0.15, 600)
    detector = MultilabelDetector(GaussianNB(), threshold=DecoyThreshold()).fit(X, y)
    threshold, errors = detector.fitted_threshold_, detector.entry_errors_
    assert threshold.n_decoys_ == 1800
    assert wrong[errors].mean() > 0.7
    assert errors[wrong].mean() > 0.6
    assert abs(threshold.noise_rate_ - wrong.mean()) < 0.07
    assert abs(threshold.estimated_precision_ - wrong[errors].mean()) < 0.2
    assert abs(threshold.estimated_recall_ - errors[wrong].mean()) < 0.2
    assert _within(threshold.noise_rate_interval_, wrong.mean())
    assert _within(threshold.estimated_precision_interval_, wrong[errors].mean())


def test_decoys_go_in_the_direction_of_the_noise_of_each_label():
    """Entries of one label are only forgotten, and those of another only added."""
    X, true, _, _ = _indicators(0, 0, 1500)
    rng = np.random.default_rng(0)
    wrong = rng.random(true.shape) < 0.3
    wrong[:, 0] &= true[:, 0] == 1
    wrong[:, 1] &= true[:, 1] == 0
    wrong[:, 2] = False
    y = np.where(wrong, 1 - true, true)
    detector = MultilabelDetector(GaussianNB(), threshold=DecoyThreshold(), max_flag_rate=None)
    threshold = detector.fit(X, y).fitted_threshold_
    errors = detector.entry_errors_
    assert abs(threshold.noise_rate_ - wrong.mean()) < 0.05
    assert abs(threshold.estimated_recall_ - errors[wrong].mean()) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_higher_precision_flags_less(kind, seed):
    detector, X, _, y, wrong = _problem(kind, seed, rate=0.2)
    detector.set_params(threshold=DecoyThreshold())
    n_flagged, found = [], []
    for precision in (0.2, 0.5, 0.8):
        detector.set_params(threshold__precision=precision).fit(X, y)
        errors = _entries(detector)[1]
        n_flagged.append(errors.sum())
        found.append(wrong[errors].mean() if errors.any() else 1.0)
        assert not errors.any() or detector.fitted_threshold_.estimated_precision_ >= precision
    assert n_flagged == sorted(n_flagged, reverse=True)
    assert n_flagged[0] > n_flagged[-1]
    assert found[-1] > found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_verified_targets_calibrate(kind):
    gaps, precisions = [], []
    for seed in range(3):
        detector, X, true, y, wrong = _problem(kind, seed, rate=0.25)
        detector.set_params(threshold=TrustedThreshold(precision=0.7), store_estimators=True)
        verified = _some(true, 0.4, seed)
        detector.fit(X, y, verified_labels=verified)
        quality, errors = _entries(detector)
        rest = np.isnan(verified)
        fitted = detector.fitted_threshold_
        assert fitted.n_verified_ == (~rest).sum()
        assert detector.noise_rate_ == pytest.approx(wrong.mean(), abs=0.07)
        for low, high in ((0, 0.5), (0.5, 0.8), (0.8, 1)):
            band = rest & (quality >= low) & (quality < high)
            gaps.append((quality[band].mean() - 1 + wrong[band].mean()) * band.sum() / rest.sum())
        precisions.append(wrong[errors & rest].mean())
        # New rows are given probabilities as well.
        again = _of_new(detector, X, y)[0]
        assert np.corrcoef(again[rest], quality[rest])[0, 1] > 0.8
    assert np.abs(gaps).mean() < 0.04
    assert np.mean(precisions) == pytest.approx(0.7, abs=0.12)
    with pytest.raises(ValueError, match="verified_labels has none"):
        detector.fit(X, y)


def test_a_hump_of_right_numbers_is_no_hump_of_wrong_ones():
    """Half of all residuals are beyond their median, where the quality is .37."""
    for seed in range(4):
        X, _, y, _ = _numbers(seed, 0)
        for n_components in (2, 3):
            detector = ResidualDetector(
                LinearRegression(), threshold=MixtureThreshold(n_components=n_components)
            )
            detector.set_params(random_state=0).fit(X, y)
            assert detector.label_errors_.mean() < 0.01
    X, _, y, wrong = _numbers(0, 0.1, kind="far")
    detector.fit(X, y)
    assert detector.fitted_threshold_.is_bimodal_
    assert f1_score(wrong, detector.label_errors_) > 0.5


def test_mixtures_of_classes_of_entries(seed):
    X, _, y, _ = _indicators(seed, 0.15)
    threshold = MixtureThreshold(per_class=True)
    detector = MultilabelDetector(
        LogisticRegression(), threshold=threshold, store_estimators=True, max_flag_rate=None
    ).fit(X, y)
    thresholds = detector.fitted_threshold_.class_thresholds_
    assert thresholds.shape == (6,)
    assert len(np.unique(thresholds[thresholds > 0])) > 1
    assert detector.threshold_ is None
    place = 2 * np.arange(3) + y.astype(int)
    assert_array_equal(detector.entry_errors_, detector.entry_quality_ < thresholds[place])
    quality, errors = _of_new(detector, X, y)
    assert_array_equal(errors, quality < thresholds[place])
    # It is as if each label had been given by itself.
    alone = MixtureThreshold(per_class=True).fit(detector.entry_quality_[:, 1], y=y[:, 1])
    assert_allclose(thresholds[2:4], alone.class_thresholds_)


class Never(Ridge):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted, though the parameters are bad")


class NeverBayes(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted, though the parameters are bad")


class Sorted(LabelQualityThreshold):
    """A threshold that needs classes, and records its inputs."""

    needs_classes = True
    recorded: list = []

    def select(self, inputs):
        self.recorded.append(inputs)
        return ThresholdResult(inputs.rows & (inputs.data.y % 2 == 1))


class Nothing(Sorted):
    needs_classes = False

    def select(self, inputs):
        self.recorded.append(inputs)
        return ThresholdResult(np.zeros(len(inputs.rows), dtype=bool))


@pytest.mark.parametrize("threshold", [MixtureThreshold(per_class=True), Sorted()])
def test_numbers_have_no_classes(threshold):
    X, _, y, _ = _numbers(0)
    with pytest.raises(TypeError, match=r"the targets of ResidualDetector are numbers: use Mixt"):
        ResidualDetector(Never(), threshold=threshold).fit(X, y)


@pytest.mark.parametrize("cls", THRESHOLDS)
def test_bad_parameters_are_refused_before_any_fit(cls):
    threshold = cls(precision=2.0)
    X, _, y, _ = _numbers(0)
    with pytest.raises(ValueError, match=f"'precision' parameter of {cls.__name__}"):
        ResidualDetector(Never(), threshold=threshold).fit(X, y)
    X, _, y, _ = _indicators(0)
    with pytest.raises(ValueError, match=f"'precision' parameter of {cls.__name__}"):
        MultilabelDetector(NeverBayes(), threshold=threshold).fit(X, y)
    with pytest.raises(ValueError, match="flag_fraction=0.1 both set"):
        MultilabelDetector(NeverBayes(), threshold=cls(), flag_fraction=0.1).fit(X, y)
    with pytest.raises(ValueError, match="'threshold' parameter of MultilabelDetector"):
        MultilabelDetector(NeverBayes(), threshold=cls).fit(X, y)


def test_threshold_input_for_numbers(seed):
    X, true, y, _ = _numbers(seed)
    verified = _some(true, 0.1, seed)
    detector = ResidualDetector(LinearRegression(), threshold=Nothing(), random_state=0)
    detector.set_params(store_estimators=True)
    detector.fit(X, y, verified_labels=verified)
    inputs = Nothing.recorded.pop()
    assert not inputs.has_classes
    assert not inputs.parts
    assert 0 < inputs.doubtful_below < np.exp(-1)
    assert_array_equal(inputs.rows, np.isnan(verified))
    assert detector.threshold_ is None
    assert not detector.label_errors_[inputs.rows].any()
    # The quality with another target is what the public attributes say it is.
    scale = np.abs(detector.residuals_) / detector.uncertainty_
    unit = np.median(scale[inputs.rows])
    expected = np.exp(-np.abs(7 - detector.predictions_) / detector.uncertainty_ / unit)
    assert_allclose(inputs.result.quality_of(np.full(len(y), 7.0)), expected)
    assert_allclose(inputs.result.quality_of(y), np.exp(-scale / unit))
    # Without a threshold, the detector's own rule flags new rows.
    own = detector.detect(X, y)
    assert own.any()
    detector.set_params(threshold=None).fit(X, y, verified_labels=verified)
    assert_array_equal(detector.detect(X, y), own)


def test_threshold_input_for_indicators(seed):
    X, true, y, _ = _indicators(seed)
    verified, weight = _some(true, 0.1, seed), np.arange(1.0, len(y) + 1)
    y[5, 1] = np.nan
    detector = MultilabelDetector(GaussianNB(), threshold=Sorted(), store_estimators=True)
    detector.set_params(max_flag_rate=None)
    detector.fit(X, y, verified_labels=verified, sample_weight=weight)
    inputs = Sorted.recorded.pop()
    open_entries = np.isnan(verified) & ~np.isnan(y)
    expected = np.where(np.isnan(y), -1, np.nan_to_num(y) + 2 * np.arange(3))
    assert_array_equal(inputs.data.y, expected.T.ravel())
    assert_array_equal(inputs.rows, open_entries.T.ravel())
    assert_array_equal(inputs.data.sample_weight, np.tile(weight, 3))
    assert_array_equal(detector.entry_errors_[open_entries], y[open_entries] == 1)
    assert len(inputs.parts) == 3
    for name in ("quality", "rows"):
        joined = np.concatenate([getattr(part, name) for part in inputs.parts])
        assert_array_equal(joined, getattr(inputs, name))
    part = inputs.parts[1]
    assert_array_equal(part.data.classes, [0, 1])
    assert part.data.X is inputs.parts[0].data.X
    turned = part.result.quality_of(1 - part.data.y)
    assert_allclose(turned[part.rows], 1 - part.quality[part.rows])
    assert_allclose(part.result.pred_proba.sum(axis=1)[part.rows], 1)
    # Without a threshold, the detector's own rule flags new rows.
    own = detector.detect(X, y, entries=True)
    assert own.any()
    detector.set_params(threshold=None)
    detector.fit(X, y, verified_labels=verified, sample_weight=weight)
    assert_array_equal(detector.detect(X, y, entries=True), own)


@pytest.mark.parametrize("cls", [DecoyThreshold, MixtureThreshold])
@pytest.mark.parametrize("kind", KINDS)
def test_everything_verified(kind, cls):
    detector, X, true, y, wrong = _problem(kind, 0)
    detector.set_params(threshold=cls()).fit(X, y, verified_labels=true)
    assert_array_equal(_entries(detector)[1], wrong)
    assert detector.noise_rate_ == pytest.approx(wrong.mean())


def test_a_label_that_cannot_be_learned():
    X, _, y, _ = _indicators(0)
    y[:, 1] = 1
    detector = MultilabelDetector(GaussianNB(), threshold=DecoyThreshold()).fit(X, y)
    assert detector.fitted_threshold_.n_decoys_ == 2 * len(y)
    assert not detector.entry_errors_[:, 1].any()


def test_inside_a_wrapper_and_a_search():
    X, true, y, wrong = _numbers(0, 0.2)
    detector = ResidualDetector(LinearRegression(), threshold=DecoyThreshold())
    search = GridSearchCV(
        CleaningRegressor(LinearRegression(), detector, random_state=0),
        {"detector__threshold__precision": [None, 0.5]},
        cv=2,
    ).fit(X, y)
    used = search.best_estimator_.detector_
    assert used.threshold.precision == search.best_params_["detector__threshold__precision"]
    assert wrong[used.label_errors_].mean() > 0.5
    assert search.best_estimator_.score(X, true) > 0.6
