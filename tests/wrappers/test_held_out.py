"""Rows that a classifier is too simple to fit are left out where that is better."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from skrobust.wrappers import CleaningClassifier


class NoErrors(BaseEstimator):
    """A detector that flags nothing."""

    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        n_samples = len(y)
        self.label_errors_ = np.zeros(n_samples, dtype=bool)
        self.label_quality_ = np.ones(n_samples)
        self.keep_weight_ = np.ones(n_samples) if sample_weight is None else sample_weight
        self.suggested_labels_ = y
        return self


class Counted(HistGradientBoostingClassifier):
    """Counts its fits."""

    n_fits = 0

    def fit(self, X, y, sample_weight=None):
        Counted.n_fits += 1
        return super().fit(X, y, sample_weight)


def _rows(seed, n_samples=8000):
    """Classes of several clusters each, which a linear model cannot separate."""
    X, y = make_classification(
        n_samples, 20, n_informative=10, n_classes=3, class_sep=0.5, random_state=seed
    )
    return train_test_split(X, np.array(["a", "b", "c"])[y], random_state=seed)


@pytest.mark.parametrize("action", ["drop", "relabel"])
def test_a_linear_model_of_several_clusters_gains(action):
    gains, n_trimmed = [], 0
    for seed in range(5):
        X, X_test, y, y_test = _rows(seed)
        plain, trimmed = (
            CleaningClassifier(None, NoErrors(), action=action, trim=trim).fit(X, y)
            for trim in (False, True)
        )
        assert not plain.trimmed_.any()
        n_trimmed += trimmed.trimmed_.any()
        gains.append(trimmed.score(X_test, y_test) - plain.score(X_test, y_test))
        again = LogisticRegression().fit(X[~trimmed.trimmed_], y[~trimmed.trimmed_])
        np.testing.assert_allclose(again.predict_proba(X), trimmed.predict_proba(X))
    assert n_trimmed >= 4
    assert np.mean(gains) > 0.003
    assert min(gains) >= 0


def test_nothing_is_trimmed_where_the_model_is_right(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2000, 3))
    y = (X[:, 0] + X[:, 1] + rng.logistic(size=2000) > 0).astype(int)
    model = CleaningClassifier(None, NoErrors()).fit(X, y)
    assert model.score(X, y) < 0.95
    assert not model.trimmed_.any()


def test_models_that_fit_their_labels_are_fitted_once():
    X, _, y, _ = _rows(0, 800)
    Counted.n_fits = 0
    CleaningClassifier(Counted(), NoErrors()).fit(X, y)
    assert Counted.n_fits == 1


@pytest.mark.parametrize(
    ("estimator", "options"),
    [
        (LinearSVC(), {}),
        (LogisticRegression(), {"action": "reweight"}),
        (LogisticRegression(), {"trim": False}),
    ],
)
def test_where_trimming_is_not_done(estimator, options):
    X, _, y, _ = _rows(0)
    model = CleaningClassifier(estimator, NoErrors(), **options).fit(X, y)
    assert model.trimmed_.shape == (len(y),)
    assert not model.trimmed_.any()


def test_verified_rows_stay():
    X, _, y, _ = _rows(4)
    free = CleaningClassifier(None, NoErrors()).fit(X, y)
    verified = np.full(len(y), None, dtype=object)
    looked_at = np.flatnonzero(free.trimmed_)[:20]
    assert len(looked_at) == 20
    verified[looked_at] = y[looked_at]
    model = CleaningClassifier(None, NoErrors()).fit(X, y, verified_labels=verified)
    assert model.trimmed_.any()
    assert not model.trimmed_[looked_at].any()


def test_whole_weights_are_repeated_rows():
    X, _, y, _ = _rows(1, 2500)
    counts = np.random.default_rng(0).integers(1, 3, len(y))
    weighted = CleaningClassifier(None, NoErrors()).fit(X, y, sample_weight=counts)
    repeated = CleaningClassifier(None, NoErrors()).fit(X.repeat(counts, axis=0), y.repeat(counts))
    assert weighted.trimmed_.any()
    differs = weighted.trimmed_.repeat(counts) != repeated.trimmed_
    assert differs.mean() < 0.005


def test_without_folds_nothing_is_trimmed():
    # Each class is one group, so that no model could be tested on a class it has seen.
    X, _, y, _ = _rows(0)
    model = CleaningClassifier(None, NoErrors()).fit(X, y, groups=y)
    assert not model.trimmed_.any()


class KnowsMore(LogisticRegression):
    """Has columns for classes that it was not trained on."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.own_, self.classes_ = self.classes_, np.array(["a", "aa", "b", "c", "d"])
        return self

    def predict_proba(self, X):
        self.classes_, known = self.own_, self.classes_
        proba = np.zeros((len(X), len(known)))
        proba[:, np.isin(known, self.own_)] = super().predict_proba(X)
        self.classes_ = known
        return proba

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def test_columns_of_other_classes_change_nothing():
    X, _, y, _ = _rows(0)
    more = CleaningClassifier(KnowsMore(), NoErrors()).fit(X, y)
    expected = CleaningClassifier(LogisticRegression(), NoErrors()).fit(X, y)
    assert expected.trimmed_.any()
    np.testing.assert_array_equal(more.trimmed_, expected.trimmed_)
