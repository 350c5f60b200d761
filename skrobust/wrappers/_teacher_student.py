"""Teacher-student learning: train a classifier on reliable pseudo-labels."""

import dataclasses
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from skrobust.base import LabelledData
from skrobust.base._label_estimator import LabelTags
from skrobust.base._labelled_data import decode_labels, propagate_params
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.detection._detect_from import most_probable
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.evidence import OutOfFold
from skrobust.evidence._evidence import check_predicts_proba
from skrobust.noise._confident_joint import label_proba, mean_self_confidence
from skrobust.noise._noise_model import estimate_noise_rate, fit_noise_model
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import HasMethods, Interval, StrOptions, fit_context
from skrobust.utils._typing import CrossValidation, LabelsLike
from skrobust.wrappers._base import BaseWrapper, ClassifierWrapper
from skrobust.wrappers._detectors import default_detector
from skrobust.wrappers._training_set import TrainingSet

# Smallest probability in a logarithmic loss.
_LEAST_PROBA = 1e-4


@fill_docstring
class TeacherStudentClassifier(ClassifierWrapper, BaseWrapper):
    """Teacher-student classifier: trained on reliable pseudo-labels of a teacher.

    A teacher that is trained on given labels, wrong ones included, predicts the class of each row
    out of sample. The student is trained on the rows where prediction and given label agree, or
    where the prediction is confident. Rows without a label are trained on with their pseudo-label.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The student: the classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    teacher : classifier with ``predict_proba``, default=None
        The teacher, cloned; of forests with ``oob_score=True`` the out-of-bag
        probabilities are used, of others the out-of-fold ones. None is the mixture of models of
        :class:`~skrobust.detection.EnsembleDetector`: where X is a numeric feature matrix, its own,
        and otherwise `estimator` and, if that is a pipeline, diverse models behind its first steps.
    selection : {"agreement", "mixture", "all"}, default="agreement"
        Rows that the student is trained on:

        - "agreement": those whose given label is the prediction of the teacher,
          and those without a label;
        - "mixture": of the rows with a pseudo-label, those in the lower one of two normal
          components of its logarithmic loss within the class. Hard rows are left out as well;
        - "all": all rows with a pseudo-label.

        With "mixture" and "all", the pseudo-label is the most probable class given the prediction
        and the given label.
    n_rounds : int, default=1
        Number of times a student is trained. From the second round on, the student of the last
        round, trained again without each fold in turn, is the teacher.
    cv : int, splitter or iterable of (train, test), default=None
        Folds of the teachers; None is 5, stratified.
    n_jobs : int, default=None
        Number of parallel folds, or threads.
    random_state : int, RandomState instance or None, default=None
        Seed for teachers that have none of their own. The student keeps its own.

    Attributes
    ----------
    estimator_ : classifier
        The fitted student.
    pseudo_labels_ : ndarray of shape (n_samples,)
        Pseudo-labels of the last teacher; the verified label where there is one. None where a row
        has no label and no prediction.
    pseudo_label_proba_ : ndarray of shape (n_samples,)
        Their probabilities, in [0, 1]; NaN without a prediction.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that the student was trained on, with their pseudo-labels.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows), by the last teacher.
    %(classes_)s
    %(features_in)s

    See Also
    --------
    CleaningClassifier : Trains on given labels that a detector does not flag.
    sklearn.semi_supervised.SelfTrainingClassifier : Adds rows without label to those that have
        one, which are trusted.

    Notes
    -----
    The teacher predicts given labels. A transition matrix is estimated from its confident rows and
    inverted, which gives probabilities of true classes; a pseudo-label maximises the posterior
    given the prediction and the given label.

    Rows with a verified label are always trained on with that label. A class of which no row
    is left keeps all rows with its given label.

    References
    ----------
    Zhu, Biondi, Li, Yin, Ross and Zhan (2023). Seismic arrival-time picking on distributed
    acoustic sensing data using semi-supervised learning. Nature Communications 14.

    Xie, Luong, Hovy and Le (2020). Self-training with noisy student improves ImageNet
    classification. CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> from skrobust.wrappers import TeacherStudentClassifier
    >>> X, y = make_classification(800, n_informative=5, class_sep=2, random_state=0)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> y_noisy, _ = flip_labels(y_train, symmetric_transition(2, 0.3), random_state=0)
    >>> y_given = np.where(np.arange(600) < 300, y_noisy, np.nan)  # half of them without label
    >>> tree = DecisionTreeClassifier(random_state=0)
    >>> student = TeacherStudentClassifier(tree, random_state=0).fit(X_train, y_given)
    >>> plain = tree.fit(X_train[:300], y_noisy[:300])
    >>> student.score(X_test, y_test) > plain.score(X_test, y_test) + 0.1
    True
    """

    pseudo_labels_: np.ndarray
    pseudo_label_proba_: np.ndarray
    sample_indices_: np.ndarray
    transition_matrix_: np.ndarray

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        "teacher": [HasMethods(["fit", "predict"]), None],
        "selection": [StrOptions({"agreement", "mixture", "all"})],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        teacher: Any = None,
        *,
        selection: str = "agreement",
        n_rounds: int = 1,
        cv: CrossValidation = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.estimator = estimator
        self.teacher = teacher
        self.selection = selection
        self.n_rounds = n_rounds
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self) -> LabelTags:
        tags = super().__sklearn_tags__()
        tags.learns_from_unlabelled = True
        return tags

    def _helpers(self):
        return [EnsembleDetector() if self.teacher is None else self.teacher]

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: LabelsLike,
        *,
        verified_labels: LabelsLike | None = None,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        **params: Any,
    ) -> Self:
        """Compute pseudo-labels by the teachers and train the student.

        Parameters
        ----------
        %(X)s
        y : array-like of shape (n_samples,)
            Given (observed) labels. Rows whose label is None, NaN or blank are trained on with
            their pseudo-label.
        %(verified_labels)s
        %(sample_weight)s
        %(groups)s
        %(fit_params)s

        Returns
        -------
        %(returns_self)s
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight, groups=groups
        )
        final = self._prepare(data, params)
        if self.n_rounds > 1:
            check_predicts_proba(final.estimator)
        random_state = private_random_state(self.random_state)
        pseudo = pseudo_label(data, self._teach(data), self.selection, noisy=True)
        for _ in range(self.n_rounds - 1):
            teacher = clone(final.estimator)
            set_missing_random_states(teacher, random_state)
            source = OutOfFold(
                teacher,
                self.cv,
                fit_params=final.fit_params,
                weighted=False,
                n_jobs=self.n_jobs,
            )
            evidence = source.collect(pseudo.as_labels_of(data))
            pseudo = pseudo_label(data, evidence.pred_proba, self.selection, noisy=False)
        training = TrainingSet.from_mask(pseudo.selected, pseudo.labels, final.weight)
        model = final.train(training)
        self.pseudo_labels_ = decode_labels(pseudo.labels, data.classes)
        self.pseudo_label_proba_ = pseudo.proba
        self.transition_matrix_ = pseudo.transition
        self.sample_indices_ = training.rows
        self._set_fitted_attributes(final, model, training.rows)
        return self

    def _teach(self, data) -> np.ndarray:
        """Collect the out-of-sample probabilities of the first teacher."""
        if self.teacher is None:
            source = default_detector(data.X, self._get_estimator())
        else:
            check_predicts_proba(self.teacher)
            source = ConfidentLearning(self.teacher)
        propagate_params(source, cv=self.cv, n_jobs=self.n_jobs, random_state=self.random_state)
        return source.collect_evidence(data).pred_proba


@dataclasses.dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Pseudo-labels by one teacher, and the transition matrix that they imply."""

    labels: np.ndarray  # class codes, -1 where there is neither a label nor a prediction
    proba: np.ndarray  # their probabilities, 1 for verified labels, NaN without a prediction
    selected: np.ndarray  # mask of the rows to train the student on
    transition: np.ndarray

    def as_labels_of(self, data) -> LabelledData:
        """Rows with the selected pseudo-labels as their given labels, unweighted."""
        return dataclasses.replace(
            data,
            y=np.where(self.selected, self.labels, -1),
            verified=np.full(data.n_samples, -1),
            sample_weight=None,
        )


