"""What labels alone say about how they go wrong: verified rows, and classes without rows."""

import numpy as np

from skrobust.noise._channel import count_labels


def known_pairs(data) -> np.ndarray:
    """Weigh the rows that a person checked, by true class and given label.

    Parameters
    ----------
    data : LabelledData
        Rows.

    Returns
    -------
    counts : ndarray of shape (n_classes, n_classes), dtype float64
        Mass of rows by verified label (rows) and given label (columns).
    """
    verified = np.where(data.used, data.verified, -1)
    return count_labels(verified, data.codes, len(data.classes), data.sample_weight)


def check_counted(seen: np.ndarray, classes: np.ndarray, what: str) -> None:
    """Refuse labels of which a class is missing among the rows that count.

    Parameters
    ----------
    seen : ndarray of shape (n_classes,) of bool
        Classes that some row was given.
    classes : ndarray of shape (n_classes,)
        Labels.
    what : str
        What such a row does, for the message.
    """
    if not seen.all():
        label = classes.tolist()[int(np.argmin(seen))]
        raise ValueError(
            f"The class {label!r} was given to no row that {what}: nothing can be said about how"
            " often it is given by mistake."
        )
