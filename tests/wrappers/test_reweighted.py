"""What is particular to ReweightedClassifier; tests/test_common.py has what all wrappers share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skrobust.base import Reweighter
from skrobust.datasets import load_youtube_spam
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.weighting import ImportanceReweighter, QualityReweighter
from skrobust.wrappers import CleaningClassifier, LossCorrectedClassifier, ReweightedClassifier

CHEAP = QualityReweighter(ConfidentLearning(GaussianNB()))


@pytest.fixture
def noisy(seed):
    X, y = make_classification(
        400, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, random_state=seed
    )
    y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.25), random_state=seed)
    return X, y, y_noisy, flipped


class Recorder(GaussianNB):
    """Remembers what it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return super().fit(X, y, sample_weight)


class Fixed(Reweighter):
    """A reweighter with fixed weights."""

    _parameter_constraints: dict = {"weight": ["array-like"]}

    def __init__(self, weight):
        self.weight = weight

    def _weigh(self, data):
        return np.asarray(self.weight, dtype=float)


class Selects(Fixed):
    """One that only selects rows."""

    def fit_resample(self, X, y):
        self.fit(X, y)
        kept = np.flatnonzero(self.sample_weight_)
        return X[kept], y[kept]


def test_rows_are_trained_on_with_the_weights(noisy):
    X, _, y, flipped = noisy
    weight = np.where(flipped, 0.0, np.linspace(1, 2, 400))
    model = ReweightedClassifier(Recorder(), Fixed(weight)).fit(X, y)
    seen_X, seen_y, seen_weight = model.estimator_.seen_
    assert_array_equal(seen_X, X[~flipped])
    assert_array_equal(seen_y, y[~flipped])
    assert_allclose(seen_weight, model.reweighter_.sample_weight_[~flipped])
    assert_allclose(seen_weight.sum(), 400)


def test_weights_of_the_caller_count_as_well(noisy):
    X, true, y, _ = noisy
    prior = np.random.default_rng(0).uniform(0, 2, size=400)
    prior[::7] = 0
    verified = np.where(np.arange(400) < 50, true, np.nan)
    weight = np.linspace(1, 2, 400)
    model = ReweightedClassifier(Recorder(), Fixed(weight))
    model.fit(X, y, sample_weight=prior, verified_labels=verified)
    rows = prior > 0
    seen_X, seen_y, seen_weight = model.estimator_.seen_
    assert_array_equal(seen_X, X[rows])
    assert_array_equal(seen_y, np.where(np.arange(400) < 50, true, y)[rows])
    assert_allclose(seen_weight / seen_weight.sum(), (weight * prior)[rows] / (weight @ prior))
    assert_allclose(seen_weight.sum(), prior.sum())


def test_equal_weights_are_no_weights(noisy):
    X, _, y, flipped = noisy
    kept = ~flipped
    model = ReweightedClassifier(Recorder(), Selects(kept)).fit(X, y)
    assert_array_equal(model.estimator_.seen_[0], X[kept])
    assert model.estimator_.seen_[2] is None
    prior = np.random.default_rng(0).uniform(1, 2, size=400)
    model.fit(X, y, sample_weight=prior)
    assert_array_equal(model.estimator_.seen_[2], prior[kept])
    neighbors = ReweightedClassifier(KNeighborsClassifier(), Selects(kept)).fit(X, y)
    expected = KNeighborsClassifier().fit(X[kept], y[kept])
    assert_array_equal(neighbors.predict(X), expected.predict(X))
    with pytest.raises(TypeError, match="KNeighborsClassifier, but it takes none"):
        ReweightedClassifier(KNeighborsClassifier(), Selects(1.0 + kept)).fit(X, y)


def test_a_class_does_not_vanish(noisy):
    X, _, y, _ = noisy
    model = ReweightedClassifier(Recorder(), Fixed(np.where(y == 1, 0.0, 3.0))).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert_array_equal(model.estimator_.seen_[1], y)
    assert_allclose(model.estimator_.seen_[2][y == 1], 1)


def test_refused_input_is_refused_for_any_weight(noisy):
    X, _, y, _ = noisy
    X[7, 2] = np.nan
    weight = np.where(np.arange(400) == 7, 0.0, 1.0)
    with pytest.raises(ValueError, match="contains NaN"):
        ReweightedClassifier(LogisticRegression(), Fixed(weight)).fit(X, y)


def test_the_default_reweighter_depends_on_the_input(noisy):
    X, _, y, flipped = noisy
    model = ReweightedClassifier(random_state=0).fit(X, y)
    assert isinstance(model.reweighter_, QualityReweighter)
    assert model.reweighter_.random_state == 0
    assert isinstance(model.reweighter_.detector_, EnsembleDetector)
    assert model.reweighter_.detector_.estimators is None
    weight = model.reweighter_.sample_weight_
    assert weight[flipped].mean() < 0.5 < weight[~flipped].mean()
    data = load_youtube_spam()
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    model = ReweightedClassifier(pipeline).fit(data.data[:200], data.target[:200])
    assert model.reweighter_.detector_.estimators is not None
    assert set(model.predict(data.data[200:230])) <= {"ham", "spam"}


