"""What happens around the steps of training: stopping in time, averaging, progress."""

import torch
from skorch.callbacks import Callback

# An average that starts at the initial weights would not forget them for long.
_RAMP = 10


# An epoch is better if its score is by more than this share, which is rounding.
_ROUNDING = 1e-9


class Internal(Callback):
    """A callback that does not read the losses of batches, which then are not recorded."""

    reads_batches = False


class BestEpoch(Internal):
    """Keeps the weights of the best epoch on the validation rows, and stops when it is long past.

    Parameters
    ----------
    monitor : {"accuracy", "loss"}
        What is best. Accuracy on labels that are wrong at random orders models as accuracy on
        right ones does, while their loss rewards models that believe in wrong labels less.
    patience : int or None
        Stop when so many epochs were not better. None never stops.
    tolerance : float
        Standard errors of the best accuracy by which an epoch may be worse and still be as good,
        as it may be by one row.
        If positive, the last epoch is kept if it is as good as the best one, and `patience`
        counts epochs in a row that are not.
    """

    def __init__(self, monitor="accuracy", patience=None, tolerance=0.0):
        self.monitor = monitor
        self.patience = patience
        self.tolerance = tolerance

    def on_train_begin(self, net, **kwargs):
        """Forget former trainings."""
        self.best_epoch_, self.best_score_, self._weights = None, -float("inf"), None
        self._n_worse = 0

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        """Compare."""
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
        """By how much an accuracy may be lower, at least one row."""
        if self.monitor == "loss":
            return 0.0
        error = (self.best_score_ * (1 - self.best_score_) / n_rows) ** 0.5
        return max(self.tolerance * error, 1 / n_rows)

    def on_train_end(self, net, **kwargs):
        """Go back to the best epoch, unless the last one is as good."""
        if self._weights is not None and (self._n_worse or not self.tolerance):
            net.module_.load_state_dict(self._weights)
        self._weights = None


class WeightAverage(Internal):
    """Keeps an exponential moving average of the weights, which predicts instead of the last ones.

    Parameters
    ----------
    decay : float
        How much of the average is kept in each step. In the first steps less is: (1 + t) / (10 + t)
        after t steps.
    """

    def __init__(self, decay):
        self.decay = decay
        self.state_ = None
        self._n_steps = 0
        self._swapped = False

    def on_train_begin(self, net, **kwargs):
        """Go on from the weights that were trained last, not from their average."""
        if self._swapped:
            self.swap(net.module_)

    def on_epoch_begin(self, net, **kwargs):
        """Start from the weights, which may have been loaded by now."""
        state = net.module_.state_dict()
        if self.state_ is None:
            self.state_ = {k: v.detach().clone() for k, v in state.items()}
        moving = [k for k, v in state.items() if v.is_floating_point()]
        self._averages, self._values = [self.state_[k] for k in moving], [state[k] for k in moving]
        self._copied = [(self.state_[k], v) for k, v in state.items() if k not in set(moving)]

    def forget(self):
        """Start anew with the next epoch."""
        self.state_, self._n_steps, self._swapped = None, 0, False

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Move the average."""
        if not training:
            return
        self._n_steps += 1
        keep = min(self.decay, (1 + self._n_steps) / (_RAMP + self._n_steps))
        torch._foreach_lerp_(self._averages, self._values, 1 - keep)
        for average, value in self._copied:
            average.copy_(value)

    @torch.no_grad()
    def swap(self, module) -> None:
        """Exchange the average and the weights."""
        if self.state_ is None:
            return
        for key, value in module.state_dict().items():
            kept = value.clone()
            value.copy_(self.state_[key])
            self.state_[key] = kept
        self._swapped = not self._swapped

    def on_train_end(self, net, **kwargs):
        """Let the average predict."""
        self.swap(net.module_)
        self._averages, self._values, self._copied = [], [], []


class HalfFineTuning(Internal):
    """Train half of the tensors of each block of a network in each epoch, and freeze the others.

    What a network knew before is kept better, and it learns less by heart. Blocks are the
    children of the module; which tensors are trained is drawn anew in each epoch.

    .. versionadded:: 0.1

    Parameters
    ----------
    share : float, default=0.5
        Share of the tensors of a block that are trained, in (0, 1].
    reset : bool, default=False
        Whether frozen tensors go back to the values that they had before the training.

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

    def __init__(self, share=0.5, reset=False):
        self.share = share
        self.reset = reset

    def on_train_begin(self, net, **kwargs):
        """Remember where the weights started."""
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1], got {self.share!r}.")
        if self.reset:
            self._start = {k: v.detach().clone() for k, v in net.module_.named_parameters()}
        self._trainable = {k for k, v in net.module_.named_parameters() if v.requires_grad}

    def on_epoch_begin(self, net, **kwargs):
        """Draw what is trained."""
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

    def on_train_end(self, net, **kwargs):
        """Leave all tensors as they were, as far as training goes."""
        if hasattr(self, "_trainable"):
            for name, value in net.module_.named_parameters():
                value.requires_grad_(name in self._trainable)
        for name in ("_start", "_trainable"):
            vars(self).pop(name, None)


class AfterEpoch(Internal):
    """Calls a function after each epoch, with its number from 1.

    Parameters
    ----------
    function : callable
        What to call.
    """

    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, net, **kwargs):
        """Call it."""
        self.function(len(net.history))


class Progress(Internal):
    """Shows a bar of epochs, or prints a line for each.

    Parameters
    ----------
    verbose : int
        1 for a bar, 2 for lines.
    """

    def __init__(self, verbose):
        self.verbose = verbose

    def on_train_begin(self, net, **kwargs):
        """Draw the bar."""
        self._bar = None
        if self.verbose == 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=net.option("n_epochs"), desc="training", unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Say how it goes."""
        names = ("train_loss", "valid_loss", "valid_accuracy")
        last = net.history[-1]
        figures = {name: f"{last[name]:.4f}" for name in names if name in last}
        if self._bar is not None:
            self._bar.set_postfix(figures)
            self._bar.update()
        else:
            words = ", ".join(f"{name} {value}" for name, value in figures.items())
            print(f"epoch {len(net.history)}: {words}, {last['dur']:.2f} s")

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
