"""Weights of rows from how their losses compare with others, and how to learn these weights."""

import math

import torch

from skrobust.neural._net import Net

N_SIGNALS = 19
_EPS = 1e-6
# A class with fewer rows in a batch is normalised by what was seen in earlier ones.
_FEW_ROWS = 4
_MOMENTUM = 0.1


class Rescaler(torch.nn.Module):
    """A small network for each given class, from signals about a row to its weight.

    The last normalisation has nothing to learn, so that weights of all zero, by which any loss
    would be lowest, are out of reach: about half of each class has a weight above one half.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    """

    def __init__(self, n_classes):
        super().__init__()
        self.first = _PerClass(n_classes, N_SIGNALS, N_SIGNALS)
        self.second = _PerClass(n_classes, N_SIGNALS, 2)
        self.norms = torch.nn.ModuleList(
            [_NormPerClass(n_classes, N_SIGNALS), _NormPerClass(n_classes, 2)]
        )

    def forward(self, signals, codes) -> torch.Tensor:
        """Compute weights in (0, 1).

        Parameters
        ----------
        signals : Tensor of shape (n_rows, 19)
            What is known of the rows.
        codes : Tensor of shape (n_rows,)
            Their given classes.

        Returns
        -------
        weights : Tensor of shape (n_rows,)
            Weights.
        """
        hidden = self.norms[0](self.first(signals, codes), codes).relu()
        scores = self.norms[1](self.second(hidden, codes), codes)
        return scores.softmax(dim=1)[:, 1]


class _PerClass(torch.nn.Module):
    """A linear layer for each class."""

    def __init__(self, n_classes, n_in, n_out):
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        weight = torch.empty(n_classes, n_out, n_in).uniform_(-bound, bound)
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.nn.Parameter(torch.empty(n_classes, n_out).uniform_(-bound, bound))

    def forward(self, rows, codes):
        weight = _of_class(self.weight.flatten(1), codes).view(-1, *self.weight.shape[1:])
        return torch.einsum("noi,ni->no", weight, rows) + _of_class(self.bias, codes)


class _NormPerClass(torch.nn.Module):
    """Batch normalisation within each class, without anything to learn."""

    def __init__(self, n_classes, n_features):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_classes, n_features))
        self.register_buffer("variance", torch.ones(n_classes, n_features))

    def forward(self, rows, codes):
        mean, variance, counts = _moments(rows, codes, len(self.mean))
        enough = (counts >= _FEW_ROWS)[:, None]
        if self.training:
            with torch.no_grad():
                for kept, now in ((self.mean, mean), (self.variance, variance)):
                    kept.copy_(torch.where(enough, torch.lerp(kept, now, _MOMENTUM), kept))
        mean = torch.where(enough, mean, self.mean)
        variance = torch.where(enough, variance, self.variance)
        return (rows - _of_class(mean, codes)) / (_of_class(variance, codes) + 1e-5).sqrt()


def _of_class(table, codes):
    """Look up rows of a table; not by an index, whose gradient threads add up in any order."""
    return torch.nn.functional.embedding(codes, table)


def _moments(rows, groups, n_groups):
    """Mean and variance of rows in groups, shape (n_groups, n_features), and counts."""
    one_hot = torch.nn.functional.one_hot(groups, n_groups).to(rows.dtype)
    counts = one_hot.sum(dim=0)
    total = counts.clamp_min(1)[:, None]
    mean = one_hot.T @ rows / total
    variance = one_hot.T @ (rows - mean[groups]).square() / total
    return mean, variance, counts


def row_signals(losses, proba, agrees, codes, n_classes: int) -> torch.Tensor:
    """Describe each row by its loss over several passes, and by how that compares with others.

    Others are the rows of the batch with the same given class, which the network agrees with, or
    not, as it does here.

    Parameters
    ----------
    losses, proba : Tensor of shape (n_passes, n_rows)
        Loss and highest probability of each row in each pass.
    agrees : Tensor of shape (n_rows,) of bool
        Whether most passes predict the given class.
    codes : Tensor of shape (n_rows,)
        Given classes.
    n_classes : int
        Number of classes.

    Returns
    -------
    signals : Tensor of shape (n_rows, 19)
        Mean and standard deviation of both over passes (4), mean and standard deviation of these
        over the group (8), the divergence of the row's losses from those of the group and their
        overlap, each with mean and standard deviation over the group (6), and the agreement (1).
    """
    own = torch.stack(
        [values for rows in (losses, proba) for values in (rows.mean(dim=0), _std(rows))], dim=1
    )
    groups = 2 * codes + agrees.long()
    mean, variance, _ = _moments(own, groups, 2 * n_classes)
    mean, std = mean[groups], (variance[groups] + _EPS).sqrt()
    gap = own[:, 0] - mean[:, 0]
    own_std, group_std = (own[:, 1].square() + _EPS).sqrt(), std[:, 0]
    divergence = (
        (group_std / own_std).log() + (own_std.square() + gap.square()) / (2 * group_std**2) - 0.5
    )
    spread = own_std.square() + group_std.square()
    # The Bhattacharyya coefficient of two normal distributions.
    overlap = (2 * own_std * group_std / spread).sqrt() * (-0.25 * gap.square() / spread).exp()
    compared = torch.stack([divergence, overlap], dim=1)
    compared_mean, compared_variance, _ = _moments(compared, groups, 2 * n_classes)
    return torch.cat(
        [
            own,
            mean,
            std,
            compared,
            compared_mean[groups],
            (compared_variance[groups] + _EPS).sqrt(),
            agrees.to(own.dtype)[:, None],
        ],
        dim=1,
    )


