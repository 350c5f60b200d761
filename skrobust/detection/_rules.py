"""From probabilities to flags: the rules of confident learning.

A rule is fitted to labelled rows, which yields cuts, and the cuts flag rows: the same ones, or
others that come later. Because a cut is a value and not a count, rows that tie at it share one
fate, in whatever order they come, and a row of weight two is treated as two equal rows.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from joblib import effective_n_jobs

from skrobust.base._pred_proba import column_classes, match_proba
from skrobust.detection._class_limits import ClassLimits
from skrobust.detection._quality import QUALITY_METHODS, score_rows
from skrobust.noise._confident_joint import (
    SLACK,
    calibrate_joint,
    class_weights,
    confident_predictions,
    count_joint,
    given_proba,
    mean_self_confidence,
)
from skrobust.utils._argument_names import explain_names
from skrobust.utils._blocks import for_each_block, in_threads
from skrobust.utils._sklearn import check_sample_weight
from skrobust.utils._weighted_quantiles import WEIGHT_SLACK, lower_threshold, upper_threshold
from skrobust.utils._weights import as_counts

RULES = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "low_self_confidence",
    "low_normalized_margin",
    "predicted_neq_given",
)
# Margins that are handled at once, if they belong to several classes.
_GROUP_SIZE = 1 << 17
_COPY_BYTES = 1 << 23
# Well clear of the slack, whatever the rounding of single precision.
_POSITIVE = 4 * SLACK
# For sums of fractional weights.


@explain_names
def find_label_errors(
    y,
    pred_proba,
    *,
    rule="prune_by_noise_rate",
    classes=None,
    sample_weight=None,
    n_per_class=None,
    min_per_class=1,
    confident_joint=None,
    confident_thresholds=None,
    rank_by=None,
    n_jobs=None,
) -> np.ndarray:
    """Find the rows whose given label is probably wrong.

    The number of errors, in total or per pair of classes, is taken from the calibrated
    :func:`~skrobust.noise.confident_joint`; the rules differ in how they choose so many rows.

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
        Mass of rows by given (rows) and true (columns) class from elsewhere, which is calibrated
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
        True where the label is probably wrong. Rows that tie at a cut are all flagged, if at
        least half of them would be, or none.

    Raises
    ------
    ValueError
        If probabilities are NaN, infinite or negative or do not sum to 1 along rows, if labels
        and columns do not match, or if `rule` is unknown.

    See Also
    --------
    label_quality_scores : How likely each label is right.
    ConfidentLearning : The detector that gathers the probabilities as well.

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
    quality = score_rows(rank_by, codes[rows], np.asarray(pred_proba[rows]), n_jobs=n_jobs)
    return rows[np.argsort(quality, kind="stable")]


