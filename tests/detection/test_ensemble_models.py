"""The linear and component models of ensembles, each within its budget."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skrobust.detection import _ensemble_models
from skrobust.detection._ensemble_models import (
    GaussianComponents,
    KernelLogisticRegression,
    QuadraticLogisticRegression,
    ScaledLogisticRegression,
    fit_softmax,
    principal_axes,
)

MODELS = (
    ScaledLogisticRegression(),
    QuadraticLogisticRegression(),
    KernelLogisticRegression(),
    GaussianComponents(),
)
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)


@pytest.fixture(scope="module")
def rows():
    """Three classes in 12 columns, which is enough for products and distances."""
    return make_classification(
        300, 12, n_informative=6, n_classes=3, class_sep=1.5, flip_y=0.1, random_state=0
    )


@every_model
def test_weights_equal_repeated_rows_in_any_order(model, rows):
    X, y = rows
    weight = np.arange(300) % 3
    repeated = np.random.default_rng(0).permutation(np.repeat(np.arange(300), weight))
    proba = clone(model).fit(X, y, sample_weight=weight).predict_proba(X)
    again = clone(model).fit(X[repeated], y[repeated]).predict_proba(X)
    assert_allclose(again, proba, atol=1e-6)


@every_model
def test_names_of_classes_and_scale_do_not_matter(model, rows):
    X, y = rows
    fitted = clone(model).fit(X, y)
    proba = fitted.predict_proba(X)
    assert_allclose(proba.sum(axis=1), 1)
    assert_array_equal(fitted.predict(X), proba.argmax(axis=1))
    names = np.array(["c", "a", "b"])
    renamed = clone(model).fit(X, names[y])
    assert_allclose(renamed.predict_proba(X), proba[:, [1, 2, 0]], atol=1e-6)
    assert_array_equal(renamed.classes_, ["a", "b", "c"])
    if isinstance(model, KernelLogisticRegression):  # other rows would be landmarks
        model = KernelLogisticRegression(n_landmarks=300)
        proba = clone(model).fit(X, y).predict_proba(X)
    scaled = clone(model).fit(1000 * X + 5, y).predict_proba(1000 * X + 5)
    assert_allclose(scaled, proba, atol=1e-5)


@every_model
def test_one_class_constant_columns_and_few_rows(model):
    fitted = clone(model).fit(np.eye(3), ["a", "a", "a"])
    assert_array_equal(fitted.predict_proba(np.eye(4, 3)), np.ones((4, 1)))
    assert fitted.predict(np.eye(2, 3)).tolist() == ["a", "a"]
    constant = np.full((6, 3), 1e9)
    proba = clone(model).fit(constant, [0, 0, 0, 0, 1, 1]).predict_proba(constant)
    assert_allclose(proba, [[2 / 3, 1 / 3]] * 6, atol=0.1)
    few = clone(model).fit([[0.0, 1.0], [1.0, 0.0]], [0, 1])
    assert few.predict([[0.0, 1.0], [1.0, 0.0]]).tolist() == [0, 1]


@every_model
def test_class_without_weight_is_unknown(model, rows):
    X, y = rows
    fitted = clone(model).fit(X, y, sample_weight=(y > 0).astype(float))
    assert fitted.classes_.tolist() == [1, 2]
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_columns_of_mixed_units_are_standardised(rows):
    X, y = rows
    units = np.where(np.arange(12) < 9, 1.0, 1e5)
    for model in (QuadraticLogisticRegression(), GaussianComponents()):
        equal = clone(model).fit(X, y)
        assert_array_equal(equal.scale_, np.ones(12))
        mixed = clone(model).fit(X * units, y)
        assert_allclose(mixed.scale_, X.std(axis=0) * units)
        constant = clone(model).fit(np.column_stack([X * 1e-4, np.ones(300)]), y)
        assert_array_equal(constant.scale_, np.ones(13))


@every_model
def test_predicts_images_of_digits_well(model):
    parts = train_test_split(*load_digits(return_X_y=True), train_size=900, random_state=0)
    X_train, X_test, y_train, y_test = parts
    proba = clone(model).fit(X_train, y_train).predict_proba(X_test)
    assert log_loss(y_test, proba) < 0.25


def test_linear_model_takes_sparse_rows(rows):
    X, y = rows
    dense = np.maximum(X, 0)
    weight = 1.0 + np.arange(300) % 3
    for container in (sparse.csr_array, sparse.csr_matrix):
        table = container(dense)
        model = ScaledLogisticRegression().fit(table, y, sample_weight=weight)
        again = ScaledLogisticRegression().fit(table * 100.0, y, sample_weight=weight)
        proba = model.predict_proba(table)
        assert_allclose(again.predict_proba(table * 100.0), proba, atol=1e-6)
    with pytest.raises(TypeError, match="[Ss]parse"):
        QuadraticLogisticRegression().fit(sparse.csr_array(dense), y)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_softmax_solves_the_problem_of_logistic_regression(rows, n_classes, monkeypatch):
    monkeypatch.setattr(_ensemble_models, "TOLERANCE", 1e-8)
    monkeypatch.setattr(_ensemble_models, "MAX_ITER", 1000)
    X, y = rows
    y = np.minimum(y, n_classes - 1)
    weight = 1.0 + np.arange(300) % 2
    coef, intercept = fit_softmax(X, y, n_classes, weight=weight, C=0.3)
    margin = np.exp(X @ coef + intercept)
    expected = LogisticRegression(C=0.3, tol=1e-8, max_iter=1000).fit(X, y, weight)
    proba = margin / margin.sum(axis=1, keepdims=True)
    assert_allclose(proba, expected.predict_proba(X), atol=1e-5)


def test_gaussian_classes_equal_discriminant_analysis_without_shrinkage():
    X, y = make_classification(300, 6, n_informative=6, n_redundant=0, n_classes=3, random_state=0)
    model = GaussianComponents(shrinkage=0.0, temperature=1.0).fit(X, y)
    expected = QuadraticDiscriminantAnalysis().fit(X, y).predict_proba(X)
    # One divides sums of squares by the number of rows, the other by one less.
    assert_allclose(model.predict_proba(X), expected, atol=0.02)


@pytest.mark.parametrize("n_features", [30, 1100])
def test_principal_axes_are_those_of_pca(n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6)) * [9, 7, 5, 4, 3, 2] @ rng.normal(size=(6, n_features))
    X += 0.01 * rng.normal(size=X.shape)
    X -= X.mean(axis=0)
    values, vectors = principal_axes(X, 4)
    pca = PCA(4, svd_solver="full").fit(X)
    assert_allclose(values, pca.explained_variance_ * 79, rtol=1e-6)
    assert_allclose(np.abs(np.sum(vectors * pca.components_.T, axis=0)), 1, atol=1e-6)
    again, _ = principal_axes(X[::-1], 4)
    assert_allclose(again, values, rtol=1e-9)


@every_model
def test_budget_limits_rows_and_features(model, rows, monkeypatch):
    X, y = rows
    monkeypatch.setattr(_ensemble_models, "MIN_ROWS", 100)
    monkeypatch.setattr(_ensemble_models, "BUDGET", 100 * 12 * 3)
    sizes = []
    original = _ensemble_models.fit_softmax

    def spy(features, codes, n_classes, **settings):
        sizes.append((len(codes), features.shape[1], np.bincount(codes).min()))
        return original(features, codes, n_classes, **settings)

    monkeypatch.setattr(_ensemble_models, "fit_softmax", spy)
    few = np.where(np.arange(300) < 280, np.minimum(y, 1), 2)  # a class of twenty rows
    order = np.random.default_rng(0).permutation(300)
    proba = clone(model).fit(X, few).predict_proba(X)
    again = clone(model).fit(X[order], few[order]).predict_proba(X)
    assert_allclose(again, proba, atol=1e-6)
    for n_rows, n_features, n_least in sizes:
        assert 100 <= n_rows <= 140
        assert n_features <= 50
        assert n_least == 20
    if isinstance(model, QuadraticLogisticRegression):
        assert sizes[0][1] == 5 * 8 / 2
    assert bool(sizes) == (not isinstance(model, GaussianComponents))
