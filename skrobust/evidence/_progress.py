"""Progress of long work, shown by whoever wants to show it.

The parts that do the work announce their steps through :func:`track` and know nothing of
terminals; a program that has one installs a display with :func:`report_progress`.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator

_display: contextvars.ContextVar = contextvars.ContextVar("skrobust_progress", default=None)
_step: contextvars.ContextVar = contextvars.ContextVar("skrobust_step", default=None)


def track(steps: Iterable, total: int, description: str) -> Iterable:
    """Pass on steps of work, through the display that is installed, if one is."""
    display, part_of = _display.get(), _step.get()
    if display is None:
        return steps
    if part_of is not None:
        part_of.hide()
        description = f"{part_of.description} ({description})"
    return display(steps, total, description)


@contextlib.contextmanager
def step(description: str, number: int, total: int) -> Iterator[None]:
    """Announce one of several steps of different kinds for the time of a ``with`` block."""
    display, outer = _display.get(), _step.get()
    if display is None:
        yield
        return
    description = f"step {number} of {total}: {description}"
    if outer is not None:
        outer.hide()
        description = f"{outer.description}, {description}"
    shown = _Shown(display, description)
    token = _step.set(shown)
    try:
        yield
    finally:
        shown.hide()
        _step.reset(token)


class _Shown:
    """A step on the display, until its parts or the next step take its place."""

    def __init__(self, display: Callable, description: str):
        self.description = description
        self._steps = iter(display([None], 1, description))
        next(self._steps)

    def hide(self) -> None:
        """Take it off the display; a second time does nothing."""
        for _ in self._steps:
            pass


@contextlib.contextmanager
def report_progress(display: Callable[[Iterable, int, str], Iterable]) -> Iterator[None]:
    """Install a display for the work done inside the ``with`` block."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)
