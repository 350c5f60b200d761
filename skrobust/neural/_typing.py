"""Types of the parameters of neural estimators, of rows and of batches."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import Dataset

from skrobust.neural._skorch import Callback
from skrobust.utils._typing import MatrixLike

# Parameters.
ModuleLike = torch.nn.Module | Callable[..., torch.nn.Module]
Criterion = str | torch.nn.Module | Callable[..., torch.nn.Module]
ClassWeight = dict[Any, float] | Literal["balanced"] | None
RandomState = int | np.random.RandomState | None
Callbacks = Sequence[Callback | type[Callback] | tuple[str, Callback | type[Callback]]] | None

# X; and a tuple of X, y and perhaps weights to validate on.
RowsLike = MatrixLike | Dataset[Any]
ValidationData = (
    tuple[RowsLike, ArrayLike | None] | tuple[RowsLike, ArrayLike | None, ArrayLike | None]
)
File = str | Path | IO[Any]

# Input of a batch, by "X", "index" and perhaps "sample_weight"; with labels; results of a step.
Inputs = dict[str, torch.Tensor]
Batch = tuple[Inputs, torch.Tensor]
Step = dict[str, torch.Tensor]
