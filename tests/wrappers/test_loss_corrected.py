"""What is particular to LossCorrectedClassifier; tests/test_common.py has what all share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skrobust.datasets import load_youtube_spam
from skrobust.detection import ConfidentLearning
from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    flip_labels,
    pair_transition,
    symmetric_transition,
    unbiased_labels,
)
from skrobust.utils import LabelNoiseWarning
from skrobust.weighting import ImportanceReweighter
from skrobust.wrappers import CleaningClassifier, LossCorrectedClassifier
from skrobust.wrappers._loss_corrected import true_class_proba

METHODS = ("importance", "backward", "posterior")
# Rows of the first class are often taken for the second, which moves the boundary of a classifier.
SKEWED = np.array([[0.6, 0.4, 0.0], [0.0, 0.9, 0.1], [0.05, 0.05, 0.9]])
EVIDENCE = GaussianNB()


def _draw(n_samples, seed, centers=None):
    centers = 1.5 * np.eye(3) if centers is None else centers
    return make_blobs(n_samples, centers=centers, cluster_std=0.7, random_state=seed)


@pytest.fixture
def noisy(seed):
    X, y = _draw(600, seed)
    y_noisy, _ = flip_labels(y, SKEWED, random_state=seed)
    return X, y, y_noisy


class Recorder(LogisticRegression):
    """Remembers what it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return super().fit(X, y, sample_weight)


