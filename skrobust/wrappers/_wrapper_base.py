"""What all wrappers around models have in common: defaults, metadata, tags, predictions."""

from contextlib import nullcontext

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base._scoring import LabelledScore
from skrobust.utils._parallel import one_blas_thread
from skrobust.utils._predictions import predict_column
from skrobust.utils._rows import as_numbers, is_numeric
from skrobust.utils._sklearn import HasMethods, routing_enabled, safe_indexing
from skrobust.utils._weights import index_fit_params, weight_fit_params

# Relative to the largest one, weights below this are nothing, and differ by less if they are equal.
_NOTHING = 1e-9


def estimator_has(method, name="estimator"):
    """Make a condition for ``available_if``: whether the model of a parameter has a method."""

    def check(self):
        getattr(getattr(self, f"{name}_", None) or self._models()[name], method)
        return True

    return check


def given_or(estimator, make_default):
    """Choose the model to train: what was given, or else a default that asks for weights."""
    if estimator is not None:
        return estimator
    default = make_default()
    return default.set_fit_request(sample_weight=True) if routing_enabled() else default


class ModelsWrapper(MetaEstimatorMixin, BaseEstimator):
    """Base class of the wrappers that train clones of the models that are their parameters.

    A subclass writes ``_models()``, and, if it looks at X with anything else, ``_helpers()``.
    """

    def _models(self) -> dict:
        """The models to train, by the name of the parameter."""
        raise TypeError(f"{type(self).__name__} must implement _models().")

    def _helpers(self) -> list:
        """What else looks at X, if nothing is known of X yet."""
        return []

    def _weighed_models(self) -> list:
        """The models that get the weights of the caller, and must take some."""
        return [*self._models().values(), *(p for p in self._helpers() if hasattr(p, "predict"))]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        parts = (*self._models().values(), *self._helpers())
        inputs = [get_tags(part).input_tags for part in parts]
        tags.input_tags.sparse = all(part.sparse for part in inputs)
        tags.input_tags.allow_nan = all(part.allow_nan for part in inputs)
        return tags

    def get_metadata_routing(self):
        """Say which metadata this wrapper and what it trains take.

        What judges the labels is not asked: it gets all that is known about them.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(**self._models(), method_mapping=mapping)

    def _route_all(self, models, data, params) -> dict:
        """Work out the keywords of the final fits, or refuse, before any work.

        Parameters
        ----------
        models : dict of estimator objects
            The clones to be fitted, by the name of the parameter.
        data : LabelledData
            What ``fit`` was given, validated.
        params : dict
            More metadata for ``fit``.

        Returns
        -------
        fit_params : dict of dict
            Keywords, for all rows, by the name of the parameter; with the weights of the caller
            where they are requested.
        """
        weight = data.sample_weight
        given = {name: weight_fit_params(model, weight) for name, model in models.items()}
        if not routing_enabled():
            return given
        if weight is not None:
            params = {**params, "sample_weight": weight}
        if not params:
            return {name: {} for name in models}
        routed = process_routing(self, "fit", **params)
        return {name: dict(routed[name]["fit"]) for name in models}


class BaseWrapper(ModelsWrapper):
    """Base class of the wrappers that train a clone of one model, their parameter `estimator`.

    A subclass writes ``_default_estimator()`` and ``fit``, which sets ``estimator_``; and, if it
    looks at X with anything else, ``_helpers()``. Before any work, ``fit`` calls
    ``self._route(estimator, data, params)``, and in the end ``self._train(...)``.
    """

    _parameter_constraints: dict = {"estimator": [HasMethods(["fit", "predict"]), None]}

    def _get_estimator(self):
        """The model to train."""
        return given_or(self.estimator, self._default_estimator)

    def _models(self):
        return {"estimator": self._get_estimator()}

    @property
    def _exact_evidence(self) -> bool:
        """Whether permuted rows, and repeated rows instead of weights, give the same answer."""
        return all(
            getattr(part, "_exact_evidence", not get_tags(part).non_deterministic)
            for part in (self._get_estimator(), *self._helpers())
        )

    def _route(self, estimator, data, params, *, needs_weight=False) -> dict:
        """Work out the keywords of the final fit, or refuse, before any work.

        Parameters
        ----------
        estimator : estimator object
            The clone to be fitted.
        data : LabelledData
            What ``fit`` was given, validated.
        params : dict
            More metadata for ``fit``.
        needs_weight : bool
            Whether weights will be made, which the estimator must take.

        Returns
        -------
        fit_params : dict
            Keywords, for all rows; with the weights of the caller where they are requested.
        """
        if needs_weight:
            weight_fit_params(estimator, np.ones(data.n_samples))
        return self._route_all({"estimator": estimator}, data, params)["estimator"]

    def _train(self, estimator, data, rows, targets, weight, fit_params, *, needs_weight=False):
        """Fit the final model.

        Parameters
        ----------
        estimator : estimator object
            The clone to be fitted.
        data : LabelledData
            What ``fit`` was given, validated.
        rows : ndarray of shape (n_rows,)
            Row numbers; a row may come several times.
        targets : ndarray of shape (n_rows,)
            Labels or numbers to learn, one for each of `rows`.
        weight : ndarray of shape (n_rows,) or None
            Weights, one for each of `rows`.
        fit_params : dict
            As of ``_route``, for all rows.
        needs_weight : bool
            Whether the estimator gets the weights even if it did not ask for those of the caller.
        """
        # The default is a linear model, which more threads slow down; others may gain from them.
        small = getattr(self, "estimator", estimator) is None
        with one_blas_thread() if small else nullcontext():
            self.estimator_ = fit_rows(
                estimator, data, rows, targets, weight, fit_params, needs_weight=needs_weight
            )
        _let_complain(self.estimator_, data, rows)

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
        return predict_column(self.estimator_, X)


def fit_rows(estimator, data, rows, targets, weight, fit_params, *, needs_weight=False):
    """Fit a model to some of the rows; parameters are those of ``BaseWrapper._train``.

    Returns
    -------
    estimator : estimator object
        The same, fitted.
    """
    params = index_fit_params(fit_params, rows, data.n_samples)
    for key in () if weight is None else weight_fit_params(estimator, weight):
        if key in params or needs_weight:
            params[key] = weight
    X = data.X if _are_all(rows, data.n_samples) else safe_indexing(data.X, rows)
    return estimator.fit(X, targets, **params)


def _are_all(rows, n_samples) -> bool:
    """Whether these are all rows, one after the other."""
    return len(rows) == n_samples and np.array_equal(rows, np.arange(n_samples))


def requested_weight(estimator, data, fit_params) -> np.ndarray | None:
    """Look up the caller's weights, unless the estimator declines them.

    Parameters
    ----------
    estimator : estimator object
        The clone to be fitted.
    data : LabelledData
        What ``fit`` was given, validated.
    fit_params : dict
        As of ``_route``.

    Returns
    -------
    sample_weight : ndarray of shape (n_samples,) or None
        Weights.
    """
    keys = weight_fit_params(estimator, data.sample_weight)
    return data.sample_weight if any(key in fit_params for key in keys) else None


def weighed_rows(data, weight) -> tuple[np.ndarray, np.ndarray | None]:
    """Choose the rows that weigh something.

    Parameters
    ----------
    data : LabelledData
        Rows.
    weight : ndarray of shape (n_samples,)
        Weights by the quality of labels.

    Returns
    -------
    rows : ndarray of shape (n_rows,)
        Row numbers; of a class without weight, those of all rows that may be trained on.
    weight : ndarray of shape (n_rows,) or None
        Their weights; None if all are equal.
    """
    weight = np.where(data.used, weight, 0.0)
    weight[weight <= _NOTHING * weight.max()] = 0.0
    for k in np.unique(data.y_train[data.used]):
        members = data.used & (data.y_train == k)
        if not weight[members].any():
            weight[members] = 1.0
    rows = np.flatnonzero(weight > 0)
    weight = weight[rows]
    return rows, None if np.ptp(weight) <= _NOTHING * weight.max() else weight


def _let_complain(estimator, data, kept) -> None:
    """Show the model a row with missing values, if all such rows were left out.

    Otherwise input that the model refuses would pass or not by what is thought of its label.
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


