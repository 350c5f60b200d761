"""What the checks of estimators share: data with planted errors, answers, and their comparison."""

import contextlib
import contextvars
import functools
import warnings
from inspect import signature

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils import get_tags

from skrobust._base import LabelErrorDetector, Reweighter, TransitionEstimator
from skrobust.utils._warnings import LabelNoiseWarning

# Numerical solvers stop early, at a place that depends on the order of rows and classes.
TOLERANCE = 1e-4
# Scores come to ten times as much where classes are well apart.
PROBA_TOLERANCE = 1e-3
# Answers that depend on chance are compared over a few seeds, and if these leave a doubt over many.
N_SEEDS = (6, 20)
# What leaves none, and what is too much: standard errors of the entries of an answer on average,
# which are about 1 by chance, and of their total.
NO_DOUBT, TOO_MUCH = (1.3, 1.5), (2, 3)
ROW_ANSWERS = ("label_quality_", "label_errors_", "keep_weight_", "sample_weight_")
CLASS_ANSWERS = ("transition_matrix_", "class_prior_")
TOTAL_ANSWERS = ("noise_rate_", "threshold_")


def is_detector(estimator) -> bool:
    """Whether an estimator detects label errors."""
    return isinstance(estimator, LabelErrorDetector)


def is_robust_classifier(estimator) -> bool:
    """Whether an estimator is a classifier that knows that labels may be wrong.

    It is told in ``fit`` which labels a person has verified, whatever it does about the others.
    """
    return is_classifier(estimator) and (
        has_param(estimator, "detector") or fit_takes(estimator, "verified_labels")
    )


def is_target_detector(estimator) -> bool:
    """Whether an estimator detects wrong labels that are no classes: numbers, or indicators."""
    methods = ("fit_resample", "detect", "score_labels")
    return not is_detector(estimator) and all(hasattr(estimator, name) for name in methods)


def is_target_wrapper(estimator) -> bool:
    """Whether an estimator is a regressor with a detector inside."""
    return is_regressor(estimator) and has_param(estimator, "detector")


def is_known_kind(estimator) -> bool:
    """Whether this package has a contract for such an estimator."""
    kinds = (LabelErrorDetector, Reweighter, TransitionEstimator)
    return (
        isinstance(estimator, kinds)
        or is_robust_classifier(estimator)
        or is_target_detector(estimator)
        or is_target_wrapper(estimator)
    )


def is_exact(estimator) -> bool:
    """Whether permuted rows, and repeated rows instead of weights, must give the same answer."""
    return getattr(estimator, "_exact_evidence", not get_tags(estimator).non_deterministic)


def has_param(estimator, name: str) -> bool:
    """Whether the constructor has a parameter."""
    return name in estimator.get_params(deep=False)


def fit_takes(estimator, name: str) -> bool:
    """Whether ``fit`` has a parameter."""
    return name in signature(estimator.fit).parameters


def fresh(estimator, /, *, seed=0, **params):
    """Clone an estimator, give every part that has none a seed, and set parameters it has.

    Parameters
    ----------
    estimator : estimator object
        The estimator under check.
    seed : int or None
        For every `random_state` inside that is None; the outermost is set in any case.
    **params : dict
        Set where the constructor has such a parameter. `cv` is set as well in what judges labels
        inside, if the constructor does not have it.

    Returns
    -------
    estimator : estimator object
        Not fitted.
    """
    estimator = clone(estimator)
    known = estimator.get_params(deep=True)
    seeds = {
        key: seed
        for key, value in known.items()
        if key == "random_state" or (key.endswith("__random_state") and value is None)
    }
    estimator.set_params(**seeds)
    own = estimator.get_params(deep=False)
    if "cv" in params and "cv" not in own:
        _set_inner_cv(estimator, params["cv"])
    return estimator.set_params(**{key: value for key, value in params.items() if key in own})


def _set_inner_cv(estimator, cv) -> None:
    """Set the folds of the detectors, reweighters and transition estimators inside."""
    for part in estimator.get_params(deep=False).values():
        if isinstance(part, (LabelErrorDetector, Reweighter, TransitionEstimator)):
            if has_param(part, "cv"):
                part.set_params(cv=cv)
            else:
                _set_inner_cv(part, cv)


