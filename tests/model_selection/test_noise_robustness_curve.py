"""Curves of clean scores over noise rates."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skrobust.model_selection import noise_robustness_curve

KINDS = ["symmetric", "pair", "instance", "grouped", "features"]


@pytest.fixture
def blobs(seed):
    return make_blobs(300, centers=[[0, 0], [5, 0], [0, 5]], random_state=seed)


def test_all_kinds_in_one_sweep(blobs):
    X, y = blobs
    curve = noise_robustness_curve(
        KNeighborsClassifier(1), X, y, rates=[0, 0.4], kind=KINDS, n_repeats=2, random_state=0
    )
    assert curve.kinds == KINDS
    assert curve.rates.tolist() == [0, 0.4]
    for kind in KINDS:
        scores = curve.scores[kind]
        assert scores.shape == (2, 2)
        assert scores[0].mean() > scores[1].mean() + 0.05
        # Without noise, the same rows and the same labels.
        assert scores[0].tolist() == curve.scores["symmetric"][0].tolist()
    assert "models" not in curve


def test_models_are_those_that_were_scored(blobs):
    X, y = blobs
    options = {"rates": [0.0, 0.3], "n_repeats": 2, "random_state": 1, "return_models": True}
    curve = noise_robustness_curve(GaussianNB(), X, y, scoring="accuracy", **options)
    assert [len(row) for row in curve.models["symmetric"]] == [2, 2]
    assert curve.models["symmetric"][0][0].score(X, y) > 0.9
    again = noise_robustness_curve(GaussianNB(), X, y, scoring="accuracy", n_jobs=2, **options)
    assert again.scores["symmetric"].tolist() == curve.scores["symmetric"].tolist()


def test_groups_are_wrong_together(blobs):
    X, y = blobs
    y = np.repeat([0, 1, 2], 100)
    groups = np.arange(300) // 10
    curve = noise_robustness_curve(
        KNeighborsClassifier(1),
        X,
        y,
        rates=[0.3],
        kind="grouped",
        groups=groups,
        n_repeats=1,
        return_models=True,
        random_state=0,
    )
    assert 0 <= curve.scores["grouped"][0, 0] <= 1


def test_text_passes_through():
    X = ["good fine", "bad awful", "fine good", "awful bad"] * 20
    y = ["pro", "con"] * 40
    model = make_pipeline(CountVectorizer(), MultinomialNB())
    curve = noise_robustness_curve(model, X, y, rates=[0, 0.2], kind="pair", random_state=0)
    assert curve.scores["pair"][0].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="need a numeric table"):
        noise_robustness_curve(model, X, y, kind="features")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "gamma"}, "kind must be"),
        ({"kind": []}, "kind must be"),
        ({"kind": ["pair", "pair"]}, "kind must be"),
        ({"rates": [1.0]}, "rates must be"),
        ({"rates": []}, "rates must be"),
        ({"rates": 0.1}, "rates must be"),
        ({"n_repeats": 0}, "n_repeats"),
        ({"test_size": 1.0}, "test_size"),
    ],
)
def test_bad_input_is_refused(options, message):
    X, y = np.zeros((20, 1)), np.repeat([0, 1], 10)
    with pytest.raises(ValueError, match=message):
        noise_robustness_curve(GaussianNB(), X, y, **options)
    with pytest.raises(ValueError, match="1 missing labels"):
        noise_robustness_curve(GaussianNB(), X, np.where(np.arange(20) == 3, np.nan, y))