class ClassifierWrapper(LabelledScore, ClassifierMixin):
    """What a wrapper around a classifier has more than any other.

    It stands before :class:`BaseWrapper`. ``fit`` sets ``classes_``.
    """

    def _train_weighed(self, estimator, data, weight, fit_params):
        """Fit the final model to the rows that weigh something.

        Parameters
        ----------
        estimator : classifier
            The clone to be fitted.
        data : LabelledData
            What ``fit`` was given, validated.
        weight : ndarray of shape (n_samples,)
            How much the label of each row deserves to count. Of a class without any such row, all
            rows count. Equal weights are no weights: their scale is a matter of how many rows
            were left out.
        fit_params : dict
            As of ``_route``.
        """
        rows, weight = weighed_rows(data, weight)
        given = requested_weight(estimator, data, fit_params)
        given = None if given is None else given[rows]
        needs_weight = weight is not None
        if needs_weight and given is not None:
            weight = weight * given
        self._train(
            estimator,
            data,
            rows,
            data.classes[data.y_train[rows]],
            weight if needs_weight else given,
            fit_params,
            needs_weight=needs_weight,
        )

    def _default_estimator(self):
        return LogisticRegression()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator())
        if inner.classifier_tags is not None:
            tags.classifier_tags.multi_class = inner.classifier_tags.multi_class
        return tags

    @available_if(estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Predict probabilities of classes by the fitted classifier.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @available_if(estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Predict logarithms of probabilities of classes by the fitted classifier.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        check_is_fitted(self)
        return self.estimator_.predict_log_proba(X)

    @available_if(estimator_has("decision_function"))
    def decision_function(self, X):
        """Compute the decision function of the fitted classifier.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As of the classifier.
        """
        check_is_fitted(self)
        return self.estimator_.decision_function(X)
