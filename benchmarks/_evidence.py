"""Evidence that is computed once: a classifier that remembers on disk what it predicted."""

import time
from pathlib import Path

import joblib
import numpy as np
import sklearn
from _cells import CACHE
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from skrobust.detection import EnsembleDetector

recalled = {"seconds": 0.0}
"""What the predictions that this process took from disk cost when they were made."""


class Recalled(ClassifierMixin, BaseEstimator):
    """A classifier that looks up its predictions if it has made them before.

    Nothing is fitted before the first prediction, and nothing at all if the same estimator was
    already fitted to the same rows and asked for the same rows. Predictions are kept as float32.

    Parameters
    ----------
    estimator : classifier
        What predicts. Its random state must be an integer, or nothing is ever found again.
    folder : path, default=None
        Where predictions are kept, instead of ``benchmarks/cache/evidence``.
    """

    def __init__(self, estimator=None, folder=None):
        self.estimator = estimator
        self.folder = folder

    def fit(self, X, y, sample_weight=None):
        """Keep what the estimator would be fitted to."""
        self.classes_ = np.unique(y)
        self._given = (X, y, sample_weight)
        return self

    def predict_proba(self, X):
        """Predict, or recall."""
        folder = CACHE / "evidence" if self.folder is None else Path(self.folder)
        what = (type(self.estimator).__name__, self.estimator.get_params(), self._given, X)
        name = joblib.hash((sklearn.__version__, *map(joblib.hash, what)))
        path = folder / name[:2] / f"{name}.npz"
        if path.exists():
            with np.load(path) as found:
                recalled["seconds"] += float(found["seconds"])
                return _normalise(found["proba"])
        started = time.perf_counter()
        X_fit, y_fit, weight = self._given
        options = {} if weight is None else {"sample_weight": weight}
        proba = clone(self.estimator).fit(X_fit, y_fit, **options).predict_proba(X)
        proba = proba.astype(np.float32)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A killed run must not leave half a file under the name of a whole one.
        temporary = path.with_suffix(f".{time.time_ns()}.npz")
        np.savez_compressed(temporary, proba=proba, seconds=time.perf_counter() - started)
        temporary.replace(path)
        return _normalise(proba)

    def predict(self, X):
        """Predict the most probable class."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _normalise(proba: np.ndarray) -> np.ndarray:
    proba = proba.astype(np.float64)
    return proba / proba.sum(axis=1, keepdims=True)


class RecalledEnsemble(EnsembleDetector):
    """The default detector, with a memory of what its models said of the last rows.

    What it costs with one threshold or another, in one process, is then paid once; each is
    charged the whole.
    """

    # Two rounds of one data set, and no more: each holds a matrix.
    _known: dict = {}

    def _gather(self, data, cv, *which):
        models = None if self.estimators is None else list(map(repr, self.estimators))
        labels = (data.y_train, data.used)
        name = joblib.hash((self.random_state, models, self.weights, *labels, data.X, *which))
        memory = RecalledEnsemble._known
        if name in memory:
            *found, self.weights_, self.member_predictions_, seconds = memory[name]
            recalled["seconds"] += seconds
            return tuple(part.copy() for part in found)
        started = time.perf_counter()
        found = super()._gather(data, cv, *which)
        seconds = time.perf_counter() - started
        if len(memory) > 1:
            memory.pop(next(iter(memory)))
        kept = self.weights_, self.member_predictions_
        memory[name] = (*(part.copy() for part in found), *kept, seconds)
        return found


class Published(ClassifierMixin, BaseEstimator):
    """A published model, of which only the predictions are known: they are X."""

    def fit(self, X, y):
        """Learn nothing but the classes."""
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        """Return X."""
        return np.asarray(X)

    def predict(self, X):
        """Predict the most probable class."""
        return self.classes_[np.asarray(X).argmax(axis=1)]
