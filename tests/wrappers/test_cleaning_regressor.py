"""What is particular to CleaningRegressor; tests/test_common.py holds what all wrappers share."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.datasets import make_friedman1
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from skrobust.detection import ResidualDetector
from skrobust.wrappers import CleaningRegressor

CHEAP = ResidualDetector(Ridge())


class Recorder(Ridge):
    """Remembers what it was fitted on."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return super().fit(X, y, sample_weight)


class Fixed(BaseEstimator):
    """A detector with fixed flags."""

    def __init__(self, errors, suggestions=None):
        self.errors = errors
        self.suggestions = suggestions

    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        self.label_errors_ = np.asarray(self.errors)
        self.label_quality_ = np.where(self.label_errors_, 0.25, 1.0)
        self.keep_weight_ = np.where(self.label_errors_, 0.0, weight)
        if self.suggestions is not None:
            self.suggested_labels_ = self.suggestions
        return self


@pytest.fixture
def noisy(seed):
    X, y = make_friedman1(200, noise=0.5, random_state=seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(200) < 0.1
    return X, y, np.where(wrong, y + 30, y), wrong


def test_drop(noisy):
    X, _, y, wrong = noisy
    model = CleaningRegressor(Recorder(), Fixed(wrong)).fit(X, y)
    assert_array_equal(model.estimator_.seen_[0], X[~wrong])
    assert_array_equal(model.estimator_.seen_[1], y[~wrong])
    assert model.estimator_.seen_[2] is None
    weight = np.arange(200.0)
    model.fit(X, y, sample_weight=weight)
    assert_array_equal(model.estimator_.seen_[2], weight[~wrong & (weight > 0)])


def test_relabel(noisy):
    X, true, y, wrong = noisy
    model = CleaningRegressor(Recorder(), Fixed(wrong, true), action="relabel").fit(X, y)
    assert_array_equal(model.estimator_.seen_[1], true)
    suggested = np.where(np.arange(200) < 100, true, np.nan)
    model = CleaningRegressor(Recorder(), Fixed(wrong, suggested), action="relabel").fit(X, y)
    unknown = wrong & (np.arange(200) >= 100)
    assert_array_equal(model.estimator_.seen_[1], true[~unknown])
    with pytest.raises(ValueError, match="Fixed does not: use action='drop' or 'reweight'"):
        CleaningRegressor(Recorder(), Fixed(wrong), action="relabel").fit(X, y)


def test_reweight(noisy):
    X, _, y, wrong = noisy
    verified = np.where(np.arange(200) < 20, y, np.nan)
    model = CleaningRegressor(Recorder(), Fixed(wrong), action="reweight")
    weight = model.fit(X, y, verified_labels=verified).estimator_.seen_[2]
    assert_allclose(weight.mean(), 1)
    full = ~wrong | (np.arange(200) < 20)
    assert_allclose(weight[full], weight[full][0])
    assert_allclose(weight[~full], weight[full][0] / 4)
    prior = np.arange(200.0)
    weight = model.fit(X, y, sample_weight=prior).estimator_.seen_[2]
    assert_allclose(weight.sum(), prior.sum())


@pytest.mark.parametrize("action", ["drop", "relabel", "reweight"])
def test_verified_and_missing_targets(action, noisy):
    X, true, y, _ = noisy
    verified = np.where(np.arange(200) < 40, true, np.nan)
    y = np.where((np.arange(200) >= 20) & (np.arange(200) < 60), np.nan, y)
    model = CleaningRegressor(Recorder(), CHEAP, action=action)
    model.fit(X, y, verified_labels=verified)
    seen_X, seen_y, _ = model.estimator_.seen_
    assert_array_equal(seen_X[:40], X[:40])
    assert_array_equal(seen_y[:40], true[:40])
    assert not (seen_X[:, None] == X[None, 40:60]).all(axis=2).any()


def test_helps(noisy):
    X, true, y, _ = noisy
    plain = LinearRegression().fit(X[:150], y[:150])
    cleaned = CleaningRegressor(LinearRegression(), random_state=0).fit(X[:150], y[:150])
    assert cleaned.score(X[150:], true[150:]) > plain.score(X[150:], true[150:])


def test_default_detector_depends_on_the_input(noisy):
    X, _, y, _ = noisy
    default = CleaningRegressor(random_state=0, cv=3).fit(X, y)
    assert default.detector_.estimator is None
    assert default.detector_.cv == 3
    assert isinstance(default.estimator_, Ridge)
    texts = [f"{'big ' * int(abs(value))}row{i % 9}" for i, value in enumerate(y[:60])]
    pipeline = make_pipeline(CountVectorizer(), Ridge())
    model = CleaningRegressor(pipeline).fit(texts, y[:60])
    assert model.detector_.estimator.steps[0][0] == "countvectorizer"
    assert model.predict(texts).shape == (60,)


def test_parameters_reach_the_detector(noisy):
    X, _, y, _ = noisy
    model = CleaningRegressor(Recorder(), CHEAP, cv=3, n_jobs=1, random_state=4).fit(X, y)
    params = model.detector_.get_params(deep=False)
    assert (params["cv"], params["n_jobs"], params["random_state"]) == (3, 1, 4)
    assert model.detector_ is not model.detector


class Counting(ResidualDetector):
    """Counts its fits in a file, which is shared between processes."""

    _parameter_constraints = {**ResidualDetector._parameter_constraints, "path": [str]}

    def __init__(self, path, estimator=None, *, random_state=None, n_jobs=None):
        super().__init__(estimator, random_state=random_state, n_jobs=n_jobs)
        self.path = path

    def fit(self, X, y, **kwargs):
        with open(self.path, "a") as file:
            file.write("x")
        return super().fit(X, y, **kwargs)


def test_memory_detects_once_per_fold_and_once_for_the_refit(noisy, tmp_path):
    X, _, y, _ = noisy
    fits = tmp_path / "fits"
    model = CleaningRegressor(
        Ridge(), Counting(str(fits), Ridge()), random_state=0, memory=str(tmp_path / "cache")
    )
    GridSearchCV(model, {"estimator__alpha": [0.1, 10], "action": ["drop", "relabel"]}, cv=2).fit(
        X, y
    )
    assert fits.read_text() == "x" * 3
    with pytest.raises(ValueError, match="set random_state to an integer"):
        CleaningRegressor(memory=str(tmp_path)).fit(X, y)


def test_weights_where_the_regressor_takes_none(noisy):
    X, _, y, _ = noisy
    message = "KNeighborsRegressor, but it takes none.*set_fit_request"
    with pytest.raises(TypeError, match=message):
        CleaningRegressor(KNeighborsRegressor(), CHEAP, action="reweight").fit(X, y)
    with pytest.raises(TypeError, match=message):
        CleaningRegressor(KNeighborsRegressor(), CHEAP).fit(X, y, sample_weight=np.ones(200))
    CleaningRegressor(KNeighborsRegressor(), CHEAP).fit(X, y)


def test_weights_are_routed(noisy):
    X, _, y, wrong = noisy
    weight = np.arange(1.0, 201.0)
    with config_context(enable_metadata_routing=True):
        with pytest.raises(UnsetMetadataPassedError, match="Recorder"):
            CleaningRegressor(Recorder(), Fixed(wrong)).fit(X, y, sample_weight=weight)
        for requests in (True, False):
            model = Recorder().set_fit_request(sample_weight=requests)
            fitted = CleaningRegressor(model, Fixed(wrong)).fit(X, y, sample_weight=weight)
            assert (fitted.estimator_.seen_[2] is not None) == requests
            if requests:
                assert_array_equal(fitted.estimator_.seen_[2], weight[~wrong])
        detector = ResidualDetector(Recorder().set_fit_request(sample_weight=True))
        CleaningRegressor(detector=detector).fit(X, y, sample_weight=weight)
        with pytest.raises(UnsetMetadataPassedError, match="Recorder"):
            ResidualDetector(Recorder()).fit(X, y, sample_weight=weight)


def test_refused_input_is_refused_for_any_flags(noisy):
    X, _, y, _ = noisy
    X[7, 2] = np.nan
    errors = np.arange(200) == 7
    for flags in (errors, errors & False):
        with pytest.raises(ValueError, match="contains NaN"):
            CleaningRegressor(Ridge(), Fixed(flags)).fit(X, y)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": [None] * 200}, "all are missing"),
        ({"y": ["many"] * 200}, "must be numeric, but holds 'many'"),
        ({"y": np.full(200, np.inf)}, "y contains infinity"),
        ({"y": np.zeros((200, 2))}, "should be a 1d array"),
        ({"sample_weight": np.zeros(200)}, "no positive entry|at least one non-zero"),
        ({"verified_labels": ["a"] * 200}, "verified_labels must be numeric"),
        ({"verified_labels": [1, 2]}, "inconsistent numbers of samples"),
        ({"groups": [1, 2]}, "inconsistent numbers of samples"),
    ],
)
def test_bad_input_is_refused_before_any_fit(change, message, noisy):
    X, _, y, _ = noisy

    class Never(Ridge):
        def fit(self, X, y, sample_weight=None):
            raise AssertionError("fitted all the same")

    arguments = {"y": y, **change}
    with pytest.raises(ValueError, match=message):
        CleaningRegressor(Never(), ResidualDetector(Never())).fit(
            X, arguments.pop("y"), **arguments
        )


def test_nothing_left_to_train_on(noisy):
    X, _, y, _ = noisy
    with pytest.raises(ValueError, match="leaves no row to train on: Fixed flags them all"):
        CleaningRegressor(Ridge(), Fixed(np.ones(200, dtype=bool))).fit(X, y)
