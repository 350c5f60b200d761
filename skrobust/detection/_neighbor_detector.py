"""What detectors that look at neighbours have in common."""

import numpy as np

from skrobust.evidence._folds import lone_class_rows
from skrobust.evidence._neighborhood_choice import (
    DETECTOR_METRICS,
    DETECTOR_SCALES,
    find_neighborhood,
)

__all__ = ["DETECTOR_METRICS", "DETECTOR_SCALES", "find_neighborhood", "judged_rows"]


def judged_rows(data, units, graph) -> np.ndarray:
    """Find the rows that somebody else can judge.

    Parameters
    ----------
    data : LabelledData
        Labelled rows.
    units : Units
        Distinct rows.
    graph : sparse matrix of shape (n_units, n_units)
        Their neighbours.

    Returns
    -------
    judged : ndarray of shape (n_samples,) of bool
        False for rows without neighbours, and rows whose class has no other unit.

    Raises
    ------
    ValueError
        If every class is like that.
    """
    judged = (np.diff(graph.indptr) > 0)[units.of_row]
    used = np.flatnonzero(data.used)
    unit, label = units.of_row[used], data.y_train[used]
    if units.parts is not None:
        entries = units.parts.share.tocoo()
        held = units.parts.label[entries.row] >= 0
        unit, label = entries.col[held], units.parts.label[entries.row[held]]
    lone = label[lone_class_rows(units.owner[unit], label)]
    judged[used[np.isin(data.y_train[used], lone)]] = False
    return judged