@contextlib.contextmanager
def quiet():
    """Let labels look as bad as they like."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=LabelNoiseWarning)
        yield


def fit_quietly(estimator, *args, **kwargs):
    """Fit without warnings about the labels."""
    with quiet():
        return estimator.fit(*args, **kwargs)


_usual_n_classes = contextvars.ContextVar("usual_n_classes", default=3)


def usual_n_classes() -> int:
    """How many classes the rows of a check have, if it does not say: three, or all there can be."""
    return _usual_n_classes.get()


def on_two_classes(check):
    """Make a check that runs on rows of two classes, for classifiers that know no more."""

    @functools.wraps(check)
    def run(estimator) -> None:
        token = _usual_n_classes.set(2)
        try:
            check(estimator)
        finally:
            _usual_n_classes.reset(token)

    return run


def make_rows(n_samples=120, *, n_classes=None, noise=0.15, seed=0, distance=5.0):
    """Draw rows around well separated centres and plant errors.

    Parameters
    ----------
    n_samples : int
        Number of rows.
    n_classes : int, default=None
        Number of classes, at most five. None is :func:`usual_n_classes`.
    noise : float
        Share of rows whose label is replaced by another.
    seed : int
        Seed.
    distance : float
        Distance of each centre from the origin, in standard deviations; centres stand at right
        angles.

    Returns
    -------
    X : ndarray of shape (n_samples, 5)
        Rows.
    y : ndarray of shape (n_samples,)
        Given labels, integers.
    planted : ndarray of shape (n_samples,) of bool
        Rows whose label is wrong.
    """
    n_classes = usual_n_classes() if n_classes is None else n_classes
    rng = np.random.default_rng(seed)
    truth = np.arange(n_samples) % n_classes
    rng.shuffle(truth)
    X = rng.normal(size=(n_samples, 5))
    X[np.arange(n_samples), truth] += distance
    planted = np.zeros(n_samples, dtype=bool)
    for k in range(n_classes):
        members = np.flatnonzero(truth == k)
        planted[rng.choice(members, round(noise * len(members)), replace=False)] = True
    y = np.where(planted, (truth + 1 + rng.integers(n_classes - 1, size=n_samples)), truth)
    return X, y % n_classes, planted


def make_folds_like(y, n_folds=3, seed=0):
    """Number the fold of each row, such that every class is in every fold."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(y), dtype=np.intp)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        fold[rows] = np.arange(len(rows)) % n_folds
    return fold


