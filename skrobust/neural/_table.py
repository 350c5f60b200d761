"""The history of a training as a table."""

import numpy as np

_COLUMNS = {
    "train_loss": "train_loss",
    "valid_loss": "valid_loss",
    "valid_accuracy": "valid_accuracy",
    "lr": "learning_rate",
    "dur": "seconds",
}


class EpochTable(dict):
    """Columns of figures, one row per epoch; ``pandas.DataFrame(table)`` makes a frame of it."""

    @classmethod
    def of(cls, history) -> "EpochTable":
        """Make the table of a skorch history, of the epochs that came to their end."""
        epochs = [i for i, row in enumerate(history) if "dur" in row]
        table = cls(epoch=np.array(epochs, dtype=np.intp) + 1)
        for key in dict.fromkeys(key for i in epochs for key in history[i]):
            known = key in _COLUMNS or key.startswith("own_")
            if known and any(key in history[i] for i in epochs):
                values = [history[i].get(key, np.nan) for i in epochs]
                table[_COLUMNS.get(key, key.removeprefix("own_"))] = np.array(values, dtype=float)
        return table

    def __repr__(self) -> str:
        return f"<{len(self.get('epoch', ()))} epochs: {', '.join(self)}>"
