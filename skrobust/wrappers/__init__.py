"""Meta-estimators that make the model you already have survive wrong labels."""

from skrobust.wrappers._aggregation import aggregate_sources
from skrobust.wrappers._cleaning import CleaningClassifier
from skrobust.wrappers._cleaning_regressor import CleaningRegressor

__all__ = ["CleaningClassifier", "CleaningRegressor", "aggregate_sources"]
