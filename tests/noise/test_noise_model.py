"""The noise model: fitted, inverted, and turned into probabilities of labels being right."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skrobust.noise import flip_labels, pair_transition, random_transition, symmetric_transition
from skrobust.noise._noise_model import NoiseModel, estimate_noise_rate, fit_noise_model, sharpen


def _fit(labels, proba, weight=None, **options):
    level = estimate_noise_rate(labels, proba, weight)
    return fit_noise_model(labels, proba, weight, level=level, **options)


def _given(seed, transition, n_samples=6000, *, margin=8.0, exponent=1.0):
    """Probabilities of given labels, exact, or raised to `exponent`."""
    n_classes = len(transition)
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n_samples)
    logits = rng.normal(size=(n_samples, n_classes))
    logits[np.arange(n_samples), y] += margin
    posterior = np.exp(logits)
    posterior /= posterior.sum(axis=1, keepdims=True)
    y = (posterior.cumsum(axis=1) < rng.random(n_samples)[:, None]).sum(axis=1)
    labels, _ = flip_labels(y, transition, random_state=seed)
    proba = (posterior @ transition) ** exponent
    return y, labels, proba / proba.sum(axis=1, keepdims=True)


TRANSITIONS = {
    "symmetric": symmetric_transition(4, 0.3),
    "pair": pair_transition(4, 0.35),
    "random": random_transition(4, 0.3, random_state=0),
    "two classes": np.array([[0.9, 0.1], [0.3, 0.7]]),
}


@pytest.mark.parametrize("name", TRANSITIONS)
def test_transition_is_recovered_without_overlap(name, seed):
    transition = TRANSITIONS[name]
    y, labels, proba = _given(seed, transition)
    found = _fit(labels, proba).transition
    # The estimate is shrunk towards the prior, and counts vary.
    n = np.bincount(y).min()
    assert np.abs(found - transition).max() < 4 * np.sqrt(0.25 / n) + 50 / n * 0.4
    assert_allclose(found.sum(axis=1), 1)


def test_inverted_probabilities_give_the_predicted_ones_again(seed):
    transition = TRANSITIONS["random"]
    model = NoiseModel(transition, 1.0)
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(4, 2.0), 500) @ transition
    true_proba = model.invert(proba)
    assert true_proba.min() >= 0
    assert_allclose(true_proba.sum(axis=1), 1)
    error = np.abs(true_proba @ transition - proba)
    assert error.mean() < 0.01
    assert error.max() < 0.08
    assert_allclose(model.invert(proba, n_jobs=2), true_proba)
    # Certainty that no mixture of the rows of the matrix can reach ends at the corner.
    assert model.invert(np.eye(4)).argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_posterior_follows_bayes(seed):
    transition = TRANSITIONS["pair"]
    model = NoiseModel(transition, 1.0)
    true_proba = np.random.default_rng(seed).dirichlet(np.ones(4), 20)
    right, wrong = model.right_proba(true_proba), model.error_proba(true_proba)
    for i in range(20):
        for k in range(4):
            joint = [true_proba[i, t] * transition[t, k] for t in range(4)]
            assert_allclose(right[i, k], joint[k] / sum(joint))
            assert_allclose(wrong[i, k], sum(joint) - joint[k], atol=1e-12)
    codes = np.r_[np.arange(4), -np.ones(16, int)]
    posterior = model.posterior(true_proba, codes)
    assert_allclose(posterior[4:], true_proba[4:])
    for i in range(4):
        joint = true_proba[i] * transition[:, i]
        assert_allclose(posterior[i], joint / joint.sum())


def test_posterior_needs_no_second_array():
    model = NoiseModel(TRANSITIONS["random"], 1.0)
    rng = np.random.default_rng(0)
    true_proba = rng.dirichlet(np.ones(4), 100_000)
    codes = rng.integers(-1, 4, 100_000)
    tracemalloc.start()
    proba = model.posterior(true_proba, codes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * proba.nbytes
    assert_allclose(proba.sum(axis=1), 1)
    assert_allclose(proba[codes < 0], true_proba[codes < 0])


@pytest.mark.parametrize("factor, expected", [(0.5, 2.0), (1.0, 1.0), (2.0, 1.0)])
def test_exponent_sharpens_but_never_softens(factor, expected, seed):
    _, labels, proba = _given(seed, TRANSITIONS["symmetric"], margin=3.0, exponent=factor)
    assert _fit(labels, proba).exponent == pytest.approx(expected, rel=0.1)


def test_weights_are_repetitions(seed):
    _, labels, proba = _given(seed, TRANSITIONS["random"], 600, margin=3.0)
    weight = np.random.default_rng(seed).integers(0, 4, 600)
    used = np.where(weight > 0, labels, -1)
    a = _fit(used, proba, weight.astype(float))
    b = _fit(np.repeat(labels, weight), np.repeat(proba, weight, axis=0))
    assert_allclose(a.transition, b.transition)
    assert a.exponent == pytest.approx(b.exponent, rel=1e-3)


def test_order_of_classes_and_rows_does_not_matter(seed):
    _, labels, proba = _given(seed, TRANSITIONS["random"], 600, margin=2.0)
    order = np.array([2, 0, 3, 1])
    rows = np.random.default_rng(seed).permutation(600)
    a = _fit(labels, proba)
    b = _fit(np.argsort(order)[labels][rows], proba[:, order][rows])
    assert_allclose(b.transition, a.transition[order][:, order])
    assert b.exponent == pytest.approx(a.exponent, rel=1e-3)


def test_labels_are_right_where_nothing_is_counted():
    ties = np.full((40, 2), 0.5)
    model = _fit(np.arange(40) % 2, ties)
    assert model.transition.diagonal().min() > 0.99
    assert model.exponent == 1
    codes, verified = np.repeat([0, 1, 1], [30, 10, 40]), np.repeat([0, 0, 1], [30, 10, 40])
    model = _fit(codes, np.full((80, 2), 0.5), verified=verified)
    # An eighth of the verified labels is wrong; 50 rows of symmetric noise are added to each class.
    assert_allclose(model.transition[:, 1], [16.25 / 90, 83.75 / 90])


def test_certain_predictions(seed):
    """Probabilities of 0 and 1, and a model that is never wrong."""
    labels = np.random.default_rng(seed).integers(0, 3, 300)
    model = _fit(labels, np.eye(3)[labels])
    assert np.isfinite(model.transition).all()
    true_proba = model.invert(np.eye(3, dtype=np.float32))
    assert true_proba.diagonal().min() > 0.99
    assert np.isfinite(model.right_proba(true_proba)).all()


def test_sharpen_leaves_many_classes_little_probability():
    proba = np.full((2, 5000), 1e-9)
    proba[:, 7] = 1 - proba[:, 1:].sum(axis=1)
    assert sharpen(proba, 1.0)[0, 7] > 0.98
