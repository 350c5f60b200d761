"""Scores of models where the labels to compare with are wrong too, and scores of detectors."""

from skrobust.metrics._corrected_confusion import noise_corrected_confusion_matrix
from skrobust.metrics._detection_report import detection_report, precision_at_budget
from skrobust.metrics._noise_corrected_score import noise_corrected_score
from skrobust.metrics._rank_models import rank_flip_prevalence, rank_models
from skrobust.metrics._scores import expected_noisy_score, f1_gmean_score, geometric_mean_score

__all__ = [
    "detection_report",
    "expected_noisy_score",
    "f1_gmean_score",
    "geometric_mean_score",
    "noise_corrected_confusion_matrix",
    "noise_corrected_score",
    "precision_at_budget",
    "rank_flip_prevalence",
    "rank_models",
]
