"""Linear models with the label noise inside the likelihood."""

from skrobust.linear_model._instance_flip_classifier import InstanceFlipClassifier
from skrobust.linear_model._noisy_logistic_regression import NoisyLogisticRegression

__all__ = ["InstanceFlipClassifier", "NoisyLogisticRegression"]
