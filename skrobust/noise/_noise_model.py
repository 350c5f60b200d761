"""Noise model of class labels, and the share of labels that are wrong."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from skrobust.base import LabelledData, NoiseLevel
from skrobust.noise._confident_joint import class_weights
from skrobust.utils._parallel import for_each_block, row_blocks
from skrobust.utils._weights import as_counts, upper_threshold

# The grid of a, b and c; the likelihood is that of the counts in bins of t.
_INTERCEPTS = np.linspace(0, 0.7, 71)
_SLOPES = np.linspace(0, 1, 41)
_POWERS = np.array([1, 1.5, 2, 3, 4, 6, 9])
_N_BINS = 50
# The least certain rows are left out: there, noise and overlap are indistinguishable.
_FITTED_SHARE = 0.9
_TAIL = 0.05
# Rate of the exponential prior of a: low noise rates are more likely a priori.
_PRIOR_SCALE = 4.0
# Share of the rest of the disagreement that is noise where c is 1; it falls with the square of c.
_HARD_SHARE = 0.3
# Share of the rest that the lower end of the interval leaves out of the noise.
_OVERLAP_SHARE = 0.3
# Labels of certain rows depend on more than the class where predictions per row have a log
# likelihood higher by so much, in the mean over so large shares of the rows, provided that the
# disagreement is not small; certain rows that disagree more often than this may not be certain.
_LEAST_GAIN = 0.02
_GAIN_SHARES = (0.5, 0.7)
_CLEAR_GAIN = 1.5  # standard errors
_LEAST_EXPLAINED = 0.1
_HIGHEST_CERTAIN = 0.45
# Weights of the uniform prior of the shares of labels.
_SHRINKAGES = (0.5, 2, 8, 32, 128, 1000)


def estimate_noise_rate(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    given_proba: np.ndarray | None = None,
) -> NoiseLevel:
    """Estimate the share of wrong labels from out-of-sample probabilities.

    The rate is the intercept of the model, plus a part of the rest of the disagreement that is
    the larger the less the disagreement levels off among the most certain rows. Rows are ranked
    by `pred_proba`; `given_proba` are the probabilities of given labels, if these are others.
    """
    best, top = predicted_classes(codes, pred_proba)
    ranks = certainty_ranks(best, top, weight)
    rows = np.flatnonzero(best >= 0)
    weight = as_counts(weight, best >= 0)
    own = np.ones(len(rows)) if weight is None else weight[rows]
    total = float(own.sum())
    if not total > 0:
        return NoiseLevel(0.0, 0.0, 1.0, 0.0, 0.0, False, 0.0)
    wrong = best[rows] != codes[rows]
    fitted = ranks[rows] <= _FITTED_SHARE
    bins = np.minimum((ranks[rows][fitted] * _N_BINS).astype(np.intp), _N_BINS - 1)
    n = np.bincount(bins, weights=own[fitted], minlength=_N_BINS)
    k = np.bincount(bins, weights=(own * wrong)[fitted], minlength=_N_BINS)
    posterior = _posterior(n, k)
    intercept_proba = posterior.sum(axis=0)
    certain = float(intercept_proba @ _INTERCEPTS)
    below = np.cumsum(intercept_proba)
    low, high = (
        float(_INTERCEPTS[min(int(np.searchsorted(below, share)), len(below) - 1)])
        for share in (_TAIL, 1 - _TAIL)
    )
    disagreement = float(own @ wrong / own.sum())
    overlap = max(disagreement - certain, 0.0)
    power = float(posterior.sum(axis=1) @ _POWERS)
    by_chance = explained = False
    if certain > max(_LEAST_EXPLAINED, disagreement / 2):
        proba = pred_proba if given_proba is None else given_proba
        by_chance = high > _HIGHEST_CERTAIN
        explained = certain > _HIGHEST_CERTAIN
        explained = explained or _row_gain(best, ranks, codes, proba, weight) > _LEAST_GAIN
    rate = disagreement / 2 if explained else certain + _HARD_SHARE * overlap / power**2
    explained = explained or by_chance
    low = 0.0 if explained else max(low - _OVERLAP_SHARE * overlap, 0.0)
    high = max(disagreement, high, 1 / own.sum())
    return NoiseLevel(rate, min(low, rate), high, certain, disagreement, explained, total)


def certainty_ranks(
    best: np.ndarray, top: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Rank rows by the probability of their predicted class, within that class.

    Ranks are in [0, 1], low for the most certain rows, tied rows sharing one, and NaN where the
    predicted class is -1.
    """
    ranks = np.full(len(best), np.nan)
    rows = np.flatnonzero(best >= 0)
    order = rows[np.lexsort((-top[rows], best[rows]))]
    weight = np.ones(len(order)) if weight is None else weight[order].astype(np.float64)
    new_class, new = np.ones(len(order), dtype=bool), np.ones(len(order), dtype=bool)
    new_class[1:] = best[order][1:] != best[order][:-1]
    new[1:] = new_class[1:] | (top[order][1:] != top[order][:-1])
    group = np.cumsum(new) - 1
    in_group = np.bincount(group, weights=weight)
    ends = np.cumsum(in_group)
    class_of_group = np.cumsum(new_class)[new] - 1
    total = np.bincount(class_of_group, weights=in_group)
    start = np.cumsum(total) - total
    middle = ends - in_group / 2 - start[class_of_group]
    ranks[order] = (middle / np.maximum(total[class_of_group], 1e-300))[group]
    return ranks


