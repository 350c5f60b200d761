"""The base class of neural classifiers, and the neural network classifier with regularisation."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_consistent_length
from torch.utils.data import Dataset

from skrobust.base import LabelledData
from skrobust.base._label_estimator import LabelTags, as_label_tags
from skrobust.base._labels import encode_labels_like
from skrobust.base._pred_proba import as_proba, check_block
from skrobust.base._scoring import LabelledScore
from skrobust.neural import losses
from skrobust.neural._accelerated import AcceleratedNet, agree_on, join_processes
from skrobust.neural._callbacks import HalfFineTuning, callback_of
from skrobust.neural._classifier_nets import Net
from skrobust.neural._docs import document_estimator, document_methods
from skrobust.neural._estimator import BaseNeuralEstimator
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule
from skrobust.neural._rows import Numbers, labels_of
from skrobust.neural._typing import (
    Callbacks,
    ClassWeight,
    Criterion,
    ModuleLike,
    RandomState,
    RowsLike,
    ValidationData,
)
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import (
    Interval,
    StrOptions,
    fit_context,
    validate_params_of,
)
from skrobust.utils._typing import LabelsLike, MatrixLike
from skrobust.utils._weights import check_sample_weight

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
"""Losses by name, with their default parameters."""


@document_methods
class BaseNeuralClassifier(LabelledScore, ClassifierMixin, BaseNeuralEstimator):
    """Base class of classifiers that have a skorch net."""

    class_weight: ClassWeight = None

    _net_class = Net
    _criteria = CRITERIA
    _kind = "classifier"

    _parameter_constraints: dict = {
        **BaseNeuralEstimator._parameter_constraints,
        "criterion": [StrOptions(set(CRITERIA)), torch.nn.Module, callable],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "label_smoothing": [Interval(Real, None, 1, closed="neither")],
        "mixup": [Interval(Real, 0, None, closed="left")],
        "consistency": [Interval(Real, 0, None, closed="left")],
        "input_noise": [Interval(Real, 0, None, closed="neither")],
        "hidden_noise": [Interval(Real, 0, None, closed="left")],
        "validation_score": [StrOptions({"accuracy", "loss"})],
        "record_dynamics": ["boolean"],
    }

    def __sklearn_tags__(self) -> LabelTags:
        tags = as_label_tags(super().__sklearn_tags__())
        tags.exact_outputs = False  # mini-batches are drawn at random
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: RowsLike,
        y: LabelsLike | None = None,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        target_proba: ArrayLike | None = None,
        validation_data: ValidationData | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Numbers: a feature matrix, or rows with more axes that `module` takes, such as images
            of shape (n_samples, n_channels, height, width). Bytes with more than two axes reach
            the network as numbers in [0, 1]. On the CPU, an array on disk is read batch by batch,
            and a data set everywhere: its items are inputs, or tuples of an input and a label.
        y : array-like of shape (n_samples,), default=None
            Given labels. Rows whose label is None, NaN or blank are not trained on. May be left
            out only where X is a data set that has them: as its `targets`, or in its items, all of
            which are then read before the training.
        %(verified_training)s
        %(batch_weight)s
        target_proba : array-like of shape (n_samples, n_classes), default=None
            Probabilities of the classes, in sorted order, to learn instead of the labels.
        %(validation_data)s

        Returns
        -------
        %(returns_self)s

        Raises
        ------
        ValueError
            If X has NaN or infinite entries (those of a data set are found when they are read),
            `batch_size` is larger than the rows to train on, `module` gives another number of
            outputs than there are classes, or the loss becomes infinite at once. Where it does
            later, a warning is issued and the weights of the last epoch that gives a finite one
            are kept.
        """
        again = self.warm_start and hasattr(self, "net_")
        data, X = self._check_fit(X, y, verified_labels, sample_weight, reset=not again)
        if target_proba is not None:
            target_proba = check_target_proba(target_proba, data)
        if again:
            self._check_same_classes(data.classes)
        if validation_data is not None:
            validation_data = self._check_validation(validation_data, data.classes)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, seed, again=again, target=target_proba, validation=validation_data)
        return self

    def _fit_labelled(self, data: LabelledData, target_proba: np.ndarray | None = None) -> Self:
        """Train on validated rows, of whose classes some may have no row."""
        validate_params_of(self)
        X = self._check_training_input(data.X, reset=True)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, seed, again=False, target=target_proba)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: MatrixLike,
        y: LabelsLike,
        classes: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch on these rows.

        Parameters
        ----------
        %(X_table)s
        y : array-like of shape (n_samples,)
            Given labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that there will be; needed in the first call.
        %(batch_weight)s

        Returns
        -------
        %(returns_self)s
        """
        first = not hasattr(self, "net_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if not first and classes is not None:
            self._check_same_classes(np.unique(classes))
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not for partial_fit, which does not see all rows: pass"
                " a dict of weights."
            )
        known = np.unique(classes) if first else self.classes_
        data, X = self._check_fit(X, y, None, sample_weight, reset=first, classes=known)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, seed, again=not first, n_epochs=1, partial=True)
        return self

    def predict(self, X: RowsLike) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        %(X_rows)s

        Returns
        -------
        %(returns_labels)s
        """
        logits = self._outputs(X)
        return self.classes_[logits.argmax(dim=1).numpy()]

    def predict_proba(self, X: RowsLike) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        %(X_rows)s

        Returns
        -------
        %(returns_proba)s
        """
        return torch.softmax(self._outputs(X), dim=1).numpy()

    def predict_log_proba(self, X: RowsLike) -> np.ndarray:
        """Predict logarithms of probabilities.

        Parameters
        ----------
        %(X_rows)s

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            Logarithms, columns in the order of ``classes_``.
        """
        return torch.log_softmax(self._outputs(X), dim=1).numpy()

    def _check_fit(
        self,
        X: RowsLike,
        y: LabelsLike | None,
        verified_labels: LabelsLike | None,
        sample_weight: ArrayLike | None,
        *,
        reset: bool,
        classes: np.ndarray | None = None,
    ) -> tuple[LabelledData, Numbers]:
        """Validate labels and rows before any work."""
        numbers = self._check_training_input(X, reset=reset)
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        if classes is not None:
            return encode_rows(numbers, y, classes, sample_weight), numbers
        data = LabelledData.from_arrays(
            numbers, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return data, numbers

    def _check_validation(
        self, given: ValidationData, classes: np.ndarray
    ) -> tuple[LabelledData, Numbers]:
        """Validate rows to validate on."""
        X, y, weight = split_validation(given)
        numbers = self._check_input(X, reset=False)
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        return encode_rows(numbers, y, classes, weight, name="validation_data"), numbers

    def _check_same_classes(self, classes: np.ndarray) -> None:
        """Refuse to continue a training with other classes."""
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"This classifier was trained on the classes {self.classes_.tolist()}, and cannot"
                f" be trained further on {classes.tolist()}: clone it to start anew."
            )

    def _learned(self, data: LabelledData) -> tuple[np.ndarray, np.ndarray | None]:
        return data.y_train, class_weights(self.class_weight, data)

    def _strata(self, data: LabelledData) -> tuple[np.ndarray, np.ndarray]:
        return data.y_train, data.y_train

    def _net_attributes(self, data: LabelledData) -> dict[str, Any]:
        return {"classes_": data.classes}

    def _check_output(self, output: Any, n_rows: int, n_outputs: int) -> None:
        shape = tuple(getattr(output, "shape", ()))
        if shape != (n_rows, n_outputs):
            advice = " A network of two classes has two outputs as well." if n_outputs == 2 else ""
            raise ValueError(
                f"module gives outputs of shape {shape} for {n_rows} rows, and must give"
                f" {(n_rows, n_outputs)}: one for each of the {n_outputs} classes.{advice}"
            )
        sums = output.double().sum(dim=1)
        if bool((output >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
            raise ValueError(
                "module gives probabilities: its outputs are not negative and sum to 1 in each row."
                " Leave out the last softmax, as losses take scores before it."
            )


def encode_rows(
    X: Numbers,
    y: LabelsLike,
    classes: np.ndarray,
    sample_weight: ArrayLike | None,
    name: str = "y",
) -> LabelledData:
    """Validate rows of classes that are known already, of which some may be missing here."""
    codes = encode_labels_like(y, classes, name=name)
    check_consistent_length(X, codes)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, X)
    data = LabelledData(X, codes, classes, np.full(len(codes), -1, dtype=np.intp), weight)
    if not data.used.any():
        raise ValueError(f"{name} has no label of positive weight.")
    return data


def split_validation(
    given: ValidationData,
) -> tuple[RowsLike, ArrayLike | None, ArrayLike | None]:
    """Separate rows to validate on into X, y and weights."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(
            "validation_data must be a tuple (X, y) or (X, y, sample_weight), got"
            f" {type(given).__name__}"
            + (f" of length {len(given)}." if isinstance(given, (tuple, list)) else ".")
        )
    return (*given, None) if len(given) == 2 else tuple(given)