def check_rule(rule) -> None:
    """Refuse an unknown rule."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(map(repr, RULES))}, got {rule!r}.")


@dataclasses.dataclass(frozen=True)
class RuleCuts:
    """What a rule learned from the rows it was fitted to.

    Attributes
    ----------
    rule : str
        Name of the rule.
    thresholds : ndarray of shape (n_classes,)
        Mean self-confidence per class.
    joint : ndarray of shape (n_classes, n_classes)
        Calibrated confident joint, rows are given labels.
    margin : ndarray of shape (n_classes, n_classes) or None
        A row given k is flagged where the probability of j exceeds that of k by
        ``margin[k, j]``.
    confidence : ndarray of shape (n_classes,) or None
        A row given k is flagged where the probability of k is at most ``confidence[k]``.
    score : float or None
        A row is flagged where its score is at most this.
    """

    rule: str
    thresholds: np.ndarray
    joint: np.ndarray
    margin: np.ndarray | None = None
    confidence: np.ndarray | None = None
    score: float | None = None

    def flag(self, codes: np.ndarray, pred_proba: np.ndarray, *, n_jobs=None) -> np.ndarray:
        """Flag rows, which need not be those of the fit.

        Parameters
        ----------
        codes : ndarray of shape (n_samples,)
            Given labels; -1 is never flagged.
        pred_proba : ndarray of shape (n_samples, n_classes)
            Probabilities.
        n_jobs : int, default=None
            Number of threads.

        Returns
        -------
        flagged : ndarray of shape (n_samples,) of bool
            The rows flagged.
        """
        if self.score is not None:
            scores = score_rows(self.rule.removeprefix("low_"), codes, pred_proba, n_jobs=n_jobs)
            return (scores <= self.score) & (codes >= 0)
        guesses, disagrees = confident_predictions(
            codes, pred_proba, self.thresholds, disagreements=True, n_jobs=n_jobs
        )
        if self.rule == "confident_learning":
            disagrees &= (guesses >= 0) & (guesses != codes)
        if self.confidence is not None:
            disagrees &= given_proba(codes, pred_proba) <= self.confidence[codes]
        if self.margin is not None:
            rows = np.flatnonzero(disagrees)

            def narrow(start: int, stop: int) -> None:
                some = rows[start:stop]
                block = np.asarray(pred_proba[some])
                block = block - block[np.arange(len(some)), codes[some]][:, None]
                disagrees[some] = (block >= self.margin[codes[some]]).any(axis=1)

            row_bytes = 2 * pred_proba.shape[1] * pred_proba.itemsize
            for_each_block(narrow, len(rows), row_bytes, n_jobs=n_jobs)
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
) -> tuple[RuleCuts, np.ndarray]:
    """Fit a rule and flag the rows it was fitted to.

    Parameters
    ----------
    rule : str
        One of `RULES`.
    codes : ndarray of shape (n_samples,)
        Given labels; rows with -1 take no part.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities, validated on the way.
    weight : ndarray of shape (n_samples,), default=None
        Weights; only ratios matter, unless all of them are integers.
    thresholds : ndarray of shape (n_classes,), default=None
        Confident thresholds, if they come from elsewhere.
    order : ndarray of shape (n_classes,), default=None
        Order of classes in which ties are resolved when counts are rounded.
    joint : ndarray of shape (n_classes, n_classes), default=None
        Mass of rows by given (rows) and true (columns) class, if it comes from elsewhere.
    limits : ClassLimits, default=None
        What the user wants of each class.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    cuts : RuleCuts
        What was learned.
    flagged : ndarray of shape (n_samples,) of bool
        The rows flagged.
    """
    n_classes = pred_proba.shape[1]
    weight = as_counts(weight, codes >= 0)
    limits = ClassLimits() if limits is None else limits
    thresholds = limits.thresholds if thresholds is None else thresholds
    own = given_proba(codes, pred_proba)
    masses = class_weights(codes, n_classes, weight)
    if thresholds is None:
        thresholds = mean_self_confidence(codes, pred_proba, weight, own=own, totals=masses)
    guesses, disagrees = confident_predictions(
        codes, pred_proba, thresholds, disagreements=True, own=own, n_jobs=n_jobs
    )
    if joint is None and limits.joint is not None:
        joint = calibrate_joint(limits.joint, masses, order=order)
    elif joint is None:
        joint = calibrate_joint(count_joint(codes, guesses, n_classes, weight), masses, order=order)
    else:
        joint = joint * (masses / np.maximum(joint.sum(axis=1), 1e-300))[:, None]
    cuts = RuleCuts(rule, thresholds, joint)
    if rule == "predicted_neq_given":
        return cuts, disagrees
    if rule in ("prune_by_class", "both", "prune_by_noise_rate"):
        del guesses
        counts = limits.counts_to_flag(joint, masses)
        flagged = disagrees.copy()
        if rule != "prune_by_noise_rate":
            confidence = _confidence_cuts(codes, own, masses, counts, weight, limits.least)
            cuts = dataclasses.replace(cuts, confidence=confidence)
            flagged &= own <= confidence[codes]
        if rule != "prune_by_class":
            pairs = _PairCuts(codes, pred_proba, own, weight, counts, masses, limits.least)
            flagged &= pairs.fit(disagrees, n_jobs)
            cuts = dataclasses.replace(cuts, margin=pairs.cuts)
        return cuts, flagged
    off = disagrees & (guesses >= 0) & (guesses != codes)
    if rule == "confident_learning":
        return cuts, off
    del guesses, disagrees
    mass = np.count_nonzero(off) if weight is None else weight[off].sum()
    scores = score_rows(rule.removeprefix("low_"), codes, pred_proba, own=own, n_jobs=n_jobs)
    used = slice(None) if codes.min() >= 0 else codes >= 0
    cut = lower_threshold(scores[used], mass, None if weight is None else weight[used])
    flagged = scores <= cut
    return dataclasses.replace(cuts, score=float(cut)), flagged & (codes >= 0)


def _sort_by_class(codes: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Order rows by class; also return where each class begins, and the end of the last."""
    # Sorting 16-bit integers is a radix sort, linear in the number of rows.
    order = np.argsort(codes.astype(np.int16) if n_classes < 2**15 else codes, kind="stable")
    n_unused = np.count_nonzero(codes < 0)
    counts = np.bincount(codes[codes >= 0] if n_unused else codes, minlength=n_classes)
    return order, n_unused + np.concatenate([[0], np.cumsum(counts)])


