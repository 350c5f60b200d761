"""The share of wrong labels, told apart from overlap of the classes by how certain rows are."""

import numpy as np

from skrobust._noise_level import NoiseLevel
from skrobust.noise._channel import best_exponent, count_labels, predicted_classes, sharpen
from skrobust.utils._weights import as_counts

# Disagreement with the prediction is modelled as a + b t^c, where t in [0, 1] is the rank of a
# row among those of its predicted class, the most certain first: noise, and overlap that grows
# as rows get less certain. What is fitted are the counts in bins of t.
_INTERCEPTS = np.linspace(0, 0.7, 71)
_SLOPES = np.linspace(0, 1, 41)
_POWERS = np.array([1, 1.5, 2, 3, 4, 6, 9])
_N_BINS = 50
# The least certain rows do not tell noise from overlap: there, models are wrong about both.
_FITTED_SHARE = 0.9
_TAIL = 0.05
# Few wrong labels are more likely beforehand than many.
_PRIOR_SCALE = 4.0
# Of the rest of the disagreement, so much is noise where it grows linearly from the most certain
# row on, and less, by the square of the power, where it levels off.
_HARD_SHARE = 0.3
# So much of it may have been taken for noise.
_OVERLAP_SHARE = 0.3
# The labels of certain rows are explained by more than their class where the log likelihood gains
# so much, among so large shares of the rows, and there are so many disagreements that it matters;
# where certain rows may disagree more often than this, they may not be certain.
_LEAST_GAIN = 0.02
_GAIN_SHARES = (0.5, 0.7)
_CLEAR_GAIN = 1.5  # standard errors
# Numbers of labels, spread equally over the classes, to which shares of labels are shrunk.
_SHRINKAGES = (0.5, 2, 8, 32, 128, 1000)
_LEAST_EXPLAINED = 0.1
_HIGHEST_CERTAIN = 0.45


