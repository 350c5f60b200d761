"""What the tests of estimators of transitions by probabilities share."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier

from skrobust.noise import flip_labels
from skrobust.testing._problems import make_rows

TRANSITION = np.array([[0.8, 0.1, 0.1], [0.15, 0.7, 0.15], [0.1, 0.2, 0.7]])


class Columns(ClassifierMixin, BaseEstimator):
    """Takes the columns of X for probabilities, and remembers what it was fitted to."""

    seen: list = []

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.arange(X.shape[1])
        type(self).seen.append(np.asarray(y))
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return self.classes_[X.argmax(axis=1)]


def forest():
    """A forest that is as smooth as the default one, of fewer trees."""
    return ExtraTreesClassifier(50, bootstrap=True, oob_score=True, min_samples_leaf=5)


def noisy_rows(n_samples, seed, *, distance=5.0, transition=TRANSITION):
    """Rows around centres, given labels and true classes."""
    X, truth, _ = make_rows(n_samples, noise=0, seed=seed, distance=distance)
    return X, flip_labels(truth, transition, random_state=seed)[0], truth


def posterior_rows(n_samples, seed, *, transition=TRANSITION):
    """Rows that are the exact probabilities of their given labels, and differ by a hair."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n_samples) % len(transition)
    proba = transition[truth] + rng.uniform(0, 1e-6, (n_samples, len(transition)))
    y = flip_labels(truth, transition, random_state=seed)[0]
    return proba / proba.sum(axis=1, keepdims=True), y, truth
