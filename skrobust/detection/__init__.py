"""Detectors of label errors, thresholds, and the same as plain functions."""

from skrobust.detection._confident_learning import ConfidentLearning
from skrobust.detection._consensus_mixture import ConsensusMixture
from skrobust.detection._decoy_threshold import DecoyThreshold
from skrobust.detection._density import DensityDetector
from skrobust.detection._detect_from import detect_from
from skrobust.detection._energy import EnergyDetector
from skrobust.detection._ensemble import EnsembleDetector
from skrobust.detection._find_multilabel_errors import (
    find_multilabel_errors,
    multilabel_quality_scores,
)
from skrobust.detection._find_target_errors import find_target_errors, target_quality_scores
from skrobust.detection._fine import fine_scores
from skrobust.detection._knn_shapley import knn_shapley_scores
from skrobust.detection._mixture_threshold import MixtureThreshold
from skrobust.detection._multilabel import MultilabelDetector
from skrobust.detection._negative_class import NegativeClassDetector
from skrobust.detection._neighbor_vote import NeighborVote
from skrobust.detection._residual import ResidualDetector
from skrobust.detection._rules import find_label_errors
from skrobust.detection._scores import label_quality_scores
from skrobust.detection._training_dynamics import TrainingDynamics
from skrobust.detection._trusted_threshold import TrustedThreshold
from skrobust.noise import confident_joint, confident_thresholds

__all__ = [
    "ConfidentLearning",
    "ConsensusMixture",
    "DecoyThreshold",
    "DensityDetector",
    "EnergyDetector",
    "EnsembleDetector",
    "MixtureThreshold",
    "MultilabelDetector",
    "NegativeClassDetector",
    "NeighborVote",
    "ResidualDetector",
    "TrainingDynamics",
    "TrustedThreshold",
    "confident_joint",
    "confident_thresholds",
    "detect_from",
    "find_label_errors",
    "find_multilabel_errors",
    "find_target_errors",
    "fine_scores",
    "knn_shapley_scores",
    "label_quality_scores",
    "multilabel_quality_scores",
    "target_quality_scores",
]