class CountsRows(TransformerMixin, BaseEstimator):
    """Remembers the rows that it was fitted on."""

    def fit(self, X, y=None, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return self

    def transform(self, X):
        return X


PLAIN = [
    *((method, LogisticRegression()) for method in METHODS),
    *((method, make_pipeline(StandardScaler(), LogisticRegression())) for method in METHODS),
    ("backward", GradientBoostingClassifier(n_estimators=5, random_state=0)),
    ("backward", SGDClassifier(loss="log_loss", random_state=0)),
    ("importance", HistGradientBoostingClassifier(max_iter=5)),
    ("importance", DecisionTreeClassifier(random_state=0)),
    ("posterior", KNeighborsClassifier()),
    ("posterior", GaussianNB()),
]


@pytest.mark.parametrize("method, plain", PLAIN)
def test_without_noise_it_is_the_classifier_itself(method, plain, noisy):
    X, _, y = noisy
    names = np.array(["c", "a", "b"])
    y = names[y]
    robust = LossCorrectedClassifier(plain, np.eye(3), method=method, evidence=EVIDENCE)
    robust.fit(X[:400], y[:400])
    plain = clone(plain).fit(X[:400], y[:400])
    assert_array_equal(robust.predict(X), plain.predict(X))
    if hasattr(plain, "predict_proba"):
        assert_array_equal(robust.predict_proba(X), plain.predict_proba(X))
    inner = robust.estimator_[-1] if hasattr(plain, "steps") else robust.estimator_
    if hasattr(inner, "coef_"):
        plain_inner = plain[-1] if hasattr(plain, "steps") else plain
        assert_allclose(inner.coef_, plain_inner.coef_, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_without_noise_only_weights_and_verified_labels_count(method, noisy):
    X, true, y = noisy
    weight = np.random.default_rng(0).integers(0, 3, size=len(y))
    verified = np.where(np.arange(len(y)) % 4 == 0, true, np.nan)
    best = np.where(np.isnan(verified), y, true)
    robust = LossCorrectedClassifier(
        LogisticRegression(), np.eye(3), method=method, evidence=EVIDENCE
    ).fit(X, y, verified_labels=verified, sample_weight=weight)
    rows = weight > 0
    plain = LogisticRegression().fit(X[rows], best[rows], weight[rows])
    assert_allclose(robust.estimator_.coef_, plain.coef_, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_it_helps(method, seed):
    X, y = _draw(4000, seed)
    y_noisy, _ = flip_labels(y[:2000], SKEWED, random_state=seed)
    plain = LogisticRegression().fit(X[:2000], y_noisy)
    best = LogisticRegression().fit(X[:2000], y[:2000]).score(X[2000:], y[2000:])
    lost = best - plain.score(X[2000:], y[2000:])
    assert lost > 0.03
    for transition in (SKEWED, AnchorTransition(EVIDENCE)):
        robust = LossCorrectedClassifier(
            LogisticRegression(), transition, method=method, evidence=EVIDENCE
        ).fit(X[:2000], y_noisy)
        assert best - robust.score(X[2000:], y[2000:]) < 0.5 * lost
        assert_allclose(robust.transition_matrix_, SKEWED, atol=0.15)
        assert (robust.transition_estimator_ is None) == isinstance(transition, np.ndarray)


# Importance ------------------------------------------------------------------------------------


def test_importance_trains_with_the_weights_of_the_reweighter(noisy):
    X, true, y = noisy
    verified = np.where(np.arange(len(y)) < 50, true, np.nan)
    prior = np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    reweighter = ImportanceReweighter(SKEWED, EVIDENCE)
    reweighter.fit(X, y, verified_labels=verified, sample_weight=prior)
    robust = LossCorrectedClassifier(Recorder(), SKEWED, evidence=EVIDENCE)
    robust.fit(X, y, verified_labels=verified, sample_weight=prior)
    assert_array_equal(robust.sample_weight_, reweighter.sample_weight_)
    # Weights that are zero but for rounding are left out.
    rows = np.flatnonzero(reweighter.sample_weight_ > 1e-9 * reweighter.sample_weight_.max())
    assert 300 < len(rows) < len(y)
    seen_X, seen_y, seen_weight = robust.estimator_.seen_
    assert_array_equal(seen_X, X[rows])
    assert_array_equal(seen_y, np.where(np.isnan(verified), y, true)[rows])
    assert_allclose(seen_weight, (reweighter.sample_weight_ * prior)[rows])


def test_a_class_without_importance_keeps_its_rows(noisy):
    X, _, y = noisy
    # Labels of the last class all stand where the first two are.
    y = np.where(y == 2, 1, y)
    y[:4] = 2
    X[:4] = X[y == 0][:4]
    transition = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])
    robust = LossCorrectedClassifier(Recorder(), transition, evidence=LogisticRegression())
    robust.fit(X, y)
    assert robust.sample_weight_[:4].max() < 1e-9
    assert (robust.estimator_.seen_[1] == 2).sum() == 4
    assert robust.classes_.tolist() == [0, 1, 2]


def test_evidence_of_the_classifier_itself_where_x_is_no_table():
    data = load_youtube_spam()
    texts, y = data.data[:300], data.target[:300]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression())
    for method in METHODS:
        robust = LossCorrectedClassifier(model, method=method, cv=3).fit(texts, y)
        assert isinstance(robust.transition_estimator_, AnchorTransition)
        assert robust.transition_estimator_.cv == 3
        assert set(robust.predict(data.data[300:350])) <= {"ham", "spam"}
    with pytest.raises(TypeError, match="LinearSVC has no predict_proba|Pipeline has no"):
        LossCorrectedClassifier(
            make_pipeline(TfidfVectorizer(), LinearSVC()), symmetric_transition(2, 0.1)
        ).fit(texts, y)


# Backward --------------------------------------------------------------------------------------


def test_backward_trains_on_replicates_weighted_by_the_inverse(noisy):
    X, true, y = noisy
    verified = np.where(np.arange(len(y)) < 50, true, np.nan)
    prior = np.random.default_rng(0).uniform(0.5, 2, size=len(y))
    prior[60] = 0
    robust = LossCorrectedClassifier(Recorder(), SKEWED, method="backward")
    robust.fit(X, y, verified_labels=verified, sample_weight=prior)
    expected = unbiased_labels(y, SKEWED) * prior[:, None]
    expected[:50] = np.eye(3)[true[:50]] * prior[:50, None]
    seen_X, seen_y, seen_weight = robust.estimator_.seen_
    assert seen_weight.min() < 0
    found = np.zeros((len(y), 3))
    place = {tuple(row): i for i, row in enumerate(X)}
    for row, label, weight in zip(seen_X, seen_y, seen_weight, strict=True):
        found[place[tuple(row)], label] += weight
    assert_allclose(found, expected, atol=1e-9)
    assert (seen_weight != 0).all()


