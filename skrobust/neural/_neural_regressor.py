"""A neural network regressor with robust losses."""

import numpy as np
import torch
from sklearn.base import RegressorMixin
from torch.utils.data import Dataset

from skrobust.base import LabelledData
from skrobust.neural import losses
from skrobust.neural._checks import split_validation
from skrobust.neural._dataset import labels_of
from skrobust.neural._estimator import BaseNeuralEstimator
from skrobust.neural._net import BaseNet
from skrobust.neural._scoring import ScoredAsRegressor
from skrobust.neural._shared_parameters import OF_CLASSES, shares_parameters
from skrobust.utils._random import draw_seed, private_random_state
from skrobust.utils._sklearn import StrOptions, fit_context

CRITERIA = {
    "huber": losses.Huber,
    "squared_error": losses.SquaredError,
    "log_cosh": losses.LogCosh,
    "trimmed": losses.TrimmedSquaredError,
}
"""What `criterion` may be called; the losses have their default parameters."""

# The interquartile range of a normal distribution, in standard deviations.
_NORMAL_RANGE = 1.349


class RegressionNet(ScoredAsRegressor, BaseNet):
    """The net of a regressor, whose targets are standardised."""

    def infer(self, x, **fit_params):
        """Compute predictions of a batch."""
        return one_column(super().infer(x, **fit_params))


def one_column(output: torch.Tensor) -> torch.Tensor:
    """Drop the second axis of outputs of shape (n_rows, 1)."""
    return output[:, 0] if output.ndim == 2 and output.shape[1] == 1 else output


