import numpy as np
import pytest

from skrobust.noise import pair_transition, random_transition, symmetric_transition


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9, 1.0])
def test_rows_sum_to_one_and_rate_is_met(n_classes, rate):
    for matrix in (
        symmetric_transition(n_classes, rate),
        pair_transition(n_classes, rate),
        random_transition(n_classes, rate, random_state=0),
    ):
        assert matrix.shape == (n_classes, n_classes)
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
        np.testing.assert_allclose(1 - np.trace(matrix) / n_classes, rate, atol=1e-12)


def test_symmetric_include_self_keeps_less_noise():
    matrix = symmetric_transition(10, 0.4, include_self=True)
    np.testing.assert_allclose(1 - matrix.diagonal(), 0.36)
    np.testing.assert_allclose(matrix[0, 1:], 0.04)


def test_pair_goes_to_the_next_class():
    np.testing.assert_allclose(pair_transition(3, 0.3)[2], [0.3, 0, 0.7])


def test_random_is_repeatable_and_varied():
    a, b = random_transition(5, 0.3, random_state=1), random_transition(5, 0.3, random_state=1)
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, random_transition(5, 0.3, random_state=2))
    assert np.ptp(a.diagonal()) > 0.01
    assert (a.diagonal() > 0.5).all()


@pytest.mark.parametrize("make", [symmetric_transition, pair_transition, random_transition])
@pytest.mark.parametrize("n_classes, rate", [(1, 0.1), (3, -0.1), (3, 1.5), (2.5, 0.1)])
def test_bad_values_are_named(make, n_classes, rate):
    name = "n_classes" if n_classes in (1, 2.5) else "rate"
    with pytest.raises(ValueError, match=name):
        make(n_classes, rate)
