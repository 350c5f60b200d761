"""Parts that several rooms share, and the checks for estimators of third parties."""

from skrobust.utils._warnings import LabelNoiseWarning

__all__ = ["LabelNoiseWarning"]
