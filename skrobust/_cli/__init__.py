"""The command line: ``skrobust audit`` and ``skrobust demo``."""

from skrobust._cli._main import main

__all__ = ["main"]
