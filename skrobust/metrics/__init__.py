"""Scores of models where the labels to compare with are wrong too, and scores of detectors."""

from skrobust.metrics._corrected_confusion import noise_corrected_confusion_matrix
from skrobust.metrics._noise_corrected_score import noise_corrected_score

__all__ = ["noise_corrected_confusion_matrix", "noise_corrected_score"]
