"""Scores for rare classes, and what noisy labels make of any score."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from skrobust.metrics import (
    expected_noisy_score,
    f1_gmean_score,
    geometric_mean_score,
    noise_corrected_score,
)
from skrobust.noise import flip_labels


def test_geometric_mean_by_hand():
    y, pred = [0, 0, 0, 0, 1, 1, 2], [0, 0, 0, 1, 1, 0, 2]
    assert geometric_mean_score(y, pred) == pytest.approx((0.75 * 0.5 * 1) ** (1 / 3))
    assert geometric_mean_score(y, [0] * 7) == 0
    assert geometric_mean_score(y, pred, labels=[2, 1, 0, 3]) == pytest.approx(0.375 ** (1 / 3))
    weight = [1, 1, 1, 0, 1, 1, 1]
    assert geometric_mean_score(y, pred, sample_weight=weight) == pytest.approx(0.5 ** (1 / 3))


def test_f1_and_geometric_mean(seed):
    rng = np.random.default_rng(seed)
    y, pred = rng.integers(2, size=(2, 50))
    f1, gmean = f1_gmean_score(y, pred)
    assert f1 == pytest.approx(f1_score(y, pred))
    recalls = recall_score(y, pred), recall_score(1 - y, 1 - pred)
    assert gmean == pytest.approx(np.sqrt(np.prod(recalls)))
    y, pred = rng.choice(["a", "b", "c"], size=(2, 50))
    assert f1_gmean_score(y, pred)[0] == pytest.approx(f1_score(y, pred, average="macro"))


@pytest.mark.parametrize(
    "metric", ["accuracy", "f1", "geometric_mean", "cohen_kappa", [[0, 1], [4, 0]]]
)
def test_expected_noisy_score_is_that_of_a_simulation(metric, seed):
    rng = np.random.default_rng(seed)
    n_rows = 400_000
    truth = (rng.random(n_rows) < 0.1).astype(int)
    right = rng.random(n_rows) < np.where(truth == 1, 0.8, 0.95)
    pred = np.where(right, truth, 1 - truth)
    given, _ = flip_labels(truth, [[0.97, 0.03], [0.3, 0.7]], random_state=seed)
    expected = expected_noisy_score(
        metric, tpr=0.8, tnr=0.95, prevalence=0.1, fpr_labels=0.03, fnr_labels=0.3
    )
    found = noise_corrected_score(given, pred, metric=metric, transition=np.eye(2))
    assert found.score == pytest.approx(expected, abs=4 * found.standard_error)


def test_expected_noisy_score_by_hand():
    rates = {"tpr": 0.9, "tnr": 0.8, "prevalence": 0.25}
    clean = expected_noisy_score("accuracy", **rates, fpr_labels=0, fnr_labels=0)
    assert clean == pytest.approx(0.25 * 0.9 + 0.75 * 0.8)
    noisy = expected_noisy_score("accuracy", **rates, fpr_labels=0.2, fnr_labels=0.2)
    assert noisy == pytest.approx(0.8 * clean + 0.2 * (1 - clean))


@pytest.mark.parametrize("name", ["tpr", "tnr", "prevalence", "fpr_labels", "fnr_labels"])
def test_rates_out_of_range_are_refused(name):
    rates = {"tpr": 0.9, "tnr": 0.8, "prevalence": 0.25, "fpr_labels": 0, "fnr_labels": 0}
    with pytest.raises(ValueError, match=rf"{name} must be .*got 1.5"):
        expected_noisy_score("f1", **rates | {name: 1.5})
    with pytest.raises(ValueError, match="no function of a confusion matrix"):
        expected_noisy_score("roc_auc", **rates)
