"""Weights for rows whose labels may be wrong."""

from skrobust.weighting._quality_reweighter import QualityReweighter

__all__ = ["QualityReweighter"]
