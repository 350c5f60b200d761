"""Rules of confident learning: from probabilities to flags.

A rule is fitted to labelled rows and yields thresholds, which flag these rows or later ones. A
threshold is a value and not a count, so that tied rows are flagged together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike

from skrobust.base._labels import encode_labels_like
from skrobust.base._pred_proba import column_classes, match_proba
from skrobust.detection._scores import QUALITY_METHODS, score_labels
from skrobust.noise._confident_joint import (
    SLACK,
    calibrate_joint,
    confident_predictions,
    count_confident,
    label_proba,
    round_keeping_row_totals,
)
from skrobust.utils._error_messages import explain_names
from skrobust.utils._parallel import for_each_block, in_threads
from skrobust.utils._typing import LabelsLike
from skrobust.utils._weights import (
    WEIGHT_SLACK,
    as_counts,
    check_sample_weight,
    lower_threshold,
    upper_threshold,
)

RULES = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "low_self_confidence",
    "low_normalized_margin",
    "predicted_neq_given",
)
_PRUNE_RULES = ("prune_by_noise_rate", "prune_by_class", "both")
# Margins that are handled at once, if they belong to several classes.
_GROUP_SIZE = 1 << 17
_COPY_BYTES = 1 << 23
# Well clear of the slack, whatever the rounding of single precision.
_POSITIVE = 4 * SLACK


@explain_names
def find_label_errors(
    y: LabelsLike,
    pred_proba: ArrayLike,
    *,
    rule: str = "prune_by_noise_rate",
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    n_per_class: dict[Any, int] | ArrayLike | None = None,
    min_per_class: int = 1,
    confident_joint: ArrayLike | None = None,
    confident_thresholds: ArrayLike | None = None,
    rank_by: str | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Find the rows whose given label is probably wrong.

    The number of errors, in total or per pair of classes, is taken from the calibrated
    :func:`~skrobust.noise.confident_joint`; the rules differ in how they choose so many rows.

    All rules take overlap of the classes for errors, and flag many right labels where classes
    overlap much: there, review the rows with the lowest :func:`label_quality_scores` instead. In
    benchmarks, "low_self_confidence" has the best F1; the default is that of cleanlab. The share
    of wrong labels, with an interval, is estimated by
    :class:`~skrobust.wrappers.CleaningClassifier` with ``fit(X, y, pred_proba=pred_proba)``, as
    ``detector_.noise_rate_``, or by :class:`EnsembleDetector` from X itself.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels: column numbers, or labels whose sorted distinct values are the columns.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities, read block by block. Memory maps are welcome. Columns of a
        data frame are matched with the labels by name.
    rule : {"prune_by_noise_rate", "prune_by_class", "both", "confident_learning", \
            "low_self_confidence", "low_normalized_margin", "predicted_neq_given"}, \
            default="prune_by_noise_rate"
        Which rows to flag:

        - "prune_by_noise_rate": for each given class and each other class, as many rows as the
          joint counts for the pair, those with the largest margin towards the other class;
        - "prune_by_class": for each given class, as many rows as the joint counts off its
          diagonal, those with the lowest probability of the given label;
        - "both": the rows that both of these flag;
        - "confident_learning": the rows counted off the diagonal of the confident joint;
        - "low_self_confidence", "low_normalized_margin": as many rows as "confident_learning"
          flags, those of the lowest score;
        - "predicted_neq_given": the rows whose most probable class is not the given one.

        All but the two "low" rules leave alone rows whose given label is the most probable.
    classes : array-like of shape (n_classes,), default=None
        The label of each column. None works it out from `y`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows. An integer weight counts as so many equal rows; weights that are not
        all integers are scaled to mean 1.
    n_per_class : dict or array-like of shape (n_classes,), default=None
        Number of rows given each class that the "prune" rules and "both" flag at most, instead of
        the number that the joint counts: by label, where other classes keep theirs, or in the
        order of the columns. These are numbers of given classes with each rule; what cleanlab
        2.9 takes as ``num_to_remove_per_class`` are numbers of true classes with its rule
        "prune_by_noise_rate".
    min_per_class : int, default=1
        Number of rows of each given class that are taken to be right, at least, by the same rules.
    confident_joint : array-like of shape (n_classes, n_classes), default=None
        Weight of rows by given (rows) and true (columns) class from elsewhere, which is calibrated
        to the given labels. Used by the "prune" rules and "both".
    confident_thresholds : array-like of shape (n_classes,), default=None
        Probability from which on a row counts for each class, from elsewhere. None is the mean
        self-confidence; see :func:`~skrobust.noise.confident_thresholds`.
    rank_by : {"self_confidence", "normalized_margin", "confidence_weighted_entropy"}, default=None
        If not None, row numbers are returned instead of a mask: those of the flagged rows, the
        lowest quality by this method first.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    label_errors : ndarray of shape (n_samples,) of bool, or of shape (n_flagged,), dtype intp
        True where the label is probably wrong. Rows that tie at a threshold are all flagged,
        if at least half of them would be, or none.

    Raises
    ------
    ValueError
        If probabilities are NaN, infinite or negative or do not sum to 1 along rows, if labels
        and columns do not match, or if `rule` is unknown.

    See Also
    --------
    label_quality_scores : How likely each label is right.
    ConfidentLearning : The detector that collects the probabilities as well.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.detection import find_label_errors
    >>> pred_proba = np.array(
    ...     [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]]
    ... )
    >>> find_label_errors([0, 0, 0, 1, 1, 1], pred_proba)
    array([False, False,  True, False, False, False])
    """
    check_rule(rule)
    if rank_by is not None and rank_by not in QUALITY_METHODS:
        names = ", ".join(map(repr, QUALITY_METHODS))
        raise ValueError(f"rank_by must be None or one of {names}, got {rank_by!r}.")
    given = pred_proba
    codes, pred_proba = match_proba(y, pred_proba, classes=classes)
    weight = None if sample_weight is None else check_sample_weight(sample_weight, codes)
    by_label = isinstance(n_per_class, Mapping)
    classes = column_classes(y, given, classes) if by_label else np.arange(pred_proba.shape[1])
    limits = ClassLimits.check(
        rule, classes, n_per_class, min_per_class, confident_joint, confident_thresholds
    )
    errors = fit_rule(rule, codes, pred_proba, weight=weight, limits=limits, n_jobs=n_jobs)[1]
    if rank_by is None:
        return errors
    rows = np.flatnonzero(errors)
    if not len(rows):
        return rows
    quality = score_labels(rank_by, codes[rows], np.asarray(pred_proba[rows]), n_jobs=n_jobs)
    return rows[np.argsort(quality, kind="stable")]


