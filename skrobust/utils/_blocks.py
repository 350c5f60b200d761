"""Passes over the rows of a large array, a block at a time, on several threads."""

import itertools
from collections.abc import Callable

from joblib import Parallel, delayed, effective_n_jobs

# A block that fits the second-level cache is read from memory once, however many operations
# look at it.
BLOCK_BYTES = 1 << 19


def block_length(row_bytes: int, *, block_bytes: int = BLOCK_BYTES) -> int:
    """Return how many rows make a block."""
    return max(1, block_bytes // max(1, row_bytes))


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
    if n_threads <= 1:
        run(0, n_rows)
        return
    edges = [n_rows * i // n_threads for i in range(n_threads + 1)]
    Parallel(n_jobs=n_threads, require="sharedmem")(
        delayed(run)(first, last) for first, last in itertools.pairwise(edges)
    )
