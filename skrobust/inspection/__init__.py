"""Displays of label noise, and the report in which labels are reviewed."""

from skrobust.inspection._apply_corrections import apply_corrections
from skrobust.inspection._data_map_display import DataMapDisplay
from skrobust.inspection._detection_curve_display import DetectionCurveDisplay
from skrobust.inspection._label_quality_display import LabelQualityDisplay
from skrobust.inspection._label_report import LabelReport
from skrobust.inspection._nested_width_display import NestedWidthDisplay
from skrobust.inspection._robustness_curve_display import RobustnessCurveDisplay
from skrobust.inspection._transition_matrix_display import TransitionMatrixDisplay

__all__ = [
    "DataMapDisplay",
    "DetectionCurveDisplay",
    "LabelQualityDisplay",
    "LabelReport",
    "NestedWidthDisplay",
    "RobustnessCurveDisplay",
    "TransitionMatrixDisplay",
    "apply_corrections",
]
