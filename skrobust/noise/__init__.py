"""How labels go wrong: label noise made on purpose, and label noise measured."""

from skrobust.noise._confident_joint import confident_joint, confident_thresholds
from skrobust.noise._flip import flip_labels
from skrobust.noise._flip_instance import flip_labels_instance
from skrobust.noise._neighbor_transition import NeighborTransition
from skrobust.noise._transitions import pair_transition, random_transition, symmetric_transition

__all__ = [
    "NeighborTransition",
    "confident_joint",
    "confident_thresholds",
    "flip_labels",
    "flip_labels_instance",
    "pair_transition",
    "random_transition",
    "symmetric_transition",
]
