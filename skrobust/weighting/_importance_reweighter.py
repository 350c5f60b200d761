"""Weigh rows such that, on average, a loss on noisy labels is one on true labels."""

import dataclasses
import warnings

import numpy as np
from sklearn.utils import get_tags

from skrobust.base import Reweighter, TransitionEstimator
from skrobust.base._pred_proba import check_all, match_proba
from skrobust.evidence._proba_source import ProbaSource
from skrobust.evidence._shared import shared_evidence
from skrobust.noise._noise_model import NoiseModel, fit_exponent
from skrobust.noise._resolve import TRANSITION_CONSTRAINTS, check_usable, resolve_transition
from skrobust.noise._transitions import check_transition
from skrobust.utils._argument_names import explain_names
from skrobust.utils._blocks import for_each_block
from skrobust.utils._warnings import LabelNoiseWarning

# Measured on tables with planted errors: with fewer steps the channel is not undone enough for
# weights, and a model that learns much by heart keeps wrong labels.
_N_STEPS = 50


class ImportanceReweighter(ProbaSource, Reweighter):
    """Weigh each row by how much more likely its label is as the true one than as the given one.

    The weight is the ratio of the probability that the true class of such a row is the label to
    the probability that it is given this label. Where given labels depend on the true class
    alone, the expected weighted loss on given labels is the expected loss on true ones.

    .. versionadded:: 0.1

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes), TransitionEstimator or None, \
            default=None
        How labels go wrong: the probability of each given label (columns) for each true class
        (rows), with classes in sorted order; or what estimates it, cloned. None is
        :class:`~skrobust.noise.AnchorTransition`.
    estimator : classifier with ``predict_proba``, default=None
        Model that says how likely each label is to be given, cloned. It need not be the model
        that is trained in the end.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is handed on untouched.
    cv : int, splitter or iterable of (train, test), default=None
        Folds of the out-of-fold probabilities; None is 5, stratified. If not None, it is set as
        `cv` of the transition estimator as well.
    n_jobs : int, default=None
        Number of folds, or threads of the forest, at a time. If not None, it is set as `n_jobs`
        of the transition estimator as well.
    random_state : int, RandomState instance or None, default=None
        Seed for models, and parts of models, that have none of their own. None draws fresh
        entropy. If not None, it is set as `random_state` of the transition estimator as well.

    Attributes
    ----------
    sample_weight_ : ndarray of shape (n_samples,)
        Weights, with mean 1; 0 where there is no label. They go with the verified label where
        there is one, and with the given one elsewhere.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        The transition.
    transition_estimator_ : TransitionEstimator or None
        What estimated it, fitted; None if a matrix was given.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    importance_weights : The weights, for probabilities that you have already.
    QualityReweighter : Weighs by how likely labels are right, without such a promise.
    skrobust.wrappers.LossCorrectedClassifier : Trains through a transition in other ways as well.

    Notes
    -----
    The probabilities of true classes are those which the transition turns into about what the
    classifier says of given labels: none is negative, as they may be if the matrix is inverted.
    So a weight, before it is scaled to the mean of 1, is at most one over the probability that
    its class is labelled right. The classifier learns the given labels, verified or not. Rows
    whose label a person verified, and rows that the classifier cannot judge, weigh 1.

    A matrix that cannot be undone is refused if it is given. If an estimator finds one, a
    :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>` says so.

    References
    ----------
    Liu and Tao (2016). Classification with noisy labels by importance reweighting. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 38.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.weighting import ImportanceReweighter
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> reweighter = ImportanceReweighter(symmetric_transition(3, 0.2), random_state=0)
    >>> weight = reweighter.fit(X, y_noisy).sample_weight_
    >>> bool(weight[flipped].mean() < 0.5 < 1 < weight[~flipped].mean())
    True
    """

    _parameter_constraints: dict = {
        **ProbaSource._parameter_constraints,
        "transition": TRANSITION_CONSTRAINTS,
    }

    def __init__(
        self,
        transition=None,
        estimator=None,
        *,
        cv=None,
        n_jobs=None,
        random_state=None,
    ):
        self.transition = transition
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if isinstance(self.transition, TransitionEstimator):
            other = get_tags(self.transition).input_tags
            tags.input_tags.sparse &= other.sparse
            tags.input_tags.allow_nan &= other.allow_nan
        return tags

    def _weigh(self, data) -> np.ndarray:
        with shared_evidence():
            matrix = self._find_transition(data)
            # Verified labels do not go wrong as given ones do.
            noisy = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
            proba = self._gather_evidence(noisy).pred_proba
        judged = noisy.used & (data.verified < 0) & ~np.isnan(proba[:, 0])
        weight = np.ones(data.n_samples)
        rows = np.flatnonzero(judged)
        if len(rows):
            mass = None if data.sample_weight is None else data.sample_weight[rows]
            exponent = fit_exponent(data.y[rows], proba[rows], mass)
            model = NoiseModel(matrix, exponent)
            weight[rows] = _ratio(model, data.y[rows], proba[rows], self.n_jobs)
        return weight

    def _find_transition(self, data) -> np.ndarray:
        """Take or estimate the transition, and set the attributes that tell of it."""
        estimated = isinstance(self.transition, TransitionEstimator) or self.transition is None
        matrix, fitted = resolve_transition(
            self.transition,
            data,
            estimator=self.estimator,
            require=None if estimated else "invertible",
            cv=self.cv,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        if estimated:
            _warn_if_unusable(matrix, data.classes, type(fitted).__name__)
        self.transition_matrix_, self.transition_estimator_ = matrix, fitted
        return matrix


@explain_names
def importance_weights(y, pred_proba, transition, *, classes=None, n_jobs=None) -> np.ndarray:
    """Weigh labels by how much more likely they are as true ones than as given ones.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels.
    pred_proba : array-like of shape (n_samples, n_classes)
        Probabilities of given labels, by a model that has not learned from the row.
    transition : array-like of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows).
    classes : array-like of shape (n_classes,), default=None
        The label of each column of `pred_proba`. None: labels are column numbers, or stand for
        the columns in sorted order.
    n_jobs : int, default=None
        Number of threads.

    Returns
    -------
    weight : ndarray of shape (n_samples,)
        The ratio of the two probabilities: 1 for all labels if there is no noise, and never more
        than one over the probability that the class is labelled right. The mean over many rows
        is about 1.

    See Also
    --------
    ImportanceReweighter : Gathers the probabilities, and estimates the transition.

    References
    ----------
    Liu and Tao (2016). Classification with noisy labels by importance reweighting. IEEE
    Transactions on Pattern Analysis and Machine Intelligence 38.

    Examples
    --------
    >>> import numpy as np
    >>> from skrobust.noise import symmetric_transition
    >>> from skrobust.weighting import importance_weights
    >>> pred_proba = np.array([[0.8, 0.2], [0.8, 0.2], [0.5, 0.5]])
    >>> weight = importance_weights([0, 1, 1], pred_proba, symmetric_transition(2, 0.2))
    >>> np.round(weight, 1)
    array([1.2, 0. , 1. ])
    """
    codes, pred_proba = match_proba(y, pred_proba, classes=classes)
    matrix = check_transition(transition, pred_proba.shape[1])
    check_usable(
        matrix, np.arange(len(matrix)) if classes is None else np.asarray(classes), "invertible"
    )
    check_all(pred_proba, n_jobs=n_jobs)
    return _ratio(NoiseModel(matrix), codes, pred_proba, n_jobs)


def _ratio(model, codes, pred_proba, n_jobs) -> np.ndarray:
    """Compute the ratio of the probabilities of each label: true to given."""
    ratio = np.empty(len(codes))
    matrix = model.transition
    bound = 1 / np.maximum(matrix.diagonal(), 1e-12)

    def compare(start: int, stop: int) -> None:
        labels = codes[start:stop]
        rows = np.arange(len(labels))
        true_proba = model.invert(pred_proba[start:stop], n_steps=_N_STEPS)
        given = np.maximum((true_proba @ matrix)[rows, labels], 1e-12)
        ratio[start:stop] = np.minimum(true_proba[rows, labels] / given, bound[labels])

    for_each_block(compare, len(codes), 64 * pred_proba.shape[1], n_jobs=n_jobs)
    return ratio


def _warn_if_unusable(matrix, classes, name) -> None:
    try:
        check_usable(matrix, classes, "invertible", what=f"transition as {name} estimates it")
    except ValueError as error:
        warnings.warn(
            f"{error} Weights by such a transition tell little about which labels are right.",
            LabelNoiseWarning,
            stacklevel=6,
        )
