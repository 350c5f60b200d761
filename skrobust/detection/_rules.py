"""From probabilities to flags: the rules of confident learning.

A rule is fitted to labelled rows, which yields cuts, and the cuts flag rows: the same ones, or
others that come later. Because a cut is a value and not a count, rows that tie at it share one
fate, in whatever order they come, and a row of weight two is treated as two equal rows.
"""

import dataclasses

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from skrobust.noise._confident_joint import (
    SLACK,
    calibrate_joint,
    class_mass,
    confident_guesses,
    count_joint,
    given_proba,
    mean_self_confidence,
)
from skrobust.utils._blocks import for_each_block
from skrobust.utils._labels import codes_for_columns
from skrobust.utils._proba import as_proba
from skrobust.utils._sklearn import check_sample_weight

RULES = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "low_self_confidence",
    "low_normalized_margin",
    "predicted_neq_given",
)
_CHUNK_BYTES = 1 << 23


def find_label_errors(
    y, pred_proba, *, rule="prune_by_noise_rate", classes=None, sample_weight=None, n_jobs=None
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
        Out-of-sample probabilities, read block by block. Memory maps are welcome.
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
        Weights of the rows. An integer weight counts as so many equal rows.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    label_errors : ndarray of shape (n_samples,) of bool
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
    pred_proba = as_proba(pred_proba)
    codes = codes_for_columns(y, pred_proba.shape[1], classes=classes)
    as_proba(pred_proba, len(codes))
    weight = None if sample_weight is None else check_sample_weight(sample_weight, codes)
    return fit_rule(rule, codes, pred_proba, weight=weight, n_jobs=n_jobs)[1]


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
        guesses, disagrees = confident_guesses(
            codes, pred_proba, self.thresholds, disagreements=True, n_jobs=n_jobs
        )
        return self._flag(codes, pred_proba, guesses, disagrees, n_jobs)

    def _flag(self, codes, pred_proba, guesses, disagrees, n_jobs):
        if self.score is not None:
            return (scores_for_rule(self.rule, codes, pred_proba) <= self.score) & (codes >= 0)
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


def scores_for_rule(rule: str, codes: np.ndarray, pred_proba: np.ndarray) -> np.ndarray:
    """Compute the score that a "low" rule ranks by."""
    from skrobust.detection._quality import score_rows

    return score_rows(rule.removeprefix("low_"), codes, pred_proba)


def fit_rule(
    rule: str,
    codes: np.ndarray,
    pred_proba: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
    order: np.ndarray | None = None,
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
        Weights.
    thresholds : ndarray of shape (n_classes,), default=None
        Confident thresholds, if they come from elsewhere.
    order : ndarray of shape (n_classes,), default=None
        Order of classes in which ties are resolved when counts are rounded.
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
    if thresholds is None:
        thresholds = mean_self_confidence(codes, pred_proba, weight)
    guesses, disagrees = confident_guesses(
        codes, pred_proba, thresholds, disagreements=True, n_jobs=n_jobs
    )
    masses = class_mass(codes, n_classes, weight)
    joint = calibrate_joint(count_joint(codes, guesses, n_classes, weight), masses, order=order)
    cuts = RuleCuts(rule, thresholds, joint)
    if rule.startswith("low_"):
        off = disagrees & (guesses >= 0) & (guesses != codes)
        mass = off.sum() if weight is None else weight[off].sum()
        used = codes >= 0
        scores = scores_for_rule(rule, codes, pred_proba)[used]
        cut = -top_mass_cut(-scores, mass, None if weight is None else weight[used])
        cuts = dataclasses.replace(cuts, score=float(cut))
    if rule in ("prune_by_class", "both", "prune_by_noise_rate"):
        counts = _keep_one_right(joint, masses)
        by_class = _RowsByClass(codes, n_classes)
        if rule != "prune_by_noise_rate":
            own = given_proba(codes, pred_proba)
            confidence = _confidence_cuts(by_class, own, masses, counts, weight)
            cuts = dataclasses.replace(cuts, confidence=confidence)
        if rule != "prune_by_class":
            margin = _margin_cuts(by_class, pred_proba, masses, counts, disagrees, weight, n_jobs)
            cuts = dataclasses.replace(cuts, margin=margin)
        del by_class
    return cuts, cuts._flag(codes, pred_proba, guesses, disagrees, n_jobs)


def _keep_one_right(joint: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Let the joint leave at least one right row in each given class."""
    diagonal = np.maximum(joint.diagonal(), 1)
    missing = diagonal - joint.diagonal()
    n_others = np.maximum(np.count_nonzero(joint, axis=1) - 1.0, 1.0)
    counts = np.maximum(joint - (missing / n_others)[:, None], 0)
    np.fill_diagonal(counts, diagonal)
    # Whole rows can be removed only in whole numbers: what is left of a fraction stays.
    return counts if masses.dtype.kind != "i" else np.floor(counts).astype(np.int64)


class _RowsByClass:
    """The rows of each class, by one sort."""

    def __init__(self, codes: np.ndarray, n_classes: int):
        # Sorting 16-bit integers is a radix sort, linear in the number of rows.
        small = codes.astype(np.int16) if n_classes < 2**15 else codes
        self._order = np.argsort(small, kind="stable")
        counts = np.bincount(codes + 1, minlength=n_classes + 1)
        self._ends = np.cumsum(counts)

    def __getitem__(self, k: int) -> np.ndarray:
        return self._order[self._ends[k] : self._ends[k + 1]]


def _confidence_cuts(by_class, own, masses, counts, weight) -> np.ndarray:
    cuts = np.full(len(masses), -np.inf, dtype=own.dtype)
    for k, mass in enumerate(masses):
        rows = by_class[k]
        if mass > 1:
            wanted = mass - counts[k, k]
            cuts[k] = -top_mass_cut(-own[rows], wanted, None if weight is None else weight[rows])
    return cuts


def _margin_cuts(by_class, pred_proba, masses, counts, disagrees, weight, n_jobs) -> np.ndarray:
    n_classes = pred_proba.shape[1]
    cuts = np.full((n_classes, n_classes), np.inf, dtype=pred_proba.dtype)
    counts = counts.copy()
    np.fill_diagonal(counts, 0)

    def fit_class(k: int) -> None:
        others = np.flatnonzero(counts[k] > 0)
        if masses[k] <= 1 or len(others) == 0:
            return
        rows = by_class[k]
        # Only a row whose most probable class is not the given one can be flagged in the end,
        # and every row with a positive margin is such a row. Where there are as many as wanted,
        # the cut is found among these few.
        suspects = rows[disagrees[rows]]
        others = others[~_cut_pairs(k, others, suspects, True)]
        if len(others):
            _cut_pairs(k, others, rows, False)

    def _cut_pairs(k, others, rows, partial) -> np.ndarray:
        done = np.zeros(len(others), dtype=bool)
        if len(rows) == 0:
            return done
        mass = None if weight is None else weight[rows]
        step = max(1, _CHUNK_BYTES // (len(rows) * pred_proba.itemsize))
        for start in range(0, len(others), step):
            some = others[start : start + step]
            margins = _margins(pred_proba, rows, k, some)
            wanted = counts[k, some]
            if partial:
                # Well clear of the slack, whatever the rounding of single precision.
                positive = margins > 4 * SLACK
                here = positive.sum(axis=1) if mass is None else positive @ mass
                enough = here >= wanted
                done[start : start + step] = enough
                some, margins, wanted = some[enough], margins[enough], wanted[enough]
            cuts[k, some] = _row_cuts(margins, wanted, mass)
        return done

    n_threads = min(effective_n_jobs(n_jobs), n_classes)
    if n_threads <= 1:
        for k in range(n_classes):
            fit_class(k)
    else:
        shares = np.array_split(np.arange(n_classes), n_threads)
        Parallel(n_jobs=n_threads, require="sharedmem")(
            delayed(lambda share: [fit_class(k) for k in share] and None)(share)
            for share in shares
        )
    return cuts


def _margins(pred_proba, rows, k, others) -> np.ndarray:
    """Margins of the given class k, shape (n_others, n_rows)."""
    block = np.asarray(pred_proba[rows[:, None], others])
    own = np.asarray(pred_proba[rows, k])
    return np.ascontiguousarray((block - own[:, None]).T)


def _row_cuts(margins: np.ndarray, wanted: np.ndarray, mass: np.ndarray | None) -> np.ndarray:
    """Find the cut of each row of margins, shape (n_cuts, n_values)."""
    n_cuts, n_values = margins.shape
    if mass is not None or n_cuts == 0:
        return np.array([top_mass_cut(m, w, mass) for m, w in zip(margins, wanted, strict=True)])
    wanted = np.minimum(wanted, n_values)
    sorted_margins = np.sort(margins, axis=1)
    cuts = sorted_margins[np.arange(n_cuts), n_values - wanted]
    above = (sorted_margins > cuts[:, None]).sum(axis=1)
    tied = (sorted_margins == cuts[:, None]).sum(axis=1)
    spare = above + tied / 2 > wanted
    cuts[spare] = np.nextafter(cuts[spare], np.inf, dtype=cuts.dtype)
    return cuts


def top_mass_cut(values: np.ndarray, mass: float, weight: np.ndarray | None = None):
    """Find the value from which on the largest values weigh `mass`.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values.
    mass : float
        Mass wanted.
    weight : ndarray of shape (n_values,), default=None
        Mass of each value; None is 1 each.

    Returns
    -------
    cut : float
        Values of at least this are selected; infinite if none is. Equal values share one fate:
        they are selected if at least half of their mass is wanted.
    """
    if weight is None:
        return _top_count_cut(values, mass)
    if len(values) == 0 or mass <= 0:
        return np.inf
    distinct, group = np.unique(values, return_inverse=True)
    group_mass = np.bincount(group, weights=weight)[::-1]
    distinct = distinct[::-1]
    # The slack is for sums of fractional weights.
    chosen = np.cumsum(group_mass) - group_mass / 2 <= mass * (1 + 1e-12)
    chosen &= np.cumsum(~chosen) == 0
    n_chosen = int(chosen.sum())
    return distinct[n_chosen - 1] if n_chosen else np.inf


def _top_count_cut(values: np.ndarray, count: float):
    count = min(int(np.floor(count + 0.5)), len(values))
    if count <= 0:
        return np.inf
    place = len(values) - count
    cut = np.partition(values, place)[place]
    above, tied = np.count_nonzero(values > cut), np.count_nonzero(values == cut)
    if above + tied / 2 <= count:
        return cut
    return np.nextafter(cut, np.inf, dtype=cut.dtype) if above else np.inf
