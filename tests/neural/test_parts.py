"""Parameters of modules, losses, optimisers and callbacks, as parameters of the estimator."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, EpochTimer

from skrobust.neural import ELRClassifier, FeatureTuneClassifier, NeuralClassifier, NeuralRegressor
from skrobust.neural._callbacks import named_callbacks
from skrobust.neural.losses import GeneralizedCrossEntropy
from skrobust.neural.modules import MLP

QUICK = {
    "hidden_layer_sizes": (8,),
    "max_epochs": 2,
    "learning_rate": 0.01,
    "device": "cpu",
    "random_state": 0,
}


class Sized(torch.nn.Module):
    """A network of one's own with an argument of its own."""

    def __init__(self, shape, n_classes, width=4):
        super().__init__()
        self.body = torch.nn.Linear(shape, width)
        self.head = torch.nn.Linear(width, n_classes)

    def forward(self, X):
        return self.head(self.body(X).relu())


class Finished(torch.nn.Module):
    """A network without arguments."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(4, 3)

    def forward(self, X):
        return self.head(X)


class Widened(Finished):
    """A network whose only argument has a default."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale


@pytest.fixture
def rows(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(60) % 3
    return rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[y], y


def _all_parts():
    return NeuralClassifier(
        Sized,
        module_params={"width": 5},
        criterion="generalized_cross_entropy",
        criterion_params={"q": 0.5},
        optimizer_params={"betas": (0.8, 0.9)},
        callbacks=[EarlyStopping("train_loss"), ("score", EpochScoring("accuracy", False, True))],
        **QUICK,
    )


def test_parameters_of_parts_are_got_and_reach_the_parts(rows):
    model = _all_parts().fit(*rows)
    params = model.get_params()
    assert params["module__width"] == model.module_.body.out_features == 5
    assert params["criterion__q"] == model.net_.criterion_.q == 0.5
    group = model.net_.optimizer_.param_groups[0]
    assert params["optimizer__betas"] == group["betas"] == (0.8, 0.9)
    assert params["callbacks__EarlyStopping__patience"] == 5
    assert params["callbacks__score__scoring"] == "accuracy"
    assert not any("__" in name for name in model.get_params(deep=False))


def test_parameters_of_parts_are_set_cloned_and_pickled(rows):
    model = _all_parts()
    given = model.module_params
    model.set_params(module__width=7, criterion__q=0.9, optimizer__eps=1e-5)
    model.set_params(callbacks__EarlyStopping__patience=1, callbacks__score__name="seen")
    assert given == {"width": 5}  # a dictionary of the user's
    for copy in (clone(model), pickle.loads(pickle.dumps(model)), clone(clone(model))):
        params = copy.get_params()
        assert params["module__width"] == 7
        assert (params["optimizer__betas"], params["optimizer__eps"]) == ((0.8, 0.9), 1e-5)
        assert params["callbacks__EarlyStopping__patience"] == 1
        copy.fit(*rows)
        assert "seen" in copy.history_
        assert copy.module_.body.out_features == 7
        assert copy.net_.criterion_.q == 0.9
    assert model.set_params(**model.get_params()).get_params().keys() == model.get_params().keys()


def test_a_grid_search_reaches_parts(rows):
    pipeline = make_pipeline(StandardScaler(), _all_parts())
    grid = {
        "neuralclassifier__module__width": [3, 6],
        "neuralclassifier__optimizer__amsgrad": [True],
        "neuralclassifier__optimizer__lr": [0.1],
        "neuralclassifier__callbacks__EarlyStopping__patience": [1],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*rows)
    best = search.best_estimator_[-1]
    assert best.module_.body.out_features == search.best_params_["neuralclassifier__module__width"]
    assert best.net_.optimizer_.param_groups[0]["amsgrad"] is True
    assert best.learning_rate == best.history_["learning_rate"][0] == 0.1
    assert clone(best).optimizer_params == best.optimizer_params


def test_names_of_skorch_for_own_parameters_are_understood():
    model = NeuralClassifier(**QUICK)
    model.set_params(optimizer__lr=0.2, optimizer__weight_decay=0.3, optimizer__momentum=0.5)
    model.set_params(module__dropout=0.1, module__batch_norm=True)
    assert (model.learning_rate, model.weight_decay, model.momentum) == (0.2, 0.3, 0.5)
    assert (model.dropout, model.module_params) == (0.1, {"batch_norm": True})
    assert model.optimizer_params is None


def test_optimizer_parameters_may_change_between_trainings(rows):
    model = NeuralClassifier(warm_start=True, **QUICK).fit(*rows)
    model.set_params(optimizer__betas=(0.5, 0.6)).fit(*rows)
    assert model.net_.optimizer_.param_groups[0]["betas"] == (0.5, 0.6)


def test_callbacks_may_be_replaced_and_taken_away(rows):
    model = NeuralClassifier(callbacks=[EpochTimer, EpochTimer(), EarlyStopping], **QUICK)
    names = ["EpochTimer_1", "EpochTimer_2", "EarlyStopping"]
    assert list(named_callbacks(model.callbacks)) == names
    model.set_params(callbacks__EarlyStopping__monitor="train_loss")
    model.set_params(callbacks__EpochTimer_1=None)
    assert list(named_callbacks(model.callbacks)) == ["EpochTimer", "EarlyStopping"]
    model.set_params(callbacks__EpochTimer=EarlyStopping("train_loss", patience=9))
    assert model.get_params()["callbacks__EpochTimer__patience"] == 9
    model.fit(*rows)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module__depth": 3}, r"module__depth: MLP has no 'depth'.*batch_norm, dropout"),
        ({"module__n_classes": 3}, "module__n_classes"),
        ({"module": Sized, "module__depth": 3}, "Sized has no 'depth'.*are: width"),
        ({"module": Finished(), "module__depth": 3}, "module is a Finished that has been made"),
        ({"criterion__q": 0.1}, "criterion__q: CrossEntropy has no 'q'"),
        ({"criterion": GeneralizedCrossEntropy(), "criterion__q": 0.1}, "has been made already"),
        ({"optimizer__nesterov": True}, "optimizer__nesterov: Adam has no 'nesterov'"),
        ({"callbacks__Other__patience": 1}, "no callback is called 'Other'. There are: EarlyS"),
        ({"callbacks__EarlyStopping__q": 1}, "EarlyStopping has no 'q'.*monitor, patience"),
        ({"iterator_train__shuffle": True}, "Invalid parameter 'iterator_train'"),
        ({"depth": True}, "Invalid parameter 'depth'"),
    ],
)
def test_unknown_parameters_are_refused_when_they_are_set(params, message):
    model = NeuralClassifier(callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match=message):
        model.set_params(**params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"module_params": {"depth": 3}}, "MLP has no 'depth'"),
        ({"module_params": {"dropout": 0.3}}, "which is the parameter dropout of"),
        ({"optimizer_params": {"lr": 0.3}}, "which is the parameter learning_rate of"),
        ({"optimizer_params": {"nesterov": True}}, "Adam has no 'nesterov'"),
        ({"criterion_params": {"q": 0.3}}, "CrossEntropy has no 'q'"),
        ({"module": lambda a, b, c: None}, r"takes \(a, b, c\), and cannot be called as module"),
    ],
)
def test_unknown_parameters_are_refused_before_a_training(params, message, rows):
    model = NeuralClassifier(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(*rows)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("name", ["module__width", "callbacks__EarlyStopping__patience", "depth"])
def test_constructor_refuses_unknown_parameters(name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        NeuralClassifier(**{name: 3})


@pytest.mark.parametrize(
    ("module", "params"),
    [
        (Finished, {}),
        (Widened, {}),
        (Widened, {"scale": 2.0}),
        (Sized, {"width": 3}),
        (MLP, {"hidden_layer_sizes": (5,)}),
        (lambda: torch.nn.Linear(4, 3), {}),
        (lambda shape, n_classes: torch.nn.Linear(shape, n_classes), {}),
        (torch.nn.Linear, {"bias": False}),
        (torch.nn.LazyLinear, {"out_features": 3}),
    ],
)
def test_modules_are_made_with_and_without_arguments(module, params, rows):
    model = NeuralClassifier(module, module_params=params, **QUICK).fit(*rows)
    assert model.predict_proba(rows[0]).shape == (60, 3)
    if "scale" in params:
        assert model.module_.scale == 2.0


def test_other_estimators_have_parameters_of_parts(rows):
    X, y = rows
    model = ELRClassifier(**QUICK).set_params(optimizer__eps=1e-3, module__batch_norm=True)
    assert model.fit(X, y).net_.optimizer_.param_groups[0]["eps"] == 1e-3
    model = NeuralRegressor(**QUICK).set_params(criterion__delta=0.1, optimizer__eps=1e-3)
    assert model.fit(X, X[:, 0]).net_.criterion_.delta == 0.1
    model = FeatureTuneClassifier(max_epochs=2).set_params(optimizer__eps=1e-3).fit(X, y)
    assert model.net_.optimizer_.param_groups[0]["eps"] == 1e-3
    with pytest.raises(ValueError, match="Invalid parameter 'module'"):
        model.set_params(module__batch_norm=True)


def test_callbacks_are_cloned_with_what_they_were_made_of(rows):
    class Count(Callback):
        def __init__(self, step=1):
            self.step = step

        def initialize(self):
            self.n_epochs_ = 0
            return self

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs_ += self.step

    model = NeuralClassifier(callbacks=[Count(step=2)], **QUICK).fit(*rows)
    copy = clone(model).fit(*rows)
    assert copy.callbacks[0] is not model.callbacks[0]
    assert (copy.callbacks[0].n_epochs_, copy.callbacks[0].step) == (4, 2)
    assert_array_equal(copy.predict(rows[0]), model.predict(rows[0]))
