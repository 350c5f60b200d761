"""Callbacks: best epoch, half fine-tuning, averaged weights, progress, dynamics, scores."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from sklearn.metrics import check_scoring
from skorch.callbacks import InputShapeSetter, LRScheduler
from skorch.callbacks.scoring import ScoringBase
from skorch.utils import to_numpy

from skrobust.neural._rows import Rows
from skrobust.neural._skorch import Callback, NeuralNet
from skrobust.neural._typing import Batch, Callbacks

# Relative difference of scores that is taken for rounding.
_ROUNDING = 1e-9
# Smallest probability whose logarithm is taken.
_SMALLEST_PROBA = 1e-12
# An average that starts at the initial weights would contain them for long.
_RAMP = 10


class Internal(Callback):
    """A callback that does not read the losses of batches, which then are not recorded."""

    reads_batches = False


class BestEpoch(Internal):
    """Keeps the weights of the best epoch on the validation rows, and stops after `patience`.

    Accuracy on labels that are wrong at random orders models as accuracy on right ones does, while
    the loss favours models that give wrong labels more probability. With a `tolerance` in standard
    errors of the best accuracy (at least one row), the last epoch is kept if it is within it, and
    `patience` counts consecutive epochs that are not.
    """

    def __init__(
        self, monitor: str = "accuracy", patience: int | None = None, tolerance: float = 0.0
    ):
        self.monitor = monitor
        self.patience = patience
        self.tolerance = tolerance

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Reset the state of former trainings."""
        self.best_epoch_, self.best_score_, self._weights = None, -float("inf"), None
        self._n_worse = 0

    def on_epoch_end(
        self, net: NeuralNet, dataset_valid: Rows | None = None, **kwargs: Any
    ) -> None:
        """Compare the epoch with the best one."""
        score = net.history[-1, f"valid_{self.monitor}"]
        score = -score if self.monitor == "loss" else score
        margin = 0.0 if self.best_epoch_ is None else _ROUNDING * max(1.0, abs(self.best_score_))
        if score > self.best_score_ + margin:
            self.best_epoch_, self.best_score_ = len(net.history), score
            self._weights = {k: v.clone() for k, v in net.module_.state_dict().items()}
            self._n_worse = 0
            return
        slack = self._slack(len(dataset_valid)) if self.tolerance else 0.0
        worse = not slack or score < self.best_score_ - slack - margin
        self._n_worse = self._n_worse + 1 if worse else 0
        if self.patience is not None and self._n_worse >= self.patience:
            net.stop_ = True

    def _slack(self, n_rows: int) -> float:
        """Difference of accuracies that is tolerated, at least one row."""
        if self.monitor == "loss":
            return 0.0
        error = (self.best_score_ * (1 - self.best_score_) / n_rows) ** 0.5
        return max(self.tolerance * error, 1 / n_rows)

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Restore the best epoch, unless the last one is within the tolerance."""
        if self._weights is not None and (self._n_worse or not self.tolerance):
            net.module_.load_state_dict(self._weights)
        self._weights = None


class HalfFineTuning(Internal):
    """Half fine-tuning: train half of the tensors of each block per epoch, and freeze the others.

    What the network learned before is kept better, and it memorises less. Blocks are the children
    of the module; which tensors are trained is drawn anew in each epoch.

    .. versionadded:: 0.1

    Parameters
    ----------
    share : float, default=0.5
        Share of the tensors of a block that are trained, in (0, 1].
    reset : bool, default=False
        Whether frozen tensors are set to the values that they had before the training.

    References
    ----------
    Hui, Zhang, Wang, Xu, Sun, Wu (2024). HFT: Half Fine-Tuning for Large Language Models.
    arXiv:2404.18466.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from skrobust.neural import HalfFineTuning, NeuralClassifier
    >>> X, y = make_classification(random_state=0)
    >>> model = NeuralClassifier(max_epochs=5, callbacks=[HalfFineTuning()], random_state=0)
    >>> model.fit(X, y).predict(X).shape
    (100,)
    """

    # Names of the tensors that are trainable, and values from before the training.
    _trainable: frozenset[str] | None = None
    _start: dict[str, torch.Tensor] | None = None

    def __init__(self, share: float = 0.5, reset: bool = False) -> None:
        self.share = share
        self.reset = reset

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the initial weights."""
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share!r}.")
        named = list(net.module_.named_parameters())
        if self.reset:
            self._start = {name: value.detach().clone() for name, value in named}
        self._trainable = frozenset(name for name, value in named if value.requires_grad)

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Draw the tensors to train."""
        blocks: dict = {}
        for name, value in net.module_.named_parameters():
            if name in self._trainable:
                blocks.setdefault(name.partition(".")[0], []).append((name, value))
        for tensors in blocks.values():
            n_trained = max(1, round(self.share * len(tensors)))
            chosen = set(torch.randperm(len(tensors))[:n_trained].tolist())
            for i, (name, value) in enumerate(tensors):
                value.requires_grad_(i in chosen)
                if self.reset and i not in chosen:
                    value.data.copy_(self._start[name])

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Make all tensors trainable that were so before."""
        if self._trainable is not None:
            for name, value in net.module_.named_parameters():
                value.requires_grad_(name in self._trainable)
        self._start = self._trainable = None


