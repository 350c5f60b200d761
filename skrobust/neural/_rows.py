"""Rows on their way into a network: whole on the device where they fit, else batch by batch."""

import dataclasses
import warnings

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset

from skrobust.neural._dataset import DatasetRows

# Of the memory that is free on a device, rows take at most this share; else they come in batches.
_LARGEST_SHARE = 0.5


@dataclasses.dataclass(eq=False)
class Rows(Dataset):
    """Rows of numbers with their labels.

    Attributes
    ----------
    X : Tensor, ndarray, CSR matrix or DatasetRows of length n_samples
        Input: a tensor that lies on the device, or what is moved there batch by batch.
    y : Tensor of shape (n_samples,) or (n_samples, n_classes), or None
        Codes of labels, or probabilities of classes, or targets, on the device.
    weight : Tensor of shape (n_samples,) or None
        Weights, on the device.
    positions : Tensor of shape (n_rows,) or None
        The rows that belong to this set, on the device; None is all. So a part of the rows for
        training and a part for validation share one table.
    dtype : torch.dtype
        Of the numbers that the network sees.
    device : torch.device
        Where the network is.
    """

    X: object
    y: torch.Tensor | None
    weight: torch.Tensor | None
    positions: torch.Tensor | None
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        return self.X.shape[0] if self.positions is None else len(self.positions)

    def part(self, positions: np.ndarray) -> "Rows":
        """Return some of the rows, which share everything with these; weights get mean 1."""
        positions = torch.as_tensor(positions).to(self.device, torch.int64)
        weight = self.weight
        if weight is not None:
            weight = weight / weight[positions].mean()
        return dataclasses.replace(self, positions=positions, weight=weight)

    def order(self, *, shuffle: bool, source: torch.Generator | None = None) -> torch.Tensor:
        """Positions of the rows, perhaps in an order drawn by torch's generator of the CPU.

        One number is drawn for a generator that is used up here, so that what is drawn later does
        not depend on how many rows there are. `source` is drawn from instead, if it is given.
        """
        if shuffle:
            seed = torch.randint(2**31, (1,), generator=source).item()
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(len(self), generator=generator)
        else:
            order = torch.arange(len(self))
        order = order.to(self.device)
        return order if self.positions is None else self.positions[order]

    def draw(self, n_rows: int) -> torch.Tensor:
        """Draw positions, with replacement, from torch's generator of the CPU."""
        drawn = torch.randint(len(self), (n_rows,)).to(self.device)
        return drawn if self.positions is None else self.positions[drawn]

    @property
    def resident(self) -> bool:
        """Whether all rows lie on the device."""
        return isinstance(self.X, torch.Tensor)

    def input_at(self, index) -> torch.Tensor:
        """Take the input of some rows: `index` is a slice, or a tensor of positions."""
        if self.resident:
            return self._as_numbers(self.X[index])
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        rows = self.X[index]
        rows = rows.toarray() if sparse.issparse(rows) else np.ascontiguousarray(rows)
        return self._as_numbers(torch.as_tensor(rows).to(self.device, non_blocking=True))

    def _as_numbers(self, rows) -> torch.Tensor:
        if rows.dtype == torch.uint8 and rows.ndim > 2:
            return rows.to(self.dtype).div_(255)
        return rows.to(self.dtype)

    def take(self, index: torch.Tensor):
        """Take a batch.

        Parameters
        ----------
        index : Tensor of shape (n_rows,), dtype int64
            Positions, on the device.

        Returns
        -------
        batch : dict
            "X", "index" and, where rows are weighed, "sample_weight".
        y : Tensor of length n_rows, or None
            Labels.
        """
        batch = {"X": self.input_at(index), "index": index}
        if self.weight is not None:
            batch["sample_weight"] = self.weight[index]
        return batch, None if self.y is None else self.y[index]


def make_rows(X, y, weight, *, dtype: torch.dtype, device: torch.device) -> Rows:
    """Put rows where the network can reach them.

    Parameters
    ----------
    X : {ndarray, sparse matrix, DatasetRows} of length n_samples
        Numbers. An array in memory or on disk is not copied where the network is on the CPU.
        Bytes with more than two axes are images: they are kept as they are, and reach the network
        as numbers in [0, 1].
    y : ndarray of shape (n_samples,) or (n_samples, n_classes), or None
        Codes of labels as integers; probabilities of classes, or targets, as floating point.
    weight : ndarray of shape (n_samples,) or None
        Weights.
    dtype : torch.dtype
        Of the numbers that the network sees.
    device : torch.device
        Where the network is.

    Returns
    -------
    rows : Rows
        The rows.
    """
    if sparse.issparse(X):
        X = sparse.csr_matrix(X)
    elif isinstance(X, DatasetRows):
        pass  # its reader decides what is kept in memory
    elif device.type != "cuda" or X.nbytes <= _LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]:
        X = _as_tensor(X)
        # On the CPU nothing is gained by a copy: batches are converted as they come.
        if device.type != "cpu" and X.dtype != torch.uint8:
            X = X.to(dtype)
        X = X.to(device)
    if y is not None:
        y = torch.as_tensor(y).to(device, dtype if y.dtype.kind == "f" else torch.int64)
    if weight is not None:
        weight = torch.as_tensor(weight).to(device, dtype)
    return Rows(X, y, weight, None, dtype, device)


def _as_tensor(X: np.ndarray) -> torch.Tensor:
    """Share the memory of an array, also where it cannot be written to: nothing here does."""
    if any(stride < 0 for stride in X.strides):
        X = X.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(X)
