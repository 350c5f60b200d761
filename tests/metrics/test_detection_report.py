"""Scores of detectors: by hand, and scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from skrobust.metrics import detection_report, precision_at_budget

WRONG = np.array([True, False, True, False, False, True, False, False])
QUALITY = np.array([0.1, 0.2, 0.3, 0.8, 0.9, 0.3, 0.7, np.nan])
FLAGS = np.array([True, True, True, False, False, False, False, False])


def test_precision_at_budget_by_hand():
    assert precision_at_budget(WRONG, QUALITY, 1) == 1
    assert precision_at_budget(WRONG, QUALITY, 2) == 0.5
    # Rows of equal quality are counted in part.
    mixed = np.array([True, False, False])
    assert precision_at_budget(mixed, [0.5, 0.5, 0.9], 1) == 0.5
    assert precision_at_budget(WRONG, QUALITY, 1.0) == pytest.approx(3 / 7)
    # A row without a quality is never reviewed.
    assert precision_at_budget(WRONG, QUALITY, 7) == pytest.approx(3 / 7)


def test_report_is_that_of_scikit_learn():
    report = detection_report(WRONG, QUALITY, FLAGS, budgets=[2, 0.5])
    known = ~np.isnan(QUALITY)
    wrong, quality = WRONG[known], QUALITY[known]
    assert report["n_samples"] == 7
    assert report["noise_rate"] == pytest.approx(3 / 7)
    assert report["average_precision"] == pytest.approx(average_precision_score(wrong, -quality))
    assert report["roc_auc"] == pytest.approx(roc_auc_score(wrong, -quality))
    assert report["f1"] == pytest.approx(f1_score(wrong, FLAGS[known]))
    assert (report["precision"], report["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert report["precision_at"][2] == 0.5
    assert report["recall_at"][2] == pytest.approx(1 / 3)
    assert report["lift_at"][2] == pytest.approx(0.5 / (3 / 7))
    assert report["precision_at"][0.5] == pytest.approx(0.75)


def test_report_by_class_and_as_a_frame():
    pd = pytest.importorskip("pandas")
    y = np.array(["a", "a", "b", "b", "b", "a", "a", "a"])
    report = detection_report(WRONG, QUALITY, FLAGS, y=y, budgets=[2])
    assert set(report["classes"]) == {"a", "b"}
    part = detection_report(WRONG[y == "b"], QUALITY[y == "b"], FLAGS[y == "b"], budgets=[2])
    assert report["classes"]["b"] == part
    frame = report.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.tolist() == ["all", "a", "b"]
    assert frame.loc["all", "precision_at_2"] == 0.5


def test_nothing_wrong_is_nan():
    report = detection_report([False, False], [0.1, 0.9], [False, False], budgets=[1])
    assert np.isnan(report["average_precision"])
    assert np.isnan(report["roc_auc"])
    assert np.isnan(report["f1"])
    assert np.isnan(report["lift_at"][1])
    assert report["precision_at"][1] == 0


@pytest.mark.parametrize("budget", [0, 8, 0.0, 1.5, True, "all"])
def test_bad_budgets(budget):
    with pytest.raises(ValueError, match="A budget must be"):
        precision_at_budget(WRONG, QUALITY, budget)
    with pytest.raises(ValueError, match="A budget must be"):
        detection_report(WRONG, QUALITY, budgets=[budget])


def test_bad_input():
    with pytest.raises(ValueError, match="y_wrong must hold True and False"):
        detection_report([0, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"label_quality must hold one number .* \(3, 2\)"):
        precision_at_budget([True, False, True], np.zeros((3, 2)), 1)
    with pytest.raises(ValueError, match="label_quality has 2 entries"):
        detection_report(WRONG, [0.1, 0.2])
    with pytest.raises(ValueError, match="label_errors has 2 entries"):
        detection_report(WRONG, QUALITY, [True, False])
    with pytest.raises(ValueError, match="NaN in all rows"):
        precision_at_budget([True], [np.nan], 1)
