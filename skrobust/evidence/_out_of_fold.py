"""Out-of-sample probabilities of one classifier: out-of-fold, or out-of-bag of a forest."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)

from skrobust.base import LabelledData
from skrobust.evidence._evidence import Evidence, check_predicts_proba, predict_columns
from skrobust.evidence._folds import average_frequent, make_folds
from skrobust.evidence._out_of_bag import OutOfBag, default_forest, is_out_of_bag_forest
from skrobust.evidence._recorded_fits import Recorded, record_folds
from skrobust.utils._input import check_numeric
from skrobust.utils._parallel import delayed, stream, track
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import HasMethods, Tags, routing_enabled, safe_indexing
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._weights import index_fit_params, weight_fit_params


def out_of_fold_proba(
    estimator: BaseEstimator,
    X: Any,
    y: LabelsLike,
    *,
    cv: CrossValidation = 5,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    fit_params: dict[str, Any] | None = None,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Predict class probabilities of each row by a model that was fitted without it.

    Differs from :func:`sklearn.model_selection.cross_val_predict` in that equal rows share a
    fold, folds become fewer without a warning where a class is small, classes may be absent from
    a fold, missing labels are allowed, and weights reach every fit.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : estimator object
        Classifier with ``predict_proba``; cloned for each fold.
    X : array-like of length n_samples
        Input, passed to `estimator` as it is: arrays, sparse matrices, DataFrames, lists of
        texts.
    y : array-like of shape (n_samples,)
        Given labels. Rows whose label is missing are not fitted on; they get the mean prediction
        of the fold models.
    cv : int, splitter or iterable of (train, test), default=5
        How to split. For a number, folds are stratified and not shuffled.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights for every fit. Rows of weight zero are not fitted on.
    groups : array-like of shape (n_samples,), default=None
        Rows of one group share a fold, or groups for the splitter `cv`.
    fit_params : dict, default=None
        More keywords for the ``fit`` of `estimator`; arrays with an entry per row are indexed.
    n_jobs : int, default=None
        Number of folds fitted in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of the estimator that have none. None draws fresh entropy.

    Returns
    -------
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities; columns are the sorted distinct labels. Rows of NaN were never tested:
        their class has no other row, or `cv` leaves them out.

    Raises
    ------
    ValueError
        If there are fewer than two classes, no class has two distinct rows, or the model
        predicts something else than probabilities.
    TypeError
        If `estimator` has no ``predict_proba``, or takes no weights and they are given.

    See Also
    --------
    out_of_bag_proba : The same from one fit of a forest.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skrobust.evidence import out_of_fold_proba
    >>> X, y = load_iris(return_X_y=True)
    >>> out_of_fold_proba(LogisticRegression(max_iter=1000), X, y).shape
    (150, 3)
    """
    data = LabelledData.from_arrays(X, y, sample_weight=sample_weight, groups=groups)
    source = OutOfFold(
        estimator, cv, fit_params=fit_params, n_jobs=n_jobs, random_state=random_state
    )
    return source.collect(data).pred_proba.copy()


