"""Source-robust learning: one model per source, of which a minority may be arbitrarily wrong."""

import dataclasses
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_classifier
from sklearn.linear_model import Ridge

from skrobust.base import LabelledData
from skrobust.base._labelled_data import number_groups, set_fitted
from skrobust.base._scoring import TargetScore
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import check_rows_match
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import StrOptions, fit_context
from skrobust.utils._typing import LabelsLike
from skrobust.utils._warnings import warn_user
from skrobust.wrappers._aggregation import AGGREGATIONS, N_FAULTY_CONSTRAINTS, count_faulty
from skrobust.wrappers._base import BaseWrapper, ClassifierWrapper, FinalFit
from skrobust.wrappers._source_committee import (
    ClassifierCommittee,
    RegressorCommittee,
    average_coefficients,
    check_has_coefficients,
)
from skrobust.wrappers._source_disagreement import find_faulty_sources
from skrobust.wrappers._training_set import TrainingSet

_ENTRIES = {
    "n_faulty": """
n_faulty : int or float, default=None
    Maximum number of faulty sources, or their share, rounded down; less than half. None is the
    largest number that the aggregation tolerates, ``(n_sources - 1) // 2``.""",
    "aggregation": """
aggregation : {"nna_median", "mean", "trimmed_mean", "median", "geometric_median"}, \
default="nna_median"
    How to aggregate; see :func:`aggregate_sources`. "mean" tolerates no faulty source.""",
    "random_state": """
random_state : int, RandomState instance or None, default=None
    Seed for parts of `estimator` that have none. None draws fresh entropy.""",
    "sources_": """
sources_ : ndarray of shape (n_sources,)
    Sources, sorted.
faulty_sources_ : ndarray of shape (n_sources,) of bool
    Sources that clearly disagree with the aggregated predictions, whatever is combined.""",
    "n_faulty_": """
n_faulty_ : int
    Number of faulty sources the aggregation tolerates.""",
    "sources": """
sources : array-like of shape (n_samples,), default=None
    Source of each label: names or numbers, none missing. None is a single source, which can be
    compared with no other; a :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>` is
    issued.""",
    "references": """
Farhadkhani, Guerraoui, Gupta, Hoang, Pinot and Stephan (2023). Robust collaborative learning
with linear gradient overhead. ICML.

Allouah, Farhadkhani, Guerraoui, Gupta, Pinot and Stephan (2023). Fixing by mixing: a recipe
for optimal Byzantine ML under heterogeneity. AISTATS.""",
}


