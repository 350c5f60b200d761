"""What is particular to NeuralClassifier; tests/test_common.py has what all estimators share."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from skrobust.detection import TrainingDynamics
from skrobust.neural import ELRClassifier, HalfFineTuning, NeuralClassifier, SOPClassifier
from skrobust.neural.losses import GeneralizedCrossEntropy, VolumeMinimizing
from skrobust.neural.modules import SmallCNN
from skrobust.wrappers import CleaningClassifier

QUICK = {"hidden_layer_sizes": (16,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}


def _network(**params):
    return NeuralClassifier(**{**QUICK, "random_state": 0, **params})


@pytest.fixture
def rows(seed):
    """Three classes around well separated centres."""
    rng = np.random.default_rng(seed)
    y = np.arange(300) % 3
    return rng.normal(size=(300, 4)) + 4 * np.eye(3, 4)[y], y


def _weights(model):
    return torch.cat([p.detach().flatten() for p in model.module_.parameters()])


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"criterion": "cores"},
        {"criterion": GeneralizedCrossEntropy(q=0.5)},
        {"criterion": torch.nn.CrossEntropyLoss()},
        {"criterion": lambda: VolumeMinimizing(3)},
        {"label_smoothing": 0.2},
        {"label_smoothing": -0.2},
        {"mixup": 0.4},
        {"consistency": 1.0},
        {"mixup": 0.4, "consistency": 1.0, "label_smoothing": 0.1},
        {"hidden_noise": 0.1},
        {"ema_decay": 0.95},
        {"mixed_precision": "bfloat16"},
        {"gradient_clip": 1.0},
        {"early_stopping": True},
        {"early_stopping": True, "validation_score": "loss", "ema_decay": 0.9},
        {"optimizer": "sgd", "learning_rate": 0.05},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"optimizer": "rmsprop"},
        {"optimizer": torch.optim.Adamax},
        {"learning_rate_schedule": "cosine"},
        {"learning_rate_schedule": "one_cycle"},
        {"callbacks": [HalfFineTuning()]},
        {"dropout": 0.3, "activation": "gelu"},
        {"batch_size": 300, "max_epochs": 60},
    ],
)
def test_learns(params, rows):
    X, y = rows
    model = _network(**params).fit(X, y)
    assert model.score(X, y) > 0.9
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert_array_equal(model.classes_[model.predict_proba(X).argmax(axis=1)], model.predict(X))
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


def test_fits_are_repeatable_and_keep_the_generator_of_torch(rows):
    X, y = rows
    params = {"mixup": 0.3, "dropout": 0.2, "ema_decay": 0.9, "early_stopping": True}
    torch_state = torch.get_rng_state()
    first, second = (_network(**params).fit(X, y) for _ in range(2))
    assert torch.equal(_weights(first), _weights(second))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert not torch.equal(_weights(first), _weights(_network(random_state=1).fit(X, y)))


def test_history_is_a_table(rows):
    model = _network(early_stopping=True, n_iter_no_change=None).fit(*rows)
    table = pd.DataFrame(model.history_)
    columns = ["epoch", "train_loss", "valid_loss", "valid_accuracy", "learning_rate", "seconds"]
    assert list(table) == columns
    assert table["epoch"].tolist() == list(range(1, 16))
    assert table["train_loss"].iloc[-1] < table["train_loss"].iloc[0]
    assert model.n_iter_ == 15
    assert "15 epochs" in repr(model.history_)


def test_stops_early_and_keeps_the_best_epoch(rows):
    X, y = rows
    model = _network(early_stopping=True, max_epochs=200, n_iter_no_change=3).fit(X, y)
    accuracy = model.history_["valid_accuracy"]
    best = int(accuracy.argmax())
    assert model.n_iter_ == best + 1 + 3
    again = _network(early_stopping=True, max_epochs=best + 1, n_iter_no_change=3).fit(X, y)
    assert torch.equal(_weights(model), _weights(again))


def test_holds_out_rows_by_itself_only_where_there_are_many(rows):
    X, y = rows
    assert "valid_loss" not in _network(max_epochs=1).fit(X, y).history_
    many = np.tile(X, (34, 1)), np.tile(y, 34)
    assert "valid_loss" in _network(max_epochs=1).fit(*many).history_


def test_average_predicts_and_training_continues_from_weights(rows):
    X, y = rows
    model = _network(ema_decay=0.5, warm_start=True, max_epochs=1).fit(X, y)
    average = model.net_.average_
    assert not torch.allclose(
        average.state_["head.weight"], model.module_.state_dict()["head.weight"]
    )
    raw = average.state_["head.weight"].clone()
    steps = []

    class FirstStep(Callback):
        def on_batch_begin(self, net, **kwargs):
            steps.append(net.module_.state_dict()["head.weight"].clone())

    model.set_params(callbacks=[FirstStep()]).fit(X, y)
    assert torch.equal(steps[0], raw)


def test_weights_equal_repeated_rows_in_one_batch(rows, seed):
    X, y = rows[0][:60], rows[1][:60]
    weight = np.random.default_rng(seed).integers(0, 4, size=60)
    weighed = _network(dtype="float64").fit(X, y, sample_weight=weight)
    repeated = _network(dtype="float64").fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighed.predict_proba(X), repeated.predict_proba(X), rtol=1e-6)


def test_probabilities_can_be_learned_instead_of_labels(rows):
    X, y = rows
    one_hot = np.eye(3)[y]
    plain = _network(dtype="float64").fit(X, y)
    soft = _network(dtype="float64").fit(X, np.roll(y, 1), target_proba=one_hot)
    assert_allclose(soft.predict_proba(X), plain.predict_proba(X), rtol=1e-6)
    with pytest.raises(ValueError, match=r"must have the shape \(300, 3\)"):
        _network().fit(X, y, target_proba=one_hot[:, :2])
    with pytest.raises(ValueError, match="rows of target_proba must sum to 1"):
        _network().fit(X, y, target_proba=2 * one_hot)


def test_partial_fit_goes_on(rows):
    X, y = rows
    model = _network()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        model.partial_fit(X, y)
    some = y < 2
    for _ in range(15):
        model.partial_fit(X[some], y[some], classes=[0, 1, 2])
        model.partial_fit(X[~some][:10], y[~some][:10])  # fewer rows than a batch
    assert model.n_iter_ == 30
    assert model.score(X, y) > 0.9
    with pytest.raises(ValueError, match=r"y has the label 7|7"):
        model.partial_fit(X, np.where(y == 2, 7, y))
    with pytest.raises(ValueError, match=r"classes \[0, 1, 2\].*\[0, 1\]"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3], y)


def test_warm_start_goes_on(rows):
    X, y = rows
    model = _network(warm_start=True, max_epochs=3).fit(X, y)
    before = _weights(model).clone()
    model.fit(X, y)
    assert model.n_iter_ == 6
    assert not torch.equal(before, _weights(model))
    assert _network(max_epochs=3).fit(X, y).fit(X, y).n_iter_ == 3
    with pytest.raises(ValueError, match="clone it to start anew"):
        model.fit(X[y < 2], y[y < 2])


def test_images_and_bytes(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(120) % 2
    X = rng.integers(0, 100, size=(120, 1, 8, 8)).astype(np.uint8)
    X[y == 1, :, :, :4] += 150
    model = _network(module=lambda shape, k: SmallCNN(shape, k, width=4), max_epochs=8)
    bytes_ = clone(model).fit(X, y)
    numbers = clone(model).fit((X / 255).astype(np.float32), y)
    assert bytes_.score(X, y) > 0.9
    assert_allclose(
        bytes_.predict_proba(X), numbers.predict_proba(X.astype(np.float32) / 255), atol=1e-4
    )
    with pytest.raises(ValueError, match="dim 4"):
        _network().fit(X, y)


def test_a_module_is_copied_and_trained_further(rows):
    X, y = rows
    own = torch.nn.Linear(4, 3)
    before = own.weight.detach().clone()
    model = _network(module=own, max_epochs=1).fit(X, y)
    assert torch.equal(own.weight, before)
    assert 0 < (model.module_.weight - before).abs().max() < 0.1
    with pytest.raises(ValueError, match=r"outputs of shape \(2, 2\).*one for each of the 3"):
        _network(module=torch.nn.Linear(4, 2)).fit(X, y)
    with pytest.raises(ValueError, match="no method `features`"):
        _network(module=own, hidden_noise=0.1).fit(X, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_maps_are_not_copied(dtype, rows, tmp_path):
    X, y = rows
    path = tmp_path / "X.dat"
    mapped = np.memmap(path, dtype=dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    mapped = np.memmap(path, dtype=dtype, mode="r", shape=X.shape)
    seen = []

    class Recorder(Callback):
        def on_epoch_begin(self, net, dataset_train=None, **kwargs):
            seen.append(dataset_train.X.data_ptr())

    model = _network(callbacks=[Recorder()], early_stopping=True).fit(mapped, y)
    assert set(seen) == {mapped.ctypes.data}
    plain = _network(early_stopping=True).fit(X.astype(dtype), y)
    assert torch.equal(_weights(model), _weights(plain))
    assert_array_equal(model.predict(mapped), model.predict(X.astype(dtype)))


def test_sparse_rows_come_in_batches(rows):
    X, y = rows
    X = np.where(np.abs(X) < 1, 0, X)
    dense = _network(dtype="float64").fit(X, y)
    thin = _network(dtype="float64").fit(sparse.csr_array(X), y)
    assert_allclose(thin.predict_proba(sparse.csc_matrix(X)), dense.predict_proba(X), rtol=1e-6)


def test_pickle_and_clone(rows):
    X, y = rows
    model = _network(ema_decay=0.9, warm_start=True, record_dynamics=True).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert torch.equal(_weights(again.fit(X, y)), _weights(model.fit(X, y)))
    assert not hasattr(clone(model), "net_")


def test_records_how_each_row_was_learned(rows):
    X, y = rows
    noisy = y.copy()
    wrong = np.arange(0, 300, 10)
    noisy[wrong] = (y[wrong] + 1) % 3
    model = _network(record_dynamics=True, batch_size=300, dtype="float64").fit(X, noisy)
    dynamics = model.training_dynamics_
    margins, flipped = dynamics["aum"], np.isin(np.arange(300), wrong)
    assert np.sort(margins[wrong])[-2] < margins[~flipped].mean()
    assert roc_auc_score(flipped, -margins) > 0.93
    # With all rows in one batch, an epoch records the predictions after the one before.
    fitted = []
    for n_epochs in range(15):
        if n_epochs:
            fitted.append(clone(model).set_params(max_epochs=n_epochs).fit(X, noisy))
    proba = np.stack([one.predict_proba(X) for one in fitted])
    mean = dynamics["mean_proba"] * 15 - proba.sum(axis=0)
    assert_allclose(mean.sum(axis=1), 1, atol=1e-4)  # what is left is the first, untrained epoch
    first = dynamics["confidence"] * 15 - proba[:, np.arange(300), noisy].sum(axis=0)
    assert_allclose(first, mean[np.arange(300), noisy], atol=1e-4)
    held_out = _network(record_dynamics=True, early_stopping=True).fit(X, noisy)
    assert np.isnan(held_out.training_dynamics_["aum"]).sum() == 30


@pytest.mark.parametrize("cv", [None, 3])
def test_training_dynamics_of_a_network(cv, rows):
    X, y = rows
    noisy = y.copy()
    wrong = np.arange(0, 300, 10)
    noisy[wrong] = (y[wrong] + 1) % 3
    pipeline = make_pipeline(StandardScaler(), _network())
    detector = TrainingDynamics(pipeline, cv=cv).fit(X, noisy)
    assert (
        np.isin(wrong, np.argsort(detector.label_quality_)[:30]).mean() > 0.4
    )  # by chance: a tenth
    with pytest.raises(ValueError, match="grand"):
        TrainingDynamics(pipeline, statistic="grand", cv=cv).fit(X, noisy)


def test_cleaning_and_search(rows):
    X, y = rows
    cleaning = CleaningClassifier(_network(), random_state=0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), cleaning),
        {"cleaningclassifier__estimator__weight_decay": [0.0, 0.1]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    assert search.score(X, y) > 0.9


@pytest.mark.parametrize("reset", [False, True])
def test_half_fine_tuning_freezes_tensors(reset, rows):
    X, y = rows
    states = []

    class Recorder(Callback):
        def on_epoch_begin(self, net, **kwargs):
            states.append({k: v.detach().clone() for k, v in net.module_.named_parameters()})

    tuning = HalfFineTuning(0.5, reset=reset)
    model = _network(callbacks=[tuning, Recorder()], hidden_layer_sizes=(8, 8), max_epochs=6)
    model.fit(X, y)
    names = list(states[0])
    moved = [[not torch.equal(a[k], b[k]) for k in names] for a, b in itertools.pairwise(states)]
    # Four tensors of hidden layers and two of the head, of which half are trained.
    if not reset:
        assert np.sum(moved, axis=1).tolist() == [3] * 5
    assert len({tuple(row) for row in moved}) > 1
    assert all(p.requires_grad for p in model.module_.parameters())
    model = _network(callbacks=[HalfFineTuning(0)])
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\], got 0"):
        model.fit(X, y)
    assert not hasattr(model, "net_")


class Poison(Callback):
    """Makes the loss infinite in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            with torch.no_grad():
                net.module_.head.weight.mul_(torch.inf)


