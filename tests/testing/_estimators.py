"""Sound estimators of a few lines, and estimators that are wrong in one way each."""

import dataclasses

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array, check_random_state

from skrobust.base import (
    DetectionResult,
    LabelErrorDetector,
    LabelledData,
    Reweighter,
    TransitionEstimator,
)
from skrobust.utils._sklearn import fit_context
from skrobust.wrappers._base import BaseWrapper, ClassifierWrapper
from skrobust.wrappers._training_set import given


def _class_distances(data):
    """Squared distances from the centre of each class, shape (n_samples, n_classes)."""
    rows = check_array(data.X, dtype=np.float64)
    weight = np.ones(data.n_samples) if data.sample_weight is None else data.sample_weight
    weight = np.where(data.used, weight, 0.0)
    centres = np.full((len(data.classes), rows.shape[1]), np.inf)
    for k in range(len(data.classes)):
        own = data.used & (data.y_train == k)
        if own.any():
            # Wrong labels drag a mean along, but hardly a median.
            centres[k] = _weighted_median(rows[own], weight[own])
    return ((rows[:, None, :] - centres) ** 2).sum(axis=2)


def _weighted_median(rows, weight):
    order = np.argsort(rows, axis=0)
    place = (np.cumsum(weight[order], axis=0) >= weight.sum() / 2).argmax(axis=0)
    return np.take_along_axis(rows, order, axis=0)[place, np.arange(rows.shape[1])]


class Centroids(LabelErrorDetector):
    """Flags rows that are nearer to the centre of another class."""

    _parameter_constraints = {
        **LabelErrorDetector._parameter_constraints,
        "random_state": ["random_state"],
    }

    def __init__(self, threshold=None, flag_fraction=None, max_flag_rate=0.8, random_state=None):
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.random_state = random_state

    def _detect(self, data):
        # A lone row is its own centre, which says nothing.
        distances = _class_distances(data)
        alone = np.bincount(data.y[data.y >= 0], minlength=len(data.classes)) < 2
        if alone.all():
            raise ValueError("Every class has one row only.")
        rows = np.arange(data.n_samples)
        own = distances[rows, data.y]
        others = distances.copy()
        others[rows, data.y] = np.inf
        best = others.argmin(axis=1)
        share = (others[rows, best] + 1e-9) / (own + others[rows, best] + 2e-9)
        quality = self._quality(data, share)
        quality[(data.y >= 0) & alone[data.y]] = np.nan
        return DetectionResult(
            quality, quality < 0.5, distances.argmin(axis=1), best, threshold=0.5
        )

    def _quality(self, data, quality):
        return quality


class RandomScores(Centroids):
    """Knows nothing, which scikit-learn's checks do not notice."""

    def _quality(self, data, quality):
        return check_random_state(self.random_state).uniform(0.4, 1, size=len(quality))


class TaggedRandomScores(RandomScores):
    """Knows nothing, and claims that scores depend on chance."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.exact_outputs = False
        return tags


class InSample(Centroids):
    """Scores rows by a model that was trained on them."""

    def _quality(self, data, quality):
        rows = check_array(data.X, accept_sparse=True)
        weight = None if data.sample_weight is None else data.sample_weight[data.used]
        model = LogisticRegression(C=10.0, tol=1e-8, max_iter=1000)
        model.fit(rows[data.used], data.y_train[data.used], sample_weight=weight)
        proba = np.zeros((len(quality), len(data.classes)))
        proba[:, model.classes_] = model.predict_proba(rows)
        return np.where(np.isnan(quality), np.nan, proba[np.arange(len(quality)), data.y])


class Noisy(Centroids):
    """Depends on chance a little, and has the tag of it."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.exact_outputs = False
        return tags

    def _quality(self, data, quality):
        rng = np.random.RandomState(self.random_state)
        _, unit = np.unique(check_array(data.X), axis=0, return_inverse=True)
        noise = rng.normal(scale=0.02, size=len(quality))
        return np.clip(quality + noise[unit.ravel()], 0, 1)


class NoisyAndUnfair(Noisy):
    """Trusts rows the more the later they come."""

    def _quality(self, data, quality):
        return super()._quality(data, quality) * np.linspace(0.8, 1, len(quality))