@dataclasses.dataclass(frozen=True, eq=False)
class OutOfFold:
    """Producer of out-of-fold probabilities of any classifier.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``
        Cloned for each fold.
    cv : int, splitter or iterable of (train, test), default=5
        How to split. For a number, folds are stratified and keep equal rows and groups together.
    fit_params : dict, default=None
        More keywords for ``fit``; arrays with an entry per row are indexed.
    weighted : bool, default=True
        Whether the weights of the data are passed to ``fit``.
    by_content : bool, default=False
        Whether models are fitted to rows in the order of their content, equal ones merged where
        the model takes weights. The order of rows then changes nothing, not even for learners that
        take rows one by one.
    n_jobs : int, default=None
        Number of folds fitted in parallel.
    random_state : int, RandomState instance or None, default=None
        Seed for parts of the estimator that have none. None draws fresh entropy.

    See Also
    --------
    out_of_fold_proba : The same for arrays.
    OutOfBag : Out-of-sample probabilities from one fit of a forest.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skrobust.base import LabelledData
    >>> from skrobust.evidence import OutOfFold
    >>> X, y = load_iris(return_X_y=True)
    >>> data = LabelledData.from_arrays(X, y)
    >>> evidence = OutOfFold(GaussianNB(), cv=3).collect(data)
    >>> evidence.pred_proba.shape
    (150, 3)
    """

    estimator: BaseEstimator
    cv: CrossValidation = 5
    _: dataclasses.KW_ONLY
    fit_params: dict[str, Any] | None = None
    weighted: bool = True
    by_content: bool = False
    n_jobs: int | None = None
    random_state: int | np.random.RandomState | None = None

    def collect(self, data: LabelledData) -> Evidence:
        """Fit a clone per fold and predict the rows of each test fold.

        Parameters
        ----------
        data : LabelledData
            Rows. Models learn from verified labels where there are any, else from given ones.
            Rows that are not learned from get the mean prediction of the fold models.

        Returns
        -------
        evidence : Evidence
            Probabilities and the fold models.
        """
        if not self.by_content:
            return collect_out_of_fold([self], data)[0]
        check_predicts_proba(self.estimator)
        predict = functools.partial(_fit_and_predict, classes=data.classes)
        recorded = collect_recorded(self, data, predict)
        proba = recorded.values["pred_proba"]
        proba[~recorded.mask] = np.nan
        return Evidence(proba, data.classes, recorded.models)


def _fit_and_predict(model, training, X, rows, *, classes) -> dict:
    """Fit a model to training rows and predict others; see :func:`record_folds`."""
    model.fit(training.X, training.y, **training.fit_params)
    return {"pred_proba": predict_columns(model, X, classes)}


def collect_out_of_fold(sources: list[OutOfFold], data) -> list[Evidence]:
    """Collect predictions of models that share folds, and the first steps of their pipelines."""
    first = sources[0]
    estimators = []
    for source in sources:
        check_predicts_proba(source.estimator)
        estimators.append(clone(source.estimator))
        set_missing_random_states(estimators[-1], private_random_state(source.random_state))
    weight, codes, classes = data.sample_weight if first.weighted else None, *_labels(data)
    n_samples, used, hidden = data.n_samples, data.used, data.hidden
    y = classes[np.maximum(codes, 0)]
    in_folds = used if hidden is None else used | hidden
    folds = make_folds(first.cv, data.X, y, codes, in_folds, data.groups, weight)
    if hidden is not None:
        folds = [(_without_hidden(train, codes, hidden), test) for train, test in folds]
    extra = np.flatnonzero(~in_folds)
    fits = fit_folds(
        estimators,
        data.X,
        y,
        folds,
        extra,
        functools.partial(predict_columns, classes=classes),
        sample_weight=weight,
        fit_params=first.fit_params,
        n_jobs=first.n_jobs,
    )
    sums: list = [None] * len(sources)
    extra_sums: list = [0.0] * len(sources)
    counts, unseen = np.zeros(n_samples, dtype=np.intp), np.zeros(n_samples, dtype=bool)
    models: list = [[] for _ in sources]
    for (train, test), (fitted, predictions) in fits:
        for j, (model, proba) in enumerate(zip(fitted, predictions, strict=True)):
            if sums[j] is None:
                sums[j] = np.zeros((n_samples, len(classes)), dtype=proba.dtype)
            sums[j][test] += proba[: len(test)]
            extra_sums[j] = extra_sums[j] + proba[len(test) :]
            models[j].append(model)
        counts[test] += 1
        # A model that never saw a class cannot score labels of it.
        seen = np.bincount(codes[train], minlength=len(classes)) > 0
        unseen[test] |= ~seen[codes[test]]
    counts[extra] = 1
    tested = (counts > 0) & ~unseen
    evidence = []
    for proba, extra_sum, own in zip(sums, extra_sums, models, strict=True):
        proba[extra] = extra_sum / len(folds)
        np.divide(proba, counts[:, None], out=proba, where=tested[:, None])
        proba[~tested] = np.nan
        if data.groups is None and (first.cv is None or isinstance(first.cv, (int, np.integer))):
            # Equal rows of a category differ in nothing but the fold to which they are assigned.
            labels = np.where(in_folds, codes, -1)
            average_frequent(proba, data.row_hashes, labels, weight)
        evidence.append(Evidence(proba, classes, own))
    return evidence