def test_backward_is_unbiased(seed):
    X, y = _draw(500, seed)
    model = LogisticRegression(C=0.05)
    coefs = {"plain": [], "backward": []}
    for draw in range(40):
        y_noisy, _ = flip_labels(y, SKEWED, random_state=1000 * seed + draw)
        robust = LossCorrectedClassifier(model, SKEWED, method="backward").fit(X, y_noisy)
        coefs["backward"].append(robust.estimator_.coef_)
        coefs["plain"].append(clone(model).fit(X, y_noisy).coef_)
    clean = clone(model).fit(X, y).coef_
    bias = {key: np.linalg.norm(np.mean(some, axis=0) - clean) for key, some in coefs.items()}
    assert bias["backward"] < 0.2 * bias["plain"]


def test_backward_is_one_problem_for_any_solver_and_order(noisy):
    X, _, y = noisy
    transition = symmetric_transition(3, 0.25)
    found = []
    for solver in ("lbfgs", "newton-cg", "newton-cholesky"):
        model = LogisticRegression(solver=solver, tol=1e-10, max_iter=10_000)
        order = np.random.default_rng(len(found)).permutation(len(y))
        robust = LossCorrectedClassifier(model, transition, method="backward")
        found.append(robust.fit(X[order], y[order]).estimator_.coef_)
    assert_allclose(found[1], found[0], rtol=1e-3, atol=1e-4)
    assert_allclose(found[2], found[0], rtol=1e-3, atol=1e-4)


def test_backward_of_boosting_keeps_to_probabilities(seed):
    X, y = _draw(600, seed)
    y_noisy, _ = flip_labels(y, SKEWED, random_state=seed)
    model = GradientBoostingClassifier(n_estimators=20, random_state=0)
    robust = LossCorrectedClassifier(model, SKEWED, method="backward").fit(X, y_noisy)
    proba = robust.predict_proba(X)
    assert np.isfinite(proba).all()
    assert proba.min() >= 0
    assert robust.score(X, y) > clone(model).fit(X, y_noisy).score(X, y)


