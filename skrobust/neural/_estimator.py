"""What all neural estimators have in common: rows in, a net inside, predictions out."""

import copy
import warnings
from inspect import signature
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import validate_data
from torch.nn import Sequential
from torch.utils.data import Dataset

from skrobust.neural._callbacks import BestEpoch, Progress, WeightAverage
from skrobust.neural._checks import check_callbacks, split, spread, widest
from skrobust.neural._dataset import DatasetRows
from skrobust.neural._device import (
    explain_out_of_memory,
    own_generators,
    resolve_device,
    threads_for,
)
from skrobust.neural._files import SavesParams
from skrobust.neural._hold_out import hold_out
from skrobust.neural._nested_params import NestedParams, callbacks_of, make_module
from skrobust.neural._net import BaseNet
from skrobust.neural._optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    needs_closure,
    optimizer_class,
    optimizer_options,
)
from skrobust.neural._predicting import DTYPES, PredictsByNet
from skrobust.neural._rows import make_rows
from skrobust.neural._scoring import decode_scorers, restore_scorers
from skrobust.neural._table import EpochTable
from skrobust.neural.layers import HiddenNoise
from skrobust.neural.modules import MLP
from skrobust.utils._sklearn import Interval, StrOptions

# batch_size="auto": at most so many rows, and all if there are no more.
_AUTO_BATCH = 256
# Attributes that hold rows while they are trained on.
_OF_A_TRAINING = ("_recorder", "_data", "_seen", "_trained_on")
# Parameters that are no weights, by name, and how much faster than these they are to be learned:
# decay would not shrink, but move them, and odds have a long way to go.
_NO_WEIGHTS = {"log_beta": 1, "log_odds": 10}
# By how many standard errors of its accuracy early_stopping="auto" takes an epoch for as good.
_TOLERANCE = 1.0
_PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class BaseNeuralEstimator(NestedParams, SavesParams, PredictsByNet, BaseEstimator):
    """Base class of estimators that have a skorch net.

    A subclass says what is learned and how it is scored. It overrides as few as possible of
    :meth:`_build_module`, :meth:`_build_criterion`, :meth:`_net_options`, and the class of the net
    in `_net_class`.
    """

    _net_class = BaseNet
    # Losses by name.
    _criteria: dict = {}
    # Whether something besides the network is learned whenever a loss is computed.
    _learns_per_batch = False
    # early_stopping="auto" holds rows out where there are more than this.
    _many_rows = 10_000

    _parameter_constraints: dict = {
        "module": [torch.nn.Module, callable, None],
        "module_params": [dict, None],
        "hidden_layer_sizes": ["array-like"],
        "activation": [str],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "criterion_params": [dict, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_schedule": [StrOptions(set(SCHEDULES))],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "optimizer_params": [dict, None],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [None, Interval(Real, 0, None, closed="neither")],
        "ema_decay": [None, Interval(Real, 0, 1, closed="neither")],
        "mixed_precision": [None, StrOptions(set(_PRECISIONS))],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "dtype": [StrOptions(set(DTYPES))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "callbacks": [None, list, tuple],
    }

    def __init__(
        self,
        module=None,
        *,
        module_params=None,
        hidden_layer_sizes=(256, 128),
        activation="relu",
        dropout=0.0,
        criterion="cross_entropy",
        criterion_params=None,
        class_weight=None,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        optimizer="adam",
        optimizer_params=None,
        momentum=0.9,
        weight_decay=0.0,
        gradient_clip=None,
        label_smoothing=0.0,
        mixup=0.0,
        consistency=0.0,
        input_noise=0.1,
        hidden_noise=0.0,
        ema_decay=None,
        mixed_precision=None,
        early_stopping="auto",
        validation_fraction=0.1,
        validation_score="accuracy",
        n_iter_no_change=10,
        record_dynamics=False,
        warm_start=False,
        device="auto",
        dtype="float32",
        random_state=None,
        verbose=0,
        callbacks=None,
    ):
        self.module = module
        self.module_params = module_params
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.criterion = criterion
        self.criterion_params = criterion_params
        self.class_weight = class_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.gradient_clip = gradient_clip
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.consistency = consistency
        self.input_noise = input_noise
        self.hidden_noise = hidden_noise
        self.ema_decay = ema_decay
        self.mixed_precision = mixed_precision
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.validation_score = validation_score
        self.n_iter_no_change = n_iter_no_change
        self.record_dynamics = record_dynamics
        self.warm_start = warm_start
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # What a subclass may write anew ---------------------------------------------------------

    def _build_module(self, shape, n_outputs: int) -> torch.nn.Module:
        """Make the network, its weights drawn from torch's generator."""
        params = self.module_params or {}
        if self.module is None:
            return MLP(
                shape,
                n_outputs,
                hidden_layer_sizes=tuple(self.hidden_layer_sizes),
                activation=self.activation,
                dropout=self.dropout,
                **params,
            )
        if isinstance(self.module, torch.nn.Module):
            return copy.deepcopy(self.module)
        return make_module(self.module, shape, n_outputs, params)

    def _add_noise(self, module) -> None:
        """Put noise between the features of a network and its head."""
        module.head = Sequential(HiddenNoise(self.hidden_noise), split(module).head)

    def _build_criterion(self, n_outputs: int) -> torch.nn.Module:
        """Make the loss, one number per row."""
        params = self.criterion_params or {}
        if isinstance(self.criterion, str):
            return self._criteria[self.criterion](reduction="none", **params)
        if isinstance(self.criterion, torch.nn.Module):
            criterion = copy.deepcopy(self.criterion)
        else:
            criterion = self.criterion(**params)
        if hasattr(criterion, "reduction"):
            criterion.reduction = "none"
        return criterion

    def _net_arguments(self) -> dict:
        """What the constructor of the net takes besides."""
        return {}

    def _net_options(self) -> dict:
        """What the net is to know besides; see :meth:`BaseNet.configure`."""
        return {
            "schedule": self.learning_rate_schedule,
            "gradient_clip": self.gradient_clip,
            "label_smoothing": self.label_smoothing,
            "mixup": self.mixup,
            "consistency": self.consistency,
            "input_noise": self.input_noise,
            "requested_device": str(self.device),
        }

    def _n_outputs(self, data) -> int:
        """Number of outputs that the network must have."""
        raise NotImplementedError

    def _targets(self, data) -> np.ndarray:
        """What the network learns of each row."""
        raise NotImplementedError

    def _weights(self, data) -> np.ndarray | None:
        """Weights of rows."""
        return data.sample_weight

    def _keys(self, data) -> tuple[np.ndarray, np.ndarray]:
        """Labels by which rows are equal, and the class of each row, where there are classes."""
        raise NotImplementedError

    def _record_target_type(self, data) -> None:
        """Set what is known of labels or targets once there is a net."""

    # Fitting --------------------------------------------------------------------------------

    # Parameters that the method has no use for.
    _unused_params: tuple = ()

    def _refuse_unused(self) -> None:
        """Refuse a parameter that would be ignored, or that a part does not have."""
        self._check_parts()
        defaults = signature(type(self)).parameters
        for name in self._unused_params:
            value, default = getattr(self, name), defaults[name].default
            if value != default:
                raise ValueError(
                    f"{name}={value!r} is not used by {type(self).__name__} as it is set up: leave"
                    f" it at its default, {default!r}."
                )

    @property
    def _takes_any_shape(self) -> bool:
        """Whether rows may have more than one axis."""
        return self.module is not None

    def _find_device(self) -> torch.device:
        """Where the network is to be."""
        return resolve_device(self.device)

    def _check_device(self, *, reset: bool) -> None:
        """Refuse to move a training to another device."""
        device = self._find_device()
        if not reset and device != torch.device(self.net_.device):
            raise ValueError(
                f"device={self.device!r} is another one than {self.net_.device}, on which the"
                f" training began: clone the {self._kind} to start anew."
            )

    def _check_input(self, X, *, reset: bool):
        """Validate rows as numbers."""
        if isinstance(X, DatasetRows):
            X = X.dataset
        if isinstance(X, Dataset):
            return self._check_dataset(X, reset=reset)
        if getattr(X, "ndim", 2) > 2 and not self._takes_any_shape:
            raise ValueError(
                f"Found array with dim {X.ndim}: X has the shape {tuple(X.shape)}, and without"
                f" `module`, {type(self).__name__} expects rows of one axis. For images, pass a"
                " network, such as module=skrobust.neural.modules.SmallCNN; else flatten them by"
                " X.reshape(len(X), -1)."
            )
        if sparse.issparse(X) or not hasattr(X, "dtype") or X.dtype != np.uint8 or X.ndim < 3:
            dtype = [np.float64, np.float32]
        else:
            dtype = np.uint8
        return validate_data(
            self, X, accept_sparse="csr", dtype=dtype, allow_nd=self._takes_any_shape, reset=reset
        )

    def _check_dataset(self, dataset, *, reset: bool) -> DatasetRows:
        """Validate what can be known of a data set before it is read."""
        rows = DatasetRows(dataset)
        if rows.ndim != 2 and (rows.ndim < 2 or not self._takes_any_shape):
            raise ValueError(
                f"The items of X have the shape {rows.shape[1:]}: without `module`, they must have"
                " one axis, of features."
            )
        expected = rows.shape[1] if reset else self.n_features_in_
        if rows.shape[1] != expected:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {expected}"
                " features as input."
            )
        if reset:
            vars(self).pop("feature_names_in_", None)
            self.n_features_in_ = expected
        return rows

    def _train(
        self, data, X, proba, seed, *, again, n_epochs=None, partial=False, validation=None
    ) -> None:
        """Train on validated rows; `validation` is data and numbers that are held out."""
        if again and self.net_.option("frozen"):
            raise ValueError(
                f"A quantised network cannot be trained further: clone the {self._kind}."
            )
        device, dtype = self._find_device(), DTYPES[self.dtype]
        train, valid = np.flatnonzero(data.used), None
        if validation is None and not partial and self._holds_out(len(train)):
            train, valid = self._split(X, data, train, seed)
        held_out = valid is not None or validation is not None
        check_callbacks(self.callbacks, self.learning_rate_schedule, held_out=held_out)
        batch_size = self._batch_size(len(train), partial)
        what = (
            f"The memory of the device {device} ran out with rows of shape {X.shape[1:]} in"
            f" batches of {batch_size}: lower batch_size, or the size of the network."
        )
        n_epochs = self.max_epochs if n_epochs is None else n_epochs
        seed = (seed + getattr(self, "_n_trainings", 0)) % 2**31 if again else seed
        with own_generators(device, seed), explain_out_of_memory(what):
            target = self._targets(data) if proba is None else proba
            rows = make_rows(X, target, self._weights(data), dtype=dtype, device=device)
            parts = rows.part(train), None if valid is None else rows.part(valid)
            if validation is not None:
                own, numbers = validation
                target, weight = self._targets(own), self._weights(own)
                rows = make_rows(numbers, target, weight, dtype=dtype, device=device)
                parts = parts[0], rows.part(np.flatnonzero(own.used))
            if not again:
                net = self._make_net(parts[0], X, data, batch_size, device, dtype)
                # From here on there is something to keep, whatever interrupts the training.
                self.net_, self._n_trainings = net, 0
                self._record_target_type(data)
            else:
                self._refresh()
            self.net_.set_params(max_epochs=n_epochs, batch_size=batch_size)
            if partial:
                self.net_.configure(schedule="constant")  # nobody knows how many will follow
            with threads_for(self.net_.module_, device, X, batch_size):
                self._run(parts, n_epochs, data)

    def _refresh(self) -> None:
        """Let the net know parameters that were set since it was made."""
        options = self._net_options()
        options.pop("average", None)
        net = self.net_.configure(**options)
        net.lr = self.learning_rate
        given = dict(self.optimizer_params or {})
        if net.option("penalty") is None:
            given["weight_decay"] = self.weight_decay
        else:
            net.configure(penalty=self.weight_decay)
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate * group.get("speed", 1)
            if "speed" not in group:
                group.update(given)

    def _holds_out(self, n_rows: int) -> bool:
        if self.early_stopping == "auto":
            return n_rows > self._many_rows and not self.record_dynamics
        return bool(self.early_stopping)

    def _split(self, X, data, used, seed):
        """Hold out rows, of each class its share where that is possible."""
        labels, strata = self._keys(data)
        held = hold_out(
            X,
            labels,
            strata,
            data.sample_weight,
            used,
            fraction=self.validation_fraction,
            seed=seed,
        )
        if np.ceil(self.validation_fraction * len(used)) >= len(used) or not held.any():
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of {len(used)} rows"
                f" to train on, or none to hold out (n_samples={len(used)}): change it, or set"
                " early_stopping=False."
            )
        return used[~held], used[held]

    def _batch_size(self, n_rows: int, partial: bool) -> int:
        if self.batch_size == "auto":
            return min(_AUTO_BATCH, n_rows)
        if self.batch_size > n_rows and not partial:
            raise ValueError(
                f"batch_size={self.batch_size} is larger than the {n_rows} rows to train on: use"
                " 'auto', or a smaller one."
            )
        return min(self.batch_size, n_rows)

    def _make_net(self, rows, X, data, batch_size, device, dtype) -> BaseNet:
        shape = X.shape[1] if X.ndim == 2 else X.shape[1:]
        n_outputs = self._n_outputs(data)
        module = self._build_module(shape, n_outputs)
        if self.hidden_noise:
            self._add_noise(module)
        module = module.to(device, dtype)
        self._check_outputs(module, rows, n_outputs)
        optimizer = optimizer_class(self.optimizer)
        options = optimizer_options(
            optimizer, weight_decay=self.weight_decay, momentum=self.momentum, device=device
        )
        penalty = options.pop("penalty", None)
        options.update(self.optimizer_params or {})
        criterion = self._build_criterion(n_outputs).to(device, dtype)
        names = [n for part in (module, criterion) for n, _ in part.named_parameters()]
        speeds = {n: _NO_WEIGHTS.get(n.rpartition(".")[2]) for n in names}
        apart = [
            (n, {"weight_decay": 0.0, "speed": speed, "lr": self.learning_rate * speed})
            for n, speed in speeds.items()
            if speed is not None
        ]
        if apart:
            options["param_groups"] = apart
        net = self._net_class(
            module,
            criterion,
            optimizer=optimizer,
            lr=self.learning_rate,
            batch_size=batch_size,
            train_split=None,
            device=str(device),
            verbose=0,
            callbacks=[],
            **{f"optimizer__{name}": value for name, value in options.items()},
            **self._net_arguments(),
        )
        net.configure(penalty=penalty, widest=widest(module, rows), **self._net_options())
        if self.ema_decay is not None:
            net.configure(average=WeightAverage(self.ema_decay))
        return net.initialize()

    def _check_outputs(self, module, rows, n_outputs: int) -> None:
        """Refuse a network whose outputs are not what is needed; also makes lazy layers."""
        raise NotImplementedError

    def _try(self, module, rows):
        """Compute what a network says of the first two rows."""
        module.eval()
        first = rows.order(shuffle=False)[:2]
        with torch.no_grad():
            return self._forward(module, rows.input_at(first)), len(first)

    def _forward(self, module, X):
        return module(X)

    def _prepare(self, parts, n_epochs, data) -> None:
        """Tell the net about this training."""
        net = self.net_
        device_type = net.device.partition(":")[0]
        kind = _PRECISIONS.get(self.mixed_precision)
        needs_scaler = kind is torch.float16 and device_type == "cuda"
        closure = needs_closure(net.optimizer_)
        if closure and (self._learns_per_batch or needs_scaler):
            what = "mixed_precision='float16'" if needs_scaler else type(self).__name__
            raise ValueError(
                f"optimizer={type(net.optimizer_).__name__} computes the loss of a batch several"
                f" times per step, which {what} cannot do: use another optimiser."
            )
        net.configure(
            n_epochs=n_epochs,
            device_type=device_type,
            mixed_precision=kind,
            scaler=torch.amp.GradScaler(device_type) if needs_scaler else None,
            needs_closure=closure,
            input_scale=spread(parts[0]) if self.consistency else None,
        )
        callbacks = [] if net.option("average") is None else [net.option("average")]
        callbacks += self._own_callbacks(data)
        if parts[1] is not None and self.early_stopping:
            tolerance = _TOLERANCE if self.early_stopping == "auto" else 0.0
            best = BestEpoch(self.validation_score, self.n_iter_no_change, tolerance)
            callbacks.append(best)
        net.verbose = 0
        if net.leads:
            net.verbose = int(self.verbose)
            if self.verbose:
                callbacks.append(Progress(int(self.verbose)))
        net.callbacks = [*callbacks, *(self.callbacks or ())]
        net.watch()
        decode_scorers(callback for _, callback in net.callbacks_)

    def _own_callbacks(self, data) -> list:
        """Make the callbacks of the method."""
        return []

    def _run(self, parts, n_epochs, data) -> None:
        """Train, and leave everything in order even if that is interrupted."""
        net = self.net_
        try:
            self._prepare(parts, n_epochs, data)
            net.begin(parts[0])
            net.fit_loop(parts)
        except Exception:
            if not any("dur" in epoch for epoch in net.history):
                del self.net_  # nothing was learned that could be kept
            raise
        finally:
            if hasattr(self, "net_"):
                net.end(parts[0])
                restore_scorers(callbacks_of(net.callbacks))
                # They may hold much, and are not needed again.
                net.callbacks, net.callbacks_ = [], []
                self._n_trainings += 1
                self._conclude()
            for name in _OF_A_TRAINING:
                vars(self).pop(name, None)
        if net.diverged_ is None:
            return
        epoch = net.diverged_
        advice = "Lower learning_rate, set gradient_clip, or scale X."
        if net.kept_epoch_ == net.option("first_epoch"):
            message = f"The loss became infinite or NaN at once, in epoch {epoch}. {advice}"
            if net.kept_epoch_ == 0:
                del self.net_
            raise ValueError(message)
        warnings.warn(
            f"The loss became infinite or NaN in epoch {epoch}: the training stopped, and the"
            f" weights of epoch {net.kept_epoch_} are kept. {advice}",
            ConvergenceWarning,
            stacklevel=4,
        )

    def _conclude(self) -> None:
        """Set what is known after a training, whole or not."""
        history = self.net_.history
        self.n_iter_ = len(history)
        self.history_ = EpochTable.of(history)
