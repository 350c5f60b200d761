"""Functions for rows with several labels, for probabilities from elsewhere."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from skrobust.detection import (
    MultilabelDetector,
    find_label_errors,
    find_multilabel_errors,
    multilabel_quality_scores,
)


@pytest.fixture
def tags(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 3))
    y = (X > 0.3).astype(int)
    planted = rng.random(y.shape) < 0.05
    return X, np.where(planted, 1 - y, y), planted


def test_wrong_entries_are_those_of_the_detector(tags):
    X, y, planted = tags
    detector = MultilabelDetector(LogisticRegression()).fit(X, y)
    proba = np.where(y == 1, detector.entry_quality_, 1 - detector.entry_quality_)
    errors = find_multilabel_errors(y, proba)
    np.testing.assert_array_equal(errors, detector.entry_errors_)
    assert f1_score(planted.ravel(), errors.ravel()) > 0.7
    np.testing.assert_allclose(multilabel_quality_scores(y, proba), detector.label_quality_)
    entries = multilabel_quality_scores(y, proba, entries=True)
    np.testing.assert_allclose(entries, detector.entry_quality_)
    for rule in ("prune_by_noise_rate", "predicted_neq_given"):
        expected = find_label_errors(
            y[:, 1], np.column_stack([1 - proba[:, 1], proba[:, 1]]), rule=rule
        )
        found = find_multilabel_errors(y, proba, rule=rule)[:, 1]
        assert (found == expected).mean() > 0.99  # ties between classes go by another order


def test_frames_of_entries_are_matched_by_name(tags):
    _, y, _ = tags
    frame = pd.DataFrame(y, columns=["red", "big", "old"], index=np.arange(300) + 1)
    proba = pd.DataFrame(
        np.random.default_rng(0).uniform(size=y.shape), columns=frame.columns, index=frame.index
    )
    expected = find_multilabel_errors(y, proba.to_numpy())
    found = find_multilabel_errors(frame, proba[["old", "red", "big"]].astype("Float64"))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="pred_proba has the columns"):
        find_multilabel_errors(frame, proba.set_axis(["a", "b", "c"], axis=1))
    with pytest.raises(ValueError, match="index of pred_proba"):
        find_multilabel_errors(frame, proba.iloc[::-1])


def test_cleanlab_gives_rows_the_same_scores(cleanlab, tags):
    from cleanlab.multilabel_classification import get_label_quality_scores

    _, y, _ = tags
    proba = np.random.default_rng(1).uniform(size=y.shape)
    labels = [np.flatnonzero(row).tolist() for row in y]
    theirs = get_label_quality_scores(labels, proba)
    np.testing.assert_allclose(multilabel_quality_scores(y, proba), theirs)


@pytest.mark.parametrize(
    "function, args, options, message",
    [
        (find_multilabel_errors, ([[0, 1]], [[0.5]]), {}, r"must have the shape \(1, 2\)"),
        (find_multilabel_errors, ([[0, 1]], [[0.5, 2]]), {}, r"must lie in \[0, 1\]"),
        (find_multilabel_errors, ([[0, 2]], [[0.5, 1]]), {}, "0, 1 and missing entries only"),
        (find_multilabel_errors, ([[0, 1]], [[0.5, 1]]), {"rule": "x"}, "rule must be one of"),
        (multilabel_quality_scores, ([[0]], [[1]]), {"aggregate": "sum"}, "aggregate must be"),
        (multilabel_quality_scores, ([[0]], [[1]]), {"alpha": 2}, "alpha must be in"),
    ],
)
def test_bad_predictions(function, args, options, message):
    with pytest.raises(ValueError, match=message):
        function(*args, **options)
