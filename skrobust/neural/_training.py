"""The training loop: a skorch net with batches of slices and one loss per row."""

import contextlib
import dataclasses
import inspect
import io
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from skorch.utils import TeeGenerator

from skrobust.neural._callbacks import (
    Internal,
    WeightAverage,
    callback_of,
    decode_scorers,
    restore_scorers,
)
from skrobust.neural._plan import TrainingPlan, resolve_device
from skrobust.neural._regularization import (
    draw_mix,
    input_scale,
    smooth_labels,
    weighted_mean,
)
from skrobust.neural._rows import Batches, Rows, make_rows
from skrobust.neural._skorch import Callback, NeuralNet
from skrobust.neural._typing import Batch, Inputs, Step
from skrobust.neural.losses import RobustLoss

# Multiplications per batch below which two threads wait longer for each other than they compute.
_SMALL_BATCH = 5e8
# Entries of hidden layers that predictions may have in memory at a time, roughly.
_PREDICTED_ENTRIES = 2**22
_threads_lock = threading.Lock()


class BaseNet(NeuralNet):
    """A skorch net that minimises a mean over weighted rows, by a :class:`TrainingPlan`.

    A method of training overrides :meth:`compute_loss`. Callbacks are notified as by skorch;
    gradients are shown and losses of batches are recorded only where a callback may read them.
    """

    # What skorch keeps.
    module: torch.nn.Module
    module_: torch.nn.Module
    criterion_: torch.nn.Module
    optimizer_: torch.optim.Optimizer | None
    lr: float
    batch_size: int
    max_epochs: int
    device: str
    verbose: int
    callbacks: list[Any]
    callbacks_: list[tuple[str, Callback]]
    # State of a training, beside that.
    plan_: TrainingPlan
    average_: WeightAverage | None
    widest_: int
    frozen_: bool
    n_trainings_: int
    scaler_: torch.amp.GradScaler | None
    needs_closure_: bool
    input_scale_: torch.Tensor | None
    records_batches_: bool
    shows_gradients_: bool
    decodes_scores_: bool
    first_epoch_: int
    kept_epoch_: int
    diverged_: int | None
    stop_: bool

    # Whether the accuracy on validation rows is recorded.
    _has_accuracy = False
    # Whether it is this net that reports the progress of the training.
    leads = True

    def __init__(
        self, module: torch.nn.Module, criterion: torch.nn.Module, plan: TrainingPlan, **kwargs: Any
    ):
        names = [n for part in (module, criterion) for n, _ in part.named_parameters()]
        options = plan.optimizer_options(names)
        settings = {
            "optimizer": plan.optimizer,
            "lr": plan.learning_rate,
            "batch_size": plan.batch_size,
            "max_epochs": plan.n_epochs,
            "train_split": None,
            "verbose": 0,
            "callbacks": [],
            **{f"optimizer__{name}": value for name, value in options.items()},
        }
        super().__init__(module, criterion, **{**kwargs, **settings, "device": str(plan.device)})
        self.plan_ = plan
        self.average_ = None if plan.ema_decay is None else WeightAverage(plan.ema_decay)
        # Numbers per row where the network is widest, and whether it cannot be trained any more.
        self.widest_, self.frozen_ = 256, False
        self.n_trainings_, self.decodes_scores_ = 0, False

    def follow(self, plan: TrainingPlan) -> None:
        """Continue by another plan; weights and the state of the optimiser stay."""
        self.plan_ = plan
        self.lr, self.batch_size, self.max_epochs = (
            plan.learning_rate,
            plan.batch_size,
            plan.n_epochs,
        )
        changed = dict(plan.optimizer_params)
        if plan.decays:
            changed["weight_decay"] = plan.weight_decay
        for group in self.optimizer_.param_groups:
            group["lr"] = self.lr * group.get("speed", 1)
            if "speed" not in group:
                group.update(changed)

    # A training ------------------------------------------------------------------------------

    @property
    def _default_callbacks(self) -> list[Callback]:
        return []

    def prepare(
        self, train: Rows, callbacks: list[Callback], user_callbacks: Sequence[Any]
    ) -> None:
        """Initialise what depends on the rows and on the callbacks of this training."""
        plan = self.plan_
        kind = plan.device.type
        scales = plan.precision is torch.float16 and kind == "cuda"
        self.scaler_ = torch.amp.GradScaler(kind) if scales else None
        self.needs_closure_ = _needs_closure(self.optimizer_)
        self.input_scale_ = input_scale(train) if plan.consistency else None
        self.callbacks = [*callbacks, *user_callbacks]
        self.initialize_callbacks()
        initialised = [callback for _, callback in self.callbacks_]
        self.records_batches_ = any(getattr(c, "reads_batches", True) for c in initialised)
        self.shows_gradients_ = any(
            getattr(type(c), "on_grad_computed", None) is not Callback.on_grad_computed
            for c in initialised
        )
        self.decodes_scores_ = bool(user_callbacks)
        if self.decodes_scores_:
            decode_scorers(initialised)

    def run(self, train: Rows, valid: Rows | None) -> None:
        """Train by the plan; only callbacks that were notified of the begin are of the end."""
        started, self.callbacks_ = self.callbacks_, []
        self.on_train_begin(self, X=train, y=None)
        for name, callback in started:
            self.callbacks_.append((name, callback))
            callback.on_train_begin(self, X=train, y=None)
        plan = self.plan_
        with _limit_threads(self.module_, plan.device, train.X.shape[1:], plan.batch_size):
            self.fit_loop((train, valid))

    def end(self, train: Rows) -> None:
        """Notify the callbacks that the training has ended, and release them."""
        if not self.history:
            self.callbacks_ = [c for c in self.callbacks_ if isinstance(c[1], Internal)]
        self.notify("on_train_end", X=train, y=None)
        if self.decodes_scores_:
            restore_scorers(map(callback_of, self.callbacks))
        self.callbacks, self.callbacks_ = [], []
        self.n_trainings_ += 1

    @property
    def has_learned(self) -> bool:
        """Whether an epoch has been completed."""
        return any("dur" in epoch for epoch in self.history)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Notify the callbacks; skorch's early stopping ends the training after this epoch."""
        getattr(self, method_name)(self, **kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except KeyboardInterrupt:
                # skorch's way to end a training; any other interrupt is the user's.
                stopping = callback if isinstance(callback, EarlyStopping) else None
                if stopping is None or stopping.misses_ < stopping.patience:
                    raise
                self.stop_ = True

    def fit_loop(
        self,
        X: tuple[Rows, Rows | None],
        y: None = None,
        epochs: int | None = None,
        **fit_params: Any,
    ) -> Self:
        """Train for some epochs, or until a callback sets `stop_`.

        Where the loss becomes infinite or NaN, in the epoch `diverged_`, the weights of the last
        epoch that gives a finite one are restored: of `kept_epoch_`. When callbacks are notified
        of the end of an epoch, the network has the weights that would predict now: the average, if
        there is one.
        """
        train, valid = X
        batches = self.get_iterator(train, training=True)
        valid_batches = None if valid is None else self.get_iterator(valid)
        self.stop_, self.diverged_ = False, None
        self.first_epoch_ = len(self.history)
        earlier_weights: list = []  # before this epoch, and before the last one
        for _ in range(self.max_epochs if epochs is None else epochs):
            earlier_weights = [self._copy_weights(), *earlier_weights[:1]]
            started = time.perf_counter()
            self.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
            self.run_single_epoch(batches, True, "train", self.train_step, **fit_params)
            self.after_steps()
            if not math.isfinite(self.history[-1, "train_loss"]):
                self._go_back(earlier_weights, batches)
                break
            with self._averaged():
                if valid is not None:
                    self.before_validation(valid_batches)
                    step = self.validation_step
                    self.run_single_epoch(valid_batches, False, "valid", step, **fit_params)
                group = self.optimizer_.param_groups[0]
                self.history.record("lr", group["lr"] / group.get("speed", 1))
                self.history.record("dur", time.perf_counter() - started)
                self.notify("on_epoch_end", dataset_train=train, dataset_valid=valid)
            if self.stop_:
                break
        if self.diverged_ is None and not self._loss_is_finite(batches):
            self._go_back(earlier_weights, batches)  # the last step was too much
        return self

    def after_steps(self) -> None:
        """Conclude the steps of an epoch."""

    def before_validation(self, batches: Batches) -> None:
        """Prepare the network, with the weights that would predict now, for validation."""

    def run_single_epoch(
        self,
        iterator: Batches,
        training: bool,
        prefix: str,
        step_fn: Callable[..., Step],
        **fit_params: Any,
    ) -> None:
        """Take a step for each batch; sums stay on the device until the end."""
        self._set_training(training)
        epoch, n_batches = len(self.history) - 1, len(iterator)
        if training and hasattr(self.criterion_, "on_epoch"):
            self.criterion_.on_epoch(epoch)
        sums = torch.zeros(2, device=iterator.rows.device)
        total, correct = sums  # views
        for i, batch in enumerate(iterator):
            if training and self.plan_.schedule != "constant":
                self._set_rate(epoch - self.first_epoch_ + i / n_batches)
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            n_rows = len(batch[0]["index"])
            total += step["loss"] * n_rows
            if not training and self._has_accuracy:
                correct += _correct_weight(step["y_pred"], batch)
            if self.records_batches_:
                self.history.record_batch(f"{prefix}_loss", step["loss"].item())
                self.history.record_batch(f"{prefix}_batch_size", n_rows)
            self.notify("on_batch_end", batch=batch, training=training, **step)
        n_rows = len(iterator.rows)
        loss, accuracy = (value / n_rows for value in self.sum_up(sums).tolist())
        key = f"{prefix}_loss"
        before = [row[key] for row in list(self.history)[:-1] if key in row]
        self.history.record(key, loss)
        self.history.record(f"{key}_best", not before or loss < min(before))
        if not training and self._has_accuracy:
            self.history.record(f"{prefix}_accuracy", accuracy)
        self.history.record(f"{prefix}_batch_count", n_batches)

    def gradual(self, n_epochs: int) -> float:
        """Weight of a term that rises linearly over the first `n_epochs` epochs, in [0, 1]."""
        epoch = max(len(self.history) - 1, 0)
        return min(epoch / n_epochs, 1.0) if n_epochs else 1.0

    def _set_rate(self, epoch: float) -> None:
        """Set the learning rate of the schedule."""
        rate = self.lr * self.plan_.rate_factor(epoch)
        for group in self.optimizer_.param_groups:
            group["lr"] = rate * group.get("speed", 1)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Put the average of the weights, if there is one, into the network temporarily."""
        if self.average_ is None:
            yield
            return
        self.average_.swap(self.module_)
        try:
            yield
        finally:
            self.average_.swap(self.module_)

    def _copy_weights(self) -> list[dict]:
        """Copy the weights, and their average."""
        states = [self.module_.state_dict()]
        if self.average_ is not None:
            states.append(states[0] if self.average_.state_ is None else self.average_.state_)
        return [{k: v.clone() for k, v in state.items()} for state in states]

    @torch.no_grad()
    def _loss_is_finite(self, batches: Batches) -> bool:
        """Whether the weights, as they are, give the first rows a finite loss."""
        x, y = batches.rows.take_first(batches.batch_size)
        self._set_training(False)
        return bool(self.get_loss(self.infer(x), y, X=x).isfinite())

    def _go_back(self, earlier_weights: list, batches: Batches) -> None:
        """Restore earlier weights, and clear the state of the optimiser."""
        self.diverged_ = len(self.history)
        self.optimizer_.state.clear()
        for age, good in enumerate(earlier_weights, 1):
            self.kept_epoch_ = self.diverged_ - age
            self.module_.load_state_dict(good[0])
            if len(good) > 1:
                self.average_.state_ = good[1]
            if self._loss_is_finite(batches):
                return

    # Batches and steps -----------------------------------------------------------------------

    def get_iterator(self, dataset: Rows, training: bool = False) -> Batches:
        """Make the batches of an epoch."""
        return Batches(dataset, self.iterator_size(dataset, training), shuffle=training)

    def iterator_size(self, rows: Rows, training: bool) -> int:
        """Maximum number of rows in a batch; batches for validation may be larger."""
        return min(self.batch_size if training else max(self.batch_size, 1024), len(rows))

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Compute logits of a batch."""
        return self.module_(x["X"] if isinstance(x, dict) else x)

    def get_loss(
        self, y_pred: torch.Tensor, y_true: torch.Tensor, X: Any = None, training: bool = False
    ) -> torch.Tensor:
        """Compute the weighted mean loss of a batch."""
        return self.row_losses(y_pred, y_true, X.get("sample_weight")).mean()

    def row_losses(
        self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute losses row by row, times the weights, which cannot reach a reduced criterion."""
        if isinstance(self.criterion_, RobustLoss):
            return self.criterion_.unchecked_rows(logits, target, weight)
        losses = self.criterion_(logits, target)
        return losses if weight is None or losses.ndim == 0 else losses * weight

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the number to minimise on a batch, and the logits of its rows."""
        x, y = batch
        plan, target = self.plan_, y
        if plan.label_smoothing:
            target = smooth_labels(y, self.n_classes, plan.label_smoothing, x["X"].dtype)
        if plan.mixup:
            inputs = x["X"]
            share, other = draw_mix(len(inputs), plan.mixup, inputs.device)
            logits = self.infer(torch.lerp(inputs[other], inputs, share))
            loss = self.mixed_loss(logits, target, x, share, other)
        else:
            logits = self.infer(x)
            loss = self.get_loss(logits, target, X=x, training=True)
        if plan.consistency:
            loss = loss + plan.consistency * self.inconsistency(x, None if plan.mixup else logits)
        return loss, logits

    def mixed_loss(
        self,
        logits: torch.Tensor,
        target: torch.Tensor,
        x: Inputs,
        share: float,
        other: torch.Tensor,
    ) -> torch.Tensor:
        """Mix the losses of rows in pairs, as the rows were; see :func:`draw_mix`."""
        weight = x.get("sample_weight")
        own = self.row_losses(logits, target, weight)
        rest = self.row_losses(logits, target[other], None if weight is None else weight[other])
        return (share * own + (1 - share) * rest).mean()

    def inconsistency(self, x: Inputs, logits: torch.Tensor | None) -> torch.Tensor:
        """Divergence of the predictions of rows and of rows with noise, mean over rows."""
        inputs = x["X"]
        if logits is None:
            logits = self.infer(inputs)
        noise = torch.randn_like(inputs) * (self.plan_.input_noise * self.input_scale_)
        moved = self.infer(inputs + noise).log_softmax(dim=1)
        clean = logits.detach().log_softmax(dim=1)
        return weighted_mean((clean.exp() * (clean - moved)).sum(dim=1), x)

    def train_step(self, batch: Batch, **fit_params: Any) -> Step:
        """Take one step."""
        if self.needs_closure_:
            return self._step_by_closure(batch)
        loss, logits = self._loss_of(batch)
        self.descend(loss, batch)
        return {"loss": loss.detach(), "y_pred": logits.detach()}

    def _loss_of(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss of a batch in the precision of the plan, with gradients reset."""
        self.optimizer_.zero_grad(set_to_none=True)
        if self.plan_.precision is None:
            return self.compute_loss(batch)
        with torch.autocast(self.plan_.device.type, dtype=self.plan_.precision):
            return self.compute_loss(batch)

    def _step_by_closure(self, batch: Batch) -> Step:
        """Take one step of an optimiser that computes the loss several times, as L-BFGS does."""
        steps = []

        def evaluate() -> torch.Tensor:
            loss, logits = self._loss_of(batch)
            steps.append({"loss": loss.detach(), "y_pred": logits.detach()})
            return self._differentiate(loss, batch)

        self.optimizer_.step(evaluate)
        return steps[0]

    def descend(self, loss: torch.Tensor, batch: Batch) -> None:
        """Take one step down the gradient of a loss."""
        self._differentiate(loss, batch)
        if self.scaler_ is None:
            self.optimizer_.step()
        else:
            self.scaler_.step(self.optimizer_)
            self.scaler_.update()

    def _differentiate(self, loss: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Compute gradients, show them to callbacks and clip them; return the penalised loss."""
        penalty = self.plan_.penalty
        if penalty:
            loss = loss + penalty / 2 * sum(p.square().sum() for p in self.module_.parameters())
        scaler = self.scaler_
        self.backward(loss if scaler is None else scaler.scale(loss), batch[0])
        if scaler is not None:
            scaler.unscale_(self.optimizer_)
        if self.shows_gradients_:
            named = TeeGenerator(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        if self.plan_.gradient_clip is not None:
            self.clip(self.plan_.gradient_clip)
        return loss

    def backward(self, loss: torch.Tensor, x: Inputs) -> None:
        """Compute gradients of the loss of a batch."""
        loss.backward()

    def clip(self, largest: float) -> None:
        """Limit the norm of the gradient."""
        torch.nn.utils.clip_grad_norm_(self.module_.parameters(), largest)

    def sum_up(self, totals: torch.Tensor) -> torch.Tensor:
        """Add totals of other processes: of a single one, none."""
        return totals

    def validation_step(self, batch: Batch, **fit_params: Any) -> Step:
        """Compute loss and logits of one batch that is not trained on."""
        x, y = batch
        with torch.no_grad():
            logits = self.infer(x)
            loss = self.get_loss(logits, y, X=x)
        return {"loss": loss, "y_pred": logits}

    # Predictions and storage -----------------------------------------------------------------

    @property
    def floating_point(self) -> torch.dtype:
        """Floating-point type of the network."""
        kinds = (p.dtype for p in self.module_.parameters() if p.is_floating_point())
        return next(kinds, self.plan_.dtype)

    def predict_outputs(self, rows: Rows, forward: Callable | None = None) -> torch.Tensor:
        """Compute outputs of rows, or another function of their input, in float64 on the CPU."""
        self._set_training(False)
        forward = self.module_ if forward is None else forward
        length = max(64, _PREDICTED_ENTRIES // self.widest_)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), length):
                part = forward(rows.input_at(slice(start, start + length)))
                parts.append(part.to("cpu", torch.float64))
        return torch.cat(parts)

    def get_dataset(self, X: Any, y: None = None) -> Rows:
        """Make rows of what a callback predicts for: rows, a batch, an array or a tensor."""
        if isinstance(X, Rows):
            return X
        X = X["X"] if isinstance(X, dict) else X
        device = torch.device(self.device)
        if isinstance(X, torch.Tensor):
            return Rows(X.to(device), None, None, None, self.floating_point, device)
        X = X if hasattr(X, "dtype") else np.asarray(X)
        return make_rows(X, None, None, dtype=self.floating_point, device=device)

    def outputs(self, X: Any) -> torch.Tensor:
        """Compute the outputs of the network for a callback, which may have cached them."""
        return torch.cat([part.to("cpu", torch.float64) for part in self.forward_iter(X)])

    def load_params(self, *args: Any, **kwargs: Any) -> None:
        """Load weights and more, as skorch does; an average of former weights is dropped."""
        super().load_params(*args, **kwargs)
        if self.average_ is not None:
            self.average_.forget()

    def replace_network(self, network: torch.nn.Module) -> None:
        """Predict by another network from now on, on the CPU; it cannot be trained."""
        # Nothing else of the former network is needed.
        self.module_ = self.module = network
        self.optimizer_ = self.average_ = None
        self.device, self.frozen_ = "cpu", True
        self.plan_ = dataclasses.replace(
            self.plan_, device=torch.device("cpu"), requested_device="cpu"
        )

    def __getstate__(self) -> dict[str, Any]:
        # torch's own format, so that what was on a GPU can be read where there is none.
        saved = io.BytesIO()
        with _ignore_storage_warnings():
            torch.save(dict(self.__dict__), saved)
        return {"saved": saved.getvalue(), "requested": self.plan_.requested_device}

    def __setstate__(self, state: dict[str, Any]) -> None:
        try:
            device = resolve_device(state["requested"])
        except ValueError:  # it was made on a machine that had another one
            device = resolve_device("auto")
        saved = io.BytesIO(state["saved"])
        with _ignore_storage_warnings():
            self.__dict__.update(torch.load(saved, map_location=device, weights_only=False))
        self.device = str(device)


def _needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step of an optimiser computes the loss by itself, as that of L-BFGS does."""
    optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate's is around it
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


@contextlib.contextmanager
def _limit_threads(
    module: torch.nn.Module, device: torch.device, row_shape: tuple[int, ...], batch_size: int
) -> Iterator[None]:
    """Limit torch to one thread on the CPU where the products of a batch are small."""
    n_parameters = sum(parameter.numel() for parameter in module.parameters())
    small = len(row_shape) == 1 and n_parameters * batch_size < _SMALL_BATCH
    if device.type != "cpu" or not small:
        yield
        return
    # Each thread has its own number, and torch keeps another one that threads start with. Setting
    # the first sets both, so that a thread of its own restores the second at once: a thread that
    # starts meanwhile must not inherit the limit.
    with _threads_lock:
        before = torch.get_num_threads()
        if before > 1:
            torch.set_num_threads(1)
            other = threading.Thread(target=torch.set_num_threads, args=(before,))
            other.start()
            other.join()
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


@contextlib.contextmanager
def _ignore_storage_warnings() -> Iterator[None]:
    """Silence a warning of torch about its own way to save quantised layers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated", UserWarning)
        yield


def _correct_weight(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Weight of the rows of a batch whose label is the most probable one."""
    x, y = batch
    correct = logits.argmax(dim=1) == (y if y.ndim == 1 else y.argmax(dim=1))
    weight = x.get("sample_weight")
    return correct.sum() if weight is None else weight[correct].sum()
