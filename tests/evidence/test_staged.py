"""Stages of fitted models, and of models while they are trained."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.evidence import staged_proba
from skrobust.evidence._training_record import (
    check_has_stages,
    last_layer_norms,
    record_training,
    recorded_passes,
)

X, Y = load_iris(return_X_y=True)
BOOSTING = (
    GradientBoostingClassifier(n_estimators=3, random_state=0),
    HistGradientBoostingClassifier(max_iter=3),
    AdaBoostClassifier(n_estimators=3, random_state=0),
)


@pytest.mark.parametrize("model", BOOSTING, ids=lambda model: type(model).__name__)
def test_boosting(model):
    names = np.array(["a", "b", "c"])[Y]
    stages = list(staged_proba(model.fit(X, names), X))
    assert len(stages) == 3
    assert all(stage.shape == (150, 3) for stage in stages)
    np.testing.assert_allclose(stages[-1], model.predict_proba(X))
    assert not np.allclose(stages[0], stages[-1])


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(4, random_state=0),
        ExtraTreesClassifier(4, bootstrap=True, random_state=0),
        BaggingClassifier(LogisticRegression(), 4, max_features=2, random_state=0),
        BaggingClassifier(SGDClassifier(random_state=0), 4, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_last_stage_of_a_bag_is_its_mean(model):
    stages = list(staged_proba(model.fit(X, Y), X))
    assert len(stages) == 4
    np.testing.assert_allclose(stages[-1], model.predict_proba(X))


@pytest.mark.parametrize("cls", [RandomForestClassifier, BaggingClassifier])
def test_out_of_bag_stages(cls):
    n_members = 60
    model = cls(n_estimators=n_members, oob_score=True, random_state=0, bootstrap=True).fit(X, Y)
    stages = list(staged_proba(model, X, out_of_bag=True))
    np.testing.assert_allclose(stages[-1], model.oob_decision_function_)
    drawn = np.isin(np.arange(150), model.estimators_samples_[0])
    np.testing.assert_array_equal(np.isnan(stages[0]).all(axis=1), drawn)
    with pytest.raises(ValueError, match="the rows that the"):
        next(iter(staged_proba(model, X[:50], out_of_bag=True)))


def test_out_of_bag_stages_need_a_bootstrap():
    model = ExtraTreesClassifier(2).fit(X, Y)
    with pytest.raises(ValueError, match=r"ExtraTreesClassifier\(bootstrap=True\)"):
        next(iter(staged_proba(model, X, out_of_bag=True)))


def test_pipelines_and_searches_lead_to_their_last_step():
    boosting = GradientBoostingClassifier(n_estimators=3, random_state=0)
    plain = boosting.fit(X * 2, Y)
    expected = [stage.copy() for stage in staged_proba(plain, X * 2)]
    pipeline = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=3))
    search = GridSearchCV(pipeline, {"gradientboostingclassifier__n_estimators": [2]}, cv=2)
    stages = list(staged_proba(search.fit(X, Y), X))
    assert len(stages) == 2
    assert len(expected) == 3
    np.testing.assert_allclose(stages[-1], search.predict_proba(X))
    sparse_like = list(staged_proba(make_pipeline(plain), X * 2))
    np.testing.assert_allclose(sparse_like, expected)


def test_the_error_for_others_names_what_there_is_and_how_to_register():
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    with pytest.raises(TypeError, match=r"LogisticRegression keeps no stages.*forests.*register\("):
        staged_proba(model, X)
    with pytest.raises(NotFittedError):
        next(iter(staged_proba(GradientBoostingClassifier(), X)))


class Doubles(ClassifierMixin, BaseEstimator):
    """Becomes surer and surer."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_another_class_can_be_registered():
    with pytest.raises(TypeError, match="Doubles"):
        staged_proba(Doubles(), X)
    with pytest.raises(TypeError, match="estimator: Doubles keeps no stages"):
        check_has_stages(Doubles())

    @staged_proba.register(Doubles)
    def _stages(fitted, X):
        for share in (0.6, 0.9):
            yield np.tile([share, 1 - share], (len(X), 1))

    assert [stage[0, 0] for stage in staged_proba(Doubles().fit(X, Y > 0), X)] == [0.6, 0.9]
    check_has_stages(make_pipeline(StandardScaler(), Doubles()))


class StageList:
    """Remembers the stages."""

    in_sample, wants_norms = True, False

    def __init__(self, X):
        self.X, self.stages, self.norms = X, [], []

    def with_X(self, X):
        self.X = X
        return self

    def add(self, proba, classes, norms=None):
        self.stages.append(proba)
        self.norms.append(norms)


def test_passes_of_a_learner_are_recorded():
    learner = SGDClassifier(loss="log_loss", random_state=3)
    recorder = StageList(X)
    pipeline = make_pipeline(StandardScaler(), learner)
    record_training(pipeline, X, Y, recorder, n_stages=8)
    assert len(recorder.stages) == len(recorded_passes(8)) == 5
    np.testing.assert_allclose(recorder.stages[-1], pipeline.predict_proba(X))
    assert learner.random_state == 3
    assert learner.t_ == 1 + 8 * len(X)