class BaseSourceRobust(BaseWrapper):
    """Base class of the wrappers that train one model per source and tolerate faulty ones.

    A subclass writes ``_default_estimator()``.
    """

    estimators_: list
    sources_: np.ndarray
    faulty_sources_: np.ndarray
    source_disagreement_: np.ndarray
    n_faulty_: int

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        "n_faulty": N_FAULTY_CONSTRAINTS,
        "combine": [StrOptions({"rows", "predictions", "coefficients"})],
        "aggregation": [StrOptions(set(AGGREGATIONS))],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        n_faulty: float | None = None,
        combine: str = "rows",
        aggregation: str = "nna_median",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_faulty = n_faulty
        self.combine = combine
        self.aggregation = aggregation
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _predictor(self, name):
        if hasattr(self, "estimator_"):
            return self.estimator_
        if self.combine == "predictions":
            fitted = getattr(self, "estimators_", [self._get_estimator()])
            return self._committee([model for model in fitted if model is not None])
        return self._get_estimator()

    def _committee(self, estimators: list) -> RegressorCommittee:
        """Combine models by aggregating their predictions."""
        committee = ClassifierCommittee if is_classifier(self) else RegressorCommittee
        return committee(
            estimators,
            getattr(self, "classes_", None),
            n_faulty=getattr(self, "n_faulty_", None),
            aggregation=self.aggregation,
            n_jobs=self.n_jobs,
        )

    def _fit(self, data: LabelledData, sources, params: dict) -> Self:
        """Train one model per source, detect faulty sources, and combine the models."""
        if self.combine == "coefficients":
            check_has_coefficients(self._get_estimator(), fitted=False)
        final = self._prepare(data, params)
        names, codes = _number_sources(sources, data.n_samples, data.used)
        masks = [data.used & (codes == s) for s in range(len(names))]
        trainings = [TrainingSet.from_mask(mask, data.y_train, final.weight) for mask in masks]
        learners = [
            s for s, training in enumerate(trainings)
            if data.kind == "numbers" or len(np.unique(training.targets)) > 1
        ]  # fmt: skip
        self.n_faulty_ = self._count_faulty(len(learners), len(names), sources)
        if self.combine == "coefficients" and data.kind == "classes":
            _check_all_classes(trainings, names, data)

        *finals, last = self._seeded(final, len(learners) + 1)
        train = _train_linear if self.combine == "coefficients" else FinalFit.train
        calls = (
            delayed(train)(each, trainings[s]) for each, s in zip(finals, learners, strict=True)
        )
        models = list(stream(calls, n_jobs=self.n_jobs))
        fitted = dict(zip(learners, models, strict=True))
        self.estimators_: list[BaseEstimator | None] = [fitted.get(s) for s in range(len(names))]
        self.sources_ = names
        set_fitted(self, estimator_=None)
        if data.kind == "classes":
            self.classes_: np.ndarray = np.unique(
                np.concatenate([model.classes_ for model in models])
            )
        committee = self._committee(models)
        self.source_disagreement_, self.faulty_sources_ = find_faulty_sources(
            data, [training.rows for training in trainings], committee, self.n_faulty_
        )

        if self.combine == "predictions":
            set_fitted(self, **data.features)
            return self
        if self.combine == "coefficients":
            kept = data.used
            model = average_coefficients(
                models, n_faulty=self.n_faulty_, aggregation=self.aggregation
            )
        else:
            kept = data.used & (~self.faulty_sources_[codes] | data.checked)
            training = TrainingSet.from_mask(kept, data.y_train, final.weight)
            model = models[0] if len(names) == 1 else last.train(training)
        self._set_fitted_attributes(final, model, np.flatnonzero(kept))
        return self

    def _seeded(self, final: FinalFit, n_models: int) -> list[FinalFit]:
        """Copy the final fit with seeds that are drawn in order, whatever runs the fits."""
        random_state = private_random_state(self.random_state)
        models = [clone(final.estimator) for _ in range(n_models)]
        for model in models:
            set_missing_random_states(model, random_state)
        return [dataclasses.replace(final, estimator=model) for model in models]

    def _count_faulty(self, n_learners: int, n_sources: int, sources) -> int:
        """Resolve `n_faulty`, with a warning if no faulty source is tolerated."""
        if n_learners == 0:
            raise ValueError(
                f"None of the {n_sources} sources can be learned from: each has labels of one class"
                " only, so that there is nothing to compare them by."
            )
        kind = "sources" if n_learners == n_sources else "sources with labels of several classes"
        n_faulty = count_faulty(self.n_faulty, n_learners, kind)
        requested = self.n_faulty is None or self.n_faulty > 0
        if n_faulty == 0 and requested:
            what = f"The number of {kind} is {n_learners}"
            what = "No sources were given" if sources is None else what
            warn_user(
                f"{what}, so that with n_faulty={self.n_faulty!r} no faulty one is tolerated."
                " At least three sources are needed; n_faulty=0 declares that none is faulty."
            )
        return n_faulty


