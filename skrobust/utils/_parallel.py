"""Independent work through joblib, and passes over the rows of an array, a block at a time."""

import contextlib
import contextvars
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.utils import parallel as sklearn_parallel
from sklearn.utils.parallel import Parallel
from threadpoolctl import ThreadpoolController

_display: contextvars.ContextVar = contextvars.ContextVar("skrobust_progress", default=None)
_step: contextvars.ContextVar = contextvars.ContextVar("skrobust_step", default=None)


@functools.cache
def _libraries() -> ThreadpoolController:
    """The linear algebra libraries of NumPy and SciPy, looked up once per process."""
    return ThreadpoolController()


class _OneBlasThread:
    """Limit BLAS to one thread while at least one block of code, in any thread, needs it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._n_blocks = 0
        self._holder = None

    def __enter__(self):
        with self._lock:
            if self._n_blocks == 0:
                self._holder = _Holder()
            self._n_blocks += 1

    def __exit__(self, *exception):
        with self._lock:
            self._n_blocks -= 1
            if self._n_blocks == 0:
                holder, self._holder = self._holder, None
                holder.release()


class _Holder:
    """A thread that holds the limit from its start until it is released."""

    def __init__(self):
        self._held, self._released = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()
        self._held.wait()

    def _hold(self) -> None:
        try:
            with _libraries().limit(limits=1, user_api="blas"):
                self._held.set()
                self._released.wait()
        finally:
            self._held.set()

    def release(self) -> None:
        """Restore the limit that was there before."""
        self._released.set()
        self._thread.join()


one_blas_thread = _OneBlasThread()
"""Context in which matrix products take one thread."""


class _WithOneBlasThread:
    """A function that runs with one BLAS thread, in whichever process or thread it is called."""

    def __init__(self, function: Callable):
        # scikit-learn's wrapper takes over the attributes of what it wraps, and has a `function`.
        self.limited_function = function

    def __call__(self, *args, **kwargs):
        with one_blas_thread:
            return self.limited_function(*args, **kwargs)


def delayed(function: Callable) -> Callable:
    """Delay a call for :func:`stream`; it runs with one BLAS thread."""
    limited = functools.update_wrapper(_WithOneBlasThread(function), function)
    return sklearn_parallel.delayed(limited)


def stream(jobs: Iterable, *, n_jobs: int | None = None, require: str | None = None) -> Iterable:
    """Run delayed calls and yield their results in order."""
    backend, _ = get_active_backend(require=require)
    one_by_one = getattr(backend, "supports_return_generator", False)
    return_as = "generator" if one_by_one else "list"
    return Parallel(n_jobs=n_jobs, require=require, return_as=return_as)(jobs)


def in_batches(function: Callable, jobs: Sequence, *common, n_jobs: int | None = None) -> list:
    """Call ``function(batch, *common)`` with a batch of the jobs per worker, and join the results.

    The function returns a list with one result per job, and runs with one BLAS thread.
    """
    n_batches = max(1, min(effective_n_jobs(n_jobs), len(jobs)))
    edges = [len(jobs) * i // n_batches for i in range(n_batches + 1)]
    run = delayed(function)
    batches = (run(jobs[start:stop], *common) for start, stop in pairwise(edges))
    return [result for results in stream(batches, n_jobs=n_jobs) for result in results]


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


# A block that fits the second-level cache is read from memory once, however many operations
# look at it.
BLOCK_BYTES = 1 << 19


def block_length(row_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> int:
    """Return how many rows make a block."""
    return max(1, block_bytes // max(1, row_bytes))


def row_blocks(n_rows: int, row_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> list[slice]:
    """Return slices of consecutive rows that together cover all of them."""
    length = block_length(row_bytes, block_bytes=block_bytes)
    return [slice(start, min(start + length, n_rows)) for start in range(0, n_rows, length)]


def for_each_block(
    function: Callable[[int, int], object],
    n_rows: int,
    row_bytes: int,
    *,
    n_jobs: int | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> None:
    """Call ``function(start, stop)`` for consecutive blocks that together cover all rows.

    Blocks run on `n_jobs` threads, each with one contiguous share of the rows: NumPy releases the
    interpreter lock inside the operations that matter, and shared memory needs no copy. The
    function writes its results into arrays of the caller, at ``start:stop``.
    """
    length = block_length(row_bytes, block_bytes=block_bytes)

    def run(first: int, last: int) -> None:
        for start in range(first, last, length):
            function(start, min(start + length, last))

    n_threads = min(effective_n_jobs(n_jobs), -(-n_rows // length))
    edges = [n_rows * i // n_threads for i in range(n_threads + 1)] if n_rows else [0]
    in_threads(run, list(pairwise(edges)))


def in_threads(function: Callable[..., object], calls: Sequence[tuple]) -> None:
    """Call a function with each tuple of arguments, one thread per call.

    Starting two threads takes a tenth of a millisecond; joblib's pool takes ten, which is more
    than many a pass.
    """
    if len(calls) <= 1:
        for arguments in calls:
            function(*arguments)
        return
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(function, *arguments) for arguments in calls]:
            done.result()
