"""Forward-corrected logistic regression: loss, limits, recovery and errors."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.optimize import approx_fprime
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skrobust.linear_model import NoisyLogisticRegression
from skrobust.linear_model._noisy_logistic_regression import ForwardLoss
from skrobust.noise import (
    AnchorTransition,
    NeighborTransition,
    flip_labels,
    pair_transition,
    random_transition,
    symmetric_transition,
)
from skrobust.testing._problems import make_rows
from skrobust.utils import LabelNoiseWarning

TRANSITION = np.array([[0.8, 0.15, 0.05], [0.05, 0.65, 0.3], [0.2, 0.1, 0.7]])
TIGHT = {"tol": 1e-8, "max_iter": 5000}


def _draw(n_samples, n_classes, seed, *, n_features=4, scale=1.5):
    """Rows, true classes that are a logistic regression of them, and its coefficients."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features))
    # Of equal length and at right angles, so that no draw is much harder than others.
    coef = 2 * scale * np.linalg.qr(rng.normal(size=(n_features, n_classes)))[0].T
    coef -= coef.mean(axis=0)
    y = (X @ coef.T + rng.gumbel(size=(n_samples, n_classes))).argmax(axis=1)
    return X, y, coef


def _loss(X, given, verified=None, weight=None, n_classes=3, *, fit_intercept=True, **kwargs):
    verified = np.full(len(given), -1) if verified is None else verified
    options = {"penalty": 0.3, "fit_intercept": fit_intercept, **kwargs}
    return ForwardLoss(X, given, verified, weight, n_classes, **options)


def _parameters(loss, rng, scale=1.0):
    coef = scale * rng.normal(size=(loss.n_scores, loss.X.shape[1]))
    transition = softmax(rng.normal(size=(loss.n_classes, loss.n_classes)), axis=1)
    return loss.join(coef, scale * rng.normal(size=loss.n_scores), transition)


# The loss ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_gradient_is_that_of_finite_differences(n_classes, learned, fit_intercept, container, seed):
    rng = np.random.default_rng(seed)
    X = container(rng.normal(size=(40, 3)))
    given = rng.integers(n_classes, size=40)
    verified = np.where(rng.random(40) < 0.2, rng.integers(n_classes, size=40), -1)
    given[np.flatnonzero(verified >= 0)[:2]] = -1
    loss = _loss(
        X,
        given,
        verified,
        rng.random(40),
        n_classes,
        fit_intercept=fit_intercept,
        transition=None if learned else random_transition(n_classes, 0.3, random_state=seed),
        prior=rng.random((n_classes, n_classes)) if learned else None,
    )
    parameters = _parameters(loss, rng)
    numeric = approx_fprime(parameters, lambda x: loss(x)[0], 1e-7)
    assert_allclose(loss(parameters)[1], numeric, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_loss_by_definition(n_classes, seed):
    rng = np.random.default_rng(seed)
    X, given, weight = rng.normal(size=(30, 3)), rng.integers(n_classes, size=30), rng.random(30)
    verified = np.where(np.arange(30) < 5, rng.integers(n_classes, size=30), -1)
    transition = random_transition(n_classes, 0.3, random_state=seed)
    loss = _loss(X, given, verified, weight, n_classes, transition=transition)
    parameters = _parameters(loss, rng)
    coef, intercept, logits = loss.split(parameters)
    assert logits is None
    scores = X @ coef.T + intercept
    if n_classes == 2:
        scores = np.hstack([np.zeros((30, 1)), scores])
    proba = softmax(scores, axis=1)
    assert_allclose(loss.true_proba(coef, intercept), proba)
    likelihood = (proba @ transition)[np.arange(30), given]
    likelihood[:5] = proba[np.arange(5), verified[:5]]
    expected = -weight @ np.log(likelihood) + 0.15 * (coef**2).sum()
    assert_allclose(loss(parameters)[0], expected / weight.sum())


def test_prior_and_transition_by_definition(seed):
    rng = np.random.default_rng(seed)
    X, given, prior = rng.normal(size=(30, 2)), rng.integers(3, size=30), rng.random((3, 3))
    learned = _loss(X, given, prior=prior)
    parameters = _parameters(learned, rng)
    coef, intercept, logits = learned.split(parameters)
    transition = softmax(logits, axis=1)
    known = _loss(X, given, transition=transition)
    mean = prior / prior.sum(axis=1, keepdims=True)
    divergence = (prior * np.log(mean / transition)).sum()
    expected = known(known.join(coef, intercept))[0] + divergence / 30
    assert_allclose(learned(parameters)[0], expected)


@pytest.mark.parametrize("transition", [np.eye(3), pair_transition(3, 0.2), TRANSITION])
def test_scores_of_any_size(transition):
    X = np.array([[1.0], [-1.0], [3.0], [0.0]])
    given = np.array([0, 0, 1, 2])
    loss = _loss(X, given, transition=transition)
    for size in (1.0, 700.0, 1e5):
        parameters = loss.join(size * np.array([[1.0], [0.0], [-1.0]]), np.zeros(3))
        value, gradient = loss(parameters)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        # By hand: logarithms of sums, with the largest term in front.
        logs = X @ np.array([[size, 0, -size]])
        with np.errstate(divide="ignore"):
            joint = logs + np.log(transition.T[given])
        likelihood = np.logaddexp.reduce(joint, axis=1) - np.logaddexp.reduce(logs, axis=1)
        assert_allclose(value, -likelihood.mean() + 0.15 * 2 * size**2 / 4)


def test_memory_of_one_pass_is_linear_in_classes():
    n_samples, n_classes = 4000, 50
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 3))
    loss = _loss(
        X, rng.integers(n_classes, size=n_samples), n_classes=n_classes, prior=np.ones((50, 50))
    )
    parameters = _parameters(loss, rng)
    loss(parameters)
    tracemalloc.start()
    loss(parameters)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One matrix of (n_samples, n_classes) is 1.6 MB, one of (n_samples, n_classes ** 2) 80 MB.
    assert peak < 3e6


# Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("options", [{}, {"C": 0.1, "fit_intercept": False}, {"C": np.inf}])
@pytest.mark.parametrize("weighted", [False, True])
def test_identity_is_logistic_regression(n_classes, container, options, weighted, seed):
    X, y, _ = _draw(300, n_classes, seed)
    X = container(X)
    weight = np.random.default_rng(seed).random(300) if weighted else None
    for tol in (1e-4, 1e-9):
        settings = {**options, "tol": tol, "max_iter": 5000}
        plain = LogisticRegression(**settings).fit(X, y, sample_weight=weight)
        same = NoisyLogisticRegression(np.eye(n_classes), **settings)
        same.fit(X, y, sample_weight=weight)
        assert_allclose(same.coef_, plain.coef_, atol=1e-4)
        assert_allclose(same.intercept_, plain.intercept_, atol=1e-4)
        assert same.coef_.shape == plain.coef_.shape
        assert_array_equal(same.predict(X), plain.predict(X))
        assert_allclose(same.predict_proba(X), plain.predict_proba(X), atol=1e-4)
        assert_allclose(same.predict_log_proba(X), np.log(same.predict_proba(X)), atol=1e-9)
        assert_allclose(same.decision_function(X), plain.decision_function(X), atol=1e-3)
        assert same.score(X, y) == plain.score(X, y)
        assert same.noise_rate_ == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("transition", [TRANSITION, "learn"])
def test_verified_rows_count_with_their_true_class(transition, seed):
    X, y, _ = _draw(300, 3, seed)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    model = NoisyLogisticRegression(transition, **TIGHT).fit(X, noisy, verified_labels=y)
    plain = LogisticRegression(**TIGHT).fit(X, y)
    assert_allclose(model.coef_, plain.coef_, atol=1e-4)
    if isinstance(transition, str):
        # Counts of what true classes were given, and the prior of thirty rows for each.
        counts = 30 * symmetric_transition(3, 0.2)
        np.add.at(counts, (y, noisy), 1)
        counts /= counts.sum(axis=1, keepdims=True)
        assert_allclose(model.transition_matrix_, counts, atol=1e-4)


