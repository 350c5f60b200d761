"""What the report shows of rows: text, distinctive columns, near rows, near-duplicates."""

from __future__ import annotations

import narwhals.stable.v1 as nw
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from skrobust.utils._input import as_numbers, is_numeric

MAX_TEXT = 2_000
MAX_CELL = 200
_N_TELLING = 6
_MAX_COLUMNS = 2_000
# Rows that are nearer than this share of the usual distance to the next row are near-duplicates.
_NEAR = 0.1
# So many pairs of class and value are counted.
_MAX_COUNTS = 10_000_000
# From so many columns on they are taken for pixels or the like, which share a scale.
_MANY = 64
# A value that no row of the class has counts as this many nats at most.
_MOST_NATS = 25.0


def shorten(value, limit: int) -> str:
    """Return a value as text of bounded length."""
    text = value if isinstance(value, str) else str(value)
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def as_columns(table) -> dict[str, np.ndarray] | None:
    """Return the columns of a data frame or a matrix of numbers by name; None for other input."""
    try:
        frame = nw.from_native(table, eager_only=True)
    except TypeError:
        frame = None
    if isinstance(frame, nw.DataFrame):
        names = [str(name) for name in frame.columns[:_MAX_COLUMNS]]
        return {
            name: np.asarray(frame[original].to_list(), dtype=object)
            if not frame[original].dtype.is_numeric()
            else frame[original].to_numpy()
            for name, original in zip(names, frame.columns)
        }
    if isinstance(table, np.ndarray) and table.ndim == 2 and table.dtype.kind in "biuf":
        return {f"feature {j}": table[:, j] for j in range(min(table.shape[1], _MAX_COLUMNS))}
    return None


def telling_columns(columns: dict, rows, codes, suggested, classes: list[str]) -> dict:
    """Find the columns that speak most against the given label of each row.

    A column is as telling as the likelihood ratio of its value between the suggested and the given
    class, and where nothing is suggested as the value is unlikely in the given class: numbers are
    compared with median and deviation of the class, other values with their frequency in it.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_samples,)
        Columns.
    rows : ndarray of int
        Rows to describe.
    codes, suggested : ndarray of shape (n_samples,)
        Given and suggested classes, -1 for none.
    classes : list of str
        Names of classes.

    Returns
    -------
    fields : dict
        "names" of columns, and "cells", for each row a list of [column, value, typical of the given
        class, typical of the suggested class].
    """
    n_classes = len(classes)
    scores = np.zeros((len(rows), len(columns)))
    typical, is_text = [], []
    for j, values in enumerate(columns.values()):
        numbers = values.dtype.kind in "iufb"
        score, names, text = (_number_scores if numbers else _word_scores)(
            values, rows, codes, suggested, n_classes
        )
        scores[:, j] = score
        typical.append(names)
        is_text.append(text)
    texts = np.flatnonzero(is_text)
    n_shown = max(_N_TELLING - min(len(texts), 2), 1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n_shown]
    all_values = list(columns.values())
    cells = []
    for place, row in enumerate(rows.tolist()):
        own = [[int(j), shorten(_plain(all_values[j][row]), MAX_TEXT), "", ""] for j in texts[:2]]
        for j in order[place].tolist():
            if is_text[j]:
                continue
            given, other = codes[row], suggested[row]
            own.append(
                [
                    j,
                    shorten(_plain(all_values[j][row]), MAX_CELL),
                    typical[j][given] if given >= 0 else "",
                    typical[j][other] if other >= 0 and other != given else "",
                ]
            )
        cells.append(own)
    return {"names": [shorten(name, MAX_CELL) for name in columns], "cells": cells}


def _plain(value) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "missing"
    if isinstance(value, (float, np.floating)):
        return "missing" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _number_scores(values, rows, codes, suggested, n_classes):
    """Return scores of rows, the typical value of each class, and that it is no text."""
    values = values.astype(np.float64)
    center, scale_of = np.full(n_classes, np.nan), np.full(n_classes, np.nan)
    finite = np.isfinite(values)
    overall = values[finite].std() if finite.any() else 0.0
    known = np.flatnonzero(finite & (codes >= 0))
    known = known[np.argsort(codes[known], kind="stable")]
    present, starts = np.unique(codes[known], return_index=True)
    for k, own in zip(present, np.split(values[known], starts[1:])):
        center[k] = np.median(own)
        scale_of[k] = 1.4826 * np.median(np.abs(own - center[k]))
    # A class of one value, or nearly, would make any other infinitely unlikely.
    scale_of = np.fmax(scale_of, 0.1 * overall + 1e-12)

    def nats(classes):
        known = (classes >= 0) & finite[rows]
        k = np.maximum(classes, 0)
        distance = (values[rows] - center[k]) / scale_of[k]
        return np.where(known, np.minimum(distance**2 / 2, _MOST_NATS) + np.log(scale_of[k]), 0.0)

    given, other = codes[rows], suggested[rows]
    contrast = (other >= 0) & (other != given)
    alone = nats(given) - np.log(scale_of[np.maximum(given, 0)])
    score = np.where(contrast, nats(given) - nats(other), alone)
    typical = ["" if np.isnan(value) else f"{value:.4g}" for value in center]
    return np.nan_to_num(score, nan=-_MOST_NATS), typical, False


