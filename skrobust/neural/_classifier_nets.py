"""The nets of classifiers: of one network, and of two that are trained as one module."""

from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin

from skrobust.neural._training import BaseNet
from skrobust.neural._typing import Batch, Step


class Net(ClassifierMixin, BaseNet):
    """The net of a classifier, which scorers take for one of the user's labels."""

    classes_: np.ndarray

    _has_accuracy = True

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities of the classes."""
        return torch.softmax(self.outputs(X), dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels."""
        return self.classes_[self.outputs(X).argmax(dim=1).numpy()]

    def decode(self, target: np.ndarray) -> np.ndarray:
        """Turn codes, or probabilities, into labels."""
        return self.classes_[target if target.ndim == 1 else target.argmax(axis=1)]


class Pair(torch.nn.Module):
    """Two networks that are trained as one module; its scores are the mean of theirs."""

    def __init__(self, first: torch.nn.Module, second: torch.nn.Module):
        super().__init__()
        self.nets = torch.nn.ModuleList([first, second])

    def each(self, X: torch.Tensor) -> list[torch.Tensor]:
        """Compute the scores of both."""
        return [net(X) for net in self.nets]

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the mean of the scores."""
        first, second = self.each(X)
        return (first + second) / 2


class PairNet(Net):
    """A net of two networks, whose losses are added up; the history has their mean."""

    def train_step(self, batch: Batch, **fit_params: Any) -> Step:
        """Take one step with both."""
        step = super().train_step(batch, **fit_params)
        return {**step, "loss": step["loss"] / 2}