@pytest.mark.parametrize("transition", [TRANSITION, "learn"])
def test_rows_without_information_are_left_out(transition, seed):
    X, y, _ = _draw(200, 3, seed)
    some = np.arange(200) % 4 > 0
    names = np.array(["ant", "bee", "cow"])[y]
    expected = NoisyLogisticRegression(transition).fit(X[some], names[some])
    missing = NoisyLogisticRegression(transition).fit(X, np.where(some, names.astype(object), None))
    weight = np.where(some, 2.0, 0.0)
    halved = NoisyLogisticRegression(transition, C=0.5, prior_strength=60)
    halved.fit(X, names, sample_weight=weight)
    for model in (missing, halved):
        assert_allclose(model.coef_, expected.coef_, atol=1e-6)
        assert_allclose(model.transition_matrix_, expected.transition_matrix_, atol=1e-6)


@pytest.mark.parametrize("transition", [TRANSITION, "learn"])
def test_weights_are_repeats(transition, seed):
    X, y, _ = _draw(150, 3, seed)
    weight = np.random.default_rng(seed).integers(0, 4, size=150)
    rows = np.repeat(np.arange(150), weight)
    verified = np.where(np.arange(150) % 5 == 0, y, np.nan)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    model = NoisyLogisticRegression(transition, **TIGHT)
    weighed = clone(model).fit(X, noisy, sample_weight=weight, verified_labels=verified)
    model.fit(X[rows], noisy[rows], verified_labels=verified[rows])
    assert_allclose(weighed.coef_, model.coef_, atol=1e-4)
    assert_allclose(weighed.transition_matrix_, model.transition_matrix_, atol=1e-4)
    assert_allclose(weighed.noise_rate_, model.noise_rate_, atol=1e-5)


# What is recovered ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_coefficients_are_recovered(n_classes, seed):
    X, y, coef = _draw(4000, n_classes, seed)
    transition = np.array([[0.95, 0.05], [0.4, 0.6]]) if n_classes == 2 else TRANSITION
    noisy, wrong = flip_labels(y, transition, random_state=seed)
    true = coef[1:] - coef[:1] if n_classes == 2 else coef
    plain = LogisticRegression().fit(X, noisy)
    known = NoisyLogisticRegression(transition).fit(X, noisy)
    learned = NoisyLogisticRegression("learn").fit(X, noisy)
    gap = np.linalg.norm(plain.coef_ - true)
    assert np.linalg.norm(known.coef_ - true) < 0.4 * gap
    assert np.linalg.norm(learned.coef_ - true) < 0.6 * gap
    assert known.score(X, y) >= plain.score(X, y)
    assert_array_equal(known.transition_matrix_, transition)
    assert np.abs(learned.transition_matrix_ - transition).mean() < 0.05
    for model in (known, learned):
        assert abs(model.noise_rate_ - wrong.mean()) < 0.05
        assert_allclose(
            model.predict_given_proba(X), model.predict_proba(X) @ model.transition_matrix_
        )
        given = model.predict_given_proba(X).mean(axis=0)
        assert_allclose(given, np.bincount(noisy) / len(noisy), atol=0.03)


def test_clean_labels_learn_next_to_no_noise(seed):
    X, y, _ = _draw(4000, 3, seed, scale=4)
    model = NoisyLogisticRegression("learn").fit(X, y)
    assert_allclose(model.transition_matrix_, np.eye(3), atol=0.04)
    assert model.noise_rate_ < 0.03


def test_learning_is_better_the_more_rows(seed):
    errors = []
    for n_samples in (300, 20_000):
        X, y, _ = _draw(n_samples, 3, seed, scale=2)
        noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
        model = NoisyLogisticRegression("learn").fit(X, noisy)
        errors.append(np.abs(model.transition_matrix_ - TRANSITION).mean())
    assert errors[1] < errors[0]
    assert errors[1] < 0.03


