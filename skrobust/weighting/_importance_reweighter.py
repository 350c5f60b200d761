"""Reweighter by importance: the ratio of true to given label probabilities."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from skrobust.base import LabelledData, Reweighter, TransitionEstimator
from skrobust.base._pred_proba import check_all, match_proba
from skrobust.evidence._evidence import Evidence
from skrobust.evidence._out_of_fold import ProbaSource
from skrobust.noise._noise_model import NoiseModel, fit_exponent
from skrobust.noise._proba_transition import DOCUMENTATION as ESTIMATOR_DOCUMENTATION
from skrobust.noise._resolve import (
    TRANSITION_CONSTRAINTS,
    check_usable,
    resolve_transition,
    shares_evidence,
)
from skrobust.noise._transitions import check_transition
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._error_messages import explain_names
from skrobust.utils._parallel import for_each_block
from skrobust.utils._sklearn import Tags
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.utils._warnings import warn_user
from skrobust.weighting._detector_reweighter import DOCUMENTATION

# Measured on data sets with synthetic errors: with fewer steps the weights of wrong labels stay
# too large, and a model that memorises is trained on them.
_N_STEPS = 50


@fill_docstring(**DOCUMENTATION, estimator=ESTIMATOR_DOCUMENTATION["estimator"])
class ImportanceReweighter(ProbaSource, Reweighter):
    """Importance reweighting for label noise, by a transition matrix.

    The weight is the ratio of the probability that the true class of such a row is the label to
    the probability that it is given this label. Where given labels depend on the true class
    alone, the expected weighted loss on given labels is the expected loss on true ones.

    .. versionadded:: 0.1

    Parameters
    ----------
    transition : array-like of shape (n_classes, n_classes), TransitionEstimator or None, \
            default=None
        Probability of each given label (columns) for each true class (rows), with classes in
        sorted order; or an estimator of it, cloned. None is
        :class:`~skrobust.noise.AnchorTransition`.
    %(estimator)s
    cv : int, splitter or iterable of (train, test), default=None
        Folds of the out-of-fold probabilities; None is 5, stratified. If not None, it is set as
        `cv` of the transition estimator as well.
    n_jobs : int, default=None
        Number of parallel jobs, by :mod:`joblib`. If not None, it is set as `n_jobs` of the
        transition estimator as well.
    random_state : int, RandomState instance or None, default=None
        Seed of models that have no seed of their own. None draws fresh entropy. If not None, it is
        set as `random_state` of the transition estimator as well.

    Attributes
    ----------
    %(sample_weight_)s
    %(transition_matrix_)s
    transition_estimator_ : TransitionEstimator or None
        The fitted transition estimator; None if a matrix was given.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    importance_weights : The weights, from given probabilities.
    QualityReweighter : Weights by label quality, without that property.
    skrobust.wrappers.LossCorrectedClassifier : Other corrections by a transition matrix.

    Notes
    -----
    The probabilities of true classes are those for which the transition matrix yields about the
    predicted probabilities of given labels: none is negative, as they may be with the inverse
    matrix. A weight, before it is scaled to mean 1, is thus at most one over the probability that
    its class is labelled right. The classifier is trained on the given labels, verified or not.
    Rows with a verified label, and rows without probabilities, have weight 1.

    A given matrix that cannot be inverted raises an error. If an estimate cannot be, a
    :class:`LabelNoiseWarning <skrobust.utils.LabelNoiseWarning>` is issued.

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
        transition: ArrayLike | TransitionEstimator | None = None,
        estimator: BaseEstimator | None = None,
        *,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.transition = transition
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if isinstance(self.transition, TransitionEstimator):
            other = get_tags(self.transition).input_tags
            tags.input_tags.sparse &= other.sparse
            tags.input_tags.allow_nan &= other.allow_nan
        return tags

    def _weigh(self, data: LabelledData) -> np.ndarray:
        # Verified labels do not have the noise of given ones.
        noisy = dataclasses.replace(data, verified=np.full(data.n_samples, -1))
        own = {"estimator": self.estimator, "cv": self.cv, "random_state": self.random_state}
        shared = shares_evidence(self.transition, data, **own)
        evidence = self.collect_evidence(noisy) if shared else None
        matrix = self._resolve_transition(data, evidence)
        if evidence is None:
            evidence = self.collect_evidence(noisy)
        proba = evidence.pred_proba
        weight = np.ones(data.n_samples)
        rows = np.flatnonzero(noisy.used & ~data.checked & ~np.isnan(proba[:, 0]))
        if len(rows):
            prior = None if data.sample_weight is None else data.sample_weight[rows]
            model = NoiseModel(matrix, fit_exponent(data.y[rows], proba[rows], prior))
            weight[rows] = _importance(model, data.y[rows], proba[rows], self.n_jobs)
        return weight

    def _resolve_transition(self, data: LabelledData, evidence: Evidence | None) -> np.ndarray:
        """Validate or estimate the transition matrix, and set the attributes of it."""
        estimated = isinstance(self.transition, TransitionEstimator) or self.transition is None
        matrix, fitted = resolve_transition(
            self.transition,
            data,
            estimator=self.estimator,
            require=None if estimated else "invertible",
            cv=self.cv,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            evidence=evidence,
        )
        self.transition_matrix_: np.ndarray = matrix
        self.transition_estimator_: TransitionEstimator | None = fitted
        if estimated:
            what = f"transition as {type(fitted).__name__} estimates it"
            try:
                check_usable(matrix, data.classes, "invertible", what=what)
            except ValueError as error:
                warn_user(
                    f"{error} Weights by such a transition carry little information on which"
                    " labels are right."
                )
        return matrix


@explain_names
def importance_weights(
    y: LabelsLike,
    pred_proba: ArrayLike,
    transition: ArrayLike,
    *,
    classes: ArrayLike | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Weight labels by the ratio of the probabilities of being the true and the given one.

    .. versionadded:: 0.1

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Given labels.
    pred_proba : array-like of shape (n_samples, n_classes)
        Out-of-sample probabilities of given labels.
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
        The ratio of the two probabilities: 1 for all labels without noise, and at most one over
        the probability that the class is labelled right. The mean over many rows is about 1.

    See Also
    --------
    ImportanceReweighter : Predicts the probabilities, and estimates the transition matrix.

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
    return _importance(NoiseModel(matrix), codes, pred_proba, n_jobs)


def _importance(
    model: NoiseModel, codes: np.ndarray, pred_proba: np.ndarray, n_jobs: int | None
) -> np.ndarray:
    """Return the ratio of the probabilities of each label: true to given."""
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
