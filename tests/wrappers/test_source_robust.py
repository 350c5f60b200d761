"""Source-robust wrappers: tolerance, detection of faulty sources, refusals."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from skrobust.testing import parametrize_with_robust_checks
from skrobust.utils import LabelNoiseWarning
from skrobust.utils._input import row_hashes
from skrobust.wrappers import SourceRobustClassifier, SourceRobustRegressor

N_SOURCES = 7
COMBINE = ("rows", "predictions", "coefficients")
combinations = pytest.mark.parametrize("combine", COMBINE)


def _by_row(X):
    """A source for each row that depends on the row only, whatever the others are."""
    try:
        return row_hashes(X) % 3
    except (TypeError, ValueError):
        return None  # input that fit refuses


class ClassifierBySource(SourceRobustClassifier):
    """Has three sources by itself."""

    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        return super().fit(
            X, y, sources=_by_row(X), verified_labels=verified_labels,
            sample_weight=sample_weight, **params,
        )  # fmt: skip


class RegressorBySource(SourceRobustRegressor):
    """Has three sources by itself."""

    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        return super().fit(
            X, y, sources=_by_row(X), verified_labels=verified_labels,
            sample_weight=sample_weight, **params,
        )  # fmt: skip


SOLVED = LogisticRegression(tol=1e-8, max_iter=1000)
CLASSIFIERS = [
    ClassifierBySource(SOLVED),
    ClassifierBySource(GaussianNB(), combine="predictions", aggregation="geometric_median"),
]
REGRESSORS = [RegressorBySource(Ridge(0.1, tol=1e-12), combine="coefficients")]


# scikit-learn's checks concern the class: one instance of each.
@parametrize_with_checks([CLASSIFIERS[0], *REGRESSORS])
@pytest.mark.filterwarnings("ignore::skrobust.utils.LabelNoiseWarning")
def test_checks_of_sklearn_with_sources(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


@parametrize_with_robust_checks(CLASSIFIERS)
@pytest.mark.filterwarnings("ignore::skrobust.utils.LabelNoiseWarning")
def test_checks_of_this_package_with_sources(estimator, check):
    check(estimator)


@pytest.fixture
def sites(seed):
    """Rows of seven sites, of which two invert their labels; and rows to test with."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=1050)
    X = rng.normal(size=(1050, 6))
    X[:, :2] += 2.5 * y[:, None]
    source = np.arange(700) % N_SOURCES
    given = np.where(np.isin(source, [1, 4]), 1 - y[:700], y[:700])
    return X[:700], given, source, X[700:], y[700:]