@fill_docstring(**_ENTRIES)
class SourceRobustClassifier(ClassifierWrapper, BaseSourceRobust):
    """Classifier robust to faulty sources: a minority of them may be arbitrarily wrong.

    Sources are annotators, sites, batches or scrapers from which labels come. One classifier
    is trained per source, and their predictions are aggregated in a way that a minority of them
    cannot move far. The aggregate shows which sources disagree with the others.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    %(n_faulty)s
    combine : {"rows", "predictions", "coefficients"}, default="rows"
        How to combine the sources:

        - "rows": at most `n_faulty` sources that clearly disagree with the aggregate are left
          out, and one classifier is trained on the rows of all others;
        - "predictions": predictions are aggregated for each row: probabilities, or votes
          where `estimator` has no ``predict_proba``;
        - "coefficients": the coefficients of linear models, trained on the same classes, are
          aggregated.
    %(aggregation)s
    n_jobs : int, default=None
        Number of sources whose classifiers are fitted in parallel.
    %(random_state)s

    Attributes
    ----------
    estimator_ : classifier
        The one fitted classifier, unless ``combine="predictions"``.
    estimators_ : list of length n_sources
        The classifier of each source; None for a source with labels of one class only.
    %(sources_)s
    source_disagreement_ : ndarray of shape (n_sources,)
        Share of the labels of each source that differ from the aggregated predictions.
    %(n_faulty_)s
    %(classes_)s
    %(features_in)s

    See Also
    --------
    SourceRobustRegressor : The same for numeric targets.
    aggregate_sources : Only aggregates.
    CleaningClassifier : Detects single label errors, wherever they come from.

    Notes
    -----
    A minority is counted in sources, not in rows: a source with most of the rows has one vote.

    With "rows" the classifier sees nearly as many rows as were right, so that it is nearly as
    good as if the faulty sources had been known. That is the best choice where a source is either
    mostly right or clearly wrong. A source with few wrong labels is kept, and these have the same
    effect as on `estimator` alone. With "predictions" each prediction is robust
    to `n_faulty` sources, whichever rows they label wrong, but every classifier is trained on
    the rows of one source; this suits models that need few rows, such as linear ones. So does
    "coefficients", which gives a single interpretable model.

    Sources are compared by the share of their labels that differ from the aggregated predictions,
    over all rows and over the rows predicted to be of each class. The sources that
    agree most, all but `n_faulty`, are the reference; a source is left out if its share exceeds
    theirs by more than chance explains and by three times their standard deviation.
    Where right sources have very different rows, some of those may be left out, too.

    A source whose labels are all of one class trains no classifier,
    and the number of sources that may be faulty is counted without it. Its labels are compared
    all the same, and with "rows" they are trained on. A class that a source lacks has
    probability zero there, so that a class that most sources lack is never predicted
    by "predictions", and sources with that label look faulty. Sources that are meant to label
    different classes cannot be compared with each other.

    Rows with a verified label are trained on with that label, also where their source is left out.

    References
    ----------
    %(references)s

    Examples
    --------
    Ten sites, of which three have mixed up their classes:

    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import train_test_split
    >>> from skrobust.wrappers import SourceRobustClassifier
    >>> X, y = make_classification(1500, n_informative=5, class_sep=2, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> sites = np.arange(len(y_train)) % 10
    >>> y_given = np.where(sites < 3, 1 - y_train, y_train)
    >>> robust = SourceRobustClassifier().fit(X_train, y_given, sources=sites)
    >>> robust.sources_[robust.faulty_sources_].tolist()
    [0, 1, 2]
    >>> robust.score(X_test, y_test) > LogisticRegression().fit(X_train, y_given).score(
    ...     X_test, y_test
    ... )
    True
    """

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        sources: ArrayLike | None = None,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Train one classifier per source, detect faulty sources and combine the others.

        Parameters
        ----------
        %(X)s
        %(y_not_fitted)s
        %(sources)s
        %(verified_labels)s
            They are trained on instead of those in `y`.
        %(sample_weight)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s
        """
        check_rows_match(y, sources=sources)
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return self._fit(data, sources, params)


@fill_docstring(**_ENTRIES)
class SourceRobustRegressor(TargetScore, RegressorMixin, BaseSourceRobust):
    """Regressor robust to faulty sources: a minority of them may be arbitrarily wrong.

    Sources are sensors, sites or batches from which targets come. One regressor is trained
    per source, and their predictions are aggregated in a way that a minority of them cannot move
    far. The aggregate shows which sources disagree with the others.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : regressor, default=None
        The regressor to train, cloned. None is :class:`~sklearn.linear_model.Ridge`.
    %(n_faulty)s
    combine : {"rows", "predictions", "coefficients"}, default="rows"
        How to combine the sources:

        - "rows": at most `n_faulty` sources that clearly disagree with the aggregate are left
          out, and one regressor is trained on the rows of all others;
        - "predictions": predictions are aggregated for each row;
        - "coefficients": the coefficients of linear models are aggregated.
    %(aggregation)s
    n_jobs : int, default=None
        Number of sources whose regressors are fitted in parallel.
    %(random_state)s

    Attributes
    ----------
    estimator_ : regressor
        The one fitted regressor, unless ``combine="predictions"``.
    estimators_ : list of length n_sources
        The regressor of each source.
    %(sources_)s
    source_disagreement_ : ndarray of shape (n_sources,)
        Mean absolute difference of the targets of each source from the aggregated predictions.
    %(n_faulty_)s
    %(features_in)s

    See Also
    --------
    SourceRobustClassifier : The same for classes, with notes on what to combine.
    aggregate_sources : Only aggregates.
    CleaningRegressor : Detects single wrong targets, wherever they come from.

    Notes
    -----
    A minority is counted in sources, not in rows: a source with most of the rows has one vote.

    With "rows", a source with few and small errors may be kept. With
    "predictions" each prediction is robust to `n_faulty` sources, whichever rows they label wrong,
    but every regressor is trained on the rows of one source.

    Rows with a verified target are trained on with that target, also where their source is left
    out.

    References
    ----------
    %(references)s

    Examples
    --------
    Seven sensors, of which two send the wrong sign:

    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from skrobust.wrappers import SourceRobustRegressor
    >>> X, y = make_regression(700, 5, noise=10, random_state=0)
    >>> sensors = np.array([f"sensor {i % 7}" for i in range(700)])
    >>> y_given = np.where(np.isin(sensors, ["sensor 0", "sensor 3"]), -y, y)
    >>> robust = SourceRobustRegressor().fit(X, y_given, sources=sensors)
    >>> robust.sources_[robust.faulty_sources_].tolist()
    ['sensor 0', 'sensor 3']
    >>> robust.score(X, y) > 0.98
    True
    """

    def _default_estimator(self):
        return Ridge()

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        sources: ArrayLike | None = None,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Train one regressor per source, detect faulty sources and combine the others.

        Parameters
        ----------
        %(X)s
        y : array-like of shape (n_samples,)
            Given (observed) targets. Rows whose target is None or NaN are not trained on.
        %(sources)s
        %(verified_targets)s
            They are trained on instead of those in `y`.
        %(sample_weight)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s
        """
        check_rows_match(y, sources=sources)
        data = LabelledData.from_arrays(
            X, y, kind="numbers", verified_labels=verified_labels, sample_weight=sample_weight
        )
        return self._fit(data, sources, params)


