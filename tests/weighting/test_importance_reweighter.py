"""What is particular to ImportanceReweighter; tests/test_common.py holds what all share."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skrobust.evidence import OutOfBag
from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    flip_labels,
    pair_transition,
    symmetric_transition,
)
from skrobust.utils import LabelNoiseWarning
from skrobust.weighting import ImportanceReweighter, importance_weights
from tests._stand_ins import counted

BINARY = np.array([[0.9, 0.1], [0.3, 0.7]])


def _published(codes, proba, transition):
    """The weight of Liu and Tao (2016) for two classes, where it is positive."""
    rows = np.arange(len(codes))
    own, other = proba[rows, codes], transition[1 - codes, codes]
    return (own - other) / ((1 - transition[0, 1] - transition[1, 0]) * own)


@given(st.floats(0.14, 0.86), st.integers(0, 1))
def test_is_the_published_weight_of_two_classes(share, label):
    # Probabilities that the transition can make of true ones well within (0, 1).
    proba = np.array([[1 - share, share]]) @ BINARY
    weight = importance_weights([label], proba, BINARY)
    expected = _published(np.array([label]), proba, BINARY)
    np.testing.assert_allclose(weight, expected, atol=0.02)
    np.testing.assert_allclose(expected, [(share, 1 - share)[1 - label] / proba[0, label]])


@given(st.integers(0, 1000), st.floats(0, 0.45))
def test_weights_are_bounded_and_their_mean_is_one(seed, rate):
    rng = np.random.default_rng(seed)
    transition = pair_transition(4, rate)
    proba = rng.dirichlet(np.ones(4), size=30) @ transition
    weight = np.stack([importance_weights(np.full(30, k), proba, transition) for k in range(4)], 1)
    assert weight.min() >= 0
    assert weight.max() <= 1 / (1 - rate) + 1e-9
    # Over the labels that a row may be given.
    np.testing.assert_allclose((weight * proba).sum(axis=1), 1, atol=0.1)


def test_without_noise_all_weights_are_one(seed):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(3), size=50)
    proba[:3] = np.eye(3)
    weight = importance_weights(rng.integers(3, size=50), proba, np.eye(3))
    np.testing.assert_allclose(weight, 1)
    X, y = make_blobs(90, centers=3, random_state=seed)
    reweighter = ImportanceReweighter(np.eye(3), GaussianNB()).fit(X, y)
    np.testing.assert_allclose(reweighter.sample_weight_, 1)


def test_the_expected_loss_is_that_on_true_labels(seed):
    """Any loss of labels: the mean over given labels, weighed, is the mean over true ones."""
    rng = np.random.default_rng(seed)
    true_proba = rng.dirichlet(np.ones(3), size=1000)
    transition = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
    given = true_proba @ transition
    loss = rng.normal(size=(1000, 3)) + 1
    weight = np.stack([importance_weights(np.full(1000, k), given, transition) for k in range(3)])
    on_given = (given * weight.T * loss).sum(axis=1)
    on_true = (true_proba * loss).sum(axis=1)
    np.testing.assert_allclose(on_given, on_true, atol=0.15)
    np.testing.assert_allclose(on_given.mean(), on_true.mean(), atol=0.01)
    assert abs((given * loss).sum(axis=1).mean() - on_true.mean()) < 0.2  # there is a difference
    assert np.abs((given * loss).sum(axis=1) - on_true).max() > 0.5


@pytest.fixture
def noisy(seed):
    X, y = make_blobs(300, centers=[[0, 0], [4, 0], [0, 4]], random_state=seed)
    y_noisy, flipped = flip_labels(y, pair_transition(3, 0.3), random_state=seed)
    return X, y, y_noisy, flipped


def test_takes_a_matrix_an_estimator_or_nothing(noisy, seed):
    X, _, y, flipped = noisy
    transition = pair_transition(3, 0.3)
    given = ImportanceReweighter(transition, GaussianNB()).fit(X, y)
    np.testing.assert_array_equal(given.transition_matrix_, transition)
    assert given.transition_estimator_ is None
    estimator = ConfidentTransition(GaussianNB())
    estimated = ImportanceReweighter(estimator, GaussianNB()).fit(X, y)
    assert isinstance(estimated.transition_estimator_, ConfidentTransition)
    assert not hasattr(estimator, "transition_matrix_")
    default = ImportanceReweighter(random_state=seed).fit(X, y)
    assert isinstance(default.transition_estimator_, AnchorTransition)
    for reweighter in (given, estimated, default):
        weight = reweighter.sample_weight_
        assert weight[flipped].mean() < 0.5 < 1 < weight[~flipped].mean()
    for reweighter in (estimated, default):
        expected = reweighter.transition_estimator_.transition_matrix_
        np.testing.assert_array_equal(reweighter.transition_matrix_, expected)


def test_classes_of_a_matrix_are_sorted_labels(noisy):
    X, _, y, _ = noisy
    transition = np.array([[0.9, 0.1, 0.0], [0.0, 0.7, 0.3], [0.2, 0.2, 0.6]])
    names = np.array(["bee", "cow", "ant"])
    order = [2, 0, 1]
    first = ImportanceReweighter(transition, GaussianNB()).fit(X, y)
    second = ImportanceReweighter(transition[np.ix_(order, order)], GaussianNB()).fit(X, names[y])
    np.testing.assert_allclose(first.sample_weight_, second.sample_weight_)


def test_verified_rows_weigh_one_and_are_not_trained_on(noisy):
    X, y, given, _ = noisy
    checked = np.arange(len(y)) % 4 == 0
    transition = pair_transition(3, 0.3)
    verified = np.where(checked, y.astype(float), np.nan)
    alone = ImportanceReweighter(transition, GaussianNB()).fit(X, given)
    taught = ImportanceReweighter(transition, GaussianNB()).fit(X, given, verified_labels=verified)
    weight = taught.sample_weight_
    assert np.ptp(weight[checked]) == 0
    np.testing.assert_allclose(weight[~checked] / weight[checked].max(), _raw(alone, ~checked))


def _raw(reweighter, rows):
    """Weights before they are scaled: the largest possible one is 1 / .7."""
    weight = reweighter.sample_weight_
    return weight[rows] * (1 / 0.7) / weight.max()


@pytest.mark.parametrize(
    "transition, verified, n_fits",
    [
        (None, False, 3),
        (None, True, 6),  # the transition estimator trains on verified labels, the other does not
        (pair_transition(3, 0.3), False, 3),
        (AnchorTransition(GaussianNB()), False, 3),
    ],
)
def test_default_transition_has_the_model_of_the_weights(transition, verified, n_fits, noisy):
    X, y, given, _ = noisy
    # Not numeric, so that the default transition has the given model.
    rows = [list(map(str, row)) for row in X]
    model, fits = counted(GaussianNB())
    checked = np.where(np.arange(len(y)) % 4 == 0, y, np.nan) if verified else None
    if isinstance(transition, AnchorTransition):
        rows, plain = X, GaussianNB()
    else:
        model = make_pipeline(FunctionTransformer(_as_floats), model)
        plain = make_pipeline(FunctionTransformer(_as_floats), GaussianNB())
    reweighter = ImportanceReweighter(transition, model, cv=3)
    reweighter.fit(rows, given, verified_labels=checked)
    assert len(fits) == n_fits
    expected = ImportanceReweighter(reweighter.transition_matrix_, plain, cv=3)
    expected.fit(rows, given, verified_labels=checked)
    np.testing.assert_array_equal(reweighter.sample_weight_, expected.sample_weight_)
    if transition is None:
        alone = AnchorTransition(plain, cv=3).fit(rows, given, verified_labels=checked)
        np.testing.assert_array_equal(reweighter.transition_matrix_, alone.transition_matrix_)


def _as_floats(rows):
    return np.array(rows, dtype=float)


@pytest.mark.parametrize(
    "transition, n_forests",
    [
        (None, 1),
        (AnchorTransition(), 1),
        (ConfidentTransition(random_state=5), 1),
    ],
)
def test_a_model_of_both_is_fitted_once(transition, n_forests, noisy, seed, monkeypatch):
    X, _, given, _ = noisy
    forests, collect = [], OutOfBag.collect

    def count(source, data):
        forests.append(collect(source, data))
        return forests[-1]

    monkeypatch.setattr(OutOfBag, "collect", count)
    reweighter = ImportanceReweighter(transition, random_state=seed).fit(X, given)
    assert len(forests) == n_forests
    transition = AnchorTransition() if transition is None else clone(transition)
    alone = transition.set_params(random_state=seed).fit(X, given).transition_matrix_
    np.testing.assert_array_equal(reweighter.transition_matrix_, alone)
    expected = ImportanceReweighter(alone, random_state=seed).fit(X, given).sample_weight_
    np.testing.assert_array_equal(reweighter.sample_weight_, expected)


def test_groups_reach_the_transition_estimator(noisy):
    X, _, y, _ = noisy
    groups = np.arange(len(y)) // 8
    reweighter = ImportanceReweighter(AnchorTransition(GaussianNB()), GaussianNB())
    grouped = reweighter.fit(X, y, groups=groups).transition_matrix_
    expected = AnchorTransition(GaussianNB()).fit(X, y, groups=groups).transition_matrix_
    np.testing.assert_array_equal(grouped, expected)
    assert not np.array_equal(grouped, reweighter.fit(X, y).transition_matrix_)


def test_texts(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(200) % 2
    words = [["ant", "hill", "leaf"], ["bee", "hive", "wing"]]
    X = [" ".join(rng.choice(words[k], size=5)) for k in truth]
    y, flipped = flip_labels(truth, symmetric_transition(2, 0.2), random_state=seed)
    model = make_pipeline(CountVectorizer(), MultinomialNB())
    reweighter = ImportanceReweighter(estimator=model).fit(X, y)
    assert reweighter.sample_weight_[flipped].mean() < 0.3
    assert not hasattr(reweighter, "n_features_in_")


def test_a_useless_estimate_is_warned_about(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(200, 2)), rng.integers(2, size=200)

    class Useless(AnchorTransition):
        """Estimates labels that are independent of the class."""

        def _estimate(self, data):
            return np.ones((2, 2))

    with pytest.warns(LabelNoiseWarning, match="as Useless estimates it is singular"):
        ImportanceReweighter(Useless(), GaussianNB()).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImportanceReweighter(BINARY, GaussianNB()).fit(X, y)


@pytest.mark.parametrize(
    "transition, words",
    [
        (np.full((2, 2), 0.5), "singular"),
        (BINARY[::-1], "too noisy"),
        (BINARY[:, :1], "shape"),
        (np.eye(3), "3"),
        (BINARY * 0.9, "sum"),
        ([[1.2, -0.2], [0, 1]], "negative"),
        ("estimate", "transition"),
    ],
)
def test_bad_transitions(transition, words):
    X, y = make_blobs(40, centers=2, random_state=0)
    with pytest.raises((ValueError, TypeError), match=words):
        ImportanceReweighter(transition, GaussianNB()).fit(X, y)
    if not isinstance(transition, str):
        with pytest.raises(ValueError, match=words):
            importance_weights([0, 1], [[0.5, 0.5], [0.2, 0.8]], transition)


@pytest.mark.parametrize(
    "y, pred_proba, words",
    [
        ([0, 1], [[0.5, 0.5]], "number of rows|same number"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], None),
        ([0, None], [[0.5, 0.5], [0.5, 0.5]], "missing"),
        ([0, 1], [[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
        ([0, 1], [[0.5, np.nan], [0.5, 0.5]], "NaN"),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]], "negative"),
    ],
)
def test_bad_probabilities(y, pred_proba, words):
    if words is None:  # two labels stand for two columns, whatever they are
        assert importance_weights(y, pred_proba, BINARY).shape == (2,)
        return
    with pytest.raises(ValueError, match=words):
        importance_weights(y, pred_proba, BINARY)


def test_labels_by_name():
    proba = np.array([[0.6, 0.4], [0.3, 0.7]])
    by_number = importance_weights([0, 1], proba, BINARY)
    np.testing.assert_array_equal(importance_weights(["a", "b"], proba, BINARY), by_number)
    named = importance_weights(["b", "a"], proba, BINARY, classes=["b", "a"])
    np.testing.assert_array_equal(named, by_number)
