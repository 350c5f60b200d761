"""A network whose features are compressed before a linear head without intercept reads them."""

import torch
from torch.nn.functional import linear

from skrobust.neural._checks import split
from skrobust.neural._net import Net
from skrobust.neural.layers import NestedDropout, VariationalBottleneck

# Of widths with the same accuracy up to this, per feature, the smaller one is taken.
_PRICE_OF_A_FEATURE = 1e-5
# Logarithm of the price of a bottleneck at the start. It moves slowly, and at a high one it may be
# that nothing is learned until held-out rows say to stop. With 40 % of the labels wrong, accuracy
# is .93 from -5 and .56 from -2, the default of the layer, on made rows; .92 and .94 on digits.
_FIRST_LOG_PRICE = -5.0
# Scores of all widths of this many entries are in memory at a time.
_SCORES = 2**22


class CompressedNetwork(torch.nn.Module):
    """Features of a network, a layer that compresses them in training, and a head.

    Parameters
    ----------
    backbone : torch.nn.Module
        Has `features` and a linear `head`, whose place is taken.
    n_classes : int
        Number of classes.
    compression : {"nested_dropout", "dropout", "bottleneck"}
        What compresses.
    sigma : float or None
        Scale of the widths of nested dropout.
    dropout_rate : float
        Share of the features that dropout leaves out.
    target_kl : float
        Nats that pass the bottleneck.
    """

    def __init__(
        self, backbone, n_classes, *, compression, sigma=None, dropout_rate=0.3, target_kl=3.0
    ):
        super().__init__()
        n_features = split(backbone).head.in_features
        backbone.head = torch.nn.Identity()
        self.backbone = backbone
        if compression == "nested_dropout":
            self.compressor = NestedDropout(n_features, sigma=sigma)
        elif compression == "dropout":
            self.compressor = torch.nn.Dropout(dropout_rate)
        else:
            self.compressor = VariationalBottleneck(
                n_features, target_kl=target_kl, log_beta=_FIRST_LOG_PRICE
            )
        self.head = torch.nn.Linear(n_features, n_classes, bias=False)
        self.n_features_out = n_features
        # Part of the state, so that the weights of an epoch come back with their width.
        self.register_buffer("width", torch.tensor(n_features))

    def features(self, X) -> torch.Tensor:
        """Compute the features, in their order."""
        features = self.backbone(X)
        if isinstance(self.compressor, VariationalBottleneck):
            features = self.compressor(features)
        return features

    def forward(self, X, width: int | None = None) -> torch.Tensor:
        """Compute scores; in evaluation mode from the first `width` features only."""
        features = self.features(X)
        if self.training:
            if not isinstance(self.compressor, VariationalBottleneck):
                features = self.compressor(features)
            return self.head(features)
        if width is None and self.width.device.type != "cpu":
            # Asking a device for the width would wait for all that it has to do.
            late = torch.arange(self.n_features_out, device=features.device) >= self.width
            return self.head(features.masked_fill(late, 0))
        width = int(self.width) if width is None else width
        if width == self.n_features_out:
            return self.head(features)
        return linear(features[:, :width], self.head.weight[:, :width])

    def correct_widths(self, features, target, weight=None) -> torch.Tensor:
        """Sum the weights of the rows that each width gets right, in one pass.

        Without an intercept, the scores of a width are those of the width before and what one
        more feature adds.

        Parameters
        ----------
        features : Tensor of shape (n_rows, n_features)
            Features.
        target : Tensor of shape (n_rows,)
            Codes of labels.
        weight : Tensor of shape (n_rows,), default=None
            Weights.

        Returns
        -------
        correct : Tensor of shape (n_features,), dtype float64
            Sums.
        """
        n_rows, n_features = features.shape
        total = torch.zeros(n_features, dtype=torch.float64, device=features.device)
        length = max(1, _SCORES // (n_features * self.head.out_features))
        for start in range(0, n_rows, length):
            rows = slice(start, start + length)
            scores = (features[rows, :, None] * self.head.weight.T).cumsum(dim=1)
            correct = (scores.argmax(dim=2) == target[rows, None]).to(torch.float64)
            if weight is not None:
                correct = correct * weight[rows, None]
            total += correct.sum(dim=0)
        return total


class CompressedNet(Net):
    """Chooses the width after each epoch, and pays for what passes a bottleneck."""

    def compute_loss(self, batch):
        """The loss of a batch, with the price of a bottleneck."""
        loss, logits = super().compute_loss(batch)
        compressor = self.module_.compressor
        if isinstance(compressor, VariationalBottleneck):
            loss = loss + compressor.penalty() + compressor.dual_loss()
        return loss, logits

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Forget the width of former weights."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.module_.width.fill_(self.module_.n_features_out)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Choose the width before the validation rows are looked at."""
        ordered = isinstance(self.module_.compressor, NestedDropout)
        if iterator is not None and not training and ordered:
            self._set_training(False)
            self.module_.width.fill_(self._choose_width(iterator))
            self.history.record("own_width", int(self.module_.width))
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)

    @torch.no_grad()
    def _choose_width(self, batches) -> int:
        scores = self.width_accuracy(batches)
        prices = _PRICE_OF_A_FEATURE * torch.arange(1, len(scores) + 1, device=scores.device)
        return int((scores - prices).argmax()) + 1

    def width_accuracy(self, batches) -> torch.Tensor:
        """Accuracy of each width on some rows."""
        total = 0
        for x, y in batches:
            codes = y if y.ndim == 1 else y.argmax(dim=1)
            features = self.module_.features(x["X"])
            total = total + self.module_.correct_widths(features, codes, x.get("sample_weight"))
        return total / len(batches.rows)


class TruncatedNetwork(torch.nn.Module):
    """The first features of a network and their part of the head: what predicts, and no more.

    Parameters
    ----------
    network : CompressedNetwork
        Not changed.
    width : int
        How many features are kept.
    """

    def __init__(self, network, width):
        super().__init__()
        self.backbone = network.backbone
        self.encoder = (
            network.compressor if isinstance(network.compressor, VariationalBottleneck) else None
        )
        self.width = width
        self.head = torch.nn.Linear(width, network.head.out_features, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(network.head.weight[:, :width])
        self.head.to(network.head.weight)

    def forward(self, X) -> torch.Tensor:
        """Compute scores."""
        features = self.backbone(X)
        if self.encoder is not None:
            features = self.encoder(features)
        return self.head(features[:, : self.width])
