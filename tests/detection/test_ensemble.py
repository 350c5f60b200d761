"""What is particular to EnsembleDetector; tests/test_common.py holds what all detectors share."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_blobs, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import ExtraTreeClassifier
from sklearn.utils import get_tags

from skrobust.detection import (
    ConfidentLearning,
    EnsembleDetector,
    _ensemble_models,
    find_label_errors,
)
from skrobust.detection._ensemble_models import ScaledNeighbors, default_models, same_container
from skrobust.detection._rules import RULES
from skrobust.evidence import _mixture, out_of_fold_proba
from skrobust.evidence._folds import FoldsByContent
from skrobust.evidence._mixture import stacking_weights
from skrobust.evidence._neighbor_evidence import VotingModel
from skrobust.noise import flip_labels, pair_transition, symmetric_transition
from skrobust.wrappers import CleaningClassifier

MODELS = (GaussianNB(), LogisticRegression(max_iter=1000))


def _make(seed, transition, n_samples=300):
    X, y = make_classification(
        n_samples,
        8,
        n_informative=5,
        n_classes=3,
        n_clusters_per_class=1,
        class_sep=1.2,
        random_state=seed,
    )
    return X, y, *flip_labels(y, transition, random_state=seed)


@pytest.fixture
def noisy(seed):
    return _make(seed, symmetric_transition(3, 0.2))


def _f1(detector, flipped):
    found = (detector.label_errors_ & flipped).sum()
    return 2 * found / (detector.label_errors_.sum() + flipped.sum())


# Which models --------------------------------------------------------------------------------


def _kinds(X):
    return [m if isinstance(m, str) else type(m).__name__ for m in default_models(X)]


FORESTS = ["ExtraTreesClassifier"] * 6
SPARSE_FORESTS = [*["ExtraTreesClassifier"] * 3, "RandomForestClassifier"]


def test_default_models_by_what_X_is_like(monkeypatch):
    X = np.random.default_rng(0).normal(size=(60, 50))
    others = ["neighbors", "ScaledLogisticRegression"]
    assert _kinds(X) == _kinds(X.tolist()) == _kinds(pd.DataFrame(X)) == FORESTS + others
    assert _kinds(sparse.csr_array(X)) == SPARSE_FORESTS + others
    holes = np.where(X > 2, np.nan, X)
    assert _kinds(holes) == _kinds(pd.DataFrame(holes)) == FORESTS
    assert default_models(X)[3].max_features == 16
    n_wide = [default_models(X[:, :d])[3].max_features for d in (1, 2, 4, 9, 20)]
    assert n_wide == [1, 2, 3, 5, 10]
    of_components = [
        "QuadraticLogisticRegression",
        "KernelLogisticRegression",
        "GaussianComponents",
    ]
    assert _kinds(np.tile(X, 2)) == FORESTS + others + of_components
    assert _kinds(sparse.csr_array(np.tile(X, 2))) == SPARSE_FORESTS + others
    monkeypatch.setattr(_ensemble_models, "MANY_ROWS", 50)
    monkeypatch.setattr(_ensemble_models, "MOST_DRAWN", 40)
    members = default_models(X)
    assert _kinds(X) == FORESTS
    assert {m.n_estimators for m in members} == {67}
    assert round(members[0].max_samples * 60) == 40


def test_forests_that_differ_in_leaf_size_are_grown_once(noisy, monkeypatch):
    X, _, y, _ = noisy
    grown = []
    fit = ExtraTreeClassifier.fit
    monkeypatch.setattr(
        ExtraTreeClassifier,
        "fit",
        lambda self, *args, **kw: grown.append(self) or fit(self, *args, **kw),
    )
    common = {"n_estimators": 5, "bootstrap": True, "oob_score": True}
    forests = [ExtraTreesClassifier(min_samples_leaf=m, **common) for m in (20, 3, 8)]
    forests.append(ExtraTreesClassifier(max_features=1, **common))
    detector = EnsembleDetector(forests, n_rounds=1, store_estimators=True, random_state=0)
    detector.fit(X, y)
    assert [tree.min_samples_leaf for tree in grown] == [3] * 5 + [1] * 5
    assert detector.weights_.shape == (4,)
    (smooth,), (rough,) = detector.estimators_[:2]
    smooth, rough = smooth.predict_proba(X), rough.predict_proba(X)
    assert np.ptp(smooth) < np.ptp(rough)


def test_the_container_does_not_matter(noisy):
    X, _, y, _ = noisy
    rng = np.random.default_rng(0)
    few = np.where(rng.random((len(X), 60)) < 0.02, 1.0, 0.0)
    few[:, 0] = X[:, 0] > 1
    for table, mostly_zero in ((np.maximum(X, 0), False), (few, True)):
        held, found = same_container(table)
        assert found == mostly_zero == sparse.issparse(held)
        fits = [
            EnsembleDetector(max_flag_rate=None, random_state=0).fit(t, y)
            for t in (table, sparse.csr_array(table))
        ]
        first, second = (fit.label_quality_ for fit in fits)
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_many_rows_of_which_many_are_equal_or_in_groups(monkeypatch, noisy):
    X, y, _, _ = noisy
    monkeypatch.setattr(_ensemble_models, "MOST_DRAWN", 100)
    many, y = np.repeat(X[:40], 3, axis=0), np.repeat(y[:40], 3)
    detector = EnsembleDetector(random_state=0).fit(many, y)
    assert np.isfinite(detector.label_quality_).all()
    detector.set_params(cv=3).fit(many, y, groups=np.arange(120) // 3)
    assert np.isfinite(detector.label_quality_).all()


@pytest.mark.parametrize("kind", ["mixed", "nullable", "list", "sparse", "wide indices", "holes"])
def test_tables_of_all_kinds(kind, noisy):
    X, _, y_noisy, flipped = noisy
    frame = pd.DataFrame(X).assign(a=X[:, 0] > 0, b=np.round(X[:, 1]).astype(int), c=1)
    frame.columns = frame.columns.astype(str)
    positive = sparse.csr_matrix(np.maximum(X, 0))
    wide = positive.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    holes = X.copy()
    holes[::7, 2] = np.nan
    table = {
        "mixed": frame,
        "nullable": frame.convert_dtypes(),
        "list": X.tolist(),
        "sparse": positive,
        "wide indices": wide,
        "holes": holes,
    }[kind]
    detector = EnsembleDetector(random_state=0).fit(table, y_noisy)
    assert average_precision_score(flipped, 1 - detector.label_quality_) > 0.5
    assert len(detector.weights_) == len(default_models(same_container(table)[0]))
    if kind == "wide indices":
        assert wide.indices.dtype == np.int64
        plain = EnsembleDetector(random_state=0).fit(positive, y_noisy)
        assert_array_equal(detector.label_quality_, plain.label_quality_)


def test_text_needs_models_and_gets_that_of_the_wrapper(seed):
    rng = np.random.default_rng(seed)
    y = rng.choice(["ham", "spam"], 150)
    texts = [("win cash" if label == "spam" else "see you") + f" w{i}" for i, label in enumerate(y)]
    wrong = y.copy()
    wrong[:8] = np.where(y[:8] == "ham", "spam", "ham")
    with pytest.raises(ValueError, match="Pass estimators that take X as it is"):
        EnsembleDetector().fit(texts, wrong)
    with pytest.raises(ValueError, match="Leave 'neighbors' out"):
        EnsembleDetector(["neighbors"]).fit(texts, wrong)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    wrapper = CleaningClassifier(model).fit(texts, wrong)
    assert isinstance(wrapper.detector_, EnsembleDetector)
    assert_array_equal(np.flatnonzero(wrapper.detector_.label_errors_), np.arange(8))
    assert_array_equal(wrapper.detector_.suggested_labels_, y)
    assert_array_equal(wrapper.predict(texts), y)
    # The pipeline, a linear model and neighbours: no forest on sparse text.
    assert [m.steps[0][0] for m in wrapper.detector_.estimators_] == ["tfidfvectorizer"] * 3
    assert wrapper.detector_.estimators_[0][-1].__class__ is LogisticRegression


# Default models behind a pipeline --------------------------------------------------------------


def _mixed_table(n_samples=300, seed=0):
    """A data frame of numbers with gaps and of words, and three classes that depend on both."""
    rng = np.random.default_rng(seed)
    colour = rng.choice(["red", "green", "blue"], n_samples)
    numbers = rng.normal(size=(n_samples, 3))
    y = np.where(colour == "red", 0, np.where(numbers[:, 0] > 0, 1, 2))
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    table = pd.DataFrame(numbers, columns=list("abc")).assign(colour=colour)
    return table, y, *flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)


def _mixed_pipeline():
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour"]),
        remainder="passthrough",
    )
    return make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10, random_state=0))


def test_default_models_behind_the_first_steps_of_the_pipeline():
    table, _, y_noisy, flipped = _mixed_table()
    alone = EnsembleDetector([_mixed_pipeline()], n_rounds=1, random_state=0)
    alone.fit(table, y_noisy)
    together = EnsembleDetector(
        [_mixed_pipeline(), "auto"], store_estimators=True, random_state=0
    ).fit(table, y_noisy)
    assert len(together.weights_) == len(together.estimators_) == 5
    ap = [average_precision_score(flipped, 1 - d.label_quality_) for d in (alone, together)]
    assert ap[1] > ap[0]
    wrapper = CleaningClassifier(_mixed_pipeline(), random_state=0).fit(table, y_noisy)
    assert_array_equal(wrapper.detector_.label_quality_, together.label_quality_)
    assert "auto" not in map(str, wrapper.detector_.estimators_)
    # New rows are scored by all of them.
    quality = together.score_labels(table, y_noisy)
    assert average_precision_score(flipped, 1 - quality) > 0.8


def test_default_models_leave_the_pipeline_alone_where_no_table_comes_out_of_its_steps():
    table, _, y_noisy, _ = _mixed_table(200)
    words = make_pipeline(FunctionTransformer(), _mixed_pipeline())
    detector = EnsembleDetector([words, "auto"], random_state=0).fit(table, y_noisy)
    assert len(detector.estimators_) == 1


def test_auto_needs_a_pipeline(noisy):
    X, _, y, _ = noisy
    for estimators in (["auto"], [make_pipeline(GaussianNB()), "auto"]):
        with pytest.raises(ValueError, match="shares the first steps of a pipeline"):
            EnsembleDetector(estimators).fit(X, y)


def test_auto_takes_weights_and_few_rows(noisy):
    X, _, y, _ = noisy
    pipeline = make_pipeline(StandardScaler(), GaussianNB())
    weight = np.random.default_rng(0).integers(1, 3, len(y)).astype(float)
    EnsembleDetector([pipeline, "auto"]).fit(X, y, sample_weight=weight)
    detector = EnsembleDetector([pipeline, "auto"], max_flag_rate=None)
    detector.fit(X[:12], np.arange(12) % 2)
    assert np.isfinite(detector.label_quality_).all()


def test_scaled_neighbors():
    X = np.array([[0.0, 0], [0, 1], [100, 0], [100, 1]])
    y = np.array(["a", "a", "b", "b"])
    model = ScaledNeighbors(n_neighbors=2).fit(X, y, sample_weight=np.array([1.0, 3, 0, 0]))
    # The first column does not outweigh the second by its unit.
    assert_allclose(model.predict_proba([[1.0, 0.4]]), [[1, 0]])
    assert_allclose(model.predict_proba([[99.0, 0.4]]), [[0.5, 0.5]])  # no votes at all
    assert_array_equal(ScaledNeighbors().fit(X, y).predict([[1.0, 0.5]]), ["a"])
    model = ScaledNeighbors(n_neighbors=3).fit(sparse.csr_matrix(X[1:]), y[1:])
    closeness = np.array([1.0, 0.001, 0.00999950004])
    expected = closeness[0] / closeness.sum()
    assert_allclose(model.predict_proba(sparse.csr_matrix(X[1:2]))[0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    "estimators, error, message",
    [
        ([], ValueError, "at least one model"),
        (["nearest"], ValueError, "the words 'neighbors' and 'auto', got 'nearest'"),
        ([GaussianNB(), 3], TypeError, "may hold classifiers"),
        ([GaussianNB(), LinearSVC()], TypeError, "LinearSVC has no predict_proba"),
        ([GaussianNB(), KNeighborsClassifier()], TypeError, "it takes none"),
    ],
)
def test_bad_estimators_are_refused_before_any_fit(estimators, error, message, noisy):
    class Untouchable(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            raise AssertionError("fitted")

    X, _, y, _ = noisy
    estimators = [Untouchable() if isinstance(m, GaussianNB) else m for m in estimators]
    with pytest.raises(error, match=message):
        EnsembleDetector(estimators).fit(X, y, sample_weight=np.ones(300))


# How much each counts ------------------------------------------------------------------------


def test_weights(noisy):
    X, _, y, _ = noisy
    cv = FoldsByContent(5)
    probas = [out_of_fold_proba(model, X, y, cv=cv).astype(np.float32) for model in MODELS]
    own = np.column_stack([proba[np.arange(300), y] for proba in probas])
    detector = EnsembleDetector(list(MODELS), quality_method="self_confidence")
    assert_allclose(detector.fit(X, y).weights_, stacking_weights(own))
    assert_allclose(detector.label_quality_, own @ detector.weights_, rtol=1e-6, atol=1e-8)
    detector.set_params(weights="uniform").fit(X, y)
    assert_allclose(detector.weights_, [0.5, 0.5])
    for weights in ([3, 1], np.array([0.75, 0.25]), (True, False)):
        detector.set_params(weights=weights).fit(X, y)
        expected = np.asarray(weights, dtype=float) / np.sum(weights)
        assert_allclose(detector.weights_, expected)
        assert_allclose(detector.label_quality_, own @ expected, rtol=1e-6, atol=1e-8)


def test_a_model_that_knows_nothing_does_little_harm(noisy):
    X, _, y, flipped = noisy
    plain = EnsembleDetector(list(MODELS)).fit(X, y)
    detector = EnsembleDetector([DummyClassifier(), *MODELS]).fit(X, y)
    # Some weight is its due: it predicts wrong labels no worse than the others do.
    assert detector.weights_[0] < 0.4
    ranked, plain_ranked = (
        average_precision_score(flipped, 1 - d.label_quality_) for d in (detector, plain)
    )
    assert ranked > plain_ranked - 0.2


@pytest.mark.parametrize(
    "weights", [[1], [1, -1], [0, 0], [1, np.nan], ["a", "b"], [[1, 1]], [1, None]]
)
def test_bad_weights_are_refused(weights, noisy):
    X, _, y, _ = noisy
    with pytest.raises(ValueError, match="weights must"):
        EnsembleDetector(list(MODELS), weights=weights).fit(X, y)


def test_where_a_model_has_no_prediction_the_others_have(noisy):
    X, _, y, _ = noisy
    y = np.where(np.arange(300) == 0, 3, y)  # the only one of its class
    groups = np.arange(300) // 2
    detector = EnsembleDetector([*MODELS, "neighbors"]).fit(X, y, groups=groups)
    assert_array_equal(np.flatnonzero(np.isnan(detector.label_quality_)), [0])
    assert not detector.label_errors_[0]
    assert detector.suggested_labels_[0] == 3
    # A forest of one tree can score the rows that it has not drawn.
    stump = ExtraTreesClassifier(1, bootstrap=True, oob_score=True, random_state=0)
    alone = EnsembleDetector([stump]).fit(X[1:], y[1:]).label_quality_
    assert 0.4 < np.isnan(alone).mean() < 0.8
    assert_array_equal(
        np.isnan(EnsembleDetector([stump, GaussianNB()]).fit(X[1:], y[1:]).label_quality_), False
    )


# What is flagged -----------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_confident_learning(rule, noisy):
    X, _, y, _ = noisy
    detector = EnsembleDetector(
        list(MODELS), weights="uniform", rule=rule, max_flag_rate=None, store_estimators=True
    ).fit(X, y)
    cv = FoldsByContent(5)
    proba = sum(out_of_fold_proba(model, X, y, cv=cv).astype(np.float32) / 2.0 for model in MODELS)
    expected = find_label_errors(y, proba.astype(np.float64), rule=rule)
    assert (detector.label_errors_ != expected).sum() <= 1  # mixed in another precision
    assert 0 < detector.detect(X, y).sum() < 150


def test_finds_more_than_boosting_alone(seed):
    X, _, y, flipped = _make(seed, pair_transition(3, 0.3), 500)
    detector = EnsembleDetector(random_state=0).fit(X, y)
    boosting = HistGradientBoostingClassifier(max_iter=10, random_state=0)
    plain = ConfidentLearning(boosting, cv=3).fit(X, y)
    ranked, plain_ranked = (
        average_precision_score(flipped, 1 - d.label_quality_) for d in (detector, plain)
    )
    assert ranked > plain_ranked + 0.05
    assert _f1(detector, flipped) > _f1(plain, flipped) + 0.05
    assert abs(detector.noise_rate_ - flipped.mean()) < 0.08
    assert np.abs(detector.transition_matrix_ - pair_transition(3, 0.3)).max() < 0.2


def test_labels_of_text_missing_ones_and_suggestions(noisy):
    X, y, y_noisy, _ = noisy
    names = np.array(["one", "two", "three"])  # in another order than 0, 1, 2
    labels = names[y_noisy].astype(object)
    labels[:20] = None
    detector = EnsembleDetector(list(MODELS)).fit(X, labels)
    assert detector.classes_.tolist() == sorted(names)
    assert np.isnan(detector.label_quality_[:20]).all()
    assert (detector.suggested_labels_[:20] == names[y][:20]).mean() > 0.6
    flagged = detector.label_errors_
    assert (detector.suggested_labels_[flagged] != labels[flagged]).all()
    numbers = np.where(np.arange(300) < 20, np.nan, y_noisy)
    same = EnsembleDetector(list(MODELS)).fit(X, numbers)
    assert_allclose(detector.label_quality_, same.label_quality_, rtol=1e-6)
    assert_array_equal(flagged, same.label_errors_)


def test_verified_rows_teach(seed):
    X, y, y_noisy, flipped = _make(seed, pair_transition(3, 0.3), 600)
    looked_at = np.arange(600) % 3 == 0
    verified = np.where(looked_at, y, np.nan)
    plain = EnsembleDetector(list(MODELS)).fit(X, y_noisy)
    taught = EnsembleDetector(list(MODELS)).fit(X, y_noisy, verified_labels=verified)
    before, after = (
        average_precision_score(flipped[~looked_at], 1 - d.label_quality_[~looked_at])
        for d in (plain, taught)
    )
    assert after > before
    assert_array_equal(taught.label_errors_[looked_at], flipped[looked_at])
    everything = EnsembleDetector(list(MODELS)).fit(X, y_noisy, verified_labels=y)
    assert_array_equal(everything.label_errors_, flipped)
    assert_allclose(everything.noise_rate_, flipped.mean())


# Around it -----------------------------------------------------------------------------------


def test_new_rows(noisy):
    X, _, y, flipped = noisy
    detector = EnsembleDetector(store_estimators=True, random_state=0).fit(X[:200], y[:200])
    assert isinstance(detector.estimators_[-2][0], VotingModel)
    quality = detector.score_labels(X[200:], y[200:])
    assert average_precision_score(flipped[200:], 1 - quality) > 0.6
    errors = detector.detect(X[200:], y[200:])
    assert 0 < errors.sum() < 60
    assert flipped[200:][errors].mean() > 0.5
    assert quality[errors].max() <= np.sort(quality)[errors.sum() :].max()
    assert np.isnan(detector.score_labels(X[:2], [0, np.nan])).tolist() == [False, True]
    detector = EnsembleDetector(list(MODELS)).fit(X, y)
    for kept in (False, True):  # asking for it now is too late
        with pytest.raises(AttributeError, match="store_estimators=True|no attribute 'detect'"):
            detector.set_params(store_estimators=kept).detect(X, y)


def test_folds_from_an_iterator_serve_all_models(noisy):
    X, _, y, _ = noisy
    fold = np.arange(300) % 3
    folds = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    a = EnsembleDetector(list(MODELS), cv=iter(folds)).fit(X, y)
    b = EnsembleDetector(list(MODELS), cv=folds).fit(X, y)
    assert_array_equal(a.label_quality_, b.label_quality_)


@pytest.mark.parametrize("groups", [None, np.arange(120) // 3])
def test_default_models_request_weights_where_metadata_are_routed(groups, noisy):
    X, _, y, _ = noisy
    X, y, weight = X[:120], y[:120], np.arange(120) % 3 + 1.0
    detector = EnsembleDetector(random_state=0, cv=3, max_flag_rate=None)
    plain = detector.fit(X, y, sample_weight=weight, groups=groups).label_quality_
    with config_context(enable_metadata_routing=True):
        detector.fit(X, y, sample_weight=weight, groups=groups)
    assert_array_equal(detector.label_quality_, plain)


def test_searched_over(noisy):
    X, _, y, _ = noisy
    wrapper = CleaningClassifier(GaussianNB(), EnsembleDetector(list(MODELS), max_flag_rate=None))
    grid = {
        "detector__rule": ["decoys", "both"],
        "detector__weights": ["uniform", [1, 2]],
    }
    search = GridSearchCV(wrapper, grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_tags_follow_the_models():
    tags = get_tags(EnsembleDetector()).input_tags
    assert tags.sparse
    assert tags.allow_nan
    assert not get_tags(EnsembleDetector([GaussianNB()])).input_tags.sparse
    boosting = HistGradientBoostingClassifier()
    assert get_tags(EnsembleDetector([boosting])).input_tags.allow_nan
    assert not get_tags(EnsembleDetector([boosting, "neighbors"])).input_tags.allow_nan


def test_few_rows_and_useless_columns():
    y = np.array([0, 0, 1, 1])
    X = np.random.default_rng(0).normal(size=(4, 3)) + y[:, None]
    assert np.isfinite(EnsembleDetector(random_state=0).fit(X, y).label_quality_).all()
    constant = np.column_stack([np.full(60, 1e9), np.arange(60) % 2])
    y = np.arange(60) // 30
    detector = EnsembleDetector(random_state=0, max_flag_rate=None).fit(constant, y)
    assert detector.label_errors_.sum() <= 30


class Counting(GaussianNB):
    """Remembers how many rows of each class it was fitted to."""

    seen: list = []

    def fit(self, X, y, sample_weight=None):
        Counting.seen.append(np.bincount(y, minlength=3))
        return super().fit(X, y, sample_weight)


def test_the_second_round_does_not_learn_from_flagged_labels(noisy):
    X, _, y, _ = noisy
    Counting.seen.clear()
    first = EnsembleDetector([Counting()], n_rounds=1, random_state=0).fit(X, y)
    assert len(Counting.seen) == 5  # folds
    assert_array_equal(sum(Counting.seen), 4 * np.bincount(y))
    Counting.seen.clear()
    both = EnsembleDetector([Counting()], random_state=0).fit(X, y)
    assert len(Counting.seen) == 10
    kept = np.bincount(y[~first.label_errors_], minlength=3)
    assert_array_equal(sum(Counting.seen[5:]), 4 * kept)
    assert_allclose(both.weights_, first.weights_)


def test_of_no_class_more_than_half_is_hidden(noisy):
    X, _, y, _ = noisy
    y = np.where(y == 0, 1, y)
    y[np.flatnonzero(y == 1)[::8]] = 0  # most of what is now given 0 is of another class
    detector = EnsembleDetector([Counting()], cv=KFold(2), max_flag_rate=None, random_state=0)
    Counting.seen.clear()
    detector.fit(X, y)
    first, second = sum(Counting.seen[:2]), sum(Counting.seen[2:])
    assert second[0] < first[0]
    assert second[0] >= first[0] / 2


def test_nothing_flagged_needs_no_second_round():
    X, y = make_blobs(200, centers=[[0, 0], [30, 0], [0, 30]], random_state=0)
    Counting.seen.clear()
    detector = EnsembleDetector([Counting()], random_state=0).fit(X, y)
    assert not detector.label_errors_.any()
    assert len(Counting.seen) == 5


def test_two_rounds_rank_better_than_one(seed):
    gains = []
    for i in range(4):
        X, _, y, flipped = _make(seed + i, symmetric_transition(3, 0.35))
        ranked = [
            EnsembleDetector(list(MODELS), n_rounds=n, random_state=0).fit(X, y).label_quality_
            for n in (1, 2)
        ]
        one, two = (average_precision_score(flipped, 1 - quality) for quality in ranked)
        gains.append(two - one)
    assert np.mean(gains) > 0


def test_corrected_labels(noisy):
    X, y, given, _flipped = noisy
    verified = np.full(len(y), np.nan)
    verified[:8] = y[:8]  # too few to learn from
    with_gaps = given.astype(float)
    with_gaps[10:20] = np.nan
    detector = EnsembleDetector(list(MODELS)).fit(X, with_gaps, verified_labels=verified)
    corrected, proba = detector.corrected_labels_, detector.posterior_proba_
    assert_array_equal(corrected[:8], y[:8])
    assert_array_equal(proba[:8], 1)
    assert (proba >= 1 / 3).all()
    assert (proba <= 1).all()
    assert (proba[20:] < 1).all()
    assert (corrected[10:20] == y[10:20]).mean() > 0.5
    rest = np.arange(len(y)) >= 20
    assert (corrected == y)[rest].mean() > (given == y)[rest].mean()
    assert_array_equal(
        corrected[rest & ~detector.label_errors_], given[rest & ~detector.label_errors_]
    )
    # Under the estimated noise, more is changed, and the more certain, the more often right.
    bold = detector.posterior_labels_
    assert (bold == y)[rest].mean() > (given == y)[rest].mean() + 0.03
    assert (bold != given)[rest].sum() >= (corrected != given)[rest].sum()
    sure = proba > np.median(proba[rest])
    assert (bold == y)[rest & sure].mean() > (bold == y)[rest & ~sure].mean()


def test_posterior_labels_keep_right_labels_that_are_hard():
    X, y = make_classification(
        400, 10, n_informative=6, n_classes=3, class_sep=1.2, flip_y=0, random_state=0
    )
    detector = EnsembleDetector(random_state=0).fit(X, y)
    assert np.mean(detector.posterior_labels_ != y) <= 0.01


class Grouped(GaussianNB):
    """Remembers the first column, a group number, of what it was fitted to and asked about."""

    predicted: list = []

    def fit(self, X, y, sample_weight=None):
        self.groups_ = set(X[:, 0])
        return super().fit(X, y, sample_weight)

    def predict_proba(self, X):
        Grouped.predicted.append((self.groups_, set(X[:, 0])))
        return super().predict_proba(X)


def test_groups_are_kept_apart_in_the_second_round_too(noisy):
    X, _, y, _ = noisy
    groups = np.arange(len(y)) // 6
    X = np.column_stack([groups, X])
    Grouped.predicted.clear()
    EnsembleDetector([Grouped()], random_state=0).fit(X, y, groups=groups)
    assert len(Grouped.predicted) == 10
    assert all(fitted.isdisjoint(rows) for fitted, rows in Grouped.predicted)
    for half in (Grouped.predicted[:5], Grouped.predicted[5:]):
        assert set.union(*(rows for _, rows in half)) == set(groups)


@pytest.mark.parametrize("estimators", [None, list(MODELS)])
def test_two_distinct_rows_of_each_class_are_not_hidden(estimators):
    X = np.array([[0.0, 0], [0, 1], [9, 9], [9, 8]]).repeat(5, axis=0)
    y = np.array([0, 1, 1, 0]).repeat(5)
    detector = EnsembleDetector(estimators, max_flag_rate=None, random_state=0).fit(X, y)
    assert np.isfinite(detector.label_quality_).all()


def test_models_without_weight_are_not_fitted_again(noisy, monkeypatch):
    X, _, y, _ = noisy
    monkeypatch.setattr(Counting, "seen", [])
    models = [Counting(), LogisticRegression(max_iter=1000)]
    detector = EnsembleDetector(models, weights=[0, 1]).fit(X, y)
    assert len(Counting.seen) == 5
    detector.set_params(weights=[1, 1]).fit(X, y)
    assert len(Counting.seen) == 15
    detector.set_params(weights=[0.99, 0.01], store_estimators=True).fit(X, y)
    assert_allclose(detector._stored_evidence()[1].weights, [0.99, 0.01])


@pytest.mark.parametrize(("second_weight", "n_parts"), [(0.14, 1), (0.16, 2)])
def test_models_of_little_stacking_weight_are_not_fitted_again(
    second_weight, n_parts, noisy, monkeypatch
):
    X, _, y, _ = noisy
    weights = np.array([1, second_weight]) / (1 + second_weight)
    monkeypatch.setattr(_mixture, "stacking_weights", lambda own, weight: weights[: own.shape[1]])
    models = [GaussianNB(), LogisticRegression(max_iter=1000)]
    detector = EnsembleDetector(models, store_estimators=True).fit(X, y)
    assert [len(one.parts) for one in detector._stored_evidence()] == [2, n_parts]
    assert detector.score_labels(X, y).shape == (300,)


def test_order_of_rows_does_not_matter(noisy):
    X, _, y, _ = noisy
    order = np.random.default_rng(0).permutation(len(y))
    model = LogisticRegression(tol=1e-8, max_iter=1000)
    quality = EnsembleDetector([model]).fit(X, y).label_quality_
    permuted = EnsembleDetector([model]).fit(X[order], y[order]).label_quality_
    assert_allclose(permuted, quality[order], atol=1e-5)


def test_sorted_tables_need_no_shuffling(noisy):
    X, _, y, _ = noisy
    order = np.argsort(X[:, 0])
    detector = EnsembleDetector([GaussianNB()]).fit(X[order], y[order])
    shuffled = EnsembleDetector([GaussianNB()]).fit(X, y)
    assert_allclose(detector.label_quality_, shuffled.label_quality_[order], atol=1e-8)


def test_frozen_models_have_one_round(noisy):
    X, y, given, _ = noisy
    frozen = FrozenEstimator(LogisticRegression().fit(X, y))
    one, two = (
        EnsembleDetector([frozen], n_rounds=n, store_estimators=True).fit(X, given) for n in (1, 2)
    )
    assert two.label_errors_.any()
    assert_array_equal(one.label_quality_, two.label_quality_)
    assert_array_equal(one.score_labels(X, given), two.score_labels(X, given))


def test_verified_labels_decide_about_corrected_labels(seed):
    X, y, given, flipped = _make(seed, pair_transition(3, 0.3), 600)
    # A rule that no model can see through, as it agrees with it.
    ruled = X[:, 0] > 1
    given[ruled], flipped[ruled] = (y[ruled] + 1) % 3, True
    verified = np.where(np.arange(600) % 4 == 0, y, np.nan)
    detector = EnsembleDetector(list(MODELS), max_flag_rate=None).fit(
        X, given, verified_labels=verified
    )
    quality, corrected = detector.label_quality_, detector.posterior_labels_
    assert_array_equal(corrected[~np.isnan(verified)], y[~np.isnan(verified)])
    rest = np.isnan(verified)
    assert_array_equal(corrected[rest & (quality > 0.5)], given[rest & (quality > 0.5)])
    low = rest & (quality < 1 / 3)
    assert (corrected[low] != given[low]).all()
    assert_array_equal(corrected[low], detector.suggested_labels_[low])
    kept = rest & (corrected == given)
    assert_allclose(detector.posterior_proba_[kept], quality[kept])
    # What is written needs a majority, not only more than the given label.
    changed = rest & (detector.corrected_labels_ != given)
    assert_array_equal(detector.corrected_labels_[changed], corrected[changed])
    assert (detector.posterior_proba_[changed] > 0.5).all()
    assert (corrected == y)[rest].mean() > (given == y)[rest].mean()


def test_member_predictions_are_out_of_sample_and_of_the_first_round():
    X, y = make_blobs(150, centers=3, cluster_std=3.0, random_state=0)
    names = np.array(["x", "y", "z"])[y]
    detector = EnsembleDetector([GaussianNB(), "neighbors"], random_state=0).fit(X, names)
    assert detector.member_predictions_.shape == (150, 2)
    proba = out_of_fold_proba(GaussianNB(), X, names, cv=FoldsByContent(5))
    expected = np.array(["x", "y", "z"])[proba.argmax(axis=1)]
    assert_array_equal(detector.member_predictions_[:, 0], expected)


def test_fewer_trees_are_grown_where_each_draws_fewer_rows():
    n_trees = [default_models(np.zeros((n, 2)))[0].n_estimators for n in (100, 10_000, 14_000)]
    assert n_trees == [100, 100, 71]
    assert default_models(np.zeros((200_000, 2)))[0].n_estimators == 50


@pytest.mark.parametrize("n_columns", [8, 80])
def test_scale_of_weights_does_not_matter(n_columns):
    X, _, y, _ = _make(0, symmetric_transition(3, 0.2), n_samples=150)
    rng = np.random.default_rng(0)
    X = np.hstack([X, rng.normal(size=(150, n_columns - 8))])
    weight = rng.uniform(0.5, 1.5, size=150)
    expected = EnsembleDetector(random_state=0).fit(X, y, sample_weight=weight)
    for scale in (2.0**-30, 2.0**20):  # exact, so that nothing is rounded in another way
        detector = EnsembleDetector(random_state=0).fit(X, y, sample_weight=weight * scale)
        np.testing.assert_allclose(detector.weights_, expected.weights_, rtol=1e-9)
        np.testing.assert_allclose(detector.label_quality_, expected.label_quality_, rtol=1e-9)
