"""What a parameter called `transition` stands for, and which matrices are refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from skrobust.base import LabelledData
from skrobust.noise import (
    NeighborTransition,
    pair_transition,
    random_transition,
    symmetric_transition,
)
from skrobust.noise._resolve import check_usable, default_transition, resolve_transition
from skrobust.testing._estimators import fit_silently, silence_label_warnings
from skrobust.testing._problems import make_rows

NAMES = np.array(["ant", "bee", "cow"])
MATRIX = np.array([[0.8, 0.1, 0.1], [0.15, 0.7, 0.15], [0.1, 0.2, 0.7]])


@pytest.fixture
def data(seed):
    X, y, _ = make_rows(150, seed=seed)
    return LabelledData.from_arrays(X, NAMES[y])


@pytest.mark.parametrize("convert", [np.array, np.ndarray.tolist, np.float32])
def test_a_matrix_is_taken_as_it_is(data, convert):
    given = convert(MATRIX)
    matrix, estimator = resolve_transition(given, data)
    assert estimator is None
    assert matrix.dtype == np.float64
    assert_allclose(matrix, MATRIX, rtol=1e-6)
    matrix[:] = 0
    assert_allclose(given, MATRIX, rtol=1e-6)


@pytest.mark.parametrize("require", [None, "invertible", "dominant"])
def test_an_estimator_is_cloned_and_fitted(data, require):
    given = NeighborTransition(n_starts=2, random_state=3)
    matrix, estimator = resolve_transition(given, data, require=require)
    expected = clone(given).fit(data.X, NAMES[data.y])
    assert_array_equal(matrix, expected.transition_matrix_)
    assert_array_equal(estimator.transition_matrix_, expected.transition_matrix_)
    assert not hasattr(given, "transition_matrix_")


def test_parameters_of_the_caller_are_propagated(data):
    given = NeighborTransition(n_starts=2, random_state=3)
    _, estimator = resolve_transition(given, data, random_state=5, n_jobs=2)
    assert (estimator.random_state, estimator.n_jobs) == (5, 2)
    assert (given.random_state, given.n_jobs) == (3, None)
    generator = np.random.RandomState(0)
    _, estimator = resolve_transition(given, data, random_state=generator)
    assert isinstance(estimator.random_state, int)


def test_none_is_the_default(data):
    matrix, estimator = resolve_transition(None, data, random_state=0)
    assert type(estimator) is type(default_transition())
    assert np.abs(matrix - symmetric_transition(3, 0.15)).max() < 0.15


def test_callers_model_is_used_where_rows_are_not_numeric(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(120) % 2
    words = np.array([["dear", "meeting", "thanks"], ["prize", "winner", "cash"]])
    X = [" ".join(rng.choice(words[t], size=8)) for t in truth]
    data = LabelledData.from_arrays(X, truth)
    model = make_pipeline(CountVectorizer(), MultinomialNB())
    matrix, fitted = resolve_transition(None, data, estimator=model, cv=3, random_state=0)
    assert isinstance(fitted.estimator[-1], MultinomialNB)
    assert fitted.cv == 3
    assert np.abs(matrix - np.eye(2)).max() < 0.1
    assert not hasattr(model[-1], "classes_")
    with pytest.raises((TypeError, ValueError), match="without an estimator of another kind"):
        resolve_transition(None, data)
    # Numeric rows are scored by another model than the one that is trained.
    assert default_transition(np.ones((3, 2)), model).estimator is None


def test_weights_verified_and_missing_labels_arrive(seed):
    X, y, _ = make_rows(150, seed=seed)
    labels = NAMES[y].astype(object)
    labels[:5] = None
    verified = np.full(150, None)
    verified[3:30] = NAMES[y[3:30]]
    weight = np.random.default_rng(seed).integers(0, 3, size=150)
    known = {"verified_labels": verified, "sample_weight": weight}
    expected = fit_silently(NeighborTransition(random_state=0), X, labels, **known)
    with silence_label_warnings():
        matrix, _ = resolve_transition(
            NeighborTransition(random_state=0), LabelledData.from_arrays(X, labels, **known)
        )
    assert_array_equal(matrix, expected.transition_matrix_)


def test_an_array_of_another_kind_is_refused(data):
    for transition in ("learn", NeighborTransition, object()):
        with pytest.raises((TypeError, ValueError), match="transition|float"):
            resolve_transition(transition, data)
    with pytest.raises(ValueError, match="2 classes, but there are 3"):
        resolve_transition(np.eye(2), data)
    with pytest.raises(ValueError, match=r"row 1 sums to 1\.1"):
        resolve_transition(MATRIX + np.eye(3)[1] * 0.1 * np.eye(3)[1][:, None], data)


def test_a_class_without_rows_is_named(data):
    rows = np.flatnonzero(data.y != 1)
    X, y = data.X[rows], NAMES[data.y[rows]]
    verified = np.full(len(rows), None)
    fewer = LabelledData.from_arrays(X, y, verified_labels=verified)
    more = type(fewer)(X, np.where(fewer.y == 1, 2, 0), NAMES, fewer.verified)
    with pytest.raises(ValueError, match="The class 'bee' was given to no row"):
        resolve_transition(NeighborTransition(), more)


@pytest.mark.parametrize("require", ["invertible", "dominant"])
@pytest.mark.parametrize("n_classes", [2, 3, 8])
def test_ordinary_noise_is_usable(require, n_classes, seed):
    names = np.arange(n_classes)
    for rate in (0.0, 0.2, 0.3):
        check_usable(symmetric_transition(n_classes, rate), names, require)
        check_usable(pair_transition(n_classes, rate), names, require)
        check_usable(random_transition(n_classes, rate, random_state=seed), names, require)


def test_what_is_not_dominant():
    check_usable(np.array([[0.5, 0.5], [0.1, 0.9]]), NAMES[:2], None)
    with pytest.raises(ValueError, match=r"row 0.*'ant'.*'bee' with probability 0\.5, their own"):
        check_usable(np.array([[0.5, 0.5], [0.1, 0.9]]), NAMES[:2], "dominant")
    matrix = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match="row 1.*'bee'.*'ant'.*pass the transpose"):
        check_usable(matrix, NAMES, "dominant")


def test_what_is_not_invertible():
    check_usable(np.array([[0.45, 0.55], [0.1, 0.9]]), NAMES[:2], "invertible")
    # Error rates that sum to 1 make the given label mean nothing, and to more, the opposite.
    with pytest.raises(ValueError, match="singular.*'ant' and 'bee'"):
        check_usable(np.array([[0.4, 0.6], [0.4, 0.6]]), NAMES[:2], "invertible")
    with pytest.raises(ValueError, match="too noisy.*row 0.*'ant'.*'bee'.*less than 1"):
        check_usable(np.array([[0.3, 0.7], [0.6, 0.4]]), NAMES[:2], "invertible")
    matrix = np.array([[0.8, 0.1, 0.1], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]])
    with pytest.raises(ValueError, match=r"singular.*'bee' and 'cow' \(rows 1 and 2\)"):
        check_usable(matrix, NAMES, "invertible", what="transition as estimated")
    with pytest.raises(ValueError, match="require='stochastic'"):
        check_usable(matrix, NAMES, "stochastic")
