"""Two networks that are trained as one module, by one optimiser."""

import torch

from skrobust.neural._training import Net


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

    def train_step(self, batch, **fit_params):
        """Take one step with both."""
        step = super().train_step(batch, **fit_params)
        return {**step, "loss": step["loss"] / 2}
