"""What every public threshold object can do."""

import inspect
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB

import skrobust.detection
from skrobust.base import LabelQualityThreshold
from skrobust.detection import ConfidentLearning, DecoyThreshold, MixtureThreshold
from skrobust.wrappers import CleaningClassifier

THRESHOLDS = [
    value
    for name in skrobust.detection.__all__
    if inspect.isclass(value := getattr(skrobust.detection, name))
    and issubclass(value, LabelQualityThreshold)
]


@pytest.fixture(scope="module")
def rows():
    X, y = make_classification(240, 5, n_informative=4, n_redundant=0, class_sep=2, random_state=0)
    y[:24] = 1 - y[:24]
    return X, y


def test_there_are_some():
    assert {DecoyThreshold, MixtureThreshold} <= set(THRESHOLDS)


@pytest.mark.parametrize("cls", THRESHOLDS)
def test_parameters(cls):
    threshold = cls()
    params = threshold.get_params()
    assert list(params) == list(inspect.signature(cls).parameters)
    assert set(cls._parameter_constraints) == set(params)
    assert repr(threshold) == f"{cls.__name__}()"
    assert threshold.set_params(**params) is threshold
    threshold.validate()
    copy = clone(threshold)
    assert type(copy) is cls
    assert copy is not threshold
    assert repr(copy.get_params()) == repr(params)
    with pytest.raises(ValueError, match="has no parameter 'nonsense'; it has"):
        threshold.set_params(nonsense=1)


@pytest.mark.parametrize(
    "cls, name", [(cls, name) for cls in THRESHOLDS for name in inspect.signature(cls).parameters]
)
def test_a_bad_value_is_kept_until_it_is_used(cls, name, rows):
    threshold = cls().set_params(**{name: (nonsense := object())})
    assert threshold.get_params()[name] is nonsense
    assert name in repr(threshold)
    with pytest.raises((ValueError, TypeError), match=name):
        ConfidentLearning(GaussianNB(), threshold=threshold).fit(*rows)


@pytest.mark.parametrize("cls", THRESHOLDS)
def test_fitted_to_a_copy_and_pickled(cls, rows):
    X, y = rows
    verified = np.where(np.arange(240) % 4 == 0, y ^ (np.arange(240) < 24), np.nan)
    detector = ConfidentLearning(
        GaussianNB(), threshold=cls(), store_estimators=True, max_flag_rate=None
    )
    detector.fit(X, y, verified_labels=verified)
    assert not [name for name in vars(detector.threshold) if name.endswith("_")]
    assert isinstance(detector.fitted_threshold_, cls)
    loaded = pickle.loads(pickle.dumps(detector))
    assert_array_equal(loaded.detect(X, y), detector.detect(X, y))


def test_new_rows_have_the_threshold_of_their_class(rows):
    X, y = rows
    detector = ConfidentLearning(
        GaussianNB(), threshold=MixtureThreshold(per_class=True), store_estimators=True
    ).fit(X, y)
    thresholds = detector.fitted_threshold_.class_thresholds_
    assert thresholds[0] != thresholds[1]
    assert_array_equal(detector.detect(X, y), detector.score_labels(X, y) < thresholds[y])


@pytest.mark.parametrize("cls", [DecoyThreshold, MixtureThreshold])
def test_searched_over(cls, rows):
    detector = ConfidentLearning(GaussianNB(), threshold=cls(), max_flag_rate=None)
    search = GridSearchCV(
        CleaningClassifier(GaussianNB(), detector),
        {"detector__threshold__precision": [None, 0.5, 0.9]},
        cv=2,
    ).fit(*rows)
    assert set(search.best_params_) == {"detector__threshold__precision"}
    found = search.best_estimator_.detector_.fitted_threshold_
    assert found.precision == search.best_params_["detector__threshold__precision"]


def test_a_part_that_is_a_threshold_has_its_own_parameters():
    class Outer(LabelQualityThreshold):
        def __init__(self, inner=None):
            self.inner = inner

        def select(self, inputs):
            return self.inner.select(inputs)

    class Bare(LabelQualityThreshold):
        def select(self, inputs):
            return None

    outer = Outer(DecoyThreshold(precision=0.7))
    assert outer.get_params()["inner__precision"] == 0.7
    assert "inner__precision" not in outer.get_params(deep=False)
    assert outer.set_params(inner__precision=0.8).inner.precision == 0.8
    assert clone(outer).inner.precision == 0.8
    assert Bare().get_params() == {}
    assert repr(Bare()) == "Bare()"
