"""How labels go wrong, counted where a classifier is confident."""

import numpy as np

from skrobust.noise._confident_joint import (
    calibrate_joint,
    class_weights,
    confident_guesses,
    count_joint,
    mean_self_confidence,
)
from skrobust.noise._proba_transition import RATES, Measured, ProbaTransition


class ConfidentTransition(ProbaTransition):
    """Estimate how labels go wrong by the confident joint.

    A row whose out-of-sample probability reaches the mean self-confidence of a class is counted
    for that class (see :func:`confident_joint`). The counts of each given label are scaled to the
    number of rows that have it, and the table is read the other way: by true class.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the evidence, cloned.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is handed on untouched.
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
        Shares of the true classes.
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
    confident_joint : The counts, for probabilities that you have already.
    AnchorTransition : Counts labels where the classifier is surest only.
    skrobust.detection.ConfidentLearning : Finds the wrong labels by the same counts.

    Notes
    -----
    Rows of :func:`confident_joint` are given labels, and those of ``transition_matrix_`` true
    classes: the one is the transpose of the other, scaled so that each true class sums to 1.

    Rows that lie between classes are counted as well, and often as errors, so that the counted
    noise is too high where classes overlap: hence only which labels are confused is counted.

    Verified rows are not counted by what the classifier says. The classifier learns their
    verified labels; and how often each true class among them was given each label is combined
    with the estimate, which weighs as many rows as makes those counts most likely. For that, they
    should not have been chosen because their labels look wrong.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skrobust.noise import ConfidentTransition, flip_labels
    >>> X, y = make_blobs(1000, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> transition = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    >>> y_noisy, flipped = flip_labels(y, transition, random_state=0)
    >>> estimator = ConfidentTransition(random_state=0).fit(X, y_noisy)
    >>> bool(np.abs(estimator.transition_matrix_ - transition).mean() < 0.03)
    True
    """

    _parameter_constraints: dict = {**ProbaTransition._parameter_constraints, **RATES}

    def __init__(
        self,
        estimator=None,
        *,
        noise_rate="extrapolated",
        cv=5,
        n_bootstrap=0,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.noise_rate = noise_rate
        self.cv = cv
        self.n_bootstrap = n_bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _measure(self, evidence):
        codes, proba, weight = evidence.judged, evidence.pred_proba, evidence.weight
        thresholds = mean_self_confidence(codes, proba, weight)
        guesses, _ = confident_guesses(codes, proba, thresholds, n_jobs=self.n_jobs)
        joint = count_joint(codes, guesses, evidence.n_classes, weight)
        # As floats, the masses leave the joint unrounded.
        masses = np.asarray(class_weights(codes, len(joint), weight), dtype=np.float64)
        if masses.any():
            joint = calibrate_joint(joint, masses)
        # A class that no unverified row is given, or guessed to be of, seems never wrong.
        joint = np.where(np.eye(len(joint)), np.maximum(joint, 1e-12), joint).T
        prior = joint.sum(axis=1)
        return Measured(joint / prior[:, None], prior / prior.sum())
