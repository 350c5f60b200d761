"""How labels go wrong, by the labels of the rows that are surest of each class."""

from numbers import Real

import numpy as np

from skrobust.noise._confident_joint import class_weights
from skrobust.noise._label_counts import confident_rows, count_labels, symmetric_prior
from skrobust.noise._proba_transition import RATES, Measured, ProbaTransition
from skrobust.utils._sklearn import Interval, StrOptions


class AnchorTransition(ProbaTransition):
    """Estimate how labels go wrong by anchors: rows that surely belong to a class.

    Anchors of a class are, of the rows that a classifier predicts to be of it, those that it is
    surest about. How often each label is given to them is the row of the class in the transition.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the evidence, cloned.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is handed on untouched.
    anchor_share : float, default=0.5
        Which share of the rows predicted to be of a class, the surest first, are its anchors; at
        least 30 of them if there are so many. With few, the estimate depends on chance; with
        nearly all, rows that are hard to predict pass for errors.
    statistic : {"labels", "proba"}, default="labels"
        What is taken from the anchors:

        - "labels": the shares of their given labels. No label has a part in the probabilities
          that made its own row an anchor.
        - "proba": the medians of their probabilities, as if these were the true ones of given
          labels. That is the published method, but with many anchors instead of a single one.
    noise_rate : {"extrapolated", "counted"}, default="extrapolated"
        How the share of wrong labels is estimated:

        - "extrapolated": by the disagreement of labels and predictions, extrapolated to rows whose
          class is certain, so that overlap of the classes is not counted, as
          :class:`~skrobust.detection.EnsembleDetector` does. What the method counts tells which
          labels are confused with which; all probabilities of wrong labels are multiplied by the
          same factor.
        - "counted": as the method counts it. That is the published method.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the out-of-fold probabilities. For a number, folds are stratified, equal rows
        share a fold, and folds become fewer where a class is small. Not used with out-of-bag
        probabilities.
    n_bootstrap : int, default=0
        If not 0, so many samples of the rows are drawn with replacement, for
        ``transition_interval_``; hundreds are in order. No model is fitted again.
    n_jobs : int, default=None
        Number of folds, or threads of the forest, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed of samples, and of models, and parts of models, that have none of their own. None
        draws fresh entropy.

    Attributes
    ----------
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    transition_interval_ : ndarray of shape (2, n_classes, n_classes)
        Lower and upper ends of intervals of 95 % for the entries, if `n_bootstrap` is not 0. They
        are about which rows there happen to be, not about a classifier that errs.
    class_prior_ : ndarray of shape (n_classes,)
        Shares of the true classes, such that the transition makes the given ones of them.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        Ends of an interval of that share, unless it is "counted": from what the disagreement among
        certain rows leaves plausible to what it is if every disagreement is an error.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be told apart from overlap of the classes, unless "counted".
    reliability_reason_ : str
        What that rests on, in words and numbers, unless "counted".
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    ConfidentTransition : Counts all rows that are confidently of some class.
    DualTransition : Counts the labels of all rows predicted to be of a class.

    Notes
    -----
    A single anchor per class, the row with the highest probability of it, is an outlier by
    construction: hence many, and medians.

    The rows of the matrix are drawn towards symmetric noise of the mean rate by as much as the
    counts of all classes bear out. A class with few anchors, or none because nothing is predicted
    to be of it, so gets about the noise of the others.

    Where classes overlap, some anchors are of another class, and the counted noise is somewhat
    too high. Intervals of entries know nothing of that.

    Verified rows are no anchors. Where anchors are counted by their labels, the classifier learns
    the verified ones; and how often each true class among them was given each label is combined
    with the estimate, which weighs as many rows as makes those counts most likely. For that, they
    should not have been chosen because their labels look wrong.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu (2017). Making deep neural networks robust to label noise: a
    loss correction approach. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import AnchorTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = AnchorTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    _parameter_constraints: dict = {
        **ProbaTransition._parameter_constraints,
        **RATES,
        "anchor_share": [Interval(Real, 0, 1, closed="right")],
        "statistic": [StrOptions({"labels", "proba"})],
    }

    def __init__(
        self,
        estimator=None,
        *,
        anchor_share=0.5,
        statistic="labels",
        noise_rate="extrapolated",
        cv=5,
        n_bootstrap=0,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.anchor_share = anchor_share
        self.statistic = statistic
        self.noise_rate = noise_rate
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def _learns_verified(self) -> bool:
        return self.statistic == "labels"

    def _measure(self, evidence):
        if self.statistic == "labels":
            counts = anchor_counts(evidence, self.anchor_share)
        else:
            anchors = find_anchors(evidence, self.anchor_share)
            counts = median_proba(anchors, evidence.pred_proba, evidence.weight)
            counts *= class_weights(anchors, evidence.n_classes, evidence.weight)[:, None]
        return Measured(evidence.shrink(counts, [symmetric_prior(counts)]))


def find_anchors(evidence, anchor_share) -> np.ndarray:
    """Find the anchors among the rows that nobody verified.

    Parameters
    ----------
    evidence : LabelEvidence
        Rows.
    anchor_share : float
        Share of the rows of each predicted class.

    Returns
    -------
    anchors : ndarray of shape (n_samples,), dtype intp
        The class that a row is an anchor of; -1 for others.
    """
    # Rows that count for nothing, in some sample, would be looked at in vain.
    codes, weight = evidence.judged, evidence.weight
    codes = codes if weight is None else np.where(weight > 0, codes, -1)
    return confident_rows(codes, evidence.pred_proba, weight, confident_share=anchor_share)


def anchor_counts(evidence, anchor_share) -> np.ndarray:
    """Weigh anchors by the class that they are of (rows) and by given label (columns)."""
    anchors = find_anchors(evidence, anchor_share)
    return count_labels(anchors, evidence.judged, evidence.n_classes, evidence.weight)


def median_proba(anchors, pred_proba, weight=None) -> np.ndarray:
    """Find the median probabilities of the anchors of each class.

    Parameters
    ----------
    anchors : ndarray of shape (n_samples,), dtype intp
        The class that a row is an anchor of; -1 for others.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Probabilities.
    weight : ndarray of shape (n_samples,), default=None
        Weights. An integer weight counts as so many equal rows.

    Returns
    -------
    medians : ndarray of shape (n_classes, n_classes)
        Anchors of a class in rows, which sum to 1; zeros where a class has none.
    """
    n_classes = pred_proba.shape[1]
    medians = np.zeros((n_classes, n_classes))
    for k in np.unique(anchors[anchors >= 0]):
        rows = np.flatnonzero(anchors == k)
        mass = np.ones(len(rows)) if weight is None else weight[rows]
        medians[k] = _weighted_median(pred_proba[rows].astype(np.float64, copy=False), mass)
        # The medians of few classes may all be zero but for one; those of many, all of them.
        if not medians[k].any():
            medians[k] = np.average(pred_proba[rows], axis=0, weights=mass)
        medians[k] /= medians[k].sum()
    return medians


def _weighted_median(values, weight) -> np.ndarray:
    """Find the median of each column, of two middle values their mean."""
    order = np.argsort(values, axis=0, kind="stable")
    ranks = np.cumsum(weight[order], axis=0)
    half = weight.sum() / 2
    columns = np.arange(values.shape[1])
    slack = 1e-9 * half
    low = np.argmax(ranks >= half - slack, axis=0)
    high = np.argmax(ranks > half + slack, axis=0)
    ends = [values[order[place, columns], columns] for place in (low, high)]
    return (ends[0] + ends[1]) / 2
