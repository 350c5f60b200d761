"""Functions for numeric targets, for predictions from elsewhere."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import cross_val_predict

from skrobust.detection import find_target_errors, target_quality_scores


@pytest.fixture
def numbers(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 3))
    y = X @ [1.0, -2, 0] + 0.2 * rng.normal(size=300)
    wrong = np.arange(300) % 15 == 0
    y[wrong] += rng.choice([-1, 1], wrong.sum()) * rng.uniform(2, 4, wrong.sum())
    return X, y, cross_val_predict(LinearRegression(), X, y, cv=5), wrong


def test_wrong_targets_are_found(numbers):
    _, y, predictions, wrong = numbers
    quality, errors = target_quality_scores(y, predictions), find_target_errors(y, predictions)
    assert average_precision_score(wrong, 1 - quality) > 0.97
    assert f1_score(wrong, errors) > 0.85
    assert quality[errors].max() < quality[~errors].min()
    y[3] = np.nan
    assert np.isnan(target_quality_scores(y, predictions)[3])
    assert not find_target_errors(y, predictions)[3]


def test_uncertainty_and_weights_of_targets(numbers):
    _, y, predictions, _ = numbers
    scale = np.where(np.arange(300) < 150, 1.0, 100.0)
    noisy = predictions + scale * (y - predictions)
    np.testing.assert_allclose(
        target_quality_scores(noisy, predictions, uncertainty=scale),
        target_quality_scores(y, predictions),
    )
    weight = 1 + np.arange(300) % 3
    many = np.repeat(np.arange(300), weight)
    np.testing.assert_array_equal(
        find_target_errors(y, predictions, sample_weight=weight)[many],
        find_target_errors(y[many], predictions[many]),
    )
    assert not find_target_errors(predictions, predictions).any()


@pytest.mark.parametrize(
    "function, args, options, message",
    [
        (find_target_errors, ([1, 2], [1]), {}, "one prediction per target, 2, got 1"),
        (find_target_errors, ([1, 2], [1, np.nan]), {}, "y_pred is NaN in row 1"),
        (find_target_errors, ([np.nan], [1]), {}, "all are missing"),
        (target_quality_scores, ([1, 2], [1, 2]), {"uncertainty": [1, 0]}, "positive numbers"),
    ],
)
def test_bad_predictions(function, args, options, message):
    with pytest.raises(ValueError, match=message):
        function(*args, **options)
