"""What is particular to NeuralRegressor and its losses; tests/test_common.py has the rest."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, EarlyStopping, EpochScoring
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch.utils.data import TensorDataset

from skrobust.base import LabelledData
from skrobust.detection import ResidualDetector
from skrobust.neural import NeuralRegressor
from skrobust.neural._neural_regressor import CRITERIA, scale_of_targets
from skrobust.neural.losses import Huber, LogCosh, SquaredError, TrimmedSquaredError
from skrobust.wrappers import CleaningRegressor

QUICK = {"hidden_layer_sizes": (16,), "learning_rate": 0.01, "max_epochs": 60, "device": "cpu"}
LOSSES = [SquaredError(), Huber(0.3), LogCosh(0.7), TrimmedSquaredError(0.25)]


def _network(**params):
    return NeuralRegressor(**{**QUICK, "random_state": 0, **params})


@pytest.fixture
def rows(seed):
    """A linear function with some targets that are far off."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 4))
    y = 100 + 20 * X @ [1.0, -1.0, 0.5, 0.0]
    wrong = np.arange(200) % 10 == 0
    return X, y, np.where(wrong, 5000.0, y)


# Losses ---------------------------------------------------------------------------------------


def test_values_of_losses():
    prediction = torch.tensor([0.0, 1.0, 3.0, 0.0], dtype=torch.float64)
    target = torch.tensor([0.0, 0.0, 0.0, -10.0], dtype=torch.float64)
    error = (prediction - target).numpy()
    expected = {
        SquaredError(): error**2 / 2,
        Huber(2.0): np.where(error > 2, 2 * (error - 1), error**2 / 2),
        LogCosh(2.0): 4 * np.log(np.cosh(error / 2)),
        # Three of four rows are kept, and count 4 / 3 times.
        TrimmedSquaredError(0.25): np.array([0, 0.5, 4.5, 0]) * 4 / 3,
    }
    for loss, values in expected.items():
        assert_allclose(loss(prediction, target), values.mean())
        loss.reduction = "none"
        assert_allclose(loss(prediction, target), values)
    far = LogCosh(0.1)(torch.tensor([1e4]), torch.tensor([0.0]))
    assert_allclose(float(far), 1e3, rtol=1e-4)  # no overflow


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_losses_equal_repeated_rows(loss, seed):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.randn(2, 20, generator=generator, dtype=torch.float64)
    weight = torch.randint(4, (20,), generator=generator)
    repeated = loss(prediction.repeat_interleave(weight), target.repeat_interleave(weight))
    assert_allclose(loss(prediction, target, weight.double()), repeated)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_losses(loss, seed):
    generator = torch.Generator().manual_seed(seed)
    prediction, target = torch.randn(2, 12, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: loss(p, target), prediction.requires_grad_())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Huber(0.0), ValueError, "delta"),
        (lambda: LogCosh(-1), ValueError, "scale"),
        (lambda: TrimmedSquaredError(1.0), ValueError, "trim"),
        (lambda: Huber()(torch.zeros(3), torch.zeros(3, dtype=int)), TypeError, "target must be"),
        (lambda: Huber()(torch.zeros(3), [0.0] * 3), TypeError, "target must be a floating"),
        (lambda: Huber()(torch.zeros(3), torch.zeros(3, 1)), ValueError, "target must have shape"),
        (lambda: Huber()(torch.zeros(3), torch.zeros(2)), ValueError, "target must have shape"),
    ],
)
def test_losses_refuse_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


# The regressor --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        *({"criterion": name} for name in sorted(CRITERIA) if name != "squared_error"),
        {"criterion": Huber(0.2)},
        {"criterion": TrimmedSquaredError, "criterion_params": {"trim": 0.2}},
        {"dtype": "float64"},
        {"ema_decay": None, "weight_decay": 0.0},
        {"early_stopping": True, "n_iter_no_change": 30},
        {"batch_size": 32, "max_epochs": 20, "mixed_precision": "bfloat16"},
        {"module": lambda shape, n_outputs: torch.nn.Linear(shape, n_outputs)},
        {"optimizer": torch.optim.LBFGS, "max_epochs": 3, "learning_rate": 0.5},
    ],
)
def test_wrong_targets_mislead_robust_losses_little(params, rows):
    X, y, noisy = rows
    assert _network(**params).fit(X, noisy).score(X, y) > 0.9
    squared = _network(criterion="squared_error").fit(X, noisy)
    assert squared.score(X, y) < 0.5


