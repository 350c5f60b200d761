"""Choosing models on data whose labels are noisy or partly missing."""

from skrobust.model_selection._labelled_k_fold import LabelledKFold

__all__ = ["LabelledKFold"]
