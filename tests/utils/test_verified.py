"""What is learned from a few verified rows."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skrobust.detection import ConfidentLearning, MixtureThreshold
from skrobust.utils._row_views import FeatureView, InputView, ProbaView
from skrobust.utils._verified import MAX_VERDICTS, best_f1_cut, expected_count_cut, fit_verdicts


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


def _verdicts(seed, n_samples=300, n_checked=60):
    rng = np.random.default_rng(seed)
    codes = rng.integers(3, size=n_samples)
    proba = rng.dirichlet(np.ones(3), size=n_samples)
    quality = proba[np.arange(n_samples), codes]
    X = rng.normal(size=(n_samples, 3))
    wrong = rng.uniform(size=n_samples) < np.where(codes == 1, 0.7, 0.2)
    checked = rng.permutation(n_samples) < n_checked
    return quality, codes, checked, wrong & checked, proba, X


def _learn(quality, codes, checked, wrong, proba, X, weight=None):
    views, sources = [ProbaView(), InputView()], [proba, X]
    model = fit_verdicts(quality, codes, checked, wrong, weight, views, sources)
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
    assert taught.noise_rate_ == pytest.approx(wrong.mean(), abs=0.05)
    again = taught.score_labels(X, y)
    assert average_precision_score(wrong[rest], -again[rest]) > before + 0.15
    assert taught.threshold_ is not None
    # Objects that read the quality of the method alone are asked about that.
    other = ConfidentLearning(estimator, threshold=MixtureThreshold())
    other.fit(X, y, verified_labels=verified)
    assert not hasattr(other, "_verdicts")


def test_verdicts_that_say_nothing_do_no_harm(seed):
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
    *rows, X = _verdicts(seed)
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


def test_own_verdict_is_left_out(seed):
    rows = _verdicts(seed, n_checked=30)
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
    quality, codes, checked, wrong, *_ = _verdicts(0)
    few = checked & (np.cumsum(checked) <= 9)
    assert fit_verdicts(quality, codes, few, wrong & few, None, [], []) is None
    assert fit_verdicts(quality, codes, checked, wrong & False, None, [], []) is None
    assert fit_verdicts(quality, codes, checked, checked, None, [], []) is None
    unknown = np.where(checked, np.nan, quality)
    assert fit_verdicts(unknown, codes, checked, wrong, None, [], []) is None
    assert fit_verdicts(quality, codes, checked, wrong, np.where(checked, 0.0, 1.0), [], []) is None


def test_many_verdicts_are_thinned():
    quality, codes, checked, wrong, proba, X = _verdicts(0, 3000, 2000)
    model, right = _learn(quality, codes, checked, wrong, proba, X)
    assert len(model.rows) == MAX_VERDICTS
    assert len(np.unique(model.rows)) == MAX_VERDICTS
    assert model.wrong.mean() == pytest.approx(wrong[checked].mean(), abs=0.01)
    rates = [right[codes == k].mean() for k in range(3)]
    np.testing.assert_allclose(rates, [0.8, 0.3, 0.8], atol=0.1)


def test_likeness_of_input():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    weight, rows = np.ones(40), np.arange(10)
    expected = InputView().fit(X, rows, weight)
    alike = expected.compare(expected.prepare(X), np.arange(40))
    assert alike.shape == (40, 10)
    assert np.linalg.eigvalsh(alike[:10]).min() > -1e-6
    assert (np.diagonal(alike[:10]) == alike[:10].max(axis=1)).all()
    for other in (np.exp(X), sparse.csr_matrix(X), X.tolist()):
        view = InputView().fit(other, rows, weight)
        np.testing.assert_allclose(view.compare(view.prepare(other), slice(None)), alike, atol=1e-6)
    for hollow in (np.where(X > 1, np.nan, X), np.zeros((40, 2)), [""] * 40, ["a b", "c d"] * 20):
        assert InputView.can_see(hollow)
        view = InputView().fit(hollow, rows, weight)
        assert np.isfinite(view.compare(view.prepare(hollow), slice(None))).all()
    wide = sparse.random(300, 1500, density=0.01, random_state=0, format="csr")
    for source in (wide, wide.toarray()):
        view = InputView().fit(source, rows, np.ones(300))
        assert np.isfinite(view.compare(view.prepare(source), np.arange(300))).all()
    assert not InputView.can_see(rng.normal(size=(5, 2, 2)))
    assert not InputView.can_see(np.array([["a", 1]], dtype=object))


def test_likeness_of_features_ignores_scale():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 4))
    features[:, 3] = 1
    one, two = (
        FeatureView().fit(values, np.arange(5), np.ones(50))
        for values in (features, features * 10 + 3)
    )
    np.testing.assert_allclose(
        one.compare(one.prepare(features), slice(None)),
        two.compare(two.prepare(features * 10 + 3), slice(None)),
    )


def test_expected_count_cut():
    right = np.array([0.1, 0.2, 0.9, 0.9, 0.6])
    # 0.9 + 0.8 + 0.1 + 0.1 + 0.4 = 2.3 errors are expected.
    assert (right < expected_count_cut(right)).tolist() == [True, True, False, False, False]
    # Tied rows share one fate, and there may be more of them than errors.
    assert expected_count_cut(np.full(10, 0.9)) == 0
    assert expected_count_cut(np.ones(3)) == 0
    assert expected_count_cut(np.array([])) == 0
    assert expected_count_cut(np.zeros(3)) > 0
    repeated = np.repeat(right, [1, 2, 0, 3, 1])
    weighed = expected_count_cut(right, np.array([1.0, 2, 0, 3, 1]))
    assert weighed == expected_count_cut(repeated)


def test_best_f1_cut():
    right = np.array([0.1, 0.2, 0.9, 0.95, 0.2])
    assert (right < best_f1_cut(right)).tolist() == [True, True, False, False, True]
    assert best_f1_cut(np.ones(3)) == 0
    assert best_f1_cut(np.array([])) == 0
    heavy = best_f1_cut(right, np.array([1.0, 0, 1, 1, 0]))
    assert heavy == pytest.approx(0.1)


def test_suggested_rows_tell_the_share_of_wrong_labels(seed):
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
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n_samples)
    X = rng.normal(size=(n_samples, 4)) + np.eye(3, 4)[truth] * 3
    wrong = rng.permutation(n_samples) < n_samples // 10
    y = np.where(wrong, (truth + 1) % 3, truth)
    detector = ConfidentLearning(random_state=0).fit(X, y)
    before = f1_score(wrong, detector.label_errors_)
    rows = np.argsort(detector.label_quality_)[:20]
    verified = np.full(n_samples, np.nan)
    verified[rows] = truth[rows]
    detector.fit(X, y, verified_labels=verified)
    assert f1_score(wrong, detector.label_errors_) >= before - 0.05
    assert abs(detector.noise_rate_ - 0.1) < 0.05
