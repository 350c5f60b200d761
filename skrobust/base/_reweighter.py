"""Base class of reweighters."""

import numpy as np

from skrobust.base._label_estimator import LabelEstimator
from skrobust.base._labelled_data import LabelledData
from skrobust.utils._sklearn import Features, fit_context


class Reweighter(LabelEstimator):
    """Base class of all reweighters, which estimate how much each row should count.

    A subclass implements ``_weigh(data)``, which takes :class:`LabelledData` and returns weights of
    any scale.

    .. versionadded:: 0.1

    See Also
    --------
    QualityReweighter : Weights by the label quality of a detector.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import Reweighter
    >>> class ClassBalance(Reweighter):
    ...     def _weigh(self, data):
    ...         return 1 / np.bincount(data.y_train[data.used])[data.y_train]
    >>> ClassBalance().fit([[0], [1], [2], [3]], ["a", "a", "a", "b"]).sample_weight_
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """

    _parameter_constraints: dict = {}

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None):
        """Weigh the rows of a data set.

        Parameters
        ----------
        X : array-like of length n_samples
            Input.
        y : array-like of shape (n_samples,)
            Given labels, some perhaps missing.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them. A row that has one is weighed with that label: train on it, and
            not on the one in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights that the rows had before.

        Returns
        -------
        self : object
            With ``sample_weight_`` of shape (n_samples,), none negative: mean 1 over the rows
            that have a label, weighed by `sample_weight`, and 0 elsewhere.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        weight = np.where(data.used, np.asarray(self._weigh(data), dtype=np.float64), 0.0)
        if not np.isfinite(weight).all() or weight.min() < 0 or not weight.any():
            raise ValueError(
                f"{type(self).__name__} found no usable weights: they must be finite, not"
                " negative and not all zero."
            )
        prior = data.used if data.sample_weight is None else data.sample_weight
        self.sample_weight_ = weight * (prior[data.used].sum() / (weight * prior).sum())
        self.classes_ = data.classes
        Features(data.X).record(self)
        return self

    def _weigh(self, data: LabelledData) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must implement _weigh(data).")
