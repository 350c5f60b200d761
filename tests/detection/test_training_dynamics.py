"""What is particular to TrainingDynamics; tests/test_common.py holds what all detectors share."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.detection import TrainingDynamics
from skrobust.detection._training_dynamics import STATISTICS
from skrobust.evidence import staged_proba
from skrobust.evidence._stages import StageRecorder
from skrobust.evidence._training_record import record_training
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.testing._outputs import rank_auc
from skrobust.utils._input import row_hashes


@pytest.fixture
def noisy(seed):
    X, y = make_classification(
        300, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, class_sep=2, random_state=seed
    )
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)
    return X, y, y_noisy, flipped


def _fit_in_order(model, X, y):
    """Fit as the detector does: trees resolve ties between splits by the order of rows."""
    order = np.argsort(row_hashes(X))
    return model.fit(X[order], y[order])


def _statistics(model, X, y, n_stages):
    recorder = StageRecorder(X, y, np.arange(3))
    for _, proba in zip(range(n_stages), staged_proba(model, X), strict=False):
        recorder.add(proba, model.classes_)
    return recorder.result()


def test_is_its_parts_in_sample(noisy):
    X, _, y, _ = noisy
    model = GradientBoostingClassifier(n_estimators=6, random_state=0)
    detector = TrainingDynamics(model, n_stages=4, max_flag_rate=None).fit(X, y)
    expected = _statistics(_fit_in_order(model, X, y), X, y, 4)
    for name, values in detector.dynamics_.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-8, err_msg=name)
    assert set(detector.dynamics_) == {*STATISTICS, "confidence", "variability"} - {"grand"}
    np.testing.assert_allclose(detector.label_quality_, (expected["aum"] + 1) / 2)
    np.testing.assert_array_equal(detector.label_errors_, expected["aum"] < 0)
    assert detector.threshold_ == 0.5


def test_is_its_parts_out_of_fold(noisy):
    X, _, y, _ = noisy
    folds = list(StratifiedKFold(3).split(X, y))
    model = GradientBoostingClassifier(n_estimators=3, random_state=0)
    detector = TrainingDynamics(model, cv=folds, statistic="el2n", max_flag_rate=None).fit(X, y)
    for train, test in folds:
        expected = _statistics(_fit_in_order(model, X[train], y[train]), X[test], y[test], 3)
        np.testing.assert_allclose(detector.dynamics_["el2n"][test], expected["el2n"])
        quality = 1 - expected["el2n"] / np.sqrt(2)
        np.testing.assert_allclose(detector.label_quality_[test], quality)


@pytest.mark.parametrize("statistic", sorted(set(STATISTICS) - {"oscillation", "grand"}))
@pytest.mark.parametrize("cv", [None, 3])
def test_every_statistic_finds_errors(statistic, cv, noisy):
    X, y, y_noisy, flipped = noisy
    detector = TrainingDynamics(statistic=statistic, cv=cv, n_stages=20, random_state=0)
    detector.fit(X, y_noisy)
    found = average_precision_score(flipped, 1 - detector.label_quality_)
    assert found > (0.4 if statistic == "forgetting" else 0.7)
    assert detector.label_errors_[flipped].mean() > 0.6
    right = detector.suggested_labels_ == y
    assert right[detector.label_errors_ & flipped].mean() > 0.8


def test_gradients_of_the_last_layer(noisy):
    X, _, y_noisy, flipped = noisy
    network = MLPClassifier((16,), learning_rate_init=0.02, batch_size=32)
    for learner in (SGDClassifier(loss="log_loss"), network):
        pipeline = make_pipeline(StandardScaler(), learner)
        detector = TrainingDynamics(
            pipeline,
            statistic="grand",
            n_stages=5,
            store_estimators=True,
            max_flag_rate=None,
            random_state=0,
        ).fit(X, y_noisy)
        assert average_precision_score(flipped, 1 - detector.label_quality_) > 0.5
        # The gradient is the error times something that is at least one.
        assert (detector.dynamics_["grand"] >= detector.dynamics_["el2n"] - 1e-9).all()
        assert np.isfinite(detector.score_labels(X, y_noisy)).all()
    with pytest.raises(TypeError, match="statistic='grand'.*HistGradientBoosting.*has none"):
        TrainingDynamics(statistic="grand").fit(X, y_noisy)


def test_repeats_are_averaged(noisy):
    X, _, y, _ = noisy
    learner = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss"))
    once, twice, same = (
        TrainingDynamics(
            learner,
            n_stages=3,
            n_repeats=n,
            random_state=s,
            store_estimators=True,
            max_flag_rate=None,
        ).fit(X, y)
        for n, s in ((1, 0), (2, 0), (1, 0))
    )
    np.testing.assert_array_equal(once.label_quality_, same.label_quality_)
    assert not np.allclose(once.label_quality_, twice.label_quality_)
    assert len(twice.estimators_) == 2
    seeds = {model[-1].random_state for model in twice.estimators_}
    assert len(seeds) == 2


def test_groups_bring_folds(noisy):
    X, _, y, _ = noisy
    groups = np.arange(300) // 3
    detector = TrainingDynamics(store_estimators=True, random_state=0, n_stages=3)
    assert len(detector.fit(X, y).estimators_) == 1
    assert len(detector.fit(X, y, groups=groups).estimators_) == 5


def test_replicates_and_weights_do_not_get_an_error_learned(noisy):
    X, _, y, flipped = noisy
    weight = np.where(flipped, 9.0, 1.0)
    plain = TrainingDynamics(random_state=0).fit(X, y)
    weighed = TrainingDynamics(random_state=0).fit(X, y, sample_weight=weight)
    ap = [average_precision_score(flipped, 1 - d.label_quality_) for d in (plain, weighed)]
    assert ap[1] > ap[0] - 0.1


def test_new_rows_are_scored_by_the_stages(noisy):
    X, _, y, _ = noisy
    model = GradientBoostingClassifier(n_estimators=6, random_state=0)
    detector = TrainingDynamics(model, n_stages=4, store_estimators=True)
    detector.fit(X[:200], y[:200])
    expected = _statistics(detector.estimators_[0], X[200:], y[200:], 4)["aum"]
    np.testing.assert_allclose(detector.score_labels(X[200:], y[200:]), (expected + 1) / 2)
    np.testing.assert_array_equal(detector.detect(X[200:], y[200:]), expected < 0)
    by_names = TrainingDynamics(n_stages=5, store_estimators=True, random_state=0)
    names = np.array(["b", "c", "a"])
    by_names.fit(X[:200], names[y[:200]])
    by_numbers = TrainingDynamics(n_stages=5, store_estimators=True, random_state=0)
    by_numbers.fit(X[:200], y[:200])
    np.testing.assert_allclose(
        by_names.score_labels(X[200:], names[y[200:]]), by_numbers.score_labels(X[200:], y[200:])
    )
    assert set(by_names.estimators_[0].predict(X)) <= set(names)
    with pytest.raises(AttributeError, match="has no attribute .detect."):
        TrainingDynamics().fit(X, y).detect(X, y)


def test_what_a_model_recorded_is_used(noisy):
    X, _, y, _ = noisy

    class Recorder(GaussianNB):
        n_fits = 0

    recorded = np.linspace(-1, 1, 300)

    @record_training.register(Recorder)
    def _record(estimator, X, y, recorder, *, weight=None, fit_params=None, n_stages=None):
        Recorder.n_fits += 1
        estimator.fit(X, y)
        assert recorder.in_sample
        # In the order of the training rows, which is not that of the data.
        place = [np.flatnonzero((data == row).all(axis=1))[0] for row in X]
        proba = estimator.predict_proba(X)
        recorder.take({"aum": recorded[place], "mean_proba": proba})

    data = X
    detector = TrainingDynamics(Recorder(), max_flag_rate=None).fit(X, y)
    assert Recorder.n_fits == 1
    np.testing.assert_allclose(detector.dynamics_["aum"], recorded)
    np.testing.assert_array_equal(detector.label_errors_, recorded < 0)
    with pytest.raises(ValueError, match="statistic='el2n' was not recorded"):
        TrainingDynamics(Recorder(), statistic="el2n").fit(X, y)


def test_texts():
    y = np.random.default_rng(0).choice(["ham", "spam"], 200)
    texts = [
        ("win cash " if label == "spam" else "see you ") * 2 + f"w{i}" for i, label in enumerate(y)
    ]
    wrong = y.copy()
    wrong[:10] = np.where(y[:10] == "ham", "spam", "ham")
    for learner in (MultinomialNB(), SGDClassifier(loss="log_loss"), RandomForestClassifier(10)):
        cv = 5 if isinstance(learner, RandomForestClassifier) else None
        detector = TrainingDynamics(
            make_pipeline(TfidfVectorizer(token_pattern="[a-z]+"), learner),
            n_stages=3,
            cv=cv,
            random_state=0,
        ).fit(texts, wrong)
        np.testing.assert_array_equal(np.flatnonzero(detector.label_errors_), np.arange(10))
        np.testing.assert_array_equal(detector.suggested_labels_, y)
    with pytest.raises(ValueError, match="ConfidentLearning with any classifier"):
        TrainingDynamics().fit(texts, wrong)


def test_models_without_stages_are_refused_before_any_work(noisy):
    X, _, y, _ = noisy
    message = r"estimator: LogisticRegression keeps no stages.*SGDClassifier.*register\("
    with pytest.raises(TypeError, match=message):
        TrainingDynamics(make_pipeline(StandardScaler(), LogisticRegression())).fit(X, y)
    with pytest.raises(TypeError, match="log_loss"):
        TrainingDynamics(SGDClassifier()).fit(X, y)
    for name in ("n_stages", "n_repeats"):
        with pytest.raises(ValueError, match=name):
            TrainingDynamics(**{name: 0}).fit(X, y)
    with pytest.raises(ValueError, match="statistic"):
        TrainingDynamics(statistic="auc").fit(X, y)


def test_fake_class_flags_by_a_threshold(noisy):
    X, _, y, flipped = noisy
    for statistic in ("aum", "mean_loss"):
        detector = TrainingDynamics(rule="fake_class", statistic=statistic, random_state=0)
        detector.fit(X, y)
        expected = detector.label_quality_ < detector.threshold_
        np.testing.assert_array_equal(detector.label_errors_, expected)
        assert detector.label_errors_[flipped].mean() > 0.6
        assert detector.label_errors_[~flipped].mean() < 0.2


def test_all_stages_of_the_model_that_is_given(noisy):
    X, _, y, _ = noisy
    model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False)
    detector = TrainingDynamics(model, store_estimators=True).fit(X, y)
    assert detector.estimators_[0].n_iter_ == 60
    assert not hasattr(model, "classes_")
    stages = list(detector.estimators_[0].staged_predict_proba(X))
    codes = np.searchsorted(detector.classes_, y)
    # Late stages have learned wrong labels: the first ones tell how many there are.
    early = _statistics(detector.estimators_[0], X, y, 15)["aum"]
    n_early = (early < 0).sum()
    n_wrong = [(proba.argmax(axis=1) != codes).sum() for proba in stages]
    n_stages = next(i for i, n in enumerate(n_wrong, 1) if i > 15 and n < 0.5 * n_early)
    assert 15 < n_stages < 60
    every = _statistics(detector.estimators_[0], X, y, n_stages)["aum"]
    np.testing.assert_allclose(detector.dynamics_["aum"], every, atol=1e-6)
    assert 0.8 * n_early < detector.label_errors_.sum() <= n_early
    assert (every < 0).sum() < n_early
    flagged = detector.label_quality_ < detector.threshold_
    np.testing.assert_array_equal(flagged, detector.label_errors_)
    np.testing.assert_array_equal(detector.detect(X, y), detector.label_errors_)
    # Rows without a label are looked at as well, and have no part in when to stop.
    missing = np.append(y.astype(object), [None] * 5)
    more = TrainingDynamics(model).fit(np.vstack([X, X[:5]]), missing)
    np.testing.assert_allclose(more.dynamics_["aum"][: len(y)], every, atol=1e-6)
    first = TrainingDynamics(model, n_stages=15).fit(X, y)
    np.testing.assert_allclose(first.dynamics_["aum"], early, atol=1e-6)
    assert first.threshold_ == 0.5


def test_margins_of_logits(noisy):
    X, _, y, planted = noisy
    model = HistGradientBoostingClassifier(max_iter=10, early_stopping=False)
    detector = TrainingDynamics(model, statistic="aum_logits", store_estimators=True).fit(X, y)
    scores = np.stack(list(detector.estimators_[0].staged_decision_function(X)))
    codes = np.searchsorted(detector.classes_, y)
    own = scores[:, np.arange(len(y)), codes]
    scores[:, np.arange(len(y)), codes] = -np.inf
    expected = (own - scores.max(axis=2)).mean(axis=0)
    np.testing.assert_allclose(detector.dynamics_["aum_logits"], expected, atol=1e-6)
    np.testing.assert_allclose(detector.label_quality_, expit(expected), atol=1e-6)
    np.testing.assert_array_equal(detector.label_errors_, expected < 0)
    assert rank_auc(-detector.label_quality_, planted) > 0.9
