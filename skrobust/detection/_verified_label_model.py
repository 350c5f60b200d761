"""Calibration of the quality on verified labels."""

from __future__ import annotations

import dataclasses
import itertools
from abc import ABC, abstractmethod

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.preprocessing import normalize

from skrobust.base import NoiseLevel
from skrobust.utils._input import as_numbers, is_numeric
from skrobust.utils._parallel import row_blocks
from skrobust.utils._sklearn import num_samples
from skrobust.utils._weights import as_counts

# More columns, as those of words, are compared by the direction of rows only.
_MAX_RANKED = 1024
_N_LEVELS = 129
_N_AXES = 100


class RowKernel(ABC):
    """Similarity of rows to verified rows."""

    def fit(self, source, rows, weight) -> RowKernel:
        """Store the verified rows, with which others are compared."""
        self._learn(source, weight)
        prepared = self.prepare(source)
        self.verified = prepared[rows]
        self._scale(prepared, weight)
        return self

    def _learn(self, source, weight) -> None:  # noqa: B027 - most kernels need not
        """Learn how to prepare rows."""

    def _scale(self, prepared, weight) -> None:  # noqa: B027 - most kernels need not
        """Learn which distance is large."""

    @abstractmethod
    def prepare(self, source):
        """Bring rows into the form in which they are compared, indexable by row numbers."""

    @abstractmethod
    def compare(self, prepared, rows) -> np.ndarray:
        """Similarity of some rows to the verified ones, positive definite and about 1 at most."""


class ProbaKernel(RowKernel):
    """Similarity by predicted probabilities: a Gaussian kernel of Hellinger's distance."""

    def prepare(self, source):
        """Return the probabilities."""
        return np.asarray(source)

    def compare(self, prepared, rows) -> np.ndarray:
        """Similarity that is 1/e where predictions overlap by nine tenths."""
        overlap = np.sqrt(prepared[rows]) @ np.sqrt(self.verified).T
        return np.exp((np.minimum(overlap, 1.0) - 1) / 0.1)


class FeatureKernel(RowKernel):
    """Similarity by other statistics of rows."""

    def _learn(self, source, weight) -> None:
        self._mean = np.average(source, axis=0, weights=weight)
        deviation = np.sqrt(np.average((source - self._mean) ** 2, axis=0, weights=weight))
        self._scale_of_columns = np.where(deviation > 0, deviation, 1.0) * np.sqrt(source.shape[1])

    def prepare(self, source):
        """Standardise the columns, so that the mean squared distance of rows is 2."""
        return (np.asarray(source, dtype=np.float64) - self._mean) / self._scale_of_columns

    def compare(self, prepared, rows) -> np.ndarray:
        """Gaussian similarity."""
        one, two = prepared[rows], self.verified
        squares = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1) - 2 * one @ two.T
        return np.exp(-np.maximum(squares, 0))


class InputKernel(RowKernel):
    """Similarity by X: numbers by rank, many columns and words by direction."""

    @staticmethod
    def can_compare(X) -> bool:
        """Whether X is a numeric feature matrix or a list of texts."""
        return _is_text(X) or is_numeric(X)

    def _learn(self, source, weight) -> None:
        self._words = self._axes = self._levels = None
        if _is_text(source):
            self._words = TfidfVectorizer(sublinear_tf=True, min_df=2)
            try:
                self._words.fit(source)
            except ValueError:  # no word occurs twice
                self._words = TfidfVectorizer(sublinear_tf=True, analyzer="char", lowercase=False)
                self._words.fit([*source, "-"])
        X = self._numbers(source)
        if X.shape[1] > _MAX_RANKED or self._words is not None:
            if min(X.shape) > 2 * _N_AXES:
                self._axes = TruncatedSVD(_N_AXES, algorithm="arpack", random_state=0)
                self._axes.fit(X[weight > 0])
            return
        X = X.toarray() if sparse.issparse(X) else X
        self._levels = [_levels(column, weight) for column in X.T]

    def _numbers(self, source):
        if self._words is not None:
            return self._words.transform(source)
        X = as_numbers(source, np.float64)
        if X.shape[1] > _MAX_RANKED and not sparse.issparse(X):
            X = np.nan_to_num(X, posinf=0.0, neginf=0.0)
        return X

    def prepare(self, source):
        """Rank the numbers of each column, or weight words, and scale rows to length one."""
        X = self._numbers(source)
        if self._levels is None:
            return normalize(X if self._axes is None else self._axes.transform(X))
        X = X.toarray() if sparse.issparse(X) else X
        ranks = np.empty(X.shape, dtype=np.float32)
        for j, (values, levels) in enumerate(self._levels):
            column = np.interp(X[:, j], values, levels)
            ranks[:, j] = np.where(np.isnan(column), 0.0, column)
        return normalize(ranks, copy=False)

    def _scale(self, prepared, weight) -> None:
        mean = np.asarray(prepared.T @ weight).ravel() / weight.sum()
        self._distance = max(2 - 2 * float(mean @ mean), 1e-6)

    def compare(self, prepared, rows) -> np.ndarray:
        """Sum of a linear and a Gaussian similarity of directions."""
        cosine = prepared[rows] @ self.verified.T
        cosine = np.clip(cosine.toarray() if sparse.issparse(cosine) else cosine, -1.0, 1.0)
        return cosine + np.exp((cosine - 1) / self._distance)


