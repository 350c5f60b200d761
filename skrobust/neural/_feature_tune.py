"""Frozen features of an encoder, tuned by a small network that does not move them far."""

import torch
from torch.nn.functional import mse_loss, normalize

from skrobust.neural._net import Net

_N_SINGULAR = 5
_LEAST = 1e-12


class TunedFeatures(torch.nn.Module):
    """Features, what a small network adds to them, and a linear head.

    Parameters
    ----------
    n_features : int
        Number of features.
    n_classes : int
        Number of classes.
    expansion : int
        How many times as many hidden units the network has.
    """

    def __init__(self, n_features, n_classes, *, expansion=4):
        super().__init__()
        n_hidden = expansion * n_features
        self.added = torch.nn.Sequential(
            torch.nn.Linear(n_features, n_hidden),
            torch.nn.BatchNorm1d(n_hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(n_hidden, n_features),
        )
        self.scale = torch.nn.Parameter(torch.ones(n_features))
        self.head = torch.nn.Linear(n_features, n_classes)
        torch.nn.init.kaiming_uniform_(self.head.weight, nonlinearity="linear")
        torch.nn.init.zeros_(self.head.bias)
        self.n_features_out = n_features
        self.last_pass = None

    def features(self, X) -> torch.Tensor:
        """Compute the tuned features."""
        return self.scale * self.added(X) + X

    def forward(self, X) -> torch.Tensor:
        """Compute scores; in training mode, remember the features before and after."""
        tuned = self.features(X)
        self.last_pass = (X, tuned) if self.training else None
        return self.head(tuned)

    def __getstate__(self):
        return {**self.__dict__, "last_pass": None}


def distance_moved(given, tuned) -> torch.Tensor:
    """Mean squared difference between features before and after, both scaled to length 1."""
    return mse_loss(normalize(tuned, dim=1), normalize(given.detach(), dim=1))


def redundancy(tuned) -> torch.Tensor:
    """Sum of the squared covariances of different features over the batch, per feature."""
    n_rows, n_features = tuned.shape
    centred = tuned - tuned.mean(dim=0)
    covariance = centred.T @ centred / max(n_rows - 1, 1)
    total = covariance.square().sum() - covariance.diagonal().square().sum()
    return total / n_features


def dominance(tuned) -> torch.Tensor:
    """Mean of the five largest singular values of the batch, as shares of the sum of all."""
    values = torch.linalg.svdvals(tuned.float() if tuned.dtype == torch.bfloat16 else tuned)
    return values[:_N_SINGULAR].mean() / values.sum().clamp_min(_LEAST)


class FeatureTuneNet(Net):
    """Adds the three terms to the loss."""

    def compute_loss(self, batch):
        """The loss of a batch."""
        loss, logits = super().compute_loss(batch)
        given, tuned = self.module_.last_pass
        # A term without weight is not computed: it could still be NaN.
        terms = {"closeness": distance_moved(given, tuned) if self.option("closeness") else None}
        terms["decorrelation"] = redundancy(tuned) if self.option("decorrelation") else None
        terms["spectrum"] = -dominance(tuned) if self.option("spectrum") else None
        for name, value in terms.items():
            if value is not None:
                loss = loss + self.option(name) * value
        return loss, logits
