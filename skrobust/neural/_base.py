"""What the neural classifiers have in common: data in, a net inside, predictions out."""

import copy
import warnings
from inspect import signature
from numbers import Integral, Real

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import validate_data
from torch.nn import Sequential
from torch.utils.data import Dataset

from skrobust.neural import losses
from skrobust.neural._callbacks import BestEpoch, Progress, WeightAverage
from skrobust.neural._checks import check_more, check_targets, split, spread, widest
from skrobust.neural._dataset import DatasetRows, labels_of
from skrobust.neural._device import explain_out_of_memory, own_generators, resolve_device
from skrobust.neural._dynamics import DynamicsRecorder
from skrobust.neural._net import Net
from skrobust.neural._optimizers import (
    OPTIMIZERS,
    SCHEDULES,
    optimizer_class,
    optimizer_options,
)
from skrobust.neural._predicting import DTYPES, PredictsByNet
from skrobust.neural._rows import make_rows
from skrobust.neural._table import EpochTable
from skrobust.neural.layers import HiddenNoise
from skrobust.neural.modules import MLP
from skrobust.utils._data import LabelledData, check_labelled_data
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._scoring import LabelledScore
from skrobust.utils._sklearn import Interval, StrOptions, fit_context, validate_params_of

CRITERIA = {
    "cross_entropy": losses.CrossEntropy,
    "generalized_cross_entropy": losses.GeneralizedCrossEntropy,
    "symmetric_cross_entropy": losses.SymmetricCrossEntropy,
    "normalized_cross_entropy": losses.NormalizedCrossEntropy,
    "mean_absolute_error": losses.MeanAbsoluteError,
    "active_passive": losses.ActivePassiveLoss,
    "bootstrapping": losses.Bootstrapping,
    "cores": losses.CORES,
    "peer": losses.PeerLoss,
}
"""What `criterion` may be called; the losses have their default parameters."""