def pseudo_label(
    data: LabelledData, pred_proba: np.ndarray, selection: str, *, noisy: bool
) -> PseudoLabels:
    """Compute pseudo-labels from out-of-sample probabilities and given labels.

    `noisy` is whether the teacher was trained on given labels, and not on pseudo-labels.
    """
    predicted = ~np.isnan(pred_proba[:, 0])
    proba = np.where(predicted[:, None], pred_proba, 1 / len(data.classes)).astype(np.float64)
    weight = data.sample_weight
    given = np.where(predicted, data.y, -1)
    counted = np.where(data.used, given, -1)
    level = estimate_noise_rate(counted, proba, weight)
    noise = fit_noise_model(counted, proba, weight, level=level, verified=data.verified)
    true_proba = noise.invert(proba) if noisy else proba
    posterior = noise.posterior(true_proba, given)
    # Ties between classes are broken by the confidence of the teacher, not by their names.
    trained_on = np.where(predicted & data.used, data.y_train, -1)
    order = np.argsort(mean_self_confidence(trained_on, posterior, weight), kind="stable")
    agreed = predicted & (most_probable(true_proba, order) == data.y)
    labels = most_probable(posterior, order)
    if selection == "agreement":
        labels = np.where(agreed, data.y, labels)
    target_proba = np.where(predicted, label_proba(labels, posterior), np.nan)
    labels = np.where(predicted, labels, data.y)
    labels = np.where(data.checked, data.verified, labels)
    target_proba = np.where(data.checked, 1.0, target_proba)

    # Verified labels, and given labels without a prediction, are selected in any case.
    selected = (labels >= 0) & (True if weight is None else weight > 0)
    uncertain = selected & predicted & ~data.checked
    if selection == "agreement":
        selected &= ~(uncertain & data.given & ~agreed)
    elif selection == "mixture":
        selected &= ~_has_high_loss(labels, target_proba, uncertain, weight)
    for k in np.setdiff1d(data.y_train[data.used], labels[selected]):
        kept = data.used & (data.y_train == k)
        labels[kept] = k
        selected |= kept
    return PseudoLabels(labels, target_proba, selected, noise.transition)


def _has_high_loss(labels, target_proba, uncertain, weight) -> np.ndarray:
    """Find the rows in the upper of two components of the loss of their class."""
    high = np.zeros(len(labels), dtype=bool)
    for k in np.unique(labels[uncertain]):
        rows = np.flatnonzero(uncertain & (labels == k))
        loss = -np.log(np.maximum(target_proba[rows], _LEAST_PROBA))
        mixture = fit_mixture(loss, None if weight is None else weight[rows])
        if mixture is not None:
            high[rows] = mixture.upper(loss) > 0.5
    return high
