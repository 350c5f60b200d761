"""Anchors: which rows they are, and what is taken from them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skrobust.noise import AnchorTransition, ConfidentTransition
from skrobust.noise._anchor_transition import median_proba
from skrobust.noise._noise_model import confident_rows
from tests._proba_rows import TRANSITION, Columns, forest, noisy_rows, posterior_rows


def test_anchors_are_the_most_confident_rows():
    top = np.linspace(0.5, 1, 101)[1:]
    proba = np.column_stack([top, 1 - top])
    proba = np.vstack([proba, proba[:, ::-1], [[0.5, 0.5]]])
    codes = np.zeros(201, dtype=np.intp)
    codes[[99, 199]] = -1
    anchors = confident_rows(codes, proba, confident_share=0.4)
    # Of 99 rows each, 40; the rows without a label and the one between the classes take no part.
    assert np.flatnonzero(anchors == 0).tolist() == list(range(59, 99))
    assert np.flatnonzero(anchors == 1).tolist() == list(range(159, 199))
    few = confident_rows(codes, proba, confident_share=0.01)
    assert np.bincount(few[few >= 0]).tolist() == [30, 30]
    weight = np.ones(201)
    weight[98] = 20
    heavy = confident_rows(codes, proba, weight, confident_share=0.5)
    assert np.flatnonzero(heavy == 0).tolist() == list(range(59, 99))


def test_medians_by_hand():
    proba = np.array([[0.9, 0.1, 0.0], [0.5, 0.2, 0.3], [0.7, 0.2, 0.1], [0.2, 0.8, 0.0]])
    anchors = np.array([0, 0, 0, 1])
    found = median_proba(anchors, proba)
    assert_allclose(found[0], [0.7, 0.2, 0.1])
    assert_allclose(found[1], [0.2, 0.8, 0.0])
    assert_allclose(found[2], 0)
    even = median_proba(anchors, proba, np.array([1.0, 1.0, 0.0, 2.0]))
    assert_allclose(even[0], [0.7, 0.15, 0.15])
    # Where all medians are zero, means are not.
    one_hot = np.eye(3)[[0, 1, 2, 0, 1]]
    assert_allclose(median_proba(np.zeros(5, dtype=int), one_hot)[0], [0.4, 0.4, 0.2])


def test_weighted_medians_are_those_of_repeated_rows(seed):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.ones(4), size=60)
    anchors = rng.integers(-1, 4, size=60)
    weight = rng.integers(1, 4, size=60)
    repeated = np.repeat(np.arange(60), weight)
    expected = median_proba(anchors[repeated], proba[repeated])
    assert_allclose(median_proba(anchors, proba, weight.astype(float)), expected)


@pytest.mark.parametrize("statistic", ["labels", "proba"])
def test_exact_probabilities(seed, statistic):
    X, y, _ = posterior_rows(3000, seed)
    fitted = AnchorTransition(Columns(), statistic=statistic).fit(X, y)
    bound = 0.01 if statistic == "proba" else 0.03
    assert np.abs(fitted.transition_matrix_ - TRANSITION).max() < 3 * bound
    assert np.abs(fitted.transition_matrix_ - TRANSITION).mean() < bound
    assert_allclose(fitted.class_prior_, 1 / 3, atol=0.07)


def test_labels_need_no_probabilities_that_are_right(seed):
    X, y, _ = posterior_rows(3000, seed)
    sharp = X**6 / np.sum(X**6, axis=1, keepdims=True)
    labels = AnchorTransition(Columns(), noise_rate="counted").fit(sharp, y)
    proba = AnchorTransition(Columns(), statistic="proba", noise_rate="counted").fit(sharp, y)
    assert np.abs(labels.transition_matrix_ - TRANSITION).mean() < 0.03
    assert np.abs(proba.transition_matrix_ - TRANSITION).mean() > 0.1


@pytest.mark.parametrize("statistic", ["labels", "proba"])
def test_verified_labels_are_trained_on_for_labels_only(statistic, seed):
    X, y, truth = posterior_rows(300, seed)
    Columns.seen.clear()
    AnchorTransition(Columns(), statistic=statistic, cv=2).fit(X, y, verified_labels=truth)
    learned = truth if statistic == "labels" else y
    assert_allclose(np.sort(np.concatenate(Columns.seen)), np.sort(learned))


def test_rows_that_are_hard_to_predict_do_not_pass_for_errors(seed):
    anchor, confident, all_rows = [], [], []
    for draw in range(3):
        X, y, _ = noisy_rows(900, 10 * seed + draw, distance=1.8)
        for errors, estimator in (
            (anchor, AnchorTransition(forest(), random_state=draw)),
            (all_rows, AnchorTransition(forest(), anchor_share=1.0, random_state=draw)),
            (confident, ConfidentTransition(forest(), random_state=draw)),
        ):
            errors.append(np.abs(estimator.fit(X, y).transition_matrix_ - TRANSITION).mean())
    assert np.mean(anchor) < np.mean(all_rows)
    assert np.mean(anchor) < 0.05


def test_unpredicted_class_is_as_noisy_as_the_others(seed):
    X, y, _ = posterior_rows(900, seed)
    X[:, 1] *= 1e-3
    X /= X.sum(axis=1, keepdims=True)
    fitted = AnchorTransition(Columns()).fit(X, y)
    row = fitted.transition_matrix_[1]
    assert_allclose(row[0], row[2], rtol=1e-6)
    assert row[1] > 0.5
