"""Linear models with the label noise inside the likelihood."""

__all__: list[str] = []
