"""Margin thresholds of pairs of a given and another class, of which each flags a number of rows."""

import numpy as np
from joblib import effective_n_jobs

from skrobust.noise._confident_joint import SLACK
from skrobust.utils._blocks import in_threads
from skrobust.utils._weighted_quantiles import WEIGHT_SLACK, upper_threshold

# Margins that are handled at once, if they belong to several classes.
_GROUP_SIZE = 1 << 17
_COPY_BYTES = 1 << 23
# Well clear of the slack, whatever the rounding of single precision.
_POSITIVE = 4 * SLACK


def sort_by_class(codes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Order rows by class; also return where each class begins, and the end of the last."""
    # Sorting 16-bit integers is a radix sort, linear in the number of rows.
    order = np.argsort(codes.astype(np.int16) if n_classes < 2**15 else codes, kind="stable")
    n_unused = np.count_nonzero(codes < 0)
    counts = np.bincount(codes[codes >= 0] if n_unused else codes, minlength=n_classes)
    return order, n_unused + np.concatenate([[0], np.cumsum(counts)])


class PairThresholds:
    """Thresholds of the margin for each pair of a given class and another."""

    # Only a row whose most probable class is not the given one (a suspect) can be flagged in the
    # end, and every row with a positive margin is a suspect. So where a pair has enough rows of
    # positive margin, its threshold is found among the suspects, which are few; otherwise among all
    # rows of the given class.

    def __init__(self, codes, pred_proba, own, weight, counts, totals, least):
        self.codes, self.own, self.weight = codes, own, weight
        self.n_classes = len(totals)
        self.entries = np.asarray(pred_proba).reshape(-1)
        wanted = counts > 0
        np.fill_diagonal(wanted, False)
        wanted[totals <= least] = False
        self.given, self.other = np.divmod(np.flatnonzero(wanted), self.n_classes)
        self.wanted = counts[self.given, self.other]
        self.thresholds = np.full(counts.shape, np.inf, dtype=pred_proba.dtype)

    def fit(self, suspects: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Find the thresholds, and the rows that they flag, of which only suspects count."""
        flagged = np.zeros(len(suspects), dtype=bool)
        resolved = np.zeros(len(self.given), dtype=bool)
        rows = np.flatnonzero(suspects)
        order, edges = sort_by_class(self.codes[rows], self.n_classes)
        self._fit_pairs(rows[order], edges, np.arange(len(resolved)), resolved, flagged, n_jobs)
        del rows, order
        left = np.flatnonzero(~resolved)
        if len(left):
            order, edges = sort_by_class(self.codes, self.n_classes)
            self._fit_pairs(order, edges, left, None, flagged, n_jobs)
        return flagged

    def _fit_pairs(self, order, edges, pairs, resolved, flagged, n_jobs) -> None:
        """Fit some pairs on rows sorted by class, several small classes or one large at a time."""
        starts = np.searchsorted(self.given[pairs], np.arange(self.n_classes + 1))
        sizes = np.diff(edges) * np.diff(starts)
        large = np.flatnonzero(sizes > _GROUP_SIZE)
        small = np.flatnonzero((sizes > 0) & (sizes <= _GROUP_SIZE))
        group = np.cumsum(sizes[small]) // _GROUP_SIZE
        jobs = [
            *((self._fit_class, np.array([k])) for k in large),
            *((self._fit_classes, some) for some in np.split(small, _changes(group)) if len(some)),
        ]
        n_threads = max(1, min(effective_n_jobs(n_jobs), len(jobs)))

        def work(thread: int) -> None:
            for fit, classes in jobs[thread::n_threads]:
                rows = np.concatenate([order[edges[k] : edges[k + 1]] for k in classes])
                some = np.concatenate([pairs[starts[k] : starts[k + 1]] for k in classes])
                fit(rows, some, resolved, flagged)

        in_threads(work, [(thread,) for thread in range(n_threads)])

    def _fit_class(self, rows, pairs, resolved, flagged) -> None:
        """Fit the pairs of one given class, one after the other."""
        own = self.own[rows]
        weight = None if self.weight is None else self.weight[rows]
        above = np.zeros(len(rows), dtype=bool)
        # One row after the other is the faster order to read, if there is room for a copy.
        if len(rows) * self.n_classes * own.itemsize <= _COPY_BYTES:
            table = self.entries.reshape(-1, self.n_classes)
            columns = np.ascontiguousarray(table.take(rows, axis=0).T)
        else:
            columns = None
            first = rows * self.n_classes
        for pair in pairs:
            other = self.other[pair]
            column = columns[other] if columns is not None else self.entries.take(first + other)
            margins = column - own
            if resolved is not None:
                positive = margins > _POSITIVE
                here = np.count_nonzero(positive) if weight is None else weight[positive].sum()
                if here < self.wanted[pair]:
                    continue
                resolved[pair] = True
            threshold = upper_threshold(margins, self.wanted[pair], weight)
            self.thresholds[self.given[pair], other] = threshold
            above |= margins >= threshold
        flagged[rows[above]] = True

    def _fit_classes(self, rows, pairs, resolved, flagged) -> None:
        """Fit the pairs of several given classes, all at once: entries of rows times pairs."""
        given, wanted = self.given[pairs], self.wanted[pairs]
        first = np.searchsorted(given, self.codes[rows])
        n_pairs = np.searchsorted(given, self.codes[rows], side="right") - first
        row = np.repeat(np.arange(len(rows)), n_pairs)
        pair = np.arange(len(row)) + np.repeat(first - np.cumsum(n_pairs) + n_pairs, n_pairs)
        places = (rows * self.n_classes)[row]
        places += self.other[pairs][pair]
        margins = self.entries.take(places)
        margins -= self.own[rows][row]
        del places
        if resolved is not None:
            positive = np.flatnonzero(margins > _POSITIVE)
            row, pair, margins = row[positive], pair[positive], margins[positive]
        weights = None if self.weight is None else self.weight[rows][row]
        thresholds = group_thresholds(margins, pair, wanted, weights)
        if resolved is not None:
            enough = np.bincount(pair, weights=weights, minlength=len(pairs)) >= wanted
            thresholds[~enough] = np.inf
            resolved[pairs[enough]] = True
            pairs, kept = pairs[enough], thresholds[enough]
        else:
            kept = thresholds
        self.thresholds[self.given[pairs], self.other[pairs]] = kept
        flagged[rows[row[margins >= thresholds[pair]]]] = True


def _changes(values: np.ndarray) -> np.ndarray:
    """Positions at which a value differs from the previous one."""
    return np.flatnonzero(values[1:] != values[:-1]) + 1


def group_thresholds(
    values: np.ndarray, group: np.ndarray, wanted: np.ndarray, weights: np.ndarray | None
) -> np.ndarray:
    """Threshold of each group of values, as :func:`upper_threshold` finds for one."""
    thresholds = np.full(len(wanted), np.inf, dtype=values.dtype)
    if len(values) == 0:
        return thresholds
    order = np.argsort(values)
    groups = group[order].astype(np.int16 if len(wanted) < 2**15 else np.intp)
    order = order[np.argsort(groups, kind="stable")]
    values, group = values[order], group[order]
    # Runs of equal values of one group, which are selected together.
    starts = (values[1:] != values[:-1]) | (group[1:] != group[:-1])
    starts = np.concatenate([[0], np.flatnonzero(starts) + 1])
    ends = np.append(starts[1:], len(values))
    below = np.arange(len(values) + 1)
    if weights is not None:
        below = np.concatenate([[0.0], np.cumsum(weights[order])])
    group = group[starts]
    group_ends = np.cumsum(np.bincount(group, weights=ends - starts, minlength=len(wanted)))
    until_middle = (below[starts] + below[ends]) / 2
    above_middle = below[group_ends.astype(np.intp)][group] - until_middle
    chosen = above_middle <= wanted[group] * (1 + WEIGHT_SLACK)
    if weights is not None:
        chosen &= below[ends] > below[starts]
    chosen = np.flatnonzero(chosen)
    lowest = chosen[np.append(0, _changes(group[chosen]))] if len(chosen) else chosen
    thresholds[group[lowest]] = values[starts[lowest]]
    return thresholds
