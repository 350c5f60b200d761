"""Base classes of detectors, reweighters, transition estimators and thresholds, and their data."""

from skrobust.base._detector import LabelErrorDetector
from skrobust.base._fitted_attributes import DetectionResult, NoiseLevel
from skrobust.base._label_estimator import Reweighter, TransitionEstimator
from skrobust.base._labelled_data import LabelledData
from skrobust.base._threshold import LabelQualityThreshold, ThresholdInput, ThresholdResult

__all__ = [
    "DetectionResult",
    "LabelErrorDetector",
    "LabelQualityThreshold",
    "LabelledData",
    "NoiseLevel",
    "Reweighter",
    "ThresholdInput",
    "ThresholdResult",
    "TransitionEstimator",
]