def test_an_infinite_loss_stops_the_training(rows):
    X, y = rows
    with pytest.raises(ValueError, match="infinite or NaN at once, in epoch 1"):
        _network(callbacks=[Poison(1)]).fit(X, y)
    model = _network(callbacks=[Poison(4)])
    with pytest.warns(ConvergenceWarning, match="epoch 4: .* weights of epoch 3 are kept"):
        model.fit(X, y)
    assert torch.equal(_weights(model), _weights(_network(max_epochs=3).fit(X, y)))
    assert len(model.history_["epoch"]) == 3


class Interrupt(Callback):
    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 6:
            raise KeyboardInterrupt


def test_an_interrupt_is_raised_and_keeps_what_was_trained(rows):
    X, y = rows
    model = _network(callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert torch.equal(_weights(model), _weights(_network(max_epochs=5).fit(X, y)))
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"batch_size": 301}, "batch_size=301 is larger than the 300 rows"),
        ({"device": "abacus"}, "device='abacus' is no device"),
        ({"device": "cuda:99"}, "is not there"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "leaves none of 300 rows"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"criterion": "hinge"}, "criterion"),
        ({"activation": "steps"}, "activation"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
    ],
)
def test_bad_parameters_are_refused_before_any_training(params, message, rows):
    with pytest.raises((ValueError, TypeError), match=message):
        _network(**params).fit(*rows)


