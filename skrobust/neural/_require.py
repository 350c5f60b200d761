"""The error where torch or skorch is not installed."""

import importlib


def require_torch() -> None:
    """Raise an ImportError with the pip command where torch or skorch is missing."""
    for name in ("torch", "skorch"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"skrobust.neural needs {name}, which cannot be imported ({error}). Run:"
                ' pip install "skrobust[neural]"',
                name=name,
            ) from error
