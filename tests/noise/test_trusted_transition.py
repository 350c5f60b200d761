"""Transition matrices from verified rows, and from priors where these are few."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skrobust.noise import AnchorTransition, TrustedTransition, symmetric_transition
from tests._proba_rows import TRANSITION, Columns, forest, noisy_rows, posterior_rows


def _verify(truth, n_rows, seed):
    verified = np.full(len(truth), np.nan)
    rows = np.random.default_rng(seed).permutation(len(truth))[:n_rows]
    verified[rows] = truth[rows]
    return verified


def _counted(truth, y, verified):
    counts = np.eye(3)
    rows = ~np.isnan(verified)
    np.add.at(counts, (truth[rows], y[rows]), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def test_without_verified_labels_there_is_an_error(seed):
    X, y, truth = noisy_rows(90, seed)
    for verified in (None, np.full(90, np.nan)):
        with pytest.raises(ValueError, match=r"TrustedTransition needs verified_labels"):
            TrustedTransition().fit(X, y, verified_labels=verified)
    weight = np.where(np.arange(90) < 10, 0.0, 1.0)
    verified = np.where(np.arange(90) < 10, truth, np.nan)
    with pytest.raises(ValueError, match=r"TrustedTransition needs verified_labels"):
        TrustedTransition().fit(X, y, verified_labels=verified, sample_weight=weight)


def test_all_rows_verified(seed):
    X, y, truth = noisy_rows(3000, seed, distance=1.0)
    fitted = TrustedTransition(random_state=seed).fit(X, y, verified_labels=truth)
    counts = np.zeros((3, 3))
    np.add.at(counts, (truth, y), 1)
    assert_allclose(fitted.transition_matrix_, counts / 1000, atol=0.01)
    assert_allclose(fitted.class_prior_, 1 / 3)
    assert_allclose(fitted.noise_rate_, np.mean(y != truth), atol=0.005)


def test_gold_loss_correction_by_hand():
    rng = np.random.default_rng(0)
    X = rng.dirichlet(np.ones(3), size=30)
    y = np.arange(30) % 3
    verified = np.full(30, np.nan)
    verified[:6] = [0, 0, 2, 2, 2, 0]
    weight = np.where(np.arange(30) == 5, 2.0, 1.0)
    fitted = TrustedTransition(Columns()).fit(X, y, verified_labels=verified, sample_weight=weight)
    gold = fitted.gold_transition_
    assert_allclose(gold[0], (X[0] + X[1] + 2 * X[5]) / 4)
    assert_allclose(gold[2], (X[2] + X[3] + X[4]) / 3)
    assert np.isnan(gold[1]).all()
    assert np.isfinite(fitted.transition_matrix_).all()


def test_classifier_is_trained_on_given_and_verified_labels(seed):
    X, y, truth = posterior_rows(300, seed)
    Columns.seen.clear()
    TrustedTransition(Columns(), cv=2).fit(X, y, verified_labels=truth)
    verified, given = np.concatenate(Columns.seen[:2]), np.concatenate(Columns.seen[2:])
    assert_allclose(np.sort(verified), np.sort(truth))
    assert_allclose(np.sort(given), np.sort(y))


def test_accurate_prior_helps_few_verified_rows(seed):
    few, counted, anchors = [], [], []
    for draw in range(4):
        X, y, truth = noisy_rows(600, 10 * seed + draw, distance=1.8)
        verified = _verify(truth, 60, draw)
        fitted = TrustedTransition(forest(), random_state=draw).fit(X, y, verified_labels=verified)
        few.append(np.abs(fitted.transition_matrix_ - TRANSITION).mean())
        counted.append(np.abs(_counted(truth, y, verified) - TRANSITION).mean())
        plain = AnchorTransition(forest(), random_state=draw).fit(X, y)
        anchors.append(np.abs(plain.transition_matrix_ - TRANSITION).mean())
    assert np.mean(few) < np.mean(counted)
    assert np.mean(few) < np.mean(anchors) + 0.005


def test_useless_classifier_does_no_harm(seed):
    rng = np.random.default_rng(seed)
    _, y, truth = noisy_rows(1500, seed)
    X = rng.normal(size=(1500, 2))
    verified = _verify(truth, 300, seed)
    fitted = TrustedTransition(random_state=seed).fit(X, y, verified_labels=verified)
    assert np.abs(fitted.transition_matrix_ - TRANSITION).mean() < 0.04


def test_a_class_without_verified_rows(seed):
    transition = symmetric_transition(3, 0.3)
    X, y, truth = noisy_rows(900, seed, transition=transition)
    verified = _verify(truth, 200, seed)
    verified[truth == 1] = np.nan
    fitted = TrustedTransition(random_state=seed).fit(X, y, verified_labels=verified)
    assert np.abs(fitted.transition_matrix_[1] - transition[1]).max() < 0.1
