"""Tests of scores and rules on evidence that was collected already."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB

from skrobust.base import LabelledData
from skrobust.detection import ConfidentLearning, detect_from
from skrobust.evidence import Evidence, OutOfFold


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    y = y.copy()
    y[[0, 60, 120]] = [2, 0, 0]
    data = LabelledData.from_arrays(X, y)
    return X, y, data, OutOfFold(GaussianNB()).collect(data)


@pytest.mark.parametrize("rule", ["prune_by_noise_rate", "both", "predicted_neq_given"])
@pytest.mark.parametrize("score", ["self_confidence", "normalized_margin"])
def test_detect_from_is_confident_learning(iris, score, rule):
    X, y, data, evidence = iris
    result = detect_from(data, evidence, score=score, rule=rule)
    detector = ConfidentLearning(GaussianNB(), quality_method=score, rule=rule).fit(X, y)
    assert_array_equal(result.errors, detector.label_errors_)
    assert_array_equal(result.quality, detector.label_quality_)
    assert result.errors[0]


def test_detect_from_takes_a_function_as_score(iris):
    _, y, data, evidence = iris

    def largest_of_others(codes, proba):
        others = proba.copy()
        others[np.arange(len(codes)), codes] = 0
        return 1 - others.max(axis=1)

    result = detect_from(data, evidence, score=largest_of_others)
    assert_array_equal(result.quality, largest_of_others(y, np.asarray(evidence.pred_proba)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "nothing"}, "nothing"),
        ({"score": "margin"}, "normalized_margin"),
        ({"rule": "nothing"}, "nothing"),
    ],
)
def test_detect_from_refuses_unknown_scores_and_rules(iris, options, message):
    _, _, data, evidence = iris
    with pytest.raises(ValueError, match=message):
        detect_from(data, evidence, **options)


def test_detect_from_refuses_the_evidence_of_other_rows(iris):
    _, _, data, evidence = iris
    fewer = Evidence(evidence.pred_proba[:10], evidence.classes)
    with pytest.raises(ValueError, match="10 rows, but data has 150"):
        detect_from(data, fewer)


def test_corrections_do_not_depend_on_the_order_of_classes():
    rng = np.random.default_rng(0)
    first = rng.beta(2, 2, size=400)
    proba = np.column_stack([first, 1 - first])
    y = (rng.random(400) > first).astype(int)  # labels by chance: overlap, and no wrong ones
    results = []
    for codes, columns in ((y, proba), (1 - y, proba[:, ::-1])):
        data = LabelledData.from_arrays(np.zeros((400, 1)), codes)
        results.append(detect_from(data, Evidence(columns, data.classes)))
    one, other = results
    # Where little is wrong, a label that is improbable is still more probable than the other one.
    kept = (one.corrections == y) & (one.predictions != y)
    assert (np.bincount(y[kept], minlength=2) > 10).all()
    assert_array_equal(other.corrections, 1 - one.corrections)
    assert_array_equal(other.alternatives, 1 - one.alternatives)
