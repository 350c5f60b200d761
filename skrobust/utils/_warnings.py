"""Warnings of this package."""

import sys
import warnings

_PACKAGES = ("skrobust.", "sklearn.")


class LabelNoiseWarning(UserWarning):
    """Warns that labels, or what was found out about them, deserve a second look.

    .. versionadded:: 0.1

    Examples
    --------
    >>> import warnings
    >>> from skrobust.utils import LabelNoiseWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", category=LabelNoiseWarning)
    """


def warn_user(message: str, category: type[Warning] = LabelNoiseWarning) -> None:
    """Issue a warning at the line that called this package."""
    frame, stacklevel = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGES):
        frame, stacklevel = frame.f_back, stacklevel + 1
    warnings.warn(message, category, stacklevel=stacklevel)
