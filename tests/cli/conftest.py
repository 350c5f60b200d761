"""Fixtures for the tests of the command line."""

import pytest


@pytest.fixture
def quick_fit(monkeypatch):
    """Put something fast in the place of the detector, for tests of all that is around it."""
    pytest.importorskip("pandas")
    from skrobust._cli import _audit
    from tests.cli._tables import quick_fit

    monkeypatch.setattr(_audit, "fit", quick_fit)
