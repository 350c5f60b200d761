"""A net that the processes of ``accelerate launch`` train together, each on its own device."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import torch
from skorch.hf import AccelerateMixin

from skrobust.neural._classifier_nets import Net
from skrobust.neural._plan import resolve_device
from skrobust.neural._rows import Batches, Rows
from skrobust.neural._typing import Batch

if TYPE_CHECKING:
    from accelerate import Accelerator


def join_processes() -> "Accelerator":
    """Find the other processes, if several were launched, by an accelerator."""
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError(
            "accelerate=True needs accelerate: pip install skrobust[accelerate]."
        ) from error
    return Accelerator()


def device_of(accelerator: "Accelerator") -> torch.device:
    """Find the device of this process; CPUs, which accelerate numbers, are one device."""
    device = accelerator.device
    return resolve_device("cpu" if device.type == "cpu" else device)


def agree_on(value: Any, accelerator: "Accelerator") -> Any:
    """Broadcast the value of the first process."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value


class SharedBatches(Batches):
    """Batches of which each process gets its part.

    A new order is drawn from a copy of torch's generator: it is in the same state in all processes
    at the start, but not after steps on parts of different sizes.
    """

    def __init__(self, rows: Rows, batch_size: int, *, shuffle: bool, accelerator: "Accelerator"):
        super().__init__(rows, batch_size, shuffle=shuffle)
        self._rank, self._n_parts = accelerator.process_index, accelerator.num_processes
        # A single process draws the order that any network would get.
        self._source = None
        if self._n_parts > 1:
            self._source = torch.Generator()
            self._source.set_state(torch.get_rng_state())
        # No process may be left without a row, and norms over a batch need two.
        least = 2 * self._n_parts
        if shuffle and self._n_parts > 1 and batch_size < least:
            raise ValueError(
                f"batch_size={batch_size} leaves less than two rows for each of"
                f" {self._n_parts} processes: at least {least} are needed."
            )
        if len(self._bounds) > 1 and self._bounds[-1][1] - self._bounds[-1][0] < least:
            _, stop = self._bounds.pop()
            self._bounds[-1] = (self._bounds[-1][0], stop)
        start, stop = self._bounds[-1]
        if stop - start < self._n_parts:
            raise ValueError(
                f"{stop - start} rows, held out or to train on, cannot be shared among"
                f" {self._n_parts} processes: use fewer of these."
            )

    def __iter__(self) -> Iterator[Batch]:
        order = self.rows.order(shuffle=self.shuffle, source=self._source)
        for start, stop in self._bounds:
            part = order[start:stop][self._rank :: self._n_parts]
            batch, y = self.rows.take(part)
            # Gradients are averaged over the processes, whose parts may differ by a row.
            batch["share"] = len(part) * self._n_parts / (stop - start)
            yield batch, y


class AcceleratedNet(AccelerateMixin, Net):
    """A net whose module, optimiser and steps go through accelerate.

    `module_` is the module itself; `in_step_`, which all processes keep in step, computes forward
    passes with gradients. All of them hold the same weights after each step.
    """

    in_step_ = None

    def __init__(
        self, module: torch.nn.Module, criterion: torch.nn.Module, *args: Any, **kwargs: Any
    ):
        if any(p.requires_grad for p in criterion.parameters()):
            raise ValueError(
                f"criterion is a {type(criterion).__name__}, which learns: processes would not"
                " learn the same. Set accelerate=False."
            )
        # skorch would store a method of the accelerator, which cannot be pickled.
        super().__init__(module, criterion, *args, callbacks__print_log__sink=print, **kwargs)

    def _validate_params(self) -> None:
        # The mixin wants no device beside accelerate's; here it is that one.
        super(AccelerateMixin, self)._validate_params()

    def _initialize_accelerator(self) -> Self:
        # A criterion has no weights here, and what has none cannot be kept in step.
        criteria, self._criteria = self._criteria, []
        try:
            super()._initialize_accelerator()
        finally:
            self._criteria = criteria
        wrapped = self.module_
        self.module_ = self.accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
        # A plain tuple, as skorch would take a module for another part of the net.
        self.in_step_ = (wrapped,)
        return self

    def join(self, accelerator: "Accelerator") -> None:
        """Continue a training."""
        self.accelerator = accelerator
        self._initialize_accelerator()

    def leave(self) -> None:
        """Release the other processes, so that the net can be pickled, and used alone."""
        self.optimizer_ = getattr(self.optimizer_, "optimizer", self.optimizer_)
        self.in_step_ = None
        self.accelerator, self._wrapped_with_accelerator = None, False

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.accelerator.is_main_process

    def on_train_end(self, net: Net, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Skip the synchronisation of the mixin, which would block where a process has failed."""

    def get_iterator(self, dataset: Rows, training: bool = False) -> SharedBatches:
        """Make the batches of an epoch, of which this process gets its part."""
        size = self.iterator_size(dataset, training)
        return SharedBatches(dataset, size, shuffle=training, accelerator=self.accelerator)

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Compute logits of a batch."""
        module = self.in_step_[0] if torch.is_grad_enabled() else self.module_
        with self.accelerator.autocast():
            return module(x["X"] if isinstance(x, dict) else x)

    def backward(self, loss: torch.Tensor, x: dict) -> None:
        """Compute gradients, the same in all processes."""
        self.accelerator.backward(loss * x["share"])

    def clip(self, largest: float) -> None:
        """Limit the norm of the gradient."""
        self.accelerator.clip_grad_norm_(self.module_.parameters(), largest)

    def sum_up(self, totals: torch.Tensor) -> torch.Tensor:
        """Add the totals of all processes."""
        return self.accelerator.reduce(totals, "sum")

    def after_steps(self) -> None:
        """Broadcast running means to all processes."""
        if self.accelerator.num_processes == 1:
            return
        for name, buffer in self.module_.named_buffers():
            torch.distributed.broadcast(buffer, 0)
            if self.average_ is not None and name in self.average_.state_:
                torch.distributed.broadcast(self.average_.state_[name], 0)
