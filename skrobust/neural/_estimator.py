"""The base class of neural estimators: validate rows, plan and run a training, predict."""

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from inspect import signature
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data
from torch.utils.data import Dataset

from skrobust.base import LabelledData
from skrobust.neural._accelerated import AcceleratedNet, device_of
from skrobust.neural._callbacks import BestEpoch, DynamicsRecorder, Progress, check_callbacks
from skrobust.neural._hold_out import hold_out
from skrobust.neural._parts import ComposedParams, make_module, probe, with_head
from skrobust.neural._plan import (
    DTYPES,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    DType,
    Optimizer,
    Precision,
    Schedule,
    TrainingPlan,
    explain_out_of_memory,
    resolve_device,
)
from skrobust.neural._rows import DatasetRows, Numbers, Rows, make_rows
from skrobust.neural._skorch import Callback
from skrobust.neural._training import BaseNet
from skrobust.neural._typing import Callbacks, Criterion, File, ModuleLike, RandomState, RowsLike
from skrobust.neural.layers import HiddenNoise
from skrobust.neural.modules import MLP
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions, Tags

if TYPE_CHECKING:
    from accelerate import Accelerator

# Columns of `history_` by skorch's names, and keys that skorch keeps for itself.
_COLUMNS = {"lr": "learning_rate", "dur": "seconds"}
_LEFT_OUT = {"epoch", "batches"} | {
    f"{part}_{name}" for part in ("train", "valid") for name in ("loss_best", "batch_count")
}

_FILES = {
    "files": """
f_params : str, path or file, default=None
    Weights of the network.
f_optimizer : str, path or file, default=None
    State of the optimiser.
f_criterion : str, path or file, default=None
    State of the loss.
f_history : str, path or file, default=None
    History, as JSON.
use_safetensors : bool, default=False
    Whether weights are in the format of safetensors, which holds nothing else."""
}


@dataclasses.dataclass(frozen=True)
class Training:
    """Rows and callbacks of one training."""

    data: LabelledData
    train: Rows
    valid: Rows | None
    callbacks: list[Callback]


