"""Tests of the noise level."""

import pytest

from skrobust.base import NoiseLevel


def test_corrections_assume_less_noise_than_estimated():
    assert NoiseLevel(0.2, 0.14, 0.3).correction_rate == pytest.approx(0.18)
    assert NoiseLevel(0.2, 0.2, 0.3).correction_rate == pytest.approx(0.2)


def test_corrections_assume_no_noise_where_none_is_plausible():
    assert NoiseLevel(0.2, 0.0, 0.3).correction_rate == 0
    assert NoiseLevel(0.2, 0.0, 0.3, explained=True).correction_rate == 0


def test_corrections_keep_to_the_lower_end_where_the_rate_is_unknown():
    assert NoiseLevel(0.2, 0.1, 0.3, explained=True).correction_rate == pytest.approx(0.1)
