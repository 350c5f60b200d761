"""How did a model come to its answer? Probabilities stage by stage, of a fit or during one."""

import functools
import itertools
import numbers
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from skrobust.base._labels import encode_labels_like
from skrobust.utils._blocks import for_each_block
from skrobust.utils._random import draw_seed
from skrobust.utils._rows import as_numbers
from skrobust.utils._sklearn import num_samples, safe_indexing

_ADVICE = (
    "There are stages of gradient boosting, histogram boosting, AdaBoost, bagging and forests, of"
    " a Pipeline or a grid search around them, and, while they train, of classifiers with"
    " partial_fit and predict_proba, such as SGDClassifier(loss='log_loss') and MLPClassifier."
    " To add a class, write a generator f(fitted, X) of its probabilities and register it with"
    " skrobust.evidence.staged_proba.register(TheClass, f)."
)


@functools.singledispatch
def staged_proba(fitted, X) -> Iterator[np.ndarray]:
    """Yield the class probabilities that a fitted model predicts after each of its stages.

    A stage is an iteration of boosting, or a member of a bag of models, of which the running
    mean is yielded. This is one table by class, to which others can be added.

    .. versionadded:: 0.1

    Parameters
    ----------
    fitted : fitted classifier
        Gradient boosting, histogram boosting, AdaBoost, bagging, a forest, or a Pipeline or grid
        search around one of them. Bags and forests take the keyword `out_of_bag` as well: with
        True, and their own training rows as `X`, the running mean of a row is over the members
        that did not draw it, NaN until there is one.
    X : array-like of length n_samples
        Rows to predict.

    Yields
    ------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities after one more stage; columns are ``fitted.classes_``.

    Raises
    ------
    TypeError
        If models of this class keep no stages.

    See Also
    --------
    skrobust.detection.TrainingDynamics : Detects errors by what stages have in common.

    Notes
    -----
    Another class is added by ``staged_proba.register(TheClass, function)``, where the function
    takes a fitted model and X and yields such arrays. :class:`~skrobust.detection.TrainingDynamics`
    works with that class from then on.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import GradientBoostingClassifier
    >>> from skrobust.evidence import staged_proba
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GradientBoostingClassifier(n_estimators=3).fit(X, y)
    >>> [round(float(proba[0, 0]), 2) for proba in staged_proba(model, X)]
    [0.4, 0.47, 0.53]
    """
    raise TypeError(f"{type(fitted).__name__} keeps no stages of its training. {_ADVICE}")


@staged_proba.register(GradientBoostingClassifier)
@staged_proba.register(AdaBoostClassifier)
def _boosting(fitted, X):
    check_is_fitted(fitted)
    yield from fitted.staged_predict_proba(X)


