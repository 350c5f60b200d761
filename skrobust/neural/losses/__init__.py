"""Losses that wrong labels mislead less than cross-entropy, and wrong targets than squared error.

All are torch modules, called with logits, targets (codes or soft labels) and, if wanted, sample
weights; those of regression with predictions and numbers.
"""

from skrobust.neural.losses._base import RobustLoss
from skrobust.neural.losses._corrected import (
    BackwardCorrected,
    ForwardCorrected,
    VolumeMinimizing,
)
from skrobust.neural.losses._cross_entropy import CrossEntropy, GeneralizedCrossEntropy
from skrobust.neural.losses._dice import SoftDice
from skrobust.neural.losses._peer import CORES, PeerLoss
from skrobust.neural.losses._regression import (
    Huber,
    LogCosh,
    SquaredError,
    TrimmedSquaredError,
)
from skrobust.neural.losses._smoothing import Bootstrapping, LabelSmoothing
from skrobust.neural.losses._symmetric import (
    ActivePassiveLoss,
    MeanAbsoluteError,
    NormalizedCrossEntropy,
    SymmetricCrossEntropy,
)
from skrobust.neural.losses._triplet import TripletAlignment

__all__ = [
    "CORES",
    "ActivePassiveLoss",
    "BackwardCorrected",
    "Bootstrapping",
    "CrossEntropy",
    "ForwardCorrected",
    "GeneralizedCrossEntropy",
    "Huber",
    "LabelSmoothing",
    "LogCosh",
    "MeanAbsoluteError",
    "NormalizedCrossEntropy",
    "PeerLoss",
    "RobustLoss",
    "SoftDice",
    "SquaredError",
    "SymmetricCrossEntropy",
    "TrimmedSquaredError",
    "TripletAlignment",
    "VolumeMinimizing",
]
