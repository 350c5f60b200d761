"""Triples of labels that belong to one true class: of neighbouring rows, or of one row."""

import dataclasses
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
from scipy import sparse

from skrobust.base._labels import encode_labels_like
from skrobust.utils._typing import CSRMatrix


@dataclasses.dataclass(frozen=True, eq=False)
class LabelTriples:
    """Triples of labels of units; a unit with several labels has several triples.

    Attributes
    ----------
    weight : ndarray of shape (n_units,)
        Weight of each unit; 0 for those without triples.
    members : ndarray of shape (3, n_entries), dtype intp
        A unit, the nearer neighbour and the other.
    key : ndarray of shape (n_entries,), dtype intp
        The labels of the three, as an index of a flat array of all triples.
    share : ndarray of shape (n_entries,)
        Share of the triple in those of its first unit.
    n_classes : int
        Number of classes.
    """

    weight: np.ndarray
    members: np.ndarray
    key: np.ndarray
    share: np.ndarray
    n_classes: int

    def count(self, repeats: np.ndarray | None = None) -> np.ndarray:
        """Sum weights by the three labels, each unit counting `repeats` times."""
        weights = self.share * self.weight[self.members[0]]
        if repeats is not None:
            # To first order, as often as all three of them do: a label counts in all its triples.
            weights *= 1 + (repeats - 1)[self.members].sum(axis=0)
        shape = (self.n_classes,) * 3
        return np.bincount(self.key, weights, minlength=np.prod(shape)).reshape(shape)

    def labels(self) -> np.ndarray:
        """Return the three labels of each entry, of shape (3, n_entries)."""
        return np.stack(np.unravel_index(self.key, (self.n_classes,) * 3))


def label_triples(graph: CSRMatrix, class_weight: CSRMatrix, n_neighbors: int) -> LabelTriples:
    """Gather the labels of units and of each two of their `n_neighbors` nearest neighbours.

    `graph` has distances in rising order in each row, `class_weight` the weight of each unit by
    class. Units without weight, or with fewer neighbours, have no triples.
    """
    weight = np.asarray(class_weight.sum(axis=1)).ravel()
    some = np.flatnonzero((weight > 0) & (np.diff(graph.indptr) >= n_neighbors))
    n_classes = class_weight.shape[1]
    n_pairs = n_neighbors * (n_neighbors - 1) // 2
    parts = []
    for b in range(1, n_neighbors):
        for a in range(b):
            near, far = (graph.indices[graph.indptr[some] + rank] for rank in (a, b))
            members = np.stack([some, near, far])
            key = np.zeros(len(some), dtype=np.intp)
            share = np.full(len(some), 1 / n_pairs)
            for position in range(3):
                # Each label of a member is combined with all triples so far.
                unit = members[position]
                first, n_labels = class_weight.indptr[unit], np.diff(class_weight.indptr)[unit]
                old = np.repeat(np.arange(len(unit)), n_labels)
                entry = np.arange(len(old)) + np.repeat(
                    first - np.cumsum(n_labels) + n_labels, n_labels
                )
                share = share[old] * class_weight.data[entry] / weight[unit[old]]
                key = key[old] * n_classes + class_weight.indices[entry]
                members = members[:, old]
            parts.append((members, key, share))
    members, key, share = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    used = np.zeros(len(weight))
    used[some] = weight[some]
    return LabelTriples(used, members, key, share, n_classes)


def encode_repeated_labels(repeated_labels: Any, classes: np.ndarray, n_samples: int) -> np.ndarray:
    """Encode columns of labels as positions in `classes`, -1 where missing."""
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
    codes: np.ndarray,
    n_classes: int,
    row_weight: np.ndarray,
    unit_of_row: np.ndarray,
    n_units: int,
    graph: CSRMatrix | None = None,
) -> tuple[LabelTriples, np.ndarray]:
    """Gather triples of labels (columns of `codes`) of one row, and the unit of each member.

    Each label of a row is followed by the next two of the row, cyclically; where there are fewer,
    by labels of the nearest units of `graph`, without which rows of fewer than three labels are
    left out. The weight of a row is divided equally among its labels.
    """
    row, column = np.nonzero((codes >= 0) & (row_weight > 0)[:, None])
    n_labels = np.bincount(row, minlength=len(codes))
    first = np.cumsum(n_labels) - n_labels
    n_nodes, own = len(row), n_labels[row]
    weight = row_weight[row] / own
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
    present = members >= 0
    lengths = np.append(present.sum(axis=1), np.zeros(n_units, dtype=np.intp))
    ends = np.append(0, np.cumsum(lengths))
    chain = sparse.csr_matrix(
        (np.zeros(ends[-1]), members[present], ends), shape=(n_nodes + n_units,) * 2
    )
    labels = codes[row, column]
    shape = (n_nodes, n_classes)
    of_nodes = sparse.csr_matrix((weight, (np.arange(n_nodes), labels)), shape=shape)
    of_units = sparse.csr_matrix((weight, (unit, labels)), shape=(n_units, n_classes))
    of_units.sum_duplicates()
    triples = label_triples(chain, sparse.vstack([of_nodes, of_units], format="csr"), 2)
    return triples, np.concatenate([unit, np.arange(n_units)])
