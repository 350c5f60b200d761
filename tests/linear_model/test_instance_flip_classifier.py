"""Labels of one class that flip: the loss, its limits, what it recovers and refuses."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime
from scipy.special import expit, logit
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError, UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from skrobust.linear_model import InstanceFlipClassifier, NoisyLogisticRegression
from skrobust.linear_model._instance_flip_classifier import FlipLoss
from skrobust.testing._inputs import check_bad_parameters

TIGHT = {"tol": 1e-9, "max_iter": 5000}


def _draw(n_samples, seed, *, n_features=4, flip_rate=0.4, flip_coef=0.0, shift=0.0):
    """Rows, true classes, given labels of which those of class 1 flip, and coefficients."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    directions = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
    coef = 3 * directions[0]
    y = (rng.random(n_samples) < expit(X @ coef + shift)).astype(int)
    flips = expit(logit(flip_rate) + flip_coef * X @ directions[1])
    given = np.where(rng.random(n_samples) < flips, 0, y)
    return X, y, given, coef, flips


def _loss(X, given, verified=None, weight=None, **kwargs):
    verified = np.full(len(given), -1) if verified is None else verified
    options = {"penalty": 0.7, "flip_penalty": 3.0, "fit_intercept": True, **kwargs}
    return FlipLoss(X, given, verified, weight, **options)


def _parameters(loss, rng, scale=1.0):
    n_scores = 1 + loss.learns_flips
    coef = scale * rng.normal(size=(n_scores, loss.X.shape[1]))
    return loss.join(coef, scale * rng.normal(size=n_scores))


# The loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_odds", [None, -1.2, -np.inf])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
def test_gradient_is_that_of_finite_differences(log_odds, fit_intercept, container, seed):
    rng = np.random.default_rng(seed)
    given = rng.integers(-1, 2, size=60)
    verified = np.where((rng.random(60) < 0.3) | (given < 0), rng.integers(0, 2, size=60), -1)
    loss = _loss(
        container(rng.normal(size=(60, 3))),
        given,
        verified,
        rng.random(60),
        fit_intercept=fit_intercept,
        log_odds=log_odds,
        prior=(3.0, 1.0),
    )
    parameters = _parameters(loss, rng)
    numeric = approx_fprime(parameters, lambda x: loss(x)[0], 1e-7)
    assert_allclose(loss(parameters)[1], numeric, rtol=1e-5, atol=1e-6)


def test_loss_by_definition(seed):
    rng = np.random.default_rng(seed)
    X, given, weight = rng.normal(size=(40, 3)), rng.integers(0, 2, size=40), rng.random(40)
    verified = np.full(40, -1)
    verified[:8], given[:8] = [1, 1, 1, 0, 0, 0, 1, 0], [1, 0, -1, 1, 0, -1, 0, 0]
    loss = _loss(X, given, verified, weight, prior=(5.0, 2.0))
    parameters = _parameters(loss, rng)
    coef, intercept = loss.split(parameters)
    assert_allclose(loss.join(coef, intercept), parameters)
    member, flip = expit(X @ coef.T + intercept).T
    likelihood = np.where(given == 1, member * (1 - flip), 1 - member + flip * member)
    # Verified rows: how likely the true class is, times how likely its label is, if there is one.
    # No label flips to class 1: where one did, the model has only the true class.
    m, f = member[:8], flip[:8]
    likelihood[:8] = [
        m[0] * (1 - f[0]),
        m[1] * f[1],
        m[2],
        1 - m[3],
        1 - m[4],
        1 - m[5],
        m[6] * f[6],
        1 - m[7],
    ]
    expected = -weight @ np.log(likelihood)
    expected += 0.35 * (coef[0] ** 2).sum() + 1.5 * (coef[1] ** 2).sum()
    origin = expit(intercept[1])
    expected -= 5 * np.log(1 - origin) + 2 * np.log(origin)
    assert_allclose(loss(parameters)[0], expected / weight.sum())


def test_scores_of_any_size():
    X = np.array([[1.0], [-1.0], [1.0], [-1.0], [0.0]])
    loss = _loss(X, np.array([1, 1, 0, 0, 1]))
    for size in (700.0, 1e5):
        for signs in ([1, 1], [1, -1], [-1, 1], [-1, -1]):
            value, gradient = loss(loss.join(size * np.array(signs)[:, None], np.zeros(2)))
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()


# Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("options", [{}, {"C": 0.1, "fit_intercept": False}, {"C": np.inf}])
@pytest.mark.parametrize("flipped_class", [None, 0])
def test_no_flips_is_logistic_regression(container, options, flipped_class, seed):
    X, y, _, _, _ = _draw(300, seed)
    X, weight = container(X), np.random.default_rng(seed).random(300)
    for tol in (1e-4, 1e-9):
        settings = {**options, "tol": tol, "max_iter": 5000}
        plain = LogisticRegression(**settings).fit(X, y, sample_weight=weight)
        same = InstanceFlipClassifier(fixed_flip_rate=0, flipped_class=flipped_class, **settings)
        same.fit(X, y, sample_weight=weight)
        assert_allclose(same.coef_, plain.coef_, atol=1e-4)
        assert_allclose(same.intercept_, plain.intercept_, atol=1e-4)
        assert_array_equal(same.predict(X), plain.predict(X))
        assert_allclose(same.predict_proba(X), plain.predict_proba(X), atol=1e-4)
        assert_allclose(same.decision_function(X), plain.decision_function(X), atol=1e-3)
        assert_array_equal(same.flip_proba(X), 0)
        assert same.flip_rate_ == same.noise_rate_ == 0
        assert same.score(X, y) == plain.score(X, y)


@pytest.mark.parametrize("flipped_class", [0, 1])
def test_constant_flip_rate_is_forward_correction(flipped_class, seed):
    X, y, given, _, _ = _draw(500, seed)
    if flipped_class == 0:
        y, given = 1 - y, 1 - given
    transition = np.eye(2)
    transition[flipped_class] = [0.4, 0.6] if flipped_class == 1 else [0.6, 0.4]
    forward = NoisyLogisticRegression(transition, **TIGHT).fit(X, given)
    model = InstanceFlipClassifier(fixed_flip_rate=0.4, flipped_class=flipped_class, **TIGHT)
    model.fit(X, given)
    assert_allclose(model.coef_, forward.coef_, atol=1e-4)
    assert_allclose(model.intercept_, forward.intercept_, atol=1e-4)
    assert_allclose(model.predict_given_proba(X), forward.predict_given_proba(X), atol=1e-4)
    assert_allclose(model.flip_proba(X), 0.4)
    assert_allclose(model.flip_rate_, 0.4)
    assert_allclose(model.noise_rate_, forward.noise_rate_, atol=1e-5)
    assert model.flipped_class_ == flipped_class
    # The same, where the rate is learned but the prior leaves no doubt about it.
    rate = NoisyLogisticRegression(
        np.array([[1, 0], [0.2, 0.8]]) if flipped_class == 1 else np.array([[0.8, 0.2], [0, 1]])
    ).fit(X, given)
    model.set_params(fixed_flip_rate=None, flip_C=1e-8, prior_strength=1e6, tol=1e-6)
    assert_allclose(model.fit(X, given).flip_proba(X), 0.2, atol=1e-3)
    assert_allclose(model.coef_, rate.coef_, atol=0.02)


def test_all_rows_verified(seed):
    X, y, given, _, _ = _draw(800, seed, flip_coef=1.0)
    model = InstanceFlipClassifier(flip_C=1.0, prior_strength=0, **TIGHT)
    model.fit(X, given, verified_labels=y)
    plain = LogisticRegression(**TIGHT).fit(X, y)
    assert_allclose(model.coef_, plain.coef_, atol=1e-4)
    # Flips are then a logistic regression as well, among the rows of class 1.
    flips = LogisticRegression(**TIGHT).fit(X[y == 1], given[y == 1] == 0)
    assert_allclose(model.flip_coef_, flips.coef_, atol=1e-4)
    assert_allclose(model.flip_intercept_, flips.intercept_, atol=1e-4)