class WeightAverage(Internal):
    """Exponential moving average of the weights, which predicts instead of the last ones.

    In step t the average keeps the share ``min(decay, (1 + t) / (10 + t))`` of itself.
    """

    def __init__(self, decay: float):
        self.decay = decay
        self.state_: dict[str, torch.Tensor] | None = None
        self._n_steps = 0
        self._swapped = False

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Continue from the weights that were trained last, not from their average."""
        if self._swapped:
            self.swap(net.module_)

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start from the weights, which may have been loaded by now."""
        state = net.module_.state_dict()
        if self.state_ is None:
            self.state_ = {k: v.detach().clone() for k, v in state.items()}
        moving = [k for k, v in state.items() if v.is_floating_point()]
        self._averages, self._values = [self.state_[k] for k in moving], [state[k] for k in moving]
        self._copied = [(self.state_[k], v) for k, v in state.items() if k not in set(moving)]

    def forget(self) -> None:
        """Start anew with the next epoch."""
        self.state_, self._n_steps, self._swapped = None, 0, False

    @torch.no_grad()
    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        """Move the average."""
        if not training:
            return
        self._n_steps += 1
        keep = min(self.decay, (1 + self._n_steps) / (_RAMP + self._n_steps))
        torch._foreach_lerp_(self._averages, self._values, 1 - keep)
        for average, value in self._copied:
            average.copy_(value)

    @torch.no_grad()
    def swap(self, module: torch.nn.Module) -> None:
        """Exchange the average and the weights."""
        if self.state_ is None:
            return
        for key, value in module.state_dict().items():
            kept = value.clone()
            value.copy_(self.state_[key])
            self.state_[key] = kept
        self._swapped = not self._swapped

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Predict by the average."""
        self.swap(net.module_)
        self._averages, self._values, self._copied = [], [], []


class AfterEpoch(Internal):
    """Calls a function after each epoch, with the number of the epoch, counted from 1."""

    def __init__(self, function: Callable[[int], None]):
        self.function = function

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Call the function."""
        self.function(len(net.history))


