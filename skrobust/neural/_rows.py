"""Rows for a network: whole on the device where they fit, else batch by batch."""

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import Dataset, IterableDataset

from skrobust.utils._typing import CSRMatrix

# Largest share of the free memory of a device that rows take; larger tables come in batches.
_LARGEST_SHARE = 0.5


class DatasetRows:
    """The inputs of a torch data set as an array that reads the rows indexed, and keeps none."""

    def __init__(self, dataset: Dataset[Any]):
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

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
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

    def _read(self, positions: list[int]) -> np.ndarray:
        """Read items, whole batches where the data set has ``__getitems__``."""
        if hasattr(self.dataset, "__getitems__"):
            items = list(self.dataset.__getitems__(positions))
        else:
            items = [self.dataset[i] for i in positions]
        inputs = [item[0] if isinstance(item, (tuple, list)) else item for item in items]
        if isinstance(inputs[0], torch.Tensor):
            rows = torch.stack([item.detach().cpu() for item in inputs])
            return (rows.float() if rows.dtype == torch.bfloat16 else rows).numpy()
        return np.stack([np.asarray(item) for item in inputs])


# Validated rows.
Numbers = np.ndarray | CSRMatrix | DatasetRows


def labels_of(dataset: Dataset[Any]) -> np.ndarray | list:
    """Read the labels of a data set: `targets`, or where it has or transforms none, the items."""
    targets = getattr(dataset, "targets", None)
    if targets is None or getattr(dataset, "target_transform", None) is not None:
        items = (dataset[i] for i in range(len(dataset)))
        targets = [_label_of(item) for item in items]
    if isinstance(targets, torch.Tensor):
        return targets.cpu().numpy()
    if isinstance(targets, np.ndarray):
        return targets
    # No array: one of text and NaN would hold the text "nan".
    return [t.item() if isinstance(t, torch.Tensor) else t for t in targets]


def _label_of(item: Any) -> Any:
    """Take the second part of an item."""
    if not isinstance(item, (tuple, list)) or len(item) < 2:
        raise ValueError(
            "y is None, and the items of X have no labels: pass y, or a data set of tuples."
        )
    return item[1]


@dataclasses.dataclass(eq=False)
class Rows(Dataset[Any]):
    """Rows of numbers with their labels."""

    # A tensor on the device, or an array, CSR matrix or DatasetRows that is moved batch by batch.
    X: Any
    # Label codes, class probabilities or targets, on the device.
    y: torch.Tensor | None
    weight: torch.Tensor | None
    # The rows that belong to this set, on the device; None is all. Rows for training and rows for
    # validation thus share one table.
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
        """Positions of the rows, in an order drawn from `source` or torch's generator if wanted."""
        if shuffle:
            # One number seeds a generator for this order only, so that what is drawn later does
            # not depend on the number of rows.
            seed = torch.randint(2**31, (1,), generator=source).item()
            generator = torch.Generator().manual_seed(seed)
            order = torch.randperm(len(self), generator=generator)
        else:
            order = torch.arange(len(self))
        order = order.to(self.device)
        return order if self.positions is None else self.positions[order]

    def take_first(self, n_rows: int) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Take the first rows as a batch."""
        return self.take(self.order(shuffle=False)[:n_rows])

    def draw(self, n_rows: int) -> torch.Tensor:
        """Draw positions, with replacement, from torch's generator of the CPU."""
        drawn = torch.randint(len(self), (n_rows,)).to(self.device)
        return drawn if self.positions is None else self.positions[drawn]

    @property
    def resident(self) -> bool:
        """Whether all rows lie on the device."""
        return isinstance(self.X, torch.Tensor)

    def input_at(self, index: slice | torch.Tensor) -> torch.Tensor:
        """Take the input of some rows: `index` is a slice, or a tensor of positions."""
        if self.resident:
            return self._as_numbers(self.X[index])
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        rows = self.X[index]
        rows = rows.toarray() if sparse.issparse(rows) else np.ascontiguousarray(rows)
        return self._as_numbers(torch.as_tensor(rows).to(self.device, non_blocking=True))

    def _as_numbers(self, rows: torch.Tensor) -> torch.Tensor:
        """Convert rows to floating point; images of bytes to numbers in [0, 1]."""
        if rows.dtype == torch.uint8 and rows.ndim > 2:
            return rows.to(self.dtype).div_(255)
        return rows.to(self.dtype)

    def take(self, index: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Take a batch: a dict of "X", "index" and perhaps "sample_weight", and the labels."""
        batch = {"X": self.input_at(index), "index": index}
        if self.weight is not None:
            batch["sample_weight"] = self.weight[index]
        return batch, None if self.y is None else self.y[index]


def make_rows(
    X: Numbers,
    y: np.ndarray | None,
    weight: np.ndarray | None,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> Rows:
    """Put rows on the device if they fit; integer `y` become codes, others floating point."""
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
    """Share the memory of an array, also of a read-only one: nothing here writes to it."""
    if any(stride < 0 for stride in X.strides):
        X = X.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(X)


class Batches:
    """Mini-batches as slices of a permutation of the rows, drawn anew for each epoch."""

    # Per-row collation is what makes training of small networks slow; here a batch is one slice.
    rows: Rows
    batch_size: int
    shuffle: bool

    def __init__(self, rows: Rows, batch_size: int, *, shuffle: bool):
        self.rows, self.batch_size, self.shuffle = rows, batch_size, shuffle
        n_rows = len(rows)
        starts = list(range(0, n_rows, batch_size))
        # Norms over a batch need two rows.
        if len(starts) > 1 and n_rows - starts[-1] == 1:
            starts.pop()
        self._bounds = list(zip(starts, [*starts[1:], n_rows], strict=True))

    def __len__(self) -> int:
        return len(self._bounds)

    def __iter__(self) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor | None]]:
        order = self.rows.order(shuffle=self.shuffle)
        for start, stop in self._bounds:
            yield self.rows.take(order[start:stop])
