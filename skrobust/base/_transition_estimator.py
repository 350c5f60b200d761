"""Base class of transition estimators."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skrobust.base._label_estimator import LabelEstimator
from skrobust.base._labelled_data import LabelledData
from skrobust.base._labels import label_fingerprint
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._estimators import set_fitted
from skrobust.utils._sklearn import fit_context
from skrobust.utils._typing import LabelsLike


@fill_docstring
class TransitionEstimator(LabelEstimator):
    """Base class of all estimators of the transition from true to given labels.

    A subclass implements ``_estimate(data)``, which takes :class:`LabelledData` and returns the
    joint weight of true (rows) and given (columns) classes, of any scale.

    .. versionadded:: 0.1

    See Also
    --------
    skrobust.noise.ConfidentTransition : Estimates the transition by confident learning.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.base import TransitionEstimator
    >>> class VerifiedCounts(TransitionEstimator):
    ...     def _estimate(self, data):
    ...         joint = np.zeros((len(data.classes), len(data.classes)))
    ...         np.add.at(joint, (data.verified[data.checked], data.y[data.checked]), 1)
    ...         return joint
    >>> y, verified = [0, 0, 0, 1, 1], [0, 0, None, 0, 1]
    >>> counts = VerifiedCounts().fit(np.zeros((5, 1)), y, verified_labels=verified)
    >>> counts.transition_matrix_
    array([[0.66666667, 0.33333333],
           [0.        , 1.        ]])
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
        """Estimate the transition from true to given labels.

        Parameters
        ----------
        %(X)s
        %(y)s
        %(verified_labels)s
        %(sample_weight)s
        %(groups)s

        Returns
        -------
        self : object
            With ``transition_matrix_`` of shape (n_classes, n_classes), rows true classes that
            sum to 1, ``class_prior_`` of the true classes, ``noise_rate_`` and ``classes_``.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        return self._fit_joint(data, self._estimate(data))

    def _fit_joint(self, data: LabelledData, joint: np.ndarray) -> Self:
        """Set the fitted attributes from the joint weight of true and given classes."""
        joint = np.asarray(joint, dtype=np.float64)
        if not np.isfinite(joint).all() or joint.min() < 0 or not (joint.sum(axis=1) > 0).all():
            raise ValueError(
                f"{type(self).__name__} found no transition matrix: a class has no weight."
            )
        joint = joint / joint.sum()
        self.class_prior_: np.ndarray = joint.sum(axis=1)
        self.transition_matrix_: np.ndarray = joint / self.class_prior_[:, None]
        self.noise_rate_: float = float(1 - np.trace(joint))
        self.classes_: np.ndarray = data.classes
        self._fitted_labels = label_fingerprint(data.y)
        set_fitted(self, **data.features)
        return self

    def _was_fitted_to(self, codes: np.ndarray) -> bool:
        """Whether encoded labels are those of ``fit``."""
        return self._fitted_labels == label_fingerprint(codes)

    def _estimate(self, data: LabelledData) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must implement _estimate(data).")
