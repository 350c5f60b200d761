"""Weights for rows whose labels may be wrong."""

from skrobust.weighting._importance_reweighter import ImportanceReweighter, importance_weights
from skrobust.weighting._loss_history_reweighter import LossHistoryReweighter, loss_history_weights
from skrobust.weighting._quality_reweighter import QualityReweighter
from skrobust.weighting._score_pruner import ScorePruner
from skrobust.weighting._trusted_reweighter import TrustedReweighter

__all__ = [
    "ImportanceReweighter",
    "LossHistoryReweighter",
    "QualityReweighter",
    "ScorePruner",
    "TrustedReweighter",
    "importance_weights",
    "loss_history_weights",
]
