"""Train a classifier on what a teacher says about the rows, where that can be relied on."""

from numbers import Integral

import numpy as np
from sklearn.base import clone

from skrobust.base import LabelledData
from skrobust.base._labels import decode_labels
from skrobust.detection import ConfidentLearning, EnsembleDetector
from skrobust.detection._mixture_1d import fit_mixture
from skrobust.detection._proba_detector import most_probable
from skrobust.evidence._out_of_fold import check_predicts_proba, gather_out_of_fold
from skrobust.noise._confident_joint import given_proba, mean_self_confidence
from skrobust.noise._noise_model import fit_noise_model
from skrobust.noise._noise_rate import estimate_noise_rate
from skrobust.utils._propagate import propagate_params
from skrobust.utils._random import private_random_state, set_missing_random_states
from skrobust.utils._sklearn import (
    Features,
    HasMethods,
    Interval,
    StrOptions,
    fit_context,
    raise_for_params,
)
from skrobust.wrappers._default_detector import default_detector
from skrobust.wrappers._wrapper_base import BaseWrapper, ClassifierWrapper, requested_weight

_SELECTIONS = ("agreement", "mixture", "all")
_SMALLEST = 1e-4


class TeacherStudentClassifier(ClassifierWrapper, BaseWrapper):
    """Train a classifier on what a teacher says about the rows, where that can be relied on.

    A teacher that learns from given labels, wrong ones among them, says of each row it has not
    seen which class is the most probable. The student learns what teacher and given label agree
    about, or what the teacher is sure about. Rows without a label are learned from as well, with
    the label that the teacher gives them.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier, default=None
        The student: the classifier to train, cloned. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    teacher : classifier with ``predict_proba``, default=None
        What labels are learned from, cloned; of forests with ``oob_score=True`` the out-of-bag
        probabilities are taken, of others the out-of-fold ones. None is the mixture of models of
        :class:`~skrobust.detection.EnsembleDetector`: where X is a table of numbers, its own, and
        otherwise `estimator` and, if that is a pipeline, unlike models behind its first steps.
    selection : {"agreement", "mixture", "all"}, default="agreement"
        Which rows the student learns:

        - "agreement": those whose given label is what the teacher would have said without it,
          and those without a label;
        - "mixture": of the rows that the teacher finds to be of a class, knowing their given
          labels, those that it is as sure about as about most: the lower one of two normal
          distributions of its logarithmic loss. They are learned as what the teacher finds
          them to be, and rows that are only hard are left out as well;
        - "all": all that the teacher can judge, as what it finds them to be, knowing their given
          labels.
    n_rounds : int, default=1
        How many times a student is trained. From the second round on, the student of the last
        round, trained anew without each fold in turn, is the teacher.
    cv : int, splitter or iterable of (train, test), default=None
        Folds of the teachers; None is 5, stratified.
    n_jobs : int, default=None
        Number of folds, or threads, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for teachers that have none of their own. The student keeps its own.

    Attributes
    ----------
    estimator_ : classifier
        The fitted student.
    pseudo_labels_ : ndarray of shape (n_samples,)
        What the last teacher says of each row, knowing its given label; the verified label where
        there is one. None where nothing is known.
    pseudo_label_proba_ : ndarray of shape (n_samples,)
        How likely that is, in [0, 1]; NaN where the teacher could not judge.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that the student has learned, with their pseudo-labels.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Probability of each given label (columns) for each true class (rows), by the last teacher.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    CleaningClassifier : Trains on given labels that a detector does not flag.
    sklearn.semi_supervised.SelfTrainingClassifier : Adds rows without label to those that have
        one, which are trusted.

    Notes
    -----
    The teacher foretells given labels. How they go wrong is seen from the rows that it is sure
    about, and undone; what it says of a row with a given label takes that label into account, as
    far as labels can be trusted.

    Rows whose label a person verified are always learned with that label. A class of which no row
    is left keeps all rows that were given its label.

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

    _learns_from_unlabelled = True

    _parameter_constraints: dict = {
        **BaseWrapper._parameter_constraints,
        "teacher": [HasMethods(["fit", "predict"]), None],
        "selection": [StrOptions(set(_SELECTIONS))],
        "n_rounds": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        teacher=None,
        *,
        selection="agreement",
        n_rounds=1,
        cv=None,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.teacher = teacher
        self.selection = selection
        self.n_rounds = n_rounds
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _helpers(self):
        return [EnsembleDetector() if self.teacher is None else self.teacher]

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, *, verified_labels=None, sample_weight=None, **params):
        """Let teachers label the rows and train the student.

        Parameters
        ----------
        X : array-like of length n_samples
            Input, handed to teacher and student as it is: arrays, sparse matrices, DataFrames,
            lists of texts.
        y : array-like of shape (n_samples,)
            Given labels. Rows whose label is None, NaN or blank are learned from as the teacher
            labels them.
        verified_labels : array-like of shape (n_samples,), default=None
            Labels as checked by a person, missing where nobody looked; `y` stays as it was given,
            not overwritten by them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights for every fit. An integer weight counts as so many equal rows.
        **params : dict
            More metadata for the student, where metadata routing is enabled.

        Returns
        -------
        self : object
            Fitted wrapper.
        """
        data = LabelledData.from_arrays(
            X, y, verified_labels=verified_labels, sample_weight=sample_weight
        )
        raise_for_params(params, self, "fit")
        features = Features(data.X)
        estimator = clone(self._get_estimator())
        fit_params = self._route(estimator, data, params)
        if self.n_rounds > 1:
            check_predicts_proba(estimator)
        random_state = private_random_state(self.random_state)
        lesson = _Lesson(data, self._teach(data), self.selection, noisy=True)
        for _ in range(self.n_rounds - 1):
            teacher = clone(estimator)
            set_missing_random_states(teacher, random_state)
            evidence = gather_out_of_fold(
                teacher,
                data.X,
                lesson.labels,
                data.classes,
                lesson.chosen,
                cv=self.cv,
                fit_params=fit_params,
                n_jobs=self.n_jobs,
            )
            lesson = _Lesson(data, evidence.pred_proba, self.selection, noisy=False)
        rows = np.flatnonzero(lesson.chosen)
        weight = requested_weight(estimator, data, fit_params)
        weight = None if weight is None else weight[rows]
        self._train(estimator, data, rows, data.classes[lesson.labels[rows]], weight, fit_params)
        self.pseudo_labels_ = decode_labels(lesson.labels, data.classes)
        self.pseudo_label_proba_ = lesson.confidence
        self.transition_matrix_ = lesson.transition
        self.sample_indices_ = rows
        self.classes_ = self.estimator_.classes_
        features.record(self)
        return self

    def _teach(self, data) -> np.ndarray:
        """Gather the out-of-sample probabilities of the first teacher."""
        if self.teacher is None:
            source = default_detector(data.X, self._get_estimator())
        else:
            check_predicts_proba(self.teacher)
            source = ConfidentLearning(self.teacher)
        propagate_params(source, cv=self.cv, n_jobs=self.n_jobs, random_state=self.random_state)
        return source.gather_proba(data)


class _Lesson:
    """What a teacher says of the rows, and which of it is to be learned.

    Parameters
    ----------
    data : LabelledData
        Rows.
    pred_proba : ndarray of shape (n_samples, n_classes)
        Out-of-sample probabilities by the teacher; NaN where it cannot judge.
    selection : {"agreement", "mixture", "all"}
        Which rows to choose.
    noisy : bool
        Whether the teacher has learned given labels, and not what another one made of them.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), dtype intp
        Pseudo-labels; -1 where there is none.
    confidence : ndarray of shape (n_samples,)
        Their probabilities, 1 for verified ones; NaN where the teacher cannot judge.
    chosen : ndarray of shape (n_samples,) of bool
        Rows to learn.
    transition : ndarray of shape (n_classes, n_classes)
        How labels go wrong, by this teacher.
    """

    def __init__(self, data, pred_proba, selection, *, noisy):
        judged = ~np.isnan(pred_proba[:, 0])
        proba = np.where(judged[:, None], pred_proba, 1 / len(data.classes)).astype(np.float64)
        weight = data.sample_weight
        given = np.where(judged, data.y, -1)
        unverified = np.where(data.used & ~data.checked, given, -1)
        level = estimate_noise_rate(unverified, proba, weight)
        channel = fit_noise_model(unverified, proba, weight, level=level)
        true_proba = channel.invert(proba) if noisy else proba
        proba = channel.posterior(true_proba, given)
        # Classes go by how sure the teacher is of them wherever a tie must be broken.
        best = np.where(judged & data.used, data.y_train, -1)
        order = np.argsort(mean_self_confidence(best, proba, weight), kind="stable")
        agreed = judged & (most_probable(true_proba, order) == data.y)
        labels = most_probable(proba, order)
        if selection == "agreement":
            labels = np.where(agreed, data.y, labels)
        confidence = np.where(judged, given_proba(labels, proba), np.nan)
        labels = np.where(judged, labels, data.y)
        self.labels = np.where(data.checked, data.verified, labels)
        self.confidence = np.where(data.checked, 1.0, confidence)
        self.transition = channel.transition

        counted = np.ones(data.n_samples, dtype=bool) if weight is None else weight > 0
        # What was verified, or cannot be judged but has a label, is learned in any case.
        chosen = counted & (self.labels >= 0)
        open_rows = chosen & judged & ~data.checked
        if selection == "agreement":
            chosen &= ~(open_rows & data.given & ~agreed)
        elif selection == "mixture":
            chosen &= ~self._doubtful(open_rows, weight)
        for k in np.setdiff1d(data.y_train[data.used], self.labels[chosen]):
            kept = data.used & (data.y_train == k)
            self.labels[kept] = k
            chosen |= kept
        self.chosen = chosen

    def _doubtful(self, open_rows, weight) -> np.ndarray:
        """Find the rows that the teacher is less sure about than about most of their class."""
        doubtful = np.zeros(len(open_rows), dtype=bool)
        for k in np.unique(self.labels[open_rows]):
            rows = np.flatnonzero(open_rows & (self.labels == k))
            loss = -np.log(np.maximum(self.confidence[rows], _SMALLEST))
            mixture = fit_mixture(loss, None if weight is None else weight[rows])
            if mixture is not None:
                doubtful[rows] = mixture.upper(loss) > 0.5
        return doubtful
