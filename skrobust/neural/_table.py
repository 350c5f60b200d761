"""The history of a training as a table."""

import numpy as np

_COLUMNS = {
    "lr": "learning_rate",
    "dur": "seconds",
}
# What skorch keeps for itself.
_LEFT_OUT = {"epoch", "batches"} | {
    f"{part}_{name}" for part in ("train", "valid") for name in ("loss_best", "batch_count")
}


class EpochTable(dict):
    """Columns of figures, one row per epoch; ``pandas.DataFrame(table)`` makes a frame of it."""

    @classmethod
    def of(cls, history) -> "EpochTable":
        """Make the table of a skorch history, of the epochs that came to their end."""
        epochs = [row for row in history if "dur" in row]
        table = cls(epoch=np.array([row["epoch"] for row in epochs], dtype=np.intp))
        for key in dict.fromkeys(key for row in epochs for key in row):
            if key not in _LEFT_OUT:
                table[_COLUMNS.get(key, key.removeprefix("own_"))] = _column(epochs, key)
        return table

    def __repr__(self) -> str:
        return f"<{len(self.get('epoch', ()))} epochs: {', '.join(self)}>"


def _column(rows: list[dict], key: str) -> np.ndarray:
    """Gather the values of one key: NaN where there is none, and objects if they are no numbers."""
    values = [row.get(key, np.nan) for row in rows]
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return np.array(values, dtype=bool)
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
