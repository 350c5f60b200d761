"""Tables of a few categories: a model must have seen the value that it predicts."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skrobust.detection import (
    ConfidentLearning,
    ConsensusMixture,
    DensityDetector,
    EnergyDetector,
    EnsembleDetector,
    NeighborVote,
    ResidualDetector,
    TrainingDynamics,
)
from skrobust.wrappers import CleaningClassifier

DETECTORS = {
    "linear": ConfidentLearning(LogisticRegression()),
    "boosting": ConfidentLearning(HistGradientBoostingClassifier(max_iter=20)),
    "forest": ConfidentLearning(random_state=0),
    "ensemble": EnsembleDetector(random_state=0),
    "neighbors": NeighborVote(random_state=0),
    "dynamics": TrainingDynamics(random_state=0),
    "consensus": ConsensusMixture(random_state=0),
    "density": DensityDetector(random_state=0),
}
TABLES = {
    "one binary": [2],
    "two binary": [2, 2],
    "six binary": [2] * 6,
    "one category": [8],
    "mixed": [2, 5, 2],
}


def _table(levels, seed, n_rows=1000, noise=0.1):
    """The label is the side of the first category; a tenth of the labels are wrong."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(0, n, n_rows) for n in levels]).astype(float)
    truth = (X[:, 0] >= levels[0] / 2).astype(int)
    wrong = rng.random(n_rows) < noise
    return X, np.where(wrong, 1 - truth, truth), wrong


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", DETECTORS)
def test_categories_are_learned(name, table, seed):
    X, y, wrong = _table(TABLES[table], seed)
    detector = DETECTORS[name].fit(X, y)
    assert (detector.label_errors_ == wrong).mean() >= 0.985


def test_energy_ranks_by_learned_categories(seed):
    X, y, _ = _table([2], seed)
    assert not EnergyDetector(random_state=0).fit(X, y).label_errors_.all()


def test_cleaning_on_one_binary_feature(seed):
    X, y, wrong = _table([2], seed)
    model = CleaningClassifier(LogisticRegression(), ConfidentLearning(LogisticRegression()))
    assert model.fit(X, y).score(X, np.where(wrong, 1 - y, y)) == 1


@pytest.mark.parametrize("name", ["linear", "forest", "ensemble", "neighbors"])
def test_weights_count_as_rows_of_a_category(name, seed):
    X, y, _ = _table([2, 2], seed)
    unique, count = np.unique(np.c_[X, y], axis=0, return_counts=True)
    truth = unique[:, 0]
    detector = DETECTORS[name].fit(
        unique[:, :2], unique[:, 2].astype(int), sample_weight=count.astype(float)
    )
    np.testing.assert_array_equal(detector.label_errors_, unique[:, 2] != truth)


@pytest.mark.parametrize("name", ["forest", "neighbors"])
def test_order_of_rows_and_names_of_classes_do_not_matter(name, seed):
    X, y, _ = _table([2, 3], seed)
    order = np.random.default_rng(seed).permutation(len(X))
    quality = DETECTORS[name].fit(X, y).label_quality_
    permuted = DETECTORS[name].fit(X[order], y[order]).label_quality_
    np.testing.assert_allclose(permuted, quality[order], atol=1e-12)
    renamed = DETECTORS[name].fit(X, np.array(["z", "a"])[y]).label_quality_
    np.testing.assert_allclose(renamed, quality, atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "forest", "ensemble", "neighbors", "dynamics"])
def test_clean_categories_are_not_flagged(name, seed):
    X, y, _ = _table([2, 2, 2], seed, noise=0)
    assert DETECTORS[name].fit(X, y).label_errors_.mean() <= 0.005


def test_short_texts_are_categories(seed):
    X, y, wrong = _table([6], seed)
    texts = [f"word{int(value)}" for value in X[:, 0]]
    model = make_pipeline(CountVectorizer(), LogisticRegression())
    detector = ConfidentLearning(model).fit(texts, y)
    assert (detector.label_errors_ == wrong).mean() >= 0.985


@pytest.mark.parametrize("name", ["forest", "neighbors"])
@pytest.mark.parametrize("n_replicates", [2, 4, 10])
def test_a_copied_error_among_continuous_rows_is_found(name, n_replicates, seed):
    rng = np.random.default_rng(seed)
    k = rng.integers(0, 3, 400)
    X = rng.normal(size=(400, 4)) + np.eye(3, 4)[k] * 4
    y = k.copy()
    y[:5] = (k[:5] + 1) % 3
    rows = np.r_[np.arange(400), np.arange(5).repeat(n_replicates - 1)]
    detector = DETECTORS[name].fit(X[rows], y[rows])
    errors = np.isin(rows, range(5))
    assert (detector.label_quality_[errors] < 0.5).all()
    assert (detector.label_quality_[~errors] < 0.5).mean() < 0.1


@pytest.mark.parametrize("estimator", [None, HistGradientBoostingRegressor(max_iter=30)])
def test_targets_of_categories_are_learned(estimator, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, (400, 2)).astype(float)
    wrong = rng.random(400) < 0.05
    y = 10 * X[:, 0] + rng.normal(size=400) + 30 * wrong
    detector = ResidualDetector(estimator, random_state=0).fit(X, y)
    assert (detector.label_errors_ == wrong).mean() >= 0.98
