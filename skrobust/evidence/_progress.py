"""Progress of long work, shown by whoever wants to show it.

The parts that do the work announce their steps through :func:`track` and know nothing of
terminals; a program that has one installs a display with :func:`report_progress`.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator

_display: contextvars.ContextVar = contextvars.ContextVar("skrobust_progress", default=None)


def track(steps: Iterable, total: int, description: str) -> Iterable:
    """Pass on steps of work, through the display that is installed, if one is.

    Parameters
    ----------
    steps : iterable
        The steps.
    total : int
        How many there will be.
    description : str
        What they are, in a word or two.

    Returns
    -------
    steps : iterable
        The same steps.
    """
    display = _display.get()
    return steps if display is None else display(steps, total, description)


@contextlib.contextmanager
def report_progress(display: Callable[[Iterable, int, str], Iterable]) -> Iterator[None]:
    """Install a display for the work done inside the ``with`` block.

    Parameters
    ----------
    display : callable
        Called with the arguments of :func:`track`; passes the steps on.

    Yields
    ------
    None
        Nothing.
    """
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)
