"""What a detector's method finds out about labelled rows."""

import dataclasses
from collections.abc import Callable

import numpy as np

from skrobust._noise_level import NoiseLevel


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """What a detector's method says about labelled rows, before the rules that all share.

    Attributes
    ----------
    quality : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]; NaN where the method cannot say.
    errors : ndarray of shape (n_samples,) of bool
        Rows that the method's own rule flags.
    predictions : ndarray of shape (n_samples,), dtype intp, or None
        The most probable class of each row; -1 for no idea.
    alternatives : ndarray of shape (n_samples,), dtype intp, or None
        The most probable class that is not the given one; -1 for no idea.
    joint : ndarray of shape (n_classes, n_classes) or None
        Estimated mass of rows per given (rows) and true (columns) class.
    cut : float or None
        The cut of `quality` that made `errors`, if there is just one.
    quality_of : callable or None
        Takes labels, as an array of codes, or of numeric targets, of shape (n_samples,), and
        returns the quality that the rows would have with them. None where that needs another
        fit, because the label of a row takes part in the evidence about itself.
    features : ndarray of shape (n_samples, n_features) or None
        What else is known that may tell wrong labels from right ones, for those who learn it
        from verified rows. Finite; columns must not depend on the names of classes.
    pred_proba : ndarray of shape (n_samples, n_classes) or None
        Out-of-sample probabilities that the method looked at, none NaN.
    posterior_labels : ndarray of shape (n_samples,), dtype intp, or None
        The most probable class of each row, the given label being part of what is known, and so
        often the given one in spite of a flag.
    posterior_proba : ndarray of shape (n_samples,) or None
        Probability of each of these.
    corrections : ndarray of shape (n_samples,), dtype intp, or None
        The most probable class of each row, the given label being part of what is known, if there
        is as little label noise as the data leave plausible.
    level : NoiseLevel or None
        Share of wrong labels among the rows that nobody verified, and how well it is known.
    given_level : NoiseLevel or None
        The same among all given labels, as if none was verified: what is expected beforehand of
        verified rows, which may have been chosen because they are suspicious.
    right_proba : ndarray of shape (n_samples,) or None
        Probability of each given label to be right under the estimated noise, where `quality` is
        none.
    alternative_proba : ndarray of shape (n_samples,) or None
        How probable each of `alternatives` is if the given label is wrong.
    """

    quality: np.ndarray
    errors: np.ndarray
    predictions: np.ndarray | None = None
    alternatives: np.ndarray | None = None
    joint: np.ndarray | None = None
    cut: float | None = None
    quality_of: Callable[[np.ndarray], np.ndarray] | None = None
    features: np.ndarray | None = None
    pred_proba: np.ndarray | None = None
    posterior_labels: np.ndarray | None = None
    posterior_proba: np.ndarray | None = None
    corrections: np.ndarray | None = None
    alternative_proba: np.ndarray | None = None
    level: NoiseLevel | None = None
    given_level: NoiseLevel | None = None
    right_proba: np.ndarray | None = None
