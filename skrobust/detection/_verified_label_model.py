"""Calibration of label quality on verified labels, by a logistic Gaussian process.

Labels that were made by a rule cannot be found by out-of-sample predictions, as models learn the
rule; a few dozen verified rows show them. The process predicts which labels are right from their
quality, their given class and the similarity of rows, with the quality as its prior mean.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri
from sklearn.isotonic import IsotonicRegression

from skrobust.base import NoiseLevel
from skrobust.detection._row_kernels import FeatureKernel, InputKernel, ProbaKernel, RowKernel
from skrobust.utils._blocks import for_each_block
from skrobust.utils._weights import as_counts

MIN_VERIFIED = 10
"""Of fewer verified rows nothing is learned."""
MAX_VERIFIED = 800
"""Of more verified rows, so many are looked at: those spread evenly over the quality."""
# Log-odds of a wrong label are normal beforehand: by the quality, with slope and variances as here,
# and by given class and similarity, with variances that the verified rows choose from. Measured on
# real label errors with 15 to 160 verified rows; half or double of any makes little difference.
_SLOPE = 0.7
_SLOPE_VARIANCE = 0.5
# The estimated share of wrong labels is either about right or far off.
_BASE_VARIANCES = (0.1, 4.0)
# Where the share of wrong labels is known about, the log-odds are those of the quality instead,
# within bounds, and shifted such that as many wrong labels are expected.
_QUALITIES = 0.003, 0.997
_PRIOR_RATES = 0.01, 0.5
_CLASS_VARIANCES = (0.1, 0.5, 2.0)
# Verified rows are the most suspicious ones where half of all rows have a better quality than nine
# tenths of them, and tell little about others then.
_QUANTILE, _LEAST_BETTER = 0.9, 0.5
# Where all of them are wrong, they were chosen because they are wrong, unless they are so large a
# share of the rows with a quality as low as theirs.
_LEAST_SHARE = 0.9
# So many other classes are thought to be as often right as predicted, before verified rows count.
_PRIOR_HITS = 1.0
# Draws from the posterior, rows at a time, and ends of the interval of the share of wrong labels.
_N_DRAWS, _BLOCK_ROWS = 400, 2000
_TAILS = 0.05, 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class VerifiedLabelModel:
    """How likely labels are right, learned from verified rows."""

    knots: np.ndarray
    scores: np.ndarray
    score: np.ndarray
    codes: np.ndarray
    wrong: np.ndarray
    weight: np.ndarray
    views: list[RowKernel]
    rows: np.ndarray
    offsets: np.ndarray
    offset: np.ndarray
    level: NoiseLevel | None
    suspicious: bool

    def right_proba(self, quality, codes, sources) -> np.ndarray:
        """Probability that labels are right."""
        views = [
            (view, view.prepare(source))
            for view, source in zip(self.views, sources, strict=True)
            if source is not None
        ]
        class_part = self._class_part(
            self.codes, [(view, view.verified) for view, _ in views], slice(None)
        )
        fits = self._fit(class_part)
        known = np.flatnonzero(~np.isnan(quality))
        right = np.full(len(quality), np.nan)
        score = np.interp(quality[known], self.knots, self.scores)
        offset = np.interp(quality[known], self.knots, self.offsets)

        def judge(start: int, stop: int) -> None:
            rows = known[start:stop]
            own = self._class_part(codes[rows], views, rows)
            for fit in fits:
                part = _shared_part(score[start:stop], self.score, fit.base)
                logit = (part + fit.variance * own) @ fit.pull + offset[start:stop]
                total[start:stop] += fit.share * expit(-logit)

        total = np.zeros(len(known))
        for_each_block(judge, len(known), 64 * len(self.codes))
        right[known] = total
        return right

    def calibrate_new(self, X, quality, codes) -> np.ndarray:
        """Probability that labels of new rows are right."""
        sources = [X if isinstance(kernel, InputKernel) else None for kernel in self.views]
        return self.right_proba(quality, codes, sources)

    def own_right_proba(self) -> np.ndarray:
        """Probability that the label of each verified row is right, if it were not verified."""
        class_part = self._class_part(
            self.codes, [(view, view.verified) for view in self.views], slice(None)
        )
        right = np.zeros(len(self.codes))
        for fit in self._fit(class_part):
            kernel = _shared_part(self.score, self.score, fit.base) + fit.variance * class_part
            logit = kernel @ fit.pull + self.offset
            proba = expit(logit)
            # The approximation that leaves out one row's term and keeps the others' curvature.
            inverse = np.diagonal(cho_solve(fit.factor, np.eye(len(fit.root))))
            spread = (1 - inverse) / fit.root**2  # posterior variance
            cavity = spread / np.maximum(inverse, 1e-9)
            right += fit.share * expit(-(logit - cavity * self.weight * (self.wrong - proba)))
        return right

    def rate_interval(self, quality, codes, right, weight) -> tuple[float, float]:
        """Interval of the share of wrong labels among some rows."""
        class_part = self._class_part(
            self.codes, [(view, view.verified) for view in self.views], slice(None)
        )
        mass = np.ones(len(right)) if weight is None else weight
        classes = np.unique(codes)
        parts = _parts(np.interp(quality, self.knots, self.scores), codes, classes)
        own = _parts(self.score, self.codes, classes)
        normal = np.random.default_rng(0).normal(size=(_N_DRAWS, parts.shape[1]))
        logit_wrong = -logit(np.clip(right, 1e-9, 1 - 1e-9))
        rates, shares = [], []
        for fit in self._fit(class_part):
            prior = np.full(parts.shape[1], fit.variance)
            prior[:2] = fit.base, _SLOPE_VARIANCE
            seen = fit.root[:, None] * own * prior
            spread = np.diag(prior) - seen.T @ cho_solve(fit.factor, seen)
            values, axes = np.linalg.eigh(spread)
            draws = (normal * np.sqrt(np.maximum(values, 0))) @ axes.T
            found = np.zeros(_N_DRAWS)
            for start in range(0, len(parts), _BLOCK_ROWS):
                rows = slice(start, start + _BLOCK_ROWS)
                found += mass[rows] @ expit(logit_wrong[rows, None] + parts[rows] @ draws.T)
            rates.append(found / mass.sum())
            shares.append(np.full(_N_DRAWS, fit.share / _N_DRAWS))
        rates, shares = np.concatenate(rates), np.concatenate(shares)
        order = np.argsort(rates, kind="stable")
        below = np.cumsum(shares[order]) - shares[order] / 2
        low, high = np.interp(_TAILS, below, rates[order])
        rate = float(mass @ (1 - right) / mass.sum())
        # Where no verified label is wrong, perhaps none is.
        low = min(float(low), rate) if self.wrong.any() else 0.0
        high = max(float(high), rate)
        if self.level is not None and self.suspicious:
            low, high = min(low, self.level.low), max(high, self.level.high)
        return low, high

    def _class_part(self, codes, views, rows) -> np.ndarray:
        """Likeness of rows and verified rows that were given the same label."""
        alike = np.ones((len(codes), len(self.codes)))
        for view, prepared in views:
            alike += view.compare(prepared, rows)
        alike[codes[:, None] != self.codes] = 0.0
        return alike

    def _fit(self, class_part) -> list[_Fit]:
        """Fit with each prior, of which the evidence tells how much it counts."""
        fits, logs = [], []
        for base, variance in itertools.product(_BASE_VARIANCES, _CLASS_VARIANCES):
            kernel = _shared_part(self.score, self.score, base) + variance * class_part
            found = _most_probable(kernel, self.offset, self.wrong, self.weight)
            logs.append(found[1])
            fits.append((base, variance, found[0], *found[2:]))
        share = np.exp(np.array(logs) - max(logs))
        share /= share.sum()
        return [_Fit(float(part), *fit) for part, fit in zip(share, fits, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """A Gaussian process with one prior."""

    share: float
    base: float
    variance: float
    pull: np.ndarray
    root: np.ndarray
    factor: tuple


def _shared_part(score, others, base: float) -> np.ndarray:
    """Prior covariance of log-odds by quality."""
    return base + _SLOPE_VARIANCE * np.outer(score, others)


def _parts(score, codes, classes) -> np.ndarray:
    """What log-odds depend on linearly: a constant, the quality, and the class."""
    return np.column_stack([np.ones(len(score)), score, codes[:, None] == classes])


def _most_probable(kernel, offset, wrong, weight) -> tuple:
    """Laplace's approximation of a Gaussian process with logistic likelihood."""
    sign = np.where(wrong, 1.0, -1.0)
    pull, value = np.zeros(len(sign)), np.zeros(len(sign))

    def height(pull, value):
        return -0.5 * pull @ value - weight @ np.logaddexp(0, -sign * (value + offset))

    def curvature(value):
        proba = expit(value + offset)
        bend = np.maximum(weight * proba * (1 - proba), 1e-12)
        root = np.sqrt(bend)
        matrix = root[:, None] * kernel * root
        matrix[np.diag_indices_from(matrix)] += 1
        return proba, bend, root, cho_factor(matrix, lower=True)

    best = height(pull, value)
    for _ in range(50):
        proba, bend, root, factor = curvature(value)
        target = bend * value + weight * (wrong - proba)
        step = target - root * cho_solve(factor, root * (kernel @ target)) - pull
        size = 1.0
        while True:
            tried = pull + size * step
            tried_value = kernel @ tried
            found = height(tried, tried_value)
            if found >= best or size < 1e-4:
                break
            size /= 2
        gained, pull, value, best = found - best, tried, tried_value, found
        if gained < 1e-10 * (1 + abs(best)):
            break
    *_, root, factor = curvature(value)
    return pull, float(best - np.log(np.diagonal(factor[0])).sum()), root, factor