@staged_proba.register(HistGradientBoostingClassifier)
def _histogram_boosting(fitted, X):
    if type(fitted) is not HistGradientBoostingClassifier:  # it may predict in another way
        yield from _boosting(fitted, X)
        return
    check_is_fitted(fitted)
    for scores in fitted.staged_decision_function(X):
        yield _softmax(np.array(np.atleast_2d(scores.T), order="C"))


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Turn scores, one row for each class or only one of the second of two, into probabilities."""
    if len(scores) == 1:
        return _with_complement(expit(scores, out=scores))

    def normalize(start: int, stop: int) -> None:
        block = scores[:, start:stop]
        block -= block.max(axis=0)
        np.exp(block, out=block)
        block /= block.sum(axis=0)

    for_each_block(normalize, scores.shape[1], 2 * 8 * len(scores))
    return scores.T


def _with_complement(proba) -> np.ndarray:
    """Make the probabilities of two classes from those of the second, of shape (1, n_samples)."""
    return np.concatenate([1 - proba, proba]).T


@staged_proba.register(ExtraTreesClassifier)
@staged_proba.register(RandomForestClassifier)
def _forest(fitted, X, *, out_of_bag=False):
    check_is_fitted(fitted)
    if fitted.n_outputs_ > 1:
        raise TypeError("Forests with several outputs have no probabilities of one label.")
    X = as_numbers(X, np.float32)
    drawn = _drawn_rows(fitted, X.shape[0]) if out_of_bag else None
    trees = (functools.partial(tree.predict_proba, check_input=False) for tree in fitted)
    yield from _running_mean(trees, X, len(fitted.classes_), drawn)


@staged_proba.register(BaggingClassifier)
def _bag(fitted, X, *, out_of_bag=False):
    check_is_fitted(fitted)
    drawn = _drawn_rows(fitted, num_samples(X)) if out_of_bag else None
    members = (
        functools.partial(_member_proba, member, columns, len(fitted.classes_))
        for member, columns in zip(fitted.estimators_, fitted.estimators_features_, strict=True)
    )
    yield from _running_mean(members, X, len(fitted.classes_), drawn)


def _member_proba(member, columns, n_classes, X) -> np.ndarray:
    """Predict by one member of a bag, which knows classes by number and may not know all."""
    if len(columns) != np.shape(X)[1] or (np.diff(columns) != 1).any():
        X = X[:, columns] if hasattr(X, "tocsr") else np.asarray(X)[:, columns]
    proba = np.zeros((num_samples(X), n_classes))
    known = np.asarray(member.classes_).astype(np.intp)
    if hasattr(member, "predict_proba"):
        proba[:, known] = member.predict_proba(X)
    else:
        proba[np.arange(len(proba)), member.predict(X).astype(np.intp)] = 1
    return proba


def _drawn_rows(fitted, n_samples):
    if not fitted.bootstrap:
        raise ValueError(f"out_of_bag=True needs a {type(fitted).__name__}(bootstrap=True).")
    drawn = fitted.estimators_samples_
    if max(rows.max(initial=0) for rows in drawn) >= n_samples:
        raise ValueError(
            f"out_of_bag=True is about the rows that the {type(fitted).__name__} was fitted to, of"
            f" which there are more than the {n_samples} in X."
        )
    return drawn


def _running_mean(members, X, n_classes, drawn):
    sums, counts = np.zeros((num_samples(X), n_classes)), np.zeros(num_samples(X), dtype=np.intp)
    for i, predict in enumerate(members):
        if drawn is None:
            sums += predict(X)
            yield sums / (i + 1)
            continue
        out = np.ones(len(counts), dtype=bool)
        out[drawn[i]] = False
        if out.any():
            sums[out] += predict(safe_indexing(X, np.flatnonzero(out)))
            counts[out] += 1
        mean = np.full_like(sums, np.nan)
        yield np.divide(sums, counts[:, None], out=mean, where=counts[:, None] > 0)


@staged_proba.register(Pipeline)
def _pipeline(fitted, X, **options):
    X = fitted[:-1].transform(X) if len(fitted) > 1 else X
    yield from staged_proba(fitted[-1], X, **options)


@staged_proba.register(GridSearchCV)
@staged_proba.register(RandomizedSearchCV)
def _search(fitted, X, **options):
    check_is_fitted(fitted)
    yield from staged_proba(fitted.best_estimator_, X, **options)


# Stages during the training ----------------------------------------------------------------------


def has_stages(estimator) -> bool:
    """Whether a class of models keeps its stages."""
    inner = _innermost(estimator)
    return staged_proba.dispatch(type(inner)) is not staged_proba.dispatch(object)


def _innermost(estimator):
    """The model at the end of pipelines and inside searches."""
    while isinstance(estimator, (Pipeline, GridSearchCV, RandomizedSearchCV)):
        last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator.estimator
        estimator = last
    return estimator


def check_has_stages(estimator) -> None:
    """Refuse a model that neither keeps its stages nor can be trained pass by pass."""
    inner = _innermost(estimator)
    if has_stages(estimator) or _has_own_watch(inner):
        return
    name = type(inner).__name__
    searched = estimator is not inner and not isinstance(estimator, Pipeline)
    if not hasattr(inner, "partial_fit") or searched:
        raise TypeError(f"estimator: {name} keeps no stages of its training. {_ADVICE}")
    if not hasattr(inner, "predict_proba"):
        raise TypeError(
            f"estimator: {name} can be trained pass by pass but has no predict_proba (an"
            f" SGDClassifier has one with loss='log_loss'). {_ADVICE}"
        )


def is_stochastic(estimator) -> bool:
    """Whether a model is trained pass by pass in an order that is drawn at random."""
    inner = _innermost(estimator)
    return not has_stages(estimator) and hasattr(inner, "random_state")


def _has_own_watch(estimator) -> bool:
    own = watch_training.dispatch(type(estimator))
    return own not in (watch_training.dispatch(object), watch_training.dispatch(BaseEstimator))


@functools.singledispatch
def watch_training(
    estimator,
    X,
    y: np.ndarray,
    watcher,
    *,
    weight: np.ndarray | None = None,
    fit_params: dict | None = None,
    n_stages: int | None = None,
):
    """Train a model in place while somebody watches."""
    if not has_stages(estimator):
        _watch_passes(estimator, X, y, watcher, weight, n_stages)
        return
    estimator.fit(X, y, **(fit_params or {}))
    if watcher.wants_norms:
        last_layer_norms(_innermost(estimator), watcher.X)  # says what is wanted instead
    for proba in itertools.islice(staged_proba(estimator, watcher.X), n_stages):
        watcher.add(proba, estimator.classes_)


@watch_training.register(Pipeline)
def _watch_pipeline(estimator, X, y, watcher, *, weight=None, fit_params=None, n_stages=None):
    last = estimator.steps[-1][1]
    if has_stages(estimator) and not _has_own_watch(_innermost(estimator)):
        default = watch_training.dispatch(object)
        default(estimator, X, y, watcher, weight=weight, fit_params=fit_params, n_stages=n_stages)
        return
    # The transformers are fitted once, however many passes follow.
    name = f"{estimator.steps[-1][0]}__"
    params = fit_params or {}
    if len(estimator) > 1:
        before = estimator[:-1]
        given = {k: v for k, v in params.items() if "__" in k and not k.startswith(name)}
        X = before.fit_transform(X, y, **given)
        watcher = watcher.with_X(before.transform(watcher.X))
    own = {k.removeprefix(name): v for k, v in params.items() if k.startswith(name)}
    if weight is not None and "sample_weight" not in own:
        own["sample_weight"] = weight
    watch_training(last, X, y, watcher, weight=weight, fit_params=own, n_stages=n_stages)


DEFAULT_PASSES = 20


def watched_passes(n_passes: int) -> list[int]:
    """Choose after which passes to look: the first ones, then ever more rarely."""
    chosen, following = [], 1.0
    for number in range(1, n_passes + 1):
        if number >= following:
            chosen.append(number)
            following = max(number + 1, number * _SPACING)
    return chosen


_SPACING = 1.5


def _watch_passes(estimator, X, y, watcher, weight, n_passes) -> None:
    classes = np.unique(y)
    n_passes = DEFAULT_PASSES if n_passes is None else n_passes
    chosen = set(watched_passes(n_passes))
    look = _choose_look(estimator, watcher.X)
    params = {}
    if weight is not None and has_fit_parameter_of(estimator, "partial_fit", "sample_weight"):
        params["sample_weight"] = weight
    seed = getattr(estimator, "random_state", None)
    seeds = check_random_state(seed) if isinstance(seed, numbers.Integral) else None
    for number in range(1, n_passes + 1):
        if seeds is not None:
            # With the same seed, some learners go through the rows in the same order each time.
            estimator.set_params(random_state=draw_seed(seeds))
        first = {"classes": classes} if number == 1 else {}
        estimator.partial_fit(X, y, **first, **params)
        if number in chosen:
            proba, norms = look(estimator, watcher.X, watcher.wants_norms)
            watcher.add(proba, estimator.classes_, norms=norms)
    if seeds is not None:
        estimator.set_params(random_state=seed)


def has_fit_parameter_of(estimator, method: str, parameter: str) -> bool:
    """Whether a method other than ``fit`` takes a parameter."""

    class _AsFit:
        fit = getattr(estimator, method)

    return has_fit_parameter(_AsFit, parameter)


@functools.singledispatch
def last_layer_norms(fitted, X) -> np.ndarray:
    """Compute the length of what goes into the last, linear layer of a model, with its bias."""
    raise TypeError(
        f"statistic='grand' is the length of a gradient: it needs a model whose last layer is"
        f" linear, such as SGDClassifier(loss='log_loss') or MLPClassifier, and"
        f" {type(fitted).__name__} has none. Choose statistic='el2n' instead."
    )


@last_layer_norms.register(SGDClassifier)
def _linear_norms(fitted, X):
    X = as_numbers(X, np.float64)
    squares = X.multiply(X) if hasattr(X, "multiply") else X**2
    return np.sqrt(np.asarray(squares.sum(axis=1)).ravel() + 1)


# What each activation does, in place.
_ACTIVATIONS = {
    "identity": lambda x: x,
    "logistic": lambda x: expit(x, out=x),
    "tanh": lambda x: np.tanh(x, out=x),
    "relu": lambda x: np.maximum(x, 0, out=x),
}


@last_layer_norms.register(MLPClassifier)
def _hidden_norms(fitted, X):
    return _linear_norms(fitted, _hidden(fitted, as_numbers(X, np.float64)))


def _hidden(network, X) -> np.ndarray:
    """Compute what goes into the last layer of a network."""
    activate = _ACTIVATIONS[network.activation]
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        X = X @ weights
        X += bias
        X = activate(X)
    return X


# Looking at a learner between its passes ---------------------------------------------------------


def _choose_look(estimator, X):
    """Choose how the probabilities of the same rows are predicted again and again."""
    # In single precision the order of sums decides which scores are large enough to be equal.
    plain = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype == np.float64
    if plain and np.isfinite(X.sum()):  # otherwise the learner says what is wrong
        # A subclass may predict in another way.
        if type(estimator) is SGDClassifier and estimator.loss == "log_loss":
            return _look_at_linear
        if type(estimator) is MLPClassifier:
            return _look_at_network
    return _look_at_any


def _look_at_any(fitted, X, wants_norms):
    norms = last_layer_norms(fitted, X) if wants_norms else None
    return fitted.predict_proba(X), norms


def _look_at_linear(fitted, X, wants_norms):
    layers = [fitted.coef_.T]
    scores, norms = _last_scores(lambda X: X, layers, fitted.intercept_, X, wants_norms)
    expit(scores, out=scores)
    if len(scores) == 1:
        return _with_complement(scores), norms
    total = scores.sum(axis=0)
    scores[:, total == 0] = 1.0
    scores /= np.where(total == 0, len(scores), total)
    return scores.T, norms


def _look_at_network(fitted, X, wants_norms):
    hidden = functools.partial(_hidden, fitted)
    scores, norms = _last_scores(hidden, fitted.coefs_, fitted.intercepts_[-1], X, wants_norms)
    return _softmax(scores), norms


# A product of matrices of fewer multiplications is none that OpenBLAS spreads over threads.
_SMALL_PRODUCT = 1 << 18
# As many rows as a batch of a network has: its own training pays for threads as well then.
_BATCH = 200


def _last_scores(
    hidden: Callable, layers: list, bias: np.ndarray, X: np.ndarray, wants_norms: bool
):
    """Compute what comes out of the last layer, and the length of what goes into it."""
    scores = np.empty((layers[-1].shape[1], len(X)))
    norms = np.empty(len(X)) if wants_norms else None
    last = np.ascontiguousarray(layers[-1])
    length = max(_BATCH, _SMALL_PRODUCT // max(layer.size for layer in layers))
    for start in range(0, len(X), length):
        rows = slice(start, start + length)
        inner = hidden(X[rows])
        if len(scores) == 1:  # a product with a vector is spread over threads much earlier
            scores[0, rows] = np.einsum("ij,j->i", inner, last[:, 0])
        else:
            scores[:, rows] = (inner @ last).T
        if wants_norms:
            norms[rows] = np.sqrt(np.einsum("ij,ij->i", inner, inner) + 1)
    scores += bias[:, None]
    return scores, norms


def align_columns(proba, own, classes, name) -> np.ndarray:
    """Give probabilities a column for each of `classes`, zero where a model lacks one."""
    if np.array_equal(own, classes):
        return proba
    aligned = np.zeros((len(proba), len(classes)), dtype=proba.dtype)
    aligned[:, encode_labels_like(own, classes, name=f"{name}.classes_")] = proba
    return aligned
