"""Own validation rows, class weights, files, and messages of the neural classifiers."""

import io

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import train_test_split
from torch.utils.data import TensorDataset

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    MetaRescaledClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
    SOPClassifier,
)
from skrobust.neural._callbacks import BestEpoch
from skrobust.neural._hold_out import hold_out
from skrobust.noise import flip_labels, symmetric_transition

QUICK = {"hidden_layer_sizes": (8,), "learning_rate": 0.01, "max_epochs": 5, "device": "cpu"}


def _network(**params):
    return NeuralClassifier(**{**QUICK, "random_state": 0, **params})


@pytest.fixture
def rows(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(120) % 3
    return rng.normal(size=(120, 4)) + 2 * np.eye(3, 4)[y], np.array(["a", "b", "c"])[y]


# Defaults -------------------------------------------------------------------------------------


def test_defaults_do_not_memorise_wrong_labels():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, random_state=0)
    noisy, _ = flip_labels(y, symmetric_transition(10, 0.4), random_state=0)
    model = NeuralClassifier(max_epochs=60, random_state=0, device="cpu").fit(X, noisy)
    assert model.score(X_test, y_test) > 0.85  # a plain network: about .7


def _compare(scores, tolerance, patience=None):
    """Let a callback compare epochs of some accuracies on 100 rows."""

    class Net:
        def __init__(self):
            self.module_ = torch.nn.Linear(1, 1)
            self.history, self.stop_ = [], False

        def record(self, score):
            self.history.append(score)
            torch.nn.init.constant_(self.module_.weight, len(self.history))

    class History(list):
        def __getitem__(self, key):
            return list.__getitem__(self, key[0])

    best, net = BestEpoch("accuracy", patience, tolerance), Net()
    best.on_train_begin(net)
    for score in scores:
        net.record(score)
        net.history = History(net.history)
        best.on_epoch_end(net, dataset_valid=range(100))
        if net.stop_:
            break
    n_epochs = len(net.history)
    best.on_train_end(net)
    return n_epochs, int(net.module_.weight)


@pytest.mark.parametrize(
    ("scores", "tolerance", "patience", "expected"),
    [
        # The first of the best epochs, and so many after it.
        ([0.5, 0.9, 0.9, 0.89, 0.89], 0.0, 3, (5, 2)),
        ([0.5, 0.9, 0.8, 0.8, 0.8, 0.95], 0.0, 3, (5, 2)),
        # Half a standard error of .9 is about .015: as good, so the last one is kept.
        ([0.5, 0.9, 0.89, 0.89, 0.89, 0.89], 0.5, 2, (6, 6)),
        ([0.5, 0.9, 0.87, 0.89, 0.87, 0.87, 0.9], 0.5, 2, (6, 2)),
        ([1.0, 0.99, 0.995, 1.0, 0.995], 0.5, 2, (5, 5)),
        ([0.5, 0.9, 0.5, 0.5], 0.5, None, (4, 2)),
    ],
)
def test_epochs_are_compared(scores, tolerance, patience, expected):
    assert _compare(scores, tolerance, patience) == expected


# Rows held out --------------------------------------------------------------------------------


def _hold(X, y, weight=None, fraction=0.2, seed=0):
    return hold_out(X, y, y, weight, np.arange(len(y)), fraction=fraction, seed=seed)


def test_a_share_of_each_class_is_held_out(seed):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], [500, 50, 5])
    held = _hold(rng.normal(size=(555, 3)), y, seed=seed)
    assert_allclose(np.bincount(y[held]), [100, 10, 1], atol=1)
    assert not np.array_equal(held, _hold(rng.normal(size=(555, 3)), y, seed=seed + 1))