def _confidence_cuts(codes, own, masses, counts, weight, least) -> np.ndarray:
    cuts = np.full(len(masses), -np.inf, dtype=own.dtype)
    order, edges = _sort_by_class(codes, len(masses))
    for k in np.flatnonzero(masses > least):
        rows = order[edges[k] : edges[k + 1]]
        wanted = masses[k] - counts[k, k]
        cuts[k] = lower_threshold(own[rows], wanted, None if weight is None else weight[rows])
    return cuts


class _PairCuts:
    """Cuts of the margin for each pair of a given class and another.

    Only a row whose most probable class is not the given one (a suspect) can be flagged in the
    end, and every row with a positive margin is a suspect. So where a pair has as many rows of
    positive margin as it wants, its cut is found among the suspects, which are few; only where
    it has not, among all rows of the given class.
    """

    def __init__(self, codes, pred_proba, own, weight, counts, masses, least):
        self.codes, self.own, self.weight = codes, own, weight
        self.n_classes = len(masses)
        self.entries = np.asarray(pred_proba).reshape(-1)
        wanted = counts > 0
        np.fill_diagonal(wanted, False)
        wanted[masses <= least] = False
        self.given, self.other = np.divmod(np.flatnonzero(wanted), self.n_classes)
        self.wanted = counts[self.given, self.other]
        self.cuts = np.full(counts.shape, np.inf, dtype=pred_proba.dtype)

    def fit(self, suspects: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Find the cuts; return a mask of the rows they flag, of which only suspects count."""
        flagged = np.zeros(len(suspects), dtype=bool)
        resolved = np.zeros(len(self.given), dtype=bool)
        rows = np.flatnonzero(suspects)
        order, edges = _sort_by_class(self.codes[rows], self.n_classes)
        self._fit_pairs(rows[order], edges, np.arange(len(resolved)), resolved, flagged, n_jobs)
        del rows, order
        left = np.flatnonzero(~resolved)
        if len(left):
            order, edges = _sort_by_class(self.codes, self.n_classes)
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
        hit = np.zeros(len(rows), dtype=bool)
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
            cut = upper_threshold(margins, self.wanted[pair], weight)
            self.cuts[self.given[pair], other] = cut
            hit |= margins >= cut
        flagged[rows[hit]] = True

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
        mass = None if self.weight is None else self.weight[rows][row]
        cuts = _cut_groups(margins, pair, wanted, mass)
        if resolved is not None:
            enough = np.bincount(pair, weights=mass, minlength=len(pairs)) >= wanted
            cuts[~enough] = np.inf
            resolved[pairs[enough]] = True
            pairs, kept = pairs[enough], cuts[enough]
        else:
            kept = cuts
        self.cuts[self.given[pairs], self.other[pairs]] = kept
        flagged[rows[row[margins >= cuts[pair]]]] = True


def _changes(values: np.ndarray) -> np.ndarray:
    """Places at which a value differs from the one before."""
    return np.flatnonzero(values[1:] != values[:-1]) + 1


def _cut_groups(values, group, wanted, mass) -> np.ndarray:
    """Find the cut of each group of values, as :func:`upper_threshold` does for one.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values.
    group : ndarray of shape (n_values,)
        Group of each value.
    wanted : ndarray of shape (n_groups,)
        Mass wanted in each group.
    mass : ndarray of shape (n_values,) or None
        Mass of each value; None is 1 each.

    Returns
    -------
    cuts : ndarray of shape (n_groups,)
        Of the type of `values`; infinite where nothing is selected.
    """
    cuts = np.full(len(wanted), np.inf, dtype=values.dtype)
    if len(values) == 0:
        return cuts
    order = np.argsort(values)
    groups = group[order].astype(np.int16 if len(wanted) < 2**15 else np.intp)
    order = order[np.argsort(groups, kind="stable")]
    values, group = values[order], group[order]
    # Runs of equal values of one group, which share one fate.
    starts = (values[1:] != values[:-1]) | (group[1:] != group[:-1])
    starts = np.concatenate([[0], np.flatnonzero(starts) + 1])
    ends = np.append(starts[1:], len(values))
    below = np.arange(len(values) + 1)
    if mass is not None:
        below = np.concatenate([[0.0], np.cumsum(mass[order])])
    group = group[starts]
    group_ends = np.cumsum(np.bincount(group, weights=ends - starts, minlength=len(wanted)))
    until_middle = (below[starts] + below[ends]) / 2
    above_middle = below[group_ends.astype(np.intp)][group] - until_middle
    chosen = above_middle <= wanted[group] * (1 + WEIGHT_SLACK)
    if mass is not None:
        chosen &= below[ends] > below[starts]
    chosen = np.flatnonzero(chosen)
    lowest = chosen[np.append(0, _changes(group[chosen]))] if len(chosen) else chosen
    cuts[group[lowest]] = values[starts[lowest]]
    return cuts