class BlindToWeights(Centroids):
    """Ignores weights."""

    def _detect(self, data):
        return super()._detect(dataclasses.replace(data, sample_weight=None))


class TrustsTheFirstClass(Centroids):
    """Depends on the names of classes: the first is always right."""

    def _quality(self, data, quality):
        return np.where(data.y == 0, 1.0, quality)


class WritesIntoX(Centroids):
    """Centres X in place."""

    def _detect(self, data):
        if isinstance(data.X, np.ndarray):
            data.X -= data.X.mean(axis=0)
        return super()._detect(data)


class GlobalGenerator(Centroids):
    """Draws from the generator of others."""

    def _detect(self, data):
        check_random_state(np.random).uniform()
        return super()._detect(data)


class Remembers(Centroids):
    """Takes something from one fit into the next."""

    def _quality(self, data, quality):
        self._n_fits = getattr(self, "_n_fits", 0) + 1
        return quality / self._n_fits


class TooEager(Centroids):
    """Flags the worst tenth, whatever the labels are like."""

    def _detect(self, data):
        result = super()._detect(data)
        threshold = np.nanquantile(result.quality, 0.1)
        return dataclasses.replace(result, errors=result.quality < threshold, threshold=None)


class AnyParameter(Centroids):
    """Validates nothing."""

    _parameter_constraints = {
        key: ["no_validation"] if key == "random_state" else [object]
        for key in Centroids._parameter_constraints
    }


class NearCentres(Reweighter):
    """Weighs rows by how near they are to the centre of their class."""

    def _weigh(self, data):
        distances = _class_distances(data)
        return 1 / (1 + distances[np.arange(data.n_samples), data.y_train])


class FarFromCentres(NearCentres):
    """Does the opposite."""

    def _weigh(self, data):
        return 1 / super()._weigh(data)


class CountsRows(NearCentres):
    """Has weights that depend on how many rows there are, weighed or not."""

    def _weigh(self, data):
        return super()._weigh(data) + 10 / data.n_samples


class CountsGuesses(TransitionEstimator):
    """Takes the class of the nearest centre for the true one."""

    def _joint(self, data):
        distances = _class_distances(data)
        guess = np.where(data.verified >= 0, data.verified, distances.argmin(axis=1))
        joint = np.zeros((len(data.classes), len(data.classes)))
        rows = data.used & (data.y >= 0)
        weight = 1.0 if data.sample_weight is None else data.sample_weight[rows]
        np.add.at(joint, (guess[rows], data.y[rows]), weight)
        return joint

    def _estimate(self, data):
        return self._joint(data)


class Transposed(CountsGuesses):
    """Confuses rows and columns."""

    def _estimate(self, data):
        return self._joint(data).T


class OrderOfNames(CountsGuesses):
    """Treats classes by the order of their names."""

    def _estimate(self, data):
        return self._joint(data) * np.linspace(1, 1.3, len(data.classes))


class PlainWrapper(ClassifierWrapper, BaseWrapper):
    """Trains a classifier on given labels, and on verified ones where there are any."""

    def __init__(self, estimator=None):
        self.estimator = estimator

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        final = self._prepare(data, params)
        training = self._choose(data)
        self._set_fitted_attributes(final, final.train(training), training.rows)
        return self

    def _choose(self, data):
        return given(data, data.sample_weight)


class IgnoresVerifiedLabels(PlainWrapper):
    """Takes verified labels and does not use them."""

    def _choose(self, data):
        return super()._choose(dataclasses.replace(data, verified=np.full(data.n_samples, -1)))


class IgnoresWeights(PlainWrapper):
    """Takes weights and does not use them."""

    def _choose(self, data):
        training = super()._choose(data)
        if training.weight is None:
            return training
        return dataclasses.replace(training, weight=np.ones(len(training.rows)))


class PrefersTheFirst(PlainWrapper):
    """Trains on rows of the first class twice."""

    def _choose(self, data):
        training = super()._choose(data)
        first = np.flatnonzero(training.targets == 0)
        return training.take(np.concatenate([np.arange(len(training.rows)), first]))
