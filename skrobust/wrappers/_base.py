"""Base classes of the wrappers: metadata routing, tags, final fits and predictions."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skrobust.base import LabelledData
from skrobust.base._label_estimator import LabelTags, as_label_tags, label_tags
from skrobust.base._labelled_data import set_fitted
from skrobust.base._scoring import LabelledScore
from skrobust.utils._docstring import ENTRIES, fill_docstring
from skrobust.utils._input import first_not_finite, predict_column
from skrobust.utils._sklearn import (
    HasMethods,
    Tags,
    raise_for_params,
    routing_enabled,
    safe_indexing,
)
from skrobust.utils._weights import weight_support
from skrobust.wrappers._training_set import FinalFit

# Shared by the docstrings of ``fit``.
TRAINING_DATA = "".join(
    [
        ENTRIES["X"],
        ENTRIES["y_not_fitted"],
        ENTRIES["verified_labels"],
        "\n    They are trained on instead of those in `y`.",
        ENTRIES["sample_weight"],
        ENTRIES["groups"],
    ]
)

# Of the parameters that are passed to the fit of a detector, reweighter or transition estimator.
FIT_INSIDE_CONSTRAINTS: dict = {
    "cv": ["cv_object"],
    "n_jobs": [None, Integral],
    "random_state": ["random_state"],
    "memory": [str, HasMethods(["cache"]), None],
}


def has_method(method: str, name: str = "estimator") -> Callable[[Any], bool]:
    """Make a condition for ``available_if``: whether what predicts has a method."""

    def check(self):
        getattr(self._predictor(name), method)
        return True

    return check


def resolve_estimator(estimator: Any, make_default: Callable) -> BaseEstimator:
    """Resolve a parameter that is a model; the default requests sample weights."""
    if estimator is not None:
        return estimator
    default = make_default()
    return default.set_fit_request(sample_weight=True) if routing_enabled() else default


class ModelsWrapper(MetaEstimatorMixin, BaseEstimator):
    """Base class of wrappers that train clones of the models that are their parameters.

    A subclass writes ``_models()``, and, if other estimators are fitted to X, ``_helpers()``.
    """

    def _models(self) -> dict:
        """The models to train, by the name of the parameter."""
        raise TypeError(f"{type(self).__name__} must implement _models().")

    def _helpers(self) -> list:
        """Other estimators that are fitted to X."""
        return []

    def __skrobust_weighted_models__(self) -> list[Any]:
        """The models that are fitted with the caller's weights, and must take weights."""
        return [*self._models().values(), *(p for p in self._helpers() if hasattr(p, "predict"))]

    def _predictor(self, name: str) -> BaseEstimator:
        """The model of a parameter, fitted if this wrapper is."""
        return getattr(self, f"{name}_", None) or self._models()[name]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        parts = (*self._models().values(), *self._helpers())
        inputs = [get_tags(part).input_tags for part in parts]
        tags.input_tags.sparse = all(part.sparse for part in inputs)
        tags.input_tags.allow_nan = all(part.allow_nan for part in inputs)
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Return which metadata this wrapper and the models it trains take.

        Detectors, reweighters and transition estimators need no request: they are passed labels,
        verified labels, weights and groups in any case.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(**self._models(), method_mapping=mapping)

    def _route(
        self, data: LabelledData, params: dict, *, own_weight: str = "never"
    ) -> dict[str, FinalFit]:
        """Clone the models and route metadata to their fits, or refuse before any work.

        `own_weight` is "never", "if possible" or "always": whether weights of this wrapper are
        passed to the models, which are refused if they take none.
        """
        raise_for_params(params, self, "fit")
        models = {name: clone(model) for name, model in self._models().items()}
        weight = data.sample_weight
        required = own_weight == "always"
        support = {
            name: weight_support(model, weight, required=required) for name, model in models.items()
        }
        routed = {name: found.fit_params for name, found in support.items()}
        if routing_enabled():
            if weight is not None:
                params = {**params, "sample_weight": weight}
            bunches = process_routing(self, "fit", **params) if params else None
            routed = {name: dict(bunches[name]["fit"]) if bunches else {} for name in models}
        _ = data.features  # raises before any work
        return {
            name: FinalFit(
                model,
                data,
                routed[name],
                own_weight=required
                or (
                    own_weight == "if possible"
                    and support[name].takes_weight
                    and (weight is None or support[name].key in routed[name])
                ),
                is_default=getattr(self, name) is None,
                weight_key=support[name].key,
            )
            for name, model in models.items()
        }


