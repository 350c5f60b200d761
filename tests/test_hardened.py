"""Input that once broke something, or was answered wrongly without a word."""

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_blobs
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import (
    ConfidentLearning,
    ConsensusMixture,
    DensityDetector,
    EnergyDetector,
    EnsembleDetector,
    MixtureThreshold,
    NeighborVote,
    ResidualDetector,
    TrainingDynamics,
    TrustedThreshold,
)
from skrobust.evidence import out_of_bag_proba, out_of_fold_proba
from skrobust.evidence._folds import make_folds
from skrobust.noise import (
    AnchorTransition,
    ConfidentTransition,
    DualTransition,
    flip_labels,
    symmetric_transition,
)
from skrobust.utils._input import is_numeric, row_hashes
from skrobust.utils._weights import lower_threshold
from skrobust.weighting import (
    ImportanceReweighter,
    LossHistoryReweighter,
    QualityReweighter,
    TrustedReweighter,
)
from skrobust.wrappers import CascadeClassifier, CleaningClassifier


@pytest.fixture
def rows(seed):
    X, y = make_blobs(200, n_features=4, centers=3, cluster_std=2.0, random_state=seed)
    return X, flip_labels(y, symmetric_transition(3, 0.2), random_state=seed)[0]


def test_new_rows_must_have_the_same_features(rows):
    X, y = rows
    frame = pd.DataFrame(X, columns=list("abcd"))
    forest = ExtraTreesClassifier(60, bootstrap=True, oob_score=True, random_state=0)
    detector = ConfidentLearning(forest, store_estimators=True).fit(frame, y)
    assert detector.detect(frame, y).shape == (200,)
    with pytest.raises(ValueError, match="same order"):
        detector.detect(frame[list("dcba")], y)
    detector.fit(X, y)
    with pytest.raises(ValueError, match="X has 3 features"):
        detector.detect(X[:, :3], y)
    with pytest.raises(ValueError, match="infinity"):
        detector.detect(np.where(np.arange(4) == 1, np.inf, X), y)


def test_no_suggestion_is_no_label(rows):
    X, y = rows

    class NoIdea(BaseEstimator):
        def fit(self, X, y, **kwargs):
            self.label_errors_ = np.arange(len(y)) < 20
            self.suggested_labels_ = np.where(self.label_errors_, None, y.astype(object))
            return self

    class Counter(GaussianNB):
        def fit(self, X, y):
            self.counts_ = np.bincount(y)
            return super().fit(X, y)

    model = CleaningClassifier(Counter(), NoIdea(), action="relabel").fit(X, y)
    np.testing.assert_array_equal(model.estimator_.counts_, np.bincount(y[20:]))


@pytest.mark.parametrize(
    "y, classes, given",
    [
        (np.array(["a", "b"]), ["a", "b", "long"], ["long", "long"]),
        (np.array([0, 1], dtype=np.int8), [0, 1, 300], [300, 300]),
        (np.array([False, True]), [0, 1, 2], [2, 2]),
    ],
)
def test_flipped_labels_fit_into_their_array(y, classes, given):
    noisy, flipped = flip_labels(y, [[0, 0, 1]] * 3, classes=classes)
    assert noisy.tolist() == given
    assert flipped.all()


def test_backends_that_cannot_stream(rows):
    X, y = rows
    expected = ConfidentLearning(GaussianNB()).fit(X, y).label_quality_
    for backend in ("multiprocessing", "threading", "loky"):
        with joblib.parallel_config(backend, n_jobs=2):
            quality = ConfidentLearning(GaussianNB()).fit(X, y).label_quality_
        np.testing.assert_array_equal(quality, expected)


