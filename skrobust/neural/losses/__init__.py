"""Losses that are robust to wrong labels or targets, as torch modules with sample weights."""

from skrobust.neural.losses._base import CrossEntropy, RobustLoss
from skrobust.neural.losses._batch import PeerLoss, SoftDice
from skrobust.neural.losses._corrected import (
    BackwardCorrected,
    ForwardCorrected,
    VolumeMinimizing,
)
from skrobust.neural.losses._regression import (
    Huber,
    LogCosh,
    SquaredError,
    TrimmedSquaredError,
)
from skrobust.neural.losses._regularized import CORES, Bootstrapping, LabelSmoothing
from skrobust.neural.losses._robust import (
    ActivePassiveLoss,
    GeneralizedCrossEntropy,
    MeanAbsoluteError,
    NormalizedCrossEntropy,
    SymmetricCrossEntropy,
    TripletAlignment,
)

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