def check_rule(rule) -> None:
    """Refuse an unknown rule."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {rule!r}.")


@dataclasses.dataclass(frozen=True)
class FittedRule:
    """Thresholds of a rule, fitted to labelled rows."""

    rule: str
    thresholds: np.ndarray  # (n_classes,) mean self-confidence
    joint: np.ndarray  # (n_classes, n_classes) calibrated, rows are given labels
    order: np.ndarray | None = None  # order of classes in which ties are broken
    margin: np.ndarray | None = None  # [k, j]: flags given k where p[j] - p[k] is at least this
    confidence: np.ndarray | None = None  # [k]: flags given k where p[k] is at most this
    score: float | None = None  # flags where the score of the rule is at most this
    row_weight: float | None = None  # weight that counts as one row, if weights are no counts

    @property
    def weighted_joint(self) -> np.ndarray:
        """The joint in the weights of the rows, instead of counts."""
        return self.joint if self.row_weight is None else self.joint * self.row_weight

    def scalar_threshold(self, quality_method) -> float | None:
        """Threshold of the quality, where that is the score of the rule; else None."""
        if self.rule == f"low_{quality_method}" and np.isfinite(self.score):
            return float(np.nextafter(self.score, np.inf))
        return None

    def flag(
        self, codes: np.ndarray, pred_proba: np.ndarray, *, n_jobs: int | None = None
    ) -> np.ndarray:
        """Flag rows, those of the fit or others; a label of -1 is never flagged."""
        if self.score is not None:
            scores = score_labels(self.rule.removeprefix("low_"), codes, pred_proba, n_jobs=n_jobs)
            return (scores <= self.score) & (codes >= 0)
        guesses, disagrees = confident_predictions(
            codes, pred_proba, self.thresholds, disagreements=True, n_jobs=n_jobs
        )
        if self.rule == "confident_learning":
            disagrees &= (guesses >= 0) & (guesses != codes)
        if self.confidence is not None:
            disagrees &= label_proba(codes, pred_proba) <= self.confidence[codes]
        if self.margin is not None:
            rows = np.flatnonzero(disagrees)

            def keep_above(start: int, stop: int) -> None:
                some = rows[start:stop]
                block = np.asarray(pred_proba[some])
                block = block - block[np.arange(len(some)), codes[some]][:, None]
                disagrees[some] = (block >= self.margin[codes[some]]).any(axis=1)

            row_bytes = 2 * pred_proba.shape[1] * pred_proba.itemsize
            for_each_block(keep_above, len(rows), row_bytes, n_jobs=n_jobs)
        return disagrees


def fit_rule(
    rule: str,
    codes: np.ndarray,
    pred_proba: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
    order: np.ndarray | None = None,
    joint: np.ndarray | None = None,
    limits: ClassLimits | None = None,
    n_jobs: int | None = None,
) -> tuple[FittedRule, np.ndarray]:
    """Fit a rule to rows with a label, and flag them."""
    given, row_weight = codes >= 0, None
    counts = as_counts(weight, given)
    if weight is not None and not np.array_equal(counts, weight):
        row_weight = weight[given].sum() / counts[given].sum()
    weight = counts
    limits = ClassLimits() if limits is None else limits
    thresholds = limits.thresholds if thresholds is None else thresholds
    own, totals, thresholds, guesses, disagrees, counted = count_confident(
        codes, pred_proba, weight, thresholds, disagreements=True, n_jobs=n_jobs
    )
    if joint is None:
        counted = counted if limits.joint is None else limits.joint
        joint = calibrate_joint(counted, totals, order=order)
    else:
        joint = joint * (totals / np.maximum(joint.sum(axis=1), 1e-300))[:, None]
    fitted = FittedRule(rule, thresholds, joint, order, row_weight=row_weight)
    if rule == "predicted_neq_given":
        return fitted, disagrees
    if rule in ("prune_by_class", "both", "prune_by_noise_rate"):
        del guesses
        to_flag = limits.counts_to_flag(joint, totals)
        flagged = disagrees.copy()
        if rule != "prune_by_noise_rate":
            confidence = _confidence_thresholds(codes, own, totals, to_flag, weight, limits.least)
            fitted = dataclasses.replace(fitted, confidence=confidence)
            flagged &= own <= confidence[codes]
        if rule != "prune_by_class":
            pairs = PairThresholds(codes, pred_proba, own, weight, to_flag, totals, limits.least)
            flagged &= pairs.fit(disagrees, n_jobs)
            fitted = dataclasses.replace(fitted, margin=pairs.thresholds)
        return fitted, flagged
    off = disagrees & (guesses >= 0) & (guesses != codes)
    if rule == "confident_learning":
        return fitted, off
    del guesses, disagrees
    total = np.count_nonzero(off) if weight is None else weight[off].sum()
    scores = score_labels(rule.removeprefix("low_"), codes, pred_proba, own=own, n_jobs=n_jobs)
    used = slice(None) if codes.min() >= 0 else codes >= 0
    threshold = lower_threshold(scores[used], total, None if weight is None else weight[used])
    flagged = scores <= threshold
    return dataclasses.replace(fitted, score=float(threshold)), flagged & (codes >= 0)


def _confidence_thresholds(codes, own, totals, counts, weight, least) -> np.ndarray:
    """Thresholds of the probability of the given label, by class."""
    thresholds = np.full(len(totals), -np.inf, dtype=own.dtype)
    order, edges = sort_by_class(codes, len(totals))
    for k in np.flatnonzero(totals > least):
        rows = order[edges[k] : edges[k + 1]]
        wanted = totals[k] - counts[k, k]
        thresholds[k] = lower_threshold(own[rows], wanted, None if weight is None else weight[rows])
    return thresholds


@dataclasses.dataclass(frozen=True, eq=False)
class ClassLimits:
    """Numbers of errors per class that the user sets instead of the confident joint."""

    wanted: np.ndarray | None = None
    least: int = 1
    joint: np.ndarray | None = None
    thresholds: np.ndarray | None = None

    @classmethod
    def check(cls, rule, classes, n_per_class, min_per_class, joint, thresholds) -> ClassLimits:
        """Validate what the user gave."""
        if not isinstance(min_per_class, Integral) or min_per_class < 1:
            raise ValueError(
                f"min_per_class must be an integer of at least 1, got {min_per_class!r}."
            )
        for name, value in (("n_per_class", n_per_class), ("confident_joint", joint)):
            if value is not None and rule not in _PRUNE_RULES:
                raise ValueError(
                    f"{name} is of no use with rule={rule!r}: choose one of"
                    f" {', '.join(map(repr, _PRUNE_RULES))}."
                )
        n_classes = len(classes)
        if joint is not None:
            joint = _numbers(joint, "confident_joint", (n_classes, n_classes))
            empty = np.flatnonzero(joint.sum(axis=1) == 0)
            if len(empty):
                raise ValueError(f"confident_joint has no weight in row {empty[0]}.")
        if thresholds is not None:
            thresholds = _numbers(thresholds, "confident_thresholds", (n_classes,))
        wanted = None if n_per_class is None else _wanted(n_per_class, np.asarray(classes))
        return cls(wanted, int(min_per_class), joint, thresholds)

    def counts_to_flag(self, joint: np.ndarray, totals: np.ndarray) -> np.ndarray:
        """Counts of the joint, with enough right rows per class and as many wrong ones as set."""
        diagonal = np.maximum(joint.diagonal(), self.least)
        missing = diagonal - joint.diagonal()
        counts = np.maximum(joint, 0)
        for k in np.flatnonzero(missing):
            n_others = max(np.count_nonzero(joint[k]) - 1.0, 1.0)
            row = np.maximum(joint[k] - missing[k] / n_others, 0)
            # Whole rows can be removed only in whole numbers: what is left of a fraction stays.
            counts[k] = np.floor(row) if totals.dtype.kind == "i" else row
        np.fill_diagonal(counts, diagonal)
        return counts if self.wanted is None else self._as_wanted(counts, totals)

    def _as_wanted(self, counts, totals) -> np.ndarray:
        """Scale the counts of errors of each given class to the number that was set."""
        counts = counts.astype(np.float64)
        for k in np.flatnonzero(~np.isnan(self.wanted)):
            n_wanted = min(self.wanted[k], totals[k])
            others = np.delete(np.arange(len(counts)), k)
            total = counts[k, others].sum()
            # Where the joint counts no error, all other classes are as likely.
            share = counts[k, others] / total if total > 0 else 1 / len(others)
            counts[k, others] = n_wanted * share
            counts[k, k] = totals[k] - n_wanted
        if totals.dtype.kind == "i":
            counts = round_keeping_row_totals(np.ascontiguousarray(counts))
        return counts


def _wanted(n_per_class, classes) -> np.ndarray:
    """Numbers by class, NaN where the joint decides."""
    if not isinstance(n_per_class, Mapping):
        return _numbers(n_per_class, "n_per_class", (len(classes),))
    wanted = np.full(len(classes), np.nan)
    if n_per_class:
        place = encode_labels_like(list(n_per_class), classes, name="n_per_class")
        values = list(n_per_class.values())
        wanted[place] = _numbers(values, "n_per_class", (len(values),))
    return wanted


def _numbers(values, name, shape) -> np.ndarray:
    """Finite numbers of a shape, none negative."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, got {values!r}.") from None
    if numbers.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {numbers.shape}.")
    if not np.isfinite(numbers).all() or numbers.min(initial=0) < 0:
        raise ValueError(f"{name} must be finite and not negative, got {values!r}.")
    return numbers


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