def _train_linear(final: FinalFit, training: TrainingSet):
    """Train a model, and refuse it if it keeps no coefficients: the first one stops all fits."""
    model = final.train(training)
    check_has_coefficients(model, fitted=True)
    return model


def _check_all_classes(trainings: list[TrainingSet], names, data) -> None:
    """Refuse sources whose coefficients would be those of different classes."""
    present = [np.unique(training.targets) for training in trainings]
    codes = np.unique(np.concatenate(present))
    for name, own in zip(names.tolist(), present, strict=True):
        if len(own) < len(codes):
            lacking = data.classes[np.setdiff1d(codes, own)].tolist()
            raise ValueError(
                "combine='coefficients' needs labels of all classes from every source, but"
                f" source {name!r} has none of {lacking}: use combine='rows' or 'predictions'."
            )


def _number_sources(sources, n_samples: int, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the sources that have rows to train on, in sorted order if they can be; others are -1.

    Returns the names of the sources and the number of each row's source.
    """
    if sources is None:
        return np.zeros(1, dtype=np.intp), np.zeros(n_samples, dtype=np.intp)
    numbers, labels = number_groups(sources, n_samples, name="sources")
    seen = np.unique(numbers[used])
    try:
        order = sorted(seen.tolist(), key=labels.__getitem__)
    except TypeError:  # kinds that do not compare keep the order in which they come
        order = seen.tolist()
    names = np.empty(len(order), dtype=object)
    names[:] = [labels[number] for number in order]
    if len(set(map(type, names))) == 1 and not isinstance(names[0], tuple):
        names = np.array(names.tolist())
    codes = np.full(len(labels), -1, dtype=np.intp)
    codes[order] = np.arange(len(order))
    return names, codes[numbers]
