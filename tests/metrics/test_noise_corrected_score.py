"""Corrected scores: scikit-learn's without noise, the formula, prediction-powered inference."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn import metrics
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB

from skrobust.detection import ConfidentLearning
from skrobust.metrics import expected_noisy_score, geometric_mean_score, noise_corrected_score
from skrobust.noise import AnchorTransition, flip_labels, random_transition, symmetric_transition
from skrobust.utils import LabelNoiseWarning
from skrobust.wrappers import CleaningClassifier

SKLEARN = {
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "matthews_corrcoef": metrics.matthews_corrcoef,
    "cohen_kappa": metrics.cohen_kappa_score,
    "geometric_mean": geometric_mean_score,
}
for _kind in ("f1", "precision", "recall"):
    for _average in ("macro", "micro", "weighted"):
        SKLEARN[f"{_kind}_{_average}"] = lambda y, p, kind=_kind, average=_average, **kw: getattr(
            metrics, f"{kind}_score"
        )(y, p, average=average, zero_division=0, **kw)


@pytest.mark.parametrize("name", SKLEARN)
def test_identity_gives_what_scikit_learn_gives(name, seed):
    rng = np.random.default_rng(seed)
    y, pred = rng.choice(["a", "b", "c"], size=(2, 100))
    found = noise_corrected_score(y, pred, metric=name, transition=np.eye(3))
    assert found.score == pytest.approx(SKLEARN[name](y, pred))
    assert found.noisy_score == pytest.approx(found.score)
    assert found.transition_error == 0
    assert found.method == "transition"
    assert found.interval[0] < found.score < found.interval[1]
    assert float(found) == found.score


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "roc_auc", "average_precision"])
def test_identity_gives_what_scikit_learn_gives_for_two_classes(name, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=100)
    scores = np.round(rng.normal(size=100) + y, 1)  # with ties
    weight = rng.random(100)
    ranking = name in ("roc_auc", "average_precision")
    score = getattr(metrics, f"{name}_score")
    output = scores if ranking else (scores > 0.5).astype(int)
    options = {"metric": name, "transition": np.eye(2), "sample_weight": weight}
    found = noise_corrected_score(y, output, random_state=0, **options)
    assert found.score == pytest.approx(score(y, output, sample_weight=weight))


def test_costs_and_functions(seed):
    rng = np.random.default_rng(seed)
    y, pred = rng.integers(2, size=(2, 100))
    costs = np.array([[0, 1], [5, 0]])
    options = {"transition": np.eye(2)}
    found = noise_corrected_score(y, pred, metric=costs, **options)
    assert found.score == pytest.approx(costs[y, pred].mean())
    function = noise_corrected_score(y, pred, metric=lambda c: (costs * c).sum(), **options)
    assert function.score == pytest.approx(found.score)
    assert function.standard_error == pytest.approx(found.standard_error)


@pytest.mark.parametrize("name", ["accuracy", "f1", "balanced_accuracy", "matthews_corrcoef"])
def test_expected_noisy_score_is_inverted(name):
    rates = {"tpr": 0.8, "tnr": 0.9, "prevalence": 0.3}
    true = expected_noisy_score(name, **rates, fpr_labels=0, fnr_labels=0)
    noisy = expected_noisy_score(name, **rates, fpr_labels=0.1, fnr_labels=0.2)
    transition = np.array([[0.9, 0.1], [0.2, 0.8]])
    joint = np.array([[0.7 * 0.9, 0.7 * 0.1], [0.3 * 0.2, 0.3 * 0.8]])
    counts = np.rint(transition.T @ joint * 10_000).astype(int)
    given = np.repeat([0, 0, 1, 1], counts.ravel())
    pred = np.repeat([0, 1, 0, 1], counts.ravel())
    found = noise_corrected_score(given, pred, metric=name, transition=transition)
    assert found.noisy_score == pytest.approx(noisy, abs=1e-3)
    assert found.score == pytest.approx(true, abs=1e-3)


def test_area_under_the_curve_is_affine(seed):
    rng = np.random.default_rng(seed)
    truth = (rng.random(20_000) < 0.3).astype(int)
    scores = rng.normal(size=20_000) + 1.5 * truth
    transition = np.array([[0.9, 0.1], [0.3, 0.7]])
    given, _ = flip_labels(truth, transition, random_state=seed)
    found = noise_corrected_score(given, scores, metric="roc_auc", transition=transition)
    first, second = truth[given == 0].mean(), 1 - truth[given == 1].mean()
    by_hand = 0.5 + (metrics.roc_auc_score(given, scores) - 0.5) / (1 - first - second)
    assert found.score == pytest.approx(by_hand, abs=0.01)
    assert found.score == pytest.approx(metrics.roc_auc_score(truth, scores), abs=0.02)
    options = {"metric": "average_precision", "transition": transition, "random_state": 0}
    found = noise_corrected_score(given, scores, **options)
    assert found.score == pytest.approx(metrics.average_precision_score(truth, scores), abs=0.03)
    assert found.noisy_score < found.score


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "roc_auc"])
def test_standard_error_is_that_of_repeated_draws(name, seed):
    rng = np.random.default_rng(seed)
    transition = np.array([[0.85, 0.15], [0.25, 0.75]])
    estimates = []
    for _ in range(200):
        truth = (rng.random(600) < 0.4).astype(int)
        scores = rng.normal(size=600) + 2 * truth
        given, _ = flip_labels(truth, transition, random_state=rng.integers(1 << 30))
        output = scores if name == "roc_auc" else (scores > 1).astype(int)
        estimates.append(noise_corrected_score(given, output, metric=name, transition=transition))
    spread = np.std([e.score for e in estimates])
    assert np.mean([e.standard_error for e in estimates]) == pytest.approx(spread, rel=0.25)


class Estimated:
    """What is left of a transition estimator."""

    def __init__(self, matrix, width, classes=(0, 1)):
        self.transition_matrix_ = np.asarray(matrix, dtype=float)
        self.transition_interval_ = np.array([matrix - width / 2, matrix + width / 2])
        self.classes_ = np.array(classes)

    def fit(self, X, y):
        return self


def _binary(seed, n_rows=1000, noise=0.2):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=n_rows)
    pred = np.where(rng.random(n_rows) < 0.9, truth, 1 - truth)
    given, _ = flip_labels(truth, symmetric_transition(2, noise), random_state=seed)
    return truth, given, pred


def test_uncertain_transition_shrinks_and_widens(seed):
    _, given, pred = _binary(seed)
    matrix = symmetric_transition(2, 0.2)
    exact = noise_corrected_score(given, pred, transition=matrix)
    sure, unsure = (
        noise_corrected_score(given, pred, transition=Estimated(matrix, width))
        for width in (0.01, 0.4)
    )
    assert exact.weight == 1
    assert exact.score > sure.score > unsure.score > unsure.noisy_score
    assert exact.standard_error < sure.standard_error < unsure.standard_error
    assert unsure.rows_error == pytest.approx(exact.rows_error, rel=0.3)
    assert unsure.standard_error == pytest.approx(
        np.hypot(unsure.rows_error, unsure.transition_error)
    )


def test_error_of_the_transition_is_that_of_drawn_matrices(seed):
    _, given, pred = _binary(seed, 100_000)
    matrix = symmetric_transition(2, 0.2)
    rng = np.random.default_rng(seed)
    draws = []
    for move in rng.normal(scale=0.02, size=(300, 2)):
        drawn = matrix + np.array([[move[0], -move[0]], [-move[1], move[1]]])
        draws.append(noise_corrected_score(given, pred, transition=drawn).score)
    width = 0.02 * 2 * stats.norm.ppf(0.975)
    found = noise_corrected_score(given, pred, transition=Estimated(matrix, width))
    # Overlap of the classes has its part, and rows vary in pairs, not entries by themselves.
    assert found.transition_error > 0.9 * np.std(draws)


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "roc_auc", "average_precision"])
def test_interval_of_the_noise_rate_is_an_error_of_each_class(name, seed):
    truth, given, pred = _binary(seed)
    if name in ("roc_auc", "average_precision"):
        pred = truth + np.random.default_rng(seed).normal(size=len(truth))
    matrix = symmetric_transition(2, 0.2)
    estimated = Estimated(matrix, 0.0)
    estimated.noise_rate_, estimated.noise_rate_interval_ = 0.2, (0.15, 0.3)
    found = noise_corrected_score(given, pred, metric=name, transition=estimated, random_state=0)
    slopes = []
    for k, move in enumerate(([-1e-3, 1e-3], [1e-3, -1e-3])):
        ends = [matrix.copy(), matrix.copy()]
        ends[0][k] -= move
        ends[1][k] += move
        low, high = (
            noise_corrected_score(given, pred, metric=name, transition=end, random_state=0).score
            for end in ends
        )
        slopes.append((high - low) / 2e-3)
    expected = 0.3 * (0.3 - 0.15) * np.hypot(*slopes)
    assert found.transition_error == pytest.approx(expected, rel=0.02)


def test_more_noise_than_labels_is_refused():
    _, given, pred = _binary(0)
    matrix = np.array([[0.1, 0.9, 0.0], [0.0, 0.3, 0.7], [0.35, 0.35, 0.3]])
    matrix = np.array([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]])
    given, pred = given.copy(), pred.copy()
    given[:100] = pred[:100] = 2
    estimated = Estimated(matrix, 0.05, (0, 1, 2))
    with pytest.warns(LabelNoiseWarning, match="60% of the labels wrong"):
        found = noise_corrected_score(given, pred, transition=estimated)
    assert found.score == found.noisy_score
    assert found.weight == 0
    assert found.interval[1] > 0.95


def test_values_of_ppi_python():
    # ppi-python 0.2.3: ppi_mean_pointestimate and ppi_mean_ci of whether predictions are right,
    # by verified labels, and of whether they agree with the given ones.
    i = np.arange(2000)
    right = (i * 37 + i // 7) % 100 < 85
    agree = np.where((i * 61 + i // 11) % 100 < 20, ~right, right)
    pred = i % 2
    truth, given = np.where(right, pred, 1 - pred), np.where(agree, pred, 1 - pred)
    for n_rows, point, low, high in (
        (60, 0.8339549105591594, 0.7519663508671993, 0.9159434702511194),
        (200, 0.8518579220773628, 0.8083487579511054, 0.8953670862036202),
    ):
        verified = np.where(i < n_rows, truth, np.nan)
        found = noise_corrected_score(given, pred, verified_labels=verified)
        assert found.method == "verified"
        assert found.score == pytest.approx(point, abs=1e-10)
        error = (high - low) / (2 * stats.norm.ppf(0.975))
        # A little wider, for small samples.
        assert error < found.standard_error < 1.04 * error


def test_difference_estimator_by_hand():
    given = np.array([0, 0, 0, 0, 1, 1, 1, 1, 0, 1])
    pred = np.array([0, 0, 1, 1, 1, 1, 0, 1, 0, 1])
    verified = np.array([0, 0, 1, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan])
    values, proxy = np.array([1, 1, 1, 0]), (given == pred).astype(float)
    covariance = np.mean((values - values.mean()) * (proxy[:4] - proxy[:4].mean()))
    weight = covariance / 4 / (proxy.var(ddof=1) * (1 / 4 + 1 / 6))
    expected = values.mean() + weight * (proxy[4:].mean() - proxy[:4].mean())
    found = noise_corrected_score(given, pred, verified_labels=verified)
    assert found.weight == pytest.approx(weight)
    assert found.score == pytest.approx(expected)


@pytest.mark.parametrize("name", ["accuracy", "f1", "roc_auc", "average_precision"])
def test_verified_rows_are_unbiased_where_the_noise_depends_on_the_prediction(name):
    estimates, true = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        truth = rng.integers(2, size=1000)
        scores = rng.normal(size=1000) + 1.5 * truth
        pred = (scores > 0.75).astype(int)
        # Labels follow the predictions, as those of a rule may: the noisy score is too high.
        given = np.where(rng.random(1000) < 0.5, pred, truth)
        verified = np.where(rng.random(1000) < 0.3, truth, np.nan)
        output = scores if name in ("roc_auc", "average_precision") else pred
        options = {"metric": name, "verified_labels": verified, "random_state": 0}
        options["n_bootstrap"] = 50
        estimates.append(noise_corrected_score(given, output, **options))
        score = getattr(metrics, f"{name}_score")
        true.append(score(truth, output))
    gaps = np.array([e.score for e in estimates]) - true
    assert abs(gaps.mean()) < 3 * gaps.std() / np.sqrt(30) + 0.003
    assert np.mean([e.noisy_score for e in estimates]) > np.mean(true) + 0.03
    held = [e.interval[0] <= t <= e.interval[1] for e, t in zip(estimates, true)]
    assert np.mean(held) > 0.8


def test_quality_narrows_the_interval(seed):
    truth, given, pred = _binary(seed, 2000)
    rng = np.random.default_rng(seed)
    quality = np.where(truth == given, rng.beta(6, 1.5, 2000), rng.beta(1.5, 4, 2000))
    verified = np.where(rng.random(2000) < 0.1, truth, np.nan)
    plain = noise_corrected_score(given, pred, verified_labels=verified)
    better = noise_corrected_score(given, pred, verified_labels=verified, label_quality=quality)
    alone = noise_corrected_score(
        truth[~np.isnan(verified)],
        pred[~np.isnan(verified)],
        verified_labels=verified[~np.isnan(verified)],
    )
    assert better.standard_error < plain.standard_error < alone.standard_error
    # A quality that is upside down is not relied on.
    bad = noise_corrected_score(given, pred, verified_labels=verified, label_quality=1 - quality)
    assert bad.standard_error < 1.05 * plain.standard_error


def test_unequal_drawing_probabilities():
    scores = []
    for seed in range(40):
        truth, given, pred = _binary(seed, 2000)
        rng = np.random.default_rng(seed)
        share = np.where(given == pred, 0.05, 0.25)
        drawn = rng.random(2000) < share
        verified = np.where(drawn, truth, np.nan)
        weight = np.where(drawn, 1 / share, 0)
        options = {"verified_labels": verified, "verified_weight": weight}
        found = noise_corrected_score(given, pred, **options)
        scores.append((found.score - np.mean(truth == pred)) / found.standard_error)
    assert abs(np.mean(scores)) < 0.6
    assert 0.5 < np.std(scores) < 1.5


def test_transition_of_fitted_estimators(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 2)) + 3 * rng.integers(2, size=(600, 1))
    names = np.array(["no", "yes"])[(X.sum(axis=1) > 3).astype(int)]
    given, _ = flip_labels(names, symmetric_transition(2, 0.2), random_state=seed)
    forest = ExtraTreesClassifier(30, bootstrap=True, oob_score=True, min_samples_leaf=3)
    first, rest = slice(0, 400), slice(400, 600)
    anchor = AnchorTransition(forest, n_bootstrap=20, random_state=seed)
    anchor.fit(X[first], given[first])
    pred = names[rest]
    found = noise_corrected_score(given[rest], pred, transition=anchor)
    assert found.score > found.noisy_score
    assert found.transition_error > 0
    detector = ConfidentLearning(GaussianNB(), cv=3)
    wrapper = CleaningClassifier(GaussianNB(), detector).fit(X[first], given[first])
    with pytest.warns(LabelNoiseWarning, match="no transition_interval_"):
        found = noise_corrected_score(given[rest], pred, transition=wrapper)
    assert found.score > found.noisy_score
    with pytest.warns(LabelNoiseWarning, match="fitted to the rows that are"):
        noise_corrected_score(given[first], names[first], transition=anchor)
    options = {"transition": anchor, "labels": ["no", "yes", "maybe"]}
    with pytest.raises(ValueError, match="transition is for the classes"):
        noise_corrected_score(given[rest], pred, **options)
    # Another order of the classes is that of the labels.
    swapped = noise_corrected_score(
        given[rest], pred, transition=anchor, labels=["yes", "no"], metric="recall"
    )
    assert 0 <= swapped.score <= 1
    with pytest.raises(NotFittedError, match="is not fitted"):
        noise_corrected_score(given, names, transition=AnchorTransition())
    model = GaussianNB().fit(X, given)
    with pytest.raises(ValueError, match="GaussianNB has no transition_matrix_"):
        noise_corrected_score(given, names, transition=model)


def test_verified_rows_that_looked_wrong_are_warned_about(seed):
    truth, given, pred = _binary(seed, 1000)
    wrong = np.flatnonzero(given != pred)
    verified = np.full(1000, np.nan)
    verified[wrong[:60]] = truth[wrong[:60]]
    with pytest.warns(LabelNoiseWarning, match="as no random draw would"):
        noise_corrected_score(given, pred, verified_labels=verified)
    verified = np.full(1000, np.nan)
    verified[:100] = truth[:100]
    weight = np.ones(1000)
    weight[:10] = 0
    options = {"verified_labels": verified, "verified_weight": weight}
    with pytest.warns(LabelNoiseWarning, match="10 verified rows have a verified_weight of zero"):
        noise_corrected_score(given, pred, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise_corrected_score(given, pred, verified_labels=verified)
    quality = np.where(np.isnan(verified), 0.9, 0.1)
    options = {"verified_labels": verified, "label_quality": quality}
    with pytest.warns(LabelNoiseWarning, match="as no random draw would"):
        noise_corrected_score(given, pred, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs?.*verified_labels|both are missing"),
        ({"method": "verified"}, "no row is verified"),
        ({"verified_labels": [0, np.nan, np.nan, np.nan]}, "At least two verified rows"),
        ({"verified_labels": [0, 1]}, "2 entries, but there are 4"),
        ({"transition": np.eye(2), "metric": "f2"}, "The 'metric' parameter"),
        ({"transition": np.eye(2), "metric": np.eye(3)}, "2 x 2 finite"),
        ({"transition": np.eye(2), "confidence_level": 1.0}, "confidence_level"),
        ({"transition": [[0.5, 0.5], [0.5, 0.5]]}, "condition number"),
        ({"transition": np.eye(2), "sample_weight": [1, 1, 1, -1]}, "[Nn]egative"),
        (
            {"verified_labels": [0, 1, np.nan, np.nan], "label_quality": [0, 1, 2, 0]},
            r"must be in \[0, 1\]",
        ),
        (
            {"verified_labels": [0, 1, np.nan, np.nan], "verified_weight": [1, -1, 0, 0]},
            "non-negative",
        ),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        noise_corrected_score([0, 1, 1, 0], [0, 1, 0, 0], **options)


def test_metrics_for_two_classes_are_refused_for_three():
    y = [0, 1, 2, 0]
    for name in ("f1", "roc_auc"):
        with pytest.raises(ValueError, match="is for two classes"):
            noise_corrected_score(y, y, metric=name, transition=np.eye(3))
    options = {"transition": np.eye(2), "labels": [0, 1], "metric": "roc_auc"}
    with pytest.raises(ValueError, match="no row is given 1"):
        noise_corrected_score([0, 0, 0], [0.1, 0.2, 0.3], **options)
    with pytest.raises(TypeError, match="transition must be a matrix"):
        noise_corrected_score(y, y, transition="estimator")


def test_weights_repeat_rows(seed):
    rng = np.random.default_rng(seed)
    y, pred = rng.integers(3, size=(2, 60))
    weight = rng.integers(1, 4, size=60)
    transition = random_transition(3, 0.2, random_state=seed)
    options = {"metric": "f1_macro", "transition": transition}
    weighted = noise_corrected_score(y, pred, sample_weight=weight, **options)
    repeated = noise_corrected_score(np.repeat(y, weight), np.repeat(pred, weight), **options)
    assert_allclose(weighted.score, repeated.score)
    assert weighted.standard_error > repeated.standard_error


@pytest.mark.parametrize("name", ["roc_auc", "average_precision"])
def test_ranking_of_a_class_that_is_not_there(name):
    given = np.repeat([0, 1], [95, 5])
    scores = np.linspace(0, 1, 100)
    transition = symmetric_transition(2, 0.1)  # by which the 5 are all errors
    options = {"metric": name, "random_state": 0}
    with pytest.raises(ValueError, match="all rows are of one class"):
        noise_corrected_score(given, scores, transition=transition, **options)
    estimated = Estimated(transition, 0.05)
    with pytest.warns(LabelNoiseWarning, match="all rows are of one class"):
        found = noise_corrected_score(given, scores, transition=estimated, **options)
    assert found.score == pytest.approx(found.noisy_score)
    assert found.interval == (0, 1)


def test_probabilities_in_place_of_predictions_are_refused_with_advice():
    y = np.arange(40) % 2
    proba = np.column_stack([1 - y, y]) * 0.8 + 0.1
    with pytest.raises(ValueError, match=r"pass classes\[numpy.argmax\(y_pred, axis=1\)\]"):
        noise_corrected_score(y, proba, transition=np.eye(2))
    for scores in (proba, np.log(proba)):
        with pytest.raises(ValueError, match=r"scores of the second class.*pass y_pred\[:, 1\]"):
            noise_corrected_score(y, scores, transition=np.eye(2), metric="roc_auc")
        found = noise_corrected_score(y, scores[:, 1], transition=np.eye(2), metric="roc_auc")
        assert found.score == 1
    with pytest.raises(ValueError, match="label_quality must hold one number for each row"):
        noise_corrected_score(y, y, verified_labels=y, label_quality=proba)
