"""A net that the processes of ``accelerate launch`` train together, each on its own device."""

import torch
from skorch.hf import AccelerateMixin

from skrobust.neural._batches import Batches
from skrobust.neural._net import Net


def join_processes():
    """Find the other processes.

    Returns
    -------
    accelerator : accelerate.Accelerator
        What connects them; alone, if nobody launched several.

    Raises
    ------
    ImportError
        If accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError(
            "accelerate=True needs accelerate: pip install skrobust[accelerate]."
        ) from error
    return Accelerator()


def agree_on(value, accelerator):
    """Let all processes take the value of the first one."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value


class SharedBatches(Batches):
    """Batches of which each process gets its part.

    Parameters
    ----------
    rows : Rows
        Rows, the same in all processes.
    batch_size : int
        Rows per batch, of all processes together.
    shuffle : bool
        Whether to draw a new order each time: as torch's generator is in the same state in all
        processes now, but not after steps on parts of different sizes, from a copy of it.
    accelerator : accelerate.Accelerator
        Says which process this is.
    """

    def __init__(self, rows, batch_size: int, *, shuffle: bool, accelerator):
        super().__init__(rows, batch_size, shuffle=shuffle)
        self._rank, self._n_parts = accelerator.process_index, accelerator.num_processes
        # Alone, it is the order that any network would get.
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

    def __iter__(self):
        order = self.rows.order(shuffle=self.shuffle, source=self._source)
        for start, stop in self._bounds:
            part = order[start:stop][self._rank :: self._n_parts]
            batch, y = self.rows.take(part)
            # Gradients are averaged over the processes, whose parts may differ by a row.
            batch["share"] = len(part) * self._n_parts / (stop - start)
            yield batch, y


class AcceleratedNet(AccelerateMixin, Net):
    """A net whose module, optimiser and steps go through accelerate.

    `module_` is the module itself; what all processes keep in step is used for forward passes
    that are learned from. All of them hold the same weights after each step.
    """

    def _validate_params(self):
        # The mixin wants no device beside accelerate's; here it is that one.
        super(AccelerateMixin, self)._validate_params()

    def _initialize_accelerator(self):
        # A criterion has no weights here, and what has none cannot be kept in step.
        criteria, self._criteria = self._criteria, []
        try:
            super()._initialize_accelerator()
        finally:
            self._criteria = criteria
        wrapped = self.module_
        self.module_ = self.accelerator.unwrap_model(wrapped, keep_fp32_wrapper=False)
        self.configure(in_step=wrapped)
        return self

    def join(self, accelerator):
        """Go on with a training."""
        self.accelerator = accelerator
        self._initialize_accelerator()

    def leave(self):
        """Forget the other processes, so that the net can be pickled, and used alone."""
        self.optimizer_ = getattr(self.optimizer_, "optimizer", self.optimizer_)
        self.configure(in_step=None)
        self.accelerator, self._wrapped_with_accelerator = None, False

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.accelerator.is_main_process

    def on_train_end(self, net, X=None, y=None, **kwargs):
        """Do without what the mixin does: nothing is wrapped, and who fails must not wait."""

    def get_iterator(self, dataset, training=False):
        """Make the batches of an epoch, of which this process gets its part."""
        size = min(self.iterator_size(training), len(dataset))
        return SharedBatches(dataset, size, shuffle=training, accelerator=self.accelerator)

    def infer(self, x, **fit_params):
        """Compute logits of a batch."""
        module = self.option("in_step") if torch.is_grad_enabled() else self.module_
        with self.accelerator.autocast():
            return module(x["X"] if isinstance(x, dict) else x)

    def backward(self, loss, x) -> None:
        """Compute gradients, the same in all processes."""
        self.accelerator.backward(loss * x["share"])

    def _clip(self) -> None:
        largest = self.option("gradient_clip")
        if largest is not None:
            self.accelerator.clip_grad_norm_(self.module_.parameters(), largest)

    def sum_up(self, totals):
        """Add up what all processes counted."""
        return self.accelerator.reduce(totals, "sum")

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Go through all batches once, and let all processes have the same running means."""
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)
        if not training or self.accelerator.num_processes == 1:
            return
        average = self.option("average")
        for name, buffer in self.module_.named_buffers():
            torch.distributed.broadcast(buffer, 0)
            if average is not None and name in average.state_:
                torch.distributed.broadcast(average.state_[name], 0)
