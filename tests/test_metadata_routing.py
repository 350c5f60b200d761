"""Weights and groups reach every model that asks for them, and none that does not."""

from inspect import signature

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tests.metadata_routing_common import (
    ConsumingClassifier,
    _Registry,
    assert_request_is_empty,
    check_recorded_metadata,
)
from sklearn.utils.metadata_routing import get_routing_for_object

from skrobust.detection import ConfidentLearning
from skrobust.weighting import QualityReweighter
from skrobust.wrappers import (
    CleaningClassifier,
    LossCorrectedClassifier,
    ReweightedClassifier,
)

# The recording classifier predicts nonsense, by which whole classes look wrong.
pytestmark = pytest.mark.filterwarnings("ignore::skrobust.utils.LabelNoiseWarning")

N_SAMPLES = 60
ALL = [ConfidentLearning, CleaningClassifier, ReweightedClassifier, LossCorrectedClassifier]


class Recorder(ConsumingClassifier):
    """Records what it is fitted with, and predicts probabilities for every class it saw."""

    def predict_proba(self, X, sample_weight="default", metadata="default"):
        proba = np.linspace(0.2, 0.8, len(X))
        return np.column_stack([proba, 1 - proba])


class LogisticRecorder(LogisticRegression):
    """Remembers the weights that it was fitted with."""

    def fit(self, X, y, sample_weight=None):
        self.weight_ = sample_weight
        return super().fit(X, y, sample_weight)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_SAMPLES, 3))
    y = np.arange(N_SAMPLES) % 2
    return X, y


@pytest.fixture
def weight():
    # All different, so that a weight tells the row it belongs to.
    return np.arange(1, N_SAMPLES + 1) / N_SAMPLES


@pytest.fixture(params=[False, True], ids=["routing off", "routing on"])
def routing(request):
    with config_context(enable_metadata_routing=request.param):
        yield request.param


@pytest.fixture
def routing_on():
    with config_context(enable_metadata_routing=True):
        yield


def _recorder(routing=True, **request):
    registry = _Registry()
    model = Recorder(registry)
    return (model.set_fit_request(**request) if routing and request else model), registry


def _assert_recorded(registry, n_fits, *, subset=(), **metadata):
    """Each of so many fits was handed exactly this metadata, or a part of it."""
    assert len(registry) == n_fits
    for model in registry:
        # Which frame counts as the caller depends on the version of scikit-learn.
        for caller in model._records["fit"]:
            check_recorded_metadata(model, "fit", caller, split_params=subset, **metadata)


def _fit_weights(registry):
    calls = [calls for model in registry for calls in model._records["fit"].values()]
    return [call["sample_weight"] for some in calls for call in some]


def test_weights_reach_every_fold(rows, weight, routing):
    model, registry = _recorder(routing, sample_weight=True)
    ConfidentLearning(model, cv=3).fit(*rows, sample_weight=weight)
    _assert_recorded(registry, 3, subset=("sample_weight",), sample_weight=weight)
    # Each row is left out of one fold of three.
    seen = np.concatenate(_fit_weights(registry))
    assert_array_equal(np.sort(seen), np.repeat(weight, 2))


def test_no_weights_are_made_up(rows, routing):
    model, registry = _recorder(routing, sample_weight=True)
    ConfidentLearning(model, cv=3).fit(*rows)
    _assert_recorded(registry, 3)


def test_weights_go_with_their_rows(rows, weight, routing):
    X, y = rows
    model, registry = _recorder(routing, sample_weight=True)
    fold = np.arange(N_SAMPLES) // 2 % 2
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in (0, 1)]
    ConfidentLearning(model, cv=splits).fit(X, y, sample_weight=weight)
    for (train, _), seen, fitted in zip(splits, _fit_weights(registry), registry, strict=True):
        assert_array_equal(seen, weight[train])
        assert fitted.coef_.shape == X[train].shape


@pytest.mark.parametrize("cls", ALL)
def test_weights_without_a_request(rows, weight, routing_on, cls):
    model, registry = _recorder()
    with pytest.raises(UnsetMetadataPassedError, match="Recorder"):
        cls(model).fit(*rows, sample_weight=weight)
    assert not registry, "it must say so before any fit"