def _std(rows) -> torch.Tensor:
    return rows.std(dim=0, correction=0)


class RescaledNet(Net):
    """Learns weights of rows together with the network.

    A step is tried on the last layer, where its effect is known in closed form: its gradient is a
    sum over rows, in which weights are factors. The weights are then moved such that the step
    would have made the loss of another batch, weighed likewise, lower; and the step is taken.
    """

    def train_step(self, batch, **fit_params):
        """Weigh a batch, learn the weights on another one, and take the step."""
        if not self.option("rescale"):
            return super().train_step(batch, **fit_params)
        x, y = batch
        self.optimizer_.zero_grad(set_to_none=True)
        features = self.module_.features(x["X"])
        logits = self.module_.head(features)
        rows = self.row_losses(logits, y)
        rescaler = self.option("rescaler")
        weights = rescaler(self._signals(features, y), y)
        self._learn_weights(features, logits, weights, y, x.get("sample_weight"))
        weights = weights.detach()
        self.option("weights")[x["index"]] = weights.to(torch.float32)
        mass = weights / weights.mean()
        if "sample_weight" in x:
            mass = mass * x["sample_weight"]
        loss = (rows * mass).mean()
        self.descend(loss, batch)
        return {"loss": loss.detach(), "y_pred": logits.detach()}

    @torch.no_grad()
    def weigh(self, rows) -> torch.Tensor:
        """Weigh rows that were not trained on, in batches as they were."""
        rescaler, weights = self.option("rescaler"), []
        self._set_training(False)
        rescaler.eval()
        for x, y in self.get_iterator(rows):
            features = self.module_.features(x["X"])
            weights.append(rescaler(self._signals(features, y), y))
        rescaler.train()
        return torch.cat(weights)

    @torch.no_grad()
    def _signals(self, features, y):
        """Look at rows several times, with some of their features left out but the first time."""
        passes = [features.detach()]
        rate = self.option("signal_dropout")
        for _ in range(self.option("n_passes") - 1):
            passes.append(torch.nn.functional.dropout(passes[0], rate))
        logits = torch.stack([self.module_.head(one) for one in passes])
        logs = logits.log_softmax(dim=2)
        own = -logs.gather(2, y.expand(len(passes), -1)[..., None])[..., 0]
        best = logs.max(dim=2)
        agrees = (best.indices == y).float().mean(dim=0) > 0.5
        return row_signals(own, best.values.exp(), agrees, y, self.option("n_classes"))

    def _learn_weights(self, features, logits, weights, y, sample_weight) -> None:
        """Move the rescaler such that the step on the last layer helps another batch."""
        with torch.no_grad():
            train = self.option("train")
            other, other_y = train.take(train.draw(len(y)))
            other_inputs = self.module_.features(other["X"])
            signals = self._signals(other_inputs, other_y)
        mass = weights if sample_weight is None else weights * sample_weight
        tried = try_step(self.module_.head, features, logits, y, mass, self.option("meta_step"))
        scores = torch.nn.functional.linear(other_inputs, *tried)
        others = self.option("rescaler")(signals, other_y)
        losses = torch.nn.functional.cross_entropy(scores, other_y, reduction="none")
        optimizer = self.option("rescaler_optimizer")
        optimizer.zero_grad(set_to_none=True)
        (losses * others).mean().backward()
        optimizer.step()


def try_step(head, features, logits, y, weights, step: float):
    """Compute the last layer after a step on weighed rows, differentiable in the weights.

    Parameters
    ----------
    head : torch.nn.Linear
        The layer, which is not changed.
    features : Tensor of shape (n_rows, n_features)
        Its input.
    logits : Tensor of shape (n_rows, n_classes)
        Its output.
    y : Tensor of shape (n_rows,)
        Codes of given labels.
    weights : Tensor of shape (n_rows,)
        Weights; the loss is the mean of weighed cross-entropies.
    step : float
        Size of the step, along the gradient.

    Returns
    -------
    weight : Tensor of shape (n_classes, n_features)
        Weights of the layer after the step.
    bias : Tensor of shape (n_classes,) or None
        Intercepts after the step.
    """
    with torch.no_grad():
        errors = logits.softmax(dim=1)
        errors[torch.arange(len(y), device=y.device), y] -= 1
    weighed = errors * weights[:, None] / len(y)
    weight = head.weight.detach() - step * weighed.T @ features.detach()
    if head.bias is None:
        return weight, None
    return weight, head.bias.detach() - step * weighed.sum(dim=0)