def test_held_out_rows_depend_on_weights_only(seed):
    rng = np.random.default_rng(seed)
    X, y, weight = rng.normal(size=(60, 3)), np.arange(60) % 3, rng.integers(1, 4, size=60)
    held = _hold(X, y, weight)
    repeated = _hold(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_array_equal(repeated, np.repeat(held, weight))
    order = rng.permutation(60)
    assert_array_equal(_hold(X[order], y[order], 7.5 * weight[order]), held[order])
    assert_allclose(weight[held].sum() / weight.sum(), 0.2, atol=0.05)


def test_rows_that_are_repeated_often_are_seen_in_training():
    X = np.repeat(np.arange(4.0), 50)[:, None]
    y = np.tile(np.repeat([0, 1], 25), 4)
    held = _hold(X, y)
    for value in range(4):
        for label in (0, 1):
            assert held[(X[:, 0] == value) & (y == label)].sum() == 5


def test_of_each_class_a_row_is_left():
    X = np.arange(6.0)[:, None]
    y = np.array([0, 0, 0, 0, 1, 2])
    held = _hold(X, y, fraction=0.9)
    assert np.unique(y[~held]).tolist() == [0, 1, 2]
    assert not _hold(X[3:], y[3:], fraction=0.4).any()
    with pytest.raises(ValueError, match="or none to hold out"):
        _network(early_stopping=True).fit(X[3:], y[3:])


# Own validation rows --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        NeuralClassifier,
        CoTeachingClassifier,
        ELRClassifier,
        MetaRescaledClassifier,
        NestedDropoutClassifier,
        SOPClassifier,
    ],
)
def test_rows_of_ones_own_are_validated_on(method, rows):
    X, y = rows
    extra = {"forget_rate": 0.1} if method is CoTeachingClassifier else {}
    model = method(**QUICK, random_state=0, **extra)
    model.fit(X[:80], y[:80], validation_data=(X[80:], y[80:]))
    assert len(model.history_["valid_accuracy"]) == model.n_iter_
    if hasattr(model, "label_quality_"):
        assert np.isfinite(model.label_quality_).all()  # no row of X was held out


def test_validation_rows_select_the_epoch(rows):
    X, y = rows
    X_valid, y_valid, weight = X[80:], y[80:], np.linspace(0, 2, 40)
    model = _network(early_stopping=True, n_iter_no_change=2, max_epochs=50)
    model.fit(X[:80], y[:80], validation_data=(X_valid, y_valid, weight))
    right = model.predict(X_valid) == y_valid
    best = model.history_["valid_accuracy"].max()
    assert_allclose(np.average(right, weights=weight), best, atol=1e-6)
    assert model.n_iter_ < 50
    model.set_params(early_stopping=False, max_epochs=9)
    model.fit(X[:80], y[:80], validation_data=[X_valid, y_valid])
    plain = clone(model).fit(X[:80], y[:80])
    assert_array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.n_iter_ == 9


def test_validation_rows_of_other_kinds(rows):
    X, y = rows
    missing = y.astype(object)
    missing[:5] = None
    first = _network().fit(X, y, validation_data=(X, missing)).history_
    second = _network().fit(X, y, validation_data=(X[5:], y[5:])).history_
    assert_allclose(first["valid_loss"], second["valid_loss"], rtol=1e-5)
    data = TensorDataset(
        torch.tensor(X[5:]), torch.tensor(np.unique(y, return_inverse=True)[1][5:])
    )
    codes = np.unique(y, return_inverse=True)[1]
    third = _network().fit(X, codes, validation_data=(data, None)).history_
    assert_allclose(third["valid_loss"], second["valid_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda X, y: X, "must be a tuple .* got ndarray"),
        (lambda X, y: (X,), "got tuple of length 1"),
        (lambda X, y: (X, y[:5]), "inconsistent numbers"),
        (lambda X, y: (X[:, :2], y), "2 features"),
        (lambda X, y: (X, np.where(y == "a", "z", y)), "validation_data holds labels"),
        (lambda X, y: (X, np.full(120, None)), "validation_data has no label"),
    ],
)
def test_bad_validation_rows_are_refused(given, message, rows):
    model = _network()
    with pytest.raises(ValueError, match=message):
        model.fit(*rows, validation_data=given(*rows))
    assert not hasattr(model, "net_")


# Weights of classes ---------------------------------------------------------------------------


