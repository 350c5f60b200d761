"""How labels go wrong, by way of a class between the true one and the given label."""

from numbers import Real

import numpy as np

from skrobust.noise._anchor_transition import find_anchors, median_proba
from skrobust.noise._label_counts import count_labels, predicted_classes, symmetric_prior
from skrobust.noise._noise_model import sharpen
from skrobust.noise._proba_transition import RATES, Measured, ProbaTransition
from skrobust.utils._sklearn import Interval


class DualTransition(ProbaTransition):
    """Estimate how labels go wrong as the product of two transitions, by an intermediate class.

    The intermediate class of a row is what a classifier says. How it depends on the true class is
    read off the probabilities of anchors, rows that surely belong to a class; how the given label
    depends on it is counted over all rows. The counts need no probabilities that are right, only
    a class that mostly is.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the evidence, cloned.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is handed on untouched.
    anchor_share : float, default=0.1
        Which share of the rows predicted to be of a class, the surest first, are its anchors; at
        least 30 of them if there are so many.
    sharpness : float, default=8.0
        The intermediate class has the probabilities of the classifier to this power, scaled to
        sum to 1. With 1 it is the published method, meant for networks whose probabilities are
        near 0 and 1. Probabilities that are as spread as the given labels of a row already hold
        all the noise, which the counts would add a second time. From about 20 on, only which
        class is predicted matters.
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
    intermediate_transition_ : ndarray of shape (n_classes, n_classes)
        Probability of each intermediate class (columns) for each true class (rows): the first
        factor.
    label_transition_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each intermediate class (rows): the second
        factor.
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
    AnchorTransition : Counts labels where the classifier is surest only.

    Notes
    -----
    Rows that are predicted to be of a wrong class count as errors of the label, so that the
    counted noise is too high where classes overlap: the transition is the product of both factors
    only with ``noise_rate="counted"``.

    The rows of the counted transition are drawn towards symmetric noise of the mean rate by as
    much as the counts of all classes bear out. A class that nothing is predicted to be of is
    taken for its own intermediate class, and so gets about the noise of the others.

    Verified rows take no part in either factor, and the classifier learns their given labels. How
    often each true class among them was given each label is combined with the product, which
    weighs as many rows as makes those counts most likely. For that, they should not have been
    chosen because their labels look wrong.

    References
    ----------
    Yao, Liu, Han, Gong, Deng, Niu and Sugiyama (2020). Dual T: reducing estimation error for
    transition matrix in label-noise learning. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import DualTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = DualTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    _learns_verified = False

    _parameter_constraints: dict = {
        **ProbaTransition._parameter_constraints,
        **RATES,
        "anchor_share": [Interval(Real, 0, 1, closed="right")],
        "sharpness": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        anchor_share=0.1,
        sharpness=8.0,
        noise_rate="extrapolated",
        cv=5,
        n_bootstrap=0,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.anchor_share = anchor_share
        self.sharpness = sharpness
        self.noise_rate = noise_rate
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _measure(self, evidence):
        n_classes, weight = evidence.n_classes, evidence.weight
        anchors = find_anchors(evidence, self.anchor_share)
        rows = np.flatnonzero(anchors >= 0)
        intermediate = np.eye(n_classes)
        if len(rows):
            sharp = sharpen(evidence.pred_proba[rows], self.sharpness)
            mass = None if weight is None else weight[rows]
            medians = median_proba(anchors[rows], sharp, mass)
            found = medians.any(axis=1)
            intermediate[found] = medians[found]
        predicted, _ = predicted_classes(evidence.judged, evidence.pred_proba)
        counts = count_labels(predicted, evidence.judged, n_classes, weight)
        labels = evidence.shrink(counts, [symmetric_prior(counts)])
        factors = {"intermediate_transition_": intermediate, "label_transition_": labels}
        return Measured(intermediate @ labels, attributes=factors)
