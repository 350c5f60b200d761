"""Corrected scores inside searches, with and without metadata routing."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import ConfidentLearning
from skrobust.linear_model import NoisyLogisticRegression
from skrobust.metrics import noise_corrected_score
from skrobust.model_selection import lexicographic_refit, make_noise_corrected_scorer
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.utils import LabelNoiseWarning
from skrobust.wrappers import CleaningClassifier

TRANSITION = symmetric_transition(3, 0.3)


@pytest.fixture
def blobs(seed):
    X, truth = make_blobs(600, centers=[[0, 0], [4, 0], [0, 4]], random_state=seed)
    names = np.array(["ash", "beech", "cedar"])[truth]
    given, _ = flip_labels(names, TRANSITION, random_state=seed)
    return X, given, names


def test_score_is_that_of_the_function(blobs):
    X, given, _ = blobs
    model = GaussianNB().fit(X[:300], given[:300])
    scorer = make_noise_corrected_scorer("f1_macro", transition=TRANSITION)
    pred = model.predict(X[300:])
    expected = noise_corrected_score(given[300:], pred, metric="f1_macro", transition=TRANSITION)
    assert scorer(model, X[300:], given[300:]) == pytest.approx(expected.score)
    assert expected.score > expected.noisy_score + 0.1
    costs = make_noise_corrected_scorer(1 - np.eye(3), transition=TRANSITION)
    assert costs(model, X[300:], given[300:]) < 0
    again = pickle.loads(pickle.dumps(scorer))
    assert again(model, X[300:], given[300:]) == pytest.approx(expected.score)
    assert repr(scorer) == "make_noise_corrected_scorer('f1_macro')"


def test_grid_search_in_processes(blobs):
    X, given, names = blobs
    scorer = make_noise_corrected_scorer("balanced_accuracy", transition=TRANSITION)
    search = GridSearchCV(LogisticRegression(), {"C": [1e-6, 1.0]}, scoring=scorer, n_jobs=2, cv=3)
    search.fit(X, given)
    assert search.best_params_ == {"C": 1.0}
    assert search.best_score_ == pytest.approx(np.mean(search.predict(X) == names), abs=0.1)


def test_cross_validate_with_several_metrics_and_weights(blobs, seed):
    X, given, _ = blobs
    weight = np.random.default_rng(seed).random(len(given))
    scoring = {
        "noisy": "accuracy",
        "corrected": make_noise_corrected_scorer("accuracy", transition=TRANSITION),
        "f1": make_noise_corrected_scorer("f1_macro", transition=TRANSITION),
    }
    found = cross_validate(GaussianNB(), X, given, scoring=scoring, cv=3)
    assert found["test_corrected"].mean() > found["test_noisy"].mean() + 0.15
    with config_context(enable_metadata_routing=True):
        weighted = {
            "corrected": make_noise_corrected_scorer(
                "accuracy", transition=TRANSITION
            ).set_score_request(sample_weight=True)
        }
        model = GaussianNB().set_fit_request(sample_weight=False)
        params = {"sample_weight": weight}
        other = cross_validate(model, X, given, scoring=weighted, cv=3, params=params)
    assert not np.allclose(other["test_corrected"], found["test_corrected"])


def test_halving_search(blobs):
    X, given, _ = blobs
    scorer = make_noise_corrected_scorer(transition=TRANSITION)
    grid = {"C": [1e-6, 1e-5, 1.0]}
    search = HalvingGridSearchCV(
        LogisticRegression(), grid, scoring=scorer, cv=3, random_state=0, min_resources=100
    )
    assert search.fit(X, given).best_params_["C"] == 1.0


@pytest.mark.parametrize(
    "model",
    [
        NoisyLogisticRegression(transition="learn"),
        CleaningClassifier(GaussianNB(), ConfidentLearning(GaussianNB(), cv=3)),
    ],
)
def test_transition_of_the_candidate(blobs, model):
    X, given, names = blobs
    scorer = make_noise_corrected_scorer()
    scores = cross_val_score(model, X, given, scoring=scorer, cv=3, error_score="raise")
    noisy = cross_val_score(model, X, given, cv=3)
    assert scores.mean() > noisy.mean() + 0.1
    assert scores.mean() == pytest.approx(cross_val_score(GaussianNB(), X, names).mean(), abs=0.15)


def test_verified_labels_reach_the_folds(blobs):
    X, given, names = blobs
    verified = np.full(len(given), None, dtype=object)
    verified[::4] = names[::4]
    scorer = make_noise_corrected_scorer("accuracy")
    grid = {"var_smoothing": [1e-9, 1e6]}
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(GaussianNB(), grid, scoring=scorer, cv=3)
        search.fit(X, given, verified_labels=verified)
    assert search.best_params_["var_smoothing"] == 1e-9
    # What the first fold must give, by hand.
    train, test = next(StratifiedKFold(3).split(X, given))
    pred = GaussianNB().fit(X[train], given[train]).predict(X[test])
    expected = noise_corrected_score(given[test], pred, verified_labels=verified[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected.score)


def test_folds_with_few_verified_rows_give_nan(blobs):
    X, given, names = blobs
    verified = np.full(len(given), None, dtype=object)
    verified[0] = names[0]
    scorer = make_noise_corrected_scorer()
    model = GaussianNB().fit(X, given)
    with (
        config_context(enable_metadata_routing=True),
        pytest.warns(LabelNoiseWarning, match="only 1 of 600 held-out rows are verified"),
    ):
        assert np.isnan(scorer(model, X, given, verified_labels=verified))


def test_without_routing_no_verified_label_arrives(blobs):
    X, given, _ = blobs
    scorer = make_noise_corrected_scorer()
    model = GaussianNB().fit(X, given)
    with pytest.raises(ValueError, match="GaussianNB has no transition_matrix_"):
        scorer(model, X, given)


def test_fold_without_a_class_gives_nan_with_a_reason():
    X = np.arange(60.0)[:, None]
    y = np.repeat([0, 1, 2], 20)
    scoring = {
        "macro": make_noise_corrected_scorer("f1_macro", transition=np.eye(3), labels=[0, 1, 2]),
        "accuracy": make_noise_corrected_scorer(transition=np.eye(3), labels=[0, 1, 2]),
    }
    with pytest.warns(LabelNoiseWarning, match="no held-out row is given the class"):
        found = cross_validate(
            GaussianNB(), X, y, scoring=scoring, cv=KFold(3), error_score="raise"
        )
    assert np.isnan(found["test_macro"]).all()
    assert np.isfinite(found["test_accuracy"]).all()
    model = GaussianNB().fit(X[:40], y[:40])
    auc = make_noise_corrected_scorer("roc_auc", transition=np.eye(2), labels=[0, 1])
    with pytest.warns(LabelNoiseWarning, match="class 1"):
        assert np.isnan(auc(model, X[:10], y[:10]))


def test_singular_transition_of_a_candidate_gives_nan(blobs):
    X, given, _ = blobs
    model = NoisyLogisticRegression(transition=TRANSITION).fit(X, given)
    model.transition_matrix_ = np.full((3, 3), 1 / 3)
    with pytest.warns(LabelNoiseWarning, match="condition number"):
        assert np.isnan(make_noise_corrected_scorer()(model, X, given))


def _rare(seed):
    """Two overlapping classes, one of them rare, and labels that make it less rare."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(6000) < 0.12).astype(int)
    X = rng.normal(size=(6000, 1)) + 2 * truth[:, None]
    transition = np.array([[0.75, 0.25], [0.05, 0.95]])
    given, _ = flip_labels(truth, transition, random_state=seed)
    return X, given, truth, transition