def test_class_weights_multiply_weights_of_rows(rows):
    X, y = rows
    keep = np.r_[0:60, np.flatnonzero(y == "a")[20:]]
    X, y = X[keep], y[keep]
    weight = np.linspace(0.5, 1.5, len(y))
    model = _network(class_weight={"a": 3.0, "b": 0.5}, dtype="float64")
    factors = np.select([y == "a", y == "b"], [3.0, 0.5], 1.0)
    plain = _network(dtype="float64").fit(X, y, sample_weight=weight * factors)
    model.fit(X, y, sample_weight=weight)
    assert_allclose(model.predict_proba(X), plain.predict_proba(X), rtol=1e-6)
    model = _network(class_weight="balanced", dtype="float64").fit(X, y)
    counts = {label: np.sum(y == label) for label in "abc"}
    plain = _network(dtype="float64").fit(X, y, sample_weight=[1 / counts[label] for label in y])
    assert_allclose(model.predict_proba(X), plain.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize(
    "class_weight", [{"z": 1.0}, {"a": -1.0}, {"a": np.nan}, {"a": 0, "b": 0, "c": 0}]
)
def test_bad_class_weights_are_refused(class_weight, rows):
    with pytest.raises(ValueError, match=r"class_weight must give labels.*\['a', 'b', 'c'\]"):
        _network(class_weight=class_weight).fit(*rows)


def test_balanced_weights_need_all_rows(rows):
    with pytest.raises(ValueError, match="is not for partial_fit"):
        _network(class_weight="balanced").partial_fit(*rows, classes=["a", "b", "c"])
    _network(class_weight={"a": 2}).partial_fit(*rows, classes=["a", "b", "c"])


# Files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_safetensors", [False, True])
def test_weights_are_saved_and_loaded(use_safetensors, rows, tmp_path):
    X, y = rows
    model = _network(ema_decay=0.9, max_epochs=20).fit(X, y)
    path, history = str(tmp_path / "weights"), str(tmp_path / "history.json")
    model.save_params(path, f_history=history, use_safetensors=use_safetensors)
    other = _network(ema_decay=0.9, random_state=1, max_epochs=1, warm_start=True).fit(X, y)
    other.load_params(path, f_history=history, use_safetensors=use_safetensors)
    assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert other.n_iter_ == 20
    assert_allclose(other.history_["train_loss"], model.history_["train_loss"])
    # The training goes on from these weights.
    other.set_params(learning_rate=1e-9).fit(X, y)
    assert_allclose(other.predict_proba(X), model.predict_proba(X), atol=1e-5)
    assert other.n_iter_ == 21


def test_the_optimizer_is_saved_and_loaded(rows):
    X, y = rows
    model = _network(max_epochs=20, ema_decay=None).fit(X, y)
    weights, optimizer = io.BytesIO(), io.BytesIO()
    model.save_params(weights, optimizer)
    weights.seek(0), optimizer.seek(0)
    other = _network(max_epochs=1, ema_decay=None).fit(X, y)
    other.load_params(weights, optimizer)
    first, second = (m.net_.optimizer_.state_dict()["state"][0] for m in (model, other))
    assert torch.equal(first["exp_avg"], second["exp_avg"])


def test_what_is_not_fitted_has_nothing_to_save(tmp_path):
    with pytest.raises(NotFittedError):
        _network().save_params(str(tmp_path / "weights"))
    with pytest.raises(NotFittedError, match="has no network yet to load weights into: fit it"):
        _network().load_params(str(tmp_path / "weights"))


# Messages -------------------------------------------------------------------------------------


def test_images_without_a_module(rows):
    X, y = rows
    images = X.reshape(-1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"shape \(120, 1, 2, 2\).*SmallCNN.*X.reshape"):
        _network().fit(images, y)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(dim=1)),
            "module gives probabilities.*Leave out the last softmax",
        ),
        (torch.nn.Linear(4, 1), r"outputs of shape \(2, 1\).*one for each of the 3 classes"),
    ],
)
def test_modules_with_other_outputs(module, message, rows):
    with pytest.raises(ValueError, match=message):
        _network(module=module).fit(*rows)


def test_log_probabilities_of_a_module_are_scores(rows):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LogSoftmax(dim=1))
    assert _network(module=module, max_epochs=60).fit(*rows).score(*rows) > 0.7


def test_two_classes_have_two_outputs(rows):
    X, y = rows[0][:80], np.arange(80) % 2
    with pytest.raises(ValueError, match="A network of two classes has two outputs as well"):
        _network(module=torch.nn.Linear(4, 1)).fit(X, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [(np.log, r"Pass np.exp\(target_proba\)"), (lambda p: np.log(p) + 2, "scipy.special.softmax")],
)
def test_targets_that_are_no_probabilities(change, message, rows):
    X, y = rows
    proba = np.full((120, 3), 0.1) + 0.7 * (y[:, None] == ["a", "b", "c"])
    with pytest.raises(ValueError, match=message):
        _network().fit(X, y, target_proba=change(proba))