def test_rows_without_information_are_left_out(seed):
    X, _, given, _, _ = _draw(200, seed)
    some = np.arange(200) % 4 > 0
    names = np.array(["no", "yes"], dtype=object)[given]
    expected = InstanceFlipClassifier(**TIGHT).fit(X[some], names[some])
    missing = InstanceFlipClassifier(**TIGHT).fit(X, np.where(some, names, None))
    zero = InstanceFlipClassifier(**TIGHT).fit(X, names, sample_weight=1.0 * some)
    for model in (missing, zero):
        assert_allclose(model.coef_, expected.coef_, atol=1e-6)
        assert_allclose(model.flip_coef_, expected.flip_coef_, atol=1e-6)


def test_weights_are_repeats(seed):
    X, y, given, _, _ = _draw(200, seed, flip_coef=1.0)
    weight = np.random.default_rng(seed).integers(0, 4, size=200)
    rows = np.repeat(np.arange(200), weight)
    verified = np.where(np.arange(200) % 5 == 0, y, np.nan)
    model = InstanceFlipClassifier(**TIGHT)
    weighed = clone(model).fit(X, given, sample_weight=weight, verified_labels=verified)
    model.fit(X[rows], given[rows], verified_labels=verified[rows])
    for name in ("coef_", "intercept_", "flip_coef_", "flip_intercept_", "flip_rate_"):
        assert_allclose(getattr(weighed, name), getattr(model, name), atol=1e-3, err_msg=name)


# What is recovered -----------------------------------------------------------------------------


@pytest.mark.parametrize("flipped_class", ["no", "yes"])
def test_coefficients_and_flip_rate_are_recovered(flipped_class, seed):
    X, y, given, coef, _ = _draw(4000, seed)
    sign = 1 if flipped_class == "yes" else -1
    names = np.array(["no", "yes"])[::sign]
    given, truth = names[given], names[y]
    plain = LogisticRegression().fit(X, given)
    model = InstanceFlipClassifier(flipped_class=flipped_class).fit(X, given)
    assert model.flipped_class_ == flipped_class
    gap = np.linalg.norm(plain.coef_ - sign * coef)
    assert np.linalg.norm(model.coef_ - sign * coef) < 0.6 * gap
    assert model.score(X, truth) > plain.score(X, truth) + 0.02
    assert abs(model.flip_rate_ - 0.4) < 0.1
    assert abs(model.noise_rate_ - np.mean(given != truth)) < 0.05
    given_proba = model.predict_given_proba(X)
    assert_allclose(given_proba.sum(axis=1), 1)
    assert_allclose(
        given_proba.mean(axis=0), [np.mean(given == n) for n in ("no", "yes")], atol=0.02
    )


def test_flips_that_depend_on_the_row(seed):
    X, y, given, _, flips = _draw(10_000, seed, flip_coef=1.5)
    model = InstanceFlipClassifier(flip_C=0.1).fit(X, given)
    found = model.flip_proba(X)
    assert np.corrcoef(found, flips)[0, 1] > 0.9
    assert np.abs(found - flips).mean() < 0.1
    constant = InstanceFlipClassifier(flip_C=1e-9).fit(X, given)
    assert np.ptp(constant.flip_proba(X)) < 1e-3
    assert model.score(X, y) > constant.score(X, y) > LogisticRegression().fit(X, given).score(X, y)


def test_positive_and_unlabelled_rows(seed):
    X, y, _, _, _ = _draw(3000, seed)
    labelled = (y == 1) & (np.random.default_rng(seed).random(3000) < 0.4)
    model = InstanceFlipClassifier(fixed_flip_rate=0.6).fit(X, labelled)
    plain = LogisticRegression().fit(X, labelled)
    assert np.mean(model.predict(X) == y) > 0.8 > 0.05 + np.mean(plain.predict(X) == y)
    assert InstanceFlipClassifier().fit(X, labelled).score(X, y == 1) > 0.8


def test_misfit_is_taken_for_flips(seed):
    # No label is wrong here, but probabilities end at 0.6.
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(1500, 2))
    y = (rng.random(1500) < 0.6 * expit(3 * X[:, 0])).astype(int)
    alone = InstanceFlipClassifier(prior_strength=0).fit(X, y)
    assert alone.flip_rate_ > 0.2
    verified = np.where(rng.random(1500) < 0.5, y, np.nan)
    informed = InstanceFlipClassifier(prior_strength=0).fit(X, y, verified_labels=verified)
    assert informed.flip_rate_ < 0.02