@shares_parameters(
    without=OF_CLASSES, criterion="huber", weight_decay=1e-3, ema_decay=0.99, early_stopping="auto"
)
class NeuralRegressor(RegressorMixin, BaseNeuralEstimator):
    """A neural network regressor with losses that are robust to wrong targets.

    Targets are standardised by their median and interquartile range, which wrong targets hardly
    move, so that losses have parameters that suit targets of any scale.

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
        Spread of the targets, which the network predicts as 1: the interquartile range of the
        targets in units of that of a normal distribution; their standard deviation where that is
        zero.

    See Also
    --------
    skrobust.wrappers.CleaningRegressor : Finds wrong targets first.
    skrobust.neural.losses : The losses, with their parameters.
    NeuralClassifier : The same for classes.

    Notes
    -----
    The network sees the features as they are: put a scaler before it in a pipeline. An integer
    weight counts as so many equal rows exactly where all rows are in one batch.

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

    _net_class = RegressionNet
    _criteria = CRITERIA
    _kind = "regressor"
    _many_rows = 300

    _parameter_constraints: dict = {
        **BaseNeuralEstimator._parameter_constraints,
        "criterion": [StrOptions(set(CRITERIA)), torch.nn.Module, callable],
    }

    def __init__(self):
        # What only classifiers can change.
        self.validation_score = "loss"

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, verified_labels=None, sample_weight=None, validation_data=None):
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Numbers: a table, or anything with more axes that `module` takes. On the CPU, an array
            on disk is read batch by batch, and a data set everywhere.
        y : array-like of shape (n_samples,), default=None
            Given targets. Rows whose target is None or NaN are not trained on. May be left out
            only where X is a data set that has them.
        verified_labels : array-like of shape (n_samples,), default=None
            Verified targets, missing where there is none. They are trained on instead of those in
            `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. Those of a batch multiply its losses.
        validation_data : tuple of (X, y) or (X, y, sample_weight), default=None
            Rows to look at after each epoch, in the place of rows held out: for early stopping,
            unless it is False, for callbacks and for ``history_``. Those without a target are left
            out.

        Returns
        -------
        self : object
            Fitted regressor.

        Raises
        ------
        ValueError
            If X has NaN or infinite entries, y has infinite ones or several columns, `batch_size`
            is larger than the rows to train on, `module` gives several outputs, or the loss
            becomes infinite at once. Where it does later, a warning says so and the weights of
            the last epoch that gives a finite one are kept.
        """
        again = self.warm_start and hasattr(self, "net_")
        data, X = self._check_fit(X, y, verified_labels, sample_weight, reset=not again)
        if validation_data is not None:
            X_valid, y_valid, weight = split_validation(validation_data)
            numbers = self._check_input(X_valid, reset=False)
            own = _check_targets_of(X_valid, numbers, y_valid, sample_weight=weight)
            validation_data = own, numbers
        if not again:
            self.target_center_, self.target_scale_ = spread_of_targets(data)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, None, seed, again=again, validation=validation_data)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, *, sample_weight=None):
        """Train for one more epoch on these rows.

        The first call decides on how targets are standardised.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, ...)
            Rows.
        y : array-like of shape (n_samples,)
            Given targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        self : object
            Fitted regressor.
        """
        first = not hasattr(self, "net_")
        data, X = self._check_fit(X, y, None, sample_weight, reset=first)
        if first:
            self.target_center_, self.target_scale_ = spread_of_targets(data)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, None, seed, again=not first, n_epochs=1, partial=True)
        return self

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix, torch.utils.data.Dataset} of shape (n_samples, ...)
            Rows.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            Targets.
        """
        return self._outputs(X).numpy() * self.target_scale_ + self.target_center_

    def _check_fit(self, X, y, verified_labels, sample_weight, *, reset):
        """Validate what is to be trained on, before any work."""
        self._check_device(reset=reset)
        self._refuse_unused()
        numbers = self._check_input(X, reset=reset)
        data = _check_targets_of(
            X, numbers, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        return data, numbers

    def _forward(self, module, X):
        return one_column(module(X))

    def _n_outputs(self, data) -> int:
        return 1

    def _targets(self, data) -> np.ndarray:
        # Rows without a target are not trained on.
        return (np.nan_to_num(data.y_train) - self.target_center_) / self.target_scale_

    def _keys(self, data):
        return data.y_train, np.zeros(data.n_samples, dtype=np.intp)

    def _record_target_type(self, data) -> None:
        self.net_.configure(target_scaling=(self.target_center_, self.target_scale_))

    def _check_outputs(self, module, rows, n_outputs: int) -> None:
        output, n_rows = self._try(module, rows)
        shape = tuple(getattr(output, "shape", ()))
        if shape != (n_rows,):
            raise ValueError(
                f"module gives outputs of shape {shape} for {n_rows} rows, and must give"
                f" {(n_rows,)} or {(n_rows, 1)}: one prediction per row."
            )


def _check_targets_of(X, numbers, y, **metadata) -> LabelledData:
    """Validate targets, which a data set may have itself."""
    if y is None and isinstance(X, Dataset):
        y = labels_of(X)
    return LabelledData.from_arrays(numbers, y, kind="numbers", **metadata)


def spread_of_targets(data: LabelledData) -> tuple[float, float]:
    """Compute the median and the spread of targets, of which some may be far off.

    Parameters
    ----------
    data : LabelledData
        Rows.

    Returns
    -------
    center : float
        Weighted median.
    scale : float
        Weighted interquartile range, in units of that of a normal distribution; or the standard
        deviation if it is zero; or 1 if all targets are equal.
    """
    values = data.y_train[data.used]
    weight = np.ones(len(values)) if data.sample_weight is None else data.sample_weight[data.used]
    order = np.argsort(values, kind="stable")
    values, passed = values[order], np.cumsum(weight[order])
    wanted = np.array([0.25, 0.5, 0.75]) * passed[-1] * (1 - 1e-12)
    low, center, high = values[np.searchsorted(passed, wanted)]
    scale = (high - low) / _NORMAL_RANGE
    if scale <= 0:
        mean = np.average(values, weights=weight[order])
        scale = np.sqrt(np.average((values - mean) ** 2, weights=weight[order]))
    return float(center), float(scale) if scale > 0 else 1.0
