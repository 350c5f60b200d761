"""The neural network regressor with robust losses."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin
from torch.utils.data import Dataset

from skrobust.base import LabelledData
from skrobust.neural import losses
from skrobust.neural._docs import document_estimator
from skrobust.neural._estimator import BaseNeuralEstimator
from skrobust.neural._neural_classifier import split_validation
from skrobust.neural._plan import DType, Optimizer, Precision, Schedule
from skrobust.neural._rows import Numbers, labels_of
from skrobust.neural._training import BaseNet
from skrobust.neural._typing import (
    Callbacks,
    Criterion,
    ModuleLike,
    RandomState,
    RowsLike,
    ValidationData,
)
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import StrOptions, fit_context
from skrobust.utils._typing import LabelsLike, MatrixLike

CRITERIA = {
    "huber": losses.Huber,
    "squared_error": losses.SquaredError,
    "log_cosh": losses.LogCosh,
    "trimmed": losses.TrimmedSquaredError,
}
"""Losses by name, with their default parameters."""

# The interquartile range of a normal distribution, in standard deviations.
_NORMAL_RANGE = 1.349


class RegressionNet(RegressorMixin, BaseNet):
    """The net of a regressor, which scorers take for one of the user's targets."""

    target_scaling_: tuple[float, float]

    def infer(self, x: Any, **fit_params: Any) -> torch.Tensor:
        """Compute predictions of a batch."""
        return one_column(super().infer(x, **fit_params))

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets."""
        return self.decode(self.outputs(X).numpy())

    def decode(self, target: np.ndarray) -> np.ndarray:
        """Invert the standardisation of targets."""
        center, scale = self.target_scaling_
        return target * scale + center


def one_column(output: torch.Tensor) -> torch.Tensor:
    """Drop the second axis of outputs of shape (n_rows, 1)."""
    return output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output


@document_estimator
class NeuralRegressor(RegressorMixin, BaseNeuralEstimator):
    """Neural network regressor with losses that are robust to wrong targets.

    Targets are standardised by their median and interquartile range, which wrong targets hardly
    affect, so that the parameters of the losses suit targets of any scale.

    .. versionadded:: 0.1

    Parameters
    ----------
    %(module)s
    %(parameters)s

    Attributes
    ----------
    %(attributes)s
    target_center_ : float
        Median of the targets, which the network predicts as 0.
    target_scale_ : float
        Scale of the targets, which the network predicts as 1: the interquartile range of the
        targets in units of that of a normal distribution; their standard deviation where that is
        zero.

    See Also
    --------
    skrobust.wrappers.CleaningRegressor : Detects wrong targets first.
    skrobust.neural.losses : The losses, with their parameters.
    NeuralClassifier : The same for classes.

    Notes
    -----
    The network receives features unscaled: put a scaler before it in a pipeline. An integer weight
    counts as that number of equal rows exactly where all rows are in one batch.

    References
    ----------
    Huber (1964). Robust estimation of a location parameter. Annals of Mathematical Statistics.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skrobust.neural import NeuralRegressor
    >>> X, y = make_regression(400, 5, noise=10, random_state=0)
    >>> y_wrong = np.where(np.arange(400) % 10 == 0, 1000, y)
    >>> model = make_pipeline(StandardScaler(), NeuralRegressor(random_state=0)).fit(X, y_wrong)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    target_center_: float
    target_scale_: float

    _net_class = RegressionNet
    _criteria = CRITERIA
    _kind = "regressor"
    _many_rows = 300

    _parameter_constraints: dict = {
        **BaseNeuralEstimator._parameter_constraints,
        "criterion": [StrOptions(set(CRITERIA)), torch.nn.Module, callable],
    }

    def __init__(
        self,
        module: ModuleLike | None = None,
        *,
        module_params: dict[str, Any] | None = None,
        hidden_layer_sizes: Sequence[int] = (256, 128),
        activation: str = "relu",
        dropout: float = 0.0,
        criterion: Criterion = "huber",
        criterion_params: dict[str, Any] | None = None,
        max_epochs: int = 100,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 1e-3,
        learning_rate_schedule: Schedule = "constant",
        optimizer: Optimizer = "adam",
        optimizer_params: dict[str, Any] | None = None,
        momentum: float = 0.9,
        weight_decay: float = 1e-3,
        gradient_clip: float | None = None,
        ema_decay: float | None = 0.99,
        mixed_precision: Precision | None = None,
        early_stopping: bool | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int | None = 10,
        warm_start: bool = False,
        device: str | torch.device = "auto",
        dtype: DType = "float32",
        random_state: RandomState = None,
        verbose: int = 0,
        callbacks: Callbacks = None,
    ) -> None:
        self._set_arguments(locals())

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: RowsLike,
        y: LabelsLike | None = None,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation_data: ValidationData | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Numbers: a feature matrix, or rows with more axes that `module` takes. On the CPU, an
            array on disk is read batch by batch, and a data set everywhere.
        y : array-like of shape (n_samples,), default=None
            Given targets. Rows whose target is None or NaN are not trained on. May be left out
            only where X is a data set that has them.
        verified_labels : array-like of shape (n_samples,), default=None
            Verified targets, missing where there is none. They are trained on instead of those in
            `y`.
        %(batch_weight)s
        %(validation_data)s

        Returns
        -------
        %(returns_self)s

        Raises
        ------
        ValueError
            If X has NaN or infinite entries, y has infinite ones or several columns, `batch_size`
            is larger than the rows to train on, `module` gives several outputs, or the loss
            becomes infinite at once. Where it does later, a warning is issued and the weights of
            the last epoch that gives a finite one are kept.
        """
        again = self.warm_start and hasattr(self, "net_")
        data, X = self._check_fit(X, y, verified_labels, sample_weight, reset=not again)
        if validation_data is not None:
            X_valid, y_valid, weight = split_validation(validation_data)
            numbers = self._check_input(X_valid, reset=False)
            own = _check_targets(X_valid, numbers, y_valid, sample_weight=weight)
            validation_data = own, numbers
        if not again:
            self.target_center_, self.target_scale_ = scale_of_targets(data)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, seed, again=again, validation=validation_data)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: MatrixLike, y: LabelsLike, *, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch on these rows.

        The first call decides on how targets are standardised.

        Parameters
        ----------
        %(X_table)s
        y : array-like of shape (n_samples,)
            Given targets.
        %(batch_weight)s

        Returns
        -------
        %(returns_self)s
        """
        first = not hasattr(self, "net_")
        data, X = self._check_fit(X, y, None, sample_weight, reset=first)
        if first:
            self.target_center_, self.target_scale_ = scale_of_targets(data)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, seed, again=not first, n_epochs=1, partial=True)
        return self

    def predict(self, X: RowsLike) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        %(X_rows)s

        Returns
        -------
        %(returns_targets)s
        """
        outputs = one_column(self._outputs(X)).numpy()
        return outputs * self.target_scale_ + self.target_center_

    def _check_fit(
        self,
        X: RowsLike,
        y: LabelsLike | None,
        verified_labels: LabelsLike | None,
        sample_weight: ArrayLike | None,
        *,
        reset: bool,
    ) -> tuple[LabelledData, Numbers]:
        """Validate targets and rows before any work."""
        numbers = self._check_training_input(X, reset=reset)
        data = _check_targets(
            X, numbers, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return data, numbers

    def _learned(self, data: LabelledData) -> tuple[np.ndarray, np.ndarray | None]:
        # Rows without a target are not trained on.
        target = (np.nan_to_num(data.y_train) - self.target_center_) / self.target_scale_
        return target, data.sample_weight

    def _strata(self, data: LabelledData) -> tuple[np.ndarray, np.ndarray]:
        return data.y_train, np.zeros(data.n_samples, dtype=np.intp)

    def _net_attributes(self, data: LabelledData) -> dict[str, Any]:
        return {"target_scaling_": (self.target_center_, self.target_scale_)}

    def _check_output(self, output: Any, n_rows: int, n_outputs: int) -> None:
        shape = tuple(getattr(output, "shape", ()))
        if shape not in ((n_rows,), (n_rows, 1)):
            raise ValueError(
                f"module gives outputs of shape {shape} for {n_rows} rows, and must give"
                f" {(n_rows,)} or {(n_rows, 1)}: one prediction per row."
            )


def _check_targets(
    X: RowsLike, numbers: Numbers, y: LabelsLike | None, **metadata: Any
) -> LabelledData:
    """Validate targets, which a data set may have itself."""
    if y is None and isinstance(X, Dataset):
        y = labels_of(X)
    return LabelledData.from_arrays(numbers, y, kind="numbers", **metadata)


def scale_of_targets(data: LabelledData) -> tuple[float, float]:
    """Compute the weighted median and the robust scale of targets; 1 if all are equal."""
    values = data.y_train[data.used]
    weight = np.ones(len(values)) if data.sample_weight is None else data.sample_weight[data.used]
    order = np.argsort(values, kind="stable")
    values, cumulated = values[order], np.cumsum(weight[order])
    wanted = np.array([0.25, 0.5, 0.75]) * cumulated[-1] * (1 - 1e-12)
    low, center, high = values[np.searchsorted(cumulated, wanted)]
    scale = (high - low) / _NORMAL_RANGE
    if scale <= 0:
        mean = np.average(values, weights=weight[order])
        scale = np.sqrt(np.average((values - mean) ** 2, weights=weight[order]))
    return float(center), float(scale) if scale > 0 else 1.0