def test_verified_rows_help(seed):
    plain, helped = [], []
    for draw in range(5):
        X, y, given, _, flips = _draw(300, 10 * seed + draw, flip_rate=0.6)
        verified = np.where(np.arange(300) % 3 == 0, y, np.nan)
        for errors, known in ((plain, None), (helped, verified)):
            model = InstanceFlipClassifier().fit(X, given, verified_labels=known)
            errors.append(np.abs(model.flip_proba(X) - flips).mean())
    assert np.mean(helped) < np.mean(plain)


def test_the_best_of_several_starts(seed, monkeypatch):
    X, _, given, _, _ = _draw(300, seed, flip_coef=1.0)
    ends, units = [], []
    original = InstanceFlipClassifier._minimize

    def record(self, loss, start):
        result = original(self, loss, start)
        ends.append((result.fun, result.x))
        units.append(loss.flip_unit)
        return result

    monkeypatch.setattr(InstanceFlipClassifier, "_minimize", record)
    model = InstanceFlipClassifier().fit(X, given)
    assert len(ends) == 3
    best = min(ends, key=lambda end: end[0])[1]
    assert_array_equal(model.coef_[0], best[:4])
    assert_allclose(model.flip_coef_[0], units[0] * best[4:8])
    ends.clear()
    again = clone(model).fit(X, given)
    assert_array_equal(again.coef_, model.coef_)
    assert_array_equal(again.flip_coef_, model.flip_coef_)


# What is refused -------------------------------------------------------------------------------


def test_what_is_refused():
    X, _, given, _, _ = _draw(60, 0)
    with pytest.raises(ValueError, match="Only binary classification is supported.*3 classes"):
        InstanceFlipClassifier().fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="one class only"):
        InstanceFlipClassifier().fit(X, np.ones(60))
    with pytest.raises(ValueError, match="flipped_class holds labels that are not among.*'maybe'"):
        InstanceFlipClassifier(flipped_class="maybe").fit(X, np.array(["no", "yes"])[given])
    with pytest.raises(ValueError, match="flipped_class must be one of the labels.*nan"):
        InstanceFlipClassifier(flipped_class=np.nan).fit(X, given)
    for rate in (1.0, 1.5, -0.1, np.nan, "half"):
        with pytest.raises(ValueError, match="'fixed_flip_rate' parameter"):
            InstanceFlipClassifier(fixed_flip_rate=rate).fit(X, given)
    with pytest.raises(ValueError, match="verified_labels.*known classes: 7"):
        InstanceFlipClassifier().fit(X, given, verified_labels=np.full(60, 7))
    with pytest.raises(ValueError, match="[Nn]egative"):
        InstanceFlipClassifier().fit(X, given, sample_weight=-np.ones(60))
    for method in ("flip_proba", "predict_given_proba", "predict"):
        with pytest.raises(NotFittedError):
            getattr(InstanceFlipClassifier(), method)(X)
    model = InstanceFlipClassifier().fit(X, given)
    with pytest.raises(ValueError, match="X has 3 features"):
        model.flip_proba(X[:, :3])


def test_bad_parameters_are_named():
    X, _, given, _, _ = _draw(60, 0)
    for name, bad in {
        "C": 0,
        "flip_C": -1,
        "prior_strength": -1,
        "tol": -1,
        "max_iter": 1.5,
        "fit_intercept": "no",
        "warm_start": "no",
    }.items():
        with pytest.raises(ValueError, match=f"The '{name}' parameter"):
            InstanceFlipClassifier(**{name: bad}).fit(X, given)


def test_a_contract_of_this_package():
    # The rows of these checks have three classes; parameters are refused before any is counted.
    check_bad_parameters(InstanceFlipClassifier())


# scikit-learn's conventions --------------------------------------------------------------------


def test_names_of_classes_do_not_matter(seed):
    X, _, given, _, _ = _draw(300, seed)
    plain = InstanceFlipClassifier().fit(X, given)
    for names in (np.array(["no", "yes"]), np.array([3, 7]), np.array([False, True])):
        named = InstanceFlipClassifier().fit(X, names[given])
        assert_array_equal(named.coef_, plain.coef_)
        assert_array_equal(named.predict(X), names[plain.predict(X)])
    turned = InstanceFlipClassifier(flipped_class="a").fit(X, np.array(["b", "a"])[given])
    assert_allclose(turned.coef_, -plain.coef_, atol=1e-9)
    assert_allclose(turned.flip_coef_, plain.flip_coef_, atol=1e-9)


