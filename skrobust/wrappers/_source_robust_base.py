"""What the wrappers that survive faulty sources have in common."""

import copy
import warnings
from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base._labelled_data import number_groups
from skrobust.utils._parallel import delayed, stream
from skrobust.utils._predictions import predict_column
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import (
    Features,
    StrOptions,
    raise_for_params,
    safe_indexing,
)
from skrobust.utils._warnings import LabelNoiseWarning
from skrobust.utils._weights import fit_rows
from skrobust.wrappers._aggregation import (
    AGGREGATIONS,
    N_FAULTY_CONSTRAINTS,
    aggregate_sources,
    count_faulty,
)
from skrobust.wrappers._source_disagreement import SourceLosses, doubtful_sources
from skrobust.wrappers._wrapper_base import BaseWrapper, estimator_has

# Where no model keeps coef_ and intercept_ of its own.
_WITHOUT_COEFFICIENTS = frozenset(
    "skrobust.wrappers sklearn.calibration sklearn.compose sklearn.dummy sklearn.ensemble"
    " sklearn.gaussian_process sklearn.kernel_ridge sklearn.model_selection sklearn.multiclass"
    " sklearn.multioutput sklearn.naive_bayes sklearn.neighbors sklearn.neural_network"
    " sklearn.pipeline sklearn.semi_supervised sklearn.tree".split()
)


