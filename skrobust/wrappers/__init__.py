"""Meta-estimators that make the model you already have survive wrong labels."""

from skrobust.wrappers._aggregation import aggregate_sources
from skrobust.wrappers._cascade import CascadeClassifier
from skrobust.wrappers._cleaning import CleaningClassifier
from skrobust.wrappers._cleaning_regressor import CleaningRegressor
from skrobust.wrappers._loss_corrected import LossCorrectedClassifier
from skrobust.wrappers._reweighted import ReweightedClassifier
from skrobust.wrappers._source_robust import SourceRobustClassifier
from skrobust.wrappers._source_robust_regressor import SourceRobustRegressor
from skrobust.wrappers._teacher_student import TeacherStudentClassifier

__all__ = [
    "CascadeClassifier",
    "CleaningClassifier",
    "CleaningRegressor",
    "LossCorrectedClassifier",
    "ReweightedClassifier",
    "SourceRobustClassifier",
    "SourceRobustRegressor",
    "TeacherStudentClassifier",
    "aggregate_sources",
]
