"""Meta-estimators that make the classifier you already have survive wrong labels."""

from skrobust.wrappers._cleaning import CleaningClassifier

__all__ = ["CleaningClassifier"]