def test_progress(rows, capsys):
    X, y = rows
    _network(verbose=2, max_epochs=2).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    _network(verbose=1, max_epochs=2).fit(X, y)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda(rows, monkeypatch):
    X, y = rows
    model = _network(device="cuda", ema_decay=0.9, record_dynamics=True, early_stopping=True)
    saved = pickle.dumps(model.fit(X, y))
    proba = model.predict_proba(X)
    assert model.score(X, y) > 0.9
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert_allclose(pickle.loads(saved).predict_proba(X), proba, atol=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "step", "one_cycle"])
def test_a_schedule_starts_anew_with_each_training(schedule, rows):
    X, y = rows
    model = _network(warm_start=True, learning_rate_schedule=schedule, max_epochs=4).fit(X, y)
    first, before = model.history_["learning_rate"].copy(), _weights(model).clone()
    model.fit(X, y)
    assert_allclose(model.history_["learning_rate"][4:], first)
    assert not torch.equal(before, _weights(model))
    before = _weights(model).clone()
    model.partial_fit(X, y)
    assert model.history_["learning_rate"][-1] == 0.01
    assert not torch.equal(before, _weights(model))


@pytest.mark.parametrize("params", [{}, {"ema_decay": 0.9}, {"early_stopping": True}])
def test_after_an_infinite_loss_everything_is_finite_again(params, rows):
    X, y = rows
    model = _network(callbacks=[Poison(4)], warm_start=True, **params)
    with pytest.warns(ConvergenceWarning, match="weights of epoch 3 are kept"):
        model.fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    model.set_params(callbacks=None).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()
    assert model.score(X, y) > 0.9