def check_target_proba(target_proba: ArrayLike, data: LabelledData) -> np.ndarray:
    """Validate probabilities of classes that are to be learned instead of labels."""
    proba = np.asarray(target_proba)
    expected = (data.n_samples, len(data.classes))
    if proba.shape != expected:
        raise ValueError(
            f"target_proba must have the shape {expected}: a row for each label, and a column for"
            f" each class in sorted order. It has {proba.shape}."
        )
    proba = as_proba(proba)
    check_block(proba, proba.sum(axis=1), float(proba.min()), 0, name="target_proba")
    return proba


def class_weights(class_weight: ClassWeight, data: LabelledData) -> np.ndarray | None:
    """Multiply the weights of rows by those of their classes."""
    if class_weight is None:
        return data.sample_weight
    codes, n_classes = data.y_train, len(data.classes)
    if isinstance(class_weight, dict):
        classes = data.classes.tolist()
        factors = np.array([class_weight.get(label, 1.0) for label in classes], dtype=np.float64)
        unknown = [label for label in class_weight if label not in classes]
        if unknown or not np.isfinite(factors).all() or (factors < 0).any() or not factors.any():
            raise ValueError(
                "class_weight must give labels finite weights that are not negative and not all"
                f" zero, and the labels are {classes}; got {class_weight}."
            )
    else:
        own = None if data.sample_weight is None else data.sample_weight[data.used]
        total = np.bincount(codes[data.used], weights=own, minlength=n_classes)
        factors = total.sum() / (n_classes * np.where(total > 0, total, 1.0))
    weight = np.where(codes >= 0, factors[codes], 1.0)
    return weight if data.sample_weight is None else weight * data.sample_weight