@pytest.mark.parametrize("library", [pd, pl])
def test_frames(library, seed):
    X, _, given, _, _ = _draw(200, seed)
    frame = library.DataFrame({name: X[:, j] for j, name in enumerate("abcd")})
    model = InstanceFlipClassifier().fit(frame, library.Series(given))
    assert model.feature_names_in_.tolist() == list("abcd")
    plain = InstanceFlipClassifier().fit(X, given)
    assert_allclose(model.predict_proba(frame), plain.predict_proba(X))
    assert_allclose(model.flip_proba(frame), plain.flip_proba(X))


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_sparse_and_single_precision(container, dtype, seed):
    X, _, given, _, _ = _draw(300, seed)
    X = np.round(4 * X).astype(dtype)
    exact = InstanceFlipClassifier(tol=1e-6).fit(X.astype(np.float64), given)
    model = InstanceFlipClassifier(tol=1e-6).fit(container(X), given)
    assert_allclose(model.coef_, exact.coef_, atol=5e-3)
    assert_allclose(model.flip_proba(container(X)), exact.flip_proba(X), atol=5e-3)


def test_warm_start(seed):
    X, _, given, _, _ = _draw(500, seed, flip_coef=1.0)
    for options in ({}, {"fixed_flip_rate": 0.4}, {"flipped_class": 0, "fixed_flip_rate": 0.1}):
        model = InstanceFlipClassifier(warm_start=True, **options).fit(X, given)
        cold, coef = model.n_iter_, model.coef_
        assert model.fit(X, given).n_iter_ <= 2 < cold
        assert_allclose(model.coef_, coef, atol=1e-3)
    # From no flips at all, to learned ones.
    model.set_params(flipped_class=None, fixed_flip_rate=0.0).fit(X, given)
    model.set_params(fixed_flip_rate=None, max_iter=5000).fit(X, given)
    assert np.isfinite(model.flip_intercept_).all()
    assert model.flip_rate_ > 0
    with pytest.raises(ValueError, match=r"warm_start=True .* 4 features, but X has 3"):
        model.fit(X[:, :3], given)


def test_too_few_iterations(seed):
    X, _, given, _, _ = _draw(300, seed)
    with pytest.warns(ConvergenceWarning, match=r"did not converge in 2 iterations \(max_iter=2\)"):
        assert InstanceFlipClassifier(max_iter=2).fit(X, given).n_iter_ == 2


def test_pickle_grid_search_and_generators(seed):
    X, _, given, _, _ = _draw(300, seed)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    model = InstanceFlipClassifier().fit(X, given)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.flip_proba(X), model.flip_proba(X))
    grid = {"C": [0.1, 1.0], "fixed_flip_rate": [None, 0.4]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, given)
    assert search.best_score_ > 0.6
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_metadata_routing(seed):
    X, y, given, _, _ = _draw(200, seed)
    X = MaxAbsScaler().fit_transform(X)
    metadata = {
        "sample_weight": np.random.default_rng(seed).integers(1, 3, size=200),
        "verified_labels": np.where(np.arange(200) % 5 == 0, y, np.nan),
    }
    expected = InstanceFlipClassifier().fit(X, given, **metadata)
    with config_context(enable_metadata_routing=True):
        model = InstanceFlipClassifier()
        with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
            make_pipeline(MaxAbsScaler(), model).fit(X, given, **metadata)
        model.set_fit_request(sample_weight=True, verified_labels=True)
        pipeline = make_pipeline(MaxAbsScaler(), model).fit(X, given, **metadata)
    assert_allclose(pipeline[-1].coef_, expected.coef_)
    without = make_pipeline(MaxAbsScaler(), InstanceFlipClassifier())
    step = {f"instanceflipclassifier__{key}": value for key, value in metadata.items()}
    assert_allclose(without.fit(X, given, **step)[-1].coef_, expected.coef_)