class Progress(Internal):
    """Shows a bar of epochs (`verbose` 1), or prints a line for each (2)."""

    def __init__(self, verbose: int):
        self.verbose = verbose

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Draw the bar."""
        self._bar = None
        if self.verbose == 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=net.plan_.n_epochs, desc="training", unit="epoch")

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Show losses and accuracy."""
        names = ("train_loss", "valid_loss", "valid_accuracy")
        last = net.history[-1]
        figures = {name: f"{last[name]:.4f}" for name in names if name in last}
        if self._bar is not None:
            self._bar.set_postfix(figures)
            self._bar.update()
        else:
            words = ", ".join(f"{name} {value}" for name, value in figures.items())
            print(f"epoch {len(net.history)}: {words}, {last['dur']:.2f} s")

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class DynamicsRecorder(Internal):
    """Accumulates the training dynamics of each row on the device, from the training steps.

    The statistics are those of :class:`~skrobust.detection.TrainingDynamics`. They cost no
    prediction, and memory does not grow with the number of epochs.
    """

    def __init__(self, n_samples: int, n_classes: int):
        self.n_samples = n_samples
        self.n_classes = n_classes
        self._state = None

    def _start(self, device: torch.device) -> None:
        """Allocate the sums."""
        n, k = self.n_samples, self.n_classes
        sums = ("seen", "margin", "logits", "el2n", "loss", "mean", "squares", "moved", "forgotten")
        self._state = {name: torch.zeros(n, device=device, dtype=torch.float32) for name in sums}
        for name in ("correct", "ever"):
            self._state[name] = torch.zeros(n, device=device, dtype=torch.bool)
        for name in ("proba", "last"):
            self._state[name] = torch.zeros(n, k, device=device, dtype=torch.float32)

    @torch.no_grad()
    def on_batch_end(
        self,
        net: NeuralNet,
        batch: Batch | None = None,
        training: bool = False,
        y_pred: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Add a batch."""
        if not training:
            return
        x, y = batch
        if self._state is None:
            self._start(y_pred.device)
        rows, state = x["index"], self._state
        codes = y if y.ndim == 1 else y.argmax(dim=1)
        logs = y_pred.float().log_softmax(dim=1)
        proba = logs.exp()
        own = proba.gather(1, codes[:, None])[:, 0]
        other = proba.scatter(1, codes[:, None], -1.0).max(dim=1).values
        # The distance from the label: 1 - 2p + the sum of squares.
        distance = (proba.square().sum(dim=1) - 2 * own + 1).clamp_min(0).sqrt()
        logs = logs.clamp_min(float(np.log(_SMALLEST_PROBA)))
        seen = state["seen"][rows] + 1
        moved = (proba * (logs - state["last"][rows])).sum(dim=1)
        gap = own - state["mean"][rows]
        mean = state["mean"][rows] + gap / seen
        was_correct = state["correct"][rows]
        correct = own >= other
        state["seen"][rows] = seen
        state["margin"][rows] += own - other
        best_log = logs.scatter(1, codes[:, None], -torch.inf).max(dim=1).values
        state["logits"][rows] += logs.gather(1, codes[:, None])[:, 0] - best_log
        state["el2n"][rows] += distance
        state["loss"][rows] -= logs.gather(1, codes[:, None])[:, 0]
        state["moved"][rows] += torch.where(seen > 1, moved, torch.zeros_like(moved))
        state["mean"][rows] = mean
        state["squares"][rows] += gap * (own - mean)
        state["forgotten"][rows] += (was_correct & ~correct).float()
        state["correct"][rows] = correct
        state["ever"][rows] |= correct
        state["proba"][rows] += proba
        state["last"][rows] = logs

    def result(self) -> dict[str, np.ndarray]:
        """Return the statistics of each row by name; NaN for rows that were not trained on."""
        if self._state is None:
            return {}
        state = {name: value.cpu().numpy() for name, value in self._state.items()}
        seen = np.where(state["seen"] > 0, state["seen"], np.nan).astype(np.float64)
        ever = state["ever"]
        forgotten = np.where(np.isnan(seen), np.nan, np.where(ever, state["forgotten"], np.inf))
        return {
            "aum": state["margin"] / seen,
            "aum_logits": state["logits"] / seen,
            "el2n": state["el2n"] / seen,
            "forgetting": forgotten,
            "mean_loss": state["loss"] / seen,
            "oscillation": np.maximum(state["moved"], 0) / np.maximum(seen - 1, 1),
            "confidence": np.where(np.isnan(seen), np.nan, state["mean"]),
            "variability": np.sqrt(np.maximum(state["squares"], 0) / seen),
            "mean_proba": state["proba"] / seen[:, None],
        }


class DecodedScorer:
    """A scorer that receives the user's labels or targets instead of the network's."""

    def __init__(self, scoring: str | Callable | None):
        self.scoring = scoring

    def __call__(self, net: NeuralNet, X: Any, y: Any = None) -> float:
        """Score a net on rows, or on one batch."""
        if y is None and isinstance(X, Rows):
            y = to_numpy(X.y if X.positions is None else X.y[X.positions])
        y = None if y is None else net.decode(y)
        return check_scoring(net, self.scoring)(net, X, y)


def decode_scorers(callbacks: Iterable[Callback]) -> None:
    """Make the scoring callbacks among initialised ones score the user's labels or targets."""
    for callback in callbacks:
        # A function of the user's that transforms targets takes precedence.
        if isinstance(callback, ScoringBase) and callback.target_extractor is to_numpy:
            callback.scoring_ = DecodedScorer(callback.scoring_)


def restore_scorers(callbacks: Iterable[Callback]) -> None:
    """Restore scorers after :func:`decode_scorers`."""
    for callback in callbacks:
        if isinstance(getattr(callback, "scoring_", None), DecodedScorer):
            callback.scoring_ = callback.scoring_.scoring


def callback_of(item: Any) -> Any:
    """Return a callback without its name."""
    return item[1] if isinstance(item, (tuple, list)) else item


def named_callbacks(callbacks: Callbacks) -> dict[str, int]:
    """Map the names of callbacks, by skorch's rules, to their positions."""
    if not isinstance(callbacks, (list, tuple)):
        return {}
    names = []
    for item in callbacks:
        if isinstance(item, (tuple, list)):
            names.append(item[0])
        else:
            names.append((item if isinstance(item, type) else type(item)).__name__)
    counts, seen = Counter(names), Counter()
    positions = {}
    for i, name in enumerate(names):
        seen[name] += 1
        positions[name if counts[name] == 1 else f"{name}_{seen[name]}"] = i
    return positions


def check_callbacks(callbacks: Callbacks, schedule: str, *, held_out: bool) -> None:
    """Refuse callbacks that would have no effect."""
    for callback in map(callback_of, callbacks or ()):
        kind = callback if isinstance(callback, type) else type(callback)
        if not hasattr(kind, "on_epoch_end"):
            raise TypeError(
                f"callbacks has {callback!r}, which is no callback of skorch: it has no method"
                " on_epoch_end."
            )
        if issubclass(kind, InputShapeSetter):
            raise ValueError(
                "callbacks has InputShapeSetter, which is not needed: pass a module that is a"
                " function (shape, n_outputs) -> torch.nn.Module."
            )
        if issubclass(kind, LRScheduler) and schedule != "constant":
            raise ValueError(
                f"callbacks has LRScheduler, and learning_rate_schedule={schedule!r} would override"
                " it: set learning_rate_schedule='constant'."
            )
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("valid_") and not held_out:
            raise ValueError(
                f"callbacks has {kind.__name__}, which monitors {monitor!r}, and no rows are held"
                " out: set early_stopping=True, pass validation_data to fit, or monitor"
                f" {monitor.replace('valid', 'train', 1)!r}."
            )
