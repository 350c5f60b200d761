"""Base class of detectors of wrong labels that are no classes: numbers, or indicators."""

from numbers import Integral, Real

from skrobust.base import LabelErrorDetector, LabelQualityThreshold
from skrobust.evidence._out_of_fold import OneEstimator, route_fit
from skrobust.utils._sklearn import HasMethods, Interval


class TargetDetector(OneEstimator, LabelErrorDetector):
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