def splits_of(fold):
    """Make a list of (train, test) from the fold number of each row."""
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def rank_auc(score, positive) -> float:
    """Area under the ROC curve; rows with a score of NaN are left out."""
    known = ~np.isnan(score)
    ranks = _mid_ranks(score[known])
    positive = positive[known]
    n_positive, n_negative = positive.sum(), (~positive).sum()
    if n_positive == 0 or n_negative == 0:
        return 0.0
    return (ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _mid_ranks(values):
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[group]


def judge_of(fitted):
    """The part of a fitted estimator that says something about labels."""
    for name in ("detector_", "reweighter_"):
        if is_robust_classifier(fitted) and hasattr(fitted, name):
            return getattr(fitted, name)
    return fitted


def answer_of(fitted, X_new=None) -> dict:
    """Collect what a fitted estimator says.

    Parameters
    ----------
    fitted : estimator object
        Any estimator that this package has a contract for.
    X_new : array-like, default=None
        Rows that a classifier predicts.

    Returns
    -------
    answer : dict of str to ndarray
        Fitted attributes that are there, and "predict" and "predict_proba" for a classifier.
    """
    judge = judge_of(fitted)
    names = (*ROW_ANSWERS, "suggested_labels_", *CLASS_ANSWERS, *TOTAL_ANSWERS)
    answer = {}
    for name in names:
        value = getattr(judge, name, None)
        if value is not None:
            # Bools of a reweighter that returns them, or float32, compare as floats all the same.
            plain = np.array(value)
            answer[name] = plain if name == "suggested_labels_" else plain.astype(np.float64)
    answer["classes_"] = np.array(judge.classes_)
    if X_new is not None and is_robust_classifier(fitted):
        answer["predict"] = np.array(fitted.predict(X_new))
        if hasattr(fitted, "predict_proba"):
            answer["predict_proba"] = np.array(fitted.predict_proba(X_new), dtype=np.float64)
    return answer


def take_rows(answer: dict, rows) -> dict:
    """Rearrange, or choose among, the rows of an answer."""
    names = (*ROW_ANSWERS, "suggested_labels_")
    return {key: value[rows] if key in names else value for key, value in answer.items()}


def rename(answer: dict, names: dict) -> dict:
    """Say an answer in other class names.

    Parameters
    ----------
    answer : dict
        As of :func:`answer_of`.
    names : dict
        The new name of each label.

    Returns
    -------
    answer : dict
        The same in new names, with classes in the new order.
    """
    renamed = dict(answer)
    classes = [names[label] for label in answer["classes_"].tolist()]
    order = np.argsort(np.array(classes))
    renamed["classes_"] = np.array(classes)[order]
    for key in ("suggested_labels_", "predict"):
        if key in answer:
            renamed[key] = np.array([names.get(label) for label in answer[key].tolist()])
    if "predict_proba" in answer:
        renamed["predict_proba"] = answer["predict_proba"][:, order]
    if "transition_matrix_" in answer:
        renamed["transition_matrix_"] = answer["transition_matrix_"][np.ix_(order, order)]
    if "class_prior_" in answer:
        renamed["class_prior_"] = answer["class_prior_"][order]
    return renamed


def assert_same(first: dict, second: dict, message: str, *, tolerance=TOLERANCE) -> None:
    """Compare two answers.

    Parameters
    ----------
    first, second : dict
        As of :func:`answer_of`.
    message : str
        What should have changed nothing.
    tolerance : float
        Of numbers; labels and flags must be equal.
    """
    assert first.keys() == second.keys(), (
        f"{message}: attributes differ, {sorted(first)} and {sorted(second)}."
    )
    for name, value in first.items():
        other = second[name]
        assert value.shape == other.shape, f"{message}: the shape of {name} differs."
        if name in ("suggested_labels_", "predict", "classes_"):
            wrong = np.array([a != b for a, b in zip(value.tolist(), other.tolist(), strict=True)])
            assert not wrong.any(), f"{message}: {name} differs in {wrong.sum()} entries."
        elif name == "label_errors_":
            n_wrong = int((value != other).sum())
            assert not n_wrong, f"{message}: {name} differs in {n_wrong} rows."
        else:
            limit = tolerance
            if name == "predict_proba" and tolerance == TOLERANCE:
                limit = PROBA_TOLERANCE
            np.testing.assert_allclose(
                value, other, rtol=limit, atol=limit, err_msg=f"{message}: {name} differs."
            )


def assert_same_over_seeds(estimator, first, second, message: str) -> None:
    """Compare two ways to an answer, up to chance where an estimator depends on it.

    Parameters
    ----------
    estimator : estimator object
        Says by :func:`is_exact` how to compare.
    first, second : callable
        Take a seed and return an answer.
    message : str
        What should have changed nothing.
    """
    ones, others = [first(0)], []
    try:
        assert_same(ones[0], second(0), message)
        return
    except AssertionError:
        if is_exact(estimator):
            raise
    for n_seeds in N_SEEDS:
        ones += [first(seed) for seed in range(len(ones), n_seeds)]
        others += [second(seed + N_SEEDS[-1]) for seed in range(len(others), n_seeds)]
        gaps = {
            name: _gap_of_means(
                np.stack([answer[name] for answer in ones]),
                np.stack([answer[name] for answer in others]),
            )
            for name in ("label_quality_", "sample_weight_", "transition_matrix_", "predict_proba")
            if name in ones[0]
        }
        if all(np.less_equal(gap, NO_DOUBT).all() for gap in gaps.values()):
            return
    for name, gap in gaps.items():
        assert np.less_equal(gap, TOO_MUCH).all(), (
            f"{message}: {name} differs by more than chance, over {N_SEEDS[-1]} seeds: its entries"
            f" by {gap[0]:.1f} standard errors on average, their total by {gap[1]:.1f}."
        )


def _gap_of_means(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """How far means over the first axis are apart, in standard errors: entries, and their total.

    Single entries are many, so that some of them are off by more than two standard errors; their
    root mean square is not.
    """
    known = ~np.isnan(one).any(axis=0) & ~np.isnan(other).any(axis=0)
    one, other = one[:, known], other[:, known]

    def gap(first, second):
        error = np.sqrt((first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1)) / len(first))
        return (first.mean(axis=0) - second.mean(axis=0)) / np.maximum(error, TOLERANCE)

    of_entries = np.sqrt(np.mean(gap(one, other) ** 2))
    return float(of_entries), float(abs(gap(one.mean(axis=1), other.mean(axis=1))))


def assert_raises(kinds, words, call, what: str) -> None:
    """Expect an error that says what is wrong.

    Parameters
    ----------
    kinds : type or tuple of types
        Of the error.
    words : iterable of str
        The message must have one of these, in whatever case.
    call : callable
        What must fail.
    what : str
        For the message of this check.
    """
    try:
        with quiet():
            call()
    except kinds as error:
        text = str(error)
    else:
        raise AssertionError(f"{what}: no error was raised.")
    told = any(word.lower() in text.lower() for word in words)
    assert told, f"{what}: the message has none of {', '.join(map(repr, words))}, but reads: {text}"


def frames_of(X, names) -> dict:
    """The same table in every library of DataFrames that is installed."""
    frames = {}
    for library in ("pandas", "polars"):
        with contextlib.suppress(ImportError):
            module = __import__(library)
            frames[library] = module.DataFrame({n: X[:, j] for j, n in enumerate(names)})
    return frames
