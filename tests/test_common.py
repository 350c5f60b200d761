"""Every public estimator passes scikit-learn's checks and this package's own."""

import inspect

import pytest
from joblib import parallel_config
from sklearn.utils.estimator_checks import parametrize_with_checks

import skrobust.detection
import skrobust.wrappers
from skrobust.base import (
    LabelErrorDetector,
    LabelQualityThreshold,
    Reweighter,
    TransitionEstimator,
)
from skrobust.testing import (
    parametrize_with_robust_checks,
    yield_checks,
)
from skrobust.testing._estimators import is_known_kind
from tests import _instances
from tests.testing._estimators import Centroids

INSTANCES = _instances.all_instances()
# scikit-learn's checks concern the class; other parameters seldom matter to them.
FIRST = INSTANCES if _instances.chosen_instances() == "all" else _instances.first_of_each(INSTANCES)
OTHERS = [instance for instance in INSTANCES if not any(instance is first for first in FIRST)]

# Some of scikit-learn's checks fit pure noise, of which a detector flags whole classes.
pytestmark = pytest.mark.filterwarnings("ignore::skrobust.utils.LabelNoiseWarning")
EXPECTED = {"expected_failed_checks": _instances.expected_failed_checks}


# An expected failure that passes is an error, by xfail_strict of the configuration.
@parametrize_with_checks(FIRST, **EXPECTED)
def test_checks_of_sklearn(estimator, check, monkeypatch):
    # scikit-learn skips its array-API checks without this.
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


# Starting processes takes longer than what they do: threads serve, but for one test below.
@parametrize_with_robust_checks(filter(is_known_kind, FIRST), **EXPECTED)
def test_checks_of_this_package(estimator, check):
    with parallel_config(backend="threading"):
        check(estimator)


@pytest.mark.slow
@parametrize_with_robust_checks(filter(is_known_kind, OTHERS), **EXPECTED)
def test_checks_of_other_instances(estimator, check):
    with parallel_config(backend="threading"):
        check(estimator)


def _searches():
    """The checks that search in parallel, of which one is quick enough to run always."""
    for estimator in filter(is_known_kind, FIRST):
        for check in yield_checks(estimator):
            if check.__name__.endswith("grid_search"):
                name = type(estimator).__name__
                marks = pytest.mark.quick if name == "CleaningClassifier" else pytest.mark.slow
                yield pytest.param(estimator, check, id=name, marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(_searches()))
def test_searches_in_processes(estimator, check):
    check(estimator)


def test_every_public_estimator_is_found():
    found = _instances.public_estimators()
    assert {"CleaningClassifier", "ConfidentLearning"} <= {cls.__name__ for cls in found}
    for module in (skrobust.detection, skrobust.wrappers):
        for name in module.__all__:
            public = getattr(module, name)
            # Thresholds are fitted to what detectors say, not to X: parameters, no estimators.
            estimator = inspect.isclass(public) and not issubclass(public, LabelQualityThreshold)
            if estimator and hasattr(public, "fit"):
                assert public in found
    assert not {LabelErrorDetector, Reweighter, TransitionEstimator} & set(found)
    instances = {type(instance) for instance in INSTANCES}
    stand_ins = {_instances.STAND_INS.get(cls.__name__, cls) for cls in found}
    assert instances == stand_ins
    names = {cls.__name__ for cls in found}
    assert set(_instances.ARGUMENTS) <= names, "an entry is for no public estimator"
    assert set(_instances.EXPECTED_FAILURES) <= names, "an entry is for no public estimator"
    for cls in found:
        assert issubclass(_instances.STAND_INS.get(cls.__name__, cls), cls)


def test_a_new_public_estimator_is_found(monkeypatch):
    monkeypatch.setattr(skrobust.detection, "Centroids", Centroids, raising=False)
    monkeypatch.setattr(skrobust.detection, "__all__", [*skrobust.detection.__all__, "Centroids"])
    assert Centroids in _instances.public_estimators()
    assert [type(instance) for instance in _instances.instances_of(Centroids)] == [Centroids]


def test_every_check_states_what_it_checks():
    for instance in filter(is_known_kind, INSTANCES):
        for check in yield_checks(instance):
            assert check.__doc__, check.__name__