@document_estimator
class NeuralClassifier(BaseNeuralClassifier):
    """Neural network classifier with regularisation against noisy labels.

    By default, weights decay and their moving average predicts. With more than 1 000 rows, a tenth
    is held out, and an earlier epoch is restored if the last one has memorised wrong labels:
    held-out labels are as noisy as all others, but their accuracy orders epochs nevertheless.
    Mixup, label smoothing and robust losses are further parameters.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    accelerate : bool, default=False
        Whether the processes that ``accelerate launch`` started train one network together, each
        on its own GPU and with its part of each batch, through Hugging Face accelerate. All call
        ``fit`` with the same arguments, and all have the same network afterwards. `device` must
        be "auto" then; `record_dynamics`, :class:`HalfFineTuning` and a criterion that learns
        are refused.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s

    See Also
    --------
    skrobust.neural.losses : Losses that are robust to wrong labels.
    skrobust.neural.modules : Networks.
    skrobust.wrappers.CleaningClassifier : Drops or relabels rows that are flagged.

    Notes
    -----
    The network receives features unscaled: put a scaler before it in a pipeline.

    Weights multiply the losses of a batch, and have a mean of 1 over all rows. An integer weight
    counts as that number of equal rows exactly where all rows are in one batch.

    Where X lies on disk (``numpy.memmap``) and the network is on the CPU, it stays there. On a
    GPU, rows that would fill more than half of its memory, and sparse matrices, are moved batch by
    batch.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz (2018). mixup: Beyond Empirical Risk Minimization. ICLR.

    Lukasik, Bhojanapalli, Menon and Kumar (2020). Does label smoothing mitigate label noise?
    ICML.

    Wei, Liu, Liu, Niu, Sugiyama and Liu (2022). To Smooth or Not? When Label Smoothing Meets
    Noisy Labels. ICML.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust.neural import NeuralClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = make_classification(600, class_sep=2, flip_y=0, random_state=0)
    >>> y_noisy, _ = flip_labels(y, symmetric_transition(2, 0.3), random_state=0)
    >>> network = NeuralClassifier(max_epochs=20, weight_decay=1e-2, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network).fit(X, y_noisy)
    >>> bool(model.score(X, y) > 0.85)
    True
    """

    accelerate: bool

    _many_rows = 1_000

    _parameter_constraints: dict = {
        **BaseNeuralClassifier._parameter_constraints,
        "accelerate": ["boolean"],
    }

    def __init__(
        self,
        module: ModuleLike | None = None,
        *,
        accelerate: bool = False,
        module_params: dict[str, Any] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        activation: str = "relu",
        dropout: float = 0.0,
        criterion: Criterion = "cross_entropy",
        criterion_params: dict[str, Any] | None = None,
        class_weight: ClassWeight = None,
        max_epochs: int = 100,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 1e-3,
        learning_rate_schedule: Schedule = "constant",
        optimizer: Optimizer = "adam",
        optimizer_params: dict[str, Any] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 1e-3,
        gradient_clip: float | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        consistency: float = 0.0,
        input_noise: float = 0.1,
        hidden_noise: float = 0.0,
        ema_decay: float | None = 0.99,
        mixed_precision: Precision | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        validation_score: Literal["accuracy", "loss"] = "accuracy",
        n_iter_no_change: int | None = 10,
        record_dynamics: bool = False,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        dtype: DType = "float32",
        random_state: RandomState = None,
        verbose: int = 0,
        callbacks: Callbacks = None,
    ) -> None:
        self._set_arguments(locals())

    def _train(
        self, data: LabelledData, X: Numbers, seed: int, *, again: bool, **options: Any
    ) -> None:
        if again and isinstance(self.net_, AcceleratedNet) != self.accelerate:
            raise ValueError(
                f"accelerate={self.accelerate} is not what the training began with: clone the"
                " classifier to start anew."
            )
        if not self.accelerate:
            super()._train(data, X, seed, again=again, **options)
            return
        self._refuse_unused(("device", "record_dynamics"))
        own = (callback_of(item) for item in self.callbacks or ())
        if any(c is HalfFineTuning or isinstance(c, HalfFineTuning) for c in own):
            raise ValueError(
                "callbacks has HalfFineTuning, which processes cannot do together: set"
                " accelerate=False."
            )
        accelerator = join_processes()
        seed = agree_on(seed, accelerator)
        if again:
            self.net_.join(accelerator)
        try:
            super()._train(data, X, seed, again=again, accelerator=accelerator, **options)
        finally:
            if isinstance(getattr(self, "net_", None), AcceleratedNet):
                self.net_.leave()