def test_weights_equal_repeated_rows_with_rows_held_out(rows, seed):
    X, _, y = rows[0][:60], rows[1], rows[2][:60]
    weight = np.random.default_rng(seed).integers(0, 4, size=60)
    model = _network(dtype="float64", early_stopping=True, max_epochs=20)
    weighted = model.fit(X, y, sample_weight=weight).predict(X)
    order = np.random.default_rng(seed).permutation(weight.sum())
    X_repeated, y_repeated = np.repeat(X, weight, axis=0)[order], np.repeat(y, weight)[order]
    assert_allclose(model.fit(X_repeated, y_repeated).predict(X), weighted, rtol=1e-6)


def test_predictions_follow_the_scale_of_targets(rows):
    X, _, noisy = rows
    model = _network(dtype="float64", max_epochs=10)
    plain = model.fit(X, noisy).predict(X)
    assert_allclose(model.fit(X, 1e-6 * noisy - 3).predict(X), 1e-6 * plain - 3, rtol=1e-6)
    assert model.target_scale_ < 1e-4
    model.set_params(max_epochs=100)
    assert_allclose(model.fit(X, np.full(200, 7.0)).predict(X), 7, atol=0.1)


def test_scale_of_targets():
    def scale_of(y, weight=None):
        return scale_of_targets(
            LabelledData.from_arrays(np.zeros((len(y), 1)), y, kind="numbers", sample_weight=weight)
        )

    rng = np.random.default_rng(0)
    center, scale = scale_of(np.r_[rng.normal(5, 2, size=20_000), np.full(500, 1e9)])
    assert_allclose([center, scale], [5, 2], rtol=0.06)
    assert_allclose(scale_of([1.0, 1, 1, 1, 9]), (1, 3.2))
    assert scale_of([3.0, 3.0]) == (3, 1)
    assert scale_of([1.0, 5, 9], [1, 0, 3]) == scale_of([1.0, 9, 9, 9])
    assert scale_of([1.0, np.nan, 9]) == scale_of([1.0, 9])


def test_missing_and_verified_targets(rows):
    X, y, noisy = rows
    with_gaps = noisy.copy()
    with_gaps[::7] = np.nan
    model = _network(dtype="float64").fit(X, with_gaps)
    given = ~np.isnan(with_gaps)
    assert_array_equal(model.predict(X), clone(model).fit(X[given], noisy[given]).predict(X))
    verified = np.where(noisy == 5000, y, np.nan)
    squared = _network(criterion="squared_error").fit(X, noisy, verified_labels=verified)
    assert squared.score(X, y) > 0.9


def test_training_goes_on(rows):
    X, y, _ = rows
    model = _network(warm_start=True, max_epochs=5).fit(X, y)
    before, scale = model.history_["train_loss"][-1], model.target_scale_
    model.fit(X, y)
    assert model.n_iter_ == 10
    assert model.history_["train_loss"][-1] < before
    stream = _network(learning_rate=0.05)
    for _ in range(60):
        stream.partial_fit(X[:100], y[:100]).partial_fit(X[100:], y[100:])
    assert stream.score(X, y) > 0.9
    assert stream.target_scale_ != scale  # that of the first rows
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X), model.predict(X))
    assert_array_equal(again.fit(X, y).predict(X), model.fit(X, y).predict(X))


def test_holds_out_rows_by_itself_where_there_are_many(rows):
    X, y, _ = rows
    assert "valid_loss" not in _network(max_epochs=1).fit(X, y).history_
    many = np.tile(X, (6, 1)) + np.arange(1200)[:, None] * 1e-9, np.tile(y, 6)
    history = _network(max_epochs=1).fit(*many).history_
    assert list(history) == ["epoch", "train_loss", "valid_loss", "learning_rate", "seconds"]


