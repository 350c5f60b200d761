"""Networks trained under noise in the benchmarks: the registry, and how each is tuned.

Every method gets the same number of trials, all by AdamW along a cosine: a first setting, which
leaves the other parameters at their defaults but for those that make the method (label smoothing
of .1, mixup of 1), and then the same draws of what all share (learning rate, weight decay, dropout,
whether to stop early) and draws of its own. The trial with the best accuracy on held-out rows is
taken, whose labels are as wrong as all others; the true labels are only for the test rows. "cleaned
labels" is a plain network in a CleaningClassifier, whose detector uses no networks.
"""

import time
import warnings

import numpy as np
from _cells import CACHE
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skrobust.neural import (
    CoTeachingClassifier,
    ELRClassifier,
    MetaRescaledClassifier,
    NestedDropoutClassifier,
    NeuralClassifier,
    SOPClassifier,
)
from skrobust.neural._callbacks import AfterEpoch
from skrobust.wrappers import CleaningClassifier

SHARED = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "weight_decay": (1e-4, 1e-2, 1e-1, 1.0),
    "dropout": (0.0, 0.3, 0.5),
    # On rows that are held out once more: those by which trials are chosen are for that only.
    "early_stopping": (False, True),
}
# Share of the rows by which trials are chosen.
HELD_OUT = 0.2

# A network without the defaults of NeuralClassifier that wrong labels hurt less.
PLAIN = {"weight_decay": 0.0, "ema_decay": None, "early_stopping": False}

# A classifier, as it is tried first, and what is drawn besides.
METHODS = {
    "plain": (NeuralClassifier(**PLAIN), {"ema_decay": (None, 0.99)}),
    "label smoothing": (
        NeuralClassifier(label_smoothing=0.1, **PLAIN),
        {"label_smoothing": (0.1, 0.3, 0.5)},
    ),
    "mixup": (NeuralClassifier(mixup=1.0, **PLAIN), {"mixup": (0.2, 1.0, 4.0)}),
    "generalized cross-entropy": (
        NeuralClassifier(criterion="generalized_cross_entropy", **PLAIN),
        {},
    ),
    "symmetric cross-entropy": (
        NeuralClassifier(criterion="symmetric_cross_entropy", **PLAIN),
        {},
    ),
    # The width is chosen on held-out rows.
    "nested dropout": (
        NestedDropoutClassifier(),
        {"sigma": (25.0, 50.0, 100.0), "early_stopping": (True,)},
    ),
    "bottleneck": (
        NestedDropoutClassifier(compression="bottleneck"),
        {"target_kl": (2.0, 4.0, 8.0)},
    ),
    "co-teaching": (CoTeachingClassifier(), {"n_gradual": (2, 5, 10)}),
    "nested dropout, co-teaching": (CoTeachingClassifier(base=NestedDropoutClassifier()), {}),
    "ELR": (ELRClassifier(), {"strength": (1.0, 3.0, 7.0), "beta": (0.7, 0.9)}),
    "ELR ensemble": (ELRClassifier(ensemble=True), {"strength": (1.0, 3.0, 7.0)}),
    "SOP": (SOPClassifier(), {"start": (0.01, 0.03, 0.1), "balance": (0.0, 0.1)}),
    "cleaned labels": (CleaningClassifier(NeuralClassifier(**PLAIN), action="relabel"), {}),
    "meta-rescaled": (MetaRescaledClassifier(), {"n_passes": (1, 3)}),
}
BOUNDS = ("oracle", "clean")
"""A plain network, tuned likewise, on exactly the right rows; and on the true labels."""


