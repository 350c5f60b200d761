"""Base classes of skorch, which has no annotations: the stub beside this file has them."""

from skorch import NeuralNet
from skorch.callbacks import Callback

__all__ = ["Callback", "NeuralNet"]
