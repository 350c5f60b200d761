"""Which rows to review: more errors, or a narrower interval."""

import numpy as np
import pytest
from scipy import sparse

from skrobust.metrics import noise_corrected_score
from skrobust.model_selection import ReviewBudgetAllocator


def _regional(seed, n_rows=800):
    """Errors in one region, and a quality that ranks them hardly better than chance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    truth = (X[:, 0] > 0).astype(int)
    given = np.where(X[:, 1] > 1.2, 1 - truth, truth)
    quality = np.clip(rng.random(n_rows) - 0.1 * (given != truth), 0, 1)
    return X, given, truth, quality


def _review(allocator, X, given, truth, quality, n_rows, batch=20):
    verified = np.full(len(given), np.nan)
    while np.count_nonzero(~np.isnan(verified)) < n_rows:
        rows = allocator.allocate(batch, given, quality, X=X, verified_labels=verified)
        assert np.isnan(verified[rows]).all()
        verified[rows] = truth[rows]
    return np.count_nonzero(~np.isnan(verified) & (verified != given))


def test_what_errors_have_in_common_is_learned(seed):
    X, given, truth, quality = _regional(seed)
    found = _review(ReviewBudgetAllocator(random_state=0), X, given, truth, quality, 200)
    lowest = np.argsort(quality)[:200]
    assert found > 1.5 * np.count_nonzero(given[lowest] != truth[lowest])
    sparse_found = _review(
        ReviewBudgetAllocator(random_state=0), sparse.csr_matrix(X), given, truth, quality, 200
    )
    assert sparse_found > 1.3 * np.count_nonzero(given[lowest] != truth[lowest])


def test_a_good_quality_is_followed(seed):
    rng = np.random.default_rng(seed)
    X, given, truth, _ = _regional(seed)
    wrong = given != truth
    quality = np.where(wrong, rng.beta(2, 6, len(given)), rng.beta(6, 2, len(given)))
    found = _review(ReviewBudgetAllocator(random_state=0), X, given, truth, quality, 60)
    assert found >= 0.8 * np.count_nonzero(wrong[np.argsort(quality)[:60]])


def test_without_labels_each_cluster_has_its_share():
    X = np.repeat([[0.0], [10.0]], 50, axis=0) + np.arange(100)[:, None] * 1e-3
    given = np.zeros(100, dtype=int)
    given[::2] = 1
    quality = np.repeat([0.4, 0.7], 50)  # .6 and .3 are expected to be wrong
    rows = ReviewBudgetAllocator(n_clusters=2, random_state=0).allocate(30, given, quality, X=X)
    assert np.count_nonzero(rows < 50) == 20
    alone = ReviewBudgetAllocator().allocate(30, given, quality)
    assert (alone < 50).all()


def test_equal_rows_are_reviewed_once():
    X = np.repeat(np.arange(20.0), 5)[:, None]
    given = np.tile([0, 0, 0, 0, 1], 20)
    allocator = ReviewBudgetAllocator(random_state=0)
    rows = allocator.allocate(40, given, np.full(100, 0.5), X=X)
    pairs = set(zip(X[rows, 0].tolist(), given[rows].tolist()))
    assert len(pairs) == 40
    verified = np.full(100, np.nan)
    verified[:4] = 0
    rows = allocator.allocate(39, given, np.full(100, 0.5), X=X, verified_labels=verified)
    assert (0.0, 0) not in set(zip(X[rows, 0].tolist(), given[rows].tolist()))


def test_measuring_draws_with_known_probabilities():
    totals, scores = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=1500)
        pred = np.where(rng.random(1500) < 0.9, truth, 1 - truth)
        wrong = rng.random(1500) < 0.15
        given = np.where(wrong, 1 - truth, truth)
        quality = np.where(wrong, rng.beta(2, 6, 1500), rng.beta(8, 1.5, 1500))
        allocator = ReviewBudgetAllocator(purpose="measure", random_state=seed)
        rows = allocator.allocate(150, given, quality, y_pred=pred)
        assert len(rows) == 150
        weight = allocator.verified_weight_
        assert np.flatnonzero(weight).tolist() == rows.tolist()
        totals.append(weight.sum())
        verified = np.full(1500, np.nan)
        verified[rows] = truth[rows]
        options = {"verified_labels": verified, "label_quality": quality}
        found = noise_corrected_score(given, pred, verified_weight=weight, **options)
        plain = np.full(1500, np.nan)
        drawn = rng.choice(1500, 150, replace=False)
        plain[drawn] = truth[drawn]
        random = noise_corrected_score(given, pred, verified_labels=plain)
        scores.append((found.score - 0.9, found.standard_error, random.standard_error))
    assert np.mean(totals) == pytest.approx(1500, rel=0.05)
    gaps, errors, random_errors = np.array(scores).T
    assert abs(gaps.mean()) < 3 * np.std(gaps) / np.sqrt(30) + 0.005
    # The interval of as many rows drawn with equal probabilities takes seventy per cent of them.
    assert errors.mean() < np.sqrt(0.7) * random_errors.mean()


def test_rows_without_label_or_quality_are_never_chosen():
    given = np.array([0, 1, np.nan, 1, 0])
    quality = np.array([0.5, np.nan, 0.1, 0.9, 0.2])
    rows = ReviewBudgetAllocator().allocate(10, given, quality)
    assert rows.tolist() == [4, 0, 3]


@pytest.mark.parametrize(
    ("parameters", "options", "message"),
    [
        ({"purpose": "win"}, {}, "purpose must be"),
        ({"n_clusters": 0}, {}, "n_clusters must be"),
        ({}, {"n_rows": 0}, "n_rows must be"),
        ({}, {"label_quality": [0.5, 2, 0]}, r"in \[0, 1\]"),
        ({}, {"label_quality": [0.5]}, "1 entries, but y has 3"),
        ({}, {"X": np.zeros((2, 1))}, "X has 2 rows"),
        ({}, {"verified_labels": [0, 1, 1]}, "No row is left"),
        ({}, {"verified_labels": [0]}, "1 entries, but y has 3"),
        (
            {"purpose": "measure"},
            {"verified_labels": [0, np.nan, np.nan]},
            "draws all rows at once",
        ),
        ({"purpose": "measure"}, {"y_pred": [0, 1]}, "y_pred has 2 entries"),
    ],
)
def test_bad_input_is_refused(parameters, options, message):
    arguments = {"n_rows": 1, "y": [0, 1, 1], "label_quality": [0.1, 0.2, 0.3]} | options
    allocator = ReviewBudgetAllocator(**parameters)
    with pytest.raises(ValueError, match=message):
        allocator.allocate(**arguments)
