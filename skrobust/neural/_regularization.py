"""Regularisation of batches: label smoothing, mixup, and the scale of noise on the input."""

import torch

from skrobust.neural._rows import Rows

# Rows that the scale of the input is computed from, and how many are read at a time.
_SAMPLE, _BLOCK = 10_000, 512


def draw_mix(n_rows: int, alpha: float, device: torch.device) -> tuple[float, torch.Tensor]:
    """Draw pairs of the rows of a batch, and the share of a row's own, at least one half."""
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return max(share, 1 - share), torch.randperm(n_rows).to(device)


def weighted_mean(rows: torch.Tensor, x: dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute the mean over the rows of a batch, times their weights if they have any."""
    weight = x.get("sample_weight")
    return rows.mean() if weight is None else (rows * weight).mean()


def smooth_labels(
    y: torch.Tensor, n_classes: int, smoothing: float, dtype: torch.dtype
) -> torch.Tensor:
    """Mix labels, codes or probabilities, with equal shares of all classes."""
    if y.ndim == 1:
        y = torch.nn.functional.one_hot(y, n_classes).to(dtype)
    return (1 - smoothing) * y + smoothing / n_classes


def input_scale(rows: Rows) -> torch.Tensor:
    """Standard deviation of the input, per feature of a table, else of all numbers."""
    n, mean, squares = 0, 0.0, 0.0
    for part in rows.order(shuffle=True)[:_SAMPLE].split(_BLOCK):
        block = rows.input_at(part)
        block = block if block.ndim == 2 else block.reshape(-1, 1)
        k, centre = len(block), block.mean(dim=0)
        gap = centre - mean
        squares = squares + (block - centre).square().sum(dim=0) + gap**2 * (n * k / (n + k))
        n, mean = n + k, mean + gap * (k / (n + k))
    scale = (squares / n).sqrt()
    return scale if len(rows.X.shape) == 2 else scale[0]