def measure(what, rows, test_rows, *, seed: int, n_trials: int, max_epochs: int) -> dict:
    """Tune a method on noisy labels and score it on true ones.

    Parameters
    ----------
    what : str
        A method, or one of `BOUNDS`.
    rows : tuple of (X, y, truth)
        Rows to train on, given and true labels.
    test_rows : tuple of (X, truth)
        Rows to score on.
    seed : int
        Seed of the draws and of the networks.
    n_trials : int
        How many settings are tried, the first one among them.
    max_epochs : int
        Epochs of each.

    Returns
    -------
    measured : dict
        "accuracy" of the trial that is best on held-out rows, its "valid" accuracy, "untuned"
        accuracy of the first setting, "best" of all trials in hindsight, "seconds" of all trials.
    """
    X, y, truth = rows
    if what == "oracle":
        right = y == truth
        X, y = X[right], y[right]
    elif what == "clean":
        y = truth
    model, own = METHODS["plain" if what in BOUNDS else what]
    X, X_held, y, y_held = train_test_split(X, y, test_size=HELD_OUT, stratify=y, random_state=seed)
    scaler = StandardScaler().fit(X)
    X, X_held, X_test = (scaler.transform(part) for part in (X, X_held, test_rows[0]))
    shared_draws, own_draws = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    found, forget_rate, started = [], None, time.perf_counter()
    shared = [{}, *_draw(SHARED, n_trials - 1, shared_draws)]
    own = [{}, *_draw(own, n_trials - 1, own_draws)]
    for params in zip(shared, own, strict=True):
        trial = _prepare(model, *params, seed, max_epochs)
        if forget_rate is not None:
            trial.set_params(forget_rate=forget_rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial.fit(X, y)
        # It is estimated by a forest, whatever the parameters of the networks: once is enough.
        forget_rate = getattr(trial, "forget_rate_", None)
        accuracy = float(np.mean(trial.predict(X_test) == test_rows[1]))
        found.append((float(np.mean(trial.predict(X_held) == y_held)), accuracy))
    seconds = time.perf_counter() - started
    valid, accuracy = max(found, key=lambda pair: pair[0])
    accuracies = [pair[1] for pair in found]
    return {
        "accuracy": accuracy,
        "valid": valid,
        "untuned": accuracies[0],
        "best": max(accuracies),
        "seconds": round(seconds, 1),
    }


def _draw(space, n_trials: int, rng) -> list[dict]:
    """Draw settings, each value of a parameter once before any comes again."""
    orders = {name: rng.permutation(len(values)) for name, values in space.items()}
    return [
        {name: values[orders[name][i % len(values)]] for name, values in space.items()}
        for i in range(n_trials)
    ]


def _prepare(model, shared, own, seed, max_epochs):
    common = {
        **shared,
        "optimizer": "adamw",
        "learning_rate_schedule": "cosine",
        "max_epochs": max_epochs,
        "validation_fraction": 0.2,
        "n_iter_no_change": None,
        "random_state": seed,
    }
    if isinstance(model, CleaningClassifier):
        # What is wrong does not depend on the network, and is found in the first trial.
        trial = clone(model).set_params(random_state=seed, memory=str(CACHE / "detections"))
        trial.estimator.set_params(**{**common, **own})
        return trial
    trial = clone(model).set_params(**{**common, **own})
    if getattr(trial, "base", None) is not None:
        # The width is chosen on held-out rows.
        trial.base.set_params(**{**common, "early_stopping": True})
        trial.set_params(learning_rate=trial.learning_rate / 10, max_epochs=max(1, max_epochs // 4))
    return trial


def memorisation(what, rows, *, seed: int, max_epochs: int, params=None) -> list[float]:
    """How often a method predicts the given label of wrong rows that it is trained on, by epoch."""
    X, y, truth = rows
    X, wrong = StandardScaler().fit_transform(X), y != truth
    model, _ = METHODS[what]
    curve: list[float] = []

    def record(_):
        curve.append(float(np.mean(trial.predict(X[wrong]) == y[wrong])))

    trial = clone(model).set_params(
        max_epochs=max_epochs,
        early_stopping=False,
        random_state=seed,
        callbacks=[AfterEpoch(record)],
        **(params or {}),
    )
    trial.fit(X, y)
    return curve
