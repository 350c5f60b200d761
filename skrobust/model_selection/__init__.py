"""Choosing models on data whose labels are noisy or partly missing."""

from skrobust.model_selection._flip_rate_auditor import FlipRateAuditor
from skrobust.model_selection._labelled_k_fold import LabelledKFold
from skrobust.model_selection._lexicographic_refit import lexicographic_refit
from skrobust.model_selection._noise_corrected_scorer import make_noise_corrected_scorer
from skrobust.model_selection._noise_robustness_curve import noise_robustness_curve
from skrobust.model_selection._review_budget_allocator import ReviewBudgetAllocator

__all__ = [
    "FlipRateAuditor",
    "LabelledKFold",
    "ReviewBudgetAllocator",
    "lexicographic_refit",
    "make_noise_corrected_scorer",
    "noise_robustness_curve",
]
