"""Synthetic label noise, transition-matrix estimators and the noise model of the detectors."""

from skrobust.noise._anchor_transition import AnchorTransition
from skrobust.noise._annotators import simulate_annotators
from skrobust.noise._confident_joint import confident_joint, confident_thresholds
from skrobust.noise._confident_transition import ConfidentTransition
from skrobust.noise._dual_transition import DualTransition
from skrobust.noise._flip import flip_labels
from skrobust.noise._flip_grouped import flip_labels_grouped
from skrobust.noise._flip_instance import flip_labels_instance
from skrobust.noise._neighbor_transition import NeighborTransition
from skrobust.noise._noise_simulator import NoiseSimulator
from skrobust.noise._transitions import pair_transition, random_transition, symmetric_transition
from skrobust.noise._trusted_transition import TrustedTransition
from skrobust.noise._unbiased import unbiased_labels

__all__ = [
    "AnchorTransition",
    "ConfidentTransition",
    "DualTransition",
    "NeighborTransition",
    "NoiseSimulator",
    "TrustedTransition",
    "confident_joint",
    "confident_thresholds",
    "flip_labels",
    "flip_labels_grouped",
    "flip_labels_instance",
    "pair_transition",
    "random_transition",
    "simulate_annotators",
    "symmetric_transition",
    "unbiased_labels",
]
