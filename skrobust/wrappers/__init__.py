"""Meta-estimators that make any scikit-learn model robust to label noise."""

from skrobust.wrappers._aggregation import aggregate_sources
from skrobust.wrappers._cascade import CascadeClassifier
from skrobust.wrappers._cleaning import CleaningClassifier, CleaningRegressor
from skrobust.wrappers._loss_corrected import LossCorrectedClassifier
from skrobust.wrappers._reweighted import ReweightedClassifier
from skrobust.wrappers._source_robust import SourceRobustClassifier, SourceRobustRegressor
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
