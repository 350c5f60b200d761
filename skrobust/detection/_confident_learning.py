"""Confident learning: labels that contradict out-of-sample predictions."""

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skrobust.base import DetectionResult, LabelQualityThreshold
from skrobust.detection._detect_from import ProbaDetector, complete_result, flag_by_rule, quality_by
from skrobust.detection._rules import RULES, ClassLimits
from skrobust.detection._scores import QUALITY_METHODS, score_labels
from skrobust.utils._docstring import fill_docstring
from skrobust.utils._sklearn import Interval, StrOptions
from skrobust.utils._typing import CrossValidation


@fill_docstring
class ConfidentLearning(ProbaDetector):
    """Confident learning, a detector of label errors by out-of-sample predictions.

    The evidence is out-of-fold probabilities of any classifier, or out-of-bag probabilities of
    a forest. The confident joint estimates from them how many labels of each class belong to each
    other class, and a rule selects that many rows.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the predictions, cloned. It need not be the model that is trained in the
        end, and a more accurate one is not always better: a smooth model that single wrong labels
        hardly change finds more errors than one that is accurate but memorises them.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a numeric feature matrix.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is passed on untouched.
    rule : {"prune_by_noise_rate", "prune_by_class", "both", "confident_learning", \
            "low_self_confidence", "low_normalized_margin", "predicted_neq_given"}, \
            default="prune_by_noise_rate"
        Which rows are flagged; see :func:`find_label_errors`.
    quality_method : {"self_confidence", "normalized_margin", "confidence_weighted_entropy"}, \
            default="self_confidence"
        Score of the label quality; see :func:`label_quality_scores`.
    n_per_class : dict or array-like of shape (n_classes,), default=None
        Number of rows given each class that the "prune" rules and "both" flag at most, by label or
        in the order of ``classes_``; see :func:`find_label_errors`.
    min_per_class : int, default=1
        Minimum number of rows of each given class that are taken to be right by the same rules.
    confident_joint : array-like of shape (n_classes, n_classes), default=None
        Weight of rows by given (rows) and true (columns) class from elsewhere; see
        :func:`find_label_errors`.
    confident_thresholds : array-like of shape (n_classes,), default=None
        Confident thresholds from elsewhere. None is the mean self-confidence.
    %(cv)s
        Not used with out-of-bag probabilities.
    %(how_many)s
    %(store_estimators)s
    %(n_jobs)s
    %(random_state)s

    Attributes
    ----------
    %(label_quality_)s
    %(label_errors_)s
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable label: mostly the given one, but another one in every flagged row and
        in some that the rule does not flag. The verified label where there is one.
    %(detected)s
    %(transition_matrix_)s
    confident_joint_ : ndarray of shape (n_classes, n_classes)
        Calibrated confident joint of the rows that are not verified. Rows are given labels.
    estimators_ : list of classifiers
        Fitted models, of a forest the mean of its trees, if ``store_estimators=True``.

    See Also
    --------
    find_label_errors : The rules, for probabilities that you have already.
    detect_from : The same for evidence that was collected already.
    skrobust.wrappers.CleaningClassifier : Trains a classifier on what is left.

    References
    ----------
    Northcutt, Jiang and Chuang (2021). Confident learning: estimating uncertainty in dataset
    labels. Journal of Artificial Intelligence Research 70.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skrobust.detection import ConfidentLearning
    >>> from skrobust.noise import flip_labels, symmetric_transition
    >>> X, y = load_iris(return_X_y=True)
    >>> y_noisy, flipped = flip_labels(y, symmetric_transition(3, 0.2), random_state=0)
    >>> detector = ConfidentLearning(random_state=0).fit(X, y_noisy)
    >>> bool((detector.label_errors_ & flipped).sum() > 0.8 * flipped.sum())
    True
    """

    _parameter_constraints: dict = {
        **ProbaDetector._parameter_constraints,
        "rule": [StrOptions(set(RULES))],
        "quality_method": [StrOptions(set(QUALITY_METHODS))],
        "n_per_class": [None, dict, "array-like"],
        "min_per_class": [Interval(Integral, 1, None, closed="left")],
        "confident_joint": [None, "array-like"],
        "confident_thresholds": [None, "array-like"],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        *,
        rule: str = "prune_by_noise_rate",
        quality_method: str = "self_confidence",
        n_per_class: dict[Any, int] | ArrayLike | None = None,
        min_per_class: int = 1,
        confident_joint: ArrayLike | None = None,
        confident_thresholds: ArrayLike | None = None,
        cv: CrossValidation = 5,
        threshold: float | LabelQualityThreshold | None = None,
        flag_fraction: float | dict[Any, float] | None = None,
        max_flag_rate: float | None = 0.8,
        store_estimators: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.estimator = estimator
        self.rule = rule
        self.quality_method = quality_method
        self.n_per_class = n_per_class
        self.min_per_class = min_per_class
        self.confident_joint = confident_joint
        self.confident_thresholds = confident_thresholds
        self.cv = cv
        self.threshold = threshold
        self.flag_fraction = flag_fraction
        self.max_flag_rate = max_flag_rate
        self.store_estimators = store_estimators
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _detect(self, data) -> DetectionResult:
        limits = self._check_limits(data)
        return self._detect_from(data, self.collect_evidence(data), limits)

    def _check_limits(self, data) -> ClassLimits:
        """Validate the limits by class before any work."""
        return ClassLimits.check(
            self.rule,
            data.classes,
            self.n_per_class,
            self.min_per_class,
            self.confident_joint,
            self.confident_thresholds,
        )

    def _detect_from(self, data, evidence, limits) -> DetectionResult:
        """Apply score and rule to the evidence."""
        fitted, errors = flag_by_rule(
            data, evidence, self.rule, thresholds=limits.thresholds, limits=limits
        )
        self._store(evidence)
        self._rule = fitted
        self.confident_joint_: np.ndarray = fitted.joint
        return complete_result(
            data,
            evidence,
            fitted.order,
            quality_by(evidence, self.quality_method),
            errors,
            joint=fitted.weighted_joint,
            threshold=fitted.scalar_threshold(self.quality_method),
            pred_proba=evidence.filled,
        )

    def _detect_new(self, X, codes):
        proba = self._stored_evidence()[0].predict(X)
        quality = score_labels(self.quality_method, np.maximum(codes, 0), proba)
        return quality, self._rule.flag(codes, proba)
