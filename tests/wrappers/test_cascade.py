"""The cascade: which classifier predicts which rows, number of calls, refusals."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import entropy
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_moons
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skrobust.wrappers import CascadeClassifier
from skrobust.wrappers._cascade import _highest_share, _rolling_mean


class Recorder(KNeighborsClassifier):
    """Records the rows that it predicts."""

    def fit(self, X, y):
        self.predicted_ = []
        return super().fit(X, y)

    def predict(self, X):
        self.predicted_.append(X.copy())
        return super().predict(X)

    def predict_proba(self, X):
        self.predicted_.append(X.copy())
        return super().predict_proba(X)


@pytest.fixture
def moons(seed):
    X, y = make_moons(1200, noise=0.25, random_state=seed)
    return X[:600], y[:600], X[600:], y[600:]


def _blobs(seed, n_classes=3, n_samples=600):
    rng = np.random.default_rng(seed)
    y = rng.integers(n_classes, size=n_samples)
    X = rng.normal(size=(n_samples, 4))
    X[np.arange(n_samples), y] += 2
    return X, y


def test_accurate_classifier_is_predicted_only_about_the_rows_that_need_it(moons):
    X, y, X_test, _ = moons
    model = CascadeClassifier(LogisticRegression(), Recorder(), call_share=0.3).fit(X, y)
    predicted = model.accurate_estimator_.predicted_
    assert predicted == [], "it is not needed to choose the threshold"
    calls = model.calls_accurate(X_test)
    assert predicted == []
    assert 0.2 < calls.mean() < 0.4
    labels, proba = model.predict(X_test), model.predict_proba(X_test)
    assert len(predicted) == 2
    for rows in predicted:
        assert_array_equal(rows, X_test[calls])
    expected = model.fast_estimator_.predict_proba(X_test)
    expected[calls] = KNeighborsClassifier().fit(X, y).predict_proba(X_test[calls])
    assert_array_equal(proba, expected)
    assert_array_equal(labels, proba.argmax(axis=1))


def test_a_certain_batch_makes_no_calls(moons):
    X, y, X_test, _ = moons
    model = CascadeClassifier(LogisticRegression(), Recorder()).fit(X, y)
    sure = X_test[~model.calls_accurate(X_test)]
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        assert len(method(sure)) == len(sure)
    assert model.accurate_estimator_.predicted_ == []


@pytest.mark.parametrize("uncertainty", ["entropy", "margin"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_threshold_gives_the_wanted_share_out_of_sample(uncertainty, share, seed):
    X, y = _blobs(seed)
    fold = np.arange(600) % 4
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4)]
    model = CascadeClassifier(
        GaussianNB(), GaussianNB(), call_share=share, uncertainty=uncertainty, cv=folds
    ).fit(X, y)
    proba = cross_val_predict(GaussianNB(), X, y, cv=folds, method="predict_proba")
    if uncertainty == "entropy":
        values = entropy(proba, axis=1) / np.log(3)
    else:
        ranked = np.sort(proba, axis=1)
        values = 1 - ranked[:, -1] + ranked[:, -2]
    assert np.mean(values > model.threshold_) == pytest.approx(model.call_share_)
    assert share - 0.04 < model.call_share_ <= share
    X_new, _ = _blobs(seed + 1000, n_samples=4000)
    assert model.calls_accurate(X_new).mean() == pytest.approx(share, abs=0.08)


def test_accuracy_is_nearly_that_of_the_accurate_classifier(moons):
    X, y, X_test, y_test = moons
    fast, accurate = LogisticRegression(), RandomForestClassifier(random_state=0)
    model = CascadeClassifier(fast, accurate).fit(X, y)
    alone = accurate.fit(X, y).score(X_test, y_test)
    assert model.calls_accurate(X_test).mean() < 0.47
    assert model.score(X_test, y_test) > 0.97 * alone > fast.fit(X, y).score(X_test, y_test)


def test_shares_of_zero_and_one(moons):
    X, y, X_test, _ = moons
    fast, accurate = LogisticRegression(), KNeighborsClassifier()
    never = CascadeClassifier(fast, accurate, call_share=0).fit(X, y)
    assert_array_equal(never.predict_proba(X_test), fast.fit(X, y).predict_proba(X_test))
    always = CascadeClassifier(fast, accurate, call_share=1).fit(X, y)
    assert_array_equal(always.predict_proba(X_test), accurate.fit(X, y).predict_proba(X_test))
    assert (never.call_share_, always.call_share_) == (0, 1)
    assert (never.threshold_, always.threshold_) == (np.inf, -np.inf)


def test_rows_equally_uncertain_share_one_fate_within_the_budget(seed):
    X, y = _blobs(seed, n_classes=2)
    stump = DecisionTreeClassifier(max_depth=1)
    one_half = CascadeClassifier(stump, KNeighborsClassifier(), call_share=0.3).fit(X, y)
    proba = one_half.fast_estimator_.predict_proba(X)
    assert len(np.unique(proba[:, 0])) == 2
    assert one_half.call_share_ <= 0.3
    assert one_half.calls_accurate(X).mean() in (0, *np.mean(proba[:, :1] == proba[:2, 0], axis=0))


class Stepwise(GaussianNB):
    """Unsure of every row from 400 rows on, and of few rows before."""

    def predict_proba(self, X):
        unsure = np.full(len(X), True) if self.class_count_.sum() > 500 else X[:, 3] > 1
        return np.where(unsure[:, None], 0.5, super().predict_proba(X))


def test_budget_holds_where_final_and_fold_models_differ(seed):
    X, y = _blobs(seed, n_classes=2)
    model = CascadeClassifier(Stepwise(), KNeighborsClassifier()).fit(X, y)
    assert model.calls_accurate(_blobs(seed + 1, n_classes=2)[0]).mean() <= 0.45


@given(
    st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]), min_size=1, max_size=30),
    st.floats(0, 1),
    st.data(),
)
def test_highest_share(values, share, data):
    weight = data.draw(st.lists(st.integers(1, 4), min_size=len(values), max_size=len(values)))
    values, weight = np.array(values), np.array(weight, dtype=float)
    threshold = _highest_share(values, weight, share)
    above = weight[values > threshold].sum() / weight.sum()
    assert above <= share + 1e-6
    if 0 < share < 1:
        # One value more would be too many.
        rest = values[values <= threshold]
        more = weight[values >= rest.max(initial=-1)].sum() / weight.sum() if len(rest) else 1
        assert more > share - 1e-6
        rows = np.repeat(np.arange(len(values)), weight.astype(int))
        repeated = _highest_share(values[rows], np.ones(len(rows)), share)
        assert repeated == threshold


# Streams ----------------------------------------------------------------------------------------


def test_rolling_mean():
    values = np.array([1.0, 3, 5, 7, 0])
    assert _rolling_mean(values, 1) is values
    assert_allclose(_rolling_mean(values, 2), [1, 2, 4, 6, 3.5])
    assert_allclose(_rolling_mean(values, 9), [1, 2, 3, 4, 3.2])
    assert len(_rolling_mean(np.empty(0), 3)) == 0


def test_streams_use_the_uncertainty_of_recent_rows(seed):
    rng = np.random.default_rng(seed)
    # Easy and hard stretches of 50 rows take turns.
    hard = np.arange(2000) // 50 % 2 == 1
    y = rng.integers(2, size=2000)
    X = rng.normal(size=(2000, 2)) + np.where(hard, 0.3, 1.5)[:, None] * (2 * y - 1)[:, None]
    share = {}
    for window in (1, 10):
        model = CascadeClassifier(
            GaussianNB(), KNeighborsClassifier(), call_share=0.5, window=window
        ).fit(X[:1000], y[:1000])
        calls = model.calls_accurate(X[1000:])
        share[window] = calls[hard[1000:]].mean() - calls[~hard[1000:]].mean()
        assert model.call_share_ == pytest.approx(0.5, abs=0.01)
        uncertain = entropy(model.fast_estimator_.predict_proba(X[1000:]), axis=1) / np.log(2)
        expected = [uncertain[max(i - window + 1, 0) : i + 1].mean() for i in range(1000)]
        assert_array_equal(calls, np.array(expected) > model.threshold_)
    assert share[10] > share[1] + 0.1


# Kinds of input, estimators and metadata ----------------------------------------------------------


def test_defaults(moons):
    X, y, X_test, _ = moons
    model = CascadeClassifier(random_state=0).fit(X, y)
    assert isinstance(model.fast_estimator_, LogisticRegression)
    assert isinstance(model.accurate_estimator_, HistGradientBoostingClassifier)
    assert model.accurate_estimator_.random_state is not None
    with parallel_config("threading", n_jobs=2):
        again = CascadeClassifier(random_state=0).fit(X, y)
    assert_array_equal(model.predict_proba(X_test), again.predict_proba(X_test))


def test_texts_and_names_of_classes(seed):
    words = {"ham": "hello meet lunch talk", "spam": "win money free click"}
    rng = np.random.default_rng(seed)
    y = np.array(["ham", "spam"])[rng.integers(2, size=200)]
    texts = [" ".join(rng.choice(words[label].split(), 4)) for label in y]
    given = [None if i < 10 else label for i, label in enumerate(y)]
    fast = make_pipeline(CountVectorizer(), MultinomialNB())
    accurate = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = CascadeClassifier(fast, accurate).fit(texts, given)
    assert model.score(texts, y) > 0.95
    assert model.predict(texts).dtype == y.dtype
    assert_array_equal(model.classes_, ["ham", "spam"])


def test_accurate_classifier_without_probabilities(moons):
    X, y, X_test, _ = moons
    model = CascadeClassifier(LogisticRegression(), LinearSVC()).fit(X, y)
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "predict_log_proba")
    calls = model.calls_accurate(X_test)
    expected = np.where(
        calls, model.accurate_estimator_.predict(X_test), model.fast_estimator_.predict(X_test)
    )
    assert_array_equal(model.predict(X_test), expected)


def test_a_class_with_one_row(seed):
    X, y = _blobs(seed)
    y[0] = 7
    model = CascadeClassifier(GaussianNB(var_smoothing=1e-3), KNeighborsClassifier()).fit(X, y)
    assert_array_equal(model.classes_, [0, 1, 2, 7])
    assert model.predict_proba(X).shape == (600, 4)
    assert np.isfinite(model.threshold_)


def test_verified_labels_are_trained_on(moons):
    X, y, X_test, _ = moons
    verified = np.where(np.arange(600) % 2 == 0, y, np.nan)
    given = np.where(np.isnan(verified), y, 1 - y)
    model = CascadeClassifier(accurate_estimator=GaussianNB()).fit(X, y)
    repaired = CascadeClassifier(accurate_estimator=GaussianNB())
    repaired.fit(X, given, verified_labels=verified)
    assert_array_equal(repaired.predict_proba(X_test), model.predict_proba(X_test))


def test_grid_search_in_parallel_and_pickling(moons):
    X, y, X_test, _ = moons
    pipeline = make_pipeline(
        StandardScaler(), CascadeClassifier(accurate_estimator=KNeighborsClassifier())
    )
    grid = {
        "cascadeclassifier__call_share": [0.1, 0.5],
        "cascadeclassifier__accurate_estimator__n_neighbors": [3, 10],
    }
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)
    copy = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(copy.predict(X_test), search.predict(X_test))


class Weighed(GaussianNB):
    """Remembers its weights."""

    def fit(self, X, y, sample_weight=None):
        self.weight_ = sample_weight
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("routing", [False, True], ids=["routing off", "routing on"])
def test_weights_reach_both_classifiers_and_the_share(routing, seed):
    X, y = _blobs(seed)
    weight = np.random.default_rng(seed).integers(0, 3, size=600).astype(float)
    with config_context(enable_metadata_routing=routing):
        parts = [Weighed(), Weighed()]
        if routing:
            with pytest.raises(UnsetMetadataPassedError, match="Weighed"):
                CascadeClassifier(*parts).fit(X, y, sample_weight=weight)
            parts = [part.set_fit_request(sample_weight=True) for part in parts]
        fold = np.arange(600) % 3
        folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
        model = CascadeClassifier(*parts, cv=folds).fit(X, y, sample_weight=weight)
    for part in (model.fast_estimator_, model.accurate_estimator_):
        assert_array_equal(part.weight_, weight[weight > 0])
    rows = np.repeat(np.arange(600), weight.astype(int))
    folds = [(np.flatnonzero(fold[rows] != k), np.flatnonzero(fold[rows] == k)) for k in range(3)]
    repeated = CascadeClassifier(GaussianNB(), GaussianNB(), cv=folds).fit(X[rows], y[rows])
    assert model.threshold_ == pytest.approx(repeated.threshold_)
    assert model.call_share_ == pytest.approx(repeated.call_share_)


# What it refuses --------------------------------------------------------------------------------


class Never(ClassifierMixin, BaseEstimator):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted all the same")

    def predict(self, X):
        raise AssertionError("fitted nevertheless")

    predict_proba = predict


@pytest.mark.parametrize(
    ("params", "change", "message"),
    [
        ({"call_share": 1.1}, {}, "call_share"),
        ({"call_share": -0.1}, {}, "call_share"),
        ({"call_share": None}, {}, "call_share"),
        ({"uncertainty": "variance"}, {}, "uncertainty"),
        ({"window": 0}, {}, "window"),
        ({"window": 2.0}, {}, "window"),
        ({"cv": 1}, {}, "cv"),
        ({"cv": "five"}, {}, "cv"),
        ({"n_jobs": 1.5}, {}, "n_jobs"),
        ({"random_state": "seed"}, {}, "random_state"),
        ({"fast_estimator": "svc"}, {}, "fast_estimator"),
        ({"accurate_estimator": 3}, {}, "accurate_estimator"),
        ({"fast_estimator": LinearSVC()}, {}, "LinearSVC has no predict_proba"),
        ({"fast_estimator": KNeighborsClassifier()}, {"sample_weight": np.ones(600)},
         "KNeighborsClassifier, but it takes none"),
        ({"accurate_estimator": KNeighborsClassifier()}, {"sample_weight": np.ones(600)},
         "KNeighborsClassifier, but it takes none"),
        ({}, {"sample_weight": -np.ones(600)}, "[Nn]egative"),
        ({}, {"verified_labels": [0, 1]}, "inconsistent numbers of samples"),
        ({}, {"y": np.zeros(600)}, "one class only"),
        ({}, {"y": np.linspace(0, 1, 600)}, "continuous"),
        ({}, {"no_such_thing": 1}, "no_such_thing"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_any_fit(params, change, message, moons):
    X, y, *_ = moons
    model = CascadeClassifier(Never(), Never()).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, **{"y": y, **change})


def test_groups_share_a_fold(moons):
    X, y, *_ = moons
    groups = np.arange(600) // 6

    class Recorder(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            fitted.append({tuple(row) for row in X})
            return super().fit(X, y, sample_weight)

    fitted = []
    CascadeClassifier(Recorder(), GaussianNB(), cv=3).fit(X, y, groups=groups)
    *folds, whole = fitted
    assert len(folds) == 3
    assert len(whole) == 600
    for rows in folds:
        seen = np.array([tuple(row) in rows for row in X])
        assert 0 < seen.sum() < 600
        assert all(len(np.unique(seen[groups == group])) == 1 for group in range(100))
