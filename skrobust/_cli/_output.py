"""Standard output that may be closed, full or of a narrow encoding while work goes on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


class Report:
    """Lines on standard output; none of them can make the command fail.

    Attributes
    ----------
    error : Exception or None
        What made a line fail. The following ones are dropped.
    """

    def __init__(self):
        self.error: Exception | None = None
        if sys.stdout is None:
            self.error = OSError("standard output is closed")

    def line(self, text: str = "") -> None:
        """Print a line."""
        if self.error is not None:
            return
        try:
            _write(sys.stdout, text + "\n")
        except (OSError, ValueError) as error:
            self._give_up(error)

    def flush(self) -> None:
        """Hand all lines to the system."""
        if self.error is not None:
            return
        try:
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.error = error
        silence(sys.stdout, sys.__stdout__, 1)

    @property
    def reader_left(self) -> bool:
        """Whether the program that read the output has closed its end of a pipe."""
        return isinstance(self.error, BrokenPipeError)


def _write(stream: TextIO, text: str) -> None:
    """Write text; characters that the stream cannot encode are escaped."""
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def silence(stream: TextIO | None, original: TextIO | None, number: int) -> None:
    """Let what is left in the buffer of a standard stream go nowhere.

    The interpreter flushes the stream at exit and would end with an error of its own.
    """
    if stream is None or stream is not original:
        return
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        stream.flush()


def print_error(text: str) -> None:
    """Print a line on standard error, if that is possible."""
    if sys.stderr is None:
        return
    try:
        _write(sys.stderr, text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        silence(sys.stderr, sys.__stderr__, 2)


def fill_standard_streams() -> None:
    """Open what is closed of the three standard streams, so that no file takes their numbers.

    Libraries that print on standard error find a stream there; `Report` notices that standard
    output is closed.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, flags)
                if nowhere != number:
                    os.dup2(nowhere, number)
                    os.close(nowhere)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for the rest of the process)


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Show the name of a phase on a terminal while it lasts."""
    stream = sys.stderr
    shown = False
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if stream is not None and stream.isatty():
            _write(stream, f"{name} ...")
            stream.flush()
            shown = True
    try:
        yield
    finally:
        if shown:
            with contextlib.suppress(OSError, ValueError):
                stream.write("\r\x1b[K")
                stream.flush()
