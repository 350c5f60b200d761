"""Base class of reweighters."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._label_estimator import LabelEstimator
from skrobust.base._labelled_data import LabelledData
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._estimators import set_fitted
from skrobust.utils._sklearn import fit_context
from skrobust.utils._typing import LabelsLike


@fill_docstring
class Reweighter(LabelEstimator):
    """Base class of all reweighters, which estimate how much each row should count.

    A subclass implements ``_weigh(data)``, which takes :class:`LabelledData` and returns weights of
    any scale.

    .. versionadded:: 0.1

    See Also
    --------
    skrobust.weighting.QualityReweighter : Weights by the label quality of a detector.

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
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Weight the rows of a data set.

        Parameters
        ----------
        %(X)s
        %(y)s
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as verified by a reviewer, missing where a row was not reviewed. `y` holds the
            given labels, not overwritten by these. The weight of a verified row belongs to its
            verified label: train on that, not on the one in `y`.
        sample_weight : array-like of shape (n_samples,), default=None
            Prior weights >= 0. None weights all rows by 1.
        %(groups)s

        Returns
        -------
        self : object
            With ``sample_weight_`` of shape (n_samples,), none negative: mean 1 over the rows
            that have a label, weighted by `sample_weight`, and 0 elsewhere.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        weight = np.where(data.used, np.asarray(self._weigh(data), dtype=np.float64), 0.0)
        if not np.isfinite(weight).all() or weight.min() < 0 or not weight.any():
            raise ValueError(
                f"{type(self).__name__} found no usable weights: they must be finite, not"
                " negative and not all zero."
            )
        prior = data.used if data.sample_weight is None else data.sample_weight
        self.sample_weight_: np.ndarray = weight * (prior[data.used].sum() / (weight * prior).sum())
        self.classes_: np.ndarray = data.classes
        set_fitted(self, **data.features)
        return self

    def _weigh(self, data: LabelledData) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must implement _weigh(data).")
