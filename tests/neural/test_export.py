"""Fitted networks leave the package: skops for the estimator, safetensors and ONNX for weights."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    FeatureTuneClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
)

QUICK = {"learning_rate": 0.01, "max_epochs": 5, "device": "cpu", "random_state": 0}
MODELS = [
    NeuralClassifier(**QUICK, ema_decay=0.9),
    NestedDropoutClassifier(**QUICK),
    CoTeachingClassifier(**QUICK, forget_rate=0.1),
    ELRClassifier(**QUICK),
    FeatureTuneClassifier(**QUICK),
]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 3
    X = (rng.normal(size=(300, 8)) + 4 * np.eye(3, 8)[y]).astype(np.float32)
    return X, np.array(["a", "b", "c"])[y]


@every_model
def test_skops(model, rows):
    import skops.io

    X, y = rows
    saved = skops.io.dumps(model.fit(X, y))
    unknown = skops.io.get_untrusted_types(data=saved)
    # Nothing but classes of this package has to be trusted.
    assert all(name.startswith("skrobust.neural.") for name in unknown)
    again = skops.io.loads(saved, trusted=unknown)
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@every_model
def test_safetensors(model, rows):
    from safetensors.torch import load, save

    X, y = rows
    saved = save(model.fit(X, y).module_.state_dict())
    proba = model.predict_proba(X)
    other = type(model)(**{**model.get_params(), "random_state": 1}).fit(X, y)
    assert not np.array_equal(other.predict_proba(X), proba)
    other.module_.load_state_dict(load(saved))
    assert_array_equal(other.predict_proba(X), proba)


# Warnings of torch's own exporter about its parts.
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@every_model
def test_onnx(model, rows, tmp_path):
    import onnxruntime

    X, y = rows
    model.fit(X, y)
    nested = isinstance(model, NestedDropoutClassifier)
    network = model.truncated_module() if nested else model.module_.eval()
    path = tmp_path / "network.onnx"
    torch.onnx.export(
        network,
        (torch.zeros(4, 8),),
        path,
        input_names=["X"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("n")},),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(path)
    (scores,) = session.run(None, {"X": X})
    assert_array_equal(model.classes_[scores.argmax(axis=1)], model.predict(X))
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    assert_allclose(proba / proba.sum(axis=1, keepdims=True), model.predict_proba(X), atol=1e-5)
