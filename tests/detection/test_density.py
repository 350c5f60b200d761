"""Densities of classes, and detection by them."""

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import multivariate_normal

from skrobust.detection import DensityDetector
from skrobust.detection._density_models import ClassDensities, _Mixture
from skrobust.testing._outputs import rank_auc
from skrobust.testing._problems import make_rows


@pytest.mark.parametrize("density", ["gaussian_mixture", "kde", "neighbors"])
@pytest.mark.parametrize("n_dimensions", [2, 10])
def test_planted_errors_are_found(seed, density, n_dimensions):
    X, y, planted = make_rows(300, noise=0.2, seed=seed)
    detector = DensityDetector(density=density, n_dimensions=n_dimensions, random_state=seed)
    detector.fit(X, y)
    assert rank_auc(-detector.label_quality_, planted) > 0.95
    assert not (detector.fitted_rows_ & planted).sum() > 0.3 * planted.sum()


@pytest.mark.parametrize("density", ["gaussian_mixture", "kde", "neighbors"])
def test_densities_are_about_right(seed, density):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(2000, 1)) + np.repeat([[0.0], [4.0]], 1000, axis=0)
    model = ClassDensities(density, 10, seed).fit(X, np.repeat([0, 1], 1000))
    proba = model.predict_proba(np.array([[-1.0], [2.0], [5.0]]))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert proba[0, 0] > 0.95
    assert proba[2, 1] > 0.95
    assert 0.05 < proba[1, 0] < 0.95


def test_one_gaussian_is_the_gaussian(seed):
    rows = np.random.default_rng(seed).normal(size=(49, 2)) * [1.0, 3.0]
    weight = np.random.default_rng(seed).integers(1, 4, size=49)
    mixture = _Mixture(rows, weight.astype(float), 0)
    repeated = _Mixture(np.repeat(rows, weight, axis=0)[:49], np.ones(49), 0)
    assert mixture.means.shape == repeated.means.shape == (1, 2)
    cov = np.cov(rows.T, aweights=weight, ddof=0)
    shrink = 0.05
    cov = (1 - shrink) * cov + (shrink * np.trace(cov) / 2 + 1e-6) * np.eye(2)
    expected = multivariate_normal(np.average(rows, axis=0, weights=weight), cov).logpdf(rows)
    np.testing.assert_allclose(mixture.log(rows) - np.log(2 * np.pi), expected, rtol=1e-6)


def test_expanding_from_verified_rows(seed):
    X, y, planted = make_rows(300, noise=0.3, seed=seed)
    truth = make_rows(300, noise=0, seed=seed)[1]
    verified = np.where(np.arange(300) % 6 == 0, truth, np.nan)
    detector = DensityDetector(mode="expand", random_state=seed)
    detector.fit(X, y, verified_labels=verified)
    rest = np.isnan(verified)
    assert rank_auc(-detector.label_quality_[rest], planted[rest]) > 0.95
    fitted = detector.fitted_rows_
    assert fitted[~rest].all()
    assert fitted[rest].sum() > 50
    assert planted[fitted & rest].mean() < 0.05
    with pytest.raises(ValueError, match="verified_labels"):
        detector.fit(X, y)


def test_no_class_is_trimmed_to_nothing(seed):
    # Most of what is called 1 lies where 0 is dense.
    rng = np.random.default_rng(seed)
    X = np.vstack([rng.normal(size=(200, 2)), rng.normal((6, 0), size=(30, 2))])
    y = np.repeat([0, 1], [150, 80])
    detector = DensityDetector(max_flag_rate=None, random_state=seed).fit(X, y)
    assert detector.fitted_rows_[y == 1].sum() >= 40


def test_wide_sparse_rows_and_text(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(200) % 2
    X = sparse.csr_matrix(rng.poisson(np.where((np.arange(300) % 2) == y[:, None], 0.3, 0.02)))
    given = np.where(rng.random(200) < 0.2, 1 - y, y)
    detector = DensityDetector(random_state=seed).fit(X, given)
    assert rank_auc(-detector.label_quality_, given != y) > 0.9
    with pytest.raises((TypeError, ValueError), match="ConfidentLearning"):
        DensityDetector().fit(["some", "words"] * 10, [0, 1] * 10)
