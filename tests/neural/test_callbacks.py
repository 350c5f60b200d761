"""Callbacks of skorch do inside the neural classifiers what they do in skorch itself."""

import signal

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import make_scorer, recall_score
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TrainEndCheckpoint,
    Unfreezer,
)
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    FeatureTuneClassifier,
    MetaRescaledClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
    SOPClassifier,
)

N_EPOCHS, RATE = 12, 0.5
METHODS = [
    NeuralClassifier,
    CoTeachingClassifier,
    ELRClassifier,
    MetaRescaledClassifier,
    NestedDropoutClassifier,
    SOPClassifier,
]


@pytest.fixture
def rows(seed):
    """Overlapping classes with some wrong labels, and rows to validate on."""
    rng = np.random.default_rng(seed)
    y = np.arange(150) % 3
    X = (rng.normal(size=(150, 4)) + 1.5 * np.eye(3, 4)[y]).astype(np.float32)
    y = np.where(rng.uniform(size=150) < 0.2, (y + 1) % 3, y)
    return X[:100], y[:100], X[100:], y[100:]


def _linear(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Linear(4, 3)


def _fit_both(rows, make_callbacks, labels=None, **params):
    """Train the same linear model here and in skorch, with all rows in one batch."""
    X, y, X_valid, y_valid = rows
    theirs = NeuralNetClassifier(
        _linear(),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=RATE,
        batch_size=-1,
        max_epochs=N_EPOCHS,
        train_split=predefined_split(Dataset(X_valid, y_valid)),
        callbacks=make_callbacks("theirs"),
        verbose=0,
    )
    theirs.fit(X, y)
    named = np.arange(3) if labels is None else np.asarray(labels)
    ours = NeuralClassifier(
        _linear(),
        optimizer="sgd",
        momentum=0.0,
        weight_decay=0.0,
        ema_decay=None,
        learning_rate=RATE,
        batch_size=len(X),
        max_epochs=N_EPOCHS,
        early_stopping=False,
        callbacks=make_callbacks("ours"),
        device="cpu",
        random_state=0,
        **params,
    )
    ours.fit(X, named[y], validation_data=(X_valid, named[y_valid]))
    return ours, theirs


def _assert_same(ours, theirs, *columns):
    for ours_name, theirs_name in (
        ("train_loss", "train_loss"),
        ("valid_loss", "valid_loss"),
        ("valid_accuracy", "valid_acc"),
        *zip(columns, columns, strict=True),
    ):
        assert_allclose(
            ours.history_[ours_name], theirs.history[:, theirs_name], rtol=1e-4, atol=1e-6
        )
    state = theirs.module_.state_dict()
    for name, value in ours.module_.state_dict().items():
        assert_allclose(value.numpy(), state[name].numpy(), rtol=1e-3, atol=1e-5)


def _network(**params):
    defaults = {
        "hidden_layer_sizes": (8,),
        "learning_rate": 0.01,
        "max_epochs": 4,
        "device": "cpu",
        "random_state": 0,
    }
    return NeuralClassifier(**{**defaults, **params})


# Side by side ---------------------------------------------------------------------------------


def test_scoring_callbacks_record_what_they_do_in_skorch(rows):
    def make_callbacks(_):
        # Scores that predict labels, probabilities or nothing, on both parts.
        callbacks = []
        for on_train in (False, True):
            for scoring in ("balanced_accuracy", "neg_log_loss", "roc_auc_ovr"):
                name = f"{scoring}_{on_train}"
                callbacks.append((name, EpochScoring(scoring, False, on_train, name=name)))
            batch = BatchScoring("accuracy", False, on_train, name=f"batch_{on_train}")
            callbacks.append((f"batch_{on_train}", batch))
        plain = EpochScoring("f1_macro", False, name="uncached", use_caching=False)
        own = EpochScoring(lambda net, X, y: float(net.predict_proba(X)[:, 0].mean()), name="own")
        return [*callbacks, plain, ("own", own), PassthroughScoring("train_loss", on_train=True)]

    ours, theirs = _fit_both(rows, make_callbacks)
    scores = ("balanced_accuracy", "neg_log_loss", "roc_auc_ovr", "batch")
    columns = [f"{name}_{on_train}" for name in scores for on_train in (False, True)]
    _assert_same(ours, theirs, *columns, "uncached", "own", *(f"{name}_best" for name in columns))


def test_early_stopping_ends_the_fit_in_the_same_epoch(rows):
    def make_callbacks(_):
        return [EarlyStopping(patience=3, threshold=0.05, threshold_mode="abs")]

    ours, theirs = _fit_both(rows, make_callbacks)
    assert 3 < ours.n_iter_ == len(theirs.history) < N_EPOCHS
    _assert_same(ours, theirs)


def test_early_stopping_loads_the_same_best_weights(rows):
    def make_callbacks(_):
        return [EarlyStopping(patience=3, threshold=0.05, threshold_mode="abs", load_best=True)]

    ours, theirs = _fit_both(rows, make_callbacks)
    _assert_same(ours, theirs)
    best = int(np.flatnonzero(np.diff(ours.history_["valid_loss"]) < -0.05)[-1]) + 2
    again, _ = _fit_both(rows, lambda _: [StopAt(best)])
    assert_array_equal(ours.module_.weight.detach(), again.module_.weight.detach())


class StopAt(Callback):
    """Ends a training of this package."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        net.stop_ = len(net.history) == self.epoch


@pytest.mark.parametrize("value", [0.05, 1e-12])
def test_gradient_clipping_equals_that_of_skorch(value, rows):
    ours, theirs = _fit_both(rows, lambda _: [GradientNormClipping(value)])
    _assert_same(ours, theirs)
    if value < 1e-6:
        assert_allclose(ours.history_["train_loss"], ours.history_["train_loss"][0], rtol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LRScheduler("StepLR", step_size=2, gamma=0.5),
        lambda: LRScheduler("ReduceLROnPlateau", monitor="valid_loss", patience=0, threshold=0.1),
        lambda: LRScheduler("CyclicLR", base_lr=0.01, max_lr=0.1, step_every="batch"),
        lambda: Freezer("bias"),
        lambda: ParamMapper("weight", lambda p: torch.nn.init.zeros_(p), at=3),
        lambda: Initializer("weight", lambda p: torch.nn.init.constant_(p, 0.1)),
    ],
)
def test_schedules_and_parameter_maps_equal_those_of_skorch(make, rows):
    ours, theirs = _fit_both(rows, lambda _: [make()])
    _assert_same(ours, theirs)


def test_freezing_for_some_epochs_equals_that_of_skorch(rows):
    _assert_same(*_fit_both(rows, lambda _: [Freezer("bias", at=1), Unfreezer("bias", at=5)]))


def test_lbfgs_equals_that_of_skorch(rows):
    X, y, _, _ = rows
    theirs = NeuralNetClassifier(
        _linear(),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.LBFGS,
        optimizer__max_iter=5,
        lr=RATE,
        batch_size=-1,
        max_epochs=3,
        train_split=None,
        verbose=0,
    ).fit(X, y)
    params = {"optimizer": torch.optim.LBFGS, "optimizer_params": {"max_iter": 5}, "max_epochs": 3}
    ours = _network(
        module=_linear(), learning_rate=RATE, weight_decay=0.0, ema_decay=None, **params
    ).fit(X, y)
    assert_allclose(ours.history_["train_loss"], theirs.history[:, "train_loss"], rtol=1e-4)
    assert_allclose(ours.module_.weight.detach(), theirs.module_.weight.detach(), rtol=1e-3)
    # It knows no decay of weights, which then is a penalty.
    decayed = _network(module=_linear(), learning_rate=RATE, weight_decay=0.5, **params).fit(X, y)
    assert decayed.module_.weight.norm() < 0.5 * ours.module_.weight.norm()


@pytest.mark.parametrize("method", [ELRClassifier, MetaRescaledClassifier, SOPClassifier])
def test_methods_that_learn_with_each_loss_refuse_lbfgs(method, rows):
    model = method(optimizer=torch.optim.LBFGS, max_epochs=1)
    with pytest.raises(ValueError, match=f"LBFGS computes .* which {method.__name__} cannot do"):
        model.fit(rows[0], rows[1])
    assert not hasattr(model, "net_")


def test_checkpoints_are_saved_and_loaded_as_by_skorch(rows, tmp_path):
    folders = {who: str(tmp_path / who) for who in ("ours", "theirs")}

    def make_callbacks(who):
        best = Checkpoint(dirname=folders[who], load_best=True)
        last = TrainEndCheckpoint(dirname=folders[who])
        return [best, last, EarlyStopping(patience=4)]

    ours, theirs = _fit_both(rows, make_callbacks)
    _assert_same(ours, theirs, "event_cp")
    for name in ("params.pt", "train_end_params.pt"):
        found, expected = (torch.load(tmp_path / who / name) for who in ("ours", "theirs"))
        assert_allclose(found["weight"], expected["weight"], rtol=1e-3, atol=1e-5)

    def go_on(who):
        return [LoadInitState(TrainEndCheckpoint(dirname=folders[who]).initialize())]

    ours, theirs = _fit_both(rows, go_on)
    _assert_same(ours, theirs)
    assert ours.n_iter_ == len(theirs.history) > N_EPOCHS
    assert_array_equal(ours.history_["epoch"], theirs.history[:, "epoch"])


# What skorch does not have --------------------------------------------------------------------


@pytest.mark.parametrize("on_train", [False, True])
@pytest.mark.parametrize("use_caching", [False, True])
def test_scorers_see_labels_of_any_type(on_train, use_caching, rows):
    X, y, _, _ = rows
    labels = np.array(["ham", "spam"])[(y > 0).astype(int)]
    scorer = make_scorer(recall_score, pos_label="spam")
    recall = EpochScoring(scorer, False, on_train, name="recall", use_caching=use_caching)
    batch = BatchScoring(scorer, False, on_train, name="batch", use_caching=use_caching)
    accuracy = EpochScoring(None, False, on_train, name="default", use_caching=use_caching)
    model = _network(early_stopping=True, callbacks=[recall, batch, accuracy], max_epochs=6)
    history = model.fit(X, labels).history_
    assert 0.5 < history["recall"][-1] <= 1
    assert 0.5 < history["batch"][-1] <= 1
    assert history["recall_best"].dtype == bool
    if not on_train:
        assert_allclose(history["default"], history["valid_accuracy"])
    assert isinstance(recall.scoring_, type(scorer))  # as skorch left it


def test_callbacks_see_the_weights_that_would_predict(rows):
    X, y, X_valid, y_valid = rows
    seen = []

    class Recorder(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(net.predict_proba(X_valid))

    model = _network(ema_decay=0.9, callbacks=[Recorder()], max_epochs=3, early_stopping=False)
    model.fit(X, y)
    assert_allclose(model.predict_proba(X_valid), seen[-1], atol=1e-6)
    stopping = EarlyStopping("valid_loss", patience=99, load_best=True)
    model.set_params(callbacks=[stopping], max_epochs=30, learning_rate=0.1)
    model.fit(X, y, validation_data=(X_valid, y_valid))
    assert stopping.best_epoch_ < 30
    proba = model.predict_proba(X_valid)
    loss = -np.log(proba[np.arange(len(y_valid)), y_valid]).mean()
    assert_allclose(loss, model.history_["valid_loss"].min(), rtol=1e-4)


@pytest.fixture
def interruptible():
    """Python's own handler of SIGINT, which a process in the background may not have."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_is_raised_and_keeps_the_weights(rows):
    X, y, _, _ = rows

    class Press(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 4:
                signal.raise_signal(signal.SIGINT)

    stopping = EarlyStopping("train_loss", patience=99)
    model = _network(max_epochs=20, callbacks=[stopping, Press()])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.n_iter_ == 4
    assert model.history_["epoch"].tolist() == [1, 2, 3]
    assert_array_equal(model.predict(X), _network(max_epochs=3).fit(X, y).predict(X))
    model.set_params(callbacks=None, warm_start=True, max_epochs=2).fit(X, y)
    assert model.n_iter_ == 6


@pytest.mark.parametrize("method", METHODS)
def test_every_method_notifies_callbacks(method, rows):
    X, y, X_valid, y_valid = rows
    calls = []

    class Count(Callback):
        def on_grad_computed(self, net, named_parameters, batch=None, training=None, **kwargs):
            calls.append(sum(p.grad is not None for _, p in named_parameters))

    stopping = EarlyStopping(patience=1, threshold=1e9)
    scoring = EpochScoring("accuracy", False, on_train=True, name="accuracy")
    extra = {"forget_rate": 0.2} if method is CoTeachingClassifier else {}
    model = method(
        hidden_layer_sizes=(8,),
        callbacks=[Count(), scoring, stopping],
        batch_size=50,
        device="cpu",
        random_state=0,
        **extra,
    )
    model.fit(X, y, validation_data=(X_valid, y_valid))
    assert model.n_iter_ == 2
    assert len(calls) == 4
    assert min(calls) >= 3
    assert np.isfinite(model.history_["accuracy"]).all()
    assert "valid_accuracy" in model.history_


def test_a_tuner_of_features_notifies_callbacks(rows):
    X, y, X_valid, y_valid = rows
    model = FeatureTuneClassifier(callbacks=[EarlyStopping(patience=1, threshold=1e9)])
    assert model.fit(X, y, validation_data=(X_valid, y_valid)).n_iter_ == 2


def test_callbacks_that_print(rows, capsys):
    X, y, _, _ = rows
    stopping = EarlyStopping("train_loss", patience=1, threshold=1e9)
    callbacks = [EpochTimer, ("log", PrintLog()), ProgressBar(detect_notebook=False), stopping]
    _network(callbacks=callbacks, verbose=2, batch_size=50).fit(X, y)
    text = capsys.readouterr().out
    assert "Stopping since train_loss has not improved" in text
    assert "train_loss" in text.splitlines()[0] or "epoch" in text
    _network(callbacks=callbacks[:2]).fit(X, y)
    assert "Stopping" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"callbacks": [EarlyStopping()]}, "monitors 'valid_loss', and no rows are held out"),
        ({"callbacks": [("best", Checkpoint())]}, "Checkpoint, which monitors 'valid_loss_best'"),
        ({"callbacks": [InputShapeSetter()]}, "InputShapeSetter, which is not needed"),
        ({"callbacks": ["early"]}, "callbacks has 'early', which is no callback"),
        (
            {"callbacks": [LRScheduler("StepLR", step_size=1)], "learning_rate_schedule": "cosine"},
            "learning_rate_schedule='cosine' would override it",
        ),
    ],
)
def test_callbacks_that_could_do_nothing_are_refused(params, message, rows):
    model = _network(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(rows[0], rows[1])
    assert not hasattr(model, "net_")


def test_batch_losses_are_recorded_only_where_they_may_be_read(rows):
    X, y, _, _ = rows
    plain = _network(batch_size=50).fit(X, y)
    assert all(not batch for epoch in plain.net_.history for batch in epoch["batches"])
    recorded = _network(batch_size=50, callbacks=[EpochTimer()]).fit(X, y)
    losses = recorded.net_.history[:, "batches", :, "train_loss"]
    assert_allclose(np.mean(losses, axis=1), recorded.history_["train_loss"], rtol=1e-5)
