import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from skrobust.detection import (
    confident_joint,
    confident_thresholds,
    find_label_errors,
    find_multilabel_errors,
    label_quality_scores,
    multilabel_quality_scores,
)
from skrobust.inspection import LabelQualityDisplay
from skrobust.noise import symmetric_transition
from skrobust.weighting import importance_weights
from skrobust.wrappers import CleaningClassifier


def _rows(n_classes=3, n=120):
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, n)
    return y, rng.dirichlet(np.ones(n_classes), n) * 0.4 + 0.6 * np.eye(n_classes)[y]


def _clean(y, pred_proba):
    X = np.eye(pred_proba.shape[1])[y]
    return CleaningClassifier(LogisticRegression()).fit(X, y, pred_proba=pred_proba)


def _weigh(y, pred_proba):
    return importance_weights(y, pred_proba, symmetric_transition(pred_proba.shape[1], 0.2))


@pytest.mark.parametrize(
    "function",
    [
        confident_joint,
        confident_thresholds,
        find_label_errors,
        label_quality_scores,
        LabelQualityDisplay.from_predictions,
        _clean,
        _weigh,
    ],
)
@pytest.mark.parametrize("n_classes", [3, 60])
@pytest.mark.parametrize("lowest", ["finite", "infinite"])
def test_log_probabilities_are_refused_with_advice(function, n_classes, lowest):
    y, proba = _rows(n_classes, 400)
    if lowest == "infinite":
        proba[0] = np.eye(n_classes)[y[0]]
    with np.errstate(divide="ignore"):
        logs = np.log(proba)
    with pytest.raises(ValueError, match=r"log probabilities.*Pass np.exp\(pred_proba\)"):
        function(y, logs)
    assert function(y, proba) is not None


@pytest.mark.parametrize("function", [find_multilabel_errors, multilabel_quality_scores])
def test_log_probabilities_of_indicators_are_refused_with_advice(function):
    y, proba = _rows()
    with pytest.raises(ValueError, match=r"For log probabilities, pass np.exp\(pred_proba\)"):
        function(np.eye(3, dtype=int)[y], np.log(proba))
    with pytest.raises(ValueError, match="hold no NaN.$"):
        function(np.eye(3, dtype=int)[y], 2 * proba)


@pytest.mark.parametrize("function", [confident_joint, find_label_errors, label_quality_scores])
def test_scores_before_softmax_are_refused_with_advice(function):
    y, proba = _rows()
    with pytest.raises(ValueError, match=r"pass scipy.special.softmax\(pred_proba, axis=1\)"):
        function(y, np.log(proba) + 2)
    with pytest.raises(ValueError, match=r"pass scipy.special.softmax\(pred_proba, axis=1\)"):
        function(y, np.log(proba) - 2)  # no entry is positive, but these are no logarithms
    with pytest.raises(ValueError, match="row 0 sums to 0"):
        function(y, 0 * proba)


@pytest.mark.parametrize("function", [confident_joint, find_label_errors, label_quality_scores])
def test_shapes_are_refused_with_advice(function):
    y, proba = _rows()
    with pytest.raises(ValueError, match=r"labels come first, then probabilities"):
        function(proba, y)
    with pytest.raises(ValueError, match=r"pass numpy.column_stack\(\[1 - p, p\]\)"):
        function(y % 2, proba[:, 0])
    with pytest.raises(ValueError, match=r"one-hot .*pass classes\[numpy.argmax\(y, axis=1\)\]"):
        function(np.eye(3)[y], proba)


@pytest.mark.parametrize("function", [find_multilabel_errors, multilabel_quality_scores])
@pytest.mark.parametrize("ragged", [True, False])
def test_lists_of_labels_are_refused_with_advice(function, ragged):
    proba = _rows(2, 40)[1]
    labels = [[0], [1], [0, 1]] if ragged else [0, 1, 1]
    with pytest.raises(ValueError, match=r"pass MultiLabelBinarizer\(\).fit_transform\(y\)"):
        function(labels, proba[:3])


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.float16, np.float32])
def test_probabilities_of_all_types_of_numbers(dtype):
    proba = np.eye(3)[[0, 1, 2, 0, 1, 1]]
    y = [0, 1, 2, 0, 1, 2]
    expected = find_label_errors(y, proba, rule="predicted_neq_given")
    assert expected.tolist() == [False] * 5 + [True]
    found = find_label_errors(y, proba.astype(dtype), rule="predicted_neq_given")
    np.testing.assert_array_equal(found, expected)
