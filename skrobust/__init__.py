"""Tools for people whose labels are wrong, in the manner of scikit-learn.

skrobust finds label errors, trains classifiers that survive them, and shows both. Start with
:class:`skrobust.wrappers.CleaningClassifier`, which wraps the classifier you already have, or with
:class:`skrobust.detection.ConfidentLearning`, which only says which labels look wrong.

Subpackages are imported on first use, so that ``import skrobust`` costs next to nothing.
"""

import importlib

__version__ = "0.1.0.dev0"

_SUBPACKAGES = (
    "datasets",
    "detection",
    "evidence",
    "inspection",
    "linear_model",
    "model_selection",
    "neural",
    "noise",
    "utils",
    "weighting",
    "wrappers",
)

__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str):
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_SUBPACKAGES])
