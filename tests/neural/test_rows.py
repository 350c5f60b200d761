"""Torch data sets in the place of arrays: the same networks, read batch by batch."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
)
from skrobust.neural._parts import probe
from skrobust.neural._regularization import input_scale
from skrobust.neural._rows import DatasetRows, make_rows
from skrobust.neural.modules import SmallCNN

QUICK = {
    "hidden_layer_sizes": (16,),
    "learning_rate": 0.01,
    "max_epochs": 5,
    "batch_size": 32,
    "device": "cpu",
    "random_state": 0,
}


class Items(Dataset):
    """Counts the items that are read at a time."""

    def __init__(self, X, y=None):
        self.X, self.y, self.most = X, y, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, index):
        return self.X[index] if self.y is None else (self.X[index], self.y[index])


class Many(Items):
    """Gives whole batches."""

    def __getitems__(self, indices):
        self.most = max(self.most, len(indices))
        return [self[i] for i in indices]


class Stream(IterableDataset):
    """Has no order but its own."""

    def __iter__(self):
        return iter(())


@pytest.fixture
def table(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(240) % 3
    X = (rng.normal(size=(240, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, np.array(["a", "b", "c"])[y]


@pytest.mark.parametrize(
    "model",
    [
        NeuralClassifier(**QUICK),
        NeuralClassifier(**QUICK, early_stopping=True, consistency=0.5, mixup=0.2),
        ELRClassifier(**QUICK),
        CoTeachingClassifier(**QUICK),
        CoTeachingClassifier(**QUICK, base=NestedDropoutClassifier(**QUICK)),
    ],
)
def test_a_data_set_teaches_what_the_array_teaches(model, table):
    X, y = table
    weight = np.linspace(0.5, 2, len(y))
    proba = model.fit(X, y, sample_weight=weight).predict_proba(X)
    data = Many(X)
    model.fit(data, y, sample_weight=weight)
    assert_array_equal(model.predict_proba(data), proba)
    assert_array_equal(model.predict_proba(X), proba)
    assert (model.n_features_in_, model.classes_.tolist()) == (4, ["a", "b", "c"])


def test_rows_are_read_in_batches(table):
    X, y = table
    data = Many(X)
    NeuralClassifier(**QUICK).fit(data, y)
    assert data.most == 32
    rows = rows_of(Many(np.zeros((2000, 4), dtype=np.float32)))
    input_scale(rows)
    assert rows.X.dataset.most == 512
    # A row is as wide as its input, if no layer is wider.
    linear = torch.nn.Linear(4, 2)
    output, widest = probe(linear, rows.input_at(slice(0, 2)))
    assert (output.shape, widest) == ((2, 2), 4)


def rows_of(dataset):
    """Rows of a data set as a network reads them."""
    device = torch.device("cpu")
    return make_rows(DatasetRows(dataset), None, None, dtype=torch.float32, device=device)


def test_input_scale_is_the_standard_deviation(seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(7, [1, 2, 3], size=(1300, 3)).astype(np.float32)
    assert_allclose(input_scale(rows_of(Items(table))), table.std(axis=0), rtol=1e-4)
    images = rng.normal(5, 2, size=(700, 1, 4, 4)).astype(np.float32)
    assert_allclose(input_scale(rows_of(Items(images))), images.std(), rtol=1e-4)


@pytest.mark.parametrize("gone", [None, float("nan"), ""])
def test_missing_labels_stay_missing(gone, table):
    X, y = table
    labels = [*y.tolist()[:-1], gone]
    model = NeuralClassifier(**QUICK).fit(Items(X, labels))
    assert model.classes_.tolist() == ["a", "b", "c"]
    assert_array_equal(model.predict_proba(X), model.fit(X, labels).predict_proba(X))


def test_labels_are_those_of_the_items(table):
    X, y = table
    data = Items(X, (y == "a").tolist())
    data.targets = y
    data.target_transform = "a".__eq__
    assert NeuralClassifier(**QUICK).fit(data).classes_.tolist() == [False, True]
    items = [(torch.tensor(row, dtype=torch.bfloat16), label) for row, label in zip(X, y)]
    assert NeuralClassifier(**QUICK).fit(items_of(items)).score(X, y) > 0.5


def items_of(pairs):
    """A data set of pairs."""
    return Items([pair[0] for pair in pairs], [pair[1] for pair in pairs])


@pytest.mark.parametrize("kind", ["tensors", "items", "targets", "torch labels"])
def test_labels_may_be_in_the_data_set(kind, table):
    X, y = table
    codes = np.unique(y, return_inverse=True)[1]
    expected = NeuralClassifier(**QUICK).fit(X, codes).predict_proba(X)
    if kind == "tensors":
        data = TensorDataset(torch.from_numpy(X), torch.from_numpy(codes))
    elif kind == "items":
        data = Items(X, codes.tolist())
    elif kind == "torch labels":
        data = Items(torch.from_numpy(X), torch.from_numpy(codes))
    else:
        data = Items(X)
        data.targets = torch.from_numpy(codes)
    model = NeuralClassifier(**QUICK).fit(data)
    assert_array_equal(model.predict_proba(X), expected)
    assert_array_equal(model.predict_proba(data), expected)
    model.set_params(warm_start=True).fit(data)
    assert model.n_iter_ == 10


def test_images_and_bytes(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(60) % 2
    images = rng.integers(0, 255, (60, 3, 8, 8), dtype=np.uint8)
    images[y == 1, 0] //= 4
    model = NeuralClassifier(SmallCNN, max_epochs=2, device="cpu", random_state=0)
    proba = model.fit(images, y).predict_proba(images)
    assert_array_equal(model.fit(Items(images, y)).predict_proba(Many(images)), proba)


def test_bad_data_sets(table):
    X, y = table
    model = NeuralClassifier(**QUICK)
    with pytest.raises(ValueError, match="0 sample"):
        model.fit(Items(X[:0]), y[:0])
    with pytest.raises(TypeError, match="Stream, which has no length"):
        model.fit(Stream(), y)
    with pytest.raises(ValueError, match="y is None, and the items of X have no labels"):
        model.fit(Items(X))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(Items(X), y[:-1])
    with pytest.raises(ValueError, match="must be numbers of one shape"):
        model.fit(Items(list("abc")), [0, 1, 1])
    with pytest.raises(ValueError, match="have the shape"):
        model.fit(Items(X[:, None]), y)
    with pytest.raises(ValueError, match="have the shape"):
        model.fit(Items(X[:, 0]), y)
    holes = X.copy()
    holes[17, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity: in item 17"):
        model.fit(Items(holes), y)
    assert not hasattr(model, "net_")
    model.fit(Items(X), y)
    with pytest.raises(ValueError, match="X has 3 features, but NeuralClassifier is expecting 4"):
        model.predict(Items(X[:, :3]))
    ragged = [row if i != 200 else row[:3] for i, row in enumerate(X)]
    with pytest.raises(ValueError, match="(same|equal) (shape|size)"):
        model.predict(Items(ragged))


def test_reads_by_slices_and_positions(table):
    X, _ = table
    rows = DatasetRows(Items(X))
    assert_array_equal(rows[3:9], X[3:9])
    assert_array_equal(rows[np.array([5, 1])], X[[5, 1]])
    assert rows[5:5].shape == (0, 4)
    assert (rows.shape, rows.ndim, rows.dtype, len(rows)) == (X.shape, 2, X.dtype, 240)