@pytest.fixture
def sensors(seed):
    """Rows of seven sensors, of which two send nonsense; and rows to test with."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1050, 4))
    y = X @ [3, -2, 1, 0] + 5 + rng.normal(size=1050)
    source = np.arange(700) % N_SOURCES
    given = np.where(source == 2, 1e9 * rng.normal(size=700), y[:700])
    given = np.where(source == 6, -given, given)
    return X[:700], given, source, X[700:], y[700:]


# Tolerance -------------------------------------------------------------------------------


@combinations
@pytest.mark.parametrize("aggregation", ["nna_median", "median", "trimmed_mean"])
def test_classifier_tolerates_faulty_sources(combine, aggregation, sites):
    X, y, source, X_test, y_test = sites
    right_sources = ~np.isin(source, [1, 4])
    best = LogisticRegression().fit(X[right_sources], y[right_sources]).score(X_test, y_test)
    model = SourceRobustClassifier(combine=combine, aggregation=aggregation)
    assert model.fit(X, y, sources=source) is model
    assert model.score(X_test, y_test) > best - 0.03
    assert_array_equal(model.sources_[model.faulty_sources_], [1, 4])
    assert model.n_faulty_ == 3


@combinations
def test_regressor_tolerates_faulty_sources(combine, sensors):
    X, y, source, X_test, y_test = sensors
    right_sources = ~np.isin(source, [2, 6])
    best = Ridge().fit(X[right_sources], y[right_sources]).score(X_test, y_test)
    model = SourceRobustRegressor(combine=combine, n_faulty=2).fit(X, y, sources=source)
    assert model.score(X_test, y_test) > best - 0.03
    assert_array_equal(np.flatnonzero(model.faulty_sources_), [2, 6])
    assert model.source_disagreement_[[0, 1, 3, 4, 5]].max() < 1.5
    assert model.source_disagreement_[2] > 1e8


def test_the_mean_tolerates_no_faulty_source(sensors):
    X, y, source, X_test, y_test = sensors
    model = SourceRobustRegressor(combine="predictions", aggregation="mean")
    assert model.fit(X, y, sources=source).score(X_test, y_test) < 0


def test_predictions_are_safe_from_a_source_with_most_rows(sites):
    X, y, _, X_test, y_test = sites
    truth = np.where(np.isin(np.arange(700) % N_SOURCES, [1, 4]), 1 - y, y)
    source = np.maximum(np.arange(700) - 550, 0) // 50  # the first has 600 rows of 700
    given = np.where(source == 0, 1 - truth, truth)
    assert len(np.unique(source)) == 3
    plain = LogisticRegression().fit(X, given).score(X_test, y_test)
    robust = SourceRobustClassifier(combine="predictions").fit(X, given, sources=source)
    assert plain < 0.3
    assert robust.score(X_test, y_test) > 0.85


def test_sources_that_are_wrong_about_one_class_only_are_found(seed):
    X, y = make_classification(
        3000, weights=[0.85], class_sep=2, n_informative=4, flip_y=0, random_state=seed
    )
    source = np.arange(3000) % 10
    given = np.where((source < 3) & (y == 1), 0, y)  # three sources never give the rare label
    model = SourceRobustClassifier().fit(X, given, sources=source)
    assert_array_equal(np.flatnonzero(model.faulty_sources_), [0, 1, 2])


def test_right_sources_are_kept():
    n_left_out = 0
    for seed in range(20):
        X, y = make_classification(600, n_features=5, flip_y=0.1, random_state=seed)
        model = SourceRobustClassifier(GaussianNB()).fit(X, y, sources=np.arange(600) % 6)
        n_left_out += model.faulty_sources_.sum()
    assert n_left_out <= 4  # of 120


def test_rows_of_right_sources_and_verified_rows_are_trained_on(sites):
    X, y, source, *_ = sites
    verified = np.full(700, np.nan)
    verified[source == 1] = np.where(np.arange(100) < 20, 1 - y[source == 1], np.nan)
    model = SourceRobustClassifier().fit(X, y, sources=source, verified_labels=verified)
    assert_array_equal(np.flatnonzero(model.faulty_sources_), [1, 4])
    kept = ~np.isin(source, [1, 4]) | ~np.isnan(verified)
    expected = LogisticRegression().fit(X[kept], np.where(np.isnan(verified), y, verified)[kept])
    assert_allclose(model.estimator_.coef_, expected.coef_, rtol=1e-6)


def test_no_more_sources_are_faulty_than_n_faulty(sites):
    X, y, source, *_ = sites
    one = SourceRobustClassifier(n_faulty=1).fit(X, y, sources=source)
    assert one.n_faulty_ == 1
    assert one.faulty_sources_.sum() <= 1
    none = SourceRobustClassifier(n_faulty=0).fit(X, y, sources=source)
    assert not none.faulty_sources_.any()
    assert_allclose(none.estimator_.coef_, LogisticRegression().fit(X, y).coef_)
    share = SourceRobustClassifier(n_faulty=0.3).fit(X, y, sources=source)
    assert share.n_faulty_ == 2


def test_disagreement_is_the_share_of_labels_that_differ(sites):
    X, y, source, *_ = sites
    model = SourceRobustClassifier(combine="predictions").fit(X, y, sources=source)
    differs = model.predict(X) != y
    expected = [differs[source == s].mean() for s in range(N_SOURCES)]
    assert_allclose(model.source_disagreement_, expected)


def test_coefficients_are_aggregates(sites):
    X, y, source, X_test, _ = sites
    model = SourceRobustClassifier(combine="coefficients", aggregation="median")
    model.fit(X, y, sources=source)
    parts = [LogisticRegression().fit(X[source == s], y[source == s]) for s in range(N_SOURCES)]
    assert_allclose(model.estimator_.coef_, np.median([p.coef_ for p in parts], axis=0))
    assert_allclose(model.estimator_.intercept_, np.median([p.intercept_ for p in parts], axis=0))
    decision = X_test @ model.estimator_.coef_[0] + model.estimator_.intercept_
    assert_allclose(model.decision_function(X_test), decision)
    assert_array_equal(model.predict(X_test), (decision > 0).astype(int))


def test_coefficients_of_a_regressor_without_intercept(sensors):
    X, y, source, *_ = sensors
    model = SourceRobustRegressor(LinearRegression(fit_intercept=False), combine="coefficients")
    model.fit(X, y, sources=source)
    assert model.estimator_.intercept_ == 0
    assert model.estimator_.coef_.shape == (4,)


# Classes that a source lacks --------------------------------------------------------------------


def _five_sources(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=1000)
    X = rng.normal(size=(1000, 5))
    X[np.arange(1000), y] += 4
    return X, np.array(["ant", "bee", "cow"])[y], np.arange(1000) % 5


@pytest.mark.parametrize("combine", ["rows", "predictions"])
def test_a_source_with_one_class_is_not_counted(combine, seed):
    X, y, source = _five_sources(seed)
    lone = (source == 3) & (y != "bee")
    X, y, source = X[~lone], y[~lone], source[~lone]
    model = SourceRobustClassifier(combine=combine).fit(X, y, sources=source)
    assert model.estimators_[3] is None
    assert sum(part is None for part in model.estimators_) == 1
    assert model.n_faulty_ == 1  # of four with labels of several classes
    assert model.source_disagreement_[3] < 0.15  # its labels are right all the same
    assert_array_equal(model.classes_, ["ant", "bee", "cow"])
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match="n_faulty=2 of 4 sources with labels of several classes"):
        clone(model).set_params(n_faulty=2).fit(X, y, sources=source)


def test_a_source_with_one_constant_label_is_left_out(seed):
    X, y, source = _five_sources(seed)
    given = np.where(source == 0, "bee", y)
    model = SourceRobustClassifier().fit(X, given, sources=source)
    assert_array_equal(np.flatnonzero(model.faulty_sources_), [0])
    expected = LogisticRegression().fit(X[source > 0], y[source > 0])
    assert_allclose(model.estimator_.coef_, expected.coef_, rtol=1e-6)


def test_sources_that_lack_a_class(seed):
    X, y, source = _five_sources(seed)
    lacking = (source < 2) & (y == "cow")
    X, y, source = X[~lacking], y[~lacking], source[~lacking]
    for combine in ("rows", "predictions"):
        model = SourceRobustClassifier(combine=combine).fit(X, y, sources=source)
        assert_array_equal(model.classes_, ["ant", "bee", "cow"])
        assert_allclose(model.predict_proba(X).sum(axis=1), 1)
        assert model.score(X, y) > 0.85
    with pytest.raises(ValueError, match=r"source 0 has none of \['cow'\]"):
        SourceRobustClassifier(combine="coefficients").fit(X, y, sources=source)


def test_a_class_of_a_faulty_source_only_is_not_predicted(seed):
    X, y, source = _five_sources(seed)
    given = np.where(source == 0, "dog", y)
    given[np.flatnonzero(source == 0)[:20]] = "bee"
    model = SourceRobustClassifier(combine="predictions").fit(X, given, sources=source)
    assert "dog" in model.classes_
    assert "dog" not in model.predict(X)
    rows = SourceRobustClassifier().fit(X, given, sources=source)
    assert_array_equal(rows.classes_, ["ant", "bee", "cow"])


def test_only_sources_with_one_class_are_refused():
    y = np.arange(60) % 3
    with pytest.raises(ValueError, match="None of the 3 sources can be learned from"):
        SourceRobustClassifier().fit(np.eye(60), y, sources=y)


# Estimators and inputs of many kinds ------------------------------------------------------------


def test_votes_where_there_are_no_probabilities(sites):
    X, y, source, X_test, y_test = sites
    model = SourceRobustClassifier(LinearSVC(), combine="predictions").fit(X, y, sources=source)
    votes = np.array([part.predict(X_test) for part in model.estimators_])
    assert_array_equal(model.predict(X_test), (votes.mean(axis=0) > 0.5).astype(int))
    assert model.score(X_test, y_test) > 0.85
    for name in ("predict_proba", "predict_log_proba", "decision_function"):
        assert not hasattr(model, name)
    assert hasattr(model.set_params(combine="rows"), "decision_function")


def test_no_decision_function_without_one_model(sites):
    X, y, source, X_test, _ = sites
    model = SourceRobustClassifier(combine="predictions")
    assert not hasattr(model, "decision_function")
    model.fit(X, y, sources=source)
    assert not hasattr(model, "estimator_")
    with np.errstate(all="raise"):
        assert_allclose(np.exp(model.predict_log_proba(X_test)), model.predict_proba(X_test))


def test_a_second_fit_forgets_the_first(sites):
    X, y, source, *_ = sites
    model = SourceRobustClassifier().fit(X, y, sources=source)
    model.set_params(combine="predictions").fit(X, y, sources=source)
    assert not hasattr(model, "estimator_")


def test_texts(seed):
    words = {"ham": "hello meet lunch talk", "spam": "win money free click"}
    rng = np.random.default_rng(seed)
    truth = np.array(["ham", "spam"])[rng.integers(2, size=200)]
    texts = [" ".join(rng.choice(words[label].split(), 4)) for label in truth]
    source = np.arange(200) % 5
    given = np.where(source == 4, np.where(truth == "ham", "spam", "ham"), truth)
    pipeline = make_pipeline(CountVectorizer(), MultinomialNB())
    for combine in ("rows", "predictions"):
        model = SourceRobustClassifier(pipeline, combine=combine).fit(texts, given, sources=source)
        assert model.score(texts, truth) > 0.95
        assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("combine", ["rows", "predictions"])
@pytest.mark.parametrize(
    "make", [list, pd.Series, pl.Series, lambda s: s.astype(str), lambda s: pd.Series(s) * 0.5]
)
def test_sources_come_in_many_forms(combine, make, sites):
    X, y, source, X_test, _ = sites
    expected = SourceRobustClassifier(combine=combine).fit(X, y, sources=source)
    model = SourceRobustClassifier(combine=combine).fit(X, y, sources=make(source))
    assert_allclose(model.predict_proba(X_test), expected.predict_proba(X_test))
    assert_allclose(model.source_disagreement_, expected.source_disagreement_)
    assert len(model.sources_) == N_SOURCES


def test_sources_of_different_kinds(sites):
    X, y, source, *_ = sites
    names = np.array(["a", 1, ("b", 2), "c", 2.5, True, "d"], dtype=object)[source]
    names[source == 1] = "one"
    model = SourceRobustClassifier().fit(X, y, sources=list(names))
    assert set(model.sources_) == set(names)


def test_missing_labels_and_weights_of_zero_count_for_nothing(sites):
    X, y, source, X_test, _ = sites
    gone = np.arange(700) % 10 == 0
    expected = SourceRobustClassifier().fit(X[~gone], y[~gone], sources=source[~gone])
    missing = np.where(gone, np.nan, y)
    weight = np.where(gone, 0.0, 1.0)
    for labels, params in ((missing, {}), (y, {"sample_weight": weight})):
        model = SourceRobustClassifier().fit(X, labels, sources=source, **params)
        assert_allclose(model.predict_proba(X_test), expected.predict_proba(X_test), rtol=1e-5)
        assert_allclose(model.source_disagreement_, expected.source_disagreement_)
    # A source without any row that counts does not exist.
    only = np.where(source == 3, np.nan, y)
    assert 3 not in SourceRobustClassifier().fit(X, only, sources=source).sources_


@combinations
def test_fits_in_parallel_are_the_same(combine, sites, sensors):
    for wrapper, data in ((SourceRobustClassifier, sites), (SourceRobustRegressor, sensors)):
        X, y, source, X_test, _ = data
        serial = wrapper(combine=combine).fit(X, y, sources=source)
        with parallel_config("threading"):
            parallel = wrapper(combine=combine, n_jobs=2).fit(X, y, sources=source)
            assert_array_equal(parallel.predict(X_test), serial.predict(X_test))


def test_random_state(sites, sensors):
    X, y, source, X_test, _ = sites
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    forest = RandomForestClassifier(5)
    one, two, other = (
        SourceRobustClassifier(forest, random_state=seed).fit(X, y, sources=source)
        for seed in (0, 0, 1)
    )
    assert_array_equal(one.predict_proba(X_test), two.predict_proba(X_test))
    assert (one.predict_proba(X_test) != other.predict_proba(X_test)).any()
    assert len({part.random_state for part in one.estimators_}) == N_SOURCES
    X, y, source, *_ = sensors
    SourceRobustRegressor(RandomForestRegressor(3)).fit(X, y, sources=source)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert forest.random_state is None


def test_grid_search_in_parallel_and_pickling(sites):
    X, y, source, X_test, y_test = sites
    names = np.array([f"site {s}" for s in source])
    pipeline = make_pipeline(StandardScaler(), SourceRobustClassifier())
    grid = {
        "sourcerobustclassifier__combine": ["rows", "coefficients"],
        "sourcerobustclassifier__estimator": [LogisticRegression(C=0.1), LogisticRegression()],
    }
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2, error_score="raise")
    search.fit(X, y, sourcerobustclassifier__sources=names)
    assert search.score(X_test, y_test) > 0.85
    copy = pickle.loads(pickle.dumps(search.best_estimator_))
    assert_array_equal(copy.predict(X_test), search.predict(X_test))


# Metadata routing -------------------------------------------------------------------------------


def test_sources_are_routed(sites):
    X, y, source, *_ = sites
    weight = np.arange(1, 701) / 700
    with config_context(enable_metadata_routing=True):
        inner = LogisticRegression().set_fit_request(sample_weight=True)
        model = SourceRobustClassifier(inner)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        params = {"sources": source, "sample_weight": weight}
        with pytest.raises(UnsetMetadataPassedError, match="sources"):
            pipeline.fit(X, y, **params)
        model.set_fit_request(sources=True, sample_weight=True)
        scoring = get_scorer("accuracy").set_score_request(sample_weight=False)
        results = cross_validate(
            pipeline, X, y, cv=2, params=params, scoring=scoring, return_estimator=True
        )
        for fitted in results["estimator"]:
            assert_array_equal(fitted[-1].sources_, np.arange(N_SOURCES))
        routed = pipeline.fit(X, y, **params)[-1]
    scaled = StandardScaler().fit_transform(X)
    plain = SourceRobustClassifier().fit(scaled, y, sources=source, sample_weight=weight)
    assert_allclose(routed.estimator_.coef_, plain.estimator_.coef_)


def test_weights_reach_every_fit(sites):
    X, y, source, *_ = sites
    weight = np.random.default_rng(0).integers(1, 4, size=700)
    rows = np.repeat(np.arange(700), weight)
    for combine in COMBINE:
        weighed = SourceRobustClassifier(SOLVED, combine=combine)
        weighed.fit(X, y, sources=source, sample_weight=weight)
        repeated = SourceRobustClassifier(SOLVED, combine=combine)
        repeated.fit(X[rows], y[rows], sources=source[rows])
        assert_allclose(weighed.predict_proba(X), repeated.predict_proba(X), atol=1e-4)
        assert_allclose(weighed.source_disagreement_, repeated.source_disagreement_)
        assert_array_equal(weighed.faulty_sources_, repeated.faulty_sources_)


# What it refuses --------------------------------------------------------------------------------


class NeverClassifier(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted all the same")


class NeverRegressor(Ridge):
    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted all the same")


WRAPPERS = [SourceRobustClassifier(NeverClassifier()), SourceRobustRegressor(NeverRegressor())]


@pytest.mark.parametrize("model", WRAPPERS, ids=["classifier", "regressor"])
@pytest.mark.parametrize(
    ("params", "change", "error", "message"),
    [
        ({"n_faulty": 4}, {}, ValueError, "n_faulty=4 of 7 sources.*at most 3 may be faulty"),
        ({"n_faulty": 0.5}, {}, ValueError, "n_faulty"),
        ({"n_faulty": -1}, {}, ValueError, "n_faulty"),
        ({"n_faulty": "few"}, {}, ValueError, "n_faulty"),
        ({"combine": "labels"}, {}, ValueError, "combine"),
        ({"aggregation": "vote"}, {}, ValueError, "aggregation"),
        ({"n_jobs": 1.5}, {}, ValueError, "n_jobs"),
        ({"random_state": "lucky"}, {}, ValueError, "random_state"),
        ({"estimator": "ridge"}, {}, ValueError, "estimator"),
        ({}, {"sources": np.arange(699)}, ValueError, "sources has 699 entries for 700 rows"),
        ({}, {"sources": [None] * 700}, ValueError, "sources has missing entries"),
        ({}, {"sources": np.full(700, np.nan)}, ValueError, "sources has missing entries"),
        ({}, {"sources": 3}, TypeError, "sources must be an array of one entry per row, got 3"),
        ({}, {"sources": "site"}, TypeError, "sources must be an array of one entry per row"),
        ({}, {"sources": np.ones((700, 2))}, ValueError, "1d array"),
        ({}, {"sample_weight": -np.ones(700)}, ValueError, "[Nn]egative"),
        ({}, {"verified_labels": [0, 1]}, ValueError, "inconsistent numbers of samples"),
        ({}, {"no_such_thing": 1}, (TypeError, ValueError), "no_such_thing"),
    ],
)
def test_bad_input_is_refused_before_any_fit(model, params, change, error, message, sites):
    X, y, source, *_ = sites
    model = clone(model).set_params(**params)
    with pytest.raises(error, match=message):
        model.fit(X, y, **{"sources": source, **change})


@pytest.mark.parametrize(
    "estimator", [KNeighborsClassifier(), SVC(kernel="linear"), DecisionTreeClassifier()]
)
def test_only_linear_models_have_coefficients(estimator, sites):
    X, y, source, *_ = sites
    model = SourceRobustClassifier(estimator, combine="coefficients")
    with pytest.raises(TypeError, match="combine='coefficients' needs a linear model"):
        model.fit(X, y, sources=source)


def test_weights_where_the_estimator_takes_none(sites, sensors):
    for cls, inner, data in (
        (SourceRobustClassifier, KNeighborsClassifier(), sites),
        (SourceRobustRegressor, KNeighborsRegressor(), sensors),
    ):
        X, y, source, *_ = data
        with pytest.raises(TypeError, match="KNeighbors.*takes none"):
            cls(inner).fit(X, y, sources=source, sample_weight=np.ones(700))
        cls(inner).fit(X, y, sources=source)


@pytest.mark.parametrize("wrapper", [SourceRobustClassifier, SourceRobustRegressor])
def test_too_few_sources_to_tolerate_any(wrapper, sites):
    X, y, source, *_ = sites
    with pytest.warns(LabelNoiseWarning, match="No sources were given.*n_faulty=None"):
        model = wrapper().fit(X, y)
    assert model.estimator_ is model.estimators_[0]
    assert np.isnan(model.source_disagreement_).all()
    assert not model.faulty_sources_.any()
    with pytest.warns(LabelNoiseWarning, match="number of sources is 2.*At least three"):
        wrapper().fit(X, y, sources=source % 2)
    with pytest.warns(LabelNoiseWarning, match=r"number of sources is 7.*n_faulty=0\.1"):
        wrapper(n_faulty=0.1).fit(X, y, sources=source)
    with pytest.raises(ValueError, match="n_faulty=1 of 1 sources"):
        wrapper(n_faulty=1).fit(X, y)
    wrapper(n_faulty=0).fit(X, y)  # without a warning, which would be an error


def test_one_source_is_the_estimator_alone(sites):
    X, y, _, X_test, _ = sites
    expected = SGDClassifier(random_state=0).fit(X, y).decision_function(X_test)
    model = SourceRobustClassifier(SGDClassifier(random_state=0), n_faulty=0).fit(X, y)
    assert_array_equal(model.decision_function(X_test), expected)
