"""Networks that several processes train together; here on the CPU, where a GPU each is meant."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback

from skrobust.neural import HalfFineTuning, NeuralClassifier
from skrobust.neural.losses import VolumeMinimizing
from skrobust.neural.modules import SmallCNN

ROOT = Path(__file__).resolve().parents[2]
# What "auto" would be where the suite runs may be a GPU, or two.
pytestmark = pytest.mark.filterwarnings("ignore:.*use_cpu:FutureWarning")


def network(**params):
    """A network that uses whatever has to be kept in step."""
    return NeuralClassifier(
        hidden_layer_sizes=(16,),
        max_epochs=3,
        batch_size=50,
        dtype="float64",
        accelerate=True,
        ema_decay=0.9,
        gradient_clip=1.0,
        early_stopping=True,
        **params,
    )


def table():
    """Rows that no number of processes divides."""
    rng = np.random.default_rng(0)
    y = np.arange(301) % 3
    return rng.normal(size=(301, 4)) + 2 * np.eye(3, 4)[y], y


def images():
    """Images, for a network with running means."""
    rng = np.random.default_rng(0)
    y = np.arange(61) % 2
    return rng.normal(size=(61, 3, 8, 8)) + y[:, None, None, None], y


class Seen(Callback):
    """Which rows were trained on in each epoch."""

    def __init__(self):
        self.epochs = []

    def on_epoch_begin(self, net, **kwargs):
        """Start a list."""
        self.epochs.append([])

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Add to it."""
        if training:
            self.epochs[-1] += batch[0]["index"].tolist()


def train(folder):
    """What each process does."""
    from accelerate import PartialState

    X, y = table()
    weight = np.linspace(0.5, 1.5, len(y))
    model = network(random_state=0).fit(X, y, sample_weight=weight)
    first = model.predict_proba(X)
    model = pickle.loads(pickle.dumps(model))
    model.set_params(warm_start=True).fit(X, y, sample_weight=weight)
    new = network().fit(X, y)  # without a seed
    X, y = images()
    cnn = NeuralClassifier(SmallCNN, max_epochs=2, batch_size=20, accelerate=True, random_state=0)
    cnn.set_params(ema_decay=0.9).fit(X, y)
    state = PartialState()
    # Parts of a batch are of different sizes, and as many numbers are drawn.
    seen = Seen()
    mixed = network(random_state=0, mixup=0.2, dropout=0.2, callbacks=[seen]).fit(*table())
    small = NeuralClassifier(max_epochs=1, batch_size=3, accelerate=True)
    message = ""
    try:
        small.fit(X.reshape(61, -1), y)
    except ValueError as error:
        message = str(error)
    np.savez(
        Path(folder) / f"{state.num_processes}_{state.process_index}.npz",
        first=first,
        second=model.predict_proba(table()[0]),
        loss=model.history_["train_loss"],
        new=new.predict_proba(table()[0]),
        cnn=cnn.predict_proba(X),
        mixed=mixed.predict_proba(table()[0]),
        seen=np.array([sorted(epoch) for epoch in seen.epochs], dtype=object),
        message=message,
    )


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


def test_two_processes_train_what_one_does(tmp_path):
    train(tmp_path)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    subprocess.run(
        [*launch, __file__, str(tmp_path)],
        check=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    alone, first, second = (
        np.load(tmp_path / f"{name}.npz", allow_pickle=True) for name in ("1_0", "2_0", "2_1")
    )
    for name in ("first", "second", "loss", "new", "cnn", "mixed"):
        assert_array_equal(first[name], second[name])
    # Each row once in each epoch, in one of the processes.
    for whole, one, other in zip(alone["seen"], first["seen"], second["seen"], strict=True):
        assert sorted([*one, *other]) == list(whole)
        assert abs(len(one) - len(other)) <= 5
    assert str(alone["message"]) == ""
    assert "batch_size=3 leaves less than two rows for each of 2 processes" in str(first["message"])
    # The network computes in float64, sums of losses are in float32.
    for name in ("first", "second"):
        assert_allclose(first[name], alone[name], atol=1e-9)
    assert_allclose(first["loss"], alone["loss"], atol=1e-5)


def test_alone_it_is_the_plain_network():
    X, y = table()
    model = network(random_state=0)
    plain = clone(model).set_params(accelerate=False, device="cpu")
    assert_array_equal(model.fit(X, y).predict_proba(X), plain.fit(X, y).predict_proba(X))
    assert model.net_.accelerator is None
    model.partial_fit(X, y)
    assert_array_equal(model.predict_proba(X), plain.partial_fit(X, y).predict_proba(X))


def test_refuses_what_processes_cannot_share(monkeypatch):
    X, y = table()
    with pytest.raises(ValueError, match="device='cpu' is not used by NeuralClassifier"):
        network(device="cpu").fit(X, y)
    with pytest.raises(ValueError, match="record_dynamics=True is not used"):
        network(record_dynamics=True).fit(X, y)
    with pytest.raises(ValueError, match="VolumeMinimizing, which learns"):
        network(criterion=VolumeMinimizing(3)).fit(X, y)
    with pytest.raises(ValueError, match="HalfFineTuning, which processes cannot do together"):
        network(callbacks=[HalfFineTuning()]).fit(X, y)
    model = network(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="accelerate=False is not what the training began with"):
        model.set_params(accelerate=False).fit(X, y)
    model.set_params(warm_start=False).fit(X, y)
    with pytest.raises(ValueError, match="accelerate=True is not what the training began with"):
        model.set_params(accelerate=True, warm_start=True).fit(X, y)
    model.set_params(warm_start=False, module=lambda *_: torch.nn.Linear(4, 7))
    with pytest.raises(ValueError, match="one for each of the 3 classes"):
        model.fit(X, y)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match="pip install skrobust"):
        network().fit(X, y)


if __name__ == "__main__":
    train(sys.argv[1])