class BaseSourceRobust(BaseWrapper):
    """Base class of the wrappers that train one model per source and trust most of them.

    A subclass writes ``_default_estimator()``, ``_can_learn(targets)``, ``_predict_one(estimator,
    X)``, ``_aggregate(X)``, ``_losses(predicted, data, rows)`` and ``_decide(predicted)``, and says
    in `_counts_errors` whether losses are 0 or 1.
    """

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
        estimator=None,
        *,
        n_faulty=None,
        combine="rows",
        aggregation="nna_median",
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.n_faulty = n_faulty
        self.combine = combine
        self.aggregation = aggregation
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit(self, data, targets, sources, params):
        """Fit one model per source, compare them, and combine what they have learned.

        Parameters
        ----------
        data : LabelledData
            What ``fit`` was given, validated.
        targets : ndarray of shape (n_samples,)
            Labels or numbers to learn from.
        sources : array-like of shape (n_samples,) or None
            Where each row comes from.
        params : dict
            More metadata.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        raise_for_params(params, self, "fit")
        features = Features(data.X)
        estimator = clone(self._get_estimator())
        if self.combine == "coefficients" and is_without_coefficients(estimator):
            raise _no_coefficients(estimator)
        fit_params = self._route(estimator, data, params)
        names, codes = number_sources(sources, data.n_samples, data.used)
        rows_of = [np.flatnonzero(data.used & (codes == s)) for s in range(len(names))]
        learners = [s for s, rows in enumerate(rows_of) if self._can_learn(targets[rows])]
        n_faulty = self._count_faulty(len(learners), len(names), sources)
        self._check_alignment(targets, rows_of, names)

        # Seeds are drawn in order, whatever runs the fits.
        random_state = private_random_state(self.random_state)
        models = [clone(estimator) for _ in range(len(learners) + 1)]
        for model in models:
            set_missing_random_states(model, random_state)
        fit = _fit_linear if self.combine == "coefficients" else fit_rows
        calls = (
            delayed(fit)(model, data.X, targets, rows_of[s], fit_params)
            for model, s in zip(models, learners, strict=False)
        )
        fitted = dict(zip(learners, stream(calls, n_jobs=self.n_jobs), strict=True))
        self.sources_ = names
        self.n_faulty_ = n_faulty
        self.estimators_ = [fitted.get(s) for s in range(len(names))]
        vars(self).pop("estimator_", None)
        self._record_classes()
        self._find_faulty(data, rows_of)
        if self.combine == "rows" and len(names) == 1:
            self.estimator_ = self.estimators_[0]
        elif self.combine == "rows":
            kept = data.used & (~self.faulty_sources_[codes] | data.checked)
            rows = np.flatnonzero(kept)
            self._train(models[-1], data, rows, targets[rows], None, fit_params)
        elif self.combine == "coefficients":
            self.estimator_ = self._average_coefficients()
        self._record_classes()
        features.record(self)
        return self

    def _count_faulty(self, n_learners: int, n_sources: int, sources) -> int:
        if n_learners == 0:
            raise ValueError(
                f"None of the {n_sources} sources can be learned from: each has labels of one class"
                " only, so that there is nothing to compare them by."
            )
        kind = "sources" if n_learners == n_sources else "sources with labels of several classes"
        n_faulty = count_faulty(self.n_faulty, n_learners, kind)
        asked = self.n_faulty is None or self.n_faulty > 0
        if n_faulty == 0 and asked:
            what = f"The number of {kind} is {n_learners}"
            what = "No sources were given" if sources is None else what
            warnings.warn(
                f"{what}, so that with n_faulty={self.n_faulty!r} no faulty one can be survived."
                " At least three sources are needed; n_faulty=0 says that none is faulty.",
                LabelNoiseWarning,
                stacklevel=5,
            )
        return n_faulty

    def _check_alignment(self, targets, rows_of, names) -> None:
        """Refuse sources whose coefficients would not stand for the same things."""

    def _record_classes(self) -> None:
        """Set the attributes that say what the models have learned to tell apart."""

    def _find_faulty(self, data, rows_of) -> None:
        """Compare the labels of each source with what all of them together predict."""
        self.source_disagreement_ = np.full(len(rows_of), np.nan)
        self.faulty_sources_ = np.zeros(len(rows_of), dtype=bool)
        if len(rows_of) == 1:
            return  # with whom?
        predicted = [self._aggregate(safe_indexing(data.X, rows)) for rows in rows_of]
        source = np.repeat(np.arange(len(rows_of)), [len(rows) for rows in rows_of])
        rows = np.concatenate(rows_of)
        weight = np.ones(len(rows)) if data.sample_weight is None else data.sample_weight[rows]
        loss, stratum, size = self._losses(np.concatenate(predicted), data, rows)
        known = ~np.isnan(loss)  # verified rows may have no other label
        losses = SourceLosses.gather(
            loss[known],
            stratum[known],
            source[known],
            weight[known],
            (int(stratum.max()) + 1, len(rows_of)),
            is_count=self._counts_errors,
            scale=size,
        )
        self.source_disagreement_ = losses.mean
        self.faulty_sources_ = doubtful_sources(losses, self.n_faulty_)

    def _stack(self, X) -> np.ndarray:
        """What the models of all sources predict, shape (n_learners, n_samples, n_columns)."""
        learners = [model for model in self.estimators_ if model is not None]
        calls = (delayed(self._predict_one)(model, X) for model in learners)
        return np.stack(list(stream(calls, n_jobs=self.n_jobs, require="sharedmem")))

    def _average_coefficients(self):
        """Make a linear model whose coefficients are aggregates of those of all sources."""
        learners = [model for model in self.estimators_ if model is not None]
        model = copy.deepcopy(learners[0])
        parts = [(np.ravel(m.coef_), np.ravel(m.intercept_)) for m in learners]
        vectors = np.stack([np.concatenate(part) for part in parts])
        mean = aggregate_sources(vectors, n_faulty=self.n_faulty_, aggregation=self.aggregation)
        n_coefficients = len(parts[0][0])
        model.coef_ = mean[:n_coefficients].reshape(np.shape(model.coef_))
        intercept = mean[n_coefficients:].reshape(np.shape(model.intercept_))
        model.intercept_ = intercept if intercept.ndim else intercept.item()
        return model

    @available_if(estimator_has("predict"))
    def predict(self, X):
        """Predict by the one fitted model, or by those of all sources.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Predictions.
        """
        check_is_fitted(self)
        if hasattr(self, "estimator_"):
            return predict_column(self.estimator_, X)
        return self._decide(self._aggregate(X))


def is_without_coefficients(model) -> bool:
    """Tell whether a model is known to keep no coefficients, before it is fitted.

    Parameters
    ----------
    model : estimator object
        Perhaps a linear one.

    Returns
    -------
    known : bool
        False where fitting it must show.
    """
    cls = type(model)
    modules = {".".join(base.__module__.split(".")[:2]) for base in cls.__mro__}
    # What is computed on demand, as by kernel machines, cannot be replaced by an aggregate.
    computed = isinstance(getattr(cls, "coef_", None), property)
    return computed or not modules.isdisjoint(_WITHOUT_COEFFICIENTS)


def _fit_linear(model, *args):
    """Fit a model, and refuse it if it keeps no coefficients: the first one tells of all."""
    model = fit_rows(model, *args)
    if not {"coef_", "intercept_"} <= vars(model).keys():
        raise _no_coefficients(model)
    return model


def _no_coefficients(model) -> TypeError:
    return TypeError(
        f"combine='coefficients' needs a linear model that keeps coef_ and intercept_, which"
        f" {type(model).__name__} is not: use combine='rows' or 'predictions'."
    )


def number_sources(sources, n_samples: int, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the sources that have rows to learn from.

    Parameters
    ----------
    sources : array-like of shape (n_samples,) or None
        Names of sources; None is one source.
    n_samples : int
        Number of rows.
    used : ndarray of shape (n_samples,) of bool
        Rows to learn from.

    Returns
    -------
    names : ndarray of shape (n_sources,)
        Sources, sorted if they can be.
    codes : ndarray of shape (n_samples,), dtype intp
        Position of the source of each row in `names`; -1 for sources without rows to learn from.
    """
    if sources is None:
        return np.zeros(1, dtype=np.intp), np.zeros(n_samples, dtype=np.intp)
    numbers, labels = number_groups(sources, n_samples, name="sources")
    seen = np.unique(numbers[used])
    try:
        order = sorted(seen.tolist(), key=labels.__getitem__)
    except TypeError:  # of kinds that do not compare: in the order in which they come
        order = seen.tolist()
    names = np.empty(len(order), dtype=object)
    names[:] = [labels[number] for number in order]
    if len(set(map(type, names))) == 1 and not isinstance(names[0], tuple):
        names = np.array(names.tolist())
    codes = np.full(len(labels), -1, dtype=np.intp)
    codes[order] = np.arange(len(order))
    return names, codes[numbers]
