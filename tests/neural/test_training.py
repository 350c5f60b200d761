"""Trainings by every method: repeatable, pickled, refused before they start."""

import inspect
import pickle
import re

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression

from skrobust import neural
from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    MetaRescaledClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
    SOPClassifier,
)
from skrobust.neural.losses import VolumeMinimizing

QUICK = {"hidden_layer_sizes": (32,), "learning_rate": 0.01, "max_epochs": 15, "device": "cpu"}
NESTED = {**QUICK, "random_state": 0}


@pytest.mark.parametrize(
    "model",
    [
        NestedDropoutClassifier(**NESTED),
        NestedDropoutClassifier(**NESTED, compression="dropout", hidden_noise=0.1),
        NestedDropoutClassifier(**NESTED, compression="bottleneck"),
        NestedDropoutClassifier(**NESTED, ema_decay=0.9, mixup=0.2),
        CoTeachingClassifier(**NESTED, forget_rate=0.3, hidden_noise=0.1, record_dynamics=True),
        CoTeachingClassifier(**NESTED, ema_decay=0.9, early_stopping=True),
        CoTeachingClassifier(
            **{**NESTED, "learning_rate": 1e-3, "max_epochs": 3},
            base=NestedDropoutClassifier(**NESTED),
            forget_rate=0.3,
            record_dynamics=True,
        ),
        ELRClassifier(**NESTED),
        ELRClassifier(**NESTED, ema_decay=0.9, mixup=0.2, early_stopping=True),
        ELRClassifier(**NESTED, ensemble=True, hidden_noise=0.1),
        SOPClassifier(**NESTED),
        SOPClassifier(**NESTED, balance=0.1, consistency=0.9, ema_decay=0.9, early_stopping=True),
        MetaRescaledClassifier(**NESTED, ema_decay=0.9, record_dynamics=True, early_stopping=True),
    ],
)
def test_learns_is_repeatable_and_pickles(model, noisy, two_threads):
    X, y, given, _ = noisy
    model.fit(X, given)
    proba = model.predict_proba(X)
    assert model.score(X, y) > 0.65  # by chance: a third
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), proba)
    assert_array_equal(model.fit(X, given).predict_proba(X), proba)
    if model.record_dynamics:
        held_out = 60 if model.early_stopping is True else 0
        assert np.isnan(model.training_dynamics_["aum"]).sum() == held_out


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MetaRescaledClassifier(torch.nn.Linear(4, 3)), "no method `features`"),
        (MetaRescaledClassifier(meta_step=0), "meta_step"),
        (MetaRescaledClassifier(mixup=0.2), "mixup=0.2 is not used by MetaRescaledClassifier"),
        (CoTeachingClassifier(label_smoothing=0.1), "label_smoothing=0.1 is not used by"),
        (ELRClassifier(ensemble=True, consistency=1.0), "consistency=1.0 is not used by"),
        (NestedDropoutClassifier(sigma=0), "sigma"),
        (NestedDropoutClassifier(compression="zip"), "compression"),
        (CoTeachingClassifier(forget_rate=1.0), "forget_rate"),
        (CoTeachingClassifier(base=LogisticRegression()), "base"),
        (ELRClassifier(beta=1.0), "beta"),
        (SOPClassifier(start=0), "start"),
        (SOPClassifier(mixup=0.2), "mixup=0.2 is not used by SOPClassifier"),
        (SOPClassifier(criterion="cores"), "criterion='cores' is not used by SOPClassifier"),
        (ELRClassifier(strength=-1), "strength"),
    ],
)
def test_bad_parameters(model, message, noisy):
    X, _, given, _ = noisy
    with pytest.raises(ValueError, match=message):
        model.fit(X, given)


def test_learning_a_transition_is_repeatable(two_threads, seed):
    """Also where a batch is large enough to be shared among threads."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, 8000)
    X = rng.normal(size=(8000, 5)) + y[:, None] % 3
    criterion = VolumeMinimizing(10)
    params = {**NESTED, "max_epochs": 4, "batch_size": 8000, "early_stopping": False}
    model = NeuralClassifier(**params, criterion=criterion)
    proba = model.fit(X, y).predict_proba(X)
    matrix = model.net_.criterion_.transition_matrix
    assert_array_equal(model.fit(X, y).predict_proba(X), proba)
    assert_array_equal(model.net_.criterion_.transition_matrix, matrix)


@pytest.mark.parametrize(
    "cls",
    [
        getattr(neural, name)
        for name in neural.__all__
        if name.endswith(("Classifier", "Regressor"))
    ],
)
def test_constructors_are_annotated_and_documented(cls):
    text = inspect.getdoc(cls)
    for name, parameter in inspect.signature(cls).parameters.items():
        assert parameter.annotation is not parameter.empty
        default = parameter.default
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        (entry,) = re.findall(rf"^{name} : .*(?:\n    .*)*", text, re.MULTILINE)
        numbers = re.findall(r"default=([\d.e-]+)$", entry, re.MULTILINE)
        same = isinstance(default, float) and [float(number) for number in numbers] == [default]
        assert same or f"default={shown}" in entry, entry
