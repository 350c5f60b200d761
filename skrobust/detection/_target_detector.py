"""Base class of detectors of wrong labels that are no classes: numbers, or indicators."""

from numbers import Integral, Real

from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter

from skrobust.base import LabelErrorDetector, LabelQualityThreshold
from skrobust.evidence._out_of_fold import estimator_router, route_fit
from skrobust.utils._sklearn import HasMethods, Interval, Tags


class TargetDetector(LabelErrorDetector):
    """Base class of detectors of wrong targets that are no classes."""

    # A subclass implements ``_detect(data)``, ``_detect_new(X, codes)`` and ``_get_estimator()``.

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "cv": ["cv_object"],
        "threshold": [None, Interval(Real, 0, 1, closed="both"), LabelQualityThreshold],
        "flag_fraction": [None, Interval(Real, 0, 1, closed="left")],
        "store_estimators": ["boolean"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._get_estimator())
        tags.input_tags.sparse = inner.input_tags.sparse
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """Get the metadata that this detector and its estimator take.

        Returns
        -------
        routing : MetadataRouter
            Routing information.
        """
        return estimator_router(self, self._get_estimator())

    def _route(self, estimator, data) -> dict:
        """Arguments `weighted` and `fit_params` of a producer, by the metadata that are routed."""
        return {} if self.estimator is None else route_fit(self, estimator, data)

    def _kept_models(self) -> list:
        """Models of ``fit``, or an error where they were not kept."""
        if not hasattr(self, "estimators_"):
            raise AttributeError(
                "The models that score new rows were not kept: fit with store_estimators=True."
            )
        return self.estimators_
