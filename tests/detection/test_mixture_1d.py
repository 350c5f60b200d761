"""Mixtures of weighted numbers, against scikit-learn's and against themselves."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from skrobust.detection._mixture_1d import Mixture, fit_mixture, weighted_quantile


def _two_humps(seed, n_samples=800):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1, n_samples), rng.normal(6, 1.5, n_samples // 4)])


def test_is_the_mixture_of_scikit_learn(seed):
    values = _two_humps(seed)
    mixture = fit_mixture(values)
    other = GaussianMixture(2, random_state=0, tol=1e-7, max_iter=500).fit(values[:, None])
    order = other.means_.ravel().argsort()
    np.testing.assert_allclose(mixture.means, other.means_.ravel()[order], atol=0.2)
    np.testing.assert_allclose(mixture.shares, other.weights_[order], atol=0.03)
    assert mixture.is_bimodal
    gain = GaussianMixture(1).fit(values[:, None]).bic(values[:, None]) - other.bic(values[:, None])
    assert mixture.bic_gain == pytest.approx(gain, rel=0.2)


@pytest.mark.parametrize("n_components", [2, 3])
def test_weights_are_repeats_and_order_is_nothing(seed, n_components):
    rng = np.random.default_rng(seed)
    values = _two_humps(seed, 200)
    weight = rng.integers(0, 4, size=len(values))
    one = fit_mixture(values, weight, n_components=n_components)
    order = rng.permutation(weight.sum())
    two = fit_mixture(np.repeat(values, weight)[order], n_components=n_components)
    for name in ("shares", "means", "deviations", "bic_gain"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("kind", ["normal", "uniform", "exponential", "beta"])
def test_one_hump_is_not_split(kind, seed):
    rng = np.random.default_rng(seed)
    values = {
        "normal": rng.normal(size=2000),
        "uniform": rng.uniform(size=2000),
        "exponential": rng.exponential(size=2000),
        "beta": rng.beta(8, 2, size=2000),
    }[kind]
    assert not fit_mixture(values).is_bimodal


@pytest.mark.parametrize("deviations", [(1.0, 3.0), (3.0, 1.0), (1.0, 1.0)])
@pytest.mark.parametrize("n_components", [2, 3])
def test_posterior_never_falls(deviations, n_components):
    parts = np.array([0.0, 5.0] if n_components == 2 else [0.0, 2.0, 5.0])
    widths = np.array(deviations if n_components == 2 else (deviations[0], 1.5, deviations[1]))
    mixture = Mixture(np.full(n_components, 1 / n_components), parts, widths, 1.0, True)
    grid = np.linspace(-30, 40, 500)
    posterior = mixture.upper(grid)
    assert (np.diff(posterior) >= -1e-12).all()
    middle = mixture.threshold(0.5)
    assert mixture.upper(middle) == pytest.approx(0.5, abs=1e-6)
    assert mixture.threshold(0.9) >= middle


def test_too_few_values_make_no_mixture():
    assert fit_mixture(np.zeros(10)) is None
    assert fit_mixture(np.array([0.0, 1.0, 1.0])) is None
    assert fit_mixture(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1, 1, 0, 0])) is None


def test_weighted_quantile():
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1, 1, 8])
    assert weighted_quantile(values, 0.5) == 2
    assert weighted_quantile(values, 0.05, weight) == 1
    assert weighted_quantile(values, 0.5, weight) == 2
    assert weighted_quantile(values, 1.0, weight) == 3