def certainty_ranks(
    best: np.ndarray, top: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Rank rows by the probability of their predicted class, within that class.

    Parameters
    ----------
    best : ndarray of shape (n_samples,)
        Predicted class; -1 for rows that take no part.
    top : ndarray of shape (n_samples,)
        Its probability.
    weight : ndarray of shape (n_samples,), default=None
        Weights.

    Returns
    -------
    ranks : ndarray of shape (n_samples,)
        In [0, 1], low for the most certain rows; rows that are equally certain share one. NaN
        for rows that take no part.
    """
    ranks = np.full(len(best), np.nan)
    rows = np.flatnonzero(best >= 0)
    order = rows[np.lexsort((-top[rows], best[rows]))]
    mass = np.ones(len(order)) if weight is None else weight[order].astype(np.float64)
    new_class, new = np.ones(len(order), dtype=bool), np.ones(len(order), dtype=bool)
    new_class[1:] = best[order][1:] != best[order][:-1]
    new[1:] = new_class[1:] | (top[order][1:] != top[order][:-1])
    group = np.cumsum(new) - 1
    in_group = np.bincount(group, weights=mass)
    ends = np.cumsum(in_group)
    class_of_group = np.cumsum(new_class)[new] - 1
    total = np.bincount(class_of_group, weights=in_group)
    start = np.cumsum(total) - total
    middle = ends - in_group / 2 - start[class_of_group]
    ranks[order] = (middle / np.maximum(total[class_of_group], 1e-300))[group]
    return ranks


def estimate_level(
    codes: np.ndarray,
    pred_proba: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    given_proba: np.ndarray | None = None,
) -> NoiseLevel:
    """Estimate the share of wrong labels from out-of-sample probabilities.

    Among rows whose true class is certain, the share of other labels is the noise; elsewhere it
    is noise plus overlap. The model ``a + b t**c`` of the disagreement at the rank t of certainty
    is fitted by its likelihood. The rate is a, and a part of the rest that is the larger the less
    the disagreement levels off among the most certain rows, as it does not where hard rows are
    mislabelled more often.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        Given labels; rows with -1 take no part.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities that rows are ranked by.
    weight : ndarray of shape (n_samples,), default=None
        Weights; integers count as so many equal rows.
    given_proba : ndarray of shape (n_samples, n_classes), default=None
        Out-of-sample probabilities of given labels, noise included, if these are others.

    Returns
    -------
    level : NoiseLevel
        The estimate.
    """
    best, top = predicted_classes(codes, pred_proba)
    ranks = certainty_ranks(best, top, weight)
    rows = np.flatnonzero(best >= 0)
    weight = as_counts(weight, best >= 0)
    mass = np.ones(len(rows)) if weight is None else weight[rows]
    if not mass.sum() > 0:
        return NoiseLevel(0.0, 0.0, 1.0, 0.0, 0.0, False, 0.0)
    wrong = best[rows] != codes[rows]
    fitted = ranks[rows] <= _FITTED_SHARE
    place = np.minimum((ranks[rows][fitted] * _N_BINS).astype(np.intp), _N_BINS - 1)
    n = np.bincount(place, weights=mass[fitted], minlength=_N_BINS)
    k = np.bincount(place, weights=(mass * wrong)[fitted], minlength=_N_BINS)
    posterior = _posterior(n, k)
    of_intercept = posterior.sum(axis=0)
    certain = float(of_intercept @ _INTERCEPTS)
    below = np.cumsum(of_intercept)
    low, high = (
        float(_INTERCEPTS[min(int(np.searchsorted(below, share)), len(below) - 1)])
        for share in (_TAIL, 1 - _TAIL)
    )
    disagreement = float(mass @ wrong / mass.sum())
    overlap = max(disagreement - certain, 0.0)
    power = float(posterior.sum(axis=1) @ _POWERS)
    above = high
    high = max(disagreement, high, 1 / mass.sum())
    by_chance = explained = False
    if certain > max(_LEAST_EXPLAINED, disagreement / 2):
        proba = pred_proba if given_proba is None else given_proba
        by_chance = above > _HIGHEST_CERTAIN
        explained = certain > _HIGHEST_CERTAIN
        explained = explained or _row_gain(best, ranks, codes, proba, weight) > _LEAST_GAIN
    rate = disagreement / 2 if explained else certain + _HARD_SHARE * overlap / power**2
    explained = explained or by_chance
    low = 0.0 if explained else max(low - _OVERLAP_SHARE * overlap, 0.0)
    total = float(mass.sum())
    return NoiseLevel(rate, min(low, rate), high, certain, disagreement, explained, total)


def estimate_given_level(
    level: NoiseLevel, data, given: np.ndarray, pred_proba: np.ndarray, **options
) -> NoiseLevel:
    """Estimate the share of wrong labels among all given ones, verified rows included.

    Parameters
    ----------
    level : NoiseLevel
        That of the rows that are not verified.
    data : LabelledData
        Rows.
    given : ndarray of shape (n_samples,)
        Given labels; -1 for rows without out-of-sample probabilities.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities.
    **options
        As of :func:`estimate_level`.

    Returns
    -------
    level : NoiseLevel
        The estimate.
    """
    if not (data.used & data.checked).any():
        return level
    codes = np.where(data.used, given, -1)
    return estimate_level(codes, pred_proba, data.sample_weight, **options)


def _row_gain(best, ranks, codes, proba, weight) -> float:
    """Mean gain in log likelihood of labels by predictions per row over those per class, if clear.

    Among the more certain half of the rows and seven tenths of them, in the mean, corrected for
    the number of shares per class that are estimated. There is none if it is as clear that
    whether labels are the predicted ones is predicted worse per row than per class: then rows
    determine which labels wrong ones are, not which labels are wrong.
    """
    n_classes = proba.shape[1]
    exponent = best_exponent(codes, proba, weight)
    of_labels, of_agreement = [], []
    for share in _GAIN_SHARES:
        rows = np.flatnonzero(ranks < share)
        mass = np.ones(len(rows)) if weight is None else weight[rows].astype(np.float64)
        predicted, given = best[rows], codes[rows]
        counts = count_labels(predicted, given, n_classes, mass)
        by_row = sharpen(proba[rows], exponent)
        n_shares = np.maximum((counts > 0).sum(axis=1) - 1, 0).sum()
        agrees = given == predicted
        of_class = np.maximum(counts.sum(axis=1), 1)[predicted]
        others = np.clip((counts[predicted, predicted] - agrees + 0.5) / of_class, 0, 1)
        by_class = np.where(
            agrees, others, (1 - others) * _label_share(counts, predicted, given, mass)
        )
        gain = _log_gain(by_row[np.arange(len(rows)), given], by_class)
        total = max(mass.sum(), 1e-300)
        mean, error = _mean_and_error(gain, mass)
        of_labels.append((mean - n_shares / 2 / total, error))
        top = by_row[np.arange(len(rows)), predicted]
        gain = _log_gain(np.where(agrees, top, 1 - top), np.where(agrees, others, 1 - others))
        of_agreement.append(_mean_and_error(gain, mass))
    gain, error = np.mean(of_labels, axis=0)
    if gain <= _CLEAR_GAIN * error:
        return 0.0
    agreement, error = np.mean(of_agreement, axis=0)
    return 0.0 if agreement < -_CLEAR_GAIN * error else float(gain)


def _label_share(counts, predicted, given, mass) -> np.ndarray:
    """Share of each label among the other labels that disagree with the same predicted class.

    Shares of rare labels are shrunk to equal ones, by as much as makes the labels most likely.
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
    return max(shares, key=lambda share: (mass * wrong) @ np.log(np.clip(share, 1e-12, 1)))


def _log_gain(by_row: np.ndarray, by_class: np.ndarray) -> np.ndarray:
    """Gain in log likelihood of each row."""
    return np.log(np.maximum(by_row, 1e-3)) - np.log(np.maximum(by_class, 1e-3))


def _mean_and_error(gain: np.ndarray, mass: np.ndarray) -> tuple[float, float]:
    """Weighted mean and its standard error."""
    total = max(mass.sum(), 1e-300)
    mean = mass @ gain / total
    return mean, np.sqrt(mass @ (gain - mean) ** 2) / total


def _posterior(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Probability of each power and intercept, from rows and disagreements in each bin."""
    held = n > 0
    n, k = n[held], k[held]
    middle = ((np.arange(_N_BINS) + 0.5) / _N_BINS)[held]
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