@fill_docstring
class BaseWrapper(ModelsWrapper):
    """Base class of wrappers that train a clone of one model, their parameter `estimator`.

    A subclass writes ``_default_estimator()``, and ``fit``, which begins with
    ``self._prepare(data, params)`` and ends with ``self._set_fitted_attributes(...)``; and, if
    other estimators are fitted to X, ``_helpers()``.
    """

    estimator_: Any
    n_features_in_: int
    feature_names_in_: np.ndarray

    _parameter_constraints: dict = {"estimator": [HasMethods(["fit", "predict"]), None]}

    def _get_estimator(self) -> BaseEstimator:
        """The model to train."""
        return resolve_estimator(self.estimator, self._default_estimator)

    def _models(self) -> dict:
        return {"estimator": self._get_estimator()}

    def __sklearn_tags__(self) -> LabelTags:
        tags = as_label_tags(super().__sklearn_tags__())
        parts = (self._get_estimator(), *self._helpers())
        tags.exact_outputs = all(label_tags(part).exact_outputs for part in parts)
        return tags

    def _prepare(self, data: LabelledData, params: dict, *, own_weight: str = "never") -> FinalFit:
        """Route metadata to the final fit, as `_route` does."""
        return self._route(data, params, own_weight=own_weight)["estimator"]

    def _set_fitted_attributes(
        self, final: FinalFit, model: BaseEstimator, rows: np.ndarray, **attributes: Any
    ) -> None:
        """Set the attributes of the fitted model, trained on `rows`, and further ones."""
        _check_left_out(model, final.data, rows)
        self.estimator_ = model
        if final.data.kind == "classes":
            self.classes_: np.ndarray = model.classes_
        set_fitted(self, **final.data.features, **attributes)

    @available_if(has_method("predict"))
    def predict(self, X: Any) -> np.ndarray:
        """Predict by the fitted model.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Predictions.
        """
        check_is_fitted(self)
        return predict_column(self._predictor("estimator"), X)


def _check_left_out(model: Any, data: LabelledData, rows: np.ndarray) -> None:
    """Predict one row with missing values, if all such rows were left out of training.

    Otherwise input that the model refuses would pass or not depending on the quality of its label.
    """
    left_out = data.used.copy()
    left_out[rows] = False
    if not left_out.any():
        return
    row = first_not_finite(data.X, np.flatnonzero(left_out))
    if row is not None:
        model.predict(safe_indexing(data.X, [row]))


@fill_docstring
class ClassifierWrapper(LabelledScore, ClassifierMixin):
    """Mixin of wrappers around one classifier; it stands before :class:`BaseWrapper`."""

    classes_: np.ndarray

    def _default_estimator(self) -> LogisticRegression:
        return LogisticRegression()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator()).classifier_tags
        if inner is not None:
            tags.classifier_tags.multi_class = inner.multi_class
        return tags

    @available_if(has_method("predict_proba"))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities of classes by the fitted classifier.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        %(returns_proba)s
        """
        check_is_fitted(self)
        return self._predictor("estimator").predict_proba(X)

    @available_if(has_method("predict_proba"))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of probabilities of classes by the fitted classifier.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of ``classes_``.
        """
        check_is_fitted(self)
        model = self._predictor("estimator")
        if hasattr(model, "predict_log_proba"):
            return model.predict_log_proba(X)
        with np.errstate(divide="ignore"):  # the logarithm of zero is minus infinity
            return np.log(model.predict_proba(X))

    @available_if(has_method("decision_function"))
    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the decision function of the fitted classifier.

        Parameters
        ----------
        %(X)s

        Returns
        -------
        decision : ndarray of shape (n_samples,) or (n_samples, n_classes)
            As of the classifier.
        """
        check_is_fitted(self)
        return self._predictor("estimator").decision_function(X)