def test_the_prior_holds_a_transition_in_place(seed):
    X, y, _ = _draw(300, 3, seed)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    held = NoisyLogisticRegression("learn", prior_strength=1e6, tol=1e-6).fit(X, noisy)
    assert_allclose(held.transition_matrix_, symmetric_transition(3, 0.2), atol=1e-3)
    known = NoisyLogisticRegression(symmetric_transition(3, 0.2)).fit(X, noisy)
    assert_allclose(held.coef_, known.coef_, atol=0.02)
    free = NoisyLogisticRegression("learn", prior_strength=0, require_dominance=False)
    free.fit(X, noisy)
    assert np.isfinite(free.coef_).all()
    assert_allclose(free.transition_matrix_.sum(axis=1), 1)


def test_verified_rows_help_to_learn(seed):
    plain, helped = [], []
    for draw in range(5):
        X, y, _ = _draw(300, 3, 10 * seed + draw)
        noisy, _ = flip_labels(y, TRANSITION, random_state=10 * seed + draw)
        verified = np.where(np.arange(300) % 2 == 0, y, np.nan)
        for errors, given in ((plain, None), (helped, verified)):
            model = NoisyLogisticRegression("learn").fit(X, noisy, verified_labels=given)
            errors.append(np.abs(model.transition_matrix_ - TRANSITION).mean())
    assert np.mean(helped) < np.mean(plain)


# Where the transition comes from -------------------------------------------------------------


@pytest.mark.parametrize("transition", [None, NeighborTransition(n_neighbors=4)])
def test_estimated_transition(transition, seed):
    X, y, _ = make_rows(1000, noise=0, seed=seed)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    model = NoisyLogisticRegression(transition, random_state=seed).fit(X, noisy)
    estimator = model.transition_estimator_
    assert_array_equal(model.transition_matrix_, estimator.transition_matrix_)
    assert np.abs(model.transition_matrix_ - TRANSITION).mean() < 0.1
    assert model.score(X, y) > 0.97
    known = NoisyLogisticRegression(estimator.transition_matrix_).fit(X, noisy)
    assert_allclose(model.coef_, known.coef_)
    assert not hasattr(known, "transition_estimator_")
    if transition is not None:
        assert type(estimator) is NeighborTransition
        assert estimator.n_neighbors == 4
        assert estimator.random_state == seed
        assert not hasattr(transition, "transition_matrix_")
    else:
        assert type(estimator) is AnchorTransition
    model.set_params(transition=TRANSITION).fit(X, noisy)
    assert not hasattr(model, "transition_estimator_")


def test_transition_estimator_gets_rows_as_they_came(seed):
    seen = {}

    class Recorder(NeighborTransition):
        def fit(self, X, y, **metadata):
            seen.update(metadata, X=X)
            return super().fit(X, y, **metadata)

    X, y, _ = make_rows(200, seed=seed)
    frame = pd.DataFrame(X, columns=list("abcde"))
    weight, verified = np.arange(1.0, 201), np.where(np.arange(200) < 5, y, np.nan)
    model = NoisyLogisticRegression(Recorder())
    model.fit(frame, y, sample_weight=weight, verified_labels=verified)
    assert list(seen["X"].columns) == list("abcde")
    assert_array_equal(seen["sample_weight"], weight)
    assert [v for v in seen["verified_labels"] if v == v and v is not None] == y[:5].tolist()


def test_estimate_of_no_use_brings_a_warning(seed):
    class Chance(NeighborTransition):
        def _estimate(self, data):
            return np.full((3, 3), 1 / 9)

    X, y, _ = make_rows(200, seed=seed)
    with pytest.warns(LabelNoiseWarning, match=r"estimated transition is singular.*than chance"):
        NoisyLogisticRegression(Chance()).fit(X, y)


def test_estimate_that_rules_a_label_out(seed):
    class Never(NeighborTransition):
        def _estimate(self, data):
            return np.array([[1.0, 0, 0], [1, 0, 0], [0, 0, 1]])

    X, y, _ = make_rows(200, seed=seed)
    with pytest.raises(ValueError, match=r"gives no row the label 1, which rows have"):
        NoisyLogisticRegression(Never()).fit(X, y)


