"""Tuning of the frozen features of an encoder, as a classifier and as a transformer."""

import dataclasses
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted
from torch.nn.functional import mse_loss, normalize

from skrobust.base._labelled_data import set_fitted
from skrobust.neural._classifier_nets import Net
from skrobust.neural._docs import document_estimator
from skrobust.neural._neural_classifier import BaseNeuralClassifier
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule, TrainingPlan
from skrobust.neural._typing import Batch, Callbacks, Criterion, RandomState
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._input import read_features
from skrobust.utils._sklearn import Interval, Tags, fit_context
from skrobust.utils._typing import LabelsLike, MatrixLike

_N_SINGULAR = 5
_LEAST = 1e-12
# Parameters of a network of the user's, which there is none of here. Norms over a batch, which
# ignore the weights of rows, cancel much of the effect of class weights.
_WITHOUT = (
    "module", "module_params", "hidden_layer_sizes", "activation", "dropout", "class_weight",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureTunePlan(TrainingPlan):
    """How features are tuned."""

    closeness: float
    decorrelation: float
    spectrum: float


class TunedFeatures(torch.nn.Module):
    """Features plus the output of a small network, and a linear head."""

    def __init__(self, n_features: int, n_classes: int, *, expansion: int = 4):
        super().__init__()
        n_hidden = expansion * n_features
        self.added = torch.nn.Sequential(
            torch.nn.Linear(n_features, n_hidden),
            torch.nn.BatchNorm1d(n_hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(n_hidden, n_features),
        )
        self.scale = torch.nn.Parameter(torch.ones(n_features))
        self.head = torch.nn.Linear(n_features, n_classes)
        torch.nn.init.kaiming_uniform_(self.head.weight, nonlinearity="linear")
        torch.nn.init.zeros_(self.head.bias)
        self.n_features_out = n_features
        self.last_pass = None

    def features(self, X: torch.Tensor) -> torch.Tensor:
        """Compute the tuned features."""
        return self.scale * self.added(X) + X

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Compute scores; in training mode, store the features before and after."""
        tuned = self.features(X)
        self.last_pass = (X, tuned) if self.training else None
        return self.head(tuned)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "last_pass": None}


def distance_moved(given: torch.Tensor, tuned: torch.Tensor) -> torch.Tensor:
    """Mean squared difference between features before and after, both scaled to length 1."""
    return mse_loss(normalize(tuned, dim=1), normalize(given.detach(), dim=1))


def redundancy(tuned: torch.Tensor) -> torch.Tensor:
    """Sum of the squared covariances of different features over the batch, per feature."""
    n_rows, n_features = tuned.shape
    centred = tuned - tuned.mean(dim=0)
    covariance = centred.T @ centred / max(n_rows - 1, 1)
    total = covariance.square().sum() - covariance.diagonal().square().sum()
    return total / n_features


def dominance(tuned: torch.Tensor) -> torch.Tensor:
    """Mean of the five largest singular values of the batch, as shares of the sum of all."""
    values = torch.linalg.svdvals(tuned.float() if tuned.dtype == torch.bfloat16 else tuned)
    return values[:_N_SINGULAR].mean() / values.sum().clamp_min(_LEAST)


class FeatureTuneNet(Net):
    """Adds the three terms to the loss."""

    plan_: FeatureTunePlan

    def compute_loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the loss of a batch."""
        loss, logits = super().compute_loss(batch)
        given, tuned = self.module_.last_pass
        plan = self.plan_
        # A term of weight zero is not computed: it could still be NaN.
        if plan.closeness:
            loss = loss + plan.closeness * distance_moved(given, tuned)
        if plan.decorrelation:
            loss = loss + plan.decorrelation * redundancy(tuned)
        if plan.spectrum:
            loss = loss + plan.spectrum * -dominance(tuned)
        return loss, logits


@document_estimator
class FeatureTuneClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseNeuralClassifier
):
    """NMTune classifier: tuned features of an encoder that was pre-trained on noisy labels.

    Encoders that were trained on noisy labels represent classes by many weak directions, and are
    often too large to be trained again. Here a small network is added to their frozen features,
    trained such that classes are linearly separable, features stay close to the given ones, are
    not correlated, and few directions dominate. Also a transformer, of the tuned features.

    .. versionadded:: 0.1

    Parameters
    ----------
    expansion : int, default=4
        Number of hidden units of the small network per feature, at least 1.
    closeness : float, default=1.0
        Weight of the distance between features before and after, not negative.
    decorrelation : float, default=0.04
        Weight of the squared covariances of different features, not negative.
    spectrum : float, default=0.001
        Weight of the share that the five largest singular values have, not negative.
    %(parameters)s

    Attributes
    ----------
    %(attributes)s

    See Also
    --------
    FeatureTuneTransformer : Only the features.
    NeuralClassifier : A network of any shape.

    Notes
    -----
    With all three weights 0 it is a plain network with a residual connection. The published
    figures are those of image and text encoders, trained for 30 epochs in batches of 64.

    References
    ----------
    Chen, Wang, Wang, Tao, Wei, Wang, Xie and Raj (2024). Understanding and mitigating the label
    noise in pre-training on downstream tasks. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skrobust.neural import FeatureTuneClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = FeatureTuneClassifier(max_epochs=5, random_state=0).fit(X / 16, y)
    >>> model.transform(X / 16).shape
    (1797, 64)
    >>> bool(model.score(X / 16, y) > 0.9)
    True
    """

    expansion: int
    closeness: float
    decorrelation: float
    spectrum: float

    _net_class = FeatureTuneNet
    _plan_class = FeatureTunePlan

    _parameter_constraints: dict = {
        **{
            name: constraint
            for name, constraint in BaseNeuralClassifier._parameter_constraints.items()
            if name not in _WITHOUT
        },
        "expansion": [Interval(Integral, 1, None, closed="left")],
        "closeness": [Interval(Real, 0, None, closed="left")],
        "decorrelation": [Interval(Real, 0, None, closed="left")],
        "spectrum": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        expansion: int = 4,
        closeness: float = 1.0,
        decorrelation: float = 0.04,
        spectrum: float = 0.001,
        criterion: Criterion = "cross_entropy",
        criterion_params: dict[str, Any] | None = None,
        max_epochs: int = 30,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 1e-3,
        learning_rate_schedule: Schedule = "cosine",
        optimizer: Optimizer = "adamw",
        optimizer_params: dict[str, Any] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        gradient_clip: float | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        consistency: float = 0.0,
        input_noise: float = 0.1,
        hidden_noise: float = 0.0,
        ema_decay: float | None = None,
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

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # the type of the network
        return tags

    def _build_module(self, shape: int, n_outputs: int) -> torch.nn.Module:
        return TunedFeatures(shape, n_outputs, expansion=self.expansion)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Compute the tuned features.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        tuned : ndarray of shape (n_samples, n_features)
            Features.
        """
        rows = self._rows_to_predict(X)
        tuned = self.net_.predict_outputs(rows, lambda x: self.module_.features(x))
        return tuned.numpy().astype(np.dtype(self.dtype), copy=False)


@fill_docstring
class FeatureTuneTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """NMTune transformer: tuned features for the classifier that follows in a pipeline.

    .. versionadded:: 0.1

    Parameters
    ----------
    classifier : FeatureTuneClassifier, default=None
        Estimator that tunes the features, cloned. None is one with its default parameters.
    random_state : int, RandomState instance or None, default=None
        If not None, the seed of the classifier.

    Attributes
    ----------
    classifier_ : FeatureTuneClassifier
        Fitted.
    %(features_in)s

    See Also
    --------
    FeatureTuneClassifier : The method and its publication.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skrobust.neural import FeatureTuneClassifier, FeatureTuneTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> tune = FeatureTuneTransformer(FeatureTuneClassifier(max_epochs=5), random_state=0)
    >>> model = make_pipeline(tune, LogisticRegression(max_iter=1000)).fit(X / 16, y)
    >>> bool(model.score(X / 16, y) > 0.95)
    True
    """

    classifier_: FeatureTuneClassifier
    n_features_in_: int
    feature_names_in_: np.ndarray

    _parameter_constraints: dict = {
        "classifier": [FeatureTuneClassifier, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        classifier: FeatureTuneClassifier | None = None,
        *,
        random_state: RandomState = None,
    ) -> None:
        self.classifier = classifier
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: MatrixLike,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Tune the features.

        Parameters
        ----------
        %(X_matrix)s
        %(y_not_fitted)s
        %(verified_labels)s
        %(sample_weight)s

        Returns
        -------
        %(returns_self)s
        """
        classifier = FeatureTuneClassifier() if self.classifier is None else clone(self.classifier)
        if self.random_state is not None:
            classifier.set_params(random_state=self.random_state)
        self.classifier_ = classifier.fit(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        set_fitted(self, **read_features(X))
        return self

    def transform(self, X: MatrixLike) -> np.ndarray:
        """Compute the tuned features.

        Parameters
        ----------
        %(X_matrix)s

        Returns
        -------
        tuned : ndarray of shape (n_samples, n_features)
            Features.
        """
        check_is_fitted(self)
        return self.classifier_.transform(X)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_in_
