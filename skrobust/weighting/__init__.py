"""Weights for rows whose labels may be wrong."""

__all__: list[str] = []