def _word_scores(values, rows, codes, suggested, n_classes):
    """Return scores of rows, the most frequent value of each class, and whether it is text."""
    words = np.array([_plain(value) for value in values.tolist()], dtype=object)
    distinct, numbers = np.unique(words.astype(str), return_inverse=True)
    if len(distinct) > max(20, len(words) / 4) or n_classes * len(distinct) > _MAX_COUNTS:
        lengths = np.array([len(word) for word in distinct])
        return np.full(len(rows), -_MOST_NATS), [""] * n_classes, bool(lengths.mean() > 12)
    counts = np.zeros((n_classes, len(distinct)))
    labelled = codes >= 0
    np.add.at(counts, (codes[labelled], numbers[labelled]), 1)
    share = (counts + 1) / (counts.sum(axis=1, keepdims=True) + len(distinct))
    given, other = codes[rows], suggested[rows]
    alone = -np.log(share[np.maximum(given, 0), numbers[rows]])
    contrast = alone + np.log(share[np.maximum(other, 0), numbers[rows]])
    score = np.where((other >= 0) & (other != given), contrast, alone)
    most = counts.argmax(axis=1)
    typical = [
        f"{shorten(distinct[most[k]], 40)} ({counts[k, most[k]] / counts[k].sum():.0%})"
        if counts[k].sum()
        else ""
        for k in range(n_classes)
    ]
    return score, typical, False


def numeric_rows(X) -> np.ndarray | None:
    """Return standardised features; None where X is no plain matrix of numbers."""
    shape = getattr(X, "shape", None)
    if shape is not None and len(shape) > 2:
        array = np.asarray(X).reshape(len(X), -1)
    elif hasattr(X, "toarray") or not is_numeric(X):
        return None
    else:
        array = as_numbers(X, np.float32)
        if hasattr(array, "toarray"):
            return None
    array = np.asarray(array, dtype=np.float32)
    array = np.where(np.isfinite(array), array, np.nan)
    array = array[:, ~np.isnan(array).all(axis=0)]
    center, scale = np.nanmean(array, axis=0), np.nanstd(array, axis=0)
    # Pixels share a scale of their own, and a corner that is nearly always black means little.
    pixels = shape is not None and (len(shape) > 2 or shape[1] > _MANY)
    least = 0.1 * float(scale.max()) if pixels and len(scale) else 1e-12
    return np.nan_to_num((array - center) / np.maximum(scale, least))


def nearest_rows(features, queries, candidates, codes, suggested) -> list:
    """Find for each row the nearest other row of its given and of its suggested class.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Features.
    queries : ndarray of int
        Rows to describe.
    candidates : ndarray of int
        Rows whose label is taken for right.
    codes, suggested : ndarray of shape (n_samples,)
        Classes.

    Returns
    -------
    near : list of list of int
        Per query, the row of the given and the row of the suggested class; -1 for none.
    """
    near = np.full((len(queries), 2), -1)
    for side, wanted in enumerate((codes, suggested)):
        for k in np.unique(wanted[queries]):
            own = np.flatnonzero(wanted[queries] == k)
            pool = candidates[codes[candidates] == k] if k >= 0 else candidates[:0]
            if side and k >= 0:
                own = own[codes[queries[own]] != k]
            if len(pool) == 0 or len(own) == 0:
                continue
            model = NearestNeighbors(n_neighbors=min(2, len(pool))).fit(features[pool])
            found = pool[model.kneighbors(features[queries[own]], return_distance=False)]
            itself = found[:, 0] == queries[own]
            second = found[:, -1] if found.shape[1] > 1 else np.full(len(own), -1)
            near[own, side] = np.where(itself, second, found[:, 0])
    return near.tolist()


def sample_of(rows: np.ndarray, n_most: int) -> np.ndarray:
    """Return evenly spaced rows, all if there are few."""
    if len(rows) <= n_most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, n_most).astype(int)]


def near_duplicates(features, rows, codes, suggested) -> np.ndarray:
    """Number groups of rows that nearly agree in all features, given and suggested label.

    Returns
    -------
    groups : ndarray of shape (n_rows,)
        Number of the group of each row, -1 for rows that are alone.
    """
    groups = np.full(len(rows), -1)
    if len(rows) < 2:
        return groups
    own = features[rows]
    sample = sample_of(np.arange(len(features)), 1_000)
    usual = NearestNeighbors(n_neighbors=2).fit(features[sample])
    distances = usual.kneighbors(features[sample])[0][:, 1]
    positive = distances[distances > 0]
    radius = _NEAR * float(np.median(positive)) if len(positive) else 1e-9
    graph = NearestNeighbors(radius=radius).fit(own).radius_neighbors_graph(own).tocoo()
    same = (codes[rows][graph.row] == codes[rows][graph.col]) & (
        suggested[rows][graph.row] == suggested[rows][graph.col]
    )
    pairs = csr_array(
        (np.ones(same.sum()), (graph.row[same], graph.col[same])), shape=(len(rows), len(rows))
    )
    _, labels = connected_components(pairs, directed=False)
    sizes = np.bincount(labels)
    numbers = np.cumsum(sizes > 1) - 1
    return np.where(sizes[labels] > 1, numbers[labels], -1)
