"""What is particular to TeacherStudentClassifier; tests/test_common.py holds the rest."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import make_blobs
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from skrobust.noise import flip_labels, pair_transition, symmetric_transition
from skrobust.wrappers import TeacherStudentClassifier

SELECTIONS = ["agreement", "mixture", "all"]


@pytest.fixture
def noisy(seed):
    X, y = make_blobs(300, centers=[[0, 0], [4, 0], [0, 4]], random_state=seed)
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.3), random_state=seed)
    return X, y, y_noisy, flipped


def _student(selection="agreement", **params):
    return TeacherStudentClassifier(
        DecisionTreeClassifier(random_state=0), GaussianNB(), selection=selection, **params
    )


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("n_rounds", [1, 3])
def test_student_learns_the_pseudo_labels_of_the_chosen_rows(selection, n_rounds, noisy):
    X, y, given, flipped = noisy
    student = _student(selection, n_rounds=n_rounds).fit(X, given)
    rows, labels = student.sample_indices_, student.pseudo_labels_
    assert (labels[rows] == y[rows]).mean() > 0.85
    tree = DecisionTreeClassifier(random_state=0).fit(X[rows], labels[rows])
    np.testing.assert_array_equal(student.predict(X), tree.predict(X))
    assert np.mean(student.predict(X) == y) > np.mean(given == y) + 0.1
    if selection == "agreement":
        np.testing.assert_array_equal(labels[rows], given[rows])
        assert flipped[rows].mean() < 0.1
    if selection == "all":
        np.testing.assert_array_equal(rows, np.arange(len(y)))
    known = student.pseudo_label_proba_
    assert ((known >= 0) & (known <= 1)).all()
    np.testing.assert_allclose(student.transition_matrix_.sum(axis=1), 1)
    np.testing.assert_allclose(student.transition_matrix_.diagonal(), 0.7, atol=0.15)


def test_mixture_keeps_rows_of_low_loss(noisy):
    X, _, given, _ = noisy
    every = _student("all").fit(X, given)
    some = _student("mixture").fit(X, given)
    np.testing.assert_array_equal(every.pseudo_labels_, some.pseudo_labels_)
    chosen = np.isin(np.arange(len(X)), some.sample_indices_)
    assert 0.4 < chosen.mean() < 1
    for k in range(3):
        own = every.pseudo_labels_ == k
        proba = every.pseudo_label_proba_
        assert proba[own & chosen].min() >= proba[own & ~chosen].max(initial=0)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_rows_without_label_are_learned_from(selection, seed):
    X, y = make_blobs(1200, centers=[[0, 0], [4, 0], [0, 4]], random_state=seed)
    train, test = np.arange(600), np.arange(600, 1200)
    labelled = train < 120
    given, _ = flip_labels(y[train], symmetric_transition(3, 0.3), random_state=seed)
    student = TeacherStudentClassifier(
        KNeighborsClassifier(1), selection=selection, random_state=seed
    )
    student.fit(X[train], np.where(labelled, given, np.nan))
    learned = student.sample_indices_[student.sample_indices_ >= 120]
    assert len(learned) > 200
    assert np.mean(student.pseudo_labels_[learned] == y[learned]) > 0.9
    plain = KNeighborsClassifier(1).fit(X[:120], given[:120])
    assert student.score(X[test], y[test]) > plain.score(X[test], y[test]) + 0.1


def test_rows_of_weight_zero_are_not_trained_on(noisy):
    X, _, given, _ = noisy
    labels = np.where(np.arange(len(X)) % 3 == 0, np.nan, given)
    weight = (np.arange(len(X)) % 2).astype(float)
    student = _student("all").fit(X, labels, sample_weight=weight)
    np.testing.assert_array_equal(student.sample_indices_, np.flatnonzero(weight))
    assert (np.isnan(labels) & (weight > 0))[student.sample_indices_].any()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_weights_are_repeats(selection, noisy):
    X, _, given, _ = noisy
    labels = np.where(np.arange(len(X)) % 5 == 0, np.nan, given)
    times = np.random.default_rng(0).integers(1, 4, size=len(X))
    fold = np.arange(len(X)) % 3
    rows = np.repeat(np.arange(len(X)), times)

    def fit(X, y, fold, **weights):
        # Splits name rows of the whole table, labelled or not.
        splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
        student = TeacherStudentClassifier(
            GaussianNB(), GaussianNB(), selection=selection, cv=splits, n_rounds=2
        )
        return student.fit(X, y, **weights).predict_proba(X)

    weighted = fit(X, labels, fold, sample_weight=times)
    repeated = fit(X[rows], labels[rows], fold[rows])
    np.testing.assert_allclose(weighted[rows], repeated, atol=1e-6)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_verified_rows_are_learned_as_they_were_verified(selection, noisy):
    X, _, given, _ = noisy
    looked = np.arange(len(X)) % 10 == 0
    # The verified labels contradict the input, and the predictions of the teacher.
    verified = np.where(looked, (given + 1) % 3, np.nan)
    given = given.astype(float)
    given[::20] = np.nan
    student = _student(selection, n_rounds=2)
    verified[::20] = 2
    student.fit(X, given, verified_labels=verified)
    assert np.isin(np.flatnonzero(looked), student.sample_indices_).all()
    np.testing.assert_array_equal(student.pseudo_labels_[looked], verified[looked])
    np.testing.assert_array_equal(student.pseudo_label_proba_[looked], 1)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_no_class_vanishes(selection, seed):
    X, y = make_blobs(120, centers=[[0, 0], [6, 0]], random_state=seed)
    lost = np.flatnonzero(y == 0)[:3]
    y[lost] = 2  # three rows amid those of another class
    student = _student(selection).fit(X, y)
    assert student.classes_.tolist() == [0, 1, 2]
    assert set(student.pseudo_labels_[student.sample_indices_]) == {0, 1, 2}
    if selection == "agreement":
        assert np.isin(lost, student.sample_indices_).all()


def test_a_single_row_of_a_class_is_learned(seed):
    X, y = make_blobs(60, centers=[[0, 0], [6, 0]], random_state=seed)
    y[7] = 5
    student = _student().fit(X, y)
    assert student.pseudo_labels_[7] == 5
    assert np.isnan(student.pseudo_label_proba_[7])
    assert 7 in student.sample_indices_


def test_the_default_teacher_is_an_ensemble_of_models(noisy, seed):
    X, y, given, _ = noisy
    student = TeacherStudentClassifier(random_state=seed).fit(X, given)
    assert isinstance(student.estimator_, LogisticRegression)
    assert student.score(X, y) > 0.93
    forest = ExtraTreesClassifier(50, bootstrap=True, oob_score=True, min_samples_leaf=5)
    out_of_bag = TeacherStudentClassifier(teacher=forest, random_state=seed).fit(X, given)
    again = TeacherStudentClassifier(teacher=forest, random_state=seed).fit(X, given)
    np.testing.assert_array_equal(out_of_bag.pseudo_label_proba_, again.pseudo_label_proba_)
    assert out_of_bag.score(X, y) > 0.93


def test_texts(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(200) % 2
    words = [["ant", "hill", "leaf"], ["bee", "hive", "wing"]]
    X = [" ".join(rng.choice(words[k], size=5)) for k in truth]
    y, _ = flip_labels(truth, symmetric_transition(2, 0.2), random_state=seed)
    labels = np.array(["ant", "bee"], dtype=object)[y]
    labels[::3] = None
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    student = TeacherStudentClassifier(model, n_rounds=2, random_state=seed).fit(X, labels)
    assert np.mean(student.predict(X) == np.array(["ant", "bee"])[truth]) > 0.95


def test_in_a_search(noisy):
    X, y, given, _ = noisy
    grid = {"selection": SELECTIONS, "n_rounds": [1, 2], "estimator__max_depth": [2, 5]}
    search = GridSearchCV(_student(), grid, cv=2, n_jobs=2, error_score="raise")
    assert search.fit(X, given).best_estimator_.score(X, y) > 0.85


def test_asymmetric_noise_is_undone(seed):
    X, y = make_blobs(600, centers=[[0, 0], [5, 0], [0, 5]], random_state=seed)
    given, _ = flip_labels(y, pair_transition(3, 0.4), random_state=seed)
    student = TeacherStudentClassifier(GaussianNB(), KNeighborsClassifier(25), selection="all").fit(
        X, given
    )
    assert student.score(X, y) > 0.93
    found, planted = student.transition_matrix_, pair_transition(3, 0.4)
    np.testing.assert_array_equal(np.argsort(found, axis=1), np.argsort(planted, axis=1))
    assert np.abs(found - planted).mean() < 0.15


def test_routing(noisy):
    X, _, given, _ = noisy
    weight = np.random.default_rng(0).integers(1, 3, size=len(X)).astype(float)
    plain = _student(n_rounds=2).fit(X, given, sample_weight=weight)
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError):
            _student().fit(X, given, sample_weight=weight)
        student = _student(n_rounds=2)
        student.estimator.set_fit_request(sample_weight=True)
        student.teacher.set_fit_request(sample_weight=True)
        routed = student.fit(X, given, sample_weight=weight)
    np.testing.assert_array_equal(plain.predict(X), routed.predict(X))
    np.testing.assert_allclose(plain.pseudo_label_proba_, routed.pseudo_label_proba_)


@pytest.mark.parametrize(
    "params, kind, words",
    [
        ({"selection": "some"}, ValueError, "'selection'"),
        ({"n_rounds": 0}, ValueError, "'n_rounds'"),
        ({"teacher": 3}, ValueError, "'teacher'"),
        ({"estimator": "tree"}, ValueError, "'estimator'"),
        ({"teacher": Perceptron()}, TypeError, "Perceptron has no predict_proba"),
        ({"estimator": Perceptron(), "n_rounds": 2}, TypeError, "Perceptron has no predict_proba"),
        ({"teacher": GaussianNB(), "cv": 1}, ValueError, "'cv'"),
    ],
)
def test_bad_parameters(params, kind, words, noisy):
    X, _, given, _ = noisy
    with pytest.raises(kind, match=words):
        TeacherStudentClassifier(**params).fit(X, given)


def test_weights_that_the_student_cannot_take(noisy):
    X, _, given, _ = noisy
    student = TeacherStudentClassifier(KNeighborsClassifier(), GaussianNB())
    assert student.fit(X, given).score(X, given) > 0.5
    with pytest.raises(TypeError, match="KNeighborsClassifier, but it takes none"):
        student.fit(X, given, sample_weight=np.ones(len(X)))


@pytest.mark.parametrize("n_rounds", [1, 2])
def test_groups_reach_the_teachers(n_rounds, noisy):
    X, _, given, _ = noisy
    groups = np.arange(len(given)) // 10
    student = TeacherStudentClassifier(GaussianNB(), GaussianNB(), n_rounds=n_rounds, cv=3)
    proba = student.fit(X, given, groups=groups).pseudo_label_proba_
    assert not np.array_equal(proba, student.fit(X, given).pseudo_label_proba_)