def _is_text(X) -> bool:
    if isinstance(X, np.ndarray) and (X.ndim != 1 or X.dtype.kind not in "OU"):
        return False
    if not isinstance(X, (np.ndarray, list, tuple)) and not _is_series(X):
        return False
    return num_samples(X) > 0 and all(isinstance(value, str) for value in X)


def _is_series(X) -> bool:
    return hasattr(X, "to_list") and getattr(X, "ndim", 1) == 1 and not hasattr(X, "columns")


def _levels(column, weight) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column and their standardised ranks, at most `_N_LEVELS` of them."""
    known = np.isfinite(column) & (weight > 0)
    if not known.any():
        return np.zeros(1), np.zeros(1)
    values, place = np.unique(column[known], return_inverse=True)
    total_weight = np.bincount(place, weights=weight[known])
    total_weight /= total_weight.sum()
    ranks = np.cumsum(total_weight) - total_weight / 2 - 0.5
    deviation = np.sqrt(total_weight @ ranks**2)
    ranks /= deviation if deviation > 0 else 1.0
    if len(values) > _N_LEVELS:
        wanted = np.linspace(ranks[0], ranks[-1], _N_LEVELS)
        kept = np.unique(np.searchsorted(ranks, wanted).clip(0, len(ranks) - 1))
        values, ranks = values[kept], ranks[kept]
    return values, ranks


MIN_VERIFIED = 10
"""With fewer verified rows no model is fitted."""
MAX_VERIFIED = 800
"""Of more verified rows, so many are used: those spread evenly over the quality."""
# Log-odds of a wrong label are normal a priori: by the quality, with slope and variances as here,
# and by given class and similarity, with variances that the verified rows choose from. Measured on
# real label errors with 15 to 160 verified rows; half or double of any makes little difference.
_SLOPE = 0.7
_SLOPE_VARIANCE = 0.5
# The estimated noise rate is either about right or far off.
_BASE_VARIANCES = (0.1, 4.0)
# Where the noise rate was estimated, the prior log-odds are those of the quality instead, within
# bounds, and shifted such that as many wrong labels are expected.
_QUALITY_BOUNDS = 0.003, 0.997
_PRIOR_RATES = 0.01, 0.5
_CLASS_VARIANCES = (0.1, 0.5, 2.0)
# Verified rows are the most suspicious ones where half of all rows have a better quality than nine
# tenths of them, and are hardly representative then.
_QUANTILE, _LEAST_BETTER = 0.9, 0.5
# Where all of them are wrong, they were chosen because they are wrong, unless they are so large a
# share of the rows with a quality as low as theirs.
_LEAST_SHARE = 0.9
# Pseudo-count of verified errors whose alternative is the verified label as often as predicted.
_PRIOR_COUNT = 1.0
# Draws from the posterior, rows at a time, and ends of the interval of the noise rate.
_N_DRAWS, _BLOCK_ROWS = 400, 2000
_TAILS = 0.05, 0.95


@dataclasses.dataclass(frozen=True, eq=False)
class CalibratedQuality:
    """Quality of labels, calibrated on verified ones."""

    model: VerifiedLabelModel
    quality: np.ndarray
    noise_rate: tuple[float, float, float]  # estimate, and ends of its interval
    threshold: float
    alternative_proba: np.ndarray | None

    @property
    def found_errors(self) -> bool:
        """Whether a verified label is wrong."""
        return bool(self.model.wrong.any())


def calibrate_on_verified(data, result, quality) -> CalibratedQuality | None:
    """Calibrate the quality of a detector on verified labels, if they suffice."""
    kernels: list[RowKernel] = []
    sources: list = []
    if result.pred_proba is not None:
        kernels.append(ProbaKernel())
        sources.append(result.pred_proba)
    elif result.features is not None:
        kernels.append(FeatureKernel())
        sources.append(result.features)
    if InputKernel.can_compare(data.X):
        kernels.append(InputKernel())
        sources.append(data.X)
    model = fit_verified_label_model(
        quality,
        data.y,
        data.checked & data.given,
        data.known_errors,
        data.sample_weight,
        kernels,
        sources,
        level=result.level if data.kind == "classes" else None,
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
    correct = rows & (result.alternatives == data.verified)
    weight = as_counts(data.sample_weight, data.used)
    weight = np.ones(len(rows)) if weight is None else weight
    ratio = (weight @ correct + _PRIOR_COUNT) / (weight[rows] @ expected[rows] + _PRIOR_COUNT)
    return min(float(ratio), 1.0) * expected


def fit_verified_label_model(
    quality, codes, checked, wrong, weight, kernels, sources, *, level=None, right=None
) -> VerifiedLabelModel | None:
    """Learn from verified rows which labels are right; None where they do not suffice."""
    weight = as_counts(weight, ~np.isnan(quality))
    weight = np.ones(len(quality)) if weight is None else weight
    counted = ~np.isnan(quality) & (weight > 0)
    rows = np.flatnonzero(checked & counted)
    total_wrong, total = weight[rows] @ wrong[rows], weight[rows].sum()
    if total < MIN_VERIFIED:
        return None
    weight = np.where(counted, weight, 0.0)
    below = _quality_like(quality, weight, rows)
    if total_wrong == total and weight[rows] @ below[rows] < _LEAST_SHARE * weight[below].sum():
        return None
    suspicious = weight[below].sum() < (1 - _LEAST_BETTER) * weight.sum()
    if len(rows) > MAX_VERIFIED:
        rows = rows[np.lexsort((quality[rows], wrong[rows]))]
        rows = rows[np.linspace(0, len(rows) - 1, MAX_VERIFIED).round().astype(np.intp)]
    qualities, place = np.unique(quality[counted], return_inverse=True)
    total_weight = np.bincount(place, weights=weight[counted])
    scores = ndtri((np.cumsum(total_weight) - total_weight / 2) / total_weight.sum())
    if level is None:
        offsets = -_SLOPE * scores
    else:
        expected = qualities
        if right is not None:
            isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            isotonic.fit(quality[counted], right[counted], weight[counted])
            expected = isotonic.predict(qualities)
        offsets = _prior_log_odds(level.rate, expected, total_weight)
    fitted = [
        kernel.fit(source, rows, weight) for kernel, source in zip(kernels, sources, strict=True)
    ]
    return VerifiedLabelModel(
        qualities,
        scores,
        offsets,
        fitted,
        rows,
        codes[rows],
        wrong[rows],
        weight[rows],
        np.interp(quality[rows], qualities, scores),
        np.interp(quality[rows], qualities, offsets),
        level,
        bool(suspicious),
    )


def _quality_like(quality, weight, rows) -> np.ndarray:
    """Rows of a quality at most that of nine tenths of the given ones."""
    order = rows[np.argsort(quality[rows], kind="stable")]
    place = np.searchsorted(np.cumsum(weight[order]), _QUANTILE * weight[rows].sum() * (1 - 1e-9))
    return (quality <= quality[order[place]]) & (weight > 0)


def _prior_log_odds(rate: float, quality: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Log-odds of labels to be wrong, by their quality, such that `rate` of all are expected."""
    odds = -logit(np.clip(quality, *_QUALITY_BOUNDS))
    share = weight / weight.sum()
    rate = float(np.clip(rate, *_PRIOR_RATES))
    return odds + brentq(lambda shift: share @ expit(odds + shift) - rate, -30, 30)


