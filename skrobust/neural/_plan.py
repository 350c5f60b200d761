"""The plan of one training: epochs, batches, optimiser, learning rate, device and seed."""

import contextlib
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import torch

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"] | Callable[..., torch.optim.Optimizer]
OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
"""Optimisers by name; "sgd" has momentum."""

Schedule = Literal["constant", "cosine", "linear", "step", "one_cycle", "warm_restarts"]
SCHEDULES = get_args(Schedule)
"""Learning-rate schedules."""

DType = Literal["float32", "float64"]
DTYPES = {"float32": torch.float32, "float64": torch.float64}
"""Floating-point types of the weights, by name."""

Precision = Literal["bfloat16", "float16"]
PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""Floating-point types of a forward pass in mixed precision, by name."""

_FUSED = {torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD}
_WITH_MOMENTUM = {torch.optim.SGD, torch.optim.RMSprop}
# batch_size="auto": this number of rows, or all if there are fewer.
_AUTO_BATCH = 256
# Where "step" divides the rate by ten, as shares of the training.
_STEPS = (0.5, 0.75)
# Epochs between two warm restarts.
_PERIOD = 10
# "one_cycle" rises from this share of the rate, during this share of the training.
_LOWEST, _RISE = 0.04, 0.3
# Standard errors of the best accuracy that early_stopping="auto" tolerates.
_TOLERANCE = 1.0
# Parameters without weight decay, by name, and the factor of their learning rate: decay would not
# shrink, but move them, and odds have to change by much.
_NOT_DECAYED = {"log_beta": 1, "log_odds": 10}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How one training runs; methods with settings of their own derive from it."""

    n_rows: int
    n_epochs: int
    batch_size: int | str
    learning_rate: float
    schedule: str
    optimizer: Callable[..., torch.optim.Optimizer]
    optimizer_params: Mapping[str, Any]
    momentum: float
    weight_decay: float
    gradient_clip: float | None
    label_smoothing: float
    mixup: float
    consistency: float
    input_noise: float
    ema_decay: float | None
    precision: torch.dtype | None
    # The score that early stopping compares, if any, its patience, and its tolerance in standard
    # errors.
    monitor: str | None
    patience: int | None
    tolerance: float
    # The parameter `device`, to be resolved anew where the estimator is unpickled.
    requested_device: str
    device: torch.device
    dtype: torch.dtype
    seed: int
    # Whether these rows are only some of those to come, and may be fewer than a batch.
    partial: bool = False

    def __post_init__(self) -> None:
        """Resolve the batch size, and refuse one that the rows cannot fill."""
        if self.batch_size == "auto":
            object.__setattr__(self, "batch_size", min(_AUTO_BATCH, self.n_rows))
        elif self.batch_size > self.n_rows and not self.partial:
            raise ValueError(
                f"batch_size={self.batch_size} is larger than the {self.n_rows} rows to train on:"
                " use 'auto', or a smaller one."
            )
        object.__setattr__(self, "batch_size", min(self.batch_size, self.n_rows))

    @classmethod
    def of(
        cls,
        estimator: Any,
        *,
        n_rows: int,
        n_epochs: int,
        device: torch.device,
        seed: int,
        partial: bool,
        **own: Any,
    ) -> "TrainingPlan":
        """Plan a training of an estimator.

        Fields are its parameters of the same names, unless they are resolved here or in `own`.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        settings = {name: getattr(estimator, name) for name in names if hasattr(estimator, name)}
        settings |= {
            "n_rows": n_rows,
            "n_epochs": n_epochs,
            # The number of calls of partial_fit to come is not known.
            "schedule": "constant" if partial else estimator.learning_rate_schedule,
            "optimizer": optimizer_class(estimator.optimizer),
            "optimizer_params": estimator.optimizer_params or {},
            "precision": PRECISIONS.get(estimator.mixed_precision),
            "monitor": estimator.validation_score if estimator.early_stopping else None,
            "patience": estimator.n_iter_no_change,
            "tolerance": _TOLERANCE if estimator.early_stopping == "auto" else 0.0,
            "requested_device": str(estimator.device),
            "device": device,
            "dtype": DTYPES[estimator.dtype],
            "seed": seed,
            "partial": partial,
        }
        return cls(**{**settings, **own})

    @functools.cached_property
    def decays(self) -> bool:
        """Whether the optimiser decays weights itself."""
        return "weight_decay" in inspect.signature(self.optimizer).parameters

    @functools.cached_property
    def penalty(self) -> float:
        """Factor of the squared weights in the loss, for an optimiser without weight decay."""
        return 0.0 if self.decays else self.weight_decay

    def optimizer_options(self, names: Iterable[str]) -> dict[str, Any]:
        """Keywords of the optimiser of parameters, in its fastest form for the device."""
        options: dict[str, Any] = {"weight_decay": self.weight_decay} if self.decays else {}
        if self.optimizer in _WITH_MOMENTUM:
            options["momentum"] = self.momentum
        if self.optimizer is torch.optim.SGD:
            options["nesterov"] = self.momentum > 0
        if self.optimizer in _FUSED and self.device.type in ("cpu", "cuda"):
            options["fused"] = True
        options |= self.optimizer_params
        factors = {name: _NOT_DECAYED.get(name.rpartition(".")[2]) for name in names}
        groups = [
            (name, {"weight_decay": 0.0, "speed": factor, "lr": self.learning_rate * factor})
            for name, factor in factors.items()
            if factor is not None
        ]
        return {**options, "param_groups": groups} if groups else options

    def rate_factor(self, epoch: float) -> float:
        """Factor of the learning rate after a number of epochs, in [0, 1]."""
        done = min(epoch / self.n_epochs, 1.0)
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "linear":
            return 1.0 - done
        if self.schedule == "cosine":
            return _cosine(done)
        if self.schedule == "step":
            return 0.1 ** sum(done >= step for step in _STEPS)
        if self.schedule == "warm_restarts":
            return _cosine(epoch % _PERIOD / _PERIOD)
        if done < _RISE:
            return _LOWEST + (1 - _LOWEST) * (1 - _cosine(done / _RISE))
        return _cosine((done - _RISE) / (1 - _RISE))

    @contextlib.contextmanager
    def environment(self, row_shape: tuple[int, ...]) -> Iterator[None]:
        """Seed torch's generators, restore them afterwards, and explain a lack of memory."""
        device = self.device
        devices = [] if device.type == "cpu" else [device.index or 0]
        kind = "cuda" if device.type == "cpu" else device.type
        message = (
            f"The memory of the device {device} ran out with rows of shape {row_shape} in"
            f" batches of {self.batch_size}: lower batch_size, or the size of the network."
        )
        with torch.random.fork_rng(devices, device_type=kind), explain_out_of_memory(message):
            # torch.manual_seed would seed all devices, of which only these are restored.
            torch.default_generator.manual_seed(self.seed)
            if device.type == "cuda":
                torch.cuda.default_generators[device.index or 0].manual_seed(self.seed)
            elif device.type == "mps":
                torch.mps.manual_seed(self.seed)
            yield


def _cosine(done: float) -> float:
    """Half a cosine, from 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * done))


def optimizer_class(optimizer: str | Callable) -> Callable:
    """Find an optimiser: a name, or a class or function of torch's interface."""
    return OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer


def resolve_device(device: str | torch.device) -> torch.device:
    """Find the device of the parameter `device`; "auto" is CUDA, else MPS, else the CPU."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is no device of torch: use 'auto', 'cpu', 'cuda' or 'mps'."
        ) from error
    missing = (found.type == "cuda" and not torch.cuda.is_available()) or (
        found.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ValueError(f"device={device!r} is not there on this machine: use 'auto' or 'cpu'.")
    if found.type == "cuda":
        found = torch.device("cuda", 0 if found.index is None else found.index)
        if found.index >= torch.cuda.device_count():
            raise ValueError(
                f"device={device!r} is not there: this machine has {torch.cuda.device_count()}"
                " CUDA devices, counted from 0."
            )
    return found


@contextlib.contextmanager
def explain_out_of_memory(message: str) -> Iterator[None]:
    """Add advice to torch's error where the memory of the device runs out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise torch.OutOfMemoryError(f"{message} torch reports: {error}") from error