def test_callbacks_equal_those_of_skorch(rows):
    X, y, _ = rows
    y = (y - 100) / 20 + np.random.default_rng(0).normal(size=200)
    X, y = X.astype(np.float32), y.astype(np.float32)
    center, scale = scale_of_targets(LabelledData.from_arrays(X[:150], y[:150], kind="numbers"))

    def make(name, **kwargs):
        return EpochScoring(name, False, name=name, **kwargs)

    def callbacks():
        stopping = EarlyStopping(patience=2, threshold=0.1)
        train = make("neg_mean_absolute_error", on_train=True)
        return [make("r2"), make("neg_max_error", use_caching=False), train, stopping]

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = torch.nn.Linear(4, 1)
    params = {"lr": 0.2, "batch_size": -1, "max_epochs": 30, "verbose": 0}
    standard = ((y - center) / scale).astype(np.float32)[:, None]
    theirs = NeuralNetRegressor(
        pickle.loads(pickle.dumps(module)),
        criterion=torch.nn.MSELoss,
        optimizer=torch.optim.SGD,
        callbacks=callbacks(),
        train_split=predefined_split(Dataset(X[150:], standard[150:])),
        **params,
    ).fit(X[:150], standard[:150])
    ours = NeuralRegressor(
        module,
        criterion=torch.nn.MSELoss,
        optimizer="sgd",
        momentum=0.0,
        weight_decay=0.0,
        ema_decay=None,
        learning_rate=0.2,
        batch_size=150,
        max_epochs=30,
        early_stopping=False,
        callbacks=callbacks(),
        device="cpu",
    ).fit(X[:150], y[:150], validation_data=(X[150:], y[150:]))
    assert 2 < ours.n_iter_ == len(theirs.history) < 30
    for name in ("train_loss", "valid_loss", "r2"):
        assert_allclose(ours.history_[name], theirs.history[:, name], rtol=1e-3)
    for name in ("neg_max_error", "neg_mean_absolute_error"):  # in units of the targets
        expected = np.multiply(scale, theirs.history[:, name])
        assert_allclose(ours.history_[name], expected, rtol=1e-3)
    assert_allclose(ours.predict(X), theirs.predict(X)[:, 0] * scale + center, rtol=1e-3, atol=1e-4)


def test_parts_of_wrappers_and_searches(seed):
    X, y = make_friedman1(300, noise=0.5, random_state=seed)
    noisy = np.where(np.arange(300) % 8 == 0, y[::-1] + 15, y)
    network = make_pipeline(StandardScaler(), _network(hidden_layer_sizes=(32,)))
    cleaned = CleaningRegressor(network, random_state=0).fit(X, noisy)
    assert cleaned.score(X, y) > 0.6
    detector = ResidualDetector(network, cv=2, random_state=0).fit(X, noisy)
    wrong = noisy != y
    assert detector.label_quality_[wrong].mean() < detector.label_quality_[~wrong].mean() - 0.2
    grid = {"criterion": ["huber", "squared_error"], "max_epochs": [5]}
    search = GridSearchCV(_network(), grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["criterion"] in CRITERIA


def test_data_sets_and_images(rows):
    X, y, _ = rows
    model = _network(dtype="float64", max_epochs=3)
    proba = model.fit(X, y).predict(X)
    data = TensorDataset(torch.tensor(X), torch.tensor(y))
    assert_allclose(model.fit(data).predict(data), proba)
    images = X.reshape(-1, 1, 2, 2)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1))
    assert _network(module=network).fit(images, y).predict(images).shape == (200,)
    with pytest.raises(ValueError, match=r"pass a network, such as module=skrobust.neural.mod"):
        _network().fit(images, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, np.column_stack([y, y])), "y should be a 1d array"),
        (lambda X, y: (X, np.full(200, np.nan)), "no target to learn from"),
        (lambda X, y: (X, np.where(np.arange(200) == 3, np.inf, y)), "infinity"),
        (lambda X, y: (X, y.astype(str)), "y must be numeric"),
        (lambda X, y: (X, None), "y is None"),
        (lambda X, y: (X * np.nan, y), "NaN"),
    ],
)
def test_bad_input_is_refused(change, message, rows):
    model = _network()
    with pytest.raises(ValueError, match=message):
        model.fit(*change(*rows[:2]))
    assert not hasattr(model, "net_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"criterion": "hinge"}, "criterion"),
        ({"module": torch.nn.Linear(4, 2)}, r"outputs of shape \(2, 2\).*one prediction per row"),
        ({"callbacks": [EarlyStopping()]}, "no rows are held out"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "leaves none of 200 rows"),
    ],
)
def test_bad_parameters_are_refused(params, message, rows):
    with pytest.raises(ValueError, match=message):
        _network(**params).fit(*rows[:2])


def test_callbacks_see_targets_of_the_user(rows):
    X, y, _ = rows
    seen = []

    class Recorder(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(net.predict(X))

    model = _network(callbacks=[Recorder()], max_epochs=3).fit(X, y)
    assert_allclose(model.predict(X), seen[-1], rtol=1e-5)