def test_rounding_is_no_reason_for_a_warning(seed):
    X, y, _ = _draw(300, 3, seed)
    for dtype in (np.float32, np.float64):
        model = NoisyLogisticRegression("learn", tol=0.0, max_iter=10_000).fit(X.astype(dtype), y)
        assert np.all(model.n_iter_ < 10_000)  # it stopped by itself


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transition, message",
    [
        ([[0.5, 0.5], [0.5, 0.5]], r"singular.*\(rows 0 and 1\)"),
        ([[0.4, 0.6], [0.5, 0.5]], "row 0,.*sum to less than 1"),
        ([[0.2, 0.8], [0.7, 0.3]], "row 0,.*sum to less than 1"),
        ([[0.9, 0.2], [0.1, 0.9]], "row 0 sums to 1.1"),
        ([[0.9, 0.1]], r"square matrix, got shape \(1, 2\): row 0 has length 2, not 1"),
        (np.ones((2, 3)) / 3, r"square matrix, got shape \(2, 3\): row 0 has length 3, not 2"),
        ([[0.9, 0.1], [1.0]], "square matrix of numbers.*: row 1 has length 1, not 2"),
        ([[0.9, 0.1], ["no", 1]], "square matrix of numbers.*: row 1 is no list of numbers"),
        ([[1.0, 0.0], [1.1, -0.1]], "negative entries: row 1 has -0.1 in column 1"),
        ([[np.nan, 0.1], [0.0, 1.0]], "NaN.*: row 0 has nan in column 0"),
        (np.eye(3), "3 classes, but there are 2 classes of labels: row 2 is of none"),
        ([[1.0]], "1 classes, but there are 2 classes of labels: row 1 is missing"),
        ("no such word", "transition"),
    ],
)
def test_transition_that_cannot_be(transition, message):
    X, y, _ = _draw(50, 2, 0)
    with pytest.raises(ValueError, match=message):
        NoisyLogisticRegression(transition).fit(X, y)


def test_learned_transition_is_dominant_by_default(seed):
    transition = np.array([[0.3, 0.7, 0.0], [0.05, 0.95, 0.0], [0.0, 0.05, 0.95]])
    X, y, _ = make_rows(1500, noise=0, seed=seed, distance=3.0)
    noisy, _ = flip_labels(y, transition, random_state=seed)
    names = np.array(["ant", "bee", "cow"])[noisy]
    model = NoisyLogisticRegression("learn", prior_strength=1)
    with pytest.raises(ValueError, match=r"not diagonally dominant: rows of the true class 'ant'"):
        model.fit(X, names)
    model.set_params(require_dominance=False).fit(X, names)
    assert np.abs(model.transition_matrix_ - transition).mean() < 0.05
    assert np.mean(model.predict(X) == np.array(["ant", "bee", "cow"])[y]) > 0.9


def test_invalid_labels_and_verified_labels():
    X, y, _ = _draw(50, 2, 0)
    with pytest.raises(ValueError, match="verified_labels.*not among the 2 known classes: 7"):
        NoisyLogisticRegression(np.eye(2)).fit(X, y, verified_labels=np.full(50, 7))
    with pytest.raises(ValueError, match="one class only"):
        NoisyLogisticRegression(np.eye(2)).fit(X, np.zeros(50))
    with pytest.raises(NotFittedError):
        NoisyLogisticRegression().predict_given_proba(X)


# The rest of scikit-learn's conventions ------------------------------------------------------


def test_names_of_classes_do_not_matter(seed):
    X, y, _ = _draw(300, 3, seed)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    names = np.array(["wasp", "bee", "ant"], dtype=object)
    for transition in (TRANSITION, "learn"):
        plain = NoisyLogisticRegression(transition, **TIGHT).fit(X, noisy)
        if not isinstance(transition, str):
            transition = transition[::-1, ::-1]
        named = NoisyLogisticRegression(transition, **TIGHT).fit(X, names[noisy])
        assert named.classes_.tolist() == ["ant", "bee", "wasp"]
        assert_allclose(named.coef_, plain.coef_[::-1], atol=1e-4)
        assert_array_equal(named.predict(X), names[plain.predict(X)])
    binary = NoisyLogisticRegression("learn").fit(X, noisy == 0)
    assert binary.predict(X).dtype == bool
    assert binary.coef_.shape == (1, 4)


