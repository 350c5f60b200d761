"""Warnings of this package."""


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
