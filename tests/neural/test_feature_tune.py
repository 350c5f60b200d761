"""What is particular to feature tuning; tests/test_common.py has what all estimators share."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skrobust.neural import FeatureTuneClassifier, FeatureTuneTransformer, NeuralClassifier
from skrobust.neural._feature_tune import (
    TunedFeatures,
    distance_moved,
    dominance,
    redundancy,
)

QUICK = {"max_epochs": 8, "learning_rate": 0.01, "device": "cpu", "random_state": 0}


@pytest.fixture
def rows(seed):
    rng = np.random.default_rng(seed)
    y = np.arange(300) % 3
    return rng.normal(size=(300, 6)) + 3 * np.eye(3, 6)[y], y


def test_the_terms(seed):
    rng = np.random.default_rng(seed)
    given, tuned = rng.normal(size=(2, 20, 4))
    first, second = torch.tensor(given), torch.tensor(tuned)
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (given, tuned)]
    assert_allclose(distance_moved(first, second), np.mean((unit[0] - unit[1]) ** 2))
    covariance = np.cov(tuned.T)
    off = covariance - np.diag(np.diag(covariance))
    assert_allclose(redundancy(second), (off**2).sum() / 4)
    values = np.linalg.svd(tuned, compute_uv=False)
    assert_allclose(dominance(second), values[:5].mean() / values.sum())


def test_a_batch_of_low_rank_has_finite_gradients():
    for tuned in (torch.zeros(5, 8), torch.ones(5, 8), torch.eye(5, 8).repeat(2, 1)):
        tuned.requires_grad_()
        (dominance(tuned) + redundancy(tuned) + distance_moved(tuned.detach(), tuned)).backward()
        assert torch.isfinite(tuned.grad).all()


def test_without_weights_it_is_a_plain_network(rows):
    X, y = rows
    tuned = FeatureTuneClassifier(closeness=0, decorrelation=0, spectrum=0, **QUICK).fit(X, y)
    plain = NeuralClassifier(
        TunedFeatures,
        **QUICK,
        optimizer="adamw",
        weight_decay=1e-4,
        ema_decay=None,
        learning_rate_schedule="cosine",
    ).fit(X, y)
    assert_array_equal(tuned.predict_proba(X), plain.predict_proba(X))


@pytest.mark.parametrize("term", ["closeness", "decorrelation", "spectrum"])
def test_each_term_does_what_it_is_for(term, rows):
    X, y = rows

    def value(weight):
        weights = {"closeness": 0, "decorrelation": 0, "spectrum": 0, term: weight}
        model = FeatureTuneClassifier(**weights, **QUICK).fit(X, y)
        given, tuned = torch.tensor(X), torch.tensor(model.transform(X)).double()
        if term == "closeness":
            return float(distance_moved(given, tuned))
        return float(redundancy(tuned)) if term == "decorrelation" else -float(dominance(tuned))

    assert value(100) < value(0)


def test_transforms(rows):
    X, y = rows
    classifier = FeatureTuneClassifier(**QUICK)
    pipeline = make_pipeline(FeatureTuneTransformer(classifier), LogisticRegression()).fit(X, y)
    assert pipeline.score(X, y) > 0.9
    tuned = classifier.fit(X, y).transform(X)
    assert_array_equal(pipeline[0].transform(X), tuned)
    assert tuned.shape == X.shape
    assert pipeline[0].get_feature_names_out()[0] == "featuretunetransformer0"
    other = FeatureTuneTransformer(classifier, random_state=1).fit(X, y)
    assert other.classifier_.random_state == 1
    assert not np.array_equal(other.transform(X), tuned)
    with pytest.raises(ValueError, match="classifier"):
        FeatureTuneTransformer(LogisticRegression()).fit(X, y)
