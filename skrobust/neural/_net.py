"""The skorch net inside every neural estimator: batches of slices, one loss per row."""

import contextlib
import io
import math
import time
import warnings

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.utils import TeeGenerator

from skrobust.neural._batches import Batches
from skrobust.neural._callbacks import Internal
from skrobust.neural._device import resolve_device
from skrobust.neural._optimizers import schedule_factor
from skrobust.neural._scoring import ScoredAsClassifier
from skrobust.neural.losses import RobustLoss

# Entries of hidden layers that predictions may have in memory at a time, roughly.
_PREDICTED_ENTRIES = 2**22


class BaseNet(NeuralNet):
    """A skorch net whose loss is a mean over weighted rows, and whose epochs are cheap.

    What a method of training needs is written in :meth:`compute_loss`. Options that skorch does
    not know are set by :meth:`configure`. Callbacks are notified as by skorch; gradients are shown
    and losses of batches are recorded only where a callback may read them.
    """

    _options: dict = {}
    # Whether the share of rows whose label is predicted is recorded for validation rows.
    _has_accuracy = False

    def configure(self, **options) -> "Net":
        """Set options, which stay until they are set anew."""
        self.__dict__["_options"] = {**self._options, **options}
        return self

    def option(self, name, default=None):
        """Look up an option."""
        return self._options.get(name, default)

    def gradual(self) -> float:
        """How far what rises over the first `n_gradual` epochs has come, in [0, 1]."""
        n_epochs = self.option("n_gradual", 0)
        epoch = max(len(self.history) - 1, 0)
        return min(epoch / n_epochs, 1.0) if n_epochs else 1.0

    @property
    def _default_callbacks(self):
        return []

    def watch(self) -> None:
        """Initialise the callbacks, and find out what they look at."""
        self.initialize_callbacks()
        callbacks = [callback for _, callback in self.callbacks_]
        self.configure(
            observed=any(getattr(callback, "reads_batches", True) for callback in callbacks),
            shows_gradients=any(
                getattr(type(callback), "on_grad_computed", None) is not Callback.on_grad_computed
                for callback in callbacks
            ),
        )

    def begin(self, rows) -> None:
        """Notify the callbacks that a training begins; only those are told of its end."""
        started, self.callbacks_ = self.callbacks_, []
        self.on_train_begin(self, X=rows, y=None)
        for name, callback in started:
            self.callbacks_.append((name, callback))
            callback.on_train_begin(self, X=rows, y=None)

    def end(self, rows) -> None:
        """Notify the callbacks that a training has ended, whole or not."""
        if not self.history:
            self.callbacks_ = [c for c in self.callbacks_ if isinstance(c[1], Internal)]
        self.notify("on_train_end", X=rows, y=None)

    def notify(self, method_name, **kwargs):
        """Notify the callbacks; skorch's early stopping ends the training after this epoch."""
        getattr(self, method_name)(self, **kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except KeyboardInterrupt:
                # skorch's way to end a training; any other interrupt is the user's.
                if not (isinstance(callback, EarlyStopping) and _ran_out(callback)):
                    raise
                self.stop_ = True

    def get_iterator(self, dataset, training=False):
        """Make the batches of an epoch."""
        size = min(self.iterator_size(training), len(dataset))
        return Batches(dataset, size, shuffle=training)

    def iterator_size(self, training: bool) -> int:
        """How many rows a batch has at most; those that are only looked at may be more."""
        return self.batch_size if training else max(self.batch_size, 1024)

    def infer(self, x, **fit_params):
        """Compute logits of a batch."""
        return self.module_(x["X"] if isinstance(x, dict) else x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Compute the mean loss of a batch, rows weighed."""
        return self.row_losses(y_pred, y_true, X.get("sample_weight")).mean()

    def row_losses(self, logits, target, weight=None):
        """Compute losses row by row, times the weights.

        A criterion of somebody else's that gives one number for a batch is taken as it is, and
        weights cannot reach it.
        """
        if isinstance(self.criterion_, RobustLoss):
            return self.criterion_.unchecked_rows(logits, target, weight)
        losses = self.criterion_(logits, target)
        return losses if weight is None or losses.ndim == 0 else losses * weight

    def compute_loss(self, batch):
        """Compute what is to be minimised on a batch.

        Returns
        -------
        loss : Tensor
            One number.
        logits : Tensor of shape (n_rows, n_classes)
            What the network says of the rows.
        """
        x, y = batch
        smoothing, alpha = self.option("label_smoothing", 0.0), self.option("mixup", 0.0)
        target = y
        if smoothing:
            target = smooth_labels(y, self.option("n_classes"), smoothing, x["X"].dtype)
        if alpha:
            inputs = x["X"]
            share, other = draw_mix(len(inputs), alpha, inputs.device)
            logits = self.infer(torch.lerp(inputs[other], inputs, share))
            loss = self.mixed_loss(logits, target, x, share, other)
        else:
            logits = self.infer(x)
            loss = self.get_loss(logits, target, X=x, training=True)
        weight = self.option("consistency", 0.0)
        if weight:
            loss = loss + weight * self._inconsistency(x, None if alpha else logits)
        return loss, logits

    def mixed_loss(self, logits, target, x, share: float, other):
        """Mix the losses of rows in pairs, as the rows were; see :func:`draw_mix`."""
        weight = x.get("sample_weight")
        own = self.row_losses(logits, target, weight)
        rest = self.row_losses(logits, target[other], None if weight is None else weight[other])
        return (share * own + (1 - share) * rest).mean()

    def _inconsistency(self, x, logits):
        """How much noise on the input changes what the network says: a divergence, per row."""
        inputs, scale = x["X"], self.option("input_scale")
        if logits is None:
            logits = self.infer(inputs)
        noise = torch.randn_like(inputs) * (self.option("input_noise") * scale)
        moved = self.infer(inputs + noise).log_softmax(dim=1)
        said = logits.detach().log_softmax(dim=1)
        return weighed_mean((said.exp() * (said - moved)).sum(dim=1), x)

    def train_step(self, batch, **fit_params):
        """Take one step."""
        if self.option("needs_closure"):
            return self._step_by_closure(batch)
        loss, logits = self._loss_of(batch)
        self.descend(loss, batch)
        return {"loss": loss.detach(), "y_pred": logits.detach()}

    def _loss_of(self, batch):
        """Compute the loss of a batch in the precision asked for, with no gradient left over."""
        self.optimizer_.zero_grad(set_to_none=True)
        kind = self.option("mixed_precision")
        if kind is None:
            return self.compute_loss(batch)
        with torch.autocast(self.option("device_type"), dtype=kind):
            return self.compute_loss(batch)

    def _step_by_closure(self, batch) -> dict:
        """Take one step of an optimiser that computes the loss several times, as L-BFGS does."""
        steps = []

        def evaluate():
            loss, logits = self._loss_of(batch)
            steps.append({"loss": loss.detach(), "y_pred": logits.detach()})
            return self._differentiate(loss, batch)

        self.optimizer_.step(evaluate)
        return steps[0]

    def descend(self, loss, batch) -> None:
        """Take one step down the gradient of a loss."""
        self._differentiate(loss, batch)
        scaler = self.option("scaler")
        if scaler is None:
            self.optimizer_.step()
        else:
            scaler.step(self.optimizer_)
            scaler.update()

    def _differentiate(self, loss, batch) -> torch.Tensor:
        """Compute gradients, show them to callbacks and clip them; return what they are of."""
        penalty = self.option("penalty", 0.0)
        if penalty:
            loss = loss + penalty / 2 * sum(p.square().sum() for p in self.module_.parameters())
        scaler = self.option("scaler")
        self.backward(loss if scaler is None else scaler.scale(loss), batch[0])
        if scaler is not None:
            scaler.unscale_(self.optimizer_)
        if self.option("shows_gradients"):
            named = TeeGenerator(self.get_all_learnable_params())
            self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)
        self._clip()
        return loss

    @property
    def leads(self) -> bool:
        """Whether it is this net that says how the training goes."""
        return True

    def backward(self, loss, x) -> None:
        """Compute gradients of the loss of a batch."""
        loss.backward()

    def sum_up(self, totals):
        """Add up what was counted elsewhere as well: here, nothing was."""
        return totals

    def _clip(self) -> None:
        largest = self.option("gradient_clip")
        if largest is not None:
            torch.nn.utils.clip_grad_norm_(self.module_.parameters(), largest)

    def validation_step(self, batch, **fit_params):
        """Look at one batch that is not trained on."""
        x, y = batch
        with torch.no_grad():
            logits = self.infer(x)
            loss = self.get_loss(logits, y, X=x)
        return {"loss": loss, "y_pred": logits}

    def fit_loop(self, X, y=None, epochs=None, **fit_params):
        """Train for some epochs, or until a callback sets `stop_`.

        Where the loss becomes infinite or NaN, in the epoch `diverged_`, the weights of the last
        epoch that gives a finite one come back: of `kept_epoch_`. When callbacks are told of the
        end of an epoch, the network has the weights that would predict now: the average, if there
        is one.
        """
        train, valid = X
        batches = [self.get_iterator(train, training=True)]
        batches.append(None if valid is None else self.get_iterator(valid))
        self.stop_, self.diverged_ = False, None
        self.configure(first_epoch=len(self.history))
        copies: list = []  # before this epoch, and before the last one
        for _ in range(self.max_epochs if epochs is None else epochs):
            copies = [self._copy_weights(), *copies[:1]]
            started = time.perf_counter()
            self.notify("on_epoch_begin", dataset_train=train, dataset_valid=valid)
            self.run_single_epoch(batches[0], True, "train", self.train_step, **fit_params)
            if not math.isfinite(self.history[-1, "train_loss"]):
                self._go_back(copies, batches[0])
                break
            with self._averaged():
                step = self.validation_step
                self.run_single_epoch(batches[1], False, "valid", step, **fit_params)
                group = self.optimizer_.param_groups[0]
                self.history.record("lr", group["lr"] / group.get("speed", 1))
                self.history.record("dur", time.perf_counter() - started)
                self.notify("on_epoch_end", dataset_train=train, dataset_valid=valid)
            if self.stop_:
                break
        if self.diverged_ is None and not self._loss_is_finite(batches[0]):
            self._go_back(copies, batches[0])  # the last step was too much
        return self

    @contextlib.contextmanager
    def _averaged(self):
        """Put the average of the weights, if there is one, into the network for a while."""
        average = self.option("average")
        if average is None:
            yield
            return
        average.swap(self.module_)
        try:
            yield
        finally:
            average.swap(self.module_)

    def _copy_weights(self) -> list[dict]:
        """Copy the weights, and their average."""
        average = self.option("average")
        states = [self.module_.state_dict()]
        if average is not None:
            states.append(states[0] if average.state_ is None else average.state_)
        return [{k: v.clone() for k, v in state.items()} for state in states]

    @torch.no_grad()
    def _loss_is_finite(self, batches) -> bool:
        """Whether the weights, as they are, give the first rows a finite loss."""
        x, y = batches.rows.take(batches.rows.order(shuffle=False)[: batches.batch_size])
        self._set_training(False)
        return bool(self.get_loss(self.infer(x), y, X=x).isfinite())

    def _go_back(self, copies: list, batches) -> None:
        """Take earlier weights again, and forget how they were being moved."""
        self.diverged_ = len(self.history)
        self.optimizer_.state.clear()
        for age, good in enumerate(copies, 1):
            self.kept_epoch_ = self.diverged_ - age
            self.module_.load_state_dict(good[0])
            if len(good) > 1:
                self.option("average").state_ = good[1]
            if self._loss_is_finite(batches):
                return

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Go through all batches once; sums stay on the device until the end."""
        if iterator is None:
            return
        self._set_training(training)
        epoch, n_batches = len(self.history) - 1, len(iterator)
        if training and hasattr(self.criterion_, "on_epoch"):
            self.criterion_.on_epoch(epoch)
        sums = torch.zeros(2, device=iterator.rows.device)
        total, correct = sums  # views
        observed = self.option("observed")
        for i, batch in enumerate(iterator):
            if training:
                self._set_rate(epoch - self.option("first_epoch", 0) + i / n_batches)
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            n_rows = len(batch[0]["index"])
            total += step["loss"] * n_rows
            if not training and self._has_accuracy:
                correct += _mass_correct(step["y_pred"], batch)
            if observed:
                self.history.record_batch(f"{prefix}_loss", step["loss"].item())
                self.history.record_batch(f"{prefix}_batch_size", n_rows)
            self.notify("on_batch_end", batch=batch, training=training, **step)
        loss, accuracy = (value / len(iterator.rows) for value in self.sum_up(sums).tolist())
        key = f"{prefix}_loss"
        before = [row[key] for row in list(self.history)[:-1] if key in row]
        self.history.record(key, loss)
        self.history.record(f"{key}_best", not before or loss < min(before))
        if not training and self._has_accuracy:
            self.history.record(f"{prefix}_accuracy", accuracy)
        self.history.record(f"{prefix}_batch_count", n_batches)

    def load_params(self, *args, **kwargs):
        """Load weights and more, as skorch does; an average of former weights is forgotten."""
        super().load_params(*args, **kwargs)
        if self.option("average") is not None:
            self.option("average").forget()

    def _set_rate(self, epoch: float) -> None:
        schedule = self.option("schedule", "constant")
        if schedule == "constant":
            return
        rate = self.lr * schedule_factor(schedule, epoch, self.option("n_epochs"))
        for group in self.optimizer_.param_groups:
            group["lr"] = rate * group.get("speed", 1)

    def predict_logits(self, rows, forward=None):
        """Compute logits of rows, in slices.

        Parameters
        ----------
        rows : Rows
            Rows.
        forward : callable, default=None
            What to apply to the input instead of the network.

        Returns
        -------
        logits : Tensor of shape (n_samples, n_outputs), dtype float64
            On the CPU.
        """
        self._set_training(False)
        forward = self.module_ if forward is None else forward
        length = max(64, _PREDICTED_ENTRIES // self.option("widest", 256))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(rows), length):
                part = forward(rows.input_at(slice(start, start + length)))
                parts.append(part.to("cpu", torch.float64))
        return torch.cat(parts)

    def replace_network(self, network) -> None:
        """Predict by another network from now on, on the CPU; it cannot be trained."""
        self.module_ = network
        # Nothing else of the former network is needed.
        self.__dict__.update(module=network, device="cpu")
        self.__dict__.pop("optimizer_", None)
        self.configure(requested_device="cpu", frozen=True, average=None, targets=None)

    def __getstate__(self):
        # torch's own format, so that what was on a GPU can be read where there is none.
        saved = io.BytesIO()
        with _quiet_about_storage():
            torch.save(dict(self.__dict__), saved)
        return {"saved": saved.getvalue(), "requested": self.option("requested_device", "auto")}

    def __setstate__(self, state):
        try:
            device = resolve_device(state["requested"])
        except ValueError:  # it was made on a machine that had another one
            device = resolve_device("auto")
        saved = io.BytesIO(state["saved"])
        with _quiet_about_storage():
            self.__dict__.update(torch.load(saved, map_location=device, weights_only=False))
        self.__dict__["device"] = str(device)


class Net(ScoredAsClassifier, BaseNet):
    """The net of a classifier."""

    _has_accuracy = True


def _ran_out(stopping: EarlyStopping) -> bool:
    """Whether the patience of a callback has run out."""
    return stopping.misses_ >= stopping.patience


@contextlib.contextmanager
def _quiet_about_storage():
    """torch warns of its own way to save quantised layers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated", UserWarning)
        yield


def draw_mix(n_rows: int, alpha: float, device: torch.device):
    """Draw how to mix the rows of a batch in pairs.

    Parameters
    ----------
    n_rows : int
        Rows of the batch.
    alpha : float
        Parameter of the beta distribution of the share.
    device : torch.device
        Where the rows are.

    Returns
    -------
    share : float
        How much is a row's own, at least one half.
    other : Tensor of shape (n_rows,), dtype int64
        Which row makes up the rest.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return max(share, 1 - share), torch.randperm(n_rows).to(device)


def weighed_mean(rows, x) -> torch.Tensor:
    """Compute the mean over the rows of a batch, times their weights if they have any."""
    weight = x.get("sample_weight")
    return rows.mean() if weight is None else (rows * weight).mean()


def _mass_correct(logits, batch) -> torch.Tensor:
    """Weights of the rows of a batch whose label is the most probable one."""
    x, y = batch
    correct = logits.argmax(dim=1) == (y if y.ndim == 1 else y.argmax(dim=1))
    weight = x.get("sample_weight")
    return correct.sum() if weight is None else weight[correct].sum()


def smooth_labels(y, n_classes: int, smoothing: float, dtype: torch.dtype) -> torch.Tensor:
    """Mix labels with equal shares of all classes; a negative share takes from these.

    Parameters
    ----------
    y : Tensor of shape (n_rows,) or (n_rows, n_classes)
        Codes, or probabilities.
    n_classes : int
        Number of classes.
    smoothing : float
        Below 1.
    dtype : torch.dtype
        Of the answer.

    Returns
    -------
    target : Tensor of shape (n_rows, n_classes)
        Sums to 1 in each row.
    """
    if y.ndim == 1:
        y = torch.nn.functional.one_hot(y, n_classes).to(dtype)
    return (1 - smoothing) * y + smoothing / n_classes
