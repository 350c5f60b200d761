"""What the wrappers that clean before they train have in common."""

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, check_memory

from skrobust.utils._random import draw_seed, is_integer_seed, private_random_state
from skrobust.utils._rows import as_numbers, is_numeric
from skrobust.utils._sklearn import (
    Features,
    HasMethods,
    StrOptions,
    raise_for_params,
    routing_enabled,
    safe_indexing,
)
from skrobust.utils._weights import index_fit_params, weight_fit_params


def estimator_has(method):
    """Make a condition for ``available_if``: whether the inner estimator has a method."""

    def check(self):
        getattr(getattr(self, "estimator_", None) or self._get_estimator(), method)
        return True

    return check


def _detect(detector, X, y, verified_labels, sample_weight, groups, n_jobs):
    """Fit a detector; a function of its own so that it can be cached."""
    if "n_jobs" in detector.get_params(deep=False):
        detector.set_params(n_jobs=n_jobs)
    return detector.fit(
        X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
    )


class BaseCleaning(MetaEstimatorMixin, BaseEstimator):
    """Base class of the wrappers that find errors, deal with them and train on the result.

    A subclass writes ``_default_estimator()``, ``_default_detector()`` (what the tags say if
    nothing is known of X), ``_make_detector(X)``, and ``_clean(data, detector)``.
    """

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "detector": [HasMethods(["fit"]), None],
        "action": [StrOptions({"drop", "relabel", "reweight"})],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
        "memory": [str, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        estimator=None,
        detector=None,
        *,
        action="drop",
        cv=None,
        n_jobs=None,
        random_state=None,
        memory=None,
    ):
        self.estimator = estimator
        self.detector = detector
        self.action = action
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.memory = memory

    def _get_estimator(self):
        """The model to train."""
        if self.estimator is not None:
            return self.estimator
        default = self._default_estimator()
        return default.set_fit_request(sample_weight=True) if routing_enabled() else default

    def _configure(self, detector):
        """Hand the parameters that were given to this wrapper on to a detector."""
        known = detector.get_params(deep=False)
        given = {"cv": self.cv, "random_state": self.random_state}
        given = {key: value for key, value in given.items() if value is not None and key in known}
        if "random_state" in given and not is_integer_seed(self.random_state):
            # A generator would be copied with its state, and every refit would draw the same.
            given["random_state"] = draw_seed(private_random_state(self.random_state))
        return detector.set_params(**given)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator())
        judge = get_tags(self._default_detector() if self.detector is None else self.detector)
        tags.input_tags.sparse = inner.input_tags.sparse and judge.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan and judge.input_tags.allow_nan
        return tags

    def get_metadata_routing(self):
        """Say which metadata this wrapper and its estimator take.

        The detector is not asked: it always gets `verified_labels`, `sample_weight` and
        `groups`.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(estimator=self._get_estimator(), method_mapping=mapping)
        )

    def _fit(self, data, y, verified_labels, params):
        """Find the errors, deal with them and train the model.

        Parameters
        ----------
        data : LabelledData or TargetData
            What ``fit`` was given, validated.
        y, verified_labels : array-like
            The same as they came, for the detector.
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
        fit_params = self._route(estimator, data, params)
        detector = self._find_errors(data, y, verified_labels)
        rows, targets, weight = self._clean(data, detector)
        fit_params = index_fit_params(fit_params, rows, data.n_samples)
        for key in weight_fit_params(estimator, weight) if weight is not None else ():
            if key in fit_params or self.action == "reweight":
                fit_params[key] = weight[rows]
        X_kept = data.X if len(rows) == data.n_samples else safe_indexing(data.X, rows)
        self.estimator_ = estimator.fit(X_kept, targets[rows], **fit_params)
        _let_complain(self.estimator_, data, rows)
        self.detector_ = detector
        features.record(self)
        return self

    def _route(self, estimator, data, params) -> dict:
        """Work out the keywords of the final fit, or refuse, before any work."""
        if self.action == "reweight":
            weight_fit_params(estimator, np.ones(data.n_samples))
        fit_params = weight_fit_params(estimator, data.sample_weight)
        if not routing_enabled():
            return fit_params
        if data.sample_weight is not None:
            params = {**params, "sample_weight": data.sample_weight}
        return dict(process_routing(self, "fit", **params)["estimator"]["fit"]) if params else {}

    def _find_errors(self, data, y, verified_labels):
        detector = self._make_detector(data.X)
        known = detector.get_params(deep=False)
        n_jobs = known.get("n_jobs") if self.n_jobs is None else self.n_jobs
        detect = _detect
        if self.memory is not None:
            if "random_state" in known and not is_integer_seed(known["random_state"]):
                raise ValueError(
                    f"memory={self.memory!r} caches the detection, which must then be repeatable:"
                    f" set random_state to an integer (it is {known['random_state']!r})."
                )
            if "n_jobs" in known:
                detector.set_params(n_jobs=None)
            detect = check_memory(self.memory).cache(_detect, ignore=["n_jobs"])
        return detect(detector, data.X, y, verified_labels, data.sample_weight, data.groups, n_jobs)

    def _suggestions(self, detector):
        """What the detector suggests, for ``action="relabel"``."""
        suggested = getattr(detector, "suggested_labels_", None)
        if suggested is None:
            raise ValueError(
                f"action='relabel' needs a detector that suggests labels, which"
                f" {type(detector).__name__} does not: use action='drop' or 'reweight'."
            )
        return suggested

    @available_if(estimator_has("predict"))
    def predict(self, X):
        """Predict by the fitted model.

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
        return self.estimator_.predict(X)


def _let_complain(estimator, data, kept) -> None:
    """Show the model a row with missing values, if all such rows were left out.

    Otherwise input that the model refuses would pass or not by what the detector thinks of its
    label.
    """
    left_out = data.used.copy()
    left_out[kept] = False
    if not left_out.any() or not is_numeric(data.X):
        return
    rows = np.flatnonzero(left_out)
    X_out = safe_indexing(data.X, rows)
    values = as_numbers(X_out, np.float64)
    if sparse.issparse(values):
        bad = np.unique(values.nonzero()[0][~np.isfinite(values.data[values.data != 0])])
    else:
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        estimator.predict(safe_indexing(data.X, rows[bad[:1]]))