def fit_verified_label_model(
    quality, codes, checked, wrong, weight, views, sources, *, level=None, right=None
) -> VerifiedLabelModel | None:
    """Learn from verified rows which labels are right."""
    weight = as_counts(weight, ~np.isnan(quality))
    mass = np.ones(len(quality)) if weight is None else weight
    counted = ~np.isnan(quality) & (mass > 0)
    rows = np.flatnonzero(checked & counted)
    n_wrong, total = mass[rows] @ wrong[rows], mass[rows].sum()
    if total < MIN_VERIFIED:
        return None
    mass = np.where(counted, mass, 0.0)
    below = _as_suspicious(quality, mass, rows)
    if n_wrong == total and mass[rows] @ below[rows] < _LEAST_SHARE * mass[below].sum():
        return None
    suspicious = mass[below].sum() < (1 - _LEAST_BETTER) * mass.sum()
    if len(rows) > MAX_VERIFIED:
        rows = rows[np.lexsort((quality[rows], wrong[rows]))]
        rows = rows[np.linspace(0, len(rows) - 1, MAX_VERIFIED).round().astype(np.intp)]
    knots, place = np.unique(quality[counted], return_inverse=True)
    amount = np.bincount(place, weights=mass[counted])
    scores = ndtri((np.cumsum(amount) - amount / 2) / amount.sum())
    if level is None:
        offsets = -_SLOPE * scores
    else:
        expected = knots
        if right is not None:
            known = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            rows_known = np.flatnonzero(counted)
            known.fit(quality[rows_known], right[rows_known], mass[rows_known])
            expected = known.predict(knots)
        offsets = _prior_log_odds(level.rate, expected, amount)
    fitted = [view.fit(source, rows, mass) for view, source in zip(views, sources, strict=True)]
    return VerifiedLabelModel(
        knots,
        scores,
        np.interp(quality[rows], knots, scores),
        codes[rows],
        wrong[rows],
        mass[rows],
        fitted,
        rows,
        offsets,
        np.interp(quality[rows], knots, offsets),
        level,
        bool(suspicious),
    )


