"""Rows that were labelled more than once: triples of labels from the same row."""

import narwhals.stable.v1 as nw
import numpy as np
from scipy import sparse

from skrobust.noise._neighbor_transition import LabelTriples, label_triples
from skrobust.utils._labels import encode_labels_like


def encode_repeated_labels(repeated_labels, classes, n_samples: int) -> np.ndarray:
    """Encode columns of labels.

    Parameters
    ----------
    repeated_labels : array-like of shape (n_samples, n_columns) or (n_samples,)
        Labels, of the known classes, some of them missing.
    classes : ndarray of shape (n_classes,)
        Known classes.
    n_samples : int
        How many rows there must be.

    Returns
    -------
    codes : ndarray of shape (n_samples, n_columns), dtype intp
        Positions in `classes`; -1 where missing.
    """
    name = "repeated_labels"
    frame = nw.from_native(repeated_labels, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        columns = [column.to_list() for column in frame.iter_columns()]
    else:
        if not isinstance(repeated_labels, np.ndarray):
            # Text beside None would become text that reads "None".
            repeated_labels = np.array(repeated_labels, dtype=object)
        if repeated_labels.ndim == 1:
            repeated_labels = repeated_labels[:, None]
        if repeated_labels.ndim != 2:
            raise ValueError(
                f"{name} must have a column for each further label of a row, got shape"
                f" {repeated_labels.shape}."
            )
        columns = list(repeated_labels.T)
    lengths = {len(column) for column in columns} or {0}
    if lengths != {n_samples}:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {name} has"
            f" {max(lengths)} rows for {n_samples} of y."
        )
    return np.stack([encode_labels_like(c, classes, name=name) for c in columns], axis=1)


def repeated_triples(
    codes, n_classes: int, row_mass, unit_of_row, n_units: int, graph=None
) -> tuple[LabelTriples, np.ndarray]:
    """Gather triples of labels, of one row as far as it has so many.

    Each label of a row is followed by the next two of the row, in a circle; where there are not
    as many, by labels of the nearest units.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns), dtype intp
        Labels of each row; -1 where missing.
    n_classes : int
        Number of classes.
    row_mass : ndarray of shape (n_rows,)
        Mass of each row, shared by its labels; rows of mass zero are left out.
    unit_of_row : ndarray of shape (n_rows,), dtype intp
        Unit of each row.
    n_units : int
        Number of units.
    graph : sparse matrix of shape (n_units, n_units), default=None
        Distances to the nearest units in CSR format, in rising order in each row. None leaves
        out rows of fewer than three labels.

    Returns
    -------
    triples : LabelTriples
        Members are labels; after them come units.
    unit_of : ndarray of shape (n_members,), dtype intp
        Unit of each member.
    """
    row, column = np.nonzero((codes >= 0) & (row_mass > 0)[:, None])
    n_labels = np.bincount(row, minlength=len(codes))
    first = np.cumsum(n_labels) - n_labels
    n_nodes, own = len(row), n_labels[row]
    mass = row_mass[row] / own
    place = np.arange(n_nodes) - first[row]
    unit = unit_of_row[row]
    # Up to two others of the row, then up to two of the nearest units, of which label_triples
    # takes the first two.
    members = np.full((n_nodes, 4), -1, dtype=np.intp)
    for step in (1, 2):
        follows = own > step
        members[follows, step - 1] = (first[row] + (place + step) % own)[follows]
    if graph is not None:
        for rank in (0, 1):
            near = np.flatnonzero(np.diff(graph.indptr)[unit] > rank)
            members[near, 2 + rank] = n_nodes + graph.indices[graph.indptr[unit[near]] + rank]
    there = members >= 0
    lengths = np.append(there.sum(axis=1), np.zeros(n_units, dtype=np.intp))
    ends = np.append(0, np.cumsum(lengths))
    chain = sparse.csr_matrix(
        (np.zeros(ends[-1]), members[there], ends), shape=(n_nodes + n_units,) * 2
    )
    labels = codes[row, column]
    shape = (n_nodes, n_classes)
    of_nodes = sparse.csr_matrix((mass, (np.arange(n_nodes), labels)), shape=shape)
    of_units = sparse.csr_matrix((mass, (unit, labels)), shape=(n_units, n_classes))
    of_units.sum_duplicates()
    triples = label_triples(chain, sparse.vstack([of_nodes, of_units], format="csr"), 2)
    return triples, np.concatenate([unit, np.arange(n_units)])
