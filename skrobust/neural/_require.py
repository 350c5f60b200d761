"""What to say where torch or skorch is not installed."""

import importlib


def require_torch() -> None:
    """Refuse to go on without torch and skorch.

    Raises
    ------
    ImportError
        If one of them cannot be imported, with the command that installs both.
    """
    for name in ("torch", "skorch"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(
                f"skrobust.neural needs {name}, which cannot be imported ({error}). Run:"
                ' pip install "skrobust[neural]"',
                name=name,
            ) from error