def test_the_callers_generator_is_left_alone_by_inner_models_too(rows):
    X, y = rows
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    ConfidentLearning(RandomForestClassifier(3)).fit(X, y)
    out_of_fold_proba(RandomForestClassifier(3), X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_nullable_columns(rows):
    X, y = rows
    frame = pd.DataFrame(X, columns=list("abcd")).convert_dtypes()
    frame.loc[3:5, "a"] = pd.NA
    forest = ExtraTreesClassifier(60, bootstrap=True, oob_score=True, random_state=0)
    assert not np.isnan(ConfidentLearning(forest).fit(frame, y).label_quality_).any()
    boosting = HistGradientBoostingClassifier(max_iter=3)
    detector = ConfidentLearning(forest, flag_fraction=0.9, max_flag_rate=None)
    assert CleaningClassifier(boosting, detector).fit(frame, y).predict(frame).shape == (200,)


def test_forests_are_validated_and_keep_their_class_weights(rows):
    X, y = rows
    for bad in ({"n_estimators": 0}, {"max_samples": -4}):
        forest = ExtraTreesClassifier(bootstrap=True, **bad)
        with pytest.raises(ValueError, match=next(iter(bad))):
            out_of_bag_proba(forest, X, y)
    names = np.array(["x", "y", "z"])
    forest = ExtraTreesClassifier(30, bootstrap=True, random_state=0)
    weight = np.where(y == 0, 5.0, 1.0)
    expected = out_of_bag_proba(forest, X, names[y], sample_weight=weight)
    forest.set_params(class_weight={"x": 5, "y": 1, "z": 1})
    np.testing.assert_array_equal(out_of_bag_proba(forest, X, names[y]), expected)
    forest.set_params(class_weight="balanced_subsample")
    assert not np.array_equal(out_of_bag_proba(forest, X, names[y]), expected)

    class OwnBootstrap(RandomForestClassifier):
        pass

    with pytest.raises(TypeError, match="got OwnBootstrap"):
        out_of_bag_proba(OwnBootstrap(), X, y)


@pytest.mark.parametrize("fraction", [0.01, 0.06, 0.11, 0.16])
def test_a_share_of_weighted_rows_is_that_of_repeated_rows(fraction, rows):
    X, y = rows[0][:30], rows[1][:30]
    fold = np.arange(30) % 3
    detector = ConfidentLearning(GaussianNB(), flag_fraction=fraction, max_flag_rate=None)
    detector.set_params(cv=PredefinedSplit(fold)).fit(X, y, sample_weight=np.full(30, 2))
    flagged = detector.label_errors_
    detector.set_params(cv=PredefinedSplit(fold.repeat(2))).fit(X.repeat(2, axis=0), y.repeat(2))
    np.testing.assert_array_equal(detector.label_errors_, flagged.repeat(2))
    assert lower_threshold(np.array([0.1, 0.1, 0.2]), 0.6) == -np.inf


def test_splitters_that_carry_folds_meet_missing_labels(rows):
    X, y = rows[0], rows[1].astype(float)
    y[7] = np.nan
    cv = PredefinedSplit(np.arange(200) % 4)
    quality = ConfidentLearning(GaussianNB(), cv=cv).fit(X, y).label_quality_
    assert np.flatnonzero(np.isnan(quality)).tolist() == [7]

    class Stubborn:
        def split(self, X, y=None, groups=None):
            yield np.arange(100), np.arange(100, 200)

        def get_n_splits(self, X=None, y=None, groups=None):
            return 1

    with pytest.raises(ValueError, match="names rows beyond the 199 that have a label"):
        ConfidentLearning(GaussianNB(), cv=Stubborn()).fit(X, y)


def test_equal_rows_in_any_spelling():
    twice = sparse.csr_array(([1.0, 2.0, 3.0], [0, 0, 0], [0, 2, 3]), shape=(2, 1))
    assert len(set(row_hashes(twice).tolist())) == 1
    assert twice.nnz == 3, "the caller's matrix was changed"
    assert len(set(row_hashes(pd.Series(["1", "1.0", "01"])).tolist())) == 3
    assert not is_numeric(np.array([["1"], ["2"]], dtype=object))


@pytest.mark.parametrize("kind", ["frame", "tuples", "text"])
def test_groups_of_any_kind(kind, rows):
    X, y = rows
    number = np.arange(200) // 5
    groups = {
        "frame": pd.DataFrame({"g": number}),
        "tuples": [("g", i) for i in number],
        "text": [f"g{i}" for i in number],
    }[kind]
    if kind == "frame":
        groups = groups["g"]
    expected = ConfidentLearning(GaussianNB()).fit(X, y, groups=number)
    found = ConfidentLearning(GaussianNB()).fit(X, y, groups=groups)
    np.testing.assert_array_equal(found.label_quality_, expected.label_quality_)
    with pytest.raises(ValueError, match="groups has missing entries"):
        ConfidentLearning(GaussianNB()).fit(X, y, groups=[None, *groups[1:]])


def test_small_groups_are_dealt_quickly_and_kept_whole():
    y = np.arange(6000) % 3
    X, groups = np.arange(6000.0)[:, None], np.arange(6000) // 2
    for train, test in make_folds(5, X, y, y, y >= 0, groups):
        assert not set(groups[train]) & set(groups[test])
        np.testing.assert_allclose(np.bincount(y[test]), 400, atol=20)


def test_columns_follow_the_models_own_classes(rows):
    X, y = rows

    class Reversed(GaussianNB):
        def predict_proba(self, X):
            return super().predict_proba(X)[:, ::-1]

        def fit(self, X, y, sample_weight=None):
            super().fit(X, y, sample_weight)
            self.order_, self.classes_ = self.classes_, self.classes_[::-1]
            return self

    np.testing.assert_allclose(
        out_of_fold_proba(Reversed(), X, y), out_of_fold_proba(GaussianNB(), X, y)
    )

    class Stranger(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            super().fit(X, y, sample_weight)
            self.classes_ = self.classes_ + 7
            return self

    with pytest.raises(ValueError, match=r"Stranger.classes_ holds labels that are not among"):
        out_of_fold_proba(Stranger(), X, y)


def test_small_things(rows):
    X, y = rows
    for cv in (1, -1):
        with pytest.raises(ValueError, match="must be at least 2 folds"):
            out_of_fold_proba(GaussianNB(), X, y, cv=cv)
    ConfidentLearning(GaussianNB(), n_jobs=np.int64(1)).fit(X, y)
    mixed = pd.DataFrame(X, columns=["a", "b", 0, 1])
    calls = []

    class Never(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            calls.append(1)
            return super().fit(X.to_numpy(), y, sample_weight)

    with pytest.raises(TypeError, match="Feature names are only supported"):
        ConfidentLearning(Never()).fit(mixed, y)
    assert not calls


@pytest.mark.parametrize(
    "estimator",
    [
        ConfidentLearning(GaussianNB(), threshold=MixtureThreshold()),
        ConfidentLearning(GaussianNB(), threshold=TrustedThreshold(precision=0.8)),
        EnsembleDetector(random_state=0),
        NeighborVote(),
        ConsensusMixture(random_state=0),
        EnergyDetector(random_state=0),
        TrainingDynamics(random_state=0),
        LossHistoryReweighter(random_state=0),
        QualityReweighter(DensityDetector(random_state=0)),
        TrustedReweighter(ConfidentLearning(GaussianNB())),
        ImportanceReweighter(random_state=0),
        AnchorTransition(GaussianNB()),
        ConfidentTransition(GaussianNB()),
        DualTransition(GaussianNB()),
        ResidualDetector(LinearRegression(), random_state=0),
        CascadeClassifier(GaussianNB(), GaussianNB(), call_share=0.2),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_scale_of_weights_that_are_no_counts_does_not_matter(estimator, rows):
    X, y = rows[0], rows[1].astype(float)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, size=len(y))
    checked = np.full(len(y), np.nan)
    checked[:60] = np.where(np.arange(60) % 5 == 0, (y[:60] + 1) % 3, y[:60])
    for verified in [checked] if "Trusted" in repr(estimator) else [None, checked]:

        def fitted(weight, verified=verified) -> dict:
            return vars(clone(estimator).fit(X, y, sample_weight=weight, verified_labels=verified))

        # A power of two, so that nothing is rounded in another way.
        first, second = fitted(weight), fitted(weight * 2.0**-30)
        compared = 0
        for name, value in first.items():
            if (
                name.endswith("_")
                and name != "keep_weight_"
                and np.asarray(value).dtype.kind == "f"
            ):
                np.testing.assert_allclose(second[name], value, rtol=1e-6, err_msg=name)
                compared += 1
        assert compared
