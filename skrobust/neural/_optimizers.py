"""Optimisers and learning-rate schedules by name."""

import inspect
import math

import torch

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
"""What `optimizer` may be called. "sgd" has momentum."""

_FUSED = {torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD}
_WITH_MOMENTUM = {torch.optim.SGD, torch.optim.RMSprop}

SCHEDULES = ("constant", "cosine", "linear", "step", "one_cycle", "warm_restarts")
"""What `learning_rate_schedule` may be called."""

# Where "step" divides the rate by ten, as shares of the training.
_STEPS = (0.5, 0.75)
# Epochs between two restarts.
_PERIOD = 10
# "one_cycle" rises from this share of the rate, during this share of the training.
_LOWEST, _RISE = 0.04, 0.3


def optimizer_class(optimizer):
    """Look up an optimiser: a name, or a class or function of torch's interface.

    Parameters
    ----------
    optimizer : str or callable
        The parameter of a classifier.

    Returns
    -------
    optimizer : callable
        Takes parameters and options.
    """
    return OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer


def optimizer_options(
    optimizer, *, weight_decay: float, momentum: float, device: torch.device
) -> dict:
    """Choose options of an optimiser.

    Parameters
    ----------
    optimizer : callable
        As of :func:`optimizer_class`.
    weight_decay, momentum : float
        Parameters of a classifier. Momentum is for "sgd" and "rmsprop".
    device : torch.device
        Where the network is: there is a faster form of some optimisers on some devices.

    Returns
    -------
    options : dict
        Keywords. One that is called "penalty" is not for the optimiser, which knows no decay of
        weights: half of it times the squared weights is to be added to the loss.
    """
    decays = "weight_decay" in inspect.signature(optimizer).parameters
    options: dict = {"weight_decay" if decays else "penalty": weight_decay}
    if optimizer in _WITH_MOMENTUM:
        options["momentum"] = momentum
    if optimizer is torch.optim.SGD:
        options["nesterov"] = momentum > 0
    if optimizer in _FUSED and device.type in ("cpu", "cuda"):
        options["fused"] = True
    return options


def needs_closure(optimizer) -> bool:
    """Whether a step of an optimiser computes the loss by itself, as that of L-BFGS does."""
    optimizer = getattr(optimizer, "optimizer", optimizer)  # accelerate's is around it
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def schedule_factor(schedule: str, epoch: float, n_epochs: int) -> float:
    """By what to multiply the learning rate.

    Parameters
    ----------
    schedule : str
        One of :data:`SCHEDULES`.
    epoch : float
        Epochs done so far, with the share of the one that is going on.
    n_epochs : int
        Epochs in all.

    Returns
    -------
    factor : float
        In [0, 1].
    """
    done = min(epoch / n_epochs, 1.0)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - done
    if schedule == "cosine":
        return _cosine(done)
    if schedule == "step":
        return 0.1 ** sum(done >= step for step in _STEPS)
    if schedule == "warm_restarts":
        return _cosine(epoch % _PERIOD / _PERIOD)
    if done < _RISE:
        return _LOWEST + (1 - _LOWEST) * (1 - _cosine(done / _RISE))
    return _cosine((done - _RISE) / (1 - _RISE))


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))
