"""What the neural classifiers have in common: labels, their losses and weights."""

from numbers import Real

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from torch.utils.data import Dataset

from skrobust.base import LabelledData
from skrobust.base._scoring import LabelledScore
from skrobust.neural import losses
from skrobust.neural._checks import (
    check_more,
    check_scores,
    check_targets,
    class_weights,
    split_validation,
)
from skrobust.neural._dataset import labels_of
from skrobust.neural._dynamics import DynamicsRecorder
from skrobust.neural._estimator import BaseNeuralEstimator
from skrobust.neural._net import Net
from skrobust.neural._predicting import PredictsProba
from skrobust.utils._random import draw_seed, private_random_state
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


class BaseNeuralClassifier(PredictsProba, LabelledScore, ClassifierMixin, BaseNeuralEstimator):
    """Base class of classifiers that have a skorch net."""

    _net_class = Net
    _criteria = CRITERIA
    _kind = "classifier"
    # Mini-batches are drawn by chance.
    _exact_evidence = False

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

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y=None,
        *,
        verified_labels=None,
        sample_weight=None,
        target_proba=None,
        validation_data=None,
    ):
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
        validation_data : tuple of (X, y) or (X, y, sample_weight), default=None
            Rows to look at after each epoch, in the place of rows held out: for early stopping,
            unless it is False, for callbacks and for ``history_``. Those without a label are left
            out.

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
        if validation_data is not None:
            validation_data = self._check_validation(validation_data, data.classes)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, target_proba, seed, again=again, validation=validation_data)
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
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not for partial_fit, which does not see all rows: pass"
                " a dict of weights."
            )
        known = np.unique(classes) if first else self.classes_
        data, X = self._check_fit(X, y, None, sample_weight, reset=first, classes=known)
        seed = draw_seed(private_random_state(self.random_state))
        self._train(data, X, None, seed, again=not first, n_epochs=1, partial=True)
        return self

    def _check_fit(self, X, y, verified_labels, sample_weight, *, reset, classes=None):
        """Validate what is to be trained on, before any work."""
        self._check_device(reset=reset)
        self._refuse_unused()
        numbers = self._check_input(X, reset=reset)
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        if classes is None:
            data = LabelledData.from_arrays(
                numbers, y, verified_labels=verified_labels, sample_weight=sample_weight
            )
        else:
            data = check_more(numbers, y, classes, sample_weight)
        class_weights(self.class_weight, data)
        return data, numbers

    def _check_validation(self, given, classes):
        """Validate rows to look at after each epoch."""
        X, y, weight = split_validation(given)
        numbers = self._check_input(X, reset=False)
        if y is None and isinstance(X, Dataset):
            y = labels_of(X)
        return check_more(numbers, y, classes, weight, name="validation_data"), numbers

    def _check_same_classes(self, classes) -> None:
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"This classifier was trained on the classes {self.classes_.tolist()}, and cannot"
                f" go on with {classes.tolist()}: clone it to start anew."
            )

    def _n_outputs(self, data) -> int:
        return len(data.classes)

    def _targets(self, data) -> np.ndarray:
        return data.y_train

    def _weights(self, data) -> np.ndarray | None:
        return class_weights(self.class_weight, data)

    def _keys(self, data):
        return data.y_train, data.y_train

    def _record_target_type(self, data) -> None:
        self.classes_ = data.classes
        self.net_.configure(classes=data.classes)

    def _make_net(self, rows, X, data, batch_size, device, dtype):
        net = super()._make_net(rows, X, data, batch_size, device, dtype)
        return net.configure(n_classes=len(data.classes))

    def _check_outputs(self, module, rows, n_outputs: int) -> None:
        output, n_rows = self._try(module, rows)
        check_scores(output, n_rows, n_outputs)

    def _own_callbacks(self, data) -> list:
        if not self.record_dynamics:
            return []
        self._recorder = DynamicsRecorder(data.n_samples, len(data.classes))
        return [self._recorder]

    def _conclude(self) -> None:
        super()._conclude()
        if self.record_dynamics:
            self.training_dynamics_ = self._recorder.result()
