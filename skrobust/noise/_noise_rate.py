"""The noise rate, estimated from the disagreement of given labels and predicted classes.

Among rows whose class is certain, the share of labels that differ from the prediction is the
noise rate; elsewhere it is noise plus overlap of the classes. The disagreement is modelled as
``a + b * t ** c``, where t in [0, 1] is the rank of a row by certainty within its predicted class.
"""

import numpy as np

from skrobust.base import NoiseLevel
from skrobust.noise._noise_model import count_labels, fit_exponent, predicted_classes, sharpen
from skrobust.utils._weights import as_counts

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