def test_weights_in_the_final_fit(rows, weight, routing):
    X, y = rows
    model, registry = _recorder(routing, sample_weight=True)
    wrapper = CleaningClassifier(
        model,
        ConfidentLearning(
            GaussianNB().set_fit_request(sample_weight=True) if routing else GaussianNB()
        ),
        action="drop",
        trim=False,
    )
    wrapper.fit(X, y, sample_weight=weight)
    _assert_recorded(registry, 1, subset=("sample_weight",), sample_weight=weight)
    (final,) = _fit_weights(registry)
    kept = wrapper.detector_.keep_weight_
    assert_array_equal(final, kept[kept > 0])


def test_weights_in_detection_and_in_the_final_fit(rows, weight, routing):
    inner, detections = _recorder(routing, sample_weight=True)
    model, finals = _recorder(routing, sample_weight=True)
    wrapper = CleaningClassifier(model, ConfidentLearning(inner), cv=4, trim=False)
    wrapper.fit(*rows, sample_weight=weight)
    _assert_recorded(detections, 4, subset=("sample_weight",), sample_weight=weight)
    _assert_recorded(finals, 1, subset=("sample_weight",), sample_weight=weight)


def test_more_metadata_in_the_final_fit(rows, weight, routing_on):
    model, registry = _recorder(sample_weight=True, metadata=True)
    names = np.array([f"row {i}" for i in range(N_SAMPLES)])
    detector = ConfidentLearning(GaussianNB().set_fit_request(sample_weight=True))
    wrapper = CleaningClassifier(model, detector, trim=False)
    wrapper.fit(*rows, sample_weight=weight, metadata=names)
    both = {"sample_weight": weight, "metadata": names}
    _assert_recorded(registry, 1, subset=tuple(both), **both)
    (record,) = next(iter(registry[0]._records["fit"].values()))
    assert_array_equal(record["metadata"], names[np.isin(weight, record["sample_weight"])])


def _weighed(model, inner):
    return ReweightedClassifier(model, QualityReweighter(ConfidentLearning(inner)))


def _corrected(model, inner, method="importance"):
    return LossCorrectedClassifier(model, np.eye(2), method=method, evidence=inner)


@pytest.mark.parametrize("wrap", [_weighed, _corrected])
def test_weights_of_the_method_and_of_the_caller(rows, weight, routing, wrap):
    X, y = rows
    model, registry = _recorder(routing, sample_weight=True)
    inner = GaussianNB().set_fit_request(sample_weight=True) if routing else GaussianNB()
    wrapper = wrap(model, inner).fit(X, y, sample_weight=weight)
    (final,) = _fit_weights(registry)
    own = getattr(wrapper, "reweighter_", wrapper).sample_weight_
    np.testing.assert_allclose(final, own * weight)


@pytest.mark.parametrize("wrap", [_weighed, _corrected])
def test_weights_of_the_method_reach_a_model_that_requests_none(rows, routing_on, wrap):
    model, registry = _recorder()
    wrapper = wrap(model, GaussianNB())
    if wrap is _corrected:
        wrapper.set_params(transition=np.array([[0.9, 0.1], [0.1, 0.9]]))
    wrapper.fit(*rows)
    (final,) = _fit_weights(registry)
    own = getattr(wrapper, "reweighter_", wrapper).sample_weight_
    np.testing.assert_allclose(final, own[own > 1e-9 * own.max()])


@pytest.mark.parametrize("method", ["importance", "posterior"])
def test_no_weights_where_nothing_is_corrected(rows, routing, method):
    model, registry = _recorder(routing, sample_weight=True)
    _corrected(model, GaussianNB(), method).fit(*rows)
    _assert_recorded(registry, 1)


def test_metadata_that_no_part_takes(rows, routing):
    wrapper = CleaningClassifier(GaussianNB(), ConfidentLearning(GaussianNB()))
    with pytest.raises((TypeError, ValueError), match="no_such_thing"):
        wrapper.fit(*rows, no_such_thing=1)


@pytest.mark.parametrize("cls", [ConfidentLearning, CleaningClassifier])
def test_weights_that_the_model_declines(rows, weight, routing_on, cls):
    # The detector of the wrapper is the default one, which takes the weights all the same.
    model, registry = _recorder(sample_weight=False)
    cls(model).fit(*rows, sample_weight=weight)
    assert registry
    for fitted in registry:
        for caller in fitted._records["fit"]:
            check_recorded_metadata(fitted, "fit", caller)


