"""Tools for noisy labels in the manner of scikit-learn.

skrobust finds label errors, trains classifiers that resist them, and evaluates both. Start with
:class:`skrobust.CleaningClassifier`, which wraps the classifier you already have, with
:class:`skrobust.EnsembleDetector`, which only finds the labels that are probably wrong, or, if you
have out-of-sample probabilities, with :func:`skrobust.find_label_errors`.

Subpackages are imported on first use, so that ``import skrobust`` costs next to nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBPACKAGES = (
    "base",
    "datasets",
    "detection",
    "evidence",
    "inspection",
    "linear_model",
    "metrics",
    "model_selection",
    "neural",
    "noise",
    "testing",
    "utils",
    "weighting",
    "wrappers",
)
# Where the names are defined that are also at the top level.
_DEFINED_IN = {
    "CleaningClassifier": "wrappers",
    "EnsembleDetector": "detection",
    "find_label_errors": "detection",
}

__all__ = [
    "CleaningClassifier",
    "EnsembleDetector",
    "__version__",
    "find_label_errors",
    *_SUBPACKAGES,
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _DEFINED_IN:
        return getattr(importlib.import_module(f"{__name__}.{_DEFINED_IN[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    special = [name for name in globals() if name.startswith("__")]
    return sorted({*special, *__all__})
