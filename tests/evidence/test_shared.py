"""Evidence that two parts of one estimator want is gathered once, any other as often as asked."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.feature_selection import SelectKBest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline

from skrobust.base import LabelledData
from skrobust.evidence._shared import shared_evidence
from skrobust.testing._problems import make_rows
from skrobust.weighting import ImportanceReweighter
from tests._stand_ins import counted

# Whatever looks at the probabilities of one classifier.
Source = ImportanceReweighter
MODEL, FITS = counted(GaussianNB())


def _pipeline(k=3):
    return Pipeline([("select", SelectKBest(k=k)), ("model", MODEL)])


@pytest.fixture
def data(seed):
    FITS.clear()
    X, y, _ = make_rows(60, seed=seed)
    return LabelledData.from_arrays(X, y, sample_weight=np.ones(60))


def _gather(source, data):
    return source._gather_evidence(data).pred_proba


def test_equal_questions_are_answered_once(data):
    expected = _gather(Source(estimator=MODEL), data)
    assert len(FITS) == 5
    with shared_evidence():
        first = _gather(Source(estimator=MODEL, n_jobs=1), data)
        assert len(FITS) == 10
        second = _gather(Source(estimator=MODEL, cv=5), dataclasses.replace(data))
        assert len(FITS) == 10
        assert_array_equal(first, expected)
        first[:] = second[:] = -1  # each is the caller's own
        assert_array_equal(_gather(Source(estimator=MODEL), data), expected)
        assert len(FITS) == 10
    _gather(Source(estimator=MODEL), data)
    assert len(FITS) == 15
    with shared_evidence():
        _gather(Source(estimator=MODEL), data)
    assert len(FITS) == 20, "nothing is kept from one time to the next"


def test_parts_of_pipelines_are_compared(data):
    weightless = dataclasses.replace(data, sample_weight=None)
    with shared_evidence():
        for k, n_fits in ((3, 5), (3, 5), (2, 10), (3, 15)):
            _gather(Source(estimator=_pipeline(k)), weightless)
            assert len(FITS) == n_fits


def test_any_difference_is_another_question(data):
    other = np.roll(data.y, 1)
    verified = np.where(np.arange(60) < 5, other, -1)
    folds = np.arange(60) % 5
    splits = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(5)]
    questions = [
        (Source(estimator=MODEL), data),
        (Source(estimator=MODEL, cv=4), data),
        (Source(estimator=MODEL, cv=splits), data),
        (Source(estimator=MODEL, cv=splits[::-1]), data),
        (Source(estimator=MODEL, random_state=1), data),
        (Source(estimator=MODEL, random_state=np.random.RandomState(1)), data),
        (Source(estimator=type(MODEL)(var_smoothing=0.1)), data),
        (Source(estimator=MODEL), dataclasses.replace(data, X=data.X.copy())),
        (Source(estimator=MODEL), dataclasses.replace(data, y=other)),
        (Source(estimator=MODEL), dataclasses.replace(data, verified=verified)),
        (Source(estimator=MODEL), dataclasses.replace(data, sample_weight=1 + folds)),
        (Source(estimator=MODEL), dataclasses.replace(data, sample_weight=None)),
        (Source(estimator=MODEL), dataclasses.replace(data, groups=np.arange(60) // 2)),
    ]
    with shared_evidence():
        for question in questions:
            before = len(FITS)
            _gather(*question)
            assert len(FITS) > before
            before = len(FITS)
            _gather(*question)
            assert len(FITS) == before


def test_what_a_model_asks_for_is_a_part_of_the_question(data):
    asks = type(MODEL)().set_fit_request
    with config_context(enable_metadata_routing=True), shared_evidence():
        _gather(Source(estimator=asks(sample_weight=True)), data)
        _gather(Source(estimator=type(MODEL)().set_fit_request(sample_weight=False)), data)
    assert len(FITS) == 10