@pytest.mark.parametrize("method", ["importance", "backward", "posterior"])
def test_weights_that_the_corrected_model_declines(rows, weight, routing_on, method):
    X, y = rows
    transition = np.array([[0.9, 0.1], [0.2, 0.8]])
    verified = np.where(np.arange(N_SAMPLES) < 20, y, np.nan)
    sums = []
    for given in (weight, None):
        model = LogisticRecorder().set_fit_request(sample_weight=False)
        wrapper = LossCorrectedClassifier(
            model,
            transition,
            method=method,
            evidence=GaussianNB().set_fit_request(sample_weight=False),
        )
        wrapper.fit(X, y, sample_weight=given, verified_labels=verified)
        sums.append(wrapper.estimator_.weight_)
    np.testing.assert_allclose(sums[0] / sums[0].sum(), sums[1] / sums[1].sum())


@pytest.mark.parametrize("cls", ALL)
def test_nothing_is_requested_by_default(routing_on, cls):
    model, _ = _recorder()
    routing = get_routing_for_object(cls(model))
    assert_request_is_empty(routing)
    names = ["sample_weight", "verified_labels", "groups", "other"]
    assert routing.consumes("fit", names) == set()


@pytest.mark.parametrize("cls", ALL)
def test_requests_are_seen_from_outside(routing_on, cls):
    known = {"verified_labels", "groups"} & set(signature(cls.fit).parameters)
    estimator = cls(GaussianNB()).set_fit_request(**dict.fromkeys(known, True))
    routing = get_routing_for_object(estimator)
    assert routing.consumes("fit", ["verified_labels", "groups", "sample_weight"]) == known
    # A request of the part inside counts as well.
    estimator = cls(GaussianNB().set_fit_request(sample_weight=True))
    assert get_routing_for_object(estimator).consumes("fit", ["sample_weight"]) == {"sample_weight"}


def test_groups_reach_the_folds(rows, routing):
    X, y = rows
    groups = np.arange(N_SAMPLES) // 4
    for cv in (3, GroupKFold(3)):
        model, registry = _recorder(routing)
        ConfidentLearning(model, cv=cv).fit(X + groups[:, None], y, groups=groups)
        assert len(registry) == 3
        for fitted in registry:
            assert len(fitted.coef_) % 4 == 0


def test_metadata_through_a_pipeline_and_cross_validation(rows, weight, routing_on):
    X, y = rows
    model, registry = _recorder(sample_weight=True)
    detector = ConfidentLearning(GaussianNB().set_fit_request(sample_weight=True), cv=2)
    wrapper = CleaningClassifier(model, detector, trim=False).set_fit_request(
        sample_weight=True, verified_labels=True, groups=True
    )
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), wrapper)
    verified = np.where(np.arange(N_SAMPLES) % 7 == 0, y, np.nan)
    groups = np.arange(N_SAMPLES)
    params = {"sample_weight": weight, "verified_labels": verified, "groups": groups}
    scoring = get_scorer("accuracy").set_score_request(sample_weight=False)
    results = cross_validate(
        pipeline, X, y, cv=3, scoring=scoring, params=params, return_estimator=True
    )
    _assert_recorded(registry, 3, subset=("sample_weight",), sample_weight=weight)
    for fitted in results["estimator"]:
        quality = fitted[-1].detector_.label_quality_
        assert len(quality) == 2 * N_SAMPLES / 3
        assert 4 <= (quality == 1).sum() <= 8, "verified labels did not arrive"


def test_a_model_that_takes_no_weights(rows, weight, routing):
    class Plain(LogisticRegression):
        def fit(self, X, y):
            return super().fit(X, y)

    with pytest.raises(TypeError, match=r"Plain.*sample_weight|sample_weight.*Plain"):
        ConfidentLearning(Plain()).fit(*rows, sample_weight=weight)
    with pytest.raises(TypeError, match=r"Plain.*sample_weight|sample_weight.*Plain"):
        CleaningClassifier(Plain(), action="reweight").fit(*rows)
