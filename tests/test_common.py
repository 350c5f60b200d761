"""Every public estimator passes scikit-learn's checks and this package's own.

The second half checks the checks: sound estimators of a few lines pass them, and estimators that
are wrong in one way each, down to a detector that returns random numbers, fail those that look
for it.
"""

import dataclasses
import inspect
from unittest import SkipTest

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_array, check_random_state
from sklearn.utils.estimator_checks import parametrize_with_checks

import skrobust.detection
import skrobust.wrappers
from skrobust.base import (
    DetectionResult,
    LabelErrorDetector,
    LabelledData,
    LabelQualityThreshold,
    Reweighter,
    TransitionEstimator,
)
from skrobust.linear_model import InstanceFlipClassifier
from skrobust.testing import (
    check_label_error_detector,
    check_reweighter,
    check_robust_classifier,
    check_transition_estimator,
    parametrize_with_robust_checks,
    yield_checks,
)
from skrobust.testing._estimators import is_known_kind
from skrobust.testing._problems import make_problem
from skrobust.utils._sklearn import fit_context
from skrobust.wrappers._base import BaseWrapper, ClassifierWrapper
from skrobust.wrappers._training_set import given
from tests import _instances

INSTANCES = _instances.all_instances()
# scikit-learn's checks concern the class; other parameters seldom matter to them.
FIRST = INSTANCES if _instances.asked_for() == "all" else _instances.first_of_each(INSTANCES)
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


@pytest.mark.quick
def test_classifiers_of_two_classes_are_checked_on_two():
    binary = InstanceFlipClassifier(fixed_flip_rate=0.1)
    assert np.unique(make_problem(binary).y).tolist() == [0, 1]
    assert np.unique(make_problem(Centroids()).y).tolist() == [0, 1, 2]
    # Which class flips goes by the order of classes: the only check that this one fails.
    assert _fails(binary) == {"check_renamed_classes"}


def _fails(estimator, among=()) -> set[str]:
    """The names of the checks that an estimator fails, of all or of some."""
    failed = set()
    for check in yield_checks(estimator):
        if among and check.__name__ not in among:
            continue
        try:
            with parallel_config(backend="threading"):
                check(estimator)
        except SkipTest:
            continue
        except Exception:
            failed.add(check.__name__)
    return failed


# Sound estimators, and what goes wrong with them ----------------------------------------------


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


class RandomScoresThatSaySo(RandomScores):
    """Knows nothing, and claims that it depends on chance how rows are judged."""

    _exact_evidence = False


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
    """Depends on chance a little, and says so."""

    _exact_evidence = False

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
        cut = np.nanquantile(result.quality, 0.1)
        return dataclasses.replace(result, errors=result.quality < cut, threshold=None)


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
        self._conclude(final, final.train(training), training.rows)
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


@pytest.mark.quick
@pytest.mark.parametrize("cls", [Centroids, Noisy])
def test_a_sound_detector_passes(cls):
    check_label_error_detector(cls())


@pytest.mark.quick
def test_a_sound_reweighter_passes():
    check_reweighter(NearCentres())


@pytest.mark.quick
def test_a_sound_transition_estimator_passes():
    check_transition_estimator(CountsGuesses())


@pytest.mark.quick
def test_a_sound_classifier_passes():
    with parallel_config(backend="threading"):
        check_robust_classifier(PlainWrapper())


@pytest.mark.quick
def test_random_scores_fail():
    failed = {
        "check_clean_data",
        "check_replicated_errors",
        "check_finds_planted_errors",
        "check_groups",
        "check_permuted_rows",
        "check_ties",
        "check_weights_equal_repeats",
    }
    assert _fails(RandomScores(), among=failed) == failed
    with pytest.raises(AssertionError) as error:
        check_label_error_detector(RandomScores())
    assert any("RandomScores" in note for note in error.value.__notes__)


@pytest.mark.quick
def test_random_scores_fail_even_if_they_say_that_they_are_random():
    failed = {"check_clean_data", "check_finds_planted_errors", "check_groups"}
    assert _fails(RandomScoresThatSaySo(), among={*failed, "check_permuted_rows"}) == failed


@pytest.mark.quick
def test_scores_in_sample_fail_only_where_they_are_looked_for():
    assert _fails(InSample()) == {"check_scores_out_of_sample"}


@pytest.mark.quick
@pytest.mark.parametrize(
    ("cls", "failed"),
    [
        (NoisyAndUnfair, {"check_permuted_rows"}),
        (BlindToWeights, {"check_weights_equal_repeats", "check_zero_weights"}),
        (TrustsTheFirstClass, {"check_renamed_classes"}),
        (WritesIntoX, {"check_inputs_untouched"}),
        (GlobalGenerator, {"check_global_random_state"}),
        (Remembers, {"check_refit_clone_pickle"}),
        (TooEager, {"check_clean_data"}),
        (AnyParameter, {"check_bad_parameters"}),
        (FarFromCentres, {"check_errors_get_less_weight"}),
        (CountsRows, {"check_weights_equal_repeats", "check_zero_weights"}),
        (Transposed, {"check_transition_is_recovered"}),
        (OrderOfNames, {"check_renamed_classes"}),
        (IgnoresVerifiedLabels, {"check_learns_verified_labels"}),
        (IgnoresWeights, {"check_weights_equal_repeats"}),
        (PrefersTheFirst, {"check_renamed_classes"}),
    ],
)
def test_a_broken_estimator_fails(cls, failed):
    assert _fails(cls(), among=failed) == failed


def test_entry_points_refuse_what_they_are_not_for():
    with pytest.raises(TypeError, match="LogisticRegression is no classifier whose fit takes"):
        check_robust_classifier(LogisticRegression())
    with pytest.raises(TypeError, match="Pass an instance of Centroids"):
        check_label_error_detector(Centroids)
    with pytest.raises(TypeError, match="no checks for LogisticRegression"):
        list(yield_checks(LogisticRegression()))


def test_expected_failures_are_marked():
    def expected(estimator):
        return {"check_clean_data": "it flags a tenth of everything"}

    mark = parametrize_with_robust_checks([TooEager()], expected_failed_checks=expected).mark
    marked = {case.values[1].__name__: case.marks for case in mark.args[1] if case.marks}
    assert list(marked) == ["check_clean_data"]
    assert marked["check_clean_data"][0].kwargs == {"reason": "it flags a tenth of everything"}


def test_every_check_says_what_it_looks_at():
    for instance in filter(is_known_kind, INSTANCES):
        for check in yield_checks(instance):
            assert check.__doc__, check.__name__