def test_a_last_step_that_ruins_the_weights_is_noticed(rows):
    X, y = rows
    model = _network(optimizer="sgd", learning_rate=1e38, batch_size=300, max_epochs=1)
    with pytest.raises(ValueError, match="at once, in epoch 1"):
        model.fit(X, y)

    class TooFar(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 5:
                net.optimizer_.param_groups[0]["lr"] = 1e38

    for max_epochs in (5, 8):
        model.set_params(learning_rate=0.05, max_epochs=max_epochs, callbacks=[TooFar()])
        with pytest.warns(ConvergenceWarning, match="weights of epoch 4 are kept"):
            model.fit(X, y)
        assert np.isfinite(model.predict_proba(X)).all()


def test_parameters_may_change_between_trainings(rows):
    X, y = rows
    model = _network(warm_start=True, max_epochs=2).fit(X, y)
    model.set_params(learning_rate=1e-4, gradient_clip=1.0, weight_decay=0.1).fit(X, y)
    assert model.history_["learning_rate"].tolist() == [0.01, 0.01, 1e-4, 1e-4]
    assert model.net_.plan_.gradient_clip == 1.0
    assert model.net_.optimizer_.param_groups[0]["weight_decay"] == 0.1
    with pytest.raises(ValueError, match="3 features"):
        model.fit(X[:, :3], y)
    assert model.n_features_in_ == 4
    model.predict(X)


def test_nothing_of_the_data_is_left_behind(rows):
    X, y = rows

    class Fail(Callback):
        def on_epoch_begin(self, net, **kwargs):
            raise RuntimeError("no")

    for model in (_network(record_dynamics=True), ELRClassifier(**QUICK), SOPClassifier(**QUICK)):
        model.set_params(callbacks=[Fail()])
        with pytest.raises(RuntimeError, match="no"):
            model.fit(X, y)
        assert not hasattr(model, "net_")
        assert not [name for name in vars(model) if name.startswith("_")]
        tuning = HalfFineTuning(reset=True)
        model.set_params(callbacks=[tuning]).fit(X, y)
        assert not [name for name in vars(model) if name.startswith("_")]
        kept = [value for value in vars(model.net_).values() if isinstance(value, torch.Tensor)]
        assert kept == []
        assert getattr(model.net_, "noise_", None) is None
        assert tuning._start is None
        assert tuning._trainable is None


def test_decay_leaves_prices_and_odds_alone(rows):
    X, y = rows
    model = _network(criterion=VolumeMinimizing(3), weight_decay=0.5, optimizer="adamw").fit(X, y)
    decays = {
        len(group["params"]): group["weight_decay"]
        for group in model.net_.optimizer_.param_groups
        if group["params"]
    }
    assert decays == {1: 0.0, 4: 0.5}
    # Odds have a long way to go, and are learned faster; so they are when rates change.
    rates = {len(group["params"]): group["lr"] for group in model.net_.optimizer_.param_groups}
    assert_allclose(rates[1], 10 * rates[4])
    assert_allclose(model.history_["learning_rate"], model.learning_rate)
    model.set_params(learning_rate_schedule="linear", warm_start=True, learning_rate=0.02)
    model.fit(X, y)
    rates = {len(group["params"]): group["lr"] for group in model.net_.optimizer_.param_groups}
    assert_allclose(rates[1], 10 * rates[4])
    assert 0.015 < model.history_["learning_rate"].max() <= 0.02
    assert model.history_["learning_rate"][-1] < 0.01
