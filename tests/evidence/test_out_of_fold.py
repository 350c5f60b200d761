import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import GroupKFold, KFold, RepeatedStratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skrobust.evidence import out_of_fold_proba
from skrobust.evidence._folds import make_folds, row_blocks
from skrobust.utils._input import row_hashes
from skrobust.utils._parallel import report_progress


@pytest.fixture
def data(seed):
    return make_classification(
        200, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=seed
    )


def test_equals_cross_val_predict_where_that_is_enough(data):
    X, y = data
    expected = cross_val_predict(GaussianNB(), X, y, cv=4, method="predict_proba")
    np.testing.assert_allclose(out_of_fold_proba(GaussianNB(), X, y, cv=4), expected)
    np.testing.assert_allclose(out_of_fold_proba(GaussianNB(), X, y, cv=4, n_jobs=2), expected)


def test_repeated_folds_are_averaged(data):
    X, y = data
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)
    proba = out_of_fold_proba(GaussianNB(), X, y, cv=cv)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_equal_rows_share_a_fold(data):
    X, y = data
    X, y = np.vstack([X, X[:40]]), np.concatenate([y, (y[:40] + 1) % 3])
    nearest = KNeighborsClassifier(1)
    proba = out_of_fold_proba(nearest, X, y)
    # Were a copy in the training rows, the nearest neighbour would be that copy.
    np.testing.assert_array_equal(proba[:40], proba[200:])
    folds = make_folds(5, X, y, y, np.ones(240, dtype=bool))
    for train, test in folds:
        blocks = row_blocks(row_hashes(X), y)
        assert not set(blocks[train]) & set(blocks[test])
    tested = np.sort(np.concatenate([test for _, test in folds]))
    np.testing.assert_array_equal(tested, np.arange(240))


def test_groups_are_kept_whole_together_with_replicates(data):
    X, y = data
    groups = np.arange(200) // 4
    X[4] = X[0]  # joins groups 0 and 1
    for train, test in make_folds(5, X, y, y, np.ones(200, dtype=bool), groups):
        assert not set(groups[train]) & set(groups[test])
        assert np.isin(np.arange(8), test).sum() in (0, 8)
    for cv in (GroupKFold(4), list(GroupKFold(4).split(X, y, groups))):
        proba = out_of_fold_proba(GaussianNB(), X, y, cv=cv, groups=groups)
        expected = cross_val_predict(
            GaussianNB(), X, y, cv=GroupKFold(4), groups=groups, method="predict_proba"
        )
        np.testing.assert_allclose(proba, expected)


def test_folds_shrink_and_singletons_are_not_scored(data):
    X, y = data
    y = y.copy()
    y[y == 2] = 0
    y[:3] = 2
    y[3] = 9
    proba = out_of_fold_proba(GaussianNB(), X, y)
    assert len(make_folds(5, X, y, np.unique(y, return_inverse=True)[1], y >= 0)) == 3
    assert np.isnan(proba[3]).all()
    assert not np.isnan(np.delete(proba, 3, axis=0)).any()
    with pytest.raises(ValueError, match="Every class has only one distinct row"):
        out_of_fold_proba(GaussianNB(), X[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="Every class has only one distinct row"):
        out_of_fold_proba(GaussianNB(), np.ones((4, 2)), [0, 0, 1, 1])


def test_class_missing_from_a_fold():
    X, y = np.arange(12.0)[:, None], np.repeat([0, 1, 2], 4)
    proba = out_of_fold_proba(GaussianNB(), X, y, cv=KFold(3))
    assert np.isnan(proba).all()
    X, y = np.arange(13.0)[:, None], np.r_[np.tile([0, 1], 6), 2]
    proba = out_of_fold_proba(GaussianNB(), X, y, cv=KFold(2))
    assert np.isnan(proba[12]).all()
    assert (proba[6:12, 2] == 0).all()  # no model of class 2
    np.testing.assert_allclose(proba[:12].sum(axis=1), 1)


def test_missing_labels_and_weights_of_zero(data):
    X, y = data
    y = y.astype(object)
    y[:10] = None
    weight = np.ones(200)
    weight[10:20] = 0
    proba = out_of_fold_proba(GaussianNB(), X, y, sample_weight=weight)
    expected = out_of_fold_proba(GaussianNB(), X[20:], y[20:])
    np.testing.assert_allclose(proba[20:], expected)
    np.testing.assert_allclose(proba[:20].sum(axis=1), 1)


def test_integer_weights_equal_repeated_rows(data, seed):
    X, y = data
    weight = np.random.default_rng(seed).integers(0, 4, 200)
    fold = np.arange(200) % 3
    cv = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    again = np.repeat(fold, weight)
    cv_again = [(np.flatnonzero(again != k), np.flatnonzero(again == k)) for k in range(3)]
    proba = out_of_fold_proba(GaussianNB(), X, y, cv=cv, sample_weight=weight)
    repeated = out_of_fold_proba(
        GaussianNB(), X.repeat(weight, axis=0), y.repeat(weight), cv=cv_again
    )
    np.testing.assert_allclose(proba.repeat(weight, axis=0), repeated, atol=1e-8)


def test_texts_frames_and_images(data):
    X, y = data
    texts = [" ".join(["good"] * (label + 1) + ["word"]) + f" w{i}" for i, label in enumerate(y)]
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    assert out_of_fold_proba(pipeline, texts, y).shape == (200, 3)
    proba = out_of_fold_proba(pipeline, texts, y, sample_weight=np.ones(200))
    np.testing.assert_allclose(proba, out_of_fold_proba(pipeline, texts, y), atol=1e-6)

    class OnImages(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.inner_ = GaussianNB().fit(X.reshape(len(X), -1), y)
            self.classes_ = self.inner_.classes_
            return self

        def predict(self, X):
            return self.inner_.predict(X.reshape(len(X), -1))

        def predict_proba(self, X):
            return self.inner_.predict_proba(X.reshape(len(X), -1))

    images = X.reshape(200, 1, 2, 3)
    np.testing.assert_allclose(
        out_of_fold_proba(OnImages(), images, y), out_of_fold_proba(GaussianNB(), X, y)
    )
    frame = pd.DataFrame(X, columns=list("abcdef"))
    np.testing.assert_allclose(
        out_of_fold_proba(GaussianNB(), frame, y), out_of_fold_proba(GaussianNB(), X, y)
    )


def test_refusals(data):
    X, y = data
    with pytest.raises(TypeError, match="Perceptron has no predict_proba"):
        out_of_fold_proba(Perceptron(), X, y)
    with pytest.raises(TypeError, match="KNeighborsClassifier, but it takes none"):
        out_of_fold_proba(KNeighborsClassifier(), X, y, sample_weight=np.ones(200))
    with pytest.raises(ValueError, match="one class only"):
        out_of_fold_proba(GaussianNB(), X, np.zeros(200))
    with pytest.raises(ValueError, match="gave no fold"):
        out_of_fold_proba(GaussianNB(), X, y, cv=[([], [])])

    class Broken(GaussianNB):
        def predict_proba(self, X):
            return super().predict_proba(X) * np.nan

    with pytest.raises(ValueError, match="Broken.predict_proba returned NaN"):
        out_of_fold_proba(Broken(), X, y)


def test_progress_is_reported(data):
    steps = []

    def display(iterable, total, description):
        steps.append((total, description))
        return iterable

    with report_progress(display):
        out_of_fold_proba(GaussianNB(), *data, cv=3)
    assert steps == [(3, "folds")]