def _posterior(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the probability of each power and intercept, from rows and errors in each bin."""
    some = n > 0
    n, k = n[some], k[some]
    middle = ((np.arange(_N_BINS) + 0.5) / _N_BINS)[some]
    logs = np.empty((len(_POWERS), len(_INTERCEPTS), len(_SLOPES)))
    for i, power in enumerate(_POWERS):
        share = _INTERCEPTS[:, None, None] + _SLOPES[:, None] * middle**power
        allowed = (share <= 1).all(axis=2) if len(middle) else np.ones(share.shape[:2], bool)
        share = np.clip(share, 1e-3, 1 - 1e-3)
        logs[i] = np.log(share) @ k + np.log1p(-share) @ (n - k)
        logs[i][~allowed] = -np.inf
    logs -= _PRIOR_SCALE * _INTERCEPTS[:, None]
    weights = np.exp(logs - logs.max()).sum(axis=2)
    return weights / weights.sum()


def _row_gain(
    best: np.ndarray,
    ranks: np.ndarray,
    codes: np.ndarray,
    proba: np.ndarray,
    weight: np.ndarray | None,
) -> float:
    """Return the gain in log likelihood of labels by predictions per row over those per class.

    It is the mean over the more certain rows, corrected for the number of class shares that are
    estimated, and 0 where it is not clear. It is also 0 where agreement with the predicted class
    is clearly predicted worse per row: then rows determine which wrong label is given, not
    whether one is.
    """
    n_classes = proba.shape[1]
    exponent = fit_exponent(codes, proba, weight)
    of_labels, of_agreement = [], []
    for share in _GAIN_SHARES:
        rows = np.flatnonzero(ranks < share)
        own = np.ones(len(rows)) if weight is None else weight[rows].astype(np.float64)
        predicted, given = best[rows], codes[rows]
        counts = count_labels(predicted, given, n_classes, own)
        by_row = sharpen(proba[rows], exponent)
        n_shares = np.maximum((counts > 0).sum(axis=1) - 1, 0).sum()
        agrees = given == predicted
        of_class = np.maximum(counts.sum(axis=1), 1)[predicted]
        others = np.clip((counts[predicted, predicted] - agrees + 0.5) / of_class, 0, 1)
        label_share = _label_share(counts, predicted, given, own)
        by_class = np.where(agrees, others, (1 - others) * label_share)
        gain = _log_gain(by_row[np.arange(len(rows)), given], by_class)
        mean, error = _mean_and_error(gain, own)
        of_labels.append((mean - n_shares / 2 / max(own.sum(), 1e-300), error))
        top = by_row[np.arange(len(rows)), predicted]
        gain = _log_gain(np.where(agrees, top, 1 - top), np.where(agrees, others, 1 - others))
        of_agreement.append(_mean_and_error(gain, own))
    gain, error = np.mean(of_labels, axis=0)
    if gain <= _CLEAR_GAIN * error:
        return 0.0
    agreement, error = np.mean(of_agreement, axis=0)
    return 0.0 if agreement < -_CLEAR_GAIN * error else float(gain)


def _label_share(
    counts: np.ndarray, predicted: np.ndarray, given: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return the share of each label among other rows that disagree with its predicted class.

    Shares are shrunk to equal ones by the amount with the highest likelihood.
    """
    wrong = given != predicted
    counts = counts.copy()
    np.fill_diagonal(counts, 0)
    own = counts[predicted, given] - wrong
    total = counts.sum(axis=1)[predicted] - wrong
    shares = [
        np.maximum(own + m / max(len(counts) - 1, 1), 1e-12) / np.maximum(total + m, 1e-12)
        for m in _SHRINKAGES
    ]
    return max(shares, key=lambda share: (weight * wrong) @ np.log(np.clip(share, 1e-12, 1)))


def _log_gain(by_row: np.ndarray, by_class: np.ndarray) -> np.ndarray:
    """Return the gain in log likelihood of each row."""
    return np.log(np.maximum(by_row, 1e-3)) - np.log(np.maximum(by_class, 1e-3))


def _mean_and_error(values: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the weighted mean and its standard error."""
    total = max(weight.sum(), 1e-300)
    mean = weight @ values / total
    return mean, np.sqrt(weight @ (values - mean) ** 2) / total


CONFIDENT_SHARE = 0.5
"""Of the rows predicted to be of a class, the share, the most confident first, that is counted."""
# At least so many rows of each predicted class are counted, if there are as many.
_LEAST_ROWS = 30
# Weights of the prior matrices, in rows: powers of two, whose exponent is normal with this mean
# and standard deviation a priori.
_EXPONENTS = np.arange(15)
_MEAN_EXPONENT, _EXPONENT_DEVIATION = 7.0, 2.0
# No label is impossible, and none certain, before all rows have been seen.
_LEAST_PROBABILITY = 1e-4
LEAST_RATE = 1e-3
"""Least noise rate of a noise model: without any noise, all labels would be right by definition."""
HIGHEST_RATE = 0.6
"""Highest noise rate of a noise model."""
_MAX_PRIOR_STEPS = 1000
_SMALLEST_PROBABILITY = 1e-4
# Where classes are many, the sum of the smallest probabilities of a row is at most this.
_SMALLEST_SUM = 1e-2
# The inversion is iterative. More steps fit the predicted probabilities more closely than these
# are known.
_N_STEPS = 10
# Rows of symmetric noise that are added to the counts of each class.
_PRIOR_ROWS = 50
_HIGHEST_CLASS_RATE = 0.8


def predicted_classes(codes: np.ndarray, pred_proba: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most probable class of each row (-1: no label, or a tie) and its probability."""
    best = np.empty(len(codes), dtype=np.intp)
    top = np.empty(len(codes), dtype=pred_proba.dtype)
    for block in row_blocks(len(codes), 2 * pred_proba.shape[1] * pred_proba.itemsize):
        proba = pred_proba[block]
        best[block] = proba.argmax(axis=1)
        top[block] = proba.max(axis=1)
        # A tie must not be broken by the order of the class names.
        tied = (proba == top[block, None]).sum(axis=1) > 1
        best[block][tied | (codes[block] < 0)] = -1
    return best, top


def confident_rows(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    confident_share: float = CONFIDENT_SHARE,
) -> np.ndarray:
    """Return the predicted class of the most confident rows of each class, -1 for all others."""
    best, top = predicted_classes(codes, pred_proba)
    totals = class_weights(best, pred_proba.shape[1], weight)
    return _most_confident(best, top, totals, weight, confident_share)


def _most_confident(
    best: np.ndarray,
    top: np.ndarray,
    totals: np.ndarray,
    weight: np.ndarray | None,
    confident_share: float = CONFIDENT_SHARE,
) -> np.ndarray:
    """Return the predicted class of the rows with the highest probabilities of each class."""
    n_classes = len(totals)
    confident = np.full(len(best), -1, dtype=np.intp)
    used = best >= 0
    rows_by_class = np.argsort(np.where(used, best, n_classes), kind="stable")
    ends = np.searchsorted(best[rows_by_class][: used.sum()], np.arange(n_classes + 1))
    for k in np.flatnonzero(totals > 0):
        rows = rows_by_class[ends[k] : ends[k + 1]]
        wanted = max(confident_share * totals[k], min(_LEAST_ROWS, totals[k]))
        threshold = upper_threshold(top[rows], wanted, None if weight is None else weight[rows])
        confident[rows[top[rows] >= threshold]] = k
    return confident


def count_labels(
    true: np.ndarray, codes: np.ndarray, n_classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Sum weights by true class (rows) and given label (columns), where neither is missing."""
    rows = np.flatnonzero((true >= 0) & (codes >= 0))
    pairs = true[rows] * n_classes + codes[rows]
    weight = None if weight is None else weight[rows]
    counts = np.bincount(pairs, weights=weight, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.float64)


def verified_counts(data: LabelledData) -> np.ndarray:
    """Sum weights of verified rows by verified label (rows) and given label (columns)."""
    verified = np.where(data.used, data.verified, -1)
    return count_labels(verified, data.y, len(data.classes), data.sample_weight)


def check_counted(counted: np.ndarray, classes: np.ndarray, condition: str) -> None:
    """Raise an error that names the first class that no row with this condition is labelled."""
    if not counted.all():
        label = classes.tolist()[int(np.argmin(counted))]
        raise ValueError(
            f"The class {label!r} was given to no row that {condition}: its error rate cannot be"
            " estimated."
        )


def symmetric_prior(counts: np.ndarray) -> np.ndarray:
    """Return the symmetric transition matrix with the mean noise rate of the counts."""
    n_classes, total = len(counts), counts.sum()
    rate = 1 - np.trace(counts) / total if total > 0 else 0.0
    return symmetric_matrix(n_classes, float(np.clip(rate, LEAST_RATE, HIGHEST_RATE)))


def symmetric_matrix(n_classes: int, rate: float) -> np.ndarray:
    """Return the transition matrix in which all wrong labels are equally likely."""
    matrix = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def shrink_counts(
    counts: np.ndarray,
    priors: Sequence[np.ndarray],
    *,
    shares: Sequence[float] | None = None,
    random_state: np.random.RandomState | None = None,
) -> np.ndarray:
    """Estimate a transition matrix from counts, shrunk towards prior matrices.

    Given labels of each true class are multinomial, with a Dirichlet prior whose mean is one of
    `priors` (with probability `shares`) and whose weight in rows is the same for all classes. The
    estimate is the posterior mean over means and weights. With `random_state`, one mean, one
    weight and rows by them are drawn instead, so that bootstrap samples vary as much as the
    transition matrix is uncertain.
    """
    totals = counts.sum(axis=1)
    shares = np.ones(len(priors)) if shares is None else np.asarray(shares)
    deviations = (_EXPONENTS - _MEAN_EXPONENT) / _EXPONENT_DEVIATION
    logs, components = [], []
    for mean, share in zip(priors, shares, strict=True):
        mean = np.maximum(mean, _LEAST_PROBABILITY)
        mean /= mean.sum(axis=1, keepdims=True)
        for exponent, deviation in zip(_EXPONENTS, deviations, strict=True):
            weight = 2.0**exponent
            prior = weight * mean
            likelihood = np.sum(gammaln(counts + prior) - gammaln(prior))
            likelihood += np.sum(gammaln(weight) - gammaln(weight + totals))
            logs.append(likelihood - deviation**2 / 2 + np.log(share))
            components.append((weight, mean))
    parts = np.exp(np.array(logs) - max(logs))
    parts /= parts.sum()
    if random_state is not None:
        weight, mean = components[random_state.choice(len(parts), p=parts)]
        found = counts + [random_state.multinomial(int(weight), row) for row in mean]
    else:
        found = sum(
            part * (counts + weight * mean) / (totals + weight)[:, None]
            for part, (weight, mean) in zip(parts, components, strict=True)
        )
    return found / found.sum(axis=1, keepdims=True)


def solve_prior(transition: np.ndarray, class_weight: np.ndarray) -> np.ndarray:
    """Return the most likely shares of true classes, from the total weight of each given label."""
    shares = class_weight / class_weight.sum()
    prior = np.full(len(transition), 1 / len(transition))
    for _ in range(_MAX_PRIOR_STEPS):
        ratio = shares / np.maximum(prior @ transition, 1e-300)
        step = prior * (transition @ ratio)
        step /= step.sum()
        if np.abs(step - prior).max() < 1e-9:
            return step
        prior = step
    return prior


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseModel:
    """A transition matrix, and the exponent that calibrates the probabilities it is used on.

    Attributes
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    exponent : float
        Inverse temperature, at least 1: predicted probabilities, raised to this power and
        normalised, have the highest likelihood of given labels.
    """

    transition: np.ndarray
    exponent: float = 1.0

    def invert(
        self, pred_proba: np.ndarray, *, n_steps: int = _N_STEPS, n_jobs: int | None = None
    ) -> np.ndarray:
        """Turn probabilities of given labels into those of true classes, none of them negative."""
        true_proba = np.empty(pred_proba.shape, dtype=np.float64)
        back = self.transition.T

        def step(start: int, stop: int) -> None:
            given = sharpen(pred_proba[start:stop], self.exponent)
            block = given.copy()
            # Expectation-maximisation: each step raises the likelihood of the given labels.
            for _ in range(n_steps):
                ratio = given / np.maximum(block @ self.transition, 1e-12)
                block *= ratio @ back
            true_proba[start:stop] = block / block.sum(axis=1, keepdims=True)

        for_each_block(step, len(pred_proba), 32 * pred_proba.shape[1], n_jobs=n_jobs)
        return true_proba

    def right_proba(self, true_proba: np.ndarray) -> np.ndarray:
        """Return P(true class is k | row, given label is k) for each row and class k."""
        right = true_proba * self.transition.diagonal()
        right /= np.maximum(true_proba @ self.transition, 1e-12)
        return np.clip(right, 0, 1, out=right)

    def error_proba(self, true_proba: np.ndarray) -> np.ndarray:
        """Return P(given label is k, true class is another | row) for each row and class k."""
        noise = self.transition.copy()
        np.fill_diagonal(noise, 0)
        return true_proba @ noise

    def posterior(self, true_proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the probabilities of true classes given the label as well (-1: missing)."""
        proba = np.empty(true_proba.shape, dtype=np.float64)
        # Index -1: a missing label has the same likelihood in all classes.
        likelihood = np.vstack([self.transition.T, np.ones(len(self.transition))])
        for block in row_blocks(len(proba), 16 * proba.shape[1]):
            own = np.multiply(true_proba[block], likelihood[codes[block]], out=proba[block])
            own /= np.maximum(own.sum(axis=1, keepdims=True), 1e-300)
        return proba

    def scaled(self, factor: float) -> "NoiseModel":
        """Multiply the probability of each wrong label by a factor."""
        transition = factor * self.transition
        np.fill_diagonal(transition, 0)
        np.fill_diagonal(transition, 1 - transition.sum(axis=1))
        return dataclasses.replace(self, transition=transition)


def fit_noise_model(
    codes: np.ndarray, pred_proba: np.ndarray, weight: np.ndarray | None = None, **options
) -> NoiseModel:
    """Fit the noise model to labels and out-of-sample probabilities."""
    return fit_noise_models(codes, pred_proba, weight, prior_shares=(0.0,), **options)[0]


def fit_noise_models(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    level: NoiseLevel,
    prior_shares: Sequence[float],
    verified: np.ndarray | None = None,
    exponent: float | None = None,
) -> list[NoiseModel]:
    """Fit noise models to labels and out-of-sample probabilities, one for each prior.

    Which labels are confused is counted among the most confident rows of each predicted class,
    and among the verified rows of each verified class (`verified`, -1 elsewhere); the share of
    wrong labels is that of `level`. Priors are symmetric noise, as shares of the mean count of a
    class.
    """
    weight = as_counts(weight, codes >= 0)
    n_classes = pred_proba.shape[1]
    best, top = predicted_classes(codes, pred_proba)
    predicted = class_weights(best, n_classes, weight)
    true = _most_confident(best, top, predicted, weight)
    if verified is not None:
        true = np.where(verified >= 0, verified, true)
    counts = count_labels(true, codes, n_classes, weight)
    total = counts.sum()
    predicts = level.n_rows > 0
    rate = level.rate if predicts or total == 0 else 1 - np.trace(counts) / total
    rate = float(np.clip(rate, LEAST_RATE, HIGHEST_RATE))
    if exponent is None:
        exponent = fit_exponent(codes, pred_proba, weight)
    symmetric = symmetric_matrix(n_classes, rate)
    models = []
    for share in prior_shares:
        more = counts + (_PRIOR_ROWS + share * total / n_classes) * symmetric
        transition = more / more.sum(axis=1, keepdims=True)
        if predicts:
            # Verified rows may have been chosen because they are suspicious: they determine which
            # labels are confused, but not how many are wrong.
            transition = scale_noise(transition, predicted / predicted.sum(), rate)
        models.append(NoiseModel(transition, exponent))
    return models


def scale_noise(transition: np.ndarray, prior: np.ndarray, rate: float) -> np.ndarray:
    """Multiply the probabilities of wrong labels such that the noise rate is `rate`.

    With at most 80 % of wrong labels in a class, `rate` may not be reached.
    """
    before = 1 - transition.diagonal()
    noise = before
    for _ in range(5):  # few, as only shares that reach the bound make a difference
        noise = np.minimum(noise * rate / max(prior @ noise, 1e-12), _HIGHEST_CLASS_RATE)
    scaled = transition * (noise / np.maximum(before, 1e-300))[:, None]
    np.fill_diagonal(scaled, 1 - noise)
    return scaled


def sharpen(pred_proba: np.ndarray, exponent: float) -> np.ndarray:
    """Raise probabilities to a power and normalise the rows."""
    logs = np.log(np.maximum(pred_proba, _smallest(pred_proba), dtype=np.float64))
    logs *= exponent
    logs -= logs.max(axis=1, keepdims=True)
    np.exp(logs, out=logs)
    logs /= logs.sum(axis=1, keepdims=True)
    return logs


def fit_exponent(codes: np.ndarray, pred_proba: np.ndarray, weight: np.ndarray | None) -> float:
    """Fit the inverse temperature, at least 1, by the likelihood of the given labels."""
    rows = np.flatnonzero(codes >= 0)
    labels = codes[rows]
    weight = np.ones(len(rows)) if weight is None else weight[rows]
    weight = weight / weight.sum()
    logs = pred_proba[rows]
    np.log(np.maximum(logs, _smallest(logs), out=logs), out=logs)
    logs -= logs.max(axis=1, keepdims=True)
    own = logs[np.arange(len(rows)), labels].astype(np.float64)
    blocks = row_blocks(len(rows), 16 * logs.shape[1])

    def loss(log_exponent: float) -> float:
        exponent = np.exp(log_exponent)
        total = np.empty(len(rows))
        for block in blocks:
            total[block] = np.exp(exponent * logs[block]).sum(axis=1)
        return float(weight @ (np.log(total) - exponent * own))

    best = minimize_scalar(loss, bounds=(0.0, 2.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0


def _smallest(pred_proba: np.ndarray) -> float:
    """Return the probability that smaller ones are raised to."""
    return min(_SMALLEST_PROBABILITY, _SMALLEST_SUM / pred_proba.shape[1])
