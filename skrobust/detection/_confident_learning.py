"""Confident learning: which labels contradict a model that has not seen them?"""

from numbers import Integral

import numpy as np

from skrobust.base import DetectionResult
from skrobust.detection._class_limits import ClassLimits
from skrobust.detection._corrections import add_corrections
from skrobust.detection._proba_detector import ProbaDetector, most_probable
from skrobust.detection._quality import QUALITY_METHODS, score_rows
from skrobust.detection._rules import RULES, fit_rule
from skrobust.noise._confident_joint import mean_self_confidence
from skrobust.utils._sklearn import Interval, StrOptions


class ConfidentLearning(ProbaDetector):
    """Detect label errors by predictions for rows that the model has not seen.

    The evidence are out-of-fold probabilities of any classifier, or out-of-bag probabilities of
    a forest. The confident joint turns them into an estimate of how many labels of each class
    really belong to each other class, and a rule chooses so many rows.

    .. versionadded:: 0.1

    Parameters
    ----------
    estimator : classifier with ``predict_proba``, default=None
        Model that supplies the evidence, cloned. It need not be the model that is trained in the
        end, and better is not: a smooth model that single wrong labels hardly move finds more
        errors than one that is accurate but learns them.

        - None: the out-of-bag probabilities of 300 extremely randomised trees with at least
          five rows per leaf, from a single fit. Needs a table of numbers.
        - A forest with ``oob_score=True``: its out-of-bag probabilities, from a single fit.
        - Any other classifier: its out-of-fold probabilities. X is handed on untouched.
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
        Number of rows of each given class that are taken to be right, at least, by the same rules.
    confident_joint : array-like of shape (n_classes, n_classes), default=None
        Mass of rows by given (rows) and true (columns) class from elsewhere; see
        :func:`find_label_errors`.
    confident_thresholds : array-like of shape (n_classes,), default=None
        Confident thresholds from elsewhere. None is the mean self-confidence.
    cv : int, splitter or iterable of (train, test), default=5
        Folds of the out-of-fold probabilities. For a number, folds are stratified, equal rows
        and rows of one group share a fold, and folds become fewer where a class is small. Not
        used with out-of-bag probabilities.
    threshold : float or threshold object, default=None
        Flag the rows whose quality is below this, instead of by `rule`; or let an object choose,
        such as :class:`DecoyThreshold`.
    flag_fraction : float or dict, default=None
        Flag this share of the rows, those of the lowest quality, instead of by `rule`. A dict has
        such shares by label, of the rows given each, and no other class is flagged.
    max_flag_rate : float, default=0.8
        Warn when more than this share of a class is flagged. None never warns.
    store_estimators : bool, default=False
        Keep the fitted models, for ``detect`` and ``score_labels``.
    n_jobs : int, default=None
        Number of folds, or threads of the forest, at a time.
    random_state : int, RandomState instance or None, default=None
        Seed for models, and parts of models, that have none of their own. None draws fresh
        entropy: NumPy's global generator is neither read nor advanced.

    Attributes
    ----------
    label_quality_ : ndarray of shape (n_samples,)
        How likely each label is right, in [0, 1]. NaN where the label is missing, or is the only
        one of its class.
    label_errors_ : ndarray of shape (n_samples,) of bool
        Rows whose label is probably wrong.
    suggested_labels_ : ndarray of shape (n_samples,)
        The most probable label: mostly the given one, but another one in every flagged row and
        in some that the rule does not flag. The verified label where there is one.
    corrected_labels_ : ndarray of shape (n_samples,)
        The labels after correction. A flagged label is replaced only if another one is more
        probable even if there is as little noise as the data leave plausible, the lower end of
        `noise_rate_interval_`. The given label of all other rows, and the prediction for rows
        without a label.
    keep_weight_ : ndarray of shape (n_samples,)
        Weight of the rows that are kept; 0 for flagged and unlabelled rows.
    sample_indices_ : ndarray of shape (n_kept,)
        Rows that are kept.
    noise_rate_ : float
        Estimated share of wrong labels.
    noise_rate_interval_ : tuple of float
        Interval of that share: from what the disagreement among certain rows leaves plausible to
        what it is if every disagreement with the prediction is an error.
    reliability_ : {"good", "limited", "cannot tell"}
        Whether wrong labels can be told apart from overlap of the classes.
    reliability_reason_ : str
        What that rests on, in words and numbers.
    transition_matrix_ : ndarray of shape (n_classes, n_classes)
        Estimated probability of each given label (columns) for each true class (rows).
    confident_joint_ : ndarray of shape (n_classes, n_classes)
        Calibrated confident joint of the rows that nobody verified. Rows are given labels.
    threshold_ : float or None
        The cut of ``label_quality_``; None for rules without a scalar cut.
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    estimators_ : list of classifiers
        Fitted models, of a forest the mean of its trees, if ``store_estimators=True``.
    n_features_in_ : int
        Number of features, where X has any.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features, where X has names that are all text.

    See Also
    --------
    find_label_errors : The rules, for probabilities that you have already.
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
        estimator=None,
        *,
        rule="prune_by_noise_rate",
        quality_method="self_confidence",
        n_per_class=None,
        min_per_class=1,
        confident_joint=None,
        confident_thresholds=None,
        cv=5,
        threshold=None,
        flag_fraction=None,
        max_flag_rate=0.8,
        store_estimators=False,
        n_jobs=None,
        random_state=None,
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
        self._limits = ClassLimits.check(
            self.rule,
            data.classes,
            self.n_per_class,
            self.min_per_class,
            self.confident_joint,
            self.confident_thresholds,
        )
        proba = self._gather(data).pred_proba
        judged = ~np.isnan(proba[:, 0])
        # Rows without evidence take no part, so that what stands there does not matter.
        proba[~judged] = 1 / len(data.classes)
        given = np.where(judged, data.y, -1)
        errors = self._apply_rule(data, given, proba)

        def quality_of(codes):
            quality = score_rows(self.quality_method, np.maximum(codes, 0), proba)
            return np.where(judged, quality, np.nan)

        predictions = most_probable(proba, self._order)
        alternatives = most_probable(proba, self._order, without=given)
        result = DetectionResult(
            quality_of(data.y),
            errors,
            np.where(judged, predictions, data.y_train),
            np.where(judged, alternatives, data.y_train),
            self.confident_joint_,
            self._scalar_cut(),
            quality_of,
            pred_proba=proba,
        )
        return add_corrections(result, data, given, proba, self._order)

    def gather_proba(self, data) -> np.ndarray:
        """Gather out-of-sample probabilities only, for a detector that looks at several."""
        return self._gather(data).pred_proba

    def predict_proba_of(self, X, classes) -> np.ndarray:
        """Predict the probabilities of new rows by the models that were kept."""
        return self._predict_mean(X, classes)

    def _apply_rule(self, data, given, proba) -> np.ndarray:
        """Fit the rule to the rows that count and that nobody verified, and flag all rows."""
        best = np.where(data.used & (given >= 0), data.y_train, -1)
        thresholds = self._limits.thresholds
        if thresholds is None:
            thresholds = mean_self_confidence(best, proba, data.sample_weight)
        unverified = np.where(data.used & (data.verified < 0), given, -1)
        # Classes go by their thresholds wherever a tie must be broken: not by their names.
        self._order = np.argsort(thresholds, kind="stable")
        self._cuts, errors = fit_rule(
            self.rule,
            unverified,
            proba,
            weight=data.sample_weight,
            thresholds=thresholds,
            order=self._order,
            limits=self._limits,
        )
        self.confident_joint_ = self._cuts.joint
        others = np.flatnonzero((given >= 0) & (unverified < 0))
        if len(others):
            errors[others] = self._cuts.flag(given[others], proba[others])
        return errors

    def _scalar_cut(self) -> float | None:
        """The cut of the quality, where rule and score are the same."""
        if self.rule == f"low_{self.quality_method}" and np.isfinite(self._cuts.score):
            return float(np.nextafter(self._cuts.score, np.inf))
        return None

    def _detect_new(self, X, codes):
        proba = self._predict_mean(X)
        quality = score_rows(self.quality_method, np.maximum(codes, 0), proba)
        return quality, self._cuts.flag(codes, proba)