def fit_folds(
    estimators: list,
    X,
    y: np.ndarray,
    folds: list,
    extra: np.ndarray,
    predict: Callable,
    *,
    sample_weight: np.ndarray | None = None,
    fit_params: dict | None = None,
    n_jobs: int | None = None,
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], tuple[list, list]]]:
    """Fit clones of models fold by fold; iterate over the folds, with models and predictions."""
    # Predictions are ``predict(model, X)`` for the test rows, followed by the rows `extra`.
    params = [
        {**(fit_params or {}), **weight_fit_params(model, sample_weight)} for model in estimators
    ]
    fit = delayed(_fit_fold)
    calls = [
        fit(
            [clone(model) for model in estimators],
            X,
            y,
            train,
            np.concatenate([test, extra]),
            predict,
            params,
        )
        for train, test in folds
    ]
    fitted = track(stream(calls, n_jobs=n_jobs), len(folds), "folds")
    return zip(folds, fitted, strict=True)


def _fit_fold(models, X, y, train, rows, predict, params):
    """Fit models to the training rows and predict others; first steps of pipelines are shared."""
    X_train, X_rows = safe_indexing(X, train), safe_indexing(X, rows)
    shared, predictions = FirstSteps(), []
    for model, own in zip(models, params, strict=True):
        own = own and index_fit_params(own, train, len(y))
        if len(models) == 1:
            model.fit(X_train, y[train], **own)
            predictions.append(predict(model, X_rows))
            continue
        model.set_params(memory=shared).fit(X_train, y[train], **own).set_params(memory=None)
        if not predictions:
            X_rows = model[:-1].transform(X_rows)
        predictions.append(predict(model[-1], X_rows))
    return models, predictions


class FirstSteps:
    """Fitted first steps of pipelines that are alike, in the place of their joblib memory."""

    def __init__(self):
        self.results: list = []
        self.position = 0

    def cache(self, fit_transform: Callable, **options) -> Callable:
        """Return a function that fits and transforms by each step once."""
        self.position = 0

        def cached(*args, **kwargs):
            if self.position == len(self.results):
                self.results.append(fit_transform(*args, **kwargs))
            self.position += 1
            return self.results[self.position - 1]

        return cached


def collect_recorded(source: OutOfFold, data, record: Callable) -> Recorded:
    """Record values ``record(model, training, X, rows)`` over folds; see :func:`record_folds`."""
    model = clone(source.estimator)
    set_missing_random_states(model, private_random_state(source.random_state))
    codes, classes = _labels(data)
    weight = data.sample_weight
    y = classes[np.maximum(codes, 0)]
    folds = make_folds(source.cv, data.X, y, codes, data.used, data.groups, weight)
    return record_folds(
        record,
        [model] * len(folds),
        data.X,
        codes,
        classes,
        data.used,
        folds,
        given=data.y,
        sample_weight=weight if source.weighted else None,
        fit_params=source.fit_params,
        groups=data.groups,
        n_jobs=source.n_jobs,
    )


def _labels(data) -> tuple[np.ndarray, np.ndarray]:
    """Labels to learn from, and the classes."""
    return data.y_train, data.classes


def _without_hidden(train, codes, hidden) -> np.ndarray:
    """Leave hidden labels out of a fold, unless a class would be lost."""
    kept = train[~hidden[train]]
    return kept if len(np.unique(codes[kept])) == len(np.unique(codes[train])) else train


