"""Base class of estimators that require labels."""

from sklearn.base import BaseEstimator

from skrobust.base._tags import LabelTags, as_label_tags


class LabelEstimator(BaseEstimator):
    """Base class of estimators whose ``fit`` requires one label per row."""

    def __sklearn_tags__(self) -> LabelTags:
        tags = as_label_tags(super().__sklearn_tags__())
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        return tags