class Never:
    """A mixin of models that must not be fitted."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted all the same")


def _never(cls, **params):
    return type(cls.__name__, (Never, cls), {"__init__": cls.__init__})(**params)


@pytest.mark.parametrize(
    "model, message",
    [
        (RandomForestClassifier(), "RandomForestClassifier cannot.*not known to support"),
        (HistGradientBoostingClassifier(), "HistGradientBoostingClassifier cannot"),
        (GaussianNB(), "GaussianNB cannot"),
        (LogisticRegressionCV(), "LogisticRegressionCV cannot.*folds"),
        (LogisticRegression(solver="saga"), "solver='saga' does not; lbfgs"),
        (LogisticRegression(class_weight="balanced"), "class_weight"),
        (LogisticRegression(C=np.inf), "without a penalty"),
        (SGDClassifier(), "loss='hinge' is not linear"),
        (SGDClassifier(loss="log_loss", early_stopping=True), "early_stopping=True"),
        (SGDClassifier(loss="log_loss", class_weight={0: 2}), "class_weight"),
        (GradientBoostingClassifier(loss="exponential"), "loss='exponential' is not"),
        (GradientBoostingClassifier(subsample=0.5), "subsample"),
        (GradientBoostingClassifier(n_iter_no_change=5), "n_iter_no_change"),
        (GradientBoostingClassifier(init=GaussianNB()), "init"),
        (make_pipeline(StandardScaler(), GaussianNB()), "GaussianNB cannot"),
    ],
)
def test_backward_refuses_models_without_negative_weights(model, message, noisy):
    X, _, y = noisy
    robust = LossCorrectedClassifier(model, AnchorTransition(), method="backward")
    with pytest.raises(TypeError, match=message) as raised:
        robust.fit(X, y)
    for name in ("LogisticRegression", "SGDClassifier", "GradientBoostingClassifier"):
        assert name in str(raised.value)


def test_backward_refuses_a_class_of_fewer_than_no_rows(noisy):
    X, true, _ = noisy
    # Without noise, this many labels of the second class should stem from the first.
    few = np.where((true == 1) & (np.arange(len(true)) % 8 > 0), 0, true)
    transition = np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1.0]])
    with pytest.raises(ValueError, match=r"By the transition, -\d.*of the true class 'bee'"):
        LossCorrectedClassifier(LogisticRegression(), transition, method="backward").fit(
            X, np.array(["ant", "bee", "cow"])[few]
        )


@pytest.mark.parametrize("routing", [False, True], ids=["routing off", "routing on"])
def test_first_steps_see_each_row_once(noisy, routing):
    X, _, y = noisy
    y = y.astype(object)
    y[:7] = None
    weight = np.random.default_rng(0).uniform(1, 2, size=len(y))
    with config_context(enable_metadata_routing=routing):
        first, last = CountsRows(), Recorder()
        if routing:
            first.set_fit_request(sample_weight=True)
            last.set_fit_request(sample_weight=True)
        robust = LossCorrectedClassifier(make_pipeline(first, last), SKEWED, method="backward")
        robust.fit(X, y, sample_weight=weight)
    first, last = robust.estimator_
    assert_array_equal(first.seen_[0], X[7:])
    assert_array_equal(first.seen_[1], y[7:])
    if routing:
        assert_array_equal(first.seen_[2], weight[7:])
    else:
        assert first.seen_[2] is None
    seen_X, _, seen_weight = last.seen_
    assert len(seen_X) > 2 * len(y)
    assert_allclose(seen_weight.sum(), weight[7:].sum())
    assert robust.predict(X).shape == y.shape


def test_rare_words_stay_rare():
    texts = [f"{word} word{i}" for i, word in enumerate(["ham", "spam"] * 30)]
    y = np.arange(60) % 2
    nested = make_pipeline(make_pipeline(CountVectorizer(min_df=2)), LogisticRegression())
    robust = LossCorrectedClassifier(nested, symmetric_transition(2, 0.2), method="backward")
    assert robust.fit(texts, y).estimator_[0][0].get_feature_names_out().tolist() == ["ham", "spam"]


# Posterior -------------------------------------------------------------------------------------


def test_posterior_undoes_the_transition_exactly_where_it_can():
    rng = np.random.default_rng(0)
    true = rng.dirichlet(np.ones(3), size=200)
    for transition in (SKEWED, pair_transition(3, 0.4), symmetric_transition(3, 0.5)):
        assert_allclose(true_class_proba(true @ transition, transition), true, atol=1e-12)


def test_posterior_is_the_most_likely_one_where_it_cannot(seed):
    rng = np.random.default_rng(seed)
    transition = pair_transition(3, 0.4)
    given = rng.dirichlet(0.3 * np.ones(3), size=100)
    found = true_class_proba(given, transition)
    impossible = (given @ np.linalg.inv(transition)).min(axis=1) < 0
    assert impossible.mean() > 0.5
    assert found.min() >= 0
    assert_allclose(found.sum(axis=1), 1)

    def likelihood(true):
        return (given * np.log(np.maximum(true @ transition, 1e-300))).sum(axis=-1)

    others = rng.dirichlet(0.5 * np.ones(3), size=(2000, 1))
    assert (likelihood(found) >= likelihood(others).max(axis=0) - 2e-2).all()


def test_posterior_predicts_true_classes_and_keeps_no_scores(noisy):
    X, true, y = noisy
    names = np.array(["c", "a", "b"])
    order = np.argsort(names)
    transition = SKEWED[np.ix_(order, order)]
    robust = LossCorrectedClassifier(GaussianNB(), transition, method="posterior")
    robust.fit(X, names[y])
    proba = robust.predict_proba(X)
    expected = GaussianNB().fit(X, names[y]).predict_proba(X)
    assert_array_equal(robust.estimator_.predict_proba(X), expected)
    assert_allclose(proba, true_class_proba(expected, transition))
    assert_array_equal(robust.predict(X), np.array(["a", "b", "c"])[proba.argmax(axis=1)])
    assert_allclose(np.exp(robust.predict_log_proba(X)), proba, atol=1e-12)
    assert np.isneginf(robust.predict_log_proba(X)[proba == 0]).all()
    linear = LossCorrectedClassifier(LogisticRegression(), SKEWED, method="posterior")
    assert not hasattr(linear, "decision_function")
    assert hasattr(clone(linear).set_params(method="importance"), "decision_function")
    with pytest.raises(TypeError, match="LinearSVC has no predict_proba"):
        LossCorrectedClassifier(LinearSVC(), SKEWED, method="posterior").fit(X, true)


def test_posterior_learns_what_verified_classes_would_be_given(noisy):
    X, true, y = noisy
    verified = np.full(len(y), np.nan)
    verified[:100] = true[:100]
    robust = LossCorrectedClassifier(Recorder(), SKEWED, method="posterior")
    robust.fit(X, y, verified_labels=verified)
    seen_X, seen_y, seen_weight = robust.estimator_.seen_
    for i in (0, 1, 99):
        mine = (seen_X == X[i]).all(axis=1)
        found = np.bincount(seen_y[mine], weights=seen_weight[mine], minlength=3)
        assert_allclose(found, SKEWED[true[i]])
    assert len(seen_y) - 500 == (SKEWED[true[:100]] > 0).sum()
    neighbors = LossCorrectedClassifier(KNeighborsClassifier(), SKEWED, method="posterior")
    assert neighbors.fit(X, y).predict(X).shape == y.shape
    with pytest.raises(TypeError, match="KNeighborsClassifier, but it takes none"):
        neighbors.fit(X, y, verified_labels=verified)


# Transitions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transition, message",
    [
        ([[0.9, 0.2, 0], [0, 1, 0], [0, 0, 1]], "row 0 sums to 1.1"),
        ([[1, 0, 0], [0.5, 0.6, -0.1], [0, 0, 1]], "row 1 has -0.1 in column 2"),
        ([[1, 0, 0], [0, np.nan, 1], [0, 0, 1]], "row 1 has nan"),
        (np.eye(2), "transition has 2 classes, but there are 3"),
        ([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]], r"singular.*\(rows 0 and 1\)"),
        ([[0.4, 0.6, 0], [0.6, 0.4, 0], [0, 0, 1]], "too noisy.* In row 0"),
        (np.eye(3)[0], "square"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_bad_transitions_are_refused(method, transition, message, noisy):
    X, _, y = noisy
    model = LossCorrectedClassifier(_never(LogisticRegression), transition, method=method)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


@pytest.mark.parametrize("method", ["backward", "posterior"])
def test_estimate_that_cannot_be_inverted_is_softened(method, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(90, 2)), np.arange(90) % 3

    class Useless(AnchorTransition):
        """Thinks that labels have nothing to do with classes."""

        def _estimate(self, data):
            return np.full((3, 3), 1 / 9)

    robust = LossCorrectedClassifier(LogisticRegression(), Useless(), method=method)
    with pytest.warns(LabelNoiseWarning, match="Useless estimates it is singular.* 80% of the"):
        robust.fit(X, y)
    assert_allclose(robust.transition_estimator_.transition_matrix_, 1 / 3)
    assert_allclose(robust.transition_matrix_, 0.8 / 3 + 0.2 * np.eye(3))
    assert robust.predict(X).shape == y.shape


def test_parameters_reach_the_transition_estimator(noisy):
    X, _, y = noisy
    transition = ConfidentTransition(EVIDENCE)
    for method in METHODS:
        robust = LossCorrectedClassifier(
            LogisticRegression(),
            transition,
            method=method,
            evidence=EVIDENCE,
            cv=3,
            n_jobs=1,
            random_state=4,
        ).fit(X, y)
        params = robust.transition_estimator_.get_params(deep=False)
        assert (params["cv"], params["n_jobs"], params["random_state"]) == (3, 1, 4)
        assert hasattr(robust, "sample_weight_") == (method == "importance")
    assert transition.cv == 5
    robust.set_params(method="importance").fit(X, y)
    robust.set_params(method="posterior").fit(X, y)
    assert not hasattr(robust, "sample_weight_")


# Together with others --------------------------------------------------------------------------


def test_models_without_weights(noisy):
    X, _, y = noisy

    class Neighbors(KNeighborsClassifier):
        def fit(self, X, y):
            raise AssertionError("fitted all the same")

    message = "Neighbors, but it takes none.*linear models.*forests"
    for method in ("importance", "backward"):
        model = LossCorrectedClassifier(Neighbors(), SKEWED, method=method)
        with pytest.raises(
            TypeError, match=message if method == "importance" else "negative weights"
        ):
            model.fit(X, y)


def test_wrappers_nest(noisy):
    X, true, y = noisy
    inner = LossCorrectedClassifier(LogisticRegression(), SKEWED, method="posterior")
    detector = ConfidentLearning(GaussianNB())
    for action in ("drop", "relabel", "reweight"):
        cleaned = CleaningClassifier(inner, detector, action=action).fit(X, y)
        assert isinstance(cleaned.estimator_, LossCorrectedClassifier)
        assert cleaned.predict_proba(X).shape == (len(y), 3)
    outer = LossCorrectedClassifier(
        CleaningClassifier(LogisticRegression(), detector), SKEWED, evidence=EVIDENCE
    ).fit(X, y)
    assert outer.score(X, true) > 0.7


def test_search_in_a_pipeline(noisy):
    X, true, y = noisy
    robust = LossCorrectedClassifier(LogisticRegression(), SKEWED, evidence=EVIDENCE)
    pipeline = make_pipeline(StandardScaler(), CleaningClassifier(robust, cv=3))
    step = "cleaningclassifier"
    pipeline.set_params(**{f"{step}__detector": ConfidentLearning(GaussianNB())})
    grid = {
        f"{step}__estimator__method": list(METHODS),
        f"{step}__estimator__estimator__C": [0.1, 1],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    assert search.best_estimator_.score(X, true) > 0.7


class CountingTransition(ConfidentTransition):
    """Writes down every fit."""

    def __init__(self, path=None, estimator=None, *, random_state=None):
        super().__init__(estimator, random_state=random_state)
        self.path = path

    def fit(self, X, y, **metadata):
        with open(self.path, "a") as file:
            file.write("x")
        return super().fit(X, y, **metadata)


@pytest.mark.parametrize("method", METHODS)
def test_memory_estimates_once_per_fold_and_once_for_the_refit(method, noisy, tmp_path):
    X, _, y = noisy
    fits = tmp_path / "fits"
    model = LossCorrectedClassifier(
        LogisticRegression(),
        CountingTransition(str(fits), GaussianNB()),
        method=method,
        evidence=GaussianNB(),
        random_state=0,
        memory=str(tmp_path / "cache"),
    )
    search = GridSearchCV(model, {"estimator__C": [0.1, 1, 10]}, cv=3).fit(X, y)
    assert fits.read_text() == "x" * 4
    alone = clone(search.best_estimator_).set_params(memory=None).fit(X, y)
    assert_allclose(search.best_estimator_.transition_matrix_, alone.transition_matrix_)
    assert_array_equal(search.predict(X), alone.predict(X))
    with pytest.raises(ValueError, match="set random_state to an integer"):
        model.set_params(random_state=None).fit(X, y)


@pytest.mark.parametrize("method", METHODS)
def test_groups_reach_the_transition_estimator(method, noisy):
    X, _, y = noisy
    groups = np.arange(len(y)) // 8
    transition = AnchorTransition(GaussianNB())
    robust = LossCorrectedClassifier(transition=transition, method=method, evidence=GaussianNB())
    matrix = robust.fit(X, y, groups=groups).transition_matrix_
    assert_array_equal(matrix, transition.fit(X, y, groups=groups).transition_matrix_)
    assert not np.array_equal(matrix, robust.fit(X, y).transition_matrix_)
