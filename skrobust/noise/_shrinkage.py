"""From counts to transition matrices, where some classes have few rows to count."""

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln

# How many rows the guesses may weigh: powers of two, of which such ones are thought likely
# beforehand whose exponent is normal with this mean and deviation. A few rows, which say hardly
# anything about it, then neither drown in the guesses nor overrule them.
_EXPONENTS = np.arange(15)
_MEAN_EXPONENT, _EXPONENT_DEVIATION = 7.0, 2.0
# No label is impossible, and none certain, before all rows have been seen.
_LEAST_PROBABILITY = 1e-4
# Without any noise all labels would be right by definition.
_LEAST_RATE, _HIGHEST_RATE = 1e-3, 0.6
_N_STEPS = 1000


def symmetric_guess(counts: np.ndarray) -> np.ndarray:
    """Guess that all classes are as noisy, and all wrong labels as likely, as they are in the mean.

    Parameters
    ----------
    counts : ndarray of shape (n_classes, n_classes)
        Mass of rows by true class (rows) and given label (columns).

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows sum to 1.
    """
    n_classes, total = len(counts), counts.sum()
    # Where nothing can be counted, as if all rows look alike, nothing speaks for noise.
    rate = 1 - np.trace(counts) / total if total > 0 else 0.0
    rate = float(np.clip(rate, _LEAST_RATE, _HIGHEST_RATE))
    guess = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(guess, 1 - rate)
    return guess


def shrink_counts(
    counts: np.ndarray,
    guesses: Sequence[np.ndarray],
    *,
    shares: Sequence[float] | None = None,
    random_state: np.random.RandomState | None = None,
) -> np.ndarray:
    """Estimate a transition from counts, and from guesses that weigh as much as counts bear out.

    Given labels of each true class are multinomial, with a Dirichlet prior whose mean is one of
    the guesses and whose weight, in rows, is the same for all classes. The estimate is the mean
    over guesses and weights, by how likely they make the counts: a guess that is far off weighs
    next to nothing, and a class with many rows is hardly drawn towards any.

    Parameters
    ----------
    counts : ndarray of shape (n_classes, n_classes)
        Mass of rows by true class (rows) and given label (columns).
    guesses : sequence of ndarray of shape (n_classes, n_classes)
        Transitions. A class without counts gets their mean.
    shares : sequence of float, default=None
        How likely each guess is thought to be beforehand; None is all alike.
    random_state : RandomState instance, default=None
        If given, what the guesses leave open is drawn instead: one of them with one weight, and so
        many rows by it. With counts of rows that are drawn anew as well, samples vary as much as
        the transition is uncertain; those of means would vary less.

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        Rows sum to 1.
    """
    totals = counts.sum(axis=1)
    shares = np.ones(len(guesses)) if shares is None else np.asarray(shares)
    deviations = (_EXPONENTS - _MEAN_EXPONENT) / _EXPONENT_DEVIATION
    logs, priors = [], []
    for guess, share in zip(guesses, shares, strict=True):
        guess = np.maximum(guess, _LEAST_PROBABILITY)
        guess /= guess.sum(axis=1, keepdims=True)
        for exponent, deviation in zip(_EXPONENTS, deviations, strict=True):
            weight = 2.0**exponent
            prior = weight * guess
            evidence = np.sum(gammaln(counts + prior) - gammaln(prior))
            evidence += np.sum(gammaln(weight) - gammaln(weight + totals))
            logs.append(evidence - deviation**2 / 2 + np.log(share))
            priors.append((weight, guess))
    parts = np.exp(np.array(logs) - max(logs))
    parts /= parts.sum()
    if random_state is not None:
        weight, guess = priors[random_state.choice(len(parts), p=parts)]
        found = counts + [random_state.multinomial(int(weight), row) for row in guess]
    else:
        found = sum(
            part * (counts + weight * guess) / (totals + weight)[:, None]
            for part, (weight, guess) in zip(parts, priors, strict=True)
        )
    return found / found.sum(axis=1, keepdims=True)


def solve_prior(transition: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Find the shares of true classes of which a transition makes the shares of given ones.

    Parameters
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Rows are true classes.
    shares : ndarray of shape (n_classes,)
        Shares, or masses, of the given labels.

    Returns
    -------
    prior : ndarray of shape (n_classes,)
        The most probable shares, which sum to 1 and of which none is negative.
    """
    n_classes = len(transition)
    shares = shares / shares.sum()
    prior = np.full(n_classes, 1 / n_classes)
    for _ in range(_N_STEPS):
        ratio = shares / np.maximum(prior @ transition, 1e-300)
        step = prior * (transition @ ratio)
        step /= step.sum()
        if np.abs(step - prior).max() < 1e-9:
            return step
        prior = step
    return prior