@pytest.mark.parametrize(
    "learner",
    [
        SGDClassifier(loss="log_loss", random_state=0),
        SGDClassifier(loss="modified_huber", random_state=0),
        *[
            MLPClassifier((6, 4), activation=activation, random_state=0)
            for activation in ("identity", "logistic", "tanh", "relu")
        ],
    ],
    ids=str,
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_record_is_what_the_learner_predicts(learner, n_classes):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5001, 60))  # more than one block, the last one not full
    y = np.arange(5001) % n_classes
    recorder, learner = StageList(rows), clone(learner)
    recorder.wants_norms = True
    record_training(learner, rows, y, recorder, n_stages=1)
    np.testing.assert_allclose(recorder.stages[-1], learner.predict_proba(rows), atol=1e-12)
    np.testing.assert_allclose(recorder.norms[-1], last_layer_norms(learner, rows))


def test_a_subclass_predicts_in_its_own_way():
    class Certain(SGDClassifier):
        def predict_proba(self, X):
            return np.eye(3)[self.predict(X)]

    class Steps(HistGradientBoostingClassifier):
        def staged_predict_proba(self, X):
            yield np.eye(3)[self.predict(X)]

    recorder = StageList(X)
    record_training(Certain(loss="log_loss"), X, Y, recorder, n_stages=1)
    assert set(np.unique(recorder.stages[0])) == {0, 1}
    assert len(list(staged_proba(Steps(max_iter=2).fit(X, Y), X))) == 1


def test_bad_rows_are_refused_as_the_learner_does():
    bad = np.where(np.arange(4) == 0, np.nan, X)
    learner = MLPClassifier((4,), random_state=0)
    with pytest.raises(ValueError, match="contains NaN"):
        record_training(learner, X, Y, StageList(bad), n_stages=1)


def test_weights_reach_the_passes():
    weight = np.where(Y == 0, 5.0, 1.0)
    plain, weighed = StageList(X), StageList(X)
    record_training(GaussianNB(), X, Y, plain, n_stages=1)
    record_training(GaussianNB(), X, Y, weighed, weight=weight, n_stages=1)
    expected = GaussianNB().fit(X, Y, sample_weight=weight).predict_proba(X)
    np.testing.assert_allclose(weighed.stages[0], expected)
    assert not np.allclose(weighed.stages[0], plain.stages[0], rtol=0.1, atol=0)


def test_boosting_is_recorded_up_to_a_stage():
    recorder = StageList(X)
    model = GradientBoostingClassifier(n_estimators=5, random_state=0)
    record_training(model, X, Y, recorder, n_stages=2)
    assert len(recorder.stages) == 2
    assert len(model.estimators_) == 5


def test_a_class_can_hand_over_what_it_recorded():
    class Recorder(Doubles):
        pass

    @record_training.register(Recorder)
    def _record(estimator, X, y, recorder, *, weight=None, fit_params=None, n_stages=None):
        estimator.fit(X, y)
        recorder.take({"aum": np.zeros(len(X))})

    recorder = StageList(X)
    recorder.take = lambda statistics: recorder.stages.append(statistics)
    check_has_stages(Recorder())
    record_training(make_pipeline(StandardScaler(), Recorder()), X, Y, recorder)
    assert list(recorder.stages[0]) == ["aum"]


def test_passes_become_rarer():
    assert recorded_passes(1) == [1]
    assert recorded_passes(10) == [1, 2, 3, 5, 8]
    assert len(recorded_passes(1000)) < 20


def test_learners_without_probabilities_are_refused():
    with pytest.raises(TypeError, match="SGDClassifier can be trained pass by pass but has no"):
        check_has_stages(SGDClassifier())
    check_has_stages(SGDClassifier(loss="log_loss"))
    search = GridSearchCV(SGDClassifier(loss="log_loss"), {})
    with pytest.raises(TypeError, match="keeps no stages"):
        check_has_stages(search)


def test_norms_of_the_last_layer():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3))
    y = (rows[:, 0] > 0).astype(int)
    model = SGDClassifier(loss="log_loss").fit(rows, y)
    expected = np.sqrt((rows**2).sum(axis=1) + 1)
    np.testing.assert_allclose(last_layer_norms(model, rows), expected)
    for activation in ("identity", "logistic", "tanh", "relu"):
        network = MLPClassifier((4, 3), activation=activation, max_iter=2, random_state=0)
        network.partial_fit(rows, y, classes=[0, 1])
        hidden = rows
        functions = {
            "identity": lambda x: x,
            "logistic": lambda x: 1 / (1 + np.exp(-x)),
            "tanh": np.tanh,
            "relu": lambda x: x * (x > 0),
        }
        for layer in range(2):
            hidden = functions[activation](
                hidden @ network.coefs_[layer] + network.intercepts_[layer]
            )
        expected = np.sqrt((hidden**2).sum(axis=1) + 1)
        np.testing.assert_allclose(last_layer_norms(network, rows), expected)
    with pytest.raises(TypeError, match="statistic='grand'.*GaussianNB has none"):
        last_layer_norms(GaussianNB(), rows)