# batch_size="auto": at most so many rows, and all if there are no more.
_AUTO_BATCH = 256
# early_stopping="auto" holds rows out where there are more than this.
_MANY_ROWS = 10_000
# Attributes that hold rows while they are trained on.
_OF_A_TRAINING = ("_recorder", "_data", "_seen", "_trained_on")
# Parameters that are no weights, by name, and how much faster than these they are to be learned:
# decay would not shrink, but move them, and odds have a long way to go.
_NO_WEIGHTS = {"log_beta": 1, "log_odds": 10}
_PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class BaseNeuralClassifier(PredictsByNet, LabelledScore, ClassifierMixin, BaseEstimator):
    """Base class of classifiers that have a skorch net.

    A subclass overrides as few as possible of :meth:`_build_module`, :meth:`_build_criterion`,
    :meth:`_net_options`, and the class of the net in `_net_class`.
    """

    _net_class = Net
    # Mini-batches are drawn by chance.
    _exact_evidence = False

    _parameter_constraints: dict = {
        "module": [torch.nn.Module, callable, None],
        "hidden_layer_sizes": ["array-like"],
        "activation": [str],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "criterion": [StrOptions(set(CRITERIA)), torch.nn.Module, callable],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_schedule": [StrOptions(set(SCHEDULES))],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "gradient_clip": [None, Interval(Real, 0, None, closed="neither")],
        "label_smoothing": [Interval(Real, None, 1, closed="neither")],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "consistency": [Interval(Real, 0, None, closed="left")],
        "input_noise": [Interval(Real, 0, None, closed="neither")],
        "hidden_noise": [Interval(Real, 0, None, closed="left")],
        "ema_decay": [None, Interval(Real, 0, 1, closed="neither")],
        "mixed_precision": [None, StrOptions(set(_PRECISIONS))],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "validation_score": [StrOptions({"accuracy", "loss"})],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "record_dynamics": ["boolean"],
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
        hidden_layer_sizes=(256, 128),
        activation="relu",
        dropout=0.0,
        criterion="cross_entropy",
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        learning_rate_schedule="constant",
        optimizer="adam",
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.criterion = criterion
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.optimizer = optimizer
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

    def _build_module(self, shape, n_classes: int) -> torch.nn.Module:
        """Make the network, its weights drawn from torch's generator."""
        if self.module is None:
            sizes = tuple(self.hidden_layer_sizes)
            return MLP(
                shape,
                n_classes,
                hidden_layer_sizes=sizes,
                activation=self.activation,
                dropout=self.dropout,
            )
        if isinstance(self.module, torch.nn.Module):
            return copy.deepcopy(self.module)
        return self.module(shape, n_classes)

    def _add_noise(self, module) -> None:
        """Put noise between the features of a network and its head."""
        module.head = Sequential(HiddenNoise(self.hidden_noise), split(module).head)

    def _build_criterion(self, n_classes: int) -> torch.nn.Module:
        """Make the loss, one number per row."""
        if isinstance(self.criterion, str):
            return CRITERIA[self.criterion](reduction="none")
        if isinstance(self.criterion, torch.nn.Module):
            criterion = copy.deepcopy(self.criterion)
        else:
            criterion = self.criterion()
        if hasattr(criterion, "reduction"):
            criterion.reduction = "none"
        return criterion

    def _net_arguments(self) -> dict:
        """What the constructor of the net takes besides."""
        return {}

    def _net_options(self) -> dict:
        """What the net is to know besides; see :meth:`Net.configure`."""
        return {
            "schedule": self.learning_rate_schedule,
            "gradient_clip": self.gradient_clip,
            "label_smoothing": self.label_smoothing,
            "mixup": self.mixup,
            "consistency": self.consistency,
            "input_noise": self.input_noise,
            "requested_device": str(self.device),
        }

    # Fitting --------------------------------------------------------------------------------

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, verified_labels=None, sample_weight=None, target_proba=None):
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Numbers: a table, or anything with more axes that `module` takes, such as images of
            shape (n_samples, n_channels, height, width). Bytes with more than two axes reach the
            network as numbers in [0, 1]. On the CPU, an array on disk is read batch by batch, and
            a data set everywhere: its items are inputs, or tuples of an input and a label.
        y : array-like of shape (n_samples,), default=None
            Given labels. Rows whose label is None, NaN or blank are not trained on. May be left
            out only where X is a data set that has them: as its `targets`, or in its items, all of
            which are read then before the training.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. They are trained on instead of those in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. Those of a batch multiply its losses.
        target_proba : array-like of shape (n_samples, n_classes), default=None
            Probabilities of the classes, in sorted order, to learn instead of the labels.

        Returns
        -------
        self : object
            Fitted classifier.

        Raises
        ------
        ValueError
            If X has NaN or infinite entries (those of a data set are found when they are read),
            `batch_size` is larger than the rows to train on,
            `module` gives another number of outputs than there are classes, or the loss becomes
            infinite at once. Where it does later, a warning says so and the weights of the last
            epoch that gives a finite one are kept.
        """
        again = self.warm_start and hasattr(self, "net_")
        data, X = self._check_fit(X, y, verified_labels, sample_weight, reset=not again)
        if target_proba is not None:
            target_proba = check_targets(target_proba, data)
        if again:
            self._check_same_classes(data.classes)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, target_proba, seed, again=again)
        return self

    def _fit_labelled(self, data: LabelledData, target_proba=None):
        """Train on validated rows, of whose classes some may have no row."""
        validate_params_of(self)
        self._refuse_unused()
        X = self._check_input(data.X, reset=True)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, target_proba, seed, again=False)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, *, sample_weight=None):
        """Train for one more epoch on these rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, ...)
            Rows.
        y : array-like of shape (n_samples,)
            Given labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that there will be; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            Fitted classifier.
        """
        first = not hasattr(self, "net_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if not first and classes is not None:
            self._check_same_classes(np.unique(classes))
        known = np.unique(classes) if first else self.classes_
        data, X = self._check_fit(X, y, None, sample_weight, reset=first, classes=known)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, None, seed, again=not first, n_epochs=1, partial=True)
        return self

    # Parameters that the method has no use for.
    _unused_params: tuple = ()

    def _refuse_unused(self) -> None:
        """Refuse a parameter that would be ignored."""
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

    def _check_fit(self, X, y, verified_labels, sample_weight, *, reset, classes=None):
        """Validate what is to be trained on, before any work."""
        device = self._find_device()
        self._refuse_unused()
        if not reset and device != torch.device(self.net_.device):
            raise ValueError(
                f"device={self.device!r} is another one than {self.net_.device}, on which the"
                " training began: clone the classifier to start anew."
            )
        numbers = self._check_input(X, reset=reset)
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        if classes is None:
            data = check_labelled_data(
                numbers, y, verified_labels=verified_labels, sample_weight=sample_weight
            )
        else:
            data = check_more(numbers, y, classes, sample_weight)
        return data, numbers

    def _check_input(self, X, *, reset: bool):
        """Validate rows as numbers."""
        if isinstance(X, DatasetRows):
            X = X.dataset
        if isinstance(X, Dataset):
            return self._check_dataset(X, reset=reset)
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

    def _check_same_classes(self, classes) -> None:
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"This classifier was trained on the classes {self.classes_.tolist()}, and cannot"
                f" go on with {classes.tolist()}: clone it to start anew."
            )

    def _train(self, data, X, proba, seed, *, again, n_epochs=None, partial=False) -> None:
        if again and self.net_.option("frozen"):
            raise ValueError("A quantised network cannot be trained further: clone the classifier.")
        device, dtype = self._find_device(), DTYPES[self.dtype]
        used = np.flatnonzero(data.used)
        train, valid = used, None
        if not partial and self._holds_out(len(used)):
            train, valid = self._split(used, data.best_codes, seed)
        batch_size = self._batch_size(len(train), partial)
        target = data.best_codes if proba is None else proba
        what = (
            f"The memory of the device {device} ran out with rows of shape {X.shape[1:]} in"
            f" batches of {batch_size}: lower batch_size, or the size of the network."
        )
        n_epochs = self.max_epochs if n_epochs is None else n_epochs
        seed = (seed + getattr(self, "_n_trainings", 0)) % 2**31 if again else seed
        with own_generators(device, seed), explain_out_of_memory(what):
            rows = make_rows(X, target, data.sample_weight, dtype=dtype, device=device)
            parts = rows.part(train), None if valid is None else rows.part(valid)
            if not again:
                net = self._make_net(parts[0], X, data.classes, batch_size, device, dtype)
                # From here on there is something to keep, whatever interrupts the training.
                self.net_, self.classes_, self._n_trainings = net, data.classes, 0
            else:
                self._refresh()
            self.net_.set_params(max_epochs=n_epochs, batch_size=batch_size)
            if partial:
                self.net_.configure(schedule="constant")  # nobody knows how many will follow
            self._run(parts, n_epochs, data)

    def _refresh(self) -> None:
        """Let the net know parameters that were set since it was made."""
        options = self._net_options()
        options.pop("average", None)
        net = self.net_.configure(**options)
        net.lr = self.learning_rate
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate * group.get("speed", 1)
            if "speed" not in group:
                group["weight_decay"] = self.weight_decay

    def _holds_out(self, n_rows: int) -> bool:
        if self.early_stopping == "auto":
            return n_rows > _MANY_ROWS
        return bool(self.early_stopping)

    def _split(self, used, codes, seed):
        """Hold out rows, of each class its share where that is possible."""
        _, counts = np.unique(codes[used], return_counts=True)
        n_valid = int(np.ceil(self.validation_fraction * len(used)))
        enough = counts.min() >= 2 and min(n_valid, len(used) - n_valid) >= len(counts)
        if n_valid >= len(used):
            raise ValueError(
                f"validation_fraction={self.validation_fraction} leaves none of {len(used)} rows"
                " to train on: lower it, or set early_stopping=False."
            )
        train, valid = train_test_split(
            used, test_size=n_valid, stratify=codes[used] if enough else None, random_state=seed
        )
        return np.sort(train), np.sort(valid)

    def _batch_size(self, n_rows: int, partial: bool) -> int:
        if self.batch_size == "auto":
            return min(_AUTO_BATCH, n_rows)
        if self.batch_size > n_rows and not partial:
            raise ValueError(
                f"batch_size={self.batch_size} is larger than the {n_rows} rows to train on: use"
                " 'auto', or a smaller one."
            )
        return min(self.batch_size, n_rows)

    def _make_net(self, rows, X, classes, batch_size, device, dtype) -> Net:
        shape = X.shape[1] if X.ndim == 2 else X.shape[1:]
        module = self._build_module(shape, len(classes))
        if self.hidden_noise:
            self._add_noise(module)
        module = module.to(device, dtype)
        self._check_outputs(module, rows, len(classes))
        optimizer = optimizer_class(self.optimizer)
        options = optimizer_options(
            optimizer, weight_decay=self.weight_decay, momentum=self.momentum, device=device
        )
        criterion = self._build_criterion(len(classes)).to(device, dtype)
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
        net.configure(n_classes=len(classes), widest=widest(module, rows), **self._net_options())
        if self.ema_decay is not None:
            net.configure(average=WeightAverage(self.ema_decay))
        return net.initialize()

    def _check_outputs(self, module, rows, n_classes) -> None:
        """Refuse a network whose outputs are not one per class; also makes lazy layers."""
        module.eval()
        first = rows.order(shuffle=False)[:2]
        with torch.no_grad():
            output = self._forward(module, rows.input_at(first))
        shape = tuple(getattr(output, "shape", ()))
        if shape != (len(first), n_classes):
            raise ValueError(
                f"module gives outputs of shape {shape} for {len(first)} rows, and must give"
                f" {(len(first), n_classes)}: one for each of the {n_classes} classes."
            )

    def _forward(self, module, X):
        return module(X)

    def _prepare(self, parts, n_epochs, data) -> None:
        """Tell the net about this training."""
        net = self.net_
        device_type = net.device.partition(":")[0]
        kind = _PRECISIONS.get(self.mixed_precision)
        needs_scaler = kind is torch.float16 and device_type == "cuda"
        net.configure(
            n_epochs=n_epochs,
            device_type=device_type,
            mixed_precision=kind,
            scaler=torch.amp.GradScaler(device_type) if needs_scaler else None,
            input_scale=spread(parts[0]) if self.consistency else None,
            first_epoch=len(net.history),
        )
        callbacks = [] if net.option("average") is None else [net.option("average")]
        if self.record_dynamics:
            self._recorder = DynamicsRecorder(data.n_samples, len(data.classes))
            callbacks.append(self._recorder)
        if parts[1] is not None:
            callbacks.append(BestEpoch(self.validation_score, self.n_iter_no_change))
        if self.verbose and net.leads:
            callbacks.append(Progress(int(self.verbose)))
        net.callbacks = [*callbacks, *(self.callbacks or ())]
        net.initialize_callbacks()

    def _run(self, parts, n_epochs, data) -> None:
        """Train, and leave everything in order even if that is interrupted."""
        net = self.net_
        try:
            self._prepare(parts, n_epochs, data)
            net.notify("on_train_begin", X=parts[0], y=None)
            net.fit_loop(parts)
        except Exception:
            if not any("dur" in epoch for epoch in net.history):
                del self.net_  # nothing was learned that could be kept
            raise
        finally:
            if hasattr(self, "net_"):
                net.notify("on_train_end", X=parts[0], y=None)
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
        if self.record_dynamics:
            self.training_dynamics_ = self._recorder.result()
