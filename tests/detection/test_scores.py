"""Label quality scores against their formulas and against cleanlab."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.detection import label_quality_scores
from skrobust.detection._scores import SCORES, score_labels
from skrobust.noise._confident_joint import FEW_CLASSES
from tests._probabilities import make_noisy

CLEANLAB_METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
METHODS = tuple(SCORES)
each_method = pytest.mark.parametrize("method", METHODS)


noisy = st.builds(
    make_noisy,
    st.integers(0, 2**32 - 1),
    st.integers(120, 400),
    st.sampled_from([2, 3, 10, FEW_CLASSES, FEW_CLASSES + 1, 100]),
    margin=st.sampled_from([0.0, 1.0, 8.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
)


def test_values():
    proba = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    y = [0, 1, 1, 0]

    def score(method):
        return label_quality_scores(y, proba, method=method)

    assert_allclose(score("self_confidence"), [0.5, 0.25, 1, 0])
    assert_allclose(score("contrast"), [2 / 3, 1 / 3, 1, 0])
    assert_allclose(score("margin"), [0.25, -0.25, 1, -1])
    assert_allclose(score("normalized_margin"), [0.625, 0.375, 1, 0])
    ratio = 1.5 * np.log(2) / np.log(3) / np.array([0.5, 0.25])
    assert_allclose(score("confidence_weighted_entropy")[:2], np.log(1 + ratio) / ratio)


@each_method
def test_every_score_is_documented(method):
    assert f'- "{method}": ' in label_quality_scores.__doc__


@pytest.mark.usefixtures("cleanlab")
@given(noisy)
def test_against_cleanlab(case):
    from cleanlab.rank import get_label_quality_scores

    y, proba = case
    tolerance = 1e-5 if proba.dtype == np.float32 else 1e-12
    for method in CLEANLAB_METHODS:
        theirs = get_label_quality_scores(y, proba, method=method)
        ours = label_quality_scores(y, proba, method=method)
        assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=method)


@given(noisy)
def test_range(case):
    y, proba = case
    for method in METHODS:
        scores = label_quality_scores(y, proba, method=method)
        assert scores.dtype == proba.dtype
        assert scores.min() >= (-1 if method == "margin" else 0)
        assert scores.max() <= 1 + 1e-6


@pytest.mark.parametrize("n_classes", [5, 70])
@each_method
def test_how_the_input_lies_in_memory(method, n_classes, tmp_path):
    y, proba = make_noisy(0, 20000, n_classes, dtype=np.float32)
    path = tmp_path / "proba.npy"
    np.save(path, proba)
    before = proba.copy()
    expected = label_quality_scores(y, proba, method=method)
    mapped = np.load(path, mmap_mode="r")
    assert_array_equal(label_quality_scores(y, mapped, method=method), expected)
    columns_first = np.asfortranarray(proba)
    assert_array_equal(label_quality_scores(y, columns_first, method=method), expected)
    assert_array_equal(label_quality_scores(y, proba, method=method, n_jobs=2), expected)
    assert_array_equal(proba, before)


@pytest.mark.parametrize("n_classes", [5, 70])
@each_method
def test_row_and_class_order(method, n_classes):
    y, proba = make_noisy(0, 500, n_classes)
    expected = label_quality_scores(y, proba, method=method)
    rows = np.random.default_rng(0).permutation(500)
    assert_array_equal(label_quality_scores(y[rows], proba[rows], method=method), expected[rows])
    order = np.random.default_rng(0).permutation(n_classes)
    renamed = label_quality_scores(np.argsort(order)[y], proba[:, order], method=method)
    assert_allclose(renamed, expected, rtol=1e-12)


@each_method
def test_own_probabilities_are_left_alone(method):
    y, proba = make_noisy(0, 100, 3)
    own = proba[np.arange(100), y]
    scores = score_labels(method, y, proba, own=own)
    assert_array_equal(own, proba[np.arange(100), y])
    assert_array_equal(scores, label_quality_scores(y, proba, method=method))


@pytest.mark.parametrize("names", [["b", "a"], [7, 3], [True, False]])
def test_names_of_columns(names):
    y, proba = make_noisy(0, 100, 2)
    names = np.asarray(names)
    expected = label_quality_scores(y, proba)
    assert_array_equal(label_quality_scores(names[y], proba, classes=names), expected)
    assert_array_equal(label_quality_scores(names[y], proba[:, ::-1]), expected)


@pytest.mark.parametrize("method", ["nonsense", None])
def test_unknown_method(method):
    with pytest.raises(ValueError, match="method must be one of 'self_confidence'"):
        label_quality_scores([0, 1], [[0.5, 0.5]] * 2, method=method)


@pytest.mark.parametrize(
    "y, proba, message",
    [
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "NaN or infinite entry in row 1"),
        ([0, 1], [[0.5, 0.5], [np.inf, 0.5]], "NaN or infinite entry in row 1"),
        ([0, 1], [[0.5, 0.5], [1.5, -0.5]], "negative entry"),
        ([0, 1], [[0.5, 0.5], [0.9, 0.9]], "must sum to 1, but row 1 sums to 1.8"),
        ([0, 1], [[0.5, 0.5]], "same number of rows, got 2 and 1"),
        ([0, 0], [[1.0], [1.0]], "at least two classes, got 1 column"),
        ([0, None], [[0.5, 0.5]] * 2, "y has 1 missing labels"),
        (["a", "b", "c"], [[0.5, 0.5]] * 3, "3 distinct labels but pred_proba has 2 columns"),
    ],
)
@each_method
def test_messages(method, y, proba, message):
    with pytest.raises(ValueError, match=message):
        label_quality_scores(y, proba, method=method)
