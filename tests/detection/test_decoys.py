"""Curves of decoys against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skrobust.detection._decoys import decoy_curve


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([3, 1000]))
def test_against_brute_force(seed, weighted, n_levels):
    rng = np.random.default_rng(seed)
    quality = rng.integers(0, n_levels, 40) / n_levels
    table = rng.integers(0, n_levels, (40, 3)) / n_levels
    decoy_weight = rng.random((40, 3))
    weight = rng.random(40) + 0.01 if weighted else None
    curve = decoy_curve(quality, table, decoy_weight, weight)
    assert_array_equal(curve.thresholds, np.unique(quality))
    own = np.ones(40) if weight is None else weight
    for at, flagged, recall in zip(curve.thresholds, curve.flagged, curve.recall, strict=True):
        assert flagged == pytest.approx(own[quality <= at].sum() / own.sum())
        assert recall == pytest.approx(decoy_weight[table <= at].sum() / decoy_weight.sum())
    rate = 0.3
    estimate = np.minimum(1, rate * curve.recall / curve.flagged)
    assert_allclose(curve.precision(rate), estimate)
    f1 = [2 * p * f / (f + rate) for p, f in zip(estimate, curve.flagged, strict=True)]
    place = curve.best(rate)
    assert (place is None and max(f1) == 0) or f1[place] == pytest.approx(max(f1))
    for wanted in (0.2, 0.6, 0.95):
        enough = [i for i, p in enumerate(estimate) if p >= wanted]
        assert curve.best(rate, wanted) == (enough[-1] if enough else None)


def test_no_errors_and_no_decoys_flag_nothing():
    curve = decoy_curve(np.array([0.1, 0.9]), np.empty(0), np.empty(0))
    assert_array_equal(curve.recall, [0, 0])
    assert curve.best(0.5) is None
    curve = decoy_curve(np.array([0.1, 0.9]), np.array([0.1]), np.ones(1))
    assert curve.best(0.0) is None
    assert curve.best(0.5) == 0
    empty = decoy_curve(np.empty(0), np.array([0.1]), np.ones(1))
    assert empty.best(0.5) is None
