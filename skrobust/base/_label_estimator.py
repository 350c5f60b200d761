"""Base class of estimators that learn from given labels, and its tags."""

import dataclasses
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from skrobust.utils._sklearn import Tags


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