@pytest.mark.parametrize("library", [pd, pl])
def test_frames(library, seed):
    X, y, _ = _draw(200, 3, seed)
    frame = library.DataFrame({name: X[:, j] for j, name in enumerate("abcd")})
    model = NoisyLogisticRegression("learn").fit(frame, library.Series(y))
    assert model.feature_names_in_.tolist() == list("abcd")
    plain = NoisyLogisticRegression("learn").fit(X, y)
    assert_allclose(model.predict_proba(frame), plain.predict_proba(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_matrix, sparse.coo_array])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_sparse_and_single_precision(container, dtype, seed):
    X, y, _ = _draw(300, 3, seed)
    X = np.round(4 * X).astype(dtype)
    exact = NoisyLogisticRegression("learn", tol=1e-6).fit(X.astype(np.float64), y)
    model = NoisyLogisticRegression("learn", tol=1e-6).fit(container(X), y)
    assert_allclose(model.coef_, exact.coef_, atol=2e-3)
    assert_allclose(model.predict_proba(container(X)), exact.predict_proba(X), atol=2e-3)
    assert model.coef_.dtype == np.float64


def test_sparse_rows_stay_sparse(seed, monkeypatch):
    X = sparse.random(200, 1000, 0.02, format="csr", random_state=seed)
    y = np.arange(200) % 3

    def refuse(*args, **kwargs):
        raise AssertionError("X was made dense")

    for cls in (sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix):
        monkeypatch.setattr(cls, "toarray", refuse)
        monkeypatch.setattr(cls, "todense", refuse)
    model = NoisyLogisticRegression("learn").fit(X, y)
    assert model.predict_proba(X).shape == (200, 3)


@pytest.mark.parametrize("transition", [TRANSITION, "learn"])
def test_warm_start(transition, seed):
    X, y, _ = _draw(500, 3, seed)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    model = NoisyLogisticRegression(transition, warm_start=True).fit(X, noisy)
    cold, coef = model.n_iter_, model.coef_
    model.fit(X, noisy)
    assert model.n_iter_ <= 2 < cold
    assert_allclose(model.coef_, coef, atol=1e-3)
    again = NoisyLogisticRegression(transition).fit(X, noisy)
    assert again.fit(X, noisy).n_iter_ == cold
    with pytest.raises(ValueError, match=r"warm_start=True .* 4 features, but X has 3"):
        model.fit(X[:, :3], noisy)
    with pytest.raises(ValueError, match=r"warm_start=True .* classes \[0, 1, 2\], but y has"):
        model.fit(X, noisy + 1)


def test_too_few_iterations(seed):
    X, y, _ = _draw(300, 3, seed)
    with pytest.warns(ConvergenceWarning, match=r"did not converge in 2 iterations \(max_iter=2\)"):
        model = NoisyLogisticRegression("learn", max_iter=2).fit(X, y)
    assert model.n_iter_ == 2


def test_pickle_clone_and_grid_search(seed):
    X, y, _ = _draw(400, 3, seed)
    noisy, _ = flip_labels(y, TRANSITION, random_state=seed)
    model = NoisyLogisticRegression(TRANSITION).fit(X, noisy)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert_array_equal(clone(model).fit(X, noisy).coef_, model.coef_)
    grid = {"C": [0.01, 1.0], "transition": [TRANSITION, "learn"]}
    search = GridSearchCV(NoisyLogisticRegression(), grid, cv=2, error_score="raise")
    assert search.fit(X, noisy).score(X, y) > 0.6


def test_global_generator_is_not_used(seed):
    X, y, _ = make_rows(150, seed=seed)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for transition in (None, "learn", TRANSITION):
        NoisyLogisticRegression(transition).fit(X, y)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