def share_first_steps(one: OutOfFold, other: OutOfFold) -> bool:
    """Whether two models are pipelines with equal first steps, which can be fitted once."""
    pipelines = one.estimator, other.estimator
    if any(not isinstance(p, Pipeline) or len(p) < 2 or p.memory is not None for p in pipelines):
        return False
    if one.fit_params or other.fit_params or one.cv is not other.cv:
        return False
    if one.by_content or other.by_content:
        return False
    same = one.n_jobs == other.n_jobs and one.weighted == other.weighted
    return same and same_parameters(pipelines[0].steps[:-1], pipelines[1].steps[:-1])


def same_parameters(one, other) -> bool:
    """Whether two values of parameters are certainly the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (bool, int, float, str)):
        return one == other
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_parameters, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same_parameters(one[key], other[key]) for key in one
        )
    if hasattr(one, "get_params"):
        requests = [repr(get_routing_for_object(part)) for part in (one, other)]
        own = [part.get_params(deep=False) for part in (one, other)]
        return requests[0] == requests[1] and same_parameters(*own)
    return False


class OneEstimator:
    """Mixin of estimators around another one, which ``self._get_estimator()`` returns."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that this estimator and its parts take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        return estimator_router(self, self._get_estimator())


class ProbaSource(OneEstimator):
    """Mixin of estimators with `estimator`, `cv`, `n_jobs` and `random_state`.

    It stands before the base class; ``self.collect_evidence(data)`` returns the evidence.
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def _get_estimator(self):
        """Model that supplies the predictions."""
        return default_forest() if self.estimator is None else self.estimator

    def collect_evidence(self, data: LabelledData) -> Evidence:
        """Collect the out-of-sample probabilities: one fit of a forest, or one fit per fold.

        Parameters
        ----------
        data : LabelledData
            Labelled rows, as of :meth:`skrobust.base.LabelledData.from_arrays`.

        Returns
        -------
        evidence : Evidence
            Probabilities, and the models that predict new rows.
        """
        (source,) = proba_sources(
            self, [self.estimator], data, cv=self.cv, random_states=[self.random_state]
        )
        return source.collect(data)


def proba_sources(owner, estimators: list, data, *, cv, random_states: list) -> list:
    """Producers of probabilities: out of bag of forests that ask for it, else out of fold."""
    forests = [estimator is None or is_out_of_bag_forest(estimator) for estimator in estimators]
    if any(forests):
        check_numeric(
            data.X,
            f"{type(owner).__name__} without an estimator of another kind uses a forest. Pass an"
            " estimator that takes X as it is, such as a Pipeline that encodes it first.",
        )
    sources: list = []
    for estimator, forest, random_state in zip(estimators, forests, random_states, strict=True):
        common = {"n_jobs": owner.n_jobs, "random_state": random_state}
        # A tree is out of the bag of a whole group next to never, so that groups need folds.
        if forest and data.groups is None:
            sources.append(OutOfBag(estimator, **common))
        elif estimator is None:
            sources.append(OutOfFold(default_forest(), cv, **common))
        else:
            model = clone(estimator).set_params(oob_score=False) if forest else estimator
            sources.append(OutOfFold(model, cv, **route_fit(owner, model, data), **common))
    return sources


def estimator_router(owner, estimator) -> MetadataRouter:
    """Routing information of an estimator that fits one other."""
    mapping = MethodMapping().add(caller="fit", callee="fit")
    router = MetadataRouter(owner=owner).add_self_request(owner)
    return router.add(estimator=estimator, method_mapping=mapping)


def route_fit(owner, estimator, data) -> dict:
    """Arguments `weighted` and `fit_params` of a producer, by the metadata that are routed."""
    if not routing_enabled():
        return {}
    weight_fit_params(estimator, data.sample_weight)  # to decline weights is no error
    metadata = {"sample_weight": data.sample_weight, "groups": data.groups}
    metadata = {key: value for key, value in metadata.items() if value is not None}
    routed = process_routing(estimator_router(owner, estimator), "fit", **metadata)
    fit_params = dict(routed["estimator"]["fit"])
    weighted = fit_params.pop("sample_weight", None) is not None
    return {"weighted": weighted, "fit_params": fit_params}