@dataclasses.dataclass(frozen=True, eq=False)
class VerifiedLabelModel:
    """How likely labels are right, learned from verified rows."""

    # By quality: the normal score of its rank, and the prior log-odds of a wrong label.
    qualities: np.ndarray
    scores: np.ndarray
    offsets: np.ndarray
    kernels: list[RowKernel]
    # Of the verified rows; the last two are their entries of `scores` and `offsets`.
    rows: np.ndarray
    codes: np.ndarray
    wrong: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    offset: np.ndarray
    level: NoiseLevel | None
    suspicious: bool  # whether verified rows are those of the lowest quality

    def right_proba(self, quality, codes, sources) -> np.ndarray:
        """Probability that labels are right, by the input of each kernel (None: left out)."""
        kernels = [
            (kernel, kernel.prepare(source))
            for kernel, source in zip(self.kernels, sources, strict=True)
            if source is not None
        ]
        fits = self._fit(self._similarity_of_verified([kernel for kernel, _ in kernels]))
        known = np.flatnonzero(~np.isnan(quality))
        score = np.interp(quality[known], self.qualities, self.scores)
        offset = np.interp(quality[known], self.qualities, self.offsets)
        total = np.zeros(len(known))

        for some in row_blocks(len(known), 64 * len(self.codes)):
            rows = known[some]
            similarity = self._similarity(codes[rows], kernels, rows)
            for fit in fits:
                covariance = _quality_covariance(score[some], self.score, fit.base_variance)
                covariance = covariance + fit.class_variance * similarity
                log_odds = covariance @ fit.gradient + offset[some]
                total[some] += fit.probability * expit(-log_odds)
        right = np.full(len(quality), np.nan)
        right[known] = total
        return right

    def calibrate_new(self, X, quality, codes) -> np.ndarray:
        """Probability that labels of new rows are right."""
        sources = [X if isinstance(kernel, InputKernel) else None for kernel in self.kernels]
        return self.right_proba(quality, codes, sources)

    def own_right_proba(self) -> np.ndarray:
        """Probability that the label of each verified row is right, if it were not verified."""
        similarity = self._similarity_of_verified(self.kernels)
        right = np.zeros(len(self.codes))
        for fit in self._fit(similarity):
            covariance = _quality_covariance(self.score, self.score, fit.base_variance)
            covariance = covariance + fit.class_variance * similarity
            log_odds = covariance @ fit.gradient + self.offset
            proba = expit(log_odds)
            # The approximation that leaves out one row's term and keeps the others' curvature.
            inverse = np.diagonal(cho_solve(fit.factor, np.eye(len(fit.root_curvature))))
            variance = (1 - inverse) / fit.root_curvature**2
            left_out = variance / np.maximum(inverse, 1e-9)
            log_odds = log_odds - left_out * self.weight * (self.wrong - proba)
            right += fit.probability * expit(-log_odds)
        return right

    def rate_interval(self, quality, codes, right, weight) -> tuple[float, float]:
        """Interval of the share of wrong labels among some rows."""
        weight = np.ones(len(right)) if weight is None else weight
        classes = np.unique(codes)
        design = _design(np.interp(quality, self.qualities, self.scores), codes, classes)
        own_design = _design(self.score, self.codes, classes)
        normal = np.random.default_rng(0).normal(size=(_N_DRAWS, design.shape[1]))
        log_odds = -logit(np.clip(right, 1e-9, 1 - 1e-9))
        rates, shares = [], []
        for fit in self._fit(self._similarity_of_verified(self.kernels)):
            prior = np.full(design.shape[1], fit.class_variance)
            prior[:2] = fit.base_variance, _SLOPE_VARIANCE
            explained = fit.root_curvature[:, None] * own_design * prior
            covariance = np.diag(prior) - explained.T @ cho_solve(fit.factor, explained)
            values, axes = np.linalg.eigh(covariance)
            draws = (normal * np.sqrt(np.maximum(values, 0))) @ axes.T
            total_wrong = np.zeros(_N_DRAWS)
            for start in range(0, len(design), _BLOCK_ROWS):
                rows = slice(start, start + _BLOCK_ROWS)
                wrong = expit(log_odds[rows, None] + design[rows] @ draws.T)
                total_wrong += weight[rows] @ wrong
            rates.append(total_wrong / weight.sum())
            shares.append(np.full(_N_DRAWS, fit.probability / _N_DRAWS))
        rates, shares = np.concatenate(rates), np.concatenate(shares)
        order = np.argsort(rates, kind="stable")
        below = np.cumsum(shares[order]) - shares[order] / 2
        low, high = np.interp(_TAILS, below, rates[order])
        rate = float(weight @ (1 - right) / weight.sum())
        # Where no verified label is wrong, perhaps none is.
        low = min(float(low), rate) if self.wrong.any() else 0.0
        high = max(float(high), rate)
        if self.level is not None and self.suspicious:
            low, high = min(low, self.level.low), max(high, self.level.high)
        return low, high

    def _similarity_of_verified(self, kernels: list[RowKernel]) -> np.ndarray:
        """Similarity of the verified rows to one another."""
        prepared = [(kernel, kernel.verified) for kernel in kernels]
        return self._similarity(self.codes, prepared, slice(None))

    def _similarity(self, codes, kernels, rows) -> np.ndarray:
        """Similarity of rows and verified rows that were given the same label."""
        similarity = np.ones((len(codes), len(self.codes)))
        for kernel, prepared in kernels:
            similarity += kernel.compare(prepared, rows)
        similarity[codes[:, None] != self.codes] = 0.0
        return similarity

    def _fit(self, similarity) -> list[_Fit]:
        """Fit with each prior, and weight the fits by their marginal likelihood."""
        fits, logs = [], []
        for base, variance in itertools.product(_BASE_VARIANCES, _CLASS_VARIANCES):
            covariance = _quality_covariance(self.score, self.score, base) + variance * similarity
            gradient, log_likelihood, *curvature = _laplace(
                covariance, self.offset, self.wrong, self.weight
            )
            logs.append(log_likelihood)
            fits.append((base, variance, gradient, *curvature))
        probability = np.exp(np.array(logs) - max(logs))
        probability /= probability.sum()
        return [_Fit(float(one), *fit) for one, fit in zip(probability, fits, strict=True)]


