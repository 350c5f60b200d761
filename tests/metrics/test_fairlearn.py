"""Metrics by group, with fairlearn."""

import numpy as np
import pytest

from skrobust.metrics import geometric_mean_score, noise_corrected_score
from skrobust.noise import flip_labels, symmetric_transition


def test_metric_frame_takes_our_metrics(seed):
    fairlearn = pytest.importorskip("fairlearn.metrics")
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=2000)
    group = rng.choice(["a", "b"], size=2000)
    accuracy = np.where(group == "a", 0.95, 0.8)
    pred = np.where(rng.random(2000) < accuracy, truth, 1 - truth)
    transition = symmetric_transition(2, 0.2)
    given, _ = flip_labels(truth, transition, random_state=seed)

    def corrected(y_true, y_pred):
        return noise_corrected_score(y_true, y_pred, transition=transition).score

    frame = fairlearn.MetricFrame(
        metrics={"accuracy": corrected, "gmean": geometric_mean_score},
        y_true=given,
        y_pred=pred,
        sensitive_features=group,
    )
    assert frame.by_group.loc["a", "accuracy"] == pytest.approx(0.95, abs=0.06)
    assert frame.by_group.loc["b", "accuracy"] == pytest.approx(0.8, abs=0.06)