@fill_docstring(**_FILES)
class BaseNeuralEstimator(ComposedParams, BaseEstimator):
    """Base class of estimators that have a skorch net.

    A subclass names the class of its net and of its plan, and overrides as few as possible of
    :meth:`_plan_options`, :meth:`_build_module`, :meth:`_build_criterion`, :meth:`_begin` and
    :meth:`_set_fitted_attributes`.
    """

    module: ModuleLike | None = None
    module_params: dict[str, Any] | None = None
    hidden_layer_sizes: Sequence[int] = (256, 128)
    activation: str = "relu"
    dropout: float = 0.0
    criterion: Criterion
    criterion_params: dict[str, Any] | None
    max_epochs: int
    batch_size: int | Literal["auto"]
    learning_rate: float
    learning_rate_schedule: Schedule
    optimizer: Optimizer
    optimizer_params: dict[str, Any] | None
    momentum: float
    weight_decay: float
    gradient_clip: float | None
    ema_decay: float | None
    mixed_precision: Precision | None
    early_stopping: bool | Literal["auto"]
    validation_fraction: float
    n_iter_no_change: int | None
    warm_start: bool
    device: str | torch.device
    dtype: DType
    random_state: RandomState
    verbose: int
    callbacks: Callbacks
    # Parameters of classifiers only, at values without effect.
    label_smoothing: float = 0.0
    mixup: float = 0.0
    consistency: float = 0.0
    input_noise: float = 0.1
    hidden_noise: float = 0.0
    validation_score: Literal["accuracy", "loss"] = "loss"
    record_dynamics: bool = False

    # Fitted attributes.
    net_: BaseNet
    history_: "EpochTable"
    n_iter_: int
    n_features_in_: int
    classes_: np.ndarray
    training_dynamics_: dict[str, np.ndarray]

    _net_class: type[BaseNet] = BaseNet
    _plan_class: type[TrainingPlan] = TrainingPlan
    # Losses by name.
    _criteria: dict[str, type[torch.nn.Module]] = {}
    # Whether something besides the network is learned whenever a loss is computed.
    _learns_per_batch = False
    # early_stopping="auto" holds rows out where there are more than this.
    _many_rows = 10_000
    # Parameters that the method cannot use.
    _unused_params: tuple[str, ...] = ()
    _kind: str

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
        "mixed_precision": [None, StrOptions(set(PRECISIONS))],
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

    def _set_arguments(self, local: dict[str, Any]) -> None:
        """Set the arguments of a constructor as attributes, each unchanged under its own name.

        The line ``self._set_arguments(locals())`` stands for ``self.name = name`` for each
        parameter, as ``get_params`` and ``clone`` need it. Types are declared in the classes.
        """
        for name, value in local.items():
            if name != "self":
                setattr(self, name, value)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    # Overridden by subclasses ---------------------------------------------------------------

    def _plan_options(self) -> dict[str, Any]:
        """Fields of the plan that are not parameters of the same name."""
        return {}

    def _net_attributes(self, data: LabelledData) -> dict[str, Any]:
        """Attributes of the net that decode its outputs."""
        raise NotImplementedError

    def _build_module(self, shape: int | tuple[int, ...], n_outputs: int) -> torch.nn.Module:
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

    def _add_noise(self, module: torch.nn.Module) -> None:
        """Put noise between the features of a network and its head."""
        noise = HiddenNoise(self.hidden_noise)
        module.head = torch.nn.Sequential(noise, with_head(module).head)

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

    def _learned(self, data: LabelledData) -> tuple[np.ndarray, np.ndarray | None]:
        """Targets that the network learns, and weights of the rows."""
        raise NotImplementedError

    def _strata(self, data: LabelledData) -> tuple[np.ndarray, np.ndarray]:
        """Labels by which rows are equal, and the stratum of each row for holding out."""
        raise NotImplementedError

    def _check_output(self, output: Any, n_rows: int, n_outputs: int) -> None:
        """Refuse a network by its output for a few rows."""
        raise NotImplementedError

    def _begin(self, training: Training) -> None:
        """Initialise what is learned besides the network."""
        net = self.net_
        if net.needs_closure_ and (self._learns_per_batch or net.scaler_ is not None):
            what = type(self).__name__ if net.scaler_ is None else "mixed_precision='float16'"
            raise ValueError(
                f"optimizer={type(net.optimizer_).__name__} computes the loss of a batch several"
                f" times per step, which {what} cannot do: use another optimiser."
            )

    def _set_fitted_attributes(self, training: Training) -> None:
        """Set fitted attributes after a training, complete or interrupted."""
        self._set_history()
        for callback in training.callbacks:
            if isinstance(callback, DynamicsRecorder):
                self.training_dynamics_ = callback.result()

    # Validation ------------------------------------------------------------------------------

    def _refuse_unused(self, names: tuple[str, ...]) -> None:
        """Refuse parameters that would be ignored, unless they have their defaults."""
        defaults = signature(type(self)).parameters
        for name in names:
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

    def _check_training_input(self, X: RowsLike, *, reset: bool) -> Numbers:
        """Validate settings that depend on one another, and rows to train on."""
        self._check_parts()
        if self._unused_params:
            self._refuse_unused(self._unused_params)
        return self._check_input(X, reset=reset)

    def _check_input(self, X: RowsLike, *, reset: bool) -> Numbers:
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

    def _check_dataset(self, dataset: Dataset[Any], *, reset: bool) -> DatasetRows:
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
            if hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            self.n_features_in_ = expected
        return rows

    # Training --------------------------------------------------------------------------------

    def _train(
        self,
        data: LabelledData,
        X: Numbers,
        seed: int,
        *,
        again: bool,
        target: np.ndarray | None = None,
        n_epochs: int | None = None,
        partial: bool = False,
        validation: tuple[LabelledData, Numbers] | None = None,
        module: torch.nn.Module | None = None,
        accelerator: "Accelerator | None" = None,
    ) -> None:
        """Train on validated rows; `validation` is data and numbers that are held out."""
        labels, weight = self._learned(data)
        train, valid = np.flatnonzero(data.used), None
        device = resolve_device(self.device) if accelerator is None else device_of(accelerator)
        if again:
            self._check_net(device)
        if validation is None and not partial and self._holds_out(len(train)):
            train, valid = self._hold_out(X, data, train, seed)
        held_out = valid is not None or validation is not None
        if self.callbacks:
            check_callbacks(self.callbacks, self.learning_rate_schedule, held_out=held_out)
        plan = self._plan_class.of(
            self,
            n_rows=len(train),
            n_epochs=self.max_epochs if n_epochs is None else n_epochs,
            device=device,
            seed=(seed + self.net_.n_trainings_) % 2**31 if again else seed,
            partial=partial,
            **self._plan_options(),
        )
        with plan.environment(X.shape[1:]):
            target = labels if target is None else target
            rows = make_rows(X, target, weight, dtype=plan.dtype, device=device)
            train, valid = rows.part(train), None if valid is None else rows.part(valid)
            if validation is not None:
                own, numbers = validation
                rows = make_rows(numbers, *self._learned(own), dtype=plan.dtype, device=device)
                valid = rows.part(np.flatnonzero(own.used))
            if again:
                self.net_.follow(plan)
            else:
                # From here on there is something to keep, whatever interrupts the training.
                self.net_ = self._make_net(plan, data, X, train, module, accelerator)
                if data.classes is not None:
                    self.classes_ = data.classes
            self._run(Training(data, train, valid, self._make_callbacks(data, valid)))

    def _check_net(self, device: torch.device) -> None:
        """Refuse to continue a training that cannot be, or elsewhere."""
        if self.net_.frozen_:
            raise ValueError(
                f"A quantised network cannot be trained further: clone the {self._kind}."
            )
        if device != torch.device(self.net_.device):
            raise ValueError(
                f"device={self.device!r} is another one than {self.net_.device}, on which the"
                f" training began: clone the {self._kind} to start anew."
            )

    def _holds_out(self, n_rows: int) -> bool:
        """Whether rows are held out from the training."""
        if self.early_stopping == "auto":
            return n_rows > self._many_rows and not self.record_dynamics
        return bool(self.early_stopping)

    def _hold_out(
        self, X: Numbers, data: LabelledData, used: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Hold out rows, of each class its share where that is possible."""
        share, weight = self.validation_fraction, data.sample_weight
        held = hold_out(X, *self._strata(data), weight, used, fraction=share, seed=seed)
        if np.ceil(share * len(used)) >= len(used) or not held.any():
            raise ValueError(
                f"validation_fraction={share} leaves none of {len(used)} rows"
                f" to train on, or none to hold out (n_samples={len(used)}): change it, or set"
                " early_stopping=False."
            )
        return used[~held], used[held]

    def _make_net(
        self,
        plan: TrainingPlan,
        data: LabelledData,
        X: Numbers,
        train: Rows,
        module: torch.nn.Module | None,
        accelerator: "Accelerator | None",
    ) -> BaseNet:
        """Make network, loss and optimiser."""
        n_outputs = 1 if data.classes is None else len(data.classes)
        if module is None:
            module = self._build_module(X.shape[1] if X.ndim == 2 else X.shape[1:], n_outputs)
            if self.hidden_noise:
                self._add_noise(module)
        module = module.to(plan.device, plan.dtype)
        first = train.take_first(2)[0]["X"]
        output, widest = probe(module, first)
        self._check_output(output, len(first), n_outputs)
        criterion = self._build_criterion(n_outputs).to(plan.device, plan.dtype)
        if accelerator is None:
            net = self._net_class(module, criterion, plan)
        else:
            net = AcceleratedNet(module, criterion, plan, accelerator=accelerator)
        for name, value in self._net_attributes(data).items():
            setattr(net, name, value)
        net.widest_ = widest
        return net.initialize()

    def _make_callbacks(self, data: LabelledData, valid: Rows | None) -> list[Callback]:
        """Make the callbacks of this training besides those of the user."""
        net, plan = self.net_, self.net_.plan_
        callbacks = [] if net.average_ is None else [net.average_]
        if self.record_dynamics:
            callbacks.append(DynamicsRecorder(data.n_samples, len(data.classes)))
        if valid is not None and plan.monitor is not None:
            callbacks.append(BestEpoch(plan.monitor, plan.patience, plan.tolerance))
        net.verbose = int(self.verbose) if net.leads else 0
        if net.verbose:
            callbacks.append(Progress(net.verbose))
        return callbacks

    def _run(self, training: Training) -> None:
        """Train, and leave a consistent state even if that is interrupted."""
        net = self.net_
        try:
            net.prepare(training.train, training.callbacks, self.callbacks or ())
            self._begin(training)
            net.run(training.train, training.valid)
        except Exception:
            if not net.has_learned:
                del self.net_
            raise
        finally:
            if hasattr(self, "net_"):
                net.end(training.train)
                self._set_fitted_attributes(training)
        if net.diverged_ is None:
            return
        epoch = net.diverged_
        advice = "Lower learning_rate, set gradient_clip, or scale X."
        if net.kept_epoch_ == net.first_epoch_:
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

    def _set_history(self) -> None:
        """Set the attributes about the epochs."""
        history = self.net_.history
        self.n_iter_, self.history_ = len(history), EpochTable.of(history)

    # Predictions and storage -----------------------------------------------------------------

    @property
    def module_(self) -> torch.nn.Module:
        """The trained network."""
        check_is_fitted(self, "net_")
        return self.net_.module_

    def _rows_to_predict(self, X: RowsLike) -> Rows:
        """Validate rows to predict."""
        check_is_fitted(self)
        X, net = self._check_input(X, reset=False), self.net_
        return make_rows(X, None, None, dtype=net.floating_point, device=torch.device(net.device))

    def _outputs(self, X: RowsLike) -> torch.Tensor:
        """Outputs of the network, shape (n_samples, n_outputs), float64, on the CPU."""
        rows = self._rows_to_predict(X)
        with explain_out_of_memory("The memory of the device ran out while predicting."):
            return self.net_.predict_outputs(rows)

    def save_params(
        self,
        f_params: File | None = None,
        f_optimizer: File | None = None,
        f_criterion: File | None = None,
        f_history: File | None = None,
        use_safetensors: bool = False,
    ) -> None:
        """Save weights and more to files that skorch and torch read.

        Parameters
        ----------
        %(files)s
        """
        check_is_fitted(self, "net_")
        self.net_.save_params(
            f_params, f_optimizer, f_criterion, f_history, use_safetensors=use_safetensors
        )

    def load_params(
        self,
        f_params: File | None = None,
        f_optimizer: File | None = None,
        f_criterion: File | None = None,
        f_history: File | None = None,
        use_safetensors: bool = False,
    ) -> None:
        """Load what was saved into a fitted estimator whose network has the same layers.

        Parameters
        ----------
        %(files)s
        """
        message = (
            "This %(name)s has no network yet to load weights into: fit it first, for instance for"
            " one epoch, or pickle the whole estimator instead of its weights."
        )
        check_is_fitted(self, "net_", msg=message)
        self.net_.load_params(
            f_params, f_optimizer, f_criterion, f_history, use_safetensors=use_safetensors
        )
        self._set_history()


class EpochTable(dict[str, np.ndarray]):
    """Columns of figures, one row per epoch; ``pandas.DataFrame(table)`` makes a frame of it."""

    @classmethod
    def of(cls, history: Iterable[dict[str, Any]]) -> "EpochTable":
        """Make the table of a skorch history, of the epochs that were completed."""
        epochs = [row for row in history if "dur" in row]
        table = cls(epoch=np.array([row["epoch"] for row in epochs], dtype=np.intp))
        for key in dict.fromkeys(key for row in epochs for key in row):
            if key not in _LEFT_OUT:
                table[_COLUMNS.get(key, key.removeprefix("own_"))] = _column(epochs, key)
        return table

    def __repr__(self) -> str:
        return f"<{len(self.get('epoch', ()))} epochs: {', '.join(self)}>"


def _column(rows: list[dict], key: str) -> np.ndarray:
    """Gather the values of one key: NaN where there is none, objects if they are no numbers."""
    values = [row.get(key, np.nan) for row in rows]
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return np.array(values, dtype=bool)
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