def _as_suspicious(quality, mass, rows) -> np.ndarray:
    """Find what has a quality at most that of nine tenths of some rows."""
    order = rows[np.argsort(quality[rows], kind="stable")]
    place = np.searchsorted(np.cumsum(mass[order]), _QUANTILE * mass[rows].sum() * (1 - 1e-9))
    return (quality <= quality[order[place]]) & (mass > 0)


def _prior_log_odds(rate: float, quality: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Log-odds of labels to be wrong, by their quality, such that `rate` of all are expected."""
    odds = -logit(np.clip(quality, *_QUALITIES))
    share = amount / amount.sum()
    rate = float(np.clip(rate, *_PRIOR_RATES))
    return odds + brentq(lambda shift: share @ expit(odds + shift) - rate, -30, 30)


def best_f1_threshold(right, weight=None) -> float:
    """Find the cut below which to flag so that the expected F1 of the flags is highest."""
    mass = np.ones(len(right)) if weight is None else weight
    values, place = np.unique(right, return_inverse=True)
    total = np.bincount(place, weights=mass, minlength=len(values))
    wrong = total * (1 - values)
    if not wrong.sum() > 0:
        return 0.0
    f1 = 2 * np.cumsum(wrong) / (np.cumsum(total) + wrong.sum())
    return float(np.nextafter(values[f1.argmax()], np.inf))


def expected_count_threshold(right, weight=None) -> float:
    """Find the cut below which to flag, so that no more is flagged than is expected to be wrong."""
    mass = np.ones(len(right)) if weight is None else weight
    values, place = np.unique(right, return_inverse=True)
    total = np.bincount(place, weights=mass, minlength=len(values))
    expected = total @ (1 - values)
    n_below = np.searchsorted(np.cumsum(total), expected * (1 + 1e-9), side="right")
    return float(np.nextafter(values[n_below - 1], np.inf)) if n_below else 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class CalibratedQuality:
    """Quality of labels, calibrated on verified ones."""

    model: VerifiedLabelModel
    quality: np.ndarray
    noise_rate: tuple[float, float, float]
    threshold: float
    alternative_proba: np.ndarray | None

    @property
    def found_errors(self) -> bool:
        """Whether a verified label is wrong."""
        return bool(self.model.wrong.any())


def calibrate_on_verified(data, result, quality) -> CalibratedQuality | None:
    """Calibrate the quality of a detector on verified labels, if they suffice."""
    checked = data.checked & data.given
    kernels: list[RowKernel] = []
    sources: list = []
    if result.pred_proba is not None:
        kernels.append(ProbaKernel())
        sources.append(result.pred_proba)
    elif result.features is not None:
        kernels.append(FeatureKernel())
        sources.append(result.features)
    if InputKernel.can_see(data.X):
        kernels.append(InputKernel())
        sources.append(data.X)
    model = fit_verified_label_model(
        quality,
        data.y,
        checked,
        data.known_errors,
        data.sample_weight,
        kernels,
        sources,
        level=result.given_level,
        right=result.right_proba,
    )
    if model is None:
        return None
    right = model.right_proba(quality, data.y, sources)
    right[model.rows] = model.own_right_proba()
    counted = ~np.isnan(quality) & ~data.checked & data.used
    weight = None if data.sample_weight is None else data.sample_weight[counted]
    noise_rate = (0.0, 0.0, 0.0)
    if counted.any():
        low, high = model.rate_interval(quality[counted], data.y[counted], right[counted], weight)
        noise_rate = float(np.average(1 - right[counted], weights=weight)), low, high
    return CalibratedQuality(
        model,
        right,
        noise_rate,
        expected_count_threshold(right[counted], weight),
        None if result.alternative_proba is None else _alternative_proba(data, result),
    )


def _alternative_proba(data, result) -> np.ndarray:
    """Probability of the alternatives, reduced where they differ from verified labels."""
    expected = result.alternative_proba
    rows = data.known_errors & data.used & ~np.isnan(expected)
    hits = rows & (result.alternatives == data.verified)
    weight = np.ones(len(rows)) if data.sample_weight is None else data.sample_weight
    ratio = (weight @ hits + _PRIOR_HITS) / (weight[rows] @ expected[rows] + _PRIOR_HITS)
    return min(float(ratio), 1.0) * expected
