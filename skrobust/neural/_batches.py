"""Mini-batches as slices of a permutation of rows."""


class Batches:
    """Yields the rows of a data set in batches.

    Per-row collation is what makes training of small networks slow; here a batch is one look-up
    by a slice of a permutation that was drawn once for the epoch.

    Parameters
    ----------
    rows : Rows
        Rows.
    batch_size : int
        Rows per batch. The last one may be smaller, but is never a single row unless it is the
        only one: norms over a batch need two.
    shuffle : bool
        Whether to draw a new order each time, from torch's generator of the CPU.
    """

    def __init__(self, rows, batch_size: int, *, shuffle: bool):
        self.rows, self.batch_size, self.shuffle = rows, batch_size, shuffle
        n_rows = len(rows)
        starts = list(range(0, n_rows, batch_size))
        if len(starts) > 1 and n_rows - starts[-1] == 1:
            starts.pop()
        self._bounds = list(zip(starts, [*starts[1:], n_rows], strict=True))

    def __len__(self) -> int:
        return len(self._bounds)

    def __iter__(self):
        order = self.rows.order(shuffle=self.shuffle)
        for start, stop in self._bounds:
            yield self.rows.take(order[start:stop])
