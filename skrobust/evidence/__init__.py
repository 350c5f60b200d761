"""Out-of-sample predictions: evidence, its producers, and the same as plain functions."""

from skrobust.evidence._evidence import Evidence
from skrobust.evidence._mixture import Mixture
from skrobust.evidence._neighbor_evidence import Neighbors
from skrobust.evidence._neighbors import neighbor_graph
from skrobust.evidence._out_of_bag import OutOfBag, out_of_bag_proba
from skrobust.evidence._out_of_fold import OutOfFold, out_of_fold_proba
from skrobust.evidence._staged import staged_proba
from skrobust.evidence._stages import Stages

__all__ = [
    "Evidence",
    "Mixture",
    "Neighbors",
    "OutOfBag",
    "OutOfFold",
    "Stages",
    "neighbor_graph",
    "out_of_bag_proba",
    "out_of_fold_proba",
    "staged_proba",
]