def test_parameters_reach_the_reweighter(noisy):
    X, _, y, _ = noisy
    model = ReweightedClassifier(Recorder(), CHEAP, cv=3, n_jobs=1, random_state=4).fit(X, y)
    params = model.reweighter_.get_params(deep=False)
    assert (params["cv"], params["n_jobs"], params["random_state"]) == (3, 1, 4)
    assert model.reweighter_ is not model.reweighter
    assert CHEAP.cv is None


class Counting(Fixed):
    """Counts its fits in a file, which is shared between processes."""

    _parameter_constraints: dict = {"path": [str], "random_state": ["random_state"]}

    def __init__(self, path, random_state=None):
        self.path = path
        self.random_state = random_state

    def _weigh(self, data):
        with open(self.path, "a") as file:
            file.write("x")
        return np.linspace(1, 2, data.n_samples)


def test_memory_weighs_once_per_fold_and_once_for_the_refit(noisy, tmp_path):
    X, _, y, _ = noisy
    fits = tmp_path / "fits"
    model = ReweightedClassifier(
        LogisticRegression(),
        Counting(str(fits)),
        random_state=0,
        memory=str(tmp_path / "cache"),
    )
    search = GridSearchCV(model, {"estimator__C": [0.1, 1, 10]}, cv=3).fit(X, y)
    assert fits.read_text() == "x" * 4
    assert search.best_estimator_.reweighter_.sample_weight_.shape == y.shape
    with pytest.raises(ValueError, match="set random_state to an integer"):
        model.set_params(random_state=None).fit(X, y)


class NoWeights(BaseEstimator):
    """Sets no weights."""

    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        return self


class WrongWeights(NoWeights):
    """Sets invalid weights."""

    def __init__(self, weight):
        self.weight = weight

    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        self.sample_weight_ = self.weight
        return self


@pytest.mark.parametrize(
    "reweighter, error, message",
    [
        (ConfidentLearning(), TypeError, r"is a detector: use QualityReweighter\(Confident"),
        (LogisticRegression(), TypeError, r"reweighter=LogisticRegression\(...\) must be a rew"),
        (Ridge(), TypeError, r"reweighter=Ridge\(...\) must be a reweighter"),
        (NoWeights(), TypeError, "NoWeights.*leaves no sample_weight_"),
        (WrongWeights(np.ones(3)), ValueError, "WrongWeights must be 400 finite"),
        (WrongWeights(-np.ones(400)), ValueError, "none negative"),
        (WrongWeights(np.full(400, np.nan)), ValueError, "finite"),
        (3, ValueError, "'reweighter' parameter"),
    ],
)
def test_what_is_no_reweighter_is_refused(reweighter, error, message, noisy):
    X, _, y, _ = noisy
    with pytest.raises(error, match=message):
        ReweightedClassifier(Recorder(), reweighter).fit(X, y)


def test_models_without_weights_are_refused_before_any_fit(noisy):
    X, _, y, _ = noisy

    class Never(Fixed):
        def _weigh(self, data):
            raise AssertionError("fitted nevertheless")

    with pytest.raises(TypeError, match="KNeighborsClassifier, but it takes none"):
        ReweightedClassifier(KNeighborsClassifier(), Never([1])).fit(X, y)


def test_wrappers_nest(noisy):
    X, true, y, _ = noisy
    transition = symmetric_transition(3, 0.25)
    importance = ImportanceReweighter(transition, GaussianNB())
    weighted = ReweightedClassifier(LogisticRegression(), importance).fit(X, y)
    corrected = LossCorrectedClassifier(
        LogisticRegression(), transition, evidence=GaussianNB()
    ).fit(X, y)
    assert_allclose(weighted.predict_proba(X), corrected.predict_proba(X))
    cleaned = CleaningClassifier(
        ReweightedClassifier(LogisticRegression(), CHEAP), ConfidentLearning(GaussianNB())
    )
    pipeline = make_pipeline(StandardScaler(), cleaned)
    grid = {"cleaningclassifier__estimator__reweighter__power": [1, 4]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.score(X, true) > 0.6


def test_groups_reach_the_detector_inside_the_reweighter(noisy):
    X, _, y, _ = noisy
    groups = np.arange(400) // 8
    model = ReweightedClassifier(GaussianNB(), CHEAP)
    weight = model.fit(X, y, groups=groups).reweighter_.sample_weight_
    assert_array_equal(weight, CHEAP.fit(X, y, groups=groups).sample_weight_)
    assert not np.array_equal(weight, model.fit(X, y).reweighter_.sample_weight_)
