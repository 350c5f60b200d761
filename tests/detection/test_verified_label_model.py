"""What is learned from a few verified rows."""

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skrobust.base import DetectionResult, LabelledData, NoiseLevel
from skrobust.detection import ConfidentLearning, MixtureThreshold
from skrobust.detection._verified_label_model import (
    MAX_VERIFIED,
    FeatureKernel,
    InputKernel,
    ProbaKernel,
    _alternative_proba,
    best_f1_threshold,
    expected_count_threshold,
    fit_verified_label_model,
)
from skrobust.utils._warnings import LabelNoiseWarning


def _ruled(seed, n_samples=900):
    """Make labels wrong by a rule that a model learns: in one corner, and of one class."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n_samples)
    X = rng.normal(size=(n_samples, 5))
    X[np.arange(n_samples), truth] += 3
    wrong = (truth == 1) & (X[:, 4] > 0)
    y = np.where(wrong, 2, truth)
    looked = rng.permutation(n_samples) < 60
    return X, y, wrong, np.where(looked, truth.astype(float), np.nan)


def _make_verified(seed, n_samples=300, n_checked=60):
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=n_samples)
    proba = rng.dirichlet(np.ones(3), size=n_samples)
    quality = proba[np.arange(n_samples), codes]
    X = rng.normal(size=(n_samples, 3))
    wrong = rng.uniform(size=n_samples) < np.where(codes == 1, 0.7, 0.2)
    checked = rng.permutation(n_samples) < n_checked
    return quality, codes, checked, wrong & checked, proba, X


def _learn(quality, codes, checked, wrong, proba, X, weight=None):
    kernels, sources = [ProbaKernel(), InputKernel()], [proba, X]
    model = fit_verified_label_model(quality, codes, checked, wrong, weight, kernels, sources)
    return model, model.right_proba(quality, codes, sources)


@pytest.mark.parametrize("kind", ["array", "sparse", "text"])
def test_finds_errors_made_by_a_rule(seed, kind):
    X, y, wrong, verified = _ruled(seed)
    estimator = GaussianNB()
    if kind == "sparse":
        X, estimator = sparse.csr_matrix(X), LogisticRegression()
    elif kind == "text":
        words = np.where(X > 1.5, [f"high{j}" for j in range(5)], [f"low{j}" for j in range(5)])
        words[:, 4] = np.where(X[:, 4] > 0, "right", "left")
        X = [" ".join(row) for row in words]
        estimator = make_pipeline(CountVectorizer(), LogisticRegression())
    rest = np.isnan(verified)
    alone = ConfidentLearning(estimator).fit(X, y)
    taught = ConfidentLearning(estimator, store_estimators=True)
    taught.fit(X, y, verified_labels=verified)
    before, after = (
        average_precision_score(wrong[rest], -d.label_quality_[rest]) for d in (alone, taught)
    )
    assert after > before + 0.2
    assert wrong[rest & taught.label_errors_].mean() > 0.6
    # The standard error of 60 rows is .05.
    assert taught.noise_rate_ == pytest.approx(wrong.mean(), abs=0.08)
    again = taught.score_labels(X, y)
    assert average_precision_score(wrong[rest], -again[rest]) > before + 0.15
    assert taught.threshold_ is not None
    # Objects that read the quality of the method alone are asked about that.
    other = ConfidentLearning(estimator, threshold=MixtureThreshold())
    other.fit(X, y, verified_labels=verified)
    assert not other.is_calibrated


def test_uninformative_verified_labels_do_no_harm(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=900)
    X = rng.normal(size=(900, 5))
    X[np.arange(900), truth] += 2.5
    wrong = rng.uniform(size=900) < 0.2
    y = np.where(wrong, (truth + 1) % 3, truth)
    verified = np.where(rng.permutation(900) < 30, truth.astype(float), np.nan)
    rest = np.isnan(verified)
    alone, taught = (
        ConfidentLearning(GaussianNB()).fit(X, y, verified_labels=labels)
        for labels in (None, verified)
    )
    before, after = (
        average_precision_score(wrong[rest], -d.label_quality_[rest]) for d in (alone, taught)
    )
    assert after > before - 0.03


def test_weights_are_repeats_and_order_and_names_are_nothing(seed):
    *rows, X = _make_verified(seed)
    rows.append(X)
    weight = np.random.default_rng(seed).integers(0, 3, size=len(X)).astype(float)
    _, one = _learn(*rows, weight)
    repeated = np.repeat(np.arange(len(X)), weight.astype(int))
    repeated = np.random.default_rng(seed).permutation(repeated)
    quality, codes, checked, wrong, proba, _ = (part[repeated] for part in rows)
    names = np.array([2, 0, 1])
    renamed = proba[:, np.argsort(names)]
    _, two = _learn(quality, names[codes], checked, wrong, renamed, X[repeated])
    np.testing.assert_allclose(one[repeated], two, atol=1e-5)


def test_own_verified_label_is_left_out(seed):
    rows = _make_verified(seed, n_checked=30)
    model, _ = _learn(*rows)
    own = model.own_right_proba()
    quality, codes, checked, wrong, proba, X = rows
    exact = np.empty(len(model.rows))
    for i, row in enumerate(model.rows):
        without = checked.copy()
        without[row] = False
        exact[i] = _learn(quality, codes, without, wrong, proba, X)[1][row]
    assert np.abs(own - exact).mean() < 0.02
    assert np.corrcoef(own, exact)[0, 1] > 0.95


def test_too_little_to_learn_from():
    quality, codes, checked, wrong, *_ = _make_verified(0)
    few = checked & (np.cumsum(checked) <= 9)
    assert fit_verified_label_model(quality, codes, few, wrong & few, None, [], []) is None
    # Rows of all qualities that are all wrong were chosen because they are wrong.
    assert fit_verified_label_model(quality, codes, checked, checked, None, [], []) is None
    unknown = np.where(checked, np.nan, quality)
    assert fit_verified_label_model(unknown, codes, checked, wrong, None, [], []) is None
    assert (
        fit_verified_label_model(
            quality, codes, checked, wrong, np.where(checked, 0.0, 1.0), [], []
        )
        is None
    )


LEVEL = NoiseLevel(0.2, 0.0, 0.4, 0.1, 0.4, False, 600.0)


def _verified_lowest(seed, n_checked=30, level=LEVEL, n_samples=600):
    """Verify the rows of the lowest quality, which is the probability of being right."""
    rng = np.random.default_rng(seed)
    low, high = rng.beta(1, 20, n_samples), rng.beta(20, 1, n_samples)
    quality = np.where(rng.random(n_samples) < 0.2, low, high)
    checked = np.argsort(np.argsort(quality)) < n_checked
    return quality, np.arange(n_samples) % 3, checked, level


def _rate_and_interval(quality, codes, checked, wrong, level, weight=None):
    model = fit_verified_label_model(quality, codes, checked, wrong, weight, [], [], level=level)
    rest = ~checked
    right = model.right_proba(quality, codes, [])[rest]
    weight = None if weight is None else weight[rest]
    interval = model.rate_interval(quality[rest], codes[rest], right, weight)
    return float(np.average(1 - right, weights=weight)), *interval


def test_right_labels_only_lower_the_rate(seed):
    quality, codes, _, level = _verified_lowest(seed)
    checked = np.random.default_rng(seed).permutation(600) < 30
    rate, low, high = _rate_and_interval(quality, codes, checked, checked & False, level)
    assert rate < level.rate / 2
    assert low == 0
    assert rate < high < level.rate


def test_suspicious_rows_that_are_wrong_as_expected_change_little(seed):
    quality, codes, lowest, level = _verified_lowest(seed)
    rate, low, high = _rate_and_interval(quality, codes, lowest, lowest, level)
    assert abs(rate - level.rate) < 0.1
    # What was plausible before still is.
    assert low <= level.low
    assert high >= level.high


def test_suspicious_rows_that_are_right_lower_the_rate_and_leave_it_open(seed):
    quality, codes, lowest, level = _verified_lowest(seed)
    rate, low, high = _rate_and_interval(quality, codes, lowest, lowest & False, level)
    assert rate < level.rate / 2
    assert (low, high) == (level.low, max(high, level.high))


def test_rows_at_random_narrow_the_interval_with_their_number(seed):
    rng = np.random.default_rng(seed)
    widths = []
    for n_checked in (30, 300):
        quality, codes, _, level = _verified_lowest(seed, n_samples=3000)
        wrong = rng.random(3000) < 1 - quality
        checked = rng.permutation(3000) < n_checked
        rate, low, high = _rate_and_interval(quality, codes, checked, wrong & checked, level)
        assert low <= rate <= high
        assert low - 0.02 <= wrong.mean() <= high + 0.02
        widths.append(high - low)
    assert widths[1] < 0.6 * widths[0]


def test_a_rate_that_is_far_off_is_learned_from_rows_at_random(seed):
    rng = np.random.default_rng(seed)
    quality, codes, _, _ = _verified_lowest(seed)
    wrong = rng.random(600) < 0.5  # the quality knows nothing
    checked = rng.permutation(600) < 40
    level = NoiseLevel(0.02, 0.0, 0.05, 0.02, 0.05, False, 600.0)
    rate, low, high = _rate_and_interval(quality, codes, checked, wrong & checked, level)
    assert abs(rate - 0.5) < 0.25
    assert low < 0.55
    assert high > 0.4


def test_weights_are_repeats_in_the_interval(seed):
    rng = np.random.default_rng(seed)
    quality, codes, _, level = _verified_lowest(seed, n_samples=200)
    weight = rng.integers(0, 4, 200)
    wrong, checked = rng.random(200) < 1 - quality, rng.permutation(200) < 60
    wrong &= checked
    one = _rate_and_interval(quality, codes, checked, wrong, level, weight.astype(float))
    rows = rng.permutation(np.repeat(np.arange(200), weight))
    parts = (part[rows] for part in (quality, codes, checked, wrong))
    np.testing.assert_allclose(one, _rate_and_interval(*parts, level), atol=1e-4)


def test_wrong_labels_of_all_qualities_leave_the_rate_to_the_model(seed):
    rng = np.random.default_rng(seed)
    X, y, wrong, _ = _ruled(seed)
    truth = np.where(wrong, 1, y)
    plain = ConfidentLearning(GaussianNB(), random_state=0).fit(X, y)
    chosen = rng.choice(np.flatnonzero(wrong), 30, replace=False)
    verified = np.full(len(y), np.nan)
    verified[chosen] = truth[chosen]
    taught = ConfidentLearning(GaussianNB(), random_state=0).fit(X, y, verified_labels=verified)
    assert not taught.is_calibrated
    assert abs(taught.noise_rate_ - 30 / len(y) - plain.noise_rate_) < 0.05


def test_verified_clean_labels_end_the_doubt_about_overlap(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=900)
    X = rng.normal(size=(900, 3)) + 0.8 * np.eye(3)[y]
    plain = ConfidentLearning(GaussianNB()).fit(X, y)
    verified = np.where(rng.permutation(900) < 60, y.astype(float), np.nan)
    with warnings.catch_warnings():
        # That verified rows surprise less by chance happens in one of 40 cases.
        warnings.simplefilter("ignore", LabelNoiseWarning)
        taught = ConfidentLearning(GaussianNB()).fit(X, y, verified_labels=verified)
    if taught.is_calibrated:
        assert taught.noise_rate_ < 0.5 * plain.noise_rate_ + 0.01
        assert taught.noise_rate_interval_[0] == 0
        assert "wrong in 0;" in taught.reliability_reason_
    assert (taught.corrected_labels_ != y).mean() <= 0.01


@pytest.mark.parametrize("n_classes", [2, 3])
def test_verified_rows_of_one_class_or_with_contradicting_replicates(n_classes, seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=600)
    X = rng.normal(size=(600, 4)) + 2.5 * np.eye(n_classes, 4)[truth]
    wrong = rng.random(600) < 0.2
    y = np.where(wrong, (truth + 1) % n_classes, truth)
    one_class = np.full(600, np.nan)
    one_class[np.flatnonzero(y == 0)[:40]] = truth[y == 0][:40]
    detector = ConfidentLearning(GaussianNB(), max_flag_rate=None)
    detector.fit(X, y, verified_labels=one_class)
    low, high = detector.noise_rate_interval_
    assert low <= detector.noise_rate_ <= high
    assert abs(detector.noise_rate_ - wrong.mean()) < 0.1
    rest = np.isnan(one_class)
    assert f1_score(wrong[rest], detector.label_errors_[rest]) > 0.5
    # Ten rows occur twice, and reviewers disagreed about each: of these labels, half are wrong.
    for part in (X, y, truth, wrong):
        part[50:60] = part[40:50]
    verified = np.where(np.arange(600) < 60, truth.astype(float), np.nan)
    verified[40:50], verified[50:60] = y[40:50], (y[40:50] + 1) % n_classes
    detector.fit(X, y, verified_labels=verified)
    low, high = detector.noise_rate_interval_
    assert 0 <= low <= detector.noise_rate_ <= high <= 1
    assert abs(detector.noise_rate_ - (verified != y)[:60].mean()) < 0.15
    assert np.isfinite(detector.label_quality_).all()
    assert not detector.label_errors_[40:50].any()
    assert detector.label_errors_[50:60].all()


def test_rows_of_equal_features_need_verified_labels(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=400)
    y = np.where(rng.random(400) < 0.3, 1 - truth, truth)
    X = rng.normal(size=(400, 2)) * 1e-3
    detector = ConfidentLearning(GaussianNB(), max_flag_rate=None).fit(X, y)
    assert detector.reliability_ == "cannot tell"
    assert detector.noise_rate_interval_[0] == 0
    verified = np.where(rng.permutation(400) < 100, truth.astype(float), np.nan)
    detector.fit(X, y, verified_labels=verified)
    assert abs(detector.noise_rate_ - (y != truth).mean()) < 0.15
    low, high = detector.noise_rate_interval_
    assert low - 0.05 <= (y != truth).mean() <= high + 0.05


def test_other_classes_are_as_often_right_as_verified_rows_show():
    codes = np.zeros(40, dtype=np.intp)
    verified = np.where(np.arange(40) < 20, 2, -1)
    data = LabelledData(np.zeros((40, 1)), codes, np.arange(3), verified)
    for alternative, expected in ((2, 0.8), (1, 0.8 / (20 * 0.8 + 1))):
        result = DetectionResult(
            np.full(40, 0.5),
            np.zeros(40, dtype=bool),
            np.full(40, alternative),
            np.full(40, alternative),
            alternative_proba=np.full(40, 0.8),
        )
        np.testing.assert_allclose(_alternative_proba(data, result), expected)


def test_many_verified_rows_are_thinned():
    quality, codes, checked, wrong, proba, X = _make_verified(0, 3000, 2000)
    model, right = _learn(quality, codes, checked, wrong, proba, X)
    assert len(model.rows) == MAX_VERIFIED
    assert len(np.unique(model.rows)) == MAX_VERIFIED
    assert model.wrong.mean() == pytest.approx(wrong[checked].mean(), abs=0.01)
    rates = [right[codes == k].mean() for k in range(3)]
    np.testing.assert_allclose(rates, [0.8, 0.3, 0.8], atol=0.1)


def test_similarity_of_input():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    weight, rows = np.ones(40), np.arange(10)
    expected = InputKernel().fit(X, rows, weight)
    similarity = expected.compare(expected.prepare(X), np.arange(40))
    assert similarity.shape == (40, 10)
    assert np.linalg.eigvalsh(similarity[:10]).min() > -1e-6
    assert (np.diagonal(similarity[:10]) == similarity[:10].max(axis=1)).all()
    for other in (np.exp(X), sparse.csr_matrix(X), X.tolist()):
        kernel = InputKernel().fit(other, rows, weight)
        np.testing.assert_allclose(
            kernel.compare(kernel.prepare(other), slice(None)), similarity, atol=1e-6
        )
    for hollow in (np.where(X > 1, np.nan, X), np.zeros((40, 2)), [""] * 40, ["a b", "c d"] * 20):
        assert InputKernel.can_compare(hollow)
        kernel = InputKernel().fit(hollow, rows, weight)
        assert np.isfinite(kernel.compare(kernel.prepare(hollow), slice(None))).all()
    wide = sparse.random(300, 1500, density=0.01, random_state=0, format="csr")
    for source in (wide, wide.toarray()):
        kernel = InputKernel().fit(source, rows, np.ones(300))
        assert np.isfinite(kernel.compare(kernel.prepare(source), np.arange(300))).all()
    assert not InputKernel.can_compare(rng.normal(size=(5, 2, 2)))
    assert not InputKernel.can_compare(np.array([["a", 1]], dtype=object))


def test_similarity_of_features_ignores_scale():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 4))
    features[:, 3] = 1
    one, two = (
        FeatureKernel().fit(values, np.arange(5), np.ones(50))
        for values in (features, features * 10 + 3)
    )
    np.testing.assert_allclose(
        one.compare(one.prepare(features), slice(None)),
        two.compare(two.prepare(features * 10 + 3), slice(None)),
    )


def test_expected_count_threshold():
    right = np.array([0.1, 0.2, 0.9, 0.9, 0.6])
    # 0.9 + 0.8 + 0.1 + 0.1 + 0.4 = 2.3 errors are expected.
    assert (right < expected_count_threshold(right)).tolist() == [True, True, False, False, False]
    # Tied rows share one fate, and there may be more of them than errors.
    assert expected_count_threshold(np.full(10, 0.9)) == 0
    assert expected_count_threshold(np.ones(3)) == 0
    assert expected_count_threshold(np.array([])) == 0
    assert expected_count_threshold(np.zeros(3)) > 0
    repeated = np.repeat(right, [1, 2, 0, 3, 1])
    weighed = expected_count_threshold(right, np.array([1.0, 2, 0, 3, 1]))
    assert weighed == expected_count_threshold(repeated)


def test_best_f1_threshold():
    right = np.array([0.1, 0.2, 0.9, 0.95, 0.2])
    assert (right < best_f1_threshold(right)).tolist() == [True, True, False, False, True]
    assert best_f1_threshold(np.ones(3)) == 0
    assert best_f1_threshold(np.array([])) == 0
    heavy = best_f1_threshold(right, np.array([1.0, 0, 1, 1, 0]))
    assert heavy == pytest.approx(0.1)


def test_suggested_rows_estimate_the_noise_rate(seed):
    X, y, wrong, _ = _ruled(seed)
    plain = ConfidentLearning(GaussianNB()).fit(X, y)
    rows = plain.suggest_verification(60, random_state=seed)
    assert len(np.unique(rows)) == 60
    np.testing.assert_array_equal(rows, plain.suggest_verification(60, random_state=seed))
    truth = np.where(wrong, 1, y)
    verified = np.full(len(y), np.nan)
    verified[rows] = truth[rows]
    taught = ConfidentLearning(GaussianNB()).fit(X, y, verified_labels=verified)
    assert abs(taught.noise_rate_ - wrong.mean()) < 0.12
    low, high = taught.noise_rate_interval_
    assert low <= taught.noise_rate_ <= high
    assert "60 verified rows" in taught.reliability_reason_
    again = taught.suggest_verification(900)
    assert not np.isin(again, rows).any()
    assert len(again) == 840
    with pytest.raises(ValueError, match="n_rows must be a positive integer, got 0"):
        plain.suggest_verification(0)


@pytest.mark.parametrize("n_samples", [120, 400])
def test_verifying_the_most_suspicious_rows_does_no_harm(n_samples, seed):
    changes, rates = [], []
    for draw in range(4):
        rng = np.random.default_rng([seed, draw])
        truth = rng.integers(0, 3, n_samples)
        X = rng.normal(size=(n_samples, 4)) + np.eye(3, 4)[truth] * 3
        wrong = rng.permutation(n_samples) < n_samples // 10
        y = np.where(wrong, (truth + 1) % 3, truth)
        detector = ConfidentLearning(GaussianNB()).fit(X, y)
        before = f1_score(wrong, detector.label_errors_)
        rows = np.argsort(detector.label_quality_)[:20]
        verified = np.full(n_samples, np.nan)
        verified[rows] = truth[rows]
        detector.fit(X, y, verified_labels=verified)
        changes.append(f1_score(wrong, detector.label_errors_) - before)
        rates.append(detector.noise_rate_)
    assert np.mean(changes) > -0.05
    assert abs(np.mean(rates) - 0.1) < 0.05


@pytest.mark.parametrize("n_verified", [12, 40, "flagged"])
def test_verifying_suspicious_rows_leaves_no_more_wrong_labels(n_verified, seed):
    """The most suspicious rows are reviewed first, and errors are detected again."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 600)
    X = rng.normal(size=(600, 4)) + 1.2 * truth[:, None]
    wrong = rng.random(600) < 0.12
    y = np.where(wrong, 1 - truth, truth)
    detector = ConfidentLearning(GaussianNB()).fit(X, y)
    kept = detector.corrected_labels_.copy()
    n_rows = detector.label_errors_.sum() if n_verified == "flagged" else n_verified
    rows = np.argsort(detector.label_quality_)[:n_rows]
    verified = np.full(600, np.nan)
    verified[rows] = kept[rows] = truth[rows]
    detector.fit(X, y, verified_labels=verified)
    # At most one row in a hundred more than if only the verified rows were corrected.
    assert (detector.corrected_labels_ != truth).sum() <= (kept != truth).sum() + 6
    assert abs(detector.noise_rate_ - wrong.mean()) < 0.04
    low, high = detector.noise_rate_interval_
    assert low <= wrong.mean() <= high
