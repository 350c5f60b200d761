"""Passes over the rows of a large array, a block at a time, on several threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from joblib import effective_n_jobs

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
