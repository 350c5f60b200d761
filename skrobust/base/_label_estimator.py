"""Base classes of estimators that learn from given labels, and their tags."""

import dataclasses
import zlib
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from skrobust.base._labelled_data import LabelledData, set_fitted
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Tags, fit_context
from skrobust.utils._typing import LabelsLike


@dataclasses.dataclass
class LabelTags(Tags):
    """Tags of scikit-learn, and those that the checks of this package read.

    Attributes
    ----------
    exact_outputs : bool or None, default=None
        Whether permuted rows, and repeated rows instead of weights, give equal outputs, not only
        equal means over seeds. None: unless `non_deterministic`.
    learns_from_unlabelled : bool, default=False
        Whether rows without a label change what is learned.
    scores_in_sample : bool, default=False
        Whether rows are scored by the training on them, such as by its dynamics.
    """

    exact_outputs: bool | None = None
    learns_from_unlabelled: bool = False
    scores_in_sample: bool = False


def as_label_tags(tags: Tags) -> LabelTags:
    """Add the tags of this package to those of scikit-learn."""
    if isinstance(tags, LabelTags):
        return tags
    names = [field.name for field in dataclasses.fields(tags)]
    return LabelTags(**{name: getattr(tags, name) for name in names})


def label_tags(estimator: Any) -> LabelTags:
    """Return the tags of any estimator, with `exact_outputs` resolved."""
    tags = as_label_tags(get_tags(estimator))
    if tags.exact_outputs is None:
        tags.exact_outputs = not tags.non_deterministic
    return tags


class LabelEstimator(BaseEstimator):
    """Base class of estimators whose ``fit`` requires one label per row."""

    def __sklearn_tags__(self) -> LabelTags:
        tags = as_label_tags(super().__sklearn_tags__())
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        return tags


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
        self._fitted_labels = _label_fingerprint(data.y)
        set_fitted(self, **data.features)
        return self

    def _was_fitted_to(self, codes: np.ndarray) -> bool:
        """Whether encoded labels are those of ``fit``."""
        return self._fitted_labels == _label_fingerprint(codes)

    def _estimate(self, data: LabelledData) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} must implement _estimate(data).")


def _label_fingerprint(codes: np.ndarray) -> tuple[int, int]:
    """A number that two sets of labels share only if they are equal, or by rare chance."""
    return len(codes), zlib.crc32(np.ascontiguousarray(codes, dtype=np.int64).tobytes())
