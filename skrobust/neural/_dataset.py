"""A torch data set in the place of an array of rows, read batch by batch."""

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset


class DatasetRows:
    """The inputs of a data set as an array that reads what is asked of it, and keeps nothing.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Its items are inputs, or tuples that start with one: tensors or arrays of numbers, all of
        one shape. A method ``__getitems__``, if there is one, is asked for whole batches.

    Raises
    ------
    ValueError
        If there is no item, or the first is no array of numbers.
    TypeError
        If the data set can only be read in its own order.
    """

    def __init__(self, dataset: Dataset):
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            raise TypeError(
                f"X is a {type(dataset).__name__}, which has no length or cannot be read in any"
                " order: a data set with __len__ and __getitem__ is needed."
            )
        if len(dataset) == 0:
            raise ValueError("Found array with 0 sample(s): the data set X has no items.")
        self.dataset = dataset
        first = self._read([0])
        if first.dtype.kind not in "biuf":
            raise ValueError(
                f"The items of X must be numbers of one shape; the first is of type {first.dtype}."
            )
        self.shape = (len(dataset), *first.shape[1:])
        self.ndim, self.dtype = len(self.shape), first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index) -> np.ndarray:
        """Read rows: a slice, or an array of positions."""
        if isinstance(index, slice):
            index = range(*index.indices(len(self)))
        positions = [int(i) for i in index]
        if not positions:
            return np.empty((0, *self.shape[1:]), dtype=self.dtype)
        rows = self._read(positions)
        if rows.shape[1:] != self.shape[1:]:
            raise ValueError(f"Items of X have shapes {rows.shape[1:]} and {self.shape[1:]}.")
        if rows.dtype.kind == "f":
            finite = np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
            if not finite.all():
                raise ValueError(
                    f"X contains NaN or infinity: in item {positions[int(finite.argmin())]}."
                )
        return rows

    def _read(self, positions) -> np.ndarray:
        items = read_items(self.dataset, positions)
        inputs = [item[0] if isinstance(item, (tuple, list)) else item for item in items]
        if isinstance(inputs[0], torch.Tensor):
            rows = torch.stack([item.detach().cpu() for item in inputs])
            return (rows.float() if rows.dtype == torch.bfloat16 else rows).numpy()
        return np.stack([np.asarray(item) for item in inputs])


def read_items(dataset: Dataset, positions: list[int]) -> list:
    """Read items of a data set, all at once where it can do that."""
    if hasattr(dataset, "__getitems__"):
        return list(dataset.__getitems__(positions))
    return [dataset[i] for i in positions]


def labels_of(dataset: Dataset) -> np.ndarray | list:
    """Read the labels of a data set: `targets` where it has them, else the second part of items.

    Where `target_transform` says that items have others than `targets`, the items are read.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Items are tuples of an input and a label.

    Returns
    -------
    y : ndarray or list of length n_samples
        Labels, some perhaps missing.

    Raises
    ------
    ValueError
        If items have no second part.
    """
    targets = getattr(dataset, "targets", None)
    if targets is None or getattr(dataset, "target_transform", None) is not None:
        items = (dataset[i] for i in range(len(dataset)))
        targets = [_label_of(item) for item in items]
    if isinstance(targets, torch.Tensor):
        return targets.cpu().numpy()
    if isinstance(targets, np.ndarray):
        return targets
    # No array: one of text and NaN would read "nan".
    return [t.item() if isinstance(t, torch.Tensor) else t for t in targets]


def _label_of(item):
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise ValueError(
            "y is None, and the items of X have no labels: pass y, or a data set of tuples."
        )
    return item[1]