def test_threshold_goes_where_clean_labels_put_it(seed):
    X, given, truth, transition = _rare(seed)
    train, rest = slice(0, 3000), slice(3000, 6000)
    model = LogisticRegression().fit(X[train], given[train])
    scorer = make_noise_corrected_scorer("f1", transition=transition)
    thresholds, scores = {}, {}
    for name, scoring, labels in (
        ("clean", "f1", truth),
        ("noisy", "f1", given),
        ("corrected", scorer, given),
    ):
        tuned = TunedThresholdClassifierCV(model, scoring=scoring, cv="prefit", refit=False)
        tuned.fit(X[rest], labels[rest])
        thresholds[name] = tuned.best_threshold_
        scores[name] = f1_score(truth[train], tuned.predict(X[train]))
    gap = abs(thresholds["noisy"] - thresholds["clean"])
    assert abs(thresholds["corrected"] - thresholds["clean"]) < 0.5 * gap
    assert scores["clean"] - scores["corrected"] < 0.5 * (scores["clean"] - scores["noisy"])


def test_thresholds_need_a_transition_matrix(seed):
    X, given, _, _ = _rare(seed)
    tuned = TunedThresholdClassifierCV(
        LogisticRegression(), scoring=make_noise_corrected_scorer("f1"), cv=3
    )
    with pytest.raises(ValueError, match="'estimator' cannot be used here"):
        tuned.fit(X, given)


def test_ranking_metrics_take_scores(seed):
    X, _, truth, _ = _rare(seed)
    transition = np.array([[0.9, 0.1], [0.05, 0.95]])
    given, _ = flip_labels(truth, transition, random_state=seed)
    model = LogisticRegression().fit(X[:3000], given[:3000])
    for metric in ("roc_auc", "average_precision"):
        scorer = make_noise_corrected_scorer(metric, transition=transition)
        plain = make_noise_corrected_scorer(metric, transition=np.eye(2))
        corrected = scorer(model, X[3000:], given[3000:])
        clean = plain(model, X[3000:], truth[3000:])
        noisy = plain(model, X[3000:], given[3000:])
        assert abs(corrected - clean) < 0.6 * abs(noisy - clean)


def test_bad_arguments():
    with pytest.raises(ValueError, match="metric='f2' is unknown"):
        make_noise_corrected_scorer("f2")
    with pytest.raises(ValueError, match="transition='learn' is unknown"):
        make_noise_corrected_scorer(transition="learn")
    with pytest.raises(ValueError, match="must sum to 1"):
        make_noise_corrected_scorer(transition=[[1, 1], [0, 1]])


def test_lexicographic_choice_in_a_search(blobs):
    X, given, _ = blobs
    scoring = {
        "noisy": "accuracy",
        "corrected": make_noise_corrected_scorer(transition=TRANSITION),
    }
    refit = lexicographic_refit(["noisy", "corrected"], tolerance="2se")
    search = GridSearchCV(
        LogisticRegression(), {"C": [1e-6, 0.1, 1.0]}, scoring=scoring, refit=refit, cv=3
    )
    assert clone(search).fit(X, given).best_params_["C"] in (0.1, 1.0)


def test_ranking_that_is_undefined_gives_nan():
    X, y = np.linspace(0, 1, 100)[:, None], np.repeat([0, 1], [95, 5])
    model = LogisticRegression().fit(X, y)
    scorer = make_noise_corrected_scorer("roc_auc", transition=symmetric_transition(2, 0.1))
    with pytest.warns(LabelNoiseWarning, match="all rows are of one class"):
        assert np.isnan(scorer(model, X, y))
