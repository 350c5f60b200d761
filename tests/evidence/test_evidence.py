"""Tests of out-of-sample predictions as a value."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from skrobust.base import LabelledData
from skrobust.detection import EnsembleDetector
from skrobust.evidence import Evidence, OutOfFold

CLASSES = np.array(["cat", "dog"])


@pytest.mark.parametrize(
    ("proba", "message"),
    [
        ([0.5, 0.5], "column for each of 2 classes"),
        ([[0.2, 0.3, 0.5]], "column for each of 2 classes"),
        ([[1.2, -0.2]], "not negative"),
        ([[np.inf, 0.0]], "finite"),
        ([[0.5, np.nan]], "finite|not negative"),
        ([[0.5, 0.4]], "sums to 0.9"),
    ],
)
def test_evidence_refuses_what_is_no_probability(proba, message):
    with pytest.raises(ValueError, match=message):
        Evidence(proba, CLASSES)


def test_evidence_refuses_statistics_and_parts_that_do_not_match():
    with pytest.raises(ValueError, match=r"statistics\['margin'\] has 3 entries for 1 rows"):
        Evidence([[0.5, 0.5]], CLASSES, statistics={"margin": np.zeros(3)})
    part = Evidence([[0.5, 0.5]], CLASSES)
    with pytest.raises(ValueError, match="1 parts have 2 weights"):
        Evidence([[0.5, 0.5]], CLASSES, parts=[part], weights=[0.5, 0.5])


def test_evidence_is_immutable():
    evidence = Evidence([[0.9, 0.1]], CLASSES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        evidence.pred_proba = None
    with pytest.raises(ValueError, match="read-only"):
        evidence.pred_proba[0, 0] = 0.5


def test_evidence_predicts_new_rows_by_the_mean_of_its_models():
    X, y = load_iris(return_X_y=True)
    data = LabelledData.from_arrays(X, y)
    evidence = OutOfFold(GaussianNB(), cv=3).collect(data)
    assert evidence.mask.all()
    expected = np.mean([model.predict_proba(X[::10]) for model in evidence.models], axis=0)
    np.testing.assert_allclose(evidence.predict(X[::10]), expected)
    assert len(evidence.without_rows().pred_proba) == 0
    np.testing.assert_allclose(evidence.without_rows().predict(X[::10]), expected)


class CountingVectorizer(TfidfVectorizer):
    """Counts its fits."""

    fits = 0

    def fit_transform(self, raw_documents, y=None):
        type(self).fits += 1
        return super().fit_transform(raw_documents, y)


def test_first_steps_of_a_pipeline_are_fitted_once_per_fold():
    words = {0: ["red", "apple", "pear"], 1: ["fast", "car", "road"]}
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    texts = [" ".join(rng.choice(words[label], 4)) + f" w{i}" for i, label in enumerate(y)]
    pipeline = make_pipeline(CountingVectorizer(), LogisticRegression())
    fits = []
    for models in ([pipeline], [pipeline, "auto"]):
        CountingVectorizer.fits = 0
        detector = EnsembleDetector(models, cv=3, n_rounds=1, random_state=0).fit(texts, y)
        fits.append(CountingVectorizer.fits)
    assert len(detector.weights_) > 2
    assert fits[1] <= fits[0] + 1  # once on all rows, for their neighbours
    assert_array_equal(detector.label_errors_, False)
