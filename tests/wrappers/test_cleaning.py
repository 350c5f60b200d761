"""What is particular to CleaningClassifier; tests/test_common.py holds what all wrappers share."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from skrobust.base._labels import encode_labels
from skrobust.datasets import load_youtube_spam
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.noise import flip_labels, symmetric_transition
from skrobust.utils import LabelNoiseWarning
from skrobust.wrappers import CleaningClassifier

CHEAP = ConfidentLearning(GaussianNB())


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


def test_drop(noisy):
    X, _, y, flipped = noisy
    model = CleaningClassifier(Recorder(), Fixed(flipped)).fit(X, y)
    np.testing.assert_array_equal(model.estimator_.seen_[0], X[~flipped])
    np.testing.assert_array_equal(model.estimator_.seen_[1], y[~flipped])
    assert model.estimator_.seen_[2] is None
    weight = np.arange(400.0)
    model.fit(X, y, sample_weight=weight)
    kept = ~flipped & (weight > 0)
    np.testing.assert_array_equal(model.estimator_.seen_[2], weight[kept])


class Correcting(Fixed):
    """A detector that also knows what labels probably are, and how probably."""

    def __init__(self, errors, corrections, proba):
        super().__init__(errors)
        self.corrections = corrections
        self.proba = proba

    def fit(self, X, y, *, verified_labels=None, sample_weight=None, groups=None):
        super().fit(X, y, sample_weight=sample_weight)
        self.posterior_labels_ = self.corrections
        self.posterior_proba_ = self.proba
        return self


def test_posterior_labels_are_weighted_by_their_certainty(noisy):
    X, true, y, flipped = noisy
    proba = np.linspace(0.4, 1, 400)
    certainty = np.maximum(2 * proba - 1, 0)
    detector = Correcting(flipped, true, proba)
    model = CleaningClassifier(Recorder(), detector, action="relabel").fit(X, y)
    kept = certainty > 0
    np.testing.assert_array_equal(model.estimator_.seen_[1], true[kept])
    np.testing.assert_array_equal(model.estimator_.seen_[2], certainty[kept])
    weight = np.arange(400.0)
    model.fit(X, y, sample_weight=weight, verified_labels=np.where(weight < 9, true, np.nan))
    expected = np.where(weight < 9, 1, certainty) * weight
    np.testing.assert_array_equal(model.estimator_.seen_[2], expected[expected > 0])
    # What takes no weights, takes the labels.
    neighbors = KNeighborsClassifier(1)
    model = CleaningClassifier(neighbors, detector, action="relabel").fit(X, y)
    np.testing.assert_array_equal(model.predict(X), true)


def test_class_of_uncertain_labels_only_is_kept(noisy):
    X, true, y, flipped = noisy
    proba = np.where(true == 1, 0.5, 0.9)
    detector = Correcting(flipped, true, proba)
    model = CleaningClassifier(Recorder(), detector, action="relabel").fit(X, y)
    np.testing.assert_array_equal(model.estimator_.seen_[1], true)
    np.testing.assert_allclose(model.estimator_.seen_[2], np.where(true == 1, 1, 0.8))


def test_posterior_labels_without_requested_weights(noisy):
    X, true, y, flipped = noisy
    detector = Correcting(flipped, true, np.full(400, 0.75))
    with config_context(enable_metadata_routing=True):
        for model in (Recorder(), Recorder().set_fit_request(sample_weight=True)):
            for outer in (make_pipeline(model), VotingClassifier([("inner", model)])):
                wrapper = CleaningClassifier(outer, detector, action="relabel").fit(X, y)
                fitted = wrapper.estimator_
                fitted = fitted[-1] if isinstance(outer, Pipeline) else fitted.estimators_[0]
                requests = model.get_metadata_routing().consumes("fit", ["sample_weight"])
                assert np.unique(fitted.seen_[2]).tolist() == ([0.5] if requests else [None])
        # Weights that the estimator declines are not passed with those of the wrapper.
        declining = Recorder().set_fit_request(sample_weight=False)
        wrapper = CleaningClassifier(declining, detector, action="relabel")
        wrapper.set_fit_request(sample_weight=True).fit(X, y, sample_weight=np.full(400, 3.0))
        assert wrapper.estimator_.seen_[2] is None


def test_relabel(noisy):
    X, true, y, flipped = noisy
    model = CleaningClassifier(Recorder(), Fixed(flipped, true), action="relabel").fit(X, y)
    np.testing.assert_array_equal(model.estimator_.seen_[1], true)
    # Without suggestions, flagged rows are left out.
    model = CleaningClassifier(Recorder(), Fixed(flipped)).fit(X, y)
    np.testing.assert_array_equal(model.estimator_.seen_[1], y[~flipped])


def test_reliability_is_warned_about_once(noisy):
    X, _, y, flipped = noisy

    class Doubtful(Fixed):
        reliability_, reliability_reason_ = "cannot tell", "no row is certain"

    with pytest.warns(LabelNoiseWarning, match="overlap of the classes: no row is certain") as seen:
        CleaningClassifier(Recorder(), Doubtful(flipped)).fit(X, y)
    assert len(seen) == 1


def test_reweight(noisy):
    X, _, y, flipped = noisy
    verified = np.full(400, np.nan)
    verified[:20] = y[:20]
    model = CleaningClassifier(Recorder(), Fixed(flipped), action="reweight")
    model.fit(X, y, verified_labels=verified)
    weight = model.estimator_.seen_[2]
    for k in range(3):
        np.testing.assert_allclose(weight[y == k].mean(), 1)
        full = weight[(y == k) & ~flipped]
        np.testing.assert_allclose(full, full[0])
        np.testing.assert_allclose(weight[(y == k) & flipped][-1], full[0] / 4)
    np.testing.assert_allclose(weight[:20][y[:20] == 0], weight[~flipped & (y == 0)][0])


def test_only_if_better(noisy):
    X, _, y, flipped = noisy
    right = Fixed(flipped)
    model = CleaningClassifier(Recorder(), right, only_if_better=True).fit(X, y)
    assert model.cleaned_
    assert model.held_out_scores_["cleaned"] >= model.held_out_scores_["plain"]
    np.testing.assert_array_equal(model.estimator_.seen_[0], X[~flipped])
    # A detector that flags all labels but the wrong ones, and all of two classes.
    for errors in (~flipped, y > 0):
        model.set_params(detector=Fixed(errors)).fit(X, y)
        assert not model.cleaned_
        assert model.held_out_scores_["cleaned"] < model.held_out_scores_["plain"]
        np.testing.assert_array_equal(model.estimator_.seen_[0], X)
        np.testing.assert_array_equal(model.estimator_.seen_[1], y)
        assert model.estimator_.seen_[2] is None
    model.set_params(only_if_better=False).fit(X, y)
    assert model.cleaned_
    assert not hasattr(model, "held_out_scores_")


@pytest.mark.parametrize("action", ["drop", "relabel", "reweight"])
def test_only_if_better_with_weights_and_verified_labels(action, noisy):
    X, true, y, _ = noisy
    names = np.array(["no", "some", "yes"], dtype=object)
    given, weight = names[y], np.arange(400.0) % 3
    given[:5] = None
    verified = np.full(400, None, dtype=object)
    verified[20:40] = names[true[20:40]]
    detector = Fixed(np.ones(400, dtype=bool), names[(true + 1) % 3])
    model = CleaningClassifier(Recorder(), detector, action=action, only_if_better=True)
    model.fit(X, given, verified_labels=verified, sample_weight=weight)
    if action == "reweight":  # all weights are equal, except of verified rows
        return
    assert not model.cleaned_
    used = weight > 0
    used[:5] = False
    np.testing.assert_array_equal(model.estimator_.seen_[2], weight[used])
    put_right = np.where(verified == None, given, verified)  # noqa: E711
    np.testing.assert_array_equal(model.estimator_.seen_[1], put_right[used])


def test_verified_labels_are_trained_on_in_every_action(noisy):
    X, true, y, flipped = noisy
    verified = true.astype(float)
    verified[50:] = np.nan
    for action in ("drop", "relabel", "reweight"):
        model = CleaningClassifier(Recorder(), CHEAP, action=action)
        model.fit(X, y, verified_labels=verified)
        seen_X, seen_y, _ = model.estimator_.seen_
        rows = [np.flatnonzero((seen_X == x).all(axis=1)) for x in X[:50]]
        assert all(len(found) == 1 for found in rows)
        np.testing.assert_array_equal(seen_y[np.concatenate(rows)], true[:50])
        np.testing.assert_array_equal(model.detector_.label_errors_[:50], flipped[:50])


def test_missing_labels_are_left_out(noisy):
    X, _, y, _ = noisy
    y = y.astype(object)
    y[:30] = None
    for action in ("drop", "relabel", "reweight"):
        model = CleaningClassifier(Recorder(), CHEAP, action=action).fit(X, y)
        assert len(model.estimator_.seen_[1]) <= 370
        assert not (model.estimator_.seen_[0][:, None] == X[None, :30]).all(axis=2).any()
        assert model.estimator_.seen_[1].dtype.kind == "i"


def test_default_detector_depends_on_the_input(noisy):
    X, _, y, _ = noisy
    assert CleaningClassifier(random_state=0).fit(X, y).detector_.estimators is None
    frame = pd.DataFrame(X).assign(c=pd.Categorical(np.where(X[:, 0] > 0, "u", "v")))
    frame.columns = list("abcdefg")
    frame.loc[::5, "a"] = np.nan
    boosting = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    model = CleaningClassifier(boosting).fit(frame, y)
    (member,) = model.detector_.estimators
    assert isinstance(member, HistGradientBoostingClassifier)
    assert model.feature_names_in_.tolist() == list("abcdefg")
    assert model.predict(frame).shape == (400,)


def test_text_pipeline_on_real_weak_labels():
    data = load_youtube_spam()
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    search = GridSearchCV(
        CleaningClassifier(pipeline), {"action": ["drop", "relabel", "reweight"]}, cv=2, n_jobs=2
    )
    search.fit(data.data[:400], data.target[:400])
    assert set(search.predict(data.data[400:500])) <= {"ham", "spam"}
    assert set(search.classes_) == {"ham", "spam"}


def test_helps(noisy):
    X, true, y, _ = noisy
    X_test, y_test = X[200:], true[200:]
    plain = ExtraTreesClassifier(50, random_state=0).fit(X[:200], y[:200])
    cleaned = CleaningClassifier(plain, random_state=0).fit(X[:200], y[:200])
    assert cleaned.score(X_test, y_test) > plain.score(X_test, y_test)


def test_parameters_reach_the_detector(noisy):
    X, _, y, _ = noisy
    model = CleaningClassifier(Recorder(), CHEAP, cv=3, n_jobs=1, random_state=4).fit(X, y)
    params = model.detector_.get_params(deep=False)
    assert (params["cv"], params["n_jobs"], params["random_state"]) == (3, 1, 4)
    untouched = CleaningClassifier(Recorder(), ConfidentLearning(GaussianNB(), cv=4)).fit(X, y)
    assert untouched.detector_.cv == 4
    assert untouched.detector_ is not untouched.detector


class Counting(ConfidentLearning):
    """Counts its fits in a file, which is shared between processes."""

    _parameter_constraints = {**ConfidentLearning._parameter_constraints, "path": [str]}

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
    detector = Counting(str(fits), GaussianNB())
    model = CleaningClassifier(
        LogisticRegression(), detector, random_state=0, memory=str(tmp_path / "cache")
    )
    grid = {"estimator__C": [0.1, 1, 10], "action": ["drop", "relabel"]}
    search = GridSearchCV(model, grid, cv=3).fit(X, y)
    assert fits.read_text() == "x" * 4
    again = CleaningClassifier(
        search.best_estimator_.estimator, detector, random_state=0, n_jobs=2, action="drop",
        memory=str(tmp_path / "cache"),
    ).fit(X, y)  # fmt: skip
    assert fits.read_text() == "x" * 4
    other = CleaningClassifier(
        search.best_estimator_.estimator, CHEAP, random_state=0, action="drop"
    ).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), other.predict(X))
    with pytest.raises(ValueError, match="set random_state to an integer"):
        CleaningClassifier(memory=str(tmp_path)).fit(X, y)


def test_weights_where_the_classifier_takes_none(noisy):
    X, _, y, _ = noisy
    message = "KNeighborsClassifier, but it takes none.*set_fit_request"
    with pytest.raises(TypeError, match=message):
        CleaningClassifier(KNeighborsClassifier(), CHEAP, action="reweight").fit(X, y)
    with pytest.raises(TypeError, match=message):
        CleaningClassifier(KNeighborsClassifier(), CHEAP).fit(X, y, sample_weight=np.ones(400))
    CleaningClassifier(KNeighborsClassifier(), CHEAP).fit(X, y)
    piped = make_pipeline(SimpleImputer(), GaussianNB())
    CleaningClassifier(piped, CHEAP, action="reweight").fit(X, y)


def test_methods_are_those_of_the_classifier(noisy):
    X, _, y, _ = noisy
    model = CleaningClassifier(LinearSVC(), CHEAP)
    assert not hasattr(model, "predict_proba")
    assert model.fit(X, y).decision_function(X).shape == (400, 3)
    assert not hasattr(CleaningClassifier(GaussianNB()), "decision_function")
    default = CleaningClassifier(detector=CHEAP).fit(X, y)
    np.testing.assert_allclose(
        np.exp(default.predict_log_proba(X)), default.predict_proba(X), rtol=1e-6
    )


def test_refused_input_is_refused_for_any_flags(noisy):
    X, _, y, _ = noisy
    X[7, 2] = np.nan
    errors = np.arange(400) == 7
    with pytest.raises(ValueError, match="contains NaN"):
        CleaningClassifier(LogisticRegression(), Fixed(errors)).fit(X, y)
    with pytest.raises(ValueError, match="contains NaN"):
        CleaningClassifier(LogisticRegression(), Fixed(~errors & False)).fit(X, y)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"y": np.zeros(400)}, "one class only"),
        ({"y": np.linspace(0, 1, 400)}, "continuous"),
        ({"y": [None] * 400}, "no class"),
        ({"sample_weight": np.zeros(400)}, "no positive entry|at least one non-zero"),
        ({"sample_weight": -np.ones(400)}, "[Nn]egative"),
        ({"verified_labels": np.full(400, 9)}, "verified_labels holds labels that are not"),
        ({"verified_labels": [1, 2]}, "inconsistent numbers of samples"),
        ({"groups": [1, 2]}, "inconsistent numbers of samples"),
    ],
)
def test_bad_input_is_refused_before_any_fit(change, message, noisy):
    X, _, y, _ = noisy

    class Never(GaussianNB):
        def fit(self, X, y, sample_weight=None):
            raise AssertionError("fitted nevertheless")

    arguments = {"y": y, **change}
    model = CleaningClassifier(Never(), ConfidentLearning(Never()))
    with pytest.raises(ValueError, match=message):
        model.fit(X, arguments.pop("y"), **arguments)


def test_only_if_better_uses_calibrated_labels(seed):
    X = np.random.default_rng(seed).normal(size=(600, 3))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    given = (X[:, 0] > 0).astype(int)  # a rule that is easier to predict than the true label
    verified = np.where(np.arange(600) % 3 == 0, y, np.nan)
    detector = EnsembleDetector([LogisticRegression()], max_flag_rate=None)
    model = CleaningClassifier(None, detector, action="drop", only_if_better=True)
    model.fit(X, given)
    assert model.held_out_scores_["plain"] > 0.95  # nothing speaks against the rule
    plain = model.score(X, y)
    model.fit(X, given, verified_labels=verified)
    assert model.cleaned_
    assert model.score(X, y) > plain + 0.05


@pytest.mark.parametrize("detector", [CHEAP, None])
def test_labels_are_encoded_once(detector, noisy, monkeypatch):
    calls = []

    def counting(y, **params):
        calls.append(len(y))
        return encode_labels(y, **params)

    monkeypatch.setattr("skrobust.base._labelled_data.encode_labels", counting)
    X, _, y, _ = noisy
    CleaningClassifier(detector=detector, random_state=0).fit(X[:120], y[:120])
    assert calls == [120]


def test_the_index_of_labels_reaches_the_frame_of_the_detector(noisy):
    X, _, y, _ = noisy
    labels = pd.Series(y, index=[f"row {i}" for i in range(400)])
    frame = CleaningClassifier(GaussianNB(), CHEAP).fit(X, labels).detector_.to_frame()
    assert frame.index.equals(labels.index)
    assert frame["given_label"].tolist() == y.tolist()
