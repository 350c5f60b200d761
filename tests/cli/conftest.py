"""Fixtures for the tests of the command line."""

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture
def quick_fit(monkeypatch):
    """Put something fast in the place of the detector, for tests of all that is around it.

    Every seventh row is flagged, and the class of the row before it is suggested.
    """
    from skrobust._cli import _audit

    def fit(options, found):
        rows = np.delete(np.arange(found.table.n_rows), found.labels.total_rows)
        given = found.labels.spelled(found.labels.codes[rows])
        flagged = (np.arange(len(rows)) % 7 == 6) & np.array([g is not None for g in given])
        filled = given.copy()
        filled[[word is None for word in given]] = found.labels.classes[0]
        suggested = np.where(flagged, np.roll(filled, 1), filled)
        detector = SimpleNamespace(
            label_quality_=np.where(flagged, 0.25, 0.75),
            label_errors_=flagged,
            suggested_labels_=suggested,
            corrected_labels_=suggested,
            noise_rate_=flagged.mean(),
        )
        return detector, rows, []

    monkeypatch.setattr(_audit, "fit", fit)