@dataclasses.dataclass(frozen=True, eq=False)
class _Fit:
    """A Gaussian process with one prior, at its mode."""

    probability: float  # of the prior
    base_variance: float
    class_variance: float
    gradient: np.ndarray  # of the log likelihood: the mode is the covariance times it
    root_curvature: np.ndarray
    factor: tuple  # Cholesky factor of I + root * covariance * root


def _quality_covariance(score, others, base_variance: float) -> np.ndarray:
    """Prior covariance of log-odds by quality."""
    return base_variance + _SLOPE_VARIANCE * np.outer(score, others)


def _design(score, codes, classes) -> np.ndarray:
    """Columns on which log-odds depend linearly: a constant, the quality, and the class."""
    return np.column_stack([np.ones(len(score)), score, codes[:, None] == classes])


def _laplace(covariance, offset, wrong, weight) -> tuple:
    """Laplace's approximation of a Gaussian process with logistic likelihood."""
    sign = np.where(wrong, 1.0, -1.0)
    gradient, value = np.zeros(len(sign)), np.zeros(len(sign))

    def log_posterior(gradient, value):
        return -0.5 * gradient @ value - weight @ np.logaddexp(0, -sign * (value + offset))

    def curvature_at(value):
        proba = expit(value + offset)
        curvature = np.maximum(weight * proba * (1 - proba), 1e-12)
        root = np.sqrt(curvature)
        matrix = root[:, None] * covariance * root
        matrix[np.diag_indices_from(matrix)] += 1
        return proba, curvature, root, cho_factor(matrix, lower=True)

    best = log_posterior(gradient, value)
    for _ in range(50):
        proba, curvature, root, factor = curvature_at(value)
        target = curvature * value + weight * (wrong - proba)
        step = target - root * cho_solve(factor, root * (covariance @ target)) - gradient
        size = 1.0
        while True:
            tried = gradient + size * step
            tried_value = covariance @ tried
            found = log_posterior(tried, tried_value)
            if found >= best or size < 1e-4:
                break
            size /= 2
        gained, gradient, value, best = found - best, tried, tried_value, found
        if gained < 1e-10 * (1 + abs(best)):
            break
    *_, root, factor = curvature_at(value)
    return gradient, float(best - np.log(np.diagonal(factor[0])).sum()), root, factor


def best_f1_threshold(right, weight=None) -> float:
    """Find the threshold below which to flag so that the expected F1 of the flags is highest."""
    values, total = _total_by_value(right, weight)
    wrong = total * (1 - values)
    if not wrong.sum() > 0:
        return 0.0
    f1 = 2 * np.cumsum(wrong) / (np.cumsum(total) + wrong.sum())
    return float(np.nextafter(values[f1.argmax()], np.inf))


def expected_count_threshold(right, weight=None) -> float:
    """Find the threshold below which no more is flagged than is expected to be wrong."""
    values, total = _total_by_value(right, weight)
    expected = total @ (1 - values)
    n_below = np.searchsorted(np.cumsum(total), expected * (1 + 1e-9), side="right")
    return float(np.nextafter(values[n_below - 1], np.inf)) if n_below else 0.0


def _total_by_value(right, weight) -> tuple[np.ndarray, np.ndarray]:
    """Distinct probabilities, and the total weight of each."""
    values, place = np.unique(right, return_inverse=True)
    weight = np.ones(len(right)) if weight is None else weight
    return values, np.bincount(place, weights=weight, minlength=len(values))
