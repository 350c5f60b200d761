"""Counts of labels, transition matrices shrunk towards priors, and shares of true classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import dirichlet_multinomial, norm

from skrobust.noise import pair_transition, random_transition, symmetric_transition
from skrobust.noise._noise_model import (
    confident_rows,
    predicted_classes,
    shrink_counts,
    solve_prior,
    symmetric_prior,
)

TRANSITION = np.array([[0.8, 0.1, 0.1], [0.15, 0.7, 0.15], [0.1, 0.2, 0.7]])


def _draw(transition, n_rows, seed):
    rng = np.random.default_rng(seed)
    return np.array([rng.multinomial(n_rows, row) for row in transition]).astype(float)


def test_rows_without_a_label_and_ties_have_no_predicted_class():
    proba = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.1, 0.9]])
    codes = np.array([0, 0, 1, -1])
    assert predicted_classes(codes, proba)[0].tolist() == [0, -1, 1, -1]
    assert confident_rows(codes, proba, confident_share=1.0).tolist() == [0, -1, 1, -1]


def test_symmetric_prior_has_the_counted_rate():
    counts = np.array([[8.0, 2, 0], [0, 9, 1], [3, 1, 6]])
    assert_allclose(symmetric_prior(counts), symmetric_transition(3, 7 / 30))
    assert_allclose(symmetric_prior(np.zeros((3, 3))).diagonal(), 0.999)
    assert_allclose(symmetric_prior(10.0 - 10 * np.eye(3)).diagonal(), 0.4)


def test_shrink_counts_is_the_mean_over_weights(seed):
    counts = _draw(TRANSITION, 20, seed)
    priors = [symmetric_transition(3, 0.2), 0.9 * TRANSITION + 0.1 / 3]
    shares = [0.3, 0.7]
    expected, total = 0.0, 0.0
    for mean, share in zip(priors, shares, strict=True):
        for exponent in range(15):
            prior = 2.0**exponent * mean
            likelihood = dirichlet_multinomial.pmf(counts, prior, 20).prod()
            likelihood *= share * norm.pdf(exponent, 7, 2)
            estimate = (counts + prior) / (counts + prior).sum(axis=1, keepdims=True)
            expected, total = expected + likelihood * estimate, total + likelihood
    assert_allclose(shrink_counts(counts, priors, shares=shares), expected / total)


def test_drawn_transitions_vary_around_the_estimate(seed):
    counts = _draw(TRANSITION, 40, seed)
    priors = [symmetric_transition(3, 0.25), TRANSITION]
    rng = np.random.RandomState(seed)
    drawn = np.array([shrink_counts(counts, priors, random_state=rng) for _ in range(800)])
    assert_allclose(drawn.sum(axis=2), 1)
    assert_allclose(drawn.mean(axis=0), shrink_counts(counts, priors), atol=0.01)
    assert (drawn.std(axis=0) > 0.01).all()
    # With many rows there is little left to vary.
    sharp = [shrink_counts(500 * counts, priors, random_state=rng) for _ in range(50)]
    assert np.std(sharp, axis=0).max() < 0.005


def test_without_counts_the_estimate_is_the_prior():
    priors = [symmetric_transition(3, 0.2), pair_transition(3, 0.4)]
    found = shrink_counts(np.zeros((3, 3)), priors, shares=[3, 1])
    assert_allclose(found, 0.75 * priors[0] + 0.25 * priors[1], atol=2e-4)


def test_many_counts_outweigh_the_prior(seed):
    counts = _draw(TRANSITION, 10_000, seed)
    found = shrink_counts(counts, [pair_transition(3, 0.5)])
    assert_allclose(found, counts / 10_000, atol=0.005)


@pytest.mark.parametrize("prior", [symmetric_transition(3, 0.2), TRANSITION, np.eye(3)])
def test_shrinkage_does_no_harm(seed, prior):
    gained = []
    for draw in range(20):
        counts = _draw(TRANSITION, 25, 100 * seed + draw)
        plain = np.abs(counts / 25 - TRANSITION).mean()
        gained.append(plain - np.abs(shrink_counts(counts, [prior]) - TRANSITION).mean())
    assert np.mean(gained) > -0.02
    if prior is TRANSITION:
        assert np.mean(gained) > 0.02


def test_class_without_counts_gets_the_prior(seed):
    counts = _draw(TRANSITION, 200, seed)
    counts[1] = 0
    found = shrink_counts(counts, [symmetric_prior(counts)])
    assert_allclose(found[1], symmetric_prior(counts)[1], atol=1e-3)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_solve_prior_recovers_the_prior(seed, n_classes):
    prior = np.random.default_rng(seed).dirichlet(np.full(n_classes, 5.0))
    transition = random_transition(n_classes, 0.3, random_state=seed)
    assert_allclose(solve_prior(transition, 70 * prior @ transition), prior, atol=1e-5)
    assert_allclose(solve_prior(np.eye(n_classes), prior), prior, atol=1e-9)


def test_solve_prior_where_no_prior_fits():
    prior = solve_prior(symmetric_transition(3, 0.4), np.array([0.9, 0.1, 0.0]))
    assert_allclose(prior.sum(), 1)
    assert prior.min() >= 0
    assert_allclose(prior, [1, 0, 0], atol=0.01)
